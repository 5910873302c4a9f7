"""Operators on functions: ``grad``, ``value_and_grad``, ``vjp``, ``jvp``, ``jacobian``, ``hessian``, ``hvp``.

Each takes a function of arrays and gives another. They nest to any order, because what they compute on tensors is
recorded in its turn. An argument may be a number, an array, a tensor, or a dict, list or tuple of such: its
derivative then has the same structure. Nested lists of nothing but numbers are an array.

Functions get tensors and must return one. Callers get arrays back where they gave arrays, and tensors where they
gave tensors or are themselves inside a derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from tinygrad_bp.anomaly import calling
from tinygrad_bp.changes import next_serial
from tinygrad_bp.engine import order, pull, push
from tinygrad_bp.errors import GraphError, ShapeError
from tinygrad_bp.modes import enable_grad
from tinygrad_bp.tensor import Tensor, called

Function = Callable[..., Any]
Argnums = int | tuple[int, ...]
Layout = Literal["numerator", "denominator"]


def grad(f: Function, argnums: Argnums = 0) -> Function:
    """The gradient of a scalar function, as a function of the same arguments.

    ``argnums``: which argument to differentiate, counted from 0, or a tuple of them, for a tuple of gradients. An
    argument that the call gives by name is handed on and not differentiated.

    Raises ``GraphError`` where f returns more than one number, or no tensor, ``TypeError`` for what is no function or no
    number of an argument.

    >>> print(grad(grad(grad(lambda x: x**4)))(2.0))
    48.0
    >>> grad(lambda p: p["w"] * p["b"])({"w": 2.0, "b": 5.0})
    {'w': np.float64(5.0), 'b': np.float64(2.0)}
    """
    evaluate = value_and_grad(f, argnums)
    return lambda *args, **options: evaluate(*args, **options)[1]


def value_and_grad(f: Function, argnums: Argnums = 0) -> Function:
    """The function ``(*args) -> (f(*args), gradient)`` of a scalar function f; arguments and errors as in ``grad``.

    >>> value, gradient = value_and_grad(lambda x: x**3)(2.0)
    >>> print(value, gradient)
    8.0 12.0
    """
    _check(f, argnums)

    def evaluate(*args: Any, **options: Any) -> tuple[Any, Any]:
        call = _Call(partial(f, **options), args, argnums)
        if call.output.size != 1:
            raise GraphError(
                f"the function returned shape {call.output.shape}; a gradient is that of a scalar. Take np.sum, or use jacobian"
            )
        gradients = call.pullback(Tensor(np.ones_like(call.output.raw)))
        return call.give(call.output), call.arranged(gradients)

    return evaluate


def vjp(f: Function, *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(y, pullback)``: the value f(*args), and the function v -> (v^T dy/dx for each argument x).

    The pullback raises ``ShapeError`` where v has not the shape of y.

    >>> y, pullback = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    _check(f)
    call = _Call(f, args, tuple(range(len(args))))

    def pullback(v: Any) -> tuple[Any, ...]:
        seed = _as_tensor(v, call.output.dtype)
        if seed.shape != call.output.shape:
            raise ShapeError(f"the result has shape {call.output.shape}, and so must the cotangent; it has {seed.shape}")
        gradients: tuple[Any, ...] = call.arranged(call.pullback(seed), seed.tracked or isinstance(v, Tensor))
        return gradients

    return call.give(call.output), pullback


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``(f(*primals), dy)``: forward mode, the derivative of f along the direction ``tangents``.

    Raises ``ShapeError`` where a tangent has not the shape of its argument.

    >>> value, tangent = jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    >>> print(value, tangent)
    6.0 23.0
    """
    _check(f)
    if len(primals) != len(tangents):
        raise ShapeError(f"jvp needs a tangent for each of the {len(primals)} arguments; got {len(tangents)}")
    call = _Call(f, tuple(primals), tuple(range(len(primals))))
    given = [v for tangent in tangents for v in _leaves(tangent)]
    if len(given) != len(call.leaves):
        raise ShapeError(f"the arguments hold {len(call.leaves)} arrays, and so must the tangents; they hold {len(given)}")
    vs = [_as_tensor(v, x.dtype) for x, v in zip(call.leaves, given, strict=True)]
    for x, v in zip(call.leaves, vs, strict=True):
        if x.shape != v.shape:
            raise ShapeError(f"a tangent has the shape of its argument, {x.shape}; got {v.shape}")
    with enable_grad():
        tangent = push(call.output, {x.serial: v for x, v in zip(call.leaves, vs, strict=True)})
    if tangent is None:
        tangent = Tensor(np.zeros_like(call.output.raw))
    return call.give(call.output), call.give(tangent, any(isinstance(v, Tensor) for v in given), any(v.tracked for v in vs))


def jacobian(f: Function, argnums: Argnums = 0, layout: Layout = "numerator") -> Function:
    """All partial derivatives dy/dx of a function of arrays of any shape, as a function of the same arguments.

    ``layout="numerator"``: the axes of y, then those of x: y runs down, x across, J[i, j] = dy_i / dx_j.
    ``layout="denominator"``: the axes of x, then those of y: the gradient of a scalar has the shape of x either way.
    The derivative of a vector by a matrix has three axes.

    Source: document "BP算法讲解", sections 1.5 (numerator) and 2.3 (denominator).

    >>> a = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> jacobian(lambda x: a @ x)(np.ones(2)).shape
    (3, 2)
    >>> jacobian(lambda x: a @ x, layout="denominator")(np.ones(2)).shape
    (2, 3)
    """
    if layout not in ("numerator", "denominator"):
        raise ValueError(f'layout is "numerator" (y down, x across) or "denominator" (x down, y across); got {layout!r}')
    _check(f, argnums)

    def evaluate(*args: Any, **options: Any) -> Any:
        call = _Call(partial(f, **options), args, argnums)
        shape = call.output.shape
        rows = [call.pullback(Tensor(e)) for e in _basis(call.output)]
        columns = zip(*rows, strict=True) if rows else ([] for _ in call.leaves)
        return call.arranged([_assemble(list(column), shape, x, layout) for column, x in zip(columns, call.leaves, strict=True)])

    return evaluate


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """The second derivatives of a scalar function: H[i, j] = d2f / dx_i dx_j, the axes of x twice.

    With a tuple of ``argnums``, a tuple of rows of blocks.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    _check(f, argnums)
    if isinstance(argnums, int):
        return jacobian(grad(f, argnums), argnums)
    blocks = [[jacobian(grad(f, i), j) for j in argnums] for i in argnums]
    return lambda *args, **options: tuple(tuple(block(*args, **options) for block in row) for row in blocks)


def hvp(f: Function, x: Any, v: Any) -> Any:
    """The Hessian of a scalar function at x times a vector v, without forming the Hessian: forward mode over reverse.

    Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian".

    >>> hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    if not isinstance(x, dict | list | tuple) or _is_array(x):
        return jvp(grad(f), (x,), (v,))[1]
    directions = _leaves(v)  # of a structure: the gradient of the slope along v
    return grad(lambda x: sum(np.sum(g * d) for g, d in zip(_leaves(grad(f)(x)), directions, strict=True)))(x)


# -- behind them -------------------------------------------------------------------------------------------------------


def _check(f: Any, argnums: Any = 0) -> None:
    """Raise where something else than a function is to be differentiated, or by something else than numbers of arguments."""
    if isinstance(f, Tensor):
        raise TypeError("what is differentiated here is a function; got a Tensor. Write t.backward() and x.grad, or tg.grad(f)(x)")
    if not callable(f):
        raise TypeError(f"what is differentiated is a function; got {f!r}")
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if not isinstance(numbers, tuple | list | range) or not numbers or not all(isinstance(i, int | np.integer) for i in numbers):
        raise TypeError(f"argnums says which arguments are differentiated, counted from 0: 0, or (0, 2); got {argnums!r}")


class _Call:
    """One run of a function with some of its arguments tracked."""

    def __init__(self, f: Function, args: tuple[Any, ...], argnums: Argnums) -> None:
        numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        if not all(-len(args) <= i < len(args) for i in numbers):
            raise TypeError(
                f"argnums={argnums} asks for an argument that a call with {len(args)} does not have. They are counted from 0, "
                "and those that are given by name are not differentiated"
            )
        first = next_serial()
        self.single = isinstance(argnums, int)
        self.chosen = [args[i] for i in numbers]
        self.tensors = any(isinstance(x, Tensor) for arg in args for x in _leaves(arg))
        with enable_grad():
            inside = {i % len(args): _map(_leaf, args[i]) for i in numbers}
            self.output = f(*[inside.get(i, x) for i, x in enumerate(args)])
        self.line = calling(first)
        self.since = next_serial()  # what is recorded from now on belongs to the line that asks for derivatives
        if not isinstance(self.output, Tensor):
            raise GraphError(
                f"the function returned {type(self.output).__name__}, not a Tensor: it does not depend on the arguments that are "
                "differentiated, or only through what has no derivative (comparisons, floor, sign, argmax; .item(), .numpy(), float())"
            )
        self.leaves: list[Tensor] = [x for i in numbers for x in _leaves(inside[i % len(args)])]
        own = {t.serial for t in self.leaves}
        self.linked = self.output.tracked and any(t.rule is None and t.serial not in own and _wanted(t) for t in order(self.output))
        for x in self.leaves:
            if isinstance(x, _Argument):
                x.active = False

    def pullback(self, seed: Tensor) -> list[Tensor]:
        """The cotangents of the arguments, recorded where an enclosing derivative will want theirs."""
        self.since, found = next_serial(), {}
        if self.output.tracked:
            recorded = seed.tracked or self.linked
            wanted = {t.serial for t in self.leaves}
            with enable_grad():
                sweep = pull(self.output, seed if recorded else seed.raw, recorded)
                found = {t.serial: g for t, g in sweep if t.serial in wanted}
        return [_as_tensor(found.get(t.serial, np.zeros_like(t.raw))) for t in self.leaves]

    def give(self, t: Tensor, tensors: bool = False, linked: bool = False) -> Any:
        """What the caller gets: tensors where there were tensors or an enclosing derivative, otherwise arrays."""
        if linked or self.linked:
            return called(called(t, self.line), calling(self.since))
        copy = t.detach()
        copy.name = None
        return copy if tensors or self.tensors else copy.raw[()]

    def arranged(self, gradients: list[Tensor], tensors: bool = False) -> Any:
        """Gradients in the structure of the arguments."""
        each = iter([self.give(g, tensors, g.tracked) for g in gradients])
        trees = [_map(lambda _: next(each), arg) for arg in self.chosen]
        return trees[0] if self.single else tuple(trees)


class _Argument(Tensor):
    """A tracked argument that an operator made, and whether the function that it was made for is still running."""

    __slots__ = ("active",)
    active: bool


def _leaf(x: Any) -> Tensor:
    """The argument as a tensor of its own, linked to the caller's graph where there is one."""
    if isinstance(x, Tensor) and x.tracked:
        return +x
    argument = _Argument(x, requires_grad=True)
    argument.active = True
    return argument


def _wanted(leaf: Tensor) -> bool:
    """Whether somebody may still ask for derivatives by a leaf: the user, or an enclosing operator, but no finished one."""
    return not isinstance(leaf, _Argument) or leaf.active


def _as_tensor(x: Any, dtype: Any = None) -> Tensor:
    if isinstance(x, Tensor):
        return x if dtype in (None, x.dtype) else x.astype(dtype)
    return Tensor(x, dtype=dtype)


def _basis(y: Tensor) -> Iterator[Any]:
    """The unit arrays of the shape of y."""
    for i in range(y.size):
        e = np.zeros(y.size, y.dtype)
        e[i] = 1
        yield e.reshape(y.shape)


def _assemble(rows: list[Tensor], shape: tuple[int, ...], x: Tensor, layout: Layout) -> Tensor:
    """One row per element of y, each of the shape of x, as one array in the layout asked for."""
    stacked: Any = np.stack(rows) if rows else Tensor(np.zeros((0, *x.shape), x.dtype))
    j: Tensor = stacked.reshape((*shape, *x.shape))
    n = len(shape)
    axes = () if layout == "numerator" else (*range(n, n + x.ndim), *range(n))
    return j.transpose(*axes) if axes else j


def _is_array(x: Any) -> bool:
    """Nested lists of nothing but numbers are an array; other lists, tuples and dicts hold arguments."""
    return isinstance(x, int | float) or (type(x) in (list, tuple) and len(x) > 0 and all(map(_is_array, x)))


def _map(f: Callable[[Any], Any], x: Any) -> Any:
    """``f`` of every array in a structure of dicts, lists and tuples."""
    if isinstance(x, dict):
        return {key: _map(f, value) for key, value in x.items()}
    if not isinstance(x, list | tuple) or _is_array(x):
        return f(x)
    values = [_map(f, value) for value in x]
    return type(x)(*values) if hasattr(x, "_fields") else type(x)(values)


def _leaves(x: Any) -> list[Any]:
    found: list[Any] = []
    _map(found.append, x)
    return found
