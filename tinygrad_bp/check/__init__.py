"""Compare hand-derived gradients with autograd's.

The module itself is the function: ``tg.check(loss, {"w5": 0.0821670406})``; ``tg.check.notes("notes.md")`` checks a
derivation that is written as Markdown.
"""

from __future__ import annotations

from tinygrad_bp.callable_module import answers
from tinygrad_bp.check import notes
from tinygrad_bp.check.claims import check
from tinygrad_bp.check.gradcheck import gradcheck
from tinygrad_bp.check.report import Report
from tinygrad_bp.check.rows import Row

__all__ = ["Report", "Row", "check", "gradcheck", "notes"]

answers(__name__, check)
