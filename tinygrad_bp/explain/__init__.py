"""Write out the derivation of a gradient, symbol by symbol and number by number.

The module itself is the function: ``tg.explain(loss, "w5")``.
"""

from __future__ import annotations

from tinygrad_bp.callable_module import answers
from tinygrad_bp.explain.derivation import Derivation, explain
from tinygrad_bp.explain.notation import NOTATIONS, Notation
from tinygrad_bp.explain.reasons import why

__all__ = ["NOTATIONS", "Derivation", "Notation", "explain", "why"]

answers(__name__, explain)
