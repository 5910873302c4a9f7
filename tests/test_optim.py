"""Optimizers, schedules and clipping: each against a transcription of its formula, and update by update against PyTorch."""

from __future__ import annotations

import importlib
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tinygrad_bp import Tensor, nn, optim
from tinygrad_bp.errors import NameLookupError, ShapeError

START = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -0.7]])
UPDATES = 25


def gradient(w: Any, k: int) -> Any:
    """That of a function which changes with k, so that momentum, averages and steps all matter."""
    return w**3 + np.cos(np.arange(6.0).reshape(2, 3) + k) * w - 0.3


def sgd(w: Any, lr: float, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> Any:
    v = None
    for k in range(UPDATES):
        g = gradient(w, k) + weight_decay * w
        v = g if v is None else momentum * v + (1 - dampening) * g
        yield (w := w - lr * (g + momentum * v if nesterov else v))


def adam(w: Any, lr: float, betas: Any = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False) -> Any:
    m = v = np.zeros_like(w)
    for t in range(1, UPDATES + 1):
        g = gradient(w, t - 1) + (0 if decoupled else weight_decay * w)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        yield (w := w - (lr * weight_decay * w if decoupled else 0) - lr * m_hat / (np.sqrt(v_hat) + eps))


def rmsprop(
    w: Any, lr: float, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False
) -> Any:
    s = m = u = np.zeros_like(w)
    for k in range(UPDATES):
        g = gradient(w, k) + weight_decay * w
        s, m = alpha * s + (1 - alpha) * g**2, alpha * m + (1 - alpha) * g
        u = momentum * u + g / (np.sqrt(s - m**2 if centered else s) + eps)
        yield (w := w - lr * u)


def adagrad(
    w: Any, lr: float, lr_decay: float = 0.0, weight_decay: float = 0.0, initial_accumulator_value: float = 0.0, eps: float = 1e-10
) -> Any:
    s = np.full_like(w, initial_accumulator_value)
    for t in range(1, UPDATES + 1):
        g = gradient(w, t - 1) + weight_decay * w
        s = s + g**2
        yield (w := w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps))


def adamw(w: Any, lr: float, weight_decay: float = 0.01, **options: Any) -> Any:
    return adam(w, lr, weight_decay=weight_decay, decoupled=True, **options)


CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("SGD", sgd, {"lr": 0.05}),
    ("SGD", sgd, {"lr": 0.05, "momentum": 0.9}),
    ("SGD", sgd, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", sgd, {"lr": 0.05, "weight_decay": 0.1}),
    ("SGD", sgd, {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.1, "nesterov": True}),
    ("Adam", adam, {"lr": 0.1}),
    ("Adam", adam, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.1}),
    ("AdamW", adamw, {"lr": 0.1}),
    ("AdamW", adamw, {"lr": 0.1, "betas": (0.7, 0.9), "weight_decay": 0.5}),
    ("RMSprop", rmsprop, {"lr": 0.01}),
    ("RMSprop", rmsprop, {"lr": 0.01, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.9}),
    ("RMSprop", rmsprop, {"lr": 0.01, "alpha": 0.8, "momentum": 0.5, "centered": True}),
    ("Adagrad", adagrad, {"lr": 0.3}),
    ("Adagrad", adagrad, {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3}),
]
each_case = pytest.mark.parametrize(("name", "by_hand", "options"), CASES, ids=[f"{n}-{'-'.join(o)}" for n, _, o in CASES])


def updates(optimizer: Any, w: Tensor, first: int = 0, last: int = UPDATES) -> Any:
    for k in range(first, last):
        w.grad = gradient(w.numpy(), k)
        optimizer.step()
        yield w.numpy()


@each_case
def test_updates_follow_the_formula(name: str, by_hand: Any, options: dict[str, Any]) -> None:
    w = Tensor(START, requires_grad=True)
    for ours, expected in zip(updates(getattr(optim, name)([w], **options), w), by_hand(START, **options), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
    assert np.min(np.abs(w.numpy() - START)) > 1e-3


@pytest.mark.peers
@each_case
def test_updates_are_pytorchs(name: str, by_hand: Any, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    w, v = Tensor(START, requires_grad=True), torch.tensor(START, requires_grad=True)
    theirs = getattr(torch.optim, name)([v], **options)
    for k, ours in enumerate(updates(getattr(optim, name)([w], **options), w)):
        v.grad = torch.tensor(gradient(v.detach().numpy(), k))
        theirs.step()
        np.testing.assert_allclose(ours, v.detach().numpy(), rtol=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_options_and_their_order_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    inspect = importlib.import_module("inspect")
    theirs = [(p.name, p.default) for p in inspect.signature(getattr(torch.optim, name)).parameters.values()]
    ours = inspect.signature(getattr(optim, name)).parameters
    settings = getattr(optim, name)([Tensor(START, requires_grad=True)], lr=0.1)
    for option in set(settings.settings) - {"lr"}:
        assert getattr(settings, option) == dict(theirs)[option]
    assert list(ours)[1:] == [option for option, _ in theirs if option in ours][1:]


@each_case
def test_float32_stays_float32(name: str, by_hand: Any, options: dict[str, Any]) -> None:
    w = Tensor(START.astype(np.float32), requires_grad=True)
    optimizer = getattr(optim, name)([w], **(options | {"lr": np.float64(options["lr"])}))
    for k in range(3):
        w.grad = gradient(w.numpy(), k).astype(np.float32)
        optimizer.step()
    assert w.dtype == np.float32
    assert type(optimizer.lr) is float
    assert all(v.dtype == np.float32 for v in optimizer.state.get(0, {}).values() if hasattr(v, "dtype"))


@each_case
def test_a_loaded_state_goes_on_with_the_same_bits(name: str, by_hand: Any, options: dict[str, Any]) -> None:
    w = Tensor(START, requires_grad=True)
    optimizer = getattr(optim, name)([w], **options)
    list(updates(optimizer, w, 0, 10))
    state, there = optimizer.state_dict(), w.numpy()
    list(updates(optimizer, w, 10, 20))  # and what the state holds does not move along
    other = Tensor(there, requires_grad=True)
    loaded = getattr(optim, name)([other], lr=123.0)
    loaded.load_state_dict(state)
    list(updates(loaded, other, 10, 20))
    assert other.numpy().tobytes() == w.numpy().tobytes()
    assert repr(loaded) == repr(optimizer)


def test_a_state_that_is_written_to_belongs_to_its_owner() -> None:
    w = Tensor(START, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    list(updates(optimizer, w, 0, 2))
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    expected = optimizer.state[0]["momentum_buffer"].copy()
    for handed_out in (state, optimizer.state_dict()):
        handed_out["state"][0]["momentum_buffer"][...] = 99.0
        np.testing.assert_array_equal(optimizer.state[0]["momentum_buffer"], expected)


def test_a_state_of_something_else_is_refused_and_changes_nothing() -> None:
    w = Tensor(START, requires_grad=True)
    adam, small = optim.Adam([w]), optim.Adam([Tensor([1.0, 2.0], requires_grad=True)])
    list(updates(adam, w, 0, 1))
    with pytest.raises(NameLookupError, match="is that of 'Adam'; it cannot be loaded into SGD"):
        optim.SGD([w], lr=0.1).load_state_dict(adam.state_dict())
    with pytest.raises(ShapeError, match=r"parameter 0 has shape \(2,\); the state_dict holds exp_avg of shape \(2, 3\)"):
        small.load_state_dict(adam.state_dict())
    with pytest.raises(NameLookupError, match="a state for parameter 1; this optimizer has 1 parameters"):
        small.load_state_dict(small.state_dict() | {"state": {1: {}}})
    assert small.state == {}


def test_frozen_parameters_and_those_without_gradient_stay() -> None:
    used, unused, frozen = (Tensor(START, requires_grad=True) for _ in range(3))
    optimizer = optim.Adam([frozen, unused, used])
    for p in (used, frozen):
        p.grad = START
    frozen.requires_grad_(False)
    optimizer.step()
    np.testing.assert_array_equal(unused.numpy(), START)
    np.testing.assert_array_equal(frozen.numpy(), START)
    assert np.all(used.numpy() != START)


def test_the_velocity_is_not_the_gradient_of_the_tensor() -> None:
    w = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0, momentum=0.5)
    w.grad = np.array([2.0])
    optimizer.step()
    w.grad[0] = 100.0
    w.grad = np.array([0.0])
    optimizer.step()
    assert w.item() == 1 - 2 - 1


def test_the_rate_may_be_set_at_any_time() -> None:
    w = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)
    for lr in (0.5, 0.25):
        optimizer.lr = lr
        w.grad = np.array([1.0])
        optimizer.step()
    assert w.item() == 0.25


def test_a_closure_is_called_first_and_its_loss_handed_on() -> None:
    w = Tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)
    assert optimizer.step(closure_of(optimizer, w)).item() == 4.0
    assert w.item() == 1.0


def closure_of(optimizer: Any, w: Tensor) -> Any:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w: optim.SGD(w, lr=0.1), TypeError, r"write \[w\] for a single one"),
        (lambda w: optim.SGD([w, w], lr=0.1), ValueError, "listed twice"),
        (lambda w: optim.SGD([w], lr=-0.1), ValueError, "lr is a number that is not negative; got -0.1"),
        (lambda w: optim.SGD([w], lr=math.nan), ValueError, "lr is a number"),
        (lambda w: optim.SGD([w], lr="0.1"), TypeError, "lr is a number; got '0.1'"),
        (lambda w: optim.SGD([w], lr=None), TypeError, "lr is a number; got None"),
        (lambda w: optim.SGD([w], lr=np.array([0.1, 0.2])), TypeError, r"lr is a number; got array\(\[0.1, 0.2\]\)"),
        (lambda w: optim.Adam([w], betas=("0.9", 0.99)), TypeError, "beta1 is a number; got '0.9'"),
        (lambda w: optim.SGD(nn.Sequential(nn.Linear(1, 1)), lr=0.1), TypeError, r"model\.parameters\(\).* got Sequential"),
        (lambda w: optim.SGD([w], lr=0.1, momentum=-1.0), ValueError, "momentum is"),
        (lambda w: optim.SGD([w], lr=0.1, nesterov=True), ValueError, "Nesterov's momentum needs momentum > 0 and dampening = 0"),
        (lambda w: optim.SGD([w], lr=0.1, momentum=0.9, dampening=0.1, nesterov=True), ValueError, "Nesterov"),
        (lambda w: optim.Adam([w], betas=(0.9, 1.0)), ValueError, "beta2 is a number from 0 to 1, without 1 itself; got 1.0"),
        (lambda w: optim.RMSprop([w], alpha=1.5), ValueError, "alpha is"),
        (lambda w: optim.Adagrad([w], eps=-1.0), ValueError, "eps is"),
        (lambda w: optim.BoldDriver(optim.SGD([w], lr=0.1), grow=0.9), ValueError, "grow is a factor of at least 1; got 0.9"),
        (lambda w: optim.BoldDriver(optim.SGD([w], lr=0.1), shrink=1.0), ValueError, "shrink is"),
        (lambda w: optim.BoldDriver(optim.SGD([w], lr=0.1)).step(), TypeError, "needs a closure"),
        (lambda w: optim.StepLR(optim.BoldDriver(optim.SGD([w], lr=0.1)), 3), TypeError, "a schedule would overwrite it"),
        (lambda w: optim.StepLR(optim.SGD([w], lr=0.1), 0), ValueError, "step_size is a number of epochs"),
        (lambda w: optim.CosineAnnealingLR(optim.SGD([w], lr=0.1), 0), ValueError, "T_max is a number of epochs"),
        (lambda w: optim.Optimizer([w], lr=0.1).change(0, 1.0, 1.0), NotImplementedError, "Optimizer needs a method change"),
        (lambda w: optim.Schedule(optim.SGD([w], lr=0.1)).step(), NotImplementedError, "Schedule needs a method rate"),
        (lambda w: optim.clip_grad_norm_([w], -1.0), ValueError, "max_norm is"),
        (lambda w: optim.clip_grad_value_([w], -1.0), ValueError, "clip_value is"),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(Tensor([1.0], requires_grad=True))


# -- the rate that follows the loss ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("momentum", "tolerance"), [(0.0, 0.9), (0.6, 0.5)])
def test_bold_driver_follows_its_rules(momentum: float, tolerance: float) -> None:
    """The rules by hand, on 1/2 w^T A w: grow, stay, or take the step back and start momentum anew."""
    a = np.array([1.0, 20.0])
    w = Tensor([1.0, 1.0], requires_grad=True)
    driver = optim.BoldDriver(optim.SGD([w], lr=0.02, momentum=momentum), tolerance=tolerance)
    hand, v, lr, outcomes = np.array([1.0, 1.0]), np.zeros(2), 0.02, set()

    def closure() -> Tensor:
        driver.zero_grad()
        loss = (a * w * w).sum() / 2
        loss.backward()
        return loss

    for _ in range(80):
        slope = a * hand
        before, v_new = np.sum(a * hand**2) / 2, momentum * v + slope
        after = np.sum(a * (hand - lr * v_new) ** 2) / 2
        assert driver.step(closure).item() == pytest.approx(before, rel=1e-12)
        if after > (1 + tolerance) * before:
            v, lr, outcome = np.zeros(2), lr * 0.7, "back"
        else:
            hand, v, outcome = hand - lr * v_new, v_new, "grow" if after < before else "stay"
            lr *= 1.05 if after < before else 1.0
        outcomes.add(outcome)
        np.testing.assert_allclose(w.numpy(), hand, rtol=1e-9)
        assert driver.lr == pytest.approx(lr, rel=1e-12)
        np.testing.assert_allclose(w.grad, slope, rtol=1e-9)
    assert outcomes == {"grow", "back", "stay"}


def test_bold_driver_takes_back_what_is_not_a_number() -> None:
    w = Tensor([1.0], requires_grad=True)
    driver = optim.BoldDriver(optim.SGD([w], lr=1.0))
    losses = iter([1.0, math.nan])

    def closure() -> Tensor:
        driver.zero_grad()
        loss = (w * next(losses)).sum()
        loss.backward()
        return loss

    driver.step(closure)
    assert (w.item(), driver.lr, w.grad.item()) == (1.0, 0.7, 1.0)


def test_bold_driver_goes_on_from_its_state() -> None:
    def run(driver: Any, w: Tensor, times: int) -> None:
        for _ in range(times):
            driver.step(closure_of(driver, w))

    w = Tensor([1.0, 2.0], requires_grad=True)
    driver = optim.BoldDriver(optim.SGD([w], lr=0.7, momentum=0.5))
    run(driver, w, 5)
    other = Tensor(w.numpy(), requires_grad=True)
    loaded = optim.BoldDriver(optim.SGD([other], lr=9.0), grow=2.0)
    loaded.load_state_dict(driver.state_dict())
    run(driver, w, 5)
    run(loaded, other, 5)
    assert other.numpy().tobytes() == w.numpy().tobytes()
    assert loaded.lr == driver.lr


# -- schedules -------------------------------------------------------------------------------------------------------

SCHEDULES: list[tuple[str, dict[str, Any], Any]] = [
    ("StepLR", {"step_size": 7, "gamma": 0.3}, lambda e: 0.8 * 0.3 ** (e // 7)),
    ("ExponentialLR", {"gamma": 0.9}, lambda e: 0.8 * math.exp(e * math.log(0.9))),
    ("CosineAnnealingLR", {"T_max": 20, "eta_min": 0.1}, lambda e: 0.45 + 0.35 * math.cos(math.pi * e / 20)),
]


@pytest.mark.parametrize(("name", "options", "formula"), SCHEDULES)
def test_schedules_follow_the_formula(name: str, options: dict[str, Any], formula: Any) -> None:
    optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.8)
    schedule = getattr(optim, name)(optimizer, **options)
    for epoch in range(50):
        assert optimizer.lr == pytest.approx(formula(epoch), rel=1e-12)
        assert type(optimizer.lr) is float
        schedule.step()
    other = getattr(optim, name)(optim.SGD([Tensor(1.0, requires_grad=True)], lr=5.0), **options)
    other.load_state_dict(schedule.state_dict())
    other.step()
    assert other.optimizer.lr == pytest.approx(formula(51), rel=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options", "formula"), SCHEDULES)
def test_schedules_are_pytorchs(name: str, options: dict[str, Any], formula: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    optimizer, theirs = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.8), torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.8)
    schedule, peer = getattr(optim, name)(optimizer, **options), getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(50):
        assert optimizer.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        schedule.step()
        theirs.step()
        peer.step()


# -- clipping --------------------------------------------------------------------------------------------------------


def two_gradients() -> list[Tensor]:
    params = [Tensor(START, requires_grad=True), Tensor([1.0, 2.0], requires_grad=True), Tensor(3.0, requires_grad=True)]
    params[0].grad, params[1].grad = START * 3, np.array([5.0, -0.25])
    return params


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf])
@pytest.mark.parametrize("max_norm", [1.0, 1e6])
def test_clip_grad_norm(norm_type: float, max_norm: float) -> None:
    params = two_gradients()
    whole = np.concatenate([START.ravel() * 3, [5.0, -0.25]])
    norm = np.linalg.norm(whole, norm_type)
    assert optim.clip_grad_norm_(params, max_norm, norm_type) == pytest.approx(norm)
    clipped = np.concatenate([p.grad.numpy().ravel() for p in params[:2]])
    np.testing.assert_allclose(clipped, whole * min(1, max_norm / (norm + 1e-6)))
    assert params[2].grad is None


def test_clip_grad_value() -> None:
    params = two_gradients()
    optim.clip_grad_value_(params, 2.0)
    np.testing.assert_array_equal(params[0].grad, np.clip(START * 3, -2, 2))
    np.testing.assert_array_equal(params[1].grad, [2.0, -0.25])


@pytest.mark.peers
@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf])
def test_clipping_is_pytorchs(norm_type: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    params = two_gradients()
    peers = [torch.tensor(p.numpy(), requires_grad=True) for p in params]
    for p, q in zip(params[:2], peers[:2], strict=True):
        q.grad = torch.tensor(p.grad.numpy())
    ours, theirs = optim.clip_grad_norm_(params, 1.0, norm_type), torch.nn.utils.clip_grad_norm_(peers, 1.0, norm_type)
    assert ours == pytest.approx(theirs.item(), rel=1e-14)
    for p, q in zip(params[:2], peers[:2], strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-14)


def test_clipping_without_gradients_or_elements_does_nothing() -> None:
    empty = Tensor(np.zeros((0, 2)), requires_grad=True)
    empty.grad = np.zeros((0, 2))
    assert optim.clip_grad_norm_([Tensor(1.0, requires_grad=True)], 1.0) == 0.0
    assert optim.clip_grad_norm_([empty], 1.0) == optim.clip_grad_norm_([empty], 1.0, math.inf) == 0.0


# -- a whole model ---------------------------------------------------------------------------------------------------


def test_zero_dimensional_and_shared_parameters_are_updated() -> None:
    model = nn.MLP([2, 2, 2], bias="shared", rng=0)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    before = model.state_dict()
    loss = nn.HalfSquaredError()
    first = loss(model(np.array([0.05, 0.1])), np.array([0.01, 0.99])).item()
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(model(np.array([0.05, 0.1])), np.array([0.01, 0.99]))
        value.backward()
        optimizer.step()
    assert value.item() < first / 2
    assert all(np.all(after != before[name]) for name, after in model.state_dict().items())


def test_a_large_matrix_is_changed_in_place_without_a_second_one() -> None:
    shape = (1200, 700)
    w = Tensor(np.ones(shape), requires_grad=True)
    array, w.grad = w.raw, np.arange(840_000.0).reshape(shape)
    optimizer = optim.SGD([w], lr=0.5)
    optimizer.step()
    assert w.raw is array
    np.testing.assert_array_equal(array, 1 - 0.5 * np.arange(840_000.0).reshape(shape))
    tracemalloc.start()
    optimizer.step()
    assert tracemalloc.get_traced_memory()[1] < array.nbytes / 3
    tracemalloc.stop()


def test_a_loaded_state_lies_in_memory_as_the_parameters_do() -> None:
    layer = nn.Linear(5, 3, rng=0)
    adam = optim.Adam(layer.parameters())
    layer(np.ones((4, 5))).sum().backward()
    adam.step()
    state = adam.state_dict()
    state["state"][0] = {key: np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x for key, x in state["state"][0].items()}
    adam.load_state_dict(state)
    assert adam.state[0]["exp_avg"].flags.fnc
