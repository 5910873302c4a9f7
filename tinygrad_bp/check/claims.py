"""``tg.check``: what a claim may be, and what it is compared with."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp.check.diagnosis import CHANGE, by_line
from tinygrad_bp.check.formula import Formula, Written, indices, parse_all
from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.evaluate import FormulaScope, evaluate, literal, rounding
from tinygrad_bp.check.formula.names import UPDATED, key, readings
from tinygrad_bp.check.formula.readable import in_ascii, readable
from tinygrad_bp.check.formula.scope import Location, Scope
from tinygrad_bp.check.report import Report
from tinygrad_bp.check.rows import FULL_PRECISION, ROUNDING, Row, Truth, computed
from tinygrad_bp.check.witness import Witness, witness
from tinygrad_bp.errors import FormulaError, GraphError, NameLookupError, TinygradError
from tinygrad_bp.expression import Expression, symbol
from tinygrad_bp.letters import spoken
from tinygrad_bp.nn import Module
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor

Array = np.ndarray[Any, Any]
LAYOUT = "its transpose is right: derivatives by vectors are in numerator layout, unless a network declares  layout denominator"


def check(
    output: Any,
    claims_or_loss: Any = None,
    /,
    *,
    claims: Any = None,
    inputs: Any = None,
    x: Any = None,
    target: Any = None,
    backward: Callable[..., Mapping[str, Any]] | None = None,
    updated: Mapping[str, Any] | None = None,
    lr: float | None = None,
    aliases: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
) -> Report:
    r"""Compare what was derived by hand with autograd and with a numerical witness.

    ``check(output, claims)``: the output is a scalar tensor or its Program, or ``None`` for formulas of numbers alone.
    ``check(f, claims, inputs=(...))``: a function of tensors, whose parameters give them their names.
    ``check(model, loss, x=..., target=..., claims=...)``: the output is ``loss(model(x), target)``.

    ``claims`` maps names to claims. A name is that of a tensor or an element, and the claim is about the derivative of
    the output by it; ``"w5+"`` is about its value after a step ``w5 - lr * gradient``. A claim is

    - a number or array as read off a page: it agrees if it is right to the digits written, so 0.08 agrees with 0.0822;
      a string such as ``"0.0821670"`` keeps its zeros; so few digits that twice the value would pass are "coarse";
    - a formula as text, in the notation of NumPy, LaTeX or Unicode or a mixture, with names of the graph;
    - a function on plain arrays whose parameters are names of the graph;
    - a tensor.

    Or ``claims`` is a formula or a list of formulas that say on their left what they claim: ``dE/dw5 = ...``,
    ``\frac{\partial E}{\partial w_5} = ...``, ``delta_o1 = ...``, ``w5+ = w5 - eta * ...``, or a name's value,
    ``net_h1 = 0.3775``. Each equality of a chain ``a = b = 0.0821`` is a row of its own. Written numbers count with their
    digits: the rounding of those in the formula adds to that of the result.

    ``backward``: a backward pass written by hand, a function whose parameters are names of the graph and which returns a
    dict of gradients; a parameter of the network that it leaves out is reported as missing. ``updated``: new weights by
    name, after one step with the learning rate ``lr``. ``aliases``: written name -> name in the graph, function, number,
    or formula, such as ``{"y-hat": "out_o", "f": "sigmoid"}``. ``previous``: values of the previous step by name, so that the
    diagnosis can tell where stale ones were used.

    ``W[0, 1]`` is the same element as ``W_{12}``, the one in row 1, column 2. Names are the same if they differ only in
    underscores, braces, spaces and hats. A parameter that is named by its place in a model, ``0.weight``, is known by that
    name and by its letter, W1; the report says which is which. Where the graph has no ``delta_o1``, it is the derivative by
    ``net_o1`` (or ``z_o1``, ``Z_o1``), and ``delta_S`` that by a sum S; E, L, J, C and loss are the output. A formula with
    indices that no sum binds, ``delta_j = \sum_k W_{kj} delta_k ...``, is checked for every value of them. Derivatives inside
    a formula take autograd's value, and the row says so in ``note``.

    A claim whose shape differs from the gradient's is a mistake, also where broadcasting would hide it.

    The witness is a complex step, which is right to the last digits, where the functions allow one, and central differences
    elsewhere; it shares no code with the rules. Where it contradicts autograd, the verdict is "disputed".

    Raises ``FormulaError`` at what cannot be read, with the place, and ``NameLookupError`` for a name that is not known.

    >>> from tinygrad_bp import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> y = (x * x).named("y")
    >>> print(check(y, {"x": lambda x: 2 * x}))
    name  claim  autograd  numerical  rel. error  verdict
    -----------------------------------------------------
    x     6      6         6          0.0e+00     agrees
    1 of 1 claims agree (numerical: complex step)
    >>> check(y, r"\frac{\partial y}{\partial x} = 2 x = 6").ok, check(y, {"x": "2 * x**2"}).ok
    (True, False)
    >>> check(y, "x+ = x - eta * dy/dx = 2.4", lr=0.1).ok
    True
    """
    loss = None
    if claims_or_loss is not None and (isinstance(output, Module) or (x is not None and callable(claims_or_loss))):
        loss = claims_or_loss
    elif claims_or_loss is not None:
        if claims is not None:
            raise TypeError("the claims are given twice. Write check(output, claims) or check(model, loss, claims=...)")
        claims = claims_or_loss
    program = _program(output, loss, inputs, x, target)
    checker = Checker(program, FormulaScope(program, aliases, lr), {name: v for name, v in (("x", x), ("target", target)) if v is not None})
    rows = [*checker.rows({} if claims is None else claims)]
    rows += checker.rows({f"{name}+": value for name, value in (updated or {}).items()})
    if backward is not None:
        rows += checker.backward(backward)
    return Report(tuple(rows), program, lr, checker.previous(previous or {}))


# -- what is checked -------------------------------------------------------------------------------------------------


def _program(output: Any, loss: Any, inputs: Any, x: Any, target: Any) -> Program | None:
    if output is None:
        return None
    if isinstance(output, Module) or loss is not None:
        if loss is None or x is None:
            raise TypeError("to check a model, write check(model, loss, x=..., target=..., claims=...)")
        prediction = output(_tensor(x, "x"))
        output = loss(prediction) if target is None else loss(prediction, _tensor(target, "target"))
        output = output if output.name is not None else output.named("loss")
    elif not isinstance(output, Tensor | Program) and callable(output):
        output = _called(output, inputs)
    program = spoken(output if isinstance(output, Program) else Program.of(output))
    if program.output.value.size != 1:
        raise GraphError(f"the output has shape {program.output.shape}; claims are about the gradient of a scalar")
    return program


def _tensor(value: Any, name: str) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value).named(name)


def _called(function: Callable[..., Any], inputs: Any) -> Any:
    """The function's result, each input a tensor with the name of its parameter."""
    if inputs is None:
        raise TypeError("to check a function, write check(f, claims, inputs=(...))")
    names = list(inspect.signature(function).parameters)
    if isinstance(inputs, Mapping):
        values = [inputs[name] for name in names if name in inputs]
        names = [name for name in names if name in inputs]
    else:
        values = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
    if len(values) > len(names):
        raise TypeError(f"{len(values)} inputs were given, and the function takes {len(names)}")
    tensors = [
        v if isinstance(v, Tensor) else Tensor(v, requires_grad=np.asarray(v).dtype.kind != "b", dtype=float, name=name)
        for name, v in zip(names, values, strict=False)
    ]
    result = function(**dict(zip(names, tensors, strict=False))) if isinstance(inputs, Mapping) else function(*tensors)
    if not isinstance(result, Tensor):
        raise GraphError(f"the function returned a {type(result).__name__}; it must return a tensor computed from its inputs")
    return result if result.name is not None else result.named("y" if "y" not in names else "output")


# -- claims ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """What a claim is about: a gradient, a value after the update, or the change that the update makes."""

    name: str
    location: Location
    updated: bool = False
    change: bool = False


class Checker:
    """Turns claims into rows of the report."""

    def __init__(self, program: Program | None, scope: Scope, given: Mapping[str, Any] | None = None) -> None:
        self.program, self.scope, self.data = program, scope, given or {}  # data that need not be in the graph: classes are not
        self.witnesses: dict[Location, Witness | None] = {}  # which take their time

    def rows(self, claims: Any) -> Iterator[Row]:
        if isinstance(claims, Mapping):
            for name, claim in claims.items():
                yield from self.about(str(name), claim)
        elif isinstance(claims, str) or (isinstance(claims, Sequence) and all(isinstance(c, str) for c in claims)):
            yield from self.written([claims] if isinstance(claims, str) else claims)
        else:
            raise TypeError(f"claims are a dict of name -> claim, or formulas as text; got {type(claims).__name__}")

    def previous(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the previous step by the names of the graph."""
        found = {self.scope.graph_name(name) or name: np.asarray(value, dtype=float) for name, value in values.items()}
        if self.program is not None:
            by_line(self.program, found)  # raises where they do not fit
        return found

    def about(self, name: str, claim: Any) -> Iterator[Row]:
        """The rows of one entry of a dict."""
        target = self.named(name)
        if isinstance(claim, str) and not _is_number(claim):
            (formula, *more) = parse_all(claim, self.scope.known)
            if more:
                raise FormulaError(f"the claim about {name} is one formula; found {claim!r}")
            said = len(formula.members) > 1 and self.target(formula.members[0]) == target
            members = formula.members[1:] if said else formula.members
            yield self.first(target, members[0], formula)
            yield from self.links(members, formula)
            return
        truth = self.truth(target)
        value, tolerance = self.given(claim, truth.expected)
        yield self.row(target.name, value, truth, tolerance, text=str(claim) if isinstance(claim, str) else "", target=target)

    def written(self, texts: Sequence[str]) -> Iterator[Row]:
        """The rows of formulas that say on their left what they are about."""
        last: tuple[Expression, Formula] | None = None
        for text in texts:
            for formula in parse_all(text, self.scope.known):
                if formula.continues:
                    if last is None:
                        raise formula.error(formula.members[0], "this begins with '=', and no formula stands before it")
                    yield self.link(*last, formula.members[0], formula)
                elif len(formula.members) == 1:
                    raise formula.error(formula.members[0], "this claims nothing: expected an equation, such as dE/dw5 = 0.0822")
                yield from self.formula(formula)
                last = formula.members[-1], formula

    def formula(self, formula: Formula) -> list[Row]:
        """The rows of one formula; the letters of its deltas mean the layers for which it holds, and from there on."""
        before, plain, failed = self.scope.deltas, list[Row](), None
        for meant in indices.layers(formula.members, self.scope):
            self.scope.deltas = {**before, **meant}
            try:
                rows = self.instances(formula)
            except TinygradError as error:
                failed = failed or error
                continue
            if all(row.ok for row in rows):
                return rows
            plain = plain or rows
        self.scope.deltas = before
        if failed is not None and not plain:
            raise failed
        return plain

    def instances(self, formula: Formula) -> list[Row]:
        """A row for each equality and each value of the free indices."""
        rows: list[Row] = []
        for letters in indices.instances(formula.members, self.scope) or [{}]:
            with self.scope.instance(letters):
                rows += self.chain(formula)
        return rows

    def chain(self, formula: Formula) -> Iterator[Row]:
        left = formula.members[0]
        target = None if formula.continues else self.assigned(formula) or self.target(left)
        if target is None:
            yield from self.links(formula.members, formula)
        else:
            yield self.first(target, formula.members[1], formula)
            yield from self.links(formula.members[1:], formula)

    def links(self, members: Sequence[Expression], formula: Formula) -> Iterator[Row]:
        for left, right in itertools.pairwise(members):
            yield self.link(left, formula, right, formula)

    # -- what is on the left ---------------------------------------------------------------------------------------

    def named(self, name: str) -> _Target:
        """The target of a name as a dict has it."""
        if self.program is None:
            raise GraphError("claims by name need a graph: check(output, claims)")
        name = f"{self.program.spelled(name[:-1])}+" if name.endswith("+") else self.program.spelled(name)
        if name in self.program.places or name in self.program.elements:
            return _Target(name, self.program.locate(name))
        if name.endswith("+") and (before := self.scope.literally(name[:-1])) is not None:
            return _Target(f"{before}+", self.program.locate(before), updated=True)
        if sum(line.name == name for line in self.program) > 1:
            self.program.place(name)  # raises, with the reason
        try:
            x = self.scope.parse(name).members[0]
        except FormulaError:
            raise self.scope.unknown(name) from None
        target = self.taken(x) if x.function == "take" else self.target(x)
        location = self.scope.locate(x.name) if target is None and x.function is None and x.name else None
        if target is None and location is None:
            self.program.locate(name)
            raise self.scope.unknown(name)
        return target or _Target(self.scope.graph_name(x.name) or name, location or (0, None))

    def target(self, x: Expression) -> _Target | None:
        """The gradient of the output, or the updated value, that an expression names; ``None`` for anything else."""
        if self.program is None:
            return None
        if x.function is fn.gradient or (x.function is fn.derivative and self.is_output(x.operands[0])):
            lower = x.operands[-1]
            if lower.function == "take":
                return self.taken(lower)
            found = self.scope.graph_name(lower.name) if lower.name else None
            return None if found is None else _Target(found, self.program.locate(found))
        if x.function is fn.change and x.operands[0].name and "-" not in x.operands[0].name:
            found = self.scope.graph_name(x.operands[0].name)
            learned = found is not None and self.scope.learned(self.program.locate(found))
            return _Target(f"{CHANGE}{found}", self.program.locate(str(found)), change=True) if learned else None
        if x.function is not None or not x.name:
            return None
        before = self.scope.graph_name(x.name.removesuffix(f"^{UPDATED}"))
        if x.name.endswith(f"^{UPDATED}") and before is not None:
            return _Target(f"{before}+", self.program.locate(before), updated=True)
        if before is None and not any(k in self.scope.aliases for k in readings(x.name)):
            location = self.scope.delta(x.name)
            return None if location is None else _Target(self.name_of(location), location)
        return None

    def taken(self, x: Expression) -> _Target | None:
        """An element in NumPy's notation, ``W[0, 1]``."""
        assert self.program is not None
        name, index = self.scope.graph_name(x.operands[0].name), np.atleast_1d(np.asarray(x.options["index"], dtype=object))
        place, inside = (0, ()) if name is None else self.program.locate(name)
        if name is None or inside is not None or not all(isinstance(i, int) for i in index):
            return None
        shape = self.program.lines[place].shape
        if len(index) != len(shape) or not all(-n <= i < n for i, n in zip(index, shape, strict=True)):
            raise NameLookupError(f"{name} has shape {shape} and no element {name}[{', '.join(map(str, index))}]; indices count from 0")
        location = place, tuple(i % n for i, n in zip(index, shape, strict=True))
        return _Target(self.name_of(location), location)

    def name_of(self, location: Location) -> str:
        assert self.program is not None
        place, index = location
        elements = {where: name for name, places in self.program.elements.items() for where in places}
        return self.program.names[place] if index is None else elements[(place, index)]

    def is_output(self, x: Expression) -> bool:
        assert self.program is not None
        if x.function is not None or not x.name:
            return False
        location = self.scope.locate(x.name)
        return self.scope.is_loss(x.name) or (location is not None and location[0] == self.program.output.index)

    def assigned(self, formula: Formula) -> _Target | None:
        """An update, its left side the new value: w := ..., w = w - ..., v^{(k)} = v^{(k-1)} - ..., or w = 0.4 - ... from the old."""
        left, right = formula.members[0], formula.members[1] if len(formula.members) > 1 else None
        if self.program is None or left.function is not None or not left.name or right is None:
            return None
        name = self.scope.graph_name(left.name)
        again = [n for n in right.names() if self.scope.graph_name(n) == name]
        step = right.function in (np.add, np.subtract) and (bool(again) or (name is not None and self.begins_with(right, name)))
        if name is None or not (formula.assigns or step):
            return None
        return self.target(symbol(f"{name}^{UPDATED}"))

    def begins_with(self, sum_: Expression, name: str) -> bool:
        """Whether the first number of a sum is the value of a parameter, to the digits written."""
        while sum_.function in (np.add, np.subtract):
            sum_ = sum_.operands[0]
        location = self.scope.locate(name)
        if location is None or not self.scope.learned(location) or not isinstance(sum_.value, Written):
            return False
        at = self.scope.at(location)
        return at.size == 1 and bool(np.all(np.abs(at - sum_.value) <= 1.001 * sum_.value.half_unit))

    # -- comparing -------------------------------------------------------------------------------------------------

    def truth(self, target: _Target) -> Truth:
        """The value by autograd, and by the witness."""
        assert self.program is not None
        expected: Any = self.scope.gradient(target.location)
        if target.location not in self.witnesses:
            self.witnesses[target.location] = witness(self.program, *target.location)
        found, step = self.witnesses[target.location], 1.0
        numeric: Any = None if found is None else found.derivative
        if target.updated or target.change:
            if self.scope.lr is None:
                raise NameLookupError(f"the new value {target.name} needs the learning rate. Give check(..., lr=0.5)")
            before, step = (self.scope.at(target.location) if target.updated else 0.0), self.scope.lr
            expected, numeric = before - step * expected, None if numeric is None else before - step * numeric
        if found is None:
            return Truth(np.asarray(expected))
        return Truth(np.asarray(expected), np.asarray(numeric), found.method, abs(step) * (found.doubt + self.cancelling))

    @cached_property
    def cancelling(self) -> float:
        """Rounding errors that a gradient may consist of, if it is zero beside the others."""
        assert self.program is not None
        sizes = [float(np.max(np.abs(g), initial=0.0)) for g in self.program.gradients.values()]
        return 10 * ROUNDING * max(filter(np.isfinite, sizes), default=0.0)

    def first(self, target: _Target, claim: Expression, formula: Formula) -> Row:
        """A formula against what autograd says."""
        truth = self.truth(target)

        def row() -> Row:
            value, tolerance, note = self.member(claim, formula)
            return self.row(target.name, value, truth, tolerance + self.exact(claim, truth.expected), formula.source(claim), target, note)

        return self.either(row)

    def link(self, left: Expression, before: Formula, right: Expression, formula: Formula) -> Row:
        """One equality of a chain: what stands on its left is taken as the truth here."""

        def row() -> Row:
            expected, off, note = self.member(left, before)
            value, tolerance, more = self.member(right, formula)
            if left.function is fn.derivative:
                expected, layout = in_layout(expected, value)
                note = layout or note
            tolerance = tolerance + off + self.exact(right, expected)
            said = in_ascii(readable(before.source(left)))
            name = said if said.isascii() else str(left).replace("^", "")
            return self.row(name, value, Truth(expected), tolerance, formula.source(right), None, note or more)

        return self.either(row)

    def either(self, row: Callable[[], Row]) -> Row:
        """A formula that can be read in two ways is right if one of them is."""
        self.scope.two_readings = False
        found = row()
        if found.ok or not self.scope.two_readings:
            return found
        self.scope.other_reading = True
        try:
            other = row()
        finally:
            self.scope.other_reading = False
        return other if other.ok else found

    def member(self, x: Expression, formula: Formula) -> tuple[Array, Any, str]:
        """Its value, how far off its written numbers let it be, and which gradients of autograd it reads."""
        self.scope.used = []
        value = evaluate(x, formula, self.scope)
        note = f"uses autograd's {', '.join(self.scope.used)}" if self.scope.used else ""
        return value, self.digits(x, value) if literal(x) else rounding(x, formula, self.scope), note

    def digits(self, x: Expression, value: Array) -> Any:
        """Half a unit of the last digit of each number of a literal; none where all 14 digits were written."""
        units = [0.0 if n.value.significant >= FULL_PRECISION else n.value.half_unit for n in _leaves(x)]
        return np.full(value.shape, max(units)) * (1 + 1e-9)

    def exact(self, x: Expression, expected: Array) -> Any:
        """Rounding errors of what was computed; less beside a number as written, whose digits already say it."""
        written = [n.value for n in _leaves(x)] if literal(x) else []
        told = any(n.half_unit for n in written) and all(n.significant < FULL_PRECISION for n in written)
        return ROUNDING * float(np.max(np.abs(expected), initial=0.0)) if told else computed(expected)

    def row(self, name: str, value: Array, truth: Truth, tolerance: Any, text: str = "", target: _Target | None = None,
            note: str = "") -> Row:  # fmt: skip
        if np.ndim(tolerance) and np.shape(tolerance) != np.shape(truth.expected):
            tolerance = float(np.max(tolerance, initial=0.0))
        return Row.of(name, value, truth, tolerance, text, None if target is None else target.name, note)

    def given(self, claim: Any, expected: Array) -> tuple[Array, Any]:
        """A claim that is no formula as an array, and how far off it may be."""
        if callable(claim) and not isinstance(claim, Tensor):
            found = np.asarray(self.call(claim))
            return found.astype(float), computed(expected, found.dtype)
        if isinstance(claim, Tensor):
            return np.asarray(claim.numpy()), computed(expected, claim.dtype)
        value, written = np.asarray(claim, dtype=float), [Written(str(n)) for n in np.asarray(claim).flat]
        if max((n.significant for n in written), default=0) >= FULL_PRECISION:
            return value, computed(expected)
        unit = 0.5 * 10.0 ** -_places(written, claim).reshape(value.shape)
        read = unit * (1 + 1e-9) + ROUNDING * float(np.max(np.abs(expected), initial=0.0))
        kind = getattr(claim, "dtype", None)
        single = kind is not None and kind.kind == "f" and kind.itemsize < 8 and value.shape == np.shape(expected)
        return value, np.maximum(read, computed(expected, kind)) if single else read

    def call(self, claim: Callable[..., Any]) -> Any:
        """Call a claim with the values that its parameters name."""
        try:
            values = {p.name: self.argument(p.name) for p in inspect.signature(claim).parameters.values() if p.default is p.empty}
        except NameLookupError as error:
            raise NameLookupError(f"the claim's parameters are names of the graph: {error}") from None
        return claim(**values)

    def argument(self, name: str) -> Array:
        if self.program is not None and (name in self.program.places or name in self.program.elements):
            return np.asarray(self.program.value(name))
        if name in self.data:
            return np.asarray(self.data[name].numpy() if isinstance(self.data[name], Tensor) else self.data[name])
        base, _, sub = name.partition("_")
        return self.scope.value(f"{base}_{key(sub)}" if sub else base)

    # -- a backward pass written by hand -----------------------------------------------------------------------------

    def backward(self, function: Callable[..., Mapping[str, Any]]) -> Iterator[Row]:
        """A row for each gradient that the function returns, and one for each parameter that it forgot."""
        if self.program is None:
            raise GraphError("a backward pass is checked against a graph: check(model, loss, x=..., target=..., backward=...)")
        found = self.call(function)
        if not isinstance(found, Mapping):
            raise TypeError(f"the backward function returns a dict of name -> gradient; got {type(found).__name__}")
        seen: set[int] = set()
        for name, value in found.items():
            target = self.named(str(name))
            seen.add(target.location[0])
            truth = self.truth(target)
            array = np.asarray(value.numpy() if isinstance(value, Tensor) else value, dtype=float)
            yield self.row(target.name, array, truth, computed(truth.expected), target=target)
        for line in self.program:
            if line.tracked and line.rule is None and line.index not in seen:
                yield Row.missing(self.program.names[line.index], self.truth(_Target(self.program.names[line.index], (line.index, None))))


def in_layout(jacobian: Array, claim: Array) -> tuple[Array, str]:
    """A derivative of a vector by a vector, with its zeros if the claim has them; and what to say if its transpose is right."""
    if jacobian.ndim == 1 and claim.shape == jacobian.shape * 2:
        return np.diag(jacobian), ""
    turned = (
        jacobian.ndim == 2
        and claim.shape == jacobian.shape[::-1]
        and np.allclose(claim, jacobian.T)
        and not np.array_equal(jacobian, jacobian.T)
    )
    return jacobian, LAYOUT if turned else ""


def _places(written: Sequence[Written], claim: Any) -> Array:
    """Decimal places of the numbers of an array. Text has those that it shows; floats have lost their last zeros.

    All floats are taken to have as many decimals as the one with the most, or as many significant digits, whichever is less.
    """
    places, digits = np.array([n.decimals for n in written], dtype=float), np.array([n.significant for n in written])
    if all(isinstance(n, str) for n in np.ravel(np.asarray(claim, dtype=object))):
        return places
    alike = np.where(digits > 0, places + np.max(digits, initial=0) - digits, np.inf)
    return np.asarray(np.minimum(np.max(places, initial=0), alike))


def _leaves(x: Expression) -> list[Expression]:
    """The numbers of a literal."""
    leaves = [x]
    while any(leaf.operands for leaf in leaves):
        leaves = [o for leaf in leaves for o in (leaf.operands or (leaf,))]
    return leaves


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
