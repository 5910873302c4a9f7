"""``no_grad`` and ``enable_grad``: whether operations are recorded, per thread and per async task."""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Self

grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)


class _GradMode(ContextDecorator):
    """Switch recording for a block or a function; per thread and per async task."""

    mode: bool

    def __init__(self, *functions: object) -> None:
        if functions:
            raise TypeError(f"write @tg.{type(self).__name__}(), with brackets")
        self.tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> Self:  # a decorated function may be re-entered, in several threads
        return type(self)()

    def __enter__(self) -> None:
        self.tokens.append(grad_enabled.set(self.mode))

    def __exit__(self, *exc: object) -> None:
        grad_enabled.reset(self.tokens.pop())


class no_grad(_GradMode):
    """Compute without recording: ``with tg.no_grad(): ...`` or ``@tg.no_grad()``.

    >>> import tinygrad_bp as tg
    >>> w = tg.Tensor(2.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     (w * 3).requires_grad
    False
    """

    mode = False


class enable_grad(_GradMode):
    """Record again inside a ``no_grad`` block."""

    mode = True
