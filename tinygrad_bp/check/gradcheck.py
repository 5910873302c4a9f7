"""``tg.gradcheck``: autograd against central differences, for any function of arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_bp.errors import DtypeError, GradcheckError, GraphError
from tinygrad_bp.operators import vjp
from tinygrad_bp.tensor import Tensor

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

FULL = 100  # outputs with no more elements are checked element by element, larger ones in random combinations
COMBINATIONS = 2


def gradcheck(f: Function, inputs: Any, eps: float | None = None, atol: float | None = None, rtol: float | None = None) -> bool:
    """Whether autograd's derivative of ``f`` is that of central differences: ``True``, or an error that says where not.

    ``f``: a function of as many tensors as there are inputs, whose result is one tensor of any shape. It is called
    twice for each element of each input.
    ``inputs``: a list or tuple of arrays, floats or tensors that require a gradient, of any shapes, or a single one.
    They are not changed, and no ``.grad`` is filled.
    ``eps``: the step; by default the cube root of the machine epsilon times max(1, |x|), which balances truncation
    against rounding (Press et al., Numerical Recipes, 3rd edition, equation 5.7.8).
    ``atol``, ``rtol``: a derivative may differ by ``atol * min(1, the input's largest derivative) + rtol * |expected|``
    and by the rounding of the difference itself. The defaults are 1e-6 and 1e-5 in float64.

    A result of up to 100 elements is checked element by element, which is the full Jacobian; of a larger one, two
    random combinations of the elements.

    Raises ``GradcheckError``, an ``AssertionError``, which names input and element and holds ``expected``, ``got`` and
    their ``ratio``: a ratio of 2 or -1 often is the mistake. Also where ``f`` gives two results for the same inputs, or
    one that is not finite. Raises ``DtypeError`` for integers, ``GraphError`` where ``f`` does not return a tensor or an
    input does not require a gradient, ``ValueError`` for a step that is not above 0. Warns about float32, in which
    differences have about three digits.

    >>> import tinygrad_bp as tg
    >>> tg.gradcheck(lambda x, w: np.tanh(x @ w), [np.array([[1.0, 2.0]]), np.array([[0.5], [-0.2]])])
    True
    >>> cube = tg.pointwise(lambda x: x**3, x=lambda g, x: 2 * g * x * x)
    >>> tg.gradcheck(cube, 2.0)
    Traceback (most recent call last):
        ...
    tinygrad_bp.errors.GradcheckError: the derivative with respect to input 0 is wrong: expected 12, got 8, ratio 0.6667
    """
    if eps is not None and not eps > 0:
        raise ValueError(f"eps is the step of the differences, a number above 0; got {eps!r}")
    given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    arrays = [_input(i, x) for i, x in enumerate(given)]
    if not arrays:
        raise GraphError("gradcheck needs at least one input to differentiate with respect to")
    value, pullback = vjp(f, *arrays)
    value = _values(value)
    _require_regular(value, _value(f, arrays))
    machine = max(float(np.finfo(a.dtype).eps) for a in (value, *arrays))
    coarse = machine > float(np.finfo(float).eps)
    if coarse:
        warnings.warn(
            "gradcheck in less than float64: finite differences in float32 have about 3 digits. Write dtype=np.float64", stacklevel=2
        )
    default = 100 * machine ** (2 / 3)  # a hundred times what the best step leaves
    atol, rtol = (default if coarse else 1e-6) if atol is None else atol, (default if coarse else 1e-5) if rtol is None else rtol
    cotangents = _cotangents(value)
    pulled = [pullback(u) for u in cotangents]
    wrong: list[_Wrong] = []
    for i, x in enumerate(arrays):
        h = np.broadcast_to(machine ** (1 / 3) * np.maximum(1.0, np.abs(x)) if eps is None else eps, x.shape)
        got = np.array([_values(g[i]) for g in pulled]).reshape(len(pulled), *x.shape)
        below, above = _one_sided(f, arrays, i, h, value, cotangents)
        expected = (below + above) / 2
        weight = np.max(np.sum(np.abs(cotangents.reshape(len(pulled), value.size)), axis=1), initial=0.0)
        rounding = 4 * machine * np.max(np.abs(value), initial=0.0) * weight / h
        allowed = atol * min(1.0, np.max(np.abs(expected), initial=0.0)) + rtol * np.abs(expected) + rounding
        excess = np.abs(got - expected) / np.maximum(allowed, np.finfo(float).tiny)
        if not np.all(excess <= 1):
            wrong.append(_Wrong(i, getattr(given[i], "name", None), value.shape, got, expected, excess, below, above))
    if wrong:
        raise wrong[0].error(wrong[1:])
    return True


def _input(i: int, x: Any) -> Array:
    """A copy of one input's values."""
    array = np.array(x.raw if isinstance(x, Tensor) else x)
    if array.dtype.kind != "f":
        raise DtypeError(
            f"input {i} of gradcheck is {array.dtype}, which has no derivative. "
            "Give floating-point numbers, or keep it out of the inputs: lambda x: f(x, indices)"
        )
    if isinstance(x, Tensor) and not x.requires_grad:
        raise GraphError(f"input {i} of gradcheck, {x.label()}, does not require a gradient. Write requires_grad=True, or give an array")
    return array


def _values(x: Any) -> Array:
    """What a call gives as an array; it is a tracked tensor where the function also reads other tracked tensors."""
    return np.asarray(x.raw if isinstance(x, Tensor) else x)


def _value(f: Function, arrays: Sequence[Array]) -> Array:
    return _values(vjp(f, *arrays)[0])


def _require_regular(value: Array, again: Array) -> None:
    if value.shape != again.shape or not np.array_equal(value, again, equal_nan=True):
        raise GradcheckError(
            "the function is not deterministic: two calls with the same inputs gave different results. "
            "Draw random numbers before, or from a generator with a fixed seed inside the function"
        )
    if not np.all(np.isfinite(value)):
        raise GradcheckError("the function's value is not finite here, so there is nothing to compare. Check at other inputs")


def _cotangents(value: Array) -> Array:
    """Which combinations of the result's elements are differentiated: (how many, *its shape)."""
    if value.size <= FULL:
        return np.eye(value.size, dtype=value.dtype).reshape(value.size, *value.shape)
    return np.random.default_rng(0).standard_normal((COMBINATIONS, *value.shape)).astype(value.dtype)


def _one_sided(f: Function, arrays: Sequence[Array], i: int, h: Array, value: Array, cotangents: Array) -> tuple[Array, Array]:
    """Differences to below and to above, (cotangents, *input's shape): their mean is the central difference."""
    x = arrays[i]
    rows = cotangents.reshape(len(cotangents), value.size).astype(float)
    sides = np.zeros((2, len(rows), *x.shape))
    for place in np.ndindex(x.shape):
        for side, sign in enumerate((-1, 1)):
            moved = x.copy()
            moved[place] += sign * h[place]
            step = float(moved[place]) - float(x[place])  # what was really added, after rounding
            result = _value(f, [*arrays[:i], moved, *arrays[i + 1 :]])
            sides[(side, slice(None), *place)] = rows @ ((result.astype(float) - value.astype(float)).ravel() / step)
    return sides[0], sides[1]


@dataclass
class _Wrong:
    """What is wrong with one input."""

    input: int
    name: str | None
    shape: tuple[int, ...]  # of the result
    got: Array
    expected: Array
    excess: Array  # how many times the difference is what is allowed
    below: Array
    above: Array

    def error(self, others: Sequence[_Wrong]) -> GradcheckError:
        bad = ~(self.excess <= 1)
        row, *element = map(int, np.unravel_index(np.argmax(np.where(np.isnan(self.excess), np.inf, self.excess)), self.excess.shape))
        at = (row, *element)
        got, expected = float(self.got[at]), float(self.expected[at])
        name = f" ({self.name})" if self.name else ""
        place = f" at element {element}" if element else ""
        full = len(self.got) == math.prod(self.shape)
        output = tuple(map(int, np.unravel_index(row, self.shape))) if full else None
        of = f" of output {list(output)}" if output else "" if full else " of a random combination of the outputs"
        error = GradcheckError(
            f"the derivative{of} with respect to input {self.input}{name}{place} is wrong: "
            f"expected {expected:.6g}, got {got:.6g}, ratio {_ratio(got, expected):.4g}"
            + self._extent(bad)
            + self._kink(at)
            + "".join(f"; input {o.input}{f' ({o.name})' if o.name else ''} is wrong too" for o in others)
        )
        error.input, error.element, error.output = self.input, tuple(element), output
        error.expected, error.got, error.ratio = expected, got, _ratio(got, expected)
        return error

    def _extent(self, bad: Array) -> str:
        """How many derivatives are wrong, and whether all by one factor."""
        if bad.size == 1:
            return ""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = (self.got / self.expected)[bad]
        alike = bad.sum() > 1 and bool(np.all(np.abs(ratios - ratios[0]) <= 1e-3 * np.abs(ratios[0])))
        return f"; {bad.sum()} of {bad.size} differ" + (", all by this ratio" if alike else "")

    def _kink(self, at: tuple[int, ...]) -> str:
        below, above = float(self.below[at]), float(self.above[at])
        if abs(below - above) <= 0.01 * max(1.0, abs(below), abs(above)):
            return ""
        return f"; the function has a kink or jump here, or bends sharply: from below {below:.6g}, from above {above:.6g}"


def _ratio(got: float, expected: float) -> float:
    """Infinite where the expected derivative is zero up to rounding."""
    if math.isnan(got):
        return got
    return float("inf") if abs(expected) <= 1e-9 * abs(got) else got / expected
