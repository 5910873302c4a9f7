"""What a picture of a network says: in its units, on its edges, beneath it, and where a mouse points at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tinygrad_bp.draw.labels import NEW, Label, Run, bold, folded, lines
from tinygrad_bp.draw.neurons import Index, Network
from tinygrad_bp.expression import format_number
from tinygrad_bp.letters import places


class Words:
    """The words of one picture of a network; ``after`` is the same network after an update."""

    by_weight = False  # whether edges are as wide as their weights are large
    is_written = True  # whether weights have their names and values on their edges

    def __init__(self, net: Network, after: Network | None = None) -> None:
        self.net, self.after = net, after
        self.depth = len(net.layers)

    def description(self) -> str:
        sizes = "-".join(str(self.net.width(k)) for k in range(self.depth + 1))
        loss = self.net.number(self.net.program.output.index, ()) if self.net.has_loss else None
        end = "" if loss is None else f"; {self.net.loss_name} = {format_number(loss, self.net.digits)}"
        return f"Network of neurons, {sizes}{end}"

    def caption(self) -> Iterator[str]:
        net = self.net
        if net.samples > 1:
            number = f"sample {net.which} of {net.samples}, counted from 0" if net.which else f"the first of {net.samples} samples"
            yield f"inputs, neurons and targets: {number}; grad of a weight: of the whole batch"
        if net.gradients:
            yield f"grad: d({net.loss_name}) / d(weight), delta: d({net.loss_name}) / d(weighted sum)"
        if self.by_weight:
            yield "width of an edge: size of its weight; orange and dashed: negative"
        if self.after:
            yield "new: after the update"
        yield from self.letters()

    def letters(self) -> Iterator[str]:
        """Which parameters the letters stand for that are written."""
        if self.is_written or any(map(self.net.is_shared, self.net.layers)):
            yield from folded(places(self.net.program))

    # -- what units and weights say --------------------------------------------------------------------------------

    def input(self, i: int) -> Label:
        net, place = self.net, self.net.layers[0].x
        index = net.at(place, i)
        return label(bold(self.names(0)[i]), net.run("", place, index), net.run("grad", place, index, gradient=True))

    def neuron(self, k: int, j: int) -> Label:
        net, layer = self.net, self.net.layers[k]
        title, sums, out = net.titles[k][j]
        index = net.at(layer.net, j)
        value = None if layer.net == layer.out else net.run(out, layer.out, net.at(layer.out, j))
        return label(bold(title), net.run(sums, layer.net, index), value, net.run("delta", layer.net, index, gradient=True))

    def weight(self, k: int, i: int | None, j: int) -> Label:
        """Of the edge from unit i, or from the bias, to neuron j."""
        layer = self.net.layers[k]
        if i is None and not layer.unit:
            assert layer.bias is not None
            index = self.net.at(layer.bias, j) if self.net.program.lines[layer.bias].shape else ()
            return self.parameter(k, layer.bias, self.net.names(layer.bias, "b")[j if index else 0], index)
        index = layer.weight_index(self.net.width(k) if i is None else i, j)
        return self.parameter(k, layer.weight, self.net.weight_name(layer, index), index)

    def shared_bias(self, k: int) -> Label:
        place = self.net.layers[k].bias
        assert place is not None
        index = (0,) * len(self.net.program.lines[place].shape)
        return self.parameter(k, place, str(self.net.program.lines[place].name or "bias"), index)

    def parameter(self, k: int, place: int, name: str, index: Index) -> Label:
        value = self.net.run(f"{name} =", place, index)
        new = self.after.run("new", self.in_after(k, place), index) if self.after else None
        return label(emphatic(value), self.net.run("grad", place, index, gradient=True), changed(new))

    def in_after(self, k: int, place: int) -> int | None:
        """Where a parameter of layer k is in the network after the update."""
        assert self.after is not None
        return self.after.layers[k].weight if place == self.net.layers[k].weight else self.after.layers[k].bias

    def outcome(self, j: int) -> Label | None:
        """An output's target and error."""
        net = self.net
        runs = [
            net.run(f"{net.names(place, default)[j]} =", place, net.at(place, j))
            for place, default in ((net.target, "target"), (net.error, "error"))
            if place is not None
        ]
        found = [run for run in runs if run]
        return label(emphatic(found[0]), *found[1:]) if found else None

    def loss(self) -> Label:
        output, new = self.net.program.output.index, None
        if self.after and self.after.has_loss:
            new = self.after.run("new", self.after.program.output.index, ())
        return label(bold(self.net.loss_name), self.net.run("", output, ()), changed(new))

    def names(self, column: int) -> list[str]:
        """What the units of a column give on: x1 or out_h1."""
        if column == 0:
            return self.net.names(self.net.layers[0].x, "x")
        return self.neurons(column - 1, self.net.layers[column - 1].out, "out")

    def neurons(self, k: int, place: int, word: str) -> list[str]:
        """A name for the number of each neuron in a line: its own, or out_h1 of neuron h1."""
        nameless = self.net.program.lines[place].name is None
        return [f"{word}_{title}" for title, _, _ in self.net.titles[k]] if nameless else self.net.names(place, word)

    def formula(self, k: int, j: int) -> str:
        """A neuron's weighted sum and output, for its tooltip."""
        net, layer = self.net, self.net.layers[k]
        name, xs, width = self.neurons(k, layer.net, "net")[j], self.names(k), net.width(k)
        terms = [f"{net.weight_name(layer, layer.weight_index(i, j))} * {xs[i]}" for i in range(min(width, 6))]
        if width > len(terms):
            terms.append(f"... ({width - len(terms)} more)")
        if layer.unit:
            terms.append(net.weight_name(layer, layer.weight_index(width, j)))
        elif layer.bias is not None:
            names = net.names(layer.bias, "b")
            terms.append(names[j if len(names) > j else 0])
        activation = net.program.lines[layer.out].rule
        rest = "" if layer.net == layer.out or activation is None else f"; {self.names(k + 1)[j]} = {activation.name}({name})"
        return f"{name} = {' + '.join(terms)}{rest}"

    def weight_tooltip(self, k: int, i: int | None, j: int) -> str:
        net, layer = self.net, self.net.layers[k]
        name = self.neurons(k, layer.net, "net")[j]
        source = "1" if i is None else self.names(k)[i]
        return (
            f"d{name}/d(weight) = {source}; d{net.loss_name}/d(weight) = delta * {source}" if net.gradients else f"from {source} to {name}"
        )


def label(*runs: Run | None) -> Label:
    """Lines without those that are None."""
    return lines(*(run for run in runs if run))


def emphatic(run: Run | None) -> Run | None:
    return run and replace(run, bold=True)


def changed(run: Run | None) -> Run | None:
    """A number of another Program, in the colour of what is new."""
    return run and replace(run, colour=NEW, number=None)
