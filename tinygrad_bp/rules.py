"""The table of derivatives: a line per argument, the textbook formula, under the claim that the kind makes."""

from __future__ import annotations

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.functions import as_matrix, as_operand, column, count, expand, inverse, row, rows, sum_to, swap
from tinygrad_bp.rule import bilinear, constant, general, linear, pointwise
from tinygrad_bp.tensor import cast, take

# -- arithmetic ----------------------------------------------------------------------------------------------------
pointwise(np.add, a=lambda g: g, b=lambda g: g)
pointwise(np.subtract, a=lambda g: g, b=lambda g: -g)
pointwise(np.multiply, a=lambda g, b: g * b, b=lambda g, a: g * a)
pointwise(np.divide, a=lambda g, b: g / b, b=lambda g, b, y: -g * y / b)
# a ** (b - (b != 0)) is a ** (b - 1), except that 0 * 0 ** -1 at b = 0 would not be a number;
# and 0 ** b does not depend on b > 0, although log(0) is infinite
pointwise(np.power, a=lambda g, a, b: g * b * a ** (b - (b != 0)), b=lambda g, a, y: g * y * np.log(a + (a == 0)))
pointwise(np.negative, x=lambda g: -g)
pointwise(np.positive, x=lambda g: g)

# -- elementary functions ------------------------------------------------------------------------------------------
pointwise(np.exp, x=lambda g, y: g * y)
pointwise(np.log, x=lambda g, x: g / x)
pointwise(np.sqrt, x=lambda g, y: g / (2 * y))
pointwise(np.square, x=lambda g, x: 2 * g * x)
pointwise(np.tanh, x=lambda g, y: g * (1 - y * y))
sigmoid = pointwise(functions.sigmoid, x=lambda g, y: g * y * (1 - y))

# -- products ------------------------------------------------------------------------------------------------------
bilinear(
    np.matmul,
    a=lambda g, a, b: as_matrix(g, a, b) @ swap(column(b)),
    b=lambda g, a, b: as_operand(swap(row(a)) @ as_matrix(g, a, b), b),
)
affine = general(
    functions.linear,
    x=lambda g, weight: g @ weight,
    weight=lambda g, x: rows(g).T @ rows(x),
    bias=lambda g, bias: sum_to(g, bias.shape),
)

# -- sums ----------------------------------------------------------------------------------------------------------
linear(np.sum, a=lambda g, a, *, axis=None, keepdims=False: expand(g, a, axis, keepdims))
linear(np.mean, a=lambda g, a, *, axis=None, keepdims=False: expand(g / count(a, axis), a, axis, keepdims))

# -- shapes --------------------------------------------------------------------------------------------------------
linear(np.reshape, a=lambda g, a, *, shape: np.reshape(g, a.shape))
linear(np.transpose, a=lambda g, *, axes=None: np.transpose(g, inverse(axes)))
linear(np.swapaxes, a=lambda g, *, axis1, axis2: np.swapaxes(g, axis1, axis2))
linear(np.expand_dims, a=lambda g, a, *, axis: np.reshape(g, a.shape))
linear(np.broadcast_to, array=lambda g, array, *, shape: sum_to(g, array.shape))

linear(cast, x=lambda g, *, dtype: g)  # the engine gives every gradient its argument's dtype

# -- parts ---------------------------------------------------------------------------------------------------------
scatter = linear(functions.scatter, values=lambda g, *, index: g[index], like=None)
linear(take, x=lambda g, x, *, index: scatter(g, x, index=index))

# -- no derivative: the result is a plain array ----------------------------------------------------------------------
constant(np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal)
constant(np.zeros_like, np.ones_like, np.shape, np.ndim, np.size, np.allclose, np.array_equal)
