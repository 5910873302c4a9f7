"""``detect_anomaly``: which operation made the first NaN or infinity, and on which line of the user's program."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Any, Self

import numpy as np

from tinygrad_bp.errors import AnomalyError

LIBRARIES = tuple(os.path.dirname(module) for module in (__file__, np.__file__))  # noqa: PTH120  (pathlib is slow to import)

Lines = dict[int, str]  # a node's serial number -> the line that recorded it


class detect_anomaly(ContextDecorator):
    """Inside, the first operation, forward or backward, that makes a NaN or an infinity raises ``AnomalyError``.

    The error names the operation, its operands and the line that recorded it. Every result is looked at, so this is
    for searching, not for training.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> x = tg.Tensor([4.0, 0.0], requires_grad=True, name="x")
    >>> with tg.detect_anomaly():
    ...     y = np.sum(np.sqrt(x))
    ...     with np.errstate(divide="ignore"):
    ...         y.backward()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygrad_bp.errors.AnomalyError: the derivative of sqrt with respect to x (tensor 'x') is inf at index (1,). Recorded by ...
    """

    running = 0  # how many are active in all threads: the operations look closer only where there are any
    lines: ContextVar[Lines | None] = ContextVar("lines", default=None)

    def __init__(self) -> None:
        self.tokens: list[Token[Lines | None]] = []

    def _recreate_cm(self) -> Self:
        return type(self)()

    def __enter__(self) -> None:
        detect_anomaly.running += 1
        self.tokens.append(self.lines.set(self.lines.get() or {}))

    def __exit__(self, *exc: object) -> None:
        detect_anomaly.running -= 1
        self.lines.reset(self.tokens.pop())


def watch_forward(what: str, operands: Iterable[Any], result: Any, serial: int) -> None:
    """Remember the line that recorded a node, and raise if its result is the first that is not finite."""
    lines = detect_anomaly.lines.get()
    if lines is None:
        return
    lines[serial] = user_line()
    if (place := _not_finite(result)) is not None:
        fault = next((k for k, a in enumerate(operands) if _not_finite(a) is not None), None)
        cause = "" if fault is None else f", and its operand {fault + 1} was not finite to begin with"
        raise AnomalyError(f"{what} is {place}{cause}. Recorded by {lines[serial]}")


def watch_backward(what: str, g: Any, gx: Any, node: Any) -> None:
    """Raise if a formula made something that is not finite."""
    lines = detect_anomaly.lines.get()
    if lines is None or (place := _not_finite(getattr(gx, "raw", gx))) is None:
        return
    cause = "" if _not_finite(getattr(g, "raw", g)) is None else ", and so was the gradient that came in"
    raise AnomalyError(f"{what} is {place}{cause}. Recorded by {recorded_by(node)}")


def recorded_by(node: Any) -> str:
    """The user's line that recorded a node, where it was watched, or belongs to a rule whose formulas may fail."""
    lines = detect_anomaly.lines.get() or {}
    unknown = "a line that tg.detect_anomaly() names if the forward pass runs inside it"
    return lines.get(node.serial) or str(getattr(node, "line", unknown))


def _not_finite(a: Any) -> str | None:
    """``nan at index (0, 1)`` for the first value that is not finite."""
    a = np.asarray(getattr(a, "raw", a))
    if a.dtype.kind != "f" or np.all(finite := np.isfinite(a)):
        return None
    index = tuple(int(i) for i in np.argwhere(~finite)[0])
    return f"{a[index]}" + (f" at index {index}" if index else "")


def user_line() -> str:
    """``file.py:12: y = np.log(x)``: the innermost line on the stack outside this package and NumPy."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    name, number = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{number}: {linecache.getline(name, number).strip()}"
