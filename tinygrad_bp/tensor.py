"""``Tensor``: an array that remembers how it was computed.

Three doors lead to ``record``: Python operators, NumPy's ufuncs (NEP 13) and NumPy's functions (NEP 18). So a
plain NumPy expression on tensors is recorded as it stands:

>>> import numpy as np
>>> from tinygrad_bp import Tensor
>>> x = Tensor([1.0, 2.0], requires_grad=True)
>>> np.sum(np.exp(x) * x).backward()
>>> x.grad
Tensor([ 5.43656366, 22.1671683 ])
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from sys import _getframe
from types import CodeType
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from tinygrad_bp.anomaly import WATCHES, Line, calling, watch_forward
from tinygrad_bp.changes import CHANGES, next_serial, read_only, shares_memory, views
from tinygrad_bp.errors import ConversionError, DtypeError, GraphError, NoRuleError, RuleError, ShapeError, TinygradError
from tinygrad_bp.modes import grad_enabled
from tinygrad_bp.rule import COMPOSED, RULES, Rule, parameter_names

Array = Any  # numpy.ndarray, a NumPy scalar, or the array of another library
Params = dict[str, Any] | None


class Name(str):
    """A tensor's name, with names for its elements where it has some."""

    __slots__ = ("elements",)
    elements: tuple[str, ...]

    def __new__(cls, name: str, elements: str | Sequence[str] = ()) -> Self:
        self = super().__new__(cls, name)
        self.elements = tuple(elements.split() if isinstance(elements, str) else elements)
        return self


def record(rule: Rule, inputs: tuple[Any, ...], params: Params = None, depth: int = 0) -> Any:  # noqa: C901  (one call for an operation)
    """Run a rule's function on the data, and keep how the result came about where an input is tracked.

    ``depth``: how many frames up the user's line stands; 0 where that depends, so that ``called`` says it later.
    """
    if CHANGES.exposed:
        CHANGES.look(inputs)
    tracked = foreign = False
    arrays = []
    for x in inputs:
        if isinstance(x, Tensor):
            arrays.append(x.raw)
            tracked = tracked or x.tracked
        elif x.__class__ in SCALARS:
            arrays.append(x)
        else:
            arrays.append(_as_operand(x))
            foreign = True
    try:
        raw = rule.run(*arrays, **params) if params else rule.run(*arrays)
    except TinygradError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        _explain(error, rule, arrays, params)
    tracked = tracked and grad_enabled.get()
    if foreign and tracked:
        inputs, arrays = _private(inputs, arrays)
    if getattr(raw, "dtype", None) not in FLOATS:
        raw = _as_result(raw, rule, tracked)
    t: Tensor = _new(Tensor)
    t.raw = raw
    t.name = t.gradient = None
    t.changed = 0
    t.serial = next_serial()
    t.tracked = tracked
    if tracked:
        t.rule = rule
        t.params = params
        if rule.count > 2:
            t.left = None
            t.many = inputs
            t.many_arrays = tuple(arrays)
        else:
            t.left = inputs[0]
            t.left_array = arrays[0]
            t.right, t.right_array = (inputs[1], arrays[1]) if rule.count == 2 else (None, None)
            t.many = ()
        t.code = None
        t.calls = ()
        if depth:
            frame = _getframe(depth)
            t.code = frame.f_code
            t.place = frame.f_lasti
    else:
        t.rule = t.params = t.code = None
        t.calls = ()
        t.left, t.left_array = _viewed(raw, inputs, arrays) if rule.views else (None, None)
        t.many = ()
    if WATCHES:
        t.calls = (calling(t.serial),)
        watch_forward(f"the result of {rule.name}({', '.join(map(_operand, inputs))})", arrays, t)
    return t


def called(result: Any, line: Line, depth: int = 3) -> Any:
    """The result of a function that recorded several operations, for a line of the user's."""
    if isinstance(result, Tensor):
        if result.serial > line[0]:
            result.calls += (line,)
    elif depth and isinstance(result, tuple | list | dict) and len(result) < 1000:  # a long list is one of numbers
        for x in result.values() if isinstance(result, dict) else result:
            called(x, line, depth - 1)
    return result


def _operand(x: Any) -> str:
    return x.label() if isinstance(x, Tensor) else _describe(x)


def _refuse_mask(x: Any) -> None:
    if hasattr(x, "filled"):
        raise DtypeError("a masked array would lose its mask. Write a.filled(0.0), and np.where for what the mask should do")


def _as_operand(x: Any) -> Any:
    """What stands beside a tensor, as an array that does what NumPy's arrays do: a matrix would take * for @.

    Arrays of other libraries that NumPy's functions know, and symbols, stay as they are.
    """
    if x.__class__ is np.ndarray or x is None or isinstance(x, str) or hasattr(x, "__apply_rule__"):
        return x
    _refuse_mask(x)
    known = hasattr(x, "__array_function__") and not isinstance(x, np.ndarray)
    return x if known else np.asarray(x)


def _private(inputs: tuple[Any, ...], arrays: list[Any]) -> tuple[tuple[Any, ...], list[Any]]:
    """Inputs and their data, with copies of the caller's arrays, which may change before the backward pass reads them."""
    own = [a.copy() if hasattr(a, "__array_function__") and not isinstance(x, Tensor) else a for x, a in zip(inputs, arrays, strict=True)]
    return tuple(x if isinstance(x, Tensor) else a for x, a in zip(inputs, own, strict=True)), own


def _viewed(raw: Any, inputs: tuple[Any, ...], arrays: list[Any]) -> tuple[Any, Any]:
    """The input that a result is a view of, and its data."""
    return next(((x, a) for x, a in zip(inputs, arrays, strict=True) if shares_memory(raw, a)), (None, None))


def _as_result(raw: Any, rule: Rule, tracked: bool) -> Any:
    """What a function returned, if it is not an array of floats: a Python number, integers, or a mistake."""
    if not hasattr(raw, "dtype"):
        if not isinstance(raw, float | int):
            raise RuleError(f"{rule.name} returned {type(raw).__name__}; a rule is about a function whose result is one array")
        raw = np.asarray(raw, float)[()]
    if raw.dtype.kind not in ("f" if tracked else "fiub"):
        raise DtypeError(
            f"the result of {rule.name} is {raw.dtype}, which has no derivative. "
            "Keep to real floating-point numbers, or compute on t.detach()"
        )
    return raw


def _explain(error: Exception, rule: Rule, arrays: list[Any], params: Params) -> NoReturn:
    """Raise the same error, said with the operation and the shapes."""
    shapes = ", ".join(f"{name} {_describe(a)}" for name, a in zip(rule.arguments, arrays, strict=False))
    options = "".join(f", {k}={v!r}" for k, v in (params or {}).items())
    said = f"{rule.name}({shapes}{options}) cannot be computed"
    if isinstance(error, np.linalg.LinAlgError | np.exceptions.AxisError):  # a class that programs ask for
        error.add_note(f"{said}.")
        raise error
    kind = ShapeError if isinstance(error, ValueError) else IndexError if isinstance(error, IndexError) else TypeError
    raise kind(f"{said}: {error}") from error


def _describe(a: Any) -> str:
    return f"of shape {a.shape}" if hasattr(a, "shape") else repr(a)


UNITS = {t: t(1) for t in (np.float32, np.float64)}  # the usual loss is one of these
FLOATS = frozenset(map(np.dtype, ("e", "f", "d", "g")))
SCALARS = frozenset({float, int, bool, np.float64, np.float32, np.float16, np.int64, np.bool_})


def cast(x: Array, *, dtype: Any) -> Array:
    """The same values in another floating-point type."""
    return x.astype(dtype)


def take(x: Array, *, index: Any) -> Array:
    """``x[index]``, the function behind indexing."""
    y = x[index]
    if (size := getattr(y, "size", 0)) != size:  # nan: dask counts the chosen elements only when it computes them
        raise ShapeError(
            "how many elements this mask chooses is unknown before it is computed, and no gradient can go back through "
            "a result of unknown shape. Write np.where(mask, x, 0.0) instead"
        )
    return y


def _operator(function: Any, reflected: bool = False) -> Any:
    """A Python operator as a door. It looks its rule up at each call, so that users may declare another."""
    if reflected:
        return lambda self, other: record(RULES[function], (other, self), None, 2)
    return lambda self, other: record(RULES[function], (self, other), None, 2)


def _in_place(function: Any) -> Any:
    """``w -= step`` inside ``no_grad`` updates a tracked leaf, as in PyTorch. Elsewhere it rebinds the name to a new tensor."""

    def operator(self: Tensor, other: Any) -> Any:
        if self.rule is not None or not self.tracked or grad_enabled.get():
            return record(RULES[function], (self, other), None, 2)
        self.data = function(self.raw, _plain(other))
        return self

    return operator


def _method(function: Any) -> Any:
    """NumPy's function as a method, as arrays have it."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        first, frame = next_serial(), _getframe(1)
        return called(function(self, *args, **kwargs), (first, frame.f_code, frame.f_lasti))

    method.__name__, method.__doc__ = function.__name__, f"``np.{function.__name__}`` of this tensor, with its options."
    return method


def _comparison(function: Any) -> Any:
    return lambda self, other: function(self.raw, _plain(other))


class Tensor:
    """An array with a gradient.

    ``data``: a number, nested lists, a NumPy array (copied), or an array of another library (kept as it is).
    ``requires_grad``: whether gradients with respect to this tensor are wanted.
    ``dtype``: as in ``numpy.array``; floats are float64 by default.
    ``name``: what pictures, derivations and error messages call it.

    Raises ``DtypeError`` for data that has no derivative: complex numbers, strings, objects, and arrays of
    integers where ``requires_grad`` is set (Python integers are promoted to float64).

    >>> w = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="w")
    >>> y = (w @ w).sum()
    >>> y.backward()
    >>> w.grad
    Tensor([[ 7., 11.],
            [ 9., 13.]], name='grad_w')
    """

    __slots__ = (
        "__weakref__",
        "calls",  # the lines that called functions of several operations, of which this is the result, the innermost first
        "changed",  # serial number of the last change in place, 0 if none
        "code",  # the user's, where it is known
        "gradient",  # behind .grad: None, an array, or the tensor that .grad handed out
        "learned",  # where set: it is a module's parameter
        "left",  # the operation's first input, a tensor or a plain number; of an untracked view, what it is a view of
        "left_array",  # the data of that input when the operation ran
        "many",  # the inputs, where they are more than two; left and right are for one or two
        "many_arrays",
        "name",
        "params",  # metadata of the operation, such as axis; None where there is none
        "place",  # where in the code the operation was called
        "raw",  # behind .data: the array, without its guards
        "right",  # the second input
        "right_array",
        "rule",  # the operation; None for a leaf
        "serial",  # creation order, which is a topological order
        "spoiled",  # where set: nodes older than this may hold an array that somebody else can write to
        "tracked",  # behind .requires_grad
    )

    code: CodeType | None
    learned: bool
    calls: tuple[Line, ...]
    place: int
    right: Any
    right_array: Any
    many_arrays: tuple[Any, ...]
    sweep: ClassVar[Callable[..., None]]  # the engine, which stands above this module, puts itself here

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None, name: str | None = None) -> None:
        self.raw = _as_data(data, dtype, requires_grad)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a name is text; got {name!r}")
        self.tracked = False
        self.name = name
        self.gradient: Any = None
        self.rule: Rule | None = None
        self.left: Any = None
        self.left_array: Any = None
        self.many: tuple[Any, ...] = ()
        self.code = None
        self.calls = ()
        self.params: Params = None
        self.serial = next_serial()
        self.changed = 0
        if requires_grad:
            self.requires_grad = True

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The values as an array. A leaf's may be written to; those of a result are read-only."""
        array = self.raw  # held, so that no other thread takes it for forgotten
        if isinstance(array, np.generic):
            return array
        if isinstance(array, np.ndarray) and (self.rule is not None or not array.flags.owndata):
            what = f"the result of {self.rule.name}" if self.rule is not None else "a view of another tensor"
            return read_only(array, f"{self.label()}, {what}")
        CHANGES.expose(self)
        return array

    @data.setter
    def data(self, value: Any) -> None:
        if self.rule is not None:
            raise GraphError(f"{self.label()} is the result of {self.rule.name}; its data cannot be replaced. Compute a new tensor instead")
        raw = _as_data(value, self.raw.dtype, self.tracked)  # a copy: the caller's array stays the caller's
        if raw.shape != self.raw.shape:
            raise ShapeError(f"{self.label()} has shape {self.raw.shape}; its data cannot become an array of shape {raw.shape}")
        self.replace(raw)

    def replace(self, raw: Array) -> None:
        """Put another array in the place of a leaf's, by columns where that one lies so; recorded graphs keep the old one."""
        if isinstance(raw, np.ndarray) and isinstance(self.raw, np.ndarray) and self.raw.flags.fnc:
            raw = np.asfortranarray(raw)
        with CHANGES.lock:
            self.raw = raw
            CHANGES.note(self)
            if CHANGES.exposed.pop(self.serial, None):  # somebody may have written to the old array, or will: t.data -= 1
                self.spoiled = self.changed

    @property
    def grad(self) -> Tensor | None:
        """The gradient that the last ``backward()`` passes left here, a tensor without history, or ``None``."""
        if self.gradient is None or isinstance(self.gradient, Tensor):
            return self.gradient
        self.gradient = Tensor(self.gradient, name=None if self.name is None else f"grad_{self.name}")
        return self.gradient  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            value = value.detach() if isinstance(value, Tensor) else Tensor(value)
            if value.shape != self.shape:
                raise ShapeError(f"the gradient of {self.label()} has its shape, {self.shape}; got {value.shape}")
        self.gradient = value

    @property
    def requires_grad(self) -> bool:
        return self.tracked

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.rule is not None and not value:
            raise GraphError(f"{self.label()} is the result of {self.rule.name}; write t.detach() to cut it off its graph")
        if value and self.dtype.kind != "f":
            raise DtypeError(
                f"only floating-point tensors have gradients; this one is {self.dtype}. Write Tensor(x, dtype=float, requires_grad=True)"
            )
        if value and self.rule is None and self.left is not None:  # the view of another tensor becomes a leaf with values of its own
            self.raw, self.left, self.left_array = self.raw.copy(), None, None
        self.tracked = value

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What the operation read: tensors and plain numbers, in the order of its rule. A leaf has none.

        They stand in the tensor itself, not in a tuple of its own: half as many objects for the garbage collector.
        """
        return self.many or (self.left, self.right)[: self.rule.count] if self.rule is not None else ()

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The data of the inputs when the operation ran."""
        if self.rule is None:
            return ()
        return self.many_arrays if self.many else (self.left_array, self.right_array)[: self.rule.count]

    @arrays.setter
    def arrays(self, arrays: tuple[Any, ...]) -> None:
        if self.many:
            self.many_arrays = arrays
        else:
            self.left_array, self.right_array = (*arrays, None, None)[:2]

    def forget(self, rule: Rule) -> None:
        """Let go of what a node was computed from; ``rule`` is one for nodes without inputs."""
        self.rule, self.left, self.right, self.left_array, self.right_array = rule, None, None, None, None
        self.many, self.many_arrays, self.params = (), (), None

    def requires_grad_(self, value: bool = True) -> Self:
        """Set ``requires_grad``, and return the tensor."""
        self.requires_grad = value
        return self

    def named(self, name: str, elements: str | Sequence[str] = ()) -> Self:
        """Give the tensor a name, and its elements theirs, and return it.

        >>> w = Tensor([[0.15, 0.20], [0.25, 0.30]]).named("W1", "w1 w2 w3 w4")
        >>> w.name
        'W1'
        """
        if not isinstance(name, str):
            raise TypeError(f"a name is text; got {name!r}")
        known = Name(name, elements)
        if elements and len(known.elements) != self.size:
            raise ShapeError(f"{name!r} has {self.size} elements; got {len(known.elements)} names for them")
        self.name = known if elements else name
        return self

    def label(self) -> str:
        """What messages call this tensor."""
        return f"tensor {self.name!r}" if self.name else f"an unnamed tensor of shape {self.shape}"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raw.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self.raw.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self.raw.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.raw.dtype  # type: ignore[no-any-return]

    @property
    def is_leaf(self) -> bool:
        """Made by the user, not by an operation."""
        return self.rule is None

    def __repr__(self) -> str:
        known = isinstance(self.raw, np.ndarray | np.generic)  # another library's array may be far away: it prints itself
        values = np.array2string(self.raw, separator=", ", prefix="Tensor(") if known else repr(self.raw)
        name = f", name={self.name!r}" if self.name else ""
        return f"Tensor({values}{name}{', requires_grad=True' if self.tracked else ''})"

    if sys.version_info >= (3, 12):  # under 3.11 a class that has this method is read from at an eighth of the speed

        def __getattr__(self, name: str) -> Any:
            instead = f"; write np.{name}(t)" if not name.startswith("_") and callable(getattr(np, name, None)) else ""
            raise AttributeError(f"a Tensor has no attribute {name!r}{instead}")

    def __dir__(self) -> list[str]:  # what the engine keeps in a result is nothing to complete a name with
        return [name for name in object.__dir__(self) if name not in INTERNAL]

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without dimensions has no len()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (record(RULES[take], (self,), {"index": i}, 2) for i in range(len(self)))

    # -- out of the graph ----------------------------------------------------------------------------------------

    def item(self) -> float:
        """The single value as a Python number."""
        if self.raw.__class__ in UNITS:  # ten times as fast
            return float(self.raw)
        item = getattr(self.raw, "item", None) or self.numpy().item  # dask has none
        return item()  # type: ignore[no-any-return]

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy of the values as a NumPy array, tracked or not."""
        host = getattr(self.raw, "get", None)  # CuPy leaves the GPU only when asked by this name
        return np.array(self.raw if host is None else host())

    def detach(self) -> Tensor:
        """A copy of the values without history."""
        return Tensor(self.raw, name=self.name)

    def __reduce__(self) -> Any:
        """Copies and pickles of a leaf are leaves of their own, with its gradient; a result has none."""
        if self.rule is not None:
            raise GraphError(
                f"{self.label()} is the result of {self.rule.name}: a copy would not belong to its graph. Write t.detach() or t.numpy()"
            )
        slots = {"learned": True} if hasattr(self, "learned") else {}
        state = getattr(self, "__dict__", None), slots
        return _copied, (type(self), self.raw, self.tracked, self.name, self.gradient), state if any(state) else None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        self._refuse("numpy.asarray() of it", "t.numpy() for a copy of the values, or a NumPy function that has a rule, such as np.stack")
        return np.array(self.raw, dtype) if copy else read_only(np.asarray(self.raw, dtype))

    def __float__(self) -> float:
        self._refuse("float() of it", "t.item()")
        return float(self.raw)

    def __int__(self) -> int:
        self._refuse("int() of it", "int(t.item())")
        return int(self.raw)

    def __index__(self) -> int:
        return self.raw.__index__()  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return bool(self.raw)

    def _refuse(self, what: str, instead: str) -> None:
        if self.tracked:
            raise ConversionError(f"{self.label()} requires a gradient, and {what} would silently lose its graph. Write {instead}")

    # -- into the graph ------------------------------------------------------------------------------------------

    __add__, __radd__ = _operator(np.add), _operator(np.add, reflected=True)
    __sub__, __rsub__ = _operator(np.subtract), _operator(np.subtract, reflected=True)
    __mul__, __rmul__ = _operator(np.multiply), _operator(np.multiply, reflected=True)
    __truediv__, __rtruediv__ = _operator(np.divide), _operator(np.divide, reflected=True)
    __pow__, __rpow__ = _operator(np.power), _operator(np.power, reflected=True)
    __matmul__, __rmatmul__ = _operator(np.matmul), _operator(np.matmul, reflected=True)
    __lt__, __le__, __gt__, __ge__ = map(_comparison, (np.less, np.less_equal, np.greater, np.greater_equal))
    __eq__, __ne__ = map(_comparison, (np.equal, np.not_equal))
    __hash__ = object.__hash__

    __iadd__, __isub__ = _in_place(np.add), _in_place(np.subtract)
    __imul__, __itruediv__ = _in_place(np.multiply), _in_place(np.divide)
    __mod__, __rmod__ = _operator(np.remainder), _operator(np.remainder, reflected=True)
    __floordiv__ = _comparison(np.floor_divide)  # no derivative: a plain array, as that of a comparison
    __rfloordiv__ = _comparison(lambda x, other: np.floor_divide(other, x))

    def __abs__(self) -> Tensor:
        return record(RULES[np.absolute], (self,), None, 2)  # type: ignore[no-any-return]

    def __neg__(self) -> Tensor:
        return record(RULES[np.negative], (self,), None, 2)  # type: ignore[no-any-return]

    def __pos__(self) -> Tensor:
        return record(RULES[np.positive], (self,), None, 2)  # type: ignore[no-any-return]

    def __apply_rule__(self, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The one room behind the doors."""
        if not kwargs and len(args) == rule.arity:
            return record(rule, args, None, 3)
        if rule.kind == "constant":
            return rule.function(*_plain(args), **_plain(kwargs))
        inputs, params = rule.bind(args, kwargs)
        if params is not None:
            if _any_tracked(params):
                raise NoRuleError(f"the options of {rule.name} ({', '.join(params)}) are not differentiated; give t.detach() or a number")
            params = {name: _own(value) for name, value in params.items()}
        return record(rule, inputs, params, 3)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs and not _any_tracked((args, kwargs)) and not any(isinstance(x, Tensor) for x in kwargs["out"]):
            return getattr(ufunc, method)(*_plain(args), **_plain(kwargs))  # array -= lr * w.grad
        if "out" in kwargs:
            raise NoRuleError(f"{ufunc.__name__}(..., out=) would overwrite values in a graph. Leave out= away: the result is a new tensor")
        rule = RULES.get(ufunc if method == "__call__" else (ufunc, method))
        return self.__apply_rule__(rule, args, kwargs) if rule else _without_rule(ufunc, method, args, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rule = RULES.get(function)
        return self.__apply_rule__(rule, args, kwargs) if rule else _without_rule(function, "__call__", args, kwargs)

    def __getitem__(self, index: Any) -> Tensor:
        return record(RULES[take], (self,), {"index": _own(index)}, 2)  # type: ignore[no-any-return]

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.rule is not None or (self.tracked and grad_enabled.get()):
            raise GraphError(
                f"{self.label()} is part of a graph, so its elements cannot be assigned. "
                "Build the new value with np.where, or write inside tg.no_grad()"
            )
        if grad_enabled.get() and _any_tracked(value):
            raise ConversionError(
                f"assigning a tracked tensor to elements of {self.label()} would silently lose its graph. "
                "Build the new value with np.where or np.stack, or assign t.detach()"
            )
        self.raw[_plain(index)] = _plain(value)
        for t in views(self):
            CHANGES.note(t)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """The sum of all elements, or along an axis or several."""
        return record(RULES[np.sum], (self,), _given(axis, keepdims), 2)  # type: ignore[no-any-return]

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """The mean of all elements, or along an axis or several."""
        return record(RULES[np.mean], (self,), _given(axis, keepdims), 2)  # type: ignore[no-any-return]

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape, of which one length may be -1: what is left."""
        return record(RULES[np.reshape], (self,), {"shape": shape[0] if len(shape) == 1 else shape}, 2)  # type: ignore[no-any-return]

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order, in the opposite one unless it is given."""
        return record(RULES[np.transpose], (self,), {"axes": _own(axes[0] if len(axes) == 1 else axes)} if axes else None, 2)  # type: ignore[no-any-return]

    def astype(self, dtype: Any) -> Tensor:
        """The same values in another floating-point type."""
        return record(RULES[cast], (self,), {"dtype": np.dtype(dtype)}, 2)  # type: ignore[no-any-return]

    @property
    def T(self) -> Tensor:
        """The axes in the opposite order."""
        return record(RULES[np.transpose], (self,), None, 2)  # type: ignore[no-any-return]

    max, min, prod, var, std = map(_method, (np.max, np.min, np.prod, np.var, np.std))
    cumsum, cumprod, clip, dot, take = map(_method, (np.cumsum, np.cumprod, np.clip, np.dot, np.take))
    ravel, squeeze, swapaxes, repeat, diagonal, trace = map(_method, (np.ravel, np.squeeze, np.swapaxes, np.repeat, np.diagonal, np.trace))
    argmax, argmin, argsort, round, all, any = map(_method, (np.argmax, np.argmin, np.argsort, np.round, np.all, np.any))
    flatten = ravel

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.gradient = None

    def backward(self, gradient: Any = None, retain_graph: bool = True) -> None:
        """Fill ``.grad`` of every tensor that this one was computed from, by the chain rule.

        ``gradient``: dL/d(this tensor), of this tensor's shape; 1 for a scalar. Leaves add up the gradients of
        successive calls, as in PyTorch; an intermediate tensor keeps those of the latest. With
        ``retain_graph=False`` the graph is freed on the way.
        """
        self.sweep(gradient, retain_graph)


INTERNAL = frozenset(Tensor.__slots__) - {"name", "rule"} | {"arrays", "forget", "inputs", "label", "replace", "sweep"}


def _given(axis: Any, keepdims: bool) -> Params:
    if axis is None and not keepdims:
        return None
    return {"axis": axis, "keepdims": keepdims}


def _plain(x: Any) -> Any:
    """Arguments with every tensor replaced by its data."""
    if isinstance(x, Tensor):
        return x.raw
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    return type(x)(map(_plain, x)) if type(x) in (list, tuple) else x


def _own(x: Any) -> Any:
    """An index that the caller cannot change any more."""
    if isinstance(x, Tensor | np.ndarray):
        return (x.raw if isinstance(x, Tensor) else x).copy()
    return type(x)(map(_own, x)) if type(x) in (list, tuple) else x


def _copied(cls: type[Tensor], raw: Array, tracked: bool, name: str | None, gradient: Any) -> Tensor:
    t = cls.__new__(cls)
    Tensor.__init__(t, raw, tracked, name=name)
    t.grad = gradient
    return t


def _any_tracked(x: Any) -> bool:
    if isinstance(x, Tensor):
        return x.tracked
    if isinstance(x, dict):
        return any(map(_any_tracked, x.values()))
    return type(x) in (list, tuple) and any(map(_any_tracked, x))


def _without_rule(function: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A NumPy function without a rule: by its definition in terms of others, or, on untracked tensors, as it is."""
    definition = COMPOSED.get(function if method == "__call__" else (function, method))
    if definition is not None:
        return _by_definition(function, method, definition, args, kwargs)
    if _any_tracked((args, kwargs)):
        module = getattr(function, "__module__", "numpy").replace("numpy", "np", 1)
        name = f"{module}.{function.__name__}" if method == "__call__" else f"np.{function.__name__}.{method}"
        kind = "pointwise" if isinstance(function, np.ufunc) else "general"
        raise NoRuleError(
            f"{name} has no derivative rule, so the graph would be lost. Declare one, for instance "
            f"tg.{kind}({name}, x=lambda g, x: g * ...), or compute on t.detach()"
        )
    return getattr(function, method)(*_plain(args), **_plain(kwargs))


def _by_definition(function: Any, method: str, definition: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a definition as NumPy's function was called. Options it does not name must have been left at nothing."""
    code = definition.__code__
    if not code.co_flags & inspect.CO_VARARGS:
        required = code.co_argcount - len(definition.__defaults__ or ())
        own = code.co_varnames[: code.co_argcount]
        names = (parameter_names(function) if method == "__call__" else ()) or own  # NumPy 2.3 does not tell those of np.concatenate
        if len(args) > len(names):
            raise NoRuleError(f"the rule of {function.__name__} covers ({', '.join(own)}); got {len(args)} arguments without names")
        args, kwargs = args[:required], dict(zip(names[required:], args[required:], strict=False)) | kwargs
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for name, value in kwargs.items():
        if name not in known and value is not None and value is not False and value is not np._NoValue:
            raise NoRuleError(f"the rule of {function.__name__} does not cover the option {name}={value!r}; leave it out")
    first, frame = next_serial(), _getframe(3)
    result = definition(*args, **{name: value for name, value in kwargs.items() if name in known and value is not np._NoValue})
    return called(result, (first, frame.f_code, frame.f_lasti))


def _as_data(data: Any, dtype: Any, requires_grad: bool) -> Array:
    """The array behind a new tensor: its own copy, or another library's array as it is."""
    if isinstance(data, Tensor):
        data._refuse("Tensor() of it", "t.detach()")
        data = data.raw
    _refuse_mask(data)
    known = isinstance(data, np.ndarray | np.generic)
    if not known and hasattr(data, "__array_function__"):
        raw = data.copy() if dtype is None else data.astype(dtype)
    else:
        try:
            raw = np.array(data if known else np.asarray(data), dtype)  # PyTorch knows no copy=True
        except ConversionError as error:
            raise ConversionError("a list of tracked tensors would lose their graph. Write np.stack(list)") from error
        if raw.dtype.kind in "iub" and requires_grad and dtype is None and not known:
            raw = raw.astype(float)
    if raw.dtype.kind not in "fiub":
        raise DtypeError(f"a tensor holds real numbers; this data has dtype {raw.dtype}")
    return raw


_new = Tensor.__new__
