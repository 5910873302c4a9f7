"""Write a recorded step out as straight-line Python, and run that instead.

The module itself is the function: ``tg.compile(f, optimizer=optimizer)``.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from tinygrad_bp.compile.compiled import Compiled, compiled

__all__ = ["Compiled", "compiled"]


class _Callable(types.ModuleType):
    """Importing a submodule would hide a function of the same name, so the module answers the call itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> Compiled:
        return compiled(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
