"""From formulas to statements: what is shared gets a name, what no result needs goes, what stays the same leaves the loop."""

from __future__ import annotations

import builtins
import copy
import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.compile.execute import executed
from tinygrad_bp.compile.scalar_cells import CALLED
from tinygrad_bp.expression import INFIX, Expression, number, symbol

Line = tuple[str, str]  # a statement, and the comment above it
DEEPEST = 24  # operations that may stand inside one another in one line
COMMUTATIVE = (np.add, np.multiply, np.equal, "and", "or")
STATEMENTS = ("if", "and", "or", "%", "//")  # a line of their own each: formulas have no notation for them
COMPARISONS = tuple(function for function, (_, level) in INFIX.items() if level == 0)


class Node:
    """One value of the computation: an operation on others, a name or a number. Equal values are one node."""

    __slots__ = ("changing", "comment", "depth", "function", "leaf", "name", "operands", "own_line", "wanted", "whole")

    def __init__(self, function: Any, operands: tuple[Node, ...], leaf: Expression | None) -> None:
        self.function, self.operands, self.leaf = function, operands, leaf
        self.name = leaf.name if leaf is not None else ""  # what later lines call it
        self.wanted = ""  # the name it gets if it gets a line of its own; no other has it
        self.own_line = False
        self.comment: Callable[[], str] | None = None
        self.depth = 0
        self.changing = False  # from one update to the next
        self.whole = False  # a name that stands for a count


class Names:
    """Python names, each given once."""

    def __init__(self, *reserved: str) -> None:
        self.taken = {*reserved, *CALLED, *dir(builtins), *keyword.kwlist, "inf", "nan"}

    def new(self, wanted: str) -> str:
        """The wanted name if it is free, otherwise the same with a number."""
        stem = re.sub(r"\W", "_", wanted)
        stem = stem if stem.isidentifier() else f"_{stem}"
        name, copy = stem, 1
        while name in self.taken:
            copy += 1
            name = f"{stem}_{copy}"
        self.taken.add(name)
        return name

    def numbered(self) -> str:
        count = 1
        while f"t{count}" in self.taken:
            count += 1
        return self.new(f"t{count}")


class Nodes:
    """Formulas as nodes: common subexpressions are found here.

    ``expand`` says which functions are written out, and how.
    """

    def __init__(self, expand: Mapping[Any, Callable[..., Expression]]) -> None:
        self.expand = expand
        self.known: dict[Any, Node] = {}
        self.of: dict[int, Node] = {}
        self.kept: list[Expression] = []  # their id() must not be given to others

    def node(self, formula: Expression) -> Node:
        """The node of a formula; without recursion, because sums may be long."""
        stack = [formula]
        while stack:
            x = stack[-1]
            if id(x) in self.of:
                stack.pop()
            elif missing := [operand for operand in _parts(x) if id(operand) not in self.of]:
                stack += reversed(missing)
            else:
                self.of[id(x)] = self._interned(stack.pop())
                self.kept.append(x)
        return self.of[id(formula)]

    def _interned(self, x: Expression) -> Node:
        if isinstance(x.value, Expression):
            return self.of[id(x.value)]
        if x.function in self.expand:
            return self.node(self.expand[x.function](*x.operands))
        operands = tuple(self.of[id(operand)] for operand in x.operands)
        if x.function is None:
            key: Any = ("name", x.name) if x.name else ("number", repr(float(x.value)))
        else:
            ids = tuple(map(id, operands))
            key = (x.function, tuple(sorted(ids)) if x.function in COMMUTATIVE else ids)
        if key not in self.known:
            self.known[key] = Node(x.function, operands, x if x.function is None else None)
        return self.known[key]


def _parts(x: Expression) -> tuple[Expression, ...]:
    """The operands of a formula, or the formula that a name stands for."""
    return (x.value,) if isinstance(x.value, Expression) else x.operands


def reachable(roots: Iterable[Node], known: Callable[[Node], bool] = lambda node: False) -> list[Node]:
    """The nodes that the roots are computed from, themselves included, operands first; ``known`` ones and what is behind them left out."""
    found: dict[Node, None] = {}
    stack = [(node, False) for node in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            found[node] = None
        elif node not in found and not known(node):
            stack.append((node, True))
            stack += [(operand, False) for operand in reversed(node.operands)]
    return list(found)


# -- as text -----------------------------------------------------------------------------------------------------------


def literal(value: Any) -> str:
    """A number so that Python reads the same number again. Floats stay floats: with them Python computes a fifth faster."""
    return repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)


def formula(node: Node) -> str:
    """What computes a node, its operands by their names where they have one."""
    if node.function == "if":
        condition, a, b = (_written(x).text(_show) for x in node.operands)
        return f"{a} if {condition} else {b}"
    if node.function in STATEMENTS:
        return f" {node.function} ".join(_written(x).text(_show) for x in node.operands)
    return _operation(node).text(_show)


def _written(node: Node) -> Expression:
    if node.leaf is None:
        return symbol(node.name) if node.name else _operation(node)
    return node.leaf if node.name else number(float(node.leaf.value))


def _operation(node: Node) -> Expression:
    whole = node.function is np.power or any(x.whole for x in node.operands)
    operands = tuple(_counted(x) if whole else _written(x) for x in node.operands)
    if node.function is np.power and operands[0].function is None and operands[1].value == 2:
        return Expression(np.multiply, (operands[0], operands[0]))  # faster than ** in Python
    return Expression(node.function, operands)


def _counted(node: Node) -> Expression:
    """An operand beside a count, or an exponent: a whole number stays one."""
    x = _written(node)
    return number(int(x.value)) if not x.name and x.function is None and x.value == x.value // 1 else x


def _show(x: Expression) -> str:
    return x.name or literal(x.value)


# -- as lines ----------------------------------------------------------------------------------------------------------


class Listing:
    """The lines that compute ``results`` and the new values of ``state``, a dictionary from names to what they become.

    ``once`` are the lines that an update does not change, ``lines`` the others; each is (statement, comment).
    """

    def __init__(self, names: Names, state: dict[Node, Node], results: list[Node]) -> None:
        self.names, self.state = names, state
        self.once: list[Line] = []
        self.lines: list[Line] = []
        self.roots = [*results, *state.values()]
        self.live = reachable(self.roots)
        self.alive = frozenset(self.live)
        self._find_changing()
        self._choose_lines()
        self.late: list[Line] = []
        self.readers = dict.fromkeys(state, 0)  # how often lines that are still to be written read a name that the update changes
        for x in (*(x for node in self.live for x in node.operands), *(new for old, new in state.items() if new is not old)):
            if x in self.readers:
                self.readers[x] += 1

    def _find_changing(self) -> None:
        for node in self.live:
            node.changing = not self.state or node in self.state or any(x.changing for x in node.operands)

    def _choose_lines(self) -> None:
        """A value gets a line if several others read it, if a reader knows it by name, or if it cannot stand inside another."""
        uses = dict.fromkeys(self.live, 0)
        for x in (*(x for node in self.live for x in node.operands), *self.roots):
            uses[x] += 1
        for node in self.live:
            node.own_line |= uses[node] > 1
            for x in node.operands:
                unsayable = x.function in STATEMENTS or (x.function in COMPARISONS and node.function in COMPARISONS)
                split = node.function in STATEMENTS and node.function != "if" and x.function not in COMPARISONS
                x.own_line |= unsayable or split or x.changing < node.changing
            node.depth = 1 + max((0 if x.own_line else x.depth for x in node.operands), default=0)
            if node.depth > DEEPEST:
                node.own_line = True

    def write(self, node: Node) -> None:
        """The line of a node, if it gets one, after those of what it reads."""
        if node.own_line and node in self.alive:
            self._write_all([node])

    def _write_all(self, nodes: Iterable[Node]) -> None:
        for x in reachable(nodes, lambda x: x.function is None or bool(x.name)):
            if x.own_line:
                self._count_readers(x)
                self._name(x, x.wanted or self.names.numbered())

    def assign(self, old: Node) -> None:
        """The line that gives a name its new value, or, where the old one is still needed, the promise of one."""
        new = self.state[old]
        if new is old:
            return
        self._write_all(new.operands)
        ready = new.function is None or bool(new.name)
        if not ready:
            self._count_readers(new)
        if self.readers[old]:
            if not ready:
                self._name(new, self.names.new(f"new_{old.name}"))
            self.late.append((old.name, _written(new).text(_show)))
        elif ready:
            self.lines.append((f"{old.name} = {_written(new).text(_show)}", ""))
        else:
            self.lines.append((_assignment(old, new), ""))
            new.name = old.name

    def check(self, condition: Node, taken: bool) -> None:
        """The lines that stop where a condition of the user's code is another than it was."""
        condition.own_line, condition.wanted = True, condition.wanted or self.names.new("branch")
        self._write_all([condition])
        target = self.lines if condition.changing else self.once
        target += [
            (f"if {'not ' * taken}{self.said(condition)}:", ""),
            ('    raise ValueError("another branch than in the recorded run")', ""),
        ]

    def said(self, node: Node) -> str:
        """What a finished node is called."""
        return _written(node).text(_show)

    def finish(self) -> None:
        """The assignments that had to wait, all at once."""
        if self.late:
            targets, values = map(", ".join, zip(*self.late, strict=True))
            self.lines.append((f"{targets} = {values}", ""))

    def _name(self, node: Node, name: str) -> None:
        target = self.lines if node.changing else self.once
        target.append((f"{name} = {formula(node)}", node.comment() if node.comment else ""))
        node.name = name

    def _count_readers(self, node: Node) -> None:
        """One line fewer that reads the names in it."""
        stack = [node]
        while stack:
            for x in stack.pop().operands:
                if x in self.readers:
                    self.readers[x] -= 1
                elif x.function is not None and not x.name:
                    stack.append(x)


def evaluated(condition: Expression, names: Names, values: Mapping[str, Any]) -> bool:
    """Whether a condition is true of these numbers: its lines, run on NumPy's numbers as those of a careful program are."""
    node = Nodes({}).node(condition)
    node.own_line = True
    listing = Listing(copy.deepcopy(names), {}, [node])
    listing.write(node)
    text = "\n".join(statement for statement, _ in [*listing.once, *listing.lines])
    return bool(executed(text, {**numpy_names(), **values})[node.name])


def numpy_names() -> dict[str, Any]:
    """What a program calls, on NumPy's numbers."""
    ours = {"sigmoid": functions.sigmoid, "erf": math.erf, "round": np.rint, "inf": np.inf, "nan": np.nan}
    return {name: getattr(np, name) for name in CALLED - ours.keys()} | ours


def _assignment(old: Node, new: Node) -> str:
    for function, sign in ((np.subtract, "-="), (np.add, "+=")):
        if new.function is function and new.operands[0] is old:
            change = new.operands[1]
            return f"{old.name} {sign} {(_counted(change) if old.whole else _written(change)).text(_show)}"
    return f"{old.name} = {formula(new)}"
