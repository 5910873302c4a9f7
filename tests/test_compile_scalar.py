"""The scalar dialect: programs on single numbers against the eager run, their text against golden files, their operations counted."""

from __future__ import annotations

import ast
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tests.test_hypothesis import LEAVES, STEPS, Step, program, random_leaves
from tinygrad_bp import Tensor, functions, nn, optim
from tinygrad_bp.compile import scalar, scalar_text
from tinygrad_bp.compile.scalar_cells import SPELLED
from tinygrad_bp.compile.task import Task
from tinygrad_bp.errors import CompileError, DtypeError, InPlaceError
from tinygrad_bp.rule import RULES
from tinygrad_bp.worked import step_by_step

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, text: str) -> None:
    """Compare with a golden file; UPDATE_GOLDEN=1 writes it instead."""
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def written(f: Any, arrays: Any = (), optimizer: Any = None, **options: Any) -> Any:
    """``f`` of some arrays in the scalar dialect: a training step, or a function with its gradients."""
    names = [f"x{i}" for i in range(len(arrays))]
    wrt, parameters = (
        (list(range(len(arrays))), []) if optimizer is None else (optimizer.params, [f"p{i}" for i in range(len(optimizer.params))])
    )
    task = Task(lambda leaves: f(*leaves), list(arrays), names, wrt, parameters, optimizer)
    return scalar.write(task, **options)


def mlp(make: Any, seed: int = 0) -> tuple[nn.MLP, optim.Optimizer, Any]:
    """A small network, its optimizer, and its loss as a function of input and target."""
    model = nn.MLP([2, 3, 2], rng=seed)
    criterion = nn.HalfSquaredError()
    return model, make(model.parameters()), lambda x, t: criterion(model(x), t)


def eager(f: Any, optimizer: optim.Optimizer, arrays: Any, updates: int) -> list[float]:
    losses = []
    for _ in range(updates):
        optimizer.zero_grad()
        loss = f(*arrays)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


X, T = np.array([0.05, 0.10]), np.array([0.01, 0.99])


def second_document() -> tuple[nn.MLP, Any]:
    """The network of the second document and its training step: the weights learn, the biases stay."""
    model = step_by_step.network()
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    x, t = Tensor(step_by_step.INPUT).named("i"), Tensor(step_by_step.TARGET).named("target_o")
    sgd = optim.SGD([model[0].weight, model[2].weight], lr=step_by_step.LR)
    return model, written(lambda: nn.HalfSquaredError()(model(x), t), (), sgd)


# -- the worked example --------------------------------------------------------------------------------------------------


def test_golden_source() -> None:
    golden("compile_step_by_step.py.txt", second_document()[1].source)


def test_ten_thousand_updates_are_those_of_the_eager_training() -> None:
    model, step = second_document()
    losses = step.steps([], 10_000)
    expected = step_by_step.train(10_000)
    for a, b in zip(model.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)
    assert losses[0] == step_by_step.forward().item()
    np.testing.assert_allclose(step.step([]), step_by_step.forward(expected).item(), rtol=1e-13)


def operations(source: str) -> Counter[str]:
    """What one update does, by the names of the syntax."""
    (loop,) = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For)]
    nodes = [node for statement in loop.body for node in ast.walk(statement)]
    found = Counter(type(node.op).__name__ for node in nodes if isinstance(node, ast.BinOp | ast.AugAssign | ast.UnaryOp))
    return found + Counter(node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))


def test_one_update_has_the_operations_of_the_hand_derivation() -> None:
    """8 products each for the weighted inputs, the gradients and the updates, 2 for each of 4 deltas, 4 for what goes
    back to h1 and h2, and 2 squares."""
    assert operations(second_document()[1].source) == {"exp": 4, "Mult": 38, "Add": 15, "Sub": 14, "Div": 5, "USub": 6}


def test_deltas_are_shared_between_weights() -> None:
    source = second_document()[1].source
    assert [source.count(f"    {name} = ") for name in ("delta_o1", "delta_h2", "d_w5", "out_o1")] == [1, 1, 1, 1]
    assert "d_w5 = delta_o1 * out_h1\n" in source


# -- differential --------------------------------------------------------------------------------------------------------


@given(STEPS, LEAVES, st.integers(0, 99))
@example([], [()], 0)
@settings(max_examples=60, deadline=None)
def test_random_programs_equal_the_eager_run(steps: list[Step], shapes: list[tuple[int, ...]], seed: int) -> None:
    f, arrays = program(steps), random_leaves(shapes, seed)
    compiled = written(f, arrays)
    for xs in (arrays, random_leaves(shapes, seed + 100)):
        tensors = [Tensor(x, requires_grad=True) for x in xs]
        expected = f(*tensors)
        expected.backward()
        loss, gradients = compiled.step(xs)
        np.testing.assert_allclose(loss, expected.item(), rtol=1e-10, atol=1e-14)
        for g, t in zip(gradients, tensors, strict=True):
            assert g.shape == t.shape
            np.testing.assert_allclose(g, t.grad, rtol=1e-9, atol=1e-10)


@given(STEPS, LEAVES, st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_random_programs_train_like_the_eager_run(steps: list[Step], shapes: list[tuple[int, ...]], seed: int) -> None:
    trained = []
    for compiled in (False, True):
        params = [Tensor(x, requires_grad=True) for x in random_leaves(shapes, seed)]
        optimizer = optim.Adam(params, lr=0.01)
        if compiled:
            losses = list(tg.compile(lambda p=params: program(steps)(*p), optimizer=optimizer, dialect="scalar").repeat(5))
        else:
            losses = eager(lambda p=params: program(steps)(*p), optimizer, (), 5)
        trained.append((losses, [p.numpy() for p in params]))
    np.testing.assert_allclose(trained[1][0], trained[0][0], rtol=1e-9, atol=1e-14)
    for a, b in zip(trained[1][1], trained[0][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)


SECOND: list[Any] = [
    lambda x: np.sum(tg.grad(lambda y: np.sum(np.tanh(y) ** 3))(x) ** 2),
    lambda x: np.sum(tg.hessian(lambda y: np.sum(np.tanh(y) * y[0]))(x) ** 2),
]


@pytest.mark.parametrize("f", SECOND)
def test_derivatives_of_derivatives(f: Any) -> None:
    x = np.array([0.3, 0.7])
    for found, expected in zip(tg.compile(f, dialect="scalar")(x), tg.value_and_grad(f)(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


SPECIAL = [-np.inf, -800.0, -720.0, -40.0, -1.0, -0.5, -0.0, 0.0, 1e-310, 0.3, 1.0, 2.5, 40.0, 720.0, 800.0, np.inf, np.nan]
POINTWISE = [f for f, rule in RULES.items() if rule.kind == "pointwise" and (rule.function is f or hasattr(f, "__wrapped__"))]
POINTWISE = [f for f in POINTWISE if not RULES[f].options and f is not np.where and (isinstance(f, np.ufunc) or hasattr(f, "__wrapped__"))]


@pytest.mark.parametrize("f", POINTWISE, ids=lambda f: f.__name__)
def test_every_function_of_numbers_equals_the_eager_run_everywhere(f: Any) -> None:
    """Over the whole line, with its infinities: Python's floats raise where NumPy's go on."""
    count = len(RULES[f].arguments)
    points = [(x, *rest) for x in SPECIAL for rest in ([()], [(y,) for y in SPECIAL], [(-1.0, 1.0)])[count - 1]]
    with np.errstate(all="ignore"):
        compiled = written(lambda *xs: 1.0 * f(*xs), [np.array(x) for x in (0.3, -1.0, 1.0)[:count]])
        for point in points:
            tensors = [Tensor(x, requires_grad=True) for x in point]
            loss = 1.0 * f(*tensors)
            loss.backward()
            expected = [loss.item(), *(0.0 if t.grad is None else t.grad.item() for t in tensors)]
            value, gradients = compiled.step([np.array(x) for x in point])
            np.testing.assert_allclose([value, *gradients], expected, rtol=1e-12, atol=1e-307, err_msg=str(point))


OPTIMIZERS: dict[str, Any] = {
    "plain": lambda p: optim.SGD(p, lr=0.3),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "damped": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.01),
    "rmsprop": optim.RMSprop,
    "centered": lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
    "adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "adamw": optim.AdamW,
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_goes_on_as_the_eager_one_would(make: Any) -> None:
    """Compiled updates, then eager ones, then compiled ones again."""
    model, optimizer, f = mlp(make)
    step = tg.compile(f, optimizer=optimizer, dialect="scalar")
    losses = [*step.repeat(10, X, T), *eager(f, optimizer, (X, T), 5), *step.repeat(5, X, T), step(X, T)]
    other, other_optimizer, g = mlp(make)
    np.testing.assert_allclose(losses, eager(g, other_optimizer, (X, T), 21), rtol=1e-12)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11)
    for i, entry in other_optimizer.state.items():
        assert {k: type(v) for k, v in entry.items()} == {k: type(v) for k, v in optimizer.state[i].items()}
        for key, value in entry.items():
            np.testing.assert_allclose(optimizer.state[i][key], value, rtol=1e-11)


def test_updates_of_a_parameter_that_was_frozen_for_a_while() -> None:
    """Adam counts the updates of each parameter: after this the counts differ, and one number no longer stands for all."""
    results = []
    for compiled in (False, True):
        model, optimizer, f = mlp(OPTIMIZERS["adam"])
        step = tg.compile(f, optimizer=optimizer, dialect="scalar")
        run = step.repeat if compiled else lambda n, *xs, o=optimizer, f=f: eager(f, o, xs, n)
        losses = [*run(3, X, T)]
        model[0].weight.requires_grad_(False)
        losses += [*run(3, X, T)]
        model[0].weight.requires_grad_(True)
        losses += [*run(3, X, T)]
        results.append(losses)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


LOSSES = [nn.HalfSquaredError(), nn.MSELoss(), nn.QuadraticCost(), nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.SiLU])
def test_batches_activations_and_losses(loss: Any, activation: Any) -> None:
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((3, 2)), (rng.random((3, 2)) > 0.5) * 1.0
    results = []
    for compiled in (False, True):
        model = nn.MLP([2, 3, 2], [activation, nn.Identity], rng=0)
        sgd = optim.SGD(model.parameters(), lr=0.1)
        f = lambda x, t, model=model: loss(model(x), t)  # noqa: E731
        results.append(list(written(f, (x, t), sgd).steps([x, t], 5)) if compiled else eager(f, sgd, (x, t), 5))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


@pytest.mark.parametrize("probabilities", [(nn.BCELoss(), nn.Sigmoid), (nn.CategoricalCrossEntropy(), nn.Softmax)], ids=["bce", "cce"])
@pytest.mark.parametrize("scale", [1.0, 400.0])  # where the probabilities are some, and where they are 0 and 1
def test_losses_on_probabilities(probabilities: Any, scale: float) -> None:
    loss, activation = probabilities
    x, t = scale * np.random.default_rng(1).standard_normal((3, 2)), np.array([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])
    results = []
    for compiled in (False, True):
        model = nn.MLP([2, 3, 2], [nn.Identity, activation], rng=0)
        sgd = optim.SGD(model.parameters(), lr=0.1)
        f = lambda x, t, model=model: loss(model(x), t)  # noqa: E731
        losses = list(written(f, (x, t), sgd).steps([x, t], 5)) if compiled else eager(f, sgd, (x, t), 5)
        results.append((losses, model[0].weight.numpy()))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-11)


def test_numbers_of_classes_may_be_an_argument() -> None:
    """They are compared with 0, 1, ...; what takes them for an index says that it does."""
    f = nn.CrossEntropyLoss()
    z = np.random.default_rng(0).standard_normal((3, 2))
    compiled = tg.compile(f, dialect="scalar")
    for t in (np.array([0, 1, 1]), np.array([1, 0, 1])):
        value, gradient = tg.value_and_grad(f)(z, t)
        found, g = compiled(z, t)
        np.testing.assert_allclose(found, value, rtol=1e-14)
        np.testing.assert_allclose(g, gradient, rtol=1e-13)
    assert compiled.recorded == 1
    with pytest.raises(ValueError, match="class numbers of 2 classes go from 0 to 1"):
        compiled(z, np.array([0, 1, 2]))
    with pytest.raises(CompileError, match="needs the values as an array"):
        tg.compile(nn.NLLLoss(), dialect="scalar")(z, np.array([0, 1, 1]))


def test_a_loss_on_probabilities_still_refuses_others() -> None:
    f = tg.compile(lambda p: nn.BCELoss()(p, np.array([1.0, 0.0])), dialect="scalar")
    f(np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"numbers outside \[0, 1\]"):
        f(np.array([0.5, 1.5]))


# -- branches --------------------------------------------------------------------------------------------------------------


def descent_with_a_turn() -> tuple[Tensor, optim.Optimizer, Any]:
    """A loss that is another one as soon as the weight is small."""
    w = Tensor([3.0, -4.0], requires_grad=True, name="w")
    return w, optim.SGD([w], lr=0.001), lambda: np.sum(np.square(w)) if np.any(np.abs(w.detach()) > 1.0) else np.sum(np.exp(w))


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=pytest.mark.peers)])
def test_repeated_updates_go_through_branches(native: bool) -> None:
    if native:
        pytest.importorskip("numba")
    w, sgd, f = descent_with_a_turn()
    expected = eager(f, sgd, (), 1500)
    ours, sgd, f = descent_with_a_turn()
    step = tg.compile(f, optimizer=sgd, dialect="scalar", native=native)
    np.testing.assert_allclose(step.repeat(1500), expected, rtol=1e-12)
    np.testing.assert_allclose(ours.raw, w.raw, rtol=1e-12)
    assert step.recorded == 2  # it turns to and fro


def test_steps_end_where_another_branch_is_taken() -> None:
    w, sgd, f = descent_with_a_turn()
    program = written(f, (), sgd)
    assert len(program.steps([], 1500)) == math.ceil(math.log(4) / -math.log(0.998))  # each update takes a 500th away
    before = w.numpy()
    assert program.step([]) is None
    np.testing.assert_array_equal(w.raw, before)


def test_a_branch_is_decided_by_the_numbers_of_the_call() -> None:
    """Also where they come from arrays that the function reads, and in the middle of the computation."""
    limit = np.array([0.5])

    def f(x: Any) -> Any:
        y = np.exp(x)
        if np.sum(y / limit) < 4 and not np.all(x == 0):
            y = y * limit
        return np.sum(y) if y[0] > y[1] else np.sum(y * y)

    compiled = tg.compile(f, dialect="scalar")
    for bound in (0.5, 2.0):
        limit[:] = bound
        for x in (np.array([0.1, -0.1]), np.array([-2.0, 0.3]), np.zeros(2), np.array([3.0, 0.0])) * 2:
            value, gradient = tg.value_and_grad(f)(x)
            found, g = compiled(x)
            np.testing.assert_allclose(found, value, rtol=1e-13)
            np.testing.assert_allclose(g, gradient, rtol=1e-13)


# -- what changes between two calls ----------------------------------------------------------------------------------------


def test_settings_of_the_optimizer_may_change() -> None:
    results = []
    for compiled in (False, True):
        _, optimizer, f = mlp(OPTIMIZERS["momentum"])
        step = tg.compile(f, optimizer=optimizer, dialect="scalar")
        run = step.repeat if compiled else lambda n, *xs, o=optimizer, f=f: eager(f, o, xs, n)
        losses = [*run(3, X, T)]
        optimizer.lr = 0.3  # read at every call
        losses += [*run(3, X, T)]
        assert not compiled or step.recorded == 1
        optimizer.momentum = 0.5  # a number of the program
        losses += [*run(3, X, T)]
        assert not compiled or step.recorded == 2
        results.append(losses)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_a_frozen_parameter_asks_for_a_new_recording() -> None:
    model, optimizer, f = mlp(OPTIMIZERS["plain"])
    compiled = written(f, (X, T), optimizer)
    model[0].bias.requires_grad_(False)
    assert compiled.step([X, T]) is None
    assert "d__0_bias" not in written(f, (X, T), optimizer).source


def test_tensors_that_the_function_closes_over_are_read_at_every_call() -> None:
    _, optimizer, f = mlp(OPTIMIZERS["plain"])
    x, t = Tensor(X), Tensor(T)
    compiled = written(lambda: f(x, t), (), optimizer)
    compiled.step([])
    x.data = np.array([2.0, -1.0])
    expected = f(x, t).item()
    assert compiled.step([]) == pytest.approx(expected, rel=1e-13)


def test_the_graph_notices_the_update() -> None:
    _, optimizer, f = mlp(OPTIMIZERS["plain"])
    compiled = written(f, (X, T), optimizer)
    loss = f(X, T)
    compiled.step([X, T])
    with pytest.raises(InPlaceError):
        loss.backward()


def test_arrays_that_the_function_closes_over_are_read_at_every_call() -> None:
    """Forward and backward, where the engine keeps copies."""
    data, ones = np.array([0.5, 0.25]), np.ones(2)
    w = Tensor([1.0, 2.0], requires_grad=True)
    f = written_by(w, lambda: np.sum(np.square(w * data) * ones + np.ones(2) * w))
    assert f([])[1][0].tolist() == [1.5, 1.25]
    data[:], ones[:] = 1.0, 2.0
    assert f([])[1][0].tolist() == [5.0, 9.0]


def written_by(w: Tensor, f: Any) -> Any:
    return scalar.write(Task(lambda leaves: f(), [], [], [w], ["w"])).step


def test_random_numbers_are_refused() -> None:
    rng, w = np.random.default_rng(0), Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(CompileError, match="Random"):
        written_by(w, lambda: np.sum(w * rng.random(2)))


def test_ctrl_c_leaves_whole_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalar, "CHUNK", 10)
    model, optimizer, f = mlp(OPTIMIZERS["adam"])
    eager(f, optimizer, (X, T), 1)
    compiled = written(f, (X, T), optimizer)
    run, calls = compiled.steps.__self__.run, []

    def interrupted(*numbers: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(*numbers)

    compiled.steps.__self__.run = interrupted
    with pytest.raises(KeyboardInterrupt):
        compiled.steps([X, T], 100)
    other, other_optimizer, g = mlp(OPTIMIZERS["adam"])
    eager(g, other_optimizer, (X, T), 21)  # that before, and two times ten
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11)
    assert optimizer.state[0]["step"] == 21


def test_overflow_is_the_eager_runs() -> None:
    """A saturated sigmoid is no error, and a loss that diverges becomes infinite and then not a number."""
    for scale, updates in ((1e5, 3), (1e200, 3)):
        results = []
        for compiled in (False, True):
            w = Tensor([scale, -scale], requires_grad=True)
            sgd = optim.SGD([w], lr=0.1)
            f = lambda w=w: tg.sigmoid(w).sum() + np.square(w).sum() ** 2  # noqa: E731
            with np.errstate(all="ignore"):
                losses = list(written(f, (), sgd).steps([], updates)) if compiled else eager(f, sgd, (), updates)
            results.append((losses, w.numpy()))
        np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12)
        np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-12)


# -- statements ------------------------------------------------------------------------------------------------------------


def test_what_does_not_change_leaves_the_loop_and_what_is_not_needed_goes() -> None:
    w, x = Tensor(2.0, requires_grad=True, name="w"), Tensor(3.0, requires_grad=True, name="x")
    unused = lambda: (np.sinh(w), (np.cos(x) * w).named("y"))[1]  # noqa: E731
    source = written(unused, (), optim.SGD([w], lr=0.1)).source
    once, loop = source.split("for k in")
    assert "cos(x)" in once
    assert "cos" not in loop
    assert "sinh" not in source


def test_only_equal_values_are_one() -> None:
    x, y = np.array(0.3), np.array(0.8)
    f = lambda x, y: np.exp(x - y) * 3 + np.tanh(y - x) + x / y + np.exp(y / x)  # noqa: E731
    compiled = written(f, [x, y])
    loss, gradients = compiled.step([x, y])
    np.testing.assert_allclose([loss, *gradients], [f(Tensor(x), Tensor(y)).item(), *tg.grad(f, (0, 1))(x, y)], rtol=1e-13)
    assert compiled.source.count("exp(") == 2
    assert compiled.source.count("tanh(") == 1


def test_a_gradient_that_is_a_number_of_the_forward_part_is_not_computed_again() -> None:
    source = written(lambda x, y: np.sum(np.tanh(x) * y), [X, T]).source
    assert source.endswith("return loss, d_x0_1, d_x0_2, t1, t2\n")
    assert source.index("t1 = tanh(x0_1)") < source.index("# backward")


def test_counts_of_updates_are_whole_and_shared() -> None:
    _, optimizer, f = mlp(OPTIMIZERS["adam"])
    source = written(f, (X, T), optimizer).source
    assert source.count("step += 1\n") == 1
    assert "0.9**step" in source


class Staggered(optim.Optimizer):
    """Counts that begin alike and differ later."""

    def change(self, i: int, value: Any, gradient: Any) -> Any:
        self.state[i] = {"count": self.state[i]["count"] + i if i in self.state else 1}
        return self.lr * gradient / (1 + self.state[i]["count"])


def test_counts_that_part_are_separate() -> None:
    _, optimizer, f = mlp(lambda p: Staggered(p, lr=0.1))
    losses = tg.compile(f, optimizer=optimizer, dialect="scalar").repeat(6, X, T)
    _, other, g = mlp(lambda p: Staggered(p, lr=0.1))
    np.testing.assert_allclose(losses, eager(g, other, (X, T), 6), rtol=1e-12)


def test_each_backward_line_says_what_it_pulls_back() -> None:
    """All lines from the loss on that have no line of their own in the backward part."""

    def f(x: Any, y: Any) -> Any:
        h = (np.tanh(x) * 2).named("h")
        return np.sum(h * y)

    lines = written(f, [np.array([0.5]), np.array([2.0])]).source.splitlines()
    assert "    # back through sum, multiply, h (multiply, tanh)" in lines
    assert "    d_x0 = 2.0 * x1 * (1.0 - t1 * t1)" in lines


def test_constants_are_folded() -> None:
    source = written(lambda x: (np.exp(Tensor(0.0)) + 1) * x * 1.0 + 0.0, [np.array(0.5)]).source
    assert source.endswith("    loss = 2.0 * x0\n    return loss, 2.0\n")


class Lookback(optim.Optimizer):
    """Steps along the change of the weight, whose last value it remembers: new values depend on old ones, crosswise."""

    def change(self, i: int, value: Any, gradient: Any) -> Any:
        last = self.state.get(i, {"last": value * 1.0, "before": value * 1.0})
        self.state[i] = {"last": value * 1.0, "before": last["last"]}
        return self.lr * gradient + 0.1 * (last["last"] - last["before"])


def test_old_values_are_read_before_they_are_overwritten() -> None:
    _, optimizer, f = mlp(lambda p: Lookback(p, lr=0.1))
    losses = tg.compile(f, optimizer=optimizer, dialect="scalar").repeat(8, X, T)
    _, other, g = mlp(lambda p: Lookback(p, lr=0.1))
    np.testing.assert_allclose(losses, eager(g, other, (X, T), 8), rtol=1e-12)


def test_long_sums_and_chains_are_split_into_lines() -> None:
    x = np.linspace(0, 1, 1500)
    loss, (g,) = written(lambda x: np.sum(x * x), [x]).step([x])
    np.testing.assert_allclose(loss, np.sum(x * x))
    np.testing.assert_allclose(g, 2 * x)

    def chain(x: Any) -> Any:
        for _ in range(300):
            x = np.tanh(x) + 0.1
        return x

    value, (g,) = written(chain, [np.array(0.3)]).step([np.array(0.3)])
    np.testing.assert_allclose([value, g], [chain(Tensor(0.3)).item(), tg.grad(chain)(0.3)], rtol=1e-10)


def test_names_are_pythons() -> None:
    x = Tensor([0.5, 0.6], requires_grad=True).named("lambda", ["exp", "x 1"])
    y = Tensor(0.2, requires_grad=True, name="for")
    compiled = written(lambda: np.sum(np.exp(x) * y).named("losses"), (), optim.SGD([x, y], lr=0.1))
    assert compiled.step([]) == pytest.approx((np.exp(0.5) + np.exp(0.6)) * 0.2)


# -- what has no form on single numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: np.sum(np.linalg.inv(x)), "inv "),
        (lambda x: np.sum(np.sort(x)), "argsort"),
        (lambda x: np.sum(x[np.argmax(x.numpy())]), "values"),
        (lambda x: np.sum(x) * x[0, 0].item(), "values"),
        (lambda x: np.sum(x.astype("float32")), "float32"),
    ],
)
def test_what_cannot_be_written_out_is_named(f: Any, words: str) -> None:
    with pytest.raises((CompileError, DtypeError), match=words):
        written(f, [np.eye(2) + 0.1])


@pytest.mark.parametrize(
    ("f", "x", "dialect"),
    [
        (lambda x: np.sum(x * x), np.ones(3), "scalar"),
        (lambda x: np.sum(x * x), np.ones(300), "matrix"),
        (lambda x: np.sum(x * x), np.ones(3, np.float32), "matrix"),
        (lambda x: np.sum(np.linalg.inv(x)), np.eye(2), "matrix"),
    ],
)
def test_the_dialect_is_chosen(f: Any, x: Any, dialect: str) -> None:
    """Single numbers for few of them, where they can be used at all."""
    compiled = tg.compile(f)
    compiled(x)
    assert compiled.latest is not None
    assert compiled.latest.dialect == dialect


def test_single_precision_is_refused() -> None:
    with pytest.raises(DtypeError, match="float64"):
        written(np.sum, [np.ones(2, np.float32)])


def test_two_truth_values_make_one() -> None:
    f = lambda x: np.sum(x * ((x > 0) + (x > 1))) + np.sum(x > 0) * x[0]  # noqa: E731
    x = np.array([0.5, 1.5, -1.0])
    assert tg.compile(f, dialect="scalar")(x)[0] == f(Tensor(x)).item() == 3.0


def test_whole_numbers_that_may_wrap_around_are_refused() -> None:
    """0 - 1 is 255 in NumPy's uint8, and -1 in Python."""
    f = lambda x, i: np.sum(x * (i - 1))  # noqa: E731
    with pytest.raises(DtypeError, match="computes in float64; i is uint8"):
        tg.compile(f, dialect="scalar")(np.ones(2), np.zeros(2, np.uint8))
    assert tg.compile(f)(np.ones(2), np.zeros(2, np.uint8))[0] == 510.0


def test_an_optimizer_with_a_step_of_its_own_is_refused() -> None:
    model, optimizer, f = mlp(lambda p: optim.BoldDriver(optim.SGD(p, lr=0.1)))
    with pytest.raises(CompileError, match="BoldDriver"):
        written(f, (X, T), optimizer)
    assert isinstance(model[0].weight.raw, np.ndarray)


class Cautious(optim.Optimizer):
    """An update that is another one for large gradients."""

    def change(self, i: int, value: Any, gradient: Any) -> Any:
        return self.lr * (gradient if np.max(np.abs(gradient)) < 1 else np.sign(gradient))


def test_a_branch_in_an_update_is_refused() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(CompileError, match=r"cannot decide .* np.where"):
        written(lambda: np.sum(w * w), (), Cautious([w], lr=0.1))


def test_parameters_are_themselves_again_after_an_error() -> None:
    w = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with pytest.raises(CompileError):
        written(lambda: np.sum(np.linalg.inv(w)), (), optim.SGD([w], lr=0.1))
    assert isinstance(w.raw, np.ndarray)
    assert RULES[functions.sigmoid].run is functions.sigmoid


def test_every_spelling_is_tested() -> None:
    """Each function that is spelled out occurs above, as a rule, in a formula of one, or among the comparisons."""
    spelled = {RULES[f].function for f in POINTWISE}
    constants = {f for f in SPELLED if f in RULES and RULES[f].kind == "constant"}
    assert set(SPELLED) - spelled - constants == {np.where}


# -- machine code ------------------------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_native_programs_equal_the_others() -> None:
    pytest.importorskip("numba")
    results = []
    for native in (False, True):
        model, optimizer, f = mlp(OPTIMIZERS["adam"])
        losses = tg.compile(f, optimizer=optimizer, dialect="scalar", native=native).repeat(50, X, T)
        results.append((losses, [p.numpy() for p in model.parameters()]))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12)
    for a, b in zip(results[1][1], results[0][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_native_without_numba_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    with pytest.raises(ImportError, match="pip install"):
        written(np.sum, [np.ones(2)], native=True)


@pytest.mark.parametrize("argnums", [(0,), (0, 1)])
@pytest.mark.parametrize("shapes", [((0, 2), (2, 3)), ((2, 0), (0, 3)), ((0,), (0,))], ids=str)
def test_arrays_without_elements(shapes: Any, argnums: Any) -> None:
    def f(a: Any, b: Any) -> Any:
        return np.sum(a @ b + np.sum(a)) + 1.0

    arrays = [np.ones(shape) for shape in shapes]
    value, gradients = tg.value_and_grad(f, argnums)(*arrays)
    found, g = tg.compile(f, argnums, dialect="scalar")(*arrays)
    assert found == value == 1.0
    for mine, expected in zip(g, gradients, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_long_lines_are_broken_outside_brackets() -> None:
    def f(out: Any, w: Any) -> Any:
        return np.sum(tg.sigmoid((w @ out).named("net")))

    x, w = np.full(9, 0.5), np.random.default_rng(0).standard_normal((3, 9))
    step = tg.compile(f, (0, 1), dialect="scalar")
    value, (dx, dw) = step(x, w)
    expected, (ex, ew) = tg.value_and_grad(f, (0, 1))(x, w)
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(dx, ex)
    np.testing.assert_allclose(dw, ew)
    lines = step.source.splitlines()
    assert max(map(len, lines)) < 80
    start = lines.index("    net1 = (")
    assert lines[start + 1 : start + 5] == [
        "        w11 * out1 + w12 * out2 + w13 * out3 + w14 * out4 + w15 * out5",
        "        + w16 * out6 + w17 * out7 + w18 * out8 + w19 * out9",
        "    )",
        "    net2 = (",
    ]
    assert scalar_text._broken(f"d = ({' + '.join(['delta_o * weight'] * 3)}) * {' * '.join(['factor'] * 4)}") == [
        "d = (",
        "    (delta_o * weight + delta_o * weight + delta_o * weight) * factor",
        "    * factor * factor * factor",
        ")",
    ]
