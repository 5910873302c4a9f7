"""``detect_anomaly`` names the first operation that makes a NaN or an infinity, and the line that recorded it."""

import re
import threading
import warnings

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, anomaly
from tinygrad_bp.errors import AnomalyError


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def test_the_first_forward_operation_is_named_with_its_line():
    x = Tensor([1.0, 0.0], requires_grad=True, name="x")
    with tg.detect_anomaly():
        y = np.exp(x) * 2
        with pytest.raises(AnomalyError) as caught:
            np.log(x) * y  # the culprit
    message = str(caught.value)
    assert message.startswith("the result of log(tensor 'x') is -inf at index (1,). Recorded by ")
    assert re.search(r"test_anomaly\.py:\d+: np\.log\(x\) \* y  # the culprit$", message)


def test_the_first_backward_operation_is_named_with_the_line_that_recorded_it():
    x = Tensor([4.0, 0.0], requires_grad=True, name="x")
    with tg.detect_anomaly():
        y = np.sqrt(x)  # recorded here
        loss = np.sum(y)
        with pytest.raises(AnomalyError, match=r"derivative of sqrt with respect to x \(tensor 'x'\) is inf at index \(1,\)") as caught:
            loss.backward()
    assert str(caught.value).endswith("y = np.sqrt(x)  # recorded here")
    assert x.grad is None


def test_a_bad_input_is_told_from_a_bad_operation():
    x = Tensor([np.nan], requires_grad=True)
    with tg.detect_anomaly(), pytest.raises(AnomalyError, match="its operand 1 was not finite to begin with"):
        np.exp(x)


def test_gradients_of_gradients_are_watched():
    with tg.detect_anomaly(), pytest.raises(AnomalyError, match="derivative of sqrt"):
        tg.grad(tg.grad(np.sqrt))(0.0)


def test_finite_programs_pass_and_nothing_is_watched_outside():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with tg.detect_anomaly():
        np.sum(np.log(x)).backward()
    assert np.isinf(np.log(x * 0.0).numpy()).all()
    assert not anomaly.WATCHES


def test_it_is_a_decorator_and_belongs_to_one_thread():
    @tg.detect_anomaly()
    def bad():
        return np.log(Tensor(0.0, requires_grad=True))

    with pytest.raises(AnomalyError):
        bad()
    results = []
    with tg.detect_anomaly():
        thread = threading.Thread(target=lambda: results.append(np.log(Tensor(0.0, requires_grad=True)).item()))
        thread.start()
        thread.join()
    assert results == [-np.inf]


def test_a_failing_formula_says_which_rule_argument_and_line():
    broken = tg.pointwise(lambda x: x * x, x=lambda g, x: g * x.nonsense)
    x = Tensor(1.0, requires_grad=True, name="x")
    with tg.detect_anomaly():
        y = broken(x)  # its line
        with pytest.raises(AttributeError) as caught:
            y.backward()
    what, where = caught.value.__notes__
    assert "the derivative of <lambda> with respect to x (tensor 'x')." in what
    assert where.endswith("y = broken(x)  # its line.")


def test_a_failing_formula_of_ones_own_or_of_linear_algebra_says_the_line_without_being_watched():
    broken = tg.pointwise(lambda x: x * x, x=lambda g, x: g * x.nonsense)
    x = Tensor(1.0, requires_grad=True, name="x")
    y = broken(x) * 2  # one of ours
    with pytest.raises(AttributeError) as caught:
        y.backward()
    assert caught.value.__notes__[1].endswith("y = broken(x) * 2  # one of ours.")
    z = np.linalg.det(x * np.zeros((2, 2)))  # singular
    with pytest.raises(np.linalg.LinAlgError) as caught:
        z.backward()
    assert "the derivative of det with respect to a" in caught.value.__notes__[0]
    assert caught.value.__notes__[1].endswith("# singular.")
