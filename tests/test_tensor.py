"""What a tensor is, converts to, refuses, and how NumPy's doors lead into it."""

from __future__ import annotations

import array
import collections
import copy
import fractions
import math
import operator
import pickle
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tests.fake_array import FakeArray
from tinygrad_bp import Tensor, grad
from tinygrad_bp.errors import ConversionError, DtypeError, GraphError, NoRuleError, RuleError, ShapeError


def leaf(x: Any, **options: Any) -> Tensor:
    return Tensor(x, requires_grad=True, **options)


# -- making one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1, np.float64, ()),
        (2.5, np.float64, ()),
        (True, np.float64, ()),
        ([1, 2], np.float64, (2,)),
        ([[1.0, 2.0]], np.float64, (1, 2)),
        ((1.0, 2.0), np.float64, (2,)),
        (np.float32(1), np.float32, ()),
        (np.ones(2, np.float32), np.float32, (2,)),
        (np.ones(2, np.float16), np.float16, (2,)),
        ([], np.float64, (0,)),
        (np.ones((2, 0)), np.float64, (2, 0)),
        (np.ones(2, np.longdouble), np.longdouble, (2,)),
        (range(3), np.float64, (3,)),
        (np.ones(2, ">f8"), np.dtype(">f8"), (2,)),
    ],
    ids=str,
)
def test_data_of_every_kind(data: Any, dtype: Any, shape: Any) -> None:
    t = leaf(data)
    assert (t.dtype, t.shape, t.ndim, t.size) == (dtype, shape, len(shape), math.prod(shape))
    assert t.is_leaf
    assert t.requires_grad
    assert t.grad is None
    np.sum(t * t).backward()
    assert t.grad.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(t.grad, 2 * t.numpy())


@pytest.mark.parametrize(
    "data", [1j, "abc", None, {"a": 1}, [1j], object(), np.array(["a"]), np.array([None]), np.datetime64("2020-01-01")], ids=repr
)
def test_data_without_derivative_is_refused(data: Any) -> None:
    with pytest.raises(DtypeError, match="a tensor holds real numbers; this data has dtype"):
        Tensor(data)


@pytest.mark.parametrize("data", [np.arange(3), np.int64(3), np.array([True])], ids=repr)
def test_integer_arrays_are_data_but_have_no_gradient(data: Any) -> None:
    assert Tensor(data).dtype == data.dtype
    with pytest.raises(
        DtypeError, match=r"only floating-point tensors have gradients; this one is .*Write Tensor\(x, dtype=float, requires_grad=True\)"
    ):
        leaf(data)
    assert leaf(data, dtype=float).dtype == np.float64


def test_data_is_copied_and_not_shared() -> None:
    a = np.ones(2)
    for t in (Tensor(a), Tensor(a).detach(), Tensor(Tensor(a))):
        assert not np.shares_memory(t.raw, a)
    d = leaf([1.0, 2.0])
    assert not np.shares_memory(d.detach().raw, d.raw)
    assert not np.shares_memory(d.numpy(), d.raw)


# -- operands ----------------------------------------------------------------------------------------------------------

A = np.array([[1.0, 2.0], [3.0, 4.0]])
OTHERS = [
    2,
    2.5,
    True,
    np.float64(2.5),
    np.float32(2.5),
    np.int64(3),
    np.array(2.0),
    A,
    A.astype(np.float32),
    np.array([[1, 2], [3, 4]]),
    [1.0, 2.0],
    (1, 2),
    Tensor(A),
]
OPERATORS = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a**b]


@pytest.mark.parametrize("other", OTHERS, ids=lambda x: f"{type(x).__name__} {np.shape(x)} {np.asarray(x).dtype}")
@pytest.mark.parametrize("operator", OPERATORS, ids=["add", "subtract", "multiply", "divide", "power"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operands_of_every_kind_on_both_sides(other: Any, operator: Any, dtype: Any) -> None:
    a, plain = (A + 0.5).astype(dtype), np.asarray(other) if isinstance(other, list | tuple | Tensor) else other
    for f in (operator, lambda x, y: operator(y, x)):
        t = leaf(a)
        y, expected = f(t, other), f(a, plain)
        assert isinstance(y, Tensor)
        np.testing.assert_array_equal(y.numpy(), expected)
        assert y.dtype == np.result_type(a, plain)  # NumPy 2.1 takes a ** np.array(2.0) for a ** 2.0
        np.sum(y).backward()
        assert t.grad.dtype == dtype
        h = 1e-6
        exact, wide = np.asarray(plain, float) if not np.isscalar(plain) else float(plain), a.astype(float)
        np.testing.assert_allclose(t.grad, (f(wide + h, exact) - f(wide - h, exact)) / (2 * h), rtol=2e-5)


def test_matmul_on_both_sides() -> None:
    t = leaf([1.0, 2.0])
    for y, expected in [(A @ t, A @ [1.0, 2.0]), (t @ A, [1.0, 2.0] @ A), (A.tolist() @ t, A @ [1.0, 2.0]), (t @ [3.0, 4.0], 11.0)]:
        np.testing.assert_array_equal(y.numpy(), expected)
    with pytest.raises(
        ShapeError,
        match=r"matmul\(x1 of shape \(2,\), x2 of shape \(3,\)\) cannot be computed|matmul\(a of shape \(2,\), b of shape \(3,\)\)",
    ):
        _ = t @ np.ones(3)


def test_divisions_that_numpy_has_and_we_do_not() -> None:
    for run in (lambda t: divmod(t, 2), lambda t: ~t, round):
        with pytest.raises(TypeError):
            run(leaf(1.5))


@pytest.mark.parametrize(
    ("other", "error", "said"),
    [
        ("a", TypeError, r"add\(a of shape \(2, 2\), b 'a'\) cannot be computed"),
        (None, TypeError, r"add\(a of shape \(2, 2\), b None\) cannot be computed"),
        (1j, DtypeError, "the result of add is complex128, which has no derivative. Keep to real floating-point numbers"),
        (__import__("fractions").Fraction(1, 2), DtypeError, "the result of add is object"),
        (np.ones(3), ShapeError, r"add\(a of shape \(2, 2\), b of shape \(3,\)\) cannot be computed: operands could not be broadcast"),
        ([leaf(1.0), leaf(2.0)], ConversionError, "would silently lose its graph"),
    ],
    ids=repr,
)
def test_operands_that_do_not_fit_are_explained(other: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        _ = leaf(A) + other


def test_results_that_are_not_real_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"the result of cast is int64, which has no derivative.*or compute on t.detach\(\)"):
        leaf(A).astype(np.int64)
    assert leaf(A).detach().astype(np.int64).dtype == np.int64
    with pytest.raises(DtypeError, match="complex128"):
        Tensor(A) * 1j
    with tg.no_grad():
        assert leaf(A).astype(int).dtype == int


def test_float32_survives_a_network() -> None:
    x, w = leaf(A.astype(np.float32)), leaf(A.astype(np.float32))
    y = np.mean(np.square(tg.sigmoid(x @ w.T + 0.5) - 0.5)) / 2
    y.backward()
    assert {t.dtype for t in (y, x.grad, w.grad)} == {np.dtype(np.float32)}
    wide = leaf(A.astype(np.float32)).astype(np.float64)
    np.sum(np.exp(wide)).backward()
    assert wide.inputs[0].grad.dtype == np.float32


# -- indexing and shapes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        np.int64(1),
        slice(1, None),
        slice(None, None, -2),
        ...,
        None,
        (None, 0),
        (..., 1),
        (slice(None), None, 0),
        np.array([0, 1, 1, 0, 1]),
        [1, 1],
        np.array([[0, 1], [1, 1]]),
        A > 1.5,
        (np.array([0, 1, 0, 0]), np.array([1, 1, 1, 1])),
        (np.array([1, 1]), slice(None)),
        (slice(None), [0, 0, 1]),
        Tensor([0, 0], dtype=int),
        (Tensor(1, dtype=int), 0),
        (1, 1),
        (),
        np.array([True, False]),
        True,
        (np.newaxis, ..., np.newaxis),
        [],
        [[0], [1]],
        (Tensor(A) > 2),
    ],
    ids=repr,
)
def test_indexing_of_every_kind(index: Any) -> None:
    t = leaf(A)
    bare = tuple(getattr(i, "raw", i) for i in index) if isinstance(index, tuple) else getattr(index, "raw", index)
    bare = np.array(bare, int) if isinstance(index, list) and not index else bare
    y = t[index]
    np.testing.assert_array_equal(y.numpy(), A[bare])
    weights = np.random.default_rng(0).standard_normal(A[bare].shape)
    expected = np.zeros((2, 2))
    np.add.at(expected, bare, weights)
    np.sum(np.square(y) * weights).backward()
    np.testing.assert_allclose(t.grad, 2 * A * expected, rtol=1e-14)
    slope = grad(lambda x: np.sum(x[index] ** 3 * weights))
    np.testing.assert_allclose(grad(lambda x: np.sum(slope(x) * A))(A), 6 * A * expected * A, rtol=1e-14)


def test_indexing_errors() -> None:
    with pytest.raises(IndexError, match=r"take\(x of shape \(2, 2\), index=5\) cannot be computed: index 5 is out of bounds"):
        leaf(A)[5]
    with pytest.raises(IndexError, match="only integers, slices"):
        leaf(A)[1.5]
    with pytest.raises(TypeError, match=r"a tensor without dimensions has no len\(\)"):
        len(leaf(1.0))
    with pytest.raises(TypeError, match="without dimensions"):
        iter(leaf(1.0))


def test_iteration_and_length() -> None:
    t = leaf(A)
    rows = list(t)
    assert len(t) == len(rows) == 2
    np.sum(rows[1] * 3).backward()
    np.testing.assert_array_equal(t.grad, [[0, 0], [3, 3]])
    a, b = leaf([1.0, 2.0])
    assert (a.item(), b.item()) == (1.0, 2.0)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, -2, (0, 1), (1, 0), (-1,), (), np.int64(1)], ids=repr)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("reduce", [np.sum, np.mean])
def test_reductions_as_function_and_method(axis: Any, keepdims: bool, reduce: Any) -> None:
    t = leaf(A)
    y = reduce(t, axis=axis, keepdims=keepdims)
    method = getattr(t, reduce.__name__)(axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(y.numpy(), reduce(A, axis=axis, keepdims=keepdims))
    np.testing.assert_array_equal(method.numpy(), y.numpy())
    np.sum(y * y + method * method).backward()
    r, n = reduce(A, axis=axis, keepdims=True), 1 if reduce is np.sum else A.size / y.size
    np.testing.assert_allclose(t.grad, np.broadcast_to(4 * r / n, (2, 2)))


@pytest.mark.parametrize(
    ("run", "shape"),
    [
        (lambda t: t.reshape(-1), (6,)),
        (lambda t: t.reshape(3, -1), (3, 2)),
        (lambda t: t.reshape((1, 6)), (1, 6)),
        (lambda t: np.reshape(t, (3, 2)), (3, 2)),
        (lambda t: np.reshape(t, shape=(3, 2)), (3, 2)),
        (lambda t: t.T, (3, 2)),
        (lambda t: t.transpose(), (3, 2)),
        (lambda t: t.transpose(1, 0), (3, 2)),
        (lambda t: t.transpose((-1, -2)), (3, 2)),
        (lambda t: np.transpose(t, [1, 0]), (3, 2)),
        (lambda t: np.transpose(t, axes=(1, 0)), (3, 2)),
        (lambda t: t.transpose(None), (3, 2)),
        (lambda t: np.swapaxes(t, 0, -1), (3, 2)),
        (lambda t: np.expand_dims(t, (0, -1)), (1, 2, 3, 1)),
        (lambda t: np.broadcast_to(t, (2, 2, 3)), (2, 2, 3)),
        (lambda t: np.broadcast_to(t, shape=(1, 2, 3)), (1, 2, 3)),
    ],
    ids=range(16),
)
def test_shapes(run: Any, shape: Any) -> None:
    a = np.arange(6.0).reshape(2, 3)
    t = leaf(a)
    y = run(t)
    assert y.shape == shape
    np.testing.assert_array_equal(y.numpy(), run(a))
    weights = np.random.default_rng(0).standard_normal(shape)
    np.sum(y * weights).backward()
    for i in np.ndindex(2, 3):
        e = np.zeros((2, 3))
        e[i] = 1
        assert t.grad[i].item() == pytest.approx(np.sum(run(e) * weights), abs=1e-14)


# -- NumPy's doors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda t: np.sum(t, dtype=np.float32), "the rule of sum does not cover the option dtype="),
        (lambda t: np.sum(t, where=A > 1), "does not cover the option where="),
        (lambda t: np.sum(t, initial=3.0), "does not cover the option initial=3.0; leave it out"),
        (lambda t: np.exp(t, where=A > 1), "does not cover the option where="),
        (lambda t: np.add(t, 1.0, dtype=np.float32), "does not cover the option dtype="),
        (lambda t: np.reshape(t, -1, order="F"), "does not cover the option order='F'"),
        (np.hypot.reduce, "np.hypot.reduce has no derivative rule"),
        (np.hypot.accumulate, "np.hypot.accumulate has no derivative rule"),
        (np.frexp, "np.frexp has no derivative rule, so the graph would be lost. Declare one, for instance"),
        (np.unwrap, r"tg.general\(np.unwrap, x=lambda g, x: g \* ...\), or compute on t.detach\(\)"),
        (lambda t: np.unwrap([t, t]), "no derivative rule|would silently lose its graph"),
    ],
    ids=range(11),
)
def test_functions_and_options_without_a_rule_say_so(run: Any, said: str) -> None:
    with pytest.raises((NoRuleError, ConversionError), match=said):
        run(leaf(A))


def test_functions_without_a_rule_run_on_untracked_tensors() -> None:
    t = Tensor(A)
    np.testing.assert_array_equal(np.unwrap(t), np.unwrap(A))
    np.testing.assert_array_equal(np.add.reduce(t), A.sum(0))
    np.testing.assert_array_equal(np.concatenate([t, A]), np.concatenate([A, A]))
    np.testing.assert_array_equal(np.linalg.norm(t), np.linalg.norm(A))


def test_default_options_may_be_spelled_out() -> None:
    t = leaf(A)
    assert np.sum(t, None, None).item() == 10.0
    assert np.sum(a=t, axis=0).shape == (2,)
    assert np.reshape(t, (4,), order="C").shape == (4,)
    assert np.mean(t, 1, keepdims=True).shape == (2, 1)


def test_comparisons_give_plain_arrays() -> None:
    t = leaf(A)
    for y in (t > 2, t >= A, 2 < t, t == t, t != A, A < t, np.greater(t, 2), np.equal(t, t), t < [2, 3], np.zeros_like(t), np.ones_like(t)):  # noqa: SIM300
        assert isinstance(y, np.ndarray)
    assert np.shape(t) == (2, 2)
    assert np.ndim(t) == 2
    assert np.size(t) == 4
    assert np.allclose(t, A)
    assert np.array_equal(t, t)


# -- out of the graph --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (np.asarray, r"numpy.asarray\(\) of it would silently lose its graph. Write t.numpy\(\) for a copy of the values"),
        (lambda t: np.array([t, t]), "np.stack"),
        (np.array, r"t.numpy\(\)"),
        (float, r"float\(\) of it would silently lose its graph. Write t.item\(\)"),
        (int, r"int\(\) of it .* Write int\(t.item\(\)\)"),
        (math.exp, r"Write t.item\(\)"),
        (Tensor, r"Tensor\(\) of it .* Write t.detach\(\)"),
        (lambda t: Tensor([t, t]), r"a list of tracked tensors would lose their graph. Write np.stack\(list\)"),
        (lambda t: np.add(np.ones(1), [t]), "would silently lose its graph"),
    ],
    ids=range(9),
)
def test_a_tracked_tensor_refuses_silent_conversion(run: Any, said: str) -> None:
    for t in (leaf(0.5, name="w"), leaf(0.5, name="w") * 2):
        with pytest.raises(ConversionError, match=said):
            run(t)
    with pytest.raises(ConversionError, match="tensor 'w' requires a gradient, and"):
        float(leaf(0.5, name="w"))
    with pytest.raises((ConversionError, ValueError)) as caught:
        np.zeros(2)[0] = leaf(0.5)
    assert isinstance(caught.value.__cause__ or caught.value, ConversionError)


def test_an_untracked_tensor_converts() -> None:
    t = Tensor(2.0)
    assert (float(t), int(t), math.exp(t), t.item()) == (2.0, 2, math.exp(2), 2.0)
    np.testing.assert_array_equal(np.asarray(Tensor(A)), A)
    np.testing.assert_array_equal(np.array([Tensor(A), Tensor(A)]), [A, A])
    assert np.asarray(Tensor(A), np.float32).dtype == np.float32
    assert np.array(Tensor(A), copy=True).flags.writeable
    assert not np.asarray(Tensor(A)).flags.writeable
    assert [10, 20][Tensor(1)] == 20
    with pytest.raises(TypeError):
        [10, 20][Tensor(1.0)]
    leaf(A).sum().backward()


def test_truth_values() -> None:
    assert leaf(1.0)
    assert not leaf(0.0)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(leaf([1.0, 2.0]))


def test_texts() -> None:
    t = leaf([1.0, 2.0], name="w")
    assert repr(t) == "Tensor([1., 2.], name='w', requires_grad=True)"
    assert repr(Tensor(2.0)) == "Tensor(2.)"
    assert repr(leaf(2.0) * 2) == "Tensor(4., requires_grad=True)"
    assert f"{leaf(2.0):.3f}" == "2.000"
    assert f"{Tensor(2.0)}" == "Tensor(2.)"
    assert "FakeArray" in repr(Tensor(FakeArray(A)))
    with pytest.raises(ValueError, match="size 1"):
        f"{t:.3f}"


def test_names() -> None:
    w = leaf(A).named("W1", "w1 w2 w3 w4")
    assert (w.name, w.name.elements) == ("W1", ("w1", "w2", "w3", "w4"))
    with pytest.raises(ShapeError, match="'W' has 4 elements; got 1 names for them"):
        leaf(A).named("W", "w1")
    np.sum(w).backward()
    assert w.grad.name == "grad_W1"
    assert pickle.loads(pickle.dumps(w)).name.elements == ("w1", "w2", "w3", "w4")


def test_requires_grad_can_be_switched_on_leaves() -> None:
    t = Tensor(A)
    assert t.requires_grad_() is t
    y = t * 2
    with pytest.raises(GraphError, match=r"is the result of multiply; write t.detach\(\) to cut it off its graph"):
        y.requires_grad = False
    t.requires_grad = False
    assert not (t * 2).requires_grad


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_of_a_leaf_is_a_leaf_of_its_own(duplicate: Any) -> None:
    w = leaf(A.astype(np.float32), name="w")
    np.sum(w * 3).backward()
    c = duplicate(w)
    assert (c.name, c.requires_grad, c.dtype, c.is_leaf) == ("w", True, np.float32, True)
    assert c.serial != w.serial
    np.testing.assert_array_equal(c.numpy(), A)
    np.testing.assert_array_equal(c.grad, w.grad)
    c.data[...] = 0.0
    c.grad.data[...] = 0.0
    np.testing.assert_array_equal(w.numpy(), A)
    np.testing.assert_array_equal(w.grad, np.full((2, 2), 3.0))
    c, w = duplicate(leaf(2.0)), leaf(2.0)
    (3 * c + 5 * w).backward()
    assert (c.grad.item(), w.grad.item()) == (3.0, 5.0)
    untracked = duplicate(Tensor(A))
    assert not untracked.requires_grad
    assert untracked.grad is None


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_copy_of_a_result_is_refused(duplicate: Any) -> None:
    with pytest.raises(
        GraphError, match=r"is the result of multiply: a copy would not belong to its graph\. Write t\.detach\(\) or t\.numpy\(\)"
    ):
        duplicate(leaf(A) * 2)


def test_deepcopy_keeps_what_is_shared_shared() -> None:
    w = leaf(2.0)
    a, b = copy.deepcopy([w, w])
    assert a is b
    assert a is not w


def test_tensors_hash_by_identity() -> None:
    a, b = leaf(1.0), leaf(1.0)
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1


# -- arrays of other libraries -----------------------------------------------------------------------------------------


def test_a_training_step_on_fake_arrays_equals_numpy() -> None:
    rng = np.random.default_rng(1)
    host = [rng.standard_normal(s) for s in [(4, 3), (5, 3), (5,), (2, 5), (4, 2)]]

    def step(x: Any, w1: Any, b1: Any, w2: Any, t: Any) -> list[Any]:
        w1, b1, w2 = leaf(w1, name="w1"), leaf(b1), leaf(w2)
        loss = np.sum(np.square(tg.sigmoid(np.tanh(x @ w1.T + b1) @ w2.T) - t)) / 2 + np.mean(w1[1:] ** 2)
        loss.backward()
        return [loss.raw, *[w.grad.raw for w in (w1, b1, w2)]]

    far = step(*map(FakeArray, host))
    for a, b in zip(step(*host), far, strict=True):
        assert isinstance(b, FakeArray)
        np.testing.assert_allclose(b.host, a, rtol=1e-15)
    second = grad(lambda x: np.sum(grad(lambda x: np.sum(np.exp(x) * x))(x) * x))
    np.testing.assert_allclose(second(FakeArray(host[2])).host, second(host[2]), rtol=1e-15)


def test_the_fake_array_does_refuse() -> None:
    for run in (
        np.asarray,
        lambda a: a + np.ones(2),
        lambda a: np.ones(2) * a,
        lambda a: np.matmul(a, np.ones(2)),
        np.array,
        lambda a: np.where(a, np.ones(2), 1),
    ):
        with pytest.raises(TypeError, match="FakeArray"):
            run(FakeArray([1.0, 2.0]))
    with pytest.raises(TypeError, match="FakeArray met"):
        _ = leaf(FakeArray([1.0, 2.0])) * np.ones(2)
    assert isinstance((FakeArray([1.0]) * leaf(FakeArray([1.0]))).raw, FakeArray)


def test_masked_arrays_missing_methods_and_missing_brackets_are_refused_with_the_remedy() -> None:
    masked = np.ma.array([1.0, 2.0], mask=[0, 1])
    for run in (lambda: Tensor(masked), lambda: leaf([1.0, 2.0]) * masked):
        with pytest.raises(DtypeError, match=r"lose its mask\. Write a\.filled\(0\.0\)"):
            run()
    remedy = r"; write np\.tanh\(t\)" if sys.version_info >= (3, 12) else ""
    with pytest.raises(AttributeError, match=f"has no attribute 'tanh'{remedy}"):
        leaf([1.0]).tanh()
    with pytest.raises(TypeError, match=r"write @tg\.no_grad\(\), with brackets"):

        @tg.no_grad
        def f() -> None: ...

    with pytest.raises(NoRuleError, match=r"np\.linalg\.svd has no derivative rule.*tg\.general\(np\.linalg\.svd"):
        np.linalg.svd(leaf([[1.0]]))


@pytest.mark.parametrize(
    ("method", "args"),
    [("max", (0,)), ("min", ()), ("prod", ()), ("var", (1,)), ("std", ()), ("cumsum", (1,)), ("cumprod", (0,)), ("clip", (1.0, 2.0)),
     ("dot", (np.ones(3),)), ("take", ([0, 0], 1)), ("ravel", ()), ("flatten", ()), ("squeeze", ()), ("swapaxes", (0, 1)), ("repeat", (2,)),
     ("diagonal", ()), ("trace", ()), ("argmax", (0,)), ("argmin", ()), ("argsort", ()), ("round", (1,)), ("all", ()), ("any", (1,))],
)  # fmt: skip
def test_methods_are_those_of_arrays(method: str, args: Any) -> None:
    values = np.random.default_rng(0).normal(size=(2, 3)) + 1
    result = getattr(leaf(values), method)(*args)
    np.testing.assert_allclose(result.raw if isinstance(result, Tensor) else result, getattr(values, method)(*args), rtol=1e-15)
    if isinstance(result, Tensor):
        result.sum().backward()


def test_a_floor_division_has_no_derivative() -> None:
    quotient = leaf([5.0, 7.0]) // 2
    assert isinstance(quotient, np.ndarray)
    np.testing.assert_array_equal(quotient, [2.0, 3.0])


# -- what stands beside a tensor ---------------------------------------------------------------------------------------------


class Labelled:
    """Like a pandas Series: it takes part in ufuncs, and would align by its labels."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        return Labelled(self.values[::-1])


class Scales:
    """A class that multiplies arrays in its own way, and tells NumPy to keep out."""

    __array_ufunc__ = None

    def __rmul__(self, other: Any) -> Any:
        return other * 1000


class Own(np.ndarray):
    pass


SQUARE = np.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv, np.multiply, np.maximum])
@pytest.mark.parametrize(
    "make",
    [
        np.asmatrix,
        np.ndarray.tolist,
        lambda a: tuple(map(tuple, a.tolist())),
        Labelled,
        lambda a: a.view(type("Own", (np.ndarray,), {})),
        memoryview,
    ],
    ids=["matrix", "list", "tuple", "labelled", "subclass", "memoryview"],
)
def test_every_operand_is_an_array_of_numpys(make: Any, operation: Any, tracked: bool) -> None:
    """A class of its own would take * for a product of matrices, or align by labels, and the gradient would not."""
    x = Tensor(SQUARE, requires_grad=tracked)
    y = operation(x, make(SQUARE + 1))
    assert type(y.raw) is np.ndarray
    np.testing.assert_array_equal(y.raw, operation(SQUARE, SQUARE + 1))


def test_lists_beside_integers_are_not_repeated() -> None:
    np.testing.assert_array_equal((Tensor(3) * [1, 2]).numpy(), [3, 6])
    np.testing.assert_array_equal(((1, 2) * Tensor(3)).numpy(), [3, 6])


@pytest.mark.parametrize("other", [Scales(), {1.0}, "ab", fractions.Fraction(1, 2), 1j, object()], ids=repr)
def test_what_is_no_array_of_numbers_is_refused(other: Any) -> None:
    with pytest.raises(TypeError):
        Tensor([1.0, 2.0], requires_grad=True) * other


@pytest.mark.parametrize(
    "make", [lambda: array.array("d", [3, 4]), lambda: collections.deque([3.0, 4.0]), lambda: memoryview(array.array("d", [3, 4]))]
)
def test_constants_of_any_class_are_copied(make: Any) -> None:
    x, c = Tensor([1.0, 2.0], requires_grad=True), make()
    loss = np.sum(x * c)
    c[0] = 100.0
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 4])


def test_linear_algebra_raises_numpys_errors() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="Singular") as caught:
        np.linalg.inv(Tensor(np.zeros((2, 2)), requires_grad=True))
    assert caught.value.__notes__ == ["inv(a of shape (2, 2)) cannot be computed."]
    with pytest.raises(np.exceptions.AxisError):
        np.sum(Tensor([1.0], requires_grad=True), axis=3)


def test_floor_division_from_the_right() -> None:
    np.testing.assert_array_equal(5 // Tensor([2.0, 3.0]), [2, 1])


def test_a_definition_does_not_stand_behind_a_rule_unseen() -> None:
    with pytest.raises(RuleError, match=r"sinh has a rule, which would be used instead. Replace it: tg.pointwise\(sinh, ...\)"):
        tg.composed(np.sinh)(lambda x: (np.exp(x) - np.exp(-x)) / 2)
    with pytest.raises(RuleError, match="a definition is a Python function"):
        tg.composed(np.i0)(np.exp)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(TypeError, match=r"where takes \(condition, (x, y|a, b)\).*, without (x and y|a and b)"):
        np.where(Tensor([1.0, 0.0], requires_grad=True))
