"""Write out the derivation of a gradient, symbol by symbol and number by number.

The module itself is the function: ``tg.explain(loss, "w5")``.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from tinygrad_bp.explain.derivation import Derivation, explain
from tinygrad_bp.explain.notation import NOTATIONS, Notation
from tinygrad_bp.explain.reasons import why

__all__ = ["NOTATIONS", "Derivation", "Notation", "explain", "why"]


class _Callable(types.ModuleType):
    """Importing a submodule would hide a function of the same name, so the module answers the call itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> Derivation:
        return explain(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
