"""NumPy's functions that are made of others: what each is, and no derivative, because it follows.

``np.var`` of a tensor, say, is computed by the definition below, step by step, so that its gradients of every order
are those of the steps. Options that a definition does not name are refused.
"""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygrad_bp.errors import NoRuleError, ShapeError
from tinygrad_bp.functions import swap
from tinygrad_bp.rule import RULES, composed
from tinygrad_bp.rules import clamp, contract, cumulate, join, l2_norm, log_abs_det, pad_zeros, scatter, solve
from tinygrad_bp.tensor import Tensor, record

Array = Any


# -- what NumPy would say --------------------------------------------------------------------------------------------


def _as_numpy(function: Any, *arrays: Array, **options: Any) -> None:
    """Raise what NumPy's own function raises for arrays of these shapes and these options.

    It runs on ones, which need no memory and come from no other library, and once for every form of the call.
    """
    shapes = tuple(map(np.shape, arrays))
    try:
        hash(tuple(options.values()))
        run: Any = _run_on_ones
    except TypeError:  # lists
        run = _run_on_ones.__wrapped__
    try:
        run(function, shapes, **options)
    except Exception as error:
        given = [*(f"array of shape {shape}" for shape in shapes), *(f"{name}={value!r}" for name, value in options.items())]
        error.add_note(f"{function.__name__.strip('_')}({', '.join(given)}) cannot be computed.")
        raise


@functools.lru_cache(maxsize=1024, typed=True)
def _run_on_ones(function: Any, shapes: tuple[tuple[int, ...], ...], **options: Any) -> None:
    function(*(np.broadcast_to(1.0, shape) for shape in shapes), **options)


def _axis(axis: int, ndim: int) -> int:
    """Counted from the front; a single number has the axis of a row of one."""
    return normalize_axis_index(axis, max(ndim, 1))


def _along(a: Array, axis: int | None) -> tuple[Array, int]:
    """An array and the axis to go along: everything in a row where it is ``None``, and a single number in a row of one."""
    if axis is None or not _ndim(a):
        a, axis = np.reshape(a, (-1,)), axis or 0
    return a, _axis(axis, a.ndim)


def _ndim(x: Any) -> int:
    return int(np.ndim(x))


def _array(x: Any) -> Array:
    """An array of whatever library, or a list as NumPy's."""
    return x if hasattr(x, "shape") else np.asarray(x)


def _unlisted(x: Any) -> Any:
    """A list as NumPy's array; a number stays one, so that it does not make float64 of float32."""
    return np.asarray(x) if isinstance(x, list | tuple) else x


def _unless(missing: Any, y: Array, why: str) -> Array:
    """``y``, but NaN where there was nothing to compute it from; with a warning as NumPy's, where the numbers are at hand."""
    if isinstance(missing, np.ndarray | np.generic) and missing.any():
        warnings.warn(why, RuntimeWarning, stacklevel=6)
    return np.where(missing, math.nan, y)


# -- joining and splitting -------------------------------------------------------------------------------------------


@composed(np.concatenate)
def concatenate(arrays: Sequence[Array], axis: int | None = 0) -> Array:
    if axis is None:
        return concatenate([np.ravel(a) for a in arrays])
    arrays = tuple(map(_array, arrays))
    axis = _axis(axis, _ndim(arrays[0]))
    try:
        bounds = (0, *np.cumsum([a.shape[axis] for a in arrays]).tolist())
    except IndexError:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ShapeError(f"arrays that are joined have the same number of axes, one at least; got shapes {shapes}") from None
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


def _each(f: Any, arrays: Sequence[Array]) -> Any:
    arrays = [*map(_array, arrays)]
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
    _as_numpy(np.hsplit, ary, indices_or_sections=indices_or_sections)
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@composed(np.vsplit)
def vsplit(ary: Array, indices_or_sections: Any) -> Any:
    _as_numpy(np.vsplit, ary, indices_or_sections=indices_or_sections)
    return split(ary, indices_or_sections, 0)


@composed(np.dsplit)
def dsplit(ary: Array, indices_or_sections: Any) -> Any:
    _as_numpy(np.dsplit, ary, indices_or_sections=indices_or_sections)
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
    return np.transpose(a, np.moveaxis(np.empty(tuple(range(a.ndim))), source, destination).shape)


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
    _as_numpy(np.rot90, m, k=k, axes=axes)
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
    a, axis = _along(a, axis)
    return take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@composed(np.pad)
def pad(array: Array, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Array:
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise NoRuleError(f"np.pad of a tensor takes the modes constant, edge, reflect, symmetric and wrap; got {mode!r}")
    if not array.ndim:
        _as_numpy(np.pad, array, pad_width=pad_width, mode=mode)
        return +array
    if isinstance(pad_width, dict):
        given = {_axis(axis, array.ndim): w for axis, w in pad_width.items()}
        pad_width = [np.broadcast_to(given.get(axis, 0), 2) for axis in range(array.ndim)]
    width = tuple(map(tuple, np.broadcast_to(np.asarray(pad_width), (array.ndim, 2)).tolist()))
    if mode == "constant":
        return pad_zeros(array, width=width) + np.pad(np.zeros_like(array), width, constant_values=constant_values)
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
    a, axis = _along(a, axis)
    places = _array(indices)
    if isinstance(places, np.ndarray | np.generic):
        if places.dtype.kind not in "iu":  # no mask: False is 0 here, True is 1
            places = np.take(np.arange(a.shape[axis]), indices)
        places = places if places.ndim else places.item()
    return a[(slice(None),) * axis + (places,)]


@composed(np.take_along_axis)
def take_along_axis(arr: Array, indices: Any, axis: int | None = -1) -> Array:
    if axis is None:
        arr, axis = ravel(arr), 0
    indices = _array(indices)
    if indices.dtype.kind not in "iu":
        raise IndexError(f"np.take_along_axis takes integers for indices, no {indices.dtype}. Write t[mask], or np.where(mask, t, 0.0)")
    if indices.ndim != arr.ndim:
        raise ShapeError(f"np.take_along_axis takes indices with as many axes as the array; got shapes {indices.shape} and {arr.shape}")
    grid = list(np.ogrid[tuple(map(slice, arr.shape))])
    grid[axis] = indices
    return arr[tuple(grid)]


@composed(np.compress)
def compress(condition: Any, a: Array, axis: int | None = None) -> Array:
    if _ndim(condition) != 1:
        raise ShapeError(f"np.compress takes a condition with one axis; got shape {np.shape(condition)}. Write t[mask] for a mask")
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
    if v.ndim != 1:
        raise ShapeError(f"np.diag takes a vector or a matrix; got shape {v.shape}")
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
    x1, x2 = _unlisted(x1), _unlisted(x2)
    step = np.where(np.isnan(x1), math.nan, np.greater(x1, 0)).astype(np.result_type(x1, x2))
    return np.where(np.equal(x1, 0), x2, step[()])


@composed(np.full_like)
def full_like(a: Array, fill_value: Any) -> Array:
    shape = np.shape(a)
    return np.broadcast_to(fill_value, shape) if isinstance(fill_value, Tensor) else np.full_like(a.raw, fill_value)


@composed(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Array], default: Any = 0.0) -> Array:
    result = default
    if isinstance(default, int | float):  # of the type of the choices, which two numbers would not have
        result = np.result_type(*map(_unlisted, choicelist), default).type(default)
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
    axes = normalize_axis_tuple(axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    return np.reshape(np.transpose(a, (*kept, *axes)), (*(a.shape[i] for i in kept), math.prod(a.shape[i] for i in axes)))


def _kept(y: Array, a: Array, axis: Any, keepdims: bool) -> Array:
    return np.reshape(y, np.sum(np.empty(a.shape), axis=axis, keepdims=True).shape) if keepdims else y


@composed(np.prod)
def prod(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    """Products of halves: right at zeros too, where y / x is not."""
    if not a.ndim:
        _as_numpy(np.prod, a, axis=axis)
        axis = None
    y = _last(a, axis)
    while y.shape[-1] > 1:
        half = y.shape[-1] // 2
        y = concatenate([y[..., :half] * y[..., half : 2 * half], y[..., 2 * half :]], -1)
    return _kept(y[..., 0] if y.shape[-1] else np.ones(y.shape[:-1], y.dtype), a, axis, keepdims)


@composed(np.cumprod)
def cumprod(a: Array, axis: int | None = None) -> Array:
    """Products over windows of doubling length: right at zeros too."""
    a, axis = _along(a, axis)
    y, width = np.moveaxis(a, axis, -1), 1
    while width < y.shape[-1]:
        y = concatenate([y[..., :width], y[..., width:] * y[..., :-width]], -1)
        width *= 2
    return np.moveaxis(y, -1, axis)


@composed(np.cumsum)
def cumsum(a: Array, axis: int | None = None) -> Array:
    a, axis = _along(a, axis)
    return cumulate(a, axis=axis)


@composed((np.add, "accumulate"))
def add_accumulate(array: Array, axis: int = 0) -> Array:
    _as_numpy(np.add.accumulate, array, axis=axis)
    return np.cumsum(array, axis=axis)


@composed((np.multiply, "accumulate"))
def multiply_accumulate(array: Array, axis: int = 0) -> Array:
    _as_numpy(np.multiply.accumulate, array, axis=axis)
    return cumprod(array, axis)


@composed(np.var)
def var(a: Array, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    squares = np.square(a - np.mean(a, axis=axis, keepdims=True))
    n = a.size if axis is None else math.prod(a.shape[i] for i in np.atleast_1d(axis).tolist())
    return np.sum(squares, axis=axis, keepdims=keepdims) / max(n - ddof, 0)


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
    if not n:
        return np.mean(a, axis=axis, keepdims=keepdims)
    middle = y[..., n // 2] if n % 2 else (y[..., n // 2 - 1] + y[..., n // 2]) / 2
    return _kept(_or_nan(middle, y), a, axis, keepdims)


def _or_nan(middle: Array, y: Array) -> Array:
    """What was found between sorted elements; NaN where there is one among them, which sorting has put last."""
    return np.where(np.isnan(y[..., -1]), math.nan, middle)


@composed(np.average)
def average(a: Array, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Array:
    a = _array(a)
    axis = axis if axis is None else normalize_axis_tuple(axis, a.ndim)
    if weights is None:
        return np.mean(a, axis=axis, keepdims=keepdims)
    weights = _array(weights)
    if weights.shape != a.shape:
        if axis is None:
            raise TypeError(f"np.average takes the axis of weights whose shape is not that of the array; got {weights.shape} and {a.shape}")
        if weights.shape != tuple(a.shape[i] for i in axis):
            raise ShapeError(f"np.average over axis {axis} of shape {a.shape} does not take weights of shape {weights.shape}")
        weights = np.reshape(np.transpose(weights, np.argsort(axis)), tuple(n if i in axis else 1 for i, n in enumerate(a.shape)))
    dtype = np.result_type(a.dtype, weights.dtype, *([] if a.dtype.kind == "f" else [float]))
    weights = weights if weights.dtype == dtype else weights.astype(dtype)
    total = np.sum(np.broadcast_to(weights, a.shape), axis=axis, keepdims=keepdims)
    plain = total.raw if isinstance(total, Tensor) else total
    if isinstance(plain, np.ndarray | np.generic) and not np.all(plain):
        raise ZeroDivisionError("np.average takes weights that do not add up to zero")
    return np.sum(a * weights, axis=axis, keepdims=keepdims) / total


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
    _as_numpy(np.diff, a, n=n, axis=axis)
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
    step = dx if x is None else np.diff(x) if _ndim(x) == 1 else np.diff(np.moveaxis(x, axis, -1))
    return np.sum(step * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


# -- products --------------------------------------------------------------------------------------------------------


@composed(np.dot)
def dot(a: Array, b: Array) -> Array:
    if not _ndim(a) or not _ndim(b):
        return a * b
    return np.matmul(a, b) if _ndim(b) <= 2 else tensordot(a, b, (-1, -2))


@composed(np.vdot)
def vdot(a: Array, b: Array) -> Array:
    return np.matmul(np.ravel(a), np.ravel(b))


@composed(np.inner)
def inner(a: Array, b: Array) -> Array:
    return a * b if not _ndim(a) or not _ndim(b) else tensordot(a, b, (-1, -1))


@composed(np.outer)
def outer(a: Array, b: Array) -> Array:
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@composed(np.linalg.outer)
def linalg_outer(x1: Array, x2: Array) -> Array:
    _as_numpy(np.linalg.outer, x1, x2)
    return outer(x1, x2)


@composed(np.tensordot, np.linalg.tensordot)
def tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    if np.ndim(axes) == 0:
        summed_a, summed_b = list(range(_ndim(a) - axes, _ndim(a))), list(range(axes))
    else:
        summed_a, summed_b = (np.atleast_1d(x).tolist() for x in axes)
    shape_a, shape_b = np.shape(a), np.shape(b)
    if [shape_a[i] for i in summed_a] != [shape_b[i] for i in summed_b]:
        raise ShapeError(f"np.tensordot of shapes {shape_a} and {shape_b}: the axes {summed_a} and {summed_b} differ in length")
    summed_a, summed_b = [i % _ndim(a) for i in summed_a], [i % _ndim(b) for i in summed_b]
    kept_a, kept_b = [i for i in range(_ndim(a)) if i not in summed_a], [i for i in range(_ndim(b)) if i not in summed_b]
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
    a, b = _array(a), _array(b)
    if a.shape[-1:] != (3,) or b.shape[-1:] != (3,):
        raise ShapeError(
            f"np.cross of tensors takes vectors of three elements, in the last axis; got shapes {a.shape} and {b.shape}. "
            "In a plane, write a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]"
        )
    x, y = ([v[..., i] for i in range(3)] for v in (a, b))
    return np.stack([x[i] * y[j] - x[j] * y[i] for i, j in ((1, 2), (2, 0), (0, 1))], -1)


@composed(np.convolve)
def convolve(a: Array, v: Array, mode: str = "full") -> Array:
    a, v = atleast_1d(a, v)
    _as_numpy(np.convolve, a, v, mode=mode)
    n, m = len(a), len(v)
    places = np.add.outer(np.arange(n), np.arange(m))
    products = outer(a, v)
    full = scatter(products, np.zeros_like(products, shape=(n + m - 1,)), index=places)
    shorter, longer = min(n, m), max(n, m)
    start, length = {"full": (0, n + m - 1), "same": ((shorter - 1) // 2, longer), "valid": (shorter - 1, longer - shorter + 1)}[mode]
    return full[start : start + length]


@composed(np.polyval)
def polyval(p: Array, x: Array) -> Array:
    p, x = _unlisted(p), _unlisted(x)
    y = 0.0 * x
    for i in range(len(p)):
        y = y * x + p[i]
    return y


@composed(np.linspace)
def linspace(start: Array, stop: Array, num: int = 50, endpoint: bool = True) -> Array:
    start, stop = _unlisted(start), _unlisted(stop)
    steps = np.linspace(0.0, 1.0, num, endpoint).astype(np.result_type(start, stop))
    steps = np.reshape(steps, (-1,) + (1,) * max(_ndim(start), _ndim(stop)))
    return np.where(steps == 1, stop, start + (stop - start) * steps)


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
        if len(set(t)) < len(t) and len(set(zip(t, np.shape(a), strict=True))) > len(set(t)):
            raise ShapeError(f"einsum {subscripts!r} takes the diagonal of an operand of shape {np.shape(a)}, whose axes differ in length")
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
    if ord is None and (axis is None or (isinstance(axis, int) and x.ndim)):
        return l2_norm(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    if len(axes) not in (1, 2):
        raise ShapeError(f"np.linalg.norm takes one axis for vectors or two for matrices; got axis={axis} for shape {x.shape}")
    if ord is None or (ord == 2 and len(axes) == 1) or (ord in ("fro", "f") and len(axes) == 2):
        return l2_norm(x, axis=axes, keepdims=keepdims)
    return _vector_norm(x, ord, axes, keepdims) if len(axes) == 1 else _matrix_norm(x, ord, axes, keepdims)


def _vector_norm(x: Array, ord: Any, axis: tuple[int, ...], keepdims: bool) -> Array:  # noqa: A002
    if isinstance(ord, str):
        raise ValueError(f"the order of a vector's norm is a number; got {ord!r}")
    if abs(ord) == math.inf:
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:  # how many are not zero
        return np.sum((x != 0).astype(x.dtype), axis=axis, keepdims=keepdims)
    powers = np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims)
    return _root(powers, ord) if ord > 0 else powers ** (1 / ord)


def _matrix_norm(x: Array, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: A002
    if ord in (2, -2, "nuc"):
        raise NoRuleError(f"np.linalg.norm of a matrix takes ord None, 'fro', 1, -1, inf and -inf on tensors; got {ord!r}")
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"no norm of a matrix has the order {ord!r}; there are None, 'fro', 1, -1, inf and -inf")
    inside, outside = axes if abs(ord) == 1 else axes[::-1]
    pick = np.max if ord > 0 else np.min
    y = pick(np.sum(np.abs(x), axis=inside, keepdims=True), axis=outside, keepdims=True)
    return y if keepdims else squeeze(y, axes)


@composed(np.linalg.matrix_power)
def matrix_power(a: Array, n: int) -> Array:
    n = operator.index(n)
    if a.ndim < 2 or a.shape[-2] != a.shape[-1]:
        raise np.linalg.LinAlgError(f"np.linalg.matrix_power takes a square matrix, or a stack of them; got shape {a.shape}")
    if n < 0:
        return matrix_power(np.linalg.inv(a), -n)
    if n == 0:
        return np.where(np.ones_like(a, bool), np.eye(a.shape[-1], dtype=a.dtype), a)
    y = None
    while n:
        if n % 2:
            y = a if y is None else y @ a
        n //= 2
        a = a @ a if n else a
    return y


@composed(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Array]) -> Array:
    _as_numpy(_multi_dot, *arrays)
    return functools.reduce(np.dot, arrays)


def _multi_dot(*arrays: Array) -> Array:
    return np.linalg.multi_dot(arrays)


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
    filled, good = _without_nan(a, -math.inf)
    y = np.max(filled, axis=axis, keepdims=keepdims)
    return _unless(~np.any(good, axis=axis, keepdims=keepdims), y, "np.nanmax of nothing but NaN")


@composed(np.nanmin)
def nanmin(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    filled, good = _without_nan(a, math.inf)
    y = np.min(filled, axis=axis, keepdims=keepdims)
    return _unless(~np.any(good, axis=axis, keepdims=keepdims), y, "np.nanmin of nothing but NaN")


@composed(np.nanvar)
def nanvar(a: Array, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    filled, good = _without_nan(a, 0.0)
    n = np.sum(good, axis=axis, keepdims=True).astype(a.dtype)
    squares = np.square(np.where(good, filled - np.sum(filled, axis=axis, keepdims=True) / np.maximum(n, 1), 0.0))
    degrees = np.reshape(n, np.sum(good, axis=axis, keepdims=keepdims).shape) - ddof
    y = np.sum(squares, axis=axis, keepdims=keepdims) / np.where(degrees > 0, degrees, 1)
    return _unless(degrees <= 0, y, f"np.nanvar of no more than ddof={ddof} numbers")


@composed(np.nanstd)
def nanstd(a: Array, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    return _root(nanvar(a, axis, ddof=ddof, keepdims=keepdims), 2)


@composed(np.quantile)
def quantile(a: Array, q: Any, axis: Any = None, *, keepdims: bool = False) -> Array:
    """Linear between the two nearest elements, NumPy's default method; q in [0, 1], a number or an array of them."""
    q = np.asarray(q)
    if not np.all((q >= 0) & (q <= 1)):
        raise ValueError(f"quantiles are in the range [0, 1], percentiles in [0, 100]; got the quantile {q}")
    y = sort(_last(a, axis))
    between = _or_nan(_between(y, q * (y.shape[-1] - 1)), y[(..., *(None,) * q.ndim, slice(None))])
    first = np.moveaxis(between, tuple(range(between.ndim - q.ndim, between.ndim)), tuple(range(q.ndim)))
    return np.reshape(first, q.shape + np.sum(np.empty(a.shape), axis=axis, keepdims=keepdims).shape)


def _between(y: Array, places: np.ndarray[Any, Any]) -> Array:
    """Linear between the elements below and above each place, from the nearer one, as NumPy: it matters where one is infinite."""
    if places.dtype.kind != "f":
        return y[..., places]
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, y.shape[-1] - 1)
    from_above = places - below >= 0.5
    part = (places - below - from_above).astype(y.dtype)
    nearer = np.where(from_above, above, below)[()]
    return y[..., nearer] + (y[..., above] - y[..., below]) * part


@composed(np.percentile)
def percentile(a: Array, q: Any, axis: Any = None, *, keepdims: bool = False) -> Array:
    return quantile(a, np.asarray(q, float) / 100, axis, keepdims=keepdims)


@composed(np.cov)
def cov(m: Array, *, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Array:
    m = np.reshape(m, (1, -1)) if _ndim(m) < 2 else m if rowvar else m.T
    centred = m - np.mean(m, axis=1, keepdims=True)
    y = centred @ centred.T / max(m.shape[1] - (int(not bias) if ddof is None else ddof), 0)
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
    a, v = _array(a), _array(v)
    _as_numpy(np.correlate, a, v, mode=mode)
    return convolve(a, np.flip(v), mode) if len(a) >= len(v) else np.flip(convolve(np.flip(a), v, mode))


@composed(np.gradient)
def gradient(f: Array, *varargs: Any, axis: Any = None) -> Any:
    """Central differences inside and one-sided ones at the ends; ``varargs`` is one spacing, a number."""
    if len(varargs) > 1 or any(map(_ndim, varargs)):
        raise NoRuleError("np.gradient of a tensor takes one spacing for all axes, a number")
    f = _array(f)
    _as_numpy(np.gradient, f, axis=axis)
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
    if isinstance(xp, Tensor) and xp.tracked:
        raise NoRuleError("np.interp is not differentiated with respect to the points xp; give t.detach() or an array")
    dtype = np.result_type(*(t.dtype for t in (x, xp, fp) if isinstance(t, Tensor)))
    x, fp = (t if isinstance(t, Tensor) else np.asarray(t, dtype) for t in (x, fp))
    plain, xp = x.raw if isinstance(x, Tensor) else x, np.asarray(xp, dtype)
    if xp.ndim != 1 or not len(xp) or xp.shape != fp.shape or np.any(xp[1:] < xp[:-1]):
        raise ShapeError(f"np.interp takes points xp that increase, and as many values fp; got shapes {xp.shape} and {fp.shape}")
    if len(xp) == 1:
        xp, fp = np.repeat(xp, 2), np.repeat(fp, 2)
    i = np.clip(np.searchsorted(xp, plain, side="right") - 1, 0, len(xp) - 2)
    width = xp[i + 1] - xp[i]
    part = np.where(width > 0, (np.clip(x, float(xp[0]), float(xp[-1])) - xp[i]) / (width + (width == 0)), plain >= xp[i])  # 0 wide: a jump
    y = fp[i] * (1 - part) + fp[i + 1] * part
    y = y if left is None else np.where(plain < xp[0], left, y)
    return y if right is None else np.where(plain > xp[-1], right, y)


# -- products of stacks, polynomials, more shapes ---------------------------------------------------------------------


@composed(np.vecdot, np.linalg.vecdot)
def vecdot(a: Array, b: Array, *, axis: int = -1) -> Array:
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"np.vecdot takes vectors of one length; got {a.shape[-1]} and {b.shape[-1]} elements along axis {axis}")
    return np.sum(a * b, axis=-1)


@composed(*(f for f in (getattr(np, "matvec", None),) if f))
def matvec(a: Array, b: Array) -> Array:
    _as_numpy(np.matvec, a, b)
    return np.matmul(a, np.expand_dims(b, -1))[..., 0]


@composed(*(f for f in (getattr(np, "vecmat", None),) if f))
def vecmat(a: Array, b: Array) -> Array:
    _as_numpy(np.vecmat, a, b)
    return np.matmul(np.expand_dims(a, -2), b)[..., 0, :]


@composed(np.linalg.matmul)
def linalg_matmul(x1: Array, x2: Array) -> Array:
    return np.matmul(x1, x2)


@composed(np.polyder)
def polyder(p: Array, m: int = 1) -> Array:
    _as_numpy(np.polyder, p, m=m)
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1).astype(p.dtype)
    return p


@composed(np.polyint)
def polyint(p: Array, m: int = 1) -> Array:
    _as_numpy(np.polyint, p, m=m)
    for _ in range(m):
        p = np.append(p / np.arange(len(p), 0, -1).astype(p.dtype), np.zeros(1, p.dtype))
    return p


@composed(np.vander)
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    _as_numpy(np.vander, x, N=N)
    powers = np.arange(len(x) if N is None else N).astype(x.dtype)
    return np.reshape(x, (-1, 1)) ** (powers if increasing else powers[::-1])


@composed(np.block)
def block(arrays: Any) -> Array:
    def depth(x: Any) -> int:
        if not isinstance(x, list):
            return 0
        if len(depths := set(map(depth, x))) != 1:
            raise ValueError("np.block takes lists of the same depth, and none that is empty")
        return 1 + depths.pop()

    def leaves(x: Any) -> list[Array]:
        return [y for part in x for y in leaves(part)] if isinstance(x, list) else [_array(x)]

    def join_along(x: Any, axis: int) -> Array:
        if isinstance(x, list):
            return concatenate([join_along(part, axis + 1) for part in x], axis)
        return np.reshape(x, (1,) * (ndim - _ndim(x)) + np.shape(x))

    levels = depth(arrays)
    ndim = max(levels, *(a.ndim for a in leaves(arrays)))
    return join_along(arrays, ndim - levels)


@composed(np.delete)
def delete(arr: Array, obj: Any, axis: int | None = None) -> Array:
    if axis is None:
        arr, axis = ravel(arr), 0
    return take(arr, np.delete(np.arange(arr.shape[axis]), obj), axis)


@composed(np.resize)
def resize(a: Array, new_shape: Any) -> Array:
    return take(a, np.resize(np.arange(a.size), new_shape)) if a.size else np.zeros_like(a, shape=new_shape)


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
    a, b = _array(a), _array(b)
    if math.prod(a.shape[b.ndim :]) != math.prod(a.shape[: b.ndim]):
        raise np.linalg.LinAlgError(f"np.linalg.tensorsolve takes as many unknowns as equations; got shapes {a.shape} and {b.shape}")
    return np.reshape(linalg_solve(np.reshape(a, (b.size, -1)), ravel(b)), a.shape[b.ndim :])


@composed(np.linalg.tensorinv)
def tensorinv(a: Array, ind: int = 2) -> Array:
    n = math.prod(np.shape(a)[:ind])
    return np.reshape(np.linalg.inv(np.reshape(a, (n, -1))), np.shape(a)[ind:] + np.shape(a)[:ind])


for _ufunc in [f for f in list(RULES) if isinstance(f, np.ufunc) and f.nin == 2]:

    def _outer(a: Array, b: Array, ufunc: Any = _ufunc) -> Array:
        return ufunc(np.reshape(a, np.shape(a) + (1,) * _ndim(b)), b)

    composed((_ufunc, "outer"))(_outer)
