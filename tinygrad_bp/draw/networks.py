"""The network of neurons: units in columns, each weight as a small label sitting on its edge."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from tinygrad_bp.draw.boxes import draw_boxes
from tinygrad_bp.draw.columns import GAP, Page, Units, box, drawn, room, shown, spread, widest
from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.labels import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, Label, Run, Show, bold, lines, tint
from tinygrad_bp.draw.neurons import Index, Network
from tinygrad_bp.draw.words import Words
from tinygrad_bp.errors import ShapeError
from tinygrad_bp.nn import Module
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor

DEEPEST = 8  # layers whose neurons are drawn; a deeper network would not fit a page
WRITTEN = 24  # weights between two columns that are written; more would leave no room between them
LINES_GAP = 110.0  # between columns where weights are lines only, in points

INPUT = {"class": "input", "shape": "circle", "color": SKY, "fillcolor": tint(SKY)}
HIDDEN = {"class": "neuron", "shape": "circle", "color": BLUE, "fillcolor": "#FFFFFF"}
OUTPUT = {"class": "neuron", "shape": "circle", "color": GREEN, "fillcolor": tint(GREEN), "peripheries": "2"}
BIAS = {"class": "bias", "shape": "octagon", "color": ORANGE, "fillcolor": tint(ORANGE)}
WEIGHT = {"class": "weight", "shape": "box", "color": ORANGE, "fillcolor": "#FFFFFF", "penwidth": "0.7"}
TARGET = {"class": "target", "shape": "box", "style": "filled,rounded", "color": PURPLE, "fillcolor": tint(PURPLE), "penwidth": "1"}
LOSS = {"class": "loss", "shape": "box", "style": "filled,bold", "color": PURPLE, "fillcolor": tint(PURPLE), "peripheries": "2"}
MORE = {"shape": "box", "penwidth": "0", "fillcolor": "#FFFFFF", "fontcolor": GREY}  # edges pass behind it, not through its words
BEND = {"shape": "point", "style": "invis"}  # where an edge turns


def network(
    output: Tensor | Program | Module,
    digits: int = 6,
    *,
    gradients: bool = True,
    after: Tensor | Program | Module | None = None,
    by_weight: bool | None = None,
    weights: bool | None = None,
    boxes: bool | None = None,
    sample: int = 0,
    show: Show | None = None,
) -> Drawing:
    """Draw the network of neurons behind a loss, behind the output of a network, or of a model, as textbooks do.

    Inputs stand left, outputs right, each weight on its edge with its value and gradient; each neuron shows its
    weighted sum, its output and its delta = d(loss)/d(weighted sum). A bias that is one number for the whole layer is
    one unit; otherwise each edge of the bias unit carries the neuron's own. Of a model without a run,
    ``network(model)``, only the weights have numbers. Element names come from ``t.named("W1", "w1 w2 w3 w4")``. Of a
    layer of more than six units the first three and the last are drawn.

    ``digits``: significant digits. ``gradients``: write gradients and deltas. ``after``: the same network after an
    update, to write the new weights and the new loss beside the old; read the old one first, with ``Program.of(loss)``.
    ``weights``: write each weight on its edge; by default where there are at most 24 between two layers. ``by_weight``:
    edges as wide as their weights are large, dashed where they are negative; by default where weights are not written.
    ``boxes``: one box per layer; by default where there are more than eight. ``sample``: which one of a batch.
    ``show``: which numbers are written, for pictures in steps. Raises ``GraphError`` where no chain of layers is
    found, ``ShapeError`` where ``after`` has other layers.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> W = tg.Tensor([[0.5, -0.2]], requires_grad=True).named("W", "w1 w2")
    >>> y = tg.sigmoid(np.array([1.0, 2.0]) @ W.T).named("y")
    >>> loss = np.sum(np.square(y - 1.0)).named("loss")
    >>> "w1 = 0.5" in tg.draw.network(loss).source
    True
    """
    net = Network.of(output, digits, gradients, sample)
    if boxes or (boxes is None and len(net.layers) > DEEPEST):
        return draw_boxes(net, show)
    return Picture(net, _after(net, after, sample), by_weight, weights, show).draw()


def _after(net: Network, after: Tensor | Program | Module | None, sample: int) -> Network | None:
    """The network after an update, if it has the same layers."""
    if after is None:
        return None
    new = Network.of(after, net.digits, False, sample)
    sizes, others = ([net.width(k) for k in range(len(net.layers) + 1)] for net in (net, new))
    if sizes != others:
        raise ShapeError(f"the network has {sizes} units and the one after the update {others}; give the same network")
    return new


Nodes = dict[int | None, str]  # index of a unit, None for the bias -> node


class Picture(Words):
    """One network on its way to the page: columns from left to right, every node at a place of its own."""

    def __init__(
        self,
        net: Network,
        after: Network | None = None,
        by_weight: bool | None = None,
        weights: bool | None = None,
        show: Show | None = None,
    ) -> None:
        super().__init__(net, after)
        self.is_written = all(self.edge_count(k) <= WRITTEN for k in range(self.depth)) if weights is None else weights
        self.by_weight = not self.is_written if by_weight is None else by_weight
        self.largest = max(abs(net.program.lines[layer.weight].value).max(initial=0.0) for layer in net.layers) or 1.0
        self.page = Page(list(self.caption()), show)
        self.height = 0.0  # of the columns of units

    def draw(self) -> Drawing:
        columns = [shown(self.net.width(0), self.input, self.must_show(0))]
        columns += [shown(self.net.width(k + 1), lambda j, k=k: self.neuron(k, j), self.must_show(k + 1)) for k in range(self.depth)]  # type: ignore[misc]
        self.height = max(
            [len(units) * (widest(units) + 14) for units in columns]
            + [self.labels_height(k, *pair) for k, pair in enumerate(itertools.pairwise(columns))]
        )
        sources = self.units(0, columns[0])
        for k in range(self.depth):
            sources = self.layer(k, columns[k], columns[k + 1], sources)
        self.losses(columns[-1], sources)
        return self.page.canvas.drawing(self.description())

    def must_show(self, column: int) -> frozenset[int]:
        """Units that are drawn even where their layer is abbreviated."""
        return frozenset()

    # -- nodes ---------------------------------------------------------------------------------------------------

    def edge_count(self, k: int) -> int:
        """How many edges of a layer would have something written on them."""
        rows, columns = (len(drawn(self.net.width(column), self.must_show(column))) for column in (k, k + 1))
        layer = self.net.layers[k]
        return (rows + (layer.unit or (layer.bias is not None and not self.net.is_shared(layer)))) * columns

    def units(self, column: int, units: Units) -> Nodes:
        """A column of circles, evenly over the height. The nodes of those that are drawn, by index."""
        width = widest(units)
        beside = max((box(what)[0] for i, what in units if i is None), default=0.0)
        x, step = self.page.column(max(width, beside)), self.height / len(units)
        nodes: Nodes = {}
        for row, (i, what) in enumerate(units):
            marks = {} if i is None else self.unit_marks(column, i)
            style = MORE if i is None else self.unit_style(column, i)
            size = box(what) if i is None else (width, width)
            node = self.page.node(what, (x, (row + 0.5) * step), size, style, **marks)
            if i is not None:
                nodes[i] = node
        return nodes

    def unit_marks(self, column: int, i: int) -> dict[str, str]:
        """Its id in the SVG, and what it says where a mouse points at it."""
        place = self.net.layers[0].x if column == 0 else self.net.layers[column - 1].net
        kind, tooltip = ("input", self.names(0)[i]) if column == 0 else ("neuron", self.formula(column - 1, i))
        return {"id": mark(kind, place, self.net.at(place, i)), "tooltip": tooltip}

    def unit_style(self, column: int, i: int) -> Mapping[str, str]:
        return INPUT if column == 0 else OUTPUT if column == self.depth else HIDDEN

    def layer(self, k: int, before: Units, units: Units, sources: Nodes) -> Nodes:
        """A layer's bias, its weights and its neurons, right of the units that it reads."""
        keys = self.edges(k, before, units)
        bias = self.bias_unit(k) if any(i is None for i, _ in keys) else None
        from_ = sources if bias is None else sources | {None: f"{bias}:e"}  # from its side, past the units above it
        if not (self.is_written and keys):
            starts, ends = self.heights(before), self.heights(units)
            rises = [(i, abs(starts[i] - ends[j])) for i, j in keys]
            rooms = [room(column, self.height, rise) for i, rise in rises for column in ([before, units] if i is not None else [units])]
            self.page.gap = max([LINES_GAP, *rooms])
            targets = self.units(k + 1, units)
            for i, j in keys:
                self.page.canvas.edge(from_[i], targets[j], style=self.line(k, i, j), id=self.weight_mark(k, i, j))
            return targets
        joints = self.labels(k, keys, before, units)
        targets = self.units(k + 1, units)
        for (i, j), (left, right) in joints.items():  # to the sides, lest an edge runs behind another one's label
            where = self.weight_mark(k, i, j)
            self.page.canvas.edge(from_[i], left, style=self.first_half(k, i, j), id=f"{where}-from")
            self.page.canvas.edge(right, targets[j], style=self.line(k, i, j), id=f"{where}-to")
        return targets

    def edges(self, k: int, before: Units, units: Units) -> list[tuple[int | None, int]]:
        """(source, target) of each edge that is drawn, the source None for the bias."""
        sources = [i for i, _ in before if i is not None]
        layer = self.net.layers[k]
        biased: list[int | None] = [None] if layer.unit or layer.bias is not None else []
        return [(i, j) for j, _ in units if j is not None for i in [*sources, *biased]]

    def bias_unit(self, k: int) -> str:
        """Below the units that the layer reads, as a unit that is always 1, or with the value that the layer shares."""
        layer = self.net.layers[k]
        shared = self.net.is_shared(layer)
        what = self.shared_bias(k) if shared else lines(bold("1"), Run("unit" if layer.unit else "bias"))
        width, height = box(what)
        width = width + 10
        right = self.page.right = max(self.page.right, self.page.left + width)
        place = layer.weight if layer.bias is None else layer.bias
        tooltip = "one bias for all neurons of the layer" if shared else "a unit that is always 1"
        marks = {"id": mark("bias", place), "tooltip": tooltip}
        return self.page.node(what, (right - width / 2, self.height + height), (width, height + 8), self.bias_style(k), **marks)

    def bias_style(self, k: int) -> Mapping[str, str]:
        return BIAS

    def labels_height(self, k: int, before: Units, units: Units) -> float:
        """Roughly the height of a column of weights."""
        if not self.is_written:
            return 0.0
        written = [self.weight(k, i, j) for i, j in self.edges(k, before, units) if not self.is_joint(k, i)]
        return sum(box(what)[1] + 6 for what in written)

    def is_joint(self, k: int, i: int | None) -> bool:
        """Whether an edge has nothing written on it, because its bias is shared and written in its unit."""
        return i is None and not self.net.layers[k].unit and self.net.is_shared(self.net.layers[k])

    def heights(self, units: Units) -> dict[int | None, float]:
        """Where the units of a column stand; the bias, None, below them."""
        step = self.height / len(units)
        return {i: (row + 0.5) * step for row, (i, _) in enumerate(units)} | {None: self.height * 1.1}

    def labels(
        self, k: int, keys: list[tuple[int | None, int]], before: Units, units: Units
    ) -> dict[tuple[int | None, int], tuple[str, str]]:
        """A column of weights, each as near to the straight line between its units as the others let it.

        For each edge, where it arrives and where it goes on.
        """
        starts, ends = self.heights(before), self.heights(units)
        wanted: list[tuple[float, tuple[int | None, int], Label | None]] = []
        for i, j in keys:
            wanted.append(((starts[i] + ends[j]) / 2, (i, j), None if self.is_joint(k, i) else self.weight(k, i, j)))
        wanted.sort(key=lambda entry: round(entry[0], 6))  # stable: at equal heights by target, then by source
        sizes = [box(what) if what else (0.0, 4.0) for _, _, what in wanted]
        ys = spread([y for y, _, _ in wanted], [height for _, height in sizes])
        width = max(width for width, _ in sizes)
        rises = [(i, abs(starts[i] - y), abs(ends[j] - y)) for y, (_, (i, j), _) in zip(ys, wanted, strict=True)]
        self.page.gap = max([GAP, *(room(before, self.height, rise) for i, rise, _ in rises if i is not None)])
        x = self.page.column(width)
        self.page.gap = max([GAP, *(room(units, self.height, rise) for _, _, rise in rises)])
        nodes = {}
        for y, (_, key, what), (_, height) in zip(ys, wanted, sizes, strict=True):
            if what:
                marks = {"id": self.weight_mark(k, *key), "tooltip": self.weight_tooltip(k, *key)}
                node = self.page.node(what, (x, y), (width, height), self.weight_style(k, *key), **marks)
                nodes[key] = f"{node}:w", f"{node}:e"
            else:  # the edge runs straight through the column, lest it cross a label
                left, right = (self.page.node(None, (x + side * width / 2, y), (0.05, 0.05), BEND) for side in (-1, 1))
                self.page.canvas.edge(left, right, style=self.first_half(k, *key) | {"dir": "none"})
                nodes[key] = left, right
        return nodes

    def weight_mark(self, k: int, i: int | None, j: int) -> str:
        layer = self.net.layers[k]
        if i is None and layer.bias is not None:
            return mark("weight", layer.bias, (j,))
        return mark("weight", layer.weight, layer.weight_index(self.net.width(k) if i is None else i, j))

    def weight_style(self, k: int, i: int | None, j: int) -> Mapping[str, str]:
        return WEIGHT

    def line(self, k: int, i: int | None, j: int) -> dict[str, str]:
        """The style of an edge."""
        layer = self.net.layers[k]
        if not self.by_weight or self.is_joint(k, i):
            return {}
        if i is None and layer.bias is not None:
            value = self.net.number(layer.bias, (j,))
        else:
            value = self.net.number(layer.weight, layer.weight_index(self.net.width(k) if i is None else i, j))
        share = min(abs(value or 0.0) / self.largest, 1.0)
        negative = {"color": VERMILLION, "style": "dashed"} if (value or 0) < 0 else {"color": BLUE}
        return negative | {"penwidth": f"{0.4 + 3.2 * share:.2f}", "arrowhead": "none"}

    def first_half(self, k: int, i: int | None, j: int) -> dict[str, str]:
        """The style of an edge as far as its label."""
        return {"dir": "none"} | self.line(k, i, j)

    # -- the loss --------------------------------------------------------------------------------------------------

    def losses(self, outputs: Units, nodes: Nodes) -> None:
        """Right of the outputs: each one's target and error, and the loss that they add up to."""
        net, self.page.gap = self.net, GAP
        if not net.has_loss:
            return
        boxes = {j: what for j in nodes if j is not None and (what := self.outcome(j))}
        if boxes:
            width, step = max(box(what)[0] for what in boxes.values()), self.height / len(outputs)
            x, ys = self.page.column(width), {j: (row + 0.5) * step for row, (j, _) in enumerate(outputs)}
            boxed = {}
            for j, what in boxes.items():
                marks = {"id": mark("target", self.depth, (j,)), "tooltip": "what the output should be, and its error"}
                boxed[j] = self.page.node(what, (x, ys[j]), (width, box(what)[1] + 4), self.target_style(j), **marks)
                self.page.canvas.edge(nodes[j], boxed[j], style=self.target_line(j))
            nodes = dict(boxed.items())
        what = self.loss()
        width, height = box(what)
        marks = {"id": mark("loss", net.program.output.index), "tooltip": f"{net.loss_name}, the number that is minimised"}
        end = self.page.node(what, (self.page.column(width), self.height / 2), (width, height + 4), LOSS, **marks)
        for unit, node in nodes.items():
            self.page.canvas.edge(node, end, style=self.target_line(unit))

    def target_style(self, j: int) -> Mapping[str, str]:
        return TARGET

    def target_line(self, j: int | None) -> dict[str, str]:
        return {}


def mark(kind: str, place: int, index: Index = ()) -> str:
    """The id of a node in the SVG: its kind and where its number is in the Program, such as weight-3-0-1."""
    return "-".join(map(str, (kind, place, *index)))
