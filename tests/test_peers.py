"""The same programs on PyTorch and JAX, in float64: values, gradients, second derivatives, conventions, training.

Run with ``pytest -m peers``; without PyTorch or JAX the comparisons with it are skipped. Where a peer has decided
otherwise at a tie or a kink, the test states both decisions and the reason for ours.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tests.ladder import rules
from tinygrad_bp import functions, nn, optim
from tinygrad_bp.errors import DtypeError
from tinygrad_bp.rule import COMPOSED
from tinygrad_bp.rules import affine, cross_entropy, half_squared_error, half_sum_of_squares
from tinygrad_bp.tensor import cast, take

pytestmark = pytest.mark.peers


def installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


torch, jax = installed("torch"), installed("jax")
if jax:
    jax.config.update("jax_enable_x64", True)
    jnp = importlib.import_module("jax.numpy")
with_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed: pip install torch")
with_jax = pytest.mark.skipif(jax is None, reason="JAX is not installed: pip install jax")

rng = np.random.default_rng(0)


def r(*shape: int) -> Any:
    return rng.normal(size=shape)


def pos(*shape: int) -> Any:
    return rng.uniform(0.5, 2.0, shape)


def unit(*shape: int) -> Any:
    return rng.uniform(-0.9, 0.9, shape)


def spd(n: int, *stack: int) -> Any:
    a = r(*stack, n, n)
    return a @ np.swapaxes(a, -1, -2) + n * np.eye(n)


# -- the table of calls ----------------------------------------------------------------------------------------------


HOLES = [1.0, np.nan, 3.0, 2.5]


def named(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part)
    return module


@dataclass
class Call:
    """One function at one point, in three spellings; ``None`` where the library does not have it."""

    function: Any
    ours: Callable[..., Any]
    torch: Callable[..., Any] | None
    jax: Callable[..., Any] | None
    arrays: Sequence[Any]

    def __str__(self) -> str:
        names = [x if isinstance(x, str) else x.__name__ for x in (self.function if isinstance(self.function, tuple) else (self.function,))]
        return f"{'.'.join(names)}-{'-'.join('x'.join(map(str, np.shape(a))) for a in self.arrays)}"


def call(path: str, *arrays: Any, numpy: Any = None, torch: Any = "", jax: Any = "") -> Call:
    """``numpy(np, *arrays)`` in NumPy's names, which are JAX's too; ``torch(torch, *arrays)``, or another name there.

    Without them, the function of that name is called with the arrays alone.
    """
    plain = numpy or (lambda module, *xs: named(module, path)(*xs))
    there = torch if callable(torch) or torch is None else (lambda t, *xs: named(t, torch or path)(*xs))
    method = path.rpartition(".")
    function = (named(np, method[0]), method[2]) if method[0] and hasattr(named(np, method[0]), "reduce") else named(np, path)
    return Call(
        function,
        lambda *xs: plain(np, *xs),
        there and (lambda *xs: there(globals()["torch"], *xs)),
        None if jax is None else (lambda *xs: (plain if jax == "" else jax)(jnp, *xs)),
        [np.asarray(a, float) for a in arrays],
    )


def own(function: Any, *arrays: Any, ours: Any = None, torch: Any = None, jax: Any = None) -> Call:
    """A function of this package's; ``torch`` and ``jax`` get their module first."""
    return Call(
        function,
        ours or function,
        torch and (lambda *xs: torch(globals()["torch"], *xs)),
        jax and (lambda *xs: jax(globals()["jax"], *xs)),
        [np.asarray(a, float) for a in arrays],
    )


A, B = [0, 1], [1, 0]
CALLS = [
    # arithmetic, broadcast both ways
    *[call(f, r(2, 3), r(3)) for f in ("add", "subtract", "multiply")],
    call("divide", r(2, 1), pos(1, 3)),
    call("power", pos(2, 3), r(3), torch="pow"),
    call("power", r(4), numpy=lambda np, x: np.power(x, 3), torch=lambda t, x: t.pow(x, 3)),
    call("float_power", pos(3), r(3)),
    call("remainder", r(3), [0.7, -0.3, 2.0]),
    call("fmod", r(3), [0.7, -0.3, 2.0]),
    *[call(f, r(2, 3)) for f in ("negative", "positive", "square", "exp", "exp2", "expm1", "sin", "cos", "arctan", "sinh", "cosh", "tanh")],
    *[call(f, pos(3)) for f in ("reciprocal", "sqrt", "log", "log2", "log10", "log1p")],
    call("cbrt", pos(3), torch=lambda t, x: t.pow(x, 1 / 3)),
    call("hypot", r(3), r(2, 1)),
    call("logaddexp", r(2, 3), r(3)),
    call("logaddexp2", r(2, 3), r(3)),
    *[call(f, unit(3)) for f in ("tan", "arcsin", "arccos", "arctanh")],
    call("arcsinh", r(3)),
    call("arccosh", 1 + pos(3)),
    call("arctan2", r(2, 3), r(3)),
    *[call(f, r(3)) for f in ("deg2rad", "rad2deg")],
    call("radians", r(3), torch="deg2rad"),
    call("degrees", r(3), torch="rad2deg"),
    call("sinc", [0.3, 0.5, 1.0, -2.7, 5.0]),
    call("absolute", r(3)),
    call("fabs", r(3), torch="abs"),
    call("copysign", r(3), numpy=lambda np, x: np.copysign(x, -1.0), torch=lambda t, x: t.copysign(x, -1.0)),
    *[call(f, r(2, 3), r(3)) for f in ("maximum", "minimum", "fmax", "fmin")],
    call(
        "where",
        r(3, 3),
        r(3),
        numpy=lambda np, a, b: np.where(np.eye(3) > 0, a, b),
        torch=lambda t, a, b: t.where(t.eye(3) > 0, a, b),
    ),
    call("clip", r(3, 3), numpy=lambda np, a: np.clip(a, -0.5, 0.5), torch=lambda t, a: t.clip(a, -0.5, 0.5)),
    call("clip", r(3, 3), -pos(3), pos(3)),
    call(
        "select",
        r(3, 3),
        r(3, 3),
        numpy=lambda np, a, b: np.select([np.eye(3) > 0, np.tri(3) > 0], [a, b]),
        torch=lambda t, a, b: t.where(t.eye(3) > 0, a, t.where(t.ones(3, 3).tril() > 0, b, 0.0)),
    ),
    call("nan_to_num", r(3)),
    call("conjugate", r(3), torch="conj"),
    call("real", r(3)),
    call("copy", r(3), torch="clone"),
    # activations
    own(tg.sigmoid, [-40.0, -2.0, 0.0, 0.5, 40.0], torch=lambda t, x: t.sigmoid(x), jax=lambda j, x: j.nn.sigmoid(x)),
    own(
        tg.softplus,
        [-40.0, -2.0, 0.0, 0.5, 40.0],
        torch=lambda t, x: t.nn.functional.softplus(x, threshold=50),
        jax=lambda j, x: j.nn.softplus(x),
    ),
    own(
        cross_entropy,
        r(2, 3),
        ours=lambda x: cross_entropy(x, np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]), axis=1),
        torch=lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]], dtype=x.dtype), reduction="none"),
        jax=lambda j, x: -(j.numpy.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]) * j.nn.log_softmax(x)).sum(1),
    ),
    own(
        half_squared_error,
        r(2, 3),
        r(2, 3),
        torch=lambda t, y, x: 0.5 * t.nn.functional.mse_loss(x, y, reduction="none"),
        jax=lambda j, y, x: j.numpy.square(y - x) / 2,
    ),
    own(
        half_sum_of_squares,
        r(2, 3),
        r(2, 3),
        torch=lambda t, y, x: 0.5 * t.nn.functional.mse_loss(x, y, reduction="sum"),
        jax=lambda j, y, x: j.numpy.square(y - x).sum() / 2,
    ),
    own(tg.relu, r(5), torch=lambda t, x: t.relu(x), jax=lambda j, x: j.nn.relu(x)),
    own(tg.leaky_relu, r(5), torch=lambda t, x: t.nn.functional.leaky_relu(x), jax=lambda j, x: j.nn.leaky_relu(x)),
    own(
        tg.leaky_relu,
        r(5),
        ours=lambda x: tg.leaky_relu(x, slope=0.3),
        torch=lambda t, x: t.nn.functional.leaky_relu(x, 0.3),
        jax=lambda j, x: j.nn.leaky_relu(x, 0.3),
    ),
    own(tg.elu, r(5), torch=lambda t, x: t.nn.functional.elu(x), jax=lambda j, x: j.nn.elu(x)),
    own(
        tg.elu,
        r(5),
        ours=lambda x: tg.elu(x, alpha=0.7),
        torch=lambda t, x: t.nn.functional.elu(x, 0.7),
        jax=lambda j, x: j.nn.elu(x, 0.7),
    ),
    own(tg.erf, r(5), torch=lambda t, x: t.erf(x), jax=lambda j, x: j.scipy.special.erf(x)),
    own(tg.gelu, r(5), torch=lambda t, x: t.nn.functional.gelu(x), jax=lambda j, x: j.nn.gelu(x, approximate=False)),
    own(tg.silu, r(5), torch=lambda t, x: t.nn.functional.silu(x), jax=lambda j, x: j.nn.silu(x)),
    own(tg.softmax, r(2, 3), torch=lambda t, x: t.softmax(x, -1), jax=lambda j, x: j.nn.softmax(x)),
    own(tg.softmax, r(2, 3), ours=lambda x: tg.softmax(x, 0), torch=lambda t, x: t.softmax(x, 0), jax=lambda j, x: j.nn.softmax(x, 0)),
    own(tg.log_softmax, 300 * r(2, 3), torch=lambda t, x: t.log_softmax(x, -1), jax=lambda j, x: j.nn.log_softmax(x)),
    own(
        tg.logsumexp,
        r(2, 3, 2),
        ours=lambda x: tg.logsumexp(x, (0, 2), True),
        torch=lambda t, x: t.logsumexp(x, (0, 2), True),
        jax=lambda j, x: j.nn.logsumexp(x, (0, 2), keepdims=True),
    ),
    own(tg.logsumexp, r(4), torch=lambda t, x: t.logsumexp(x, 0), jax=lambda j, x: j.nn.logsumexp(x)),
    # reductions
    *[call(f, r(2, 3)) for f in ("sum", "mean", "prod")],
    *[
        call(f, r(2, 3, 4), numpy=lambda np, a, f=f: named(np, f)(a, (0, 2)), torch=lambda t, a, f=f: named(t, f)(a, (0, 2)))
        for f in ("sum", "mean")
    ],
    call("sum", r(2, 3), numpy=lambda np, a: np.sum(a, -1, keepdims=True), torch=lambda t, a: t.sum(a, -1, keepdim=True)),
    call("prod", r(3, 4), numpy=lambda np, a: np.prod(a, 1), torch=lambda t, a: t.prod(a, 1)),
    call("prod", [[2.0, 0.0, 3.0], [0.0, 0.0, 1.0]], numpy=lambda np, a: np.prod(a, 1), torch=lambda t, a: t.prod(a, 1)),
    *[call(f, r(3, 3)) for f in ("max", "min", "amax", "amin")],
    *[call(f, r(3, 3), numpy=lambda np, a, f=f: named(np, f)(a, 1), torch=lambda t, a, f=f: named(t, f)(a, 1)) for f in ("amax", "amin")],
    call("var", r(3, 3), torch=lambda t, a: t.var(a, correction=0)),
    call("var", r(3, 3), numpy=lambda np, a: np.var(a, 0, ddof=1), torch=lambda t, a: t.var(a, 0, correction=1)),
    call(
        "std",
        r(3, 3),
        numpy=lambda np, a: np.std(a, (0, 1), keepdims=True),
        torch=lambda t, a: t.std(a, (0, 1), correction=0, keepdim=True),
    ),
    call("median", r(3, 3)),
    call("median", r(3, 4), numpy=lambda np, a: np.median(a, 1), torch=lambda t, a: t.quantile(a, 0.5, 1)),
    call("average", r(3, 3), torch="mean"),
    call("average", r(3, 2), pos(3), numpy=lambda np, a, w: np.average(a, 0, weights=w), torch=lambda t, a, w: w @ a / w.sum()),
    call("ptp", r(3, 3), torch=lambda t, a: t.amax(a) - t.amin(a)),
    call("nansum", [1.0, np.nan, 2.0]),
    call("nanmean", [1.0, np.nan, 2.0]),
    call("cumsum", r(5, 2), numpy=lambda np, a: np.cumsum(a, 0), torch=lambda t, a: t.cumsum(a, 0)),
    call("cumsum", r(2, 3), torch=lambda t, a: t.cumsum(a.reshape(-1), 0)),
    call("cumprod", r(5, 2), numpy=lambda np, a: np.cumprod(a, 0), torch=lambda t, a: t.cumprod(a, 0)),
    call("cumprod", [1.5, 0.0, 3.0, 0.0, 2.0], torch=lambda t, a: t.cumprod(a, 0)),
    call("diff", r(3, 5)),
    call("diff", r(4, 2), numpy=lambda np, a: np.diff(a, 2, 0), torch=lambda t, a: t.diff(a, 2, 0)),
    call("trapezoid", r(2, 4), np.sort(r(4))),
    call("trapezoid", r(4)),
    call("add.reduce", r(3, 3), torch=lambda t, a: t.sum(a, 0)),
    call("multiply.reduce", r(3, 3), torch=lambda t, a: t.prod(a, 0)),
    call("maximum.reduce", r(3, 3), torch=lambda t, a: t.amax(a, 0)),
    call("minimum.reduce", r(3, 3), torch=lambda t, a: t.amin(a, 0)),
    call("add.accumulate", r(3, 2), torch=lambda t, a: t.cumsum(a, 0)),
    call("multiply.accumulate", r(3, 2), torch=lambda t, a: t.cumprod(a, 0)),
    call("add.outer", r(3), r(2), torch=lambda t, a, b: a[:, None] + b),
    call("multiply.outer", r(3), r(2), torch="outer"),
    # order
    call("sort", r(3, 4), torch=lambda t, a: t.sort(a).values),
    call("sort", r(3, 4), numpy=lambda np, a: np.sort(a, 0), torch=lambda t, a: t.sort(a, 0).values),
    call("partition", r(6), numpy=lambda np, a: np.partition(a, 2)[2], torch=lambda t, a: t.kthvalue(a, 3).values),
    # products
    call("matmul", r(2, 3), r(3, 4)),
    call("matmul", r(3), r(3)),
    call("matmul", r(3), r(5, 3, 4)),
    call("matmul", r(5, 2, 3), r(3)),
    call("matmul", r(2, 1, 2, 3), r(5, 3, 4)),
    call("dot", r(3), r(3)),
    call("dot", r(2, 3), r(3, 2), torch="matmul"),
    call("dot", r(2, 3), r(4, 3, 2), torch=lambda t, a, b: t.tensordot(a, b, ([1], [1]))),
    call("vdot", r(3), r(3)),
    call("inner", r(2, 3), r(4, 3)),
    call("outer", r(2), r(3)),
    call("linalg.outer", r(2), r(3), torch="outer"),
    call("tensordot", r(2, 3, 4), r(3, 4, 5)),
    call(
        "tensordot",
        r(2, 3, 4),
        r(3, 2, 5),
        numpy=lambda np, a, b: np.tensordot(a, b, (A, B)),
        torch=lambda t, a, b: t.tensordot(a, b, (A, B)),
    ),
    call("linalg.tensordot", r(2, 3, 4), r(3, 4, 5), torch="tensordot"),
    call("kron", r(2, 3), r(2, 2)),
    call("kron", r(3), r(2, 2)),
    call("cross", r(4, 3), r(4, 3), torch="linalg.cross"),
    call("linalg.cross", r(3), r(3)),
    *[
        call("einsum", *arrays, numpy=lambda np, *a, s=s: np.einsum(s, *a), torch=lambda t, *a, s=s: t.einsum(s, *a))
        for s, *arrays in [
            ("ij,jk->ik", r(2, 3), r(3, 4)),
            ("ij,jk,kl", r(2, 3), r(3, 4), r(4, 2)),
            ("ii->i", r(3, 3)),
            ("ii", r(3, 3)),
            ("...ij,...jk->...ik", r(5, 2, 3), r(3, 4)),
            ("ij,kl->k", r(2, 3), r(3, 4)),
            ("iij,jk->ik", r(2, 2, 3), r(3, 4)),
        ]
    ],
    *[
        call(
            "convolve",
            r(5),
            r(3),
            numpy=lambda np, a, b, m=m: np.convolve(a, b, m),
            torch=lambda t, a, b, p=p: t.nn.functional.conv1d(a[None, None], b.flip(0)[None, None], padding=p)[0, 0],
        )
        for m, p in (("full", 2), ("same", 1), ("valid", 0))
    ],
    call("polyval", r(4), r(3), torch=lambda t, p, x: sum(p[i] * x ** (3 - i) for i in range(4))),
    call("linspace", r(), r(), numpy=lambda np, a, b: np.linspace(a, b, 4), torch=lambda t, a, b: a + (b - a) * t.arange(4) / 3),
    # shapes
    *[
        call(f, *arrays, numpy=lambda np, a, f=f, n=n: named(np, f)(a, *n), torch=lambda t, a, g=g or f, n=n: named(t, g)(a, *n))
        for f, g, n, *arrays in [
            ("reshape", "", ((3, 2),), r(2, 3)),
            ("transpose", "permute", ((2, 0, 1),), r(2, 3, 4)),
            ("swapaxes", "", (0, 2), r(2, 3, 4)),
            ("moveaxis", "", (0, -1), r(2, 3, 4)),
            ("expand_dims", "unsqueeze", (1,), r(2, 3)),
            ("squeeze", "", (1,), r(2, 1, 3)),
            ("broadcast_to", "", ((2, 3),), r(3)),
            ("flip", "", ((0, 1),), r(2, 3)),
            ("roll", "", ((1, 2), (0, 1)), r(2, 3)),
            ("rot90", "", (3,), r(2, 3)),
            ("tile", "", ((2, 1, 3),), r(2, 3)),
            ("repeat", "repeat_interleave", (2,), r(3)),
            ("tril", "", (-1,), r(2, 3, 4)),
            ("triu", "", (1,), r(3, 3)),
            ("diag", "", (1,), r(3, 3)),
            ("diag", "", (-1,), r(3)),
            ("diagonal", "", (1, 2, 0), r(3, 2, 4)),
        ]
    ],
    *[call(f, r(2, 3)) for f in ("ravel", "fliplr", "flipud", "diagonal", "atleast_1d", "atleast_3d")],
    call("atleast_2d", r(3)),
    call("matrix_transpose", r(2, 3, 4), torch=lambda t, a: a.mT),
    call("linalg.matrix_transpose", r(2, 3, 4), torch=lambda t, a: a.mT),
    call("linalg.diagonal", r(2, 3, 3), torch=lambda t, a: t.diagonal(a, 0, -2, -1)),
    call("trace", r(3, 3)),
    call("trace", r(2, 3, 4), numpy=lambda np, a: np.trace(a, 1, 1, 2), torch=lambda t, a: t.diagonal(a, 1, 1, 2).sum(-1)),
    call("linalg.trace", r(2, 3, 3), torch=lambda t, a: t.diagonal(a, 0, -2, -1).sum(-1)),
    call("diagflat", r(2, 2)),
    call("rollaxis", r(2, 3, 4), numpy=lambda np, a: np.rollaxis(a, 2), torch=lambda t, a: a.permute(2, 0, 1)),
    call(
        "pad",
        r(2, 3),
        numpy=lambda np, a: np.pad(a, ((1, 2), (0, 1)), constant_values=3.0),
        torch=lambda t, a: t.nn.functional.pad(a, (0, 1, 1, 2), value=3.0),
    ),
    *[
        call(
            "pad",
            r(4),
            numpy=lambda np, a, m=m: np.pad(a, (1, 2), mode=m),
            torch=lambda t, a, m=p: t.nn.functional.pad(a[None, None], (1, 2), mode=m)[0, 0],
        )
        for m, p in (("edge", "replicate"), ("reflect", "reflect"), ("wrap", "circular"))
    ],
    # joining and splitting
    *[
        call(f, *arrays, numpy=lambda np, *a, f=f, n=n: named(np, f)(a, *n), torch=lambda t, *a, f=f, n=n: named(t, f)(a, *n))
        for f, n, *arrays in [
            ("concatenate", (1,), r(2, 3), r(2, 2)),
            ("stack", (-1,), r(2, 3), r(2, 3)),
            ("vstack", (), r(3), r(2, 3)),
            ("hstack", (), r(3), r(2)),
            ("dstack", (), r(3), r(3)),
            ("column_stack", (), r(3), r(3, 2)),
        ]
    ],
    call("append", r(3), r(2, 2), torch=lambda t, a, b: t.cat([a, b.reshape(-1)])),
    call(
        "broadcast_arrays",
        r(3),
        r(2, 1),
        numpy=lambda np, a, b: np.broadcast_arrays(a, b)[0],
        torch=lambda t, a, b: t.broadcast_tensors(a, b)[0],
    ),
    call("meshgrid", r(3), r(2), numpy=lambda np, a, b: np.meshgrid(a, b)[0], torch=lambda t, a, b: t.meshgrid(a, b, indexing="xy")[0]),
    call("array_split", r(7), numpy=lambda np, a: np.array_split(a, 3)[1], torch=lambda t, a: t.tensor_split(a, 3)[1]),
    call("split", r(4, 2), numpy=lambda np, a: np.split(a, [1, 3])[1], torch=lambda t, a: t.tensor_split(a, [1, 3])[1]),
    *[
        call(f, r(4, 2, 2), numpy=lambda np, a, f=f: named(np, f)(a, 2)[1], torch=lambda t, a, f=f: named(t, f)(a, 2)[1])
        for f in ("hsplit", "vsplit", "dsplit")
    ],
    # parts
    call("take", r(2, 3), numpy=lambda np, a: np.take(a, np.array([0, 0, 5])), torch=lambda t, a: t.take(a, t.tensor([0, 0, 5]))),
    call(
        "take_along_axis",
        r(2, 3),
        numpy=lambda np, a: np.take_along_axis(a, np.array([[0, 2], [1, 1]]), 1),
        torch=lambda t, a: t.gather(a, 1, t.tensor([[0, 2], [1, 1]])),
    ),
    call(
        "compress",
        r(2, 3),
        numpy=lambda np, a: np.compress(np.array([True, False, True]), a, 1),
        torch=lambda t, a: a[:, [0, 2]],
        jax=lambda j, a: a[:, np.array([0, 2])],
    ),
    call(
        "extract",
        r(2, 2),
        numpy=lambda np, a: np.extract(np.eye(2) > 0, a),
        torch=lambda t, a: a[t.eye(2) > 0],
        jax=lambda j, a: a[np.eye(2) > 0],
    ),
    # linear algebra
    call("linalg.inv", spd(3)),
    call("linalg.det", r(2, 3, 3)),
    call("linalg.slogdet", r(3, 3), numpy=lambda np, a: np.linalg.slogdet(a)[1], torch=lambda t, a: t.linalg.slogdet(a)[1]),
    call("linalg.solve", spd(3), r(3)),
    call("linalg.solve", spd(3, 2), r(2, 3, 2)),
    call("linalg.matrix_power", spd(3), numpy=lambda np, a: np.linalg.matrix_power(a, -2), torch=lambda t, a: t.linalg.matrix_power(a, -2)),
    call("linalg.matrix_power", r(3, 3), numpy=lambda np, a: np.linalg.matrix_power(a, 5), torch=lambda t, a: t.linalg.matrix_power(a, 5)),
    call(
        "linalg.multi_dot",
        r(2, 3),
        r(3, 4),
        r(4, 2),
        numpy=lambda np, *a: np.linalg.multi_dot(a),
        torch=lambda t, *a: t.linalg.multi_dot(a),
    ),
    # NumPy's cholesky reads the lower triangle; the peers symmetrise, so the comparison is on a symmetrised argument
    call(
        "linalg.cholesky",
        spd(3, 2),
        numpy=lambda np, a: np.linalg.cholesky((a + np.swapaxes(a, -1, -2)) / 2),
        torch=lambda t, a: t.linalg.cholesky((a + a.mT) / 2),
    ),
    *[
        call("linalg.norm", a, numpy=lambda np, a, o=o, x=x: np.linalg.norm(a, o, x), torch=lambda t, a, o=o, x=x: t.linalg.norm(a, o, x))
        for a, o, x in [
            (r(4), None, None),
            (r(3, 2), "fro", None),
            (r(3, 2), 1, None),
            (r(3, 2), -np.inf, None),
            (r(4), 3, None),
            (r(4), np.inf, None),
            (r(3, 2), None, 1),
            (r(2, 3, 4), 1, (0, 2)),
        ]
    ],
    # statistics and more
    *[call(f, HOLES, torch=None) for f in ("nanprod", "nanmax", "nanmin", "nanvar", "nanstd", "nancumsum", "nancumprod")],
    call("quantile", r(3, 4), numpy=lambda np, a: np.quantile(a, 0.3, 1), torch=lambda t, a: t.quantile(a, 0.3, 1)),
    call("percentile", r(5), numpy=lambda np, a: np.percentile(a, 70), torch=lambda t, a: t.quantile(a, 0.7)),
    call("cov", r(3, 5)),
    call("corrcoef", r(3, 5)),
    call("correlate", r(5), r(3), torch=lambda t, a, b: t.nn.functional.conv1d(a[None, None], b[None, None])[0, 0]),
    call("gradient", r(5), torch=lambda t, a: t.gradient(a)[0]),
    call("interp", unit(4), r(3), numpy=lambda np, x, y: np.interp(x, np.array([-1.0, 0.1, 1.0]), y), torch=None),
    call("vecdot", r(2, 3), r(2, 3), torch="linalg.vecdot"),
    call("linalg.vecdot", r(2, 3), r(2, 3)),
    *(
        [call("matvec", r(2, 3, 4), r(4), torch="matmul"), call("vecmat", r(3), r(2, 3, 4), torch="matmul")]
        if hasattr(np, "matvec")
        else []
    ),
    call("linalg.matmul", r(2, 3), r(3, 2)),
    *[call(f, r(4), torch=None) for f in ("polyder", "polyint")],
    call("vander", r(3), torch=lambda t, x: t.linalg.vander(x).flip(1)),
    call(
        "block",
        r(2, 2),
        r(2, 2),
        numpy=lambda np, a, b: np.block([[a, b], [b, a]]),
        torch=lambda t, a, b: t.cat([t.cat([a, b], 1), t.cat([b, a], 1)]),
    ),
    call("delete", r(3, 2), numpy=lambda np, a: np.delete(a, 1, 0), torch=lambda t, a: a[[0, 2]]),
    call("resize", r(2, 3), numpy=lambda np, a: np.resize(a, (2, 5)), torch=None),
    call("unstack", r(2, 3), numpy=lambda np, a: np.unstack(a)[1], torch=lambda t, a: t.unbind(a)[1]),
    call("astype", r(3), numpy=lambda np, a: np.astype(a, np.float64), torch=lambda t, a: a.double()),
    call("linalg.vector_norm", r(2, 3)),
    call("linalg.matrix_norm", r(2, 3, 3)),
    call("linalg.tensorsolve", spd(6).reshape(2, 3, 6), r(2, 3)),
    call(
        "linalg.tensorinv",
        spd(6).reshape(6, 2, 3),
        numpy=lambda np, a: np.linalg.tensorinv(a, 1),
        torch=lambda t, a: t.linalg.tensorinv(a, 1),
    ),
    own(take, r(2, 3), ours=lambda a: a[1, 1:], torch=lambda t, a: a[1, 1:], jax=lambda j, a: a[1, 1:]),
    own(take, r(4), ours=lambda a: a[[0, 0, 3]], torch=lambda t, a: a[[0, 0, 3]], jax=lambda j, a: a[np.array([0, 0, 3])]),
    own(take, r(2, 3), ours=lambda a: a[None, ..., 1], torch=lambda t, a: a[None, ..., 1], jax=lambda j, a: a[None, ..., 1]),
    own(
        functions.linear,
        r(5, 3),
        r(2, 3),
        r(2),
        ours=affine,
        torch=lambda t, *a: t.nn.functional.linear(*a),
        jax=lambda j, x, w, b: x @ w.T + b,
    ),
]

INSIDE = {  # rules that need no call of their own, and the call above that stands for each
    np.heaviside: "where",  # a step: only its value at 0 is differentiated
    np.full_like: "broadcast_to",
    functions.scatter: "a[[0, 0, 3]], twice differentiated",
    functions.sinc_derivative: "sinc",
    functions.clamp: "clip",
    functions.contract: "einsum",
    functions.cumulate: "cumsum",
    functions.l2_norm: "linalg.norm",
    functions.log_abs_det: "linalg.slogdet",
    functions.pad_zeros: "pad",
    functions.solve: "linalg.solve",
    cast: "no derivative of its own",
}


def test_every_function_is_compared() -> None:
    """A new rule or composition needs a call above, so that it meets the peers."""
    compared = {f for c in CALLS for f in (c.function, getattr(c.function, "__wrapped__", None))}
    known = {rule.function for rule in rules()} | {f for f in COMPOSED if not (isinstance(f, tuple) and f[1] == "outer")}
    ours = {f for f in known if getattr(f, "__module__", "").startswith(("numpy", "tinygrad_bp")) or isinstance(f, np.ufunc | tuple)}
    ours = {f for f in ours if getattr(f, "__name__", "") != "<lambda>"}  # doctests declare rules of their own
    assert {str(f) for f in ours - compared - INSIDE.keys()} == set()


# -- values, gradients, second derivatives ---------------------------------------------------------------------------


@dataclass
class Results:
    """y = f(x), the gradients of <u, y>, and those of the gradients along v: Hessian-vector products."""

    value: Any
    gradients: list[Any]
    products: list[Any]


def dot(us: Any, vs: Any) -> Any:
    return sum((u * v).sum() for u, v in zip(us, vs, strict=True))


def with_us(f: Callable[..., Any], arrays: Any, u: Any, vs: Any) -> Results:
    slope = tg.grad(lambda *xs: np.sum(f(*xs) * u), tuple(range(len(arrays))))
    xs = [tg.Tensor(a, requires_grad=True) for a in arrays]
    gs = slope(*xs)
    dot(gs, vs).backward() if any(g.requires_grad for g in gs) else None
    return Results(f(*xs).numpy(), [g.numpy() for g in gs], [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in xs])


def in_torch(f: Callable[..., Any], arrays: Any, u: Any, vs: Any) -> Results:
    xs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = f(*xs)
    options = {"allow_unused": True, "materialize_grads": True}
    gs = torch.autograd.grad((y * torch.tensor(u)).sum(), xs, create_graph=True, **options)
    s = dot(gs, map(torch.tensor, vs))
    second = torch.autograd.grad(s, xs, **options) if s.requires_grad else [torch.zeros_like(x) for x in xs]
    return Results(y.detach().numpy(), [g.detach().numpy() for g in gs], [h.numpy(force=True) for h in second])


def in_jax(f: Callable[..., Any], arrays: Any, u: Any, vs: Any) -> Results:
    slope = jax.grad(lambda *xs: (f(*xs) * u).sum(), tuple(range(len(arrays))))
    both = jax.jit(lambda *xs: (f(*xs), slope(*xs), jax.grad(lambda *zs: dot(slope(*zs), vs), tuple(range(len(arrays))))(*xs)))
    y, gs, second = both(*map(jnp.asarray, arrays))
    return Results(np.asarray(y), list(map(np.asarray, gs)), list(map(np.asarray, second)))


def close(ours: Any, theirs: Any, rtol: float) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * max(1.0, float(np.max(np.abs(theirs), initial=0.0))))


def compare(ours: Results, theirs: Results) -> None:
    close(ours.value, theirs.value, 1e-13)
    for a, b in zip(ours.gradients, theirs.gradients, strict=True):
        close(a, b, 1e-11)
    for a, b in zip(ours.products, theirs.products, strict=True):
        close(a, b, 1e-9)


def cotangents(c: Call) -> tuple[Any, Any]:
    draw = np.random.default_rng(3)
    y = np.asarray(c.ours(*c.arrays))
    return np.asarray(draw.normal(size=y.shape)), [np.asarray(draw.normal(size=a.shape)) for a in c.arrays]


@with_torch
@pytest.mark.parametrize("c", [c for c in CALLS if c.torch], ids=str)
def test_torch_agrees(c: Call) -> None:
    compare(with_us(c.ours, c.arrays, *cotangents(c)), in_torch(c.torch, c.arrays, *cotangents(c)))  # type: ignore[arg-type]


@with_jax
@pytest.mark.parametrize("c", [c for c in CALLS if c.jax], ids=str)
def test_jax_agrees(c: Call) -> None:
    compare(with_us(c.ours, c.arrays, *cotangents(c)), in_jax(c.jax, c.arrays, *cotangents(c)))  # type: ignore[arg-type]


# -- conventions at ties and kinks -----------------------------------------------------------------------------------

NAN, INF = np.nan, np.inf
WEIGHTS = np.array([1.0, 2.0, 3.0])


@dataclass
class Kink:
    """Gradients of the sum of f at a point without a derivative: ours, and the peers', as they have decided."""

    name: str
    ours: Callable[..., Any]
    torch: Callable[..., Any]
    jax: Callable[..., Any]
    x: list[float]
    gradient: list[float]
    torch_gradient: list[float] | None = None  # where it is another than ours
    jax_gradient: list[float] | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        assert self.reason or self.torch_gradient is self.jax_gradient is None, "a difference needs a reason"

    def __str__(self) -> str:
        return self.name


ZERO = "the derivative at 0 is 0, as NumPy's sign says; JAX takes that from the right"
MINIMUM = "0 is a subgradient at the minimum, and NaN would poison a training run; JAX leaves 0/0"
KINKS = [
    Kink("relu", tg.relu, lambda t, x: t.relu(x), lambda j, x: j.nn.relu(x), [0.0], [0.0]),
    Kink("elu", tg.elu, lambda t, x: t.nn.functional.elu(x), lambda j, x: j.nn.elu(x), [0.0], [1.0]),
    Kink(
        "leaky_relu",
        tg.leaky_relu,
        lambda t, x: t.nn.functional.leaky_relu(x),
        lambda j, x: j.nn.leaky_relu(x),
        [0.0],
        [0.01],
        jax_gradient=[1.0],
        reason="that of the flat side, as for relu and as in PyTorch",
    ),
    Kink("abs", np.abs, lambda t, x: t.abs(x), lambda j, x: j.numpy.abs(x), [0.0], [0.0], jax_gradient=[1.0], reason=ZERO),
    Kink("max", np.max, lambda t, x: t.max(x), lambda j, x: j.numpy.max(x), [1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
    Kink("amin", np.min, lambda t, x: t.amin(x), lambda j, x: j.numpy.min(x), [1.0, 2.0, 1.0], [0.5, 0.0, 0.5]),
    Kink(
        "maximum",
        lambda x: np.maximum(x, 1.0),
        lambda t, x: t.maximum(x, t.ones_like(x)),
        lambda j, x: j.numpy.maximum(x, 1.0),
        [1.0],
        [0.5],
    ),
    Kink(
        "minimum",
        lambda x: np.minimum(x, 1.0),
        lambda t, x: t.minimum(x, t.ones_like(x)),
        lambda j, x: j.numpy.minimum(x, 1.0),
        [1.0],
        [0.5],
    ),
    Kink(
        "fmax",
        lambda x: np.fmax(x, 1.0),
        lambda t, x: t.fmax(x, t.ones_like(x)),
        lambda j, x: j.numpy.fmax(x, 1.0),
        [1.0, NAN],
        [0.5, 0.0],
        [1.0, 0.0],
        [0.0, 0.0],
        "equal shares, as for maximum; the peers give all to one side, each to another",
    ),
    Kink(
        "clip",
        lambda x: np.clip(x, -1, 1),
        lambda t, x: t.clip(x, -1, 1),
        lambda j, x: j.numpy.clip(x, -1, 1),
        [-1.0, 1.0, 2.0],
        [1.0, 1.0, 0.0],
        jax_gradient=[0.5, 0.5, 0.0],
        reason="a value at its bound is inside, as in PyTorch; JAX's clip is a maximum and a minimum",
    ),
    Kink(
        "sort",
        lambda x: np.sort(x) * WEIGHTS,
        lambda t, x: t.sort(x, stable=True).values * t.tensor(WEIGHTS),
        lambda j, x: j.numpy.sort(x) * WEIGHTS,
        [2.0, 1.0, 1.0],
        [3.0, 1.0, 2.0],
    ),
    Kink("median", np.median, lambda t, x: t.quantile(x, 0.5), lambda j, x: j.numpy.median(x), [1.0, 1.0, 1.0, 2.0], [0.0, 0.5, 0.5, 0.0]),
    Kink("ptp", np.ptp, lambda t, x: t.amax(x) - t.amin(x), lambda j, x: j.numpy.ptp(x), [1.0, 1.0], [0.0, 0.0]),
    Kink(
        "norm",
        np.linalg.norm,
        lambda t, x: t.linalg.norm(x),
        lambda j, x: j.numpy.linalg.norm(x),
        [0.0, 0.0],
        [0.0, 0.0],
        jax_gradient=[NAN, NAN],
        reason=MINIMUM,
    ),
    Kink(
        "norm of order 3",
        lambda x: np.linalg.norm(x, 3),
        lambda t, x: t.linalg.norm(x, 3),
        lambda j, x: j.numpy.linalg.norm(x, 3),
        [0.0, 0.0],
        [0.0, 0.0],
        jax_gradient=[NAN, NAN],
        reason=MINIMUM,
    ),
    Kink(
        "norm of order 1",
        lambda x: np.linalg.norm(x, 1),
        lambda t, x: t.linalg.norm(x, 1),
        lambda j, x: j.numpy.linalg.norm(x, 1),
        [0.0, -1.0],
        [0.0, -1.0],
        jax_gradient=[1.0, -1.0],
        reason=ZERO,
    ),
    Kink(
        "norm of order inf",
        lambda x: np.linalg.norm(x, INF),
        lambda t, x: t.linalg.norm(x, INF),
        lambda j, x: j.numpy.linalg.norm(x, INF),
        [1.0, -1.0],
        [0.5, -0.5],
    ),
    Kink(
        "std",
        np.std,
        lambda t, x: t.std(x, correction=0),
        lambda j, x: j.numpy.std(x),
        [1.0, 1.0],
        [0.0, 0.0],
        jax_gradient=[NAN, NAN],
        reason=MINIMUM,
    ),
    Kink(
        "hypot",
        lambda x: np.hypot(x, 0.0),
        lambda t, x: t.hypot(x, t.zeros_like(x)),
        lambda j, x: j.numpy.hypot(x, 0.0),
        [0.0],
        [0.0],
        [NAN],
        [0.5],
        "the same as the norm of the two; PyTorch leaves 0/0, JAX a share of a maximum",
    ),
    Kink("square of 0", lambda x: x**2.0, lambda t, x: x**2.0, lambda j, x: x**2.0, [0.0], [0.0]),
    Kink("first power of 0", lambda x: x**1.0, lambda t, x: x**1.0, lambda j, x: x**1.0, [0.0], [1.0]),
    Kink(
        "zeroth power of 0",
        lambda x: np.power(x, np.zeros(1)),
        lambda t, x: t.pow(x, t.zeros(1)),
        lambda j, x: j.numpy.power(x, np.zeros(1)),
        [0.0],
        [0.0],
        jax_gradient=[NAN],
        reason="x**0 is 1 for every x, so its derivative is 0; JAX computes 0 * 0**-1",
    ),
    Kink("powers of 0", lambda x: np.power(0.0, x), lambda t, x: t.pow(0.0, x), lambda j, x: j.numpy.power(0.0, x), [2.0, 0.0], [0.0, 0.0]),
    Kink("sinc", np.sinc, lambda t, x: t.sinc(x), lambda j, x: j.numpy.sinc(x), [0.0], [0.0]),
    Kink(
        "remainder", lambda x: np.remainder(x, 1.0), lambda t, x: t.remainder(x, 1.0), lambda j, x: j.numpy.remainder(x, 1.0), [2.0], [1.0]
    ),
    Kink("logsumexp", tg.logsumexp, lambda t, x: t.logsumexp(x, 0), lambda j, x: j.nn.logsumexp(x), [-INF, 0.0], [0.0, 1.0]),
    Kink("sigmoid", tg.sigmoid, lambda t, x: t.sigmoid(x), lambda j, x: j.nn.sigmoid(x), [-800.0, 800.0], [0.0, 0.0]),
    Kink("softplus", tg.softplus, lambda t, x: t.nn.functional.softplus(x), lambda j, x: j.nn.softplus(x), [-800.0, 800.0], [0.0, 1.0]),
]


@pytest.mark.parametrize("kink", KINKS, ids=str)
def test_conventions(kink: Kink) -> None:
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(kink.ours(x)))(np.array(kink.x)), kink.gradient)


@with_torch
@pytest.mark.parametrize("kink", KINKS, ids=str)
def test_conventions_of_torch(kink: Kink) -> None:
    x = torch.tensor(kink.x, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(kink.torch(torch, x).sum(), x)
    np.testing.assert_array_equal(g, kink.gradient if kink.torch_gradient is None else kink.torch_gradient)


@with_jax
@pytest.mark.parametrize("kink", KINKS, ids=str)
def test_conventions_of_jax(kink: Kink) -> None:
    g = jax.grad(lambda x: kink.jax(jax, x).sum())(np.array(kink.x))
    np.testing.assert_array_equal(g, kink.gradient if kink.jax_gradient is None else kink.jax_gradient)


def test_second_derivatives_at_a_minimum_are_not_invented() -> None:
    """The first derivative at 0 is 0 by convention, and so is the second: not that of x itself."""
    for f in (np.linalg.norm, lambda x: np.linalg.norm(x, 3), np.std, lambda x: np.hypot(x[0], x[1])):
        np.testing.assert_array_equal(tg.hessian(f)(np.zeros(2)), np.zeros((2, 2)))


def test_sinc_is_better_than_the_peers_near_zero() -> None:
    """PyTorch's second derivative is NaN at 0, JAX's is 201 at 1e-9; the series gives -pi^2/3."""
    second = tg.grad(lambda z: np.sum(tg.grad(lambda x: np.sum(np.sinc(x)))(z)))(np.array([0.0, 1e-9]))
    np.testing.assert_allclose(second, -(np.pi**2) / 3, rtol=1e-14)


# -- random programs -------------------------------------------------------------------------------------------------


def later(path: str) -> Callable[..., Any]:
    """A function of PyTorch's, looked up when it is called: it may not be installed."""

    def run(*xs: Any) -> Any:
        return named(torch, path)(*xs)

    return run


STEPS: list[tuple[int, Callable[..., Any], Callable[..., Any]]] = [  # arguments, in ours, in torch's; (2, 3) to (2, 3)
    (2, lambda a, b: a + b, lambda a, b: a + b),
    (2, lambda a, b: a - 2 * b, lambda a, b: a - 2 * b),
    (2, lambda a, b: a * b, lambda a, b: a * b),
    (2, lambda a, b: a / (1 + b * b), lambda a, b: a / (1 + b * b)),
    (2, lambda a, b: a @ b.T @ a / 4, lambda a, b: a @ b.T @ a / 4),
    (2, np.maximum, later("maximum")),
    (2, lambda a, b: np.hypot(a, 1 + b * b), lambda a, b: torch.hypot(a, 1 + b * b)),
    (2, lambda a, b: np.where(a.numpy() > 0, a, b), lambda a, b: torch.where(a > 0, a, b)),
    (2, lambda a, b: np.concatenate([a, b])[1:3], lambda a, b: torch.cat([a, b])[1:3]),
    (1, np.tanh, later("tanh")),
    (1, tg.sigmoid, later("sigmoid")),
    (1, tg.softmax, lambda a: torch.softmax(a, -1)),
    (1, tg.gelu, later("nn.functional.gelu")),
    (1, lambda a: np.log1p(np.exp(-a * a)), lambda a: torch.log1p(torch.exp(-a * a))),
    (1, lambda a: np.sqrt(1 + np.square(a)), lambda a: torch.sqrt(1 + torch.square(a))),
    (1, lambda a: a - np.mean(a, axis=0), lambda a: a - a.mean(0)),
    (1, lambda a: np.sum(a, axis=1, keepdims=True) * a / 3, lambda a: a.sum(1, keepdim=True) * a / 3),
    (1, lambda a: a / (1 + np.std(a)), lambda a: a / (1 + a.std(correction=0))),
    (1, lambda a: a[:, [2, 0, 0]], lambda a: a[:, [2, 0, 0]]),
    (1, lambda a: a.T.reshape(2, 3), lambda a: a.T.reshape(2, 3)),
    (1, lambda a: np.cumsum(a, axis=1) / 2, lambda a: torch.cumsum(a, 1) / 2),
    (1, lambda a: np.einsum("ij,ik->jk", a, a)[:2] / 3, lambda a: torch.einsum("ij,ik->jk", a, a)[:2] / 3),
]

PROGRAMS = st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=10)


def run_program(program: Any, start: Any, which: int) -> Any:
    """Each step reads two of the values so far and adds one: fan-out and diamonds come by themselves."""
    values = list(start)
    for step, i, j in program:
        n, *spellings = STEPS[step]
        values.append(spellings[which](*[values[k % len(values)] for k in (i, j)[:n]]))
    return sum((v * v).sum() for v in values[-2:])


@with_torch
@settings(max_examples=150, deadline=None)
@given(program=PROGRAMS, seed=st.integers(0, 2**32 - 1))
def test_random_programs(program: Any, seed: int) -> None:
    arrays = [np.random.default_rng(seed).normal(size=(2, 3)) for _ in range(2)]
    direction = np.random.default_rng(seed + 1).normal(size=(2, 3))
    ours = [tg.Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = run_program(program, ours, 0), run_program(program, theirs, 1)
    close(y.item(), z.item(), 1e-11)
    y.backward()
    expected = torch.autograd.grad(z, theirs, create_graph=True, allow_unused=True, materialize_grads=True)
    for x, g in zip(ours, expected, strict=True):
        close(np.zeros(x.shape) if x.grad is None else x.grad, g.detach(), 1e-10)
    s = sum((g * torch.tensor(direction)).sum() for g in expected)
    second = torch.autograd.grad(s, theirs, allow_unused=True, materialize_grads=True) if s.requires_grad else expected
    products = tg.grad(lambda *xs: dot(tg.grad(lambda *zs: run_program(program, zs, 0), (0, 1))(*xs), [direction] * 2), (0, 1))(*arrays)
    for p, h in zip(products, second, strict=True):
        close(p, h.numpy(force=True) if s.requires_grad else np.zeros((2, 3)), 1e-8)


# -- networks --------------------------------------------------------------------------------------------------------


def twins(*sizes: int) -> tuple[Any, Any]:
    """The same network twice, the peer's loaded strictly from our state_dict."""
    steps = list(itertools.pairwise(sizes))
    model = nn.Sequential(*[layer for i, (n, m) in enumerate(steps) for layer in (nn.Linear(n, m, rng=i), (nn.Sigmoid, nn.Tanh)[i % 2]())])
    peer = torch.nn.Sequential(
        *[layer for i, (n, m) in enumerate(steps) for layer in (torch.nn.Linear(n, m), (torch.nn.Sigmoid, torch.nn.Tanh)[i % 2]())]
    ).double()
    peer.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()}, strict=True)
    return model, peer


def batch(n: int, m: int) -> tuple[Any, Any]:
    draw = np.random.default_rng(5)
    return draw.normal(size=(7, n)), draw.uniform(size=(7, m))


@with_torch
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_and_gradients_of_a_network(reduction: str) -> None:
    model, peer = twins(4, 5, 3)
    x, target = batch(4, 3)
    loss = nn.MSELoss(reduction)(model(x), target)
    expected = torch.nn.MSELoss(reduction=reduction)(peer(torch.tensor(x)), torch.tensor(target))
    close(loss.numpy(), expected.detach(), 1e-14)
    seed = np.random.default_rng(6).normal(size=loss.shape) if loss.ndim else None
    loss.backward(seed)
    expected.backward(None if seed is None else torch.tensor(seed))
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in peer.named_parameters()]
    for p, q in zip(model.parameters(), peer.parameters(), strict=True):
        close(p.grad, q.grad, 1e-13)


@with_torch
def test_weights_travel_back() -> None:
    model, _ = twins(4, 5, 3)
    _, peer = twins(4, 5, 3)
    with torch.no_grad():
        for q in peer.parameters():
            q.add_(torch.randn(q.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    model.load_state_dict(peer.state_dict())
    x, _ = batch(4, 3)
    close(model(x).numpy(), peer(torch.tensor(x)).detach(), 1e-14)
    assert all(p.dtype == np.float64 for p in model.parameters())
    model.load_state_dict(peer.float().state_dict())
    assert all(p.dtype == np.float32 for p in model.parameters())


@with_torch
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_twenty_updates(momentum: float) -> None:
    model, peer = twins(3, 6, 2)
    x, target = batch(3, 2)
    ours, theirs = optim.SGD(model.parameters(), lr=0.3, momentum=momentum), torch.optim.SGD(peer.parameters(), lr=0.3, momentum=momentum)
    start = model.state_dict()
    for _ in range(20):
        ours.zero_grad()
        theirs.zero_grad()
        loss = nn.MSELoss()(model(x), target)
        expected = torch.nn.MSELoss()(peer(torch.tensor(x)), torch.tensor(target))
        loss.backward()
        expected.backward()
        ours.step()
        theirs.step()
        close(loss.item(), expected.item(), 1e-13)
        for p, q in zip(model.parameters(), peer.parameters(), strict=True):
            close(p.numpy(), q.detach(), 1e-13)
    assert all(np.max(np.abs(value - start[name])) > 1e-3 for name, value in model.state_dict().items())


@with_torch
def test_a_parameter_without_gradient_keeps_its_velocity() -> None:
    w, v = tg.Tensor([1.0], requires_grad=True), torch.ones(1, dtype=torch.float64, requires_grad=True)
    ours, theirs = optim.SGD([w], lr=0.1, momentum=0.5), torch.optim.SGD([v], lr=0.1, momentum=0.5)
    for used in (True, False, True):
        ours.zero_grad()
        theirs.zero_grad()
        if used:
            (w * w).sum().backward()
            (v * v).sum().backward()
        ours.step()
        theirs.step()
        close(w.numpy(), v.detach(), 1e-15)


# -- .grad, broadcasting, integers -----------------------------------------------------------------------------------


@with_torch
def test_a_second_backward_adds_to_the_leaves() -> None:
    ours, theirs = tg.Tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y, z = (ours * ours * ours).sum(), (theirs * theirs * theirs).sum()
    for _ in range(3):
        y.backward()
        z.backward(retain_graph=True)
        np.testing.assert_array_equal(ours.grad, theirs.grad)
    ours.zero_grad()
    theirs.grad = None
    (2 * y).backward(3.0)
    (2 * z).backward(torch.tensor(3.0, dtype=torch.float64), retain_graph=True)
    np.testing.assert_array_equal(ours.grad, theirs.grad)
    y.backward(retain_graph=False)
    z.backward()
    np.testing.assert_array_equal(ours.grad, theirs.grad)
    for again in (y.backward, z.backward):
        with pytest.raises(RuntimeError, match="freed"):
            again()


@with_torch
@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (3,)), ((3,), (2, 1, 3)), ((2, 1), (1, 3)), ((), (2, 2)), ((0, 3), (1, 3)), ((1,), ()), ((4, 1, 1), (3, 1))]
)
@pytest.mark.parametrize("operator", ["__add__", "__sub__", "__mul__", "__truediv__"])
def test_broadcasting(a: tuple[int, ...], b: tuple[int, ...], operator: str) -> None:
    arrays = [pos(*a), pos(*b)]
    results = []
    for make in (lambda x: tg.Tensor(x, requires_grad=True), lambda x: torch.tensor(x, requires_grad=True)):
        xs = [make(x) for x in arrays]
        y = getattr(xs[0], operator)(xs[1])
        (y * y).sum().backward()
        results.append([np.asarray(v.detach()) for v in (y, *(x.grad for x in xs))])
    for x, y in zip(*results, strict=True):
        close(x, y, 1e-14)


@with_torch
def test_integers_have_no_gradient_in_either() -> None:
    with pytest.raises(RuntimeError, match="floating point"):
        torch.tensor([1, 2], requires_grad=True)
    with pytest.raises(DtypeError, match="floating-point"):
        tg.Tensor(np.array([1, 2]), requires_grad=True)
    w, v = tg.Tensor([0.5, 1.5], requires_grad=True), torch.tensor([0.5, 1.5], dtype=torch.float64, requires_grad=True)
    (w * np.array([1, 2])).sum().backward()  # as constants they are welcome
    (v * torch.tensor([1, 2])).sum().backward()
    np.testing.assert_array_equal(w.grad, v.grad)
