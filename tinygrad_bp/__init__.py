"""Reverse-mode automatic differentiation that explains itself and checks hand-derived gradients.

``Tensor`` records NumPy's functions; ``nn`` and ``optim`` have PyTorch's names; ``grad``, ``jacobian`` and the like take
functions. ``draw.graph(loss)``, ``draw.network(loss)`` and others are pictures, ``explain(loss, "w5")`` is a derivation,
``check(loss, {"w5": 0.0822})`` compares a claim with it, ``compile`` writes a step out as a program, and ``worked`` has
published examples. ``help(tinygrad_bp.check)`` and so on say more.

>>> import tinygrad_bp as tg
>>> w = tg.Tensor(3.0, requires_grad=True, name="w")
>>> loss = (w * w).named("E")
>>> print(tg.explain(loss, "w"))
dE/dw
<BLANKLINE>
  dE/dw = 2 * w
        = 2 * 3
        = 6
>>> tg.check(loss, {"w": "2 * w"}).ok
True
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from tinygrad_bp import compositions as _compositions  # declares, with rules, the table of derivatives
from tinygrad_bp.anomaly import detect_anomaly
from tinygrad_bp.modes import enable_grad, no_grad
from tinygrad_bp.operators import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from tinygrad_bp.rule import bilinear, composed, constant, general, linear, pointwise
from tinygrad_bp.rules import elu, erf, gelu, leaky_relu, log_softmax, logsumexp, relu, sigmoid, silu, softmax, softplus
from tinygrad_bp.tensor import Tensor

__version__ = "0.1.0"
__all__ = [
    "Program", "Tensor", "bilinear", "check", "compile", "composed", "constant", "detect_anomaly", "draw", "elu", "enable_grad", "erf",
    "explain", "gelu", "general", "grad", "gradcheck", "hessian", "hvp", "jacobian", "jvp", "leaky_relu", "linear", "log_softmax",
    "logsumexp", "nn", "no_grad", "optim", "pointwise", "relu", "sigmoid", "silu", "softmax", "softplus", "value_and_grad", "vjp",
    "why", "worked",
]  # fmt: skip
del _compositions


def __getattr__(name: str) -> Any:
    """What draws, explains and checks is imported when it is first used."""
    if name in ("gradcheck", "why"):
        return getattr(importlib.import_module(f"{__name__}.{'check' if name == 'gradcheck' else 'explain'}"), name)
    if name not in ("Program", "check", "compile", "draw", "explain", "nn", "optim", "worked"):
        instead = f"; write np.{name}" if name[0] != "_" and callable(getattr(sys.modules["numpy"], name, None)) else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{instead}")
    module = importlib.import_module(f"{__name__}.{name.lower()}")
    return module.Program if name == "Program" else module


def __dir__() -> list[str]:
    return sorted(__all__)
