"""The two sweeps and the operators on functions: every order, deep and wide graphs, memory, threads."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tests.fake_array import FakeArray
from tinygrad_bp import Tensor, engine, grad, jvp, sigmoid, value_and_grad, vjp
from tinygrad_bp.errors import GraphError, RuleError, ShapeError
from tinygrad_bp.rule import RULES


def leaf(x: Any, name: str | None = None) -> Tensor:
    return Tensor(x, requires_grad=True, name=name)


@pytest.fixture
def shallow_stack() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(150)
    yield
    sys.setrecursionlimit(limit)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# -- backward ----------------------------------------------------------------------------------------------------------


def test_every_tensor_has_its_gradient() -> None:
    x = leaf([1.0, 2.0])
    h = np.exp(x)
    loss = np.sum(h * x)
    loss.backward()
    np.testing.assert_array_equal(loss.grad, 1.0)
    np.testing.assert_array_equal(h.grad, [1.0, 2.0])
    np.testing.assert_allclose(x.grad, np.exp([1.0, 2.0]) * [2.0, 3.0])
    assert not x.grad.requires_grad


def test_second_backward_adds_on_leaves_and_replaces_in_between() -> None:
    x = leaf(3.0)
    y = x * x
    z = y * 2
    z.backward()
    z.backward()
    assert (x.grad.item(), y.grad.item()) == (24.0, 2.0)
    (x * 1).backward()
    assert x.grad.item() == 25.0
    x.zero_grad()
    assert x.grad is None


def test_two_losses_with_a_common_part_add_up() -> None:
    x = leaf(3.0)
    y = x * x
    (y * 2).backward()
    (y * 5).backward()
    assert x.grad.item() == 42.0


def test_a_handed_out_gradient_is_the_users_own() -> None:
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (a + b).sum().backward()
    a.grad.data[:] = 7.0
    np.testing.assert_array_equal(b.grad, [1.0, 1.0])
    seed = Tensor([1.0, 1.0])
    c = leaf([1.0, 2.0])
    (+c).backward(seed)
    seed[0] = 9.0
    np.testing.assert_array_equal(c.grad, [1.0, 1.0])


def test_a_gradient_can_be_set_and_is_added_to() -> None:
    x = leaf([1.0, 2.0])
    x.grad = np.array([10.0, 20.0])
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, [11.0, 21.0])
    x.grad = None
    assert x.grad is None


@pytest.mark.parametrize("seed", [[1.0, 2.0], np.array([1, 2]), Tensor([1.0, 2.0]), np.array([1, 2], np.float32)], ids=str)
def test_a_seed_starts_from_a_vector(seed: Any) -> None:
    x = leaf([3.0, 5.0])
    y = x * x
    y.backward(seed)
    np.testing.assert_array_equal(x.grad, [6.0, 20.0])
    assert y.grad.dtype == np.float64


def test_a_leaf_alone_is_its_own_output() -> None:
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_the_same_tensor_twice_in_one_operation() -> None:
    for f, slope in [
        (lambda x: x + x, 2.0),
        (lambda x: x - x, 0.0),
        (lambda x: x * x, 6.0),
        (lambda x: x / x, 0.0),
        (lambda x: x**x, None),
    ]:
        assert grad(f)(3.0) == pytest.approx(27 * (1 + np.log(3)) if slope is None else slope)


def test_untracked_branches_get_no_gradient() -> None:
    x, c = leaf(2.0), Tensor(5.0)
    (x * c).backward()
    assert c.grad is None
    assert x.grad.item() == 5.0


def test_an_exception_halfway_leaves_no_half_sum() -> None:
    fails = tg.pointwise(lambda x: 2 * x, x=lambda g: 1 // 0)
    x = leaf(1.0)
    y = x * 3 + fails(x * 2)
    with pytest.raises(ZeroDivisionError) as caught:
        y.backward()
    assert caught.value.__notes__[0] == "This happened in the derivative of <lambda> with respect to x (an unnamed tensor of shape ())."
    assert "<lambda> was recorded by" in caught.value.__notes__[1]
    assert x.grad is None


# -- deep and wide -----------------------------------------------------------------------------------------------------


def chain(n: int) -> float:
    x = leaf(1.0)
    y = x
    for _ in range(n):
        y = y + 1.0
    y.backward()
    tangent = engine.push(y, {x.serial: Tensor(1.0)})
    assert tangent is not None
    assert tangent.item() == 1.0
    return x.grad.item()  # type: ignore[union-attr]


@pytest.mark.usefixtures("shallow_stack")
def test_a_deep_chain_needs_no_recursion() -> None:
    assert chain(100_000) == 1.0


@pytest.mark.usefixtures("shallow_stack")
def test_a_tensor_used_very_often() -> None:
    x = leaf(2.0)
    total = Tensor(0.0)
    for _ in range(100_000):
        total = total + x
    total.backward()
    assert x.grad.item() == 100_000.0


@pytest.mark.parametrize("free", [False, True])
def test_doublings_do_not_double_the_work(free: bool) -> None:
    calls: list[int] = []
    add = tg.pointwise(lambda a, b: a + b, a=lambda g: calls.append(1) or g, b=lambda g: calls.append(1) or g)
    x = leaf(1.0)
    y = x
    for _ in range(18):
        y = add(y, y)
    y.backward(retain_graph=not free)
    assert x.grad.item() == 2.0**18
    assert len(calls) == 36


def test_backward_calls_each_formula_once_in_a_diamond() -> None:
    calls: list[int] = []
    seen = tg.pointwise(lambda x: 2 * x, x=lambda g: calls.append(1) or 2 * g)
    x = leaf(1.0)
    y = seen(x)
    (y * y + y * 3 + np.exp(y)).backward()
    assert calls == [1]


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_collector")
def test_dropping_the_loss_frees_everything_without_the_collector() -> None:
    x = leaf(np.ones(3))
    loss = np.sum(sigmoid(x @ np.ones((3, 3))) * x[1:2] + np.mean(x))
    loss.backward()
    nodes = [weakref.ref(t) for t in engine.order(loss) if t is not x]
    arrays = [weakref.ref(t.raw) for t in engine.order(loss) if t is not x and isinstance(t.raw, np.ndarray)]
    assert len(nodes) > 5
    del loss
    assert all(ref() is None for ref in nodes)
    assert all(ref() is None for ref in arrays)
    assert gc.collect() == 0


@pytest.mark.usefixtures("no_collector")
def test_operators_on_functions_make_no_cycles() -> None:
    f = lambda x: np.sum(np.tanh(x) ** 3 * x)  # noqa: E731
    for run in (
        lambda: grad(f)(np.ones(3)),
        lambda: jvp(f, (np.ones(3),), (np.ones(3),)),
        lambda: grad(lambda x: np.sum(grad(f)(x)))(np.ones(3)),
    ):
        run()
        gc.collect()
        run()
        assert gc.collect() == 0


@pytest.mark.usefixtures("no_collector")
def test_freeing_as_it_goes() -> None:
    x = leaf(np.ones(3))
    y = np.exp(x)
    z = np.sum(np.tanh(y) * y)
    inner = weakref.ref(z.inputs[0])
    z.backward(retain_graph=False)
    assert inner() is None
    np.testing.assert_allclose(x.grad, np.e * ((1 - np.tanh(np.e) ** 2) * np.e + np.tanh(np.e)))
    assert not y.is_leaf
    for again in (z, np.sum(y * 2)):
        with pytest.raises(GraphError, match=r"was freed by backward\(retain_graph=False\). Run the forward pass again"):
            again.backward()


def test_memory_of_a_chain_is_linear_and_given_back() -> None:
    def used(n: int) -> int:
        x = leaf(1.0)
        tracemalloc.start()
        y = x
        for _ in range(n):
            y = y * 1.0
        size = tracemalloc.get_traced_memory()[0]
        del y
        left = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert left < 300_000  # the interpreter keeps some freed tuples and floats at hand, whatever n is
        return size

    small, large = used(2_000), used(20_000)
    assert large < 12 * small
    assert large / 20_000 < 1200  # bytes a node; PyTorch takes 1.2 kB


# -- operators on functions --------------------------------------------------------------------------------------------


def test_third_derivatives_by_every_nesting() -> None:
    f = lambda x: np.exp(2 * x) * np.square(x)  # noqa: E731
    x = 0.7
    third = np.exp(2 * x) * (8 * x**2 + 24 * x + 12)
    d = {"reverse": grad, "forward": lambda f: lambda x: jvp(f, (x,), (1.0,))[1]}
    for a in d.values():
        for b in d.values():
            for c in d.values():
                assert float(a(b(c(f)))(x)) == pytest.approx(third, rel=1e-12)


def test_mixed_modes_on_vectors() -> None:
    rng = np.random.default_rng(0)
    a, x, v = rng.standard_normal((3, 3)), rng.standard_normal(3), rng.standard_normal(3)
    f = lambda x: np.sum(np.tanh(a @ x) ** 2)  # noqa: E731
    forward_over_reverse = jvp(grad(f), (x,), (v,))[1]
    reverse_over_forward = grad(lambda x: jvp(f, (x,), (v,))[1])(x)
    reverse_over_reverse = grad(lambda x: np.sum(grad(f)(x) * v))(x)
    np.testing.assert_allclose(forward_over_reverse, reverse_over_forward, rtol=1e-12)
    np.testing.assert_allclose(forward_over_reverse, reverse_over_reverse, rtol=1e-12)


def test_perturbations_are_not_confused() -> None:
    """d/dx (x d/dy (x + y)) is 1: Siskind and Pearlmutter, Nesting forward-mode AD in a functional framework (2008)."""
    forward = lambda f: lambda x: jvp(f, (x,), (1.0,))[1]  # noqa: E731
    for outer in (grad, forward):
        for inner in (grad, forward):
            assert float(outer(lambda x, inner=inner: x * inner(lambda y: x + y)(1.0))(1.0)) == 1.0
            assert float(outer(lambda x, inner=inner: x * inner(lambda y: x * y)(x))(3.0)) == 6.0
            assert float(outer(lambda x, inner=inner: inner(lambda y: x * y * y)(x))(3.0)) == 12.0


def test_closures_over_tracked_tensors_stay_linked() -> None:
    w = leaf(3.0)
    slope = grad(lambda x: w * x * x)(2.0)
    assert isinstance(slope, Tensor)
    slope.backward()
    assert w.grad.item() == 4.0


def test_tensors_in_tensors_out_arrays_in_arrays_out() -> None:
    f = lambda x: np.sum(x * x)  # noqa: E731
    assert isinstance(grad(f)(np.ones(2)), np.ndarray)
    assert isinstance(grad(f)(Tensor([1.0, 2.0])), Tensor)
    assert isinstance(grad(f)(2.0), np.float64)
    assert isinstance(value_and_grad(f)(np.ones(2))[0], np.float64)
    assert isinstance(grad(f)(FakeArray(np.ones(2))), FakeArray)
    assert grad(f)(np.ones(2, np.float32)).dtype == np.float32
    assert jvp(f, (np.ones(2, np.float32),), ([1.0, 1.0],))[1].dtype == np.float32
    assert vjp(f, np.ones(2, np.float32))[1](1.0)[0].dtype == np.float32


@pytest.mark.parametrize("op", [lambda f, x: grad(f)(x), lambda f, x: jvp(f, (x,), (x,))[1], lambda f, x: vjp(f, x)[1](1.0)[0]])
def test_results_are_writable_copies(op: Any) -> None:
    x = np.ones((2, 2))
    for f in (np.sum, lambda x: np.sum(np.transpose(x)), lambda x: np.sum(x + np.ones((3, 2, 2)))):
        result = np.asarray(op(f, x))
        result += 1
        np.testing.assert_array_equal(x, np.ones((2, 2)))


def test_argument_numbers() -> None:
    f = lambda x, y, z: x * x * y + z  # noqa: E731
    assert grad(f, 1)(3.0, 2.0, 1.0) == 9.0
    assert grad(f, -1)(3.0, 2.0, 1.0) == 1.0
    assert grad(f, (0, -2))(3.0, 2.0, 1.0) == (12.0, 9.0)
    assert grad(f, (1,))(3.0, 2.0, 1.0) == (9.0,)
    assert grad(f, (0, 0))(3.0, 2.0, 1.0) == (12.0, 12.0)
    for wrong in (3, -4, (0, 5)):
        with pytest.raises(TypeError, match="asks for an argument that a call with 3 does not have"):
            grad(f, wrong)(3.0, 2.0, 1.0)


def test_arguments_that_are_not_differentiated_stay_what_they_are() -> None:
    def f(x: Any, n: int, mode: str) -> Any:
        assert (n, mode) == (3, "power")
        return x**n

    assert grad(f)(2.0, 3, "power") == 12.0


def test_what_does_not_depend_has_gradient_zero() -> None:
    np.testing.assert_array_equal(grad(lambda x, y: np.sum(x), (0, 1))(np.ones(2), np.ones(3))[1], np.zeros(3))
    with pytest.raises(GraphError, match="returned float64, not a Tensor: it does not depend"):
        grad(lambda x, y: np.sum(x), 1)(np.ones(2), np.ones(3))
    assert jvp(lambda x: Tensor(5.0), (1.0,), (1.0,))[1] == 0.0
    assert grad(lambda x: Tensor(5.0))(2.0) == 0.0


def test_operators_on_functions_record_under_no_grad() -> None:
    w = leaf(3.0)
    with tg.no_grad():
        assert float(grad(lambda x: x * x)(2.0)) == 4.0
        inner = grad(lambda x: x * x)(w)
        assert inner.item() == 6.0
        assert jvp(lambda x: x * x, (w,), (1.0,))[1].item() == 6.0
        assert float(grad(grad(lambda x: x**3))(2.0)) == 12.0


@pytest.mark.parametrize(
    ("run", "error", "said"),
    [
        (
            lambda: grad(lambda x: x)(np.ones(3)),
            GraphError,
            r"returned shape \(3,\); a gradient is that of a scalar. Take np.sum, or use jacobian",
        ),
        (lambda: grad(lambda x: x.item())(1.0), GraphError, "returned float, not a Tensor"),
        (lambda: grad(lambda x: None)(1.0), GraphError, "returned NoneType"),
        (lambda: jvp(lambda x: x, (1.0,), ()), ShapeError, "a tangent for each of the 1 arguments; got 0"),
        (lambda: jvp(lambda x: x, (1.0,), (np.ones(2),)), ShapeError, r"a tangent has the shape of its argument, \(\); got \(2,\)"),
        (lambda: vjp(lambda x: x, 1.0)[1](np.ones(2)), ShapeError, r"the result has shape \(\), and so must the cotangent; it has \(2,\)"),
        (lambda: grad(lambda x: x)(3 + 1j), TypeError, "a tensor holds real numbers; this data has dtype complex128"),
        (lambda: grad(lambda x: x)(np.arange(3)), TypeError, "only floating-point tensors have gradients; this one is int64"),
        (lambda: grad(lambda x: x)("a"), TypeError, "real numbers"),
        (lambda: leaf([1.0, 2.0]).backward(), GraphError, r"starts from a scalar, and an unnamed tensor .* is none. Take .sum\(\)"),
        (
            lambda: leaf([1.0, 2.0]).backward([1.0]),
            ShapeError,
            r"shape \(2,\), and so must the gradient that backward\(\) starts from; it has \(1,\)",
        ),
        (
            lambda: Tensor(1.0, name="c").backward(),
            GraphError,
            "tensor 'c' does not depend on a tensor that requires a gradient. Write Tensor",
        ),
    ],
)
def test_misuse_is_explained(run: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        run()


# -- no_grad -----------------------------------------------------------------------------------------------------------


def test_modes_nest_and_survive_exceptions() -> None:
    w = leaf(2.0)
    with tg.no_grad():
        assert not (w * 2).requires_grad
        with tg.enable_grad():
            assert (w * 2).requires_grad
        with pytest.raises(ZeroDivisionError), tg.enable_grad():
            _ = 1 // 0
        assert not (w * 2).requires_grad
    assert (w * 2).requires_grad


def test_modes_decorate_and_reenter() -> None:
    w = leaf(2.0)

    @tg.no_grad()
    def depth(n: int) -> bool:
        return (w * 2).requires_grad or (n > 0 and depth(n - 1))

    assert not depth(3)
    assert (w * 2).requires_grad
    mode = tg.no_grad()
    with mode, mode:
        assert not (w * 2).requires_grad
    assert (w * 2).requires_grad


def test_each_thread_has_its_mode() -> None:
    w, seen = leaf(2.0), []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((w * 2).requires_grad))
        thread.start()
        thread.join()
        assert not (w * 2).requires_grad
    assert seen == [True]


def test_each_async_task_has_its_mode() -> None:
    w = leaf(2.0)

    async def without(started: asyncio.Event, go: asyncio.Event) -> bool:
        with tg.no_grad():
            started.set()
            await go.wait()
            return (w * 2).requires_grad

    async def both() -> tuple[bool, bool]:
        started, go = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(without(started, go))
        await started.wait()
        here = (w * 2).requires_grad
        go.set()
        return here, await task

    assert asyncio.run(both()) == (True, False)


def test_threads_differentiate_separate_graphs_at_once() -> None:
    failures: list[BaseException] = []

    def train(seed: int) -> None:
        try:
            w = leaf(np.full(20, float(seed)))
            for _ in range(150):
                before = w.numpy()
                w.zero_grad()
                (np.sum(w * w) / 2).backward()
                np.testing.assert_array_equal(w.grad, before)
                w.data -= 0.1 * w.grad.data
        except BaseException as error:  # noqa: BLE001  (handed to the main thread)
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=train, args=(i + 1,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    sys.setswitchinterval(interval)
    assert failures == []


# -- rules that users declare ------------------------------------------------------------------------------------------


def test_a_rule_of_ones_own_reaches_every_order() -> None:
    cube = tg.pointwise(lambda x: x * x * x, x=lambda g, x: 3 * g * x * x)
    assert cube(2.0) == 8.0
    assert [float(d(2.0)) for d in (grad(cube), grad(grad(cube)), grad(grad(grad(cube))))] == [12.0, 12.0, 6.0]
    assert jvp(cube, (2.0,), (1.0,))[1] == 12.0
    assert cube(leaf(2.0)).requires_grad
    assert not cube(Tensor(2.0)).requires_grad


def test_a_rule_takes_keywords_and_metadata() -> None:
    def scaled(x: Any, factor: float = 2.0) -> Any:
        return x * factor

    door = tg.linear(scaled, x=lambda g, *, factor=2.0: g * factor)
    assert grad(door)(1.0) == 2.0
    assert grad(lambda x: door(x, 5.0))(1.0) == 5.0
    assert grad(lambda x: door(x=x, factor=7.0))(1.0) == 7.0
    with pytest.raises(
        TypeError, match=r"scaled takes \(x, factor\); got 1 positional arguments and \['size'\]|does not cover the option size"
    ):
        door(leaf(1.0), size=3)


@pytest.mark.parametrize("arguments", ["a", "ab", "abc", "abcd"])
@pytest.mark.parametrize("option", ["", ", *, k=5.0"])
def test_a_formula_is_given_what_it_names(arguments: str, option: str) -> None:
    """Whatever it names, in whichever order, on arrays and on tensors."""
    values = {name: float(i) for i, name in enumerate(arguments, 1)} | {"y": 9.0}
    for names in (names for n in range(4) for names in permutations(values, n)):
        read = "".join(f", {name}" for name in names)
        formula: Any = eval(f"lambda g{read}{option}: g * 0.0 + (0.0{''.join(f' + {i}.0 * {name}' for i, name in enumerate(names, 3))})")
        function: Any = eval(f"lambda {', '.join(arguments)}{option}: 9.0")
        door = tg.pointwise(function, **dict.fromkeys(arguments, formula))
        expected = sum(i * values[name] for i, name in enumerate(names, 3))
        y = door(*[leaf(values[name]) for name in arguments])
        for found in (dict(engine.pull(y, np.float64(1.0))), dict(engine.pull(y, Tensor(1.0), recorded=True))):
            assert [float(found[x].item()) for x in y.inputs] == [expected] * len(arguments), (arguments, names)


def test_a_rule_of_numpy_can_be_replaced_and_one_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, np.tanh, RULES[np.tanh])
    y = np.tanh(leaf(0.5))
    tg.pointwise(np.tanh, x=lambda g, x: g * 100)
    assert grad(np.tanh)(0.5) == 100.0
    y.backward()  # recorded under the old rule
    assert y.inputs[0].grad.item() == pytest.approx(1 - np.tanh(0.5) ** 2)
    monkeypatch.setitem(RULES, np.multiply, RULES[np.multiply])
    tg.pointwise(np.multiply, a=lambda g, b: g * b * 10, b=lambda g, a: g * a * 10)
    assert grad(lambda x: x * 3)(1.0) == 30.0


def test_rules_of_math_functions_give_numpy_numbers() -> None:
    import math

    door = tg.pointwise(math.sin, x=lambda g, x: g * np.cos(x))
    assert grad(door)(0.5) == pytest.approx(math.cos(0.5))


def test_general_rules_work_in_forward_mode_and_at_second_order() -> None:
    softmax = tg.general(lambda x: np.exp(x) / np.sum(np.exp(x)), x=lambda g, y: y * (g - np.sum(g * y)))
    x, v = np.array([0.1, 0.5, -0.3]), np.array([1.0, -2.0, 0.5])
    written = lambda x: np.exp(x) / np.sum(np.exp(x))  # noqa: E731
    np.testing.assert_allclose(jvp(softmax, (x,), (v,))[1], jvp(written, (x,), (v,))[1], rtol=1e-12)
    second = lambda f: grad(lambda x: np.sum(jvp(f, (x,), (v,))[1] * v))(x)  # noqa: E731
    np.testing.assert_allclose(second(softmax), second(written), rtol=1e-12)


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda f: tg.pointwise(f, x=lambda x: x), "a formula takes g, then any of y, x, then keyword-only metadata; this one takes"),
        (lambda f: tg.pointwise(f, x=lambda g, z: z), r"this one takes \(g, z\)"),
        (lambda f: tg.pointwise(f, x=np.cos), "the formula of x is a lambda, such as lambda g, x"),
        (tg.pointwise, "takes a formula for each array argument"),
    ],
)
def test_a_wrong_declaration_is_explained(declare: Any, said: str) -> None:
    with pytest.raises(RuleError, match=said):
        declare(lambda x: x)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (lambda g: 3.0, "returned float for an argument of shape"),
        (lambda g: np.sum(g) * 1, r"returned shape \(\) for an argument of shape \(2,\)"),
    ],
)
def test_a_formula_of_the_wrong_shape_is_explained(formula: Any, said: str) -> None:
    for declare in (tg.pointwise, tg.linear, tg.general):
        wrong = declare(lambda x: 3 * x, x=formula)
        with pytest.raises(RuleError, match=said):
            grad(lambda x, wrong=wrong: np.sum(wrong(x)))(np.ones(2))


def test_a_function_of_two_results_is_refused() -> None:
    two = tg.pointwise(lambda x: (x, x), x=lambda g: g)
    with pytest.raises(RuleError, match="returned tuple; a rule is about a function whose result is one array"):
        two(leaf(1.0))


# -- numbers by other means --------------------------------------------------------------------------------------------


def test_a_network_against_the_complex_step() -> None:
    """Im f(x + ih) / h has no cancellation, so h may be 1e-100: Squire and Trapp, SIAM Review 40 (1998)."""
    rng = np.random.default_rng(3)
    x, w1, b1, w2 = (rng.standard_normal(s) for s in [(4, 3), (5, 3), (5,), (2, 5)])

    def loss(w1: Any, b1: Any, w2: Any) -> Any:
        hidden = np.tanh(x @ np.transpose(w1) + b1)
        out = 1 / (1 + np.exp(-(hidden @ np.transpose(w2))))
        return np.mean(np.square(out - 0.25)) + 0.01 * np.sum(w1**3) / np.sqrt(2.0 + np.sum(np.exp(b1)))

    for i, g in enumerate(grad(loss, (0, 1, 2))(w1, b1, w2)):
        for index in np.ndindex(g.shape):
            moved = [w1.astype(complex), b1.astype(complex), w2.astype(complex)]
            moved[i][index] += 1e-100j
            assert g[index] == pytest.approx(loss(*moved).imag / 1e-100, rel=1e-12)
