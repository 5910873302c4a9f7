"""Activation functions that somebody wrote out are found, and mistakes in them named as in those that have names."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, functions
from tinygrad_bp.check.anatomy import Anatomy
from tinygrad_bp.program import Program


def shifted_softmax(z):
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


FORMS = {
    "sigmoid": [
        lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(z) / (1 + np.exp(z)), lambda z: (1 + np.exp(-z)) ** -1,
        lambda z: 0.5 * (1 + np.tanh(z / 2)), lambda z: np.reciprocal(np.exp(-z) + 1), lambda z: 1 - 1 / (1 + np.exp(z)),
        functions.sigmoid,
    ],
    "tanh": [
        lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)), lambda z: 2 / (1 + np.exp(-2 * z)) - 1,
        lambda z: np.sinh(z) / np.cosh(z),
    ],
    "relu": [lambda z: z * (z > 0), lambda z: np.where(z > 0, z, 0), lambda z: np.maximum(0, z), lambda z: (z + np.abs(z)) / 2],
    "softmax": [lambda z: np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True), shifted_softmax],
    "softplus": [lambda z: np.log(1 + np.exp(z))],
}  # fmt: skip
CASES = [pytest.param(kind, f, id=f"{kind}-{k}") for kind, forms in FORMS.items() for k, f in enumerate(forms)]


def network(activation, seed=0):
    """4-3 with a batch of 5, and a squared error."""
    rng = np.random.default_rng(seed)
    W, b = Tensor(rng.normal(size=(3, 4)), requires_grad=True, name="W"), Tensor(rng.normal(size=3), requires_grad=True, name="b")
    X, t = Tensor(rng.normal(size=(5, 4)), name="X"), Tensor(rng.uniform(size=(5, 3)), name="t")
    z = (X @ W.T + b).named("z")
    a = activation(z).named("a")
    return (np.sum((a - t) ** 2) / 2).named("E"), X, z, a, t


@pytest.mark.parametrize(("kind", "activation"), CASES)
def test_a_function_that_was_written_out_is_found(kind, activation):
    loss, _, _, a, _ = network(activation)
    program = Program.of(loss)
    anatomy = Anatomy.of(program)
    (layer,) = anatomy.layers
    assert layer.activation.slope.name == kind
    assert layer.out == program.serials[a.serial]
    assert anatomy.squared == pytest.approx(1.0)


@pytest.mark.parametrize(("kind", "activation"), CASES)
def test_a_mistake_in_it_is_named(kind, activation):
    loss, X, z, a, t = network(activation)
    z, a, error = z.numpy(), a.numpy(), a.numpy() - t.numpy()
    wrong = {"W": error.T @ X.numpy(), "b": error.sum(axis=0)}
    assert "sigma' missing" in [c.mistakes[0] for c in tg.check(loss, wrong).diagnosis.candidates]
    delta = (
        error - {"sigmoid": a * (1 - a), "tanh": 1 - a**2, "relu": a > 0, "softmax": a * (1 - a), "softplus": functions.sigmoid(z)}[kind]
    )
    assert tg.check(loss, {"W": delta.T @ X.numpy(), "b": delta.sum(axis=0)}).diagnosis.mistake == "minus for times at sigma'"


@pytest.mark.parametrize("activation", [lambda z: z * 1.0, np.sin, lambda z: z**2, lambda z: np.log(np.abs(z)), lambda z: -z])
def test_another_function_is_not_taken_for_one(activation):
    loss, *_ = network(activation)
    assert Anatomy.of(Program.of(loss)).layers[0].activation is None


def test_what_is_read_from_elsewhere_too_is_not_passed_over():
    """Here exp(-z) reaches the loss along a way of its own, which a formula for the sigmoid would leave out."""
    rng = np.random.default_rng(0)
    W = Tensor(rng.normal(size=(3, 4)), requires_grad=True, name="W")
    e = np.exp(-(Tensor(rng.normal(size=(5, 4)), name="X") @ W.T))
    program = Program.of(np.sum(1 / (1 + e)) + np.sum(e))
    assert Anatomy.of(program).layers[0].activation is None


def test_softmax_by_hand_differentiated_as_if_elementwise():
    rng = np.random.default_rng(3)
    W, X, t = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), np.eye(3)[[0, 2, 1, 1, 0, 2]]
    weights = Tensor(W, requires_grad=True, name="W")
    p = shifted_softmax((Tensor(X, name="X") @ weights.T).named("z")).named("p")
    loss = (-np.sum(Tensor(t, name="t") * np.log(p)) / 6).named("E")
    p = p.numpy()
    assert tg.check(loss, {"W": (p - t).T @ X / 6}).ok
    wrong = tg.check(loss, {"W": (-t / p / 6 * p * (1 - p)).T @ X})
    assert "softmax elementwise" in [c.mistakes[0] for c in wrong.diagnosis.candidates]
