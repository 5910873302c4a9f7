"""Derivations: the printed steps against golden files, and every number in them against the engine."""

import os
from pathlib import Path

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn
from tinygrad_bp.errors import GraphError, NameLookupError, ShapeError
from tinygrad_bp.program import Program
from tinygrad_bp.worked import step_by_step as example

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, text: str) -> None:
    """Compare with a golden file; UPDATE_GOLDEN=1 writes it instead."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["w5", "w1", "b2"])
@pytest.mark.parametrize(("form", "suffix"), [("text", "txt"), ("markdown", "md"), ("latex", "tex")])
def test_golden_derivations(name, form, suffix):
    golden(f"explain_{name}.{suffix}", getattr(tg.explain(example.forward(), name, lr=example.LR), form))


@pytest.mark.parametrize("name", [*(f"w{k}" for k in range(1, 9)), "b1", "b2"])
def test_the_last_number_is_autograds(name):
    loss = example.forward()
    program = Program.of(loss)
    place, index = program.locate(name)
    gradient = program.gradients[place][() if index is None else index]
    results = [line.rpartition("= ")[2] for line in str(tg.explain(loss, name, digits=15)).splitlines() if " = " in line or "  = " in line]
    assert float(results[-1]) == pytest.approx(float(gradient), rel=1e-12)


def test_text_fits_a_terminal_and_is_ascii():
    for name in ("w1", "w5", "b1"):
        text = str(tg.explain(example.forward(), name, lr=0.5))
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 79


def test_many_paths_are_counted_not_listed():
    model = nn.MLP([2, 3, 3, 3, 2], rng=0)
    text = str(tg.explain(nn.HalfSquaredError()(model(Tensor([0.1, 0.2]).named("x")), np.zeros(2)), model[0].weight, max_paths=4))
    assert "18 paths lead from E_total to 0.weight11" in text
    assert "Reverse mode never lists them" in text


def test_a_graph_that_is_no_network():
    x, y = Tensor(2.0, requires_grad=True, name="x"), Tensor(3.0, requires_grad=True, name="y")
    u = (x * y).named("u")
    text = str(tg.explain((np.exp(u) / (u + x)).named("f"), "x"))
    assert "df/du" in text
    assert "along 2 paths" in text


def test_a_tensor_is_explained_whatever_else_bears_its_name():
    a, b = (Tensor([1.0, 2.0], requires_grad=True).named(name, "w1 w2") for name in "ab")
    y = np.sum(a * 3.0 + b * 7.0).named("y")
    assert str(tg.explain(y, a)).endswith("= 3")
    assert str(tg.explain(y, b)).endswith("= 7")


def test_indexing_is_explained_and_what_cannot_be_taken_apart_says_so():
    c = Tensor([2.0, 5.0], requires_grad=True).named("c")
    assert str(tg.explain((c[0] * c[1]).named("y"), "c1")).endswith("= 5")
    for rearranged in (c.reshape(2, 1), np.flip(c), np.concatenate([c, c]), np.stack([c, c]), np.roll(c, 1), np.expand_dims(c, 0)):
        assert tg.explain(np.sum(rearranged * rearranged).named("y"), "c1").text
    with pytest.raises(GraphError, match="softmax cannot be taken apart into single numbers"):
        tg.explain(np.sum(tg.softmax(c)).named("y"), "c1")


def test_digits():
    assert "= 0.0822" in str(tg.explain(example.forward(), "w5", digits=3))


def test_errors_name_what_is_there():
    loss = example.forward()
    with pytest.raises(NameLookupError, match=r"no tensor named 'w9'. Its names are: W1 \(w1, w2"):
        tg.explain(loss, "w9")
    assert str(tg.explain(loss, "i1"))  # an input has a derivative too
    c = Tensor([2.0, 5.0], requires_grad=True).named("c")
    with pytest.raises(GraphError, match="does not depend on c2"):
        tg.explain((c[0] * 3).named("y"), "c2")
    with pytest.raises(GraphError, match="starts from a scalar"):
        tg.explain(Tensor([1.0, 2.0], requires_grad=True) * 2, "x")
    big = nn.MLP([300, 300, 1], rng=0)
    with pytest.raises(ShapeError, match="too large to unroll"):
        tg.explain(nn.MSELoss()(big(np.ones(300)), np.zeros(1)), big[0].weight)
