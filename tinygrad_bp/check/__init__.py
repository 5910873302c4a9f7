"""Compare hand-derived gradients with autograd's.

The module itself is the function: ``tg.check(loss, {"w5": 0.0821670406})``; ``tg.check.notes("notes.md")`` checks a
derivation that is written as Markdown.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from tinygrad_bp.check import notes
from tinygrad_bp.check.claims import check
from tinygrad_bp.check.gradcheck import gradcheck
from tinygrad_bp.check.report import Report
from tinygrad_bp.check.rows import Row

__all__ = ["Report", "Row", "check", "gradcheck", "notes"]


class _Callable(types.ModuleType):
    """Importing a submodule would hide a function of the same name, so the module answers the call itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> Report:
        return check(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
