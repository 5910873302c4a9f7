"""The training loop against plain loops in NumPy: what it computes, when it stops, what it records, how it goes on."""

from __future__ import annotations

import io
import math
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_bp import Tensor, nn, optim
from tinygrad_bp.errors import DivergenceError, InPlaceError, NameLookupError, ShapeError
from tinygrad_bp.optim import progress as progress_module
from tinygrad_bp.worked import step_by_step

rng = np.random.default_rng(5)
X, W_TRUE = rng.normal(size=(10, 3)), np.array([[1.0, -2.0, 0.5]])
Y = X @ W_TRUE.T + 0.1 * rng.normal(size=(10, 1))
XOR_X, XOR_Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]


def line(seed: int = 0) -> nn.Linear:
    return nn.Linear(3, 1, bias=False, rng=seed)


def descend(w: Any, batches: Any, lr: float) -> Any:
    """The loss of all samples under the weights before each batch, and the weights after the last."""
    losses = [np.mean((X @ w.T - Y) ** 2)]
    for i in batches:
        w = w - lr * 2 / (Y[i].size) * (X[i] @ w.T - Y[i]).T @ X[i]
        losses.append(np.mean((X @ w.T - Y) ** 2))
    return losses, w


def fit(model: Any, **options: Any) -> optim.History:
    lr, data = options.pop("lr", 0.1), (options.pop("x", X), options.pop("y", Y))
    return optim.fit(
        model, options.pop("loss", nn.MSELoss()), *data, options.pop("optimizer", None) or optim.SGD(model.parameters(), lr=lr), **options
    )


# -- what is computed ------------------------------------------------------------------------------------------------


def test_full_batch_is_gradient_descent() -> None:
    model = line()
    losses, w = descend(model.weight.numpy(), [slice(None)] * 12, 0.1)
    history = fit(model, updates=12, record_weights=True)
    np.testing.assert_allclose(model.weight.numpy(), w, rtol=1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    assert (history.updates, history.epochs, history.stopped) == (12, 12, "all updates made")
    assert history.at == list(range(13))
    assert history.loss[-1] == nn.MSELoss()(model(X), Y).item() == history.final_loss
    assert history.batch_loss == history.loss[:-1]
    np.testing.assert_array_equal(history.weights["weight"][-1], model.weight.numpy())
    np.testing.assert_array_equal(history.weights["weight"][0], line().weight.numpy())
    assert not any("restored" in text for text in repr(history).splitlines())


@pytest.mark.parametrize("sampling", ["shuffle", "order", "random"])
def test_mini_batches(sampling: str) -> None:
    model, draw = line(), np.random.default_rng(3)
    batches: list[Any] = []
    for _ in range(3):
        order = draw.permutation(10) if sampling == "shuffle" else np.arange(10)
        batches += [draw.integers(10, size=4) if sampling == "random" else order[i : i + 4] for i in (0, 4, 8)]
    losses, w = descend(model.weight.numpy(), batches, 0.1)
    history = fit(model, epochs=3, batch_size=4, sampling=sampling, rng=3)
    np.testing.assert_allclose(model.weight.numpy(), w, rtol=1e-12)
    np.testing.assert_allclose(history.loss, losses[::3], rtol=1e-12)
    assert (history.at, history.updates, history.epochs, len(history.batch_loss)) == ([0, 3, 6, 9], 9, 3, 9)


def test_a_run_that_ends_within_an_epoch_measures_its_last_weights() -> None:
    model = line()
    history = fit(model, updates=4, batch_size=4, rng=3)
    assert (history.at, history.epochs) == ([0, 3, 4], 1)
    assert history.loss[-1] == nn.MSELoss()(model(X), Y).item()


def test_one_random_sample_at_a_time_as_the_xor_listing() -> None:
    """The total error of all samples after every update, and draws with replacement."""
    model, draw = nn.MLP([2, 5, 1], bias="shared", rng=1), np.random.default_rng(2)
    twin = nn.MLP([2, 5, 1], bias="shared", rng=1)
    criterion, x, y = nn.HalfSquaredError(), np.array(XOR_X, float), np.array(XOR_Y, float)
    sgd, totals = optim.SGD(twin.parameters(), lr=0.5), [criterion(twin(x), y).item()]
    for _ in range(50):
        i = draw.integers(4, size=1)
        sgd.zero_grad()
        criterion(twin(x[i]), y[i]).backward()
        sgd.step()
        totals.append(criterion(twin(x), y).item())
    sgd = optim.SGD(model.parameters(), lr=0.5)
    history = optim.fit(model, criterion, XOR_X, XOR_Y, sgd, updates=50, batch_size=1, sampling="random", measure_every=1, rng=2)
    assert history.loss == totals


def test_xor_is_learned() -> None:
    model = nn.MLP([2, 5, 1], rng=1)
    adam = optim.Adam(model.parameters(), lr=0.05)
    history = optim.fit(model, nn.MSELoss(), XOR_X, XOR_Y, adam, updates=3000, threshold=1e-3, accuracy=True)
    assert history.loss[-1] <= 1e-3 < history.loss[-2]
    assert history.accuracy[-1] == 1.0
    assert history.stopped == "the training loss reached the threshold 0.001"


def test_the_worked_example_of_one_sample() -> None:
    model = step_by_step.network()
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    sgd = optim.SGD(model.parameters(), lr=0.5)
    history = optim.fit(model, nn.HalfSquaredError(), step_by_step.INPUT, step_by_step.TARGET, sgd, updates=100, record_weights=True)
    for name, p in step_by_step.train(100).named_parameters():
        np.testing.assert_array_equal(history.weights[name][-1], p.numpy())
    assert f"{history.loss[0]:.9f}" == step_by_step.FORWARD["E_total"]


def test_a_schedule_steps_after_each_epoch() -> None:
    model = line()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, optimizer=sgd, epochs=4, batch_size=4, rng=0, schedule=optim.ExponentialLR(sgd, 0.5))
    assert history.lr == [0.1, 0.05, 0.025, 0.0125, 0.00625]


def test_clip_norm_limits_every_update() -> None:
    model = line()
    history = fit(model, lr=1.0, updates=3, clip_norm=0.01, record_weights=True)
    steps = np.diff(history.weights["weight"], axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=-1), 0.01, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_bold_driver_in_the_loop(batch_size: Any) -> None:
    model = line()
    driver = optim.BoldDriver(optim.SGD(model.parameters(), lr=20.0, momentum=0.5))
    history = fit(model, optimizer=driver, updates=60, batch_size=batch_size, rng=0)
    assert history.lr[0] == 20.0 > driver.lr
    assert history.loss[-1] < 0.1 * history.loss[0]
    if batch_size is None:
        assert all(b <= 1.04 * a for a, b in zip(history.loss, history.loss[1:], strict=False))
        assert history.loss[1] == history.loss[0]  # the first step was taken back


# -- when it stops ---------------------------------------------------------------------------------------------------


def test_the_threshold_counts_only_the_updates_needed() -> None:
    losses, _ = descend(line().weight.numpy(), [slice(None)] * 40, 0.1)
    needed = next(k for k, value in enumerate(losses) if value <= 0.5)
    history = fit(line(), updates=40, threshold=0.5)
    assert (history.updates, len(history.loss)) == (needed, needed + 1)
    assert fit(line(), updates=needed - 1, threshold=0.5).stopped == "all updates made"
    assert fit(line(), threshold=1e9).updates == 0


def test_patience_and_the_best_weights() -> None:
    """A rate that is too large: the loss rises from the start, and the best weights are the first ones."""
    start, model = line().weight.numpy(), line()
    history = fit(model, lr=2.0, updates=50, patience=3, restore_best=True)
    assert (history.updates, history.stopped, history.restored) == (3, "no lower loss in 3 measurements", 0)
    assert history.final_loss == history.loss[0] < history.loss[-1]
    np.testing.assert_array_equal(model.weight.numpy(), start)
    assert "the weights are those after 0 updates" in repr(history)


def test_the_measurement_at_a_break_does_not_use_up_patience() -> None:
    """Two runs of 5 updates with a break within an epoch of 3 see the same epochs as one of 10."""
    whole = fit(line(), lr=2.0, updates=10, batch_size=4, rng=0, patience=99)
    first = fit(model := line(), lr=2.0, updates=5, batch_size=4, rng=0, patience=99)
    second = fit(model, lr=2.0, updates=10, batch_size=4, resume=first, patience=99)
    assert (whole.at, second.at) == ([0, 3, 6, 9, 10], [0, 3, 5, 6, 9, 10])
    assert first.best["stale"] == 1
    assert second.best["stale"] == whole.best["stale"] == 3


def test_weights_put_back_are_a_change_in_place() -> None:
    """A graph of the last weights cannot be differentiated at others."""
    model, graphs = line(), []
    fit(model, lr=2.0, patience=3, restore_best=True, callbacks=[lambda state: graphs.append(nn.MSELoss()(state.model(X), Y))])
    with pytest.raises(InPlaceError):
        graphs[-1].backward()
    driver = optim.BoldDriver(optim.SGD(model.parameters(), lr=99.0))

    def closure() -> Any:
        driver.zero_grad()
        graphs.append(nn.MSELoss()(model(X), Y))
        graphs[-1].backward()
        return graphs[-1]

    driver.step(closure)
    with pytest.raises(InPlaceError):
        graphs[-1].backward()


def test_validation_decides_where_there_is_one() -> None:
    model = line()
    worse = [2.0]

    def criterion(output: Any, target: Any) -> Any:
        if output.shape[0] == 1:  # the validation loss rises whatever happens
            worse.append(worse[-1] + 1)
            return Tensor(worse[-1])
        return nn.MSELoss()(output, target)

    sgd = optim.SGD(model.parameters(), lr=0.01)
    history = optim.fit(model, criterion, X, Y, sgd, updates=50, patience=4, validation=(X[:1], Y[:1]))
    assert history.validation_loss == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert history.loss == sorted(history.loss, reverse=True)
    assert history.updates == 4


def test_a_validation_loss_that_begins_as_nan_may_still_become_better() -> None:
    values = iter([math.nan, 3.0, 2.0, math.nan, 2.5])

    def criterion(output: Any, target: Any) -> Any:
        return Tensor(next(values)) if output.shape[0] == 1 else nn.MSELoss()(output, target)

    model = line()
    history = optim.fit(model, criterion, X, Y, optim.SGD(model.parameters(), lr=0.01), updates=4, validation=(X[:1], Y[:1]))
    assert (history.best["value"], history.best["at"], history.best["stale"]) == (2.0, 2, 2)


def test_validation_is_computed_in_eval_mode_and_without_a_graph() -> None:
    seen = []

    class Spy(nn.Linear):
        def forward(self, x: Any) -> Any:
            y = super().forward(x)
            seen.append((x.shape[0], self.training, y.requires_grad))
            return y

    model = Spy(3, 1, rng=0)
    model.eval()
    fit(model, updates=2, validation=(X[:4], Y[:4]))
    assert set(seen) == {(10, True, True), (4, False, False)}
    assert model.training is False


def test_a_callback_sees_the_run_and_may_stop_it() -> None:
    seen = []

    def callback(state: optim.State) -> None:
        seen.append((state.history.updates, state.history.loss[-1]))
        if state.history.updates == 3:
            state.stop("enough")

    history = fit(line(), updates=50, callbacks=[callback])
    assert (history.updates, history.stopped) == (3, "enough")
    assert seen == list(zip(history.at, history.loss, strict=True))


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C as a terminal has it: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_after_the_update_and_returns_the_history() -> None:
    def press(state: optim.State) -> None:
        if state.history.updates == 5:
            signal.raise_signal(signal.SIGINT)

    model, losses = line(), descend(line().weight.numpy(), [slice(None)] * 5, 0.1)[0]
    history = fit(model, updates=50, callbacks=[press])
    assert (history.stopped, history.updates) == ("Ctrl-C", 5)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for choice, restored in ((None, 0), (True, 0), (False, None)):  # with this rate the start is the best there is
        history = fit(line(), lr=2.0, updates=50, callbacks=[press], restore_best=choice)
        assert (history.stopped, history.restored) == ("Ctrl-C", restored)


@pytest.mark.usefixtures("heard")
def test_a_second_ctrl_c_interrupts_at_once() -> None:
    def press(state: optim.State) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(line(), updates=50, callbacks=[press])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_runs_in_a_thread() -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(line(), updates=3).updates))
    thread.start()
    thread.join()
    assert results == [3]


@pytest.mark.parametrize("batch_size", [None, 4])
def test_divergence_leaves_finite_weights_and_says_what_to_try(batch_size: Any) -> None:
    model = line()
    with pytest.raises(DivergenceError, match=r"Try a smaller lr, fit\(..., clip_norm=1.0\).*tg.detect_anomaly") as caught:
        fit(model, lr=1e30, updates=50, batch_size=batch_size, rng=0, record_weights=True)
    history: Any = caught.value.history
    assert 0 < history.updates < 50
    assert history.stopped == "the loss became NaN or infinite"
    assert np.all(np.isfinite(model.weight.numpy()))
    assert all(map(math.isfinite, history.loss + history.batch_loss))
    if batch_size is None:
        np.testing.assert_array_equal(model.weight.numpy(), history.weights["weight"][-1])


def test_the_best_weights_are_put_back_after_divergence_too() -> None:
    model = line()
    with pytest.raises(DivergenceError) as caught:
        fit(model, lr=1e30, updates=50, restore_best=True)
    history: Any = caught.value.history
    assert history.restored == 0
    np.testing.assert_array_equal(model.weight.numpy(), line().weight.numpy())


@pytest.mark.parametrize("batch_size", [None, 4])
def test_one_graph_at_a_time_is_in_memory(batch_size: Any) -> None:
    alive: list[Any] = []

    class Spy(nn.Linear):
        def forward(self, x: Any) -> Any:
            assert [y for y in alive if y() is not None] == []
            y = super().forward(x)
            alive.append(weakref.ref(y))
            return y

    model = Spy(3, 1, rng=0)
    fit(model, epochs=3, batch_size=batch_size, accuracy=True)
    assert len(alive) > 3


def test_nan_in_the_data_is_named_as_such() -> None:
    model = line()
    with pytest.raises(DivergenceError, match="the loss is nan before the first update of this run: look for NaN"):
        fit(model, x=X * math.nan, updates=3)
    np.testing.assert_array_equal(model.weight.numpy(), line().weight.numpy())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "say when to stop: updates=, epochs=, threshold= or patience="),
        ({"updates": 1, "x": X[:0], "y": Y[:0]}, ValueError, r"there are no samples: x has shape \(0, 3\)"),
        ({"updates": 1, "y": Y[:9]}, ShapeError, r"x has shape \(10, 3\) and target \(9, 1\)"),
        ({"updates": 1, "validation": (X[:3], Y[:2])}, ShapeError, r"x has shape \(3, 3\) and target \(2, 1\)"),
        ({"updates": 1, "batch_size": 11}, ValueError, "batch_size is 11, but there are only 10 samples; None means all"),
        ({"updates": 1, "batch_size": 0}, ValueError, "batch_size is a number of samples, at least 1"),
        ({"updates": 1, "batch_size": 2.5}, ValueError, "batch_size is a number of samples"),
        ({"updates": 1, "batch_size": 2, "sampling": "bootstrap"}, ValueError, "sampling is"),
        ({"updates": 1, "batch_size": 2, "resume": optim.History()}, ValueError, "was not of mini-batches"),
        ({"updates": 1, "accuracy": lambda o, t: optim.accuracy(o, np.zeros(3))}, ShapeError, r"outputs of shape \(10, 1\) go with"),
        ({"updates": 1, "loss": nn.MSELoss("none")}, ShapeError, r"the loss has shape \(10, 1\); fit minimises a single number"),
        ({"updates": -1}, ValueError, "updates is a whole number, not negative; got -1"),
        ({"updates": 1, "patience": 0}, ValueError, "patience is a whole number, at least 1; got 0"),
        ({"updates": 1, "measure_every": 0}, ValueError, "measure_every is a whole number, at least 1; got 0"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    model = line()
    with pytest.raises(error, match=message):
        fit(model, **options)
    np.testing.assert_array_equal(model.weight.numpy(), line().weight.numpy())


# -- accuracy --------------------------------------------------------------------------------------------------------


def test_accuracy_of_one_hot_classes_and_single_outputs() -> None:
    output = np.array([[0.9, 0.1, 0.3], [0.2, 0.1, 0.8], [0.4, 0.5, 0.1], [0.1, 0.2, 0.3]])
    classes = np.array([0, 2, 0, 2])
    assert optim.accuracy(Tensor(output, requires_grad=True), classes) == 0.75
    assert optim.accuracy(output, np.eye(3)[classes]) == 0.75
    assert optim.accuracy(output[:, :1], np.array([[1], [0], [0], [1]])) == 0.75
    assert optim.accuracy(output[:, :1], np.array([1, 0, 0, 1])) == 0.75
    assert optim.accuracy(output[0], [1, 0, 0]) == 1.0


def test_accuracy_is_recorded_for_training_and_validation() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    target = np.eye(2)[(x[:, 0] + x[:, 1] > 0).astype(int)]
    model = nn.MLP([2, 4, 2], rng=0)
    adam = optim.Adam(model.parameters(), lr=0.05)
    history = optim.fit(
        model, nn.MSELoss(), x[:40], target[:40], adam, epochs=20, batch_size=8, rng=0, accuracy=True, validation=(x[40:], target[40:])
    )
    assert len(history.accuracy) == len(history.validation_accuracy) == len(history.loss) == 21
    assert history.accuracy[-1] == optim.accuracy(model(x[:40]), target[:40]) > 0.9
    assert history.validation_accuracy[-1] == optim.accuracy(model(x[40:]), target[40:]) > 0.9
    assert "validation accuracy" in repr(history)
    assert max(map(len, repr(history).splitlines())) <= 80
    assert repr(history).isascii()


# -- progress --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    out = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setitem(sys.modules, "tqdm", None)  # not installed
    monkeypatch.setattr(progress_module, "INTERVAL", 0.0)
    fit(line(), updates=12, progress=True)
    shown = out.getvalue()
    if terminal:
        assert "\rupdate 12/12  loss " in shown
        assert shown.endswith("\r")
        assert shown.isascii()
        assert "\n" not in shown
    else:
        assert shown == ""


def test_a_short_run_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    monkeypatch.setattr(progress_module, "WAIT", 1e9)
    for show in (None, False):
        fit(line(), updates=3, progress=show)
    assert out.getvalue() == ""


def test_a_bar_of_tqdm_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed: pip install tqdm")
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    fit(line(), updates=3, progress=True)
    assert "0/3" in out.getvalue()


# -- going on --------------------------------------------------------------------------------------------------------

RESUME = """
import sys
import numpy as np
from tinygrad_bp import nn, optim

x = np.random.default_rng(0).normal(size=(10, 3))
y = np.sin(x[:, :2])

def setup(seed):
    model = nn.MLP([3, 5, 2], activation=nn.Tanh, rng=seed)
    adam = optim.Adam(model.parameters(), lr=0.05)
    return model, adam, optim.StepLR(adam, 5, 0.5)

def train(parts, updates, resume=None):
    model, adam, schedule = parts
    return optim.fit(model, nn.MSELoss(), x, y, adam, updates=updates, batch_size=4, schedule=schedule, rng=7, resume=resume)

def digest(parts):
    return "".join(p.numpy().tobytes().hex() for p in parts[0].parameters())
"""


def test_a_resumed_run_has_the_same_bits_as_one_without_a_break(tmp_path: Path) -> None:
    """50 updates are 20, a checkpoint in the midst of an epoch, and 30 in a new process."""
    scope: dict[str, Any] = {}
    exec(RESUME, scope)
    whole, first, path = scope["setup"](0), scope["setup"](0), tmp_path / "run.npz"
    uninterrupted = scope["train"](whole, 50)
    history = scope["train"](first, 20)
    optim.save_checkpoint(path, first[0], first[1], history, first[2])
    second = f"""{RESUME}
parts = setup(99)
history = optim.load_checkpoint({str(path)!r}, *parts)
history = train(parts, 50, history)
print(digest(parts), parts[1].lr, history.updates, history.epochs, *history.batch_loss)
"""
    run = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    bits, lr, updates, epochs, *losses = run.stdout.split()
    assert bits == scope["digest"](whole)
    assert (float(lr), int(updates), int(epochs)) == (whole[1].lr, 50, 16)
    assert [float(value) for value in losses] == uninterrupted.batch_loss
    assert bits != scope["digest"](first)


@pytest.mark.parametrize("sampling", ["shuffle", "random"])
@pytest.mark.parametrize("generator", ["PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_every_generator_goes_on(tmp_path: Path, generator: str, sampling: str) -> None:
    def run(**options: Any) -> optim.History:
        draw = np.random.Generator(getattr(np.random, generator)(3))
        return fit(parts[0], optimizer=parts[1], batch_size=3, sampling=sampling, rng=draw, **options)

    results = []
    for interrupted in (False, True):
        model = line()
        parts = model, optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
        if interrupted:
            history = run(updates=6)
            optim.save_checkpoint(tmp_path / "run.npz", *parts, history)
            model = line(1)
            parts = model, optim.SGD(model.parameters(), lr=9.0)
            run(updates=11, resume=optim.load_checkpoint(tmp_path / "run.npz", *parts))
        else:
            run(updates=11)
        results.append(model.weight.numpy().tobytes())
    assert results[0] == results[1]


def test_a_checkpoint_keeps_the_whole_history(tmp_path: Path) -> None:
    model, path = nn.MLP([3, 2, 1], bias="shared", rng=0), tmp_path / "run.npz"
    driver = optim.BoldDriver(optim.SGD(model.parameters(), lr=0.1, momentum=0.5))
    history = fit(model, optimizer=driver, epochs=3, batch_size=4, rng=0, validation=(X, Y), record_weights=True, restore_best=True)
    optim.save_checkpoint(path, model, driver, history)
    twin = nn.MLP([3, 2, 1], bias="shared", rng=1)
    loaded = optim.load_checkpoint(path, twin, optim.BoldDriver(optim.SGD(twin.parameters(), lr=9.0)))
    assert repr(loaded) == repr(history)
    assert (loaded.loss, loaded.at, loaded.lr, loaded.validation_loss) == (history.loss, history.at, history.lr, history.validation_loss)
    for name, values in history.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], values)
    for a, b in zip(loaded.best["weights"], history.best["weights"], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("more", [0, 4])
def test_the_best_weights_of_a_resumed_run_are_the_best_from_there(more: int) -> None:
    model = line()
    first = fit(model, lr=2.0, updates=3, restore_best=False)
    there = model.weight.numpy()
    second = fit(model, lr=2.0, updates=3 + more, resume=first, restore_best=True)
    assert second.restored == 3
    np.testing.assert_array_equal(model.weight.numpy(), there)


def test_a_resumed_history_is_a_new_one() -> None:
    model = line()
    first = fit(model, updates=3)
    second = fit(model, updates=5, resume=first)
    assert (first.updates, first.at, second.at) == (3, [0, 1, 2, 3], [0, 1, 2, 3, 4, 5])


def test_checkpoints_while_training(tmp_path: Path) -> None:
    model, path = line(), tmp_path / "run.npz"
    sgd, saved = optim.SGD(model.parameters(), lr=0.1, momentum=0.5), []

    def look(_: optim.State) -> None:
        saved.append(optim.load_checkpoint(path, line(), optim.SGD(line().parameters(), lr=1.0)).updates if path.exists() else None)

    fit(model, optimizer=sgd, updates=7, callbacks=[optim.Checkpoint(path, every=3), look])
    assert saved == [None, None, None, 3, 3, 3, 6, 6]


def test_a_save_that_fails_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = line(), tmp_path / "run.npz"
    sgd = optim.SGD(model.parameters(), lr=0.1)
    optim.save_checkpoint(path, model, sgd)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        optim.save_checkpoint(path, model, sgd)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


def test_damaged_and_foreign_files_change_nothing(tmp_path: Path) -> None:
    model, path = line(), tmp_path / "run.npz"
    adam = optim.Adam(model.parameters())
    history = fit(model, optimizer=adam, updates=2)
    optim.save_checkpoint(path, model, adam, history)
    whole = path.read_bytes()
    other = line(1)
    sgd, start = optim.Adam(other.parameters()), other.weight.numpy()
    np.savez(tmp_path / "else.npz", a=np.zeros(3))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_bytes(b"no archive")
    for n in range(10, len(whole), max(1, len(whole) // 50)):
        (tmp_path / "cut.npz").write_bytes(whole[:n])
        with pytest.raises(ValueError, match="is damaged, or not a checkpoint"):
            optim.load_checkpoint(tmp_path / "cut.npz", other, sgd)
    for name in ("else", "empty", "text"):
        with pytest.raises(ValueError, match="is damaged, or not a checkpoint"):
            optim.load_checkpoint(tmp_path / f"{name}.npz", other, sgd)
    with pytest.raises(NameLookupError, match="is that of 'Adam'"):
        optim.load_checkpoint(path, other, optim.SGD(other.parameters(), lr=0.1))
    with pytest.raises((ShapeError, NameLookupError)):
        optim.load_checkpoint(path, wrong := nn.Linear(4, 1, bias=False, rng=0), optim.Adam(wrong.parameters()))
    with pytest.raises(ValueError, match="without a schedule"):
        optim.load_checkpoint(path, other, sgd, optim.StepLR(sgd, 3))
    with pytest.raises(FileNotFoundError):
        optim.load_checkpoint(tmp_path / "none.npz", other, sgd)
    np.testing.assert_array_equal(other.weight.numpy(), start)
    assert sgd.state == {}


def test_flipped_bytes_load_as_they_were_or_not_at_all(tmp_path: Path) -> None:
    model, path, draw = line(), tmp_path / "run.npz", np.random.default_rng(0)
    adam = optim.Adam(model.parameters())
    optim.save_checkpoint(path, model, adam, fit(model, optimizer=adam, epochs=2, batch_size=4, rng=0))
    whole, refused = path.read_bytes(), 0
    expected = model.weight.numpy()
    for _ in range(500):
        damaged = bytearray(whole)
        for i in draw.integers(len(whole), size=2):
            damaged[i] ^= 1 << draw.integers(8)
        path.write_bytes(damaged)
        try:
            optim.load_checkpoint(path, model, adam)
        except (ValueError, KeyError):  # a name of an array that was flipped is a key that is missing
            refused += 1
        np.testing.assert_array_equal(model.weight.numpy(), expected)
    assert refused > 400


def test_only_numpys_generators_are_looked_up_by_name() -> None:
    history = fit(line(), updates=3, batch_size=4, rng=0)
    history.position["rng"]["bit_generator"] = "RandomState"
    with pytest.raises(ValueError, match="'RandomState' is none of NumPy's"):
        fit(line(), updates=6, batch_size=4, resume=history)


def test_resuming_with_other_data_is_refused() -> None:
    history = fit(line(), updates=3, batch_size=4, rng=0)
    with pytest.raises(ValueError, match="batches of 4 out of 10 samples; this one has 5 out of 10"):
        fit(line(), updates=6, batch_size=5, resume=history)


# -- the same run in PyTorch -----------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
@pytest.mark.parametrize("schedule", ["StepLR", "ExponentialLR", "CosineAnnealingLR"])
def test_a_run_of_mini_batches_is_pytorchs(name: str, schedule: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    model = nn.MLP([3, 6, 2], activation=nn.Tanh, rng=0)
    peer = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2), torch.nn.Tanh()).double()
    peer.load_state_dict({key: torch.tensor(value) for key, value in model.state_dict().items()}, strict=True)
    options = {"StepLR": {"step_size": 3, "gamma": 0.5}, "ExponentialLR": {"gamma": 0.9}, "CosineAnnealingLR": {"T_max": 6}}[schedule]
    x, y, lr = X, np.tanh(X[:, :2] * 2), 0.03
    ours, theirs = getattr(optim, name)(model.parameters(), lr=lr), getattr(torch.optim, name)(peer.parameters(), lr=lr)
    plan, their_plan = getattr(optim, schedule)(ours, **options), getattr(torch.optim.lr_scheduler, schedule)(theirs, **options)
    history = optim.fit(
        model, nn.MSELoss(), x, y, ours, epochs=8, batch_size=4, rng=11, schedule=plan, measure_every=1, record_weights=True, clip_norm=0.3
    )
    draw, k, names = np.random.default_rng(11), 0, list(model.state_dict())
    for _ in range(8):
        order = draw.permutation(10)
        for i in (order[:4], order[4:8], order[8:]):
            theirs.zero_grad()
            loss = torch.nn.MSELoss()(peer(torch.tensor(x[i])), torch.tensor(y[i]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 0.3)
            theirs.step()
            assert history.batch_loss[k] == pytest.approx(loss.item(), rel=1e-10)
            k += 1
            for key in names:
                np.testing.assert_allclose(history.weights[key][k], peer.state_dict()[key].numpy(), rtol=1e-9, atol=1e-12)
        their_plan.step()
