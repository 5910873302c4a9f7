"""What follows a factor: subscripts, powers, transposes, accents, methods, elements."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np

from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.factors import Factors
from tinygrad_bp.check.formula.functions import FUNCTIONS
from tinygrad_bp.check.formula.names import UPDATED, key, parts
from tinygrad_bp.expression import Expression

STEP = re.compile(r"[tkn][+-]\d")
METHODS = {"sum", "mean", "dot", "max", "min", "transpose", "ravel", "reshape", "prod"}


class Suffixes(Factors):
    """A factor with all that belongs to it."""

    def postfix(self, x: Expression) -> Expression:
        while True:
            if self.is_sign("^"):
                x = self.superscript(x)
            elif self.is_sign("_"):
                x = self.subscript(x)
            elif self.is_sign("over hat", "over bar", "over tilde"):
                x = self.accented(x, self.take().text.removeprefix("over "))
            elif self.is_sign(".") and self.ahead(1).kind == "word":
                x = self.attribute(x)
            elif self.is_sign("[") and self.token.start == self.tokens[self.at - 1].end and self.indexes():
                x = self.index(x)
            elif self.is_sign("'"):
                raise self.error("a prime belongs to a function: write f'(x) or sigmoid'(x)")
            elif self.is_sign("+") and self.ahead(1).text in ("=", ":=") and x.name and x.function is None:
                self.take()
                x = self.renamed(x, index=UPDATED)
            else:
                return x

    def accented(self, x: Expression, accent: str) -> Expression:
        if x.function is not None or not x.name:
            raise self.error(f"a {accent} belongs over a name")
        return self.renamed(x, accent=accent)

    def subscript(self, x: Expression) -> Expression:
        token = self.take()
        sub = self.raw()
        if x.function is None and x.name:
            return self.renamed(x, subscript=sub)
        if x.function is fn.turn and x.operands[0].name:  # W^T_o
            return self.make(self.start(x), fn.turn, self.renamed(x.operands[0], subscript=sub))
        raise self.error("a subscript belongs to a name", token)

    def superscript(self, x: Expression) -> Expression:
        """A transpose, an update's plus, an index such as (k), or a power."""
        self.take()
        mark = self.at
        index = self.raw()
        if index == "T" or (index.startswith("(") and index.endswith(")T")):
            base = self.renamed(x, index=index[:-1]) if index[:-1] and x.name else x
            return self.make(self.start(x), fn.turn, base)
        if x.function is None and x.name and not (parts(x.name)[2] and index.isdigit()):  # {a^3_j}^2 is a square
            if index in ("+", "new"):
                return self.renamed(x, index=UPDATED)
            if STEP.fullmatch(index) and self.is_known(x.name):  # w^{t+1}
                return self.renamed(x, index=f"({index})")
            if self.is_index(x.name, index):
                return self.renamed(x, index=index)
        self.at = mark
        exponent = self.braced() if self.is_sign("{") else self.single()
        if x.name == "e" and x.function is None and not self.is_known("e"):
            return self.make(self.start(x), np.exp, exponent)
        return self.make(self.start(x), np.power, x, exponent)

    def is_index(self, name: str, index: str) -> bool:
        """Whether what stands above a name counts something, and is not a power: (k), (0), l, but not 2, n or (1-1)."""
        if self.known is not None and key(name + index) in self.known and not (index.isdigit() and self.is_known(name)):
            return True
        if index.isdigit() and self.is_layer(name, index):
            return True
        if index.startswith("(") and index.endswith(")"):
            return index[1:-1].isdigit() or any(c.isalpha() for c in index)
        return index.isalpha() and name != "e" and (index not in (self.known or ()) or parts(name)[0] == "delta")

    def is_layer(self, name: str, index: str) -> bool:
        """Whether a_j^3 is an element of a^3: there is such a tensor, and no a that could be raised to a power."""
        base, sub, _ = parts(name)
        if not sub or self.known is None or self.is_known(name) or key(base) in self.known:
            return False
        return key(base + index) in self.known and any(key(base + index) + element in self.known for element in ("1", "11"))

    def single(self) -> Expression:
        """An exponent without braces: one number, letter or bracket."""
        if self.is_sign("-"):
            token = self.take()
            return self.make(token.start, np.negative, self.atom())
        return self.atom()

    def attribute(self, x: Expression) -> Expression:
        self.take()
        name = self.take()
        if name.text == "T":
            return self.make(self.start(x), np.transpose, x)
        if name.text not in METHODS or not self.is_sign("("):
            raise self.error(f"no attribute .{name.text} can be read; .T, and the methods {', '.join(sorted(METHODS))} can", name)
        return self.call(FUNCTIONS[name.text], self.start(x), x)

    def indexes(self) -> bool:
        """Whether a bracket holds places, as in W[0, 1], and is no factor, as in (1 - y)[a + b]."""
        inside = itertools.takewhile(lambda t: t.text != "]" and t.kind != "end", self.tokens[self.at + 1 :])
        return all(t.text in (":", ",", "-") or t.text.isdigit() for t in inside)

    def index(self, x: Expression) -> Expression:
        """x[0], x[:, 1], with whole numbers only."""
        self.take()
        items: list[Any] = []
        while True:
            items.append(self.slice())
            if not self.accept(","):
                break
        self.expect("]")
        return self.make(self.start(x), "take", x, index=tuple(items) if len(items) > 1 else items[0])

    def slice(self) -> Any:
        ends: list[int | None] = [self.whole()]
        while self.accept(":"):
            ends.append(self.whole())
        if len(ends) == 1 and ends[0] is None:
            raise self.error(f"expected a whole number as index, found {self.token}")
        return ends[0] if len(ends) == 1 else slice(*ends)
