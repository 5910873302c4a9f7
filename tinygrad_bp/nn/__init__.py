"""Neural networks: modules, layers and losses, in PyTorch's names."""

from tinygrad_bp.nn.layers import MLP, Linear, Sigmoid, Tanh
from tinygrad_bp.nn.losses import HalfSquaredError, MSELoss
from tinygrad_bp.nn.module import Module, Parameter, Sequential

__all__ = ["MLP", "HalfSquaredError", "Linear", "MSELoss", "Module", "Parameter", "Sequential", "Sigmoid", "Tanh"]
