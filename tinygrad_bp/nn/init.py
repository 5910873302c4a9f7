"""Initial weights: functions (shape, rng) -> array, for ``init=`` and ``bias_init=`` of ``Linear`` and ``MLP``.

``shape`` is (out, in), as ``Linear.weight`` has it: fan_in, how many numbers a neuron reads, is its second entry, and
fan_out, how many neurons read the same number, its first. ``rng`` is a ``numpy.random.Generator``, or a seed.
Options are given with ``functools.partial``; a number or an array stands for itself.

>>> import functools
>>> from tinygrad_bp import nn
>>> layer = nn.Linear(2, 3, init=nn.init.he_normal, bias_init=0, rng=0)
>>> layer = nn.Linear(2, 3, init=functools.partial(nn.init.normal, std=0.1), rng=0)
>>> nn.Linear(2, 2, init=[[0.15, 0.20], [0.25, 0.30]], bias_init=0.35).bias
Tensor([0.35, 0.35], name='bias', requires_grad=True)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_bp.errors import DtypeError, ShapeError
from tinygrad_bp.tensor import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]
Init = Callable[[Shape, Any], Any] | Any  # such a function, or a number, or the values themselves


def uniform(shape: Shape, rng: Any = None, low: float = 0.0, high: float = 1.0) -> Array:
    """Evenly from [low, high): [0, 1) unless told otherwise, as Python's ``random.random()``.

    Source: the listing of document "反向传播—BP".

    >>> uniform((2, 2), 0).round(3)
    array([[0.637, 0.27 ],
           [0.041, 0.017]])
    """
    return np.random.default_rng(rng).uniform(low, high, shape)


def normal(shape: Shape, rng: Any = None, mean: float = 0.0, std: float = 1.0) -> Array:
    """From the normal distribution. Source: the listing of document "BP算法讲解", section 2.5.

    >>> normal((2, 2), 0).round(3)
    array([[ 0.126, -0.132],
           [ 0.64 ,  0.105]])
    """
    return np.random.default_rng(rng).normal(mean, std, shape)


def truncated_normal(
    shape: Shape, rng: Any = None, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> Array:  # fmt: skip
    """From the normal distribution, given that the value lies in [low, high]; its own std is smaller than ``std``.

    Raises ``ValueError`` unless low < high and std > 0. Source: the listing of document "BP神经网络权重更新及推导" draws
    so, with low = -1/sqrt(fan_in) and high = 1/sqrt(fan_in).

    >>> np.abs(truncated_normal((1000,), 0, high=0.5, low=-0.5)).max() <= 0.5
    np.True_
    """
    if not (low < high and std > 0):
        raise ValueError(f"a truncated normal distribution needs low < high and std > 0; got low={low}, high={high}, std={std}")
    rng = np.random.default_rng(rng)
    peak = min(max(mean, low), high)  # where the density is largest; nine std farther away it is below the rounding error
    low, high = max(low, peak - 9 * std), min(high, peak + 9 * std)
    values: Array = np.empty(0)
    while values.size < math.prod(shape):  # von Neumann's rejection: a point under the curve has the curve's distribution
        x = rng.uniform(low, high, 2 * math.prod(shape))
        height = np.exp(((peak - mean) ** 2 - (x - mean) ** 2) / (2 * std * std))
        values = np.concatenate([values, x[rng.uniform(size=x.size) < height]])
    return values[: math.prod(shape)].reshape(shape)


def xavier_uniform(shape: Shape, rng: Any = None, gain: float = 1.0) -> Array:
    """Evenly from +-gain * sqrt(6 / (fan_in + fan_out)): for tanh and sigmoid.

    Source: Glorot and Bengio 2010, equation 16.

    >>> np.abs(xavier_uniform((1, 5), 0)).max() <= 1.0
    np.True_
    """
    bound = gain * math.sqrt(6 / sum(fans(shape)))
    return uniform(shape, rng, -bound, bound)


def xavier_normal(shape: Shape, rng: Any = None, gain: float = 1.0) -> Array:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)). Source: Glorot and Bengio 2010, equation 12.

    >>> xavier_normal((3, 5), 0).shape
    (3, 5)
    """
    return normal(shape, rng, std=gain * math.sqrt(2 / sum(fans(shape))))


def he_uniform(shape: Shape, rng: Any = None, gain: float = math.sqrt(2)) -> Array:
    """Evenly from +-gain * sqrt(3 / fan_in), which has the standard deviation of ``he_normal``.

    >>> np.abs(he_uniform((5, 6), 0)).max() <= 1.0
    np.True_
    """
    bound = gain * math.sqrt(3 / fans(shape)[0])
    return uniform(shape, rng, -bound, bound)


def he_normal(shape: Shape, rng: Any = None, gain: float = math.sqrt(2)) -> Array:
    """Normal with standard deviation gain / sqrt(fan_in); the gain sqrt(2) is for relu. Source: He et al. 2015, equation 10.

    >>> he_normal((3, 5), 0).shape
    (3, 5)
    """
    return normal(shape, rng, std=gain / math.sqrt(fans(shape)[0]))


def constant(shape: Shape, rng: Any = None, value: float = 0.0) -> Array:
    """One value everywhere. Equal weights get equal gradients, so nothing ever distinguishes the neurons of a layer.

    >>> constant((2,), value=0.35)
    array([0.35, 0.35])
    """
    return np.full(shape, float(value))


def zeros(shape: Shape, rng: Any = None) -> Array:
    """All zero: usual for biases; for weights see ``constant``.

    >>> zeros((2,))
    array([0., 0.])
    """
    return np.zeros(shape)


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in), each at least 1. Raises ``ShapeError`` for other shapes.

    >>> fans((3, 5))
    (5, 3)
    """
    if len(shape) != 2:
        raise ShapeError(f"fan_in and fan_out are those of a weight of shape (out, in); got {shape}. A bias takes another initializer")
    return max(shape[1], 1), max(shape[0], 1)


def drawn(init: Init, shape: Shape, rng: Any) -> Array:
    """The values that ``init`` gives for this shape: drawn by a function, one number everywhere, or an array as it is.

    Raises ``ShapeError`` where they have another shape: a row is not repeated for each neuron; ``DtypeError`` for no numbers.
    """
    given = init(shape, rng) if callable(init) else init
    values: Array = given.numpy() if isinstance(given, Tensor) else np.asarray(given)
    if values.dtype.kind not in "iubf":
        raise DtypeError(f"initial values are numbers, or a function such as nn.init.xavier_uniform; got {given!r}")
    if values.dtype.kind in "iub":  # integers cannot be learned
        values = values.astype(float)
    if values.ndim == 0 and shape:
        return np.full(shape, values)
    if values.shape != shape:
        raise ShapeError(f"initial values of shape {shape} are needed; got shape {values.shape}")
    return values
