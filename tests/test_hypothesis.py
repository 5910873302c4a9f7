"""Random programs with fan-out, diamonds, broadcasting, reductions, shapes and products, against a naive oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinygrad_bp import Tensor, grad, jvp, sigmoid, vjp
from tinygrad_bp.program import Program

SHAPES = [(), (3,), (2, 3), (2, 1), (3, 2)]
UNARY: list[Any] = [
    np.tanh,
    sigmoid,
    lambda x: -x,
    np.square,
    lambda x: 0.5 * x + 1,
    lambda x: 1 / (2 + np.square(x)),
    np.sum,
    lambda x: np.sum(x, axis=tuple(range(x.ndim))[:1], keepdims=True),
    np.mean,
    lambda x: np.reshape(x, -1),
    np.transpose,
    lambda x: x[..., None],
    lambda x: x[:1] if x.ndim else x,
    lambda x: x[np.array([0, -1, 0])] if x.ndim else x,
    lambda x: np.exp(np.tanh(x)),
    lambda x: np.broadcast_to(x, (2, *x.shape)) if x.size < 10 else x,
    lambda x: (x + x) * x,
]
BINARY: list[Any] = [np.add, np.subtract, np.multiply, lambda a, b: a / (3 + np.square(b)), lambda a, b: np.tanh(a) ** 2 * b, np.matmul]
Step = tuple[int, int, int]
STEPS = st.lists(st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9)), max_size=8)
LEAVES = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3)


def operands(step: Step, nodes: list[Any]) -> tuple[Any, list[int]]:
    """The function of a step and the places of its operands; where two do not fit, a node meets itself."""
    op, i, j = step
    i, j = i % len(nodes), j % len(nodes)
    if op < len(UNARY):
        return UNARY[op], [i]
    f = BINARY[op - len(UNARY)]
    try:
        fits = np.size(f(np.ones(nodes[i].shape), np.ones(nodes[j].shape))) < 50
    except ValueError:
        fits = False
    return (f, [i, j]) if fits else (np.multiply, [i, i])


def program(steps: list[Step]) -> Any:
    def run(*leaves: Any) -> Any:
        nodes = list(leaves)
        for step in steps:
            f, places = operands(step, nodes)
            nodes.append(f(*[nodes[p] for p in places]))
        return sum(np.sum(np.tanh(x)) for x in nodes)

    return run


def oracle(steps: list[Step], leaves: list[Any]) -> list[Any]:
    """The gradients by the definition: local Jacobians by the complex step, multiplied along every path, recursively."""
    nodes, made = list(leaves), [(None, [])] * len(leaves)
    for step in steps:
        made.append(operands(step, nodes))
        nodes.append(np.asarray(plain(made[-1][0])(*[nodes[p] for p in made[-1][1]])))

    def local(node: int, k: int) -> Any:
        f, places = made[node]
        columns = []
        for e in np.ndindex(nodes[places[k]].shape):
            xs = [nodes[p].astype(complex) for p in places]
            xs[k] = xs[k].copy()
            xs[k][e] += 1e-30j
            columns.append(np.ravel(plain(f)(*xs)).imag / 1e-30)
        return np.array(columns).reshape(-1, nodes[node].size).T

    def along_all_paths(node: int, leaf: int) -> Any:
        if node == leaf:
            return np.eye(nodes[leaf].size)
        zero = np.zeros((nodes[node].size, nodes[leaf].size))
        return sum((local(node, k) @ along_all_paths(p, leaf) for k, p in enumerate(made[node][1])), zero)

    seeds = [1 - np.tanh(np.ravel(x)) ** 2 for x in nodes]
    return [sum(seeds[n] @ along_all_paths(n, leaf) for n in range(len(nodes))).reshape(leaves[leaf].shape) for leaf in range(len(leaves))]


def plain(f: Any) -> Any:
    """The function on complex numbers, where our sigmoid, which looks at the sign, does not go."""
    return (lambda x: 1 / (1 + np.exp(-x))) if f is UNARY[1] else f


def random_leaves(shapes: list[tuple[int, ...]], seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(-1, 1, shape)) for shape in shapes]


@given(STEPS, LEAVES, st.integers(0, 99))
@example([(len(UNARY) + 2, 0, 0)] * 6, [()], 0)
@settings(max_examples=250, deadline=None)
def test_gradients_equal_the_naive_oracle(steps: list[Step], shapes: list[tuple[int, ...]], seed: int) -> None:
    leaves = random_leaves(shapes, seed)
    expected = oracle(steps, leaves)
    tensors = [Tensor(x, requires_grad=True) for x in leaves]
    loss = program(steps)(*tensors)
    loss.backward()
    for t, e in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(t.grad, e, rtol=1e-10, atol=1e-10)
    loss.backward()  # a second time: leaves add up
    for t, e in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(t.grad, 2 * e, rtol=1e-10, atol=1e-10)
    single = [g if isinstance(g, np.ndarray) else np.asarray(g) for g in grad(program(steps), argnums=tuple(range(len(leaves))))(*leaves)]
    for g, e in zip(single, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-10)


@given(STEPS, LEAVES, st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_forward_mode_reverse_mode_and_differences_agree(steps: list[Step], shapes: list[tuple[int, ...]], seed: int) -> None:
    f, xs = program(steps), random_leaves(shapes, seed)
    vs = random_leaves(shapes, seed + 100)
    _, tangent = jvp(f, tuple(xs), tuple(vs))
    _, pullback = vjp(f, *xs)
    np.testing.assert_allclose(tangent, sum(np.sum(g * v) for g, v in zip(pullback(1.0), vs, strict=True)), rtol=1e-10, atol=1e-10)
    h = 1e-6
    up, down = (f(*[x + s * h * v for x, v in zip(xs, vs, strict=True)]) for s in (1, -1))
    np.testing.assert_allclose(tangent, (up - down) / (2 * h), rtol=1e-5, atol=1e-6)


@given(STEPS, LEAVES, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_second_derivatives_agree_with_differences(steps: list[Step], shapes: list[tuple[int, ...]], seed: int) -> None:
    f, xs = program(steps), random_leaves(shapes, seed)
    vs = random_leaves(shapes, seed + 100)
    places = tuple(range(len(xs)))

    def slope(*at: Any) -> Any:
        return sum(np.sum(g * v) for g, v in zip(grad(f, places)(*at), vs, strict=True))

    by_reverse = sum(np.sum(g * v) for g, v in zip(grad(slope, places)(*xs), vs, strict=True))
    _, by_forward = jvp(slope, tuple(xs), tuple(vs))
    np.testing.assert_allclose(by_forward, by_reverse, rtol=1e-9, atol=1e-9)
    h = 1e-5
    up, down = (slope(*[x + s * h * v for x, v in zip(xs, vs, strict=True)]) for s in (1, -1))
    np.testing.assert_allclose(by_reverse, (up - down) / (2 * h), rtol=1e-4, atol=1e-4)


@given(STEPS, LEAVES, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_program_of_a_graph_has_its_values_and_gradients(steps: list[Step], shapes: list[tuple[int, ...]], seed: int) -> None:
    tensors = [Tensor(x, requires_grad=True) for x in random_leaves(shapes, seed)]
    loss = program(steps)(*tensors)
    loss.backward()
    read = Program.of(loss)
    for line, again in zip(read, read.replay({}), strict=True):
        np.testing.assert_array_equal(line.value, again)
    for t in tensors:
        np.testing.assert_allclose(read.gradients[read.place(t)], t.grad, rtol=1e-12, atol=1e-12)
