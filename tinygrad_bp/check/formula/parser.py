"""A formula's text to an ``Expression``: precedence climbing over the tokens, as a mathematician reads.

From loose to tight: ``=``; comparisons; ``+ -``; products, divisions and factors side by side, from left to right; a
leading minus; powers, transposes, indices. A sum sign takes the product that follows it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from tinygrad_bp.check.formula.names import key
from tinygrad_bp.check.formula.operators import Operators
from tinygrad_bp.check.formula.tokens import Token
from tinygrad_bp.errors import FormulaError
from tinygrad_bp.expression import Expression

EQUATIONS = {"aligned", "align", "split", "eqnarray", "gathered", "gather", "cases", "equation"}


@dataclass(frozen=True, eq=False)
class Formula:
    """A chain of equalities ``a = b = c``: its members, and where in the text each part stands."""

    text: str
    members: tuple[Expression, ...]
    spans: dict[int, tuple[int, int]] = field(repr=False, default_factory=dict)  # id of an expression -> (start, end)
    continues: bool = False  # it begins with "=", so its first member is the last one of the formula before
    assigns: bool = False  # ":=" or "-=": what is on the left is the value after the update

    def __str__(self) -> str:
        return ("= " if self.continues else "") + " = ".join(map(str, self.members))

    def source(self, x: Expression) -> str:
        """The text that a part was read from."""
        start, end = self.spans.get(id(x), (0, len(self.text)))
        return " ".join(self.text[start:end].split())

    def error(self, x: Expression, problem: str) -> FormulaError:
        return FormulaError.at(self.text, self.spans.get(id(x), (0, 0))[0], problem)


def parse(text: str, known: Collection[str] | None = None) -> Formula:
    r"""Read one formula, in NumPy's, LaTeX's or Unicode's notation, mixed freely.

    ``known``: names that decide between readings: ``vx`` is one name, or two where only ``v`` and ``x`` are known.
    Nothing is evaluated. Raises ``FormulaError``, which points at the place that cannot be read.

    >>> print(parse(r"\frac{\partial E}{\partial w_5} = -(t_{o 1} - out_{o 1}) \cdot h = 0.0821"))
    derivative(E, w_5) = dot(-(t_o1 - out_o1), h) = 0.0821
    >>> parse("2 * (a + b")
    Traceback (most recent call last):
        ...
    tinygrad_bp.errors.FormulaError: expected ')', found the end
      2 * (a + b
                ^
    """
    found = parse_all(text, known)
    if len(found) != 1:
        raise FormulaError(f"expected one formula, found {len(found)}. Give a list of formulas")
    return found[0]


def parse_all(text: str, known: Collection[str] | None = None) -> list[Formula]:
    r"""Read the formulas of a text, separated by commas, semicolons, or as lines of an array or align environment.

    >>> [str(f) for f in parse_all(r"\begin{array}{l} a = 0.5 \\ b = 2 a \end{array}")]
    ['a = 0.5', 'b = product(2, a)']
    """
    keys = None if known is None else frozenset(map(key, known))
    return _Parser(text, keys).formulas()


class _Parser(Operators):
    """Whole formulas, and the environments that have one in each line."""

    def formulas(self) -> list[Formula]:
        found: list[Formula] = []
        while self.token.kind != "end":
            if self.accept(",", ";", "\\\\", "&", "."):
                continue
            found += self.equations() if self.begins(EQUATIONS) or self.array_of_equations() else [self.chain()]
            if self.token.kind != "end" and not self.is_sign(",", ";", "\\\\", "."):
                raise self.unexpected()
        if not found:
            raise FormulaError("the formula is empty")
        return found

    def unexpected(self) -> FormulaError:
        wanted = "an opening one before it" if self.is_sign(")", "]", "}", "end") else "an operator, '=' or the end"
        return self.error(f"did not expect {self.token} here; expected {wanted}")

    def begins(self, kinds: Collection[str]) -> bool:
        return self.is_sign("begin") and self.ahead(1).text in kinds

    def array_of_equations(self) -> bool:
        if not self.begins({"array"}):
            return False
        depth = 0
        for i, token in enumerate(self.tokens[self.at :], self.at):
            depth += (token.kind == "sign") * ((token.text in ("{", "(", "begin")) - (token.text in ("}", ")", "end")))
            if depth == 1 and token.kind == "sign" and token.text == "=":
                return True
            if depth == 0:
                return self.tokens[min(i + 2, len(self.tokens) - 1)].kind == "end"
        return False

    def equations(self) -> list[Formula]:
        """The lines of an environment; what marks their alignment is left out."""
        self.take()
        kind = self.take().text
        depth = 0
        for i in range(self.at, len(self.tokens)):
            depth += (self.tokens[i].text == "begin") - (self.tokens[i].text == "end")
            if depth < 0:
                break
            if depth == 0 and self.tokens[i].text == "&" and i > self.at:
                self.tokens[i] = Token("sign", "skip", self.tokens[i].start, self.tokens[i].end)
        self.tokens = [t for t in self.tokens if t.text != "skip"]
        found = []
        while not self.is_sign("end"):
            if self.accept("\\\\", ",", ";", "&"):
                continue
            if self.token.kind == "end":
                raise self.error(f"expected \\end{{{kind}}}, found the end")
            found.append(self.chain())
            if not self.is_sign("end", "\\\\", ",", ";"):
                raise self.unexpected()
        self.close(kind)
        return found

    def chain(self) -> Formula:
        start, self.first, self.counter = self.token.start, self.at, ""
        continues = self.accept("=")
        members, assigns = [self.expression()], False
        while self.is_sign("=", ":=", "==", "+=", "-=", "->"):
            token = self.take()
            sign, right = token.text, self.expression()
            if sign == "->" and not {x.partition("^")[0] for x in members[-1].names()} <= {x.partition("^")[0] for x in right.names()}:
                raise self.error("an arrow is read as an update, w -> w - ...", token)
            if sign in ("+=", "-="):
                right = self.make(self.start(members[-1]), np.add if sign == "+=" else np.subtract, members[-1], right)
            assigns |= sign in (":=", "+=", "-=", "->")
            members.append(right)
        end = self.tokens[max(self.at - 1, 0)].end
        self.spans[0] = (start, end)
        return Formula(self.text, tuple(members), self.spans, continues, assigns)
