"""Placing a network of neurons: units in columns, and between two columns the weights, each on its edge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinygrad_bp.draw.drawing import Canvas
from tinygrad_bp.draw.labels import Label, bold, caption, lines

MOST = 6  # units of a layer that are drawn; of a wider one the first three and the last
SHOWN = 3
LINE = 11.0  # height of a line of text in points
GAP = 32.0  # between columns, in points

Units = list[tuple[int | None, Label]]
Point = tuple[float, float]


def box(label: Label) -> Point:
    """Width and height of a box around a label, in points."""
    rows = list(label)
    return max((run.width(label.size) for run in rows), default=0.0) + 8, LINE * len(rows) + 4


def diameter(label: Label) -> float:
    """Of a circle around a label: no line's corner may stick out."""
    middle = (len(label.rows) - 1) / 2
    return 2 * max(math.hypot(run.width(label.size) / 2, LINE * (abs(k - middle) + 0.5)) for k, run in enumerate(label)) + 4


def widest(units: Units) -> float:
    return max(diameter(label) for i, label in units if i is not None)


def room(units: Units, height: float, rise: float) -> float:
    """How far from a column of circles an edge that rises so much must end, to pass those beside its own."""
    radius, step = widest(units) / 2 + 2, height / len(units)
    share = min(radius / step, 0.9)
    return 0.0 if len(units) == 1 else rise * share / math.sqrt(1 - share * share) - radius


def drawn(units: int, needed: frozenset[int] = frozenset()) -> list[int]:
    """Which units of a layer are drawn."""
    return list(range(units)) if units <= MOST else sorted({*range(SHOWN), units - 1, *sorted(needed)[:MOST]})


def shown(units: int, say: Callable[[int], Label], needed: frozenset[int] = frozenset()) -> Units:
    """All units of a narrow layer; of a wide one the first few, the last and those needed, and how many are left out."""
    kept: list[int] = drawn(units, needed)
    found: Units = []
    for before, i in zip([-1, *kept], kept, strict=False):
        if i > before + 1:
            found.append((None, lines(bold(f"... {i - before - 1} more"))))
        found.append((i, say(i)))
    return found


class Page:
    """A picture whose nodes have places of its own: the layout program only draws them there."""

    def __init__(self, texts: Sequence[str], show: Any = None) -> None:
        self.canvas = Canvas(
            caption(*texts),
            {"layout": "neato", "splines": "line", "outputorder": "edgesfirst"},  # neato leaves nodes where they are pinned
            {"fontsize": "9", "margin": "0", "style": "filled", "fixedsize": "true", "penwidth": "1.5"},
            {},
            show,
        )
        self.left = self.right = 0.0  # of the last column
        self.gap = GAP

    def column(self, width: float) -> float:
        """The middle of the next column."""
        self.left, self.right = self.right + self.gap, self.right + self.gap + width
        return (self.left + self.right) / 2

    def node(self, label: Label | None, at: Point, size: Point, style: Mapping[str, str], **marks: str) -> str:
        """A node at a place in points, counted from the top left."""
        place = {"pos": f"{at[0] / 72:.3f},{-at[1] / 72:.3f}!", "width": f"{size[0] / 72:.3f}", "height": f"{size[1] / 72:.3f}"}
        return self.canvas.node(label, place | dict(style), **marks)


def spread(wanted: Sequence[float], heights: Sequence[float], gap: float = 7.0) -> list[float]:
    """Places in the given order, as near to the wanted ones as they can be without overlap.

    Least squares under order constraints, by pooling neighbours that push each other (pool-adjacent-violators).

    >>> spread([0.0, 10.0, 10.0, 20.0], [4.0, 4.0, 4.0, 4.0], gap=4.0)
    [-2.0, 6.0, 14.0, 22.0]
    """
    offsets = [0.0]
    for above, below in itertools.pairwise(heights):
        offsets.append(offsets[-1] + (above + below) / 2 + gap)
    pools: list[tuple[float, int]] = []  # (sum, how many) of what each member would like the first one's place to be
    for y, offset in zip(wanted, offsets, strict=True):
        pools.append((y - offset, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, many = pools.pop()
            pools[-1] = pools[-1][0] + total, pools[-1][1] + many
    places = [total / many for total, many in pools for _ in range(many)]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]
