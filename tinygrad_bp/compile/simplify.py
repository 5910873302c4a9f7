"""What a careful person would not write: work whose result nobody reads, or that is known, or done already.

Every step keeps each value to the last bit, except the sign of a zero (``-(a - b)`` becomes ``b - a``) and where a
power of two moves out of a sum, which matters only at the ends of the range of numbers.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_bp.compile.recording import Recording
from tinygrad_bp.compile.trace import VIEWS, Node, Outline, is_array, map_nodes, outlined, same_places

REDUCTIONS = (np.add.reduce, np.multiply.reduce, np.maximum.reduce, np.minimum.reduce)


def simplified(recording: Recording) -> Recording:
    """The same results from fewer calls."""
    return _rewritten(_rewritten(recording, REWRITES), (_scaled_product, _scaled_sum))


def _rewritten(recording: Recording, rewrites: tuple[Rewrite, ...]) -> Recording:
    wanted = _wanted(recording)
    uses = Counter(x for node in recording.nodes for x in node.inputs())
    kept = {recording.loss, *recording.gradients, *(n for n, _ in recording.guards), *(n for _, n in recording.writes)}
    rewriter = _Rewriter(rewrites, {n for n in uses if uses[n] == 1 and n not in kept})
    for node in recording.nodes:
        if node in wanted:
            rewriter.take(node)
    new = rewriter.place
    return _without_dead(
        replace(
            recording,
            nodes=rewriter.nodes,
            loss=new[recording.loss],
            gradients=[new[g] for g in recording.gradients],
            writes=[(new[a], new[b]) for a, b in recording.writes],
            guards=[(new[n], taken) for n, taken in dict.fromkeys(recording.guards) if new[n].kind != "constant"],
        )
    )


def _without_dead(recording: Recording) -> Recording:
    wanted = _wanted(recording)
    sources = [n for n in recording.nodes if n.kind in ("argument", "parameter", "state", "number")]
    return replace(recording, nodes=[n for n in recording.nodes if n in wanted or n in sources])


def _wanted(recording: Recording) -> set[Node]:
    todo = [recording.loss, *recording.gradients, *(n for n, _ in recording.guards), *(n for pair in recording.writes for n in pair)]
    todo += [n for n in recording.nodes if n.kind in ("argument", "parameter", "state")]
    found = set(todo)
    while todo:
        for n in todo.pop().inputs():
            if n not in found:
                found.add(n)
                todo.append(n)
    return found


class _Rewriter:
    """Takes nodes in order and keeps for each the node that stands for it."""

    def __init__(self, rewrites: tuple[Rewrite, ...], once: set[Node]) -> None:
        self.rewrites = rewrites
        self.once = once  # what one call alone reads
        self.nodes: list[Node] = []
        self.place: dict[Node, Node] = {}
        self.known: dict[str, Node] = {}

    def take(self, node: Node) -> None:
        if node.function is None:
            self.place[node] = self.keep(node)
            return
        args = map_nodes(self.place.__getitem__, node.args)
        options = {name: map_nodes(self.place.__getitem__, x) for name, x in node.options.items()}
        new = self.place[node] = self.make(node.function, args, options, node)
        if node in self.once:
            self.once.add(new)

    def make(self, function: Any, args: tuple[Any, ...], options: dict[str, Any], like: Node, value: Any = None) -> Node:
        """The node of a call: an earlier one that is equal, a constant, or a new one."""
        if function in VIEWS or function is operator.getitem:  # of the new operand, whose memory it has
            value = _seen(function, args, options, like)
        value = like.value if value is None else value
        if not (isinstance(value, tuple | list)):
            for rewrite in self.rewrites:
                found = rewrite(self, function, args, options, like, value)
                if found is not None:
                    return found
        key = _key(function, args, options)
        if key in self.known:
            return self.known[key]
        node = Node(function, args, options, value)
        node.name, node.note, node.update = like.name, like.note, like.update
        self.known[key] = node
        return self.keep(node)

    def keep(self, node: Node) -> Node:
        node.index = len(self.nodes)
        self.nodes.append(node)
        return node

    def constant(self, value: Any, like: Node) -> Node:
        node = Node(None, value=value)
        node.kind, node.note = "constant", like.note
        return self.keep(node)


def _key(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Equal for equal calls."""
    return repr((function, same_places(args, id), sorted((k, same_places(x, id)) for k, x in options.items())))


def _called(value: Callable[[Node], Any], function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return function(*map_nodes(value, args), **{name: map_nodes(value, x) for name, x in options.items()})


def _seen(function: Any, args: tuple[Any, ...], options: dict[str, Any], like: Node) -> Any:
    """What the node of a view keeps, whose layout follows from that of its operand."""
    found: list[Node] = []
    map_nodes(found.append, (args, tuple(options.values())))
    if any(isinstance(n.value, Outline) for n in found[1:]):  # an index that was computed: its result is no view
        return like.value
    blanks = {n: n.value.blank() if isinstance(n.value, Outline) else n.value for n in found}
    return outlined(_called(blanks.__getitem__, function, args, options), [(a, n.value) for n, a in blanks.items()])


def uniform(x: Any) -> Any:
    """The number that all elements of a constant are, or None."""
    if not isinstance(x, Node):
        return x if isinstance(x, bool | int | float | np.generic) else None
    if x.kind != "constant":
        return None
    value = x.value
    if not is_array(value):
        return value
    same = value.size and (not any(value.strides) or bool((value == value.flat[0]).all()))
    return value.flat[0] if same else None


def _shape(x: Any) -> tuple[int, ...]:
    return np.shape(x.value if isinstance(x, Node) else x)


def _same_type(x: Any, value: Any) -> bool:
    """Whether a node is an array like the result, so that it may stand for it."""
    return (
        isinstance(x, Node)
        and x.is_array == is_array(value)
        and (x.value.shape == value.shape and x.value.dtype == value.dtype if hasattr(x.value, "dtype") else type(x.value) is type(value))
    )


Rewrite = Callable[[_Rewriter, Any, tuple[Any, ...], dict[str, Any], Node, Any], Node | None]


def _fold(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """What depends on constants alone is a constant."""
    found: list[Node] = []
    map_nodes(found.append, (args, tuple(options.values())))
    if function in VIEWS and found and found[0].name is not None and uniform(found[0]) is None:
        return None  # a view of what has a name
    if any(n.kind != "constant" for n in found):
        return None
    with np.errstate(all="ignore"):  # it has been said already
        return r.constant(_called(operator.attrgetter("value"), function, args, options), like)


def _trivial(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """1 * x, x / 1, +x, and what leaves the shape as it is."""
    if function is np.multiply and not options:
        for a, b in (args, args[::-1]):
            if (c := uniform(a)) is not None and c == 1 and _same_type(b, value):
                return b  # type: ignore[no-any-return]
    if function is np.divide and not options and (c := uniform(args[1])) is not None and c == 1 and _same_type(args[0], value):
        return args[0]  # type: ignore[no-any-return]
    kept = function in (np.positive, np.reshape, np.broadcast_to, np.ravel, np.squeeze) or (function is np.transpose and value.ndim < 2)
    if kept and _same_type(args[0], value):
        return args[0]  # type: ignore[no-any-return]
    return None


def _minus(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """-(a - b) is b - a, -(-x) is x, -1 * x is -x."""
    if options or not is_array(value):
        return None
    if function is np.multiply:
        for a, b in (args, args[::-1]):
            if (c := uniform(a)) is not None and c == -1 and _same_type(b, value):
                return r.make(np.negative, (b,), {}, like, value)
    if function is np.negative:
        x = args[0]
        if x.function is np.negative:
            return x.args[0]  # type: ignore[no-any-return]
        if x.function is np.subtract and not x.options:
            return r.make(np.subtract, x.args[::-1], {}, like, value)
    return None


def _plus_minus(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """a + -b is a - b, a - -b is a + b, -a + b is b - a."""
    if function not in (np.add, np.subtract) or options or not is_array(value):
        return None
    a, b = args
    if isinstance(b, Node) and b.function is np.negative:
        return r.make(np.subtract if function is np.add else np.add, (a, b.args[0]), {}, like, value)
    if function is np.add and isinstance(a, Node) and a.function is np.negative:
        return r.make(np.subtract, (b, a.args[0]), {}, like, value)
    return None


def _views(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """One way to write each view: transpose and reshape, the latter never twice; a sum over axes of length 1 is one."""
    if not is_array(value) or not args or not isinstance(args[0], Node) or not args[0].is_array:
        return None
    x = args[0]
    if function in (np.expand_dims, np.ravel, np.squeeze) or (function is np.reshape and (args[1:] != (value.shape,) or options)):
        return r.make(np.reshape, (x, value.shape), {}, like)
    if function is np.reshape and x.function is np.reshape:
        return r.make(np.reshape, (x.args[0], value.shape), {}, like)
    if function is np.swapaxes and value.ndim == 2 and options.get("axis1", 0) != options.get("axis2", 1):
        return r.make(np.transpose, (x,), {}, like)
    if function is np.transpose and value.ndim == 2 and (args[1:] or options):
        axes = tuple(a % 2 for a in (args[1:] or tuple(options.values()))[0] or (1, 0))
        return x if axes == (0, 1) else r.make(np.transpose, (x,), {}, like)
    if function is np.transpose and value.ndim == 2 and x.function is np.transpose:
        return x.args[0]  # type: ignore[no-any-return]
    if function in REDUCTIONS and x.value.size == value.size and x.value.dtype == value.dtype and set(options) <= {"axis", "keepdims"}:
        return r.make(np.reshape, (x, value.shape), {}, like)
    return None


def _numbers(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """An array of one number over and over is that number, where another operand has the shape already."""
    if not isinstance(function, np.ufunc) or function.signature is not None or not is_array(value):
        return None
    if not any(isinstance(x, Node) and x.kind == "constant" and x.is_array for x in args):
        return None
    new = list(args)
    for i, x in enumerate(args):
        c = uniform(x) if isinstance(x, Node) and x.is_array else None
        if c is not None and any(_shape(other) == value.shape for k, other in enumerate(args) if k != i):
            new[i] = c
    return None if tuple(new) == tuple(args) else r.make(function, tuple(new), options, like, value)


def _broadcast(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """What was broadcast to the shape of another operand would have been anyway."""
    if not isinstance(function, np.ufunc) or function.signature is not None or not is_array(value):
        return None
    for i, x in enumerate(args):
        if isinstance(x, Node) and x.function is np.broadcast_to and any(_shape(o) == value.shape for k, o in enumerate(args) if k != i):
            return r.make(function, (*args[:i], x.args[0], *args[i + 1 :]), options, like, value)
    return None


def _power_of_two(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """sum(x / 2) is sum(x) / 2."""
    if function != np.add.reduce or is_array(value) or not isinstance(args[0], Node) or not set(options) <= {"axis"}:
        return None
    x = args[0]
    if x.function not in (np.multiply, np.divide) or x.options or not x.is_array or x.value.dtype.kind != "f":
        return None
    a, b = x.args
    if x.function is np.multiply and uniform(a) is not None:
        a, b = b, a
    c = uniform(b)
    if c is None or not _same_type(a, x.value) or c <= 0 or np.frexp(float(c))[0] != 0.5:
        return None
    before = len(r.nodes)
    total = r.make(function, (a,), options, like, value)
    if len(r.nodes) > before:
        total.name = None  # which belongs to the half
    return r.make(x.function, (total, c), {}, like, value)


def _scaled_product(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """lr * (d.T @ x), where nobody else wants the product, is (lr * d).T @ x, which scales the smaller array."""
    number, product = _number_and_array(r, function, args, options, value)
    if product is None or product.function is not np.matmul or any(x.value.ndim != 2 for x in product.args):
        return None
    k = min((0, 1), key=lambda k: product.args[k].value.size)
    if product.args[k].value.size >= value.size:
        return None
    factors = list(product.args)
    factors[k] = _scaled(r, number, factors[k], like)
    new = r.make(np.matmul, tuple(factors), {}, like, value)
    new.note = product.note or like.note
    return new


def _scaled_sum(r: _Rewriter, function: Any, args: Any, options: Any, like: Node, value: Any) -> Node | None:
    """lr * sum(d) is the sum of lr * d, where that is there already."""
    number, total = _number_and_array(r, function, args, options, value)
    if total is None or not (total.function == np.add.reduce or total.function is np.reshape) or total.args[0].value.dtype != value.dtype:
        return None
    known = r.known.get(_key(np.multiply, (number, total.args[0]), {}))
    return None if known is None else r.make(total.function, (known, *total.args[1:]), total.options, like, value)


def _number_and_array(r: _Rewriter, function: Any, args: Any, options: Any, value: Any) -> tuple[Any, Node | None]:
    """The operands of number * array, if the call is that and the array is read nowhere else."""
    if function is np.multiply and not options and is_array(value):
        for a, b in (args, args[::-1]):
            number = not isinstance(a, Node) or not a.is_array
            if number and isinstance(b, Node) and b in r.once and b.is_array and b.value.dtype == value.dtype and b.function is not None:
                return a, b
    return None, None


def _scaled(r: _Rewriter, number: Any, x: Node, like: Node) -> Node:
    if x.function is np.transpose:
        return r.make(np.transpose, (_scaled(r, number, x.args[0], like),), {}, like)
    dtype = np.result_type(number.value if isinstance(number, Node) else number, x.value.dtype)
    new = r.make(np.multiply, (number, x), {}, like, Outline(np.empty(x.value.shape, dtype)))
    new.note = f"{like.note}: lr times the smaller factor of its gradient"
    new.name = None if x.name is None or new.name == x.name else f"step_{x.name.removeprefix('d_')}"
    return new


REWRITES: tuple[Rewrite, ...] = (_fold, _trivial, _minus, _plus_minus, _views, _numbers, _broadcast, _power_of_two)
