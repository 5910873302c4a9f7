"""A deep network as a column of boxes, one per layer; of many equal layers one after the other the first and the last."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_bp.draw.drawing import Canvas, Drawing
from tinygrad_bp.draw.labels import (
    BLUE,
    GRADIENT,
    GREEN,
    GREY,
    PURPLE,
    SKY,
    Label,
    Number,
    Run,
    Show,
    bold,
    coloured,
    folded,
    lines,
    stack,
    tint,
)
from tinygrad_bp.draw.neurons import Network
from tinygrad_bp.expression import format_number
from tinygrad_bp.letters import places

FEWEST = 3  # equal layers one after the other that are all drawn
BOX = {"shape": "box", "style": "filled,rounded", "penwidth": "1.5", "margin": "0.1,0.05"}


def draw_boxes(net: Network, show: Show | None = None) -> Drawing:
    """The picture of a network's layers."""
    caption = [coloured(f"grad: d({net.loss_name}) / d(weight)", "")] if net.gradients else []
    caption += [coloured(line, "") for line in folded(places(net.program))]
    graph = {"rankdir": "TB", "ranksep": "0.22", "nodesep": "0.2"}
    canvas = Canvas(lines(*caption).markup(), graph, {"fontsize": "10"}, {"fontsize": "9"}, show)
    name = net.program.lines[net.layers[0].x].name or "x"
    above = canvas.node(_lines(bold(name), Run(f"{net.width(0)} units")), BOX | {"color": SKY, "fillcolor": tint(SKY)}, id="input")
    for first, how_many in alike(net):
        if first is None:
            below = canvas.node(_lines(coloured(f"... {how_many} more of the same", GREY)), {"shape": "plaintext"})
        else:
            last = first + 1 == len(net.layers)
            style = BOX | ({"color": GREEN, "fillcolor": tint(GREEN)} if last else {"color": BLUE, "fillcolor": "#FFFFFF"})
            below = canvas.node(_lines(*_layer(net, first)), style, id=f"layer-{first}")
        canvas.edge(above, below)
        above = below
    if net.has_loss:
        value = net.run("", net.program.output.index, ())
        what = _lines(bold(net.loss_name), *([value] if value else []))
        canvas.edge(above, canvas.node(what, BOX | {"color": PURPLE, "fillcolor": tint(PURPLE), "peripheries": "2"}, id="loss"))
    return canvas.drawing(f"Network of {len(net.layers)} layers, one box each")


def _lines(*runs: Run) -> Label:
    return stack(*runs)


def alike(net: Network, start: int = 0) -> Iterator[tuple[int | None, int]]:
    """(layer, 1) for those that are drawn, and (None, how many) for those left out between two of them; ``start``: the first one."""

    def same(k: int) -> tuple[object, ...]:
        layer = net.layers[k]
        return layer.fan(net.program), _activation(net, k), _bias(net, k)

    for _, group in itertools.groupby(range(start, len(net.layers)), same):
        members = list(group)
        if len(members) <= FEWEST:
            yield from ((k, 1) for k in members)
        else:
            yield members[0], 1
            yield None, len(members) - 2
            yield members[-1], 1


def _activation(net: Network, k: int) -> str:
    rule = net.program.lines[net.layers[k].out].rule
    return "no activation" if net.layers[k].net == net.layers[k].out or rule is None else rule.name


def _bias(net: Network, k: int) -> str:
    layer = net.layers[k]
    if layer.unit:
        return "a unit that is always 1"
    return "no bias" if layer.bias is None else "one bias" if net.is_shared(layer) else "a bias per neuron"


def heading(net: Network, k: int) -> str:
    inputs, neurons = net.layers[k].fan(net.program)
    return f"layer {k + 1}: {inputs} -> {neurons}, {_activation(net, k)}"


def _layer(net: Network, k: int) -> Iterator[Run]:
    """What the box of a layer says: how many neurons of which kind, and between which bounds its weights are."""
    layer = net.layers[k]
    yield bold(heading(net, k))
    weight = net.program.lines[layer.weight]
    yield Run(f"{net.program.names[layer.weight]} {weight.shape}, {_bias(net, k)}")
    yield Run(f"weights {between(weight.value)}", number=Number(layer.weight))
    if layer.weight in net.gradients:
        yield Run(f"grad {between(net.gradients[layer.weight])}", colour=GRADIENT, number=Number(layer.weight, gradient=True))


def between(values: np.ndarray[Any, Any], digits: int = 3) -> str:
    """The bounds of an array's numbers."""
    if not values.size:
        return "none"
    low, high = format_number(values.min(), digits), format_number(values.max(), digits)
    return f"all {low}" if low == high else f"{low} to {high}"
