"""Notes that check themselves: what is right passes, what is wrong or unreadable is said with its line, and nothing is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinygrad_bp as tg
from tinygrad_bp.__main__ import main
from tinygrad_bp.check.notes.markdown import pieces
from tinygrad_bp.errors import FileFormatError, FormulaError

ROOT = Path(__file__).parent.parent
STEP_BY_STEP = ROOT / "docs" / "notes" / "step_by_step.md"

NETWORK = """\
```network
input x [x1 x2] = [0.5, -1.0]
W [w1 w2; w3 w4] = [[0.2, 0.4], [-0.6, 0.8]]
b = 0.1
v [v1 v2] = [0.7, -0.3]
target t = 0.25
z = W @ x + b      # into the hidden neurons
h = sigmoid(z)
y = sum(v * h)
E = (y - t)^2 / 2
eta = 0.5
```
"""


def found(note: str) -> list[tuple[int, str]]:
    """(line, verdict) of each equality after the network's own line."""
    return [(f.line, f.verdict) for e in tg.check.notes(note) if e.verdict != "network" for f in e.found]


def verdicts(text: str) -> list[str]:
    """The verdicts on a text after the network."""
    return [verdict for _, verdict in found(NETWORK + text + "\n")]


def test_the_example_note_has_the_documents_slips_and_no_other():
    report = tg.check.notes(STEP_BY_STEP)
    assert [(f.line, f.text.rpartition("= ")[2]) for e in report for f in e.found if f.verdict != "agrees" and f.row] == [
        (45, "0.75136079"), (75, r"-\delta_{o1} out_{h1}"), (96, "-0.019049119"),
    ]  # fmt: skip
    assert "The sign is flipped in dE_total/dw5." in str(report)
    assert "not read" not in {f.verdict for e in report for f in e.found}
