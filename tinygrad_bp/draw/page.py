"""Many SVGs that differ little as one self-contained page to step through.

The page needs no network, and runs no script but its own: the policy that it carries names that script's hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

HERE = Path(__file__).parent
READABLE = 1.15  # CSS pixels for a point of the picture, below which its numbers are too small to read

HINT = "Marked in the picture: the number that is new, and those that it is computed from."


def page(title: str, svgs: Sequence[str], items: Sequence[str]) -> str:
    """A page that shows one of the pictures at a time, with the words that belong to it beneath.

    ``items``: for each picture its words, as an ``li``. Its attributes ``data-new`` and ``data-read`` name texts of the
    picture, by their ``data-number``, that are marked; the new ones are brought into view on a narrow screen.
    Where scripts are switched off, and in print, it shows the last picture and all the words.
    """
    picture = merge(svgs)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    width, height = (_points(picture, side) for side in ("width", "height"))
    parts = {
        "title": html.escape(title),
        "picture": markup(picture),
        "picture_label": html.escape(f"Picture: {title}"),
        "steps": "\n".join(items),
        "last": str(len(items) - 1),
        "narrowest": f"{READABLE * width:.0f}",
        "lowest": f"{READABLE * height:.0f}",
        "widest": f"{1.6 * width:.0f}",
        "hint": HINT if 'data-new="' in "".join(items) else "",
        "script": script,
        "hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)  # in one pass: what is put in is not read again


# -- one SVG of many ---------------------------------------------------------------------------------------------------


def merge(svgs: Sequence[str]) -> ET.Element:
    """One SVG of many. What is not in all of them says in ``data-frames`` in which it is, such as ``0-3 7``.

    >>> one, two = "<svg><text>a</text></svg>", "<svg><text>a</text><text>b</text></svg>"
    >>> markup(merge([one, two]))
    '<svg><text>a</text><text data-frames="1">b</text></svg>'
    """
    roots = {k: ET.fromstring(svg) for k, svg in enumerate(svgs)}
    whole = max(roots.values(), key=lambda root: _points(root, "width"))
    result = ET.Element(whole.tag, whole.attrib)
    _merge_into(result, roots)
    return result


def _points(svg: ET.Element, side: str) -> float:
    """The width or height of an SVG."""
    return float(re.sub(r"[^\d.]", "", svg.get(side, "")) or 0)


def _merge_into(result: ET.Element, versions: dict[int, ET.Element]) -> None:
    """Add to the result the children of all versions: those that are alike once, in an order that fits every version."""
    order: list[str] = []
    found: dict[str, dict[int, ET.Element]] = {}
    for frame, version in versions.items():
        place = 0
        for key, child in _keyed(version):
            if key not in found:
                order.insert(place, key)
                found[key] = {}
            found[key][frame] = child
            place = order.index(key, 0) + 1
    for key in order:
        some = next(iter(found[key].values()))
        child = ET.SubElement(result, some.tag, some.attrib)
        child.text = some.text
        if found[key].keys() != versions.keys():
            child.set("data-frames", ranges(found[key]))
        _merge_into(child, found[key])


def _keyed(element: ET.Element) -> Iterable[tuple[str, ET.Element]]:
    """The children, each with what it is recognised by: a group by its attributes, anything else by all that it holds."""
    seen: dict[str, int] = {}
    for child in element:
        key = f"{child.tag} {sorted(child.items())}" if _local(child.tag) in ("g", "a") else markup(child)
        seen[key] = seen.get(key, 0) + 1
        yield f"{key} {seen[key]}", child


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as ranges.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0-2 5 7-8'
    """
    runs = [[n for _, n in run] for _, run in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])]
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


# -- writing it ---------------------------------------------------------------------------------------------------------


def markup(element: ET.Element) -> str:
    """The element as it stands inside a page of HTML, which needs no namespaces.

    >>> markup(ET.fromstring('<text x="1">&lt;/svg&gt;&lt;script&gt;</text>'))
    '<text x="1">&lt;/svg&gt;&lt;script&gt;</text>'
    """
    tag = _local(element.tag)
    attributes = "".join(f' {_local(name)}="{html.escape(value)}"' for name, value in element.items())
    inner = html.escape(element.text or "", quote=False).strip("\n") + "".join(map(markup, element))
    return f"<{tag}{attributes}>{inner}</{tag}>"


def _local(name: str) -> str:
    """A name without its namespace, but with the prefix that HTML knows for it."""
    space, _, local = name.rpartition("}")
    prefix = {"{http://www.w3.org/1999/xlink": "xlink:", "{http://www.w3.org/XML/1998/namespace": "xml:"}.get(space, "")
    return prefix + local
