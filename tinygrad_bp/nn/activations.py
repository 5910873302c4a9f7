"""Activation functions as modules: what a neuron makes of its weighted sum. All but the softmaxes work elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_bp.nn.module import Module
from tinygrad_bp.rule import RULES
from tinygrad_bp.rules import elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus
from tinygrad_bp.tensor import Tensor, record

SIGMOID = RULES[sigmoid]  # called by its rule, as a linear layer


class Identity(Module):
    """x itself: a linear layer's neurons. No operation is recorded: the output is the weighted sum, one tensor.

    >>> Identity()(2.0)
    2.0
    """

    def forward(self, x: Any) -> Any:
        return x


class Sigmoid(Module):
    """1 / (1 + exp(-x)), in (0, 1); the derivative is y (1 - y). Source: document "反向传播—BP", step 1.

    >>> Sigmoid()(np.array([0.0, 800.0]))
    array([0.5, 1. ])
    """

    def forward(self, x: Any) -> Any:
        return record(SIGMOID, (x,)) if isinstance(x, Tensor) else sigmoid(x)


class Tanh(Module):
    """tanh(x) = 2 sigmoid(2 x) - 1, in (-1, 1); the derivative is 1 - y^2.

    >>> print(f"{Tanh()(0.5):.6f}")
    0.462117
    """

    def forward(self, x: Any) -> Any:
        return np.tanh(x)


class ReLU(Module):
    """max(x, 0); the derivative at 0 is 0, as in PyTorch.

    >>> ReLU()(np.array([-2.0, 3.0]))
    array([0., 3.])
    """

    def forward(self, x: Any) -> Any:
        return relu(x)


class LeakyReLU(Module):
    """x where x > 0, ``negative_slope`` * x elsewhere; the derivative at 0 is the slope. Source: Maas et al. 2013.

    >>> LeakyReLU(0.1)(np.array([-2.0, 3.0]))
    array([-0.2,  3. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        return leaky_relu(x, slope=self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where x > 0, alpha (exp(x) - 1) elsewhere. Source: Clevert et al. 2015, equation 15.

    >>> ELU()(np.array([-800.0, 3.0]))
    array([-1.,  3.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return elu(x, alpha=self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Module):
    """x times the normal distribution function of x. Source: Hendrycks and Gimpel 2016.

    >>> print(f"{GELU()(1.0):.6f}")
    0.841345
    """

    def forward(self, x: Any) -> Any:
        return gelu(x)


class SiLU(Module):
    """x sigmoid(x), also called swish. Source: Elfwing et al. 2017.

    >>> print(f"{SiLU()(1.0):.6f}")
    0.731059
    """

    def forward(self, x: Any) -> Any:
        return silu(x)


class Softplus(Module):
    """log(1 + exp(x)), a smooth relu; the derivative is the sigmoid.

    >>> print(f"{Softplus()(0.0):.6f}")
    0.693147
    """

    def forward(self, x: Any) -> Any:
        return softplus(x)


class Softmax(Module):
    """exp(x) / sum(exp(x)) over ``axis``: positive numbers that add up to 1. The shape stays.

    With a cross-entropy after it, ``CrossEntropyLoss`` on the weighted sums is the same and safer.

    >>> Softmax()(np.array([[0.0, 0.0], [800.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return softmax(x, axis=self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Softmax):
    """The logarithm of ``Softmax``, without its underflow: what ``NLLLoss`` takes.

    >>> LogSoftmax()(np.array([800.0, 0.0]))
    array([   0., -800.])
    """

    def forward(self, x: Any) -> Any:
        return log_softmax(x, axis=self.axis)
