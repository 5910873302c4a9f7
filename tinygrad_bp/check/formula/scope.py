"""What the names in a formula stand for: the graph's values, autograd's gradients, the learning rate, aliases."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

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
        self.overrides: dict[Location, Array] = {}
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
        for found in (found for k in keys for found in self.table.get(k, []) if found in self.program.places):
            line = self.program.lines[self.program.places[found]]
            if len(line.shape) == len(places) and all(0 <= i < n for i, n in zip(places, line.shape, strict=True)):
                names = element_names(line.name, line.shape)
                return names[int(np.ravel_multi_index(places, line.shape))]
        return None

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
        if sub and index.strip("()").isdigit() and key(base + index) in self.table:
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
        if parts(name)[2] == UPDATED:
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
        """pi, or an index of a sum: i in i^2."""
        if name == "pi":
            return math.pi
        index = self.bindings.get(name, "")
        return float(index) if index.isdigit() else None

    def at(self, location: Location) -> Array:
        if location in self.overrides:
            return self.overrides[location]
        assert self.program is not None
        place, index = location
        whole: Any = self.overrides.get((place, None), self.program.lines[place].value)
        value = np.asarray(whole[() if index is None else index])
        return value.astype(float) if value.dtype.kind in "biu" else value

    def alias(self, value: Any) -> Array:
        """A number or an array; ``evaluate.FormulaScope`` knows formulas too."""
        return np.asarray(value, dtype=float)

    def updated(self, name: str) -> Array:
        """One step of gradient descent on a named value."""
        before = name.removesuffix(f"^{UPDATED}")
        location = self.locate(before)
        if location is None:
            raise self.unknown(before)
        if self.lr is None:
            raise NameLookupError(f"the updated value {name.replace('^', '')} needs the learning rate. Give check(..., lr=0.5)")
        return np.asarray(self.at(location) - self.lr * self.gradient(location))

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
        """What delta_o1 is the gradient of: net_o1, or z_o1, or Z_o1; delta^3 that of z^3, delta2 that of z2, delta_S that of a sum S."""
        for spelled in self.spellings(name):
            base, sub, index = parts(spelled)
            number = base.removeprefix("delta")
            if base.startswith("delta") and (number.isdigit() or (not number and (sub or index))):
                for stem in SUMS:
                    found = self.literally(joined(stem + number, sub, index))
                    if found is not None and self.program is not None:
                        return self.program.locate(found)
        base, sub, index = parts(name)
        elements = (self.element(joined(stem, sub, index)) for stem in SUMS) if base == "delta" and sub else ()
        first = next(filter(None, elements), None) or (self.called_alone(joined(sub, "", index)) if base == "delta" and sub else None)
        return None if first is None or self.program is None else self.program.locate(first)

    def called_alone(self, name: str) -> str | None:
        """A weighted sum that has a letter of its own: delta_S is the gradient of S = W @ x + b."""
        found = self.literally(name)
        if found is None or self.program is None:
            return None
        rule = self.program.lines[self.program.locate(found)[0]].rule
        return found if rule is not None and (rule.kind == "bilinear" or rule.function in WEIGHTED) else None

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
