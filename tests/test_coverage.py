"""The page of functions says what the table of rules says, and its yes means a right gradient."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg

NEW = pytest.mark.skipif(not hasattr(np, "matvec"), reason="the page knows functions that NumPy has since 2.2")

SCRIPT = Path(__file__).parent.parent / "docs" / "coverage.py"
PAGE = SCRIPT.with_suffix(".md")


@pytest.fixture(scope="module")
def coverage() -> Any:
    spec = importlib.util.spec_from_file_location("docs_coverage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@NEW
def test_the_rules_on_the_page_are_those_of_the_table() -> None:
    """In a process of its own: other tests declare rules."""
    run = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_formula_that_changed_is_noticed(coverage: Any) -> None:
    page = PAGE.read_text("utf-8")
    assert "| `np.sin` | pointwise | x | `g * cos(x)` |" in page
    changed = page.replace("`g * cos(x)`", "`g * sin(x)`")
    body = page.split("<!-- begin: rules -->\n\n")[1].split("\n\n<!-- end: rules -->")[0]
    assert coverage.replaced(changed, "rules", body) == page != changed


def rows() -> dict[str, list[str]]:
    """Function -> the cells after it, of the measured table."""
    section = PAGE.read_text("utf-8").split("<!-- end: measured -->")[0]
    return {
        name: cells.split(" | ")
        for name, cells in re.findall(r"^\| `([\w.]+)` \| ((?:yes|no)(?: \| (?:yes|no))*) \|$", section, re.MULTILINE)
    }


@NEW
def test_every_yes_of_ours_is_one_and_every_no(coverage: Any) -> None:
    calls = {call.name: call for call in coverage.calls()}
    assert calls.keys() == rows().keys()
    assert len(calls) == len(coverage.calls()), "a function stands in the list twice"
    answers = {name: "yes" if coverage.works(coverage.in_tinygrad_bp, call) else "no" for name, call in calls.items()}
    assert answers == {name: cells[0] for name, cells in rows().items()}


def test_ours_are_more_than_those_of_the_other_two() -> None:
    counts = dict(re.findall(r"^\| (\w+) \| [\w.]+ \| (\d+) of \d+ \|$", PAGE.read_text("utf-8"), re.MULTILINE))
    assert int(counts["tinygrad_bp"]) > max(int(counts["autograd"]), int(counts["mygrad"]))
    assert int(counts["tinygrad_bp"]) == sum(cells[0] == "yes" for cells in rows().values())


def test_a_wrong_gradient_is_a_no(coverage: Any) -> None:
    call = coverage.Call("exp", lambda np, x: np.exp(x), (np.array([0.5, 1.0]),))
    right = coverage.in_tinygrad_bp
    assert coverage.works(right, call)
    assert not coverage.works(lambda c, w: [g * 1.001 for g in right(c, w)], call)
    assert not coverage.works(lambda c, w: [g[:1] for g in right(c, w)], call)
    assert not coverage.works(lambda c, w: [], call)
    assert not coverage.works(lambda c, w: [tg.no_such_thing], call)
