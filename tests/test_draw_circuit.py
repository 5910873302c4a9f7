"""Circuits: gates, wires, and the numbers on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tests.test_draw import words, worked_example
from tests.test_draw_show import numbers
from tinygrad_bp import Tensor, draw, nn
from tinygrad_bp.errors import GraphError
from tinygrad_bp.program import Program


def leaves() -> tuple[Tensor, Tensor]:
    return Tensor(-2.0, requires_grad=True, name="x"), Tensor(5.0, requires_grad=True, name="y")


def test_values_above_and_gradients_below() -> None:
    x, y = leaves()
    shown = words(draw.circuit(((x + y) * -4.0).named("f")))
    for above, below in (("-2", "-4"), ("5", "-4"), ("3", "-4"), ("-12", "1")):
        assert f"{above} {below}" in shown


def test_local_derivatives_are_factors() -> None:
    x, y = leaves()
    shown = words(draw.circuit((x * y).named("f"), local=True))
    assert "1 * 5 = 5" in shown
    assert "1 * -2 = -2" in shown
    assert "1 * 5" not in words(draw.circuit((x * y).named("f")))


def test_a_fork_adds_up_what_comes_back() -> None:
    x, y = leaves()
    s = (x * y).named("s")
    shown = words(draw.circuit((s * 3.0 + s * s).named("f")))
    assert "3 - 10 - 10 = -17" in shown


def test_a_sum_that_is_too_long_says_how_many_it_adds_up() -> None:
    y = Tensor(5.0, requires_grad=True, name="y")
    shown = words(draw.circuit(np.tanh(y - y - y).named("f"), digits=10))
    assert "sum of 3 = -0.0001815832309" in shown


OPERATIONS: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: np.tanh(a), lambda a, b: a / (b * b + 1.0),
    lambda a, b: tg.sigmoid(a), lambda a, b: -a,
]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(OPERATIONS) - 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_every_number_is_right_in_random_circuits(steps: list[tuple[int, int, int]]) -> None:
    """What is written on a wire is the value or gradient of its line; what a line's readers send back adds up to its gradient."""
    tensors = list(leaves())
    for which, i, j in steps:
        tensors.append(OPERATIONS[which](tensors[i % len(tensors)], tensors[j % len(tensors)]))
    program = Program.of(tensors[-1])
    found = numbers(draw.circuit(program, digits=10, local=True).svg())
    back: dict[int, float] = {}
    for name, text in found.items():
        kind, place, *to = name.split("-")
        number = float(text.split()[-1])
        line = program.lines[int(place)]
        if to:
            operand = line.operands[int(to[1])]
            back[operand] = back.get(operand, 0.0) + number
        else:
            expected = program.gradients[line.index] if kind == "grad" else line.value
            assert number == pytest.approx(float(expected), rel=1e-8, abs=1e-9)
    for place, total in back.items():
        assert total == pytest.approx(float(program.gradients[place]), rel=1e-7, abs=1e-8)


def test_arrays_are_taken_apart() -> None:
    program = Program.of(worked_example())
    shown = words(draw.circuit(program, digits=6))
    for name in ("W1", "W2"):
        for value in program.gradients[program.place(name)].flat:
            assert f"{value:.6g}" in shown
    for name in ("w5", "net_h1", "out_o2", "E_total"):
        assert name in shown


def test_a_nameless_sum_of_many_is_one_gate() -> None:
    a, b, c = (Tensor(float(k), requires_grad=True, name=n) for k, n in enumerate("abc"))
    assert words(draw.circuit((a + b + c).named("f"))).split().count("+") == 1
    assert words(draw.circuit(((a + b).named("s") + c).named("f"))).split().count("+") == 2
    assert words(draw.circuit((a + b - c).named("f"))).split().count("+") == 1


def test_operand_order_is_written_where_it_matters() -> None:
    x, y = leaves()
    assert "left" in words(draw.circuit(x - y))
    assert "left" not in words(draw.circuit(x * y))


def test_both_wires_of_a_square_are_drawn() -> None:
    x, _ = leaves()
    assert sorted(numbers(draw.circuit((x * x).named("f")).svg())) == [
        "grad-0",
        "grad-1",
        "grad-1-to-0",
        "grad-1-to-1",
        "value-0",
        "value-1",
    ]


def test_without_gradients() -> None:
    x, y = leaves()
    assert "grad-" not in draw.circuit(x * y, gradients=False).svg()


def test_what_cannot_be_followed_by_hand_is_refused() -> None:
    x, _ = leaves()
    y = x
    for _ in range(81):
        y = np.tanh(y)
    with pytest.raises(GraphError, match="81 gates"):
        draw.circuit(y)
    with pytest.raises(GraphError, match="single number"):
        draw.circuit(Tensor([1.0, 2.0], requires_grad=True) * 2.0)


def test_a_long_circuit_runs_down_the_page() -> None:
    x, y = leaves()
    short, long = np.tanh(x * y), np.tanh(np.tanh(np.tanh(np.tanh(x * y))))
    for output, down, rankdir in ((short, None, "LR"), (long, None, "TB"), (short, True, "TB"), (long, False, "LR")):
        picture = draw.circuit(output, down=down)
        assert f"rankdir={rankdir}" in picture.source
        assert numbers(picture.svg()) == numbers(draw.circuit(output).svg())


def test_a_bias_of_many_stands_before_the_products_that_it_is_added_to() -> None:
    x, b = leaves()
    far = [edge for edge in draw.circuit((x * 2.0 + b) * (x * 3.0 + b)).source.splitlines() if "minlen" in edge]
    assert len(far) == 2
    assert not [edge for edge in draw.circuit(x * 2.0 + b).source.splitlines() if "minlen" in edge]


def test_a_nameless_loss_of_a_network_is_called_loss() -> None:
    model = nn.Sequential(nn.Linear(1, 1, rng=0), nn.Tanh())
    shown = words(draw.circuit(nn.MSELoss()(model(np.ones(1)), [0.0])))
    assert "d(loss) / d(wire)" in shown
    assert "loss" in shown.replace("d(loss)", "").split()
    assert "loss" not in words(draw.circuit(model(np.ones(1)).sum()))
