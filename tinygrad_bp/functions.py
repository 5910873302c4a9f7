"""Functions that NumPy does not have, as plain functions on arrays; their derivatives stand in ``rules``.

``row``, ``column``, ``swap`` and the like serve the formulas: they run on arrays, on tensors and on symbols.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any


def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + exp(-x)), elementwise, to a few units in the last place for every x.

    Written with exp(-|x|), which never overflows; the naive form warns at x = -800.

    Source: document "反向传播—BP", step 1; https://www.cnblogs.com/charlotte77/p/5629865.html.

    >>> float(sigmoid(0.3775))
    0.5932699921071872
    """
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1 + e)


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """``x @ weight.T + bias``: x (..., in), weight (out, in), bias (out,) or (), result (..., out)."""
    return x @ weight.T + bias


def scatter(values: Array, like: Array, *, index: Any) -> Array:
    """Zeros of the shape of ``like`` with ``values`` added at ``index``: the transpose of indexing."""
    result = np.zeros_like(like)
    np.add.at(result, index, values)
    return result


def sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """``g`` summed over the axes along which an array of this shape was broadcast.

    Broadcasting copies, and the transpose of a copy is a sum.
    """
    extra = g.ndim - len(shape)
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    if extra:
        g = np.sum(g, axis=tuple(range(extra)))
    return np.sum(g, axis=stretched, keepdims=True) if stretched else g


def expand(g: Array, like: Array, axis: Any, keepdims: bool) -> Array:
    """``g``, a reduction of ``like`` over ``axis``, copied back along that axis: the transpose of a sum."""
    if axis is not None and not keepdims:
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
