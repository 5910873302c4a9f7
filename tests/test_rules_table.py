"""One test over the whole table of rules: a rule without samples fails here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import ladder
from tests.ladder import SAMPLES, case_id
from tinygrad_bp import Tensor, expression, functions
from tinygrad_bp.rule import RULES

ALL = pytest.mark.parametrize(("function", "shapes", "params"), list(ladder.cases()), ids=case_id)


@pytest.mark.parametrize("rule", ladder.rules(), ids=lambda r: r.name)
def test_every_rule_has_samples(rule: Any) -> None:
    assert rule.function in SAMPLES, f"add calls of {rule.name} to SAMPLES in tests/ladder.py"


@ALL
def test_first_derivative(function: Any, shapes: Any, params: Any) -> None:
    ladder.check_difference(RULES[function], shapes, params)


@ALL
def test_forward_and_reverse_mode_are_transposes(function: Any, shapes: Any, params: Any) -> None:
    ladder.check_identity(RULES[function], shapes, params)


@ALL
def test_second_derivative(function: Any, shapes: Any, params: Any) -> None:
    ladder.check_second_order(RULES[function], shapes, params)


@ALL
def test_float32_is_kept(function: Any, shapes: Any, params: Any) -> None:
    ladder.check_float32(RULES[function], shapes, params)


def test_the_series_of_erf_is_erf() -> None:
    x = np.concatenate([np.linspace(-8, 8, 4001), [0.0, 1e-300, 1e-10, -1e-5, np.inf, -np.inf, np.nan]])
    np.testing.assert_allclose(functions.erf_by_series(x), functions.erf(x), rtol=2e-15)
    np.testing.assert_allclose(functions.erf_by_series(x.astype(np.float32)), functions.erf(x), rtol=1e-6, atol=1e-38)


@ALL
def test_arrays_of_another_library_stay_there(function: Any, shapes: Any, params: Any) -> None:
    ladder.check_fake(RULES[function], shapes, params)


LAYOUTS = {
    "fortran": lambda a: np.array(a, order="F"),
    "strided": lambda a: a if a.ndim == 0 else np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a if a.ndim == 0 else a[::-1].copy()[::-1],
    "byteswapped": lambda a: a.astype(a.dtype.newbyteorder()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@ALL
def test_memory_layout_does_not_matter_and_inputs_are_left_alone(function: Any, shapes: Any, params: Any, layout: str) -> None:
    rule = RULES[function]
    arrays = SAMPLES[function].arrays(shapes)
    expected = ladder.gradients(rule, list(arrays), params)[1]
    given = [LAYOUTS[layout](a) for a in arrays]
    for a in given:
        a.flags.writeable = False
    _, found = ladder.gradients(rule, given, params)
    chosen = [given[i] for i in ladder.differentiated(rule)]
    pulled = ladder.vjp(ladder.as_function(rule, given, params), *chosen)[1](np.ones(np.shape(function(*arrays, **params))))
    for g, p, e in zip(found, pulled, expected, strict=True):
        np.testing.assert_allclose(g.raw, e.raw, rtol=1e-14)
        np.testing.assert_allclose(p, e.raw, rtol=1e-14)
    for a, b in zip(given, SAMPLES[function].arrays(shapes), strict=True):
        np.testing.assert_array_equal(a, b)


@ALL
def test_the_formula_prints_itself(function: Any, shapes: Any, params: Any) -> None:
    rule = RULES[function]
    operands = [expression.symbol(name, shape) for name, shape in zip(rule.arguments, shapes, strict=True)]
    result = np.shape(function(*SAMPLES[function].arrays(shapes), **params))
    for i in ladder.differentiated(rule):
        line = rule.derivative(i, expression.symbol("g", result), operands, expression.symbol("y", result), params)
        assert "g" in line.names()
        assert str(line)
        assert line.latex()


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, 5e-324, -1.0])


@pytest.mark.parametrize("rule", ladder.rules("pointwise"), ids=lambda r: r.name)
def test_special_values_stay_where_they_are(rule: Any) -> None:
    """NaN and infinities neither raise nor reach other elements."""
    params = SAMPLES[rule.function].calls[0][1]
    with np.errstate(all="ignore"):
        _, grads = ladder.gradients(rule, [SPECIAL, *[np.full(8, 2.0)] * (len(rule.arguments) - 1)], params)
        for i, x in enumerate(SPECIAL):
            _, alone = ladder.gradients(rule, [np.array([x]), *[np.array([2.0])] * (len(rule.arguments) - 1)], params)
            for g, one in zip(grads, alone, strict=True):
                np.testing.assert_array_equal(g.raw[i], one.raw[0])


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**0.0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**2, -3.0, -6.0),
        (lambda x: x**3, -2.0, 12.0),
        (lambda x: x**-1, 2.0, -0.25),
        (lambda x: x ** np.int64(3), -2.0, 12.0),
        (lambda x: x ** np.array(2), -3.0, -6.0),
        (lambda x: 0.0**x, 2.0, 0.0),
        (lambda x: 2**x, 3.0, 8 * np.log(2)),
        (lambda x: np.power(2, x), 0.0, np.log(2)),
    ],
)
def test_powers_at_the_edges(f: Any, x: float, expected: float) -> None:
    t = Tensor(x, requires_grad=True)
    f(t).backward()
    np.testing.assert_allclose(t.grad, expected, rtol=1e-15)
