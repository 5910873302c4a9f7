"""A network written in single numbers, ``net_h1 = w1 * i1 + w2 * i2 + b``, as the network of matrices that it is.

The mistakes of the catalogue are made in layers. A neuron is found by what it computes, a sum of products with weights;
neurons that read the same inputs are a layer. What comes out is an ordinary graph of the same numbers, in which each
tensor of the old one has a place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_bp.check.anatomy import SLOPES, Activation, activation, users
from tinygrad_bp.check.written_out import Edge
from tinygrad_bp.program import Line, Program, element_names
from tinygrad_bp.rule import RULES
from tinygrad_bp.tensor import Tensor, record, take

Atom = tuple[int, tuple[int, ...] | None]  # a number: a line, or an element of one


@dataclass(frozen=True)
class Gathered:
    """The network of matrices. ``where``: a number of the old graph -> its place in the new one."""

    program: Program
    where: dict[Atom, Atom]
    old: Program

    def same(self) -> bool:
        """Whether every number has its value and its derivative; not so if one weight stands at two places, for instance."""
        new, old = self.program, self.old
        places = [(i, k or (), j, m or ()) for (j, m), (i, k) in self.where.items()]
        values = [(new.values[i][k], old.values[j][m]) for i, k, j, m in places]
        slopes = [(new.gradients[i][k], old.gradients[j][m]) for i, k, j, m in places if i in new.gradients and j in old.gradients]
        a, b = np.array(values + slopes).T
        return bool(np.allclose(a, b, rtol=1e-9, atol=1e-15, equal_nan=True))

    def values(self, previous: Mapping[int, Any]) -> dict[int, Any]:
        """Values of lines of the old graph as values of lines of the new one."""
        found: dict[int, Any] = {}
        for line, value in previous.items():
            for index, number in np.ndenumerate(value):
                if (place := self.where.get((line, index or None))) is not None:
                    array = found.setdefault(place[0], np.array(self.program.lines[place[0]].value))
                    array[place[1] or ()] = number
        return found


@dataclass(frozen=True)
class Neuron:
    """A weighted sum, and the activation after it. ``inputs[i]`` belongs to ``weights[i]``."""

    net: int
    weights: tuple[Atom, ...]
    inputs: tuple[Atom, ...]
    bias: Atom | None
    activation: Activation | None

    @property
    def out(self) -> int:
        return self.activation.out if self.activation else self.net


Layer = list[Neuron]


def gathered(program: Program) -> Gathered | None:
    """The network of matrices that computes the same; ``None`` where the graph is no such network.

    >>> from tinygrad_bp import sigmoid
    >>> numbers = dict(w1=0.1, w2=0.2, i1=0.3, i2=0.4, b=0.5)
    >>> w1, w2, i1, i2, b = (Tensor(value, requires_grad=name[0] != "i", name=name) for name, value in numbers.items())
    >>> print(gathered(Program.of(sigmoid((w1 * i1 + w2 * i2 + b).named("z")).named("y"))).program)
    [w1 w2] = array of shape (1, 2)
    i = array of shape (2,)
    t1 = [w1 w2] @ i = array of shape (1,)
    b = array of shape (1,)
    z = t1 + b = array of shape (1,)
    y = sigmoid(z) = array of shape (1,)
    t2 = y[0] = 0.647941
    """
    layers = _layers(program)
    if not layers:
        return None
    found = _Builder(program, layers).run()
    return found if found.same() else None


# -- finding the neurons -----------------------------------------------------------------------------------------------


def _layers(program: Program) -> list[Layer]:
    """The layers from the inputs to the output; none if some neuron does not fit."""
    following = users(program)
    neurons: dict[int, Neuron] = {}  # by what they put out
    levels: dict[int, int] = {}
    for line in program.lines:
        neuron = _neuron(program, line, following, neurons)
        if neuron is not None:
            neurons[neuron.out] = neuron
            levels[neuron.out] = 1 + max((levels[i] for i, _ in neuron.inputs if i in levels), default=0)
    layers = [[n for n in neurons.values() if levels[n.out] == k] for k in range(1, max(levels.values(), default=0) + 1)]
    below: Sequence[int] = ()
    for layer in layers:
        if not _belong(layer, below):
            return []
        below = [n.out for n in layer]
    return layers


def _belong(layer: Layer, below: Sequence[int]) -> bool:
    """Whether the neurons read the same inputs, the whole layer below, and have biases and activations of one kind."""
    inputs = {frozenset(n.inputs) for n in layer}
    whole = not below or inputs == {frozenset((i, None) for i in below)}
    biases = {n.bias for n in layer}
    kinds = {n.activation.slope.name if n.activation else "" for n in layer}
    return len(inputs) == len(kinds) == 1 and whole and (len(biases) == 1 or (len(biases) == len(layer) and None not in biases))


def _neuron(program: Program, line: Line, following: dict[int, list[Edge]], neurons: dict[int, Neuron]) -> Neuron | None:
    """The neuron whose weighted sum is complete at a line."""
    if line.shape != () or _summed(program, line, following):
        return None
    products, biases = [], []
    for term in _terms(program, line.index, following):
        pair = _product(program, term, neurons)
        atom = _atom(program, term)
        if pair is not None:
            products.append(pair)
        elif atom is not None and term not in neurons:
            biases.append(atom)
        else:
            return None
    if not products or len(biases) > 1 or len({x for _, x in products}) < len(products):
        return None
    weights, inputs = zip(*products, strict=True)
    return Neuron(line.index, weights, inputs, biases[0] if biases else None, activation(program, line.index, following))


def _is(line: Line, function: Any) -> bool:
    return line.rule is not None and line.rule.function is function


def _summed(program: Program, line: Line, following: dict[int, list[Edge]]) -> bool:
    """Whether a line only is a part of a longer sum."""
    after = following.get(line.index, [])
    return len(after) == 1 and _is(program.lines[after[0][0]], np.add)


def _terms(program: Program, i: int, following: dict[int, list[Edge]]) -> list[int]:
    """The lines that are added up, in order."""
    found, todo = [], [i]
    while todo:
        line = program.lines[todo.pop()]
        inside = line.index == i or _summed(program, line, following)
        if _is(line, np.add) and inside:
            todo += reversed(line.operands)
        else:
            found.append(line.index)
    return found


def _product(program: Program, i: int, neurons: dict[int, Neuron]) -> tuple[Atom, Atom] | None:
    """(weight, input) of a product of the two."""
    line = program.lines[i]
    if not _is(line, np.multiply) or len(line.operands) != 2:
        return None
    a, b = line.operands
    ranks = [_rank(program, i, neurons) for i in (a, b)]
    if None in ranks or ranks[0] == ranks[1]:
        return None
    weight, x = (a, b) if ranks[0] > ranks[1] else (b, a)  # type: ignore[operator]
    atom = _atom(program, weight)
    return None if atom is None else (atom, _atom(program, x) or (x, None))


def _rank(program: Program, i: int, neurons: dict[int, Neuron]) -> tuple[bool, bool] | None:
    """How much a factor looks like a weight rather than an input; ``None`` if it is neither."""
    atom = _atom(program, i)
    if i in neurons or (atom is None and program.lines[i].constant):
        return False, False
    if atom is None:
        return None
    leaf = program.lines[atom[0]]
    return leaf.tracked, str(leaf.name or "").lower().startswith("w")


def _atom(program: Program, i: int) -> Atom | None:
    """The number that a line is, if it is no result: a leaf, or an element of one."""
    line = program.lines[i]
    if line.rule is None:
        return None if line.constant or line.shape else (i, None)
    leaf = program.lines[line.operands[0]]
    if line.rule.function is not take or leaf.rule is not None or leaf.constant or line.shape:
        return None
    index = np.arange(leaf.value.size).reshape(leaf.shape)[(line.params or {})["index"]]
    return leaf.index, tuple(map(int, np.unravel_index(int(index), leaf.shape)))


# -- building the network ------------------------------------------------------------------------------------------------


class _Builder:
    """Runs the same computation with a matrix for each layer."""

    def __init__(self, program: Program, layers: list[Layer]) -> None:
        self.program, self.layers = program, layers
        self.parts: dict[Atom, tuple[Tensor, tuple[int, ...] | None]] = {}  # where each number went
        self.cells: dict[int, Any] = {}  # lines computed anew
        self.below: list[int] = []  # what the last layer puts out

    def run(self) -> Gathered:
        x: Tensor | None = None
        for layer in self.layers:
            x = self.layer(layer, x)
        self.targets(self.layers[-1])
        new = Program.of(self.cell(self.program.output.index))
        where = {atom: (new.serials[t.serial], index) for atom, (t, index) in self.parts.items() if t.serial in new.serials}
        where |= {(i, None): (new.serials[t.serial], None) for i, t in self.cells.items()
                  if isinstance(t, Tensor) and t.serial in new.serials and (i, None) not in where}  # fmt: skip
        return Gathered(new, where, self.program)

    def layer(self, layer: Layer, x: Tensor | None) -> Tensor:
        inputs = layer[0].inputs if x is None else tuple((i, None) for i in self.below)
        if x is None:
            x = self.vector(inputs, tracked=False)
        by_input = [dict(zip(n.inputs, n.weights, strict=True)) for n in layer]
        z = self.weights([[weights[i] for i in inputs] for weights in by_input]) @ x
        if layer[0].bias is not None:
            shared = layer[0].bias == layer[-1].bias and len(layer) > 1
            z = z + (self.leaf(layer[0].bias) if shared else self.vector([n.bias for n in layer], tracked=True))  # type: ignore[misc]
        z = self.named(z, [n.net for n in layer])
        self.below = [n.out for n in layer]
        kind = layer[0].activation
        if kind is None:
            return z
        function = next(f for f, slope in SLOPES.items() if slope is kind.slope)
        return self.named(record(RULES[function], (z,)), self.below)

    def number(self, atom: Atom) -> float:
        line, index = atom
        return float(self.program.lines[line].value[() if index is None else index])

    def name(self, atom: Atom) -> str:
        line, index = self.program.lines[atom[0]], atom[1]
        if index is None:
            return self.program.names[line.index]
        names = element_names(line.name, line.shape)
        return names[int(np.ravel_multi_index(index, line.shape))] or f"{self.program.names[line.index]}{list(index)}"

    def leaf(self, atom: Atom) -> Tensor:
        """A number that stays one."""
        if atom not in self.parts:
            tracked = self.program.lines[atom[0]].tracked
            self.parts[atom] = Tensor(self.number(atom), requires_grad=tracked, name=self.name(atom)), None
        t = self.parts[atom]
        return t[0] if t[1] is None else t[0][t[1]]

    def vector(self, atoms: Sequence[Atom], tracked: bool) -> Tensor:
        names = [self.name(atom) for atom in atoms]
        t = Tensor([self.number(atom) for atom in atoms], requires_grad=tracked).named(common(names), names)
        self.parts |= {atom: (t, (k,)) for k, atom in enumerate(atoms)}
        return t

    def weights(self, atoms: Sequence[Sequence[Atom]]) -> Tensor:
        names = [[self.name(atom) for atom in row] for row in atoms]
        flat = [name for row in names for name in row]
        short = "; ".join(" ".join(row) for row in names) if len(flat) <= 6 else f"{flat[0]} ... {flat[-1]}"
        t = Tensor([[self.number(atom) for atom in row] for row in atoms], requires_grad=True).named(f"[{short}]", flat)
        self.parts |= {atom: (t, (k, j)) for k, row in enumerate(atoms) for j, atom in enumerate(row)}
        return t

    def named(self, t: Tensor, lines: Sequence[int]) -> Tensor:
        names = [self.program.names[i] for i in lines]
        self.parts |= {(i, None): (t, (k,)) for k, i in enumerate(lines)}
        return t.named(common(names), names)

    def targets(self, last: Layer) -> None:
        """What each output alone is compared with is one vector too."""
        depends: dict[int, set[int]] = {n.out: {n.out} for n in last}
        for line in self.program.lines:
            if line.index not in depends and line.rule is not None:
                depends[line.index] = set().union(*(depends.get(i, set()) for i in line.operands))
        found = []
        for neuron in last:
            alone = [line for line in self.program.lines if depends.get(line.index) == {neuron.out} and line.index != neuron.out]
            atoms = [_atom(self.program, i) for line in alone for i in line.operands if self.program.lines[i].value.dtype.kind == "f"]
            found.append(list(dict.fromkeys(a for a in atoms if a is not None and a not in self.parts)))
        if len({len(atoms) for atoms in found}) == 1:  # t, or t and 1 - t
            for chosen in zip(*found, strict=True):
                if len(set(chosen)) == len(last):
                    self.vector(chosen, tracked=True)  # so that taking one of them is recorded

    def cell(self, i: int) -> Any:
        """A line of the old graph on the numbers of the new one."""
        for j in self.needed(i):
            line = self.program.lines[j]
            if line.constant:
                self.cells[j] = line.value[()]
            elif (atom := _atom(self.program, j)) is not None or (j, None) in self.parts:
                self.cells[j] = self.leaf(atom or (j, None))
            elif line.rule is None:
                self.cells[j] = Tensor(line.value, requires_grad=line.tracked, name=line.name)
            else:
                t = record(line.rule, tuple(self.cells[k] for k in line.operands), line.params)
                self.cells[j] = t.named(line.name) if line.name and isinstance(t, Tensor) else t
        return self.cells[i]

    def needed(self, i: int) -> Iterable[int]:
        """The lines behind one, as far as they are not in the layers."""
        found, todo = set(), [i]
        while todo:
            j = todo.pop()
            if j not in found:
                found.add(j)
                inside = (j, None) in self.parts or _atom(self.program, j) is not None
                todo += () if inside else self.program.lines[j].operands
        return sorted(found)


def common(names: Sequence[str]) -> str:
    """One name for several: ``net_h`` for ``net_h1`` and ``net_h2``."""
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    start = "".join(letters[0] for letters in alike).rstrip("_") if len(names) > 1 else names[0]
    return start or f"[{' '.join(names)}]"
