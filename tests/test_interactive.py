"""What a person meets who tries things out: help, completion, and the first wrong calls."""

from __future__ import annotations

import inspect
import os
import pydoc
import subprocess
import sys
from types import ModuleType

import pytest

import tinygrad_bp as tg
from tinygrad_bp.check.claims import check
from tinygrad_bp.compile.compiled import compiled
from tinygrad_bp.explain.derivation import explain

CALLED = [
    (tg.check, check, "tg.check(output, claims_or_loss=None, /, *, claims=None,"),
    (tg.explain, explain, "tg.explain(output, wrt=None, lr=None,"),
    (tg.compile, compiled, "tg.compile(f, argnums=0, *, wrt=None,"),
    (tg.check.notes, tg.check.notes.check_notes, "tg.check.notes(*notes)"),
]


@pytest.mark.parametrize(("module", "function", "call"), CALLED, ids=lambda x: getattr(x, "__name__", ""))
def test_help_of_a_module_that_is_called_says_how(module: ModuleType, function: object, call: str) -> None:
    shown = pydoc.plain(pydoc.render_doc(module))
    assert call in shown
    assert shown.index(call) < shown.index("PACKAGE CONTENTS")
    assert " ".join(inspect.getdoc(function).split()[:20]) in " ".join(shown.split())
    assert inspect.signature(module) == inspect.signature(function)
    assert set(dir(module)) == set(module.__all__)


def test_modules_can_be_called_without_docstrings() -> None:
    code = "import tinygrad_bp as tg; raise SystemExit(not tg.check(None, '2 + 2 = 4').ok)"  # an assert would be left out
    subprocess.run([sys.executable, "-OO", "-c", code], check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})


def test_pictures_have_functions_of_their_own() -> None:
    with pytest.raises(TypeError, match=r"Write tg\.draw\.graph\(loss\), \.network"):
        tg.draw(tg.Tensor(1.0))
    assert "network" in dir(tg.draw)


def test_functions_that_numpy_has_are_pointed_to() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'tanh'; write np\.tanh$"):
        _ = tg.tanh
    with pytest.raises(AttributeError, match=r"no attribute 'tahn'$"):
        _ = tg.tahn
    assert not hasattr(tg, "__wrapped__")
