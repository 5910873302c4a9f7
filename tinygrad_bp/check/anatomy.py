"""The layers of neurons in a recorded graph: where mistakes are made.

A layer is found by what it computes, however it was written: ``nn.Linear``, ``x @ W.T + b``, ``x @ W + b`` with
W (in, out), or ``W @ x + b`` with samples in columns. Here all of them are one: X (n, in) inputs, Z (n, out) weighted
sums, A (n, out) activations, W (out, in), and G (n, out) for the derivative by Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.check.written_out import Edge, written_out
from tinygrad_bp.program import Line, Program
from tinygrad_bp.tensor import take

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Slope:
    """An activation's derivative, in terms of z and of a = f(z): only the right one of each pair is right."""

    name: str
    of_z: Callable[[Array], Array]
    of_a: Callable[[Array], Array]
    text: str  # as a person writes it


SLOPES: dict[Any, Slope] = {
    functions.sigmoid: Slope(
        "sigmoid",
        lambda z: functions.sigmoid(z) * (1 - functions.sigmoid(z)),
        lambda a: a * (1 - a),
        "{out} * (1 - {out})",
    ),
    np.tanh: Slope("tanh", lambda z: 1 - np.tanh(z) ** 2, lambda a: 1 - a * a, "(1 - {out}**2)"),
    functions.relu: Slope("relu", lambda z: (z > 0) * 1.0, lambda a: (a > 0) * 1.0, "({net} > 0)"),
    functions.softplus: Slope("softplus", functions.sigmoid, lambda a: 1 - np.exp(-a), "sigmoid({net})"),
    functions.softmax: Slope(
        "softmax", lambda z: functions.softmax(z) * (1 - functions.softmax(z)), lambda a: a * (1 - a), "the derivative of softmax"
    ),
}


@dataclass(frozen=True)
class Activation:
    """The lines from Z to A. ``edges``: backwards, from A; more than one where it was written out, and perhaps some ``beside`` them."""

    slope: Slope
    out: int
    edges: tuple[Edge, ...]
    beside: tuple[Edge, ...] = ()

    def passing(self, program: Program, formula: Callable[[Any], Any]) -> dict[Edge, Callable[[Any], Any]]:
        """One formula for the whole way from A to Z: it stands at the first edge, and the others change nothing."""
        first, *rest = self.edges
        formulas: dict[Edge, Callable[[Any], Any]] = {first: formula, **dict.fromkeys(rest, np.asarray)}
        for line, i in self.beside:
            shape = program.lines[program.lines[line].operands[i]].shape
            formulas[line, i] = partial(_nothing, shape)
        return formulas


def _nothing(shape: tuple[int, ...], g: Any) -> Array:
    return np.zeros(shape)


@dataclass(frozen=True)
class Layer:
    """One layer of neurons."""

    program: Program
    values: list[Array]
    back: Edge  # the product, and which of its operands has the inputs
    weights: Edge  # and which has the weights
    weight: int  # the leaf
    net: int
    bias: Edge | None
    activation: Activation | None
    columns: bool  # samples stand in columns
    turned: bool  # the weights' operand is (in, out)
    number: int = 1
    count: int = 1
    below: Array | None = None  # the weighted sums that became the inputs

    @property
    def last(self) -> bool:
        return self.number == self.count

    @property
    def out(self) -> int:
        return self.activation.out if self.activation else self.net

    def rows(self, a: Any) -> Array:
        """A line's array with a row for each sample."""
        a = np.asarray(a)
        return np.asarray(a.T if self.columns and a.ndim == 2 else a.reshape(-1, a.shape[-1]))

    def unrow(self, a: Array, shape: tuple[int, ...]) -> Array:
        """The same array in the shape that a line has; one that does not fit stays as it is."""
        a = a.T if self.columns and len(shape) == 2 and a.ndim == 2 else a
        return a.reshape(shape) if a.size == math.prod(shape) else a

    @cached_property
    def x(self) -> int:
        """The line of the inputs."""
        return self.program.lines[self.back[0]].operands[self.back[1]]

    @cached_property
    def X(self) -> Array:
        return self.rows(self.values[self.x])

    @cached_property
    def Z(self) -> Array:
        return self.rows(self.values[self.net])

    @cached_property
    def A(self) -> Array:
        return self.rows(self.values[self.out])

    @cached_property
    def W(self) -> Array:
        w = self.values[self.program.lines[self.weights[0]].operands[self.weights[1]]]
        return w.T if self.turned else w

    @cached_property
    def right(self) -> Array:
        """The right derivative by the weights."""
        gradient = np.asarray(self.program.gradients[self.program.lines[self.weights[0]].operands[self.weights[1]]])
        return gradient.T if self.turned else gradient

    @property
    def bias_shape(self) -> tuple[int, ...]:
        assert self.bias is not None
        return self.program.lines[self.program.lines[self.bias[0]].operands[self.bias[1]]].shape

    @cached_property
    def words(self) -> dict[str, str]:
        """What sentences say of it."""
        names = self.program.names
        words = {"E": names[self.program.output.index], "net": names[self.net], "out": names[self.out], "x": names[self.x]}
        words |= {"W": names[self.weight], "place": "the output layer" if self.last else f"the hidden layer of {names[self.net]}"}
        if self.bias is not None:
            words["b"] = names[self.program.lines[self.bias[0]].operands[self.bias[1]]]
        if self.activation is not None:
            words |= {"slope": self.activation.slope.text.format(**words), "f": self.activation.slope.name}
        return words


@dataclass(frozen=True)
class Anatomy:
    """A graph as a network: its layers in order, and the loss after them."""

    program: Program
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, program: Program, values: list[Array] | None = None) -> Anatomy:
        """The layers that can be found; none in a graph that is no network."""
        following = users(program)
        found = [_layer(program, line, following, values or program.values) for line in program.lines if line.rule is not None]
        layers = [layer for layer in found if layer is not None]
        sums = {layer.activation.out: layer.Z for layer in layers if layer.activation}
        placed = [replace(layer, number=i, count=len(layers), below=sums.get(layer.x)) for i, layer in enumerate(layers, 1)]
        return cls(program, tuple(placed))

    @cached_property
    def words(self) -> dict[str, str]:
        return dict(self.layers[-1].words)

    @property
    def y(self) -> int:
        """The network's output, which the loss reads."""
        return self.layers[-1].out

    @cached_property
    def Y(self) -> Array:
        return self.layers[-1].A

    @property
    def samples(self) -> int:
        return len(self.Y)

    @property
    def outputs(self) -> int:
        return int(self.Y.shape[1])

    @cached_property
    def compared(self) -> list[Array]:
        """What the loss reads beside the output, in the output's shape: the targets are among it."""
        after, shape, found = {self.y}, self.program.lines[self.y].shape, []
        for line in self.program.lines:
            if after & set(line.operands):
                after.add(line.index)
                found += [self._taken(i) for i in line.operands if i not in after]
        lines = [self.program.lines[i] for i in dict.fromkeys(found) if self.program.lines[i].rule is None]
        fitting = [line for line in lines if line.shape == shape != () or (line.shape == () and not line.constant)]
        return [self.layers[-1].rows(np.broadcast_to(line.value, shape)) * 1.0 for line in fitting]

    def _taken(self, i: int) -> int:
        """The line that an element was taken from."""
        line = self.program.lines[i]
        return line.operands[0] if line.rule is not None and line.rule.function is take else i

    @cached_property
    def known(self) -> tuple[str, Array, float] | None:
        """The kind of loss, its target t, and c: dE/dy = c (y - t) if it is "squared", dE/dz = c (p - t) if "entropy"."""
        for t in self.compared:
            if c := _ratio(self.delta_y, self.Y - t):
                return "squared", t, c
            if c := _ratio(self.delta_z, self._probabilities(t) - t):
                return "entropy", t, c
        return None

    @property
    def target(self) -> Array | None:
        return self.known[1] if self.known else None

    @property
    def squared(self) -> float | None:
        """The factor c of a squared error; ``None`` for another loss."""
        return self.known[2] if self.known and self.known[0] == "squared" else None

    @property
    def entropy(self) -> float | None:
        """The factor c of a cross-entropy; ``None`` for another loss."""
        return self.known[2] if self.known and self.known[0] == "entropy" else None

    @property
    def probabilities(self) -> Array:
        assert self.target is not None
        return self._probabilities(self.target)

    def _probabilities(self, t: Array) -> Array:
        last = self.layers[-1]
        if last.activation is not None:
            return last.A
        one_each = self.outputs > 1 and np.allclose(np.sum(t, axis=1), 1)
        return np.asarray(functions.softmax(last.Z) if one_each else functions.sigmoid(last.Z))

    @cached_property
    def delta_z(self) -> Array:
        return self.layers[-1].rows(self.program.gradients[self.layers[-1].net])

    @cached_property
    def delta_y(self) -> Array:
        return self.layers[-1].rows(self.program.gradients[self.y])

    @cached_property
    def lines(self) -> list[int]:
        """The tensors that a derivation speaks of, from the loss back to the parameters."""
        return sorted(self.program.gradients, reverse=True)


def _ratio(a: Array, b: Array) -> float | None:
    """c, where a = c b."""
    size = float(np.sum(b * b))
    c = float(np.sum(a * b)) / size if size else 0.0
    return c if c and np.allclose(a, c * b, rtol=1e-9, atol=1e-12 * float(np.max(np.abs(a)))) else None


def users(program: Program) -> dict[int, list[Edge]]:
    users: dict[int, list[Edge]] = {}
    for line in program.lines:
        for i, operand in enumerate(line.operands):
            users.setdefault(operand, []).append((line.index, i))
    return users


def _layer(program: Program, line: Line, users: Mapping[int, list[Edge]], values: list[Array]) -> Layer | None:
    """The layer whose product this line is, if it is one."""
    assert line.rule is not None
    if line.rule.function is functions.linear:
        bias: Edge | None = (line.index, 2)
        return Layer(program, values, (line.index, 0), (line.index, 1), line.operands[1], line.index, bias,
                     activation(program, line.index, users), columns=False, turned=False)  # fmt: skip
    if line.rule.function is not np.matmul:
        return None
    left, right = (_leaf(program, i) for i in line.operands)
    if left is None and right is None:
        return None
    on_left = right is None or (left is not None and _rank(program, line, 0) > _rank(program, line, 1))
    net, bias = _biased(program, line.index, users)
    w, weight = (0, left) if on_left else (1, right)
    assert weight is not None
    return Layer(program, values, (line.index, 1 - w), (line.index, w), weight, net, bias, activation(program, net, users),
                 columns=on_left, turned=not on_left)  # fmt: skip


def _leaf(program: Program, i: int) -> int | None:
    """The matrix that a line is, or is the transpose of, if it is no result."""
    line = program.lines[i]
    if line.rule is not None and line.rule.function is np.transpose:
        line = program.lines[line.operands[0]]
    return line.index if line.rule is None and line.value.ndim == 2 and not line.constant else None


def _rank(program: Program, product: Line, i: int) -> tuple[bool, bool, bool]:
    """How much an operand looks like weights rather than data."""
    operand, leaf = product.operands[i], _leaf(program, product.operands[i])
    assert leaf is not None
    line = program.lines[leaf]
    return line.tracked, (line.name or "").lower().startswith("w"), operand != leaf


def _biased(program: Program, i: int, users: Mapping[int, list[Edge]]) -> tuple[int, Edge | None]:
    """The weighted sum, after the bias if one is added."""
    for user, at in users.get(i, []):
        line = program.lines[user]
        if line.rule is not None and line.rule.function is np.add:
            other = program.lines[line.operands[1 - at]]
            fits = line.shape == program.lines[i].shape and other.value.size <= max(line.shape)
            if other.rule is None and not other.constant and fits:
                return user, (user, 1 - at)
    return i, None


def activation(program: Program, net: int, users: Mapping[int, list[Edge]]) -> Activation | None:
    """The activation function after a weighted sum: one that has a name, or one that was written out."""
    edges = users.get(net, [])
    if len(edges) == 1:
        line = program.lines[edges[0][0]]
        assert line.rule is not None
        if line.rule.function in SLOPES:
            return Activation(SLOPES[line.rule.function], line.index, (edges[0],))
        if line.rule.function is np.maximum and not np.any(program.lines[line.operands[1 - edges[0][1]]].value):
            return Activation(SLOPES[functions.relu], line.index, (edges[0],))
    found = written_out(program, net, users, SLOPES)
    return None if found is None else Activation(SLOPES[found.function], found.path[0][0], found.path, found.beside)
