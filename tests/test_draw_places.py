"""Where things stand: the places of a network's nodes are ours, so what overlaps can be computed."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from tests.test_draw import worked_example
from tinygrad_bp import draw, nn
from tinygrad_bp.worked import bp_explained, one_output, weight_update

Box = tuple[float, float, float, float]
NODE = re.compile(r'(n\d+) \[.*height=([\d.]+).* pos="([\d.-]+),([\d.-]+)!".* width=([\d.]+)')


def boxes(drawing: draw.Drawing) -> dict[str, Box]:
    """Node -> (left, low, right, high)."""
    found = {}
    for line in drawing.source.splitlines():
        if (node := NODE.match(line.strip())) and "invis" not in line:
            height, x, y, width = map(float, node.groups()[1:])
            found[node[1]] = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return found


def mlp(*sizes: int, **options: Any) -> Any:
    """The loss of a network of these sizes."""
    return nn.HalfSquaredError()(nn.MLP(list(sizes), rng=0, **options)(np.ones(sizes[0])), np.ones(sizes[-1]))


LOSSES = {
    "step by step": worked_example,
    "bp explained": bp_explained.forward,
    "one output": one_output.forward,
    "constant units": lambda: weight_update.forward(weight_update.network(hidden=3), [5.1, 3.5, 1.4, 0.2], [1.0, 0.0, 0.0]),
    "4-5-5-2": lambda: mlp(4, 5, 5, 2),
    "2-5-1": lambda: mlp(2, 5, 1, bias="shared"),
    "wide": lambda: mlp(100, 30, 10),
    "narrow": lambda: mlp(1, 1, 1),
    "no bias": lambda: mlp(3, 2, bias=False),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["network", "by weight", "labels", "backward"])
def test_nothing_overlaps(name: str, kind: str) -> None:
    loss = LOSSES[name]()
    drawing = {
        "network": lambda: draw.network(loss),
        "by weight": lambda: draw.network(loss, weights=False, by_weight=True),
        "labels": lambda: draw.network(loss, weights=True),
        "backward": lambda: draw.backward(loss, boxes=False),
    }[kind]()
    for (a, first), (b, other) in itertools.combinations(boxes(drawing).items(), 2):
        apart = first[0] >= other[2] or other[0] >= first[2] or first[1] >= other[3] or other[1] >= first[3]
        assert apart, f"{a} and {b} overlap: {first} {other}"


EDGE = re.compile(r"(n\d+)(?::(\w))? -> (n\d+)(?::(\w))?")
AT = re.compile(r'(n\d+) \[.*pos="([\d.-]+),([\d.-]+)!".* width=([\d.]+)')


def ends(drawing: draw.Drawing) -> list[tuple[str, str, Any, Any]]:
    """(tail, head, where it begins, where it ends) of each edge; all are straight."""
    lines = [line.strip() for line in drawing.source.splitlines()]
    at = {node[1]: tuple(map(float, node.groups()[1:])) for line in lines if (node := AT.match(line))}

    def place(name: str, side: str) -> Any:
        x, y, width = at[name]
        return np.array([x + {"e": width / 2, "w": -width / 2}.get(side, 0.0), y])

    found = [edge.groups() for line in lines if (edge := EDGE.match(line))]
    return [(a, b, place(a, side), place(b, other)) for a, side, b, other in found]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [True, False])
def test_no_edge_runs_through_another_unit(name: str, weights: bool) -> None:
    drawing = draw.network(LOSSES[name](), weights=weights)
    circles = {
        node: ((left + right) / 2, (low + high) / 2, (right - left) / 2)
        for node, (left, low, right, high) in boxes(drawing).items()
        if right - left == pytest.approx(high - low)
    }
    for tail, head, start, end in ends(drawing):
        for node, (x, y, radius) in circles.items():
            if node not in (tail, head):
                middle, way = np.array([x, y]), end - start
                nearest = start + way * np.clip((middle - start) @ way / (way @ way), 0, 1)
                assert np.hypot(*(nearest - middle)) >= radius - 0.001
