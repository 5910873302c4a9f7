"""Arrays of other libraries: NumPy's numbers, computed where the arrays are, and nothing converted on the way."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tests import ladder
from tests.fake_array import FakeArray
from tests.test_docs import ROOT, blocks, visible
from tinygrad_bp import Tensor, functions, grad, jvp, nn, optim
from tinygrad_bp.errors import DtypeError, InPlaceError, ShapeError
from tinygrad_bp.rule import RULES
from tinygrad_bp.worked import step_by_step

WITHOUT = {
    name: pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f'needs {name}: pip install "tinygrad_bp[dask]"')
    for name in ("dask", "distributed")
}


def needs_dask(test: Any) -> Any:
    return pytest.mark.peers(WITHOUT["dask"](test))


def needs_distributed(test: Any) -> Any:
    return pytest.mark.peers(WITHOUT["distributed"](test))


RNG = np.random.default_rng(0)
SAMPLES, TARGETS = RNG.standard_normal((12, 2)), RNG.uniform(size=(12, 2))


@dataclass(frozen=True)
class Library:
    """How arrays come to a library and back, and the class that they have there."""

    put: Callable[[Any], Any]
    bring: Callable[[Any], Any]
    kind: type

    def same(self, far: Any, near: Any, rtol: float = 1e-13) -> None:
        """An array that stayed there, and holds the numbers that NumPy has here."""
        assert isinstance(far, self.kind)
        np.testing.assert_allclose(self.bring(far), near, rtol=rtol, atol=1e-15)


FAKE = Library(FakeArray, lambda x: x.host, FakeArray)


@pytest.fixture
def dask_library() -> Iterator[Library]:
    """Dask, with a scheduler that fails: whatever computes without being asked to is found."""
    import dask
    import dask.array as da

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a dask array was computed on the way")

    def put(x: Any) -> Any:
        x = np.asarray(x)
        return da.from_array(x, chunks=tuple(max(1, (n + 2) // 3) for n in x.shape))  # up to three chunks along each axis

    with dask.config.set(scheduler=refuse):
        yield Library(put, lambda x: x.compute(scheduler="sync"), da.Array)


@pytest.fixture(params=["fake", pytest.param("dask", marks=[pytest.mark.peers, WITHOUT["dask"]])])
def library(request: pytest.FixtureRequest) -> Library:
    return FAKE if request.param == "fake" else request.getfixturevalue("dask_library")


# -- the worked example --------------------------------------------------------------------------------------------------


def step(put: Callable[[Any], Any], x: Any, t: Any, put_weights: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """One training step of the worked example's network with momentum: everything it computes, by name."""
    model = step_by_step.network()
    for p in model.parameters():
        p.data = (put_weights or put)(p.numpy())
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    x, t = Tensor(put(x)), Tensor(put(t))
    net_h = model[0](x)
    out_h = model[1](net_h)
    out_o = model[3](model[2](out_h))
    loss = nn.HalfSquaredError()(out_o, t)
    loss.backward()
    found = {"loss": loss.data, "out_o": out_o.data, "delta_h": net_h.grad.data, "d_out_h": out_h.grad.data}
    found |= {f"grad {name}": p.grad.data for name, p in model.named_parameters()}
    optimizer.step()
    return found | {name: p.raw for name, p in model.named_parameters()}


@pytest.mark.parametrize(("x", "t"), [(step_by_step.INPUT, step_by_step.TARGET), (SAMPLES, TARGETS)], ids=["one sample", "batch"])
def test_a_training_step(library: Library, x: Any, t: Any) -> None:
    near = step(np.asarray, x, t)
    for name, far in step(library.put, x, t).items():
        library.same(far, near[name])


def test_the_printed_figures_of_the_document(library: Library) -> None:
    far = step(library.put, step_by_step.INPUT, step_by_step.TARGET)
    assert f"{library.bring(far['loss']):.9f}" == step_by_step.FORWARD["E_total"]
    assert f"{library.bring(far['grad 2.weight'])[0, 0]:.9f}" == step_by_step.GRADIENTS["w5"]
    assert f"{library.bring(far['grad 0.weight'])[0, 0]:.9f}" == step_by_step.GRADIENTS["w1"]


def energy(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, t: Any) -> Any:
    """The same network as a function of its weights."""
    return np.sum(np.square(tg.sigmoid(tg.sigmoid(x @ np.transpose(w1) + b1) @ np.transpose(w2) + b2) - t)) / 2


def curvature(w1: Any, v: Any, *rest: Any) -> Any:
    """The Hessian by the first layer's weights, times v: reverse over reverse."""
    return grad(lambda w: np.sum(grad(energy)(w, *rest) * v))(w1)


def test_second_derivatives(library: Library) -> None:
    near = [*map(np.asarray, step_by_step.WEIGHTS.values()), SAMPLES, TARGETS]
    v = np.array([[1.0, -2.0], [0.5, 3.0]])
    far = list(map(library.put, near))
    expected = curvature(near[0], v, *near[1:])
    library.same(curvature(far[0], library.put(v), *far[1:]), expected, 1e-11)
    forward_over_reverse = jvp(lambda w: grad(energy)(w, *far[1:]), (far[0],), (library.put(v),))[1]
    library.same(forward_over_reverse, expected, 1e-11)
    eps = 1e-6
    slope = (grad(energy)(near[0] + eps * v, *near[1:]) - grad(energy)(near[0] - eps * v, *near[1:])) / (2 * eps)
    np.testing.assert_allclose(expected, slope, rtol=1e-7)


# -- the table of rules, and functions made of them ------------------------------------------------------------------------

UNEVEN = "dask merges and splits whole axes only"
LINEAR_ALGEBRA = "dask needs SciPy for it, or has it not"
JOINT = "dask takes one index array at a time"
DASK_LACKS: dict[Any, str] = {
    np.linalg.inv: LINEAR_ALGEBRA,
    np.linalg.det: LINEAR_ALGEBRA,
    np.linalg.cholesky: LINEAR_ALGEBRA,
    functions.solve: LINEAR_ALGEBRA,
    functions.log_abs_det: LINEAR_ALGEBRA,
}


def dask_lacks(function: Any, params: dict[str, Any], shapes: Any) -> str | None:
    """Why dask cannot do a call of the table, or nothing."""
    index = params.get("index")
    if isinstance(index, tuple) and any(np.ndim(i) > 1 or (np.ndim(i) == 1 and len(index) > 1) for i in index if i is not ...):
        return JOINT
    if isinstance(index, np.ndarray) and index.ndim > 1:
        return JOINT
    if function is np.reshape and params["shape"] in ((3, 2), (3, 0)):
        return UNEVEN
    if function is np.broadcast_to and params["shape"] == 3:
        return "dask wants a tuple"
    return DASK_LACKS.get(function)


@needs_dask
@pytest.mark.filterwarnings("default")  # dask's own, on what it divides by
@pytest.mark.parametrize(("function", "shapes", "params"), list(ladder.cases()), ids=ladder.case_id)
def test_every_rule_on_dask(dask_library: Library, function: Any, shapes: Any, params: Any) -> None:
    if reason := dask_lacks(function, params, shapes):
        pytest.skip(reason)
    rule, arrays = RULES[function], ladder.SAMPLES[function].arrays(shapes)
    y, grads = ladder.gradients(rule, list(map(dask_library.put, arrays)), params)
    near, near_grads = ladder.gradients(rule, list(arrays), params)
    dask_library.same(y.raw, near.raw, 1e-12)
    for far, g in zip(grads, near_grads, strict=True):
        dask_library.same(far.raw, g.raw, 1e-10)


A, V = RNG.standard_normal((4, 3)), RNG.standard_normal(6)
PARTS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "slice": (lambda x: x[1:, ::2], A),
    "backwards": (lambda x: x[::-2], V),
    "integer": (lambda x: x[1] * x[-1], A),
    "new axis": (lambda x: x[:, None, 1], A),
    "ellipsis": (lambda x: x[..., 1:], A),
    "integers": (lambda x: x[[3, 0, 1]], A),
    "repeats": (lambda x: x[:, [0, 2, 2, 2]], A),
    "none": (lambda x: x[2:2], A),
    "mask": (lambda x: x[np.array([True, False, True, True])], A),
    "take": (lambda x: np.take(x, [0, 2], 1), A),
    "concatenate": (lambda x: np.concatenate([x, x[:1]], 0), A),
    "stack": (lambda x: np.stack([x, x * x], 1), A),
    "split": (lambda x: np.split(x, 2)[1], A),
    "pad": (lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0), A),
    "pad by edges": (lambda x: np.pad(x, 1, mode="edge"), A),
    "roll": (lambda x: np.roll(x, 2), V),
    "roll two axes": (lambda x: np.roll(x, (1, -1), (0, 1)), A),
    "ravel": (np.ravel, A),
    "reshape": (lambda x: x.reshape(-1), A),
    "diff": (np.diff, A),
    "cumprod": (lambda x: np.cumprod(x, 0), A),
    "prod": (lambda x: np.prod(x, axis=0), A),
    "tril": (np.tril, A),
    "triu": (lambda x: np.triu(x, 1), A),
    "std": (lambda x: np.std(x, axis=0, ddof=1), A),
    "clip": (lambda x: np.clip(x, -0.5, 0.5), A),
    "nan_to_num": (np.nan_to_num, A),
    "einsum": (lambda x: np.einsum("ij,kj->ik", x, x), A),
    "take a number": (lambda x: x * np.take(x, 1), V),
    "cumsum": (lambda x: np.cumsum(x, 0), A),
    "average": (lambda x: np.average(x, 1, x[0] * x[0]), A),
    "nanmax": (lambda x: x * np.nanmax(x, axis=0), A),
    "nanvar": (lambda x: np.nanvar(x, axis=1, ddof=1) ** 2, A),
    "heaviside": (lambda x: np.heaviside(0.0, x) * np.heaviside(x, x), A),
    "norm": (lambda x: np.linalg.norm(x, 3, axis=0), A),
    "cross": (lambda x: np.cross(x, x * x), A),
    "matrix_power": (lambda x: x * np.linalg.matrix_power(x.T @ x, 2)[0], A),
    "softmax": (lambda x: tg.softmax(x, axis=-1), A),
    "logsumexp": (lambda x: tg.logsumexp(x, axis=0), A),
}


def to_second_order(f: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    first = grad(lambda x: np.sum(np.square(f(x))))
    return first(x), grad(lambda x: np.sum(first(x) * x))(x)


@pytest.mark.parametrize("name", PARTS)
def test_functions_of_parts_to_second_order(library: Library, name: str) -> None:
    f, x = PARTS[name]
    for far, near in zip(to_second_order(f, library.put(x)), to_second_order(f, x), strict=True):
        library.same(far, near, 1e-10)


JOINTLY: dict[str, Any] = {
    "pairs": ([0, 3, 3], [2, 1, 1]),
    "grid": (np.array([[0], [2]]), slice(1, 3)),
    "number and array": (0, slice(None), [1, 2]),
    "array and number": ([1, 1], slice(None), 0),
    "mask of two axes": A > 0,
    "array of two axes": np.array([[0, 1], [1, 1]]),
}


@pytest.mark.parametrize(
    "f", [np.sort, lambda x: np.partition(x, 1), np.median, lambda x: np.quantile(x, 0.3), np.diagonal, lambda x: np.diag(x[0])]
)
def test_functions_of_index_arrays_on_a_gpu_library(f: Any) -> None:
    for far, near in zip(to_second_order(f, FakeArray(A)), to_second_order(f, A), strict=True):
        FAKE.same(far, near)


@pytest.mark.parametrize("name", JOINTLY)
def test_index_arrays_that_belong_together(name: str) -> None:
    index = JOINTLY[name]
    x = RNG.standard_normal((4, 3, 4)) if isinstance(index, tuple) and len(index) == 3 else A
    for far, near in zip(to_second_order(lambda x: x[index], FakeArray(x)), to_second_order(lambda x: x[index], x), strict=True):
        FAKE.same(far, near)


def test_an_index_that_is_an_array_of_the_library() -> None:
    for index in (np.array([2, 0, 2]), A[:, 0] > 0):
        far = grad(lambda x, index=index: np.sum(np.square(x[FakeArray(index)])))(FakeArray(A))
        FAKE.same(far, grad(lambda x, index=index: np.sum(np.square(x[index])))(A))


@pytest.mark.parametrize("places", [[0, 1, 2], [2, 0], [1, 1, 1], [], [2, 2, 0, 2]], ids=str)
def test_spread_adds_at_places(places: list[int]) -> None:
    values = RNG.standard_normal((2, len(places), 2))
    expected = np.zeros((2, 3, 2))
    np.add.at(expected, (slice(None), np.array(places, int)), values)
    np.testing.assert_allclose(functions.spread(values, 1, 3, np.array(places, int)), expected, rtol=1e-15)


# -- what comes back to the host, and what is refused ------------------------------------------------------------------------


def test_values_come_to_the_host_only_when_asked_for(library: Library) -> None:
    t = Tensor(library.put([[1.5]]), requires_grad=True)
    if library is not FAKE:  # dask computes for numpy() as numpy.asarray of it would
        with pytest.raises(AssertionError, match="was computed"):
            t.numpy()
        return
    np.testing.assert_array_equal(t.numpy(), [[1.5]])
    assert t.item() == 1.5
    assert f"{t:.2f}" == "1.50"


@needs_dask
def test_dask_scalars_have_values() -> None:
    import dask
    import dask.array as da

    with dask.config.set(scheduler="sync"):
        loss = np.sum(Tensor(da.ones(3), requires_grad=True) * 2)
        assert loss.item() == 6.0
        assert type(loss.item()) is float
        assert f"{loss:.1f}" == "6.0"
        assert loss < 7
        assert isinstance(loss.numpy(), np.ndarray)


def test_complex_arrays_of_other_libraries_are_refused(library: Library) -> None:
    with pytest.raises(DtypeError, match="this data has dtype complex128"):
        Tensor(library.put(A + 1j))


@needs_dask
def test_masks_of_unknown_size_are_refused(dask_library: Library) -> None:
    x = Tensor(dask_library.put(A), requires_grad=True)
    for mask in (x > 0, A > 0):
        with pytest.raises(ShapeError, match=r"how many elements this mask chooses is unknown .* Write np.where\(mask, x, 0.0\)"):
            x[mask]
    np.sum(np.where(x > 0, x * x, 0.0)).backward()
    dask_library.same(x.grad.data, np.where(A > 0, 2 * A, 0.0))


@needs_dask
@pytest.mark.parametrize("write", ["tensor", "data"])
def test_a_write_between_forward_and_backward_is_noticed_on_dask(dask_library: Library, write: str) -> None:
    x = Tensor(dask_library.put(A), requires_grad=True)
    y = np.sum(x * x)
    if write == "data":
        x.data[0] = 5.0
    else:
        with tg.no_grad():
            x[0] = 5.0
    with pytest.raises(InPlaceError, match="was changed in place after multiply read it"):
        y.backward()
    np.sum(x * x).backward()
    dask_library.same(x.grad.data, 2 * np.vstack([np.full((1, 3), 5.0), A[1:]]))


@needs_dask
def test_reading_data_on_dask_is_no_write(dask_library: Library) -> None:
    x = Tensor(dask_library.put(A), requires_grad=True)
    held = x.data
    y = np.sum(x * x)
    y.backward()
    dask_library.same(x.grad.data, 2 * A)
    assert held is x.raw


@needs_dask
def test_what_the_page_says_does_not_work_on_dask_does_not(dask_library: Library) -> None:
    x = Tensor(dask_library.put(A), requires_grad=True)
    for refused in (lambda: x[[0, 1], [2, 2]], lambda: np.diagonal(x), lambda: np.diag(x[0]).sum().backward(), lambda: x.reshape(2, 6)):
        with pytest.raises(NotImplementedError):
            refused()
    for computed in (lambda: np.sort(x), lambda: np.linalg.det(x[:3])):
        with pytest.raises(FutureWarning, match="is not implemented by Dask array"):
            computed()
    w = Tensor(np.ones(3), requires_grad=True)
    np.sum(x * w).backward()
    with pytest.raises(NotImplementedError, match="out"):
        optim.SGD([w], lr=0.1).step()


ON_THE_HOST_ONLY: dict[str, Callable[[Any], Any]] = {
    "linspace": lambda x: np.linspace(x[0], x[1], 5),
    "matrix_power": lambda x: np.linalg.matrix_power(x[:3], 0),
}


@pytest.mark.parametrize("name", ON_THE_HOST_ONLY)
def test_what_the_page_says_is_refused_by_a_gpu_library_is(name: str) -> None:
    with pytest.raises(TypeError, match="FakeArray"):
        grad(lambda x: np.sum(ON_THE_HOST_ONLY[name](x)))(FakeArray(A))


# -- data-parallel training --------------------------------------------------------------------------------------------------

PAGE = ROOT / "docs" / "duck_arrays.md"


@needs_distributed
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    marked = blocks(PAGE, PAGE.read_text("utf-8"))
    assert len(marked) >= 5
    for block in marked:
        assert visible(block.run(namespace)) == visible(block.expected or ""), f"line {block.line}"


def trained(model: Any, x: Any, t: Any, steps: int) -> list[float]:
    """The page's own function."""
    namespace: dict[str, Any] = {}
    (source,) = [b.code for b in blocks(PAGE, PAGE.read_text("utf-8")) if b.code.startswith("def train")]
    exec("import dask\nfrom tinygrad_bp import nn, optim\n" + source.split("\n\n")[0], namespace)
    losses: list[float] = namespace["train"](model, x, t, steps)
    return losses


@needs_dask
@pytest.mark.parametrize("chunk", [1, 4, 5, 12])
def test_training_on_chunks_equals_training_on_the_whole(chunk: int) -> None:
    import dask.array as da

    far, near = step_by_step.network(), step_by_step.network()
    x, t = (da.from_array(a, chunks=(chunk, 2)) for a in (SAMPLES, TARGETS))
    np.testing.assert_allclose(trained(far, x, t, 3), trained(near, SAMPLES, TARGETS, 3), rtol=1e-13)
    for p, q in zip(far.parameters(), near.parameters(), strict=True):
        assert isinstance(p.raw, np.ndarray)
        np.testing.assert_allclose(p.raw, q.raw, rtol=1e-12)


@needs_distributed
@pytest.mark.filterwarnings("default")  # of sockets and event loops that a cluster leaves to close
@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_training_on_a_cluster_of_two_workers(processes: bool) -> None:
    import dask.array as da
    from distributed import Client, LocalCluster, wait

    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": processes, "dashboard_address": None}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        x, t = client.persist([da.from_array(a, chunks=(4, 2)) for a in (SAMPLES, TARGETS)])
        wait([x, t])
        assert len(client.scheduler_info()["workers"]) == 2
        losses = trained(step_by_step.network(), x, t, 3)
    np.testing.assert_allclose(losses, trained(step_by_step.network(), SAMPLES, TARGETS, 3), rtol=1e-13)


def test_writes_through_data_of_an_array_on_a_gpu_are_noticed() -> None:
    w = Tensor(FakeArray(np.array([1.0, 2.0])), requires_grad=True, name="w")
    loss = np.sum(w * w)
    held = w.data
    held.host[0] = 100.0  # as a kernel would
    with pytest.raises(InPlaceError, match="tensor 'w' was changed in place after multiply read it"):
        loss.backward()
