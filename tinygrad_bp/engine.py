"""The two sweeps over a recorded graph.

``pull`` is reverse mode, newest node first; ``push`` is forward mode, oldest first. Creation order is a
topological order, so both are loops: there is no recursion, and a chain of a million nodes is as good as any.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_bp.anomaly import WATCHES, Line, locate, watch_backward
from tinygrad_bp.changes import CHANGES, shares_memory, views
from tinygrad_bp.errors import GraphError, InPlaceError, RuleError, ShapeError
from tinygrad_bp.functions import sum_to
from tinygrad_bp.rule import RESULT, Rule
from tinygrad_bp.tensor import UNITS, Tensor, record

FREED = Rule("general", lambda: None, {})  # stands in the nodes of a graph that was freed


def order(*outputs: Tensor) -> list[Tensor]:
    """The tracked tensors that the outputs were computed from, themselves included, oldest first."""
    found = behind(*outputs)
    for t in found:
        _ensure_kept(t)
    return sorted(found, key=attrgetter("serial"))


def behind(*outputs: Tensor) -> list[Tensor]:
    """The same as far as it has not been freed, in no order."""
    seen = {t.serial for t in outputs}
    found = list({t.serial: t for t in outputs}.values())
    for t in found:  # grows on the way
        for x in t.inputs:
            if isinstance(x, Tensor) and x.tracked and x.serial not in seen:
                seen.add(x.serial)
                found.append(x)
    return found


def _calls(output: Tensor, t: Tensor) -> list[Line]:
    """The calls that may have recorded ``t`` on the way to the output."""
    return [line for x in behind(output) if x.serial > t.serial for line in x.calls]


def _ensure_kept(t: Tensor) -> None:
    if t.rule is FREED:
        raise GraphError(f"the graph behind {t.label()} was freed by backward(retain_graph=False). Run the forward pass again")


def pull(output: Tensor, seed: Any, recorded: bool = False, free: bool = False, keep: bool = False) -> Iterator[tuple[Tensor, Any]]:  # noqa: C901
    """Reverse mode: each tensor that ``output`` was computed from, newest first and then the leaves, with its cotangent.

    The newest tensor that waits has all of its cotangent, since whatever reads it is newer still. With ``recorded``
    the formulas run on tensors, so that the cotangents can be differentiated in their turn. With ``free`` each node
    forgets its inputs once it has been pulled back. With ``keep`` the results of operations are not handed out one by
    one: each has its cotangent left in its ``.gradient``. It is one function because a small step waits for its calls.
    """
    if CHANGES.exposed:
        CHANGES.look_everywhere()
    if output.rule is None:
        yield output, seed
        return
    leaves: list[Tensor] = []
    calls: list[Line] = []  # that led to the nodes that were freed
    cotangents, newest = {output.serial: seed}, [(-output.serial, output)]
    while newest:
        t = heappop(newest)[1]
        g, rule = cotangents.pop(t.serial), t.rule
        assert rule is not None  # leaves do not wait here
        if rule is FREED:
            _ensure_kept(t)
        if keep:
            t.gradient = g
        else:
            yield t, g
        formula = None
        try:
            if t.serial < CHANGES.latest:
                _ensure_unchanged(t, recorded)
            for x, formula in zip(t.many or (t.left, t.right), rule.recorded if recorded else rule.pulls):  # noqa: B905
                if isinstance(x, Tensor) and x.tracked and formula is not None:
                    gx, raw = formula(t, g), x.raw
                    if gx.__class__ is not raw.__class__ or gx.shape != raw.shape or gx.dtype is not raw.dtype:
                        gx = project(gx, x, t)
                    if WATCHES:
                        watch_backward(_derivative(t, formula, x), g, gx, t)
                    s = x.serial
                    if s in cotangents:
                        cotangents[s] = cotangents[s] + gx
                    else:
                        cotangents[s] = gx
                        if x.rule is None:
                            leaves.append(x)
                        else:
                            heappush(newest, (-s, x))
        except Exception as error:
            if formula is not None and (what := _derivative(t, formula, x)) not in str(error):
                error.add_note(f"This happened in {what}.")
            locate(error, rule.name, t, calls if free else _calls(output, t))
            raise
        if free:
            calls += t.calls
            t.forget(FREED)
    for x in leaves:
        yield x, cotangents[x.serial]


def _derivative(t: Tensor, formula: Any, x: Tensor) -> str:
    """What messages call a formula in action."""
    assert t.rule is not None
    place = (t.rule.pulls if formula in t.rule.pulls else t.rule.recorded).index(formula)
    return f"the derivative of {t.rule.name} with respect to {t.rule.arguments[place]} ({x.label()})"


def project(g: Any, x: Tensor, node: Tensor) -> Any:
    """A cotangent with the shape and dtype of ``x``: broadcasting is undone here, once, for every rule."""
    raw = x.raw
    shape = getattr(g, "shape", None)
    if shape != raw.shape:
        assert node.rule is not None
        if shape is not None and len(shape) >= raw.ndim and node.rule.kind in ("pointwise", "bilinear"):
            g = sum_to(g, raw.shape)
        if shape is None or g.shape != raw.shape:
            got = type(g).__name__ if shape is None else f"shape {g.shape}"
            raise RuleError(f"the formula of {node.rule.name} returned {got} for an argument of shape {raw.shape}")
    if g.dtype is not raw.dtype and g.dtype != raw.dtype:
        g = g.astype(raw.dtype)
    return g


def _ensure_unchanged(node: Tensor, recorded: bool) -> None:
    """Raise if a value that a formula of this node is about to read was overwritten since the node was recorded."""
    assert node.rule is not None
    wanted = {i for x, reads in zip(node.inputs, node.rule.reads, strict=True) if isinstance(x, Tensor) and x.tracked for i in reads}
    for i in sorted(wanted):
        operand, read = (node, node.raw) if i == RESULT else (node.inputs[i], node.arrays[i])
        for x in views(operand):
            # a replaced array is harmless where the node alone kept the old one; an overwritten array never is
            if x.changed > node.serial and (recorded or shares_memory(read, x.raw) or getattr(x, "spoiled", 0) > node.serial):
                raise InPlaceError(
                    f"{x.label()} was changed in place after {node.rule.name} read it, so the gradient would be wrong. "
                    "Call backward() before the change, or run the forward pass again"
                )


def backward(output: Tensor, gradient: Any = None, retain_graph: bool = True) -> None:
    """``Tensor.backward``: leave the cotangent of every tensor of the graph in its ``.grad``."""
    for t, g in pull(output, _seed(output, gradient), free=not retain_graph, keep=True):
        before = t.gradient  # leaves come last: an error on the way leaves no half of a sum behind
        t.gradient = g if before is None else (before.raw if isinstance(before, Tensor) else before) + g


Tensor.sweep = backward


def _seed(output: Tensor, gradient: Any) -> Any:
    """Where a sweep starts: 1 for a scalar, otherwise what the caller gives."""
    if not output.tracked:
        raise GraphError(
            f"{output.label()} does not depend on a tensor that requires a gradient. "
            "Write Tensor(data, requires_grad=True) for what is to be differentiated"
        )
    raw = output.raw
    if gradient is None:
        if raw.__class__ in UNITS:
            return UNITS[raw.__class__]
        if raw.size != 1:
            raise GraphError(
                f"backward() starts from a scalar, and {output.label()} is none. "
                "Take .sum() or .mean(), or give backward(gradient) of that shape"
            )
        return raw.dtype.type(1) if isinstance(raw, np.generic) else np.ones_like(raw)
    seed = Tensor(gradient.raw if isinstance(gradient, Tensor) else gradient, dtype=raw.dtype).raw
    if seed.shape != raw.shape:
        raise ShapeError(
            f"{output.label()} has shape {raw.shape}, and so must the gradient that backward() starts from; it has {seed.shape}"
        )
    return seed


def push(output: Tensor, tangents: dict[int, Tensor]) -> Tensor | None:
    """Forward mode: the tangent of ``output``, given those of some tensors by serial number; ``None`` stands for zero."""
    for t in order(output):
        if t.serial not in tangents and t.rule is not None:
            incoming = [tangents.get(x.serial) if isinstance(x, Tensor) else None for x in t.inputs]
            if any(v is not None for v in incoming):
                try:
                    tangents[t.serial] = _tangent(t, incoming)
                except Exception as error:
                    error.add_note(f"This happened in the derivative of {t.rule.name}, forward.")
                    locate(error, t.rule.name, t, _calls(output, t))
                    raise
    return tangents.get(output.serial)


def _tangent(t: Tensor, incoming: list[Tensor | None]) -> Tensor:
    """What the kind of a rule says about its forward mode: no formula is written a second time."""
    rule = t.rule
    assert rule is not None
    parts: list[Tensor] = []
    if rule.kind == "linear":
        moved = [
            x if f is None else np.zeros_like(a) if v is None else v
            for x, f, a, v in zip(t.inputs, rule.formulas, t.arrays, incoming, strict=True)
        ]
        return record(rule, tuple(moved), t.params)  # type: ignore[no-any-return]
    for i, v in enumerate(incoming):
        formula = rule.recorded[i]
        if v is None or formula is None:
            continue
        if rule.kind == "pointwise":
            parts.append(formula(t, v))
        elif rule.kind == "bilinear":
            parts.append(record(rule, (*t.inputs[:i], v, *t.inputs[i + 1 :]), t.params))
        else:  # two reverse passes: the pullback is linear in its gradient, and its transpose is the pushforward
            u = Tensor(np.zeros_like(t.raw), requires_grad=True)
            parts.append(next(g for node, g in pull(formula(t, u), v, recorded=True) if node is u))
    if not parts:  # the tangents came in where nothing is differentiated
        return Tensor(np.zeros_like(t.raw))
    total = sum(parts[1:], parts[0])
    return total if total.shape == t.shape else np.broadcast_to(total, t.shape)  # type: ignore[return-value]
