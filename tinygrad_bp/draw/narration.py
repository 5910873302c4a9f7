"""What happens at a line of a Program, in words and formulas: the rules run on symbols, and the graph's numbers put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from tinygrad_bp import expression
from tinygrad_bp.expression import INFIX, Expression, format_number, number, partial, symbol
from tinygrad_bp.letters import SUM, delta_of
from tinygrad_bp.program import Line, Program

MANY = 6  # names that a sentence lists


@dataclass(frozen=True)
class Formula:
    """names = formula = the formula with numbers put in = its value. ``str`` writes it in ASCII."""

    names: tuple[Expression, ...]
    formula: Expression
    value: Any
    values: Mapping[str, Any]
    digits: int

    def __str__(self) -> str:
        return " = ".join(self.members())

    def members(self, unicode: bool = False) -> list[str]:
        """What stands between the equals signs."""
        found = [x.text(unicode=unicode) for x in (*self.names, self.formula) if x.function is not None or x.name]
        if np.ndim(self.value):
            found.append(f"an array of shape {np.shape(self.value)}")
        else:
            if not any(np.ndim(self.values[name]) for name in self.formula.names()):
                found.append(self.formula.text(self._number, unicode))
            found.append(format_number(self.value, self.digits))
        return list(dict.fromkeys(found))

    def _number(self, x: Expression) -> str:
        return format_number(self.values[x.name] if x.name else x.value, self.digits)


class Narration:
    """Says how each named line is computed, and how its gradient is.

    >>> from tinygrad_bp import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> program = Program.of((x * x).named("y"))
    >>> say = Narration(program)
    >>> print(*say.forward(1), *say.backward(0))
    y = x**2 = 3**2 = 9 dy/dx = 2 * x = 2 * 3 = 6
    """

    def __init__(self, program: Program, digits: int = 6) -> None:
        self.program, self.digits = program, digits
        self.top = program.outputs[0]
        self.single = not any(line.shape for line in program)  # it computes with single numbers only
        self.values: dict[str, Any] = {name: program.lines[i].value for name, i in program.places.items()}
        self.values |= {self.gradient(i).name: g for i, g in program.gradients.items()}

    # -- what leads where ------------------------------------------------------------------------------------------------

    def reads(self, place: int) -> list[int]:
        """The named lines that a line is computed from directly, in the order in which its formula reads them."""
        found: dict[int, None] = {}
        pending = list(self.program.lines[place].operands)
        while pending:
            i = pending.pop(0)
            line = self.program.lines[i]
            if i in self.program.named:
                found[i] = None
            elif not line.constant:
                pending[:0] = line.operands
        return list(found)

    @cached_property
    def users(self) -> dict[int, list[int]]:
        """The named lines on the way to the output that are computed from a line directly."""
        found: dict[int, list[int]] = {}
        for i in sorted(self.program.named):
            if i in self.program.gradients:
                for operand in self.reads(i):
                    found.setdefault(operand, []).append(i)
        return found

    def name(self, place: int) -> str:
        return self.program.names[place]

    def gradient(self, place: int) -> Expression:
        """The name of d(output)/d(line)."""
        return partial(self.name(self.top), self.name(place), shape=self.program.lines[place].shape)

    # -- formulas --------------------------------------------------------------------------------------------------------

    def forward(self, place: int) -> list[Formula]:
        """How the value of a line is computed."""
        return [self._formula([symbol(self.name(place))], self.program.definition(place), self.program.lines[place].value)]

    def backward(self, place: int) -> list[Formula]:
        """How d(output)/d(line) is computed from those of the lines that use it."""
        users = [u for u in self.users.get(place, []) if u in self.program.gradients]
        names = [self.gradient(place)]
        if (found := SUM.fullmatch(self.name(place))) and found[1]:  # its gradient is the delta of the neuron
            names.insert(0, symbol(delta_of(self.name(place))))
        if self.single and users and users != [self.top]:
            names.append(total([self._link(u, place) for u in users]))
        parts = [self._contribution(u, place) for u in users]
        return [self._formula(names, total(parts) if parts else number(1), self.program.gradients[place])]

    def _link(self, user: int, place: int) -> Expression:
        """One term of the chain rule, by name."""
        local = partial(self.name(user), self.name(place))
        return local if user == self.top else self.gradient(user) * local

    def _contribution(self, user: int, place: int) -> Expression:
        """What comes back to a line through one of its users: the rules, run on symbols."""
        above = number(1) if self.is_one(user) else self.gradient(user)
        if self.single:
            return above * self.program.partials(user)[place]
        found: dict[int, Expression] = self.program.reverse(self.program.symbols, {user: above}, stop=self.program.named, fit=summed)
        return found[place]

    def is_one(self, place: int) -> bool:
        """Whether its gradient is 1 whatever the numbers are; a factor that a person leaves out."""
        while place != self.top:
            users = self.users.get(place, [])
            if not self.single or len(users) != 1 or not self.program.partials(users[0])[place].same(number(1)):
                return False
            place = users[0]
        return True

    def _formula(self, names: Sequence[Expression], formula: Expression, value: Any) -> Formula:
        return Formula(tuple(names), formula if self.single or is_plain(formula) else number(value), value, self.values, self.digits)

    # -- words -----------------------------------------------------------------------------------------------------------

    def forward_words(self, place: int) -> str:
        """What a line is computed from."""
        return f"{self.name(place)} is computed from {listed([self.name(i) for i in self.reads(place)])}."

    def backward_words(self, place: int) -> str:
        """From where the gradient of a line comes."""
        users = [self.name(u) for u in self.users.get(place, [])]
        name, top = self.name(place), self.name(self.top)
        if not users:
            return f"The way back starts at {top}."
        if users == [top]:
            return f"{name} acts on {top} directly."
        if len(users) == 1:
            return f"{name} acts on {top} through {users[0]} alone: the gradient there times the local derivative."
        return f"{name} acts on {top} through {listed(users)}: each gradient times its local derivative, added up."


def summed(g: Expression, line: Line, user: Line) -> Expression:
    """What comes back to something that was broadcast: the sum over all that it was used for."""
    assert user.rule is not None
    if user.rule.kind != "pointwise" or line.shape == user.shape:
        return g
    return expression.apply(np.sum, g, **({"axis": 0} if line.value.size > 1 else {}))


def total(parts: Sequence[Expression]) -> Expression:
    return reduce(lambda a, b: a + b, parts)


def is_plain(x: Expression) -> bool:
    """Whether a formula of arrays reads like one in a book, without rearrangements that only a program needs."""
    known = x.function in (None, np.sum, np.mean) or x.function in INFIX or not x.options
    return known and not np.ndim(x.value) and all(map(is_plain, x.operands))


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them.

    >>> listed(["w1", "i1", "b1"])
    'w1, i1 and b1'
    """
    shown = list(names) if len(names) <= MANY else [*names[: MANY - 1], f"{len(names) - MANY + 1} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)
