"""Compiled programs do what the eager engine does: for every rule, for random programs, for whole training runs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tests import ladder
from tests.test_hypothesis import LEAVES, STEPS, program, random_leaves
from tinygrad_bp import Tensor, grad, nn, optim, value_and_grad
from tinygrad_bp.rule import RULES, Rule
from tinygrad_bp.tensor import record

CASES = list(ladder.cases())


def equal(found: Any, expected: Any, rtol: float = 1e-13) -> None:
    """The same numbers to rounding, in arrays of the same shape and dtype."""
    assert np.shape(found) == np.shape(expected)
    assert np.result_type(found) == np.result_type(expected)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * float(np.max(np.abs(expected), initial=1.0)))


def weighted(rule: Rule, params: dict[str, Any], arrays: list[Any]) -> tuple[Any, tuple[int, ...]]:
    """A scalar function of a rule's arguments, and which of them it is differentiated by."""
    shape = np.shape(rule.function(*arrays, **params))
    weights = np.random.default_rng(1).standard_normal(shape).astype(arrays[0].dtype)

    def f(*inputs: Any) -> Any:
        return np.sum(record(rule, inputs, params or None) * weights)

    return f, tuple(ladder.differentiated(rule))


@pytest.mark.parametrize(("function", "shapes", "params"), CASES, ids=ladder.case_id)
def test_every_rule_compiled_equals_eager(function: Any, shapes: Any, params: Any) -> None:
    rule = RULES[function]
    last = [call for call in CASES if call[0] is function][-1]
    for dtype in [np.float64, np.float32] if (function, shapes, params) is last or params is last[2] else [np.float64]:
        check_rule(rule, function, shapes, params, dtype)


def check_rule(rule: Rule, function: Any, shapes: Any, params: Any, dtype: Any) -> None:
    first, second = ([a.astype(dtype) for a in ladder.SAMPLES[function].arrays(shapes, seed)] for seed in (0, 5))
    f, argnums = weighted(rule, params, first)
    compiled, eager = tg.compile(f, argnums, dialect="matrix"), value_and_grad(f, argnums)
    for arrays in (first, second, first):  # the recorded run itself, and others by the same program
        before = [a.copy() for a in arrays]
        value, gradients = compiled(*arrays)
        expected, wanted = eager(*arrays)
        rtol = 1e-12 if dtype == np.float64 else 1e-5
        equal(value, expected, rtol)
        for g, e in zip(gradients, wanted, strict=True):
            equal(g, e, rtol)
        for a, b in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, b)
    assert compiled.recorded == 1


@given(STEPS, LEAVES, st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_random_programs_compiled_equal_eager(steps: list[Any], shapes: list[Any], seed: int) -> None:
    f, places = program(steps), tuple(range(len(shapes)))
    compiled, eager = tg.compile(f, places, dialect="matrix"), value_and_grad(f, places)
    for s in (seed, seed + 1):
        xs = random_leaves(shapes, s)
        value, gradients = compiled(*xs)
        expected, wanted = eager(*xs)
        equal(value, expected)
        for g, e in zip(gradients, wanted, strict=True):
            equal(g, e)
    assert compiled.recorded == 1


@given(STEPS, LEAVES, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_second_derivatives_of_random_programs(steps: list[Any], shapes: list[Any], seed: int) -> None:
    f, places = program(steps), tuple(range(len(shapes)))

    def slope(*xs: Any) -> Any:
        return sum(np.sum(np.tanh(g)) for g in grad(f, places)(*xs))

    compiled, eager = tg.compile(slope, places, dialect="matrix"), value_and_grad(slope, places)
    for s in (seed, seed + 1):
        xs = random_leaves(shapes, s)
        value, gradients = compiled(*xs)
        expected, wanted = eager(*xs)
        equal(value, expected, 1e-11)
        for g, e in zip(gradients, wanted, strict=True):
            equal(g, e, 1e-11)


COMPOSED: list[Any] = [
    lambda x: np.std(x) + np.median(x),
    lambda x: np.sum(np.sort(x, axis=0) * np.arange(4.0)[:, None]),
    lambda x: np.sum(np.cumprod(x, axis=0)),
    lambda x: np.sum(np.concatenate([x, x * 2], axis=1) ** 2),
    lambda x: np.sum(np.pad(x, ((1, 1), (0, 2)), mode="reflect") ** 2),
    lambda x: np.sum(np.einsum("ij,kj->ik", x, x)),
    lambda x: np.sum(np.linalg.solve(x @ x.T + np.eye(4), x)),
    lambda x: np.linalg.slogdet(x @ x.T + np.eye(4))[1],
    lambda x: np.sum(np.where(x > 0, x, x**2)),
    lambda x: np.sum(x[np.arange(4), np.argmax(x, axis=1)] ** 2),
    lambda x: np.sum(np.meshgrid(x[0], x[:, 0])[0] ** 2),
    lambda x: np.sum(x.astype(np.float32) * 2.0),
    lambda x: np.sum(tg.softmax(x) * tg.logsumexp(x, axis=0) * tg.gelu(x)),
    lambda x: np.sum(tg.sigmoid(1000 * x)),
    lambda x: np.sum(np.tanh(x) * np.broadcast_to(x[0], (2, 4, 3))),
    lambda x: np.sum(tg.grad(lambda y: np.sum(np.tanh(y) ** 2))(x) ** 2),
]


@pytest.mark.parametrize("f", COMPOSED, ids=range(len(COMPOSED)))
def test_functions_made_of_others_compiled_equal_eager(f: Any) -> None:
    """What NumPy's other functions are made of: sorting, joining, picking, solving, branches by element."""
    compiled, eager = tg.compile(f, dialect="matrix"), value_and_grad(f)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.standard_normal((4, 3))
        (value, gradient), (expected, wanted) = compiled(x), eager(x)
        equal(value, expected, 1e-11)
        equal(gradient, wanted, 1e-11)
    assert compiled.recorded == 1


def strided(x: Any) -> Any:
    """The same numbers as every other element of a larger array, from the last to the first."""
    wide = np.zeros([2 * n for n in x.shape])
    part = wide[::-2, ::2]
    part[...] = x
    return part


@pytest.mark.parametrize("layouts", [(np.array, np.asfortranarray, strided), (np.asfortranarray, strided, np.array), (strided, np.array)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, w: x @ w,
        lambda x, w: w.T @ x.T,
        lambda x, w: x.reshape(6, 4)[1:3] @ w[::-1, :2],
        lambda x, w: np.sum(x, axis=0) @ w @ w.T,
        lambda x, w: x.T @ (x @ w @ w.T) @ w,
        lambda x, w: tg.sigmoid(x @ w + w[0]) @ w.T @ x.T,
    ],
    ids=range(6),
)
def test_products_with_data_and_weights_of_any_layout(f: Any, order: Any, layouts: Any) -> None:
    """The layout of data may be another at each call: one program serves all."""
    rng = np.random.default_rng(0)
    w = tg.Tensor(np.zeros((4, 3)), requires_grad=True)
    w.raw = np.array(rng.standard_normal((4, 3)), order=order)

    def loss(x: Any) -> Any:
        return np.sum(np.tanh(f(x, w)))

    compiled = tg.compile(loss, wrt=w, dialect="matrix")
    for layout in layouts:
        x = layout(rng.standard_normal((6, 4)))
        x.flags.writeable = False
        value, gradient = compiled(x)
        w.grad = None
        expected = loss(x)
        expected.backward()
        equal(value, expected.raw)
        equal(gradient, w.gradient)
    assert compiled.recorded == 1


def test_a_number_goes_into_the_smallest_of_several_factors() -> None:
    def f(w: Any, x: Any) -> Any:
        return np.sum(w * np.tanh(0.3 * ((x.T @ x @ x.T).T @ x.T)))

    compiled, eager = tg.compile(f, dialect="matrix"), value_and_grad(f)
    for x in np.random.default_rng(0).standard_normal((2, 4, 3)):
        for found, expected in zip(compiled(2.0, x), eager(2.0, x), strict=True):
            equal(found, expected)


def test_nan_and_infinity_go_where_they_go_without_compile() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.exp(-x) * tg.sigmoid(x) + np.maximum(x, 0.0) / (1 + x * x))

    compiled, eager = tg.compile(f, dialect="matrix"), value_and_grad(f)
    compiled(np.ones(5))
    special = np.array([np.nan, np.inf, -np.inf, 1e308, 0.0])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(compiled(special)[1], eager(special)[1])
    exponential = tg.compile(lambda x: np.sum(np.exp(x)), dialect="matrix")
    exponential(np.ones(2))
    with pytest.warns(RuntimeWarning, match="overflow encountered in exp"):
        exponential(np.full(2, 800.0))
    sigmoid = tg.compile(lambda x: np.sum(tg.sigmoid(x)), dialect="matrix")  # which never warns
    np.testing.assert_allclose(sigmoid(np.array([-800.0, 800.0]))[1], [0.0, 0.0], atol=1e-300)
    np.testing.assert_allclose(sigmoid(np.full(5000, -100.0, np.float32))[1], np.zeros(5000), atol=1e-37)
    long = np.array([-1e5, -2.0, 0.0, 1e5], np.longdouble)  # its largest number is no float
    np.testing.assert_allclose(sigmoid(long)[1], value_and_grad(lambda x: np.sum(tg.sigmoid(x)))(long)[1], atol=1e-300)


OPTIMIZERS: list[Any] = [
    lambda p: optim.SGD(p, lr=0.5),
    lambda p: optim.SGD(p, lr=0.5, momentum=0.9, dampening=0.1, weight_decay=0.01),
    lambda p: optim.SGD(p, lr=0.5, momentum=0.9, nesterov=True),
    lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    lambda p: optim.Adam(p, lr=0.1, weight_decay=0.01),
    lambda p: optim.AdamW(p, lr=0.1),
]
LOSSES: list[Any] = [
    (nn.HalfSquaredError, nn.Sigmoid, np.array([[0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])),
    (nn.MSELoss, nn.Tanh, np.array([[0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])),
    (nn.BCELoss, nn.Sigmoid, np.array([[0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])),
    (nn.BCEWithLogitsLoss, nn.Identity, np.array([[0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])),
    (nn.CrossEntropyLoss, nn.Identity, np.array([0, 2])),
    (nn.CategoricalCrossEntropy, nn.Softmax, np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])),
]


def network(activation: Any, dtype: Any = np.float64, bias: Any = True) -> nn.Module:
    return nn.MLP([4, 5, 3], activation=[nn.ReLU, activation], rng=0, bias=bias) if dtype == np.float64 else _single(activation)


def _single(activation: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5, dtype=np.float32, rng=0), nn.ReLU(), nn.Linear(5, 3, dtype=np.float32, rng=1), activation())


def training(make: Any, loss: Any, activation: Any, dtype: Any = np.float64, bias: Any = True) -> tuple[Any, Any, Any]:
    model, criterion = network(activation, dtype, bias), loss()
    optimizer = make(model.parameters())

    def f(x: Any, t: Any) -> Any:
        return criterion(model(x), t)

    return model, optimizer, f


def eager_step(f: Any, optimizer: Any, *args: Any) -> float:
    optimizer.zero_grad()
    loss = f(*args)
    loss.backward()
    optimizer.step()
    return float(loss.item())


def batches(target: Any, dtype: Any, n: int) -> Any:
    rng = np.random.default_rng(3)
    for _ in range(n):
        yield rng.standard_normal((2, 4)).astype(dtype), (target if target.dtype.kind == "i" else target.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_training_equals_eager_training_with_every_optimizer(make: Any, dtype: Any) -> None:
    (ours, own, f), (theirs, other, g) = (training(make, nn.MSELoss, nn.Sigmoid, dtype) for _ in range(2))
    step = tg.compile(f, optimizer=own, dialect="matrix")
    for x, t in batches(LOSSES[0][2], dtype, 6):
        own.lr = other.lr = own.lr * 0.9  # a schedule
        equal(float(step(x, t)), eager_step(g, other, x, t), 1e-5 if dtype == np.float32 else 1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        equal(p.raw, q.raw, 1e-5 if dtype == np.float32 else 1e-12)
        assert p.raw.dtype == dtype
        assert p.grad is None
    assert step.recorded == 1
    a, b = own.state_dict()["state"], other.state_dict()["state"]
    assert {i: sorted(entry) for i, entry in a.items()} == {i: sorted(entry) for i, entry in b.items()}
    for i in b:
        for key in b[i]:
            equal(a[i][key], b[i][key], 1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_single_numbers_train_with_every_optimizer(make: Any) -> None:
    """Whose states are numbers too, which are not there before the first update."""
    results = []
    for compiled in (False, True):
        w = Tensor(0.5, requires_grad=True)
        optimizer, f = make([w]), lambda w=w: (w * w - 1.0) ** 2
        step = tg.compile(f, optimizer=optimizer, dialect="matrix") if compiled else lambda f=f, o=optimizer: eager_step(f, o)
        results.append([*(float(step()) for _ in range(4)), w.item()])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


@pytest.mark.parametrize(("loss", "activation", "target"), LOSSES)
@pytest.mark.parametrize("bias", [True, "shared", "unit", False])
def test_training_equals_eager_training_with_every_loss(loss: Any, activation: Any, target: Any, bias: Any) -> None:
    (ours, own, f), (theirs, other, g) = (training(lambda p: optim.SGD(p, lr=0.3), loss, activation, bias=bias) for _ in range(2))
    step = tg.compile(f, optimizer=own, dialect="matrix")
    for x, t in batches(target, np.float64, 4):
        equal(float(step(x, t)), eager_step(g, other, x, t), 1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        equal(p.raw, q.raw, 1e-12)
    assert step.recorded == 1


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_of_a_single_number_beside_a_matrix(nesterov: bool) -> None:
    """Whose first entry in the state is an array of shape (), and all others are numbers."""

    def setup() -> tuple[Any, Any]:
        params = [Tensor(np.arange(9.0).reshape(3, 3), requires_grad=True), Tensor(0.3, requires_grad=True)]
        return optim.SGD(params, lr=0.1, momentum=0.9, nesterov=nesterov), lambda: np.sum(np.tanh(params[0])) + np.sum(params[1])

    (sgd, f), (other, g) = setup(), setup()
    step = tg.compile(f, optimizer=sgd, dialect="matrix")
    for _ in range(4):
        found = step()
        other.zero_grad()
        loss = g()
        loss.backward()
        other.step()
        assert found == loss.item()
    for p, q in zip(sgd.params, other.params, strict=True):
        np.testing.assert_array_equal(p.raw, q.raw)


def test_what_updates_a_weight_lies_in_memory_as_the_weight_does() -> None:
    def setup(momentum: float) -> tuple[Any, Any]:
        model = nn.Sequential(nn.Linear(40, 30, rng=0), nn.Sigmoid(), nn.Linear(30, 20, rng=1))
        return model, optim.SGD(model.parameters(), lr=0.1, momentum=momentum, weight_decay=0.01)

    x, t = np.random.default_rng(0).random((7, 40)), np.random.default_rng(1).random((7, 20))
    for momentum in (0.0, 0.9):
        (model, sgd), (eager, other) = setup(momentum), setup(momentum)
        step = tg.compile(lambda x, t, model=model: nn.MSELoss()(model(x), t), optimizer=sgd, dialect="matrix")
        for _ in range(4):
            loss = nn.MSELoss()(eager(x), t)
            other.zero_grad()
            loss.backward()
            other.step()
            np.testing.assert_allclose(step(x, t), loss.item(), rtol=1e-13)
        assert step.recorded == 1
        assert 'order="F"' in step.source
        for a, b in zip(model.parameters(), eager.parameters(), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
        assert model[0].weight.raw.flags.fnc


# -- the text --------------------------------------------------------------------------------------------------------------


def tanh_network(x: Any, y: Any) -> Any:
    W, V = np.array([[0.5, 0.25], [1.0, 2.0]]), np.array([[2.0, 4.0]])
    return np.sum((np.tanh(x @ W) @ V.T) * (1 - y)) * (1 / np.sum(y))


def turned(x: Any, y: Any) -> Any:
    return np.sum(np.tanh(x.T[1:] @ np.reshape(x, (2, 3)).T) * y[:2, 0])


def a_layer() -> str:
    layer = nn.Linear(2, 1, rng=0)
    layer.weight.named("W"), layer.bias.named("b")
    step = tg.compile(lambda x, t: nn.BCEWithLogitsLoss()(layer(x), t), optimizer=optim.SGD([*layer.parameters()], 0.1), dialect="matrix")
    return step.record(np.ones((3, 2)), np.ones((3, 1)))


@pytest.mark.parametrize(
    "write",
    [*(lambda f=f: tg.compile(f, dialect="matrix").record(np.ones((3, 2)), np.ones((3, 1))) for f in (tanh_network, turned)), a_layer],
    ids=["tanh_network", "turned", "a_layer"],
)
def test_comments_speak_of_forward_lines_by_the_names_in_the_program(write: Any) -> None:
    source = write()
    code = set(re.findall(r"[A-Za-z_]\w*", "\n".join(line for line in source.splitlines() if "#" not in line)))
    comments = [line.split("# ")[1] for line in source.splitlines() if re.match(r" +# (back through )?\w+ = ", line)]
    assert comments
    for comment in comments:
        forward = re.sub(r"\b\w+\(|\w+=", "", comment.removeprefix("back through ").partition(": ")[0])  # without functions and options
        assert set(re.findall(r"[A-Za-z_]\w*", forward)) <= code, comment
    assert not re.search(r"\bt\d+_\d+\b", source)  # a name that two lines wanted
    assert "slice(" not in source


def test_a_comment_says_the_rule_with_the_shapes_of_the_run() -> None:
    assert "# back through t1 = linear(x, W, b): sum(d_t1, axis=0)\n" in a_layer()
    of_a_vector = tg.compile(lambda W: np.sum(np.tanh(W @ np.array([1.0, 2.0]))), dialect="matrix").record(np.ones((2, 2)))
    assert "# back through t1 = W @ c1: outer(d_t1, c1)\n" in of_a_vector
