"""What pictures write and in which colours: escaped text, numbers, little tables."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_bp.expression import format_number

# The palette of Okabe and Ito, which colour-blind readers can tell apart too; shapes and borders differ besides.
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"  # lines and captions: seen on a light page and on a dark one
GRADIENT = BLUE
FONT = "Helvetica"  # one name: layout programs know its widths, and SVG readers put their own sans-serif in its place
FEW, ROWS, COLUMNS = 16, 8, 4  # arrays up to this size are drawn element by element


def tint(colour: str) -> str:
    """The colour mixed with white, to write on in black."""
    return "#" + "".join(f"{round(255 - 0.22 * (255 - int(colour[i : i + 2], 16))):02X}" for i in (1, 3, 5))


def escape(text: Any) -> str:
    r"""Any text as text inside a Graphviz label of the HTML kind, which also reads ``\N``.

    >>> escape(r"<b>&\N")
    '&lt;b&gt;&amp;\\\\N'
    """
    printable = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in str(text))
    return html.escape(printable).replace("\\", "\\\\")


def bold(text: Any) -> str:
    return f"<B>{escape(text)}</B>"


def coloured(text: Any, colour: str = GRADIENT) -> str:
    return f'<FONT COLOR="{colour}">{escape(text)}</FONT>'


def label(*lines: str) -> str:
    """Lines of markup as one label."""
    return f"<{'<BR/>'.join(lines)}>"


def table(rows: Sequence[Sequence[str]], attributes: str = 'CELLPADDING="2"') -> str:
    """Rows of cells; a row that is shorter than the longest is one cell across."""
    width = max(map(len, rows))
    cells = ["".join(f"<TD>{cell}</TD>" if len(row) == width else f'<TD COLSPAN="{width}">{cell}</TD>' for cell in row) for row in rows]
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" {attributes}>{"".join(f"<TR>{row}</TR>" for row in cells)}</TABLE>'


def is_small(value: Any) -> bool:
    """Whether an array is drawn element by element."""
    shape = np.shape(value)
    return 0 < np.size(value) <= FEW and len(shape) <= 2 and (not shape or shape[-1] <= COLUMNS) and (len(shape) < 2 or shape[0] <= ROWS)


def summary(value: Any, digits: int) -> list[str]:
    """A large array in three numbers."""
    if not np.size(value):
        return ["empty"]
    return [f"{word} {format_number(f(value), digits)}" for word, f in (("min", np.min), ("max", np.max), ("mean", np.mean))]
