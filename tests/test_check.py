"""The checker: right claims pass, wrong ones do not, and a shape that only broadcasts is a mistake."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor
from tinygrad_bp.check.witness import finite_difference
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
