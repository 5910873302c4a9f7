r"""The value of a formula. In mathematical notation the shapes decide which product a dot, or nothing, stands for:

- a number with anything: each element times the number;
- a column and a row, ``h \cdot \delta^T``: the outer product; a row and a column: the inner product;
- two columns: with a dot the inner product, or element by element if only that is right; side by side element by element;
- a matrix and a column, a row and a matrix, two matrices whose inner sizes agree: the matrix product;
- two matrices of one shape whose inner sizes do not agree, side by side: element by element.

An array of one dimension is a column, and ``^T`` makes it a row. A column times a row with ``\odot`` is as large as the
outer product, and so is seen to have the wrong shape. ``*``, ``@``, ``.T`` and NumPy's functions mean what NumPy says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.functions import Written
from tinygrad_bp.check.formula.names import key, parts
from tinygrad_bp.check.formula.parser import Formula
from tinygrad_bp.check.formula.scope import Location, Scope, diagonal
from tinygrad_bp.errors import FormulaError, NameLookupError, TinygradError
from tinygrad_bp.expression import Expression
from tinygrad_bp.rule import RULES

Array = np.ndarray[Any, Any]

STEPS = 30_000  # operations, of which a sum sign can ask for any number
TERMS = 10_000
COMPUTED_BOUND = re.compile(r"[-*/^]|^[A-Za-z]\+")  # 2n - 1, or n + 1; nl+1 is the size of layer l+1
ALIASES = 20  # that lead to one another
NUMBERS = 300  # in one member, whose rounding is followed


class Value(NamedTuple):
    array: Array
    turned: str = ""  # "row" for a column after ^T, "column" for a matrix literal with one column


class FormulaScope(Scope):
    """A scope whose aliases may be formulas, which are evaluated in it."""

    depth = 0  # of aliases that lead to aliases

    def alias(self, value: Any) -> Array:
        if not isinstance(value, str):
            return super().alias(value)
        if isinstance(named := self.aliases.get(key(value)), np.ndarray):  # a^(2), which is a name and no formula
            return super().alias(named)
        self.depth += 1
        if self.depth > ALIASES:
            raise FormulaError(f"the alias {value!r} leads back to itself")
        formula = self.parse(value)
        result = evaluate(formula.members[0], formula, self)
        self.depth -= 1
        return result


def evaluate(x: Expression, formula: Formula, scope: Scope, numbers: Mapping[int, float] | None = None) -> Array:
    """The value of one member; ``numbers`` gives written numbers (by id) other values."""
    with np.errstate(all="ignore"):
        return _Evaluator(formula, scope, numbers or {}).run(x).array


def rounding(x: Expression, formula: Formula, scope: Scope) -> Any:
    """How far a value may be off because the numbers in its formula were rounded, to first order.

    A number stands for anything within half a unit of its last digit. Whole numbers are exact, and so are numbers with
    one or two digits or with at most half as many as the longest one in the formula: those were chosen, not computed.
    """
    found = _written(x)
    if len(found) > NUMBERS:
        raise formula.error(x, f"more than {NUMBERS} numbers in one formula. Split it")
    longest = max((leaf.value.significant for leaf in found), default=0)
    rounded = [leaf for leaf in found if leaf.value.half_unit and leaf.value.significant > max(2, longest / 2)]
    if not rounded:
        return 0.0
    counter = _Evaluator(formula, scope, {})
    with np.errstate(all="ignore"):
        value = counter.run(x).array
    if counter.steps * len(rounded) > STEPS:
        raise formula.error(x, f"following the rounding of these numbers takes more than {STEPS} operations. Split the formula")
    moved = (evaluate(x, formula, scope, {id(leaf): leaf.value + leaf.value.half_unit}) for leaf in rounded)
    return sum((np.abs(other - value) for other in moved), np.zeros_like(value))


def literal(x: Expression) -> bool:
    """Whether a member is nothing but a number or a matrix of numbers, as read off a page."""
    if x.function is None:
        return not x.name and isinstance(x.value, Written)
    return x.function in (fn.matrix, fn.turn, np.negative) and all(map(literal, x.operands))


def _written(x: Expression) -> list[Expression]:
    found, todo = [], [x]
    while todo:
        y = todo.pop()
        todo += y.operands
        if isinstance(y.value, Written):
            found.append(y)
    return found


class _Evaluator:
    def __init__(self, formula: Formula, scope: Scope, numbers: Mapping[int, float]) -> None:
        self.formula, self.scope, self.numbers = formula, scope, numbers
        self.steps = 0

    def run(self, x: Expression) -> Value:
        self.steps += 1
        if self.steps > STEPS:
            raise self.formula.error(x, f"computing this takes more than {STEPS} operations")
        try:
            self.scope.spend(1)
            if x.function is None:
                return Value(self.leaf(x))
            if isinstance(x.function, str):
                return self.lettered(x)
            return SPECIAL[x.function](self, x) if x.function in SPECIAL else self.call(x.function, x)
        except FormulaError as error:
            raise error if error.place is not None else self.formula.error(x, str(error)) from None
        except NameLookupError as error:
            raise self.lookup(x, error) from None
        except (TinygradError, ValueError, TypeError, IndexError, np.exceptions.AxisError) as error:
            raise self.formula.error(x, f"this cannot be computed: {error}") from None

    def lookup(self, x: Expression, error: NameLookupError) -> NameLookupError:
        """The same error, with the place shown, once."""
        return error if "\n" in str(error) else NameLookupError(str(self.formula.error(x, str(error))))

    def leaf(self, x: Expression) -> Array:
        if x.name == "...":
            raise self.formula.error(x, "an ellipsis has no value: write the elements out")
        if x.name:
            return self.scope.value(x.name)
        if not isinstance(x.value, float):
            raise self.formula.error(x, f"{x.value} is no number")
        return np.asarray(float(self.numbers.get(id(x), x.value)))

    def limit(self, x: Expression, *shapes: tuple[int, ...]) -> None:
        size = int(np.prod([float(n) for shape in shapes for n in shape]))
        if size > self.scope.size:
            raise self.formula.error(x, f"the result would have {size:.2g} elements, and {self.scope.size:.0e} are the limit")
        self.scope.spend(size // 1000)

    def call(self, function: Any, x: Expression) -> Value:
        """A NumPy function, after a look at the size of what it would make."""
        axes = [int(o.value) for o in x.operands[1:] if function in AXES and o.value is not None]
        values = [self.run(o) for o in (x.operands[:1] if axes else x.operands)]
        rule = RULES.get(function)
        if (isinstance(function, np.ufunc) and function is not np.matmul) or (rule is not None and rule.kind == "pointwise"):
            return self.elementwise(function, x, values)
        arrays = [v.array for v in values]
        if function is np.matmul and all(a.ndim for a in arrays) and len(arrays) == 2:
            inner = arrays[0].shape[-1], arrays[1].shape[-2:][0]
            if inner[0] != inner[1]:
                shapes = f"{arrays[0].shape} and {arrays[1].shape}"
                raise self.formula.error(x, f"a matrix product of shapes {shapes}: the inner sizes {inner[0]} and {inner[1]} do not agree")
            self.limit(x, arrays[0].shape[:-1], arrays[1].shape[-1:] if arrays[1].ndim > 1 else (), arrays[1].shape[:-2])
        elif function in (np.outer, np.dot, np.inner):
            self.limit(x, *(a.shape for a in arrays)) if function is np.outer else self.limit(x, *(a.shape[:-1] for a in arrays))
        elif function is np.diag:
            self.limit(x, arrays[0].shape * 2 if arrays[0].ndim == 1 else ())
        elif function is np.broadcast_to:
            self.limit(x, *(o for o in x.options.values() if isinstance(o, tuple)))
        positional = [v for k, v in x.options.items() if not isinstance(k, str)]
        return Value(np.asarray(function(*arrays, *axes, *positional, **_options(x))))

    def elementwise(self, function: Callable[..., Any], x: Expression, values: list[Value]) -> Value:
        arrays, turned = _aligned(values)
        self.limit(x, np.broadcast_shapes(*(a.shape for a in arrays)))
        return Value(np.asarray(function(*arrays, **(_options(x) if x.function is function else {}))), turned)

    # -- what NumPy has no function for --------------------------------------------------------------------------

    def product(self, x: Expression) -> Value:
        left, right = x.operands
        if left.function is not np.multiply:
            return self.multiplied(x, self.run(left), self.run(right))
        a, b, c = self.run(left.operands[0]), self.run(left.operands[1]), self.run(right)
        return self.before(x, a, b, c) or self.multiplied(x, self.elementwise(np.multiply, left, [a, b]), c)

    def before(self, x: Expression, a: Value, b: Value, c: Value) -> Value | None:
        r"""The matrix product first: a \odot W d is a \odot (W d) if W cannot be what a is multiplied by, element by element.

        Of two that have one shape it could be either; which one is right is tried.
        """
        if not (a.array.ndim and b.array.ndim and c.array.ndim):
            return None
        try:
            product = self.multiplied(x, b, c)
        except FormulaError:
            return None
        if product.array.shape != a.array.shape:
            return None
        alike = a.array.shape == b.array.shape
        self.scope.two_readings |= alike
        return None if (alike and not self.scope.other_reading) else self.elementwise(np.multiply, x, [a, product])

    def multiplied(self, x: Expression, a: Value, b: Value) -> Value:
        if a.array.ndim == 0 or b.array.ndim == 0:
            return self.elementwise(np.multiply, x, [a, b])
        flat, rows = (a.array.ndim == 1, b.array.ndim == 1), (a.turned == "row", b.turned == "row")
        if flat == (True, True) and rows == (False, True):
            self.limit(x, a.array.shape, b.array.shape)
            return Value(np.outer(a.array, b.array))
        columns = flat == (True, True) and rows == (False, False)
        dotted = columns and x.function is fn.dot and a.array.shape == b.array.shape
        self.scope.two_readings |= dotted
        each = columns and (x.function is fn.product or (dotted and self.scope.other_reading))
        if each or (flat == (True, True) and rows == (True, True)):
            return self.elementwise(np.multiply, x, [a, b])
        left = a.array if not flat[0] or rows[0] or flat[1] or b.array.shape[0] == len(a.array) else a.array[:, None]
        right = b.array if not rows[1] else b.array[None, :]
        inner = left.shape[-1], right.shape[-2] if right.ndim > 1 else right.shape[0]
        if inner[0] == inner[1]:
            self.limit(x, left.shape[:-1], right.shape[-1:] if right.ndim > 1 else ())
            turned = "row" if rows[0] and right.ndim > 1 else "column" if b.turned == "column" and left.ndim > 1 else ""
            return Value(np.asarray(left @ right), turned)
        if a.array.shape == b.array.shape and x.function is fn.product:
            return self.elementwise(np.multiply, x, [a, b])
        raise self.formula.error(
            x,
            f"a product of shapes {a.array.shape} and {b.array.shape}: the inner sizes do not agree. "
            "Write \\odot or * for the product element by element, ^T for a transpose",
        )

    def turn(self, x: Expression) -> Value:
        value = self.run(x.operands[0])
        if value.array.ndim == 1:
            return Value(value.array, "" if value.turned == "row" else "row")
        return Value(np.transpose(value.array))

    def matrix(self, x: Expression) -> Value:
        """A literal: nested lists are stacked; a matrix with one column is a column, with one row a row."""
        values = [self.run(o).array for o in x.operands]
        if x.options.get("nested"):
            return Value(np.array(values))
        if any(v.ndim for v in values):
            raise self.formula.error(x, "the elements of a matrix are numbers here, not arrays")
        columns = x.options["columns"]
        rows = len(values) // columns
        if columns == 1:
            return Value(np.array(values), "column")
        return Value(np.array(values), "row") if rows == 1 else Value(np.array(values).reshape(rows, columns))

    def differential(self, x: Expression) -> Value:
        raise self.formula.error(x, "a differential has a value only as part of a derivative, dE/dw")

    def derivative(self, x: Expression) -> Value:
        upper, lower = x.operands
        if upper.function is not None and (name := self.scope.plain(lower)) is not None:
            return Value(self.slope(upper, name))
        found = np.asarray(self.scope.derivative(upper, lower, lambda place: self.differences(upper, place)))
        return Value(found.T if self.scope.denominator and found.ndim == 2 and self.scope.value(lower.name).ndim == 1 else found)

    def gradient(self, x: Expression) -> Value:
        (lower,) = x.operands
        location = self.scope.locate(lower.name) if lower.function is None else None
        if location is None:
            raise self.formula.error(lower, f"the gradient of {lower} is not known: {self.scope.unknown(str(lower))}")
        return Value(self.scope.gradient(location, f"nabla {lower.name}"))

    def change(self, x: Expression) -> Value:
        (lower,) = x.operands
        location = self.scope.locate(lower.name) if lower.function is None else None
        if location is None or "-" in lower.name or not self.scope.learned(location):
            raise self.formula.error(x, f"the change of {lower} is not known: one step of gradient descent changes the parameters")
        return Value(self.scope.change(location))

    def differences(self, upper: Expression, place: Location) -> Array:
        """The derivative of a formula by one of its names, by central differences."""
        at = self.scope.at(place)
        columns = []
        for i in np.ndindex(at.shape):
            h = 6e-6 * max(1.0, abs(float(at[i])))
            sides = []
            for sign in (1, -1):
                moved = np.array(at, dtype=float)
                moved[i] += sign * h
                with self.scope.moved(place, moved):
                    sides.append(self.run(upper).array)
            columns.append((sides[0] - sides[1]) / (2 * h))
        result = np.moveaxis(np.array(columns).reshape(at.shape + columns[0].shape), range(at.ndim), range(-at.ndim, 0))
        return diagonal(result, columns[0].shape, at.shape)

    def slope(self, upper: Expression, name: str) -> Array:
        """The derivative of a formula by a number that is in no graph, by central differences."""
        at, before = float(self.scope.aliases[name]), self.scope.aliases
        h = 6e-6 * max(1.0, abs(at))
        try:
            sides = []
            for moved in (at + h, at - h):
                self.scope.aliases = before | {name: moved}
                sides.append(self.run(upper).array)
        finally:
            self.scope.aliases = before
        return np.asarray((sides[0] - sides[1]) / (2 * h))

    def total(self, x: Expression) -> Value:
        """A sum over an index, by its bounds or as far as the names go; without an index over all elements."""
        (body,) = x.operands
        letter, low, high = (x.options[k] for k in ("letter", "low", "high"))
        if not letter:
            return Value(np.asarray(np.sum(self.run(body).array)))
        first, last = self.bound(low, x) if low else 1, self.bound(high, x) if high else None
        if first is None:
            raise self.formula.error(x, f"the sum begins at {low}, which has no value")
        if last is None and not any(letter == name or letter in parts(name)[1] for name in body.names()):
            raise self.formula.error(x, f"nothing in this sum says where it ends: its index {letter} is not in it")
        result: Value | None = None
        for k in range(first, (first + TERMS if last is None else last) + 1):
            term = self.term(body, letter, k, optional=last is None and k > first)
            if term is None:
                break
            result = term if result is None else self.elementwise(np.add, x, [result, term])
        else:
            if last is None:
                raise self.formula.error(x, f"nothing in this sum says where it ends; it has more than {TERMS} terms")
        return Value(np.asarray(0.0)) if result is None else result

    def absolute(self, x: Expression) -> Value:
        a = self.run(x.operands[0]).array
        if a.size != 1:
            raise self.formula.error(
                x, "bars around an array could be two things: write abs(a) for each element, \\lVert a \\rVert for the norm"
            )
        return Value(np.abs(a))

    def bound(self, text: str, x: Expression) -> int | None:
        """A bound of a sum as a number; ``None`` if it is a letter without a value."""
        if text.isdigit():
            number = float(text)
        elif not text[0].isalpha() or COMPUTED_BOUND.search(text):
            raise self.formula.error(x, f"the bound {text} of this sum is computed: write its number")
        else:
            try:
                number = float(self.scope.value(text))
            except NameLookupError:
                return None
        if number > TERMS or number != int(number):
            raise self.formula.error(x, f"a sum of more than {TERMS} terms" if number > TERMS else f"the bound {number:g} of this sum")
        return int(number)

    def term(self, body: Expression, letter: str, k: int, optional: bool) -> Value | None:
        outer = self.scope.bindings.get(letter)
        self.scope.bindings[letter] = str(k)
        try:
            return self.run(body)
        except NameLookupError:
            if optional:
                return None
            raise
        finally:
            if outer is None:
                del self.scope.bindings[letter]
            else:
                self.scope.bindings[letter] = outer

    def lettered(self, x: Expression) -> Value:
        """f(x) and f'(x) for a function that a letter stands for; an element x[0]."""
        if x.function == "take":
            return Value(np.asarray(self.run(x.operands[0]).array[x.options["index"]]))
        if not x.function.endswith("'"):
            return self.call(self.scope.function(x.function), x)
        function = self.scope.function(x.function[:-1])
        rule = RULES.get(function)
        value = self.run(x.operands[0])
        if rule is None or rule.kind != "pointwise" or len(rule.arguments) != 1:
            raise self.formula.error(x, f"{x.function} is not known: {rule.name if rule else function} does not act on each element alone")
        y = function(value.array)
        return Value(np.asarray(rule.derivative(0, np.ones_like(y), (value.array,), y, None)), value.turned)


AXES = (np.sum, np.mean, np.max, np.min, np.prod, np.swapaxes, np.expand_dims)  # a number after the array is an axis

SPECIAL: dict[Any, Callable[[_Evaluator, Expression], Value]] = {
    fn.product: _Evaluator.product, fn.dot: _Evaluator.product, fn.turn: _Evaluator.turn, fn.matrix: _Evaluator.matrix,
    fn.differential: _Evaluator.differential, fn.derivative: _Evaluator.derivative, fn.gradient: _Evaluator.gradient,
    fn.change: _Evaluator.change,
    fn.total: _Evaluator.total, fn.absolute: _Evaluator.absolute,
}  # fmt: skip


def _options(x: Expression) -> Mapping[str, Any]:
    return {k: v for k, v in x.options.items() if isinstance(k, str)}


def _aligned(values: list[Value]) -> tuple[list[Array], str]:
    """Rows and columns brought into two dimensions where both occur, and what the result then is."""
    wide = [v for v in values if v.array.ndim]
    rows = [v for v in wide if v.turned == "row" and v.array.ndim == 1]
    columns = [v for v in wide if v.turned != "row" and v.array.ndim == 1]
    arrays = [v.array for v in values]
    if rows and columns:
        shaped = [a if a.ndim != 1 else a[None, :] if v.turned == "row" else a[:, None] for a, v in zip(arrays, values, strict=True)]
        return shaped, ""
    if any(v.array.ndim == 2 and v.array.shape[1] == 1 for v in wide):  # a literal beside a column of two dimensions
        arrays = [a[:, None] if v.turned == "column" and a.ndim == 1 else a for a, v in zip(arrays, values, strict=True)]
    kinds = {v.turned for v in wide}
    return arrays, kinds.pop() if len(kinds) == 1 else ""
