"""What pictures write and in which colours: escaped text, numbers that can be found again, little tables."""

from __future__ import annotations

import html
import math
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinygrad_bp.expression import format_number

# The palette of Okabe and Ito, which colour-blind readers can tell apart too; shapes and borders differ besides.
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"  # lines and captions: seen on a light page and on a dark one
GRADIENT, NEW = BLUE, VERMILLION
HIDDEN = "#01020300"  # transparent; some versions say so in an SVG by the first six digits alone
FONT = "Helvetica"  # one name: layout programs know its widths, and SVG readers put their own sans-serif in its place
LONGEST = 60  # letters of a line
FEW, ROWS, COLUMNS = 16, 8, 4  # arrays up to this size are drawn element by element

# Widths of letters in parts of the font's size. They are those of DejaVu Sans, the widest face that takes Helvetica's
# place, so that text stays inside its box in all of them.
NARROW = dict.fromkeys("ijl|!',.:;`", 0.32) | dict.fromkeys(" ()[]/\\Ift-r", 0.41)
WIDE = dict.fromkeys("mMWw%@", 0.95) | dict.fromkeys("+=<>~OQGDNHUC&", 0.82)
BOLD = 1.1  # bold letters are this much wider


@dataclass(frozen=True, slots=True)
class Number:
    """Which number of a Program a picture writes.

    An element of a line's value or of its gradient, the whole line where ``index`` is None; with ``operand`` what the
    line sends back to that operand of it.
    """

    place: int
    index: tuple[int, ...] | None = None
    gradient: bool = False
    operand: int | None = None

    def __str__(self) -> str:
        """What the SVG calls it, in ``data-number``: ``value-3-0-1``, ``grad-7``, ``grad-7-to-0``."""
        parts = ["grad" if self.gradient else "value", self.place, *(self.index or ())]
        return "-".join(map(str, parts if self.operand is None else [*parts, "to", self.operand]))


Show = Callable[[Number], Literal["shown", "hidden", "new"]]
"""How a number is written: as always, not at all but with its room kept, or as one that has just been computed."""


@dataclass(frozen=True)
class Run:
    """A piece of text in one style, which is one text element of an SVG; ``number`` says which number it writes."""

    text: str
    bold: bool = False
    colour: str = ""
    number: Number | None = None
    size: float = 0.0  # the node's own where it is 0

    def markup(self, show: Show | None = None) -> str:
        state = "shown" if show is None or self.number is None else show(self.number)
        usual = self.colour or ("#000000" if self.number else "")  # with a font in all states, for its presence can move text
        colour = {"hidden": HIDDEN, "new": NEW, "shown": usual}[state]
        markup = escape(short(self.text)) or "\u00a0"
        if self.bold:
            markup = f"<B>{markup}</B>"
        font = (f' COLOR="{colour}"' if colour else "") + (f' POINT-SIZE="{self.size:g}"' if self.size else "")
        return f"<FONT{font}>{markup}</FONT>" if font else markup

    def width(self, size: float) -> float:
        """How wide it is at most, in points, where its node writes in this size."""
        return measure(short(self.text)) * (self.size or size) * (BOLD if self.bold else 1.0)


Cell = tuple[Run, ...]


@dataclass(frozen=True)
class Label:
    """Rows of cells of runs: lines of text, or, where a row has several cells, a table."""

    rows: tuple[tuple[Cell, ...], ...]
    size: float = 9.0  # of the letters, in points
    attributes: str = ""  # of the table
    ruled: bool = False  # with a line between the rows
    left: bool = False  # cells that are narrower than their column stand on its left

    def __iter__(self) -> Iterator[Run]:
        """The runs in the order in which they are written."""
        return (run for row in self.rows for cell in row for run in cell)

    def markup(self, show: Show | None = None) -> str:
        """As a Graphviz label."""
        across = max(map(len, self.rows), default=0)
        written = [["".join(run.markup(show) for run in cell) for cell in row] for row in self.rows]
        if across <= 1 and not self.attributes:
            return f"<{'<BR/>'.join(cell for row in written for cell in row)}>" if written else ""
        widths = [[math.fsum(run.width(self.size) for run in cell) for cell in row] for row in self.rows]
        rows = []
        for row, wide in zip(written, widths, strict=True):
            span = f' COLSPAN="{across}"' if len(row) < across else ' ALIGN="LEFT"' if self.left else ""
            rows.append("".join(f'<TD WIDTH="{width:.0f}"{span}>{cell}</TD>' for cell, width in zip(row, wide, strict=True)))
        table = f'BORDER="0" CELLBORDER="0" CELLSPACING="0" {self.attributes or PADDED}'
        return f"<<TABLE {table}>{('<HR/>' if self.ruled else '').join(f'<TR>{row}</TR>' for row in rows)}</TABLE>>"


PADDED = 'CELLPADDING="2"'


def tint(colour: str) -> str:
    """The colour mixed with white, to write on in black."""
    return "#" + "".join(f"{round(255 - 0.22 * (255 - int(colour[i : i + 2], 16))):02X}" for i in (1, 3, 5))


def printable(text: Any) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in str(text))


def escape(text: Any) -> str:
    r"""Any text as text inside a Graphviz label of the HTML kind, which also reads ``\N``.

    >>> escape(r"<b>&\N")
    '&lt;b&gt;&amp;\\\\N'
    """
    return html.escape(printable(text)).replace("\\", "\\\\")


def short(text: str) -> str:
    """A text without its middle where it is too long for a picture; tooltips have all of it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]} ... {text[-15:]}"


def measure(text: str) -> float:
    """The width of a text in parts of the font's size.

    >>> round(measure("w5 = 0.4"), 2), measure("\u8f93\u5165")
    (4.77, 2.0)
    """
    return math.fsum(map(_letter, text))  # exact, as Python's own sum has been only since 3.12: the same picture everywhere


def _letter(c: str) -> float:
    if not c.isascii():
        return 0.0 if unicodedata.combining(c) else 1.0 if unicodedata.east_asian_width(c) in "WF" else 0.8
    return NARROW.get(c) or WIDE.get(c) or (0.7 if c.isupper() else 0.62)


def bold(text: Any) -> Run:
    return Run(str(text), bold=True)


def coloured(text: Any, colour: str = GRADIENT) -> Run:
    return Run(str(text), colour=colour)


def lines(*runs: Run, size: float = 9.0) -> Label:
    """A label of one run per line."""
    return Label(tuple(((run,),) for run in runs), size)


def caption(*texts: str) -> str:
    """What stands beneath a picture, as a Graphviz label."""
    return f"<{'<BR/>'.join(map(escape, texts))}>" if texts else ""


def folded(text: str) -> list[str]:
    """A long text as the lines of a caption."""
    return [line.replace("\u00a0", " ") for line in textwrap.wrap(text.replace(" = ", "\u00a0=\u00a0"), LONGEST)]  # no line ends at a sign


def stack(*runs: Run, size: float = 10.0) -> Label:
    """The same for a node whose size the layout program chooses: it gets the room that we measure, not its own."""
    return Label(tuple(((run,),) for run in runs), size, 'CELLPADDING="0"')


def table(rows: Iterable[Sequence[Cell]], size: float = 10.0, attributes: str = PADDED) -> Label:
    """A label of rows of cells; a row that is shorter than the longest is one cell across."""
    return Label(tuple(map(tuple, rows)), size, attributes)


def is_small(value: Any) -> bool:
    """Whether an array is drawn element by element."""
    shape = np.shape(value)
    return 0 < np.size(value) <= FEW and len(shape) <= 2 and (not shape or shape[-1] <= COLUMNS) and (len(shape) < 2 or shape[0] <= ROWS)


def summary(value: Any, digits: int) -> list[str]:
    """A large array in three numbers."""
    if not np.size(value):
        return ["empty"]
    return [f"{word} {format_number(f(value), digits)}" for word, f in (("min", np.min), ("max", np.max), ("mean", np.mean))]
