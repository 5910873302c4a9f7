"""One way to speak of parameters that are named by their place in a module, in derivations, reasons, checks and pictures."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, draw, nn
from tinygrad_bp.errors import NameLookupError
from tinygrad_bp.letters import places, spoken
from tinygrad_bp.program import Program, element_names
from tinygrad_bp.tensor import Name

LEGEND = "W1 = 0.weight, b1 = 0.bias, W2 = 2.weight, b2 = 2.bias"


def plain() -> tuple[nn.Sequential, Tensor]:
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))
    loss = nn.HalfSquaredError()(model(Tensor([0.1, 0.2], name="x")), np.array([1.0]))
    loss.backward()
    return model, loss


def names(output: Tensor) -> set[str]:
    return set(spoken(Program.of(output)).places)


# -- which letters -----------------------------------------------------------------------------------------------------


def test_the_program_itself_keeps_its_names() -> None:
    model, loss = plain()
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    before = str(Program.of(loss))
    spoken(Program.of(loss))
    assert str(Program.of(loss)) == before
    assert "0.weight = array" in before


def test_speaking_twice_changes_nothing() -> None:
    once = spoken(Program.of(plain()[1]))
    assert [(line.name, line.path) for line in spoken(once)] == [(line.name, line.path) for line in once]


def test_layers_are_numbered_in_the_order_of_use() -> None:
    last, first = nn.Linear(3, 1, rng=0), nn.Linear(2, 3, rng=0)  # made in the other order
    model = nn.Sequential(first, nn.ReLU(), last)
    assert names(model(np.ones((4, 2)))) == {"W1", "b1", "z1", "a1", "W2", "b2", "z2"}


def test_a_normalisation_has_a_scale_and_a_shift_and_leaves_the_layers_their_numbers() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.weight, self.bias = nn.Parameter(np.ones(3)), nn.Parameter(np.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight + self.bias

    model = nn.Sequential(nn.Linear(2, 3, rng=0), Scaled(), nn.Tanh(), nn.Linear(3, 1, rng=0))
    found = names(model(np.ones(2)))
    assert {"W1", "b1", "gamma1", "beta1", "W2", "b2"} < found
    assert r"\gamma_{1}" in tg.explain(np.sum(model(Tensor(np.ones(2), name="x"))), "gamma1").latex


def test_a_renamed_weight_keeps_its_name_and_its_layer_its_number() -> None:
    model = nn.MLP([2, 2, 2], bias="shared", rng=0)
    model[2].weight.named("W2", "w5 w6 w7 w8")
    assert {"W1", "b1", "W2", "b2"} < names(np.sum(model(np.ones(2))))
    model[0].weight.named("A")
    assert {"A", "b1", "W2", "b2"} < names(np.sum(model(np.ones(2))))


@pytest.mark.parametrize("given", ["W1", Name("x", ["W1", "W2"]), "W"])
def test_a_letter_that_somebody_has_used_is_left_alone(given: str) -> None:
    """An array W has an element W1."""
    x = Tensor([0.1, 0.2])
    x.name = given
    model = nn.Sequential(nn.Linear(2, 1, rng=0))
    assert {"0.weight", "b1"} <= names(model(x))


def test_two_models_in_one_graph() -> None:
    first, second = (nn.Sequential(nn.Linear(2, 2, rng=k), nn.Tanh()) for k in (0, 1))
    loss = np.sum(second(first(Tensor([1.0, 2.0], name="x"))))
    program = spoken(Program.of(loss))
    assert [program.place(p) for model in (first, second) for p in model.parameters()] == [
        program.place(n) for n in ("W1", "b1", "W2", "b2")
    ]
    with pytest.raises(NameLookupError, match=r"several tensors of the graph are named '0.weight'"):
        program.place("0.weight")


def test_a_layer_that_is_used_twice_has_no_sum_of_its_own() -> None:
    layer = nn.Sequential(nn.Linear(2, 2, rng=0))
    assert names(np.sum(layer(layer(np.ones(2))))) & {"z1", "a1", "z2"} == set()


def test_rows_that_are_looked_up_are_no_part_of_the_next_layer() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(np.arange(8.0).reshape(4, 2))

        def forward(self, which: list[int]) -> Tensor:
            return self.weight[which]

    model = nn.Sequential(Words(), nn.Linear(2, 1, rng=0), nn.Tanh())
    program = spoken(Program.of(np.sum(model([0, 3, 3]))))
    assert str(program.definition(program.place("z2"))) == "z1 @ W2.T + b2"
    assert program.lines[program.place("z1")].shape == (3, 2)
    assert program.place("a2") > program.place("z2")


def test_inputs_with_gradients_are_no_layers() -> None:
    x = Tensor(np.ones((3, 2)), requires_grad=True, name="x")
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Tanh(), nn.Linear(2, 1, rng=0))
    assert {"W1", "W2"} < names(np.sum(model(x)))


def test_a_legend_of_many_is_short() -> None:
    model = nn.MLP([2] * 200, rng=0)
    program = spoken(Program.of(np.sum(model(np.ones(2)))))
    assert places(program) == "W1 = 0.weight, b1 = 0.bias, W2 = 2.weight, b2 = 2.bias, ..., W199 = 396.weight, b199 = 396.bias"
    assert places(program, ["W7_21", "b3[1]", "x"]) == "b3 = 4.bias, W7 = 12.weight"


@pytest.mark.parametrize("shape", [(2, 3), (1, 3), (3, 1), (11, 12)])
def test_elements_are_found_by_both_names(shape: tuple[int, int]) -> None:
    model = nn.Sequential(nn.Linear(shape[1], shape[0], rng=0))
    program = spoken(Program.of(np.sum(model(np.ones(shape[1])))))
    old, new = element_names("0.weight", shape), element_names("W1", shape)
    for before, after, index in zip(old, new, itertools.product(*map(range, shape)), strict=True):
        written = f"0.weight[{index[0]}, {index[1]}]"
        assert program.locate(str(before)) == program.locate(str(after)) == program.locate(written) == (program.place("W1"), index)


# -- who speaks so -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["matrices", "operations", "summary"])
def test_derivations_say_once_what_the_letters_are(style: str) -> None:
    derivation = tg.explain(plain()[1], style=style)
    assert re.findall(r"\d\.(?:weight|bias)", str(derivation)) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert f"The parameters: {LEGEND}." in " ".join(str(derivation).split())
    assert "$W_{1}$ = 0.weight, $b_{1}$ = 0.bias" in derivation.latex or style == "summary"
    assert max(map(len, str(derivation).splitlines())) <= 79


def test_a_derivation_of_one_weight_reads_like_a_textbook() -> None:
    text = str(tg.explain(plain()[1], "0.weight21"))
    assert text.startswith("dE_total/dW1_21\n\nThe parameters: W1 = 0.weight, W2 = 2.weight.\n")
    assert "dE_total/dW1_21 = dE_total/dz2 * dz2/da1_2 * da1_2/dz1_2 * dz1_2/dW1_21\n" in text
    assert "delta1_2 = dE_total/dz1_2\n" in text
    assert not re.search(r"\bt\d", text)


@pytest.mark.parametrize("shape", [(2,), (1, 2), (3, 2)])
def test_sums_of_one_sample_are_sums(shape: tuple[int, ...]) -> None:
    model, _ = plain()
    loss = nn.HalfSquaredError()(model(Tensor(np.full(shape, 0.1), name="x")), Tensor(np.ones((*shape[:-1], 1)), name="y"))
    text = str(tg.explain(loss))
    assert "E_total = sum((y - z2)**2) / 2\n" in text
    assert ("sum(delta1, axis=0)" in text) is (len(shape) > 1)
    assert "reshape" not in text


def test_a_comparison_is_a_number() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.ReLU(), nn.Linear(3, 1, rng=1))
    loss = nn.HalfSquaredError()(model(Tensor([0.1, 0.2], name="x")), np.array([1.0]))
    text = str(tg.explain(loss, "W1_21"))
    assert re.search(r"da1_2/dz1_2 = z1_2 > 0\n +=.*> 0\n +=.1\n", text)
    assert "True" not in text


def test_reasons_say_where_the_parameter_is() -> None:
    model, loss = plain()
    assert str(tg.why(model[2].bias)) == "dE_total/db2 is neither zero nor tiny: -0.507. Here b2 = 2.bias."
    with pytest.raises(NameLookupError, match=r"Its names are: W1 \(0.weight\), b1 \(0.bias\)"):
        tg.why("q", loss)


def test_claims_by_either_name() -> None:
    model, loss = plain()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    report = tg.check(loss, gradients)
    assert [row.name for row in report] == ["W1", "b1", "W2", "b2"]
    assert report.ok
    assert str(report).endswith(f"The parameters: {LEGEND}.")
    assert tg.check(loss, {"W1": gradients["0.weight"], "0.weight21": "delta1_2 x_1", "b2": "delta2", "2.weight": r"\delta_2 a_1^T"}).ok
    assert tg.check(loss, {"0.weight[1, 0]": float(gradients["0.weight"][1, 0]), "2.bias+": "2.bias - eta delta2"}, lr=0.5).ok
    assert tg.check(loss, {"2.weight": lambda delta2, a1, _2_weight: np.outer(delta2, a1)}).ok
    assert not tg.check(loss, {"0.weight": 2 * gradients["0.weight"]}).ok
    new = {name: p.numpy() - 0.5 * gradients[name] for name, p in model.named_parameters()}
    assert tg.check(loss, updated=new, lr=0.5).ok
    assert tg.check(loss, {"v": gradients["0.weight"], "W1": "0.1 * dE_total/dv / 0.1"}, aliases={"v": "0.weight"}).ok
    stale = tg.check(loss, {"0.weight": 2 * gradients["0.weight"]}, previous={"0.weight": new["0.weight"], "W2": new["2.weight"]})
    assert set(stale.previous) == {"W1", "W2"}


def test_the_formulas_of_a_textbook_are_claims_about_a_plain_model() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Sigmoid(), nn.Linear(3, 2, rng=1), nn.Sigmoid())
    x, y = Tensor([[0.1, 0.2], [0.4, 0.3]], name="x"), Tensor([[1.0, 0.0], [0.0, 1.0]], name="y")
    loss = nn.HalfSquaredError()(model(x), y)
    right = {
        "W2": "delta2.T @ a1",
        "W1": r"((\delta_2 W_2) \odot a_1 \odot (1 - a_1))^T x",
        "b1": "sum(delta_1, axis=0)",
        "W1_12": r"\sum_{k=1}^{2} x_{k,2} \delta_{1,k1}",
    }
    assert tg.check(loss, right).ok
    backward = r"\delta^{(1)} = (\delta^{(2)} W^{(2)}) \odot a^{(1)} \odot (1-a^{(1)})"
    assert tg.check(loss, backward).ok
    assert not tg.check(loss, backward.replace(r"(1-a^{(1)})", "a^{(1)}")).ok


@pytest.mark.parametrize("picture", [draw.network, draw.backward, draw.graph, draw.circuit])
def test_pictures_have_a_legend(picture) -> None:  # type: ignore[no-untyped-def]
    source = picture(plain()[1]).source
    assert sorted(re.findall(r"\d\.(?:weight|bias)", source)) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert "W1" in source


def test_module_boxes_and_frames_keep_their_places() -> None:
    source = draw.graph(plain()[1], depth=1).source
    assert "W1 (3, 2), b1 (3,)" in source
    assert "<B>0</B>" in source


def test_steps_speak_of_letters() -> None:
    steps = draw.steps(plain()[1])
    assert steps[0].words.endswith(f"Here {LEGEND}.")
    assert not re.search(r"\d\.(weight|bias)", "".join(map(str, steps[1:])))
    by_graph = str(draw.steps(plain()[1], picture=draw.graph))
    assert "delta1_2 = dE_total/dz1_2 = dE_total/da1_2 * da1_2/dz1_2" in by_graph
    assert not re.search(r"\bt\d", by_graph)
