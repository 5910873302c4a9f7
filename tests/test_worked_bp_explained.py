"""Every number that document "BP算法讲解" prints, and the trainings that its listing describes."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tests.test_worked import as_printed
from tinygrad_bp import nn, optim
from tinygrad_bp.program import Program
from tinygrad_bp.worked import bp_explained as example


@pytest.fixture(scope="module")
def program():
    return Program.of(example.forward())


def gradient(program, name):
    place, index = program.locate(name)
    return float(program.gradients[place][index])


@pytest.mark.parametrize(("name", "printed"), example.FORWARD.items())
def test_forward_values(program, name, printed):
    assert as_printed(float(program.value(name)), printed) == printed


@pytest.mark.parametrize(("name", "printed"), example.GRADIENTS.items())
def test_printed_gradients(program, name, printed):
    assert as_printed(gradient(program, name), printed) == printed


@pytest.mark.parametrize(("name", "printed"), example.UPDATED.items())
def test_printed_weights_after_one_update(name, printed):
    model, _ = example.train(updates=1)
    values = {f"{m}{i + 1}{j + 1}": getattr(model, m).numpy()[i, j] for m in "wv" for i in range(2) for j in range(2)}
    assert as_printed(values[name], printed) == printed


@pytest.mark.parametrize("target", [example.TARGET, example.LISTING_TARGET])
def test_all_formulas_of_the_document_agree(target):
    report = tg.check(example.forward(target=target), example.FORMULAS)
    assert len(report.rows) == 5
    assert report.ok, str(report)


def descend(target, biases, enough):
    """The listing's algorithm in plain NumPy: (losses of the weights after 0, 1, ... updates)."""
    x, y = np.array(example.INPUT), np.array(target)
    w, b1, v, b2 = np.array([[0.15, 0.20], [0.25, 0.30]]), np.full(2, 0.1), np.array([[0.40, 0.45], [0.50, 0.55]]), np.full(2, 0.2)
    losses = []
    while True:
        h = 1 / (1 + np.exp(-(w.T @ x + b1)))
        y_hat = 1 / (1 + np.exp(-(v.T @ h + b2)))
        losses.append(0.5 * np.sum((y - y_hat) ** 2))
        if enough(losses):
            return losses
        d2 = y_hat * (1 - y_hat) * (y_hat - y)
        d1 = h * (1 - h) * (v @ d2)
        v, w = v - 0.5 * np.outer(h, d2), w - 0.5 * np.outer(x, d1)
        if biases:
            b2, b1 = b2 - 0.5 * d2, b1 - 0.5 * d1


# target, biases learned, loss after 10 updates, updates to 0.19, loss there
RUNS = [
    (example.TARGET, False, "0.200895", 12, "0.188198"),
    (example.TARGET, True, "0.113204", 5, "0.176959"),
    (example.LISTING_TARGET, False, "0.193678", 11, "0.187468"),
    (example.LISTING_TARGET, True, "0.108862", 4, "0.186889"),
]


@pytest.mark.parametrize(("target", "biases", "after_ten", "updates", "at_threshold"), RUNS)
def test_both_trainings_of_the_listing(target, biases, after_ten, updates, at_threshold):
    model, history = example.train(target, biases, updates=example.UPDATES)
    assert as_printed(history.final_loss, after_ten) == after_ten
    np.testing.assert_allclose(history.loss, descend(target, biases, lambda losses: len(losses) > example.UPDATES), rtol=1e-12)
    assert example.forward(model, target).item() == pytest.approx(history.final_loss, rel=1e-15)  # of the current weights

    _, history = example.train(target, biases, threshold=example.THRESHOLD)
    assert (history.updates, as_printed(history.final_loss, at_threshold)) == (updates, at_threshold)
    np.testing.assert_allclose(history.loss, descend(target, biases, lambda losses: losses[-1] <= example.THRESHOLD), rtol=1e-12)


def test_what_the_repaired_listing_would_print():
    """Its loss is computed before the update, so it is one update old, and the threshold is noticed one update late."""
    _, ten = example.train(updates=10)
    assert as_printed(ten.loss[-2], "0.207497") == "0.207497"
    _, until = example.train(threshold=example.THRESHOLD)
    error, made = until.loss[0], 1  # the listing's first call, before its loop
    while error > example.THRESHOLD:
        error, made = until.loss[made], made + 1
    assert (made, until.updates) == (13, 12)


def test_frozen_biases_stay_and_learned_ones_move():
    for biases in (False, True):
        model, _ = example.train(biases=biases, updates=1)
        assert (model.b1.numpy()[0] != 0.1, model.b2.numpy()[0] != 0.2) == (biases, biases)


def test_the_momentum_formula_as_printed_is_weight_decay():
    model, _ = example.train(updates=1, optimizer=lambda params: example.printed_momentum(params, beta=0.9))
    start = example.forward()
    start.backward()
    program = Program.of(example.forward())
    np.testing.assert_allclose(model.v.numpy(), 0.9 * program.value("v") - 0.5 * program.gradients[program.locate("v")[0]], rtol=1e-14)


MOMENTUM = {"plain": "0.028350", "momentum": "0.000850", "printed": "0.185567"}


@pytest.mark.parametrize(("kind", "loss"), MOMENTUM.items())
def test_what_real_momentum_and_the_printed_formula_do(kind, loss):
    make = {
        "plain": lambda params: optim.SGD(params, lr=0.5),
        "momentum": lambda params: optim.SGD(params, lr=0.5, momentum=0.9),
        "printed": example.printed_momentum,
    }[kind]
    _, history = example.train(updates=100, optimizer=make)
    assert as_printed(history.final_loss, loss) == loss


def test_the_general_network_4_5_5_2():
    """(3-19), (3-29) to (3-31): whatever the depth, the error term has one structure. Layers are (out, in) here."""
    rng = np.random.default_rng(0)
    model = nn.MLP([4, 5, 5, 2], init=nn.init.normal, rng=rng, layers=["1", "2", "3"])
    for layer, name in zip(model.steps[::2], ("w1", "w2", "v"), strict=True):
        layer.weight.named(name)
    x, y = tg.Tensor(rng.normal(size=4)).named("x"), tg.Tensor([0.0, 1.0]).named("y")
    loss = nn.HalfSquaredError()(model(x), y)

    def delta(y, out_3):
        return out_3 * (1 - out_3) * (out_3 - y)

    def delta1(y, out_3, v, out_2):  # (3-30), whose transposition sign does not belong there
        return out_2 * (1 - out_2) * (v.T @ delta(y, out_3))

    report = tg.check(
        loss,
        {
            "v": lambda y, out_3, out_2: np.outer(delta(y, out_3), out_2),
            "w2": lambda y, out_3, v, out_2, out_1: np.outer(delta1(y, out_3, v, out_2), out_1),
            "w1": lambda y, out_3, v, out_2, w2, out_1, x: np.outer(out_1 * (1 - out_1) * (w2.T @ delta1(y, out_3, v, out_2)), x),
        },
    )
    assert report.ok, str(report)
