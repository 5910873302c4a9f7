"""Gradients that are too large, made smaller before the update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_bp.optim.optimizer import at_least_zero
from tinygrad_bp.tensor import Array, Tensor


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0) -> float:
    """Scale all gradients together by min(1, max_norm / (norm + 1e-6)), and return the norm before, as in PyTorch.

    ``norm`` is that of all gradients as one long vector; ``norm_type`` may be ``math.inf``. The direction stays.

    Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", algorithm 1.
    Raises ``ValueError`` for a negative ``max_norm``.

    >>> w = Tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> print(f"{clip_grad_norm_([w], max_norm=1.0):.1f}")
    10.0
    >>> print(np.round(w.grad.numpy(), 6))
    [0.6 0.8]
    """
    at_least_zero(max_norm=max_norm)
    found = list(_gradients(parameters))
    norms = np.array([float(np.linalg.norm(_in_a_row(g), norm_type)) if g.size else 0.0 for _, g in found])
    total = float(np.linalg.norm(norms, norm_type)) if found else 0.0
    scale = min(1.0, max_norm / (total + 1e-6)) if not math.isnan(total) else math.nan
    for p, g in found:
        p.gradient = g * scale
    return total


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Bring every element of every gradient into -clip_value ... clip_value, as in PyTorch. The direction changes.

    Raises ``ValueError`` for a negative ``clip_value``.

    >>> w = Tensor([3.0, 0.25], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_value_([w], 1.0)
    >>> w.grad
    Tensor([1. , 0.5])
    """
    at_least_zero(clip_value=clip_value)
    for p, g in _gradients(parameters):
        p.gradient = np.clip(g, -clip_value, clip_value)


def _in_a_row(g: Array) -> Array:
    return g.ravel("K") if isinstance(g, np.ndarray) else np.ravel(g)  # as it lies in memory, so that nothing is copied


def _gradients(parameters: Iterable[Tensor] | Tensor) -> Iterator[tuple[Any, Array]]:
    for p in [parameters] if isinstance(parameters, Tensor) else parameters:
        if p.gradient is not None:
            yield p, p.gradient.raw if isinstance(p.gradient, Tensor) else p.gradient
