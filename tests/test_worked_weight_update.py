"""The formulas of document "BP神经网络权重更新及推导", and its listing on the iris data."""

import importlib.util
import inspect

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.worked import data
from tinygrad_bp.worked import weight_update as example

needs_iris = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
FLOWER = [5.1, 3.5, 1.4, 0.2], [1.0, 0.0, 0.0]


def test_the_derived_formulas_agree_and_the_last_one_as_printed_does_not():
    loss = example.forward(example.network(), *FLOWER)
    assert tg.check(loss, example.FORMULAS).ok
    assert [row.verdict for row in tg.check(loss, example.MISTAKEN)] == ["differs"]


def test_initial_weights_are_cut_off_where_the_listing_cuts():
    model = example.network(hidden=10, rng=3)
    for layer, inputs in ((model[0], 5), (model[2], 11)):
        assert layer.weight.shape[1] == inputs
        assert 0.8 * inputs**-0.5 < np.abs(layer.weight.numpy()).max() <= inputs**-0.5


def descend(samples, listing, updates, lr):
    """Columns are samples, as in the document; returns the weights and the accuracy after each update."""
    model = example.network(rng=4)
    inner, outer = model[0].weight.numpy().copy(), model[2].weight.numpy().copy()
    x, y, accuracy = np.vstack([samples.x.T, np.ones(len(samples.x))]), samples.target.T, []

    def forward():
        h = np.vstack([tg.sigmoid(inner @ x), np.ones(x.shape[1])])
        return h, tg.sigmoid(outer @ h)

    for _ in range(updates):
        h, out = forward()
        error = out - y
        back = outer.T @ (error * out * (1 - out))
        outer = outer - lr * (error * out * (1 - out)) @ h.T
        if listing:
            back = outer.T @ error
        inner = inner - lr * ((back * h * (1 - h)) @ x.T)[:-1]
        accuracy.append(np.mean(forward()[1].argmax(0) == y.argmax(0)))
    return inner, outer, accuracy


@pytest.mark.parametrize("listing", [True, False])
def test_both_kinds_of_update_are_those_of_the_formulas(listing):
    rng = np.random.default_rng(0)
    samples = data.split(rng.normal(size=(60, 4)), rng.integers(0, 3, 60), 40, 0)
    inner, outer, accuracy = descend(samples, listing, 50, 0.01)
    model, history = example.train(samples, listing, lr=0.01, updates=50, rng=4)
    np.testing.assert_allclose(model[0].weight.numpy(), inner, rtol=1e-10)
    np.testing.assert_allclose(model[2].weight.numpy(), outer, rtol=1e-10)
    assert history.accuracy[1:] == accuracy


@pytest.mark.peers
@needs_iris
@pytest.mark.parametrize("seed", [0, 1])
def test_on_iris_the_listing_is_ahead_at_1000_updates_though_its_gradient_is_wrong(seed):
    samples = data.iris(seed)
    wrong, right = (example.train(samples, listing, updates=1000, rng=seed)[1] for listing in (True, False))
    assert wrong.accuracy[0] == right.accuracy[0]
    assert wrong.accuracy[-1] > 0.9 > 0.75 > right.accuracy[-1]


@pytest.mark.peers
@needs_iris
def test_the_listing_calls_scikit_learn_with_an_argument_that_is_gone():
    from sklearn.preprocessing import OneHotEncoder

    assert "sparse" not in inspect.signature(OneHotEncoder).parameters
