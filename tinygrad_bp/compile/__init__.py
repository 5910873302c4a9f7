"""Write a recorded step out as straight-line Python, and run that instead.

The module itself is the function: ``tg.compile(f, optimizer=optimizer)``.
"""

from __future__ import annotations

from tinygrad_bp.callable_module import answers
from tinygrad_bp.compile.compiled import Compiled, compiled

__all__ = ["Compiled", "compiled"]

answers(__name__, compiled)
