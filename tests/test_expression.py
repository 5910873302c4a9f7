"""Symbols print what they compute: the text, read back by Python, has the same value."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_bp import sigmoid
from tinygrad_bp.expression import Expression, format_number, number, oriented, partial, product, symbol, vectors_first, vectors_last
from tinygrad_bp.rules import affine as tg_linear

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


ARRAYS = {"u": np.array([0.5, -1.5]), "v": np.array([1.0, 2.0, -0.5]), "M": np.arange(6.0).reshape(2, 3) - 2, "s": np.float64(0.7)}
STEPS: list[Any] = [
    np.add, np.multiply, np.subtract, np.matmul, np.outer, np.negative, np.transpose, np.square,
    lambda x: np.sum(x, axis=0), np.sum, lambda x: np.sum(x, axis=-1, keepdims=True), lambda x: np.expand_dims(x, 0),
    lambda x: np.expand_dims(x, -1), lambda x: np.reshape(x, (-1, 1)), lambda x: np.reshape(x, (1, -1)), lambda x: np.reshape(x, (-1,)),
    lambda x: x[..., 0], lambda x: np.broadcast_to(x, (2, *x.shape)), lambda x: np.swapaxes(x, -1, -2), lambda x: 3 * x, lambda x: x / 3,
]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=7))
@settings(max_examples=200, deadline=None)
def test_simplified_formulas_of_arrays_keep_value_and_shape(steps: list[tuple[int, int, int]]) -> None:
    values: list[Any] = list(ARRAYS.values())
    formulas = [symbol(name, np.shape(value)) for name, value in ARRAYS.items()]
    for step, i, j in steps:
        f, places = STEPS[step], [i % len(values), j % len(values)]
        places = places[: 2 if step < 5 else 1]
        try:
            value = np.asarray(f(*[values[p] for p in places]))
        except (ValueError, IndexError, np.exceptions.AxisError):  # the shapes do not fit
            continue
        if value.size > 200:
            continue
        formula = f(*[formulas[p] for p in places])
        for x in (formula, vectors_last(formula), vectors_first(formula)):
            np.testing.assert_allclose(x.evaluate(ARRAYS), value, rtol=1e-12, atol=1e-12, err_msg=str(x))
            assert x.shape in (value.shape, None), str(x)
            assert x.latex().count("{") == x.latex().count("}")
        values.append(value)
        formulas.append(formula)


u, v, m = symbol("u", (2,)), symbol("v", (3,)), symbol("M", (2, 3))


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (m.T.T, "M"),
        (u.T, "u"),
        (np.reshape(u, (2, 1)) @ np.reshape(v, (1, 3)), "outer(u, v)"),
        ((np.reshape(u, (2, 1)) @ np.reshape(v, (1, 3))).T, "outer(v, u)"),
        ((m @ np.expand_dims(v, -1))[..., 0], "M @ v"),
        (np.reshape(u, (1, 2)) @ m, "reshape(u @ M, shape=(1, 3))"),
        (vectors_last(u @ m), "M.T @ u"),
        (vectors_first(m @ v), "v @ M.T"),
        ((m.T @ np.reshape(u, (2, 1))).T, "reshape(m.T @ u, shape=(1, 3))".replace("m", "M")),
        ((symbol("X", (4, 3)).T @ symbol("D", (4, 2))).T, "D.T @ X"),
        (np.broadcast_to(symbol("s", ()), (2,)) * u, "s * u"),
        (np.sum(np.broadcast_to(symbol("s", ()), (2, 3))), "6 * s"),
        (np.sum(-u), "-sum(u)"),
        (np.sum(2 * u * u), "2 * sum(u**2)"),
        (np.sum(np.reshape(v, (1, 3)), axis=0), "v"),
        (u * (1 / number(3)), "1 / 3 * u"),
        (u * 2 / 3, "2 / 3 * u"),
        (u / 4, "u / 4"),
        (tg_linear(symbol("x", (4, 3)), m, u), "x @ M.T + b".replace("b", "u")),
        (product([number(-1), u - symbol("t", (2,)), u]), "(t - u) * u"),
        (product([number(-1), u]), "-u"),
        (np.negative(number(0.0)), "0"),
        (a + (-1) * (b - c), "a - (b - c)"),
        (a + b + b, "a + 2 * b"),
        (u / v[:2] / v[:2], "u / v[:2]**2"),
        (np.reshape(np.broadcast_to(number(3.0), (2,)), (2, 1)) * m, "3 * M"),
        (m @ np.reshape(np.broadcast_to(number(3.0), (3,)), (3, 1)), "reshape(M @ broadcast_to(3, shape=(3,)), shape=(2, 1))"),
        (m == np.broadcast_to(np.reshape(u, (2, 1)), (2, 3)), "M == reshape(u, shape=(2, 1))"),
        (u > np.broadcast_to(symbol("s", ()), (2,)), "u > s"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_arrays_are_simplified_as_a_person_does(e: Expression, text: str) -> None:
    assert str(e) == text


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("y_hat1", r"\hat{y}_{1}"),
        ("delta^3_12", r"\delta^{3}_{12}"),
        ("E_total", r"E_{\mathrm{total}}"),
        ("net21", r"\mathrm{net}_{21}"),
        ("w5+", "w_{5}^{+}"),
        ("W^3+", "W^{3+}"),
        ("0.weight", r"\text{0.weight}"),
        ("x_{1}", r"\text{x\_\{1\}}"),
        ("权重", r"\text{权重}"),
        ("θ", r"\theta"),
        ("Δ_o1", r"\Delta_{o1}"),
        ("ω1", r"\omega_{1}"),
        ("w_权", r"\text{w\_权}"),
    ],
)
def test_names_in_latex(name: str, latex: str) -> None:
    assert symbol(name).latex() == latex


def test_the_signs_of_mathematics() -> None:
    d, h, w = symbol("delta_o", (2,)), symbol("y_hat", (2,)), symbol("W", (2, 2))
    assert (h * (1 - h) * (w.T @ d)).text(unicode=True) == "y\u0302 ⊙ (1 - y\u0302) ⊙ (Wᵀ δ_o)"
    assert (2 * np.square(a) / b).text(unicode=True) == "2 · a² / b"
    assert np.outer(d, h).text(unicode=True) == "δ_o y\u0302ᵀ"
    assert (d @ h).text(unicode=True) == "δ_oᵀ y\u0302"
    assert partial("E", "delta_o", "u").text(unicode=True) == "∂E/∂δ_o|u"
    assert partial("E", "w", "u").latex() == r"\left.\frac{\partial E}{\partial w}\right|_{u}"


def test_negative_numbers_put_into_a_formula_have_brackets() -> None:
    values = {"a": -1.5, "b": -2.0, "c": 0.0}
    shown = lambda x: format_number(values[x.name] if x.name else x.value)  # noqa: E731
    assert (a + b).text(shown) == "-1.5 + (-2)"
    assert (a * b).text(shown) == "-1.5 * (-2)"
    assert (-a).text(shown) == "-(-1.5)"
    assert (a**2).text(shown) == "(-1.5)**2"
    assert (-(a**2)).latex(shown) == r"-\left(-1.5\right)^{2}"


def test_nothing_has_two_exponents_in_latex() -> None:
    w, v = symbol("W^3", (2, 2)), symbol("v", (2,))
    assert w.T.latex() == r"\left(W^{3}\right)^{T}"
    assert (w**2).latex() == r"\left(W^{3}\right)^{2}"
    assert (oriented(v, (), row=True) ** 2).latex() == r"\left(v^{T}\right)^{2}"
    assert (a**2).latex(lambda x: r"1 \times 10^{9}" if x.name else str(x.value)) == r"\left(1 \times 10^{9}\right)^{2}"


def test_options_are_part_of_a_formula() -> None:
    assert np.sum(m, axis=0).same(np.sum(m, axis=0))
    assert not np.sum(m, axis=0).same(np.sum(m, axis=1))
    assert m[np.array([0, 1])].same(m[np.array([0, 1])])
    assert not m[np.array([0, 1])].same(m[np.array([1, 1])])
    assert str(m[1:, 0]) == "M[1:, 0]"
    assert str(np.sum(m, axis=(0, 1))) == "sum(M)"


def test_both_of_two_conditions() -> None:
    assert str(a * ((b >= -0.5) & (b <= 0.5))) == "a * ((b >= -0.5) & (b <= 0.5))"
    assert ((b >= 0) & (b <= 1)).latex() == r"b \ge 0 \wedge b \le 1"
