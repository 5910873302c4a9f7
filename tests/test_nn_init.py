"""Initial weights: bounds, moments within their sampling error, seeds, and what Linear and MLP make of them."""

import functools
import math

import numpy as np
import pytest

from tinygrad_bp import Tensor, nn
from tinygrad_bp.errors import ShapeError
from tinygrad_bp.nn import init

SHAPE = OUT, IN = 300, 500
N = OUT * IN


def truncated_std(a):
    """Of the standard normal distribution, given that |x| <= a."""
    inside = math.erf(a / math.sqrt(2))
    return math.sqrt(1 - 2 * a * math.exp(-a * a / 2) / math.sqrt(2 * math.pi) / inside)


# name: (function, mean, standard deviation, bounds or None)
DRAWN = {
    "uniform": (init.uniform, 0.5, 1 / math.sqrt(12), (0, 1)),
    "uniform, own bounds": (functools.partial(init.uniform, low=-3.0, high=1.0), -1.0, 4 / math.sqrt(12), (-3, 1)),
    "normal": (init.normal, 0.0, 1.0, None),
    "normal, own moments": (functools.partial(init.normal, mean=2.0, std=0.1), 2.0, 0.1, None),
    "truncated": (init.truncated_normal, 0.0, truncated_std(2), (-2, 2)),
    "truncated, narrow": (functools.partial(init.truncated_normal, low=-0.3, high=0.3), 0.0, truncated_std(0.3), (-0.3, 0.3)),
    "truncated, wide": (functools.partial(init.truncated_normal, mean=1.0, std=2.0, low=-1e9, high=1e9), 1.0, 2.0, None),
    "xavier_uniform": (init.xavier_uniform, 0.0, math.sqrt(2 / 800), (-math.sqrt(6 / 800), math.sqrt(6 / 800))),
    "xavier_normal": (init.xavier_normal, 0.0, math.sqrt(2 / 800), None),
    "xavier_normal, gain": (functools.partial(init.xavier_normal, gain=3.0), 0.0, 3 * math.sqrt(2 / 800), None),
    "he_uniform": (init.he_uniform, 0.0, math.sqrt(2 / 500), (-math.sqrt(6 / 500), math.sqrt(6 / 500))),
    "he_normal": (init.he_normal, 0.0, math.sqrt(2 / 500), None),
}


@pytest.mark.parametrize("name", DRAWN)
def test_moments_and_bounds(name):
    draw, mean, std, bounds = DRAWN[name]
    values = draw(SHAPE, 0)
    assert values.shape == SHAPE
    assert abs(values.mean() - mean) < 4 * std / math.sqrt(N)
    assert abs(values.std() - std) < 4 * std / math.sqrt(2 * N)  # the largest error is the normal distribution's
    assert abs(values.mean(axis=0).std() - std / math.sqrt(OUT)) < 4 * std / math.sqrt(OUT) / math.sqrt(2 * IN)  # independent
    if bounds:
        low, high = bounds
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high >= values.max() > high - 0.01 * (high - low)


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_seed_gives_the_same_weights(name):
    draw = DRAWN[name][0]
    np.testing.assert_array_equal(draw((3, 4), 5), draw((3, 4), np.random.default_rng(5)))
    assert not np.array_equal(draw((3, 4), 5), draw((3, 4), 6))
    generator = np.random.default_rng(5)
    assert not np.array_equal(draw((3, 4), generator), draw((3, 4), generator))


def test_the_tail_of_a_truncated_normal_distribution():
    values = init.truncated_normal((10_000,), 0, low=10.0, high=np.inf)
    assert values.min() >= 10
    assert values.mean() == pytest.approx(10.0981, abs=4 * 0.096 / 100)  # of the exact tail; its std is 0.0962
    for wrong in ({"low": 1.0, "high": 1.0}, {"std": 0.0}):
        with pytest.raises(ValueError, match="needs low < high and std > 0"):
            init.truncated_normal((2,), 0, **wrong)


def test_fans():
    assert init.fans((3, 5)) == (5, 3)
    for draw in (init.he_normal, init.he_uniform, init.xavier_normal, init.xavier_uniform):
        with pytest.raises(ShapeError, match=r"shape \(out, in\); got \(3,\)"):
            draw((3,), 0)
        assert draw((0, 0), 0).shape == (0, 0)


def test_linear_takes_functions_numbers_and_values():
    layer = nn.Linear(2, 3, init=init.he_normal, bias_init=0, rng=1)
    np.testing.assert_array_equal(layer.weight.numpy(), init.he_normal((3, 2), 1))
    np.testing.assert_array_equal(layer.bias.numpy(), np.zeros(3))
    layer = nn.Linear(2, 1, init=np.array([[1, 2]]), bias_init=functools.partial(init.constant, value=0.5))
    assert (layer.weight.numpy().tolist(), layer.bias.numpy().tolist()) == ([[1.0, 2.0]], [0.5])
    assert layer.weight.dtype == float
    given = Tensor([[1.0, 2.0]], requires_grad=True)
    layer = nn.Linear(2, 1, bias=False, init=given, dtype=np.float32)
    assert layer.weight.dtype == np.float32
    assert layer.weight is not given
    np.testing.assert_array_equal(nn.Linear(2, 1, init=init.zeros).weight.numpy(), [[0.0, 0.0]])


def test_values_given_are_copied():
    w = np.ones((1, 2))
    layer = nn.Linear(2, 1, init=w)
    w[:] = 7
    np.testing.assert_array_equal(layer.weight.numpy(), [[1.0, 1.0]])


def test_values_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"initial values of shape \(3, 2\) are needed; got shape \(2, 3\)"):
        nn.Linear(2, 3, init=np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"of shape \(3, 2\) are needed; got shape \(2,\)"):
        nn.Linear(2, 3, init=[1.0, 2.0])
    with pytest.raises(ShapeError, match=r"of shape \(\) are needed; got shape \(3,\)"):
        nn.Linear(2, 3, bias="shared", bias_init=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="bias=False leaves no bias"):
        nn.Linear(2, 3, bias=False, bias_init=0)
    with pytest.raises(ShapeError, match="A bias takes another initializer"):
        nn.Linear(2, 3, bias_init=init.he_normal)


def test_equal_weights_stay_equal():
    """Why weights are drawn: neurons that begin alike get the same gradient, and stay alike."""
    model = nn.MLP([2, 3, 1], init=0.1, bias_init=0)
    nn.HalfSquaredError()(model(np.array([0.3, -0.7])), [1.0]).backward()
    rows = model[0].weight.grad.numpy()
    assert np.all(rows == rows[0])
    assert rows[0].any()
    model = nn.MLP([2, 3, 1], init=init.zeros, bias_init=0)
    nn.HalfSquaredError()(model(np.array([0.3, -0.7])), [1.0]).backward()
    assert not model[0].weight.grad.numpy().any()  # through weights of zero no error comes back
