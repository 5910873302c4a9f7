"""Plain gradient descent, and with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_bp.tensor import Array, Changes, Tensor


class Optimizer:
    """Holds the parameters; a subclass says how a gradient changes one."""

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        self.params: list[Any] = list(params)
        self.lr = lr
        if not self.params:
            raise ValueError("an optimizer needs parameters: optim.SGD(model.parameters(), lr=0.1)")
        wrong = [p for p in self.params if not (isinstance(p, Tensor) and p.is_leaf)]
        if wrong:
            raise TypeError(f"an optimizer changes leaf tensors; got {wrong[0]!r}")

    def zero_grad(self) -> None:
        """Forget the gradients. Without this, ``backward()`` adds to them."""
        for p in self.params:
            p.gradient = None

    def step(self) -> None:
        """Update every parameter that has a gradient, all from the gradients of the same point."""
        for i, p in enumerate(self.params):
            g = p.gradient
            if g is None or not p.tracked:
                continue
            change = self.change(i, p.raw, g.raw if isinstance(g, Tensor) else g)
            if isinstance(p.raw, np.ndarray):
                p.raw -= change
            else:  # the array of another library may not be changeable
                p.raw = p.raw - change
            Changes.note(p)

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        """What is subtracted from parameter ``i``."""
        raise NotImplementedError(f"{type(self).__name__} needs a method change(self, i, value, gradient)")


class SGD(Optimizer):
    """w <- w - lr * v, where v is the gradient, or with momentum v <- momentum * v + gradient, as in PyTorch.

    Source: document "反向传播—BP", step 2.2; momentum: Polyak 1964, in PyTorch's convention.

    >>> w = Tensor([0.4], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.5).step()
    >>> w
    Tensor([0.], requires_grad=True)
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        self.momentum = momentum
        self.velocity: dict[int, Array] = {}

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        if self.momentum:
            before = self.velocity.get(i)
            gradient = self.velocity[i] = gradient if before is None else self.momentum * before + gradient
        return self.lr * gradient
