"""Each pointwise rule, run on symbols and translated to SymPy, is g times SymPy's own derivative."""

from __future__ import annotations

import inspect
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

import tinygrad_bp as tg
from tests import ladder
from tests.ladder import case_id
from tinygrad_bp import engine, functions
from tinygrad_bp.expression import Expression, symbol
from tinygrad_bp.functions import expand
from tinygrad_bp.rule import RULES, Rule
from tinygrad_bp.tensor import take

SPOKEN = {  # NumPy's name -> SymPy's expression, where the names differ
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a - b,
    np.multiply: lambda a, b: a * b,
    np.divide: lambda a, b: a / b,
    np.power: lambda a, b: a**b,
    np.negative: lambda x: -x,
    np.positive: lambda x: x,
    np.square: lambda x: x**2,
    functions.sigmoid: lambda x: 1 / (1 + sympy.exp(-x)),
    np.float_power: lambda a, b: a**b,
    np.reciprocal: lambda x: 1 / x,
    np.cbrt: lambda x: x ** sympy.Rational(1, 3),
    np.hypot: lambda a, b: sympy.sqrt(a**2 + b**2),
    np.exp2: lambda x: 2**x,
    np.expm1: lambda x: sympy.exp(x) - 1,
    np.log2: lambda x: sympy.log(x) / sympy.log(2),
    np.log10: lambda x: sympy.log(x) / sympy.log(10),
    np.log1p: lambda x: sympy.log(1 + x),
    np.logaddexp: lambda a, b: sympy.log(sympy.exp(a) + sympy.exp(b)),
    np.logaddexp2: lambda a, b: sympy.log(2**a + 2**b) / sympy.log(2),
    np.arctan2: lambda a, b: sympy.atan(a / b),
    np.deg2rad: lambda x: x * sympy.pi / 180,
    np.radians: lambda x: x * sympy.pi / 180,
    np.rad2deg: lambda x: x * 180 / sympy.pi,
    np.degrees: lambda x: x * 180 / sympy.pi,
    functions.softplus: lambda x: sympy.log(1 + sympy.exp(x)),
    functions.silu: lambda x: x / (1 + sympy.exp(-x)),
    functions.half_squared_error: lambda target, output: (target - output) ** 2 / 2,
    functions.gelu: lambda x: x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
    np.not_equal: lambda a, b: 1,  # of symbols, which stand for general values
    np.equal: lambda a, b: 0,
}


CHOICES = {  # piecewise, or a series: differences and mutants stand for the proof
    np.remainder,
    np.fmod,
    np.absolute,
    np.fabs,
    np.copysign,
    np.maximum,
    np.minimum,
    np.fmax,
    np.fmin,
    np.where,
    np.sinc,
    functions.sinc_derivative,
    functions.clamp,
    functions.relu,
    functions.leaky_relu,
    functions.elu,
}
SMOOTH = [r for r in ladder.rules("pointwise") if r.function not in CHOICES]


def spoken(function: Any) -> Any:
    return SPOKEN.get(function) or getattr(sympy, function.__name__.replace("arc", "a"))


def in_sympy(e: Expression, names: dict[str, Any]) -> Any:
    if e.function is None:
        return names[e.name] if e.name else sympy.nsimplify(e.value, rational=True)
    return spoken(e.function)(*[in_sympy(x, names) for x in e.operands])


def prove(rule: Rule) -> None:
    names = {name: sympy.Symbol(name, positive=True) for name in [*rule.arguments, "g"]}
    names["y"] = spoken(rule.function)(*[names[a] for a in rule.arguments])
    for i, argument in enumerate(rule.arguments):
        line = rule.derivative(i, symbol("g"), [symbol(a) for a in rule.arguments], symbol("y"), {})
        difference = in_sympy(line, names) - names["g"] * sympy.diff(names["y"], names[argument])
        simple = rule.function in {
            np.add,
            np.subtract,
            np.multiply,
            np.divide,
            np.power,
            np.exp,
            np.log,
            np.sqrt,
            np.square,
            np.tanh,
            functions.sigmoid,
        }
        if not simple or sympy.simplify(difference) != 0:  # SymPy may not see it: compare numbers before giving up
            for seed in range(3):
                at = {s: sympy.Rational(7 * seed + 3 * k + 5, 11) for k, s in enumerate(sorted(difference.free_symbols, key=str))}
                value = sympy.N(difference, 30, subs=at)  # a constant of the rule, such as log(2), has sixteen digits
                assert abs(value) < 1e-12, f"{rule.name} by {argument}: the rule says {line}"


@pytest.mark.parametrize("rule", SMOOTH, ids=lambda r: r.name)
def test_pointwise_rule_is_proved(rule: Rule) -> None:
    prove(rule)


@pytest.mark.parametrize("rule", SMOOTH, ids=lambda r: r.name)
def test_the_proof_rejects_a_wrong_factor(rule: Rule) -> None:
    wrong = Rule(
        rule.kind, rule.function, {a: altered(f, lambda gx: 1.0003 * gx) for a, f in zip(rule.arguments, rule.formulas, strict=True)}
    )
    with pytest.raises(AssertionError):
        prove(wrong)


def altered(formula: Any, change: Any) -> Any:
    """The same formula, with the same parameters, whose value is changed."""
    if formula is None:
        return None
    parameters = inspect.signature(formula).parameters.values()
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    header = ", ".join([*positional, *(["*"] if options else []), *options])
    body = ", ".join([*positional, *[f"{o}={o}" for o in options]])
    wrong = eval(f"lambda {header}: change(formula({body}))", {"change": change, "formula": formula})
    wrong.__kwdefaults__ = formula.__kwdefaults__
    return wrong


# -- mutants: wrong rules that the ladder must catch -------------------------------------------------------------------

OTHER = dict(zip(("weight", "bias"), RULES[functions.linear].formulas[1:], strict=True))  # the right formulas of the two
CHANGES = {
    "wrong sign": lambda gx: -gx,
    "wrong factor in the fourth digit": lambda gx: gx * 1.0003,
    "dropped path": lambda gx: gx * 0.0,
    "counted twice": lambda gx: gx + gx,
    "shifted": lambda gx: gx + 1e-3,
}
BY_HAND: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("v - delta for v * delta", np.multiply, "pointwise", {"a": lambda g, b: g - b, "b": lambda g, a: g * a}),
    ("operands exchanged", np.multiply, "pointwise", {"a": lambda g, a: g * a, "b": lambda g, b: g * b}),
    ("quotient without the minus", np.divide, "pointwise", {"a": lambda g, b: g / b, "b": lambda g, b, y: g * y / b}),
    ("quotient divided once", np.divide, "pointwise", {"a": lambda g, b: g / b, "b": lambda g, y: -g * y}),
    ("exponent not lowered", np.power, "pointwise", {"a": lambda g, b, y: g * b * y, "b": lambda g, a, y: g * y * np.log(a)}),
    ("logarithm of base two", np.power, "pointwise", {"a": RULES[np.power].formulas[0], "b": lambda g, a, y: g * y * np.log(a) / 0.69}),
    ("x for y in tanh", np.tanh, "pointwise", {"x": lambda g, x: g * (1 - x * x)}),
    ("tanh not squared", np.tanh, "pointwise", {"x": lambda g, y: g * (1 - y)}),
    ("dropped 1 - y in sigmoid", functions.sigmoid, "pointwise", {"x": lambda g, y: g * y}),
    ("x for y in sigmoid", functions.sigmoid, "pointwise", {"x": lambda g, x: g * x * (1 - x)}),
    ("root without the half", np.sqrt, "pointwise", {"x": lambda g, y: g / y}),
    ("square without the two", np.square, "pointwise", {"x": lambda g, x: g * x}),
    ("weights not transposed", functions.linear, "general", {"x": lambda g, weight: g @ weight.T, **OTHER}),
    ("second order dropped", np.square, "pointwise", {"x": lambda g, x: 2 * g * (x.detach() if hasattr(x, "detach") else x)}),
    ("mean that is a sum", np.mean, "linear", {"a": RULES[np.sum].formulas[0]}),
    ("mean over all", np.mean, "linear", {"a": lambda g, a, *, axis=None, keepdims=False: expand(g / a.size, a, axis, keepdims)}),
    ("sum not copied back", np.sum, "linear", {"a": lambda g, a, *, axis=None, keepdims=False: g}),
    ("axis ignored", np.sum, "linear", {"a": lambda g, a, *, axis=None, keepdims=False: np.broadcast_to(g, a.shape)}),
    ("permutation not inverted", np.transpose, "linear", {"x": lambda g, *, axes=None: np.transpose(g, axes)}),
    ("left operand not transposed", np.matmul, "bilinear", {"a": RULES[np.matmul].formulas[0], "b": lambda g, a: a @ g}),
    ("right operand not transposed", np.matmul, "bilinear", {"a": lambda g, b: g @ b, "b": RULES[np.matmul].formulas[1]}),
    ("products exchanged", np.matmul, "bilinear", {"a": lambda g, b: functions.swap(b) @ g, "b": RULES[np.matmul].formulas[1]}),
    ("reshape in Fortran order", np.reshape, "linear", {"a": lambda g, a, *, shape: functions.swap(np.reshape(g, a.shape[::-1]))}),
    ("broadcast not summed", np.broadcast_to, "linear", {"array": lambda g, array, *, shape: g}),
    (
        "broadcast averaged",
        np.broadcast_to,
        "linear",
        {"array": lambda g, array, *, shape: functions.sum_to(g, array.shape) * (array.size / g.size)},
    ),
    ("repeats overwritten", take, "linear", {"x": lambda g, x, *, index: overwritten(g, x, index)}),
]


def overwritten(g: Any, x: Any, index: Any) -> Any:
    result = np.zeros(x.shape)
    result[index] = getattr(g, "raw", g)
    return result


def climb(function: Any) -> None:
    """Every rung on every call, with NumPy's complaints about the mutant's own arithmetic switched off."""
    with np.errstate(all="ignore"):
        for shapes, params in ladder.SAMPLES[function].calls:
            for rung in ladder.RUNGS:
                rung(RULES[function], shapes, params)


MUTANTS = [
    pytest.param(rule.function, i, change, id=f"{rule.name}-{rule.arguments[i]}-{name}".replace(" ", "_"))
    for rule in ladder.rules()
    if rule.function in ladder.SAMPLES
    for i in ladder.differentiated(rule)
    for name, change in CHANGES.items()
]


@pytest.mark.parametrize(("function", "i", "change"), MUTANTS)
def test_mutant_falls(function: Any, i: int, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES[function]
    formulas = dict(zip(rule.arguments, rule.formulas, strict=True))
    formulas[rule.arguments[i]] = altered(rule.formulas[i], change)
    monkeypatch.setitem(RULES, function, Rule(rule.kind, function, formulas))
    with pytest.raises(Exception, match=r".") as caught:
        climb(function)
    assert not isinstance(caught.value, KeyError | NameError)


@pytest.mark.parametrize(("name", "function", "kind", "formulas"), BY_HAND, ids=case_id)
def test_mistake_made_by_hand_falls(name: str, function: Any, kind: Any, formulas: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, function, Rule(kind, function, formulas))
    with pytest.raises(Exception, match=r".") as caught:
        climb(function)
    assert not isinstance(caught.value, KeyError | NameError)


@pytest.mark.parametrize("rule", ladder.rules(), ids=lambda r: r.name)
def test_the_right_rule_stands(rule: Rule) -> None:
    climb(rule.function)


@pytest.mark.parametrize(("function", "shapes", "params"), list(ladder.cases("linear", "bilinear")), ids=case_id)
def test_the_claim_of_linearity(function: Any, shapes: Any, params: Any) -> None:
    """f(a u + v) = a f(u) + f(v), in each argument that is differentiated."""
    rule = RULES[function]
    arrays = ladder.SAMPLES[function].arrays(shapes)
    for i in ladder.differentiated(rule):
        v = ladder.SAMPLES[function].arrays(shapes, seed=1)[i]
        at = lambda x, i=i: function(*arrays[:i], x, *arrays[i + 1 :], **params)  # noqa: E731
        ladder.close(at(3.0 * arrays[i] + v), 3.0 * at(arrays[i]) + at(v), 1e-12)


@pytest.mark.parametrize("rule", ladder.rules(), ids=lambda r: r.name)
def test_a_mutant_that_changes_nothing_stands(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the mutants fall by what they compute, not by how they are made."""
    same = {a: altered(f, lambda gx: gx) for a, f in zip(rule.arguments, rule.formulas, strict=True)}
    monkeypatch.setitem(RULES, rule.function, Rule(rule.kind, rule.function, same))
    climb(rule.function)


@pytest.mark.parametrize("function", [np.add, np.multiply, np.matmul], ids=case_id)
def test_forgotten_broadcasting_in_the_engine_falls(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "project", lambda g, x, node: g)
    with pytest.raises((AssertionError, ValueError)):
        climb(function)


def test_sigmoid_is_right_over_the_whole_line() -> None:
    x = np.concatenate([np.linspace(-740, 740, 4001), [-87.0, -86.9, -1e-300, 0.0, 36.9, 37.1]])
    exact = np.array([float(1 / (1 + mpmath.exp(-mpmath.mpf(float(v))))) for v in x])
    for values in (x, x[x > -86]):  # both of its forms
        expected = exact if values is x else exact[x > -86]
        np.testing.assert_array_almost_equal_nulp(functions.sigmoid(values), expected, nulp=4)
    assert functions.sigmoid(np.array([-1e6, 1e6])).tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(functions.sigmoid(np.array([np.nan, 1.0, -np.inf, np.inf]))[[0, 2, 3]], [np.nan, 0.0, 1.0])


@pytest.mark.parametrize("x", [[-100, 0, 3], [], 2, np.float16([-8, 0, 60]), np.float32([[-3.0, 90.0]])], ids=str)
def test_sigmoid_of_other_arrays(x: Any) -> None:
    x = np.asarray(x)
    y = functions.sigmoid(x)
    assert y.shape == x.shape
    assert y.dtype == np.result_type(x, np.float16 if x.dtype.kind == "f" else np.float64)
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-x.astype(float))), rtol=4 * np.finfo(y.dtype).eps)


@pytest.mark.parametrize("a", [(4,), (2, 4), (400, 4), (3, 2, 4), (0, 4)], ids=str)
@pytest.mark.parametrize("b", [(4,), (4, 3), (4, 300), (1, 4, 3), (4, 0)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_a_product_is_that_of_the_operator(a: tuple[int, ...], b: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-9, 9, shape).astype(dtype) for shape in (a, b))
    for p, q in ((x, y), (np.asfortranarray(x), y), (x[..., ::-1], np.asfortranarray(y))):
        found, expected = functions.product(p, q), p @ q
        np.testing.assert_array_equal(found, expected)  # whole numbers: exact in any order
        assert type(found) is type(expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("a", [(1,), (2,), (1, 1), (2, 1), (1, 2), (2, 2)], ids=str)
@pytest.mark.parametrize("columns", [(), (1,), (2,)], ids=str)
@pytest.mark.parametrize("values", [(np.nan, 0.0), (0.0, np.inf)])
def test_zero_times_what_is_no_number_is_no_number(a: tuple[int, ...], columns: tuple[int, ...], values: tuple[float, float]) -> None:
    shapes = a, (a[-1], *columns)
    x, y = map(np.full, shapes, values)
    compiled = tg.compile(lambda x, y: np.sum(x @ y), (0, 1), dialect="matrix")
    compiled(*map(np.ones, shapes))
    with np.errstate(invalid="ignore"):
        assert np.isnan(functions.product(x, y)).all()
        assert np.isnan(compiled(x, y)[0])


def test_a_product_needs_axes_as_the_operator_does() -> None:
    for a, b in ((np.array(2.0), np.ones((2, 2))), (np.ones(2), np.array(2.0)), (np.ones(2), 3.0)):
        with pytest.raises(ValueError, match="matmul"):
            functions.product(a, b)
