"""``detect_anomaly``: which operation made the first NaN or infinity, and on which line of the user's program."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from types import CodeType
from typing import Any, Self

import numpy as np

from tinygrad_bp.errors import AnomalyError

LIBRARIES = tuple(os.path.dirname(module) + os.sep for module in (__file__, np.__file__))  # noqa: PTH120  (pathlib is slow to import)

Line = tuple[int, CodeType, int]  # a line of a program: what was recorded since a serial number, code, place in the code


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

    here: ContextVar[bool] = ContextVar("here", default=False)

    def __init__(self) -> None:
        self.tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> Self:
        return type(self)()

    def __enter__(self) -> None:
        WATCHES.append(self)
        self.tokens.append(self.here.set(True))

    def __exit__(self, *exc: object) -> None:
        WATCHES.remove(self)
        self.here.reset(self.tokens.pop())


WATCHES: list[detect_anomaly] = []  # those that are active, in all threads: operations look closer only where there are any


def watch_forward(what: str, operands: Iterable[Any], result: Any) -> None:
    """Raise if the result of an operation is the first that is not finite."""
    if not detect_anomaly.here.get():
        return
    if (place := _not_finite(result)) is not None:
        fault = next((k for k, a in enumerate(operands) if _not_finite(a) is not None), None)
        cause = "" if fault is None else f", and its operand {fault + 1} was not finite to begin with"
        raise AnomalyError(f"{what} is {place}{cause}. Recorded by {user_line()}")


def watch_backward(what: str, g: Any, gx: Any, node: Any) -> None:
    """Raise if a formula made something that is not finite."""
    if not detect_anomaly.here.get() or (place := _not_finite(gx)) is None:
        return
    cause = "" if _not_finite(g) is None else ", and so was the gradient that came in"
    raise AnomalyError(f"{what} is {place}{cause}. Recorded by {recorded_by(node)}")


def locate(error: Exception, name: str, node: Any, later: Iterable[Line]) -> None:
    """Add the user's line to an error of a sweep, unless it says it already."""
    if not isinstance(error, AnomalyError):
        error.add_note(f"{name} was recorded by {recorded_by(node, later)}.")


def recorded_by(node: Any, later: Iterable[Line] = ()) -> str:
    """The user's line that recorded a node: its own, or that of the innermost call among those of ``later`` nodes."""
    own = [(node.serial, node.code, node.place)] if node.code else []
    around = [line for line in (*own, *node.calls, *later) if line[0] <= node.serial and not is_ours(line)]
    return _shown(max(around, key=lambda line: line[0])) if around else "a line that tg.detect_anomaly() around the forward pass names"


def _not_finite(a: Any) -> str | None:
    """``nan at index (0, 1)`` for the first value that is not finite."""
    a = np.asarray(getattr(a, "raw", a))
    if a.dtype.kind != "f" or np.all(finite := np.isfinite(a)):
        return None
    index = tuple(int(i) for i in np.argwhere(~finite)[0])
    return f"{a[index]}" + (f" at index {index}" if index else "")


def is_ours(line: Line) -> bool:
    """Whether a line belongs to this package or NumPy, not to the user's program."""
    return line[1].co_filename.startswith(LIBRARIES)


def calling(serial: int = 0) -> Line:
    """The innermost line on the stack outside this package and NumPy."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    return serial, frame.f_code, frame.f_lasti


def user_line() -> str:
    """``file.py:12: y = np.log(x)``: the line that is running now."""
    return _shown(calling())


def _shown(line: Line) -> str:
    _, code, place = line
    number = next((n for start, end, n in code.co_lines() if n is not None and start <= place < end), code.co_firstlineno)
    return f"{code.co_filename}:{number}: {linecache.getline(code.co_filename, number).strip()}"
