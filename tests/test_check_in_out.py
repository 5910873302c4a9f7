"""Checking derivations whose weights are (in, out), net = w^T x, and whose numbers were rounded on the way."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor
from tinygrad_bp.check.anatomy import Anatomy
from tinygrad_bp.check.diagnosis import diagnose
from tinygrad_bp.check.planting import plants
from tinygrad_bp.program import Program
from tinygrad_bp.worked import bp_explained


def test_exchanged_weights_are_named_as_the_matrix_has_them():
    """The product reads v^T, so the second neuron of the layer reads v_12, v_22 and v_32."""
    h, y = Tensor([0.2, 0.5, 0.9]).named("h"), Tensor([0.0, 1.0]).named("y")
    w = Tensor(np.eye(3) + 0.1, requires_grad=True).named("w")
    v = Tensor([[0.3, -0.4], [-0.6, 0.2], [0.7, 0.5]], requires_grad=True).named("v", "v11 v12 v21 v22 v31 v32")
    loss = np.sum(np.square(v.T @ tg.sigmoid(w.T @ h) - y))
    said = [p.sentence for p in plants(Anatomy.of(Program.of(loss))) if p.mistakes == ("weights exchanged",)]
    assert any(sentence.endswith("v31 and v32") for sentence in said)
    assert not any("v13" in sentence for sentence in said)


ROUNDED = {"w11": 1.364e-3, "w12": 1.750e-3, "w21": 2.728e-3, "w22": 3.500e-3}


@pytest.mark.parametrize("name", ROUNDED)
def test_a_mistake_is_named_though_the_last_digit_is_off(name):
    """From the printed v . delta = 0.03499, w12 comes out as 1.750e-3 where the same mistake gives 1.749e-3."""
    found = diagnose(Program.of(bp_explained.forward()), {name: ROUNDED[name]}, {name: 5e-7})
    assert {c.mistakes[0] for c in found.candidates} == {"sigma' missing"}, str(found)
    assert {c.mistakes[1:] for c in found.candidates} == ({()} if name.endswith("1") else {("last digit",)})


def test_two_digits_that_nearly_fit_are_no_evidence():
    found = diagnose(Program.of(bp_explained.forward()), {"w12": 1.77e-3}, {"w12": 1e-5})
    assert all("last digit" not in c.mistakes for c in found.candidates)


def test_letters_in_a_matrix_stand_for_any_number():
    r"""a and c have no values, so that what is said of them holds for any."""
    right = r"$$\begin{pmatrix} a & c \end{pmatrix} \odot \begin{pmatrix} c & a \end{pmatrix} = \begin{pmatrix} a c & c a \end{pmatrix}$$"
    assert tg.check.notes(f"\n{right}\n").ok
    assert not tg.check.notes("\n" + right.replace("a c", "a a") + "\n").ok
