"""Activation functions that were written out, such as ``1 / (1 + exp(-z))`` or ``e / sum(e)`` with ``e = exp(z)``.

There are many ways to write each. So they are known by what they compute, at z and at another place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.program import Program

Array = np.ndarray[Any, Any]
Edge = tuple[int, int]  # a line, and which of its operands
LONGEST = 16  # lines that an activation function may take


@dataclass(frozen=True)
class WrittenOut:
    """A function, and the lines that compute it: ``path``, backwards, from its result to its argument; ``beside``, other edges."""

    function: Callable[..., Any]
    path: tuple[Edge, ...]
    beside: tuple[Edge, ...]


def written_out(program: Program, net: int, users: Mapping[int, list[Edge]], known: Iterable[Callable[..., Any]]) -> WrittenOut | None:
    """The first of the known functions that is computed from one line alone."""
    lines, z = _following(program, net, users), program.lines[net].value
    if not lines or not np.any(z):
        return None
    with np.errstate(all="ignore"):
        here, there = _run(program, lines, net, z), _run(program, lines, net, z / 2)  # the signs, which masks keep, are the same
        wanted = [(f, f(z, **axis), f(z / 2, **axis)) for f in known for axis in _axes(f, z)]
        wanted = [(f, y, half) for f, y, half in wanted if not np.allclose(y, z)]
        for out in (i for i in lines if program.lines[i].shape == z.shape):
            for function, y, half in wanted:
                found = _edges(program, net, out, users) if _same(here[out], y) and _same(there[out], half) else None
                if found is not None:
                    return WrittenOut(function, *found)
    return None


def _same(a: Any, b: Any) -> bool:
    return np.allclose(a, b, rtol=1e-10, atol=1e-14)


def _axes(function: Callable[..., Any], z: Array) -> Iterator[dict[str, int]]:
    """The axes that a function may be taken along; a softmax of one number is 1, which tells nothing."""
    if function is not functions.softmax:
        yield {}
    else:
        yield from ({"axis": axis} for axis in reversed(range(z.ndim)) if z.shape[axis] > 1)


def _following(program: Program, net: int, users: Mapping[int, list[Edge]]) -> list[int]:
    """The lines that depend on one line and on constants alone, in order."""
    found, inside, left = list[int](), {net}, [user for user, _ in users.get(net, [])]
    while left and len(found) < LONGEST:
        line = program.lines[min(left)]
        left = [i for i in left if i != line.index]
        if all(i in inside or program.lines[i].constant for i in line.operands):
            found.append(line.index)
            inside.add(line.index)
            left += [user for user, _ in users.get(line.index, [])]
    return found


def _run(program: Program, lines: Sequence[int], net: int, z: Array) -> dict[int, Any]:
    """The values of lines for another value of the line that they depend on."""
    values: dict[int, Any] = {net: z}
    for line in (program.lines[i] for i in lines):
        assert line.rule is not None
        operands = [values[i] if i in values else program.lines[i].value for i in line.operands]
        values[line.index] = line.rule.function(*operands, **(line.params or {}))
    return values


def _edges(program: Program, net: int, out: int, users: Mapping[int, list[Edge]]) -> tuple[tuple[Edge, ...], tuple[Edge, ...]] | None:
    """A way from the result back to the argument, and the other edges; ``None`` if something else reads what is between them."""
    inner, todo = {net}, [out]
    while todo:
        i = todo.pop()
        if i not in inner:
            inner.add(i)
            todo += [j for j in program.lines[i].operands if not program.lines[j].constant]
    if any(user not in inner for i in inner - {out} for user, _ in users.get(i, [])):
        return None
    edges = [(i, k) for i in sorted(inner - {net}) for k, j in enumerate(program.lines[i].operands) if j in inner]
    shape, ways = program.lines[net].shape, dict[int, tuple[Edge, ...]]({net: ()})
    for i, k in edges:
        before = program.lines[i].operands[k]
        if before in ways and i not in ways and program.lines[i].shape == shape:
            ways[i] = ((i, k), *ways[before])
    return None if out not in ways else (ways[out], tuple(edge for edge in edges if edge not in ways[out]))
