"""The second example in the listing of document "反向传播—BP": exclusive or, one random sample at a time."""

import numpy as np

from tinygrad_bp import nn
from tinygrad_bp.worked import step_by_step as example


def by_the_listing(seed, updates):
    """In plain NumPy: (W1, W2, summed error over the four samples)."""
    rng = np.random.default_rng(seed)
    w1, b1, w2, b2 = rng.uniform(size=(5, 2)), rng.uniform(), rng.uniform(size=(1, 5)), rng.uniform()
    xs, ts = np.array(example.XOR_INPUTS), np.array(example.XOR_TARGETS)
    for _ in range(updates):
        k = rng.integers(4, size=1)[0]
        h = 1 / (1 + np.exp(-(w1 @ xs[k] + b1)))
        out = 1 / (1 + np.exp(-(w2 @ h + b2)))
        d = -(ts[k] - out) * out * (1 - out)
        dh = (d @ w2) * h * (1 - h)
        w2, w1 = w2 - 0.5 * np.outer(d, h), w1 - 0.5 * np.outer(dh, xs[k])
    out = 1 / (1 + np.exp(-(1 / (1 + np.exp(-(xs @ w1.T + b1))) @ w2.T + b2)))
    return w1, w2, 0.5 * np.sum((ts - out) ** 2)


def test_xor_follows_the_listing_and_is_learned():
    w1, w2, error = by_the_listing(7, example.XOR_UPDATES)
    model, history = example.xor(7)
    assert history.updates == example.XOR_UPDATES
    np.testing.assert_allclose(model[0].weight.numpy(), w1, rtol=1e-9)
    np.testing.assert_allclose(model[2].weight.numpy(), w2, rtol=1e-9)
    np.testing.assert_allclose(history.final_loss, error, rtol=1e-9)
    assert history.final_loss < 0.05 < history.loss[0]
    assert example.xor_learned(model)


def test_what_is_not_learned_is_not_called_learned():
    assert not example.xor_learned(nn.MLP([2, 5, 1], bias="shared", init=0.0, bias_init=0.0))
    assert not example.xor_learned(example.xor(7, updates=10)[0])
