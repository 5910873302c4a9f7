"""Gradient descent."""

from tinygrad_bp.optim.sgd import SGD, Optimizer

__all__ = ["SGD", "Optimizer"]
