"""The table of derivatives: a line per argument, the textbook formula, under the claim that the kind makes."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np
from numpy import ndarray

from tinygrad_bp import functions
from tinygrad_bp.functions import (
    LN2,
    LN10,
    as_matrix,
    as_operand,
    cholesky_pullback,
    column,
    count,
    expand,
    gram,
    inverse,
    opposite,
    product,
    row,
    share,
    sum_to,
    swap,
    turned,
)
from tinygrad_bp.rule import RULES, Rule, bilinear, constant, general, linear, pointwise
from tinygrad_bp.tensor import cast, take

# -- arithmetic ----------------------------------------------------------------------------------------------------
pointwise(np.add, a=lambda g: g, b=lambda g: g)
pointwise(np.subtract, a=lambda g: g, b=lambda g: -g)
pointwise(np.multiply, a=lambda g, b: g * b, b=lambda g, a: g * a)
pointwise(np.divide, a=lambda g, b: g / b, b=lambda g, b, y: -g * y / b)
# a ** ((b != 0) * (b - 1)) is a ** (b - 1), except that 0 * 0 ** -1 at b = 0 would not be a number;
# and 0 ** b does not depend on b > 0, although log(0) is infinite
pointwise(np.power, a=lambda g, a, b: g * b * a ** ((b != 0) * (b - 1)), b=lambda g, a, y: g * y * np.log(a + (a == 0)))
pointwise(np.float_power, a=lambda g, a, b: g * b * a ** ((b != 0) * (b - 1)), b=lambda g, a, y: g * y * np.log(a + (a == 0)))
pointwise(np.remainder, a=lambda g: g, b=lambda g, a, b: -g * np.floor_divide(a, b))
pointwise(np.fmod, a=lambda g: g, b=lambda g, a, b, y: -g * np.rint((a - y) / b))
pointwise(np.negative, x=lambda g: -g)
pointwise(np.positive, x=lambda g: g)
pointwise(np.reciprocal, x=lambda g, y: -g * y * y)
pointwise(np.square, x=lambda g, x: 2 * g * x)
pointwise(np.sqrt, x=lambda g, y: g / (2 * y))
pointwise(np.cbrt, x=lambda g, y: g / (3 * y * y))
# the derivative at (0, 0) is 0, as that of a norm
pointwise(np.hypot, a=lambda g, a, y: g * a * (y != 0) / (y + (y == 0)), b=lambda g, b, y: g * b * (y != 0) / (y + (y == 0)))

# -- exponentials and logarithms -------------------------------------------------------------------------------------
pointwise(np.exp, x=lambda g, y: g * y)
pointwise(np.exp2, x=lambda g, y: g * y * LN2)
pointwise(np.expm1, x=lambda g, y: g * (y + 1))
pointwise(np.log, x=lambda g, x: g / x)
pointwise(np.log2, x=lambda g, x: g / (x * LN2))
pointwise(np.log10, x=lambda g, x: g / (x * LN10))
pointwise(np.log1p, x=lambda g, x: g / (1 + x))
pointwise(np.logaddexp, a=lambda g, a, y: g * np.exp(a - y), b=lambda g, b, y: g * np.exp(b - y))
pointwise(np.logaddexp2, a=lambda g, a, y: g * np.exp2(a - y), b=lambda g, b, y: g * np.exp2(b - y))

# -- trigonometric and hyperbolic functions --------------------------------------------------------------------------
pointwise(np.sin, x=lambda g, x: g * np.cos(x))
pointwise(np.cos, x=lambda g, x: -g * np.sin(x))
pointwise(np.tan, x=lambda g, y: g * (1 + y * y))
pointwise(np.arcsin, x=lambda g, x: g / np.sqrt(1 - x * x))
pointwise(np.arccos, x=lambda g, x: -g / np.sqrt(1 - x * x))
pointwise(np.arctan, x=lambda g, x: g / (1 + x * x))
pointwise(np.arctan2, a=lambda g, a, b: g * b / (a * a + b * b), b=lambda g, a, b: -g * a / (a * a + b * b))
pointwise(np.sinh, x=lambda g, x: g * np.cosh(x))
pointwise(np.cosh, x=lambda g, x: g * np.sinh(x))
pointwise(np.tanh, x=lambda g, y: g * (1 - y * y))
pointwise(np.arcsinh, x=lambda g, x: g / np.sqrt(x * x + 1))
pointwise(np.arccosh, x=lambda g, x: g / np.sqrt(x * x - 1))
pointwise(np.arctanh, x=lambda g, x: g / (1 - x * x))
pointwise(np.deg2rad, x=lambda g: g * (math.pi / 180))
pointwise(np.rad2deg, x=lambda g: g * (180 / math.pi))
pointwise(np.radians, x=lambda g: g * (math.pi / 180))
pointwise(np.degrees, x=lambda g: g * (180 / math.pi))
sinc_derivative: Any = pointwise(functions.sinc_derivative, x=lambda g, x, *, order: g * sinc_derivative(x, order=order + 1))
pointwise(np.sinc, x=lambda g, x: g * sinc_derivative(x, order=1))

# -- choices: at a tie of maximum or minimum each side gets half, at a kink the derivative is that of the flat side --
pointwise(np.absolute, x=lambda g, x: g * np.sign(x))
pointwise(np.fabs, x=lambda g, x: g * np.sign(x))
pointwise(np.copysign, a=lambda g, a, b: g * np.sign(a) * np.copysign(1.0, b), b=None)
pointwise(np.maximum, a=lambda g, a, b, y: g * (a == y) / (1 + (a == b)), b=lambda g, a, b, y: g * (b == y) / (1 + (a == b)))
pointwise(np.minimum, a=lambda g, a, b, y: g * (a == y) / (1 + (a == b)), b=lambda g, a, b, y: g * (b == y) / (1 + (a == b)))
pointwise(np.fmax, a=lambda g, a, b, y: g * (a == y) / (1 + (a == b)), b=lambda g, a, b, y: g * (b == y) / (1 + (a == b)))
pointwise(np.fmin, a=lambda g, a, b, y: g * (a == y) / (1 + (a == b)), b=lambda g, a, b, y: g * (b == y) / (1 + (a == b)))
pointwise(np.where, condition=None, a=lambda g, condition: np.where(condition, g, 0.0), b=lambda g, condition: np.where(condition, 0.0, g))
clamp = pointwise(
    functions.clamp,
    x=lambda g, x, low, high: g * ((x >= low) & (x <= high)),
    low=lambda g, x, low: g * (x < low),
    high=lambda g, x, high: g * (x > high),
)

# -- activations -----------------------------------------------------------------------------------------------------
sigmoid = pointwise(functions.sigmoid, x=lambda g, y: g * (y * (1 - y)))
softplus = pointwise(functions.softplus, x=lambda g, x: g * sigmoid(x))
relu = pointwise(functions.relu, x=lambda g, x: g * (x > 0))
leaky_relu = pointwise(functions.leaky_relu, x=lambda g, x, *, slope=0.01: np.where(x > 0, g, g * slope))
elu = pointwise(functions.elu, x=lambda g, x, y, *, alpha=1.0: np.where(x > 0, g, g * (y + alpha)))
erf = pointwise(functions.erf, x=lambda g, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x))
gelu = pointwise(
    functions.gelu,
    x=lambda g, x: g * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)),
)
silu = pointwise(functions.silu, x=lambda g, x, y: g * (sigmoid(x) + y * (1 - sigmoid(x))))
softmax = general(functions.softmax, x=lambda g, y, *, axis=-1: y * (g - np.sum(g * y, axis=axis, keepdims=True)))
log_softmax = general(functions.log_softmax, x=lambda g, y, *, axis=-1: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True))
logsumexp = general(
    functions.logsumexp,
    x=lambda g, x, y, *, axis=None, keepdims=False: expand(g, x, axis, keepdims) * np.exp(x - expand(y, x, axis, keepdims)),
)

cross_entropy = general(
    functions.cross_entropy,
    x=lambda g, x, target, *, axis=-1: expand(g, x, axis, False) * (softmax(x, axis=axis) - target),  # the target adds up to 1
    target=None,
)
half_squared_error = pointwise(
    functions.half_squared_error,
    target=lambda g, target, output: g * (target - output),
    output=lambda g, target, output: -g * (target - output),
)

half_sum_of_squares = general(
    functions.half_sum_of_squares,
    target=lambda g, target, output: g * (target - output),
    output=lambda g, target, output: -g * (target - output),
)

# -- products ------------------------------------------------------------------------------------------------------


def gradient_of_weight(t: Any, g: Any) -> Any:
    """The formula of ``weight`` below, with its result in the order in which the weight itself lies in memory.

    An update takes many times as long where one goes by rows and the other by columns.
    """
    x, weight, _ = t.many_arrays
    return gram(x, g).T if isinstance(weight, ndarray) and weight.flags.fnc else gram(g, x)


bilinear(
    np.matmul,
    a=lambda g, a, b: as_matrix(g, a, b) @ swap(column(b)),
    b=lambda g, a, b: as_operand(swap(row(a)) @ as_matrix(g, a, b), b),
)
affine = general(
    functions.linear,
    x=lambda g, weight: product(g, weight),  # noqa: PLW0108  (its parameters say what it reads)
    weight=lambda g, x: gram(g, x),  # noqa: PLW0108  (its parameters say what it reads)
    bias=lambda g, bias: sum_to(g, bias.shape),
)
RULES[affine].pulls = (RULES[affine].pulls[0], gradient_of_weight, RULES[affine].pulls[2])

contract: Any = bilinear(
    functions.contract,
    a=lambda g, b, *, spec: contract(g, b, spec=turned(spec, 0)),
    b=lambda g, a, *, spec: contract(g, a, spec=turned(spec, 1)),
)

# -- sums ----------------------------------------------------------------------------------------------------------
linear(np.sum, a=lambda g, a, *, axis=None, keepdims=False: expand(g, a, axis, keepdims))
linear(np.mean, a=lambda g, a, *, axis=None, keepdims=False: expand(g / count(a, axis), a, axis, keepdims))

cumulate: Any = linear(functions.cumulate, x=lambda g, *, axis: np.flip(cumulate(np.flip(g, axis), axis=axis), axis))
general(np.max, a=lambda g, a, y, *, axis=None, keepdims=False: share(g, a, y, axis, keepdims))
general(np.min, a=lambda g, a, y, *, axis=None, keepdims=False: share(g, a, y, axis, keepdims))
l2_norm = general(
    functions.l2_norm,
    x=lambda g, x, y, *, axis=None, keepdims=False: x * expand(g * (y != 0) / (y + (y == 0)), x, axis, keepdims),
)

# -- linear algebra; a stack of matrices is differentiated matrix by matrix --------------------------------------------
general(np.linalg.inv, a=lambda g, y: -(swap(y) @ g @ swap(y)))
solve: Any = general(
    functions.solve,
    a=lambda g, a, y: sum_to(-(solve(swap(a), g) @ swap(y)), a.shape),
    b=lambda g, a, b: sum_to(solve(swap(a), g), b.shape),
)
general(np.linalg.det, a=lambda g, a, y: (g * y)[..., None, None] * swap(np.linalg.inv(a)))
log_abs_det = general(functions.log_abs_det, a=lambda g, a: g[..., None, None] * swap(np.linalg.inv(a)))
general(np.linalg.cholesky, a=cholesky_pullback)

# -- shapes --------------------------------------------------------------------------------------------------------
linear(np.reshape, a=lambda g, a, *, shape: np.reshape(g, a.shape))
RULES[np.sum].run = functions.total
for ufunc, same in {np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.divide: operator.truediv}.items():
    RULES[ufunc].run = same  # five times as fast for single numbers
RULES[np.matmul].run = functions.product
RULES[np.reshape].run = lambda a, *, shape: a.reshape(shape)  # the method: CuPy's function calls the shape newshape, dask's wants a tuple
linear(np.transpose, a=lambda g, *, axes=None: np.transpose(g, inverse(axes)))
linear(np.swapaxes, a=lambda g, *, axis1, axis2: np.swapaxes(g, axis1, axis2))
linear(np.expand_dims, a=lambda g, a, *, axis: np.reshape(g, a.shape))
linear(np.broadcast_to, array=lambda g, array, *, shape: sum_to(g, array.shape))

linear(np.flip, m=lambda g, *, axis=None: np.flip(g, axis))
linear(np.roll, a=lambda g, *, shift, axis=None: np.roll(g, opposite(shift), axis))
pad_zeros = linear(
    functions.pad_zeros, x=lambda g, x, *, width: g[tuple(slice(w[0], w[0] + n) for w, n in zip(width, x.shape, strict=True))]
)
linear(cast, x=lambda g, *, dtype: g)  # the engine gives every gradient its argument's dtype

# -- parts ---------------------------------------------------------------------------------------------------------
scatter = linear(functions.scatter, values=lambda g, *, index: g[index], like=None)
linear(take, x=lambda g, x, *, index: scatter(g, x, index=index))


def piece(i: int) -> Any:
    """The formula of the i-th operand of ``join``."""
    return lambda g, *, axis, bounds: g[(slice(None),) * axis + (slice(bounds[i], bounds[i + 1]),)]


@functools.cache
def join(n: int) -> Rule:
    """The rule for joining ``n`` arrays: a member of a family, one for each number of operands."""
    return Rule("linear", functions.join, {f"x{i}": piece(i) for i in range(n)})


# -- no derivative: the result is a plain array ----------------------------------------------------------------------
constant(np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal)
constant(np.logical_and, np.logical_or, np.logical_xor, np.logical_not, np.isnan, np.isinf, np.isfinite, np.signbit)
constant(np.sign, np.floor, np.ceil, np.trunc, np.rint, np.round, np.around, np.fix, np.floor_divide, np.spacing)
constant(np.zeros_like, np.ones_like, np.empty_like, np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj)
constant(np.allclose, np.isclose, np.array_equal, np.array_equiv, np.all, np.any, np.shares_memory, np.may_share_memory)
constant(np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort, np.argpartition, np.lexsort, np.searchsorted, np.digitize)
constant(np.nonzero, np.flatnonzero, np.argwhere, np.count_nonzero, np.isin, np.array2string)
