"""When a program is used, when another is recorded, and what no program can stand for."""

from __future__ import annotations

import ast
import gc
import linecache
import os
import tracemalloc
import warnings
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn, optim, value_and_grad
from tinygrad_bp.cli import main
from tinygrad_bp.compile.compiled import LIMIT
from tinygrad_bp.errors import CompileError, ConversionError, DtypeError, GraphError, InPlaceError, ShapeError


def matrix(f: Any, *args: Any, **options: Any) -> Any:
    return tg.compile(f, *args, dialect="matrix", **options)


DIALECTS = pytest.mark.parametrize("dialect", ["matrix", "scalar"])


def agree(f: Any, compiled: Any, *args: Any) -> None:
    """A compiled function, called twice, equals ``value_and_grad``."""
    value, gradient = value_and_grad(f)(*args)
    for _ in range(2):
        found, g = compiled(*args)
        np.testing.assert_allclose(found, value, rtol=1e-14)
        np.testing.assert_allclose(g, gradient, rtol=1e-14)


# -- shapes, numbers, variables ------------------------------------------------------------------------------------------


def test_other_shapes_and_dtypes_are_recorded_too_and_kept() -> None:
    def f(x: Any) -> Any:
        return np.sum(x * x)

    g = matrix(f)
    for x in (np.ones(2), np.ones(3), np.ones((2, 1)), np.ones(2, np.float32), np.ones(2), np.ones(3)):
        agree(f, g, x)
    assert g.recorded == 4


def test_on_change_raise_says_what_did_not_fit() -> None:
    g = matrix(lambda x: np.sum(x * x), on_change="raise")
    g(np.ones(2))
    g(np.full(2, 3.0))
    with pytest.raises(CompileError, match=r"does not fit the run that was recorded: x of shape \(3,\), float64"):
        g(np.ones(3))


@pytest.mark.parametrize("dialect", ["matrix", "scalar", "auto"])
def test_a_call_that_could_not_be_recorded_does_not_count(dialect: Any) -> None:
    g = tg.compile(lambda x: np.sum(x @ np.ones((2, 1))), dialect=dialect, on_change="raise")
    for _ in range(LIMIT + 1):  # no warning either
        with pytest.raises(ShapeError):
            g(np.ones((1, 3)))
    assert g.recorded == 0
    assert g(np.ones((1, 2)))[0] == 2


def test_the_cache_is_bounded_and_a_changing_number_is_warned_of_once() -> None:
    g = matrix(lambda x, k: np.sum(x * k))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(2 * LIMIT):
            assert g(np.ones(2), k)[0] == 2 * k
    assert len(caught) == 1
    assert "better given as an array" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert sum(map(len, g.programs.values())) == LIMIT


def test_variables_that_the_function_reads_may_change() -> None:
    number, array, tensor = 2.0, np.array([1.0, 2.0]), Tensor([3.0, 4.0])

    def f(x: Any) -> Any:
        return np.sum(x * x * number * array * tensor)

    g, x = matrix(f), np.array([1.0, -1.0])
    agree(f, g, x)
    array[:] = 7.0  # read at every call
    agree(f, g, x)
    tensor.data[:] = 5.0
    agree(f, g, x)
    assert g.recorded == 1
    number = 3.0
    agree(f, g, x)
    array = np.array([5.0, 6.0])
    agree(f, g, x)
    tensor.data = np.array([8.0, 9.0])
    agree(f, g, x)
    assert g.recorded == 4


def test_training_mode_is_part_of_what_was_recorded() -> None:
    class Doubling(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2 if self.training else x

    model = nn.Sequential(Doubling())

    def f(x: Any) -> Any:
        return np.sum(model(x) * x)

    g = matrix(f)
    for training in (True, False, True):
        model.train(training)
        agree(f, g, np.ones(2))
    assert g.recorded == 2


# -- branches ------------------------------------------------------------------------------------------------------------


@DIALECTS
def test_branches_by_value_are_looked_at_again_in_every_call(dialect: Any) -> None:
    def f(x: Any) -> Any:
        while np.sum(x * x) > 1.0:
            x = x / 2
        return np.sum(x * x) if x[0] > 0 else np.sum(3 * x)

    g = tg.compile(f, dialect=dialect)
    for scale in (0.1, 1.0, 20.0, -1.0, 0.2, -20.0, 1.0):
        agree(f, g, np.full(2, scale))
    assert g.recorded == 5
    assert ("return None" if dialect == "matrix" else "another branch") in g.source
    other = tg.compile(f, dialect=dialect, on_change="raise")
    other(np.ones(2))
    with pytest.raises(CompileError, match="does not fit"):
        other(-np.ones(2))


@DIALECTS
def test_a_guard_that_fails_changes_nothing(dialect: Any) -> None:
    model = nn.Linear(2, 1, rng=0)

    def f(x: Any) -> Any:
        y = model(x)
        return np.sum(y * y) if np.sum(x) > 0 else np.sum(y)

    step = tg.compile(f, optimizer=optim.SGD(model.parameters(), lr=0.1), on_change="raise", dialect=dialect)
    step(np.ones((1, 2)))
    before = model.state_dict()
    with pytest.raises(CompileError):
        step(-np.ones((1, 2)))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@DIALECTS
def test_a_weight_waits_for_branches_that_come_after_its_gradient_is_known(dialect: Any) -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")

    def f(x: Any) -> Any:
        y = np.sum(w * x)  # whose gradient is x, before anything else is computed
        return y if np.sum(np.exp(x)) < 100 else y * 2

    step = tg.compile(f, optimizer=optim.SGD([w], lr=0.1), dialect=dialect)
    step(np.ones(2))
    step(np.full(2, 10.0))
    np.testing.assert_allclose(w.raw, [1.0 - 0.1 - 2.0, 2.0 - 0.1 - 2.0])


class Crosswise(optim.Optimizer):
    """An update that reads old values in every order: the weights turned round, and the state after its new value is known."""

    def change(self, i: int, value: Any, gradient: Any) -> Any:
        before = self.state.get(i, {"old": 0.5 * value})["old"]
        self.state[i] = {"old": value * 2.0 + before.T}
        return self.lr * (gradient + value.T + np.sum(value, axis=0) - before @ value)


def test_an_update_may_read_what_it_is_about_to_overwrite() -> None:
    ours, theirs = (Tensor(np.arange(9.0).reshape(3, 3) / 10, requires_grad=True, name="w") for _ in range(2))
    step = matrix(lambda x: np.sum(np.tanh(x @ ours)), optimizer=Crosswise([ours], lr=0.01))
    other = Crosswise([theirs], lr=0.01)
    for k in range(4):
        x = np.full((2, 3), 0.1 * k)
        step(x)
        other.zero_grad()
        np.sum(np.tanh(x @ theirs)).backward()
        other.step()
        np.testing.assert_allclose(ours.raw, theirs.raw, rtol=1e-13)


def test_losses_still_refuse_targets_out_of_range() -> None:
    model, criterion = nn.Linear(2, 3, rng=0), nn.CrossEntropyLoss()
    step = matrix(lambda x, t: criterion(model(x), t), optimizer=optim.SGD(model.parameters(), lr=0.1))
    step(np.ones((2, 2)), np.array([0, 1]))
    with pytest.raises(ValueError, match="class numbers of 3 classes go from 0 to 2"):
        step(np.ones((2, 2)), np.array([0, 3]))


@DIALECTS
def test_a_first_call_may_be_inside_no_grad(dialect: Any) -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    step = tg.compile(lambda: np.sum(w * w), optimizer=optim.Adam([w], lr=0.1), dialect=dialect)
    with tg.no_grad():
        assert [step(), step()] == [5.0, pytest.approx(0.9**2 + 1.9**2)]


@DIALECTS
def test_an_optimizers_state_may_be_cleared(dialect: Any) -> None:
    results = []
    for compiled in (False, True):
        w = Tensor([1.0, 2.0], requires_grad=True)
        adam, f = optim.Adam([w], lr=0.1), lambda w=w: np.sum(w * w)
        step = tg.compile(f, optimizer=adam, dialect=dialect) if compiled else None
        for k in range(6):
            if k == 3:
                adam.state.clear()
            if step is None:
                adam.zero_grad()
                f().backward()
                adam.step()
            else:
                step()
        results.append(w.numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-13)


@DIALECTS
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_loss_keeps_its_axes(dialect: Any, shape: tuple[int, ...]) -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    assert np.shape(tg.compile(lambda x: np.reshape(np.sum(x), shape), dialect=dialect)(np.ones(2))[0]) == shape
    step = tg.compile(lambda: np.reshape(np.sum(w * w), shape), optimizer=optim.SGD([w], lr=0.1), dialect=dialect)
    assert np.shape(step()) == np.shape(step()) == shape
    assert step.repeat(3).shape == (3,)


# -- what no program can stand for -----------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (
            lambda x: np.sum(x * RNG.random(2)),
            r"a second run .* did something else \(other values in an array of shape \(2,\) at .*test_com",
        ),
        (lambda x: np.sum(x * RNG.random()), r"a second run .* did something else"),
        (lambda x: np.sum(x * x.sum().item()), r"\.item\(\) of a value that depends on the arguments.*keep this run's value for ever"),
        (lambda x: np.sum(x * float(x.detach().sum())), r"float\(\) of a value"),
        (lambda x: np.sum(x * x.numpy()), r"numpy.asarray\(\) of a value"),
        (lambda x: np.sum(x[x.detach() > 0]), "the shape depends on values.*np.where"),
        (lambda x: np.sum(np.asarray([1.0, 2.0])[: int(np.argmax(x.data))]) * x[0], r"int\(\) of a value|an index of a value"),
    ],
)
def test_what_would_be_frozen_is_refused(f: Any, says: str) -> None:
    with pytest.raises(CompileError, match=says):
        matrix(f)(np.ones(2))


def test_changes_in_place_are_refused_or_right() -> None:
    def writes_to_its_argument(x: Any, t: Any) -> Any:
        t[0] = 5.0
        return np.sum(x * t)

    def rebinds(x: Any) -> Any:
        y = x * 2
        y += 1
        return np.sum(y * y)

    with pytest.raises(CompileError, match=r"an array was changed in place at .*t\[0\] = 5.0"):
        matrix(writes_to_its_argument)(np.ones(2), np.ones(2))
    agree(rebinds, matrix(rebinds), np.ones(2))


def test_wrong_calls_say_so() -> None:
    square = matrix(lambda x: np.sum(x * x))
    x = Tensor([1.0, 2.0], requires_grad=True)
    for error, says, call in [
        (ConversionError, "has a graph", lambda: square(x * 2)),
        (CompileError, "while another one was recorded", lambda: matrix(lambda x: np.sum(x) * square(x)[0])(np.ones(2))),
        *(
            (GraphError, says, lambda f=f, d=dialect: tg.compile(f, dialect=d)(np.ones(2)))
            for f, says in ((lambda x: 3.0, "returned float, not a Tensor"), (lambda x: x * 2, r"returned shape \(2,\)"))
            for dialect in ("matrix", "scalar", "auto")
        ),
        (DtypeError, "int64", lambda: square(np.array([1, 2]))),
        (TypeError, "argnums=0", square),
        (CompileError, "nothing is recorded yet", lambda: matrix(lambda x: x).source),
        (CompileError, "BoldDriver does more", lambda: matrix(lambda: x, optimizer=optim.BoldDriver(optim.SGD([x], lr=0.1)))),
        (TypeError, "optimizer= is one of tinygrad_bp.optim.*; got int", lambda: matrix(lambda: x, optimizer=3)),
        (ValueError, "native=True compiles single numbers", lambda: matrix(lambda x: x, native=True)),
        (TypeError, "chosen by argnums=", lambda: matrix(lambda x: x, wrt=0)),
        (TypeError, "chosen by argnums=", lambda: matrix(lambda x: x, wrt=["x"])),
        (TypeError, "such as model.parameters", lambda: matrix(lambda x: x, wrt=nn.Sequential(nn.Linear(1, 1)))),
        (ValueError, "leave wrt= away", lambda: matrix(lambda: x, wrt=[x], optimizer=optim.SGD([x], lr=0.1))),
    ]:
        with pytest.raises(error, match=says):
            call()
    square(np.ones(2))
    with tg.detect_anomaly(), pytest.raises(CompileError, match="inside detect_anomaly"):
        square(np.ones(2))


# -- parameters ------------------------------------------------------------------------------------------------------------


def regression(**options: Any) -> tuple[Any, Any, Any]:
    model = nn.Linear(2, 1, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1, **options)
    return model, optimizer, matrix(lambda x: np.sum(np.square(model(x))), optimizer=optimizer)


def test_parameters_may_get_other_values_or_be_frozen() -> None:
    model, _, step = regression()
    x = np.ones((1, 2))
    step(x)
    model.load_state_dict({"weight": np.zeros((1, 2)), "bias": np.ones(1)})
    assert step(x) == 1.0
    model.weight.data = np.ones((1, 2))
    assert step(x) == pytest.approx((2 + 0.8) ** 2)
    assert step.recorded == 1
    model.weight.requires_grad_(False)
    before = model.weight.numpy()
    step(x)
    np.testing.assert_array_equal(model.weight.numpy(), before)
    assert step.recorded == 2


def test_graphs_that_are_older_than_a_compiled_update_are_not_differentiated_wrongly() -> None:
    model, _, step = regression()
    x = np.ones((1, 2))
    step(x)
    loss = np.sum(np.square(model(x) @ model.weight))
    step(x)
    with pytest.raises(InPlaceError, match="was changed in place"):
        loss.backward()


def test_other_settings_of_the_optimizer_are_recorded_and_its_state_is_its_own() -> None:
    model, optimizer, step = regression(momentum=0.9)
    x = np.ones((1, 2))
    step(x)
    held = optimizer.state[0]["momentum_buffer"]
    value = held.copy()
    step(x)
    np.testing.assert_array_equal(held, value)  # somebody's array is not written to
    assert step.recorded == 1
    optimizer.momentum = 0.5
    step(x)
    assert step.recorded == 2
    state, weights = optimizer.state_dict(), model.state_dict()
    expected = [step(x) for _ in range(3)]
    optimizer.load_state_dict(state)
    model.load_state_dict(weights)
    assert [step(x) for _ in range(3)] == expected


def test_eager_and_compiled_updates_may_alternate() -> None:
    (model, optimizer, step), (other, own, _) = regression(momentum=0.9), regression(momentum=0.9)
    x = np.ones((1, 2))
    for k in range(6):
        own.zero_grad()
        np.sum(np.square(other(x))).backward()
        own.step()
        if k % 3 == 0:
            np.sum(np.square(model(x))).backward()
            optimizer.step()
            optimizer.zero_grad()
        else:
            step(x)
    np.testing.assert_allclose(model.weight.raw, other.weight.raw, rtol=1e-14)


def test_gradients_by_a_models_parameters() -> None:
    model = nn.Linear(2, 2, rng=0)
    x = np.ones((3, 2))
    value, gradients = matrix(lambda x: np.sum(model(x) ** 2), wrt=model.parameters())(x)
    loss = np.sum(model(x) ** 2)
    loss.backward()
    assert value == pytest.approx(loss.item())
    for g, p in zip(gradients, model.parameters(), strict=True):
        np.testing.assert_allclose(g, p.grad, rtol=1e-14)


# -- results and memory ------------------------------------------------------------------------------------------------------


def test_results_are_the_callers_unless_copy_is_false() -> None:
    a, b = np.ones(2), np.full(2, 2.0)
    f = matrix(lambda x, y: np.sum(x * y), (0, 1))
    _, (g, h) = f(a, b)
    g[:], h[:] = 7.0, 8.0
    assert (a == 1).all()
    assert (b == 2).all()
    own = matrix(lambda x: np.sum(np.exp(x)), copy=False)
    assert own(np.zeros(2))[1] is own(np.ones(2))[1]


def test_structures_and_tensors_come_back_as_they_went_in() -> None:
    f = matrix(lambda p, x: np.sum(p["w"] * x) + p["b"])
    value, gradient = f({"w": np.ones(2), "b": 2.0}, np.arange(2.0))
    assert value == 3.0
    assert gradient["b"] == 1.0
    np.testing.assert_array_equal(gradient["w"], [0.0, 1.0])
    value, gradient = matrix(lambda x: np.sum(x * x))(Tensor([1.0, 2.0]))
    assert isinstance(value, Tensor)
    assert isinstance(gradient, Tensor)


def allocated(call: Any) -> int:
    """Bytes that a call has in use at its peak, beyond those before it, once it has been called before."""
    call()
    return peak(call, call)


def peak(call: Any, before: Any = lambda: None) -> int:
    """Bytes that a call has in use at its peak, beyond those before it."""
    tracemalloc.start()
    before()
    start = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    call()
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest - start


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, lr=0.1), lambda p: optim.Adam(p, lr=0.1)])
def test_a_call_allocates_no_array(make: Any) -> None:
    iterator = 2 * 8192 * 8  # what NumPy's own loops take for a moment, where an operand is broadcast
    sizes, batch = [64, 64, 64], 512
    model, criterion = nn.MLP(sizes, activation=[nn.ReLU, nn.Sigmoid], rng=0), nn.HalfSquaredError()
    step = matrix(lambda x, t: criterion(model(x), t), optimizer=make(model.parameters()))
    x = t = np.full((batch, 64), 0.5)
    step(x, t)
    assert allocated(lambda: step(x, t)) < iterator + 8000 < batch * 64 * 8
    small = nn.MLP([2, 2, 2], rng=0)
    step = matrix(lambda x, t: criterion(small(x), t), optimizer=optim.SGD(small.parameters(), lr=0.1))
    x = t = np.full((1, 2), 0.5)
    assert allocated(lambda: step(x, t)) < 1500


@DIALECTS
@pytest.mark.parametrize("train", [False, True])
def test_a_program_keeps_no_argument_alive(dialect: Any, train: bool) -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    f = tg.compile(lambda x: np.sum(w * x), optimizer=optim.SGD([w], lr=0.1) if train else None, dialect=dialect)
    for call in (f.record, f, f):
        x = np.ones(2)
        seen = weakref.ref(x)
        call(x)
        del x
        assert seen() is None


def test_the_text_of_a_program_goes_with_it() -> None:
    """Python's tracebacks find it in ``linecache`` for as long as it can be called."""
    f = tg.compile(lambda x: np.sum(x * x), dialect="scalar")
    before = set(linecache.cache)
    f(np.ones(2))
    (text,) = linecache.cache.keys() - before
    del f
    gc.collect()
    assert text not in linecache.cache


def test_the_first_call_takes_little_more_memory_than_the_eager_step() -> None:
    """Of what it computes it keeps shapes alone, for as long as the program is written."""
    model, criterion = nn.MLP([64] * 21, rng=0), nn.HalfSquaredError()
    sgd, x, t = optim.SGD(model.parameters(), lr=0.1), np.full((256, 64), 0.5), np.full((256, 64), 0.4)

    def eager() -> None:
        sgd.zero_grad()
        criterion(model(x), t).backward()
        sgd.step()
        sgd.zero_grad()

    first, expected = peak(matrix(lambda: criterion(model(x), t), optimizer=sgd)), peak(eager)
    assert first < 1.25 * expected + (1 << 20)  # and some for the nodes


# -- the text ----------------------------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden"


def test_the_command_prints_the_program_of_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "step_by_step", "--dialect", "matrix"]) == 0
    text, golden = capsys.readouterr().out, GOLDEN / "compile_step_by_step_matrix.py.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", ["bp_explained", "one_output", "weight_update", "four_equations", "course_222"])
def test_every_example_is_printed_within_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", name, "--dialect", "matrix", "--momentum", "0.9"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def calls(source: str) -> Counter[str]:
    """The functions that ``step`` calls, and how often."""
    tree = ast.parse(source)
    step = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "step")
    return Counter(ast.unparse(n.func) for n in ast.walk(step) if isinstance(n, ast.Call))


def test_a_step_of_a_network_has_no_more_calls_than_one_written_by_hand() -> None:
    """The bench's listing with buffers has 34, without the two that keep exp from overflowing."""
    model, criterion = nn.MLP([2, 2, 2], rng=0), nn.HalfSquaredError()
    step = matrix(lambda x, t: criterion(model(x), t), optimizer=optim.SGD(model.parameters(), lr=0.5))
    found = calls(step.record(np.ones((1, 2)), np.ones((1, 2))))
    assert found == {
        "dot": 5, "add": 4, "negative": 2, "minimum": 2, "exp": 2, "divide": 2, "subtract": 8, "add_reduce": 1,
        "multiply": 7,
    }  # fmt: skip
    assert found.total() == 33


def test_the_text_is_a_program_of_its_own() -> None:
    space: dict[str, Any] = {}
    x = np.array([0.5, -1.0])
    exec(matrix(lambda x, y: np.sum(np.tanh(x) * y), (0, 1)).record(x, x), space)
    value, (dx, dy) = space["make"]()(x, x)
    assert value == np.sum(np.tanh(x) * x)
    np.testing.assert_allclose(dx, (1 - np.tanh(x) ** 2) * x)
    np.testing.assert_allclose(dy, np.tanh(x))
