"""The formulas of the untitled document, on values of ours."""

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp.worked import one_output as example


def test_all_formulas_of_the_document_agree():
    report = tg.check(example.forward(), example.FORMULAS)
    assert [row.name for row in report] == ["w1", "w2", "w3", "w4", "w5", "w6", "b1", "b2"]
    assert report.ok, str(report)


def test_a_formula_with_a_factor_dropped_does_not():
    wrong = {"w1": lambda target, out_o, w5, out_h1, i1: -(target - out_o) * out_o * (1 - out_o) * w5 * out_h1 * i1}
    assert [row.verdict for row in tg.check(example.forward(), wrong)] == ["differs"]


def step(w, b1, v, b2):
    """One update in plain NumPy, with the loss before it."""
    i, target = np.array(example.INPUT), example.TARGET
    h = 1 / (1 + np.exp(-(w @ i + b1)))
    out = 1 / (1 + np.exp(-(v @ h + b2)))
    d = -(target - out) * out * (1 - out)
    dh = d * v * h * (1 - h)
    return (target - out) ** 2 / 2, (w - 0.5 * np.outer(dh, i), b1 - 0.5 * dh.sum(), v - 0.5 * d * h, b2 - 0.5 * d)


def test_training_follows_the_formulas():
    weights = tuple(p.numpy() for p in example.Network().parameters())
    losses = []
    for _ in range(201):
        before = weights
        loss, weights = step(*before)
        losses.append(loss)
    model, history = example.train(200)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    for ours, theirs in zip(model.parameters(), before, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12)
    assert history.final_loss < 0.01
