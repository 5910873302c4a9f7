"""Losses against loops over their formulas, where they coincide, at the ends of the floating-point range, and what they refuse."""

import inspect
import math
import warnings

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn
from tinygrad_bp.errors import DtypeError, GraphError, ShapeError

rng = np.random.default_rng(0)
LOSSES = [loss for _, loss in inspect.getmembers(nn, inspect.isclass) if inspect.getmodule(loss).__name__.endswith("losses")]
OUT, TARGET = rng.uniform(0.05, 0.95, (4, 3)), rng.uniform(0.0, 1.0, (4, 3))
LOGITS, CLASSES = 3 * rng.normal(size=(4, 3)), np.array([2, 0, 1, 1])
ONE_HOT = np.eye(3, dtype=int)[CLASSES]
SHARES = TARGET / TARGET.sum(axis=1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def softmax(z):
    return np.array([math.exp(a) for a in z]) / sum(math.exp(a) for a in z)


def loop(formula, a, b):
    """A formula of two numbers, for each element."""
    return np.array([[formula(p, t) for p, t in zip(row, other, strict=True)] for row, other in zip(a, b, strict=True)])


def entropy(p, t):
    return -(t * math.log(p) + (1 - t) * math.log(1 - p))


PARTS = {
    "half": (nn.HalfSquaredError(), OUT, TARGET, loop(lambda y, t: (t - y) ** 2 / 2, OUT, TARGET)),
    "quadratic": (nn.QuadraticCost(), OUT, TARGET, loop(lambda y, t: (t - y) ** 2 / 2, OUT, TARGET)),
    "mse": (nn.MSELoss(), OUT, TARGET, loop(lambda y, t: (y - t) ** 2, OUT, TARGET)),
    "bce": (nn.BCELoss(), OUT, TARGET, loop(entropy, OUT, TARGET)),
    "bce of logits": (nn.BCEWithLogitsLoss(), LOGITS, TARGET, loop(lambda z, t: entropy(sigmoid(z), t), LOGITS, TARGET)),
    "ce, classes": (nn.CrossEntropyLoss(), LOGITS, CLASSES, [-math.log(softmax(z)[c]) for z, c in zip(LOGITS, CLASSES, strict=True)]),
    "ce, shares": (nn.CrossEntropyLoss(), LOGITS, SHARES, [-sum(t * np.log(softmax(z))) for z, t in zip(LOGITS, SHARES, strict=True)]),
    "nll, classes": (nn.NLLLoss(), np.log(OUT), CLASSES, [-math.log(p[c]) for p, c in zip(OUT, CLASSES, strict=True)]),
    "nll, shares": (nn.NLLLoss(), np.log(OUT), SHARES, [-sum(t * np.log(p)) for p, t in zip(OUT, SHARES, strict=True)]),
    "cce, classes": (nn.CategoricalCrossEntropy(), OUT, CLASSES, [-math.log(p[c]) for p, c in zip(OUT, CLASSES, strict=True)]),
    "cce, one-hot": (nn.CategoricalCrossEntropy(), OUT, ONE_HOT, [-math.log(p[c]) for p, c in zip(OUT, CLASSES, strict=True)]),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_parts_follow_the_formula_and_gradients_are_those_of_the_loss(case):
    loss, output, target, expected = PARTS[case]
    np.testing.assert_allclose(loss.parts(Tensor(output), target).numpy(), expected, rtol=1e-13)
    tg.gradcheck(lambda y: loss(y, target), [output])


@pytest.mark.parametrize("case", [case for case in PARTS if case not in ("half", "quadratic")])
def test_reductions(case):
    loss, output, target, expected = PARTS[case]
    for reduction, reduce in {"mean": np.mean, "sum": np.sum, "none": np.array}.items():
        np.testing.assert_allclose(type(loss)(reduction)(Tensor(output), target).numpy(), reduce(expected), rtol=1e-13)
    with pytest.raises(ValueError, match='reduction is "mean", "sum" or "none"; got \'median\''):
        type(loss)("median")
    assert repr(type(loss)("sum")) == f"{type(loss).__name__}(reduction='sum')"


def test_every_loss_is_tested():
    assert {type(loss) for loss, *_ in PARTS.values()} == set(LOSSES)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_three_squared_losses_differ_by_a_factor(n, m):
    y, t = Tensor(rng.normal(size=(n, m))), rng.normal(size=(n, m))
    half = nn.HalfSquaredError()(y, t).item()
    assert half == pytest.approx(n * nn.QuadraticCost()(y, t).item(), rel=1e-14)
    assert half == pytest.approx(n * m / 2 * nn.MSELoss()(y, t).item(), rel=1e-14)
    assert half == pytest.approx(nn.MSELoss("sum")(y, t).item() / 2, rel=1e-14)


def test_the_quadratic_cost_is_the_mean_over_samples_of_half_the_squared_norm():
    expected = sum(np.linalg.norm(t - y) ** 2 for y, t in zip(OUT, TARGET, strict=True)) / (2 * len(OUT))
    cost = nn.QuadraticCost()(Tensor(OUT, requires_grad=True), TARGET)
    assert cost.item() == pytest.approx(expected, rel=1e-14)
    assert cost.name == "C"
    assert nn.QuadraticCost()(OUT[0], TARGET[0]).item() == pytest.approx(np.linalg.norm(TARGET[0] - OUT[0]) ** 2 / 2, rel=1e-14)
    images = rng.normal(size=(4, 2, 5))
    assert nn.QuadraticCost()(images, 0 * images).item() == pytest.approx(np.sum(images**2) / 8, rel=1e-14)


def test_equations_3_6_1_and_3_6_2_are_the_mean_squared_error():
    """Document "BP算法讲解", with its y as n outputs by m samples."""
    y, t = OUT.T, TARGET.T
    n, m = y.shape
    assert nn.MSELoss()(y[:, 0], t[:, 0]).item() == pytest.approx(sum((t[i, 0] - y[i, 0]) ** 2 for i in range(n)) / n, rel=1e-14)
    double_sum = sum((t[i, j] - y[i, j]) ** 2 for j in range(m) for i in range(n)) / (m * n)
    assert nn.MSELoss()(y, t).item() == pytest.approx(double_sum, rel=1e-14)


def test_equation_3_6_3_is_short_of_a_trace():
    y, t = OUT.T, TARGET.T
    n, m = y.shape
    printed = (t - y).T @ (t - y) / (m * n)
    assert printed.shape == (m, m)
    assert np.trace(printed) == pytest.approx(nn.MSELoss()(y, t).item(), rel=1e-14)
    np.testing.assert_allclose(n * m * np.diag(printed), nn.MSELoss("none")(y, t).numpy().sum(axis=0), rtol=1e-14)


def test_the_losses_on_probabilities_and_on_logits_agree():
    z = Tensor(LOGITS)
    pairs = [
        (nn.BCELoss()(tg.sigmoid(z), TARGET), nn.BCEWithLogitsLoss()(z, TARGET)),
        (nn.CategoricalCrossEntropy()(tg.softmax(z), CLASSES), nn.CrossEntropyLoss()(z, CLASSES)),
        (nn.NLLLoss()(tg.log_softmax(z), SHARES), nn.CrossEntropyLoss()(z, SHARES)),
        (nn.CrossEntropyLoss()(z, np.eye(3)[CLASSES]), nn.CrossEntropyLoss()(z, CLASSES)),
        (nn.CrossEntropyLoss("none")(z[:, :2], CLASSES % 2), nn.BCEWithLogitsLoss("none")(z[:, 1] - z[:, 0], CLASSES % 2)),
    ]  # fmt: skip
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)


def test_probabilities_of_zero_and_one_are_not_nan():
    p, t = Tensor([0.0, 1.0, 0.0, 1.0, 1e-60], requires_grad=True), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    each = nn.BCELoss("none")(p, t)
    np.testing.assert_array_equal(each.numpy(), [0.0, 0.0, 100.0, 100.0, 100.0])
    each.sum().backward()
    np.testing.assert_array_equal(p.grad.numpy(), [1.0, -1.0, 0.0, 0.0, 0.0])
    q = Tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    for target in ([0, 0], [[1, 0], [1, 0]]):
        each = nn.CategoricalCrossEntropy("none")(q, target)
        np.testing.assert_array_equal(each.numpy(), [0.0, 100.0])
        each.sum().backward()
        assert np.all(np.isfinite(q.grad.numpy()))


def test_a_small_probability_of_the_other_class_is_not_lost():
    assert nn.BCELoss()(Tensor([1e-20]), [0.0]).item() == 1e-20
    assert nn.BCEWithLogitsLoss()(Tensor([50.0]), [1.0]).item() == pytest.approx(math.exp(-50), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_logits(dtype):
    z = Tensor(np.array([-800, 800, -800, 800], dtype), requires_grad=True)
    each = nn.BCEWithLogitsLoss("none")(z, np.array([0, 1, 1, 0]))
    np.testing.assert_array_equal(each.numpy(), [0, 0, 800, 800])
    each.sum().backward()
    np.testing.assert_array_equal(z.grad.numpy(), [0, 0, -1, 1])
    assert z.grad.dtype == dtype
    z = Tensor(np.array([[-800, 800], [800, -800]], dtype), requires_grad=True)
    for target in (np.array([1, 1]), np.array([[0, 1], [0, 1]], dtype)):
        z.zero_grad()
        each = nn.CrossEntropyLoss("none")(z, target)
        np.testing.assert_array_equal(each.numpy(), [0, 1600])
        each.sum().backward()
        np.testing.assert_array_equal(z.grad.numpy(), [[0, 0], [1, -1]])
        assert each.dtype == dtype


def test_a_class_that_is_ruled_out_costs_nothing():
    z = Tensor([[1.0, 1.0, -np.inf]], requires_grad=True)
    for target in (np.array([0]), np.array([[1.0, 0.0, 0.0]])):
        loss = nn.NLLLoss()(tg.log_softmax(z), target)
        assert loss.item() == pytest.approx(math.log(2), rel=1e-15)


def test_not_a_number_stays_one():
    p = np.array([[np.nan, 0.5]])
    for loss in (nn.BCELoss(), nn.CategoricalCrossEntropy(), nn.CrossEntropyLoss(), nn.MSELoss()):
        assert math.isnan(loss(Tensor(p), [[1.0, 0.0]]).item())


def test_samples_alone_and_with_more_axes():
    assert nn.CrossEntropyLoss()(LOGITS[0], 2).item() == pytest.approx(-math.log(softmax(LOGITS[0])[2]), rel=1e-14)
    z, c = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    each = nn.CrossEntropyLoss("none")(z, c)
    assert each.shape == (2, 4, 5)
    for i, j, k in np.ndindex(2, 4, 5):
        assert each.numpy()[i, j, k] == pytest.approx(-math.log(softmax(z[i, :, j, k])[c[i, j, k]]), rel=1e-13)


@pytest.mark.parametrize("loss", [nn.HalfSquaredError(), nn.QuadraticCost(), nn.MSELoss(), nn.BCELoss(), nn.BCEWithLogitsLoss()])
def test_a_loss_of_numbers_refuses_to_broadcast(loss):
    with pytest.raises(ShapeError, match=r"output of shape \(3, 1\) with a target of shape \(3,\)"):
        loss(Tensor(np.ones((3, 1))), [1.0, 1.0, 1.0])


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss(), nn.CategoricalCrossEntropy()])
def test_a_loss_of_classes_says_what_it_takes(loss):
    output = np.full((2, 3), 0.5)
    with pytest.raises(ShapeError, match=r"in shape \(2,\), or probabilities in shape \(2, 3\); got shape \(3,\)"):
        loss(output, [0, 1, 2])
    with pytest.raises(DtypeError, match="class numbers are integers; got float64"):
        loss(output, [0.0, 1.0])
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match="class numbers of 3 classes go from 0 to 2; got"):
            loss(output, wrong)
    with pytest.raises(ShapeError, match="has an axis for them"):
        loss(0.5, 0)


@pytest.mark.parametrize("loss", [nn.BCELoss(), nn.CategoricalCrossEntropy()])
@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_a_loss_on_probabilities_refuses_logits(loss, wrong):
    with pytest.raises(ValueError, match=r"numbers outside \[0, 1\]"):
        loss(Tensor([[wrong, 0.5]]), [[1.0, 0.0]])


@pytest.mark.parametrize("case", PARTS)
def test_lists_arrays_and_tensors_are_taken_alike(case):
    loss, output, target, _ = PARTS[case]
    target = np.asarray(target)
    results = [loss(Tensor(output), target), loss(output, target.tolist()), loss(output.tolist(), Tensor(target))]
    assert len({result.item() for result in results}) == 1
    assert all(isinstance(result, Tensor) for result in results)


def test_the_target_may_be_learned_too():
    tg.gradcheck(lambda y, t: nn.HalfSquaredError()(y, t) + nn.BCEWithLogitsLoss()(y, t) + nn.CrossEntropyLoss()(y, t), [LOGITS, SHARES])


def test_squares_that_overflow_are_warned_of_as_by_numpys_products():
    error = np.array([[1e200, 1.0]])

    def said(run):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
        return [str(w.message) for w in caught]

    expected = said(lambda: error[0].dot(error[0]))  # nothing before NumPy 2.4
    assert said(lambda: nn.HalfSquaredError()(Tensor(error), np.zeros((1, 2)))) == expected


CROSS_ENTROPIES = [nn.BCELoss, nn.BCEWithLogitsLoss, nn.CategoricalCrossEntropy, nn.CrossEntropyLoss, nn.NLLLoss]


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
def test_exchanged_arguments_are_noticed(loss):
    output, target = nn.Sigmoid()(Tensor([[0.1, -0.2]], requires_grad=True)), np.array([[1.0, 0.0]])
    with pytest.raises(GraphError, match=r"changed places\. Write loss\(output, target\)"):
        loss()(target, output)
    loss()(output, target).backward()
    loss()(output, output.detach()).backward()
    loss()(output, output).backward()  # a target may be learned beside the output
    assert not loss()(output.detach(), target).requires_grad
