"""What a person meets who tries things out: help, completion, and the first wrong calls."""

from __future__ import annotations

import inspect
import os
import pydoc
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, draw, nn, optim
from tinygrad_bp.check.claims import check
from tinygrad_bp.compile.compiled import compiled
from tinygrad_bp.errors import DtypeError, GraphError
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


W = Tensor([1.0, 2.0], requires_grad=True, name="w")
FIRST_TRIES = [
    (lambda: draw.graph(nn.Linear(2, 2)), r"read off tensors; got Linear\. Call it, and give the tensor that it returns"),
    (lambda: draw.graph([1.0]), r"read off tensors; got list$"),
    (lambda: tg.explain(np.sum(W), ["w1", "w2"]), r"is given itself, or by its name; got \['w1', 'w2'\]"),
    (lambda: optim.SGD(nn.Linear(2, 2), lr=0.1), r"wants the parameters, model\.parameters\(\), .*got Linear"),
    (lambda: nn.Sequential(nn.Linear, 3), r"made of modules, .*got <class 'tinygrad_bp\.nn\.layers\.Linear'>"),
    (lambda: nn.Sequential([nn.Linear(2, 2)]), r"made of modules, nn\.Sequential\(nn\.Linear"),
    (lambda: nn.MLP(2, 2, 1), r"in one list: nn\.MLP\(\[2, 2, 1\]\); got 2"),
]


@pytest.mark.parametrize(("attempt", "remedy"), FIRST_TRIES)
def test_first_tries_are_answered_with_what_to_write(attempt: Callable[[], object], remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy):
        attempt()


def test_sizes_and_modules_may_come_as_arrays_and_functions() -> None:
    assert len(nn.MLP(np.array([2, 3, 1]))) == 4
    assert nn.Sequential(nn.Linear(2, 2), np.tanh)(np.ones(2)).shape == (2,)


@pytest.mark.parametrize("value", [np.eye(2), Tensor(np.eye(2)), [[1.0, 0.0], [0.0, 1.0]]], ids=["array", "tensor", "list"])
def test_a_parameter_does_not_silently_become_something_that_is_not_learned(value: object) -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"weight is a parameter of Linear, .* Write \.weight\.data = values, or \.weight = nn\.Parameter"):
        layer.weight = value
    layer.weight.data = value if isinstance(value, list) else np.eye(2)
    layer.bias = nn.Parameter([1.0, 2.0])
    assert layer([3.0, 4.0]).numpy().tolist() == [4.0, 6.0]
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


@pytest.mark.parametrize("eps", [0, -1e-6, float("nan")])
def test_a_step_of_no_length_is_refused(eps: float) -> None:
    with pytest.raises(ValueError, match="a number above 0; got"):
        tg.gradcheck(np.sin, 1.0, eps=eps)


def test_a_report_without_a_claim_is_not_ok() -> None:
    assert not tg.check(np.sum(W), {}).ok


def test_a_tensor_completes_what_users_write() -> None:
    public = [name for name in dir(W) if not name.startswith("_")]
    assert {"data", "grad", "shape", "backward", "named", "numpy", "requires_grad", "sum", "T", "name"} <= set(public)
    assert not {"raw", "left_array", "serial", "sweep", "tracked", "many"} & set(public)
    assert all(hasattr(W, name) for name in public)


def test_each_method_of_a_tensor_says_what_it_is() -> None:
    methods = {name: getattr(Tensor, name) for name in dir(W) if not name.startswith("_") and callable(getattr(Tensor, name))}
    assert {name for name, method in methods.items() if not method.__doc__} == set()
    assert Tensor.cumsum.__doc__ == "``np.cumsum`` of this tensor, with its options."


def test_what_a_person_types_last_shows_itself_as_text() -> None:
    program = tg.Program.of(np.sum(W * W).named("E"))
    diagnosis = tg.check(program, {"w": [-2.0, -4.0]}).diagnosis
    assert repr(program) == str(program)
    assert repr(diagnosis) == str(diagnosis) == "The sign is flipped in dE/dw."


def test_an_optimizer_of_another_model_is_noticed() -> None:
    model, other = nn.Linear(2, 1, rng=0), nn.Linear(2, 1, rng=0)
    data = np.ones((4, 2)), np.ones((4, 1))
    with pytest.raises(GraphError, match=r"none of the optimizer's parameters, .* of the model that is trained"):
        optim.fit(model, nn.MSELoss(), *data, optim.SGD(other.parameters(), lr=0.1), updates=2)
    sgd = optim.SGD([*other.parameters(), *model.parameters()], lr=0.1)
    assert optim.fit(model, nn.MSELoss(), *data, sgd, updates=2).updates == 2


@pytest.mark.parametrize("make", [lambda: Tensor(1.0, name=3), lambda: Tensor(1.0).named(3)], ids=["name=", "named"])
def test_a_name_is_text(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="a name is text; got 3"):
        make()


def test_initial_values_are_no_words() -> None:
    with pytest.raises(DtypeError, match=r"a function such as nn\.init\.xavier_uniform; got 'xavier'"):
        nn.Linear(2, 2, init="xavier")
