"""Functions that NumPy does not have, as plain functions on arrays; their derivatives stand in ``rules``.

``row``, ``column``, ``swap`` and the like serve the formulas: they run on arrays, on tensors and on symbols.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy import add, divide, exp, ndarray  # as names of this module they are looked up faster: NumPy has a __getattr__

Array = Any
FEW = 1 << 12  # numbers, up to which BLAS's sum of products is as exact as NumPy's sum by pairs
SMALL_PRODUCT = 1 << 14  # numbers, up to which a product is better asked for as ``dot``, which fills its result with zeros first
SMALL_OPERAND = 1 << 17  # numbers, from which on nobody needs to ask how large the product is
ONE = {np.dtype(t): np.ones((), t) for t in (np.float32, np.float64)}  # NumPy takes an operand of shape () in half the time of the number 1


def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + exp(-x)), elementwise, to a few units in the last place for every x.

    Written with exp(-|x|), which never overflows; the naive form warns at x = -800.

    Source: document "反向传播—BP", step 1; https://www.cnblogs.com/charlotte77/p/5629865.html.

    >>> float(sigmoid(0.3775))
    0.5932699921071872
    """
    one = ONE.get(x.dtype) if isinstance(x, ndarray) and x.ndim and x.size else None
    if one is not None and x.item(x.argmin()) > -87:  # exp(87) fits into float32
        y = -x  # then the naive form is right, and has half the work
        exp(y, y)
        add(y, one, y)
        return divide(one, y, y)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1 + e)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow: the integral of the sigmoid."""
    return np.logaddexp(x, 0.0)


def relu(x: Array) -> Array:
    """max(x, 0). The derivative at 0 is 0, as in PyTorch."""
    return np.maximum(x, 0.0)


def leaky_relu(x: Array, slope: float = 0.01) -> Array:
    """x where x > 0, slope * x elsewhere. The derivative at 0 is the slope."""
    return np.where(x > 0, x, slope * x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, alpha * (exp(x) - 1) elsewhere. Source: Clevert et al. 2015, equation 15."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def erf(x: Array) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x: the C library's, element by element."""
    if hasattr(x, "map_blocks"):  # dask: later, and where each block is
        return x.map_blocks(erf, dtype=x.dtype)
    if isinstance(x, ndarray | np.generic):
        return np.vectorize(math.erf, otypes=[float])(x).astype(x.dtype)
    return erf_by_series(x) if hasattr(x, "dtype") else math.erf(x)


def erf_by_series(x: Array) -> Array:
    """The same for the arrays of other libraries, such as CuPy: exp(-x^2) times a series without cancellation.

    Source: Abramowitz and Stegun 1964, 7.1.6.
    """
    z = np.minimum(np.abs(x), 6.0)  # from there on it is 1
    term = series = z
    for n in range(1, 120):
        term = term * (z * z / (n + 0.5))
        series = series + term
    return np.sign(x) * np.minimum(2 / math.sqrt(math.pi) * np.exp(-z * z) * series, 1.0)


def gelu(x: Array) -> Array:
    """x times the normal distribution function of x. Source: Hendrycks and Gimpel 2016."""
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def silu(x: Array) -> Array:
    """x * sigmoid(x), also called swish."""
    return x * sigmoid(x)


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over ``axis``, shifted by the maximum so that nothing overflows."""
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.reshape(y, np.sum(x, axis=axis).shape)


def log_softmax(x: Array, axis: Any = -1) -> Array:
    """x - logsumexp(x): the logarithm of ``softmax``, without its underflow."""
    return x - logsumexp(x, axis=axis, keepdims=True)


def softmax(x: Array, axis: Any = -1) -> Array:
    """exp(x) / sum(exp(x)) over ``axis``, shifted by the maximum so that nothing overflows."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def cross_entropy(x: Array, target: Array, axis: Any = -1) -> Array:
    """-sum(target * log_softmax(x)) over ``axis``, for targets that add up to 1 along it; 0 log 0 is 0."""
    return np.sum(target * np.where(target == 0, 0.0, logsumexp(x, axis=axis, keepdims=True) - x), axis=axis)


def clamp(x: Array, low: Array, high: Array) -> Array:
    """x, but not below ``low`` and not above ``high``. At a bound the derivative is 1, as in PyTorch."""
    return np.minimum(np.maximum(x, low), high)


def sinc_derivative(x: Array, *, order: int) -> Array:
    """The derivative of ``np.sinc`` of some order, by its power series near 0 and by Leibniz's rule elsewhere.

    x sinc(x) = sin(pi x) / pi, differentiated n times, is x f_n + n f_(n-1) = pi^(n-1) sin(pi x + n pi/2).
    """
    near = np.abs(x) < 0.5 * (1 + order)
    small, large = np.where(near, x, 0.0), np.where(near, 1.0, x)
    series, first = 0.0 * small, (order + 1) // 2
    for k in range(first, first + 30 + 4 * order):
        c = (-1) ** k * math.pi ** (2 * k) * math.perm(2 * k, order) / math.factorial(2 * k + 1)
        series = series + c * small ** (2 * k - order)
    f = np.sinc(large)
    for n in range(1, order + 1):
        f = (math.pi ** (n - 1) * np.sin(math.pi * large + n * math.pi / 2) - n * f) / large
    return np.where(near, series, f)


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """``x @ weight.T + bias``: x (..., in), weight (out, in), bias (out,) or (), result (..., out)."""
    return product(x, weight.T) + bias


def product(a: Array, b: Array) -> Array:
    """``a @ b``; small ones by the method ``dot``, whose call costs half as much.

    But ``dot`` takes 0 times NaN for 0 where the 0 is a whole matrix, of one element, and the other one has more.
    """
    if (
        a.__class__ is b.__class__ is ndarray
        and a.size < SMALL_OPERAND
        and (a.size == 1) is (b.size == 1)
        and 0 < a.ndim < 3
        and 0 < b.ndim < 3
        and len(a) * b.shape[-1] < SMALL_PRODUCT
    ):
        return a.dot(b)
    return a @ b


def half_squared_error(target: Array, output: Array) -> Array:
    """(target - output)^2 / 2 of each output. Source: document "反向传播—BP", step 2.1."""
    return np.square(target - output) / 2


def half_sum_of_squares(target: Array, output: Array) -> Array:
    """The sum of ``half_squared_error`` over everything, without the errors of the single outputs."""
    d = target - output
    if d.__class__ is ndarray and d.size <= FEW and d.dtype in ONE:
        d = d.ravel()
        return d.dot(d) / 2  # unlike np.vdot, this warns of an overflow
    return total(d * d) / 2


def scatter(values: Array, like: Array, *, index: Any) -> Array:
    """Zeros of the shape of ``like`` with ``values`` added at ``index``: the transpose of indexing."""
    if not isinstance(like, ndarray | np.generic):
        return scatter_by_taking(values, like, index)
    result = np.zeros_like(like)
    np.add.at(result, index, values)
    return result


def scatter_by_taking(values: Array, like: Array, index: Any) -> Array:
    """The same for libraries without ``np.add.at``, such as dask and CuPy: axis by axis where the index goes by axes."""
    entries = [e.get() if hasattr(e, "get") else e for e in (index if isinstance(index, tuple) else (index,))]
    arrays = [np.asarray(e) for e in entries if not isinstance(e, _BASIC)]
    joint = len(arrays) > 1 or any(a.ndim != 1 for a in arrays) or (arrays and any(isinstance(e, int | np.integer) for e in entries))
    if joint:  # the positions of several axes belong together: one long axis
        places = np.arange(math.prod(like.shape)).reshape(like.shape)[tuple(entries)]
        return np.reshape(spread(np.reshape(values, (-1,)), 0, math.prod(like.shape), places.ravel()), like.shape)
    each = [np.atleast_1d(np.arange(n)[e]) for n, e in zip(like.shape, _by_axes(entries, like.ndim), strict=True)]
    values = np.reshape(values, tuple(map(len, each)))
    for axis, (n, places) in enumerate(zip(like.shape, each, strict=True)):
        values = spread(values, axis, n, places)
    return values


_BASIC = int | np.integer | slice | type(None) | type(...)


def _by_axes(entries: list[Any], ndim: int) -> list[Any]:
    """What an index says about each axis, with ``...`` and what is left out at the end written out."""
    given = [e for e in entries if e is not None]
    gap = next((i for i, e in enumerate(given) if e is ...), len(given))
    before, after = given[:gap], given[gap + 1 :]
    return [*before, *[slice(None)] * (ndim - len(before) - len(after)), *after]


def spread(values: Array, axis: int, n: int, places: Any) -> Array:
    """Zeros of length ``n`` along one axis, with the i-th slice of ``values`` added at ``places[i]``.

    Each place takes what goes to it, or a slice of zeros; where several slices go to one place, in several rounds.
    """
    if np.array_equal(places, np.arange(n)):
        return values
    order = np.argsort(places, kind="stable")
    places = places[order]
    turn = np.arange(len(places)) - np.searchsorted(places, places)  # 0 for the first slice that goes to a place, then 1 ...
    zero = np.zeros_like(values, shape=(*values.shape[:axis], 1, *values.shape[axis + 1 :]))
    padded, rounds = np.concatenate([values, zero], axis), []
    for k in range(turn.max(initial=0) + 1):
        source = np.full(n, len(places))
        source[places[turn == k]] = order[turn == k]
        rounds.append(padded[(slice(None),) * axis + (source,)])
    return sum(rounds[1:], rounds[0])


def sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """``g`` summed over the axes along which an array of this shape was broadcast.

    Broadcasting copies, and the transpose of a copy is a sum.
    """
    if g.__class__ is ndarray and g.ndim == 2 and len(shape) == 1 and len(g) and g.shape[1] == shape[0] and g.dtype in ONE:  # rows
        return ones(len(g), g.dtype).dot(g) if len(g) > 1 else g[0]
    if g.shape is None:  # a symbol whose shape nobody knows
        return np.sum(g, axis=0) if g.ndim > len(shape) else g
    if isinstance(g, ndarray) and g.size == math.prod(shape):  # one sample: along axes of length 1 there is nothing to add
        return g.reshape(shape)
    extra = g.ndim - len(shape)
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1) if 1 in shape else ()
    if extra:
        g = total(g, 0 if extra == 1 else tuple(range(extra)))
    return total(g, stretched, keepdims=True) if stretched else g


@functools.lru_cache(16)
def ones(n: int, dtype: Any) -> Array:
    """A row of ones, not to be written to: it adds rows by BLAS in half the time of a sum."""
    return np.ones(n, dtype)


def total(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum of an array: the ufunc's own reduction, which is twice as fast as ``np.sum`` where there is little to add."""
    return REDUCE(a, axis, None, None, keepdims) if isinstance(a, ndarray) else a.sum(axis=axis, keepdims=keepdims)


REDUCE: Any = np.add.reduce


def expand(g: Array, like: Array, axis: Any, keepdims: bool) -> Array:
    """``g``, a reduction of ``like`` over ``axis``, copied back along that axis: the transpose of a sum."""
    if isinstance(g, np.generic):  # the usual loss; the same as broadcast_to, four times as fast
        return ndarray(like.shape, g.dtype, g, strides=(0,) * like.ndim)
    if axis is not None and not keepdims and like.ndim:
        axes = {a % like.ndim for a in np.atleast_1d(axis).tolist()}
        g = np.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(like.shape)))
    return np.broadcast_to(g, like.shape)


def count(a: Array, axis: Any) -> Any:
    """How many elements of ``a`` go into one element of a reduction over ``axis``."""
    return a.size if axis is None else math.prod(a.shape[i] for i in np.atleast_1d(axis).tolist())


def swap(a: Array) -> Array:
    """The transpose of a matrix, or of each matrix in a stack."""
    return a.T if a.ndim == 2 else np.swapaxes(a, -1, -2)


def row(a: Array) -> Array:
    """A vector as a matrix of one row; a matrix as it is."""
    return a if a.ndim > 1 else np.reshape(a, (1, -1))


def column(a: Array) -> Array:
    """A vector as a matrix of one column; a matrix as it is."""
    return a if a.ndim > 1 else np.reshape(a, (-1, 1))


def rows(a: Array) -> Array:
    """All leading axes as one: a vector as one row, a stack of matrices as one tall matrix."""
    return a if a.ndim == 2 else np.reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))


def gram(a: Array, b: Array) -> Array:
    """``a.T @ b``, summed over all axes but the last: the outer products of the rows."""
    return product(a.T, b) if a.ndim == 2 else product(rows(a).T, rows(b))


def as_matrix(g: Array, a: Array, b: Array) -> Array:
    """The gradient of ``a @ b`` with the axes put back that ``@`` drops for vectors."""
    if b.ndim == 1:
        g = np.expand_dims(g, -1)
    return np.expand_dims(g, -2) if a.ndim == 1 else g


def as_operand(gb: Array, b: Array) -> Array:
    """The gradient of the right operand of ``@``: a single column becomes a vector again where ``b`` was one."""
    return gb[..., 0] if b.ndim == 1 else gb


def inverse(axes: Any) -> Any:
    """The permutation that undoes ``axes``."""
    if axes is None:
        return None
    axes = np.atleast_1d(axes)
    return tuple(np.argsort(axes % max(axes.size, 1)).tolist())


def opposite(shift: Any) -> Any:
    """The shift back, or shifts where there are several; dask tells the two apart."""
    return tuple(-s for s in shift) if isinstance(shift, tuple | list) else -shift


def share(g: Array, a: Array, y: Array, axis: Any, keepdims: bool) -> Array:
    """``g`` given to the elements of ``a`` that equal the extremum ``y``, in equal shares where several do."""
    hit = a == expand(y, a, axis, keepdims)
    return expand(g, a, axis, keepdims) * hit / np.sum(hit, axis=axis, keepdims=True)


def cumulate(x: Array, *, axis: int) -> Array:
    """Sums from the beginning of an axis up to each element."""
    return np.cumsum(x, axis)


def l2_norm(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The square root of the sum of squares over ``axis``. The derivative at 0 is 0, as in PyTorch."""
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def contract(a: Array, b: Array, *, spec: str) -> Array:
    """Einstein summation of two arrays; in ``spec`` no letter repeats within an operand or belongs to one operand alone."""
    return np.einsum(spec, a, b, optimize=True)


def turned(spec: str, i: int) -> str:
    """The contraction that gives the gradient of operand ``i``: the result takes its place, and it becomes the result."""
    operands, result = spec.split("->")
    both = operands.split(",")
    return f"{result},{both[1 - i]}->{both[i]}"


def solve(a: Array, b: Array) -> Array:
    """x with a @ x = b: a (..., n, n), b (..., n, k)."""
    return np.linalg.solve(a, b)


def log_abs_det(a: Array) -> Array:
    """log |det a| of a matrix, or of each matrix in a stack."""
    return np.linalg.slogdet(a)[1]


def cholesky_pullback(g: Array, y: Array) -> Array:
    """The gradient of ``cholesky``, which reads the lower triangle alone, so that the gradient of the upper is 0.

    Source: Murray 2016, "Differentiation of the Cholesky decomposition", equation 10.
    """
    middle = halved(swap(y) @ g)
    s = swap(np.linalg.inv(y)) @ middle @ np.linalg.inv(y)
    return halved(s + swap(s))


def halved(a: Array) -> Array:
    """The lower triangle, with half of the diagonal."""
    return (np.tril(a) + np.tril(a, -1)) / 2


def pad_zeros(x: Array, *, width: tuple[tuple[int, int], ...]) -> Array:
    """Zeros around an array: (before, after) for each axis."""
    return np.pad(x, width)


def join(*arrays: Array, axis: int, bounds: tuple[int, ...]) -> Array:
    """Arrays one after the other along ``axis``; ``bounds`` are where each begins, and where the last ends."""
    return np.concatenate(arrays, axis)


LN2, LN10 = math.log(2), math.log(10)  # Python's floats: NumPy's would promote float32
