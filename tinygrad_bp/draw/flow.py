"""The backward flow: the network with the paths of the error highlighted, each edge with what it carries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinygrad_bp.draw.by_layer import ByLayer
from tinygrad_bp.draw.columns import MOST, Units
from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.labels import GREY, VERMILLION, Label, Number, Run, Show, bold, tint
from tinygrad_bp.draw.networks import WRITTEN, Picture
from tinygrad_bp.draw.neurons import Index, Network
from tinygrad_bp.draw.words import emphatic, label
from tinygrad_bp.errors import GraphError
from tinygrad_bp.expression import format_number
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor

PATH = {"color": VERMILLION, "penwidth": "2.2"}
ASIDE = {"penwidth": "0.6", "color": GREY, "fillcolor": "#FFFFFF", "fontcolor": GREY, "peripheries": "1"}
WIDE, TALL = 1_100.0, 900.0  # of a picture that can be read in a notebook, in points
LONG = 8  # letters of a weight's name, more than which are not repeated on crowded edges
GOAL = {"color": VERMILLION, "penwidth": "3", "fillcolor": tint(VERMILLION)}


def backward(
    output: Tensor | Program,
    wrt: str | Tensor | None = None,
    digits: int = 6,
    *,
    sample: int = 0,
    boxes: bool | None = None,
    show: Show | None = None,
) -> Drawing:
    """Draw how the error flows back through a network of neurons, from the loss to ``wrt``, along every path.

    Each output shows d(loss)/d(out), each neuron the derivative of its activation and its delta = d(loss)/d(net), each
    weight on a path what it carries back, delta times weight; a hidden neuron adds up what arrives. What is on no path
    is grey. ``output``: a scalar loss. ``wrt``: a weight, a bias, a neuron's sum or output or an input, or a whole
    array of these, by name or as a tensor; all weights and biases unless given. ``boxes``: one box per layer, with the
    formulas of whole arrays and the bounds of their numbers; by default where neurons would make a picture too large
    for a page. ``digits``, ``sample``, ``show``: as in ``network``. Raises ``GraphError`` where there is no chain of
    layers, or where ``wrt`` is not part of it.

    Source: the two diagrams of document "反向传播—BP", steps 2.2 and 2.3.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> W = tg.Tensor([[0.5, -0.2]], requires_grad=True).named("W", "w1 w2")
    >>> y = tg.sigmoid(np.array([1.0, 2.0]) @ W.T).named("y")
    >>> loss = np.sum(np.square(y - 1.0)).named("loss")
    >>> "delta_o1 * x2" in tg.draw.backward(loss, "w2").source
    True
    """
    net = Network.of(output, digits, True, sample)
    if not net.has_loss:
        raise GraphError("the error flows back from a loss, a single number computed from the network's outputs; this output is none")
    route = _route(net, wrt)
    for is_short in (False, True) if boxes is None else (False,) * (not boxes):
        flow = _Flow(net, route, show, is_short)
        drawing = flow.draw()
        if flow.fits or boxes is False:
            return drawing
    goal = None if wrt is None else (route.goal, route.layer, Number(*net.program.locate(wrt)))
    return ByLayer(net, show, forward=False, goal=goal).draw()


@dataclass(frozen=True)
class Route:
    """Where the error goes: the layer in which it ends, and there the neurons, the weights and the bias that are meant.

    Layer -1 stands for the inputs. ``neurons`` and ``units`` None are all.
    """

    goal: str
    layer: int
    neurons: frozenset[int] | None = None
    weights: frozenset[Index] = frozenset()  # of the layer's weight
    bias: bool = False
    everything: bool = False

    def passes(self, layer: int, j: int) -> bool:
        """Whether the error comes through neuron j of a layer; of layer -1, to input j."""
        return layer > self.layer or (layer == self.layer and (self.neurons is None or j in self.neurons))


def _route(net: Network, wrt: str | Tensor | None) -> Route:
    if wrt is None:
        return Route("all weights and biases", 0, everything=True)
    place, index = net.program.locate(wrt)
    goal = net.program.spelled(wrt) if isinstance(wrt, str) else net.program.names[place]
    indices = list(np.ndindex(net.program.lines[place].shape)) if index is None else [index]
    for k, layer in enumerate(net.layers):
        if place == layer.weight:
            neurons = frozenset(0 if layer.vector else i[layer.columns] for i in indices)
            return Route(goal, k, neurons, weights=frozenset(indices))
        if place == layer.bias:
            return Route(goal, k, None if net.is_shared(layer) else frozenset(i[-1] if i else 0 for i in indices), bias=True)
        if place in (layer.net, layer.out):
            return Route(goal, k, _units(indices, net.layers[-1].vector and k + 1 == len(net.layers)))
    if place == net.layers[0].x:
        return Route(goal, -1, _units(indices, False))
    raise GraphError(f"{goal} is no weight, bias, neuron or input of the network. tg.draw.graph(loss, wrt=...) draws paths in any graph")


def _units(indices: list[Index], single: bool) -> frozenset[int]:
    return frozenset(0 if single or not index else index[-1] for index in indices)


class _Flow(Picture):
    """The picture of a network whose numbers are those of the way back."""

    def __init__(self, net: Network, route: Route, show: Show | None, is_short: bool) -> None:
        self.route, self.is_short = route, is_short
        super().__init__(net, weights=True, show=show)

    @property
    def fits(self) -> bool:
        """Whether the picture can be read on a page, once it is drawn, and says all that was asked for."""
        left_out = any(self.net.width(k) > MOST for k in range(self.depth + 1))
        return self.page.right <= WIDE and self.height <= TALL and not (self.route.everything and left_out)

    @cached_property
    def is_crowded(self) -> bool:
        return self.is_short or any(self.edge_count(k) > WRITTEN for k in range(self.depth))

    @cached_property
    def is_brief(self) -> bool:
        """Whether products would take too much room to be written with the names of their factors."""
        return self.is_short or (
            self.is_crowded and any(len(self.net.weight_name(layer, layer.weight_index(0, 0))) > LONG for layer in self.net.layers)
        )

    def description(self) -> str:
        return f"How the error flows back from {self.net.loss_name} to {self.route.goal}"

    def caption(self) -> Iterator[str]:
        net, route = self.net, self.route
        if net.samples > 1:
            yield f"the error of one of {net.samples} samples"
        if not route.everything:
            count = self.paths()
            along = f"{count} paths, whose products are added up" if count > 1 else "one path"
            yield f"from {net.loss_name} back to {route.goal}: {along}"
        yield f"delta: d({net.loss_name}) / d(weighted sum of the neuron)"
        if self.is_brief:
            yield "back: delta * weight, grad: delta * what the weight multiplies"
        yield from self.letters()

    def paths(self) -> int:
        """How many ways lead from the loss to what is meant, over all that is meant."""
        above = math.prod(self.net.width(k + 1) for k in range(self.route.layer + 1, self.depth))
        here = self.net.width(self.route.layer + 1) if self.route.neurons is None else len(self.route.neurons)
        return above * max(len(self.route.weights), here)

    def must_show(self, column: int) -> frozenset[int]:
        if column == self.route.layer + 1 and self.route.neurons is not None:
            return self.route.neurons
        if column == self.route.layer and self.route.weights:
            layer = self.net.layers[column]
            units = {0 if layer.vector else index[not layer.columns] if index else 0 for index in self.route.weights}
            return frozenset(units if not layer.vector else {index[0] for index in self.route.weights})
        return frozenset()

    # -- what units and weights say --------------------------------------------------------------------------------

    def value(self, number: float, words: str = "", what: Number | None = None, strong: bool = False) -> Run:
        return Run(f"{words} {format_number(number, self.net.digits)}".strip(), strong, VERMILLION, what)

    def grad(self, place: int, index: Index) -> float:
        value = self.net.program.gradients.get(place, 0.0)  # inputs have one too
        return float(np.asarray(value)[index] if np.ndim(value) else value)

    def delta_name(self, k: int, j: int) -> str:
        return f"delta_{self.net.titles[k][j][0]}"

    def input(self, i: int) -> Label:
        net, place = self.net, self.net.layers[0].x
        index = net.at(place, i)
        arrives = None
        if self.route.passes(-1, i):
            arrives = self.value(self.grad(place, index), "sum", Number(place, index, True), strong=True)
        return label(bold(self.names(0)[i]), net.run("", place, index), arrives)

    def neuron(self, k: int, j: int) -> Label:
        net, layer = self.net, self.net.layers[k]
        title, _, out = net.titles[k][j]
        index, out_index = net.at(layer.net, j), net.at(layer.out, j)
        if not self.route.passes(k, j):
            return label(bold(title), net.run(out, layer.out, out_index))
        arrives = slope = None
        if layer.out != layer.net:
            words = f"d{net.loss_name}/d{out}" if k + 1 == self.depth else "sum"
            arrives = self.value(self.grad(layer.out, out_index), words, Number(layer.out, out_index, True))
            if (derivative := self.slope(k, out_index)) is not None:
                text = f"d{out}/d{net.titles[k][j][1]} {format_number(derivative, net.digits)}"
                slope = Run(text, number=Number(layer.out, out_index))  # known as soon as the output is
        delta = self.value(self.grad(layer.net, index), "delta", Number(layer.net, index, True), strong=True)
        return label(bold(title), arrives, slope, delta)

    def slope(self, k: int, index: Index) -> float | None:
        """The derivative of a neuron's activation, where it depends on this neuron alone."""
        line = self.net.program.lines[self.net.layers[k].out]
        if line.rule is None or line.rule.kind != "pointwise":
            return None
        operands = [self.net.program.values[i] for i in line.operands]
        position = line.operands.index(self.net.layers[k].net)
        slopes = line.rule.derivative(position, np.ones_like(line.value), operands, line.value, line.params)
        return float(np.broadcast_to(slopes, line.shape)[index])

    def weight(self, k: int, i: int | None, j: int) -> Label:
        net, layer = self.net, self.net.layers[k]
        if i is None and not layer.unit:
            return self.own_bias(k, j)
        index = layer.weight_index(net.width(k) if i is None else i, j)
        name, weight = net.weight_name(layer, index), net.number(layer.weight, index) or 0.0
        arrives = Number(layer.net, net.at(layer.net, j), True)
        delta, words = self.grad(layer.net, net.at(layer.net, j)), self.delta_name(k, j)
        carried = gradient = None
        if i is not None and self.carries(k, i, j):
            carried = self.value(delta * weight, "back" if self.is_brief else f"{words} * {name} =", arrives)
        if self.is_goal(k, index):
            source = "1" if i is None else self.names(k)[i]
            x = 1.0 if i is None else net.number(layer.x, net.at(layer.x, i)) or 0.0
            product = "grad" if self.is_brief else f"{words} * {source} ="
            gradient = self.value(delta * x, product, Number(layer.weight, index, True), strong=True)
        return label(emphatic(net.run(f"{name} =", layer.weight, index)), carried, gradient)

    def own_bias(self, k: int, j: int) -> Label:
        net, place = self.net, self.net.layers[k].bias
        assert place is not None
        index = net.at(place, j)
        value = net.run(f"{net.names(place, 'b')[j if index else 0]} =", place, index)
        if not (self.route.everything or (self.route.bias and self.route.layer == k and self.route.passes(k, j))):
            return label(value)
        delta = self.grad(self.net.layers[k].net, net.at(self.net.layers[k].net, j))
        return label(emphatic(value), self.value(delta, f"{self.delta_name(k, j)} =", Number(place, index, True), strong=True))

    def shared_bias(self, k: int) -> Label:
        net, layer = self.net, self.net.layers[k]
        assert layer.bias is not None
        index = (0,) * len(net.program.lines[layer.bias].shape)
        value = net.run(f"{net.program.lines[layer.bias].name or 'bias'} =", layer.bias, index)
        if not self.ends_in_bias(k):
            return label(value)
        deltas = [self.grad(layer.net, net.at(layer.net, j)) for j in range(net.width(k + 1))]
        return label(emphatic(value), self.value(math.fsum(deltas), "sum of deltas", Number(layer.bias, index, True), strong=True))

    def edges(self, k: int, before: Units, units: Units) -> list[tuple[int | None, int]]:
        """All edges, or where these are too many those on the paths."""
        found = super().edges(k, before, units)
        return [(i, j) for i, j in found if self.is_on_path(k, i, j)] if self.is_crowded else found

    # -- how they are drawn ------------------------------------------------------------------------------------------

    def carries(self, k: int, i: int, j: int) -> bool:
        """Whether the error goes on from neuron j of layer k to the unit i below it."""
        below = self.route.passes(k - 1, i) if k or self.route.layer < 0 else False
        return below and self.route.passes(k, j) and not (self.route.everything and k == 0)

    def is_goal(self, k: int, index: Index) -> bool:
        return self.route.everything or (k == self.route.layer and index in self.route.weights)

    def ends_in_bias(self, k: int) -> bool:
        return self.route.everything or (self.route.bias and k == self.route.layer)

    def ends_here(self, k: int, i: int | None, j: int) -> bool:
        """Whether an edge's own weight or bias is what is meant."""
        layer = self.net.layers[k]
        if i is None and not layer.unit:
            return self.ends_in_bias(k) and self.route.passes(k, j)
        return self.is_goal(k, layer.weight_index(self.net.width(k) if i is None else i, j))

    def is_on_path(self, k: int, i: int | None, j: int) -> bool:
        return self.ends_here(k, i, j) or (i is not None and self.carries(k, i, j))

    def unit_style(self, column: int, i: int) -> Mapping[str, str]:
        style = dict(super().unit_style(column, i))
        if not self.route.passes(column - 1, i):
            return style | ASIDE
        ends = not (self.route.weights or self.route.bias or self.route.everything) and column - 1 == self.route.layer
        return style | (GOAL if ends else PATH)

    def bias_style(self, k: int) -> Mapping[str, str]:
        if self.net.is_shared(self.net.layers[k]) and self.ends_in_bias(k):
            return dict(super().bias_style(k)) | GOAL
        return dict(super().bias_style(k)) | ASIDE

    def weight_style(self, k: int, i: int | None, j: int) -> Mapping[str, str]:
        style = dict(super().weight_style(k, i, j))
        if self.ends_here(k, i, j) and not self.route.everything:
            return style | GOAL
        on_path = self.route.everything or (i is not None and self.carries(k, i, j))
        return style | ({"color": VERMILLION, "penwidth": "1"} if on_path else ASIDE)

    def target_style(self, j: int) -> Mapping[str, str]:
        return dict(super().target_style(j)) | (PATH if self.route.passes(self.depth - 1, j) else ASIDE)

    def line(self, k: int, i: int | None, j: int) -> dict[str, str]:
        on_path = self.is_on_path(k, i, j)
        return PATH | {"dir": "back"} if on_path else {"penwidth": "0.5"}

    def first_half(self, k: int, i: int | None, j: int) -> dict[str, str]:
        goes_on = self.carries(k, i, j) if i is not None else self.is_joint(k, i) and self.ends_in_bias(k)
        return self.line(k, i, j) if goes_on else {"penwidth": "0.5", "dir": "none"}

    def target_line(self, j: int | None) -> dict[str, str]:
        on_path = j is not None and self.route.passes(self.depth - 1, j)
        return PATH | {"dir": "back"} if on_path else {"penwidth": "0.5"}
