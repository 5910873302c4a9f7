"""Values overwritten between forward and backward: the right gradient, or an error that names the tensor."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, grad
from tinygrad_bp.changes import CHANGES
from tinygrad_bp.errors import ConversionError, GraphError, InPlaceError, NoRuleError
from tinygrad_bp.rule import RULES

START = np.array([[1.0, 2.0], [3.0, 4.0]])


def item(t: Tensor) -> None:
    with tg.no_grad():
        t[0] = 9.0


def through_view(t: Tensor) -> None:
    with tg.no_grad():
        t[0][1] = 9.0


def through_reshaped_view(t: Tensor) -> None:
    with tg.no_grad():
        t.reshape(-1)[1:] = 9.0


def data_items(t: Tensor) -> None:
    t.data[...] = 9.0


def data_view(t: Tensor) -> None:
    t.data.T[0] = 9.0


def data_augmented(t: Tensor) -> None:
    t.data -= 1.0


def data_set(t: Tensor) -> None:
    t.data = np.full((2, 2), 9.0)


def data_set_from_itself(t: Tensor) -> None:
    t.data = t.data * 2


def data_set_from_its_view(t: Tensor) -> None:
    v = t.data[:]
    v -= 1
    t.data = v


def data_out(t: Tensor) -> None:
    np.multiply(t.data, 2.0, out=t.data)


def kept_handle(t: Tensor) -> None:
    handle = t.data
    t.data = handle * 2
    handle[:] = 9.0


def data_copyto(t: Tensor) -> None:
    np.copyto(t.data, 9.0)


WRITES = [
    item,
    through_view,
    through_reshaped_view,
    data_items,
    data_view,
    data_augmented,
    data_set,
    data_set_from_itself,
    data_set_from_its_view,
    data_out,
    kept_handle,
    data_copyto,
]
READERS = [
    lambda w: np.sum(w * w),
    lambda w: np.sum(w.T * w.T),
    lambda w: np.sum(w[1:] * w[:1]),
    lambda w: np.sum(w.reshape(-1) ** 2),
    lambda w: np.sum(np.exp(w)),
    lambda w: np.sum(w @ w),
    lambda w: np.sum(np.square(np.transpose(w)[::-1])),
    lambda w: np.sum(tg.sigmoid(w)),
    lambda w: np.sum(w + w),
    lambda w: np.mean(np.swapaxes(w, 0, 1) @ w),
    lambda w: np.sum(np.broadcast_to(w, (3, 2, 2)) * np.broadcast_to(w, (3, 2, 2))),
    lambda w: np.sum(1 / w),
    lambda w: np.sum(np.sqrt(+w) * w),
    lambda w: np.sum(np.square(w[np.array([1, 1])])),
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("f", READERS, ids=range(len(READERS)))
@pytest.mark.parametrize("tracked", [True, False], ids=["weight", "data"])
def test_a_write_is_noticed_or_harmless(f: Any, write: Any, tracked: bool) -> None:
    """``f`` reads a tensor; then the tensor is written to; then comes the backward pass."""
    w = Tensor(START, requires_grad=tracked, name="w")
    u = Tensor(START + 1, requires_grad=True)
    y = f(w) * np.sum(u) if tracked else np.sum(u * np.broadcast_to(f(w), (2, 2)) * w.T)
    expected = f(START) * np.ones((2, 2)) if tracked else f(START) * START.T
    slope = grad(f)(START) * np.sum(u.numpy())
    write(w)
    try:
        y.backward()
    except InPlaceError as error:
        assert "tensor 'w' was changed in place after" in str(error)  # noqa: PT017
        assert u.grad is None
        assert w.grad is None
    else:
        np.testing.assert_allclose(u.grad, expected, rtol=1e-15)
        if tracked:
            np.testing.assert_allclose(w.grad, slope, rtol=1e-14)


def test_a_plain_write_is_an_error_and_a_replacement_is_not() -> None:
    """So the test above is not passed by refusing everything, nor by noticing nothing."""
    for write, noticed in [(item, True), (data_items, True), (data_augmented, True), (data_set, False)]:
        w = Tensor(START, requires_grad=True, name="w")
        y = np.sum(w * w)
        write(w)
        if noticed:
            with pytest.raises(
                InPlaceError, match=r"tensor 'w' was changed in place after multiply read it, so the gradient would be wrong. Call backward"
            ):
                y.backward()
        else:
            y.backward()
            np.testing.assert_array_equal(w.grad, 2 * START)


def test_a_write_to_what_no_formula_reads_is_harmless() -> None:
    w = Tensor(START, requires_grad=True)
    y = np.sum(w + 1.0)
    w.data[...] = 9.0
    y.backward()
    np.testing.assert_array_equal(w.grad, np.ones((2, 2)))


def test_a_write_before_the_forward_pass_counts() -> None:
    w = Tensor(START, requires_grad=True)
    handle = w.data
    for value in (5.0, 6.0):
        handle[...] = value
        view = w.T
        handle[...] = value + 1  # seen by the view, and before anything is computed from it
        y = np.sum(view * w)
        w.zero_grad()
        y.backward()
        np.testing.assert_array_equal(w.grad, np.full((2, 2), 2 * value + 2))


@pytest.mark.parametrize("kind", ["array", "list"])
@pytest.mark.parametrize("reflected", [False, True])
def test_a_raw_operand_may_change_after_recording(kind: str, reflected: bool) -> None:
    operand: Any = START.copy() if kind == "array" else START.tolist()
    w = Tensor(START, requires_grad=True)
    y = np.sum(operand * w if reflected else w * operand)
    operand[0][0] = 99.0
    y.backward()
    np.testing.assert_array_equal(w.grad, START)


def test_an_index_may_change_after_recording() -> None:
    for index in (np.array([0, 1]), [0, 1], Tensor([0, 1], dtype=int)):
        w = Tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = np.sum(np.square(w[index]))
        index[0] = 2
        y.backward()
        np.testing.assert_array_equal(w.grad, [2.0, 4.0, 0.0])
    mask = np.array([True, False, True])
    w = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = np.sum(w[mask, ...])
    mask[:] = False
    y.backward()
    np.testing.assert_array_equal(w.grad, [1.0, 0.0, 1.0])


def test_a_list_of_axes_may_change_after_recording() -> None:
    a, weights = np.arange(24.0).reshape(2, 3, 4), np.random.default_rng(0).standard_normal((3, 4, 2))
    for transpose in (np.transpose, Tensor.transpose):
        axes, w = [1, 2, 0], Tensor(a, requires_grad=True)
        y = np.sum(transpose(w, axes) * weights)
        axes.reverse()
        y.backward()
        np.testing.assert_array_equal(w.grad, np.transpose(weights, (2, 0, 1)))


def test_the_callers_array_stays_the_callers() -> None:
    a = START.copy()
    w = Tensor(a, requires_grad=True)
    w.data = a
    a[:] = 7.0
    np.testing.assert_array_equal(w.numpy(), START)
    w.data[:] = 5.0
    np.testing.assert_array_equal(a, np.full((2, 2), 7.0))


def test_views_of_untracked_tensors_write_through_as_in_numpy() -> None:
    x = Tensor(START)
    x.T[0] = 9.0
    np.testing.assert_array_equal(x.numpy(), [[9.0, 2.0], [9.0, 4.0]])


def test_a_view_that_becomes_a_leaf_has_values_of_its_own() -> None:
    x = Tensor(START)
    v = x.T.requires_grad_()
    y = np.sum(v * v)
    x[0] = 9.0
    y.backward()
    np.testing.assert_array_equal(v.grad, 2 * START.T)


def test_results_are_read_only() -> None:
    y = Tensor(START, requires_grad=True) * 2
    with pytest.raises(GraphError, match="is the result of multiply; its data cannot be replaced"):
        y.data = START
    with pytest.raises(GraphError, match="is part of a graph, so its elements cannot be assigned"):
        y[0] = 1.0
    with pytest.raises(GraphError, match=r"Build the new value with np.where, or write inside tg.no_grad\(\)"):
        Tensor(START, requires_grad=True)[0] = 1.0


def augmented(d: Any) -> None:
    d += 1.0


WRITES: dict[str, Callable[[Any], Any]] = {
    "item": lambda d: d.__setitem__(0, 1.0),
    "item of a view": lambda d: d[:1].__setitem__(0, 1.0),
    "augmented": augmented,
    "ufunc": lambda d: np.exp(d, out=d),
    "ufunc.at": lambda d: np.add.at(d, [0], 1.0),
    "ufunc of others": lambda d: np.multiply(np.ones(3), 2.0, out=d),
    "reduction": lambda d: np.sum(np.ones((2, 3)), axis=0, out=d),
    "function": lambda d: np.concatenate([d, d], out=d),
    "method with out": lambda d: d.clip(0.0, 1.0, out=d),
    "copyto": lambda d: np.copyto(d, 0.0),
    "fill": lambda d: d.fill(0.0),
    "sort": lambda d: d.sort(),
    "put": lambda d: np.put(d, [0], [1.0]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_to_the_data_of_a_result_names_the_tensor_and_its_operation(write: Callable[[Any], Any]) -> None:
    y = (Tensor([1.0, 2.0, 3.0], requires_grad=True) * 2).named("y")
    with pytest.raises(InPlaceError, match="values of tensor 'y', the result of multiply, so they cannot be written to"):
        write(y.data)
    np.testing.assert_array_equal(y.numpy(), [2.0, 4.0, 6.0])


def test_the_data_of_a_result_is_an_array_like_any_other_to_compute_with() -> None:
    y = Tensor([1.0, 2.0], requires_grad=True) * 2
    d = y.data
    assert repr(d) == "array([2., 4.])"
    assert {type(d + 1), type(np.exp(d)), type(np.asarray(d)), type(d.copy()), type(np.add(1.0, d, out=np.zeros(2)))} == {np.ndarray}
    copies = [d.copy(), np.array(d), d.astype(np.float32), d + 0, pickle.loads(pickle.dumps(d))]
    for copy in copies:
        np.add(copy, 1.0, out=copy)
        copy[0] = 7.0
        np.testing.assert_array_equal(copy, [7.0, 5.0])
    np.testing.assert_array_equal(y.numpy(), [2.0, 4.0])


def test_assigning_a_tracked_tensor_to_elements_would_lose_its_graph() -> None:
    x, w = Tensor(START), Tensor(3.0, requires_grad=True)
    for value in (w, [w, w]):
        with pytest.raises(ConversionError, match="would silently lose its graph"):
            x[0] = value
    x[0] = w.detach()
    with tg.no_grad():
        x[1] = w
    np.testing.assert_array_equal(x.numpy(), np.full((2, 2), 3.0))


def test_out_is_refused_where_a_graph_is_concerned_and_works_otherwise() -> None:
    w, a = Tensor(START, requires_grad=True), START.copy()
    for run in (lambda: np.add(a, w, out=a), lambda: np.exp(a, out=w), lambda: np.exp(a, out=Tensor(START)), lambda: a.__iadd__(w)):
        with pytest.raises(NoRuleError, match="Leave out= away: the result is a new tensor"):
            run()
    np.sum(w).backward()
    a -= 0.5 * w.grad
    np.testing.assert_array_equal(a, START - 0.5)


def test_augmented_assignment_rebinds() -> None:
    w = t = Tensor(START, requires_grad=True)
    for change in ("+", "-", "*", "/", "**", "@"):
        scope = {"t": w, "other": np.ones((2, 2))}
        exec(f"t {change}= other", scope)
        t = scope["t"]
        assert t is not w
        assert t.requires_grad
    np.testing.assert_array_equal(w.numpy(), START)


STEPS = {
    "augmented": lambda w: setattr(w, "data", w.data.__isub__(0.1 * w.grad.data)),
    "replaced": lambda w: setattr(w, "data", w.data - 0.1 * w.grad.data),
    "items": lambda w: w.data.__setitem__(..., w.data - 0.1 * w.grad.data),
    "no_grad": lambda w: tg.no_grad()(lambda: w.__setitem__(..., w - 0.1 * w.grad))(),
    "numpy out": lambda w: np.subtract(w.data, 0.1 * w.grad.data, out=w.data),
    "tensor": lambda w: setattr(w, "data", (w.detach() - 0.1 * w.grad).data),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("keep", [False, True], ids=["loss dropped", "loss kept"])
def test_ordinary_training_loops_run(step: str, keep: bool) -> None:
    w, x = Tensor(START, requires_grad=True), Tensor(START)
    expected, kept = START.copy(), []
    for _ in range(20):
        w.zero_grad()
        loss = np.sum(np.square(w @ x - 1.0)) / 2
        loss.backward()
        STEPS[step](w)
        if keep:
            kept.append(loss)
        expected = expected - 0.1 * ((expected @ START - 1.0) @ START.T)
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-9)


def test_nothing_is_watched_longer_than_needed() -> None:
    before = len(CHANGES.exposed)
    w = Tensor(START, requires_grad=True)
    w.data[...] = 2.0
    assert len(CHANGES.exposed) == before + 1
    np.sum(w * w).backward()
    np.sum(w * w).backward()
    assert len(CHANGES.exposed) == before
    handle = w.data
    assert len(CHANGES.exposed) == before + 1
    del w
    assert len(CHANGES.exposed) == before
    handle[...] = 3.0


def test_second_derivatives_notice_writes_too() -> None:
    w = Tensor(3.0, requires_grad=True, name="w")
    y = w * w * w
    w.data = 5.0
    from tinygrad_bp.engine import pull

    with pytest.raises(InPlaceError, match="tensor 'w' was changed"):
        list(pull(y, Tensor(1.0), recorded=True))


@pytest.mark.parametrize("update", ["+", "-", "*", "/"])
def test_updates_of_a_tracked_leaf_as_in_pytorch(update: str) -> None:
    run = {"+": operator.iadd, "-": operator.isub, "*": operator.imul, "/": operator.itruediv}[update]
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    loss = np.sum(w * w)
    with tg.no_grad():
        same = run(w, 2.0)
    assert same is w
    assert w.is_leaf
    assert w.requires_grad
    np.testing.assert_array_equal(w.numpy(), run(np.array([1.0, 2.0]), 2.0))
    loss.backward()  # the graph kept the values that it was recorded with
    np.testing.assert_array_equal(w.grad.numpy(), [2.0, 4.0])
    assert run(w, 2.0) is not w  # outside, the name is bound to a new tensor


@pytest.mark.parametrize(
    "rule",
    [
        tg.general(lambda x: x, x=lambda g: -g),
        tg.pointwise(lambda x: x, x=lambda g: -g),
        tg.general(lambda x: x.ravel(), x=lambda g, x: -g.reshape(x.shape)),
        tg.general(lambda a, b, x: x[:], a=None, b=None, x=lambda g: -g),
    ],
)
def test_a_rule_of_ones_own_may_return_its_argument(rule: Any) -> None:
    """Gradient reversal: the result is a view, so that a write to the argument is a write to it."""
    w = Tensor([1.0, 2.0], requires_grad=True)
    h = rule(*[1.0] * (RULES[rule].count - 1), w)
    loss = np.sum(h * h)
    with tg.no_grad():
        w[0] = 100.0
    with pytest.raises(InPlaceError, match="changed in place"):
        loss.backward()


def test_an_untracked_view_by_a_rule_of_ones_own() -> None:
    same = tg.pointwise(lambda x: x, x=lambda g: g)
    t, w = Tensor([1.0, 2.0]), Tensor([1.0, 1.0], requires_grad=True)
    y = same(t)
    loss = np.sum(t * w)
    y[0] = 50.0
    with pytest.raises(InPlaceError, match="changed in place"):
        loss.backward()
