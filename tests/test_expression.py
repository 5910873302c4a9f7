"""Symbols print what they compute: the text, read back by Python, has the same value."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_bp import sigmoid
from tinygrad_bp.expression import Expression, format_number, number, symbol

VALUES = {"a": 1.7, "b": 0.6, "c": 2.3}
LEAVES = st.one_of(st.sampled_from([symbol(n) for n in VALUES]), st.sampled_from([0, 1, 2, -1, -3, 0.5, -0.25]).map(number))
OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
TREES = st.recursive(
    LEAVES,
    lambda trees: st.one_of(
        st.tuples(st.sampled_from(OPERATORS), trees, trees),
        st.tuples(st.sampled_from([operator.neg, np.exp, np.square, operator.pos]), trees),
    ),
    max_leaves=8,
)


def computed(tree: Any, values: dict[str, Any]) -> Any:
    """The tree on numbers: an Expression is a leaf, a tuple an operation."""
    if isinstance(tree, Expression):
        return values[tree.name] if tree.name else np.float64(tree.value)
    return tree[0](*[computed(x, values) for x in tree[1:]])


def written(tree: Any) -> Expression:
    return tree if isinstance(tree, Expression) else tree[0](*map(written, tree[1:]))


@given(TREES)
@settings(max_examples=500, deadline=None)
def test_the_text_and_the_value_of_an_expression_agree_with_python(tree: Any) -> None:
    with np.errstate(all="ignore"):
        try:
            expected = computed(tree, {k: np.float64(v) for k, v in VALUES.items()})
        except (OverflowError, ZeroDivisionError):
            return
        if not np.isfinite(expected) or abs(expected) > 1e15:
            return
        try:
            e = written(tree)
        except (ZeroDivisionError, TypeError):  # 0 ** -1 or (-1) ** 0.5, said by Python
            return
        try:
            got = e.evaluate(VALUES)
        except (ZeroDivisionError, TypeError):  # said by Python: a root of a negative number, 1 / 0
            return
        if isinstance(got, complex) or not np.isfinite(got):  # a person writes 0 for 0 * x, not the other way about
            return
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
        if "/ 0" in str(e) or "0**-" in str(e):  # NumPy has an infinity for it, Python has not
            return
        read = eval(str(e), {k: np.float64(v) for k, v in VALUES.items()} | {"exp": np.exp, "np": np})
        np.testing.assert_allclose(read, expected, rtol=1e-6, atol=1e-6)
        assert e.latex().count("{") == e.latex().count("}")


MATRICES = {n: np.random.default_rng(i).standard_normal((2, 2)) for i, n in enumerate("ABC")}
PRODUCTS = st.recursive(
    st.sampled_from([symbol(n, (2, 2)) for n in MATRICES]),
    lambda trees: st.one_of(
        st.tuples(st.sampled_from([operator.matmul, operator.mul, operator.sub, operator.matmul, operator.truediv]), trees, trees),
        st.tuples(st.sampled_from([operator.neg, np.transpose]), trees),
    ),
    max_leaves=6,
)


@given(PRODUCTS)
@settings(max_examples=500, deadline=None)
def test_matrix_products_are_not_confused_with_elementwise_ones(tree: Any) -> None:
    with np.errstate(all="ignore"):
        expected = computed(tree, MATRICES)
        if not np.all(np.isfinite(expected)):
            return
        e = written(tree)
        scale = 1e-7 * (1 + np.max(np.abs(expected)))
        got = e.evaluate(MATRICES)
        if np.all(np.isfinite(got)):
            np.testing.assert_allclose(got, expected, rtol=1e-7, atol=scale)
            np.testing.assert_allclose(eval(str(e), dict(MATRICES)), expected, rtol=1e-6, atol=10 * scale)


a, b, c = symbol("a"), symbol("b"), symbol("c")


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (a - (b - c), "a - (b - c)"),
        (a - (b + c), "a - (b + c)"),
        (a - b - c, "a - b - c"),
        (a / (b / c), "a / (b / c)"),
        (a / (b * c), "a / (b * c)"),
        ((a + b) * c, "(a + b) * c"),
        (a**b**c, "a**b**c"),
        ((a**b) ** c, "(a**b)**c"),
        ((-a) ** 2, "(-a)**2"),
        (-(a**2), "-a**2"),
        (a * (b @ c), "a * (b @ c)"),
        ((a * b) @ c, "(a * b) @ c"),
        (a * 1 + 0, "a"),
        (0 * a, "0"),
        (a * a, "a**2"),
        (1 - a * (1 - a), "1 - a * (1 - a)"),
        (a + (-b), "a - b"),
        (a - (-b), "a + b"),
        (operator.neg(-a), "a"),
        (a * -b, "-a * b"),
        ((a @ b) * c, "(a @ b) * c"),
        (a - b @ c, "a - b @ c"),
        (a @ (b @ c), "a @ (b @ c)"),
        (a @ b @ c, "a @ b @ c"),
        (np.tanh(a) ** 2, "tanh(a)**2"),
        (a * 2 * 3, "6 * a"),
        (a <= b, "a <= b"),
        (sigmoid(a), "sigmoid(a)"),
        (a.T @ b, "a.T @ b"),
        ((a + b).T, "(a + b).T"),
        (2 ** (-a), "2**(-a)"),
    ],
    ids=str,
)
def test_parentheses_where_they_are_needed_and_only_there(e: Expression, text: str) -> None:
    assert str(e) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (0.5, "0.5"),
        (-3, "-3"),
        (0.1 + 0.2, "0.3"),
        (1e-10, "1e-10"),
        (123456789.0, "123456789"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, "True"),
        (0.0, "0"),
        (1 / 3, "0.333333333"),
    ],
    ids=str,
)
def test_numbers_are_written_as_a_person_writes_them(value: Any, text: str) -> None:
    assert format_number(value) == text


def test_an_expression_knows_its_names() -> None:
    assert (a * b + a).names() == ["a", "b"]
    assert (a + b).same(a + b)
    assert not (a + b).same(b + a)


def test_latex() -> None:
    assert (a / (b + 1)).latex() == r"\frac{a}{b + 1}"
    assert symbol("out_h1").latex() == r"\mathrm{out}_{h1}"
    assert symbol("w5").latex() == "w_{5}"
    assert symbol("delta_o1").latex() == r"\delta_{o1}"
    assert number(1.5e-10).latex() == r"1.5 \times 10^{-10}"
