"""What a dialect is given, and what it gives back: all that ``compiled`` and the two dialects know of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_bp.errors import GraphError
from tinygrad_bp.tensor import Array, Tensor


@dataclass(frozen=True)
class Task:
    """A function of which one run is to be written out.

    ``run(leaves)`` computes the loss, a tracked scalar tensor, from one leaf for each array among the arguments: a
    tensor, or an array of any kind that answers to NumPy. It may be called more than once, with other values of the
    same shapes and dtypes, and records its graph on whatever it is given.
    """

    run: Callable[[Sequence[Any]], Tensor]
    leaves: list[Array]  # the arrays of the arguments in this call, in order; gone once it is over
    names: list[str]  # of the leaves: valid Python names, each once
    wrt: list[Any]  # what is differentiated by: places among the leaves, or (parameters) leaf tensors that run closes over
    parameter_names: list[str]  # of the tensors in wrt, where these are tensors: valid Python names, each once
    optimizer: Any = None  # then wrt are its parameters

    @property
    def parameters(self) -> list[Any]:
        """The tensors that are differentiated by, where these are no arguments."""
        return [x for x in self.wrt if isinstance(x, Tensor)]


@dataclass(frozen=True)
class Written:
    """A program that was written out.

    ``step(leaves)`` returns, without an optimizer, ``(loss, [gradient, ...])`` in the order of ``Task.wrt``; these
    arrays may be its own buffers, as ``compiled`` copies them. With an optimizer it changes the parameters' own arrays
    (``p.raw``) and the optimizer's state in place, tells ``CHANGES`` of it, and returns the loss before the update.
    ``steps(leaves, n)`` makes n such updates, or fewer where the next takes another branch, and returns their losses.
    Either returns ``None``, having changed nothing, where the recorded run does not fit any more: another branch, another
    option of the optimizer, another state than ``expects``. What shapes and dtypes the leaves have, ``compiled`` guards.
    """

    source: str
    dialect: str
    step: Callable[[Sequence[Array]], Any]
    steps: Callable[[Sequence[Array], int], Any] | None = None
    expects: Any = None  # ``structure`` of the optimizer's state that the program works on
    inlined: Callable[[], Any] = lambda: None  # step taken apart, so that it needs no call of its own: see ``bound``


def structure(state: dict[int, dict[str, Any]]) -> Any:
    """What must be the same for one program to serve: which entries an optimizer's state has, and of what kind."""
    return {
        i: {key: (x.shape, x.dtype.str) if isinstance(x, np.ndarray) else type(x).__name__ for key, x in entry.items()}
        for i, entry in state.items()
    }


def ensure_scalar(loss: Any) -> None:
    """Raise ``GraphError`` for what is no tracked scalar tensor, and so cannot be differentiated."""
    if not isinstance(loss, Tensor):
        raise GraphError(
            f"the function returned {type(loss).__name__}, not a Tensor: it does not depend on what is differentiated, or only through "
            "what has no derivative"
        )
    if loss.size != 1 or not loss.tracked:
        what = f"shape {loss.shape}" if loss.size != 1 else "a tensor that does not depend on what is differentiated"
        raise GraphError(f"the function returned {what}; what is compiled returns a scalar loss")
