"""``Program``: a recorded graph as data, a line per tensor. Drawing, explaining and checking read this and nothing else.

>>> from tinygrad_bp import Tensor
>>> x = Tensor(3.0, requires_grad=True, name="x")
>>> print(Program.of((x * x + 1).named("y")))
x = 3
t1 = x * x = 9
y = t1 + 1 = 10
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp import expression
from tinygrad_bp.changes import CHANGES, shares_memory
from tinygrad_bp.engine import order
from tinygrad_bp.errors import GraphError, InPlaceError, NameLookupError, ShapeError
from tinygrad_bp.expression import Expression, format_number
from tinygrad_bp.functions import sum_to
from tinygrad_bp.rule import RULES, Rule
from tinygrad_bp.tensor import Array, Name, Params, Tensor, record

SCALAR_LIMIT = 20_000  # operations on single numbers that are still worth unrolling


@dataclass(frozen=True, slots=True)
class Line:
    """One tensor of the graph: a leaf, a constant, or the result of a rule on earlier lines."""

    index: int
    name: str | None
    value: Array
    rule: Rule | None = None
    operands: tuple[int, ...] = ()
    params: Params = None
    tracked: bool = False
    constant: bool = False  # a plain number in the source, not a tensor
    path: str | None = None  # a parameter's place in the modules, where its name is the letter that readers know it by

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.value)


@dataclass(frozen=True)
class Program:
    """The lines of a recorded graph in the order of their creation, and which of them are its outputs."""

    lines: tuple[Line, ...]
    outputs: tuple[int, ...]
    serials: Mapping[int, int]  # a tensor's serial number -> its line

    # -- making one ----------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, *outputs: Tensor) -> Program:
        """The graph behind some tensors. Gradients computed on tensors are tensors too: give them along to see both sweeps."""
        for t in outputs:
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"a Program is read off tensors; got {type(t).__name__}"
                    f"{'. Call it, and give the tensor that it returns' if callable(t) else ''}"
                )
            if not t.tracked:
                raise GraphError(f"{t.label()} was not recorded: nothing it was computed from requires a gradient")
        CHANGES.look_everywhere()
        reader = _Reader()
        for t in order(*outputs):
            reader.read(t)
        return cls(tuple(reader.lines), tuple(reader.places[t.serial] for t in outputs), reader.places)

    # -- looking things up ---------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __str__(self) -> str:
        return "\n".join(self._line_text(line) for line in self.lines if not _is_number(line))

    __repr__ = __str__

    def _line_text(self, line: Line) -> str:
        value = format_number(line.value, 6) if line.value.ndim == 0 else f"array of shape {line.shape}"
        if line.rule is None:
            return f"{self.names[line.index]} = {value}"
        operands = tuple(
            expression.number(self.lines[i].value) if _is_number(self.lines[i]) else expression.symbol(self.names[i]) for i in line.operands
        )
        return f"{self.names[line.index]} = {Expression(line.rule.function, operands, options=line.params or {})} = {value}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each line: its own, made unique where two lines share it, or t1, t2, ... for what has none.

        What is not differentiated, such as data given as it stands, is c1, c2, ...; a number is itself. Where an
        array is called t, and so its elements t1, t2, ..., it is another letter, and likewise where anything is called c or c0.
        """
        taken = {line.name for line in self.lines} | {e for line in self.lines if isinstance(line.name, Name) for e in line.name.elements}
        arrays = {line.name for line in self.lines if line.shape}
        numbered = {name.rstrip("0123456789") for name in taken if name}
        results, constants = _free("tuvsr", taken, arrays), _free("ckq", taken, numbered)
        used: set[str] = set()
        names = []
        for line in self.lines:
            if line.name is None:
                name = format_number(line.value) if _is_number(line) else next(results if line.tracked else constants)
            else:
                name, copy = str(line.name), 1
                while name in used or (copy > 1 and name in taken):
                    copy += 1
                    name = f"{line.name}_{copy}"
            used.add(name)
            names.append(name)
        return tuple(names)

    @cached_property
    def places(self) -> dict[str, int]:
        """Name -> line."""
        return {name: i for i, name in enumerate(self.names) if not self.lines[i].constant}

    def spelled(self, name: str) -> str:
        """The name that readers know a parameter or an element of one by, given the one by its place in the modules."""
        for line in self.lines if name not in self.places else ():
            if line.path and name.startswith(line.path):
                letter, rest = self.names[line.index], name.removeprefix(line.path)
                if not rest and sum(other.path == name for other in self.lines) > 1:
                    raise _several(name)
                if not rest or rest.startswith("["):
                    return letter + rest
                if name in (named := element_names(line.path, line.shape)):
                    return str(element_names(letter, line.shape)[named.index(name)])
        return name

    def place(self, of: str | Tensor) -> int:
        """The line of a name or of a tensor."""
        if isinstance(of, Tensor):
            if of.serial not in self.serials:
                raise NameLookupError(f"{of.label()} is not part of this graph")
            return self.serials[of.serial]
        of = self.spelled(of)
        if sum(line.name == of for line in self.lines) > 1:
            raise _several(of)
        if of not in self.places:
            known = ", ".join(_with_elements(name, self.lines[i]) for name, i in self.places.items() if self.lines[i].name is not None)
            raise NameLookupError(f"the graph has no tensor named {of!r}. Its names are: {known or 'none; use t.named(...)'}")
        return self.places[of]

    @cached_property
    def elements(self) -> dict[str, list[tuple[int, tuple[int, ...]]]]:
        """Element name -> where it is, as (line, index): ``w5`` -> [(the line of W2, (0, 0))]."""
        found: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        for line in self.lines:
            if line.name is not None and line.shape:
                for name, index in zip(element_names(line.name, line.shape), np.ndindex(line.shape), strict=True):
                    found.setdefault(str(name), []).append((line.index, index))
        return found

    def locate(self, of: str | Tensor) -> tuple[int, tuple[int, ...] | None]:
        """(line, None) for a tensor or its name, (line, index) for the name of an element."""
        if not isinstance(of, str | Tensor):
            raise TypeError(f"a tensor of the graph is given itself, or by its name; got {of!r}")
        if isinstance(of, Tensor) or (of := self.spelled(of)) in self.places:
            return self.place(of), None
        found = [(line.index, index) for line in self.lines for index in _element(line, of)]
        if len(found) > 1:
            raise NameLookupError(f"{len(found)} tensors have an element named {of!r}. Give them different names, with t.named(...)")
        return found[0] if found else (self.place(of), None)

    def value(self, name: str) -> Array:
        """The value of a tensor or of an element, by name."""
        place, index = self.locate(name)
        return self.lines[place].value[() if index is None else index]

    @property
    def output(self) -> Line:
        """The one output."""
        return self.lines[self.outputs[0]]

    # -- running it ----------------------------------------------------------------------------------------------

    def replay(self, values: Mapping[int, Any], run: Callable[[Line, Sequence[Any]], Any] | None = None) -> list[Any]:
        """The values of all lines, computed anew from other values of some of them.

        ``run(line, operands)`` says how a line is computed, on arrays by the rule's own function unless told
        otherwise. Nothing here knows of derivatives.
        """
        run = run or (lambda line, operands: line.rule.function(*operands, **(line.params or {})))  # type: ignore[union-attr]
        results: list[Any] = []
        for line in self.lines:
            if line.index in values:
                results.append(values[line.index])
            elif line.rule is None:
                results.append(line.value)
            else:
                results.append(run(line, [results[i] for i in line.operands]))
        return results

    def reverse(
        self,
        values: Sequence[Any],
        seeds: Mapping[int, Any],
        stop: Iterable[int] = (),
        fit: Callable[[Any, Line, Line], Any] = lambda g, line, user: g,
        derivative: Callable[[Line, int, Any, Sequence[Any], Any], Any] | None = None,
    ) -> dict[int, Any]:
        """The chain rule, newest line first, on arrays, tensors or symbols: line -> cotangent.

        ``stop``: lines that collect a cotangent but do not pass it on. ``fit`` may give a cotangent the shape of
        its line, and ``derivative`` another formula in place of the rule's.
        """
        derivative = derivative or (lambda line, i, g, operands, result: line.rule.derivative(i, g, operands, result, line.params))  # type: ignore[union-attr]
        cotangents, stopped = dict(seeds), set(stop) - seeds.keys()
        for line in reversed(self.lines[: max(seeds, default=-1) + 1]):
            g = cotangents.get(line.index)
            if g is None or line.rule is None or line.index in stopped:
                continue
            operands = [values[i] for i in line.operands]
            for i, place in enumerate(line.operands):
                if self.lines[place].constant:
                    continue
                gx = derivative(line, i, g, operands, values[line.index])
                if gx is not None:
                    gx = fit(gx, self.lines[place], line)
                    cotangents[place] = cotangents[place] + gx if place in cotangents else gx
        return cotangents

    @cached_property
    def values(self) -> list[Array]:
        return [line.value for line in self.lines]

    @cached_property
    def gradients(self) -> dict[int, Array]:
        """d(output)/d(line) as arrays, for every line that the output depends on; the output must be a scalar."""
        if self.output.value.size != 1:
            raise GraphError(f"the output has shape {self.output.shape}; gradients are those of a scalar. Take .sum() or .mean()")
        fit = lambda g, line, user: sum_to(g, line.shape)  # noqa: E731  (broadcasting is undone here)
        return self.reverse(self.values, {self.output.index: np.ones_like(self.output.value)}, fit=fit)

    # -- as symbols ----------------------------------------------------------------------------------------------

    @cached_property
    def named(self) -> frozenset[int]:
        """The lines that a reader of the derivation knows by name: leaves, named results and the outputs."""
        return frozenset(line.index for line in self.lines if not line.constant and (line.rule is None or line.name is not None)) | set(
            self.outputs
        )

    @cached_property
    def symbols(self) -> list[Expression]:
        """Each line in terms of the named ones: a name for those, a formula for the others."""
        known = {
            line.index: expression.number(line.value) if line.constant else expression.symbol(self.names[line.index], line.shape)
            for line in self.lines
            if line.constant or line.index in self.named
        }
        return self.replay(known, _symbolic)

    def definition(self, place: int) -> Expression:
        """The formula that computes a named line from other named lines."""
        line = self.lines[place]
        return self.symbols[place] if line.rule is None else _symbolic(line, [self.symbols[i] for i in line.operands])

    def partials(self, place: int) -> dict[int, Expression]:
        """d(line)/d(named line), for each named line that it is computed from directly."""
        values = list(self.symbols)
        values[place] = self.symbols[place]
        ones = expression.apply(np.broadcast_to, 1, shape=self.lines[place].shape)
        found = self.reverse(values, {place: ones}, stop=self.named)
        return {i: found[i] for i in sorted(found) if i in self.named and i != place}

    # -- as single numbers ---------------------------------------------------------------------------------------

    def scalars(self) -> Program:
        """The same computation on single numbers, each with a name of its own: ``w5``, ``net_o1``, ``out_h1``.

        The lines are replayed on arrays of scalar tensors: NumPy itself takes sums and matrix products apart. So
        the result is again a recorded graph, and everything that reads one reads this.
        """
        return self.unrolled[0]

    @cached_property
    def unrolled(self) -> tuple[Program, dict[tuple[int, tuple[int, ...]], int]]:
        """``scalars()``, and where each element of each line went: (line, index) -> line of the unrolled program."""
        cost = sum(self._cost(line) for line in self.lines)
        if cost > SCALAR_LIMIT:
            raise ShapeError(
                f"the graph is too large to unroll: about {cost} operations on single numbers, and {SCALAR_LIMIT} are the limit"
            )
        cells = self.replay({line.index: _scalar_leaf(line) for line in self.lines if line.rule is None}, _unroll)
        program = Program.of(*(cell.tensor for i in self.outputs for cell in np.atleast_1d(cells[i]).flat))
        where = {
            (line.index, index): program.serials[cell.tensor.serial]
            for line in self.lines
            if not line.constant
            for index, cell in np.ndenumerate(cells[line.index])
            if cell.tensor.serial in program.serials
        }
        given = [cell.tensor.serial for line in self.lines if not line.tracked and line.shape for cell in cells[line.index].flat]
        given += [cells[line.index].flat[0].tensor.serial for line in self.lines if not (line.tracked or line.constant or line.shape)]
        inputs = {program.serials[serial] for serial in given if serial in program.serials}
        lines = tuple(replace(line, tracked=line.index not in inputs) for line in program.lines)
        return replace(program, lines=lines), where

    def _cost(self, line: Line) -> int:
        if line.rule is None:
            return 0
        inner = max((self.lines[i].value.size for i in line.operands), default=1) if line.rule.kind != "pointwise" else 1
        return int(
            max(line.value.size, inner)
            if line.rule.kind == "linear"
            else line.value.size * (self.lines[line.operands[0]].shape or (1,))[-1]
        )


class _Reader:
    """Turns tensors, oldest first, into lines."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.places: dict[int, int] = {}
        self.read_first: dict[int, Any] = {}  # line -> what its first reader read

    def read(self, t: Tensor) -> None:
        operands = []
        for x, read in zip(t.inputs, t.arrays, strict=True):
            if not isinstance(x, Tensor):
                operands.append(self.add(None, read, constant=True))
                continue
            if x.serial not in self.places:  # untracked, so not part of the recorded order
                self.places[x.serial] = self.add(x.name, np.array(read))
            self.as_read(x, read, t.serial)
            operands.append(self.places[x.serial])
        # a leaf, and with it every view of one, may be overwritten by the next update
        value = np.array(t.raw) if t.rule is None or getattr(t.raw, "base", None) is not None else np.asarray(t.raw)
        self.places[t.serial] = self.add(t.name, value, t.rule, tuple(operands), t.params, tracked=True)

    def as_read(self, x: Tensor, read: Array, when: int) -> None:
        """Give a line the values that an operation read at a time: the node kept them, if they were replaced and not overwritten."""
        place = self.places[x.serial]
        first: Any = self.read_first.setdefault(place, read)
        if x.changed > when:
            if shares_memory(read, x.raw) or getattr(x, "spoiled", 0) > when:
                raise InPlaceError(
                    f"{x.label()} was changed in place after the graph was recorded, as an optimizer's step does, so the numbers of this "
                    "run are gone. Read the graph before the update, program = tg.Program.of(loss), and give that instead of the loss; "
                    "or run the forward pass again"
                )
            self.lines[place] = replace(self.lines[place], value=np.array(read))
        if first is not read and not np.array_equal(first, read):
            raise InPlaceError(f"{x.label()} was changed while the graph was recorded, so it has no one value. Make a new tensor instead")

    def add(self, name: str | None, value: Array, rule: Rule | None = None, operands: tuple[int, ...] = (), params: Params = None,
            tracked: bool = False, constant: bool = False) -> int:  # fmt: skip
        self.lines.append(Line(len(self.lines), name or None, np.asarray(value), rule, operands, params, tracked, constant))
        return len(self.lines) - 1


def _symbolic(line: Line, operands: Sequence[Expression]) -> Expression:
    assert line.rule is not None
    return replace(expression.apply(line.rule.function, *operands, **(line.params or {})), shape=line.shape)


class _Cell:
    """A scalar tensor inside an object array. NumPy would take a bare tensor for an array and look inside."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def sum(self, axis: Any = None, keepdims: bool = False) -> _Cell:
        """Of an array without axes, which NumPy hands out as the one thing in it."""
        return self


def _cell_operator(function: Any, reflected: bool = False) -> Any:
    def operate(self: _Cell, other: Any) -> _Cell:
        a, b = self.tensor, other.tensor if isinstance(other, _Cell) else other
        return _Cell(record(RULES[function], (b, a) if reflected else (a, b)))

    return operate


for _symbol, _function in {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide}.items():
    setattr(_Cell, f"__{_symbol}__", _cell_operator(_function))
    setattr(_Cell, f"__r{_symbol}__", _cell_operator(_function, reflected=True))


def _cells(values: Iterable[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    cells = np.empty(shape, object)
    for index, value in zip(np.ndindex(shape), values, strict=True):
        cells[index] = value
    return cells


def _several(name: str) -> NameLookupError:
    return NameLookupError(
        f"several tensors of the graph are named {name!r}. Give the tensor itself, or different names, with t.named(...)"
    )


def _with_elements(shown: str, line: Line) -> str:
    """A name with those of its elements, or with its place in the modules."""
    if isinstance(line.name, Name) and line.name.elements:
        return f"{shown} ({', '.join(line.name.elements)})"
    return f"{shown} ({line.path})" if line.path else shown


def _element(line: Line, of: str) -> Iterator[tuple[int, ...]]:
    """The places of the elements with this name, or ``W[1, 0]``; a million names are not made where they cannot be it."""
    if line.name is not None and (found := re.fullmatch(re.escape(line.name) + r"\[(\d+(?:, ?\d+)*)\]", of)):
        index = tuple(map(int, found[1].split(",")))
        yield from [index] if len(index) == len(line.shape) and all(i < n for i, n in zip(index, line.shape, strict=True)) else []
        return
    if line.name is not None and line.shape and (of.startswith(line.name) or isinstance(line.name, Name)):
        names = element_names(line.name, line.shape)
        yield from (index for name, index in zip(names, np.ndindex(line.shape), strict=True) if name == of)


def _is_number(line: Line) -> bool:
    """Whether it is a number that was written down, and so needs no name."""
    return line.constant and np.ndim(line.value) == 0


def _free(letters: str, taken: Collection[str | None], called: Collection[str | None]) -> Iterator[str]:
    """t1, t2, ... as far as nobody has taken them, with the first letter that nothing is called alone."""
    letter = next((c for c in letters if c not in called), f"{letters[0]}_")
    return (name for k in itertools.count(1) if (name := f"{letter}{k}") not in taken)


def element_names(name: str | None, shape: tuple[int, ...]) -> list[str | None]:
    """Names for the elements of a named array: those it was given, or ``x1, x2``, ``w11, w12``."""
    size = int(np.prod(shape))
    if name is None:
        return [None] * size
    if isinstance(name, Name) and name.elements:
        return list(name.elements)
    kept = tuple(n for n in shape if n != 1)
    if not kept:
        return [str(name)]
    gap = "_" if name[-1].isdigit() else ""
    comma = "_" if max(kept) > 9 else ""
    return [f"{name}{gap}{comma.join(str(i + 1) for i in index)}" for index in np.ndindex(kept)]


def _scalar_leaf(line: Line) -> Any:
    if line.constant and line.value.ndim == 0:
        return line.value[()]
    tensors = [
        _Cell(Tensor(value, requires_grad=line.value.dtype.kind == "f", name=name))
        for value, name in zip(line.value.flat, element_names(line.name, line.shape), strict=True)
    ]
    return _cells(tensors, line.shape)


def _unroll(line: Line, operands: Sequence[Any]) -> Any:
    """One line on arrays of scalar tensors, its results named."""
    rule, params = line.rule, line.params or {}
    assert rule is not None
    if rule.kind == "pointwise":
        apply = np.frompyfunc(
            lambda *cells: _Cell(record(rule, tuple(getattr(c, "tensor", c) for c in cells), line.params)), len(operands), 1
        )
        result = apply(*operands)
    else:
        try:
            result = rule.function(*operands, **params)
        except (TypeError, AttributeError) as error:
            raise GraphError(f"{rule.name} cannot be taken apart into single numbers: it is no sum, product or rearrangement") from error
    if not isinstance(result, np.ndarray):
        result = _cells([result], ())
    for i, cell in np.ndenumerate(result):
        if not isinstance(cell, _Cell):  # a sum of nothing
            result[i] = _Cell(Tensor(float(cell)))
    for cell, name in zip(result.flat, element_names(line.name, line.shape), strict=True):
        if name is not None and cell.tensor.name is None:
            cell.tensor.name = name
    return result
