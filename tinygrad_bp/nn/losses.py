"""What is minimised."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_bp.errors import ShapeError
from tinygrad_bp.nn.module import Module
from tinygrad_bp.tensor import Tensor


def check_shapes(output: Any, target: Any) -> None:
    """A loss compares arrays of one shape; broadcasting one against the other is nearly always a mistake."""
    if np.shape(output) != np.shape(target):
        raise ShapeError(
            f"the loss compares an output of shape {np.shape(output)} with a target of shape {np.shape(target)}. "
            "Give both one shape, with .reshape(...)"
        )


class HalfSquaredError(Module):
    """Half the sum of squared errors, 1/2 sum (target - output)^2, over all outputs and samples: a scalar.

    Its derivative by an output is -(target - output), without a factor. Equal to ``MSELoss()`` exactly where there
    are two numbers in all, such as two outputs and one sample.

    ``parts(output, target)`` has the error of each output. ``name`` and ``parts_name`` are what pictures call them.

    Source: document "反向传播—BP", step 2.1; document "BP算法讲解", (3-4).

    >>> print(f"{HalfSquaredError()(Tensor([0.75, 0.77]), np.array([0.01, 0.99])):.6f}")
    0.298000
    """

    def __init__(self, name: str = "E_total", parts_name: str | None = "E_o") -> None:
        self.name, self.parts_name = name, parts_name

    def parts(self, output: Any, target: Any) -> Any:
        check_shapes(output, target)
        each = np.square(target - output) / 2
        each.name = self.parts_name
        return each

    def forward(self, output: Any, target: Any) -> Any:
        total = self.parts(output, target).sum()
        total.name = self.name
        return total


class MSELoss(Module):
    """The mean of (output - target)^2 over all elements, or their sum, or none: as PyTorch's.

    >>> print(f"{MSELoss()(Tensor([0.75, 0.77]), np.array([0.01, 0.99])):.6f}")
    0.298000
    """

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction is "mean", "sum" or "none"; got {reduction!r}')
        self.reduction = reduction

    def forward(self, output: Any, target: Any) -> Any:
        check_shapes(output, target)
        each = np.square(output - target)
        loss: Tensor = each if self.reduction == "none" else each.sum() if self.reduction == "sum" else each.mean()
        return loss

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"
