"""What the names in a formula stand for: the graph's values, autograd's gradients, the learning rate, aliases."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp.check.anatomy import Anatomy
from tinygrad_bp.check.formula.functions import FUNCTIONS
from tinygrad_bp.check.formula.names import UPDATED, joined, key, parts, readings, with_index
from tinygrad_bp.check.formula.parser import Formula, parse
from tinygrad_bp.errors import FormulaError, GraphError, NameLookupError
from tinygrad_bp.expression import Expression
from tinygrad_bp.functions import linear, sum_to
from tinygrad_bp.program import Program, element_names

Array = np.ndarray[Any, Any]
Location = tuple[int, tuple[int, ...] | None]

LOSSES = {"E", "L", "J", "C", "Etotal", "loss", "Loss", "cost", "error"}  # what derivations call the output
RATES = {"eta", "lr", "alpha", "learningrate", "epsilon"}
SUMS = ("net", "z", "Z")  # what derivations call a neuron's weighted sum, whose gradient is its delta
WEIGHTED = (np.add, np.subtract, np.sum, linear)  # operations whose results are such sums, besides products of matrices
TERMS = (*WEIGHTED, np.multiply)  # and where it is a sum by its name: w * x is one too; tanh(a) is none, though it be called z
ROWS = 1_000  # elements of an intermediate result whose derivatives are taken one by one
JACOBIAN = 1_000_000
SIZE = 10**7  # elements of a result


class Scope:
    """Names to values. ``used`` collects the gradients that were taken from autograd."""

    def __init__(self, program: Program | None = None, aliases: Mapping[str, Any] | None = None, lr: float | None = None) -> None:
        self.program, self.lr = program, lr
        self.aliases = {key(name): value for name, value in (aliases or {}).items()}
        self.bindings: dict[str, str] = {}  # of the indices of sum signs, and of those that are
        self.free: set[str] = set()  # free
        self.others: dict[int, Array] = {}  # values of lines that stand in for the graph's
        self.deltas: dict[str, tuple[str, ...]] = {}  # letter of a neuron -> its layer's sum, where delta_j alone does not say it
        self.denominator = False  # layout, of derivatives of vectors by vectors
        self.two_readings = False  # whether a formula has them: a * B c, and a dot between two columns
        self.other_reading = False  # whether the other one is meant
        self.used: list[str] = []
        self.budget = math.inf  # operations that formulas may still take together
        self.size = SIZE
        self.table: dict[str, list[str]] = {}
        if program is not None:
            for name in [*program.places, *program.elements]:
                if name not in self.table.setdefault(key(name), []):
                    self.table[key(name)].append(name)
            for name, letter in _places(program):  # 0.weight is W1
                self.table.setdefault(key(name), [letter])
        names = {k for k, value in self.aliases.items() if not (isinstance(value, str) and value in FUNCTIONS)}
        deltas = {f"delta{k.removeprefix(stem)}" for k in self.table for stem in SUMS if k.startswith(stem) and k != stem}
        self.known = frozenset(self.table) | names | deltas | (RATES if lr is not None else set())

    def spend(self, operations: int) -> None:
        """Count what computing costs, where it is limited."""
        self.budget -= operations
        if self.budget < 0:
            raise FormulaError("the formulas up to here take too many operations together. Split them, or take a smaller network")

    def parse(self, text: str) -> Formula:
        return parse(text, self.known)

    # -- names ---------------------------------------------------------------------------------------------------

    def spellings(self, name: str) -> Iterator[str]:
        """The name itself, or inside sums its index replaced: delta_o is delta_1 or delta_o1."""
        bound = {letter: value for letter, value in self.bindings.items() if letter in parts(name)[1]}
        if not bound:
            yield name
            return
        several = sum(c in bound or c.isdigit() for c in parts(name)[1]) > 1
        if several and max(map(len, bound.values())) > 1:
            return  # W_{1,12} and W_{11,2} would be spelled alike
        for numbered in ("{value}", "{letter}{value}"):
            spelled = name
            for letter, value in bound.items():
                spelled = with_index(spelled, letter, numbered.format(letter=letter, value=value))
            yield spelled

    def graph_name(self, name: str) -> str | None:
        """The name in the graph that a written name means; an error where it could be several."""
        found = next((found for spelled in self.spellings(name) if (found := self.literally(spelled)) is not None), None)
        return found or self.element(name) or self.shared(name)

    def element(self, name: str) -> str | None:
        """The name of the element that indices mean: w_{21} is the second row's first of W, also where it is called w3."""
        base, sub, index = parts(name)
        stem = "".join(itertools.takewhile(lambda c: c.isalpha() and c not in self.bindings, sub))
        places = [int(self.bindings.get(c, c)) - 1 for c in sub.removeprefix(stem) if (c in self.bindings or c.isdigit())]
        if self.program is None or not places or len(places) < len(sub.removeprefix(stem).replace(",", "")):
            return None
        upper = [base, base.upper()] if len(base) == 1 else [base]  # w is an element of W
        keys = [key(joined(b, stem) + i) for b in upper for i in ([index, ""] if index.startswith("(") else [index])]
        for found in (found for k in keys for found in self.tensors(k) if found in self.program.places):
            line = self.program.lines[self.program.places[found]]
            if len(line.shape) == len(places) and all(0 <= i < n for i, n in zip(places, line.shape, strict=True)):
                names = element_names(line.name, line.shape)
                return names[int(np.ravel_multi_index(places, line.shape))]
        return None

    def tensors(self, k: str) -> list[str]:
        """The names in the graph that have a key, or that an alias means by it."""
        alias = self.aliases.get(k)
        return self.table.get(key(alias) if isinstance(alias, str) else k, [])

    def shared(self, name: str) -> str | None:
        """What is one number for every value of a free index: b_h."""
        if not any(letter in self.free for letter in parts(name)[1]) or self.program is None:
            return None
        found = self.literally(name)
        return None if found is None or self.program.value(found).shape else found

    @contextlib.contextmanager
    def instance(self, letters: Mapping[str, str]) -> Iterator[None]:
        """Within it, free indices are numbers."""
        before = self.bindings, self.free
        self.bindings, self.free = {**self.bindings, **letters}, self.free | set(letters)
        try:
            yield
        finally:
            self.bindings, self.free = before

    def literally(self, name: str) -> str | None:
        if self.program is not None and (name in self.program.places or name in self.program.elements):
            return name
        for k in self.readings(name):
            alias = self.aliases.get(k)
            if isinstance(alias, str):
                found = [alias] if alias in self.table.get(key(alias), []) else self.table.get(key(alias), [])
            else:
                found = [] if alias is not None else self.table.get(k, [])
            if len(found) > 1:
                raise NameLookupError(f"the name {name!r} could be {' or '.join(found)}. Say which with aliases={{{name!r}: {found[0]!r}}}")
            if found:
                return found[0]
        return None

    def readings(self, name: str) -> Iterator[str]:
        """Its keys; a^1_2 is an element of a^1, if there is such a tensor, and nothing else: not a^2_1, nor a_2."""
        base, sub, index = parts(name)
        if sub and index.strip("()").isdigit() and (key(base + index) in self.table or key(base + index) in self.aliases):
            yield key(base + index + sub)
        else:
            yield from readings(name)

    def locate(self, name: str) -> Location | None:
        found = self.graph_name(name)
        return None if found is None or self.program is None else self.program.locate(found)

    def unknown(self, name: str) -> NameLookupError:
        known = self._names() + sorted(self.aliases)
        shown = ", ".join(known[:40]) + (", ..." if len(known) > 40 else "")
        return NameLookupError(f"no tensor is named {name!r}" + (f". The names are: {shown}" if known else ""))

    def _names(self) -> list[str]:
        """The names that somebody gave."""
        if self.program is None:
            return []
        return [name for name, i in self.program.places.items() if self.program.lines[i].name is not None] + list(self.program.elements)

    # -- values --------------------------------------------------------------------------------------------------

    def value(self, name: str) -> Array:
        """The value that a name stands for."""
        if name.endswith(f"^{UPDATED}"):
            return self.updated(name)
        location = self.locate(name)
        if location is not None:
            return self.at(location)
        for k in (k for spelled in self.spellings(name) for k in readings(spelled)):
            if k in self.aliases:
                return self.alias(self.aliases[k])
        if key(name) in RATES and self.lr is not None:
            return np.asarray(self.lr, dtype=float)
        target = self.delta(name)
        if target is not None:
            return self.gradient(target, name)
        if self.is_loss(name):
            assert self.program is not None
            return np.asarray(self.program.output.value, dtype=float).reshape(())
        if (number := self.plain_number(name)) is not None:
            return np.asarray(number)
        if key(name) in RATES:
            raise NameLookupError(f"the learning rate {name} has no value. Give check(..., lr=0.5)")
        raise self.unknown(name)

    def plain_number(self, name: str) -> float | None:
        """pi, or an index of a sum: i in i^2; Kronecker's delta_ij."""
        if name == "pi":
            return math.pi
        sub = parts(name)[1]
        if is_kronecker(name) and set(sub) <= set(self.bindings):
            return float(self.bindings[sub[0]] == self.bindings[sub[1]])
        index = self.bindings.get(name, "")
        return float(index) if index.isdigit() else None

    def at(self, location: Location) -> Array:
        assert self.program is not None
        place, index = location
        whole: Any = self.others.get(place, self.program.lines[place].value)
        value = np.asarray(whole[() if index is None else index])
        return value.astype(float) if value.dtype.kind in "biu" else value

    @contextlib.contextmanager
    def moved(self, location: Location, value: Array) -> Iterator[None]:
        """Within it, a tensor or an element has another value, and so has all that is computed from it."""
        assert self.program is not None
        place, index = location
        whole = np.array(self.at((place, None)), dtype=float)
        whole[() if index is None else index] = value
        before, lines = self.others, self.program.lines
        self.spend(len(lines))
        self.others = {i: np.asarray(v) for i, v in enumerate(self.program.replay({place: whole})) if v is not lines[i].value}
        try:
            yield
        finally:
            self.others = before

    def alias(self, value: Any) -> Array:
        """A number or an array; ``evaluate.FormulaScope`` knows formulas too."""
        return np.asarray(value, dtype=float)

    def updated(self, name: str) -> Array:
        """One step of gradient descent on a named value."""
        before = name.removesuffix(f"^{UPDATED}")
        location = self.locate(before)
        if location is None:
            raise self.unknown(before)
        return np.asarray(self.at(location) + self.change(location))

    def change(self, location: Location) -> Array:
        """What one step of gradient descent adds to a value."""
        if self.lr is None:
            raise NameLookupError("the value after an update needs the learning rate. Give check(..., lr=0.5)")
        return np.asarray(-self.lr * self.gradient(location))

    def learned(self, location: Location) -> bool:
        """Whether it is one of the parameters, which descent changes."""
        assert self.program is not None
        line = self.program.lines[location[0]]
        return line.rule is None and line.tracked

    def function(self, name: str) -> Callable[..., Any]:
        """A function that a letter stands for: sigma is the sigmoid, the others need an alias."""
        for k in readings(name):
            if isinstance(self.aliases.get(k), str) and self.aliases[k] in FUNCTIONS:
                return FUNCTIONS[self.aliases[k]]
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        if parts(name)[0] == "sigma":
            return FUNCTIONS["sigmoid"]
        raise NameLookupError(f"which function is {name}? Say so with aliases={{{name!r}: 'sigmoid'}}")

    # -- gradients -----------------------------------------------------------------------------------------------

    def is_loss(self, name: str) -> bool:
        return self.program is not None and self.graph_name(name) is None and key(name) in LOSSES

    def delta(self, name: str) -> Location | None:
        """What delta_o1 is the gradient of: net_o1, or z_o1, or Z_o1; delta^3 that of z^3, delta2 that of z2, dW2 that of the parameter W2.

        delta_S and delta^S are those of a sum S, and delta_j may be that of any layer, where its letter was found to mean one.
        """
        if self.program is None:
            return None
        found = self.in_code(name) or self.of_layer(*parts(name)) or self.of_sum(name)
        return None if found is None else self.program.locate(found)

    def in_code(self, name: str) -> str | None:
        """What dW2 is the gradient of: the parameter W2. What dZ2 is, a sum over samples or a mean, the one who defines it says."""
        assert self.program is not None
        found = self.literally(name[1:]) if name.startswith("d") else None
        return found if found is not None and self.learned(self.program.locate(found)) else None

    def of_layer(self, base: str, sub: str, index: str) -> str | None:
        """The same for delta^o of a layer whose sum is o, and for delta_j where the letter j means a layer."""
        if base != "delta":
            return None
        if not index:
            return next((self.graph_name(joined(z, sub) if sub in self.bindings else z) for z in self.deltas.get(sub, ())), None)
        layer = self.weighted(self.literally(index.strip("()")), WEIGHTED) if index.strip("()").isalpha() else None
        return None if layer is None else self.graph_name(joined(layer, sub))

    def of_sum(self, name: str) -> str | None:
        """The same for delta_o1, delta^3 and delta2, by the names of sums; for delta_S, which says its sum itself."""
        for spelled in self.spellings(name):
            base, sub, index = parts(spelled)
            number = base.removeprefix("delta")
            if base.startswith("delta") and (number.isdigit() or (not number and (sub or index))):
                for stem in SUMS:
                    found = self.weighted(self.literally(joined(stem + number, sub, index)), TERMS)
                    if found is not None:
                        return found
        base, sub, index = parts(name)
        if base != "delta" or not sub:
            return None
        elements = (self.weighted(self.element(joined(stem, sub, index)), TERMS) for stem in SUMS)
        return next(filter(None, elements), None) or self.weighted(self.literally(joined(sub, "", index)), WEIGHTED)

    @cached_property
    def sums(self) -> list[str]:
        """The weighted sums of the layers, from the input on."""
        return [] if self.program is None else [self.program.names[layer.net] for layer in Anatomy.of(self.program).layers]

    def weighted(self, name: str | None, operations: Collection[Any]) -> str | None:
        """The name, if it is that of a weighted sum: delta_S is the gradient of S = W @ x + b."""
        if name is None or self.program is None:
            return None
        rule = self.program.lines[self.program.locate(name)[0]].rule
        given = rule is None and operations is TERMS
        return name if given or (rule is not None and (rule.kind in ("linear", "bilinear") or rule.function in operations)) else None

    def gradient(self, location: Location, name: str = "") -> Array:
        """d(output)/d(line), zero where the output does not depend on it."""
        assert self.program is not None
        place, index = location
        gradient = self.program.gradients.get(place)
        value = np.zeros(self.program.lines[place].shape) if gradient is None else gradient
        self.note(name)
        return np.asarray(value if index is None else value[index])

    def note(self, name: str) -> None:
        if name and name not in self.used:
            self.used.append(name)

    def derivative(self, upper: Expression, lower: Expression, differences: Callable[[Location], Array]) -> Array:
        """d(upper)/d(lower) for two names of the graph; of a formula by differences."""
        if self.program is None:
            raise GraphError(f"the derivative d{upper}/d{lower} needs a graph: check(output, ...)")
        if lower.function is not None or not lower.name:
            raise FormulaError("a derivative is taken with respect to a name")
        below = self.locate(lower.name)
        if below is None:
            raise self.unknown(lower.name)
        if upper.function is not None or not upper.name:
            return differences(below)
        above = self.locate(upper.name)
        if self.is_loss(upper.name) or (above is not None and above[0] == self.program.output.index):
            return self.gradient(below, f"d{upper.name}/d{lower.name}")
        if above is None:
            raise self.unknown(upper.name)
        self.note(f"d{upper.name}/d{lower.name}")
        return self.jacobian(above, below)

    def plain(self, x: Expression) -> str | None:
        """The key of a name that stands for a number and is in no graph."""
        if x.function is not None or not x.name or self.locate(x.name) is not None:
            return None
        return next((k for k in readings(x.name) if isinstance(self.aliases.get(k), float | int | np.generic | np.ndarray)
                     and np.ndim(self.aliases[k]) == 0), None)  # fmt: skip

    def jacobian(self, above: Location, below: Location) -> Array:
        """Shape of upper + shape of lower; its diagonal where only equal elements depend on each other."""
        assert self.program is not None
        program, (place, index) = self.program, above
        shape = program.lines[place].shape
        elements = [index] if index is not None else list(np.ndindex(shape))
        lower = np.zeros(program.lines[below[0]].shape)
        if len(elements) > ROWS or len(elements) * lower.size > JACOBIAN:
            raise FormulaError(f"this derivative has {len(elements)} x {lower.size} elements; it is too large to compute")
        self.spend(len(elements) * len(program))
        rows = [self.row(place, element, below) for element in elements]
        if index is not None:
            return rows[0]
        return diagonal(np.array(rows).reshape(shape + rows[0].shape), shape, rows[0].shape)

    def row(self, place: int, element: tuple[int, ...], below: Location) -> Array:
        assert self.program is not None
        seed = np.zeros(self.program.lines[place].shape)
        seed[element] = 1.0
        found = self.program.reverse(self.program.values, {place: seed}, fit=lambda g, line, user: sum_to(g, line.shape))
        lower = found.get(below[0], np.zeros(self.program.lines[below[0]].shape))
        return np.asarray(lower if below[1] is None else lower[below[1]])


def is_kronecker(name: str) -> bool:
    """Whether a name could be Kronecker's delta_ij."""
    base, sub, above = parts(name)
    return base == "delta" and not above and len(sub) == 2 and sub.isalpha()


def _places(program: Program) -> Iterator[tuple[str, str]]:
    """(name, letter) of parameters and their elements, by their place in the modules."""
    for line in program.lines:
        if line.path:
            yield line.path, program.names[line.index]
            old, new = element_names(line.path, line.shape), element_names(line.name, line.shape)
            yield from ((str(name), str(letter)) for name, letter in zip(old, new, strict=True) if line.shape)


def diagonal(jacobian: Array, upper: tuple[int, ...], lower: tuple[int, ...]) -> Array:
    """The derivatives element by element, where each element depends on its own alone."""
    if not upper or upper != lower:
        return jacobian
    square = jacobian.reshape(int(np.prod(upper)), -1)
    return np.diag(square).reshape(upper) if np.array_equal(square, np.diag(np.diag(square))) else jacobian
