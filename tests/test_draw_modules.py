"""Graphs by modules, by paths, and with their backward pass."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tests.test_draw import edges, words, worked_example
from tinygrad_bp import Tensor, draw, nn
from tinygrad_bp.draw.modules import Modules
from tinygrad_bp.draw.sweeps import both_sweeps
from tinygrad_bp.errors import GraphError
from tinygrad_bp.program import Program
from tinygrad_bp.worked import step_by_step


class Block(nn.Module):
    def __init__(self, rng: int) -> None:
        self.inner, self.outer = nn.Linear(2, 2, rng=rng), nn.Linear(2, 2, rng=rng + 1)

    def forward(self, x: Any) -> Any:
        return x + self.outer(np.tanh(self.inner(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        self.blocks = [Block(0), Block(2)]
        self.head = nn.Linear(2, 1, rng=4)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def is_acyclic(drawing: draw.Drawing) -> bool:
    waiting = {tuple(edge.split(" -> ")) for edge in edges(drawing)}
    while waiting:
        sources = {a for a, _ in waiting} - {b for _, b in waiting}
        if not sources:
            return False
        waiting = {(a, b) for a, b in waiting if a not in sources}
    return True


def test_each_line_belongs_to_its_module() -> None:
    model = Net()
    program = Program.of(np.sum(np.square(model(Tensor([1.0, 2.0], name="x")))))
    paths = Modules(program, model).paths
    for line in program:
        if line.rule is None and line.tracked:
            assert ".".join(paths[line.index]) == str(line.name).rpartition(".")[0]
    where = {line.rule.name: paths[line.index] for line in program if line.rule is not None}  # the last of each name
    assert where["tanh"] == ("blocks.1", "inner")
    assert where["linear"] == ("head",)
    assert where["add"] == where["square"] == where["sum"] == ()


def test_modules_are_read_off_names_as_well() -> None:
    model = Net()
    program = Program.of(model(Tensor([1.0, 2.0])))
    assert Modules(program).paths == Modules(program, model).paths
    renamed = step_by_step.network()
    loss = Program.of(step_by_step.forward(renamed))
    assert set(Modules(loss).paths) == {()}
    assert set(Modules(loss, renamed).paths) == {(), ("0",), ("2",)}


LOSSES = {
    "softplus on sums": (nn.Identity, nn.BCEWithLogitsLoss(), {"linear"}),
    "log of a sigmoid": (nn.Sigmoid, nn.BCELoss(), {"linear", "sigmoid"}),
    "log of a softmax": (nn.Softmax, nn.CategoricalCrossEntropy(), {"linear", "softmax"}),
    "a square": (nn.Tanh, nn.MSELoss(), {"linear", "tanh"}),
    "softplus as activation": (nn.Softplus, nn.MSELoss(), {"linear", "softplus"}),
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_is_outside_of_the_last_module(case: str) -> None:
    activation, loss, inside = LOSSES[case]
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Tanh(), nn.Linear(2, 2, rng=1), activation())
    program = Program.of(loss(model(np.ones((3, 2))), np.array([[0.0, 1.0]] * 3)))
    for modules in (Modules(program), Modules(program, model)):
        assert {line.rule.name for line in program if line.rule is not None and modules.paths[line.index] == ("2",)} == inside


def test_a_renamed_parameter_stays_in_its_module() -> None:
    model = nn.MLP([2, 2, 2], bias="shared", rng=0)
    model[2].weight.named("W2", "w5 w6 w7 w8")
    program = Program.of(nn.HalfSquaredError()(model(Tensor([1.0, 2.0])), [0.0, 1.0]))
    assert Modules(program).paths == Modules(program, model).paths
    assert Modules(program).paths[program.place("W2")] == ("2",)


def test_frames_stand_in_one_another() -> None:
    model = Net()
    drawing = draw.graph(model(Tensor([1.0, 2.0])), model=model)
    shown = words(drawing)
    for title in ("blocks.0: Block", "blocks.0.inner: Linear", "blocks.1.outer: Linear", "head: Linear"):
        assert title in shown
    depths = [len(line) - len(line.lstrip("\t")) for line in drawing.source.splitlines() if "subgraph" in line]
    assert sorted(depths) == [1, 1, 1, 2, 2, 2, 2]


def test_depth_draws_layers_only() -> None:
    model = step_by_step.network()
    drawing = draw.graph(step_by_step.forward(model), model=model, depth=1)
    shown = words(drawing)
    assert "0: Linear linear, sigmoid W1 (2, 2), b1 () result (2,)" in shown
    assert "net_h" not in shown
    assert "target_o" in shown  # what is in no module is drawn as always
    assert is_acyclic(drawing)


def test_depth_two_opens_the_outer_modules() -> None:
    model = Net()
    loss = np.sum(model(Tensor([1.0, 2.0])))
    shown = words(draw.graph(loss, model=model, depth=2))
    assert "blocks.0.inner: Linear linear, tanh W1 (2, 2), b1 (2,)" in shown
    assert "blocks.0: Block" in shown
    assert len(edges(draw.graph(loss, depth=1))) < len(edges(draw.graph(loss, depth=2))) < len(edges(draw.graph(loss)))


def test_fifty_layers_are_readable() -> None:
    model = nn.Sequential(*[m for k in range(50) for m in (nn.Linear(4, 4, rng=k), nn.Tanh())])
    drawing = draw.graph(np.sum(np.square(model(np.ones(4)))), depth=1)
    shown = words(drawing)
    assert all(f"{2 * k} linear, tanh W{k + 1} (4, 4), b{k + 1} (4,)" in shown for k in range(50))
    assert len(edges(drawing)) < 60
    assert re.findall(r'<svg[^>]* width="(\d+)pt"', drawing.svg())[0] < "400"


def test_a_module_that_is_used_twice_makes_no_circle() -> None:
    layer = nn.Linear(2, 2, rng=0)
    model = nn.Sequential(layer, nn.Linear(2, 2, rng=1), layer)
    drawing = draw.graph(np.sum(model(np.ones(2))), model=model, depth=1)
    assert is_acyclic(drawing)
    assert words(drawing).count("0: Linear") == 2


def test_depth_makes_room_for_large_graphs() -> None:
    model = nn.Sequential(*[nn.Linear(2, 2, rng=k) for k in range(400)])
    y = model(np.ones(2))
    assert "not drawn one by one" in words(draw.graph(y))
    assert "399 linear" in words(draw.graph(y, depth=1))


def test_another_model_is_refused() -> None:
    with pytest.raises(GraphError, match="none of the model's parameters"):
        draw.graph(worked_example(), model=nn.Linear(2, 2))
    with pytest.raises(ValueError, match="from 1"):
        draw.graph(worked_example(), depth=0)


def test_only_the_paths_to_a_tensor() -> None:
    loss = worked_example()
    shown = words(draw.graph(loss, wrt="W2"))
    assert "net_o" in shown
    assert "net_h" not in shown
    assert "out_h" in shown  # beside the path, for net_o is computed from it
    assert "0.59327" not in shown
    assert words(draw.graph(loss, wrt="w5")) == shown
    a, b = (Tensor(1.0, requires_grad=True, name=n) for n in "ab")
    both = Program.of((b + 1.0).named("z"), (a * 2.0).named("y"))
    assert "a" not in words(draw.graph(both, wrt="b")).split()


def test_the_backward_pass_is_recorded_line_by_line() -> None:
    program = Program.of(worked_example())
    both, forward = both_sweeps(program)
    assert forward == len(program)
    for name in ("W1", "W2", "b1", "b2"):
        np.testing.assert_allclose(both.value(f"dE_total/d{name}"), program.gradients[program.place(name)], rtol=1e-13)
    shown = words(draw.graph(worked_example(), backward=True))
    assert "dE_total/dnet_h" in shown
    assert "backward pass" in shown


def test_the_backward_pass_of_a_scalar_graph() -> None:
    x = Tensor(3.0, requires_grad=True, name="x")
    both, _ = both_sweeps(Program.of(np.sin(x * x).named("y")))
    assert float(both.value("dy/dx")) == pytest.approx(6 * np.cos(9.0))
    with pytest.raises(GraphError, match="shape"):
        draw.graph(Tensor([1.0, 2.0], requires_grad=True) * 2.0, backward=True)


def test_the_backward_pass_of_a_deep_network_reads_names_that_stand_beside_it() -> None:
    """Edges across the whole picture would keep the layout program busy for minutes."""
    model = nn.MLP([2] * 21, rng=0)
    drawing = draw.graph(np.sum(model(np.ones(2))), backward=True, boxes=False)
    ends = [re.findall(r"\d+", edge) for edge in edges(drawing)]
    assert len(ends) > 400
    assert max(abs(int(b) - int(a)) for a, b in ends) < 100  # nodes are counted in the order of computation
    assert words(drawing).split().count("out_h3") == 4  # itself, and read by the next weight's gradient and twice by its own sigmoid's


def test_what_is_read_again_far_away_is_named_there() -> None:
    """A tangle of far edges keeps the layout program busy as well; the first reader's edge keeps the picture in one piece."""
    x = Tensor(1.0, requires_grad=True, name="x")
    first = y = np.tanh(x).named("first")
    for _ in range(50):
        y = np.sin(y)
    drawing = draw.graph(y * first)
    assert words(drawing).split().count("first") == 2
    assert len(edges(drawing)) == 2 * 52 + 1
    assert words(draw.graph(np.sin(first) * first)).split().count("first") == 1


def test_a_gradient_of_two_tensors_has_both_names() -> None:
    model = nn.MLP([2, 3, 1], rng=0)
    both, _ = both_sweeps(Program.of(np.sum(model(np.ones(2))).named("y")))
    assert {"dy/dnet_h = dy/d0.bias", "dy/dout_h", "dy/d0.weight"} < set(both.names)


def test_a_nameless_loss_of_a_network_is_called_loss() -> None:
    model = nn.MLP([2, 3, 1], rng=0)
    y = model(np.ones(2))
    shown = words(draw.graph(nn.MSELoss()(y, np.zeros(1)), backward=True))
    assert "dloss/dnet_o" in shown
    assert "loss" not in words(draw.graph(np.square(Tensor(2.0, requires_grad=True, name="x"))))
    assert "loss" not in words(draw.graph(y))


def test_the_backward_pass_is_drawn_whole() -> None:
    with pytest.raises(ValueError, match="leave out depth="):
        draw.graph(worked_example(), backward=True, depth=1)


def test_second_derivatives_are_outputs_like_others() -> None:
    x = Tensor(0.5, requires_grad=True, name="x")
    assert f"{-np.sin(0.5):.6g}" in words(draw.graph(tg.grad(tg.grad(np.sin))(x)))


def test_data_stay_outside_of_the_modules_that_read_them() -> None:
    """Of an array as of a tensor: drawn as one box, a module would swallow the network's input."""
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh())
    for data in (np.ones((4, 2)), Tensor(np.ones((4, 2)))):
        program = Program.of(nn.MSELoss()(model(data), np.zeros((4, 3))))
        (place,) = (line.index for line in program if line.shape == (4, 2))
        assert Modules(program).paths[place] == ()
        assert "(4, 2)" in words(draw.graph(program, depth=1))
