"""``tg.compile``: what the user calls, and the guards around the programs that were written out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from tinygrad_bp.tensor import Tensor

Dialect = Literal["auto", "matrix", "scalar"]


def compiled(
    f: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    wrt: Iterable[Tensor] | None = None,
    optimizer: Any = None,
    dialect: Dialect = "auto",
    copy: bool = True,
    on_change: Literal["record", "raise"] = "record",
) -> Compiled:
    """A function like ``tg.value_and_grad(f, argnums)``, or a whole training step, written out as NumPy source and run as that."""
    return Compiled()


class Compiled:
    """A function whose runs are written out. ``source`` is the program that ran last."""

    def __init__(self) -> None:
        raise NotImplementedError("tg.compile is not written yet")
