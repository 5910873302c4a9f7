"""What a function reads beside its arguments: variables of enclosing functions and of its module, and what they hold.

A program is written for the objects and numbers that were there when it was recorded. ``Captured.key()`` is another
once one of them was replaced. Arrays are read at every call, so that writing into one needs no new program.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tinygrad_bp.nn import Module
from tinygrad_bp.tensor import Tensor

Test = tuple[str, dict[str, Any]]  # an expression that is true while nothing changed, and the objects that it names


class Same:
    """Equal to itself alone, by the identity of what it holds."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.x is self.x

    def __hash__(self) -> int:
        return id(self.x)

    def __repr__(self) -> str:
        return f"<{type(self.x).__name__} {id(self.x)}>"


class Captured:
    """The variables that a function reads, and how to see whether they still hold the same."""

    def __init__(self, f: Any, parameters: Iterable[Tensor]) -> None:
        self.known = {p.serial for p in parameters}  # the program is told of their arrays in another way
        self.f = f

    def key(self) -> tuple[Any, ...]:
        return tuple(x if is_plain(x) else Same(x) for _, _, x in self.readings())

    def tests(self) -> list[Test]:
        """Quick tests, in Python's notation, that the key is still the same."""
        return [
            (f"{expression.format(f'k{i}')} is w{i}", {f"k{i}": holder, f"w{i}": x})
            for i, (expression, holder, x) in enumerate(self.readings())
        ]

    def readings(self) -> Iterator[tuple[str, Any, Any]]:
        """(an expression with {} for an object, the object, the value that it has now)."""
        for expression, holder, value in _variables(self.f, set()):
            yield expression, holder, value
            for t in _tensors(value):
                if t.serial not in self.known:
                    yield "{}.raw", t, t.raw
            if isinstance(value, Module):
                for module in reading_mode(value):
                    yield "{}.training", module, module.training


def is_plain(x: Any) -> bool:
    return x is None or isinstance(x, bool | int | float | str)


def _variables(f: Any, seen: set[int]) -> Iterator[tuple[str, Any, Any]]:
    """The free variables of a function, and of functions of the user's among them."""
    f = getattr(f, "__func__", f)
    if not isinstance(f, types.FunctionType) or id(f) in seen or (f.__module__ or "").startswith(("tinygrad_bp.", "numpy")):
        return
    seen.add(id(f))
    found: list[tuple[str, Any, Any]] = [("{}.cell_contents", cell, cell.cell_contents) for cell in f.__closure__ or () if _is_filled(cell)]
    found += [(f"{{}}.get({name!r})", f.__globals__, f.__globals__[name]) for name in _names(f.__code__) if name in f.__globals__]
    for expression, holder, value in found:
        if not isinstance(value, types.ModuleType | type):
            yield expression, holder, value
            yield from _variables(value, seen)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a variable that has no value yet
        return False


def _names(code: types.CodeType) -> list[str]:
    """The names that a function looks up, those of the functions inside it too."""
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _names(c)]
    return list(dict.fromkeys([*code.co_names, *inner]))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return list(value.parameters()) if isinstance(value, Module) else []


def reading_mode(module: Module) -> list[Module]:
    """The modules, itself and those inside it, whose code asks whether it is training."""
    asks: Callable[[type], bool] = lambda cls: any(  # noqa: E731
        "training" in f.__code__.co_names
        for c in cls.__mro__
        if c is not Module
        for f in vars(c).values()
        if isinstance(f, types.FunctionType)
    )
    inside = [m for _, child in module.children() for m in reading_mode(child)]
    return [module, *inside] if asks(type(module)) else inside
