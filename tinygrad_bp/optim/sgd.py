"""Plain gradient descent, and with momentum."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_bp.optim.optimizer import LARGE, Optimizer, at_least_zero, copied
from tinygrad_bp.tensor import Array, Tensor


class SGD(Optimizer):
    """Gradient descent, w <- w - lr * g, with momentum, Nesterov's momentum and weight decay, as in PyTorch::

        g <- g + weight_decay * w                             the gradient of weight_decay / 2 * sum(w ** 2) on top
        v <- momentum * v + (1 - dampening) * g               v = g at the first update
        w <- w - lr * v                                       nesterov: w <- w - lr * (g + momentum * v)

    So a part of the last change of the weights goes on into the next one. That is how document "BP算法讲解",
    2.6.2, describes momentum in words; the formula that it prints carries on a part of the weights themselves.

    Sources: document "反向传播—BP", step 2.2 (plain); Polyak 1964, "Some methods of speeding up the convergence of
    iteration methods" (momentum); Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning" (Nesterov). PyTorch's convention: a new lr applies to the whole of v at once.

    Raises ``ValueError`` for numbers out of their range, and for ``nesterov`` without momentum or with dampening.

    >>> w = Tensor([0.4], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.5).step()
    >>> w
    Tensor([0.], requires_grad=True)
    """

    settings = ("lr", "momentum", "dampening", "weight_decay", "nesterov")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr)
        at_least_zero(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("Nesterov's momentum needs momentum > 0 and dampening = 0")
        self.momentum, self.dampening, self.weight_decay, self.nesterov = momentum, dampening, weight_decay, nesterov

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * value
        if self.momentum:
            velocity = self._velocity(i, gradient)
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        return self.lr * gradient

    def change_large(self, i: int, value: Array, gradient: Array) -> None:
        """A part at a time, so that a large matrix needs no second one beside it."""
        if self.momentum or self.weight_decay:
            super().change_large(i, value, gradient)
            return
        if value.flags.fnc:  # rows of the transpose are whole in memory
            value, gradient = value.T, gradient.T
        rows = -(-len(value) // -(-value.size // LARGE))  # in equal parts, as few as LARGE allows
        for k in range(0, len(value), rows):
            value[k : k + rows] -= self.lr * gradient[k : k + rows]

    def _velocity(self, i: int, gradient: Array) -> Array:
        before = self.state.get(i)  # at first a copy: the gradient belongs to the tensor, and may be written to there
        v = copied(gradient) if before is None else self.momentum * before["momentum_buffer"] + (1 - self.dampening) * gradient
        self.state[i] = {"momentum_buffer": v}
        return v
