"""Finding the layers of a network in a Program: weighted sums, and the activations that follow them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.errors import GraphError
from tinygrad_bp.program import Line, Program
from tinygrad_bp.rule import Rule

NOT_ACTIVATIONS = (np.negative, np.positive, np.square)  # pointwise, but part of a loss rather than of a neuron
JOINT_ACTIVATIONS = (functions.softmax, functions.log_softmax)  # not pointwise: each output depends on all sums of the layer


@dataclass(frozen=True)
class Layer:
    """A layer as the numbers of its lines: ``out = activation(x . weight + bias)``."""

    x: int
    weight: int
    bias: int | None
    net: int
    out: int  # the same line as net where there is no activation
    columns: bool  # the weight's columns belong to the neurons: it is (in, out)
    vector: bool = False  # the weight has one axis: there is one neuron, and its sum has no axis for it
    unit: bool = False  # the last of the weights of a neuron belongs to a unit that is always 1

    def fan(self, program: Program) -> tuple[int, int]:
        """How many units it reads, one that is always 1 not counted, and how many neurons it has."""
        shape = program.lines[self.weight].shape
        inputs, neurons = (shape[0], 1) if self.vector else shape if self.columns else shape[::-1]
        return inputs - self.unit, neurons

    def weight_index(self, i: int, j: int) -> tuple[int, ...]:
        """Where the weight from unit i to neuron j is."""
        return (i,) if self.vector else (i, j) if self.columns else (j, i)


def find_layers(program: Program) -> list[Layer]:
    """The layers, first to last, each reading the one before.

    Looked for are ``linear(x, W, b)``, ``x @ W.T + b``, ``x @ W + b`` and ``W @ x + b`` with a leaf W, with or
    without b, and after them at most one function of one argument. W may have one axis, for one neuron; x may have a
    unit that is always 1 appended. Raises ``GraphError`` where there are none, or where they do not form one chain.
    """
    users: dict[int, list[Line]] = {}
    for line in program:
        for place in line.operands:
            users.setdefault(place, []).append(line)
    layers = [layer for line in program if (layer := _layer(program, line, users)) is not None]
    if not layers:
        raise GraphError(
            "no layers were found. A layer is linear(x, W, b), x @ W.T + b, x @ W + b or W @ x + b with a matrix W that requires a gradient"
        )
    layers[-1] = _without_loss(program, layers[-1], users)
    layers = _with_input_unit(program, [_without_unit(program, layer) for layer in layers])
    for before, after in itertools.pairwise(layers):
        if after.x != before.out:
            names = program.names
            raise GraphError(
                f"the layers do not form one chain: the one of {names[after.weight]} reads {names[after.x]} and not "
                f"{names[before.out]}, the result of the one before. tg.draw.graph draws any graph"
            )
    return layers


def _layer(program: Program, line: Line, users: dict[int, list[Line]]) -> Layer | None:
    """The layer whose weighted sum this line is, if it is one."""
    if line.rule is None:
        return None
    if line.rule.function is functions.linear:
        x, weight, bias = line.operands
        return Layer(x, weight, bias, line.index, _activation(program, line, users), False)
    for x, weight, columns in _products(program, line):
        added, net = _bias(program, line, users)
        vector = len(program.lines[weight].shape) == 1
        return Layer(x, weight, added, net.index, _activation(program, net, users), columns, vector)
    return None


def _without_loss(program: Program, layer: Layer, users: dict[int, list[Line]]) -> Layer:
    """The last layer without the function of a loss on logits, which reads the sums more than once."""
    shared = len(users.get(layer.net, ())) > 1 and program.lines[layer.out].name is None
    return replace(layer, out=layer.net) if shared else layer


def _without_unit(program: Program, layer: Layer) -> Layer:
    """The layer as reading what was there before a unit that is always 1 was appended to it."""
    line = program.lines[layer.x]
    if layer.bias is None and line.rule is not None and line.rule.function is functions.join and len(line.operands) == 2:
        before, one = (program.lines[i] for i in line.operands)
        if one.constant and one.shape[-1:] == (1,) and np.all(one.value == 1) and before.shape[:-1] == line.shape[:-1]:
            return replace(layer, x=before.index, unit=True)
    return layer


def _with_input_unit(program: Program, layers: list[Layer]) -> list[Layer]:
    """The same for the first layer, of whose input only the joined values are on record."""
    first, *others = layers
    x = program.lines[first.x]
    named = list(getattr(x.name, "elements", ()))[-1:] == ["unit"]
    if x.rule is None and first.bias is None and x.shape and (named or any(layer.unit for layer in others)):
        return [replace(first, unit=bool(np.all(x.value[..., -1] == 1))), *others]
    return layers


def _products(program: Program, line: Line) -> Iterator[tuple[int, int, bool]]:
    """(x, weight, whether its columns are the neurons), if the line is a product with a matrix of weights."""
    if line.rule is None or line.rule.function is not np.matmul:
        return
    for position, place in reversed(list(enumerate(line.operands))):
        operand, turned = program.lines[place], False
        if operand.rule is not None and operand.rule.function is np.transpose and not operand.params:
            operand, turned = program.lines[operand.operands[0]], True
        x = program.lines[line.operands[1 - position]]
        if operand.rule is None and operand.tracked and len(operand.shape) in (1, 2) and (position == 1 or len(x.shape) == 1):
            yield x.index, operand.index, (position == 1) != turned


def _bias(program: Program, product: Line, users: dict[int, list[Line]]) -> tuple[int | None, Line]:
    """The leaf that is added to a product, and the sum; without one, nothing and the product itself."""
    for user in users.get(product.index, []):
        if user.rule is not None and user.rule.function is np.add and user.shape == product.shape:
            other = program.lines[user.operands[user.operands[0] == product.index]]
            if other.rule is None and other.value.size in (1, *product.shape[-1:]):
                return other.index, user
    return None, product


def is_activation(rule: Rule) -> bool:
    """Whether a rule's function may be what neurons apply to their sums."""
    return rule.function in JOINT_ACTIVATIONS or (rule.kind == "pointwise" and rule.function not in NOT_ACTIVATIONS)


def _activation(program: Program, net: Line, users: dict[int, list[Line]]) -> int:
    """The line of the function that the neurons apply to their sums."""
    for user in users.get(net.index, []):
        if user.rule is None:
            continue
        if is_activation(user.rule):
            unary = len(user.operands) == 1 or (
                user.rule.function is np.maximum and all(i == net.index or program.lines[i].constant for i in user.operands)
            )
            if unary:
                return user.index
    return net.index


def target_and_error(program: Program, out: int) -> tuple[int | None, int | None]:
    """The lines that the outputs are compared with, and the last named one with a number for each output."""
    shape = program.lines[out].shape
    later = [line for line in program if line.index > out and line.rule is not None]
    read = {place for line in later if shape or out in line.operands for place in line.operands}  # plain numbers are no targets
    leaves = [program.lines[i] for i in sorted(read) if program.lines[i].rule is None]
    targets = [line.index for line in leaves if line.shape == shape and line.value.dtype.kind != "b"]  # a condition is none either
    errors = [line.index for line in later if line.name is not None and line.shape == shape and line.index not in program.outputs]
    return (targets[0] if targets else None), (errors[-1] if errors else None)


def with_loss(program: Program) -> Program:
    """The Program whose output, if it is a single number that comes after a network's layers, has the name loss."""
    output = program.output
    if output.name is not None or output.rule is None or output.shape or any(line.name == "loss" for line in program):
        return program
    try:
        layers = find_layers(program)
    except GraphError:
        return program
    if output.index == layers[-1].out:
        return program
    return replace(program, lines=tuple(replace(line, name="loss") if line is output else line for line in program))


def usual_names(program: Program) -> dict[int, str]:
    """Line -> what a textbook calls it, for the lines of a network."""
    try:
        layers = find_layers(program)
    except GraphError:
        return {}
    target, _ = target_and_error(program, layers[-1].out)
    names = {layers[0].x: "x"} | ({} if target is None else {target: "target"}) | {program.output.index: "loss"}
    for k, layer in enumerate(layers, 1):
        unit = "o" if k == len(layers) else "h" if len(layers) == 2 else f"h{k}"
        names |= {layer.weight: f"W{k}", layer.out: f"out_{unit}", layer.net: f"net_{unit}"}
        names |= {} if layer.bias is None else {layer.bias: f"b{k}"}
    return names
