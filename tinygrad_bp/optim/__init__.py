"""Gradient descent, the improvements of it, and the training loop."""

from tinygrad_bp.optim.adaptive import Adagrad, Adam, AdamW, RMSprop
from tinygrad_bp.optim.bold_driver import BoldDriver
from tinygrad_bp.optim.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tinygrad_bp.optim.clipping import clip_grad_norm_, clip_grad_value_
from tinygrad_bp.optim.history import History
from tinygrad_bp.optim.metrics import accuracy
from tinygrad_bp.optim.optimizer import Optimizer
from tinygrad_bp.optim.schedules import CosineAnnealingLR, ExponentialLR, Schedule, StepLR
from tinygrad_bp.optim.sgd import SGD
from tinygrad_bp.optim.training import State, fit

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "BoldDriver", "Checkpoint", "CosineAnnealingLR", "ExponentialLR", "History", "Optimizer", "RMSprop",
    "Schedule", "State", "StepLR", "accuracy", "clip_grad_norm_", "clip_grad_value_", "fit", "load_checkpoint", "save_checkpoint",
]  # fmt: skip
