"""The benchmark suite runs, and what it counts does not depend on the machine."""

import os
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_bp as tg
from tests.benchmarks import speed
from tinygrad_bp.engine import order

SMALL = speed.CASES[0]


def printed(code: str, **environment: str) -> str:
    """What a process of its own prints."""
    env = os.environ | {"PYTHONPATH": str(speed.ROOT)} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=speed.ROOT, env=env).stdout.strip()


def test_every_way_of_ours_makes_the_same_steps_as_the_hand() -> None:
    by_hand = speed.by_hand(SMALL)
    expected = [by_hand() for _ in range(5)]
    for name in ("eager", "compiled, matrix", "compiled, scalar"):
        step = speed.STEPS[name](SMALL)
        np.testing.assert_allclose([float(step()) for _ in range(5)], expected, rtol=1e-12, err_msg=name)


def test_many_updates_are_those_of_the_listing() -> None:
    model, _ = speed._example()
    assert [w for p in model.parameters() if p.tracked for w in p.numpy().flat] == [0.15, 0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 0.55]
    for make in (speed.many_eager, lambda n: speed.many_compiled(n, native=False), speed.many_by_hand):
        make(3)()


def test_the_tables_are_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(speed.table("title", speed.in_turn({"one": lambda: None, "two": lambda: None}, 2, 1e-4)))
    assert re.fullmatch(r"\| one \| [\d.,e+-]+ \| 1\.00 \| 1\.00 to 1\.00 \|", lines[-2])
    assert lines[-1].startswith("| two | ")


READINGS = """
import dis
from tests.benchmarks import speed
from tinygrad_bp import engine
step = speed.eager(speed.CASES[0])
for _ in range(500):
    step()
print({i.opname for i in dis.get_instructions(engine.pull, adaptive=True) if i.argval in ("tracked", "serial")})
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="about CPython's specialised instructions")
def test_slots_of_tensors_are_read_by_the_fast_instruction() -> None:
    """Where tensors and parameters are of one class, and that has no ``__getattr__`` under Python 3.11."""
    assert printed(READINGS) == "{'LOAD_ATTR_SLOT'}"


def test_a_training_step_records_five_nodes() -> None:
    """Two layers and two activations, and the loss: what is not recorded costs nothing."""
    model, criterion, _, x, y = speed._ours(SMALL)
    loss = criterion(model(x), y)
    assert [t.rule.name for t in order(loss) if t.rule is not None] == ["linear", "sigmoid", "linear", "sigmoid", "half_sum_of_squares"]
    assert isinstance(loss, tg.Tensor)


def test_the_kernels_are_those_that_were_asked_for() -> None:
    known = printed("from tests.benchmarks import speed; print(speed.kernels())", OPENBLAS_CORETYPE="Haswell")
    assert "kernels Haswell: as --kernels says" in known or "unknown BLAS" in known or platform.machine() != "x86_64"
