"""``tg.gradcheck`` accepts right derivatives and says what is wrong with others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.errors import DtypeError, GradcheckError, GraphError, TinygradError

rng = np.random.default_rng(7)


@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (lambda x: x**3, 2.0),
        (lambda x: x**3, [np.float64(2.0)]),
        (np.exp, np.array([[0.5, -1.0]])),
        (lambda a, b: a @ b, [rng.normal(size=(2, 3)), rng.normal(size=(3, 2))]),
        (lambda a, b: a * b, [rng.normal(size=(4, 1)), rng.normal(size=3)]),
        (lambda x: np.sum(x * x), rng.normal(size=(3, 2))),
        (np.sin, rng.normal(size=150)),  # more outputs than are checked one by one
        (lambda x: x[:0], np.ones(3)),
        (np.sum, np.ones((0, 2))),
        (lambda x: tg.Tensor([1.0, 2.0]), np.ones(3)),
        (lambda x, y: x * 2, (1.0, 3.0)),
        (np.log, np.array([1e-4, 1e4])),
        (lambda x: 1e6 * np.cos(x) + 1e8, np.array([0.3, 1.0])),  # the rounding of a large value is no mistake
        (tg.grad(lambda x: np.sum(x**4)), np.array([0.5, -2.0])),  # second derivatives
    ],
)
def test_right_derivatives_pass(f: Any, inputs: Any) -> None:
    if f is np.log:
        assert tg.gradcheck(f, inputs, eps=1e-8, rtol=1e-4)
    else:
        assert tg.gradcheck(f, inputs) is True


def wrong(formula: Callable[..., Any], kind: Any = tg.pointwise) -> Callable[..., Any]:
    """The square, with a formula of one's own."""
    return kind(lambda x: x * x, x=formula)


def caught(f: Callable[..., Any], *inputs: Any, **options: Any) -> GradcheckError:
    with pytest.raises(GradcheckError) as found:
        tg.gradcheck(f, inputs, **options)
    return found.value


X = np.array([[1.0, -2.0], [0.5, 3.0]])


@pytest.mark.parametrize(
    ("formula", "ratio"),
    [
        (lambda g, x: 4 * g * x, 2.0),
        (lambda g, x: -2 * g * x, -1.0),
        (lambda g, x: g * x, 0.5),
        (lambda g, x: 2.0002 * g * x, 1.0001),
        (lambda g, x: 0 * g * x, 0.0),
    ],
)
def test_a_wrong_factor_is_the_ratio(formula: Callable[..., Any], ratio: float) -> None:
    error = caught(lambda a, b: a + wrong(formula)(b), X, X)
    assert error.input == 1
    assert error.ratio == pytest.approx(ratio, abs=1e-6)
    assert error.output == error.element == (1, 1)
    assert error.expected == pytest.approx(6.0)
    assert error.got == pytest.approx(6 * ratio)
    assert str(error).endswith("4 of 16 differ, all by this ratio")
    assert f"of output [1, 1] with respect to input 1 at element [1, 1] is wrong: expected 6, got {6 * ratio:.6g}, ratio" in str(error)


def test_one_wrong_element_is_found() -> None:
    mask = np.array([[1.0, 1.0], [1.5, 1.0]])
    error = caught(lambda x: np.sum(wrong(lambda g, x: 2 * g * x * mask)(x)), X)
    assert (error.element, error.output) == ((1, 0), ())
    assert error.ratio == pytest.approx(1.5)
    assert "1 of 4 differ" in str(error)


def test_an_input_with_a_dropped_path_is_found() -> None:
    error = caught(lambda x, w: np.sum(x * w + w.detach() ** 2), np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert error.input == 1
    assert error.got == pytest.approx([1.0, 2.0][error.element[0]])  # type: ignore[index]


def test_a_transposed_gradient_is_found() -> None:
    flipped = tg.linear(lambda x: +x, x=lambda g: g.T)
    error = caught(lambda x: np.sum(flipped(x) * X), np.ones((2, 2)))
    assert error.element in ((0, 1), (1, 0))


def test_a_derivative_where_there_is_none_has_an_infinite_ratio() -> None:
    still = tg.pointwise(lambda x: 0 * x, x=lambda g, x: g)
    error = caught(still, 2.0)
    assert error.ratio == np.inf
    assert "expected 0, got 1, ratio inf" in str(error)


def test_small_derivatives_are_not_lost_in_the_tolerance() -> None:
    tiny = tg.pointwise(lambda x: 1e-9 * x * x, x=lambda g, x: 4e-9 * g * x)
    assert caught(tiny, np.array([1.0, 2.0])).ratio == pytest.approx(2.0)


def test_every_wrong_input_and_its_name_are_told() -> None:
    half = tg.pointwise(lambda a, b: a * b, a=lambda g, b: g * b / 2, b=lambda g, a: g * a / 2)
    a, b = (tg.Tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "weight"), (3.0, "bias")))
    error = caught(half, a, b)
    assert "with respect to input 0 (weight) is wrong: expected 3, got 1.5, ratio 0.5; input 1 (bias) is wrong too" in str(error)


def test_a_large_result_is_checked_in_combinations() -> None:
    error = caught(wrong(lambda g, x: 3 * g * x), np.linspace(1, 2, 101))
    assert error.output is None
    assert error.ratio == pytest.approx(1.5)
    assert "a random combination of the outputs" in str(error)


def test_a_kink_is_called_one() -> None:
    error = caught(tg.relu, 0.0)
    assert error.expected == pytest.approx(0.5)
    assert "a kink or jump here, or bends sharply: from below 0, from above 1" in str(error)
    assert "kink" not in str(caught(wrong(lambda g, x: 1 + g * x), 0.0))


def test_a_nan_gradient_is_wrong() -> None:
    with np.errstate(invalid="ignore"):
        error = caught(wrong(lambda g, x: g * np.log(x)), np.array([1.0, -1.0]))
    assert error.element == (1,)


def test_random_functions_are_refused() -> None:
    noise = np.random.default_rng(0)
    with pytest.raises(GradcheckError, match="not deterministic"):
        tg.gradcheck(lambda x: x * noise.normal(), 1.0)


def test_values_that_are_not_finite_are_refused() -> None:
    with np.errstate(divide="ignore"), pytest.raises(GradcheckError, match="not finite"):
        tg.gradcheck(np.log, 0.0)


@pytest.mark.parametrize("x", [np.arange(3), 2, [True], tg.Tensor([1, 2])])
def test_integers_are_refused(x: Any) -> None:
    with pytest.raises(DtypeError, match=r"input 1 of gradcheck is (int64|int32|bool), which has no derivative"):
        tg.gradcheck(lambda a, b: a * b, [1.0, x])


def test_a_tensor_without_gradient_is_refused() -> None:
    with pytest.raises(GraphError, match="tensor 'w', does not require a gradient"):
        tg.gradcheck(lambda a: a * a, [tg.Tensor(1.0, name="w")])
    with pytest.raises(GraphError, match="at least one input"):
        tg.gradcheck(lambda: tg.Tensor(1.0), [])


@pytest.mark.parametrize("f", [lambda x: 3.0, lambda x: x.numpy(), lambda x: x.item(), lambda x: (x, x), np.floor])
def test_results_that_are_no_tensor_are_refused(f: Any) -> None:
    with pytest.raises(GraphError, match="not a Tensor"):
        tg.gradcheck(f, 1.0)


def test_float32_warns_and_is_compared_to_three_digits() -> None:
    x = np.array([0.3, 1.2], np.float32)
    with pytest.warns(UserWarning, match="about 3 digits"):
        assert tg.gradcheck(lambda x: np.sin(x) * x, x)
    with pytest.warns(UserWarning, match="about 3 digits"), pytest.raises(GradcheckError, match=r"ratio 1\.5"):
        tg.gradcheck(wrong(lambda g, x: 3 * g * x), x)
    with pytest.warns(UserWarning, match="about 3 digits"):  # also where only the function narrows
        assert tg.gradcheck(lambda x: np.sin(x.astype(np.float32)), np.array([0.3, 1.2]))


def test_the_inputs_stay_as_they_are() -> None:
    a, t = np.array([1.0, 2.0]), tg.Tensor([3.0, 4.0], requires_grad=True)
    before = a.copy(), t.numpy()
    tg.gradcheck(lambda x, y: x * y, [a, t])
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(t.numpy(), before[1])
    assert t.grad is None


def test_tolerances_and_step_are_the_caller_s() -> None:
    almost = wrong(lambda g, x: 2.002 * g * x)
    assert tg.gradcheck(almost, 1.0, rtol=1e-2)
    assert tg.gradcheck(almost, 1.0, atol=1e-2)
    assert caught(almost, 1.0, eps=0.1).expected == pytest.approx(2.0)


def test_the_parameters_of_a_network() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 2, rng=1)), rng.normal(size=(5, 3))

    def loss(w: Any) -> Any:
        hidden = np.tanh(x @ w.T + model[0].bias.detach())
        return np.sum(np.square(model[2](hidden)))

    assert tg.gradcheck(loss, model[0].weight)


def test_the_error_is_also_an_assertion() -> None:
    assert issubclass(GradcheckError, AssertionError)
    assert issubclass(GradcheckError, TinygradError)


def test_it_is_imported_when_first_used() -> None:
    code = "import sys, tinygrad_bp as tg; before = 'tinygrad_bp.check' in sys.modules; print(before, tg.gradcheck.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "gradcheck"]
