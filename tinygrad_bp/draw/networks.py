"""The network of neurons: units in columns, each weight as a small label sitting on its edge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import graphviz
import numpy as np

from tinygrad_bp.draw.drawing import Drawing, new_digraph
from tinygrad_bp.draw.labels import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, bold, coloured, escape, label, tint
from tinygrad_bp.draw.layers import Layer, find_layers
from tinygrad_bp.errors import GraphError
from tinygrad_bp.expression import format_number
from tinygrad_bp.nn import Module
from tinygrad_bp.program import Program, element_names
from tinygrad_bp.tensor import Tensor

MOST = 6  # units of a layer that are drawn; of a wider one the first three and the last
SHOWN = 3
LAYERS = 60
LETTER, LINE = 4.7, 11.0  # width and height of a letter in points, at the size that pictures use
GAP = 32.0  # between columns, in points

INPUT = {"shape": "circle", "color": SKY, "fillcolor": tint(SKY), "penwidth": "1.5"}
HIDDEN = {"shape": "circle", "color": BLUE, "fillcolor": "#FFFFFF", "penwidth": "1.5"}
OUTPUT = {"shape": "circle", "color": GREEN, "fillcolor": tint(GREEN), "penwidth": "1.5", "peripheries": "2"}
BIAS = {"shape": "octagon", "color": ORANGE, "fillcolor": tint(ORANGE), "penwidth": "1.5"}
WEIGHT = {"shape": "box", "color": ORANGE, "fillcolor": "#FFFFFF", "penwidth": "0.7"}
TARGET = {"shape": "box", "style": "filled,rounded", "color": PURPLE, "fillcolor": tint(PURPLE)}
LOSS = {"shape": "box", "style": "filled,bold", "color": PURPLE, "fillcolor": tint(PURPLE), "peripheries": "2"}
MORE = {"shape": "plaintext", "style": "", "fontcolor": GREY}
JOINT = {"shape": "box", "penwidth": "0", "fillcolor": GREY, "height": "0.001"}  # a piece of the edge itself


@dataclass(frozen=True)
class Text:
    """What a node says: lines of markup, and how many letters each has."""

    lines: tuple[str, ...]
    letters: tuple[int, ...]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of a box around it, in points."""
        return LETTER * max(self.letters) + 8, LINE * len(self.lines) + 4

    @property
    def diameter(self) -> float:
        """Of a circle around it: no line's corner may stick out."""
        middle = (len(self.lines) - 1) / 2
        return 2 * max(math.hypot(LETTER * n / 2, LINE * (abs(k - middle) + 0.5)) for k, n in enumerate(self.letters)) + 4


def text(*lines: tuple[str, str] | None) -> Text:
    """Lines of (words, number), without those that are None. The first is bold; gradients have their colour."""
    kept = [(words, f"{words} {number}".strip()) for words, number in filter(None, lines)]
    markup = [bold(t) if k == 0 else coloured(t) if words in ("grad", "delta") else escape(t) for k, (words, t) in enumerate(kept)]
    return Text(tuple(markup), tuple(len(t) + (k == 0) for k, (_, t) in enumerate(kept)))


Units = list[tuple[int | None, Text]]


def network(output: Tensor | Program | Module, digits: int = 6) -> Drawing:
    """Draw the network of neurons behind a loss, behind the output of a network, or of a model, as textbooks do.

    Inputs stand left, outputs right, each weight on its edge with its value and gradient; each neuron shows its
    weighted sum, its output and its delta = d(loss)/d(weighted sum). A bias that is one number for the whole layer is
    one unit; otherwise each edge of the bias unit carries the neuron's own. ``digits``: significant digits. Of a
    model without a run, ``network(model)``, only the weights have numbers. Of a batch the first sample is drawn, of a
    layer of more than six units the first three and the last. Element names come from ``t.named("W1", "w1 w2 w3
    w4")``. Raises ``GraphError`` where no chain of layers is found.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> W = tg.Tensor([[0.5, -0.2]], requires_grad=True).named("W", "w1 w2")
    >>> y = tg.sigmoid(np.array([1.0, 2.0]) @ W.T).named("y")
    >>> loss = np.sum(np.square(y - 1.0)).named("loss")
    >>> "w1 = 0.5" in tg.draw.network(loss).source
    True
    """
    if isinstance(output, Module):
        return Drawing(_Picture(_dry_run(output), digits, bare=True).draw())
    return Drawing(_Picture(output if isinstance(output, Program) else Program.of(output), digits).draw())


def _dry_run(model: Module) -> Program:
    """One run on zeros, for its structure."""
    modules = [model]
    for module in modules:  # grows on the way
        modules += [child for _, child in module.children()]
    widths = [module.in_features for module in modules if hasattr(module, "in_features")]
    if not widths:
        raise GraphError(
            "the model has no Linear layer that says how many inputs it takes. Give the output of a run: tg.draw.network(model(x))"
        )
    return Program.of(model(Tensor(np.zeros(widths[0]), name="x")))


class _Picture:
    """One network on its way to the page: columns from left to right, every node at a place of its own."""

    def __init__(self, program: Program, digits: int, bare: bool = False) -> None:
        self.program, self.digits = program, digits
        # of a bare network only the parameters have values that mean anything
        self.hidden = {line.index for line in program if bare and not (line.rule is None and line.tracked)}
        self.layers = find_layers(program)
        if len(self.layers) > LAYERS:
            raise GraphError(
                f"the network has {len(self.layers)} layers, and {LAYERS} are the most that are drawn. tg.draw.graph summarises it"
            )
        found = program.gradients if program.output.value.size == 1 and not bare else {}
        self.gradients: Mapping[int, Any] = {place: g for place, g in found.items() if program.lines[place].tracked}
        self.digraph = new_digraph(
            label(*map(escape, self.caption())),
            {"layout": "neato", "splines": "line", "outputorder": "edgesfirst"},  # neato leaves nodes where they are pinned
            {"fontsize": "9", "margin": "0", "style": "filled", "fixedsize": "true"},
            {},
        )
        self.count = 0
        self.left = self.right = 0.0  # of the last column
        self.height = 0.0  # of the columns of units

    def draw(self) -> graphviz.Digraph:
        columns = [self.inputs(), *(self.neurons(k) for k in range(len(self.layers)))]
        self.height = max(
            [len(units) * (_diameter(units) + 14) for units in columns]
            + [self.labels_height(layer, *pair) for layer, pair in zip(self.layers, itertools.pairwise(columns), strict=True)]
        )
        self.gap = max(GAP, self.height / 11)  # higher columns farther apart, so that edges do not run past their neurons
        last = len(self.layers)
        sources = self.units(columns[0], INPUT)
        for k, layer in enumerate(self.layers):
            bias = self.bias_unit(layer)
            joints = self.labels(layer, columns[k], columns[k + 1])
            targets = self.units(columns[k + 1], OUTPUT if k + 1 == last else HIDDEN)
            self.connect(sources, bias, joints, targets)
            sources = targets
        self.loss(columns[-1], sources)
        return self.digraph

    @property
    def loss_name(self) -> str:
        return str(self.program.output.name or "loss")

    # -- the numbers ---------------------------------------------------------------------------------------------

    def line(self, words: str, place: int, i: tuple[int, ...], gradient: bool = False) -> tuple[str, str] | None:
        """(words, number) for an element of a line; of a batch, for the first sample. None where there is none."""
        if place in self.hidden or (gradient and place not in self.gradients):
            return None
        value = np.asarray(self.gradients[place] if gradient else self.program.lines[place].value)
        return words, format_number(value[(0,) * (value.ndim - len(i)) + i], self.digits)

    def names(self, place: int, default: str) -> list[str]:
        """A name for each unit of a line."""
        line = self.program.lines[place]
        elements = element_names(
            default if line.name is None else line.name, line.shape if getattr(line.name, "elements", ()) else line.shape[-1:]
        )
        return [str(name) for name in elements]

    def caption(self) -> Iterator[str]:
        x, loss = self.program.lines[self.layers[0].x], self.loss_name
        if len(x.shape) > 1 and x.value.size > x.shape[-1]:
            yield f"inputs, neurons and targets: the first of {x.value.size // x.shape[-1]} samples; grad of a weight: of the whole batch"
        if self.gradients:
            yield f"grad: d({loss}) / d(weight), delta: d({loss}) / d(weighted sum)"

    # -- what units say: (index, text), the index None for those left out -------------------------------------------

    def inputs(self) -> Units:
        place = self.layers[0].x
        names = self.names(place, "x")
        return _shown(names, lambda i: text((names[i], ""), self.line("", place, (i,)), self.line("grad", place, (i,), gradient=True)))

    def neurons(self, k: int) -> Units:
        layer, single = self.layers[k], self.layers[k].net == self.layers[k].out
        nets, outs = self.names(layer.net, "net"), self.names(layer.out, "out")
        titles, default = zip(nets, outs, strict=True), "o" if k + 1 == len(self.layers) else "h" if len(self.layers) == 2 else f"h{k + 1}_"
        units = [_neuron(net, out, f"{default}{j + 1}") for j, (net, out) in enumerate(titles)]

        def say(j: int) -> Text:
            title, net, out = units[j]
            value = None if single else self.line(out, layer.out, (j,))
            return text((title, ""), self.line(net, layer.net, (j,)), value, self.line("delta", layer.net, (j,), gradient=True))

        return _shown(units, say)

    def weight(self, layer: Layer, names: Sequence[str | None], i: int, j: int) -> Text:
        index = (i, j) if layer.columns else (j, i)
        name = names[index[0] * self.program.lines[layer.weight].shape[1] + index[1]]
        return text(self.line(f"{name} =", layer.weight, index), self.line("grad", layer.weight, index, gradient=True))

    def own_bias(self, layer: Layer, j: int) -> Text:
        assert layer.bias is not None
        names = self.names(layer.bias, "b")
        return text(self.line(f"{names[j]} =", layer.bias, (j,)), self.line("grad", layer.bias, (j,), gradient=True))

    def is_shared(self, layer: Layer) -> bool:
        """Whether one number is the bias of every neuron of the layer."""
        bias = None if layer.bias is None else self.program.lines[layer.bias]
        return bias is not None and bias.value.size == 1 and (not bias.shape or self.program.lines[layer.net].shape[-1] > 1)

    # -- nodes ---------------------------------------------------------------------------------------------------

    def node(self, what: Text | None, at: tuple[float, float], size: tuple[float, float], style: Mapping[str, str]) -> str:
        """A node at a place in points, counted from the top left; the layout program only draws it there."""
        name, self.count = f"n{self.count}", self.count + 1
        place = {"pos": f"{at[0] / 72:.3f},{-at[1] / 72:.3f}!", "width": f"{size[0] / 72:.3f}", "height": f"{size[1] / 72:.3f}"}
        self.digraph.node(name, label(*what.lines) if what else "", **(place | dict(style)))
        return name

    def units(self, units: Units, style: Mapping[str, str]) -> dict[int, str]:
        """A column of circles, evenly over the height. The nodes of those that are drawn, by index."""
        width = _diameter(units)
        x, step = self.column(width), self.height / len(units)
        nodes = [self.node(unit, (x, (k + 0.5) * step), (width, width), MORE if i is None else style) for k, (i, unit) in enumerate(units)]
        return {i: node for (i, _), node in zip(units, nodes, strict=True) if i is not None}

    def column(self, width: float) -> float:
        """The middle of the next column."""
        self.left, self.right = self.right + self.gap, self.right + self.gap + width
        return (self.left + self.right) / 2

    def bias_unit(self, layer: Layer) -> str | None:
        """Below the units that the layer reads, as a unit that is always 1, or with the value that the layer shares."""
        if layer.bias is None:
            return None
        name = self.program.lines[layer.bias].name or "bias"
        lines = (
            (self.line(f"{name} =", layer.bias, ()), self.line("grad", layer.bias, (), gradient=True))
            if self.is_shared(layer)
            else (("1", ""), ("bias", ""))
        )
        what = text(*lines)
        width, height = what.size[0] + 10, what.size[1]
        return self.node(what, (max(self.right, self.left + width) - width / 2, self.height + height), (width, height + 8), BIAS)

    def labels_height(self, layer: Layer, sources: Units, targets: Units) -> float:
        """Roughly the height of a column of weights."""
        each = 2 * LINE + 10 if self.gradients else LINE + 10
        rows = len(sources) + (layer.bias is not None and not self.is_shared(layer))
        return each * rows * len(targets)

    def labels(self, layer: Layer, sources: Units, targets: Units) -> dict[tuple[int | None, int], str]:
        """A column of weights, each as near to the straight line between its units as the others let it.

        Keys are (source, target), the source None for the bias.
        """
        weight = self.program.lines[layer.weight]
        names = element_names(weight.name or "w", weight.shape)
        wanted: list[tuple[float, tuple[int | None, int], Text | None]] = []
        for b, (j, _) in enumerate(targets):
            if j is None:
                continue
            end = (b + 0.5) * self.height / len(targets)
            for a, (i, _) in enumerate(sources):
                if i is not None:
                    wanted.append((((a + 0.5) * self.height / len(sources) + end) / 2, (i, j), self.weight(layer, names, i, j)))
            if layer.bias is not None:
                wanted.append(((self.height * 1.1 + end) / 2, (None, j), None if self.is_shared(layer) else self.own_bias(layer, j)))
        wanted.sort(key=lambda entry: round(entry[0], 6))  # stable: at equal heights by target, then by source
        ys = spread([y for y, _, _ in wanted], [what.size[1] if what else 4.0 for _, _, what in wanted])
        width = max(what.size[0] for _, _, what in wanted if what)
        x = self.column(width)
        return {
            key: self.node(what, (x, y), (width, what.size[1]), WEIGHT) if what else self.node(None, (x, y), (width, 0), JOINT)
            for y, (_, key, what) in zip(ys, wanted, strict=True)
        }

    def connect(
        self, sources: Mapping[int, str], bias: str | None, joints: Mapping[tuple[int | None, int], str], targets: Mapping[int, str]
    ) -> None:
        for (i, j), joint in joints.items():
            source = bias if i is None else sources[i]
            assert source is not None
            self.digraph.edge(source, f"{joint}:w", dir="none")  # to the sides, lest an edge runs behind another one's label
            self.digraph.edge(f"{joint}:e", targets[j])

    def loss(self, outputs: Units, nodes: Mapping[int, str]) -> None:
        """Right of the outputs: each one's target and error, and the loss that they add up to."""
        output = self.program.output
        if output.value.size != 1 or output.index == self.layers[-1].out:
            return
        target, error = _target_and_error(self.program, self.layers[-1].out)
        boxes: dict[int, Text] = {}
        for j in nodes:
            lines = [
                (place, self.names(place, default)[j]) for place, default in ((target, "target"), (error, "error")) if place is not None
            ]
            boxes[j] = text(*(self.line(f"{name} =", place, (j,)) for place, name in lines)) if lines else text()
        if target is not None or error is not None:
            width, step = max(box.size[0] for box in boxes.values()), self.height / len(outputs)
            x, ys = self.column(width), {i: (k + 0.5) * step for k, (i, _) in enumerate(outputs)}
            boxed = {j: self.node(box, (x, ys[j]), (width, box.size[1] + 4), TARGET) for j, box in boxes.items()}
            for j, node in boxed.items():
                self.digraph.edge(nodes[j], node)
            nodes = boxed
        what = text((self.loss_name, ""), self.line("", output.index, ()))
        end = self.node(what, (self.column(what.size[0]), self.height / 2), (what.size[0], what.size[1] + 4), LOSS)
        for node in nodes.values():
            self.digraph.edge(node, end)


def _shown(units: Sequence[Any], say: Callable[[int], Text]) -> Units:
    """All units of a narrow layer; of a wide one the first few, how many are left out, and the last."""
    n = len(units)
    if n <= MOST:
        return [(i, say(i)) for i in range(n)]
    return [*((i, say(i)) for i in range(SHOWN)), (None, text((f"... {n - SHOWN - 1} more", ""))), (n - 1, say(n - 1))]


def _diameter(units: Units) -> float:
    return max(unit.diameter for i, unit in units if i is not None)


def _neuron(net: str, out: str, default: str) -> tuple[str, str, str]:
    """Its name and those of its values: net_h1 and out_h1 are the net and out of h1."""
    (head, _, tail), (other, _, same) = net.partition("_"), out.partition("_")
    if tail and (tail == same or net == out):
        return tail, head, other
    if net.startswith("net") and net[3:].isdigit():  # nameless
        net = "net"
    if out.startswith("out") and out[3:].isdigit():
        out = "out"
    return default, net, out


def _target_and_error(program: Program, out: int) -> tuple[int | None, int | None]:
    """The lines that the outputs are compared with, and the last named one with a number for each output."""
    shape = program.lines[out].shape
    later = [line for line in program if line.index > out and line.rule is not None]
    read = {place for line in later for place in line.operands}
    targets = [i for i in sorted(read) if program.lines[i].rule is None and program.lines[i].shape == shape]
    errors = [line.index for line in later if line.name is not None and line.shape == shape]
    return (targets[0] if targets and shape else None), (errors[-1] if errors and shape else None)


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
