"""The checker: right claims pass, wrong ones do not, and a shape that only broadcasts is a mistake."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor
from tinygrad_bp.check.witness import ANALYTIC, complex_step, finite_difference, witness
from tinygrad_bp.errors import GraphError, NameLookupError
from tinygrad_bp.program import Program
from tinygrad_bp.worked import step_by_step as example


@pytest.fixture
def loss():
    return example.forward()


@pytest.mark.parametrize(("claim", "agrees"), [
    (0.08, True), (0.082, True), (0.0822, True), (0.0821, False), ("0.082167041", True), ("0.0821670406", True), ("0.0821670410", False),
    ("8.22e-2", True), ("8.21e-2", False), (-0.0821670406, False), (0.1, True), (0.2, False),
])  # fmt: skip
def test_the_tolerance_follows_the_digits_written(loss, claim, agrees):
    assert tg.check(loss, {"w5": claim}).ok is agrees


def test_arrays_as_printed_on_a_page(loss):
    assert tg.check(loss, {"W2": [[0.08217, 0.08267], [-0.02260, -0.02274]]}).ok
    assert not tg.check(loss, {"W2": [[0.08217, 0.08267], [-0.02274, -0.02260]]}).ok


def test_callables_on_tensors_elements_and_intermediates(loss):
    report = tg.check(loss, {
        "w5": lambda out_o1, target_o1, out_h1: -(target_o1 - out_o1) * out_o1 * (1 - out_o1) * out_h1,
        "W2": lambda out_o, target_o, out_h: np.outer((out_o - target_o) * out_o * (1 - out_o), out_h),
        "net_o": lambda out_o, target_o: (out_o - target_o) * out_o * (1 - out_o),
        "net_o2": lambda out_o2, target_o2: (out_o2 - target_o2) * out_o2 * (1 - out_o2),
    })  # fmt: skip
    assert report.ok, str(report)


def test_a_dropped_factor_is_found(loss):
    report = tg.check(loss, {"w5": lambda out_o1, target_o1, out_h1: -(target_o1 - out_o1) * out_h1, "w6": "0.082667628"})
    assert [row.verdict for row in report] == ["differs", "agrees"]
    assert not report.ok
    assert "1 of 2 claims agree" in str(report)


def test_a_shape_that_only_broadcasts_is_a_mistake(loss):
    for claim in ([0.1004003, 0.1004003], [[0.1004003]], [0.1004003]):
        (row,) = tg.check(loss, {"b2": claim})
        assert row.verdict == "shape"
    (row,) = tg.check(loss, {"W2": 0.08})
    assert row.verdict == "shape"


def test_nan_never_agrees(loss):
    assert not tg.check(loss, {"w5": float("nan")}).ok
    assert not tg.check(loss, {"w5": lambda out_o1: np.nan * out_o1}).ok


def test_an_unknown_name_lists_the_known_ones(loss):
    with pytest.raises(NameLookupError, match=r"no tensor named 'w9'. Its names are: .*W1"):
        tg.check(loss, {"w9": 1.0})
    with pytest.raises(NameLookupError, match="parameters are names of the graph"):
        tg.check(loss, {"w5": lambda out_x: out_x})
    with pytest.raises(GraphError, match="gradient of a scalar"):
        tg.check(Tensor([1.0, 2.0], requires_grad=True) * 2, {})


def test_the_table_fits_a_terminal(loss):
    text = str(tg.check(loss, example.FORMULAS))
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80


def test_the_witness_agrees_with_autograd_and_does_not_use_it(loss, monkeypatch):
    program = Program.of(loss)
    gradients = dict(program.gradients)
    monkeypatch.setattr("tinygrad_bp.rule.Rule.derivative", None)  # the witness must not need it
    for name in ("W1", "W2", "b1", "b2", "net_h", "out_h", "net_o", "out_o", "E_o"):
        place = program.place(name)
        np.testing.assert_allclose(finite_difference(program, place), gradients[place], rtol=1e-7, atol=1e-10)
        found = witness(program, place)
        assert found.method == "complex step"
        np.testing.assert_allclose(found.derivative, gradients[place], rtol=1e-13, atol=1e-17)


X = np.array([[0.3, -1.7, 2.2], [-40.0, 33.0, 1e-3]])


@pytest.mark.parametrize("function", ANALYTIC, ids=lambda f: f.__name__)
def test_the_witness_has_analytic_forms_of_its_own(function):
    """Against autograd, whose rules are proved elsewhere; without them these would fall back to differences or be wrong."""
    inputs = [Tensor(X, requires_grad=True, name="x"), Tensor(X[::-1] + 0.25, requires_grad=True, name="y")]
    result = function(*inputs[: 2 if isinstance(function, np.ufunc) and function.nin == 2 else 1])
    program = Program.of(np.sum(result * np.cos(result.numpy())).named("loss"))
    found = witness(program, 0)
    assert found.method == "complex step"
    np.testing.assert_allclose(found.derivative, program.gradients[0], rtol=1e-13, atol=1e-16)


PLAIN = [
    np.exp,
    np.expm1,
    np.log1p,
    np.sin,
    np.tan,
    np.sinh,
    np.tanh,
    np.arctan,
    np.arcsinh,
    np.square,
    np.reciprocal,
    np.arcsin,
    np.arctanh,
]


@pytest.mark.parametrize("function", [*PLAIN, lambda x: x**3, lambda x: (x + 3) ** 2.5, lambda x: 2.0**x, lambda x: np.linalg.inv(x @ x.T)])
def test_the_witness_runs_numpys_own_functions_on_complex_numbers(function):
    x = Tensor(X.clip(-0.9, 0.9), requires_grad=True, name="x")
    program = Program.of(np.sum(function(x)).named("loss"))
    found = witness(program, 0)
    assert found.method == "complex step"
    np.testing.assert_allclose(found.derivative, program.gradients[0], rtol=1e-12)


@pytest.mark.parametrize("function", [tg.erf, np.cbrt, np.fabs, lambda x: np.arctan2(x, 2.0), lambda x: x.astype(np.float32)])
def test_differences_count_where_a_complex_step_is_none(function):
    program = Program.of(np.sum(function(Tensor(X, requires_grad=True, name="x"))).named("loss"))
    found = witness(program, 0)
    assert found.method == "central differences"
    np.testing.assert_allclose(found.derivative, program.gradients[0], rtol=5 * found.error, atol=1e-8)


def test_a_kink_is_no_place_for_a_complex_step():
    x = Tensor(0.0, requires_grad=True, name="x")
    y = tg.relu(x).named("y")
    assert complex_step(Program.of(y), 0) == 0
    (row,) = tg.check(y, {"x": 0.0})
    assert (row.verdict, row.numeric, row.witness) == ("disputed", pytest.approx(0.5), "central differences")


def test_the_report_says_which_witness_it_had(loss):
    assert "(numerical: complex step)" in str(tg.check(loss, {"w5": 0.0822}))
    x = Tensor([0.3, 0.4], requires_grad=True).named("x", "x1 x2")
    y = np.sum(tg.erf(x)).named("y")
    assert "(numerical: central differences)" in str(tg.check(y, {"x1": 1.0}))
    z = (y + np.sum(np.exp(u := Tensor([0.5, 0.6], requires_grad=True).named("u")))).named("z")
    report = tg.check(z, {"x": np.zeros(2), "u": np.exp(u.numpy())})
    assert str(report).endswith("1 of 2 claims agree (numerical: complex step;\nx by central differences)")
    assert "numerical" not in str(tg.check(None, "2 + 2 = 4")).splitlines()[-1]


@pytest.mark.parametrize("off", [1e-6, -1e-8])
def test_a_rule_that_is_wrong_by_very_little_is_disputed(off):
    cube = tg.pointwise(lambda x: x**3, x=lambda g, x: (3 + off) * g * x * x)
    x = Tensor(2.0, requires_grad=True, name="x")
    (row,) = tg.check(cube(x).named("y"), {"x": 12.0})
    assert row.verdict == "disputed"


def test_gradients_that_cancel_are_not_disputed():
    x = Tensor(1e3, requires_grad=True, name="x")
    y = (np.sin(x) * 1e6 - np.sin(x * 1.0) * 1e6 + x * 1e-9).named("y")
    (row,) = tg.check(y, {"x": lambda x: 1e-9})
    assert row.verdict in ("agrees", "differs")


def test_a_wrong_rule_is_seen_by_the_witness():
    cube = tg.pointwise(lambda x: x**3, x=lambda g, x: 2 * g * x * x)  # 3 belongs there
    x = Tensor(2.0, requires_grad=True, name="x")
    for claim in (8.0, 12.0):  # what the rule says, and what is true: no verdict on a claim where the judge is in doubt
        (row,) = tg.check(cube(x).named("y"), {"x": claim})
        assert row.verdict == "disputed"
        assert not row.ok
        assert row.numeric == pytest.approx(12.0)


@pytest.mark.parametrize("claim", [0, 0.0, "0.000", "0.0"])
def test_a_zero_does_not_pass_for_a_small_gradient(loss, claim):
    (row,) = tg.check(loss, {"w1": claim})  # 0.000438...
    assert row.verdict == "coarse"
    assert not row.ok
    assert not tg.check(loss, {"W2": [[0, 0], [0, 0]]}).ok


def test_each_element_has_a_tolerance_of_its_own():
    x = Tensor([1.0, 1.0], requires_grad=True, name="x")
    y = np.sum(x * np.array([1e9, 1.0])).named("y")
    assert not tg.check(y, {"x": lambda x: np.array([1e9, 50.0])}).ok
    assert tg.check(y, {"x": lambda x: np.array([1e9, 1.0])}).ok


def test_inputs_and_frozen_parameters_have_derivatives_too():
    model = example.network()
    model[0].bias.requires_grad_(False)
    report = tg.check(example.forward(model), {"b1": example.FORMULAS["b1"], "i1": lambda W1, net_h, i1: 0.0 * i1})
    assert [row.verdict for row in report] == ["agrees", "differs"]


def test_a_program_keeps_its_values_when_the_weights_move_on():
    model = example.network()
    x = Tensor(example.INPUT).named("i")
    h = tg.sigmoid(x @ model[0].weight.T)
    loss = np.sum(np.square(h @ model[2].weight.T)).named("loss")
    loss.backward()
    gradient = model[0].weight.grad.numpy()
    program = Program.of(loss)
    tg.optim.SGD(model.parameters(), lr=50.0).step()
    assert tg.check(program, {"W1": gradient}).ok


def test_an_ambiguous_name_is_refused():
    a, b = (Tensor([1.0, 2.0], requires_grad=True).named(name, "w1 w2") for name in "ab")
    y = np.sum(a * b * b).named("y")
    with pytest.raises(NameLookupError, match="2 tensors have an element named 'w1'"):
        tg.check(y, {"w1": 1.0})
    twins = np.sum(Tensor(1.0, requires_grad=True, name="x") * Tensor(2.0, requires_grad=True, name="x"))
    with pytest.raises(NameLookupError, match="several tensors of the graph are named 'x'"):
        tg.check(twins, {"x": 1.0})


def test_a_loss_without_a_name_is_called_as_in_a_derivation() -> None:
    w = Tensor(2.0, requires_grad=True, name="w")
    assert "The first that disagrees is dL/dw" in str(tg.check(np.tanh(w * 3.0) * 5.0, {"w": 0.12345}).diagnosis)


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ([0.0, 0.0, 0.0], "dE/dx: the claim is zero."),
        ([3.7, 0.0, 33.3], "dE/dx: claim / right = 1.233333333."),
        ([3.7, 5.0, 33.3], "claim / right = 1.233333333, and the claim is not zero where the right one is."),
        ([1.7, 0.0, 20.3], "between 0.5667 and 0.7519, and 0.7519 where it is most off."),
        ([np.inf, 0.0, 1.0], "dE/dx: the claim is not a finite number."),
    ],
)
def test_what_is_off_is_told_where_the_right_one_is_zero_too(claim, says):
    """A ratio to zero is no number: it stood in the diagnosis as nan."""
    x = Tensor([1.0, -2.0, 3.0], requires_grad=True, name="x")
    loss = np.sum(tg.relu(x) ** 3).named("E")
    assert says in " ".join(str(tg.check(loss, {"x": np.array(claim)}).diagnosis).split())


def test_a_claim_about_what_is_zero():
    y = Tensor([-1.0, -2.0], requires_grad=True, name="y")
    assert "dL/dy: the right one is zero." in str(tg.check(np.sum(tg.relu(y)), {"y": [1.23456, 2.0]}).diagnosis)
