"""``Optimizer``: parameters, the state that belongs to each, and one update of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray

from tinygrad_bp.changes import CHANGES
from tinygrad_bp.errors import NameLookupError, ShapeError
from tinygrad_bp.tensor import Array, Tensor

LARGE = 1 << 18  # numbers

Closure = Callable[[], Any]


class Optimizer:
    """Gradient descent of some kind. A subclass says in ``change`` what is subtracted from a parameter.

    All parameters change from gradients of one and the same point. A parameter that is frozen
    (``requires_grad=False``) or has no gradient stays as it is. ``lr`` may be set at any time.

    Raises ``ValueError`` without parameters, for one that is given twice, or for numbers out of their range, and
    ``TypeError`` for anything that is not a leaf tensor.

    >>> class SignDescent(Optimizer):
    ...     def change(self, i, value, gradient):
    ...         return self.lr * np.sign(gradient)
    >>> w = Tensor([0.4, -3.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SignDescent([w], lr=0.1).step()
    >>> w
    Tensor([ 0.3, -2.9], requires_grad=True)
    """

    settings: ClassVar[tuple[str, ...]] = ("lr",)
    """The attributes that ``state_dict`` holds beside the state."""

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        self.params = _leaves(params)
        at_least_zero(lr=lr)
        self.lr = float(lr)  # a NumPy float64 would turn float32 weights into float64
        self.state: dict[int, dict[str, Any]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients. Without this, ``backward()`` adds to them."""
        for p in self.params:
            p.gradient = None

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient.

        ``closure``, where given, is called first; it clears the gradients, computes the loss, calls ``backward()``
        and returns the loss, which ``step`` hands on: the loss before the update.
        """
        loss = None if closure is None else closure()
        now = CHANGES.tick()
        for i, p in enumerate(self.params):
            g = p.gradient
            if g is None or not p.tracked:
                continue
            p.changed, raw = now, p.raw
            g = g.raw if isinstance(g, Tensor) else g
            if not isinstance(raw, ndarray):  # the array of another library may not be changeable
                p.raw = raw - self.change(i, raw, g)
            elif raw.size < LARGE:
                raw -= self.change(i, raw, g)
            else:
                self.change_large(i, raw, g)
        return loss

    def change_large(self, i: int, value: Array, gradient: Array) -> None:
        """Update a large matrix in place."""
        value -= self.change(i, value, gradient)

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        """What is subtracted from parameter ``i``. It may keep numbers and arrays of its own in ``self.state[i]``.

        It must not write into ``gradient`` or into the arrays of the state: others may hold them.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method change(self, i, value, gradient)")

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on, apart from parameters and gradients: plain data, copied."""
        settings = {name: getattr(self, name) for name in self.settings}
        return {"kind": type(self).__name__, "settings": settings, "state": _copied(self.state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly as the optimizer would that gave this ``state_dict``; parameters count in their order.

        Raises ``NameLookupError`` or ``ShapeError`` where it belongs to another kind of optimizer or to other
        parameters, and then changes nothing.
        """
        self.check_state_dict(state)
        for name, value in state["settings"].items():
            setattr(self, name, value)
        self.state = {i: {key: _laid_out_like(self.params[i], x) for key, x in entry.items()} for i, entry in state["state"].items()}

    def check_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise unless ``state`` can be loaded."""
        if state.get("kind") != type(self).__name__ or set(state["settings"]) != set(self.settings):
            raise NameLookupError(f"this state_dict is that of {state.get('kind')!r}; it cannot be loaded into {type(self).__name__}")
        for i, entry in state["state"].items():
            if not 0 <= i < len(self.params):
                raise NameLookupError(f"the state_dict has a state for parameter {i}; this optimizer has {len(self.params)} parameters")
            shape = self.params[i].shape
            for key, value in entry.items():
                if hasattr(value, "dtype") and value.shape != shape:
                    raise ShapeError(f"parameter {i} has shape {shape}; the state_dict holds {key} of shape {value.shape}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.settings)})"


def put_back(params: Iterable[Any], values: Iterable[Array]) -> None:
    """Give parameters earlier values again, in their own arrays where these can be written to."""
    for p, value in zip(params, values, strict=True):
        if isinstance(p.raw, np.ndarray):
            p.raw[...] = value
        else:
            p.raw = value
        CHANGES.note(p)


def copied(x: Any) -> Any:
    """A copy of a number or an array, which lies in memory as the array does."""
    return np.array(x) if isinstance(x, np.ndarray) else x.copy() if hasattr(x, "copy") else x


def _copied(state: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    return {i: {key: copied(v) for key, v in entry.items()} for i, entry in state.items()}


def _laid_out_like(p: Any, x: Any) -> Any:
    """A copy of an array of the state in the order of the parameter, by columns or by rows: an update reads both."""
    arrays = isinstance(x, np.ndarray) and isinstance(p.raw, np.ndarray)
    return np.array(x, order="F" if p.raw.flags.fnc else "C") if arrays else copied(x)


def _leaves(params: Iterable[Any]) -> list[Any]:
    """The parameters as a list, if they are what an optimizer can change."""
    if isinstance(params, Tensor):
        raise TypeError("an optimizer wants a list of tensors; write [w] for a single one")
    if hasattr(params, "parameters") or not isinstance(params, Iterable):  # of a Sequential one could take the modules
        raise TypeError(f"an optimizer wants the parameters, model.parameters(), or a list of tensors; got {type(params).__name__}")
    found = list(params)
    if not found:
        raise ValueError("an optimizer needs parameters: optim.SGD(model.parameters(), lr=0.1)")
    wrong = [p for p in found if not (isinstance(p, Tensor) and p.is_leaf)]
    if wrong:
        raise TypeError(f"an optimizer changes leaf tensors; got {wrong[0]!r}")
    if len({p.serial for p in found}) < len(found):
        raise ValueError("a parameter is listed twice, so every step would change it twice")
    return found


def at_least_zero(**numbers: float) -> None:
    """Raise ``ValueError`` for a negative number or NaN, ``TypeError`` for what is no number, by name."""
    for name, value in numbers.items():
        if not (real(name, value) >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} is a number that is not negative; got {value!r}")


def real(name: str, value: Any) -> float:
    """A number as a float; ``TypeError`` for anything else."""
    try:
        math.isfinite(value)
    except TypeError as error:
        raise TypeError(f"{name} is a number; got {value!r}") from error
    return float(value)


def below_one(**numbers: float) -> None:
    """Raise ``ValueError`` for a number outside 0 <= number < 1, ``TypeError`` for what is no number, by name."""
    for name, value in numbers.items():
        if not 0 <= real(name, value) < 1:
            raise ValueError(f"{name} is a number from 0 to 1, without 1 itself; got {value!r}")
