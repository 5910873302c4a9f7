"""Derivations of single numbers: the printed steps against golden files, and every number in them against the engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn
from tinygrad_bp.errors import FileFormatError, GraphError, NameLookupError, ShapeError
from tinygrad_bp.explain import Derivation
from tinygrad_bp.program import Program
from tinygrad_bp.worked import bp_explained, examples, four_equations, one_output, step_by_step, weight_update

GOLDEN = Path(__file__).parent / "golden" / "explain"


def four_layers() -> Tensor:
    """A network of the fifth document's kind on three samples, its cost C."""
    rng = np.random.default_rng(0)
    x, y = Tensor(rng.normal(size=(3, 3))).named("x"), Tensor(np.eye(2)[[0, 1, 0]]).named("y")
    return nn.QuadraticCost()(four_equations.network([3, 4, 2], rng=0)(x), y)  # type: ignore[no-any-return]


def one_flower() -> Tensor:
    return weight_update.forward(weight_update.network(hidden=2), [5.1, 3.5, 1.4, 0.2], [1.0, 0.0, 0.0])


WEIGHTS = [f"w{k}" for k in range(1, 9)] + ["b1", "b2"]
STEP_BY_STEP: dict[str, Callable[[], Derivation]] = {
    f"step_by_step_{name}": lambda name=name: tg.explain(step_by_step.forward(), name, lr=step_by_step.LR, forward=True)  # type: ignore[misc]
    for name in WEIGHTS
}
OTHERS: dict[str, Callable[[], Derivation]] = {
    "bp_explained": lambda: tg.explain(bp_explained.forward(), lr=bp_explained.LR),
    "bp_explained_numerator": lambda: tg.explain(bp_explained.forward(), layout="numerator"),
    "bp_explained_denominator": lambda: tg.explain(bp_explained.forward(), layout="denominator"),
    "bp_explained_w12": lambda: tg.explain(bp_explained.forward(), "w12", lr=bp_explained.LR),
    "one_output_w5": lambda: tg.explain(one_output.forward(), "w5", lr=one_output.LR),
    "one_output_w1": lambda: tg.explain(one_output.forward(), "w1", lr=one_output.LR),
    "weight_update": lambda: tg.explain(one_flower(), lr=weight_update.LR, digits=6),
    "four_equations": lambda: tg.explain(four_layers(), notation="layers", digits=6),
    "four_equations_one_sample": lambda: tg.explain(examples.load("four_equations").loss(), notation="layers", digits=6),
}


def golden(name: str, text: str) -> None:
    """Compare with a golden file; UPDATE_GOLDEN=1 writes it instead."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*STEP_BY_STEP, *OTHERS])
def test_golden_derivations(name: str) -> None:
    golden(f"{name}.txt", (STEP_BY_STEP | OTHERS)[name]().text + "\n")


@pytest.mark.parametrize("name", ["step_by_step_w5", "bp_explained", "four_equations"])
@pytest.mark.parametrize(("form", "suffix"), [("markdown", "md"), ("latex", "tex")])
def test_golden_mathematics(name: str, form: str, suffix: str) -> None:
    golden(f"{name}.{suffix}", getattr((STEP_BY_STEP | OTHERS)[name](), form))


def test_golden_unicode() -> None:
    golden("bp_explained.utf8.txt", OTHERS["bp_explained"]().unicode + "\n")


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_last_number_is_autograds(name: str) -> None:
    loss = step_by_step.forward()
    program = Program.of(loss)
    place, index = program.locate(name)
    gradient = program.gradients[place][() if index is None else index]
    results = [line.rpartition("= ")[2] for line in str(tg.explain(loss, name, digits=15)).splitlines() if " = " in line or "  = " in line]
    assert float(results[-1]) == pytest.approx(float(gradient), rel=1e-12)


PRINTED = {  # the steps of the document for w5 and w1, with its digits; in the derivation they come in this order
    "w5": ["0.74136507", "0.186815602", "0.593269992", "0.082167041", "0.35891648"],
    "w1": ["0.74136507", "0.186815602", "0.055399425", "-0.019049119", "0.036350306", "0.241300709", "0.05", "0.000438568", "0.149780716"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_the_documents_numbers_come_in_its_order(name: str) -> None:
    found = [line.rpartition("= ")[2].strip() for line in str(tg.explain(step_by_step.forward(), name, lr=0.5, digits=12)).splitlines()]
    values = [float(word) for word in found if word.replace(".", "").replace("-", "").replace("e", "").isdigit()]
    at = 0
    for printed in PRINTED[name]:
        unit = 10.0 ** -len(printed.partition(".")[2])
        hits = [k for k, value in enumerate(values[at:], at) if abs(value - float(printed)) <= unit]  # -0.019049119 should end in 8
        assert hits, f"{printed} does not come after {values[:at]}"
        at = hits[0] + 1


def test_text_fits_a_terminal_and_is_ascii() -> None:
    for name, derive in (STEP_BY_STEP | OTHERS).items():
        text = derive().text
        assert text.isascii(), name
        assert max(map(len, text.splitlines())) <= 79, name


@pytest.mark.parametrize("style", ["weights", "matrices", "operations", "summary"])
def test_a_tensor_with_an_empty_name_is_one_without_a_name(style: str) -> None:
    named, nameless = (Tensor([2.0, 3.0], requires_grad=True, name=name) for name in ("", None))
    first, second = (tg.explain(np.sum(w * w).named(""), w, style=style) for w in (named, nameless))  # type: ignore[arg-type]
    assert (str(first), first.unicode, first.latex) == (str(second), second.unicode, second.latex)


def test_many_paths_are_counted_not_listed() -> None:
    model = nn.MLP([2, 3, 3, 3, 2], rng=0)
    loss = nn.HalfSquaredError()(model(Tensor([0.1, 0.2]).named("x")), np.zeros(2))
    text = " ".join(str(tg.explain(loss, "0.weight11", max_paths=4)).split())
    assert "18 paths lead from E_total to W1_11" in text
    assert "Reverse mode never lists them" in text


def test_a_graph_that_is_no_network() -> None:
    x, y = Tensor(2.0, requires_grad=True, name="x"), Tensor(3.0, requires_grad=True, name="y")
    u = (x * y).named("u")
    text = str(tg.explain((np.exp(u) / (u + x)).named("f"), "x"))
    assert "df/du" in text
    assert "along 2 paths" in text
    assert "df/dx|u" in text  # the derivative with u held fixed is another than the whole one


def test_many_paths_without_deltas_are_grouped_all_the_same() -> None:
    x = y = Tensor(0.5, requires_grad=True, name="x")
    for k in range(5):
        y = np.tanh(y * y + np.sin(y)).named(f"u{k}")
        y = (y + np.exp(-y)).named(f"v{k}")
    text = str(tg.explain((y * x).named("f"), "x", max_paths=1, digits=15))
    (y * x).backward()
    assert float(text.rpartition("= ")[2]) == pytest.approx(x.grad.item(), rel=1e-12)  # type: ignore[union-attr]


def test_a_tensor_is_explained_whatever_else_bears_its_name() -> None:
    a, b = (Tensor([1.0, 2.0], requires_grad=True).named(name, "w1 w2") for name in "ab")
    y = np.sum(a * 3.0 + b * 7.0).named("y")
    assert "[3 3]" in str(tg.explain(y, a))
    assert "[7 7]" in str(tg.explain(y, b))


def test_rearranged_arrays_are_taken_apart() -> None:
    c = Tensor([2.0, 5.0], requires_grad=True).named("c")
    assert str(tg.explain((c[0] * c[1]).named("y"), "c1")).endswith("= 5")
    for rearranged in (c.reshape(2, 1), np.flip(c), np.concatenate([c, c]), np.stack([c, c]), np.roll(c, 1), np.expand_dims(c, 0)):
        y = np.sum(rearranged * rearranged).named("y")
        y.backward()
        assert float(str(tg.explain(y, "c1")).rpartition("= ")[2]) == pytest.approx(c.grad.numpy()[0])
        c.grad = None


def test_what_cannot_be_taken_apart_is_explained_in_matrices_and_says_so() -> None:
    c = Tensor([2.0, 5.0], requires_grad=True).named("c")
    y = np.sum(tg.softmax(c) * np.array([1.0, 3.0])).named("y")
    text = " ".join(str(tg.explain(y, "c1")).split())
    assert "In matrices, because softmax cannot be taken apart into single numbers" in text
    assert "dy/dc1 is the element 1, counted from 1, of dy/dc: -0.09035" in text
    with pytest.raises(GraphError, match="softmax cannot be taken apart into single numbers"):
        tg.explain(y, "c1", style="weights")
    big = nn.MLP([300, 300, 1], rng=0)
    loss = nn.MSELoss()(big(np.ones(300)), np.zeros(1))
    assert "too large to unroll" in str(tg.explain(loss, "2.weight7")).replace("\n", " ")
    with pytest.raises(ShapeError, match="too large to unroll"):
        tg.explain(loss, "2.weight7", style="weights")


def test_too_many_deltas_are_written_as_arrays() -> None:
    model = nn.MLP([2, 30, 15, 1], rng=0)
    loss = nn.HalfSquaredError()(model(Tensor([0.1, 0.2]).named("x")), np.zeros(1))
    text = " ".join(tg.explain(loss, "0.weight1_1").text.split())
    assert 'In matrices, because number by number it takes 17 deltas, which style="weights" writes out.' not in text  # 1 + 15 + 1
    model = nn.MLP([2, 3, 45, 1], rng=0)
    loss = nn.HalfSquaredError()(model(Tensor([0.1, 0.2]).named("x")), np.zeros(1))
    text = " ".join(tg.explain(loss, "0.weight11").text.split())
    assert 'In matrices, because number by number it takes 47 deltas, which style="weights" writes out.' in text
    assert "dE_total/dW1_11 is the element 1, 1, counted from 1, of dE_total/dW1: " in text
    assert "delta_h2_45" in tg.explain(loss, "0.weight11", style="weights").text


def test_data_without_a_name_is_shown_first() -> None:
    model = nn.MLP([2, 2], rng=0)
    loss = nn.HalfSquaredError()(model(np.array([0.05, 0.1])), Tensor([0.01, 0.99], name="target"))
    assert str(tg.explain(loss, "0.weight11")).splitlines()[4] == "  c1 = [0.05 0.1]"
    assert "c1 =" not in str(tg.explain(loss, "0.bias1"))  # which does not speak of it
    c = Tensor(0.3, requires_grad=True, name="c")
    fit = np.sum(c * Tensor([1.0, 2.0], name="x") ** 2).named("L")
    assert str(tg.explain(fit, "c")).splitlines()[2:4] == ["  k1 = [1 4]", "  dL/dc = k1_2 + k1_1"]


def test_digits() -> None:
    assert "= 0.0822" in str(tg.explain(step_by_step.forward(), "w5", digits=3))
    for digits in (0, -3):
        with pytest.raises(ValueError, match=f"at least 1; got {digits}"):
            tg.explain(step_by_step.forward(), "w5", digits=digits)


def test_an_element_by_its_index_as_the_answers_of_why_write_it() -> None:
    loss = step_by_step.forward()
    assert tg.explain(loss, "W1[1, 0]").text == tg.explain(loss, "w3").text
    assert tg.explain(loss, "net_o[1]").text == tg.explain(loss, "net_o2").text
    for outside in ("W1[2, 0]", "W1[0]", "b1[0]", "[0]"):
        with pytest.raises(NameLookupError, match="no tensor named"):
            tg.explain(loss, outside)


def test_errors_name_what_is_there() -> None:
    loss = step_by_step.forward()
    with pytest.raises(NameLookupError, match=r"no tensor named 'w9'. Its names are: W1 \(w1, w2"):
        tg.explain(loss, "w9")
    assert str(tg.explain(loss, "i1"))  # an input has a derivative too
    c = Tensor([2.0, 5.0], requires_grad=True).named("c")
    with pytest.raises(GraphError, match="does not depend on c2"):
        tg.explain((c[0] * 3).named("y"), "c2")
    with pytest.raises(GraphError, match="starts from a scalar"):
        tg.explain(Tensor([1.0, 2.0], requires_grad=True) * 2, "x")
    with pytest.raises(ValueError, match="style is one of 'weights', 'matrices'"):
        tg.explain(loss, "w1", style="board")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layout is 'numerator' or 'denominator'; got 'row'"):
        tg.explain(loss, "w1", layout="row")  # type: ignore[arg-type]
    with pytest.raises(NameLookupError, match="which number is to be derived"):
        tg.explain(loss, style="weights")
    with pytest.raises(NameLookupError, match="there is no notation 'greek'; there are 'i-h-o', 'x-h-y', 'layers'"):
        tg.explain(loss, notation="greek")
    with pytest.raises(GraphError, match="a notation names the layers of a network"):
        tg.explain((c[0] * c[1]).named("y"), notation="layers")


def test_saved_files(tmp_path: Path) -> None:
    d = tg.explain(step_by_step.forward(), "w5")
    assert d.save(tmp_path / "w5.txt").read_text(encoding="utf-8") == d.text + "\n"
    assert d.save(tmp_path / "w5.md").read_text(encoding="utf-8") == d.markdown
    assert "\\begin{document}" in d.save(tmp_path / "w5.tex").read_text(encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"saved as .txt, .md, .tex; got 'w5.docx'"):
        d.save(tmp_path / "w5.docx")


@pytest.mark.parametrize(
    ("notation", "said"),
    [
        ("i-h-o", ["net_h = W1 @ i + b1", "delta_o = dE_total/dnet_o"]),
        ("x-h-y", ["net1 = w @ x + b1", "y_hat = sigmoid(net2)", "dE/dv = outer(delta2, h)"]),
        ("layers", ["z^2 = W^2 @ a^1 + b^2", "a^3 = sigmoid(z^3)", "dC/dW^3 = outer(delta^3, a^2)"]),
        ({"out_h": "h", "W1": "A"}, ["net_h = A @ i + b1", "dE_total/dW2 = outer(delta_o, h)"]),
    ],
)
def test_notations(notation: str, said: list[str]) -> None:
    text = str(tg.explain(step_by_step.forward(), notation=notation))
    squeezed = "\n".join(" ".join(line.split()) for line in text.splitlines())
    for words in said:
        assert words.partition(" = ")[0] in squeezed
        assert words.partition(" = ")[2] in squeezed


def test_weights_are_numbered_through_in_the_first_notation() -> None:
    model = nn.MLP([2, 2, 1], rng=0)
    loss = nn.HalfSquaredError()(model(Tensor([0.1, 0.2])), np.zeros(1))
    assert "dE_total/dw6 = delta_o * out_h2" in str(tg.explain(loss, "w6", notation="i-h-o"))


# -- graphs that nobody draws on a blackboard --------------------------------------------------------------------------


def x_is(value) -> Tensor:
    return Tensor(value, requires_grad=True, name="x")


def test_a_comparison_is_a_number_that_may_be_subtracted():
    x = x_is([0.5, -2.0])
    assert "dL/dx1 = -(x1 > 0) + 1 - tanh(x1)**2" in str(tg.explain(np.sum(np.tanh(x) - tg.relu(x)), "x1"))
    x = x_is(3.0)
    text = str(tg.explain(tg.relu(x) + tg.relu(2 * x + 1) / 2, "x", style="weights"))  # True + True is True for NumPy
    assert text.rstrip().endswith("= 2")


def test_what_has_no_name_can_be_asked_for():
    hidden = x_is([[0.5]]) * x_is([[0.5]])
    assert "0.246134083" in str(tg.explain(np.sum(tg.sigmoid(hidden)), hidden, style="weights"))


def test_the_derivative_of_the_output_by_itself_is_one():
    output = np.tanh(x_is(0.5)).named("y")
    assert "dy/dy = 1" in str(tg.explain(output, output, style="weights"))


def test_a_sum_of_nothing_is_zero():
    x = x_is(0.5)
    nothing = np.sum(Tensor(np.zeros(0), requires_grad=True)).named("n")
    assert "dL/dx" in str(tg.explain(x * x + nothing, "x", style="weights"))
