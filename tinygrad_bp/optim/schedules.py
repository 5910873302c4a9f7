"""Learning rates that follow a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinygrad_bp.optim.bold_driver import BoldDriver
from tinygrad_bp.optim.optimizer import Optimizer


class Schedule:
    """Sets ``optimizer.lr`` from the number of epochs done. A subclass says in ``rate`` to what.

    ``step()`` is called at the end of an epoch, after the optimizer's updates; ``optim.fit`` does so, and there an epoch
    of full-batch descent is one update. ``base_lr`` is the rate that the optimizer has when the schedule is made.

    >>> from tinygrad_bp import Tensor, optim
    >>> class InverseRoot(Schedule):
    ...     def rate(self, epoch):
    ...         return self.base_lr / math.sqrt(1 + epoch)
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.6)
    >>> schedule = InverseRoot(optimizer)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> optimizer.lr
    0.3
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if isinstance(optimizer, BoldDriver):
            raise TypeError("BoldDriver sets the learning rate itself; a schedule would overwrite it")
        self.optimizer, self.base_lr, self.epoch = optimizer, optimizer.lr, 0

    def rate(self, epoch: int) -> float:
        """The learning rate after this many epochs."""
        raise NotImplementedError(f"{type(self).__name__} needs a method rate(self, epoch)")

    def step(self) -> None:
        """One epoch is over."""
        self.epoch += 1
        self.optimizer.lr = self.rate(self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands."""
        return {"base_lr": self.base_lr, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand there again."""
        self.base_lr, self.epoch = state["base_lr"], state["epoch"]


class StepLR(Schedule):
    """lr = base_lr * gamma ** (epoch // step_size): a drop every ``step_size`` epochs, as in PyTorch.

    >>> from tinygrad_bp import Tensor, optim
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.8)
    >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> [schedule.rate(epoch) for epoch in range(5)]
    [0.8, 0.8, 0.4, 0.4, 0.2]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        if step_size < 1:
            raise ValueError(f"step_size is a number of epochs, at least 1; got {step_size!r}")
        self.step_size, self.gamma = step_size, gamma

    def rate(self, epoch: int) -> float:
        return self.base_lr * self.gamma ** (epoch // self.step_size)


class ExponentialLR(Schedule):
    """lr = base_lr * gamma ** epoch, as in PyTorch.

    >>> from tinygrad_bp import Tensor, optim
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.8)
    >>> ExponentialLR(optimizer, gamma=0.5).step()
    >>> optimizer.lr
    0.4
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer)
        self.gamma = gamma

    def rate(self, epoch: int) -> float:
        return self.base_lr * self.gamma**epoch


class CosineAnnealingLR(Schedule):
    """lr = eta_min + (base_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2, as in PyTorch.

    It falls from base_lr to eta_min within ``T_max`` epochs, and goes up again after them, as PyTorch's does.

    Source: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5.

    >>> from tinygrad_bp import Tensor, optim
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.8)
    >>> schedule = CosineAnnealingLR(optimizer, T_max=2)
    >>> schedule.step()
    >>> print(f"{optimizer.lr:.2f}")
    0.40
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:  # noqa: N803  # its name in PyTorch
        super().__init__(optimizer)
        if T_max < 1:
            raise ValueError(f"T_max is a number of epochs, at least 1; got {T_max!r}")
        self.T_max, self.eta_min = T_max, eta_min

    def rate(self, epoch: int) -> float:
        return self.eta_min + (self.base_lr - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2
