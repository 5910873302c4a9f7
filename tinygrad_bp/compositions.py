"""NumPy's functions that are made of others: what each is, and no derivative, because it follows.

``np.var`` of a tensor, say, is computed by the definition below, step by step, so that its gradients of every order
are those of the steps. Options that a definition does not name are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_bp.errors import NoRuleError
from tinygrad_bp.functions import swap
from tinygrad_bp.rule import RULES, composed
from tinygrad_bp.rules import clamp, contract, cumulate, join, l2_norm, log_abs_det, pad_zeros, scatter, solve
from tinygrad_bp.tensor import Tensor, record

Array = Any


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < max(ndim, 1):
        raise np.exceptions.AxisError(axis, ndim)
    return axis % max(ndim, 1)


def _ndim(x: Any) -> int:
    return int(np.ndim(x))


# -- joining and splitting -------------------------------------------------------------------------------------------


@composed(np.concatenate)
def concatenate(arrays: Sequence[Array], axis: int | None = 0) -> Array:
    if axis is None:
        return concatenate([np.ravel(a) for a in arrays])
    arrays = tuple(map(_array, arrays))
    axis = _axis(axis, _ndim(arrays[0]))
    bounds = (0, *np.cumsum([a.shape[axis] for a in arrays]).tolist())
    return record(join(len(arrays)), arrays, {"axis": axis, "bounds": bounds})


@composed(np.stack)
def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    return concatenate([np.expand_dims(a, axis) for a in arrays], _axis(axis, _ndim(arrays[0]) + 1))


@composed(np.atleast_1d)
def atleast_1d(*arrays: Array) -> Any:
    return _each(lambda a: a if _ndim(a) >= 1 else np.reshape(a, (1,)), arrays)


@composed(np.atleast_2d)
def atleast_2d(*arrays: Array) -> Any:
    return _each(lambda a: a if _ndim(a) >= 2 else np.reshape(a, (1, -1)), arrays)


@composed(np.atleast_3d)
def atleast_3d(*arrays: Array) -> Any:
    return _each(lambda a: a if _ndim(a) >= 3 else np.reshape(a, (*np.shape(a), 1) if _ndim(a) == 2 else (1, -1, 1)), arrays)


def _array(x: Any) -> Array:
    """An array of whatever library, or a list as NumPy's."""
    return x if hasattr(x, "shape") else np.asarray(x)


def _each(f: Any, arrays: Sequence[Array]) -> Any:
    return f(arrays[0]) if len(arrays) == 1 else tuple(map(f, arrays))


@composed(np.vstack)
def vstack(tup: Sequence[Array]) -> Array:
    return concatenate([atleast_2d(a) for a in tup], 0)


@composed(np.hstack)
def hstack(tup: Sequence[Array]) -> Array:
    arrays = [atleast_1d(a) for a in tup]
    return concatenate(arrays, 0 if _ndim(arrays[0]) == 1 else 1)


@composed(np.dstack)
def dstack(tup: Sequence[Array]) -> Array:
    return concatenate([atleast_3d(a) for a in tup], 2)


@composed(np.column_stack)
def column_stack(tup: Sequence[Array]) -> Array:
    return concatenate([a if _ndim(a) >= 2 else np.reshape(a, (-1, 1)) for a in tup], 1)


@composed(np.append)
def append(arr: Array, values: Array, axis: int | None = None) -> Array:
    return concatenate([arr, values], axis)


@composed(np.array_split)
def array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> Any:
    parts = np.array_split(np.arange(ary.shape[axis]), indices_or_sections)
    before = (slice(None),) * _axis(axis, ary.ndim)
    starts = [int(p[0]) if len(p) else 0 for p in parts]
    return [ary[(*before, slice(start, start + len(p)))] for start, p in zip(starts, parts, strict=True)]


@composed(np.split)
def split(ary: Array, indices_or_sections: Any, axis: int = 0) -> Any:
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % indices_or_sections:
        raise ValueError(
            f"{ary.shape[axis]} elements along axis {axis} do not split into {indices_or_sections} equal parts; use np.array_split"
        )
    return array_split(ary, indices_or_sections, axis)


@composed(np.hsplit)
def hsplit(ary: Array, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@composed(np.vsplit)
def vsplit(ary: Array, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 0)


@composed(np.dsplit)
def dsplit(ary: Array, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 2)


# -- shapes ----------------------------------------------------------------------------------------------------------


@composed(np.ravel)
def ravel(a: Array) -> Array:
    return np.reshape(a, (-1,))


@composed(np.squeeze)
def squeeze(a: Array, axis: Any = None) -> Array:
    return np.reshape(a, np.squeeze(np.empty(a.shape), axis).shape)


@composed(np.moveaxis)
def moveaxis(a: Array, source: Any, destination: Any) -> Array:
    moved = np.moveaxis(np.empty(tuple(range(a.ndim))), source, destination) if a.ndim else np.empty(())
    return np.transpose(a, moved.shape)


@composed(np.rollaxis)
def rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    return np.transpose(a, np.rollaxis(np.empty(tuple(range(a.ndim))), axis, start).shape)


@composed(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Array) -> Array:
    return swap(x)


@composed(np.fliplr)
def fliplr(m: Array) -> Array:
    return np.flip(m, 1)


@composed(np.flipud)
def flipud(m: Array) -> Array:
    return np.flip(m, 0)


@composed(np.rot90)
def rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    for _ in range(k % 4):
        m = np.flip(np.swapaxes(m, *axes), axes[0])
    return m


@composed(np.tile)
def tile(A: Array, reps: Any) -> Array:
    reps = tuple(np.atleast_1d(reps).tolist())
    n = max(len(reps), A.ndim)
    shape, reps = (1,) * (n - A.ndim) + A.shape, (1,) * (n - len(reps)) + reps
    spread = np.broadcast_to(np.reshape(A, sum(((1, k) for k in shape), ())), sum(zip(reps, shape, strict=True), ()))
    return np.reshape(spread, tuple(r * k for r, k in zip(reps, shape, strict=True)))


@composed(np.repeat)
def repeat(a: Array, repeats: Any, axis: int | None = None) -> Array:
    if axis is None:
        a, axis = ravel(a), 0
    return take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@composed(np.pad)
def pad(array: Array, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Array:
    width = tuple(map(tuple, np.broadcast_to(np.asarray(pad_width), (array.ndim, 2)).tolist()))
    if mode == "constant":
        return pad_zeros(array, width=width) + np.pad(np.zeros_like(array), width, constant_values=constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise NoRuleError(f"np.pad of a tensor takes the modes constant, edge, reflect, symmetric and wrap; got {mode!r}")
    for axis, (n, w) in enumerate(zip(array.shape, width, strict=True)):
        array = take(array, np.pad(np.arange(n), w, mode=mode), axis)  # type: ignore[call-overload]
    return array


@composed(np.broadcast_arrays)
def broadcast_arrays(*args: Array) -> tuple[Array, ...]:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(a, shape) for a in args)


@composed(np.meshgrid)
def meshgrid(*xi: Array, indexing: str = "xy") -> tuple[Array, ...]:
    n = len(xi)
    grids = [np.reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)]
    out = broadcast_arrays(*grids)
    return tuple(np.swapaxes(a, 0, 1) for a in out) if indexing == "xy" and n > 1 else out


@composed(np.copy)
def copy(a: Array) -> Array:
    return +a


@composed(np.conjugate, np.real)
def real(a: Array) -> Array:
    return +a


@composed(np.nan_to_num)
def nan_to_num(x: Array, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    largest = float(np.finfo(x.dtype).max)
    low, high = -largest if neginf is None else neginf, largest if posinf is None else posinf
    return np.where(np.isnan(x), nan, np.where(x == math.inf, high, np.where(x == -math.inf, low, x)))


# -- parts -----------------------------------------------------------------------------------------------------------


@composed(np.take)
def take(a: Array, indices: Any, axis: int | None = None) -> Array:
    if axis is None:
        return ravel(a)[indices]
    return a[(slice(None),) * _axis(axis, a.ndim) + (_array(indices),)]


@composed(np.take_along_axis)
def take_along_axis(arr: Array, indices: Any, axis: int | None = -1) -> Array:
    if axis is None:
        arr, axis = ravel(arr), 0
    indices = _array(indices)
    grid = list(np.ogrid[tuple(map(slice, arr.shape))])
    grid[axis] = indices
    return arr[tuple(grid)]


@composed(np.compress)
def compress(condition: Any, a: Array, axis: int | None = None) -> Array:
    return take(a, np.flatnonzero(condition), axis)


@composed(np.extract)
def extract(condition: Any, arr: Array) -> Array:
    return ravel(arr)[np.flatnonzero(condition)]


@composed(np.diagonal)
def diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    n, m = a.shape[-2:]
    length = max(0, min(n + min(offset, 0), m - max(offset, 0)))
    k = np.arange(length)
    return a[..., k - min(offset, 0), k + max(offset, 0)]


@composed(np.trace)
def trace(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    return np.sum(diagonal(a, offset, axis1, axis2), axis=-1)


@composed(np.linalg.diagonal)
def linalg_diagonal(x: Array, offset: int = 0) -> Array:
    """Of each matrix in a stack: the last two axes, where ``np.diagonal`` takes the first two."""
    return diagonal(x, offset, -2, -1)


@composed(np.linalg.trace)
def linalg_trace(x: Array, offset: int = 0) -> Array:
    return np.sum(linalg_diagonal(x, offset), axis=-1)


@composed(np.diag)
def diag(v: Array, k: int = 0) -> Array:
    if v.ndim == 2:
        return diagonal(v, k)
    n, i = v.shape[0] + abs(k), np.arange(v.shape[0])
    return scatter(v, np.zeros_like(v, shape=(n, n)), index=(i - min(k, 0), i + max(k, 0)))


@composed(np.diagflat)
def diagflat(v: Array, k: int = 0) -> Array:
    return diag(ravel(v), k)


def _below(m: Array, k: int) -> Array:
    """Where a matrix lies on or below its k-th diagonal."""
    return np.tril(np.ones_like(m, bool), k)


@composed(np.tril)
def tril(m: Array, k: int = 0) -> Array:
    return np.where(_below(m, k), m, 0.0)


@composed(np.triu)
def triu(m: Array, k: int = 0) -> Array:
    return np.where(_below(m, k - 1), 0.0, m)


@composed(np.sort)
def sort(a: Array, axis: int | None = -1) -> Array:
    if axis is None:
        a, axis = ravel(a), 0
    return take_along_axis(a, np.argsort(a, axis=axis, kind="stable"), axis)


@composed(np.partition)
def partition(a: Array, kth: Any, axis: int | None = -1) -> Array:
    if axis is None:
        a, axis = ravel(a), 0
    return take_along_axis(a, np.argpartition(a, kth, axis=axis), axis)


@composed(np.heaviside)
def heaviside(x1: Array, x2: Array) -> Array:
    return np.where(np.equal(x1, 0), x2, np.greater(x1, 0).astype(np.result_type(x1, x2)))


@composed(np.full_like)
def full_like(a: Array, fill_value: Any) -> Array:
    shape = np.shape(a)
    return np.broadcast_to(fill_value, shape) if isinstance(fill_value, Tensor) else np.full_like(a.raw, fill_value)


@composed(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Array], default: Any = 0.0) -> Array:
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = np.where(condition, choice, result)
    return result


@composed(np.clip)
def clip(a: Array, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Array:  # noqa: A002  (NumPy's names)
    low, high = (y if x is None else x for x, y in ((min, a_min), (max, a_max)))
    return clamp(a, -math.inf if low is None else low, math.inf if high is None else high)


# -- reductions ------------------------------------------------------------------------------------------------------


@composed((np.add, "reduce"))
def add_reduce(array: Array, axis: Any = 0, *, keepdims: bool = False) -> Array:
    return np.sum(array, axis=axis, keepdims=keepdims)


@composed((np.multiply, "reduce"))
def multiply_reduce(array: Array, axis: Any = 0, *, keepdims: bool = False) -> Array:
    return prod(array, axis=axis, keepdims=keepdims)


@composed((np.maximum, "reduce"))
def maximum_reduce(array: Array, axis: Any = 0, *, keepdims: bool = False) -> Array:
    return np.max(array, axis=axis, keepdims=keepdims)


@composed((np.minimum, "reduce"))
def minimum_reduce(array: Array, axis: Any = 0, *, keepdims: bool = False) -> Array:
    return np.min(array, axis=axis, keepdims=keepdims)


@composed(np.amax)
def amax(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return np.max(a, axis=axis, keepdims=keepdims)


@composed(np.amin)
def amin(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return np.min(a, axis=axis, keepdims=keepdims)


def _last(a: Array, axis: Any) -> Array:
    """The reduced axes as one axis, the last."""
    if axis is None:
        return np.reshape(a, (-1,))
    axes = [_axis(i, a.ndim) for i in np.atleast_1d(axis).tolist()]
    kept = [i for i in range(a.ndim) if i not in axes]
    return np.reshape(np.transpose(a, (*kept, *axes)), (*(a.shape[i] for i in kept), math.prod(a.shape[i] for i in axes)))


def _kept(y: Array, a: Array, axis: Any, keepdims: bool) -> Array:
    return np.reshape(y, np.sum(np.empty(a.shape), axis=axis, keepdims=True).shape) if keepdims else y


@composed(np.prod)
def prod(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    """Products of halves: right at zeros too, where y / x is not."""
    y = _last(a, axis)
    while y.shape[-1] > 1:
        half = y.shape[-1] // 2
        y = concatenate([y[..., :half] * y[..., half : 2 * half], y[..., 2 * half :]], -1)
    return _kept(y[..., 0] if y.shape[-1] else np.ones(y.shape[:-1], y.dtype), a, axis, keepdims)


@composed(np.cumprod)
def cumprod(a: Array, axis: int | None = None) -> Array:
    """Products over windows of doubling length: right at zeros too."""
    if axis is None:
        a, axis = ravel(a), 0
    y, width = np.moveaxis(a, axis, -1), 1
    while width < y.shape[-1]:
        y = concatenate([y[..., :width], y[..., width:] * y[..., :-width]], -1)
        width *= 2
    return np.moveaxis(y, -1, axis)


@composed(np.cumsum)
def cumsum(a: Array, axis: int | None = None) -> Array:
    return cumulate(ravel(a), axis=0) if axis is None else cumulate(a, axis=axis)


@composed((np.add, "accumulate"))
def add_accumulate(array: Array, axis: int = 0) -> Array:
    return np.cumsum(array, axis=axis)


@composed((np.multiply, "accumulate"))
def multiply_accumulate(array: Array, axis: int = 0) -> Array:
    return cumprod(array, axis)


@composed(np.var)
def var(a: Array, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    squares = np.square(a - np.mean(a, axis=axis, keepdims=True))
    n = a.size if axis is None else math.prod(a.shape[i] for i in np.atleast_1d(axis).tolist())
    return np.sum(squares, axis=axis, keepdims=keepdims) / (n - ddof)


def _root(x: Array, n: float) -> Array:
    """The n-th root of x >= 0, with the derivative 0 at 0, as in PyTorch: there std and norms have their minimum."""
    zero = x == 0
    return np.where(zero, 0.0, np.where(zero, 1.0, x) ** (1 / n))


@composed(np.std)
def std(a: Array, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    return _root(var(a, axis, ddof=ddof, keepdims=keepdims), 2)


@composed(np.median)
def median(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    y = sort(_last(a, axis))
    n = y.shape[-1]
    return _kept((y[..., (n - 1) // 2] + y[..., n // 2]) / 2, a, axis, keepdims)


@composed(np.average)
def average(a: Array, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Array:
    if weights is None:
        return np.mean(a, axis=axis, keepdims=keepdims)
    if np.shape(weights) != np.shape(a):
        weights = np.reshape(weights, tuple(n if i == _axis(axis, a.ndim) else 1 for i, n in enumerate(a.shape)))
    return np.sum(a * weights, axis=axis, keepdims=keepdims) / np.sum(np.broadcast_to(weights, np.shape(a)), axis=axis, keepdims=keepdims)


@composed(np.ptp)
def ptp(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@composed(np.nansum)
def nansum(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return np.sum(np.where(np.isnan(a), 0.0, a), axis=axis, keepdims=keepdims)


@composed(np.nanmean)
def nanmean(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return nansum(a, axis, keepdims=keepdims) / np.sum(~np.isnan(a), axis=axis, keepdims=keepdims).astype(a.dtype)


@composed(np.diff)
def diff(a: Array, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    a = np.moveaxis(a, axis, -1)
    ends = [e if e is None or not _ndim(e) else np.moveaxis(e, axis, -1) for e in (prepend, append)]
    parts = [e if e is None or _ndim(e) else np.broadcast_to(e, (*a.shape[:-1], 1)) for e in ends]
    if prepend is not None or append is not None:
        a = np.concatenate([e for e in (parts[0], a, parts[1]) if e is not None], -1)
    for _ in range(n):
        a = a[..., 1:] - a[..., :-1]
    return np.moveaxis(a, -1, axis)


@composed(np.trapezoid)
def trapezoid(y: Array, x: Any = None, dx: float = 1.0, axis: int = -1) -> Array:
    y = np.moveaxis(y, axis, -1)
    step = dx if x is None else diff(x) if _ndim(x) == 1 else diff(np.moveaxis(x, axis, -1))
    return np.sum(step * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


# -- products --------------------------------------------------------------------------------------------------------


@composed(np.dot)
def dot(a: Array, b: Array) -> Array:
    if not _ndim(a) or not _ndim(b):
        return a * b
    return np.matmul(a, b) if _ndim(b) <= 2 else tensordot(a, b, (-1, -2))


@composed(np.vdot)
def vdot(a: Array, b: Array) -> Array:
    return np.sum(np.ravel(a) * np.ravel(b))


@composed(np.inner)
def inner(a: Array, b: Array) -> Array:
    return a * b if not _ndim(a) or not _ndim(b) else tensordot(a, b, (-1, -1))


@composed(np.outer, np.linalg.outer)
def outer(a: Array, b: Array) -> Array:
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@composed(np.tensordot, np.linalg.tensordot)
def tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    if np.ndim(axes) == 0:
        summed_a, summed_b = list(range(_ndim(a) - axes, _ndim(a))), list(range(axes))
    else:
        summed_a, summed_b = (np.atleast_1d(x).tolist() for x in axes)
    summed_a, summed_b = [i % _ndim(a) for i in summed_a], [i % _ndim(b) for i in summed_b]
    kept_a, kept_b = [i for i in range(_ndim(a)) if i not in summed_a], [i for i in range(_ndim(b)) if i not in summed_b]
    shape_a, shape_b = np.shape(a), np.shape(b)
    n = math.prod(shape_a[i] for i in summed_a)
    left = np.reshape(np.transpose(a, (*kept_a, *summed_a)), (math.prod(shape_a[i] for i in kept_a), n))
    right = np.reshape(np.transpose(b, (*summed_b, *kept_b)), (n, math.prod(shape_b[i] for i in kept_b)))
    return np.reshape(left @ right, (*(shape_a[i] for i in kept_a), *(shape_b[i] for i in kept_b)))


@composed(np.kron)
def kron(a: Array, b: Array) -> Array:
    n = max(_ndim(a), _ndim(b))
    shape_a, shape_b = ((1,) * (n - _ndim(x)) + np.shape(x) for x in (a, b))
    left = np.reshape(a, sum(((k, 1) for k in shape_a), ()))
    right = np.reshape(b, sum(((1, k) for k in shape_b), ()))
    return np.reshape(left * right, tuple(j * k for j, k in zip(shape_a, shape_b, strict=True)))


@composed(np.cross, np.linalg.cross)
def cross(a: Array, b: Array) -> Array:
    x, y = ([v[..., i] for i in range(3)] for v in (a, b))
    return np.stack([x[i] * y[j] - x[j] * y[i] for i, j in ((1, 2), (2, 0), (0, 1))], -1)


@composed(np.convolve)
def convolve(a: Array, v: Array, mode: str = "full") -> Array:
    n, m = len(a), len(v)
    places = np.add.outer(np.arange(n), np.arange(m))
    products = outer(a, v)
    full = scatter(products, np.zeros_like(products, shape=(n + m - 1,)), index=places)
    shorter, longer = min(n, m), max(n, m)
    start, length = {"full": (0, n + m - 1), "same": ((shorter - 1) // 2, longer), "valid": (shorter - 1, longer - shorter + 1)}[mode]
    return full[start : start + length]


@composed(np.polyval)
def polyval(p: Array, x: Array) -> Array:
    y = 0.0 * x
    for i in range(len(p)):
        y = y * x + p[i]
    return y


@composed(np.linspace)
def linspace(start: Array, stop: Array, num: int = 50, endpoint: bool = True) -> Array:
    steps = np.linspace(0.0, 1.0, num, endpoint).astype(np.result_type(start, stop))
    steps = np.reshape(steps, (-1,) + (1,) * max(_ndim(start), _ndim(stop)))
    return start * (1 - steps) + stop * steps


@composed(np.einsum)
def einsum(subscripts: Any, *operands: Any) -> Array:
    """Pair by pair: each pair is a bilinear contraction, and what belongs to one operand alone is done before."""
    if not isinstance(subscripts, str):
        subscripts, operands = _einsum_text(subscripts, *operands)
    letters, result = _einsum_letters(subscripts, operands)
    arrays = list(operands)
    for k, a in enumerate(arrays):
        for c, n in zip(letters[k], np.shape(a), strict=True):  # an axis of length 1 is broadcast against a longer one
            if n == 1 and any(np.shape(b)[q.index(c)] > 1 for q, b in zip(letters, arrays, strict=True) if c in q):
                arrays[k] = np.take(arrays[k], 0, letters[k].index(c))
                letters[k] = letters[k].replace(c, "", 1)
    for k, (a, names) in enumerate(zip(arrays, letters, strict=True)):
        arrays[k], letters[k] = _einsum_alone(a, names, set(result).union(*letters[:k], *letters[k + 1 :]))
    while len(arrays) > 1:
        a, b, *rest = arrays
        p, q, *others = letters
        needed = set(result).union(*others)
        merged = "".join(c for c in dict.fromkeys(p + q) if c in needed)
        a, p = _einsum_alone(a, p, needed | set(q))
        b, q = _einsum_alone(b, q, needed | set(p))
        arrays, letters = [contract(a, b, spec=f"{p},{q}->{merged}"), *rest], [merged, *others]
    return np.transpose(arrays[0], [letters[0].index(c) for c in result])


def _einsum_text(*args: Any) -> tuple[str, tuple[Any, ...]]:
    """``einsum(a, [0, 1], b, [1, 2], [0, 2])`` in letters: ``"AB,BC->AC"`` and the operands."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    words = ["".join("..." if k is Ellipsis else alphabet[k] for k in places) for places in args[1::2]]
    terms = ",".join(words)
    return (f"{terms}->" + "".join("..." if k is Ellipsis else alphabet[k] for k in args[-1]) if len(args) % 2 else terms), args[
        : 2 * len(words) : 2
    ]


def _einsum_letters(subscripts: str, operands: Sequence[Array]) -> tuple[list[str], str]:
    """Letters for every axis, ``...`` and the implied result written out, and axes of length 1 that are broadcast left out."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ValueError(f"einsum {subscripts!r} names {len(terms)} operands; got {len(operands)}")
    fresh = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in subscripts]
    extra = [_ndim(a) - len(t.replace("...", "")) if "..." in t else 0 for t, a in zip(terms, operands, strict=True)]
    dots = fresh[: max(extra, default=0)]
    full = [t.replace("...", "".join(dots[len(dots) - n :])) for t, n in zip(terms, extra, strict=True)]
    if not arrow:
        once = sorted(c for c in set(left) - set(".,") if left.count(c) == 1)
        right = "..." * ("..." in left) + "".join(once)
    for t, a in zip(full, operands, strict=True):
        if len(t) != _ndim(a):
            raise ValueError(f"einsum {subscripts!r} names {len(t)} axes for an operand of shape {np.shape(a)}")
    return full, right.replace("...", "".join(dots))


def _einsum_alone(a: Array, names: str, elsewhere: set[str]) -> tuple[Array, str]:
    """What concerns one operand alone: diagonals of repeated letters, and sums over letters that occur nowhere else."""
    while len(set(names)) < len(names):
        c = next(c for c in names if names.count(c) > 1)
        i = names.index(c)
        j = names.index(c, i + 1)
        a = diagonal(a, 0, i, j)
        names = names[:i] + names[i + 1 : j] + names[j + 1 :] + c
    solo = tuple(i for i, c in enumerate(names) if c not in elsewhere)
    if solo:
        a, names = np.sum(a, axis=solo), "".join(c for c in names if c in elsewhere)
    return a, names


# -- linear algebra --------------------------------------------------------------------------------------------------


@composed(np.linalg.solve)
def linalg_solve(a: Array, b: Array) -> Array:
    return solve(a, np.reshape(b, (-1, 1)))[..., 0] if _ndim(b) == 1 else solve(a, b)


@composed(np.linalg.slogdet)
def slogdet(a: Array) -> Any:
    plain: Any = np.linalg.slogdet(a.raw if isinstance(a, Tensor) else a)
    return plain._replace(logabsdet=log_abs_det(a))


@composed(np.linalg.norm)
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:  # noqa: A002  (NumPy's name)
    pair = axis if isinstance(axis, tuple) and len(axis) == 2 else (0, 1) if axis is None and x.ndim == 2 else None
    if ord is None or (ord == 2 and pair is None) or (ord == "fro" and pair is not None):
        return l2_norm(x, axis=axis, keepdims=keepdims)
    if pair is not None:
        if ord not in (1, -1, math.inf, -math.inf):
            raise NoRuleError(f"np.linalg.norm of a matrix takes ord None, 'fro', 1, -1, inf and -inf on tensors; got {ord!r}")
        inside, outside = (pair[0], pair[1]) if abs(ord) == 1 else (pair[1], pair[0])
        pick = np.max if ord > 0 else np.min
        y = pick(np.sum(np.abs(x), axis=inside, keepdims=True), axis=outside, keepdims=True)
        return y if keepdims else squeeze(y, pair)
    if abs(ord) == math.inf:
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:  # how many are not zero
        return np.sum((x != 0).astype(x.dtype), axis=axis, keepdims=keepdims)
    return _root(np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims), ord)


@composed(np.linalg.matrix_power)
def matrix_power(a: Array, n: int) -> Array:
    if n < 0:
        return matrix_power(np.linalg.inv(a), -n)
    if n == 0:
        return a * 0.0 + np.eye(a.shape[-1], dtype=a.dtype)
    y = None
    while n:
        if n % 2:
            y = a if y is None else y @ a
        n //= 2
        a = a @ a if n else a
    return y


@composed(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Array]) -> Array:
    y = arrays[0]
    for a in arrays[1:]:
        y = y @ a
    return y


# -- statistics ------------------------------------------------------------------------------------------------------


def _without_nan(a: Array, instead: float) -> tuple[Array, Any]:
    """The array with NaNs replaced, and where there were none."""
    good = ~np.isnan(a)
    return np.where(good, a, instead), good


@composed(np.nanprod)
def nanprod(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return prod(_without_nan(a, 1.0)[0], axis, keepdims=keepdims)


@composed(np.nancumsum)
def nancumsum(a: Array, axis: int | None = None) -> Array:
    return cumsum(_without_nan(a, 0.0)[0], axis)


@composed(np.nancumprod)
def nancumprod(a: Array, axis: int | None = None) -> Array:
    return cumprod(_without_nan(a, 1.0)[0], axis)


@composed(np.nanmax)
def nanmax(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return np.max(_without_nan(a, -math.inf)[0], axis=axis, keepdims=keepdims)


@composed(np.nanmin)
def nanmin(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    return np.min(_without_nan(a, math.inf)[0], axis=axis, keepdims=keepdims)


@composed(np.nanvar)
def nanvar(a: Array, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    filled, good = _without_nan(a, 0.0)
    n = np.sum(good, axis=axis, keepdims=True).astype(a.dtype)
    squares = np.square(np.where(good, filled - np.sum(filled, axis=axis, keepdims=True) / n, 0.0))
    return np.sum(squares, axis=axis, keepdims=keepdims) / (np.reshape(n, np.sum(good, axis=axis, keepdims=keepdims).shape) - ddof)


@composed(np.nanstd)
def nanstd(a: Array, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    return _root(nanvar(a, axis, ddof=ddof, keepdims=keepdims), 2)


@composed(np.quantile)
def quantile(a: Array, q: Any, axis: Any = None, *, keepdims: bool = False) -> Array:
    """Linear between the two nearest elements, NumPy's default method; q in [0, 1], a number or an array of them."""
    y = sort(_last(a, axis))
    places = np.asarray(q, float) * (y.shape[-1] - 1)
    below = np.floor(places).astype(int)
    above, part = np.ceil(places).astype(int), (places - below).astype(y.dtype)
    between = y[..., below] * (1 - part) + y[..., above] * part
    first = np.moveaxis(between, tuple(range(between.ndim - part.ndim, between.ndim)), tuple(range(part.ndim)))
    return np.reshape(first, part.shape + np.sum(np.empty(a.shape), axis=axis, keepdims=keepdims).shape)


@composed(np.percentile)
def percentile(a: Array, q: Any, axis: Any = None, *, keepdims: bool = False) -> Array:
    return quantile(a, np.asarray(q, float) / 100, axis, keepdims=keepdims)


@composed(np.cov)
def cov(m: Array, *, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Array:
    m = np.reshape(m, (1, -1)) if _ndim(m) < 2 else m if rowvar else m.T
    centred = m - np.mean(m, axis=1, keepdims=True)
    y = centred @ centred.T / (m.shape[1] - (int(not bias) if ddof is None else ddof))
    return y[0, 0] if m.shape[0] == 1 else y


@composed(np.corrcoef)
def corrcoef(x: Array, *, rowvar: bool = True) -> Array:
    c = cov(x, rowvar=rowvar)
    if not c.ndim:
        return c / c
    spread = np.sqrt(diagonal(c))
    return c / outer(spread, spread)


@composed(np.correlate)
def correlate(a: Array, v: Array, mode: str = "valid") -> Array:
    return convolve(a, np.flip(v), mode) if len(a) >= len(v) else np.flip(convolve(np.flip(a), v, mode))


@composed(np.gradient)
def gradient(f: Array, *varargs: Any, axis: Any = None) -> Any:
    """Central differences inside and one-sided ones at the ends; ``varargs`` is one spacing, a number."""
    if len(varargs) > 1 or any(map(_ndim, varargs)):
        raise NoRuleError("np.gradient of a tensor takes one spacing for all axes, a number")
    step = varargs[0] if varargs else 1.0
    axes = range(f.ndim) if axis is None else np.atleast_1d(axis).tolist()
    found = [_gradient_along(np.moveaxis(f, i, -1), step, i) for i in axes]
    return found[0] if len(found) == 1 else tuple(found)


def _gradient_along(f: Array, step: Any, axis: int) -> Array:
    inside = (f[..., 2:] - f[..., :-2]) / 2
    ends = f[..., 1:2] - f[..., :1], f[..., -1:] - f[..., -2:-1]
    return np.moveaxis(concatenate([ends[0], inside, ends[1]], -1) / step, -1, axis)


@composed(np.interp)
def interp(x: Any, xp: Any, fp: Array, left: Any = None, right: Any = None) -> Array:
    """Piecewise linear through the points (xp, fp), constant outside; the nodes xp are not differentiated."""
    dtype = np.result_type(*(t.dtype for t in (x, fp) if isinstance(t, Tensor)))
    x, fp = (t if isinstance(t, Tensor) else np.asarray(t, dtype) for t in (x, fp))
    plain, xp = x.raw if isinstance(x, Tensor) else x, np.asarray(xp, dtype)
    i = np.clip(np.searchsorted(xp, plain, side="right") - 1, 0, len(xp) - 2)
    part = (np.clip(x, float(xp[0]), float(xp[-1])) - xp[i]) / (xp[i + 1] - xp[i])
    y = fp[i] * (1 - part) + fp[i + 1] * part
    y = y if left is None else np.where(plain < xp[0], left, y)
    return y if right is None else np.where(plain > xp[-1], right, y)


# -- products of stacks, polynomials, more shapes ---------------------------------------------------------------------


@composed(np.vecdot, np.linalg.vecdot)
def vecdot(a: Array, b: Array, *, axis: int = -1) -> Array:
    return np.sum(np.moveaxis(a, axis, -1) * np.moveaxis(b, axis, -1), axis=-1)


@composed(*(f for f in (getattr(np, "matvec", None),) if f))
def matvec(a: Array, b: Array) -> Array:
    return np.matmul(a, np.expand_dims(b, -1))[..., 0]


@composed(*(f for f in (getattr(np, "vecmat", None),) if f))
def vecmat(a: Array, b: Array) -> Array:
    return np.matmul(np.expand_dims(a, -2), b)[..., 0, :]


@composed(np.linalg.matmul)
def linalg_matmul(x1: Array, x2: Array) -> Array:
    return np.matmul(x1, x2)


@composed(np.polyder)
def polyder(p: Array, m: int = 1) -> Array:
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1).astype(p.dtype)
    return p


@composed(np.polyint)
def polyint(p: Array, m: int = 1) -> Array:
    for _ in range(m):
        p = np.append(p / np.arange(len(p), 0, -1).astype(p.dtype), np.zeros(1, p.dtype))
    return p


@composed(np.vander)
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    powers = np.arange(len(x) if N is None else N).astype(x.dtype)
    return np.reshape(x, (-1, 1)) ** (powers if increasing else powers[::-1])


@composed(np.block)
def block(arrays: Any) -> Array:
    def join_along(x: Any, axis: int) -> Array:
        return concatenate([join_along(part, axis + 1) for part in x], axis) if isinstance(x, list) else x[(None,) * (depth - _ndim(x))]

    depth, inner_most = 0, arrays
    while isinstance(inner_most, list):
        depth, inner_most = depth + 1, inner_most[0]
    depth, offset = max(depth, _ndim(inner_most)), max(depth, _ndim(inner_most)) - depth
    return join_along(arrays, offset)


@composed(np.delete)
def delete(arr: Array, obj: Any, axis: int | None = None) -> Array:
    if axis is None:
        arr, axis = ravel(arr), 0
    return take(arr, np.delete(np.arange(arr.shape[axis]), obj), axis)


@composed(np.resize)
def resize(a: Array, new_shape: Any) -> Array:
    return take(a, np.resize(np.arange(a.size), new_shape))


@composed(*(f for f in (getattr(np, "unstack", None),) if f))
def unstack(x: Array, *, axis: int = 0) -> tuple[Array, ...]:
    return tuple(np.moveaxis(x, axis, 0))


@composed(np.astype)
def astype(x: Array, dtype: Any) -> Array:
    return x.astype(dtype)


@composed(np.linalg.vector_norm)
def vector_norm(x: Array, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:  # noqa: A002  (NumPy's name)
    y = norm(_last(x, axis), ord, -1)
    return _kept(y, x, axis, keepdims)


@composed(np.linalg.matrix_norm)
def matrix_norm(x: Array, *, keepdims: bool = False, ord: Any = "fro") -> Array:  # noqa: A002  (NumPy's name)
    return norm(x, ord, (-2, -1), keepdims)


@composed(np.linalg.tensorsolve)
def tensorsolve(a: Array, b: Array) -> Array:
    return np.reshape(linalg_solve(np.reshape(a, (b.size, -1)), ravel(b)), np.shape(a)[_ndim(b) :])


@composed(np.linalg.tensorinv)
def tensorinv(a: Array, ind: int = 2) -> Array:
    n = math.prod(np.shape(a)[:ind])
    return np.reshape(np.linalg.inv(np.reshape(a, (n, -1))), np.shape(a)[ind:] + np.shape(a)[:ind])


for _ufunc in [f for f in list(RULES) if isinstance(f, np.ufunc) and f.nin == 2]:

    def _outer(a: Array, b: Array, ufunc: Any = _ufunc) -> Array:
        return ufunc(np.reshape(a, np.shape(a) + (1,) * _ndim(b)), b)

    composed((_ufunc, "outer"))(_outer)
