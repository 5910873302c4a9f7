"""The backward flow: which paths are highlighted, and that what is written on them is what the chain rule says."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_bp as tg
from tests.test_draw import words, worked_example
from tests.test_draw_show import numbers
from tinygrad_bp import Tensor, draw, nn
from tinygrad_bp.draw.labels import VERMILLION
from tinygrad_bp.errors import GraphError, NameLookupError
from tinygrad_bp.program import Program
from tinygrad_bp.worked import one_output, weight_update


def highlighted(drawing: draw.Drawing) -> set[str]:
    """The ids of the edges that the error comes along; those beside the network have none."""
    edges = [line for line in drawing.source.splitlines() if "->" in line and f'"{VERMILLION}"' in line]
    return {found[1] if (found := re.search(r'id="([^"]*)"', line)) else line.split("[")[0].strip() for line in edges}


@pytest.mark.parametrize("name", [f"w{k}" for k in range(1, 9)])
def test_the_product_on_a_weight_is_its_gradient(name: str) -> None:
    program = Program.of(worked_example())
    place, index = program.locate(name)
    assert index is not None
    assert f"= {program.gradients[place][index]:.6g}" in words(draw.backward(program, name))


def test_what_arrives_at_a_neuron_is_the_sum_of_what_is_carried() -> None:
    shown = words(draw.backward(worked_example(), "w1", digits=12, boxes=False))
    carried = [float(x) for x in re.findall(r"delta_o\d \* w\d = (\S+)", shown)]
    arrives, slope, delta = (
        float(re.findall(rf"{what} (\S+)", shown)[0]) for what in ("h1 sum", r"h1 sum \S+ dout/dnet", r"h1 sum .*? delta")
    )
    assert len(carried) == 2
    assert sum(carried) == pytest.approx(arrives, rel=1e-10)
    assert arrives * slope == pytest.approx(delta, rel=1e-10)


@pytest.mark.parametrize(
    ("wrt", "paths"), [("w5", "one path"), ("w1", "2 paths"), ("i1", "4 paths"), ("out_h2", "2 paths"), ("W2", "4 paths")]
)
def test_paths_are_counted(wrt: str, paths: str) -> None:
    assert paths in words(draw.backward(worked_example(), wrt))


def test_only_the_paths_are_highlighted() -> None:
    program = Program.of(worked_example())
    w1, w2 = program.place("W1"), program.place("W2")
    inside = {edge for edge in highlighted(draw.backward(program, "w5")) if edge.startswith("weight")}
    assert inside == {f"weight-{w2}-0-0-to"}
    inside = {edge for edge in highlighted(draw.backward(program, "w2")) if edge.startswith("weight")}
    assert inside == {f"weight-{w1}-0-1-to"} | {f"weight-{w2}-{j}-0-{half}" for j in (0, 1) for half in ("from", "to")}
    assert len(highlighted(draw.backward(program, "w5"))) == 3  # with those from the loss to the target and on to the output
    assert len(highlighted(draw.backward(program, "w2"))) == 9


def test_biases() -> None:
    program = Program.of(worked_example())
    assert f"sum of deltas {program.gradients[program.place('b1')]:.6g}" in words(draw.backward(program, "b1"))
    own = Program.of(nn.HalfSquaredError()(nn.MLP([2, 3, 2], rng=1)(np.ones(2)), np.ones(2)))
    assert f"delta_h2 = {own.gradients[own.place('0.bias')][1]:.6g}" in words(draw.backward(own, "0.bias2"))
    unit = Program.of(weight_update.forward(weight_update.network(hidden=2), [5.1, 3.5, 1.4, 0.2], [1.0, 0.0, 0.0]))
    assert f"delta_o2 * 1 = {unit.gradients[unit.place('w_o')][1, 2]:.6g}" in words(draw.backward(unit, "w_o23"))


def test_without_a_goal_every_weight_shows_its_gradient() -> None:
    program = Program.of(one_output.forward())
    shown = words(draw.backward(program))
    for name in ("W1", "b1", "W2", "b2"):
        for value in program.gradients[program.place(name)].flat:
            assert f"{value:.6g}" in shown


def test_one_sample_of_a_batch() -> None:
    rng = np.random.default_rng(2)
    model, x, t = nn.MLP([2, 2, 1], rng=0), rng.normal(size=(3, 2)), np.ones((3, 1))
    batch = Program.of(nn.HalfSquaredError()(model(x), t))
    alone = Program.of(nn.HalfSquaredError()(model(x[1]), t[1]))
    picture = draw.backward(batch, "0.weight12", sample=1)
    assert f"= {alone.gradients[alone.place('0.weight')][0, 1]:.6g}" in words(picture)  # a sum of errors: each sample has its own share
    assert "one of 3 samples" in words(picture)
    with pytest.raises(GraphError, match="3 samples"):
        draw.backward(batch, sample=3)


def test_a_goal_in_a_wide_layer_is_drawn() -> None:
    model = nn.MLP([30, 20, 2], rng=0)
    loss = nn.HalfSquaredError()(model(np.ones(30)), np.ones(2))
    shown = words(draw.backward(loss, "0.weight8_17"))
    for text in ("h8", "x17", "... 13 more", "... 4 more", "W1_8_17 ="):
        assert text in shown


@pytest.mark.parametrize(("width", "brief"), [(3, False), (6, True)])
def test_crowded_edges_do_not_repeat_long_names(width: int, brief: bool) -> None:
    model = nn.MLP([width, width, 2], rng=0)
    model[2].weight.named("hidden_to_output")
    shown = words(draw.backward(nn.MSELoss()(model(np.ones(width)), np.zeros(2)), boxes=False))
    assert ("delta_o1 * hidden_to_output11 = " in shown) is not brief
    assert ("back: delta * weight" in shown) is brief


def test_a_softmax_has_no_derivative_of_one_neuron() -> None:
    model = nn.MLP([2, 3, 2], [nn.Tanh, nn.Softmax], rng=0)
    loss = nn.CategoricalCrossEntropy()(model(np.ones(2)), np.array([1.0, 0.0]))
    shown = words(draw.backward(loss, "0.weight11"))
    assert "dout/dnet" in shown  # of the tanh
    assert shown.count("dout/dnet") == 1
    assert "sum of deltas" not in shown


def test_numbers_can_be_found() -> None:
    program = Program.of(worked_example())
    found = numbers(draw.backward(program, "w1").svg())
    net_h = program.place("net_h")
    assert found[f"grad-{net_h}-0"] == f"delta {program.gradients[net_h][0]:.6g}"


def test_what_is_no_part_of_the_network_is_refused() -> None:
    with pytest.raises(GraphError, match="no weight, bias, neuron or input"):
        draw.backward(worked_example(), "target_o")
    with pytest.raises(NameLookupError, match="w99"):
        draw.backward(worked_example(), "w99")
    with pytest.raises(GraphError, match="from a loss"):
        draw.backward(tg.sigmoid(np.ones(2) @ Tensor([[1.0, 2.0]], requires_grad=True, name="W").T))
