"""Operators on functions: any shapes, both layouts, structures of arguments, nesting without confusion."""

import re
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor
from tinygrad_bp.errors import GraphError, ShapeError

X = np.array([0.5, -1.0, 2.0])
A = np.arange(6.0).reshape(2, 3) / 7 + 0.1


def differences(f, x, h=1e-6):
    """dy/dx in numerator layout, element by element."""
    columns = []
    for index in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[index] = h
        columns.append((np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * h))
    y_ndim = columns[0].ndim
    return np.moveaxis(np.array(columns).reshape((*x.shape, *columns[0].shape)), range(x.ndim), range(y_ndim, y_ndim + x.ndim))


FUNCTIONS = [
    (lambda x: np.tanh(A @ x), X),  # vector by vector
    (lambda w: np.tanh(w @ X), A),  # vector by matrix: three axes
    (lambda w: np.exp(w) @ w.T, A),  # matrix by matrix: four
    (lambda x: x**3, np.array(1.5)),  # scalar by scalar
    (lambda x: np.outer(x, x), np.array(1.5)),
    (lambda x: np.sum(x * x), A),  # scalar by matrix
]


@pytest.mark.parametrize(("f", "x"), FUNCTIONS)
def test_jacobian_in_both_layouts(f, x):
    numerator = tg.jacobian(f)(x)
    expected = differences(f, x)
    assert np.shape(numerator) == expected.shape
    np.testing.assert_allclose(numerator, expected, atol=1e-8)
    y_ndim = np.ndim(f(x))
    denominator = tg.jacobian(f, layout="denominator")(x)
    np.testing.assert_array_equal(denominator, np.moveaxis(numerator, range(y_ndim), range(-y_ndim, 0)) if y_ndim else numerator)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match=r'"numerator" \(y down, x across\)'):
        tg.jacobian(np.sin, layout="rows")


@pytest.mark.parametrize("f", [lambda x: np.sum(x**4) * x[0], lambda x: np.prod(np.sin(x)), lambda x: np.log(np.sum(np.exp(x)))])
def test_hessian_and_hvp(f):
    hessian = tg.hessian(f)(X)
    np.testing.assert_allclose(hessian, differences(tg.grad(f), X), atol=1e-7)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    v = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(tg.hvp(f, X, v), hessian @ v, rtol=1e-12)


def test_blocks_of_the_hessian():
    (aa, ab), (ba, bb) = tg.hessian(lambda a, b: np.sum(a * b * b), argnums=(0, 1))(X, X + 1)
    np.testing.assert_allclose(aa, np.zeros((3, 3)))
    np.testing.assert_allclose(ab, np.diag(2 * (X + 1)))
    np.testing.assert_allclose(ba, ab.T)
    np.testing.assert_allclose(bb, np.diag(2 * X))
    assert all(isinstance(block, np.ndarray) for block in (aa, ab, ba, bb))


def test_third_order_by_every_road():
    f = lambda x: np.sum(np.sin(x) * x)  # noqa: E731
    third = differences(tg.hessian(f), X)
    np.testing.assert_allclose(tg.jacobian(tg.hessian(f))(X), third, atol=1e-7)
    forward = tg.jacobian(lambda x: tg.jvp(tg.grad(f), (x,), (np.ones(3),))[1])(X)
    np.testing.assert_allclose(forward, third.sum(-1), atol=1e-7)
    reverse = tg.grad(lambda x: np.sum(tg.hvp(f, x, np.ones(3))))(X)
    np.testing.assert_allclose(reverse, third.sum((0, 1)), atol=1e-7)


def test_perturbations_are_not_confused():
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert tg.grad(lambda x: x * tg.jvp(lambda y: x * y, (2.0,), (1.0,))[1])(3.0) == 6.0
    assert tg.jvp(lambda x: x * tg.jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1] == 1.0


class Pair(NamedTuple):
    w: object
    b: object


@pytest.mark.parametrize(
    "make", [lambda w, b: {"w": w, "b": b}, lambda w, b: [w, b], lambda w, b: (w, b), Pair, lambda w, b: {"p": [(w,), {"q": b}]}]
)
def test_arguments_may_be_structures(make):
    def flat(p):
        values = p.values() if isinstance(p, dict) else p
        return [y for x in values for y in (flat(x) if isinstance(x, dict | list | tuple) else [x])]

    def f(p):
        w, b = flat(p)
        return np.sum((w @ X + b) ** 2)

    gradient = tg.grad(f)(make(A, 2.0))
    expected = tg.grad(lambda w, b: f(make(w, b)), argnums=(0, 1))(A, 2.0)
    assert type(gradient) is type(make(A, 2.0))
    for got, want in zip(flat(gradient), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    value, tangent = tg.jvp(f, (make(A, 2.0),), (make(np.ones_like(A), 0.0),))
    assert value == f(make(A, 2.0))
    np.testing.assert_allclose(tangent, np.sum(expected[0]))


def test_nested_lists_of_numbers_are_an_array():
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(x**2))([[1, 2], [3, 4]]), [[2.0, 4.0], [6.0, 8.0]])


def test_arrays_for_arrays_and_tensors_for_tensors():
    assert isinstance(tg.grad(np.sum)(X), np.ndarray)
    plain = tg.grad(np.sum)(Tensor(X))
    assert isinstance(plain, Tensor)
    assert not plain.requires_grad
    w = Tensor(2.0, requires_grad=True, name="w")
    closed = tg.grad(lambda x: x * x * w)(3.0)
    closed.backward()
    assert w.grad.item() == 6.0


def test_functions_that_do_not_depend_on_their_argument():
    np.testing.assert_array_equal(tg.grad(lambda x, y: y * 1.0)(X, Tensor(2.0)).numpy(), np.zeros(3))
    np.testing.assert_array_equal(tg.jacobian(lambda x, y: y * np.ones(2))(X, Tensor(1.0)), np.zeros((2, 3)))
    assert tg.jvp(lambda x: Tensor([1.0, 2.0]), (X,), (X,))[1].tolist() == [0.0, 0.0]


def test_what_is_refused():
    with pytest.raises(GraphError, match=r"returned shape \(3,\); a gradient is that of a scalar. Take np.sum, or use jacobian"):
        tg.grad(np.sin)(X)
    with pytest.raises(GraphError, match=r"returned float, not a Tensor: it does not depend"):
        tg.grad(lambda x: x.item())(1.0)
    with pytest.raises(TypeError, match="argnums=1 asks for an argument that a call with 1 does not have"):
        tg.grad(np.sum, argnums=1)(X)
    with pytest.raises(ShapeError, match=r"tangent has the shape of its argument, \(3,\); got \(2,\)"):
        tg.jvp(np.sin, (X,), (np.ones(2),))
    with pytest.raises(ShapeError, match="the arguments hold 2 arrays, and so must the tangents; they hold 1"):
        tg.jvp(lambda p: p["a"] * p["b"], ({"a": 1.0, "b": 2.0},), ({"a": 1.0},))
    with pytest.raises(ShapeError, match="so must the cotangent"):
        tg.vjp(np.sin, X)[1](np.ones(2))


@pytest.mark.parametrize("operator", [tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian])
@pytest.mark.parametrize("argnums", ["x", 1.0, None, (), (0, "x"), {0}])
def test_arguments_are_chosen_by_numbers(operator, argnums):
    with pytest.raises(TypeError, match=r"counted from 0: 0, or \(0, 2\); got " + re.escape(repr(argnums))):
        operator(np.sum, argnums)


@pytest.mark.parametrize("argnums", [range(2), [0, 1], (np.int64(0), np.int64(-1))], ids=str)
def test_numbers_of_arguments_come_in_any_sequence(argnums):
    assert tg.grad(lambda a, b: a * b, argnums)(2.0, 3.0) == (3.0, 2.0)


@pytest.mark.parametrize("operator", [tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian, partial(tg.hvp, x=X, v=X), tg.vjp])
def test_functions_are_differentiated_and_nothing_else(operator):
    with pytest.raises(TypeError, match="is a function; got 3"):
        operator(3)
    with pytest.raises(TypeError, match=r"got a Tensor. Write t.backward\(\) and x.grad, or tg.grad\(f\)\(x\)"):
        operator(np.sum(Tensor(X, requires_grad=True)))
    with pytest.raises(TypeError, match="is a function; got None"):
        tg.jvp(None, (X,), (X,))


def test_what_is_given_by_name_is_not_differentiated():
    with pytest.raises(TypeError, match=r"a call with 0 does not have\. They are counted from 0, and those that are given by name"):
        tg.grad(np.sum)(a=X)


def test_empty_results_and_arguments():
    assert tg.jacobian(lambda x: x[:0])(X).shape == (0, 3)
    assert tg.jacobian(np.sum)(np.zeros((0, 2))).shape == (0, 2)


def test_keyword_arguments_are_passed_through():
    assert tg.grad(lambda a, b=1.0: a * b)(2.0, b=3.0) == 3.0
    assert tg.value_and_grad(lambda a, b=1.0: a * b)(2.0, b=3.0) == (6.0, 3.0)
    np.testing.assert_array_equal(tg.jacobian(lambda x, n=1: x**n)(X, n=2), np.diag(2 * X))
    np.testing.assert_allclose(tg.hessian(lambda x, n=1: np.sum(x**n))(X, n=3), np.diag(6 * X))


def test_hvp_of_a_structure():
    product = tg.hvp(lambda p: np.sum(p["w"] ** 3) * p["b"], {"w": X, "b": 2.0}, {"w": np.ones(3), "b": 0.0})
    np.testing.assert_allclose(product["w"], 12 * X)
    np.testing.assert_allclose(product["b"], np.sum(3 * X**2))


def test_forward_mode_through_an_argument_without_a_derivative():
    value, tangent = tg.jvp(lambda x: np.copysign(np.ones(3), x), (X,), (np.ones(3),))
    np.testing.assert_array_equal(value, np.sign(X))
    np.testing.assert_array_equal(tangent, np.zeros(3))
