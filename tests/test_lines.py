"""Where a formula fails in the backward pass, the error names the line of the user's program that recorded the operation."""

from __future__ import annotations

import copy
import linecache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
import tinygrad_bp.errors
from tinygrad_bp import Tensor, nn
from tinygrad_bp.engine import order
from tinygrad_bp.rule import RULES

LINES = [
    "y = x * 2.0",
    "y = 2.0 - x",
    "y = -x",
    "y = abs(x)",
    "y = x @ x",
    "y = x[1:]",
    "y = x.T",
    "y = x.sum()",
    "y = x.mean(axis=0)",
    "y = x.reshape(9)",
    "y = x.transpose(1, 0)",
    "y = x.astype(np.float32)",
    "y = x.max()",
    "y = x.var()",
    "y = x.cumsum(0)",
    "y = np.exp(x)",
    "y = np.maximum.reduce(x, axis=0)",
    "y = np.sum(x, axis=1)",
    "y = np.einsum('ij,jk->ik', x, x)",
    "y = np.var(x)",
    "y = np.linalg.norm(x)",
    "y = np.linalg.inv(x)",
    "y = np.stack([x, x])",
    "y, _ = np.split(x, [1])",
    "y = np.linalg.slogdet(x).logabsdet",
    "y = tg.softmax(x)",
    "y = tg.gelu(x)",
    "y = tg.logsumexp(x, axis=0)",
    "y = sum(row * 2 for row in x)",
    "y = [row for row in x][1]",
    "y = list(map(np.exp, [x]))[0]",
    "y = np.linalg.multi_dot([x, x, x])",
    "y = nn.Linear(3, 2, rng=0)(x)",
    "y = nn.Linear(3, 2, bias='unit', rng=0)(x)",
    "y = nn.Sequential(nn.Linear(3, 2, rng=0), nn.Tanh(), nn.Softmax())(x)",
    "y = nn.Sequential(np.tanh, nn.Linear(3, 2, rng=0), nn.Sequential(nn.ReLU()))(x)",
    "y = nn.MLP([3, 4, 2], [nn.Tanh, nn.Softmax], rng=0)(x)",
    "y = nn.HalfSquaredError()(x, np.ones((3, 3)))",
    "y = nn.QuadraticCost()(x, np.ones((3, 3)))",
    "y = nn.BCELoss()(tg.sigmoid(x), np.ones((3, 3)))",
    "y = nn.CrossEntropyLoss()(x, np.array([0, 1, 2]))",
    "y = tg.vjp(np.sin, x)[0]",
    "y = tg.vjp(np.sin, x)[1](np.ones((3, 3)))[0]",
    "y = tg.grad(lambda a: np.sum(a ** 3))(x)",
    "y = tg.jacobian(np.sin)(x)",
    "y = tg.hvp(lambda a: np.sum(a ** 3), x, x)",
    "_, y = tg.jvp(np.tanh, (x,), (x,))",
    "y = {'out': np.sin(x)}['out']",
    "y = model(x)",
    "y = nn.Sequential(np.tanh, lambda a: np.var(a, axis=0))(x)",
    "y = [[np.tanh(x)], {'a': (nn.Linear(3, 3, rng=0)(x),)}][1]['a'][0]",
    "y = x // 2.0 + x % 2.0",
]


class Block(nn.Module):
    """A module of the user's that ends in one of ours."""

    def __init__(self) -> None:
        self.inner = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh())

    def forward(self, x: Any) -> Any:
        return self.inner(x).var()


def recorded(line: str, name: str, **names: Any) -> Tensor:
    """What one line of a program computes from a matrix, and something after it, each on a line of its own."""
    text = f"x = x + 0.0\n{line}\nz = y * 1.0\nz = np.sum(z)\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    known = {
        "x": Tensor(np.eye(3) + np.arange(9.0).reshape(3, 3) / 9, requires_grad=True),
        "np": np,
        "tg": tg,
        "nn": nn,
        "model": nn.MLP([3, 2, 1], rng=0),
    } | names
    exec(compile(text, name, "exec"), known)
    return known["z"]  # type: ignore[no-any-return]


def failing(rule: Any) -> Any:
    """A rule like another, but with formulas that fail."""

    def fail(t: Tensor, g: Any) -> Any:
        raise ZeroDivisionError("boom")

    broken = copy.copy(rule)
    broken.pulls = tuple(f and fail for f in rule.pulls)
    return broken


def named_line(t: Tensor, z: Tensor, retain_graph: bool) -> str:
    """The line that the error names if the formulas of one node fail."""
    t.rule = failing(t.rule)
    with pytest.raises(ZeroDivisionError, match="boom") as caught:
        z.backward(retain_graph=retain_graph)
    return caught.value.__notes__[-1]


@pytest.mark.parametrize("retain_graph", [True, False])
@pytest.mark.parametrize("line", LINES)
def test_every_node_belongs_to_the_line_that_recorded_it(line: str, retain_graph: bool) -> None:
    n = len([t for t in order(recorded(line, "program.py")) if t.rule])
    assert n >= 4
    for i in range(n):
        z = recorded(line, "program.py")
        t = [t for t in order(z) if t.rule][i]
        number = 1 if i == 0 else 2 if i < n - 2 else i - n + 5
        assert f"{t.rule.name} was recorded by program.py:{number}: " in named_line(t, z, retain_graph)


class Halves(nn.Module):
    """A module of the user's: its lines are those that matter, whoever calls it."""

    def forward(self, x: Any) -> Any:
        return {"low": x * 0.5}, [np.tanh(x) * 0.5]


def test_lines_inside_a_module_of_the_users_are_the_innermost() -> None:
    line = "y = body(x)[1][0]"
    z = recorded(line, "program.py", body=nn.Sequential(nn.Linear(3, 3, rng=0), Halves()))
    nodes = [t for t in order(z) if t.rule]
    assert [t.rule.name for t in nodes][1:4] == ["linear", "tanh", "multiply"]  # type: ignore[union-attr]
    assert f"program.py:2: {line}" in named_line(nodes[1], z, True)
    for t in nodes[2:4]:
        z = recorded(line, "program.py", body=nn.Sequential(nn.Linear(3, 3, rng=0), Halves()))
        (same,) = (s for s in order(z) if s.rule and s.rule.name == t.rule.name and s.serial - z.serial == t.serial - nodes[-1].serial)  # type: ignore[union-attr]
        assert "np.tanh(x) * 0.5" in named_line(same, z, True)


@pytest.mark.parametrize("name", ["linear", "tanh"])
def test_what_a_sequential_computes_before_a_module_of_the_users(name: str) -> None:
    z = recorded("y = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Tanh(), block)(x)", "program.py", block=Block())
    first, second = (t for t in order(z) if t.rule and t.rule.name == name)
    assert f"{name} was recorded by program.py:2: y = nn.Sequential(" in named_line(first, z, True)
    assert "return self.inner(x).var()" in named_line(second, z, True)


def test_a_change_in_place_is_told_with_the_line_that_read_the_value() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    y = np.sum(w * w)  # reads w
    with tg.no_grad():
        w[0] = 5.0
    with pytest.raises(tg.errors.InPlaceError, match="tensor 'w' was changed in place after multiply read it") as caught:
        y.backward()
    assert caught.value.__notes__[0].endswith("y = np.sum(w * w)  # reads w.")


def test_derivatives_of_derivatives_belong_to_the_line_that_took_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RULES[np.cos], "pulls", failing(RULES[np.cos]).pulls)
    with pytest.raises(ZeroDivisionError, match="boom") as caught:
        tg.grad(tg.grad(np.sin))(2.0)  # this line
    assert caught.value.__notes__[-1].endswith("tg.grad(tg.grad(np.sin))(2.0)  # this line.")


def test_an_anomaly_of_a_second_derivative_is_the_users() -> None:
    with np.errstate(divide="ignore"), tg.detect_anomaly(), pytest.raises(tg.errors.AnomalyError) as caught:
        tg.grad(tg.grad(lambda a: a**1.5))(0.0)  # this line
    assert str(caught.value).endswith("# this line")


@pytest.mark.parametrize(("function", "line"), [(np.var, "# first line"), (np.cos, "# second line")])
def test_a_pullback_on_a_line_of_its_own(function: Any, line: str) -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    _, pullback = tg.vjp(lambda a: np.sin(a) * np.var(a), x)  # first line
    (g,) = pullback(np.ones(2))  # second line
    z = np.sum(g)
    names = {np.var: "square", np.cos: "cos"}
    node = next(t for t in order(z) if t.rule and t.rule.name == names[function])
    assert named_line(node, z, True).endswith(line + ".")


def test_forward_mode_says_where_too() -> None:
    broken = tg.pointwise(lambda x: x * 2, x=lambda g: 1 // 0)
    with pytest.raises(ZeroDivisionError) as caught:
        tg.jvp(lambda x: broken(x) * 2, (1.0,), (1.0,))  # this line
    assert caught.value.__notes__[0] == "This happened in the derivative of <lambda>, forward."
    assert caught.value.__notes__[1].endswith("# this line.")


def test_a_failure_in_front_of_a_freed_part_is_told() -> None:
    x = Tensor(2.0, requires_grad=True)
    h = x * 3
    h.backward(retain_graph=False)
    z = h * 2 + 1  # this line
    assert named_line(z, z, True).endswith("# this line.")


def test_a_folder_with_a_longer_name_is_the_users() -> None:
    beside = str(Path(tg.__file__).parent) + "_lab/train.py"
    z = recorded("y = x * 2.0", beside)
    node = next(t for t in order(z) if t.rule and t.rule.name == "multiply")
    assert "_lab/train.py:2: y = x * 2.0" in named_line(node, z, True)
