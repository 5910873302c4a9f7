"""``Cells``: an array whose elements are symbols. NumPy code that runs on it writes itself down, number by number.

It answers to Python's operators, to NumPy's ufuncs and to its functions on shapes, sums and products, so that forward
lines, the formulas of the rules and the updates of the optimizers run on it as they stand.

>>> from tinygrad_bp.expression import symbol
>>> w, x = Cells.of([symbol("w1"), symbol("w2")], (2,)), Cells.of([symbol("x1"), symbol("x2")], (2,))
>>> print(w @ x)
w1 * x1 + w2 * x2
>>> print(1 - np.exp(-w))
[1 - exp(-w1), 1 - exp(-w2)]
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_bp import expression, functions
from tinygrad_bp.errors import CompileError, DtypeError
from tinygrad_bp.expression import Expression, lift, number
from tinygrad_bp.rule import RULES, Rule
from tinygrad_bp.tensor import Tensor

Array = Any

# NumPy's functions on arrays that only move elements or add and multiply them: NumPy itself does so with symbols
STRUCTURAL = frozenset({
    np.sum, np.mean, np.cumsum, np.reshape, np.transpose, np.swapaxes, np.expand_dims, np.squeeze, np.broadcast_to, np.flip, np.roll,
    np.concatenate, np.stack, np.ravel, np.diagonal,
})  # fmt: skip


class Cells(NDArrayOperatorsMixin):
    """Symbols in the shape of an array."""

    __slots__ = ("raw",)
    dtype = np.dtype(float)

    def __init__(self, raw: Any) -> None:
        self.raw: np.ndarray[Any, Any] = raw if isinstance(raw, np.ndarray) else _objects([raw], ())

    @classmethod
    def of(cls, elements: Iterable[Any], shape: tuple[int, ...]) -> Cells:
        """Symbols and numbers, row by row, as an array of this shape."""
        return cls(_objects(list(elements), shape))

    def __str__(self) -> str:
        return str(self.raw[()]) if not self.shape else "[" + ", ".join(map(str, self.raw.flat)) + "]"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raw.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self.raw.ndim

    @property
    def size(self) -> int:
        return self.raw.size

    @property
    def T(self) -> Cells:
        return type(self)(self.raw.T)

    def __getitem__(self, index: Any) -> Cells:
        return type(self)(self.raw[index])

    def reshape(self, *shape: Any) -> Cells:
        return type(self)(self.raw.reshape(*shape))

    def sum(self, axis: Any = None, keepdims: bool = False) -> Cells:
        return _settled(self.raw.sum(axis=axis, keepdims=keepdims))

    def copy(self) -> Cells:
        return self

    def astype(self, dtype: Any) -> Cells:
        if np.dtype(dtype) != self.dtype:
            raise DtypeError(f"the scalar dialect computes in float64; it has no conversion to {np.dtype(dtype)}. Use dialect='matrix'")
        return self

    def map_blocks(self, function: Any, dtype: Any) -> Cells:
        """How functions of numbers that are no ufuncs run on arrays of other libraries."""
        return pointwise(function, self)

    def __and__(self, other: Any) -> Cells:
        return pointwise(np.logical_and, self, other)

    def __bool__(self) -> bool:
        """A branch of the user's code: the program will look whether it would be taken again."""
        (condition,) = self.raw.flat
        return bool(condition.value) if condition.function is None and not condition.name else decide.get()(condition)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise CompileError("this code needs the values as an array, which the scalar dialect does not have. Use dialect='matrix'")

    # -- the three doors -----------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Tensor) for x in args):
            return NotImplemented  # it knows what to do with our kind of array
        if method != "__call__" or kwargs:
            raise not_scalar(ufunc)
        return _matmul(*args) if ufunc is np.matmul else pointwise(ufunc, *args)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if Tensor in types:
            return NotImplemented
        if function in (np.shape, np.ndim, np.size):
            return function(self.raw, *args[1:])
        if function in SPECIAL:
            return SPECIAL[function](*args, **kwargs)
        if function not in STRUCTURAL:
            raise not_scalar(function)
        return _settled(function(*_raw(args), **kwargs))

    def __apply_rule__(self, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for x in (*args, *kwargs.values()):
            if isinstance(x, Tensor):
                return x.__apply_rule__(rule, args, kwargs)
        return run(rule, *rule.bind(args, kwargs))


class Whole(Cells):
    """Symbols for whole numbers, such as those of classes; what is computed from them counts as floats."""

    __slots__ = ()
    dtype = np.dtype(int)

    def astype(self, dtype: Any) -> Cells:
        return self if np.dtype(dtype) == self.dtype else Cells(self.raw).astype(dtype)


def run(rule: Rule, operands: Iterable[Any], params: Any = None) -> Cells:
    """A rule's function on cells: as one step where Python can write it, otherwise by its definition."""
    known = rule.function in SPELLED and not params
    result = pointwise(rule.function, *operands) if known else rule.function(*operands, **(params or {}))
    return result if isinstance(result, Cells) else Cells(lift(result))


def pointwise(function: Any, *args: Any) -> Cells:
    """A function of numbers, element by element, in the words of Python's ``math``."""
    spell = SPELLED.get(function)
    if spell is None:
        rule = RULES.get(function)
        if rule is None or isinstance(function, np.ufunc) or rule.kind != "pointwise":
            raise not_scalar(function)
        return run(rule, args)
    each = np.frompyfunc(lambda *xs: _folded(function, xs) or settled(spell(*xs)), len(args), 1)
    return Cells(each(*map(_operand, args)))


def bound(name: str, formula: Expression) -> Expression:
    """A name that stands for a formula: a symbol that knows what it is."""
    return Expression(None, name=name, value=formula)


def is_known(x: Expression) -> bool:
    """Whether it is a number, or a name that a reader knows."""
    return x.function is None and not x.name.startswith("#")


LARGEST = 12  # operations in a formula before it gets a name; comparing two formulas takes time that grows with their size
_count = itertools.count(1)


def settled(x: Expression) -> Expression:
    """A formula, or, if it is large, a name for it; a leading minus or factor stays in sight of the next simplification."""
    size, stack = 0, [x]
    while stack and size <= LARGEST:
        size += 1
        stack += stack.pop().operands
    if size <= LARGEST:
        return x
    if x.function is np.negative or (x.function is np.multiply and _constant(x.operands[0]) is not None):
        return Expression(x.function, (*x.operands[:-1], settled(x.operands[-1])))
    return bound(f"#{next(_count)}", x)


def _settled(result: Any) -> Cells:
    """What NumPy added or multiplied; of nothing it makes a number of its own."""
    return Cells(np.frompyfunc(lambda x: settled(lift(x)), 1, 1)(result if isinstance(result, np.ndarray) else _objects([result], ())))


def not_scalar(function: Any) -> CompileError:
    name = getattr(function, "__name__", repr(function))
    return CompileError(
        f"{name} cannot be written out on single numbers: it is no sum, no product, no rearrangement and no function of one element. "
        "Use dialect='matrix'"
    )


def _objects(values: list[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """An array of Python objects. NumPy must not look into them, so they go in one by one."""
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = lift(value)
    return array.reshape(shape)


def _operand(x: Any) -> np.ndarray[Any, Any]:
    if isinstance(x, Cells):
        return x.raw
    if isinstance(x, Expression):
        return _objects([x], ())
    if isinstance(x, np.ndarray):
        return meet.get()(x)
    return literals(x)


def literals(x: Any) -> np.ndarray[Any, Any]:
    """An array's elements, or a number, as they are."""
    values = np.asarray(x)
    return _objects([v if values.ndim else x for v in values.flat], values.shape)


meet: ContextVar[Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = ContextVar("meet", default=literals)
"""What stands for an array of numbers that meets symbols."""


def _undecided(condition: Expression) -> bool:
    raise CompileError("the scalar dialect cannot decide on a value that is not known before the run. Write np.where(condition, a, b)")


decide: ContextVar[Callable[[Expression], bool]] = ContextVar("decide", default=_undecided)
"""Which way the user's code goes where it asks whether a condition is true."""


def _raw(args: Any) -> Any:
    """Arguments with NumPy's arrays of objects in place of ours; arrays in a list are joined with them."""
    if isinstance(args, Cells):
        return args.raw
    if type(args) not in (list, tuple):
        return args
    mixed = any(isinstance(x, Cells) for x in args)
    return type(args)(_operand(x) if mixed and isinstance(x, np.ndarray) else _raw(x) for x in args)


def _matmul(a: Any, b: Any) -> Cells:
    return _settled(np.matmul(_operand(a), _operand(b)))


def _folded(function: Any, xs: tuple[Expression, ...]) -> Expression | None:
    """The result, where all operands are numbers."""
    if not all(x.function is None and not x.name for x in xs):
        return None
    with np.errstate(all="ignore"):
        return number(function(*[np.float64(x.value) for x in xs])[()])


# -- functions that are no ufuncs --------------------------------------------------------------------------------------


def _extremum(function: Any) -> Callable[..., Cells]:
    """np.max as np.maximum of the elements, one axis after the other."""

    def reduce(a: Cells, axis: Any = None, keepdims: bool = False) -> Cells:
        two = np.frompyfunc(SPELLED[function], 2, 1)
        axes = range(a.ndim) if axis is None else np.atleast_1d(axis).tolist()
        raw = a.raw
        for i in sorted((i % a.ndim for i in axes), reverse=True):
            raw = np.expand_dims(_objects_of(two.reduce(raw, axis=i)), i) if keepdims else two.reduce(raw, axis=i)
        return Cells(raw)

    return reduce


def _objects_of(x: Any) -> np.ndarray[Any, Any]:
    return x if isinstance(x, np.ndarray) else _objects([x], ())


def _zeros_like(a: Cells, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Cells:
    return Cells(_operand(np.zeros(a.shape if shape is None else shape)))


def _ones_like(a: Cells, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Cells:
    return Cells(_operand(np.ones(a.shape if shape is None else shape)))


def _pad(x: Cells, width: Any) -> Cells:
    padded = np.pad(np.arange(1, x.size + 1).reshape(x.shape), width)
    return Cells.of([x.raw.flat[i - 1] if i else 0 for i in padded.flat], padded.shape)


def _einsum(spec: str, *arrays: Any, optimize: bool = False) -> Cells:
    """The sum over the letters that the result does not have."""
    operands, result = spec.split("->")
    letters = [list(part) for part in operands.split(",")]
    size = {letter: n for part, a in zip(letters, arrays, strict=True) for letter, n in zip(part, np.shape(a), strict=True)}
    summed = [letter for letter in size if letter not in result]
    every = [*result, *summed]
    spread = [
        np.transpose(_operand(a), [part.index(letter) for letter in every if letter in part])
        for part, a in zip(letters, arrays, strict=True)
    ]
    shaped = [a.reshape([size[letter] if letter in part else 1 for letter in every]) for part, a in zip(letters, spread, strict=True)]
    product = functools.reduce(np.multiply, shaped)
    product = np.broadcast_to(product, [size[letter] for letter in every])
    return _settled(product.sum(axis=tuple(range(len(result), len(every)))) if summed else product)


def _fold(function: Any) -> Callable[..., Cells]:
    """np.any, np.all of all elements."""
    return lambda a: functools.reduce(lambda x, y: pointwise(function, x, y), map(Cells, a.raw.flat))


SPECIAL: dict[Any, Callable[..., Any]] = {
    np.any: _fold(np.logical_or), np.all: _fold(np.logical_and),
    np.where: lambda condition, a, b: pointwise(np.where, condition, a, b),
    np.max: _extremum(np.maximum), np.min: _extremum(np.minimum),
    np.zeros_like: _zeros_like, np.ones_like: _ones_like, np.pad: _pad, np.einsum: _einsum,
    np.sinc: lambda x: np.where(x == 0, 1.0, np.sin(math.pi * x) / (math.pi * np.where(x == 0, 1.0, x))),
}  # fmt: skip


# -- how Python writes NumPy's functions of numbers --------------------------------------------------------------------


CALLED = {"exp", "sqrt", "pow", "copysign"}  # functions of Python's math, and builtin ones, that a program may call


def call(name: str) -> Callable[..., Expression]:
    CALLED.add(name)
    return lambda *operands: Expression(name, operands)


def where(condition: Expression, a: Expression, b: Expression) -> Expression:
    if condition.function is None and not condition.name:
        return a if condition.value else b
    return a if a is b else Expression("if", (condition, a, b))


def _divide(a: Expression, b: Expression) -> Expression:
    """A quotient that is divided again stays so: p / (q * q) is not a number where q * q is too large or too small for one."""
    if a.function is np.negative:
        return -_divide(a.operands[0], b)
    return Expression(np.divide, (a, b)) if a.function is np.divide else expression.divide(a, b)


def _equal(a: Expression, b: Expression) -> Expression:
    return expression.apply(np.equal, a, b)


def _constant(x: Expression) -> Any:
    return x.value if x.function is None and not x.name else None


def _maximum(a: Expression, b: Expression, bound: Any = np.greater_equal) -> Expression:
    """The larger of two, and NaN if either is NaN: a comparison with NaN is false, so the side that may be NaN stands last."""
    if _constant(b) is not None:
        return where(expression.apply(bound, b, a), b, a)
    if _constant(a) is not None:
        return where(expression.apply(bound, a, b), a, b)
    return where(_either(expression.apply(bound, a, b), expression.apply(np.not_equal, a, a)), a, b)


def _larger_number(a: Expression, b: Expression, bound: Any = np.greater_equal) -> Expression:
    """The larger of two, or the one that is not NaN."""
    return where(_either(expression.apply(bound, a, b), expression.apply(np.not_equal, b, b)), a, b)


def _either(a: Expression, b: Expression) -> Expression:
    return Expression("or", (a, b))


TRUTHS = (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, "and", "or", "isfinite", "isinf", "isnan")


def _is_truth(x: Expression) -> bool:
    while isinstance(x.value, Expression):
        x = x.value
    return x.function in TRUTHS or isinstance(x.value, bool | np.bool_)


def _add(a: Expression, b: Expression) -> Expression:
    """The sum; of two truth values NumPy makes one, where Python counts."""
    return _either(a, b) if _is_truth(a) and _is_truth(b) else expression.SIMPLIFIED[np.add](a, b)


def _power(a: Expression, b: Expression) -> Expression:
    """Python's ``**`` where it gives real numbers; elsewhere ``pow`` of ``math``, which refuses what is not real."""
    exponent, base = _constant(b), _constant(a)
    if exponent is not None and float(exponent) == 0.5:
        return Expression("sqrt", (a,))
    if (exponent is not None and float(exponent).is_integer()) or (base is not None and base > 0):
        return expression.power(a, b if exponent is None else number(int(exponent)))
    return Expression("pow", (a, b))


def _sign(x: Expression) -> Expression:
    unchanged = _either(_equal(x, number(0)), expression.apply(np.not_equal, x, x))  # 0 and NaN
    return where(unchanged, x, Expression("copysign", (number(1), x)))


def _logaddexp(a: Expression, b: Expression) -> Expression:
    """max(a, b) + log(1 + exp(-|a - b|)), which cannot overflow."""
    apart = _maximum(a, b) + call("log1p")(call("exp")(-call("abs")(a - b)))
    if math.isfinite(_constant(a) or 0.0) and math.isfinite(_constant(b) or 0.0) and not (_constant(a) is _constant(b) is None):
        return apart
    return where(_equal(a, b), a + math.log(2), apart)  # also where both are infinite


def _logaddexp2(a: Expression, b: Expression) -> Expression:
    return _logaddexp(math.log(2) * a, math.log(2) * b) / math.log(2)


SPELLED: dict[Any, Callable[..., Expression]] = {
    np.add: _add,
    **{f: expression.SIMPLIFIED[f] for f in (np.subtract, np.multiply, np.negative, np.square, np.positive)},
    np.divide: _divide,
    **{f: functools.partial(expression.apply, f) for f in (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)},
    **{f: call(f.__name__) for f in (
        np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.sqrt, np.cbrt, np.sin, np.cos, np.tan, np.sinh, np.cosh, np.tanh,
        np.hypot, np.copysign, np.fmod, np.floor, np.ceil, np.trunc, np.isfinite, np.isinf, np.isnan, np.degrees, np.radians,
    )},
    np.arcsin: call("asin"), np.arccos: call("acos"), np.arctan: call("atan"), np.arctan2: call("atan2"),
    np.arcsinh: call("asinh"), np.arccosh: call("acosh"), np.arctanh: call("atanh"),
    np.rad2deg: call("degrees"), np.deg2rad: call("radians"), np.absolute: call("abs"), np.fabs: call("abs"), np.rint: call("round"),
    np.reciprocal: lambda x: _divide(number(1), x),
    np.power: _power, np.float_power: _power, np.sign: _sign,
    np.remainder: lambda a, b: Expression("%", (a, b)), np.floor_divide: lambda a, b: Expression("//", (a, b)),
    np.where: where, np.maximum: _maximum, np.minimum: functools.partial(_maximum, bound=np.less_equal),
    np.fmax: _larger_number, np.fmin: functools.partial(_larger_number, bound=np.less_equal),
    np.logical_and: lambda a, b: Expression("and", (a, b)), np.logical_or: _either,
    np.logical_not: lambda x: _equal(x, number(0)),
    np.logaddexp: _logaddexp, np.logaddexp2: _logaddexp2,
    functions.sigmoid: call("sigmoid"), functions.erf: call("erf"),
}  # fmt: skip
