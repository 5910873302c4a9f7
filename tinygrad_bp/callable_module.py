"""Modules that are called like functions, ``tg.check(...)``: importing one would hide a function of its name in the package."""

from __future__ import annotations

import inspect
import sys
import textwrap
import types
from collections.abc import Callable
from typing import Any

WIDTH = 76  # of the call as ``help`` shows it, which indents it by 4


class CallableModule(types.ModuleType):
    """A module that answers calls with one of its functions."""

    __all__: list[str]
    __wrapped__: Callable[..., Any]  # where ``inspect.signature``, and with it notebooks, look for the parameters

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __dir__(self) -> list[str]:
        return sorted(self.__all__)


def answers(module: str, function: Callable[..., Any]) -> None:
    """Let calls of a module go to a function, and ``help`` of the module say what that takes."""
    this: Any = sys.modules[module]
    this.__class__, this.__wrapped__ = CallableModule, function
    if this.__doc__:  # python -OO leaves none
        this.__doc__ = f"{inspect.cleandoc(this.__doc__)}\n\n{written(module, function)}\n\n{inspect.getdoc(function)}"


def written(module: str, function: Callable[..., Any]) -> str:
    """The call of a module with all parameters of its function, without their types.

    >>> print(written("tinygrad_bp.draw.graph", lambda output, *, digits=6: None))
    tg.draw.graph(output, *, digits=6)
    """
    signature = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    call = f"{module.replace('tinygrad_bp', 'tg', 1)}{signature.replace(parameters=bare, return_annotation=signature.empty)}"
    return textwrap.fill(call, WIDTH, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False)
