"""The shape of a formula's result, from the shapes of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def result_shape(function: Callable[..., Any], shapes: Sequence[Shape | None], options: Mapping[str, Any]) -> Shape | None:
    """The shape that a function makes of operands of these shapes; ``None`` where one is unknown.

    >>> result_shape(np.matmul, [(64, 784), (784, 10)], {})
    (64, 10)
    """
    known = [s for s in shapes if s is not None]
    if len(known) < len(shapes):
        return None
    try:
        if function is np.matmul:
            return _product(*known)
        if function is np.transpose and not options:
            return known[0][::-1]
        if isinstance(function, np.ufunc):
            return tuple(np.broadcast_shapes(*known))
        with np.errstate(all="ignore"):  # ones without memory of their own; only the result takes some
            return tuple(np.shape(function(*[np.broadcast_to(np.float64(1), s) for s in known], **options)))
    except (TypeError, ValueError, IndexError, np.linalg.LinAlgError):  # nobody asks for the shape of what cannot be computed
        return None


def _product(a: Shape, b: Shape) -> Shape:
    """That of ``a @ b``: a vector loses its axis, leading axes are broadcast."""
    if len(a) < 2 or len(b) < 2:
        return a[:-1] + b[:-2] + b[-1:] if len(b) > 1 else a[:-1]
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
