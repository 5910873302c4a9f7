"""A learning rate of its own for every weight: Adagrad, RMSprop, Adam, AdamW."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinygrad_bp.optim.optimizer import Optimizer, at_least_zero, below_one
from tinygrad_bp.tensor import Array, Tensor


class Adagrad(Optimizer):
    """Each weight's rate falls with the gradients it has seen, as in PyTorch::

        g <- g + weight_decay * w
        s <- s + g ** 2                                       s = initial_accumulator_value at the start
        w <- w - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)          at update t = 1, 2, ...

    Source: Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic
    optimization". Raises ``ValueError`` for negative numbers.

    >>> w = Tensor([0.4, -30.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Adagrad([w], lr=0.1).step()
    >>> w
    Tensor([  0.3, -29.9], requires_grad=True)
    """

    settings = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, lr)
        at_least_zero(lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps)
        self.lr_decay, self.weight_decay, self.initial_accumulator_value, self.eps = lr_decay, weight_decay, initial_accumulator_value, eps

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * value
        before = self.state.get(i) or {"step": 0, "sum": self.initial_accumulator_value}
        step, s = before["step"] + 1, before["sum"] + gradient * gradient
        self.state[i] = {"step": step, "sum": s}
        return self.lr / (1 + (step - 1) * self.lr_decay) * gradient / (np.sqrt(s) + self.eps)


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square, as in PyTorch::

        g <- g + weight_decay * w
        s <- alpha * s + (1 - alpha) * g ** 2
        m <- alpha * m + (1 - alpha) * g                      centered: s - m ** 2, the variance, takes the place of s
        u <- momentum * u + g / (sqrt(s) + eps)               s, m and u start from 0
        w <- w - lr * u

    Sources: Hinton 2012, "Neural networks for machine learning", lecture 6e; centered: Graves 2013, "Generating
    sequences with recurrent neural networks". Raises ``ValueError`` for numbers out of their range.

    >>> w = Tensor([0.4, -30.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> RMSprop([w], lr=0.01).step()
    >>> print(np.round(w.numpy(), 6))
    [  0.3 -29.9]
    """

    settings = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr)
        at_least_zero(eps=eps, weight_decay=weight_decay, momentum=momentum)
        below_one(alpha=alpha)
        self.alpha, self.eps, self.weight_decay, self.momentum, self.centered = alpha, eps, weight_decay, momentum, centered

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * value
        before, state = self.state.get(i, {}), {}
        state["square_avg"] = s = self.alpha * before.get("square_avg", 0.0) + (1 - self.alpha) * gradient * gradient
        if self.centered:
            state["grad_avg"] = m = self.alpha * before.get("grad_avg", 0.0) + (1 - self.alpha) * gradient
            s = s - m * m
        u = gradient / (np.sqrt(s) + self.eps)
        if self.momentum:
            state["momentum_buffer"] = u = self.momentum * before.get("momentum_buffer", 0.0) + u
        self.state[i] = state
        return self.lr * u


class Adam(Optimizer):
    """Momentum over the root of the running mean square, both corrected for their start from 0, as in PyTorch::

        g <- g + weight_decay * w
        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g ** 2
        w <- w - lr * (m / (1 - beta1 ** t)) / (sqrt(v / (1 - beta2 ** t)) + eps)              at update t = 1, 2, ...

    ``betas`` is (beta1, beta2). Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization",
    algorithm 1. Raises ``ValueError`` for numbers out of their range.

    >>> w = Tensor([0.4, -30.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Adam([w], lr=0.1).step()
    >>> w
    Tensor([  0.3, -29.9], requires_grad=True)
    """

    settings = ("lr", "betas", "eps", "weight_decay")
    default_decay = 0.0

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | None = None,
    ) -> None:
        super().__init__(params, lr)
        below_one(beta1=betas[0], beta2=betas[1])
        self.betas, self.eps = (float(betas[0]), float(betas[1])), eps
        self.weight_decay = self.default_decay if weight_decay is None else weight_decay
        at_least_zero(eps=eps, weight_decay=self.weight_decay)

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * value
        return self.lr * self._direction(i, gradient)

    def _direction(self, i: int, gradient: Array) -> Array:
        (beta1, beta2), before = self.betas, self.state.get(i) or {"step": 0, "exp_avg": 0.0, "exp_avg_sq": 0.0}
        t = before["step"] + 1
        m = beta1 * before["exp_avg"] + (1 - beta1) * gradient
        v = beta2 * before["exp_avg_sq"] + (1 - beta2) * gradient * gradient
        self.state[i] = {"step": t, "exp_avg": m, "exp_avg_sq": v}
        return m / ((1 - beta1**t) * (np.sqrt(v) / (1 - beta2**t) ** 0.5 + self.eps))


class AdamW(Adam):
    """Adam with weight decay beside the averages instead of through them, as in PyTorch::

        w <- w - lr * weight_decay * w - lr * (Adam's direction of the bare gradient)

    Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2. ``weight_decay`` is
    0.01 unless given. Raises ``ValueError`` for numbers out of their range.

    >>> w = Tensor([0.4, -30.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> AdamW([w], lr=0.1, weight_decay=1.0).step()
    >>> w
    Tensor([  0.26, -26.9 ], requires_grad=True)
    """

    default_decay = 0.01

    def change(self, i: int, value: Array, gradient: Array) -> Array:
        return self.lr * (self.weight_decay * value + self._direction(i, gradient))
