"""One learning rate that follows the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_bp.optim.optimizer import Closure, Optimizer, at_least_zero, below_one, copied, put_back


class BoldDriver(Optimizer):
    """An adaptive learning rate around another optimizer: faster while the loss falls, and back when it rises::

        loss fell                                lr <- grow * lr
        loss rose by more than tolerance         the update is taken back; lr <- shrink * lr; momentum starts anew
        loss rose by less                        the update and lr stay

    The rise is relative to the size of the loss before the update. Document "BP算法讲解", 2.6.2, describes the idea in
    words: a larger rate while learning converges, a smaller one in good time when it does not. Around ``SGD``
    with momentum it is the "momentum and adaptive rate" of the same place.

    Source: Vogl, Mangis, Rigler, Zink and Alkon 1988, "Accelerating the convergence of the back-propagation method",
    Biological Cybernetics 59, 257-263: a rise of "a few percent" is allowed. The constants here are the defaults
    of MATLAB's ``traingda`` and ``traingdx``: lr_inc = 1.05, lr_dec = 0.7, max_perf_inc = 1.04.

    ``step(closure)`` computes the loss twice, before and after the update on the same samples, so it may also be used
    with mini-batches. Every call counts as one update, also one that was taken back.

    Raises ``ValueError`` for grow < 1, for a negative tolerance and for shrink outside 0 <= shrink < 1, and
    ``TypeError`` for a step without a closure.

    >>> from tinygrad_bp import Tensor, optim
    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = BoldDriver(optim.SGD([w], lr=3.0))
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (w * w).sum() / 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(5):
    ...     loss = optimizer.step(closure)
    ...     print(f"{loss.item():.4f} {optimizer.lr:.4f}")
    0.5000 2.1000
    0.5000 1.4700
    0.5000 1.5435
    0.1104 1.6207
    0.0326 1.7017
    """

    settings = ("grow", "shrink", "tolerance")

    def __init__(self, optimizer: Optimizer, grow: float = 1.05, shrink: float = 0.7, tolerance: float = 0.04) -> None:
        self.optimizer, self.params = optimizer, optimizer.params
        at_least_zero(tolerance=tolerance)
        below_one(shrink=shrink)
        if not grow >= 1:
            raise ValueError(f"grow is a factor of at least 1; got {grow!r}")
        self.grow, self.shrink, self.tolerance = grow, shrink, tolerance

    @property
    def lr(self) -> float:  # that of the optimizer inside
        return self.optimizer.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self.optimizer.lr = value

    def step(self, closure: Closure | None = None) -> Any:
        """One update, kept or taken back. Returns the loss before it; the gradients left are those before it."""
        if closure is None:
            raise TypeError("BoldDriver compares losses, so step() needs a closure that computes the loss and calls backward()")
        loss = closure()
        before = float(loss.item())
        gradients, values = [p.gradient for p in self.params], [copied(p.raw) for p in self.params]
        self.optimizer.step()
        after = float(closure().item())
        if after <= before + self.tolerance * abs(before):
            self.lr *= self.grow if after < before else 1.0
        else:  # also where the new loss is NaN
            put_back(self.params, values)
            self.optimizer.state = {}
            self.lr *= self.shrink
        for p, g in zip(self.params, gradients, strict=True):
            p.gradient = g
        return loss

    def state_dict(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in self.settings}
        return {"kind": "BoldDriver", "settings": settings, "state": {}, "inside": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.check_state_dict(state)
        for name, value in state["settings"].items():
            setattr(self, name, value)
        self.optimizer.load_state_dict(state["inside"])

    def check_state_dict(self, state: Mapping[str, Any]) -> None:
        super().check_state_dict(state)
        self.optimizer.check_state_dict(state["inside"])

    def __repr__(self) -> str:
        return f"BoldDriver({self.optimizer!r}, grow={self.grow!r}, shrink={self.shrink!r}, tolerance={self.tolerance!r})"
