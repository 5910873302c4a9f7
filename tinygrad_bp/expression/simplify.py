"""What a person does without thinking while writing a formula down. Nothing here expands, collects or searches.

Shapes are kept: what is written has the shape of what was asked for, as far as shapes are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from functools import reduce, wraps
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.expression.shapes import Shape
from tinygrad_bp.expression.tree import SIMPLIFIED, Expression, apply, call, number, plain_number, take

Simplifier = Callable[..., Expression]


def simplifies(*names: Any) -> Callable[[Simplifier], Simplifier]:
    """Declare what is written for a function."""

    def declare(f: Simplifier) -> Simplifier:
        SIMPLIFIED.update(dict.fromkeys(names, f))
        return f

    return declare


def elementwise(function: Any) -> Callable[[Simplifier], Simplifier]:
    """The same, for a function that works on each element: copies are made after it, and only where they are needed."""

    def declare(f: Simplifier) -> Simplifier:
        @simplifies(function)
        @wraps(f)
        def simplified(*operands: Expression) -> Expression:
            bare = [copied(x) for x in operands]
            if all(x is None for x in bare):
                return f(*operands)
            wanted = call(function, operands).shape
            result = f(*[x if y is None else y for x, y in zip(operands, bare, strict=True)])
            return result if wanted is None or shape(result) == wanted else broadcast_to(result, shape=wanted)

        return simplified

    return declare


def copied(x: Expression) -> Expression | None:
    """What an array of copies has copies of; those of a number may have been put into another shape."""
    if x.function is np.broadcast_to:
        inner = copied(x.operands[0])
        return x.operands[0] if inner is None else inner
    number_of = copied(x.operands[0]) if x.function is np.reshape else None
    return number_of if number_of is not None and shape(number_of) == () else None


def shape(x: Expression) -> Shape | None:
    """Its shape, where it is known; a number's is ()."""
    return () if plain_number(x) is not None and x.shape is None else x.shape


def is_number(x: Expression, n: float) -> bool:
    value = plain_number(x)
    return value is not None and bool(value == n)


def ratio(x: Expression) -> tuple[Any, Any] | None:
    """Numerator and denominator of a plain number, or of a fraction of two, which stays one: 1 / 3."""
    value = plain_number(x)
    if value is not None:
        return value, 1
    parts = [plain_number(part) for part in x.operands] if x.function is np.divide else [None]
    return None if None in parts else (parts[0], parts[1])


def fraction(p: Any, q: Any) -> Expression:
    """p / q as a number, where few digits write it, otherwise as a fraction."""
    short = q != 0 and float(f"{p / q:.6g}") == p / q
    return number(p / q) if short else call(np.divide, (number(p), number(q)))


def coefficient(x: Expression) -> tuple[tuple[Any, Any], Expression]:
    """The number that a formula is a multiple of, as numerator and denominator, and what it multiplies."""
    if (c := ratio(x)) is not None:
        return c, number(1)
    if x.function is np.multiply and (c := ratio(x.operands[0])) is not None:
        return c, x.operands[1]
    if x.function is np.divide and (c := ratio(x.operands[1])) is not None:
        return c[::-1], x.operands[0]
    return (1, 1), x


def negated(x: Expression) -> Expression | None:
    """What stands behind a leading minus, if there is one."""
    value = plain_number(x)
    if value is not None and value < 0:
        return number(-value)
    return x.operands[0] if x.function is np.negative else None


# -- sums and products -------------------------------------------------------------------------------------------------


@elementwise(np.add)
def add(a: Expression, b: Expression) -> Expression:
    if is_number(a, 0):
        return b
    if is_number(b, 0):
        return a
    if (x := plain_number(a)) is not None and (y := plain_number(b)) is not None:
        return number(x + y)
    if (minus := negated(b)) is not None:
        return subtract(a, minus)
    if a.same(b):
        return multiply(number(2), a)
    if a.function is np.add and a.operands[1].same(b):  # p + q + q
        return add(a.operands[0], multiply(number(2), b))
    return call(np.add, (a, b))


@elementwise(np.subtract)
def subtract(a: Expression, b: Expression) -> Expression:
    if is_number(b, 0):
        return a
    if is_number(a, 0):
        return negative(b)
    if (x := plain_number(a)) is not None and (y := plain_number(b)) is not None:
        return number(x - y)
    if (minus := negated(b)) is not None:
        return add(a, minus)
    return call(np.subtract, (a, b))


@elementwise(np.multiply)
def multiply(a: Expression, b: Expression) -> Expression:
    x, y = ratio(a), ratio(b)
    if x is not None and y is not None:
        return fraction(x[0] * y[0], x[1] * y[1])
    if is_number(a, 0) or is_number(b, 0):
        return number(0)
    if is_number(a, 1):
        return b
    if is_number(b, 1):
        return a
    if (minus := negated(a)) is not None:
        return negative(multiply(minus, b))
    if (minus := negated(b)) is not None:
        return negative(multiply(a, minus))
    if x is None and y is not None:  # numbers in front
        return multiply(b, a)
    return _collected(a, b)


def _collected(a: Expression, b: Expression) -> Expression:
    """A product with its numbers together, in front, and with squares as squares."""
    (c, rest), (d, others) = coefficient(a), coefficient(b)
    if c != (1, 1) and d != (1, 1):  # 2 * a * (b / 2)
        return multiply(fraction(c[0] * d[0], c[1] * d[1]), multiply(rest, others))
    if b.function is np.multiply and d != (1, 1):
        return multiply(multiply(b.operands[0], a), others)
    return power(a, number(2)) if a.same(b) else call(np.multiply, (a, b))


@elementwise(np.divide)
def divide(a: Expression, b: Expression) -> Expression:
    x, y = ratio(a), ratio(b)
    if x is not None and y is not None:
        return fraction(x[0] * y[1], x[1] * y[0])
    if is_number(b, 1) or is_number(a, 0):
        return a
    if (minus := negated(a)) is not None:
        return negative(divide(minus, b))
    first, *rest = factors(a)
    if y is not None and y[0] and rest and (c := ratio(first)) is not None:
        return reduce(multiply, rest, fraction(c[0] * y[1], c[1] * y[0]))
    if a.function is np.divide and y is None and a.operands[1].same(b):  # p / q / q
        return divide(a.operands[0], power(b, number(2)))
    return call(np.divide, (a, b))


@elementwise(np.power)
def power(a: Expression, b: Expression) -> Expression:
    x, y = plain_number(a), plain_number(b)
    if x is not None and y is not None:
        return number(x**y)
    if y is not None and y == 0:
        return number(1)
    return a if is_number(b, 1) else call(np.power, (a, b))


@elementwise(np.negative)
def negative(a: Expression) -> Expression:
    if (x := plain_number(a)) is not None:
        return number(-x)
    minus = negated(a)
    return call(np.negative, (a,)) if minus is None else minus


@elementwise(np.square)
def square(a: Expression) -> Expression:
    return power(a, number(2))


def _compared(function: Any) -> None:
    @elementwise(function)
    def compare(a: Expression, b: Expression) -> Expression:
        x, y = plain_number(a), plain_number(b)
        return call(function, (a, b)) if x is None or y is None else number(function(x, y))


for _comparison in (np.equal, np.not_equal, np.greater, np.greater_equal, np.less, np.less_equal):
    _compared(_comparison)


@elementwise(np.where)
def where(condition: Expression, a: Expression, b: Expression) -> Expression:
    return call(np.where, (condition, a, b))


@simplifies(np.positive)
def positive(a: Expression) -> Expression:
    return a


# -- arrays ------------------------------------------------------------------------------------------------------------


# written out: their bodies run on symbols, as x @ weight.T + bias
for _written_out in (functions.linear, functions.half_squared_error, functions.half_sum_of_squares):
    simplifies(_written_out)(_written_out)


def column(x: Expression) -> Expression | None:
    """The vector that was written as a matrix of one column."""
    return _vector(x) if x.shape is not None and x.shape[1:] == (1,) else None


def row(x: Expression) -> Expression | None:
    """The vector that was written as a matrix of one row."""
    return _vector(x) if x.shape is not None and len(x.shape) == 2 and x.shape[0] == 1 else None


def _vector(x: Expression) -> Expression | None:
    inner = x.operands[0] if x.function is np.reshape else None
    return inner if inner is not None and len(shape(inner) or ()) < 2 and shape(inner) is not None else None


@simplifies(np.matmul)
def matmul(a: Expression, b: Expression) -> Expression:
    if (minus := negated(a)) is not None:
        return negative(matmul(minus, b))
    if (minus := negated(b)) is not None:
        return negative(matmul(a, minus))
    left, right = column(a), row(b)
    if left is not None and right is not None:  # a column times a row
        if shape(left) == () or shape(right) == ():
            return reshape(multiply(left, right), shape=call(np.matmul, (a, b)).shape)
        return call(np.outer, (left, right))
    if left is not None and shape(b) == (1,):  # a column times its only number
        return multiply(left, reshape(b, ()))
    if (right := column(b)) is not None and len(shape(a) or ()) == 2 and shape(right) != ():
        return reshape(matmul(a, right), shape=(*a.shape[:-1], 1))  # type: ignore[index]
    if (left := row(a)) is not None and len(shape(b) or ()) == 2 and shape(left) != ():
        return reshape(matmul(left, b), shape=(1, b.shape[-1]))  # type: ignore[index]
    return call(np.matmul, (a, b))


@simplifies(np.transpose)
def transpose(a: Expression, axes: Any = None) -> Expression:
    size = shape(a)
    if axes is not None and (size is None or tuple(axes) != tuple(range(len(size)))[::-1]):
        return call(np.transpose, (a,), {"axes": axes})
    if size is not None and len(size) < 2:
        return a
    if a.function is np.transpose and not a.options:
        return a.operands[0]
    if (minus := negated(a)) is not None:
        return negative(transpose(minus))
    if a.function is np.outer:
        return call(np.outer, a.operands[::-1])
    vector = column(a) if column(a) is not None else row(a)
    if vector is not None:
        return reshape(vector, shape=size[::-1])  # type: ignore[index]
    if a.function is np.matmul and len(size or ()) == 2 and any(x.function is np.transpose for x in a.operands):
        return matmul(*[transpose(x) for x in a.operands[::-1]])
    return call(np.transpose, (a,))


@simplifies(np.swapaxes)
def swapaxes(a: Expression, axis1: int, axis2: int) -> Expression:
    two = len(shape(a) or ()) == 2 and (axis1 - axis2) % 2 == 1
    return transpose(a) if two else call(np.swapaxes, (a,), {"axis1": axis1, "axis2": axis2})


@simplifies(np.reshape)
def reshape(a: Expression, shape: Any) -> Expression:  # NumPy's names
    plain = call(np.reshape, (a,), {"shape": shape})
    if plain.shape is None:
        return plain
    if plain.shape == a.shape:
        return a
    if (minus := negated(a)) is not None:
        return negative(reshape(minus, plain.shape))
    if a.function is np.reshape:
        return reshape(a.operands[0], plain.shape)
    if plain.shape == () and plain_number(a) is not None:
        return a
    return call(np.reshape, (a,), {"shape": plain.shape})


@simplifies(np.expand_dims)
def expand_dims(a: Expression, axis: Any) -> Expression:
    plain = call(np.expand_dims, (a,), {"axis": axis})
    return plain if plain.shape is None else reshape(a, plain.shape)


@simplifies(np.broadcast_to)
def broadcast_to(array: Expression, shape: Any) -> Expression:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    inner = copied(array)
    array = array if inner is None else inner
    same = array.shape == shape or (shape == () and plain_number(array) is not None)
    return array if same else call(np.broadcast_to, (array,), {"shape": shape})


@simplifies(take)
def taken(x: Expression, index: Any) -> Expression:
    plain = call(take, (x,), {"index": index})
    whole = x.function is np.reshape and plain.shape is not None and math.prod(plain.shape) == math.prod(x.shape or (0,))
    return reshape(x, plain.shape) if whole and _basic(index) else plain


def _basic(index: Any) -> bool:
    """Whether an index keeps the order of what it takes."""
    return all(e is None or e is ... or isinstance(e, int) for e in (index if isinstance(index, tuple) else (index,)))


@simplifies(functions.scatter)
def scatter(values: Expression, like: Expression, index: Any) -> Expression:
    copied = values.function is np.broadcast_to and values.operands[0].shape in ((), None)
    return call(functions.scatter, (values.operands[0] if copied else values, like), {"index": index})


@simplifies(np.sum)
def summed(a: Expression, axis: Any = None, keepdims: bool = False) -> Expression:
    if a.shape is not None and axis is not None:
        axis = tuple(sorted(int(i) % max(len(a.shape), 1) for i in np.atleast_1d(axis)))
        axis = None if len(axis) == len(a.shape) else axis[0] if len(axis) == 1 else axis
    options = ({} if axis is None else {"axis": axis}) | ({"keepdims": True} if keepdims else {})
    plain = call(np.sum, (a,), options)
    if a.shape is None or plain.shape is None:
        return plain
    if a.shape == plain.shape or (a.function is np.reshape and math.prod(a.shape) == math.prod(plain.shape)):
        return reshape(a, plain.shape)  # sums of one term each
    if (minus := negated(a)) is not None:
        return negative(summed(minus, axis, keepdims))
    if a.function is np.broadcast_to and a.operands[0].shape in ((), None):
        total = multiply(number(math.prod(a.shape) // max(1, math.prod(plain.shape))), a.operands[0])
        return total if plain.shape == () else broadcast_to(total, plain.shape)
    first, *rest = factors(a)
    if rest and ratio(first) is not None:  # a number goes before the sum
        return multiply(first, summed(product(rest), axis, keepdims))
    return plain


# -- the order of factors ----------------------------------------------------------------------------------------------


def factors(x: Expression) -> list[Expression]:
    """What an elementwise product multiplies, from left to right; a minus counts as -1."""
    if x.function is np.negative:
        return [number(-1), *factors(x.operands[0])]
    return [y for part in x.operands for y in factors(part)] if x.function is np.multiply else [x]


def product(parts: Iterable[Expression]) -> Expression:
    """Their elementwise product. A minus is taken into a difference, where there is one: -(a - b) is b - a."""
    parts = list(parts)
    minus = [x for x in parts if is_number(x, -1)]
    rest = [x for x in parts if not is_number(x, -1)]
    turned = next((i for i, x in enumerate(rest) if x.function is np.subtract), None)
    if len(minus) % 2 and turned is not None:
        rest[turned] = subtract(*rest[turned].operands[::-1])
        minus = []
    result: Expression = reduce(lambda a, b: apply(np.multiply, a, b), rest, number(1))
    return negative(result) if len(minus) % 2 else result


def vectors_last(x: Expression) -> Expression:
    """The same with the matrix before the vector, as where vectors are columns: x @ W.T is W @ x."""
    return _turned(x, lambda a, b: (transpose(b), a) if len(shape(a) or ()) == 1 and len(shape(b) or ()) == 2 else None)


def vectors_first(x: Expression) -> Expression:
    """The same with the vector before the matrix, as where vectors are rows: W @ x is x @ W.T."""
    return _turned(x, lambda a, b: (b, transpose(a)) if len(shape(b) or ()) == 1 and len(shape(a) or ()) == 2 else None)


def oriented(x: Expression, rows: Collection[str], row: bool) -> Expression:
    """The same as a row, or as a column, where the vectors named in ``rows`` are rows and all others columns: (d @ W.T) * h.T."""
    size = shape(x) or ()
    if x.function is None:
        return x if len(size) != 1 or (x.name in rows) == row else call(np.transpose, (x,))
    if x.function is np.outer or (x.function is np.matmul and not size):  # a column and a row, a row and a column
        return call(x.function, tuple(oriented(part, rows, False) for part in x.operands), x.options)
    before = x.function is np.matmul and len(shape(x.operands[0]) or ()) == 1
    same = row if isinstance(x.function, np.ufunc) and x.function is not np.matmul else before
    result = call(x.function, tuple(oriented(part, rows, same) for part in x.operands), x.options)
    return result if len(size) != 1 or same == row else call(np.transpose, (result,))


def _turned(x: Expression, turn: Callable[[Expression, Expression], tuple[Expression, Expression] | None]) -> Expression:
    if x.function is None:
        return x
    operands = tuple(_turned(part, turn) for part in x.operands)
    if x.function is np.matmul:
        operands = turn(*operands) or operands
    return call(x.function, operands, x.options)
