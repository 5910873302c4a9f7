"""BP1 to BP4 against autograd, and the mini-batch descent that they make, on digits."""

import importlib.util

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.worked import data
from tinygrad_bp.worked import four_equations as example

needs_digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
rng = np.random.default_rng(0)


@pytest.mark.parametrize("sizes", [[4, 3], [4, 5, 2], [4, 5, 5, 2], [3, 6, 5, 4, 2]])
def test_the_four_equations_are_the_gradients(sizes):
    model = example.network(sizes, rng=1)
    x, y = rng.normal(size=(7, sizes[0])), rng.uniform(size=(7, sizes[-1]))
    nn.QuadraticCost()(model(x), y).backward()
    dw, db = example.gradients(model, x, y)
    for layer, gw, gb in zip(model.steps[::2], dw, db, strict=True):
        np.testing.assert_allclose(gw, layer.weight.grad, rtol=1e-12, atol=1e-17)
        np.testing.assert_allclose(gb, layer.bias.grad, rtol=1e-12, atol=1e-17)


def test_deltas_are_the_gradients_of_weighted_inputs():
    model = example.network([4, 5, 5, 2], rng=1)
    x, y = rng.normal(size=4), rng.uniform(size=2)
    z2 = model[0](tg.Tensor(x))
    a2 = model[1](z2)
    z3 = model[2](a2)
    z4 = model[4](model[3](z3))
    nn.QuadraticCost()(model[5](z4), y).backward()
    for z, delta in zip((z2, z3, z4), example.deltas(model, x[None], y[None]), strict=True):
        np.testing.assert_allclose(delta[0], z.grad, rtol=1e-12)


def test_the_equations_written_as_claims():
    """With tg.check, for one sample, as the document derives them; BP2 without its transposition is caught."""
    model = example.network([4, 5, 5, 2], rng=1)
    loss = nn.QuadraticCost()(model(tg.Tensor(rng.normal(size=4)).named("x")), tg.Tensor([0.0, 1.0]).named("y"))

    def bp1(out_4, y):
        return (out_4 - y) * out_4 * (1 - out_4)

    def bp2(out_4, y, w_4, out_3):
        return (w_4.T @ bp1(out_4, y)) * out_3 * (1 - out_3)

    def transposed(out_4, y, w_4, out_3, w_3, out_2):  # w_3 for its transpose: it is square, so the shapes do not tell
        return (w_3 @ bp2(out_4, y, w_4, out_3)) * out_2 * (1 - out_2)

    right = {
        "b_4": bp1,
        "w_4": lambda out_4, y, out_3: np.outer(bp1(out_4, y), out_3),
        "b_3": bp2,
        "w_3": lambda out_4, y, w_4, out_3, out_2: np.outer(bp2(out_4, y, w_4, out_3), out_2),
    }
    assert tg.check(loss, right).ok
    assert [row.verdict for row in tg.check(loss, {"b_2": transposed})] == ["differs"]


def test_descent_by_hand_is_the_same_descent():
    few = data.split(rng.uniform(size=(43, 4)), rng.integers(0, 3, 43), 33, 0)  # the last batch is smaller
    model, history = example.train(few, [4, 5, 3], epochs=3, rng=2)
    by_hand = example.train_by_hand(few, [4, 5, 3], epochs=3, rng=2)
    assert history.updates == 12
    for ours, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.peers
@needs_digits
def test_digits_are_learned_to_97_percent():
    _, history = example.train(data.digits(), epochs=15)
    assert history.accuracy[0] < 0.3
    assert history.validation_accuracy[-1] >= 0.97, history


@pytest.mark.peers
@needs_digits
def test_the_auto_encoder_reconstructs_far_better_than_the_mean_digit():
    samples = data.digits()
    model, history = example.auto_encoder(samples, epochs=10)
    constant = nn.QuadraticCost()(np.broadcast_to(samples.x.mean(0), samples.test_x.shape), samples.test_x).item()
    assert 0 < history.validation_loss[-1] < constant / 3
    assert model(samples.test_x).shape == samples.test_x.shape


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    for load in (data.iris, data.digits):
        with pytest.raises(ImportError, match=r"tinygrad_bp\[data\]"):
            load()
