"""Neural networks: modules, layers, activations, losses and initial weights, in PyTorch's names."""

from tinygrad_bp.nn import init
from tinygrad_bp.nn.activations import ELU, GELU, Identity, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from tinygrad_bp.nn.layers import MLP, Linear
from tinygrad_bp.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropy,
    CrossEntropyLoss,
    HalfSquaredError,
    MSELoss,
    NLLLoss,
    QuadraticCost,
)
from tinygrad_bp.nn.module import Module, Parameter, Sequential

__all__ = [
    "ELU", "GELU", "MLP", "BCELoss", "BCEWithLogitsLoss", "CategoricalCrossEntropy", "CrossEntropyLoss", "HalfSquaredError", "Identity",
    "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "Module", "NLLLoss", "Parameter", "QuadraticCost", "ReLU", "Sequential", "SiLU",
    "Sigmoid", "Softmax", "Softplus", "Tanh", "init",
]  # fmt: skip
