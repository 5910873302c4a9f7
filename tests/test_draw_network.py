"""The network of neurons: biases of every kind, updates, widths of edges, large networks."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tests.test_draw import words, worked_example
from tests.test_draw_places import boxes
from tinygrad_bp import Tensor, draw, nn, optim
from tinygrad_bp.draw.layers import find_layers
from tinygrad_bp.draw.neurons import Network
from tinygrad_bp.errors import GraphError, ShapeError
from tinygrad_bp.program import Program
from tinygrad_bp.worked import one_output, step_by_step, weight_update


def flower() -> Tensor:
    return weight_update.forward(weight_update.network(hidden=2), [5.1, 3.5, 1.4, 0.2], [1.0, 0.0, 0.0])


def pen_widths(drawing: draw.Drawing) -> dict[str, float]:
    """id of an edge -> how wide it is drawn."""
    found = {}
    for line in drawing.source.splitlines():
        if "->" in line and (name := re.search(r'id="([^"]*)"', line)) and (width := re.search(r"penwidth=([\d.]+)", line)):
            found[name[1]] = float(width[1])
    return found


def test_a_constant_unit_is_no_input() -> None:
    program = Program.of(flower())
    first, last = find_layers(program)
    assert (first.unit, last.unit) == (True, True)
    assert first.fan(program) == (4, 2)
    assert last.fan(program) == (2, 3)
    shown = words(draw.network(program))
    assert "1 unit" in shown
    assert "x_i5" not in shown
    assert f"w_o33 = {program.value('w_o')[2, 2]:.6g} grad {program.gradients[program.place('w_o')][2, 2]:.6g}" in shown


def test_an_input_of_one_is_a_unit_only_where_units_are() -> None:
    W = Tensor([[0.5, 0.25]], requires_grad=True, name="W")
    assert "x2 1" in words(draw.network(np.sum(np.tanh(Tensor([3.0, 1.0], name="x") @ W.T))))


def test_weights_with_one_axis() -> None:
    program = Program.of(one_output.forward())
    assert [layer.fan(program) for layer in find_layers(program)] == [(2, 2), (2, 1)]
    shown = words(draw.network(program))
    assert f"w6 = 0.5 grad {program.gradients[program.place('W2')][1]:.6g}" in shown
    assert "target = 1" in shown
    assert f"o net {program.value('net_o'):.6g}" in shown


def test_a_batch_with_weights_of_one_axis() -> None:
    x, w = Tensor([[1.0, 2.0], [3.0, 4.0]], name="x"), Tensor([0.5, 0.25], requires_grad=True, name="w")
    loss = np.sum(np.square(np.tanh(x @ w) - np.array([0.5, 0.75])))
    shown = words(draw.network(loss, sample=1))
    assert f"{np.tanh(2.5):.6g}" in shown
    assert f"{np.tanh(1.0):.6g}" not in shown
    assert "sample 1 of 2, counted from 0" in shown


def test_before_and_after_an_update() -> None:
    model = step_by_step.network()
    loss = step_by_step.forward(model)
    before = Program.of(loss)
    loss.backward()
    optim.SGD(model.parameters(), lr=0.5).step()
    shown = words(draw.network(before, after=step_by_step.forward(model)))
    assert "w5 = 0.4 grad 0.082167 new 0.358916" in shown
    assert "b1 = 0.35" in shown
    assert f"new {model[0].bias.item():.6g}" in shown
    assert f"E_total 0.298371 new {step_by_step.forward(model).item():.6g}" in shown
    assert "new: after the update" in shown
    with pytest.raises(ShapeError, match=r"\[2, 2, 2\].*\[2, 3, 2\]"):
        draw.network(before, after=nn.MLP([2, 3, 2]))


def test_edges_are_as_wide_as_their_weights() -> None:
    W = Tensor([[0.5, -0.25], [1.0, 0.0]], requires_grad=True, name="W")
    drawing = draw.network(np.sum(np.tanh(np.ones(2) @ W.T)), weights=False, by_weight=True)
    widths = pen_widths(drawing)
    assert widths["weight-0-1-0"] > widths["weight-0-0-0"] > widths["weight-0-0-1"] > widths["weight-0-1-1"] > 0
    dashed = [line for line in drawing.source.splitlines() if "->" in line and "dashed" in line]
    assert len(dashed) == 1
    assert 'id="weight-0-0-1"' in dashed[0]
    assert "negative" in words(drawing)
    assert "W11" not in words(drawing)


def test_too_many_weights_are_lines() -> None:
    assert "W1_11" in words(draw.network(nn.MLP([5, 4, 2], rng=0)))
    assert "W1_11" not in words(draw.network(nn.MLP([5, 5, 2], rng=0)))
    assert "W1_11" in words(draw.network(nn.MLP([5, 5, 2], rng=0), weights=True))


def test_without_gradients() -> None:
    shown = words(draw.network(worked_example(), gradients=False))
    assert "grad" not in shown
    assert "delta" not in shown


def test_biases_that_are_not_learned_have_values() -> None:
    model = nn.MLP([2, 2, 1], bias="shared", bias_init=0.25, rng=0)
    model[0].bias.requires_grad_(False)
    assert "b1 = 0.25" in words(draw.network(model))


def test_softmax_is_an_activation() -> None:
    model = nn.MLP([2, 3, 2], [nn.Tanh, nn.Softmax], rng=0)
    shown = words(draw.network(nn.CategoricalCrossEntropy()(model(np.ones(2)), np.array([1.0, 0.0]))))
    assert "o1 net" in shown
    assert shown.count(" out ") == 5


def test_deep_networks_are_boxes() -> None:
    model = nn.MLP([784, *[128] * 12, 10], nn.Tanh, rng=0)
    shown = words(draw.network(model))
    for text in ("784 units", "layer 1: 784 -> 128, tanh", "... 9 more of the same", "layer 13: 128 -> 10, tanh", "a bias per neuron"):
        assert text in shown
    assert "layer 5:" not in shown
    assert "layer" not in words(draw.network(nn.MLP([2, 2, 2], rng=0)))
    assert "layer 2: 2 -> 2" in words(draw.network(nn.MLP([2, 2, 2], rng=0), boxes=True))


def test_boxes_say_between_which_bounds_gradients_are() -> None:
    program = Program.of(worked_example())
    found = program.gradients[program.place("W2")]
    shown = words(draw.network(program, boxes=True))
    assert f"grad {found.min():.3g} to {found.max():.3g}" in shown
    assert "E_total 0.298371" in shown
    assert "one bias" in shown


def test_samples_are_counted() -> None:
    with pytest.raises(GraphError, match="1 samples"):
        draw.network(worked_example(), sample=1)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.sampled_from([True, False, "shared", "unit"]),
    st.booleans(),
    st.sampled_from(["network", "written", "lines", "backward"]),
)
def test_nothing_overlaps_in_any_network(sizes: list[int], bias: Any, batch: bool, kind: str) -> None:
    model = nn.MLP(sizes, bias=bias, rng=0)
    x = np.full((3, sizes[0]) if batch else sizes[0], 0.5)
    loss = nn.HalfSquaredError()(model(x), np.full((3, sizes[-1]) if batch else sizes[-1], 1.0))
    options = {"written": {"weights": True}, "lines": {"weights": False}}.get(kind, {})
    drawing = draw.backward(loss, model[0].weight, boxes=False) if kind == "backward" else draw.network(loss, **options)  # type: ignore[arg-type]
    places = sorted(boxes(drawing).values())
    assert len(places) > sum(min(n, 4) for n in sizes)
    for k, (left, low, right, high) in enumerate(places):
        for other in places[:k]:
            assert left >= other[2] or other[0] >= right or low >= other[3] or other[1] >= high


def test_every_text_has_its_room() -> None:
    """No line is wider than the box or the circle that it stands in, in the widest of the usual fonts."""
    from tinygrad_bp.draw.labels import measure

    for drawing in (draw.network(worked_example()), draw.backward(worked_example(), "w1"), draw.network(flower())):
        for line in drawing.source.splitlines():
            size = re.search(r" width=([\d.]+)", line)
            if size and "label=<" in line and "plaintext" not in line:
                texts = re.sub(r"<[^>]*>", "\n", line[line.index("label=<") + 7 : line.index("> ", line.index("label=<"))]).split("\n")
                assert max(9 * measure(text) for text in texts) <= 72 * float(size[1])


def test_the_picture_of_a_sigmoid_output() -> None:
    W = Tensor([[1.0, 2.0]], requires_grad=True, name="W")
    description = re.findall(r'aria-label="([^"]*)"', draw.network(tg.sigmoid(np.ones(2) @ W.T)).svg())
    assert description == ["Network of neurons, 2-1"]


def test_lines_may_be_plain() -> None:
    model = nn.MLP([3, 4, 2], rng=0)
    assert "width of an edge" in words(draw.network(model, weights=False))
    plain = draw.network(model, weights=False, by_weight=False)
    assert "width of an edge" not in words(plain)
    assert not [edge for edge in plain.source.splitlines() if "->" in edge and "penwidth" in edge]


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (nn.Identity, nn.BCEWithLogitsLoss),
        (nn.Identity, nn.CrossEntropyLoss),
        (nn.Identity, nn.MSELoss),
        (nn.Sigmoid, nn.BCELoss),
        (nn.Sigmoid, nn.HalfSquaredError),
        (nn.Softmax, nn.CategoricalCrossEntropy),
    ],
)
def test_output_and_target_are_those_of_the_network_whatever_the_loss_is_made_of(last: Any, loss: Any) -> None:
    x, target = np.array([[0.5, -0.3], [0.1, 0.2]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=1), last())
    net = Network.of(loss()(model(x), target))
    np.testing.assert_array_equal(net.program.lines[net.layers[-1].out].value, model(x).numpy())
    assert net.target is not None
    np.testing.assert_array_equal(net.program.lines[net.target].value, target)
