"""``Drawing``: a picture as DOT text, and as whatever the layout program makes of it."""

from __future__ import annotations

import hashlib
import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import graphviz

from tinygrad_bp.draw.fonts import check_letters
from tinygrad_bp.draw.labels import FONT, GREY, NEW, Label, Show, printable
from tinygrad_bp.draw.layout import TIMEOUT, find_program, run_layout
from tinygrad_bp.draw.svg import finish
from tinygrad_bp.errors import LayoutError
from tinygrad_bp.files import write_whole

FORMATS = {".svg": "svg", ".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".pdf": "pdf"}
TEXT = (".dot", ".gv")


class Canvas:
    """A picture in the making, on a transparent page: what all kinds of picture share.

    Nodes are n0, n1, ... in the order in which they are made, so that the same program gives the same bytes.
    """

    def __init__(
        self, caption: str, graph: Mapping[str, str], node: Mapping[str, str], edge: Mapping[str, str], show: Show | None = None
    ) -> None:
        page = {
            "bgcolor": "transparent",
            "pad": "0.1",
            "fontname": FONT,
            "fontsize": "10",
            "fontcolor": GREY,
            "labelloc": "b",
            "label": caption,
        }
        self.digraph: graphviz.Digraph = graphviz.Digraph(
            graph_attr=page | dict(graph),
            node_attr={"fontname": FONT} | dict(node),
            edge_attr={"fontname": FONT, "color": GREY, "fontcolor": GREY, "arrowsize": "0.6"} | dict(edge),
        )
        self.show = show
        self.count = self.frames = 0
        self.numbers: dict[str, tuple[str, ...]] = {}

    def node(self, label: Label | None, style: Mapping[str, str], id: str = "", tooltip: str = "", within: Any = None) -> str:  # noqa: A002
        """Draw a node, ``within`` a subgraph if one is given; its name for ``edge``. ``id`` is what the SVG calls it."""
        name, self.count = f"n{self.count}", self.count + 1
        if label and self.show and any(run.number and self.show(run.number) == "new" for run in label):
            style = dict(style) | {"color": NEW, "penwidth": "3"}  # not by its colour alone, and bold letters would move
        marks = {"id": id or name, "tooltip": _tooltip(tooltip)}
        (within or self.digraph).node(name, label.markup(self.show) if label else "", **(marks | dict(style)))
        if label and any(run.number for run in label):
            self.numbers[id or name] = tuple(str(run.number or "") for run in label)
        return name

    def frame(self, style: Mapping[str, str], plain: bool = False) -> graphviz.Digraph:
        """A frame to draw nodes within, or plainly a set of them; it comes into the picture by ``subgraph`` of what is around it."""
        self.frames += 1
        name = None if plain else f"cluster_{self.frames}"
        frame: graphviz.Digraph = graphviz.Digraph(name=name, graph_attr=dict(style))
        return frame

    def edge(self, tail: str, head: str, label: Label | None = None, style: Mapping[str, str] | None = None, id: str = "") -> None:  # noqa: A002
        """Draw an edge between nodes, or ports of nodes."""
        marks = ({"id": id} if id else {}) | ({"label": label.markup(self.show)} if label else {})
        if id and label and any(run.number for run in label):
            self.numbers[id] = tuple(str(run.number or "") for run in label)
        self.digraph.edge(tail, head, **(marks | dict(style or {})))

    def drawing(self, description: str) -> Drawing:
        """The finished picture."""
        return Drawing(self.digraph, self.numbers, description)


def _tooltip(text: str) -> str:
    """A text as Graphviz reads tooltips: entities first, and a backslash twice as an escape."""
    return html.escape(printable(text), quote=False).replace("\\", "\\" * 4) or " "


@dataclass(frozen=True, eq=False, repr=False)
class Drawing:
    """A picture. ``source`` is its DOT text; a notebook shows it as SVG.

    Where a method takes ``program`` and ``timeout``, these are the layout program, looked for if it is not given, and
    how many seconds it may take.

    >>> import tinygrad_bp as tg
    >>> w = tg.Tensor(2.0, requires_grad=True, name="w")
    >>> picture = tg.draw.graph((w * w).named("y"))
    >>> picture
    <Drawing: .svg(), .png(), .save(path), .source>
    >>> picture.source.splitlines()[0]
    'digraph {'
    """

    digraph: graphviz.Digraph
    numbers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # id of a node -> the number that each of its texts writes
    description: str = "drawing"  # in words, for who cannot see it

    @property
    def source(self) -> str:
        """The DOT text."""
        return str(self.digraph.source)

    def __repr__(self) -> str:
        return "<Drawing: .svg(), .png(), .save(path), .source>"

    def to_graphviz(self) -> graphviz.Digraph:
        """A copy as a ``graphviz.Digraph``, to add to and to render with that package."""
        copy: graphviz.Digraph = self.digraph.copy()  # type: ignore[no-untyped-call]
        return copy

    def svg(self, program: str | None = None, timeout: float = TIMEOUT, prefix: str | None = None) -> str:
        """The picture as SVG text, on a transparent page, dark where the reader's page is.

        Ids begin with ``prefix``, one of this picture's own unless given, so that many pictures can stand in one page.
        Raises ``LayoutError`` where no layout program does its work.
        """
        if prefix is None:
            prefix = f"d{hashlib.sha256(self.source.encode()).hexdigest()[:8]}-"
        return finish(run_layout(self.source, "svg", program, timeout).decode(), prefix, self.numbers, self.description)

    def png(self, program: str | None = None, timeout: float = TIMEOUT) -> bytes:
        """The picture as the bytes of a PNG, at 96 dots per inch.

        Raises ``LayoutError`` as ``svg`` does, and where the layout program has no font for a letter of the picture.
        """
        return self._painted("png", program, timeout)

    def _painted(self, kind: str, program: str | None, timeout: float) -> bytes:
        """The picture in a format in which letters are painted, or embedded with their fonts."""
        program = find_program(program)
        painted = run_layout(self.source, kind, program, timeout)
        check_letters(self.source, program)
        return painted

    def save(self, path: str | os.PathLike[str], program: str | None = None, timeout: float = TIMEOUT) -> Path:
        """Write the picture to a file, in the format of its suffix: svg, png, jpg, pdf; dot or gv for the DOT text.

        Returns the path. The file is written whole or not at all. Raises ``LayoutError`` for an unknown suffix and
        for what the layout program cannot do, ``OSError`` for what the file system cannot.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in FORMATS and suffix not in TEXT:
            raise LayoutError(f"cannot tell the format of {path.name!r} from its suffix; use one of {', '.join([*FORMATS, *TEXT])}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} to save {path.name} in")
        if suffix in TEXT:
            data = self.source.encode()
        elif suffix == ".svg":
            data = self.svg(program, timeout).encode()
        else:
            data = self._painted(FORMATS[suffix], program, timeout)
        write_whole(path, data)
        return path

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the SVG, or the reason why there is none and the DOT text. Never an exception."""
        try:
            return {"image/svg+xml": self.svg(), "text/plain": repr(self)}
        except Exception as error:  # noqa: BLE001  (a notebook must show the cell whatever happened)
            return {"text/plain": f"{error}\n\n{self.source}"}
