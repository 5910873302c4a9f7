"""Which quantities of the graph a wrong claim is too large or too small by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from tinygrad_bp.check.anatomy import Anatomy, Layer

Array = np.ndarray[Any, Any]
POWERS = (-1, 1, 2)
MOST = 3  # quantities in one product
POOL = 40


class Claimed(Protocol):
    """What is read of a claim."""

    line: int
    index: tuple[int, ...] | None
    value: Array
    right: Array
    tolerance: Any


def products(anatomy: Anatomy, claims: Sequence[Any], chance: float) -> Iterator[str]:
    """Products of up to three quantities that equal claim / right in all claims; none that might well do so by chance."""
    right, value, tolerance = (np.concatenate([np.ravel(x) for x in xs]) for xs in (
        [c.right for c in claims], [c.value for c in claims], [np.broadcast_to(c.tolerance, c.value.shape) for c in claims]))  # fmt: skip
    told = (right != 0) & (value != 0)
    if np.any((right != 0) != (value != 0)) or not np.any(told) or np.any(tolerance[told] > 0.1 * np.abs(value[told])):
        return
    right, value, tolerance = right[told], value[told], tolerance[told]
    logs, width = np.log(np.abs(value / right)), np.maximum(tolerance / np.abs(value), 1e-9)
    sign = np.sign(value / right)
    if np.any(sign != sign[0]):
        return
    minus = "-" if sign[0] < 0 else ""
    pool = _quantities(anatomy, claims)
    terms = [(name, p, p * q[told]) for name, q in pool.items() for p in POWERS]
    tried = 0
    for size in range(1, MOST + 1):
        tried += len(terms) ** size
        if tried * float(np.prod(np.minimum(width, 1.0))) > chance:
            return
        fitting = list(_fitting([term[2] for term in terms], size, logs, width))
        yield from (minus + _written([terms[i] for i in chosen]) for chosen in fitting if len({terms[i][0] for i in chosen}) == size)
        if fitting:
            return


def _fitting(terms: Sequence[Array], size: int, logs: Array, width: Array) -> Iterator[tuple[int, ...]]:
    """Which terms add up to the logarithms: all sums at the first number at once, then those few at the others."""
    first = np.array([term[0] for term in terms])
    with np.errstate(invalid="ignore"):
        sums = first
        for _ in range(size - 1):
            sums = sums[..., None] + first
        near = np.argwhere(np.abs(sums - logs[0]) <= width[0])
        for chosen in near[np.all(np.diff(near, axis=1) > 0, axis=1)]:
            if np.all(np.abs(sum(terms[i] for i in chosen) - logs) <= width):
                yield tuple(map(int, chosen))


def _written(chosen: Sequence[tuple[str, int, Any]]) -> str:
    above = " * ".join(n if p == 1 else f"{n}**2" for n, p, _ in chosen if p > 0)
    below = " * ".join(n for n, p, _ in chosen if p < 0)
    count = sum(p < 0 for _, p, _ in chosen)
    return f"{above or '1'} / {f'({below})' if count > 1 else below}" if below else above


def _quantities(anatomy: Anatomy, claims: Sequence[Any]) -> dict[str, Array]:
    """Name -> logarithm of its size at each claimed number: what stands at the claim's own layer, for one sample."""
    each = [_at(anatomy, c) for c in claims]
    shared = [name for name in each[0] if all(name in e for e in each)] if each else []
    with np.errstate(all="ignore"):
        logs = {name: np.log(np.abs(np.concatenate([e[name] for e in each]))) for name in shared}
    return {name: log for name, log in list(logs.items())[:POOL] if np.any(np.abs(log) > 1e-6)}


def _at(anatomy: Anatomy, c: Any) -> dict[str, Array]:
    """The quantities of a claim's layer, in the shape of what is claimed; none for several samples."""
    layer = next((L for L in anatomy.layers if c.line in (L.weight, L.net, L.out) or (L.bias and c.line == _bias_line(L))), None)
    if layer is None or len(layer.X) != 1:
        return {}
    shape = anatomy.program.lines[c.line].shape
    turned = c.line == layer.weight and layer.W.shape != shape
    found = {name: (q.T if turned else q) for name, q in _beside(anatomy, layer, c.line == layer.weight).items()}
    try:
        shaped = {name: q.reshape(shape) for name, q in found.items()}
    except ValueError:  # a bias that is shared
        return {}
    return {name: np.ravel(q if c.index is None else np.asarray(q[c.index])) for name, q in shaped.items()}


def _beside(anatomy: Anatomy, layer: Layer, is_weight: bool) -> dict[str, Array]:
    """What each neuron of a layer has, or each of its weights."""
    names = anatomy.program.names
    out = (lambda a: np.broadcast_to(a[0][:, None], layer.W.shape)) if is_weight else (lambda a: a[0])
    found = {names[layer.net]: out(layer.Z)}
    if layer.activation is not None:
        found |= {names[layer.out]: out(layer.A), f"(1 - {names[layer.out]})": 1 - out(layer.A)}
    if layer.last and anatomy.target is not None:
        error = anatomy.Y - anatomy.target
        found |= {"target": out(anatomy.target), f"({names[layer.out]} - target)": out(error)}
    if is_weight:
        x = np.broadcast_to(layer.X[0], layer.W.shape)
        found |= {names[layer.x]: x, f"(1 - {names[layer.x]})": 1 - x, names[layer.weight]: layer.W}
    return found


def _bias_line(layer: Layer) -> int:
    assert layer.bias is not None
    return layer.program.lines[layer.bias[0]].operands[layer.bias[1]]
