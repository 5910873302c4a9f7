"""Derivations with whole arrays: on random graphs every formula, as an expression and as printed, has autograd's value."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_bp as tg
from tests.test_explain import OTHERS, STEP_BY_STEP, four_layers
from tests.test_hypothesis import LEAVES, STEPS, Step, random_leaves
from tests.test_hypothesis import program as random_function
from tinygrad_bp import Tensor, nn
from tinygrad_bp.check.formula import parse
from tinygrad_bp.check.formula.evaluate import evaluate
from tinygrad_bp.check.formula.scope import Scope
from tinygrad_bp.errors import FormulaError, GraphError, NameLookupError
from tinygrad_bp.explain.document import WIDTH
from tinygrad_bp.explain.legible import legible
from tinygrad_bp.explain.matrices import Matrices
from tinygrad_bp.expression import Expression, oriented, vectors_first, vectors_last
from tinygrad_bp.program import Program
from tinygrad_bp.worked import bp_explained


def recorded(steps: list[Step], shapes: list[tuple[int, ...]]) -> tuple[Tensor, list[Tensor]]:
    leaves = [Tensor(x, requires_grad=True, name=f"x{i}") for i, x in enumerate(random_leaves(shapes, len(steps)))]
    loss = random_function(steps)(*leaves).named("L")
    loss.backward()
    return loss, leaves


@given(STEPS, LEAVES)
@settings(max_examples=80, deadline=None)
def test_every_formula_has_autograds_value(steps: list[Step], shapes: list[tuple[int, ...]]) -> None:
    loss, leaves = recorded(steps, shapes)
    for every in (False, True):
        program = legible(Program.of(loss), every)
        matrices = Matrices.of(program, [program.place(t) for t in leaves], every=every)
        program = matrices.program
        values = matrices.values
        for place, formula in matrices.derivatives.items():
            if place in matrices.joints:
                for x in (formula, vectors_first(formula), vectors_last(formula)):
                    got = np.broadcast_to(x.evaluate(values), program.lines[place].shape)
                    np.testing.assert_allclose(got, program.gradients[place], rtol=1e-9, atol=1e-12, err_msg=str(x))
        for t in leaves:
            np.testing.assert_allclose(program.gradients[program.place(t)], t.grad, rtol=1e-9, atol=1e-12)


@given(STEPS, LEAVES)
@settings(max_examples=40, deadline=None)
def test_printed_formulas_read_back_have_autograds_value(steps: list[Step], shapes: list[tuple[int, ...]]) -> None:
    loss, leaves = recorded(steps, shapes)
    program = legible(Program.of(loss))
    matrices = Matrices.of(program, [program.place(t) for t in leaves])
    program = matrices.program
    scope = Scope(program, matrices.values)
    for place, formula in matrices.derivatives.items():
        if place in matrices.joints and "scatter" not in str(formula) and not re.search(r"\[\[|\.\.\.|None", str(formula)):
            read = parse(formula.text(), scope.known)
            got = evaluate(read.members[0], read, scope)
            np.testing.assert_allclose(
                np.broadcast_to(got, program.lines[place].shape), program.gradients[place], rtol=1e-6, atol=1e-9, err_msg=str(formula)
            )


@given(STEPS, LEAVES)
@settings(max_examples=30, deadline=None)
def test_single_numbers_of_random_graphs(steps: list[Step], shapes: list[tuple[int, ...]]) -> None:
    loss, leaves = recorded(steps, shapes)
    for t in leaves:
        name = "x0" if t.shape == () else None
        for index in list(np.ndindex(t.shape))[:1]:
            element = t.name if t.shape == () or name else _element(Program.of(loss), t, index)
            text = tg.explain(loss, element, digits=17, max_paths=3).text
            printed = text.rstrip(")").rpartition("= ")[2]
            if re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", printed):
                assert float(printed) == pytest.approx(float(t.grad.numpy()[index]), rel=1e-9, abs=1e-12)  # type: ignore[union-attr]


def _element(program: Program, t: Tensor, index: tuple[int, ...]) -> str:
    from tinygrad_bp.program import element_names

    return str(element_names(t.name, t.shape)[int(np.ravel_multi_index(index, t.shape))])


def _said(derivation: Any) -> list[str]:
    return [" ".join(line.split()) for line in derivation.text.splitlines()]


def test_the_four_equations_have_their_names() -> None:
    said = _said(tg.explain(four_layers(), notation="layers", digits=6))
    for line in (
        "(BP1) delta^3 = dC/dz^3",
        "= 1 / 3 * a^3 * (1 - a^3) * (a^3 - y)",
        "(BP2) delta^2 = dC/dz^2",
        "= a^2 * (1 - a^2) * (delta^3 @ W^3)",
        "(BP3) dC/dW^2 = delta^2.T @ a^1",
        "(BP4) dC/db^2 = sum(delta^2, axis=0)",
        "(summed over axis 0, where b^2 was broadcast)",
    ):
        assert line in said, line


def test_the_first_documents_formulas() -> None:
    said = _said(OTHERS["bp_explained"]())
    for line in (  # (3-18), (3-19), (3-20), and (3-23), (3-24) with v . delta for v - delta
        "= y_hat * (1 - y_hat) * (y_hat - y)",
        "(BP3) dE/dv = outer(h, delta2)",
        "(BP4) dE/db2 = delta2",
        "= h * (1 - h) * (v @ delta2)",
        "(BP3) dE/dw = outer(x, delta1)",
        "(BP4) dE/db1 = delta1",
    ):
        assert line in said, line


def test_layouts_turn_the_chain_round() -> None:
    numerator, denominator = (_said(OTHERS[f"bp_explained_{layout}"]()) for layout in ("numerator", "denominator"))
    assert "= dE/dnet2 . dnet2/dh . dh/dnet1" in numerator
    assert "= dh/dnet1 . dnet2/dh . dE/dnet2" in denominator
    assert "delta1 = (delta2 @ v.T) * h * (1 - h)" in numerator
    assert "delta1 = h * (1 - h) * (v @ delta2)" in denominator


def as_matrices(x: Expression, values: dict[str, np.ndarray], rows: set[str]) -> np.ndarray:
    """The formula as it is read, where every vector is a matrix of one row or one column and no shape is forgiven."""
    if x.function is None:
        value = np.asarray(values[x.name] if x.name else x.value)
        return value if value.ndim != 1 else value[None, :] if x.name in rows else value[:, None]
    a = [as_matrices(part, values, rows) for part in x.operands]
    if x.function is np.outer:
        return a[0] @ a[1].T
    if x.function is np.multiply and min(a[0].ndim, a[1].ndim) == 2:
        assert a[0].shape == a[1].shape
    return np.asarray(x.function(*a, **x.options))


def test_derivatives_are_rows_in_numerator_layout() -> None:
    program = legible(Program.of(bp_explained.forward()))
    matrices = Matrices.of(program, [line.index for line in program.lines if line.rule is None and line.tracked], "numerator")
    rows = {matrices.label(i).name for i in matrices.joints}
    for place in matrices.joints:
        gradient = program.gradients[place]
        for row in (True, False):
            got = as_matrices(oriented(vectors_first(matrices.derivatives[place]), rows, row), matrices.values, rows)
            assert got.shape == (gradient.shape if gradient.ndim == 2 else (1, gradient.size) if row else (gradient.size, 1))
            np.testing.assert_allclose(got.reshape(gradient.shape), gradient, atol=1e-14)
    derivation = tg.explain(bp_explained.forward(), layout="numerator", lr=0.5)
    assert r"\left(\underset{2}{\delta_{2}} \, \underset{2 \times 2}{v}^{T}\right) \odot \underset{2}{h}^{T}" in derivation.latex
    assert r"\begin{pmatrix} 0.148140489 & -0.071062027 \end{pmatrix}" in derivation.latex
    assert "∂E/∂w = x δ1" in derivation.unicode
    assert "b1+ = b1 - η · (∂E/∂b1)ᵀ" in derivation.unicode
    assert r"\eta \cdot \left(\frac{\partial E}{\partial b_{1}}\right)^{T}" in derivation.latex


def test_shapes_in_the_chain_are_those_of_the_jacobians() -> None:
    w = Tensor(np.ones((3, 2)), requires_grad=True, name="w")
    h = tg.sigmoid((w @ np.array([1.0, 2.0])).named("z")).named("h")
    loss = np.sum(h[:2] ** 2).named("L")
    for layout, shapes in (("numerator", ["3", "3x3"]), ("denominator", ["3x3", "3"])):
        lines = tg.explain(loss, "w", layout=layout).text.splitlines()  # type: ignore[arg-type]
        at = next(i for i, line in enumerate(lines) if " . " in line)
        assert lines[at + 1].split() == shapes


def test_a_shape_stands_beneath_its_symbol() -> None:
    for derive in OTHERS.values():
        lines = derive().text.splitlines()
        for line, beneath in itertools.pairwise(lines):
            if re.fullmatch(r"[ \dx]+", beneath) and beneath.strip():
                for found in re.finditer(r"\S+", beneath):
                    assert re.match(r"[A-Za-z]", line[found.start()]), (line, beneath)
                    assert not re.match(r"[\w]", line[found.start() - 1]), (line, beneath)


# -- graphs that nobody foresaw ------------------------------------------------------------------------------------------


def softmax_regression() -> Tensor:
    rng = np.random.default_rng(0)
    w, b = Tensor(rng.normal(size=(3, 3)), requires_grad=True, name="W"), Tensor(np.zeros(3), requires_grad=True, name="b")
    return nn.CrossEntropyLoss()(Tensor(rng.normal(size=(4, 3)), name="x") @ w + b, [0, 2, 1, 1])  # type: ignore[no-any-return]


def polynomial_fit() -> Tensor:
    x, y = Tensor([-1.0, 0.0, 1.0, 2.0], name="x"), Tensor([1.0, 0.0, 1.0, 4.0], name="y")
    c0, c1, c2 = (Tensor(v, requires_grad=True, name=n) for v, n in ((0.1, "c0"), (0.2, "c1"), (0.3, "c2")))
    return np.mean((c0 + c1 * x + c2 * x**2 - y) ** 2).named("L")  # type: ignore[no-any-return]


def recurrent() -> Tensor:
    rng = np.random.default_rng(0)
    w, u = (Tensor(rng.normal(size=(2, 2)), requires_grad=True, name=name) for name in "WU")
    b, h = Tensor([0.1, 0.2], requires_grad=True, name="b"), Tensor(np.zeros(2), name="h0")
    for t in (1, 2, 3):
        h = np.tanh(w @ Tensor(rng.normal(size=2), name=f"x{t}") + u @ h + b).named(f"h{t}")
    return (np.sum((h - np.array([1.0, -1.0])) ** 2) / 2).named("L")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (softmax_regression, ["= 0.25 * (softmax(z1, axis=1) - c1)", "(BP3) dL/dW = x.T @ delta1"]),
        (polynomial_fit, ["dL/dc1 = 0.5 * sum(x * (c0 + c1 * x + c2 * k1 - y))", "(summed over axis 0, where c1 was broadcast)"]),
        (recurrent, ["= (1 - h2**2) * (U.T @ delta_h3)", "dL/dU = outer(delta_h3, h2) + outer(delta_h2, h1) + outer(delta_h1, h0)"]),
    ],
)
def test_a_graph_that_nobody_foresaw(graph: Any, said: list[str]) -> None:
    loss = graph()
    found = _said(tg.explain(loss))
    assert max(len(line) for line in tg.explain(loss).text.splitlines()) <= WIDTH
    for line in said:
        assert line in found, line


def test_operation_by_operation_with_the_rules() -> None:
    x, w = Tensor(np.ones((4, 2)), name="x"), Tensor(np.eye(2), requires_grad=True, name="w")
    b = Tensor([0.1, 0.2], requires_grad=True, name="b")
    said = _said(tg.explain(np.mean(tg.sigmoid(x @ w + b)).named("L"), style="operations"))
    for line in ("z1 = t1 + b", "(rule of sigmoid, by x: g * y * (1 - y))", "(rule of matmul, by b: a.T @ g)",
                 "(rule of add, by b: g; summed over axis 0, where b was broadcast)"):  # fmt: skip
        assert line in said, line


def test_a_rule_that_is_a_program_has_a_name() -> None:
    a = Tensor([[2.0, 0.0], [0.5, 1.0]], requires_grad=True, name="a")
    text = tg.explain(np.sum(np.linalg.cholesky(a @ a.T)).named("L"), "a").text
    assert "cholesky_derivative(" in text


def test_what_the_output_does_not_depend_on() -> None:
    a, b = Tensor(1.0, requires_grad=True, name="a"), Tensor(np.ones(2), requires_grad=True, name="b")
    with pytest.raises(NameLookupError, match="no tensor named 'b'"):
        tg.explain((a * np.sum(np.where(b > 0, 1.0, 2.0))).named("L"), "b")
    with pytest.raises(GraphError, match="L does not depend on b, so that its derivative is zero"):
        tg.explain(np.sum(np.where(b, a, 2.0)).named("L"), "b", style="matrices")  # a condition is not differentiated
    assert "dL/da, in matrices" in tg.explain(np.sum(np.where(b, a, 2.0)).named("L")).text


def test_a_summary_groups_layers_that_are_alike() -> None:
    model = nn.MLP([8] * 300 + [1], rng=0, activation=nn.Tanh)
    said = _said(tg.explain(nn.HalfSquaredError()(model(Tensor(np.ones(8), name="x")), np.zeros(1))))
    assert said[0] == "dE_total, a summary"
    rows = [line for line in said if re.match(r"\d+ linear", line)]
    assert rows[0].startswith("299 linear, tanh 8 ")
    assert len(rows) <= 3


# -- mathematics ---------------------------------------------------------------------------------------------------------

MACROS = {
    "frac", "partial", "cdot", "odot", "left", "right", "text", "mathrm", "operatorname", "begin", "end", "delta", "eta", "quad",
    "underset", "times", "sum", "hat", ",", "\\", "_", " ", "exp", "tanh", "sigma",
}  # fmt: skip


def mathematics() -> Iterator[tuple[str, str]]:
    for name, derive in (STEP_BY_STEP | OTHERS).items():
        yield name, derive().latex
    for graph in (softmax_regression, polynomial_fit, recurrent):
        for style in ("matrices", "operations", "summary"):
            yield f"{graph.__name__} {style}", tg.explain(graph(), style=style).latex  # type: ignore[arg-type]
        yield f"{graph.__name__} in rows", tg.explain(graph(), layout="numerator", lr=0.1).latex
    yield "superscript layers, updated", tg.explain(bp_explained.forward(), notation="layers", lr=0.1).latex


def test_latex_is_well_formed() -> None:
    for name, latex in mathematics():
        plain = re.sub(r"\\[{}]", "", latex)
        depth = 0
        for c in plain:
            depth += (c == "{") - (c == "}")
            assert depth >= 0, name
        assert depth == 0, name
        open_: list[str] = []
        for kind, environment in re.findall(r"\\(begin|end)\{(\w+)\}", latex):
            assert kind == "begin" or open_.pop() == environment, name
            open_ += [environment] if kind == "begin" else []
        assert not open_, name
        assert latex.count(r"\left") == latex.count(r"\right"), name
        assert set(re.findall(r"\\([A-Za-z]+|.)", latex)) - MACROS <= {"[", "]", "subsection", "mathbf", "log", "%", "&", "tabular"}, name


@pytest.mark.skipif(which("pdflatex") is None, reason="no LaTeX program here")
def test_latex_compiles(tmp_path: Path) -> None:
    body = "\n\n".join(latex for _, latex in mathematics())
    source = tg.explain(polynomial_fit(), "c0").tex
    (tmp_path / "all.tex").write_text(source.replace("\\end{document}", body + "\n\\end{document}"), encoding="utf-8")
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-2000:]


def test_names_with_signs_that_latex_reserves() -> None:
    x = Tensor([2.0, 3.0], requires_grad=True, name="50%_of #1 & {x}\\")
    d = tg.explain(np.sum(x * x).named("a^b~c"))
    assert r"\text{50\%\_of \#1 \& \{x\}\textbackslash{}}" in d.latex


def test_names_in_chinese_and_greek(tmp_path: Path) -> None:
    x = Tensor([2.0, 3.0], requires_grad=True, name="θ")
    d = tg.explain(np.sum(x * x).named("误差"))
    assert r"\frac{\partial \text{误差}}{\partial \theta}" in d.latex
    assert r"\usepackage{ctex}" in d.tex
    assert "ctex" not in tg.explain(np.sum(x * x).named("L")).tex
    if which("pdflatex"):
        path = d.save(tmp_path / "names.tex")
        run = subprocess.run(["pdflatex", "-halt-on-error", path.name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout[-2000:]


def test_notebooks_show_mathematics() -> None:
    shown = OTHERS["bp_explained"]()._repr_markdown_()
    assert shown.count("$$") % 2 == 0
    assert r"\delta_{2} &= \underset{2}{\frac{\partial E}{\partial \mathrm{net}_{2}}}" in shown


def test_formulas_that_the_parser_refuses_are_few() -> None:
    """What is printed for the documents' networks can be read back, all of it."""
    for derive in (four_layers,):
        program = legible(Program.of(derive()))
        scope = Scope(program)
        matrices = Matrices.of(program, [line.index for line in program.lines if line.rule is None and line.tracked])
        for place in matrices.joints:
            for text in (matrices.derivatives[place].text(), matrices.derivatives[place].latex()):
                try:
                    parse(text, scope.known)
                except FormulaError as error:
                    pytest.fail(f"{text}: {error}")


def test_what_is_no_chain_of_layers_has_no_four_equations() -> None:
    x = Tensor([0.5, -1.0], name="x")
    w1, w2, w3 = (Tensor(np.eye(2) * k, requires_grad=True, name=f"W{k}") for k in (1, 2, 3))
    h = np.tanh(w1 @ x).named("h")
    around = np.sum(np.tanh(w2 @ h + w3 @ x)).named("L")  # x goes past a layer
    twice = np.sum(np.tanh(w2 @ h) * h).named("L")  # h goes past one
    straight = np.sum(np.tanh(w2 @ h)).named("L")
    for loss, chain in ((around, False), (twice, False), (straight, True), (recurrent(), False)):
        assert ("(BP2)" in tg.explain(loss).text) == chain


def test_guards_that_guard_against_nothing_are_left_out_and_said() -> None:
    w, x = Tensor([0.5, -1.0], requires_grad=True, name="w"), Tensor([[1.0, 2.0], [0.5, -1.0]], name="x")
    probability = tg.sigmoid(x @ w).named("p")
    text = tg.explain(nn.BCELoss()(probability, np.array([0.0, 1.0]))).text
    assert "A choice that falls the same way for every element here is written as what it\nchooses." in text
    assert re.search(r"L = mean\(-\(c\d \* log\(p\) \+ c\d \* log1p\(-p\)\)\)", text)
    assert "where" not in text
    rectified = tg.explain(np.sum(np.maximum(w + 5, 0.0)).named("L")).text
    assert "maximum(w + 5, 0)" in rectified  # a bound of zero is a relu


def test_no_formula_is_longer_than_anybody_reads() -> None:
    x = Tensor(np.random.default_rng(0).normal(size=(4, 2)), requires_grad=True, name="x")
    normed = (x - np.mean(x, axis=0)) / np.sqrt(np.var(x, axis=0) + 1e-5)
    loss = np.sum(normed * np.array([[1.0, 2.0]]) * normed).named("L")
    loss.backward()
    program = legible(Program.of(loss))
    matrices = Matrices.of(program, [program.place(x)])
    assert matrices.long == set()
    assert max(len(str(matrices.derivatives[i])) for i in matrices.joints) < 300
    got = matrices.derivatives[program.place(x)].evaluate(matrices.values)
    np.testing.assert_allclose(got, x.grad, atol=1e-12)


def test_what_is_said_of_two_ways_is_said_once() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="x")
    mu = np.mean(x, axis=1, keepdims=True).named("mu")
    text = tg.explain(np.sum((x - mu) * np.exp(x - mu)).named("L"), "x").text
    assert " ".join(text.split()).count("summed over axis 1, where mu was broadcast") == 1


def test_a_batch_mean_of_a_softmax_has_no_copies_of_a_number() -> None:
    derivation = tg.explain(softmax_regression())
    assert "broadcast_to" not in derivation.text
    x = Tensor([[1.0, 3.0], [5.0, 2.0]], requires_grad=True, name="x")
    said = _said(tg.explain((2 * np.sum(np.max(x, axis=1))).named("L")))
    assert "dL/dx = 2 * (x == reshape(t1, shape=(2, 1))) /" in said
    assert "operatorname{reshape}" not in derivation.latex


def test_an_empty_array_is_not_put_into_a_formula() -> None:
    w = Tensor(np.ones((0, 2)), requires_grad=True, name="W")
    text = tg.explain(np.sum(w @ np.ones(2)).named("L")).text
    assert "sum(array" not in text
    assert "L = sum(z1)" in text


def test_numbers_alone_are_no_matrices() -> None:
    a, b = (Tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "a"), (3.0, "b")))
    text = str(tg.explain((np.tanh(a) * b).named("y")))
    assert text.splitlines()[0] == "dy/da, dy/db"
    assert "array" not in text
    assert "outer" not in text
    assert "dy/db = tanh(a)" in text
