"""Networks that are too wide or too deep for neurons: both passes with a box per layer, readable on a page."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_draw import words, worked_example
from tinygrad_bp import Tensor, draw, nn
from tinygrad_bp.draw.by_layer import ByLayer
from tinygrad_bp.draw.neurons import Network
from tinygrad_bp.errors import GraphError
from tinygrad_bp.expression import format_number
from tinygrad_bp.letters import spoken
from tinygrad_bp.program import Program

PAGE = 750.0  # points: a thousand pixels


def size(drawing: draw.Drawing) -> tuple[float, float]:
    found = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', drawing.svg())
    assert found
    return float(found[1]), float(found[2])


def loss_of(sizes: list[int], samples: int = 0) -> Tensor:
    model, shape = nn.MLP(sizes, rng=0), (samples,) * (samples > 0)
    x = np.random.default_rng(1).normal(size=(*shape, sizes[0]))
    return nn.HalfSquaredError()(model(Tensor(x, name="x")), np.zeros((*shape, sizes[-1])))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=5),
    st.integers(0, 3),
    st.sampled_from([nn.Sigmoid, nn.Tanh, nn.ReLU]),
    st.sampled_from([nn.HalfSquaredError, nn.MSELoss]),
)
def test_what_the_boxes_claim_is_what_the_engine_computes(sizes: list[int], samples: int, activation: type, loss: type) -> None:
    modules = [m for k, pair in enumerate(itertools.pairwise(sizes)) for m in (nn.Linear(*pair, rng=k), activation())]
    shape = (samples,) * (samples > 0)
    output = loss()(nn.Sequential(*modules)(Tensor(np.ones((*shape, sizes[0])), name="x")), np.full((*shape, sizes[-1]), 0.5))
    picture = ByLayer(Network.of(output), None, forward=True)
    learned = [i for layer in picture.net.layers for i in (layer.weight, layer.bias) if i is not None]
    for place in [*learned, *(i for k in range(len(picture.net.layers)) for i in picture.results(k))]:
        (said,) = picture.say.backward(place)
        gradient = picture.program.gradients[place]
        np.testing.assert_allclose(said.formula.evaluate(said.values), gradient, rtol=1e-9, atol=1e-15)
        assert np.shape(said.formula.evaluate(said.values)) == np.shape(gradient)


@pytest.mark.parametrize("sizes", [[6, 6, 2], [784, 128, 10], [10, 10, 10, 10, 3], [8] * 20 + [3], [30, 20, 10, 5, 5, 5, 5, 2]])
@pytest.mark.parametrize("samples", [0, 4])
def test_wide_and_deep_networks_fit_a_page(sizes: list[int], samples: int) -> None:
    loss = loss_of(sizes, samples)
    backward = draw.backward(loss)
    width, height = size(backward)
    assert width < 0.8 * PAGE
    assert height < PAGE * (1 if len(sizes) < 6 or len(set(sizes)) < 4 else 1.2)
    if len(sizes) > 3:
        width, height = size(draw.graph(loss, backward=True))
        assert width < 1.05 * PAGE
        assert height < 1.3 * PAGE


def test_a_small_network_keeps_its_neurons_and_a_small_graph_its_operations() -> None:
    assert "delta_o1 * w5 = " in words(draw.backward(worked_example()))
    assert "back through" in words(draw.backward(worked_example(), boxes=True))
    assert "back through" not in words(draw.graph(worked_example(), backward=True))
    assert "back through" not in words(draw.graph(loss_of([2] * 6), backward=True, boxes=False))
    assert "back through" not in words(draw.backward(loss_of([6, 6, 6, 2]), boxes=False))


def test_a_weight_of_a_wide_layer_is_drawn_with_its_paths_alone() -> None:
    shown = words(draw.backward(loss_of([784, 128, 10]), "0.weight2_3"))
    assert "10 paths" in shown
    assert {"W1_2_3", "W2_1_2", "W2_10_2"} <= set(shown.split())
    assert "W2_1_1" not in shown
    assert "back: delta * weight" in shown


def test_layers_in_between_are_counted() -> None:
    loss = loss_of([8] * 20 + [3])
    shown = words(draw.backward(loss))
    assert "... 17 more of the same" in shown
    assert "back through layer 1 " in shown
    assert words(draw.graph(loss, backward=True)).count("... 17 more of the same") == 2


@pytest.mark.parametrize(
    ("wrt", "lowest", "said"),
    [
        ("2.weight21", 2, "dE_total/dW2_21"),
        ("b3", 3, "dE_total/db3 "),
        ("net_h1", 1, "delta_h1 = "),
        ("x", 1, "dE_total/dx = delta_h1 @ W1"),
        ("x2", 1, "dE_total/dx2"),
    ],
)
def test_the_way_back_ends_where_it_leads_to(wrt: str, lowest: int, said: str) -> None:
    program = spoken(Program.of(loss_of([4, 4, 4, 4, 2])))
    shown = words(draw.backward(program, wrt, boxes=True))
    assert [f"back through layer {k}" in shown for k in (1, 2, 3, 4)] == [k >= lowest for k in (1, 2, 3, 4)]
    assert said in shown
    place, index = program.locate(wrt)
    if index is not None:
        assert f"{said} {format_number(program.gradients[place][index], 4)}" in shown
    assert "dE_total/dW4" not in shown  # nobody asked


def test_every_number_in_boxes_can_be_hidden() -> None:
    for picture in (lambda **k: draw.backward(loss_of([6, 6, 2]), **k), lambda **k: draw.graph(loss_of([3] * 5), backward=True, **k)):
        full, bare = (re.findall(r"<text[^>]*>([^<]*)</text>", picture(show=show).svg()) for show in (None, lambda n: "hidden"))
        assert sum(bool(re.search(r"\d\.\d", text)) for text in full) > 8
        assert not [text for text in bare if re.search(r"\d\.\d", text)]


def test_what_has_no_layers_has_no_boxes() -> None:
    x = Tensor(2.0, requires_grad=True, name="x")
    with pytest.raises(GraphError, match="no layers were found"):
        draw.graph(np.sin(x), backward=True, boxes=True)
    with pytest.raises(ValueError, match="give backward=True too"):
        draw.graph(np.sin(x), boxes=True)
    assert "cos" in words(draw.graph(np.sin(x), backward=True))
