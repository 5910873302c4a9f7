"""A Program is the record as data: names, values, gradients, symbols and single numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, grad, optim, sigmoid
from tinygrad_bp.engine import pull
from tinygrad_bp.errors import GraphError, InPlaceError, NameLookupError, ShapeError
from tinygrad_bp.program import Program, element_names
from tinygrad_bp.rules import affine


def leaf(x: Any, name: str | None = None) -> Tensor:
    return Tensor(x, requires_grad=True, name=name)


def network() -> tuple[list[Tensor], Tensor]:
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((2, 3)), name="x")
    w1, b1, w2 = leaf(rng.standard_normal((4, 3)), "W1"), leaf(rng.standard_normal(4), "b"), leaf(rng.standard_normal((2, 4)), "W2")
    hidden = sigmoid((x @ w1.T + b1).named("net_h")).named("out_h")
    out = np.tanh(hidden @ w2.T).named("out_o")
    return [w1, b1, w2], (np.sum(np.square(out - 0.5)) / 2).named("E")


def test_lines_are_in_order_of_creation_and_replay() -> None:
    leaves, loss = network()
    p = Program.of(loss)
    assert all(i < line.index for line in p for i in line.operands)
    assert p.output.name == "E"
    for line, again in zip(p, p.replay({}), strict=True):
        np.testing.assert_array_equal(line.value, again)
    moved = p.replay({p.place("W1"): np.zeros((4, 3))})
    np.testing.assert_allclose(moved[p.place("net_h")], np.broadcast_to(leaves[1].numpy(), (2, 4)))


def test_gradients_equal_backward() -> None:
    leaves, loss = network()
    loss.backward()
    p = Program.of(loss)
    for t in leaves:
        np.testing.assert_allclose(p.gradients[p.place(t)], t.grad, rtol=1e-14)


def test_scalars_have_the_same_value_and_gradients() -> None:
    leaves, loss = network()
    loss.backward()
    single = Program.of(loss).scalars()
    assert single.output.value == pytest.approx(loss.item(), rel=1e-13)
    assert {line.shape for line in single} == {()}
    for t in leaves:
        for name, g in zip(element_names(t.name, t.shape), t.grad.numpy().flat, strict=True):
            assert single.gradients[single.place(str(name))] == pytest.approx(g, rel=1e-12)


def test_partials_evaluate_to_local_derivatives() -> None:
    x, y = leaf(0.7, "x"), leaf(-1.3, "y")
    z = (np.exp(x * y) / (1 + np.square(x)) - y**3 * x).named("z")
    p = Program.of(z)
    z.backward()
    values = {"x": 0.7, "y": -1.3, "z": z.item()}
    for t in (x, y):
        assert p.partials(p.place("z"))[p.place(t)].evaluate(values) == pytest.approx(t.grad.item(), rel=1e-12)
    assert p.definition(p.place("z")).evaluate(values) == pytest.approx(z.item())


def test_partials_with_axes_over_unnamed_arrays() -> None:
    w = leaf(np.arange(6.0).reshape(2, 3), "w")
    for f in (
        lambda t: np.sum(t, axis=0),
        lambda t: np.mean(t, axis=1, keepdims=True),
        np.mean,
        lambda t: np.reshape(t, (3, 2)),
        lambda t: t[0],
    ):
        y = f(np.square(w) * 2).named("y")
        p = Program.of(y)
        assert p.partials(p.place("y"))[p.place("w")].names()


@pytest.mark.parametrize("shape", [(), (1,), (2,)])
def test_partials_of_a_layer_with_any_bias(shape: tuple[int, ...]) -> None:
    x, w, b = leaf(np.ones((4, 3)), "x"), leaf(np.ones((2, 3)), "w"), leaf(np.ones(shape), "b")
    p = Program.of(affine(x, w, b).named("net"))
    assert p.partials(p.place("net")).keys() == {p.place("x"), p.place("w"), p.place("b")}


def test_names_are_unique_and_found() -> None:
    x = leaf(1.0, "x")
    y = (x * 2).named("x") + (x * 3).named("t1")
    p = Program.of(y)
    assert len({name for name, line in zip(p.names, p, strict=True) if not line.constant}) == len([line for line in p if not line.constant])
    assert p.names[p.place(x)] == "x"
    with pytest.raises(NameLookupError, match="several tensors of the graph are named 'x'"):
        p.place("x")
    with pytest.raises(NameLookupError, match=r"the graph has no tensor named 'q'. Its names are: x, x_2, t1"):
        p.place("q")
    with pytest.raises(NameLookupError, match="tensor 'z' is not part of this graph"):
        p.place(Tensor(1.0, name="z"))


def test_data_given_as_it_stands_has_a_name_of_its_own_and_is_not_printed() -> None:
    x, w = np.arange(200.0).reshape(100, 2), leaf(np.ones(2), "w")
    p = Program.of(np.sum(2 * (x @ w) * x[:, 0]))
    assert str(p).splitlines() == [
        "w = array of shape (2,)",
        "c1 = array of shape (100, 2)",
        "t1 = c1 @ w = array of shape (100,)",
        "t2 = 2 * t1 = array of shape (100,)",
        "c2 = array of shape (100,)",
        "t3 = t2 * c2 = array of shape (100,)",
        "t4 = sum(t3) = 5.2734e+06",
    ]
    assert "k1" in Program.of(np.sum(x @ w * leaf(np.ones(100), "c"))).names  # c1 is an element of c
    assert "k1" in Program.of(np.sum(x @ w) * leaf(2.0, "c0")).names  # c1 would look like the next one
    assert "c1" in Program.of(np.sum(Tensor(x) @ w)).names


def test_parallel_edges_and_operand_order_are_kept() -> None:
    a, b = leaf(1.0, "a"), leaf(2.0, "b")
    p = Program.of(a + a, b - a)
    first, second = (p.lines[i] for i in p.outputs)
    assert [p.names[i] for i in first.operands] == ["a", "a"]
    assert [p.names[i] for i in second.operands] == ["b", "a"]


def test_forward_and_backward_are_one_program() -> None:
    x = leaf(2.0, "x")
    y = (x**3).named("y")
    g = next(g for t, g in pull(y, Tensor(1.0), recorded=True) if t is x)
    p = Program.of(y, g.named("dy/dx"))
    assert p.lines[p.place("dy/dx")].value == 12.0


def test_a_program_keeps_the_values_it_was_read_with() -> None:
    x = leaf([1.0, 2.0], "x")
    p = Program.of(np.sum(x * x))
    x.data[...] = 9.0
    np.testing.assert_array_equal(p.lines[p.place("x")].value, [1.0, 2.0])


@pytest.mark.parametrize("tracked", [True, False])
def test_values_that_were_replaced_are_those_of_the_recording(tracked: bool) -> None:
    """The operations kept what they read, so both are read alike, before and after."""
    x, w = Tensor([1.0, 2.0], requires_grad=tracked, name="x"), leaf([0.5, 0.25], "w")
    y = np.sum(np.exp(x) * w * x)
    before = Program.of(y)
    x.data, w.data = [3.0, 4.0], [5.0, 6.0]
    after = Program.of(y)
    assert str(after) == str(before)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    for place, gradient in before.gradients.items():
        np.testing.assert_array_equal(after.gradients[place], gradient)


def test_a_tensor_with_two_values_in_one_graph_is_refused() -> None:
    x = leaf([1.0, 2.0], "x")
    y = x * 2.0
    x.data = [3.0, 4.0]
    with pytest.raises(InPlaceError, match=r"tensor 'x' was changed while the graph was recorded, so it has no one value"):
        Program.of(np.sum(y * x))


def test_reading_after_an_update_in_place_is_refused() -> None:
    x = leaf([1.0, 2.0], "x")
    y = np.sum(x * x)
    y.backward()
    optim.SGD([x], lr=0.1).step()
    said = (
        r"tensor 'x' was changed in place after the graph was recorded.*Read the graph before the update, program = tg.Program.of\(loss\)"
    )
    for read in (Program.of, tg.explain, tg.draw.graph, lambda y: tg.check(y, {"x": [2.0, 4.0]})):
        with pytest.raises(InPlaceError, match=said):
            read(y)


def test_an_array_that_may_have_been_written_to_before_it_was_replaced_is_refused() -> None:
    x = leaf([1.0, 2.0], "x")
    y = np.sum(x * x)
    x.data -= 1.0  # writes, and then replaces
    with pytest.raises(InPlaceError, match="tensor 'x' was changed in place"):
        Program.of(y)


def test_reading_notices_writes_through_data() -> None:
    x = leaf([1.0, 2.0], "x")
    y = np.sum(x * x)
    x.data[...] = 9.0
    with pytest.raises(InPlaceError, match="tensor 'x' was changed"):
        Program.of(y)


def test_reading_notices_writes_to_data_without_gradients() -> None:
    x = Tensor([1.0, 2.0], name="x")
    y = np.sum(x * leaf([1.0, 2.0], "w"))
    x.data[...] = 9.0
    with pytest.raises(InPlaceError, match="tensor 'x' was changed"):
        Program.of(y)


@pytest.mark.parametrize(
    ("run", "error", "said"),
    [
        (lambda: Program.of(1.0), TypeError, "a Program is read off tensors; got float"),
        (lambda: Program.of(Tensor(1.0)), GraphError, "was not recorded: nothing it was computed from requires a gradient"),
        (lambda: Program.of(leaf([1.0, 2.0]) * 2).gradients, GraphError, r"the output has shape \(2,\); gradients are those of a scalar"),
        (lambda: Program.of(np.sum(leaf(np.ones((200, 200))) * 2)).scalars(), ShapeError, "the graph is too large to unroll"),
    ],
)
def test_misuse_is_explained(run: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        run()


def test_a_freed_graph_cannot_be_read() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=False)
    with pytest.raises(GraphError, match="freed"):
        Program.of(y)


def test_scalars_of_every_structural_operation() -> None:
    """Taken apart into single numbers, each shape operation still has the gradients that the arrays have."""
    w = np.arange(1.0, 7.0).reshape(2, 3)
    for f in (
        lambda t: t.T @ t,
        lambda t: np.sum(t, axis=1) ** 2,
        lambda t: np.mean(t, axis=0, keepdims=True) * t,
        lambda t: t.reshape(3, 2) * 2,
        lambda t: t[1:] * t[:1],
        lambda t: t[np.array([0, 0, 1])] ** 2,
        lambda t: np.broadcast_to(t, (2, 2, 3)) * 3,
        lambda t: np.swapaxes(t, 0, 1) @ t,
        lambda t: np.expand_dims(t, 0) * t,
        lambda t: tg.sigmoid(t - 3),
        lambda t: np.exp(-t) + np.log(t) * np.sqrt(t),
        lambda t: t / (t + 1),
        lambda t: t @ np.array([1.0, 2.0, 3.0]),
    ):
        loss = lambda t, f=f: np.sum(np.square(f(t))) / 2  # noqa: E731
        single = Program.of(loss(leaf(w, "w"))).scalars()
        expected = grad(loss)(w)
        for name, g in zip(element_names("w", (2, 3)), expected.flat, strict=True):
            assert single.gradients[single.place(str(name))] == pytest.approx(g, rel=1e-12)


def test_an_empty_name_is_no_name() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True, name="")
    program = Program.of(np.sum(x * x).named(""))
    assert "" not in program.names
    assert str(tg.explain(np.sum(x * x), x))


def test_numbers_of_an_array_in_the_source_are_given_and_not_sought() -> None:
    w = leaf([1.0, 2.0], "w")
    single = Program.of(np.sum(np.square(w - np.array([3.0, 4.0]))) * Tensor(2.0, name="s")).scalars()
    assert {name for name, i in single.places.items() if single.lines[i].rule is None and single.lines[i].tracked} == {"w1", "w2"}
