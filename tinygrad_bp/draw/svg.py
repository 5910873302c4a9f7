"""Finishing touches to an SVG: ids that meet no other picture's, numbers that can be found, tooltips, a dark page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence

from tinygrad_bp.draw.labels import BLUE, GREEN, GREY, HIDDEN, NEW, ORANGE, PURPLE, SKY, printable, tint

TAG = re.compile(r"<[^>]*>")  # Graphviz writes > as &gt; everywhere else
TEXT = re.compile(r"(<text\b[^>]*>)([^<]*)(</text>)")
ID = re.compile(r'\bid="([^"]*)"')
TOOLTIP = re.compile(r'<title>[^<]*</title>\s*<g id="a_[^"]*"><a xlink:title="([^"]*)">\s*')  # a link to nowhere, for its title
TITLE = re.compile(r"<title>[^<]*</title>\s*")
NODE = re.compile(r'<g id="[^"]*" class="node[^>]*>.*?</g>', re.DOTALL)
SHAPE = re.compile(r'<(?:ellipse|polygon|path)\b[^>]*? (?:cx|points|d)="([^"]*)"')
START = re.compile(r'text-anchor="start" x="[^"]*" y="([^"]*)"')

# On a dark page boxes turn dark and their text light; what stands outside of boxes is grey, and readable on both.
DARK = {"#FFFFFF": "#1F2328"} | {
    tint(c): d
    for c, d in ((SKY, "#15384D"), (ORANGE, "#4D3600"), (GREEN, "#0B4433"), (PURPLE, "#4A2A3C"), (NEW, "#54290A"), (BLUE, "#0B2E4A"))
}
DARK_TEXT = {"#000000": "#F0F0F0", BLUE: "#79C0FF", NEW: "#FF9E64", GREY: "#9A9A9A"}


def finish(svg: str, prefix: str, numbers: Mapping[str, Sequence[str]], description: str) -> str:
    """The SVG of a layout program as this package gives it out.

    Every id gets the prefix; a text that writes a number has its name in ``data-number``; a hidden text is emptied;
    lines are centred; a node's tooltip stands where browsers and screen readers look for it. ``numbers``: id of a node
    -> for each of its texts the number, or "".
    """
    svg = TITLE.sub(lambda found: found[0] if TOOLTIP.match(svg, found.start()) else "", svg)  # names such as n1->n2
    svg = re.sub(r"</a>\s*</g>\n", "", TOOLTIP.sub(r"<title>\1</title>\n", svg))
    svg = NODE.sub(_centred, svg)
    svg = "".join(_numbered(svg, numbers))
    svg = TEXT.sub(lambda found: found[1] + found[3] if f'fill="{HIDDEN[:7]}"' in found[1] else found[0], svg)
    svg = TAG.sub(lambda tag: ID.sub(lambda found: f'id="{prefix}{found[1]}"', tag[0]), svg)
    root = f'<svg id="{prefix}picture" role="img" aria-label="{html.escape(printable(description))}" '
    head, _, rest = svg.partition("<svg ")
    opening, closed, body = rest.partition(">")
    return head + root + opening + closed + f"\n{_style(f'#{prefix}picture')}" + body


def _centred(node: re.Match[str]) -> str:
    """A node with its lines centred whatever font is there: a layout program places their beginnings, for its own font."""
    shape, lines = SHAPE.search(node[0]), START.findall(node[0])
    if not shape or len(set(lines)) < len(lines):  # cells side by side stay where they are
        return node[0]
    across = [float(x) for x in re.findall(r"(-?[\d.]+),", shape[1]) or [shape[1]]]
    middle = f"{(min(across) + max(across)) / 2:.2f}"
    return START.sub(lambda line: f'text-anchor="middle" x="{middle}" y="{line[1]}"', node[0])


def _numbered(svg: str, numbers: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The SVG in pieces, each text with the name of the number that it writes."""
    end = 0
    texts: Iterator[str] = iter(())
    for tag in TAG.finditer(svg):
        yield svg[end : tag.start()]
        end = tag.end()
        if tag[0].startswith("<g ") and " class=" in tag[0] and (found := ID.search(tag[0])):
            texts = iter(numbers.get(html.unescape(found[1]), ()))
        name = next(texts, "") if tag[0].startswith("<text") else ""
        yield tag[0][:-1] + f' data-number="{name}">' if name else tag[0]
    yield svg[end:]


def _style(root: str) -> str:
    fills = [f'{root} g [fill="{light.lower()}"]{{fill:{dark}}}' for light, dark in DARK.items()]
    texts = [f'{root} text[fill="{light.lower()}"]{{fill:{dark}}}' for light, dark in DARK_TEXT.items()]
    rules = "".join([*fills, f"{root} text:not([fill]){{fill:#F0F0F0}}", *texts])
    return f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
