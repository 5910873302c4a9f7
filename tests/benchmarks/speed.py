#!/usr/bin/env python3
"""How fast: training steps, one operation, a long chain, many small updates, start-up, memory, beside whatever peers are installed.

``python tests/benchmarks/speed.py`` prints Markdown tables; ``--only steps updates`` some of them. Times that are
compared are taken in turn in one process, round by round, with one thread; a figure is the median over the rounds of
the ratio to the first line of its table in the same round, so that a busy machine slows both. Chains, start-up and
memory are measured in processes of their own. Peers: PyTorch, JAX, MyGrad, autograd, micrograd; numba for ours.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
os.environ |= THREADS

import numpy as np  # noqa: E402  (after the number of threads)

Step = Callable[[], Any]


class Case(NamedTuple):
    """A training step: forward, half the sum of squared errors, backward, one update of every weight and bias."""

    sizes: tuple[int, ...]
    batch: int
    dtype: str

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}, {self.dtype}"

    def data(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        return tuple(rng.random((self.batch, n)).astype(self.dtype) for n in (self.sizes[0], self.sizes[-1]))  # type: ignore[return-value]

    def weights(self) -> list[tuple[Any, Any]]:
        """(W of shape (in, out), b) for each layer, the same at every call."""
        rng = np.random.default_rng(1)
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return [((0.1 * rng.standard_normal(pair)).astype(self.dtype), np.zeros(pair[1], self.dtype)) for pair in pairs]

    @property
    def lr(self) -> float:
        return 0.5 / self.batch


CASES = [Case((2, 2, 2), 1, "float64"), Case((784, 128, 10), 64, "float32"), Case((784, 512, 256, 10), 256, "float32")]


# -- one training step -------------------------------------------------------------------------------------------------


def by_hand(case: Case) -> Step:
    """What a careful person writes."""
    (x, y), layers, lr = case.data(), case.weights(), np.dtype(case.dtype).type(case.lr)

    def step() -> Any:
        outs = [x]
        for w, b in layers:
            outs.append(1 / (1 + np.exp(-(outs[-1] @ w + b))))
        delta = outs[-1] - y
        loss = 0.5 * (delta * delta).sum()
        delta = delta * outs[-1] * (1 - outs[-1])
        for (w, b), a in zip(layers[::-1], outs[-2::-1], strict=True):
            grad_w, grad_b = a.T @ delta, delta.sum(0)
            if a is not x:
                delta = (delta @ w.T) * a * (1 - a)
            w -= lr * grad_w  # noqa: PLW2901  (in place)
            b -= lr * grad_b  # noqa: PLW2901
        return loss

    return step


def _ours(case: Case) -> tuple[Any, Any, Any, Any, Any]:
    from tinygrad_bp import Tensor, nn, optim

    layers: list[Any] = []
    for w, b in case.weights():
        layer = nn.Linear(*w.shape)
        layer.load_state_dict({"weight": w.T.copy(), "bias": b})
        layers += [layer, nn.Sigmoid()]
    model = nn.Sequential(*layers)
    x, y = map(Tensor, case.data())
    return model, nn.HalfSquaredError(), optim.SGD(model.parameters(), lr=case.lr), x, y


def eager(case: Case) -> Step:
    model, criterion, optimizer, x, y = _ours(case)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _compiled(dialect: str) -> Callable[[Case], Step]:
    def make(case: Case) -> Step:
        import tinygrad_bp as tg

        if dialect == "scalar" and max(case.sizes) > 10:
            raise ValueError("too large for single numbers")
        model, criterion, optimizer, x, y = _ours(case)
        step = tg.compile(lambda x, y: criterion(model(x), y), optimizer=optimizer, dialect=dialect)
        xs, ys = x.numpy(), y.numpy()
        return lambda: step(xs, ys)

    return make


def torch(case: Case) -> Step:
    import torch

    torch.set_num_threads(1)
    layers: list[Any] = []
    for w, b in case.weights():
        layer = torch.nn.Linear(*w.shape, dtype=getattr(torch, case.dtype))
        layer.load_state_dict({"weight": torch.from_numpy(w.T.copy()), "bias": torch.from_numpy(b)})
        layers += [layer, torch.nn.Sigmoid()]
    model, criterion = torch.nn.Sequential(*layers), torch.nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=case.lr)
    x, y = map(torch.from_numpy, case.data())

    def step() -> Any:
        optimizer.zero_grad()
        loss = 0.5 * criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _jax_update(case: Case) -> tuple[Any, Any, Any]:
    import jax

    jax.config.update("jax_enable_x64", case.dtype == "float64")
    jnp = jax.numpy
    x, y = map(jnp.asarray, case.data())

    def loss(layers: Any) -> Any:
        a = x
        for w, b in layers:
            a = jax.nn.sigmoid(a @ w + b)
        return 0.5 * ((a - y) ** 2).sum()

    def update(layers: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(layers)
        return value, jax.tree.map(lambda p, g: p - case.lr * g, layers, grads)

    return jax, update, [(jnp.asarray(w), jnp.asarray(b)) for w, b in case.weights()]


def jax(case: Case) -> Step:
    library, update, layers = _jax_update(case)
    update, state = library.jit(update), [layers]

    def step() -> Any:
        value, state[0] = update(state[0])
        return float(value)

    return step


def mygrad(case: Case) -> Step:
    import mygrad
    from mygrad.nnet.activations import sigmoid

    (x, y), layers = case.data(), [tuple(map(mygrad.tensor, pair)) for pair in case.weights()]

    def step() -> Any:
        a = x
        for w, b in layers:
            a = sigmoid(mygrad.matmul(a, w) + b)
        loss = 0.5 * ((a - y) ** 2).sum()
        loss.backward()
        for p in (p for layer in layers for p in layer):
            p.data -= case.lr * p.grad
            p.null_grad()
        return loss.item()

    return step


def autograd(case: Case) -> Step:
    import autograd
    import autograd.numpy as anp

    (x, y), layers = case.data(), case.weights()

    def loss(layers: Any) -> Any:
        a = x
        for w, b in layers:
            a = 1 / (1 + anp.exp(-(anp.dot(a, w) + b)))
        return 0.5 * anp.sum((a - y) ** 2)

    f = autograd.value_and_grad(loss)

    def step() -> Any:
        value, grads = f(layers)
        for (w, b), (gw, gb) in zip(layers, grads, strict=True):
            w -= case.lr * gw  # noqa: PLW2901
            b -= case.lr * gb  # noqa: PLW2901
        return value

    return step


def micrograd(case: Case) -> Step:
    from micrograd.engine import Value

    if max(case.sizes) > 10:
        raise ValueError("too large for single numbers")
    (x, y), layers = case.data(), [(np.vectorize(Value)(w), np.vectorize(Value)(b)) for w, b in case.weights()]
    every = [p for pair in layers for array in pair for p in array.flat]

    def sigmoid(v: Any) -> Any:
        out = Value(1 / (1 + math.exp(-v.data)), (v,), "sigmoid")

        def backward() -> None:
            v.grad += out.data * (1 - out.data) * out.grad

        out._backward = backward
        return out

    def step() -> Any:
        a = [Value(float(v)) for v in x[0]]
        for w, b in layers:
            a = [sigmoid(sum((ai * wi for ai, wi in zip(a, w[:, j], strict=True)), b[j])) for j in range(len(b))]
        total = sum(((p - float(t)) ** 2 for p, t in zip(a, y[0], strict=True)), Value(0.0)) * 0.5
        for p in every:
            p.grad = 0
        total.backward()
        for p in every:
            p.data -= case.lr * p.grad
        return total.data

    return step


STEPS: dict[str, Callable[[Case], Step]] = {
    "hand-written NumPy": by_hand,
    "eager": eager,
    "compiled, matrix": _compiled("matrix"),
    "compiled, scalar": _compiled("scalar"),
    "jax.jit": jax,
    "PyTorch": torch,
    "MyGrad": mygrad,
    "autograd": autograd,
    "micrograd": micrograd,
}


PLACES = 5  # how often everything is made anew: where arrays happen to lie in memory moves a ratio by some per cent


def steps(rounds: int) -> Iterator[str]:
    """The table of one training step for each case."""
    for case in CASES:
        times: dict[str, list[float]] = {}
        every = [installed(STEPS, case) for _ in range(min(PLACES, rounds))]
        for made in every:
            first = {name: [float(step()) for _ in range(3)] for name, step in made.items()}
            for name, losses in first.items():  # all start from the same weights
                assert np.allclose(losses, first["hand-written NumPy"], rtol=1e-4), (name, losses)
            for name, each in in_turn(made, math.ceil(rounds / len(every))).items():
                times.setdefault(name, []).extend(each)
        yield from table(f"A step of {case}", times)


# -- one operation -----------------------------------------------------------------------------------------------------


def operations() -> dict[str, Step]:
    """Multiplication of a 4 x 4 array with itself, recorded."""
    values = np.ones((4, 4))

    def torch_tensor() -> Any:
        import torch

        torch.set_num_threads(1)
        return torch.ones((4, 4), dtype=torch.float64, requires_grad=True)

    def mygrad_tensor() -> Any:
        import mygrad

        return mygrad.tensor(values)

    def ours() -> Any:
        from tinygrad_bp import Tensor

        return Tensor(values, requires_grad=True)

    makers = {"np.multiply": lambda: values, "eager": ours, "PyTorch": torch_tensor, "MyGrad": mygrad_tensor}
    tensors = installed({name: lambda _, make=make: make() for name, make in makers.items()}, None)
    return {name: (lambda t=t: np.multiply(t, t)) if name == "np.multiply" else (lambda t=t: t * t) for name, t in tensors.items()}


# -- many updates of a small network -----------------------------------------------------------------------------------

UPDATES = 10_000


def plain_python() -> Step:
    """As a listing of the document does it: lists of neurons, a function for each factor, the biases left as they are."""
    weights = [[[0.15, 0.20], [0.25, 0.30]], [[0.40, 0.45], [0.50, 0.55]]]
    biases, inputs, targets, lr = [0.35, 0.60], [0.05, 0.10], [0.01, 0.99], 0.5

    def neuron(w: list[float], b: float, a: list[float]) -> float:
        return 1 / (1 + math.exp(-(sum(wi * ai for wi, ai in zip(w, a, strict=True)) + b)))

    def step() -> None:
        hidden = [neuron(w, biases[0], inputs) for w in weights[0]]
        output = [neuron(w, biases[1], hidden) for w in weights[1]]
        deltas = [-(t - o) * o * (1 - o) for t, o in zip(targets, output, strict=True)]
        below = [sum(d * w[h] for d, w in zip(deltas, weights[1], strict=True)) * a * (1 - a) for h, a in enumerate(hidden)]
        for layer, ds, below_layer in ((weights[1], deltas, hidden), (weights[0], below, inputs)):
            for w, d in zip(layer, ds, strict=True):
                for k, a in enumerate(below_layer):
                    w[k] -= lr * d * a

    return step


def _example() -> tuple[Any, Any]:
    """The second document's network, whose biases stay, and its optimizer."""
    from tinygrad_bp import optim
    from tinygrad_bp.worked import step_by_step

    model = step_by_step.network()
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    return model, optim.SGD([model[2].weight, model[0].weight], lr=step_by_step.LR)


def many_by_hand(n: int) -> Step:
    step = plain_python()
    return lambda: [step() for _ in range(n)]


def many_compiled(n: int, native: bool) -> Step:
    import tinygrad_bp as tg
    from tinygrad_bp.worked import step_by_step

    model, optimizer = _example()
    step = tg.compile(lambda: step_by_step.forward(model), optimizer=optimizer, dialect="scalar", native=native)
    step.repeat(1)
    return lambda: step.repeat(n)


def many_jax(n: int) -> Step:
    library, update, layers = _jax_update(CASES[0])
    loop = library.jit(lambda layers: library.lax.fori_loop(0, n, lambda _, state: update(state)[1], layers))
    return lambda: library.block_until_ready(loop(layers))


def many_eager(n: int) -> Step:
    from tinygrad_bp.worked import step_by_step

    return lambda: step_by_step.train(n)


def many_torch(n: int) -> Step:
    step = torch(CASES[0])
    return lambda: [step() for _ in range(n)]


MANY: dict[str, Callable[[int], Step]] = {
    "plain Python, as the document's listing": many_by_hand,
    "compiled, scalar": lambda n: many_compiled(n, native=False),
    "compiled, scalar, numba": lambda n: many_compiled(n, native=True),
    "JAX, fori_loop": many_jax,
    "eager": many_eager,
    "PyTorch": many_torch,
}


# -- in processes of their own -----------------------------------------------------------------------------------------

STARTS = {
    "import numpy": "import numpy",
    "import tinygrad_bp": "import tinygrad_bp",
    "10,000 updates, compiled": "import tinygrad_bp as tg; from tests.benchmarks import speed; speed.many_compiled(10_000, False)()",
    "10,000 updates, eager": "from tests.benchmarks import speed; speed.many_eager(10_000)()",
    "JAX: 10,000 updates": "from tests.benchmarks import speed; speed.many_jax(10_000)()",
    "PyTorch: 10,000 updates": "from tests.benchmarks import speed; speed.many_torch(10_000)()",
}


def starts(rounds: int) -> dict[str, list[float]]:
    """Seconds from the start of a process to its end, less those of an empty one."""
    times: dict[str, list[float]] = {}
    for code in STARTS.values():
        _seconds(code)  # compiles the modules, once
    for _ in range(rounds):
        empty = _seconds("pass")
        for name, code in STARTS.items():
            if (seconds := _seconds(code)) is not None and empty is not None:
                times.setdefault(name, []).append(seconds - empty)
    return times


def _seconds(code: str) -> float | None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, cwd=ROOT, env=env)
    return time.perf_counter() - start if run.returncode == 0 else None


ROOT = Path(__file__).parents[2]
DEEP = Case((512,) * 51, 256, "float32")


def _freeing(case: Case) -> Step:
    model, criterion, optimizer, x, y = _ours(case)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward(retain_graph=False)
        optimizer.step()
        return loss.item()

    return step


MEMORY: dict[str, Callable[[Case], Step]] = {
    "PyTorch": torch,
    "eager": eager,
    "eager, retain_graph=False": _freeing,
    "compiled, matrix": _compiled("matrix"),
}


def peak(name: str, case: Case) -> float:
    """MiB that three steps add to the process, above what it takes with the library, the data and the weights loaded."""
    step = MEMORY[name](Case((2, 2, 2), 1, case.dtype))
    for _ in range(3):
        step()
    step = MEMORY[name](case)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what making the model has left in reserve
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the highest so far
    before = _status("VmRSS")
    for _ in range(3):
        step()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """MiB of this process: now (VmRSS) or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def memory() -> Iterator[str]:
    """The table of memory."""
    yield from (
        "",
        "## Memory that training adds, MiB",
        "",
        "| | " + " | ".join(map(str, (CASES[2], "50 layers of 512, batch 256"))) + " |",
    )
    yield "| --- | ---: | ---: |"
    for name in MEMORY:
        figures = [_in_a_process(name, case) for case in (CASES[2], DEEP)]
        if None not in figures:
            yield f"| {name} | " + " | ".join(f"{mib:.1f}" for mib in figures) + " |"


def _in_a_process(name: str, case: Case) -> float | None:
    code = f"from tests.benchmarks import speed; print(speed.peak({name!r}, speed.Case(*{tuple(case)!r})))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    return float(run.stdout) if run.returncode == 0 else None


# -- measuring and printing --------------------------------------------------------------------------------------------


def installed(makers: dict[str, Callable[[Any], Any]], case: Any) -> dict[str, Any]:
    """What can be made: a peer that is not installed, or that a case is too large for, is left out."""
    made = {}
    for name, make in makers.items():
        try:
            made[name] = make(case)
        except (ImportError, ValueError) as error:
            if "too large" not in str(error):
                print(f"{name} is left out: {error}", file=sys.stderr)
    return made


def in_turn(steps: dict[str, Step], rounds: int, window: float = 0.04) -> dict[str, list[float]]:
    """Seconds of one call of each, round by round. A spell begins with calls that do not count: the caches hold what ran before."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # what is done once
    for _ in range(rounds):
        for name, step in steps.items():
            if window:
                seconds(step, window / 4)
            times[name].append(seconds(step, window))
    return times


def seconds(step: Step, window: float) -> float:
    """Seconds of one call, the mean over a spell."""
    start, n = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < window or not n:
        step()
        n += 1
    return elapsed / n


def table(title: str, times: dict[str, list[float]], unit: float = 1e6, label: str = "us") -> Iterator[str]:
    """Median times; the ratio to the first in the same round, its median and the middle half of the rounds."""
    base = next(iter(times.values()))
    yield from ("", f"## {title}", "", f"| | {label} | ratio | half of the rounds |", "| --- | ---: | ---: | ---: |")
    for name, each in times.items():
        low, middle, high = statistics.quantiles((t / b for t, b in zip(each, base, strict=True)), n=4, method="inclusive")
        yield f"| {name} | {float(f'{statistics.median(each) * unit:.3g}'):,g} | {middle:.2f} | {low:.2f} to {high:.2f} |"


def sections(rounds: int) -> dict[str, Callable[[], Iterator[str]]]:
    return {
        "steps": lambda: steps(rounds),
        "operation": lambda: table("A recorded multiplication of a 4 x 4 array", in_turn(operations(), rounds), 1e9, "ns"),
        "updates": lambda: table(
            "10,000 updates of the network of step_by_step", in_turn(installed(MANY, UPDATES), max(3, rounds // 8), 0.0), 1e3, "ms"
        ),
        "starts": lambda: table("From the start of a process", starts(max(3, rounds // 4)), 1e3, "ms"),
        "memory": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(sections(1)), default=list(sections(1)))
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--kernels", help="of OpenBLAS, such as Haswell (AVX2) or SkylakeX (AVX-512); left out: its own choice")
    args = parser.parse_args()
    start_with(args.kernels)
    from tests.benchmarks.scale import environment

    libraries = [name for name in ("torch", "jax", "mygrad", "autograd", "numba") if _found(name)]
    print(environment(libraries))
    print(kernels())
    warnings.simplefilter("ignore")  # of the peers
    for name in args.only:
        for line in sections(args.rounds)[name]():
            print(line, flush=True)


def start_with(core: str | None) -> None:
    """Start again if the environment asks for other kernels: OpenBLAS chooses them once, when NumPy is imported."""
    if os.environ.get("OPENBLAS_CORETYPE") == core:
        return
    others = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    chosen = {} if core is None else {"OPENBLAS_CORETYPE": core}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], others | chosen)


def kernels() -> str:
    """A line about who computes NumPy's products of matrices, which are nearly all of a large step."""
    maps = Path("/proc/self/maps")
    mapped = maps.read_text(encoding="utf-8").splitlines() if maps.exists() else []
    for path in sorted({line.split()[-1] for line in mapped if "openblas" in line}):
        library = ctypes.CDLL(path)
        for name in ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename"):
            if hasattr(library, name):
                ask = getattr(library, name)
                ask.restype = ctypes.c_char_p
                chosen = "as --kernels says" if "OPENBLAS_CORETYPE" in os.environ else "its own choice for this processor"
                return f"NumPy multiplies matrices with OpenBLAS, kernels {ask().decode()}: {chosen}"
    return "NumPy multiplies matrices with an unknown BLAS"


def _found(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
