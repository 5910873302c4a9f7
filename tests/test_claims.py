"""The forms of claims: formulas, chains, updates, functions, models, backward passes written by hand."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn
from tinygrad_bp.errors import FormulaError, GraphError, NameLookupError, ShapeError
from tinygrad_bp.program import Program
from tinygrad_bp.worked import step_by_step as example


@pytest.fixture
def loss():
    return example.forward()


def test_previous_values_have_to_fit():
    loss = example.forward()
    with pytest.raises(NameLookupError, match="no tensor named 'w9'"):
        tg.check(loss, {"w5": 0.08}, previous={"w9": 1.0})
    with pytest.raises(ShapeError, match=r"previous value of W2 has shape \(2,\); W2 has \(2, 2\)"):
        tg.check(loss, {"w5": 0.08}, previous={"W2": [1.0, 2.0]})


def test_free_indices_are_a_row_for_each_value(loss):
    delta = r"\delta_{h} = \sum_o \delta_o W2_{oh} out_h (1 - out_h)"
    report = tg.check(loss, [delta, r"\frac{\partial E}{\partial W1_{ij}} = \delta_{hi} i_j"])
    assert report.ok
    assert [row.name for row in report] == ["net_h1", "net_h2", "w1", "w2", "w3", "w4"]
    wrong = tg.check(loss, delta.replace("W2_{oh}", "W2_{ho}"))
    assert verdicts(wrong) == ["differs", "differs"]
    assert wrong.diagnosis.mistake == "weights not transposed"


def test_too_many_instances_are_refused():
    w = Tensor(np.ones((40, 40)), requires_grad=True, name="W")
    with pytest.raises(FormulaError, match="this stands for 1600 formulas, one for each i, j; 1000 are the limit"):
        tg.check(np.sum(w * w).named("E"), r"\frac{\partial E}{\partial W_{ij}} = 2 W_{ij}")


def verdicts(report):
    return [row.verdict for row in report]


@pytest.mark.parametrize("claim", [
    "-(target_o1 - out_o1) * out_o1 * (1 - out_o1) * out_h1",
    r"-\left(\operatorname{target}_{o 1}- { out }_{o 1}\right) * { out }_{o 1}\left(1- { out }_{o 1}\right) *  { out }_{h 1}",
    "(outₒ₁ − targetₒ₁) · outₒ₁ · (1 − outₒ₁) · out_h1",
    r"\delta_{o1} out_{h1}",
    r"\frac{\partial E_{total}}{\partial out_{o1}} \frac{\partial out_{o1}}{\partial net_{o1}} \frac{\partial net_{o1}}{\partial w_5}",
    r"\delta_{o 1} * out_{h 1} = 0.138498562 * 0.593269992 = 0.082167041",
])  # fmt: skip
@pytest.mark.parametrize("name", ["w5", "w_5", r"\frac{\partial E}{\partial w_5}", "dE/dw5", "∂E_total/∂w₅"])
def test_a_right_formula_agrees_however_it_is_written(loss, name, claim):
    report = tg.check(loss, {name: claim})
    assert report.ok, str(report)
    assert report.rows[0].name == "w5"
    assert report.rows[0].text
    assert report.rows[0].numeric == pytest.approx(0.0821670406)


@pytest.mark.parametrize("claim", [
    "-(target_o1 - out_o1) * out_h1",  # the activation's derivative forgotten
    r"-\delta_{o 1} { out }_{h 1}",
    r"\delta_{o1} - out_{h1}",
    r"2 \delta_{o1} out_{h1}",
    r"\delta_{o1} out_{h2}",
])  # fmt: skip
def test_a_wrong_formula_differs(loss, claim):
    assert verdicts(tg.check(loss, {"w5": claim})) == ["differs"]


def test_whole_arrays_and_their_shapes(loss):
    right = {"W2": r"\delta_o \cdot out_h^T", "net_o": r"(out_o - target_o) \odot out_o \odot (1 - out_o)",
             "W1": "np.outer((delta_o @ W2) * out_h * (1 - out_h), i)", "b2": r"\sum_o \delta_o"}  # fmt: skip
    assert tg.check(loss, right).ok
    (row,) = tg.check(loss, {"W2": r"\delta_o \odot out_h"})
    assert row.verdict == "shape"
    assert row.shapes == ((2,), (2, 2))
    (row,) = tg.check(loss, {"net_o": r"\delta_o \odot (out_o (1 - out_o))^T"})  # a column and a row
    assert row.verdict == "shape"
    (row,) = tg.check(loss, {"W2": r"out_h \cdot \delta_o^T"})
    assert row.verdict == "differs"


def test_the_row_says_which_gradients_a_formula_reads(loss):
    report = tg.check(loss, {"w5": r"\delta_{o1} out_{h1}", "w6": "0.0827"})
    assert report.rows[0].note == "uses autograd's delta_o1"
    assert "w5: uses autograd's delta_o1" in str(report)
    assert report.rows[1].note == ""


def test_a_chain_is_checked_link_by_link(loss):
    report = tg.check(loss, r"\frac{\partial E}{\partial w_5} = \delta_{o1} out_{h1} = 0.138498562 * 0.593269992 = 0.083 = 0.083")
    assert verdicts(report) == ["agrees", "agrees", "differs", "agrees"]
    assert [row.target for row in report] == ["w5", None, None, None]


@pytest.mark.parametrize(("formula", "link"), [
    (r"\frac{\partial E}{\partial w_5} = \delta_{o1} out_{h1} = 0.0822", "delta_o1 out_h1"),
    (r"w_5^+ = w_5 - \eta \frac{\partial E}{\partial w_5} = 0.3589", "w_5 - eta dE/dw_5"),
    ("δₒ₁ = ∂E/∂net_o1 · 1 = 0.1385", "dE/dnet_o1 * 1"),
])  # fmt: skip
def test_a_link_is_called_as_it_was_written(loss, formula, link):
    report = tg.check(loss, formula, lr=0.5)
    assert report.ok
    assert [row.name for row in report][1:] == [link]


@pytest.mark.parametrize(("text", "ok"), [
    ("0.74136507 * 0.186815602 * 0.593269992 = 0.082167041", True),
    ("0.74136507 * 0.186815602 * 0.593269992 = 0.082167051", False),
    ("0.055399425 + -0.019049119 = 0.036350306", True),
    ("0.055399425 + -0.019049119 = 0.036350316", False),
    ("0.74 * 0.19 = 0.14", True),
    (r"\frac{1}{1+e^{-0.3775}} = 0.593269992", True),
    (r"\frac{1}{1+e^{-0.3775}} = 0.593269993", True),  # 0.3775 stands for 0.37745 to 0.37755
    (r"2 \times 10^{-3} = 0.002", True),
    ("0.4 - 0.5 * 0.082167041 = 0.35891648 = 0.3589", True),
    ((r"\begin{pmatrix}0.05\\0.10 \end{pmatrix}\cdot \begin{pmatrix}0.02728\\0.03499 \end{pmatrix}^T"
     r"=\begin{pmatrix} 1.364\times 10^{-3} & 1.750\times 10^{-3}\\ 2.728\times 10^{-3}&3.500\times 10^{-3} \end{pmatrix}"), True),
])  # fmt: skip
def test_links_of_numbers_need_no_graph(text, ok):
    assert tg.check(None, text).ok is ok


def test_continued_chains_and_values_of_the_forward_pass(loss):
    lines = [r"net_{h 1} = w_1 i_1 + w_2 i_2 + b_1", "= 0.15 * 0.05 + 0.2 * 0.1 + 0.35 = 0.3775", r"out_{h1} = \sigma(net_{h1}) = 0.5933"]
    report = tg.check(loss, lines)
    assert report.ok
    assert len(report.rows) == 5
    assert verdicts(tg.check(loss, "net_h1 = 0.3875")) == ["differs"]
    with pytest.raises(FormulaError, match="begins with '='"):
        tg.check(loss, "= 0.3775")
    with pytest.raises(FormulaError, match="this claims nothing"):
        tg.check(loss, "out_h1")


@pytest.mark.parametrize("claim", [
    r"w_{5}^{+}=w_{5}-\eta * \frac{\partial E_{ {total }}}{\partial_{w_{5}}}=0.4-0.5 * 0.082167041=0.35891648",
    "w5+ = w5 - eta * dE/dw5", "w5 := w5 - eta * dE/dw5", "w5 -= eta * dE/dw5", "w_5 = w_5 - η ∂E/∂w₅", "w5 ← w5 - 0.5 * 0.082167041",
    r"w_5^{(k)} = w_5^{(k-1)} - \eta \nabla_{(k)} w_5",
])  # fmt: skip
def test_updates(loss, claim):
    report = tg.check(loss, claim, lr=0.5)
    assert report.ok, str(report)
    assert report.rows[0].target == "w5+"
    with pytest.raises(NameLookupError, match=r"check\(..., lr=0.5\)"):
        tg.check(loss, claim)


@pytest.mark.parametrize("claim", ["w5+ = w5 + eta * dE/dw5", "w5 += eta * dE/dw5", "w5+ = w5 - eta * dE/dw6", "w5+ = 0.35891658"])
def test_wrong_updates(loss, claim):
    assert verdicts(tg.check(loss, claim, lr=0.5)) == ["differs"]


def test_new_weights_of_a_whole_step(loss):
    new = {"W2": [[0.35891648, 0.408666186], [0.511301270, 0.561370121]]}
    assert tg.check(loss, updated=new, lr=0.5).ok
    assert tg.check(loss, {"w5+": "0.35891648"}, lr=0.5).ok
    report = tg.check(loss, updated=new, lr=0.4)
    assert verdicts(report) == ["differs"]
    assert report.rows[0].target == "W2+"


def test_a_function_and_its_inputs():
    def f(a, b):
        return np.sum(a * b * b)

    assert tg.check(f, {"a": "b**2", "b": "2 a b"}, inputs=([1.0, 2.0], [3.0, 4.0])).ok
    assert tg.check(f, {"a": [9, 16]}, inputs={"a": [1.0, 2.0], "b": [3.0, 4.0]}).ok
    assert not tg.check(f, {"a": "2 b"}, inputs=([1.0, 2.0], [3.0, 4.0])).ok
    with pytest.raises(TypeError, match="inputs="):
        tg.check(f, {"a": 1.0})
    with pytest.raises(GraphError, match="gradient of a scalar"):
        tg.check(lambda a: a * 2, {"a": "2"}, inputs=([1.0, 2.0],))


def _backward(x, target, out_h, out_o, _2_weight):
    delta_o = (out_o - target) * out_o * (1 - out_o)
    delta_h = delta_o @ _2_weight * out_h * (1 - out_h)
    return {"2.weight": delta_o.T @ out_h, "2.bias": delta_o.sum(0), "0.weight": delta_h.T @ x, "0.bias": delta_h.sum(0)}


def test_a_backward_pass_written_by_hand():
    model, data = nn.MLP([2, 3, 1]), {"x": [[1.0, 2.0], [0.5, -1.0]], "target": [[1.0], [0.0]]}
    assert tg.check(model, nn.HalfSquaredError(), **data, backward=_backward).ok

    def forgetful(x, target, out_h, out_o, _2_weight):
        found = _backward(x, target, out_h, out_o, _2_weight)
        del found["0.bias"]
        return found | {"2.bias": found["2.bias"] / 2, "2.weight": found["2.weight"].ravel()}

    report = tg.check(model, nn.HalfSquaredError(), **data, backward=forgetful)
    assert dict(zip([row.name for row in report], verdicts(report), strict=True)) == {
        "W2": "shape", "b2": "differs", "W1": "agrees", "b1": "missing",
    }  # fmt: skip
    assert not report.ok
    assert "missing" in str(report)
    assert str(report).endswith("The parameters: W1 = 0.weight, b1 = 0.bias, W2 = 2.weight, b2 = 2.bias.")
    assert tg.check(model, nn.HalfSquaredError(), **data, claims={"2.weight": r"\delta_o^T out_h", "0.bias": "np.sum(delta_h, axis=0)"}).ok
    with pytest.raises(NameLookupError, match="parameters are names of the graph"):
        tg.check(model, nn.HalfSquaredError(), **data, backward=lambda nothing: {})
    with pytest.raises(TypeError, match=r"check\(model, loss, x=..., target=..., claims=...\)"):
        tg.check(model, {"0.bias": 1.0})


def test_names_are_found_by_aliases_and_refused_where_ambiguous(loss):
    assert tg.check(loss, {r"\hat{y}_1": r"\hat{y}_1 - y_1"}, aliases={"y-hat_1": "out_o1", "y_1": "target_o1"}).ok
    with pytest.raises(NameLookupError, match=r"(?s)no tensor is named 'q'. The names are: W1.*\^"):
        tg.check(loss, {"w5": "w5 + q"})
    y = (Tensor(2.0, requires_grad=True, name="x_11") * Tensor(3.0, requires_grad=True, name="x1_1")).named("y")
    with pytest.raises(NameLookupError, match="could be x_11 or x1_1"):
        tg.check(y, "dy/dx11 = 3")
    assert tg.check(y, "dy/dx11 = 3", aliases={"x11": "x_11"}).ok
    assert tg.check(y, "dy/dx_{11} = 3").ok


def test_the_table_fits_a_terminal_and_is_ascii(loss):
    text = str(tg.check(loss, ["∂E/∂w₅ = δₒ₁ · out_h1 = 0.138498562 * 0.593269992 = 0.082167041", "w5+ = w5 - η ∂E/∂w₅"], lr=0.5))
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80


def test_the_mistake_in_a_formula_is_named(loss):
    assert "sign" in str(tg.check(loss, {"w5": r"-\delta_{o 1} out_{h 1}"}).diagnosis)


def test_an_element_in_numpys_notation(loss):
    for name in ("W2[0, 0]", "W2[-2,0]", "w5", "W2_{11}", r"\frac{\partial E}{\partial W2[0, 0]}"):
        (row,) = tg.check(loss, {name: "0.0821670406"})
        assert (row.ok, row.name) == (True, "w5")
    with pytest.raises(NameLookupError, match=r"W2 has shape \(2, 2\) and no element W2\[2, 0\]; indices count from 0"):
        tg.check(loss, {"W2[2, 0]": 0.08})


@pytest.mark.parametrize(
    "claim", ["= 0.0822", r"\approx 0.0822", r"\frac{\partial E}{\partial w_5}", r"\partial E / \partial w_5 = 0.0822"]
)
def test_a_claim_may_begin_with_its_sign_or_its_name(loss, claim):
    assert tg.check(loss, {"w5": claim}).ok


def test_a_functions_defaults_are_its_own(loss):
    assert tg.check(loss, {"w5": lambda out_o1, target_o1, out_h1, k=1: k * (out_o1 - target_o1) * out_o1 * (1 - out_o1) * out_h1}).ok


def test_deltas_of_capital_sums():
    W = Tensor(np.ones((2, 3)), requires_grad=True, name="W")
    z = (Tensor(np.ones((4, 3)), name="X") @ W.T).named("Z1")
    assert tg.check(np.sum(z**2).named("E"), [r"\delta_1 = 2 Z_1", r"\delta^{(1)} = 2 Z^{(1)}"]).ok


def test_what_was_not_given_or_cannot_be_told_is_said(loss):
    report = tg.check(loss, backward=lambda out_h: {"W1": Program.of(loss).gradients[Program.of(loss).place("W1")]})
    assert str(report.diagnosis) == "No derivative was given for b1, W2, b2."
    report = tg.check(loss, {"w1": "0.0"})
    assert str(report.diagnosis) == "Too few digits were written to tell whether these are right: w1."
    assert "too few" not in str(tg.check(loss, {"w5": "0.0822"}).diagnosis).lower()


def test_the_diagnosis_says_what_broadcasting_would_hide(loss):
    gradient = Program.of(loss).gradients[Program.of(loss).place("out_h")]
    assert "by broadcasting alone they agree" in str(tg.check(loss, {"out_h": gradient[None]}).diagnosis)


def test_the_sign_of_an_update_is_a_matter_of_the_gradient(loss):
    assert str(tg.check(loss, {"w5+": 0.4 + 0.5 * 0.0821670405642308}, lr=0.5).diagnosis) == "The sign is flipped in dE_total/dw5."


def test_a_forgotten_bias_is_no_multiple():
    rng = np.random.default_rng(0)
    X, W, b = rng.normal(size=(5, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    z = (Tensor(X, name="X") @ Tensor(W, requires_grad=True, name="W").T + Tensor(b, requires_grad=True, name="b")).named("z")
    loss = np.mean((np.tanh(z) - Tensor(rng.normal(size=(5, 2)), name="t")) ** 2).named("E")
    report = tg.check(loss, {"b": [0.0, 0.0]})
    assert [c.mistakes for c in report.diagnosis.candidates] == [("bias forgotten",)]


def test_an_outer_product_transposed_for_one_output():
    """A gradient (3, 1) for weights (1, 3) passes the transpose of the weights as it is."""
    rng = np.random.default_rng(0)
    W1, W2 = Tensor(rng.normal(size=(3, 2)), requires_grad=True, name="W1"), Tensor(rng.normal(size=(1, 3)), requires_grad=True, name="W2")
    y = np.tanh(Tensor(rng.normal(size=(5, 2)), name="X") @ W1.T) @ W2.T
    loss = np.sum((y - Tensor(rng.normal(size=(5, 1)), name="t")) ** 2).named("E")
    program = Program.of(loss)
    right = {name: program.gradients[program.place(name)] for name in ("W1", "W2")}
    assert tg.check(loss, {name: g.T for name, g in right.items()}).diagnosis.mistake == "outer product transposed"


def test_an_elementwise_product_for_each_sample():
    rng = np.random.default_rng(0)
    W = Tensor(rng.normal(size=(3, 3)), requires_grad=True, name="W")
    X, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    z = (Tensor(X, name="X") @ W.T).named("z")
    report = tg.check(np.sum((z - Tensor(t, name="t")) ** 2).named("E"), {"W": 2 * (z.numpy() - t) * X})
    assert report.diagnosis.mistake == "Hadamard for outer product"


def test_each_text_of_an_array_keeps_its_own_digits(loss):
    assert tg.check(loss, {"W2": [["0.08", "0.0826676"], ["-0.02", "-0.022740"]]}).ok
    assert not tg.check(loss, {"W2": [["0.08", "0.0836676"], ["-0.02", "-0.022740"]]}).ok
    assert not tg.check(loss, {"W2": [[0.08, 0.0826676], [-0.02, -0.022740]]}).ok  # 0.08 may be 0.0800000


@pytest.mark.parametrize("claim", ["10^{10^{10}} = 1", "1 = 10^{10^{10}}", "1e999 = 1", "2 \\cdot 10^{9999} = 1e999", "0/0 = 1"])
def test_nothing_agrees_with_infinity(claim):
    assert verdicts(tg.check(None, claim)) == ["differs"]


def test_an_index_is_a_number_too():
    assert tg.check(None, r"\sum_{i=1}^{4} i^2 = 30").ok


@pytest.mark.parametrize(("bounds", "says"), [
    ("_{i=1}^{10^{12}}", "is computed: write its number"), ("_{i=1}^{1000000000000}", "a sum of more than 10000 terms"),
    ("_{i=1}^{n}", "nothing in this sum says where it ends"), ("_{i}", "nothing in this sum says where it ends"),
    ("_{i=1}^{n-1}", "the bound n-1 of this sum is computed"), ("_{i=1}^{n+1}", "is computed"),
    ("_{i=k}^{3}", "the sum begins at k, which has no value"), ("_{i=2-1}^{3}", "is computed"),
])  # fmt: skip
def test_a_sum_is_never_cut_off(bounds, says):
    with pytest.raises(FormulaError, match=says):
        tg.check(None, rf"\sum{bounds} 0.5 = 5000")


def test_bounds_of_sums_have_values(loss):
    assert tg.check(None, r"\sum_{i=0}^{3} i = 6").ok
    assert tg.check(None, r"\sum_{i=1}^{3} \sum_{j=i}^{3} j = 14").ok
    assert tg.check(loss, r"\sum_{k=1}^{n} out_{ok} = 1.5243", aliases={"n": 2}).ok
    assert tg.check(loss, r"\sum_{k=1}^{n} out_{ok} = 1.5243").ok


@pytest.mark.parametrize("digits", [3, 4, 7])
def test_floats_of_so_many_significant_digits(digits):
    """12.3 beside 0.0679 was not written with four decimals."""
    x, right = Tensor([1.0, 1.0, 1.0], requires_grad=True, name="x"), np.array([12.345678, 0.067891234, -5.0123456])
    claim = np.array([float(f"{g:.{digits}g}") for g in right])
    assert tg.check(np.sum(right * x).named("E"), {"x": claim}).ok
    assert verdicts(tg.check(np.sum(right * x).named("E"), {"x": claim * (1 + 10.0 ** (1 - digits))})) == ["differs"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_claims_in_single_precision(loss, dtype):
    program = Program.of(loss)
    gradient = program.gradients[program.place("W1")].astype(dtype)
    for claim in (gradient, lambda: gradient, Tensor(gradient)):
        assert tg.check(loss, {"W1": claim}).ok
    assert not tg.check(loss, {"W1": gradient * dtype(1.05)}).ok


def test_a_backward_pass_may_ask_for_classes_which_are_in_no_graph():
    """A cross-entropy takes the class of each sample, and records what it chose; the loss has a name."""
    rng = np.random.default_rng(0)
    X, classes, model = rng.normal(size=(6, 4)), rng.integers(0, 3, 6), nn.Sequential(nn.Linear(4, 3, bias=False))

    def backward(x, target):
        e = np.exp(x @ model[0].weight.numpy().T)
        return {"0.weight": (e / e.sum(axis=1, keepdims=True) - np.eye(3)[target]).T @ x}

    report = tg.check(model, nn.CrossEntropyLoss(), x=X, target=classes, backward=backward)
    assert report.diagnosis.mistake == "factor n"
    assert str(report.diagnosis).endswith("in\ndloss/dW1.")
