"""Finite differences on the Program: a second opinion that shares no code with the derivative rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_bp.program import Program

ELEMENT_LIMIT = 2_000  # numbers per claim that are differenced one by one


def finite_difference(program: Program, place: int, index: tuple[int, ...] | None = None) -> np.ndarray[Any, Any] | None:
    """d(output)/d(line) by central differences: the lines after it are replayed with one number moved both ways.

    ``index`` picks one element. ``None`` if the line is too large to difference element by element. The step is
    the cube root of the machine precision, relative to the value: the best for central differences.
    """
    value = np.asarray(program.lines[place].value)
    if index is None and value.size > ELEMENT_LIMIT:
        return None
    step = np.cbrt(np.finfo(value.dtype).eps) if value.dtype.kind == "f" else 1e-5
    result = np.zeros(value.shape)
    for i in [index] if index is not None else np.ndindex(value.shape):
        h = step * max(1.0, abs(float(value[i])))
        moved = []
        for sign in (1, -1):
            other = value.copy()
            other[i] += sign * h
            moved.append((float(np.sum(program.replay({place: other})[program.outputs[0]])), float(other[i])))
        (above, right), (below, left) = moved
        result[i] = (above - below) / (right - left)
    return result if index is None else result[index]
