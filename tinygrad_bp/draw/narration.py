"""What happens at a line of a Program, in words and formulas: the rules run on symbols, and the graph's numbers put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from tinygrad_bp import expression
from tinygrad_bp.expression import INFIX, Expression, format_number, number, partial
from tinygrad_bp.program import Line, Program

MANY = 6  # names that a sentence lists


@dataclass(frozen=True)
class Formula:
    """left = one form = another = its number, and the names that the last form reads."""

    left: str
    members: tuple[str, ...]
    reads: tuple[str, ...]

    def __str__(self) -> str:
        return " = ".join([self.left, *self.members])


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
        return partial(self.name(self.top), self.name(place))

    # -- formulas --------------------------------------------------------------------------------------------------------

    def forward(self, place: int) -> list[Formula]:
        """How the value of a line is computed."""
        return [self._formula([self.name(place)], [self.program.definition(place)], self.program.lines[place].value)]

    def backward(self, place: int) -> list[Formula]:
        """How d(output)/d(line) is computed from those of the lines that use it."""
        users = [u for u in self.users.get(place, []) if u in self.program.gradients]
        names = [self.gradient(place).text()]
        if self.name(place).startswith("net_"):  # its gradient is the delta of the neuron
            names = [f"delta_{self.name(place)[4:]}", *names]
        if self.single and users != [self.top]:
            names += [self._chain(place, users)] if users else []
        parts = [self._contribution(u, place) for u in users]
        total = reduce(lambda a, b: a + b, parts) if parts else number(1)
        return [self._formula(names, [total], self.program.gradients[place])]

    def _chain(self, place: int, users: Sequence[int]) -> str:
        """The chain rule by name."""
        factors = [(self.gradient(u), partial(self.name(u), self.name(place))) for u in users]
        return " + ".join(local.text() if u == self.top else f"{above} * {local}" for u, (above, local) in zip(users, factors, strict=True))

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

    def _formula(self, names: Sequence[str], formulas: Sequence[Expression], value: Any) -> Formula:
        members = [f.text() for f in formulas if f.function is not None or f.name]
        if np.ndim(value) or not self.single:
            members = [f.text() for f in formulas if is_plain(f)]
        else:
            put_in = formulas[-1].text(self._number if formulas[-1].function else self._bare)
            members.append(re.sub(r"\(\((-[^()]*)\)\)", r"(\1)", put_in))  # sigmoid((-2)) has brackets enough
        members.append(f"an array of shape {np.shape(value)}" if np.ndim(value) else format_number(value, self.digits))
        left, *rest = dict.fromkeys([*names, *members])
        return Formula(left, tuple(rest), tuple(formulas[-1].names()))

    def _bare(self, x: Expression) -> str:
        return format_number(self.values[x.name] if x.name else x.value, self.digits)

    def _number(self, x: Expression) -> str:
        """A name as its value, a negative one in brackets."""
        text = self._bare(x)
        return f"({text})" if text.startswith("-") and x.name else text

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
