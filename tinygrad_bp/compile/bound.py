"""A written program on the arrays that parameters and optimizer have now, with a look at each call whether they still do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_bp.changes import CHANGES, next_serial
from tinygrad_bp.compile.execute import executed
from tinygrad_bp.compile.task import Task
from tinygrad_bp.compile.trace import Node

Inlined = tuple[list[str], list[str], dict[str, Any]]  # tests, lines of a call, and the objects that they name
LEAVES = "LEAVES"  # in those lines: the arguments
ELSEWHERE = object()  # what the guarded step returns where an array was replaced


class Bound:
    """``make``, called again whenever a parameter or a state got another array of the same shape and dtype."""

    def __init__(self, make: Callable[..., Any], inputs: list[Node], numbers: list[Node], returned: list[Node], task: Task) -> None:
        self.make, self.inputs, self.task = make, inputs, task
        self.numbers, self.returned = numbers, returned  # what step takes after the leaves, and returns after the loss
        self.tensors = task.parameters
        self.layout = [_layout(n.value) for n in inputs]
        self.settings = _settings(task.optimizer)
        self.tracked = [p.tracked for p in self.tensors]
        self.inlined: Inlined | None = None
        self.guarded: Callable[..., Any] = lambda leaves: ELSEWHERE

    def step(self, leaves: Sequence[Any]) -> Any:
        """One call, on the arrays that are there."""
        result = self.guarded(leaves)
        if result is not ELSEWHERE:
            return result
        arrays = self.arrays()
        if arrays is None:
            return None
        self.guarded = self.guard(arrays)
        return self.guarded(leaves)

    def arrays(self) -> list[Any] | None:
        """The arrays as they are now, or ``None`` where they do not fit the program."""
        optimizer, found = self.task.optimizer, []
        if optimizer is not None and (_settings(optimizer) != self.settings):
            return None
        if [p.tracked for p in self.tensors] != self.tracked:
            return None
        for node, layout in zip(self.inputs, self.layout, strict=True):
            array = self.find(node)
            if array is None or _layout(array) != layout:
                return None
            found.append(array)
        return None if any(self.find(n) is None for n in self.numbers if n.where) else found

    def find(self, node: Node) -> Any:
        if node.kind == "parameter":
            return self.tensors[self.task.parameter_names.index(str(node.name))].raw
        if node.where and node.kind in ("state", "number"):
            i, key = node.where
            return self.task.optimizer.state.get(i, {}).get(key)
        return node.value

    def guard(self, arrays: list[Any]) -> Callable[..., Any]:
        """The program on these arrays, behind a test that they, and the optimizer's settings, are still the ones."""
        self.inlined = self.pieces(arrays)
        tests, lines, space = self.inlined
        head = [f"if not ({' and '.join(tests)}):", "    return ELSEWHERE"] if tests else []
        body = [line.replace(LEAVES, "*leaves") for line in lines]
        return defined("guarded(leaves)", [*head, *body, "return result"], space)

    def pieces(self, arrays: list[Any]) -> Inlined:
        optimizer, task = self.task.optimizer, self.task
        space: dict[str, Any] = {"ELSEWHERE": ELSEWHERE, "CHANGES": CHANGES, "next_serial": next_serial, "o": optimizer}
        tests, given = [], list(arrays)
        for k, (node, array) in enumerate(zip(self.inputs, arrays, strict=True)):
            if node.kind == "parameter":
                t = task.parameter_names.index(str(node.name))
                space |= {f"p{t}": self.tensors[t], f"a{t}": array}
                tests.append(f"p{t}.raw is a{t} and p{t}.tracked is {self.tracked[t]}")
            elif node.kind == "state":
                i, key = node.where
                given[k] = optimizer.state[i][key] = array.copy("K")  # the program writes into it, and somebody may hold the old one
                space[f"x{k}"] = given[k]
                tests.append(f"e{i}[{key!r}] is x{k}")
        if optimizer is not None:
            entries = {node.where[0] for node in [*self.inputs, *self.numbers] if isinstance(node.where, tuple)}
            space |= {"s": optimizer.state} | {f"e{i}": optimizer.state.get(i) for i in entries}
            tests = ["o.state is s", *(f"s.get({i}) is e{i}" for i in sorted(entries)), *tests]
            for k, (name, value) in enumerate(self.settings):
                space[f"v{k}"] = value
                tests.append(f"getattr(o, {name!r}) == v{k}")  # a name of the user's stays a string
        space["step"] = self.make(*given)
        return tests, self.lines(), space

    def lines(self) -> list[str]:
        """The call, and what is left to be told afterwards."""
        numbers = ["o.lr" if not n.where else f"e{n.where[0]}[{n.where[1]!r}]" for n in self.numbers]
        given = ", ".join([*([LEAVES] if self.task.names else []), *numbers])
        lines = [f"result = step({given})", "if result is None:", "    return None"]
        if self.task.optimizer is None:
            return lines
        names = [f"n{k}" for k in range(len(self.returned))]
        if names:
            lines.append(f"result, {', '.join(names)} = result")
        lines += [f"e{n.where[0]}[{n.where[1]!r}] = {name}" for n, name in zip(self.returned, names, strict=True)]
        lines.append("CHANGES.latest = serial = next_serial()")
        changed = [self.task.parameter_names.index(str(n.name)) for n in self.inputs if n.kind == "parameter"]
        return lines + [line for k in changed for line in (f"p{k}.changed = serial", f"p{k}.gradient = None")]


def defined(head: str, body: list[str], space: dict[str, Any]) -> Callable[..., Any]:
    """A function of a few lines that were put together here from the names in ``space``."""
    return executed("\n    ".join([f"def {head}:", *body]), space)[head.partition("(")[0]]  # type: ignore[no-any-return]


def _settings(optimizer: Any) -> list[tuple[str, Any]]:
    """What an update depends on beside the state and the learning rate, which the program reads at every call."""
    return [] if optimizer is None else [(name, getattr(optimizer, name)) for name in optimizer.settings if name != "lr"]


def _layout(x: Any) -> Any:
    return (x.shape, x.dtype, [s for s, n in zip(x.strides, x.shape, strict=True) if n > 1]) if isinstance(x, np.ndarray) else None
