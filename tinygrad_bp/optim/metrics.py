"""How good a model is, in numbers that are not minimised themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_bp.errors import ShapeError
from tinygrad_bp.tensor import Tensor


def accuracy(output: Any, target: Any) -> float:
    """The fraction of samples that are classified right, 0 to 1; the last axis of ``output`` holds the classes.

    ``target`` is one-hot, of the same shape, or one class number per sample. The class is the largest output; a
    single output means class 1 where it is above 0.5. Raises ``ShapeError`` for any other shape.

    >>> output = np.array([[0.1, 0.7], [0.6, 0.4], [0.2, 0.3], [0.9, 0.0]])
    >>> accuracy(output, np.array([1, 0, 0, 0])), accuracy(output, np.array([[0, 1], [0, 1], [0, 1], [0, 1]]))
    (0.75, 0.5)
    """
    o, t = (a.raw if isinstance(a, Tensor) else np.asarray(a) for a in (output, target))
    if not o.ndim or t.shape not in (o.shape, o.shape[:-1]):
        raise ShapeError(
            f"outputs of shape {o.shape} go with one-hot targets of that shape or classes of shape {o.shape[:-1]}; got {t.shape}"
        )
    return float(np.mean(_classes(o) == (_classes(t) if t.ndim == o.ndim else t)))


def _classes(a: Any) -> Any:
    return a[..., 0] > 0.5 if a.shape[-1] == 1 else np.argmax(a, -1)
