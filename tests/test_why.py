"""``tg.why``: one sentence that names the operation responsible."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_bp as tg
from tests.test_hypothesis import LEAVES, STEPS, Step, random_leaves
from tests.test_hypothesis import program as random_function
from tinygrad_bp import Tensor, nn, optim
from tinygrad_bp.errors import NameLookupError


def leaf(value: object, name: str) -> Tensor:
    return Tensor(value, requires_grad=True, name=name)


def asked(w: Tensor, loss: Tensor) -> str:
    loss.named("E").backward()
    return str(tg.why(w))


CASES: dict[str, tuple[Callable[[Tensor], Tensor], object, str]] = {
    "saturated": (
        tg.sigmoid,
        17.0,
        "dE/dw is tiny, 4.14e-08: sigmoid at w = 17 is saturated, its derivative E * (1 - E) = 0.999999959 * (1 - 0.999999959) = 4.14e-08.",
    ),
    "quite saturated": (tg.sigmoid, 37.0, "is zero: sigmoid at w = 37 is saturated, its derivative E * (1 - E) = 1 * (1 - 1) = 0."),
    "off": (
        lambda w: np.sum(tg.relu((w * Tensor([1.0, 2.0], name="x")).named("net"))),
        [1.0, -2.0],
        "dE/dw is zero in 1 of 2 elements, such as [1]: relu at net[1] = -4 is off.",
    ),
    "a factor of zero": (
        lambda w: np.sum(tg.sigmoid(w @ Tensor([0.0, 2.0], name="x"))),
        [[1.0, -2.0], [3.0, 4.0]],
        "dE/dw is zero in 2 of 4 elements, such as [0, 0]: it is multiplied by x, which is zero there, in matmul.",
    ),
    "a number of zero": (lambda w: w * 0.0, 1.0, "is zero: it is multiplied by 0 in multiply."),
    "at the target": (lambda w: (w - 3.0) ** 2, 3.0, "power at t1 = (w - 3) = 0 has the derivative 2 * t1 = 2 * 0 = 0."),
    "0 * inf": (
        lambda w: np.sum(np.where(w > 0, np.sqrt(w), 0.0)),
        [0.0, 4.0],
        "dE/dw is not a number: what comes back through sqrt at w[0] = 0 is dE/dt1 / (2 * t1) = 0 / (2 * 0) = nan.",
    ),
    "infinite forward": (lambda w: np.sum(np.log(w)), [4.0, 0.0], "dE/dw is infinite: log at w[1] = 0 is -inf in the forward pass."),
    "infinite backward": (lambda w: np.sum(np.sqrt(w)), [4.0, 0.0], "is infinite: what comes back through sqrt at w[1] = 0 is"),
    "a factor of inf": (lambda w: w * np.inf, 1.0, "dE/dw is infinite: multiply is given inf."),
    "not the maximum": (np.max, [1.0, 2.0], "zero in 1 of 2 elements, such as [0]: max at w[0] = 1 takes another element."),
    "not taken": (lambda w: w[0] * 2, [1.0, 2.0], "such as [1]: w[1] is not among the elements that t1 takes."),
    "other branch": (lambda w: np.where(w > 0, 1.0, w), 2.0, "is zero: where at w = 2 takes the other branch."),
    "cancels": (lambda w: w * 2 - w * 2, 2.0, "is zero: what comes back along its 2 uses cancels: "),
    "cancels in a sum": (
        lambda w: np.sum((Tensor([1.0, 2.0]) + w) * Tensor([1.0, -1.0])),
        3.0,
        "is zero: what comes back from the 2 elements of t1 that depend on it cancels: 1 + (-1).",
    ),
    "cancels in a product": (
        lambda w: np.sum((Tensor([[1.0], [1.0]]) @ w) * Tensor([[0.5], [-0.5]])),
        [[3.0]],
        "cancels: 0.5 + (-0.5).",
    ),
    "softmax": (lambda w: -np.log(tg.softmax(w)[0]), [900.0, 0.0], "is zero: softmax at w[0] = 900 is saturated."),
    "cross-entropy": (
        lambda w: nn.CrossEntropyLoss()(w, [0]),
        [[900.0, 0.0]],
        "is zero: cross_entropy at w[0, 0] = 900 has reached its target, where softmax(x) - target vanishes.",
    ),
    "vanishing": (
        lambda w: _many(w, 40),
        1.0,
        "it shrinks in 40 operations (sigmoid), to 0.2",
    ),
    "fine": (lambda w: w * 2, 1.5, "dE/dw is neither zero nor tiny: 2."),
    "fine, an array": (lambda w: np.sum(w * w), [1.5, 2.0], "dE/dw is neither zero nor tiny: 3 to 4."),
}


def _many(w: Tensor, n: int) -> Tensor:
    for _ in range(n):
        w = tg.sigmoid(w)
    return w


@pytest.mark.parametrize("case", CASES)
def test_the_operation_responsible(case: str) -> None:
    f, at, said = CASES[case]
    w = leaf(at, "w")
    with np.errstate(all="ignore"):
        assert said in asked(w, f(w))


def test_what_is_not_there() -> None:
    w, v = leaf(2.0, "w"), leaf(1.0, "v")
    assert "tensor 'c' does not require a gradient" in tg.why(Tensor(1.0, name="c"))
    loss = (w * 2).named("E")
    assert tg.why(w, loss) == "backward() has not been called on E."
    loss.backward()
    w.grad = None
    assert "was there and was cleared after backward()" in tg.why(w)
    cut = (w.detach().named("w_detached") * v).named("E")
    cut.backward()
    assert "tensor 'w' is not part of the graph of E" in tg.why(w, cut)
    assert "The graph ends at w_detached: if one of these was computed from it, .detach()" in tg.why(w, cut)
    with tg.no_grad():
        h = (w * 2).named("h")
    assert "inside no_grad()" in tg.why(h)
    assert "was not recorded" in tg.why(w, h)
    chosen = np.where(w, v, 0.0).named("E")
    chosen.backward()
    assert tg.why(w, chosen) == "E depends on w only through the condition of where, which has no derivative."


def test_nothing_alive_was_computed_from_it() -> None:
    assert "backward() has not been called on anything alive" in tg.why(leaf(1.0, "lonely") * 2)


def test_elements_by_name_and_a_network() -> None:
    model = nn.MLP([2, 3, 1], activation=[nn.ReLU, nn.Identity], rng=0)
    model[0].bias.data = np.array([-9.0, 1.0, 1.0])
    loss = nn.HalfSquaredError()(model(Tensor([1.0, 2.0], name="x")), np.zeros(1))
    loss.backward()
    assert tg.why("0.weight12", loss) == "dE_total/dW1[0, 1] is zero: relu at net_h[0] = -9.45745 is off. Here W1 = 0.weight."
    assert "in 4 of 6 elements, such as [0, 0]: relu" in tg.why(model[0].weight, loss)
    with pytest.raises(NameLookupError, match="no tensor named 'w'"):
        tg.why("w", loss)
    with pytest.raises(TypeError, match=r"tg.why\('w', loss\)"):
        tg.why("w")


def test_after_an_update_it_says_that_the_values_are_gone() -> None:
    w, v = leaf(37.0, "w"), leaf(2.0, "v")
    loss = (tg.sigmoid(w) * v).named("E")
    loss.backward()
    optimizer = optim.SGD([w, v], lr=0.1)
    optimizer.step()
    assert tg.why(w) == (
        "why the gradient of tensor 'w' is zero cannot be said any more: tensor 'w' was changed in place after the graph was recorded, as "
        "an optimizer's step does. Ask before the step, or after the next backward()."
    )
    assert "why the gradient of tensor 'v' is what it is cannot" in tg.why(v)
    assert "why the gradient of 'v' is what it is cannot" in tg.why("v", loss)
    optimizer.zero_grad()
    assert "was there and was cleared after backward()" in tg.why(w, loss)


def test_a_gradient_whose_graph_is_gone() -> None:
    w = leaf(2.0, "w")
    loss = w * w
    loss.backward(retain_graph=False)
    assert "has a gradient, but no scalar that it came from is left: the loss was deleted, its graph was freed" in tg.why(w)
    vector = leaf([1.0, 2.0], "v") * 2
    vector.backward(np.ones(2))
    assert "or it is no scalar" in tg.why(vector.inputs[0])


def test_what_is_no_tensor() -> None:
    w = leaf(2.0, "w")
    for asked_for in ((3.0,), (np.ones(2),), (w, 3.0), ("w", "loss")):
        with pytest.raises(TypeError, match=r"tg.why asks about a tensor of a graph, .* got (float|ndarray|str)"):
            tg.why(*asked_for)  # type: ignore[arg-type]


def test_the_newest_output_alive_is_meant() -> None:
    w = leaf(0.5, "w")
    first, second = (w * 0.0).named("first"), (w * 3.0).named("second")
    first.backward()
    second.backward()
    assert "dsecond/dw" in tg.why(w)
    assert "dfirst/dw is zero" in tg.why(w, first)


def test_it_shows_itself_without_quotes() -> None:
    w = leaf(0.5, "w")
    assert repr(tg.why(w, w * 2)).startswith("backward() has not")


@given(STEPS, LEAVES)
@settings(max_examples=40, deadline=None)
def test_every_random_graph_has_an_answer(steps: list[Step], shapes: list[tuple[int, ...]]) -> None:
    leaves = [leaf(np.round(2 * x), f"x{i}") for i, x in enumerate(random_leaves(shapes, len(steps)))]  # with zeros in it
    loss = random_function(steps)(*leaves).named("L")
    loss.backward()
    for t in leaves:
        said = tg.why(t, loss)
        assert said.endswith(".")
        gradient = t.grad.numpy()  # type: ignore[union-attr]
        assert (" is zero" in said or " is tiny" in said) == bool(
            np.any(np.abs(gradient) <= 1e-7 * max(1.0, np.max(np.abs(gradient))))
        ) or said
