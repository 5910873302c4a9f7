"""The ladder's rungs as functions that raise: the tests climb them with the table, and with mutants that must fall.

``SAMPLES`` holds calls for every rule: a rule without an entry fails ``test_rules_table.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.fake_array import FakeArray
from tinygrad_bp import Tensor, functions, vjp
from tinygrad_bp.operators import jvp
from tinygrad_bp.rule import RULES, Rule
from tinygrad_bp.rules import cast, take
from tinygrad_bp.tensor import record

Shapes = tuple[tuple[int, ...], ...]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]


def anywhere(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(0.5, 2.0, shape)


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def far(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return 5.0 + rng.standard_normal(shape)


def inside(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(-0.9, 0.9, shape)


def above_one(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(1.2, 2.0, shape)


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Numbers that add up to 1 along axis 1, or along the only one."""
    p = rng.uniform(0.1, 1.0, shape)
    return p / np.sum(p, axis=min(1, len(shape) - 1), keepdims=True)


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.choice([0.0, 1.0], shape)


def regular(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Symmetric positive definite matrices."""
    a = rng.standard_normal(shape)
    return a @ np.swapaxes(a, -1, -2) + 2 * np.eye(shape[-1])


@dataclass
class Sample:
    """Calls of one rule: the shapes of its arguments with the metadata, and where the arguments lie."""

    calls: list[tuple[Shapes, dict[str, Any]]]
    domain: tuple[Draw, ...] = (anywhere,)

    def arrays(self, shapes: Shapes, seed: int = 0) -> list[np.ndarray[Any, Any]]:
        rng = np.random.default_rng(seed)
        return [np.asarray(self.domain[i % len(self.domain)](rng, shape)) for i, shape in enumerate(shapes)]


ONE: list[tuple[Shapes, dict[str, Any]]] = [(((),), {}), (((3,),), {}), (((2, 3),), {}), (((0, 3),), {})]
TWO: list[tuple[Shapes, dict[str, Any]]] = [
    (shapes, {})
    for shapes in [
        ((), ()),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (2, 1, 3)),
        ((2, 1), (1, 3)),
        ((), (2, 2)),
        ((2, 2), ()),
        ((0, 3), (1, 3)),
    ]
]


def calls(*each: Any) -> list[tuple[Shapes, dict[str, Any]]]:
    """``(shape, ..., {metadata})`` each."""
    return [(tuple(x for x in call if not isinstance(x, dict)), next((x for x in call if isinstance(x, dict)), {})) for call in each]


REDUCTIONS = calls(
    ((2, 3),),
    ((),),
    ((2, 3), {"axis": 0}),
    ((2, 3), {"axis": -1, "keepdims": True}),
    ((2, 3, 4), {"axis": (0, -1)}),
    ((2, 3), {"axis": ()}),
    ((2, 3, 2), {"axis": (2, 0), "keepdims": True}),
    ((3, 1), {"axis": 1}),
    ((2, 3), {"keepdims": True}),
)
INDICES: list[tuple[Shapes, Any]] = [
    (((5,),), slice(1, None, 2)),
    (((5,),), slice(None, None, -1)),
    (((2, 3),), 1),
    (((2, 3),), (slice(None), -1)),
    (((5,),), np.array([0, 3, 3, 0, 3])),
    (((2, 3),), np.array([[True, False, True], [False, False, True]])),
    (((2, 3),), (None, ..., 1)),
    (((2, 3),), (np.array([0, 1, 0]), np.array([2, 2, 2]))),
    (((3, 4),), (np.array([[0], [2]]), slice(1, 3))),
    (((3,),), np.array([], int)),
    (((),), ()),
    (((2, 3),), ...),
    (((0, 3),), slice(0, 0)),
    (((4,),), [1, 1, -1]),
]

SAMPLES: dict[Any, Sample] = {
    np.add: Sample(TWO),
    np.subtract: Sample(TWO),
    np.multiply: Sample(TWO),
    np.divide: Sample(TWO, (anywhere, away_from_zero)),
    np.power: Sample(TWO, (positive, anywhere)),
    np.negative: Sample(ONE),
    np.positive: Sample(ONE),
    np.exp: Sample(ONE),
    np.log: Sample(ONE, (positive,)),
    np.sqrt: Sample(ONE, (positive,)),
    np.square: Sample(ONE),
    np.tanh: Sample(ONE),
    functions.sigmoid: Sample(ONE),
    np.matmul: Sample(
        calls(
            ((2, 3), (3, 4)),
            ((3, 3), (3, 3)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((5, 2, 3), (5, 3, 4)),
            ((2, 1, 2, 3), (5, 3, 4)),
            ((3,), (5, 3, 4)),
            ((5, 2, 3), (3,)),
            ((1, 1), (1, 1)),
            ((0, 3), (3, 2)),
            ((2, 0), (0, 3)),
        )
    ),
    functions.cross_entropy: Sample(
        calls(((2, 3), (2, 3), {"axis": 1}), ((3,), (3,), {"axis": 0}), ((2, 3, 4), (2, 3, 4), {"axis": 1})),
        (anywhere, probabilities),
    ),
    functions.half_sum_of_squares: Sample(calls(((2, 3), (2, 3)), ((3,), (3,)), ((), ()), ((0, 3), (0, 3)))),
    functions.linear: Sample(
        calls(
            ((5, 3), (2, 3), (2,)),
            ((3,), (2, 3), (2,)),
            ((4, 5, 3), (2, 3), (2,)),
            ((5, 3), (2, 3), ()),
            ((0, 3), (2, 3), (2,)),
            ((0,), (2, 0), (2,)),
            ((4, 5, 0), (2, 0), (2,)),
            ((3, 3), (3, 3), (1,)),
        )
    ),
    np.sum: Sample([*REDUCTIONS, *calls(((0, 3),), ((0, 3), {"axis": 0}))]),
    np.mean: Sample([*REDUCTIONS, *calls(((0, 3), {"axis": 1}))]),
    np.reshape: Sample(
        calls(
            ((2, 3), {"shape": (3, 2)}),
            ((2, 3), {"shape": -1}),
            ((), {"shape": (1, 1)}),
            ((0, 3), {"shape": (3, 0)}),
            ((1,), {"shape": ()}),
        )
    ),
    np.transpose: Sample(
        calls(
            ((2, 3),),
            ((),),
            ((3,), {"axes": 0}),
            ((2, 3, 4), {"axes": (1, 2, 0)}),
            ((2, 2, 2), {"axes": (-1, 0, 1)}),
            ((2, 3, 4), {"axes": [2, 0, -2]}),
            ((0, 3),),
        )
    ),
    np.swapaxes: Sample(
        calls(((2, 3), {"axis1": 0, "axis2": 1}), ((2, 3, 4), {"axis1": 0, "axis2": -1}), ((0, 3), {"axis1": 0, "axis2": 1}))
    ),
    np.expand_dims: Sample(calls(((2, 3), {"axis": 0}), ((2, 3), {"axis": (0, -1)}), ((), {"axis": 0}), ((0,), {"axis": 1}))),
    np.broadcast_to: Sample(
        calls(
            ((3,), {"shape": (2, 3)}),
            ((), {"shape": (2, 2)}),
            ((2, 1), {"shape": (2, 3)}),
            ((1, 3), {"shape": (0, 3)}),
            ((3,), {"shape": 3}),
        )
    ),
    cast: Sample(calls(((2, 3), {"dtype": np.dtype("f8")}), ((), {"dtype": np.dtype("f8")}), ((0,), {"dtype": np.dtype("f8")}))),
    take: Sample([(shapes, {"index": index}) for shapes, index in INDICES]),
    functions.scatter: Sample([((np.zeros(shapes[0])[index].shape, *shapes), {"index": index}) for shapes, index in INDICES]),
}


NEAR: dict[Any, tuple[Draw, ...]] = {  # where the other elementwise functions are smooth
    np.float_power: (positive, anywhere),
    np.remainder: (far, away_from_zero),
    np.fmod: (far, away_from_zero),
    np.reciprocal: (away_from_zero,),
    np.cbrt: (away_from_zero,),
    np.hypot: (away_from_zero,),
    np.log2: (positive,),
    np.log10: (positive,),
    np.log1p: (positive,),
    np.tan: (inside,),
    np.arcsin: (inside,),
    np.arccos: (inside,),
    np.arctan2: (away_from_zero,),
    np.arccosh: (above_one,),
    np.arctanh: (inside,),
    np.absolute: (away_from_zero,),
    np.fabs: (away_from_zero,),
    np.copysign: (away_from_zero,),
    functions.relu: (away_from_zero,),
    functions.leaky_relu: (away_from_zero,),
    functions.elu: (away_from_zero,),
    np.where: (signs, anywhere, anywhere),
    functions.clamp: (anywhere, lambda rng, shape: rng.uniform(-0.7, -0.3, shape), lambda rng, shape: rng.uniform(0.3, 0.7, shape)),
}
SMOOTH = [
    np.exp2,
    np.expm1,
    np.logaddexp,
    np.logaddexp2,
    np.sin,
    np.cos,
    np.arctan,
    np.sinh,
    np.cosh,
    np.arcsinh,
    np.deg2rad,
    np.rad2deg,
    np.radians,
    np.degrees,
    np.sinc,
    np.maximum,
    np.minimum,
    np.fmax,
    np.fmin,
    functions.softplus,
    functions.half_squared_error,
    functions.erf,
    functions.gelu,
    functions.silu,
]
THREE: list[tuple[Shapes, dict[str, Any]]] = [
    (shapes, {}) for shapes in [((), (), ()), ((3,), (3,), (3,)), ((2, 3), (3,), ()), ((3,), (2, 1), (2, 3)), ((0, 3), (3,), (1, 3))]
]
for _function in [*NEAR, *SMOOTH]:
    SAMPLES[_function] = Sample({1: ONE, 2: TWO, 3: THREE}[len(RULES[_function].arguments)], NEAR.get(_function, (anywhere,)))
AXES = calls(((2, 3), {"axis": 0}), ((2, 3), {"axis": -1}), ((3,), {"axis": 0}), ((2, 3, 4), {"axis": 1}))
MATRICES = calls(((2, 2),), ((1, 1),), ((4, 3, 3),))
SAMPLES |= {
    functions.contract: Sample(
        calls(
            ((2, 3), (3, 4), {"spec": "ij,jk->ik"}),
            ((3,), (3,), {"spec": "i,i->"}),
            ((5, 2, 3), (5, 3), {"spec": "bij,bj->bi"}),
            ((2,), (3,), {"spec": "i,j->ij"}),
            ((3, 3), (3, 3), {"spec": "ij,ji->"}),
        )
    ),
    functions.sinc_derivative: Sample([(shapes, {"order": 1}) for shapes, _ in ONE]),
    functions.softmax: Sample(AXES),
    functions.log_softmax: Sample(AXES),
    functions.logsumexp: Sample(REDUCTIONS),
    functions.l2_norm: Sample(REDUCTIONS, (away_from_zero,)),
    np.max: Sample(REDUCTIONS),
    np.min: Sample(REDUCTIONS),
    functions.cumulate: Sample(AXES),
    np.flip: Sample([*AXES, *calls(((2, 3),), ((2, 3), {"axis": (0, 1)}))]),
    np.roll: Sample(
        calls(((5,), {"shift": 2}), ((2, 3), {"shift": -1}), ((2, 3), {"shift": 1, "axis": 1}), ((2, 3), {"shift": (1, 2), "axis": (0, 1)}))
    ),
    functions.pad_zeros: Sample(calls(((3,), {"width": ((1, 2),)}), ((2, 3), {"width": ((0, 1), (2, 0))}))),
    np.linalg.inv: Sample(MATRICES, (regular,)),
    np.linalg.det: Sample(MATRICES, (regular,)),
    functions.log_abs_det: Sample(MATRICES, (regular,)),
    np.linalg.cholesky: Sample(MATRICES, (regular,)),
    functions.solve: Sample(calls(((2, 2), (2, 3)), ((4, 3, 3), (4, 3, 2)), ((3, 3), (4, 3, 2))), (regular, anywhere)),
}


def rules(*kinds: str) -> list[Rule]:
    """The rules of the package's own table, each once."""
    found = {
        id(r): r for f, r in RULES.items() if getattr(f, "__module__", "").startswith(("numpy", "tinygrad_bp")) or isinstance(f, np.ufunc)
    }
    return [r for r in found.values() if (r.kind in kinds if kinds else r.kind != "constant")]


def cases(*kinds: str) -> Iterator[tuple[Any, Shapes, dict[str, Any]]]:
    for rule in rules(*kinds):
        for shapes, params in SAMPLES[rule.function].calls if rule.function in SAMPLES else []:
            yield rule.function, shapes, params


def case_id(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value).replace("array", "").replace("\n", "")


# -- the rungs -----------------------------------------------------------------------------------------------------


def differentiated(rule: Rule) -> list[int]:
    return [i for i, formula in enumerate(rule.formulas) if formula is not None]


def as_function(rule: Rule, arrays: list[Any], params: dict[str, Any]) -> Callable[..., Tensor]:
    """The rule's function of its differentiated arguments alone."""
    places = differentiated(rule)

    def call(*chosen: Any) -> Any:
        inputs = list(arrays)
        for i, x in zip(places, chosen, strict=True):
            inputs[i] = x
        return record(rule, tuple(inputs), params or None)

    return call


def directions(arrays: list[Any], seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(a.shape) for a in arrays]


def dot(us: Any, vs: Any) -> float:
    return float(sum(np.sum(np.asarray(u) * np.asarray(v)) for u, v in zip(us, vs, strict=True)))


def close(a: Any, b: Any, rtol: float) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, float(np.max(np.abs(b), initial=0))))


def check_difference(rule: Rule, shapes: Shapes, params: dict[str, Any]) -> None:
    """Each argument's formula against a central difference of the function itself in a random direction."""
    arrays = SAMPLES[rule.function].arrays(shapes)
    y = rule.function(*arrays, **params)
    u = directions([np.asarray(y)], 1)[0]
    places = differentiated(rule)
    f = as_function(rule, arrays, params)
    _, pullback = vjp(f, *[arrays[i] for i in places])
    for i, gradient in zip(places, pullback(u), strict=True):
        assert gradient.shape == arrays[i].shape
        v, h = directions([arrays[i]], 2 + i)[0], 1e-6
        up, down = ([*arrays[:i], arrays[i] + s * h * v, *arrays[i + 1 :]] for s in (1, -1))
        slope = np.sum(u * (rule.function(*up, **params) - rule.function(*down, **params))) / (2 * h)
        close(dot([gradient], [v]), slope, 1e-6)


def check_identity(rule: Rule, shapes: Shapes, params: dict[str, Any]) -> None:
    """<u, J v> = <J^T u, v>: forward mode, which the kind gives, against the formulas."""
    arrays = SAMPLES[rule.function].arrays(shapes)
    f = as_function(rule, arrays, params)
    chosen = tuple(arrays[i] for i in differentiated(rule))
    vs = tuple(directions(list(chosen), 5))
    y, tangent = jvp(f, chosen, vs)
    u = directions([np.asarray(y)], 6)[0]
    assert np.shape(tangent) == np.shape(y)
    close(dot([u], [tangent]), dot(vjp(f, *chosen)[1](u), vs), 1e-12)


def check_second_order(rule: Rule, shapes: Shapes, params: dict[str, Any]) -> None:
    """The derivative of <J(x)^T u, v> by x, from recorded formulas, against a central difference of the first."""
    arrays = SAMPLES[rule.function].arrays(shapes)
    f = as_function(rule, arrays, params)
    chosen = [arrays[i] for i in differentiated(rule)]
    u = directions([np.asarray(rule.function(*arrays, **params))], 7)[0]
    vs, ws = directions(chosen, 8), directions(chosen, 9)

    def first(*xs: Any) -> Any:
        return sum((np.sum(g * v) for g, v in zip(vjp(f, *xs)[1](u), vs, strict=True)), 0.0 * np.sum(xs[0]))

    _, second = vjp(first, *chosen)
    h = 1e-6
    slope = (
        first(*[x + h * w for x, w in zip(chosen, ws, strict=True)]) - first(*[x - h * w for x, w in zip(chosen, ws, strict=True)])
    ) / (2 * h)
    close(dot(second(1.0), ws), slope, 2e-6)


def gradients(rule: Rule, inputs: list[Any], params: dict[str, Any]) -> tuple[Tensor, list[Tensor]]:
    """The result and the gradients of its sum, through ``backward``."""
    tensors = [Tensor(a, requires_grad=True) if i in differentiated(rule) else a for i, a in enumerate(inputs)]
    y = record(rule, tuple(tensors), params or None)
    y.backward(np.ones_like(y.raw))
    found = [t.grad for t in tensors if isinstance(t, Tensor)]
    assert all(g is not None for g in found), "a gradient is missing"
    return y, found


def check_float32(rule: Rule, shapes: Shapes, params: dict[str, Any]) -> None:
    arrays = SAMPLES[rule.function].arrays(shapes)
    y, grads = gradients(rule, [a.astype(np.float32) for a in arrays], params)
    assert y.dtype == params.get("dtype", np.float64 if rule.function is np.float_power else np.float32)  # which is NumPy's double
    assert all(g.dtype == np.float32 for g in grads)
    for t in (y, *grads):
        assert isinstance(t.raw, np.ndarray | np.generic)
    for g, exact in zip(grads, gradients(rule, list(arrays), params)[1], strict=True):
        close(g.raw, exact.raw, 1e-5)


def check_fake(rule: Rule, shapes: Shapes, params: dict[str, Any]) -> None:
    arrays = SAMPLES[rule.function].arrays(shapes)
    y, grads = gradients(rule, [FakeArray(a) for a in arrays], params)
    assert isinstance(y.raw, FakeArray)
    for g, exact in zip(grads, gradients(rule, list(arrays), params)[1], strict=True):
        assert isinstance(g.raw, FakeArray)
        np.testing.assert_allclose(g.raw.host, exact.raw, rtol=1e-14)  # sigmoid has two forms


RUNGS = (check_difference, check_identity, check_second_order, check_float32)
