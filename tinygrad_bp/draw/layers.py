"""Finding the layers of a network in a Program: weighted sums, and the activations that follow them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.errors import GraphError
from tinygrad_bp.program import Line, Program

NOT_ACTIVATIONS = (np.negative, np.positive, np.square)  # pointwise, but part of a loss rather than of a neuron


@dataclass(frozen=True)
class Layer:
    """A layer as the numbers of its lines: ``out = activation(x . weight + bias)``."""

    x: int
    weight: int
    bias: int | None
    net: int
    out: int  # the same line as net where there is no activation
    columns: bool  # the weight's columns belong to the neurons: it is (in, out)

    def fan(self, program: Program) -> tuple[int, int]:
        """How many units it reads, and how many neurons it has."""
        rows, columns = program.lines[self.weight].shape
        return (rows, columns) if self.columns else (columns, rows)


def find_layers(program: Program) -> list[Layer]:
    """The layers, first to last, each reading the one before.

    Looked for are ``linear(x, W, b)``, ``x @ W.T + b``, ``x @ W + b`` and ``W @ x + b`` with a leaf W, with or
    without b, and after them at most one function of one argument. Raises ``GraphError`` where there are none, or
    where they do not form one chain.
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
        return Layer(x, weight, added, net.index, _activation(program, net, users), columns)
    return None


def _products(program: Program, line: Line) -> Iterator[tuple[int, int, bool]]:
    """(x, weight, whether its columns are the neurons), if the line is a product with a matrix of weights."""
    if line.rule is None or line.rule.function is not np.matmul:
        return
    for position, place in reversed(list(enumerate(line.operands))):
        operand, turned = program.lines[place], False
        if operand.rule is not None and operand.rule.function is np.transpose and not operand.params:
            operand, turned = program.lines[operand.operands[0]], True
        x = program.lines[line.operands[1 - position]]
        if operand.rule is None and operand.tracked and len(operand.shape) == 2 and (position == 1 or len(x.shape) == 1):
            yield x.index, operand.index, (position == 1) != turned


def _bias(program: Program, product: Line, users: dict[int, list[Line]]) -> tuple[int | None, Line]:
    """The leaf that is added to a product, and the sum; without one, nothing and the product itself."""
    for user in users.get(product.index, []):
        if user.rule is not None and user.rule.function is np.add and user.shape == product.shape:
            other = program.lines[user.operands[user.operands[0] == product.index]]
            if other.rule is None and other.value.size in (1, product.shape[-1]):
                return other.index, user
    return None, product


def _activation(program: Program, net: Line, users: dict[int, list[Line]]) -> int:
    """The line of the function that the neurons apply to their sums."""
    for user in users.get(net.index, []):
        if user.rule is not None and user.rule.kind == "pointwise" and user.rule.function not in NOT_ACTIVATIONS:
            unary = len(user.operands) == 1 or (
                user.rule.function is np.maximum and all(i == net.index or program.lines[i].constant for i in user.operands)
            )
            if unary:
                return user.index
    return net.index
