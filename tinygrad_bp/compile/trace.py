"""An array that writes down what NumPy does to it.

``Traced`` holds the values of one run and, for each, the ``Node`` that says how it came about. Tensors take it for an
array of some other library, so forward functions and derivative rules run on it as they stand, and comparisons,
integers and plain arrays, which no graph of tensors keeps, are written down as well.

The nodes stay, and of computed arrays they know the ``Outline`` alone: a run takes the memory that it takes without us.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_bp.anomaly import user_line
from tinygrad_bp.errors import CompileError
from tinygrad_bp.rule import Rule
from tinygrad_bp.tensor import Array, Tensor


class Outline:
    """Shape, dtype and layout of an array that is not kept, and whose memory it had."""

    __slots__ = ("dtype", "memory", "shape", "strides")

    def __init__(self, array: np.ndarray[Any, Any], memory: Any = None) -> None:
        self.shape, self.dtype, self.strides = array.shape, array.dtype, array.strides
        self.memory = object() if memory is None else memory  # the same for arrays that share it

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def flags(self) -> Any:
        return self.blank().flags

    def blank(self) -> np.ndarray[Any, Any]:
        """An array with this outline; what is in it is nobody's business."""
        ends = [s * (n - 1) for s, n in zip(self.strides, self.shape, strict=True)] if self.size else []
        start = -sum(end for end in ends if end < 0)
        room = np.empty(start + sum(end for end in ends if end > 0) + self.dtype.itemsize, np.uint8)
        return np.ndarray(self.shape, self.dtype, room, start, self.strides)


def is_array(value: Any) -> bool:
    """Whether the value of a node is an array, or was one."""
    return isinstance(value, np.ndarray | Outline)


def memory(value: Any) -> Any:
    """What is the same for the values of nodes that share memory: of an array that is there, itself."""
    return value.memory if isinstance(value, Outline) else value


def outlined(value: Any, operands: Iterable[tuple[Any, Any]]) -> Any:
    """What a node keeps of the result of a call: of arrays the outline. ``operands``: each (array, what its node keeps)."""
    if isinstance(value, tuple | list):
        return [outlined(part, ()) for part in value]
    if not isinstance(value, np.ndarray):
        return value
    return Outline(value, next((memory(kept) for array, kept in operands if _overlap(value, array)), None))


class Node:
    """One value of the run: a source, or a NumPy function of earlier nodes and plain values."""

    __slots__ = ("args", "function", "index", "kind", "name", "note", "options", "update", "value", "where")

    def __init__(self, function: Any, args: tuple[Any, ...] = (), options: Mapping[str, Any] | None = None, value: Any = None) -> None:
        self.function = function  # None for a source
        self.args, self.options = args, dict(options or {})
        self.value = value  # of a source and of a number; the outline of an array that was computed
        self.index = 0
        self.kind = ""  # of a source: argument, parameter, state, number, constant, or foreign for an array out of nowhere
        self.name: str | None = None
        self.note = ""  # the comment of its line
        self.update = False  # whether it belongs to the optimizer's update
        self.where: Any = ""  # the user's line that brought a foreign array in; (parameter, key) of an optimizer's state

    @property
    def is_array(self) -> bool:
        return is_array(self.value)

    @property
    def is_constant(self) -> bool:
        return self.kind == "constant"

    def inputs(self) -> list[Node]:
        found: list[Node] = []
        map_nodes(found.append, (self.args, tuple(self.options.values())))
        return found


def map_nodes(f: Callable[[Any], Any], x: Any, kind: type = Node) -> Any:
    """``f`` of every node among arguments: also inside tuples, lists and slices."""
    if isinstance(x, kind):
        return f(x)
    if type(x) in (tuple, list):
        return type(x)(map_nodes(f, item, kind) for item in x)
    if isinstance(x, slice):
        return slice(*(map_nodes(f, part, kind) for part in (x.start, x.stop, x.step)))
    return x


def same_places(x: Any, place: Callable[[Node], Any]) -> Any:
    """Arguments as something that is equal where they are: nodes by their place, other things by their repr."""
    if isinstance(x, Node):
        return f"node {place(x)}"
    if isinstance(x, slice):
        return "slice", *(same_places(part, place) for part in (x.start, x.stop, x.step))
    return [type(x).__name__, *(same_places(item, place) for item in x)] if type(x) in (tuple, list) else repr(x)


class Trace:
    """What one run did: its nodes in order, and which branches its Python code took."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.guards: list[tuple[Node, bool]] = []
        self.note, self.updating = "", False
        self.readable = False  # whether np.asarray may have the values: for readers of the graph, not for the user's function
        self._foreign: dict[int, Node] = {}

    def add(self, node: Node) -> Node:
        node.index = len(self.nodes)
        node.note, node.update = self.note, self.updating
        self.nodes.append(node)
        return node

    def source(self, kind: str, value: Any, name: str | None = None) -> Traced:
        node = self.add(Node(None, value=value))
        node.kind, node.name = kind, name
        self.settle(node)
        return Traced(self, node)

    def settle(self, node: Node) -> None:
        """Called for each node once it is complete."""

    def apply(self, function: Any, *args: Any, **options: Any) -> Any:
        """Run a NumPy function on the values and write the call down."""
        lifted = self.lift(args)
        chosen = {name: self.lift(value) for name, value in options.items()}
        operands: list[Traced] = []
        map_nodes(operands.append, (lifted, tuple(chosen.values())), Traced)
        value = function(*_each("value", lifted), **{name: _each("value", x) for name, x in chosen.items()})
        viewed = any(_overlap(value, x.value) for x in operands)
        if viewed:
            for x in args:
                if isinstance(x, Traced):
                    x.viewed = True
        elif isinstance(value, np.ndarray) and not value.flags.c_contiguous:
            value = np.array(value, order="C")  # the layout that it will have in a buffer
        kept = outlined(value, [(x.value, x.node.value) for x in operands])
        node = self.add(Node(function, _each("node", lifted), {name: _each("node", x) for name, x in chosen.items()}, kept))
        self.settle(node)
        if isinstance(value, tuple | list):
            nodes = [self.add(Node(operator.getitem, (node, i), value=part)) for i, part in enumerate(kept)]
            parts = [Traced(self, n, part) for n, part in zip(nodes, value, strict=True)]
            return value._make(parts) if hasattr(value, "_make") else type(value)(parts)
        if not (isinstance(value, np.ndarray | np.generic | bool | int | float)):
            raise CompileError(f"{_name(function)} returned {type(value).__name__}, which a compiled program cannot hold")
        result = Traced(self, node, value)
        result.viewed = viewed
        return result

    def lift(self, x: Any) -> Any:
        """Arguments with a traced value in place of every array."""
        if isinstance(x, Traced):
            if x.trace is not self:
                raise CompileError("a value of another run that is being compiled came in; one function is compiled at a time")
            return x
        if isinstance(x, Tensor):
            return self.lift(x.raw)
        if isinstance(x, np.ndarray):
            return Traced(self, self.foreign(x))
        if type(x) in (tuple, list):
            return type(x)(map(self.lift, x))
        if isinstance(x, slice):
            return slice(self.lift(x.start), self.lift(x.stop), self.lift(x.step))
        return x

    def foreign(self, x: Array) -> Node:
        """An array that is no argument: a constant of the function, or one that it closes over."""
        if id(x) not in self._foreign:
            node = self.add(Node(None, value=x))
            node.kind, node.where = "foreign", user_line()
            self.settle(node)
            self._foreign[id(x)] = node
        return self._foreign[id(x)]


def _each(what: str, lifted: Any) -> Any:
    """The values, or the nodes, of arguments."""
    return map_nodes(operator.attrgetter(what), lifted, Traced)


def _overlap(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def _name(function: Any) -> str:
    return getattr(function, "__name__", repr(function))


def is_number(x: Any) -> bool:
    """Whether it is a number of Python's own, which takes the dtype of the arrays that it meets."""
    return type(x) in (bool, int, float)


def _binary(ufunc: Any, plain: Any, reflected: bool = False) -> Any:
    def method(self: Traced, other: Any) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        a, b = (other, self) if reflected else (self, other)
        value = other.value if isinstance(other, Traced) else other
        return self.trace.apply(plain if is_number(self.value) and is_number(value) else ufunc, a, b)

    return method


def _in_place(ufunc: Any) -> Any:
    def method(self: Traced, other: Any) -> Traced:
        return self.become(self.trace.apply(ufunc, self, other))

    return method


def _refuse(what: str, instead: str) -> Any:
    def method(self: Traced, *args: Any, **options: Any) -> Any:
        if self.trace.readable and what == "numpy.asarray()":
            return np.asarray(self.value)
        raise CompileError(
            f"{what} of a value that depends on the arguments or parameters, at {user_line()}: a compiled program would keep this "
            f"run's value for ever. {instead}"
        )

    return method


class Traced:
    """An array, or a number, of a run that is being written down."""

    __slots__ = ("node", "trace", "value", "viewed")
    __array_priority__ = 10.0

    def __init__(self, trace: Trace, node: Node, value: Any = None) -> None:
        self.trace, self.node = trace, node
        self.value = node.value if value is None else value  # of a source
        self.viewed = node.function is None  # whether another array has the same memory

    def become(self, other: Traced) -> Traced:
        """A change in place, of an array that nobody else sees."""
        if self.viewed or other.value.shape != self.value.shape:
            raise CompileError(
                f"an array was changed in place at {user_line()} while the run was written down. Compute a new array instead: "
                "x = x + 1, np.where(mask, a, b)"
            )
        other = self.trace.apply(cast, other, dtype=self.dtype) if other.dtype != self.dtype else other
        self.node, self.value = other.node, other.value
        return self

    # -- NumPy's two doors -----------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if any(isinstance(x, Tensor) for x in args):
            return NotImplemented
        if method == "at" or (out is not None and not all(isinstance(x, Traced) for x in out)):
            raise CompileError(f"np.{ufunc.__name__} wrote in place at {user_line()} while the run was written down")
        result = self.trace.apply(ufunc if method == "__call__" else getattr(ufunc, method), *args, **kwargs)
        return result if out is None else out[0].become(result)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(issubclass(t, Tensor) for t in types):
            return NotImplemented
        if function in ABOUT_SHAPES:
            return function(*_concrete(args), **{name: _concrete(x) for name, x in kwargs.items()})
        if function in UNSTEADY:
            raise CompileError(f"the shape of np.{function.__name__}(...) depends on values, at {user_line()}. {FIXED}")
        if function in CANONICAL:
            return CANONICAL[function](*args, **kwargs)
        return self.trace.apply(function, *args, **kwargs)

    def __apply_rule__(self, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of ours that a formula calls."""
        return rule.run(*args, **kwargs)

    # -- what an array can be asked --------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.value)

    @property
    def ndim(self) -> int:
        return np.ndim(self.value)

    @property
    def size(self) -> int:
        return int(np.size(self.value))

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.result_type(self.value)

    @property
    def base(self) -> None:
        return None

    @property
    def T(self) -> Any:
        return np.transpose(self)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        entries = index if isinstance(index, tuple) else (index,)
        if any(isinstance(e, Traced) and e.dtype == bool for e in entries):
            raise CompileError(f"a mask chose elements at {user_line()}, so that the shape depends on values. {FIXED}")
        return self.trace.apply(operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.become(self.trace.apply(assigned, self, value, index=index))

    def __bool__(self) -> bool:
        """A branch of the user's code: the program will look whether it would be taken again."""
        taken = bool(self.value)
        if not self.node.is_constant:
            self.trace.guards.append((self.node, taken))
        return taken

    def __repr__(self) -> str:
        return repr(self.value)

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"while a run is written down an array has no attribute {name!r}; use the function np.{name}")
        return lambda *args, **kwargs: METHODS[name](self, *args, **kwargs)

    def map_blocks(self, function: Any, dtype: Any) -> Traced:
        """A function of single elements that NumPy does not have, such as erf: called by the name that dask gives this."""
        return self.trace.apply(function, self)  # type: ignore[no-any-return]

    def copy(self) -> Traced:
        return Traced(self.trace, self.node, self.value)

    def astype(self, dtype: Any, copy: bool = True) -> Traced:
        same = self.node.is_array and self.dtype == np.dtype(dtype)
        return self.copy() if same else self.trace.apply(cast, self, dtype=np.dtype(dtype))

    def reshape(self, *shape: Any) -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    __array__ = _refuse("numpy.asarray()", "Use NumPy's functions on it, which are written down")
    item = _refuse(".item()", "Return the number, or compute with the array itself")
    tolist = _refuse(".tolist()", "Compute with the array itself")
    __float__ = _refuse("float()", "Compute with the array itself")
    __int__ = _refuse("int()", "Compute with the array itself")
    __index__ = _refuse("an index", "Index with an array of integers")
    __hash__ = object.__hash__

    __add__, __radd__ = _binary(np.add, operator.add), _binary(np.add, operator.add, reflected=True)
    __sub__, __rsub__ = _binary(np.subtract, operator.sub), _binary(np.subtract, operator.sub, reflected=True)
    __mul__, __rmul__ = _binary(np.multiply, operator.mul), _binary(np.multiply, operator.mul, reflected=True)
    __truediv__, __rtruediv__ = _binary(np.divide, operator.truediv), _binary(np.divide, operator.truediv, reflected=True)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide, operator.floordiv), _binary(np.floor_divide, operator.floordiv, reflected=True)
    __mod__, __rmod__ = _binary(np.remainder, operator.mod), _binary(np.remainder, operator.mod, reflected=True)
    __pow__, __rpow__ = _binary(np.power, operator.pow), _binary(np.power, operator.pow, reflected=True)
    __matmul__, __rmatmul__ = _binary(np.matmul, operator.matmul), _binary(np.matmul, operator.matmul, reflected=True)
    __and__, __rand__ = _binary(np.bitwise_and, operator.and_), _binary(np.bitwise_and, operator.and_, reflected=True)
    __or__, __ror__ = _binary(np.bitwise_or, operator.or_), _binary(np.bitwise_or, operator.or_, reflected=True)
    __xor__, __rxor__ = _binary(np.bitwise_xor, operator.xor), _binary(np.bitwise_xor, operator.xor, reflected=True)
    __lt__, __le__ = _binary(np.less, operator.lt), _binary(np.less_equal, operator.le)
    __gt__, __ge__ = _binary(np.greater, operator.gt), _binary(np.greater_equal, operator.ge)
    __eq__, __ne__ = _binary(np.equal, operator.eq), _binary(np.not_equal, operator.ne)
    __iadd__, __isub__ = _in_place(np.add), _in_place(np.subtract)
    __imul__, __itruediv__ = _in_place(np.multiply), _in_place(np.divide)

    def __neg__(self) -> Traced:
        return self.trace.apply(operator.neg if is_number(self.value) else np.negative, self)  # type: ignore[no-any-return]

    def __pos__(self) -> Traced:
        return self.copy()

    def __abs__(self) -> Traced:
        return self.trace.apply(operator.abs if is_number(self.value) else np.absolute, self)  # type: ignore[no-any-return]

    def __invert__(self) -> Traced:
        return self.trace.apply(np.invert, self)  # type: ignore[no-any-return]


FIXED = "A compiled program has fixed shapes: write np.where(mask, x, 0.0), or take the indices as an argument"


def _concrete(x: Any) -> Any:
    """Arguments with the values of this run in place of what is written down."""
    if isinstance(x, Traced):
        return x.value
    return type(x)(map(_concrete, x)) if type(x) in (tuple, list) else x


# -- functions that programs have under one name of several --------------------------------------------------------------


def cast(x: Array, *, dtype: Any) -> Array:
    """``x.astype(dtype)``, of an array or a number."""
    return np.asarray(x).astype(dtype)[()] if not isinstance(x, np.ndarray) else x.astype(dtype)


def quiet_exp(x: Array) -> Array:
    """exp(x), where an infinite result is as good as any."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def assigned(x: Array, value: Array, *, index: Any) -> Array:
    """A copy of x with ``value`` at ``index``."""
    y = x.copy()
    y[index] = value
    return y


def scattered(values: Array, *, shape: tuple[int, ...], dtype: Any, index: Any) -> Array:
    """Zeros with ``values`` added at ``index``."""
    y = np.zeros(shape, dtype)
    np.add.at(y, index, values)
    return y


def _reduction(ufunc: Any) -> Any:
    def reduce(a: Traced, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **options: Any) -> Any:
        chosen = {name: x for name, x in options.items() if x is not np._NoValue}
        if dtype is not None:
            chosen["dtype"] = dtype
        if keepdims is not np._NoValue and keepdims:
            chosen["keepdims"] = True
        axis = tuple(axis) if isinstance(axis, list) else axis
        return a.trace.apply(ufunc.reduce, a, axis=axis, **chosen)

    return reduce


def _mean(a: Traced, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **options: Any) -> Any:
    if dtype is not None or options or a.dtype.kind != "f" or a.dtype.itemsize < 4:
        return a.trace.apply(np.mean, a, axis=axis, dtype=dtype, keepdims=keepdims, **options)
    total = np.sum(a, axis=axis, keepdims=keepdims)
    return total / (a.size // max(total.size, 1)) if total.size else a.trace.apply(np.mean, a, axis=axis, keepdims=keepdims)


CANONICAL: dict[Any, Any] = {
    np.sum: _reduction(np.add),
    np.prod: _reduction(np.multiply),
    np.max: _reduction(np.maximum),
    np.min: _reduction(np.minimum),
    np.amax: _reduction(np.maximum),
    np.amin: _reduction(np.minimum),
    np.any: _reduction(np.logical_or),
    np.all: _reduction(np.logical_and),
    np.mean: _mean,
    np.copy: lambda a, *args, **options: a.copy(),
}
ABOUT_SHAPES = {
    np.shape, np.ndim, np.size, np.result_type, np.zeros_like, np.ones_like, np.empty_like, np.iscomplexobj, np.isrealobj, np.shares_memory,
    np.may_share_memory, np.array2string, np.array_repr, np.array_str,
}  # fmt: skip
UNSTEADY = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.delete, np.repeat}
METHODS: dict[str, Any] = {
    name: getattr(np, name)
    for name in (
        "sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin", "argsort", "std", "var", "ravel", "squeeze", "swapaxes",
        "cumsum", "cumprod", "clip", "round", "dot", "take", "repeat", "diagonal", "trace", "nonzero", "conjugate", "conj", "ptp",
    )
}  # fmt: skip
METHODS["flatten"] = np.ravel
VIEWS = {np.transpose, np.reshape, np.broadcast_to, np.swapaxes, np.expand_dims, np.moveaxis, np.flip, np.squeeze, np.ravel, np.diagonal}
