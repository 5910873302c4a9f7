#!/usr/bin/env python3
"""Time and memory of large graphs: a chain of 10^4, 10^5 and 10^6 operations, and graphs that are wide or double.

``python tests/benchmarks/scale.py`` prints two tables in Markdown; PyTorch's figures stand beside where it is installed,
taken in the same run. Each line is measured in a process of its own, with one thread, and with the garbage collector as Python
has it unless ``--no-gc`` is given. Bytes are the growth of the process's resident memory (VmRSS) divided by the number of nodes; the growth
includes what the memory allocator keeps in reserve.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NO_GC = "SCALE_WITHOUT_GC"
SIZES = (10_000, 100_000, 1_000_000)
SHAPES: dict[str, tuple[int, ...]] = {"scalar": (), "4x4": (4, 4)}


def leaf(library: str, shape: tuple[int, ...]) -> Any:
    """An array of ones to differentiate by."""
    if library == "torch":
        import torch

        torch.set_num_threads(1)
        return torch.ones(shape, dtype=torch.float64, requires_grad=True)
    from tinygrad_bp import Tensor

    return Tensor(np.ones(shape), requires_grad=True)


def chain(x: Any, n: int) -> Any:
    y = x
    for _ in range(n):
        y = y * 1.0
    return y


def used_often(x: Any, n: int) -> Any:
    """The leaf is an operand of n additions."""
    y = x
    for _ in range(n - 1):
        y = y + x
    return y


def consumers(x: Any, n: int) -> Any:
    """One node has n/2 consumers; the sum of them is the other half of the graph."""
    node = x * 2.0
    y = node * 1.0
    for _ in range(n // 2 - 1):
        y = y + node * 1.0
    return y


def doublings(x: Any, n: int) -> Any:
    """y + y, n times: 2^n paths through n nodes."""
    y = x
    for _ in range(n):
        y = y + y
    return y


GRAPHS: dict[str, Callable[[Any, int], Any]] = {
    "chain": chain,
    "a tensor used n times": used_often,
    "a node with n/2 consumers": consumers,
    "n doublings": doublings,
}


def resident() -> int:
    """Bytes of this process in memory."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(library: str, graph: str, shape: tuple[int, ...], n: int) -> dict[str, float]:
    """Nanoseconds and bytes a node of one graph: forward, backward, freed."""
    x = leaf(library, shape)
    build = GRAPHS[graph]
    seed = x.detach() * 0 + 1
    build(x, 18).backward(seed)  # imports, caches
    start, before = time.perf_counter_ns(), resident()
    y = build(x, n)
    forward, after_forward = time.perf_counter_ns(), resident()
    y.backward(seed)
    backward, after_backward = time.perf_counter_ns(), resident()
    del y
    freed = time.perf_counter_ns()
    return {
        "forward": (forward - start) / n,
        "backward": (backward - forward) / n,
        "free": (freed - backward) / n,
        "bytes": (after_forward - before) / n,
        "bytes_after": (after_backward - before) / n,
    }


def in_a_process(*case: Any) -> dict[str, float]:
    """The measurement of a case, taken where nothing else has used memory."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, __file__, "--one", json.dumps(case)], env=env, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(run.stdout)
    return found


def row(library: str, graph: str, kind: str, n: int) -> str:
    m = in_a_process(library, graph, SHAPES[kind], n)
    times = " | ".join(f"{m[key]:,.0f}" for key in ("forward", "backward", "free"))
    sizes = " | ".join(f"{m[key]:,.0f}" if n >= 10_000 else "" for key in ("bytes", "bytes_after"))
    return f"| {graph} | {kind} | {n:,} | {library} | {times} | {sizes} |"


def environment(libraries: list[str]) -> str:
    """The machine and the versions."""
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if "model name" in line), "")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", *libraries) if name != "tinygrad_bp")
    return f"{cpu or platform.processor()}, {os.cpu_count()} cores, one thread used; Python {platform.python_version()}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="lengths of the chain")
    parser.add_argument("--no-gc", action="store_true", help="switch the garbage collector off while measuring")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        if NO_GC in os.environ:
            gc.disable()
        library, graph, shape, n = args.one
        print(json.dumps(measure(library, graph, tuple(shape), n)))
        return
    if args.no_gc:
        os.environ[NO_GC] = "1"
    libraries = ["tinygrad_bp", *(["torch"] if importlib.util.find_spec("torch") else [])]
    print(environment(libraries), end="\n\n")
    print("| graph | values | n | library | forward, ns | backward, ns | free, ns | bytes after forward | bytes after backward |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    cases = [("chain", kind, n) for kind in SHAPES for n in args.sizes]
    cases += [("a tensor used n times", "scalar", 100_000), ("a node with n/2 consumers", "scalar", 200_000), ("n doublings", "scalar", 18)]
    for case in cases:
        for library in libraries:
            print(row(library, *case), flush=True)


if __name__ == "__main__":
    main()
