"""In which order the calls stand, and which memory each result has."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_bp.compile.recording import Recording
from tinygrad_bp.compile.trace import VIEWS, Node, assigned, cast, memory, quiet_exp, scattered

END = 1 << 60


def is_view(node: Node) -> bool:
    """Whether the result may have the memory of its first operand: it is then kept as a view, and never written to."""
    if node.function in VIEWS:
        return node.is_array and isinstance(node.args[0], Node) and node.args[0].is_array
    return node.is_array and node.function is not None and any(memory(node.value) is memory(n.value) for n in node.inputs())


def root(node: Node) -> Node:
    """The node whose memory this one has."""
    while is_view(node):
        node = next(n for n in node.inputs() if n.is_array)
    return node


def takes_out(node: Node) -> bool:
    """Whether its function can write into memory that is there already."""
    f = node.function
    if not node.is_array or is_view(node):
        return False
    if isinstance(f, np.ufunc):
        return f.nout == 1
    if f in (np.broadcast_to, np.reshape):  # of a number
        return True
    if f is np.where:
        return len(node.args) == 3 and isinstance(node.args[0], Node) and node.args[0].is_array and node.args[0].value.dtype == bool
    is_reduction = getattr(f, "__name__", "") == "reduce" and isinstance(getattr(f, "__self__", None), np.ufunc)
    return is_reduction or f in (cast, quiet_exp, scattered, assigned, np.concatenate)


@dataclass
class Slot:
    """A piece of memory, made once, that results take turns in."""

    size: int
    dtype: np.dtype[Any]
    nodes: list[Node] = field(default_factory=list)


@dataclass
class Plan:
    """The order of the calls, where each result goes, and what is left to be copied at the end."""

    order: list[Node]
    home: dict[Node, Slot]
    target: dict[Node, Node]  # a new value -> the parameter or state in whose own array it is computed
    copies: list[tuple[Node, Node]]  # (parameter or state, its new value), where it could not be computed there
    columns: set[Node] = field(default_factory=set)  # matrices that lie column by column


def planned(recording: Recording) -> Plan:
    order = _ordered(recording)
    target, copies = _targets(recording, order)
    columns = _by_columns(recording, order)
    return Plan(order, _homes(recording, order, target, columns), target, copies, columns)


def _ordered(recording: Recording) -> list[Node]:
    """Each update as soon as its gradient is there and nobody will read the old values any more, so that gradients need little memory."""
    main = [n for n in recording.nodes if n.function is not None and not n.update]
    groups = _groups(recording)
    left = {n: k for k, n in enumerate(main)}
    last_guard = max((left.get(n, -1) for n, _ in recording.guards), default=-1)
    last_read = {root(x): k for k, n in enumerate(main) for x in n.inputs()}
    ready: dict[int, list[list[Node]]] = {}
    for sources, updates in groups:
        after = [last_read.get(s, -1) for s in sources] + [left.get(x, -1) for u in updates for x in u.inputs()]
        ready.setdefault(max([*after, last_guard], default=-1), []).append(updates)
    order: list[Node] = []
    seen: set[Node] = set()
    for k in range(-1, len(main)):
        if k >= 0:
            order.append(main[k])
        for updates in ready.get(k, []):
            order += [u for u in updates if u not in seen]
            seen.update(updates)
    return order


def _groups(recording: Recording) -> list[tuple[set[Node], list[Node]]]:
    """For each parameter: it and its state, and the calls that update them, in order."""
    groups: list[tuple[set[Node], list[Node]]] = []
    for source, new in recording.writes:
        needed = _update_calls(new)
        for sources, calls in groups:
            if needed & set(calls):  # they share work, so they belong together
                sources.add(source)
                calls[:] = sorted({*calls, *needed}, key=operator.attrgetter("index"))
                break
        else:
            groups.append(({source}, sorted(needed, key=operator.attrgetter("index"))))
    return groups


def _update_calls(node: Node) -> set[Node]:
    found, todo = set(), [node]
    while todo:
        n = todo.pop()
        if n.update and n.function is not None and n not in found:
            found.add(n)
            todo += n.inputs()
    return found


def _targets(recording: Recording, order: list[Node]) -> tuple[dict[Node, Node], list[tuple[Node, Node]]]:
    place = {n: k for k, n in enumerate(order)}
    last_read: dict[Node, int] = {}
    for k, n in enumerate(order):
        for x in n.inputs():
            last_read[root(x)] = k
    target: dict[Node, Node] = {}
    copies = []
    for source, new in recording.writes:
        if source.kind == "number":
            continue
        fits = new in place and takes_out(new) and new not in target and new.value.shape == source.value.shape
        if fits and last_read.get(source, -1) <= place[new] and _may_overwrite(new, source):
            target[new] = source
        else:
            copies.append((source, new))
    return target, copies


def by_columns(x: Any) -> bool:
    """Whether a matrix lies in memory column by column, as the weights of ``nn.Linear`` do."""
    return isinstance(x, np.ndarray) and x.flags.fnc


def _by_columns(recording: Recording, order: list[Node]) -> set[Node]:
    """What a parameter or state that lies by columns is updated from: going through one by rows and the other by columns is slow."""
    seen_through = {x for n in order if is_view(n) and n.function is not np.transpose for x in n.inputs()}
    todo = [(new, source.value.shape) for source, new in recording.writes if by_columns(source.value)]
    found: set[Node] = set()
    while todo:
        node, shape = todo.pop()
        elementwise = isinstance(node.function, np.ufunc) and node.function.signature is None
        fits = takes_out(node) and node.value.shape == shape and node not in seen_through
        if fits and node not in found and (elementwise or node.function is np.matmul):
            found.add(node)
            todo += [(x, shape) for x in node.inputs() if elementwise]
    return found


def _may_overwrite(node: Node, operand: Node) -> bool:
    """Whether a call may write its result over one of its operands: element by element, and no other view of it is read."""
    reads = [x for x in node.inputs() if root(x) is operand]
    if not reads:
        return True
    if node.function is np.where:
        return reads == [node.args[2]] and node.args[2] is operand
    elementwise = (isinstance(node.function, np.ufunc) and node.function.signature is None) or node.function is quiet_exp
    return elementwise and all(x is operand for x in reads)


def _homes(recording: Recording, order: list[Node], target: dict[Node, Node], columns: set[Node]) -> dict[Node, Slot]:
    """Memory for the results: over an operand that dies, else where something died before, else new."""
    last = _last_reads(recording, order)
    home: dict[Node, Slot] = {}
    free: list[Slot] = []
    dying: dict[int, list[Node]] = {}
    for n, k in last.items():
        dying.setdefault(k, []).append(n)
    for k, node in enumerate(order):
        if takes_out(node) and node not in target:
            alike = (n for n in dying.get(k, []) if n in home and _same(n, node) and (n in columns) == (node in columns))
            over = next((n for n in alike if _may_overwrite(node, n)), None)
            slot = home[over] if over is not None else _slot(free, node)
            slot.nodes.append(node)
            home[node] = slot
            if over is not None:
                dying[k].remove(over)
        free += [home[n] for n in dying.get(k, []) if n in home]
    return home


def _last_reads(recording: Recording, order: list[Node]) -> dict[Node, int]:
    """The last call that reads the memory of each result, through whichever view."""
    last: dict[Node, int] = {}
    for k, n in enumerate(order):
        last[root(n)] = max(last.get(root(n), k), k)
        for x in n.inputs():
            last[root(x)] = k
    kept: Iterable[Node] = [recording.loss, *recording.gradients, *(new for _, new in recording.writes)]
    return last | {root(n): END for n in kept}


def _same(a: Node, b: Node) -> bool:
    return a.value.shape == b.value.shape and a.value.dtype == b.value.dtype  # type: ignore[no-any-return]


def _slot(free: list[Slot], node: Node) -> Slot:
    size, dtype = node.value.size, node.value.dtype
    fitting = [s for s in free if s.dtype == dtype and s.size >= size]
    if fitting:
        best = min(fitting, key=lambda s: s.size)
        free.remove(best)
        return best
    return Slot(size, dtype)
