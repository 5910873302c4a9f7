"""Networks written in single numbers: the layers in them are found, and their mistakes named."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tests.test_mistakes import single_networks
from tinygrad_bp import Tensor
from tinygrad_bp.check.anatomy import Anatomy
from tinygrad_bp.check.gathered import gathered
from tinygrad_bp.program import Program
from tinygrad_bp.worked import step_by_step


def numbers(**values):
    return [Tensor(value, requires_grad=name[0] not in "it", name=name) for name, value in values.items()]


def written_out():
    """The second document's network, a line for each neuron, one of them with its sigmoid written out."""
    v = Program.of(step_by_step.forward()).value
    i1, i2, t1, t2 = numbers(i1=v("i1"), i2=v("i2"), t1=v("target_o1"), t2=v("target_o2"))
    w1, w2, w3, w4, w5, w6, w7, w8, b1, b2 = numbers(**{f"w{k}": v(f"w{k}") for k in range(1, 9)}, b1=v("b1"), b2=v("b2"))
    h1 = tg.sigmoid((w1 * i1 + w2 * i2 + b1).named("net_h1")).named("out_h1")
    h2 = (1 / (1 + np.exp(-(b1 + (i2 * w4 + i1 * w3)).named("net_h2")))).named("out_h2")
    o1 = tg.sigmoid((w5 * h1 + w6 * h2 + b2).named("net_o1")).named("out_o1")
    o2 = tg.sigmoid((w8 * h2 + w7 * h1 + b2).named("net_o2")).named("out_o2")
    return ((t1 - o1) ** 2 / 2 + (t2 - o2) ** 2 / 2).named("E_total")


SIGMA = "out_{0} * (1 - out_{0})"


@pytest.mark.parametrize(
    ("claims", "mistake"),
    [
        ({"w5": "(out_o1 - t1) * out_h1"}, "sigma' missing"),
        ({"w1": "(delta_o1 * w5 + delta_o2 * w7) * i1"}, "sigma' missing"),
        ({"w5": "(out_o1 - t1) * out_h1", "w1": "((out_o1 - t1) * w5 + (out_o2 - t2) * w7) * i1"}, "sigma' missing"),
        ({"w1": "(delta_o1 * w5 + delta_o2 * w7) * net_h1 * (1 - net_h1) * i1"}, "sigma' formula with the pre-activation"),
        ({"w1": "(delta_o1 * w5 + delta_o2 * w6) * out_h1 * (1 - out_h1) * i1"}, "weights not transposed"),
        ({"w1": "delta_o1 * w5 * out_h1 * (1 - out_h1) * i1"}, "one path only"),
        ({"w3": "delta_o2 * w8 * out_h2 * (1 - out_h2) * i1"}, "one path only"),
        ({"w1": "(delta_o1 * (w5 - 0.5 * delta_o1 * out_h1) + delta_o2 * (w7 - 0.5 * delta_o2 * out_h1)) * out_h1 * (1 - out_h1) * i1"},
         "updated weights"),
        ({"w5": "delta_o1 * w5"}, "weight for output"),
        ({"w1": "(delta_o1 + delta_o2) * out_h1 * out_h1 * (1 - out_h1) * i1"}, "output for weight"),
        ({"w5": "-delta_o1 * out_h1"}, "sign flipped"),
        ({"w6": "delta_o1 * out_h1"}, "entries exchanged"),
        ({"delta_o1": "out_o1 * out_o1 * (1 - out_o1)"}, "target left out"),
        ({"out_h1": "delta_o1 * w5 + delta_o2 * w6"}, "weights not transposed"),
        ({"b1": "delta_h1 * i1 + delta_h2 * i1"}, "bias times input"),
        ({"b2": "delta_o1"}, "shared bias not summed"),
    ],
)  # fmt: skip
def test_mistakes_have_their_names_in_single_numbers_too(claims, mistake):
    diagnosis = tg.check(written_out(), claims).diagnosis
    assert mistake in [" and ".join(c.mistakes) for c in diagnosis.candidates]
    assert max(map(len, str(diagnosis).splitlines())) <= 80


def test_sentences_speak_of_the_neurons_names():
    text = " ".join(str(tg.check(written_out(), {"w1": "(delta_o1 * (w5 - 0.5 * dE_total/dw5) + delta_o2 * (w7 - 0.5 * dE_total/dw7)) * "
                                                 "out_h1 * (1 - out_h1) * i1"}).diagnosis).split())  # fmt: skip
    assert text == "The weights [w5 w6; w7 w8] were updated before they carried the error back to out_h (learning rate 0.5)."


def test_all_numbers_keep_their_values_and_derivatives():
    for net in single_networks(np.random.default_rng(0), 30):
        old = net.program()
        new = gathered(old)
        assert new is not None
        anatomy = Anatomy.of(new.program)
        assert [layer.W.shape for layer in anatomy.layers] == [w.shape for w in net.W]
        assert anatomy.known is not None
        for name in net.claims({f"W{i}": w for i, w in enumerate(net.W, 1)}):
            line, index = new.where[old.place(name), None]
            assert new.program.gradients[line][index] == pytest.approx(old.gradients[old.place(name)], rel=1e-12, abs=1e-16)


def same_weight():
    w, i1, i2 = numbers(w=0.3, i1=0.5, i2=0.7)
    return (tg.sigmoid(w * i1) + tg.sigmoid(w * i2)).named("E")


def no_product():
    a, b = numbers(a=0.3, b=0.5)
    return np.sin(a * b).named("E")


def jump():
    w1, w2, w3, i1 = numbers(w1=0.3, w2=0.4, w3=0.5, i1=0.5)
    h = tg.sigmoid((w1 * i1).named("z"))
    return (tg.sigmoid((w2 * h + w3 * i1).named("net")) ** 2).named("E")  # reads the input past the hidden layer


def two_activations():
    w1, w2, w3, w4, i1 = numbers(w1=0.3, w2=0.4, w3=0.5, w4=0.1, i1=0.5)
    return (w3 * tg.sigmoid((w1 * i1).named("z1")) + w4 * np.tanh((w2 * i1).named("z2"))).named("E")


@pytest.mark.parametrize("graph", [same_weight, no_product, jump, two_activations])
def test_what_is_no_such_network_is_left_as_it_is(graph):
    program = Program.of(graph())
    assert gathered(program) is None
    name = "a" if graph is no_product else next(n for n in program.places if n.startswith("w"))
    right = float(program.gradients[program.place(name)])
    assert tg.check(program, {name: repr(-right)}).diagnosis.mistake == "sign flipped"


@pytest.mark.parametrize("previous", [{"w5": 0.42, "w6": 0.44}, {"w_5": "0.42", "w6": 0.44, "w7": 0.5, "w8": 0.55}])
def test_stale_values_are_known_by_their_names(previous):
    delta = "delta_o1 * 0.42 + delta_o2 * w7"
    for loss in (written_out(), step_by_step.forward()):
        diagnosis = tg.check(loss, {"w1": f"({delta}) * out_h1 * (1 - out_h1) * i1"}, previous=previous).diagnosis
        assert diagnosis.mistake == "stale values"
        assert tg.check(loss, {"w1": f"({delta}) * out_h1 * (1 - out_h1) * i1"}).diagnosis.mistake != "stale values"


def test_claims_about_what_has_no_place_among_the_layers_are_searched_without_them():
    loss = written_out()
    report = tg.check(loss, {"w5": "-delta_o1 * out_h1", "b1": "2 * (delta_h1 + delta_h2)"})
    assert report.diagnosis.wrong == ("w5", "b1")
