"""``Drawing``: a picture as DOT text, and as whatever the layout program makes of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graphviz

from tinygrad_bp.draw.labels import FONT, GREY
from tinygrad_bp.draw.layout import TIMEOUT, run_layout
from tinygrad_bp.errors import LayoutError
from tinygrad_bp.files import write_whole

FORMATS = {".svg": "svg", ".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".pdf": "pdf"}
TEXT = (".dot", ".gv")


def new_digraph(caption: str, graph: Mapping[str, str], node: Mapping[str, str], edge: Mapping[str, str]) -> graphviz.Digraph:
    """An empty picture on a transparent page, with what all pictures share."""
    page = {
        "bgcolor": "transparent",
        "pad": "0.1",
        "fontname": FONT,
        "fontsize": "10",
        "fontcolor": GREY,
        "labelloc": "b",
        "label": caption,
    }
    digraph: graphviz.Digraph = graphviz.Digraph(
        graph_attr=page | dict(graph),
        node_attr={"fontname": FONT} | dict(node),
        edge_attr={"fontname": FONT, "color": GREY, "fontcolor": GREY, "arrowsize": "0.6"} | dict(edge),
    )
    return digraph


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

    def svg(self, program: str | None = None, timeout: float = TIMEOUT) -> str:
        """The picture as SVG text. Raises ``LayoutError`` where no layout program does its work."""
        return run_layout(self.source, "svg", program, timeout).decode()

    def png(self, program: str | None = None, timeout: float = TIMEOUT) -> bytes:
        """The picture as the bytes of a PNG, at 96 dots per inch. Raises ``LayoutError`` as ``svg`` does."""
        return run_layout(self.source, "png", program, timeout)

    def save(self, path: str | os.PathLike[str], program: str | None = None, timeout: float = TIMEOUT) -> Path:
        """Write the picture to a file, in the format of its suffix: svg, png, jpg, pdf; dot or gv for the DOT text.

        Returns the path. The file is written whole or not at all. Raises ``LayoutError`` for an unknown suffix and
        for what the layout program cannot do, ``OSError`` for what the file system cannot.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in FORMATS and suffix not in TEXT:
            raise LayoutError(f"cannot tell the format of {path.name!r} from its suffix; use one of {', '.join([*FORMATS, *TEXT])}")
        write_whole(path, self.source.encode() if suffix in TEXT else run_layout(self.source, FORMATS[suffix], program, timeout))
        return path

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the SVG, or the reason why there is none and the DOT text. Never an exception."""
        try:
            return {"image/svg+xml": self.svg(), "text/plain": repr(self)}
        except Exception as error:  # noqa: BLE001  (a notebook must show the cell whatever happened)
            return {"text/plain": f"{error}\n\n{self.source}"}
