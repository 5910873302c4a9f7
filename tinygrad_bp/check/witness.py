"""A second opinion on derivatives that shares no code with their rules: complex step, or else central differences.

For an analytic f, f(x + ih) = f(x) + ih f'(x) + O(h^2): the imaginary part divided by h is the derivative to the last
digits, for nothing is subtracted and h may be as small as 1e-100 (Squire and Trapp, "Using complex variables to estimate
derivatives of real functions", SIAM Review 40, 1998). Whether f is analytic is not assumed but tried: where central
differences say otherwise, as for ``abs`` or at a kink, they are what counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.program import Line, Program

Array = np.ndarray[Any, Any]

ELEMENT_LIMIT = 2_000  # numbers per claim that are moved one by one
STEP = 1e-100
ROUGH = 1e-4  # relative error that central differences may have
EXACT = 1e-9  # and a complex step, with all that was rounded on the way
COMPLEX, CENTRAL = "complex step", "central differences"


@dataclass(frozen=True)
class Witness:
    """d(output)/d(line), and how it was found."""

    derivative: Array
    method: str
    error: float  # how large its relative error may be

    @property
    def doubt(self) -> float:
        """How far off it may be."""
        return self.error * float(np.max(np.abs(self.derivative), initial=0.0)) + (self.error**2 if self.method == CENTRAL else 0.0)


def witness(program: Program, place: int, index: tuple[int, ...] | None = None) -> Witness | None:
    """The derivative of the output by a line, or by the element at ``index``; ``None`` for what is too large to move one by one.

    >>> import tinygrad_bp as tg
    >>> x = tg.Tensor(0.5, requires_grad=True, name="x")
    >>> found = witness(Program.of(tg.sigmoid(x).named("y")), 0)
    >>> found.method, float(found.derivative)
    ('complex step', 0.2350037122015945)
    """
    if index is None and program.lines[place].value.size > ELEMENT_LIMIT:
        return None
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of imaginary parts that are lost
        rough, exact = finite_difference(program, place, index), complex_step(program, place, index)
    eps = _precision(program, place)
    central = Witness(rough, CENTRAL, max(ROUGH, 100 * eps ** (2 / 3)))
    if exact is None or not np.all(np.abs(exact - rough) <= central.doubt):
        return central
    return Witness(exact, COMPLEX, max(EXACT, 1e4 * eps))


def finite_difference(program: Program, place: int, index: tuple[int, ...] | None = None) -> Array:
    """d(output)/d(line) by central differences: the lines after it are computed with one number moved both ways.

    The step is the cube root of the machine precision, relative to the value: the best for central differences.
    """
    value = np.asarray(program.lines[place].value)
    value = value if value.dtype.kind == "f" else value.astype(float)
    step = np.cbrt(_precision(program, place))
    after = _after(program, place)

    def difference(i: tuple[int, ...]) -> float:
        moved = []
        for sign in (1, -1):
            other = value.copy()
            other[i] += sign * step * max(1.0, abs(float(value[i])))
            moved.append((float(np.sum(_output(program, after, place, other, _real))), float(other[i])))
        (above, right), (below, left) = moved
        return (above - below) / (right - left)

    return _each(value, index, difference)


def complex_step(program: Program, place: int, index: tuple[int, ...] | None = None) -> Array | None:
    """The same with an imaginary step; ``None`` if a function does not take complex numbers. For analytic ones only."""
    value = np.asarray(program.lines[place].value).astype(complex)
    after = _after(program, place)

    def derivative(i: tuple[int, ...]) -> float:
        other = value.copy()
        other[i] += 1j * STEP
        return float(np.imag(np.sum(_output(program, after, place, other, _on_complex)))) / STEP

    try:
        return _each(value, index, derivative)
    except (TypeError, ValueError, ArithmeticError):
        return None


def _each(value: Array, index: tuple[int, ...] | None, derivative: Callable[[tuple[int, ...]], float]) -> Array:
    if index is not None:
        return np.asarray(derivative(index))
    return np.array([derivative(i) for i in np.ndindex(value.shape)], dtype=float).reshape(value.shape)


def _after(program: Program, place: int) -> list[Line]:
    """The lines that depend on one."""
    moved = {place}
    for line in program.lines[place + 1 :]:
        if not moved.isdisjoint(line.operands):
            moved.add(line.index)
    return [program.lines[i] for i in sorted(moved - {place})]


def _precision(program: Program, place: int) -> float:
    """The machine precision of the coarsest numbers on the way to the output."""
    types = {line.value.dtype for line in (program.lines[place], *_after(program, place)) if line.value.dtype.kind == "f"}
    return max((float(np.finfo(kind).eps) for kind in types), default=float(np.finfo(float).eps))


def _output(program: Program, after: Sequence[Line], place: int, value: Array, run: Callable[..., Any]) -> Any:
    """The output for another value of one line."""
    new: dict[int, Any] = {place: value}
    for line in after:
        operands = [new[i] if i in new else program.lines[i].value for i in line.operands]
        new[line.index] = run(line, operands)
    return new.get(program.outputs[0], program.output.value)


def _real(line: Line, operands: Sequence[Any]) -> Any:
    assert line.rule is not None
    return line.rule.function(*operands, **(line.params or {}))


def _on_complex(line: Line, operands: Sequence[Any]) -> Any:
    assert line.rule is not None
    function = ANALYTIC.get(line.rule.function, line.rule.function)
    return function(*operands, **(line.params or {}))


# Where the package's own function compares or takes absolute values, the same mathematics for complex numbers.


def _sigmoid(z: Array) -> Array:
    e = np.exp(np.where(np.real(z) >= 0, -z, z))
    return np.where(np.real(z) >= 0, 1.0, e) / (1.0 + e)


def _softplus(z: Array) -> Array:
    return np.where(np.real(z) >= 0, z, 0.0) + np.log1p(np.exp(np.where(np.real(z) >= 0, -z, z)))


def _logsumexp(z: Array, axis: Any = None, keepdims: bool = False) -> Array:
    top = np.max(np.real(z), axis=axis, keepdims=True)
    total: Array = np.log(np.sum(np.exp(z - top), axis=axis, keepdims=True)) + top
    return total if keepdims else total.reshape(np.sum(np.real(z), axis=axis).shape)


def _log_softmax(z: Array, axis: Any = -1) -> Array:
    return z - _logsumexp(z, axis, True)


def _silu(z: Array) -> Any:
    return z * _sigmoid(z)


def _relu(z: Array) -> Array:
    return np.where(np.real(z) > 0, z, 0.0)


ANALYTIC: dict[Any, Callable[..., Any]] = {
    functions.sigmoid: _sigmoid,
    functions.softplus: _softplus,
    functions.logsumexp: _logsumexp,
    functions.log_softmax: _log_softmax,
    functions.softmax: lambda z, axis=-1: np.exp(_log_softmax(z, axis)),
    functions.silu: _silu,
    functions.relu: _relu,
    functions.leaky_relu: lambda z, slope=0.01: np.where(np.real(z) > 0, z, slope * z),
    functions.elu: lambda z, alpha=1.0: np.where(np.real(z) > 0, z, alpha * np.expm1(np.where(np.real(z) > 0, 0.0, z))),
    functions.l2_norm: lambda z, axis=None, keepdims=False: np.sqrt(np.sum(z * z, axis=axis, keepdims=keepdims)),
    np.logaddexp: lambda a, b: b + _softplus(a - b),
    np.absolute: lambda z: np.where(np.real(z) < 0, -z, z),
    np.maximum: lambda a, b: np.where(np.real(a) >= np.real(b), a, b),
    np.minimum: lambda a, b: np.where(np.real(a) <= np.real(b), a, b),
}
