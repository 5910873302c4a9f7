"""Names and calls: what a word in a formula is."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.functions import ARRAYS, FUNCTIONS, KEYWORDS, MODULES, UNKNOWN, Written
from tinygrad_bp.check.formula.names import UPDATED, joined, parts
from tinygrad_bp.check.formula.reader import Reader
from tinygrad_bp.expression import Expression, symbol

STEP = re.compile(r"\(\s*([tkn])\s*([+-]\s*\d)?\s*\)")


class Words(Reader):
    """Names with subscripts, functions with arguments, and words that are several names."""

    def name(self) -> Expression:
        token = self.take()
        if token.text in MODULES and self.is_sign(".") and not self.is_known(token.text):
            self.take()
            if self.token.kind != "word":
                raise self.error(f"expected a function's name, found {self.token}")
            token = self.take()
        if token.text in KEYWORDS:
            return self.mark(Expression(None, value=KEYWORDS[token.text]), token.start)
        return self.named(token.text, token.start)

    def named(self, base: str, start: int) -> Expression:
        """A name with its subscripts, or a call if a function's name stands before a bracket."""
        x = self.mark(symbol(base), start)
        index, primes = "", 0
        while self.is_sign("_") or (self.is_sign("^") and base in UNKNOWN):
            mark, sign = self.at, self.take().text
            text = self.raw()
            if sign == "^" and text.endswith("'"):  # g^{[1]\\prime}
                text, primes = text[:-1], 1
            if sign == "^" and not (text.startswith("(") or text.isalpha()):
                self.at = mark
                break
            x, index = (self.renamed(x, subscript=("_" if parts(x.name)[1] else "") + text), index) if sign == "_" else (x, text)
        x = self.renamed(x, index=index) if index else x
        while self.is_sign("'"):
            self.take()
            primes += 1
        if primes > 1:
            raise self.error("derivatives of the second order are not read")
        if self.is_function(x.name, primes):
            return self.application(x, primes)
        if primes:
            raise self.error("a prime belongs to a function: write f'(x) or sigmoid'(x)")
        if self.is_sign("("):
            return self.step(x) or self.dependence(x)
        return self.renewed(x) or self.split(x)

    def is_function(self, name: str, primes: int) -> bool:
        if self.is_known(name) and not primes:
            return False
        base = parts(name)[0]
        latex = self.tokens[self.at - 1].word and name in FUNCTIONS  # \exp x
        return (self.is_sign("(") and (name in FUNCTIONS or name in ARRAYS or base in UNKNOWN or bool(primes))) or latex

    def application(self, x: Expression, primes: int) -> Expression:
        if self.is_sign("^"):
            return self.powered(x, primes)
        function = f"{x.name}'" if primes else FUNCTIONS.get(x.name, x.name)
        if not self.is_sign("("):
            return self.make(self.start(x), function, self.power())
        if x.name in ARRAYS:
            self.take()
            value = self.nested(self.expression)
            self.expect(")")
            return self.mark(value, self.start(x))
        return self.call(function, self.start(x))

    def powered(self, x: Expression, primes: int) -> Expression:
        r"""\tanh^2 z, which is the square of tanh z."""
        token = self.take()
        exponent = self.raw()
        if not exponent.isdigit():
            raise self.error(f"{x.name}^{exponent} could be another function or a power: write the power after the bracket", token)
        power = self.mark(Expression(None, value=Written(exponent)), token.start)
        return self.make(self.start(x), np.power, self.application(x, primes), power)

    def call(self, function: Any, start: int, *first: Expression) -> Expression:
        self.take()
        operands = list(first)
        options: dict[Any, Any] = {}
        while not self.is_sign(")"):
            if self.token.kind == "word" and self.ahead(1).text == "=":
                option = self.take().text
                self.take()
                options[option] = self.constant()
            elif self.is_sign("(") and self.at in self.listing:  # a shape
                options[len(options)] = self.constant()
            else:
                operands.append(self.nested(self.expression))
            if not self.accept(",") and not self.is_sign(")"):
                raise self.error(f"expected ',' or ')', found {self.token}")
        self.take()
        if not operands:
            raise self.error("a function needs an argument", self.tokens[self.at - 2])
        return self.mark(Expression(function, tuple(operands), options=options), start)

    def constant(self) -> Any:
        """The value of axis= and the like: whole numbers, tuples of them, True, False, None."""
        if self.token.kind == "word" and self.token.text in KEYWORDS:
            return KEYWORDS[self.take().text]
        if self.accept("("):
            items = []
            while not self.accept(")"):
                items.append(self.constant())
                if not self.accept(",") and not self.is_sign(")"):
                    raise self.error(f"expected ',' or ')', found {self.token}")
            return tuple(items)
        n = self.whole()
        if n is None:
            raise self.error(f"expected a whole number, True, False or None, found {self.token}")
        return n

    def step(self, x: Expression) -> Expression | None:
        """w(t+1), w(t): the count of updates, if t has no value, or if a formula begins with w(t+1)."""
        found = STEP.match(self.text, self.token.start)
        if found is None or not self.is_known(x.name):
            return None
        if self.start(x) == self.tokens[self.first].start and found[2]:
            self.counter = found[1]
        if found[1] != self.counter and self.is_known(found[1]):
            return None
        while not self.accept(")"):
            self.take()
        return self.renamed(x, index=f"({found[1]}{found[2]})")

    def renewed(self, x: Expression) -> Expression | None:
        """w_{5,new}: the value after the update."""
        base, sub, _ = parts(x.name)
        before = joined(base, sub.removesuffix("new").rstrip(","))
        return self.mark(symbol(joined(before, "", UPDATED)), self.start(x)) if sub.endswith("new") and self.is_known(before) else None

    def dependence(self, x: Expression) -> Expression:
        """E(v, b_2), or E(theta) = ...: what a quantity depends on, which says nothing about its value."""
        close = self.closing.get(self.at)
        if close is None or not (self.at in self.listing or self.declares(close)):
            return self.split(x)
        self.take()
        self.nested(self.expression)
        while self.accept(",", ";"):
            self.nested(self.expression)
        self.expect(")")
        return self.mark(symbol(x.name), self.start(x))

    def declares(self, close: int) -> bool:
        """Whether this bracket, which holds one name, stands on the left of a formula."""
        inside = self.tokens[self.at + 1 : close]
        after = next(t for t in self.tokens[close + 1 :] if t.text != "}")
        opens = all(t.text in ("{", "}", "_") or t.kind != "sign" for t in self.tokens[self.first : self.at])
        bare = bool(inside) and all(t.text in ("{", "}", "_") or t.kind != "sign" for t in inside)
        raised = {self.at + 1 + i + j for i, t in enumerate(inside) if t.text == "_" for j in (1, 2)}
        one = bare and sum(t.kind == "word" and i not in raised for i, t in enumerate(inside, self.at + 1)) == 1
        return opens and one and after.text == "="

    def split(self, x: Expression) -> Expression:
        """vx as v times x, where only those are known."""
        base, sub, index = parts(x.name)
        if self.known is None or self.is_known(x.name) or sub.endswith("(") or not base.isalnum():
            return x
        found = self.pieces(base, sub, index)
        if found is None:
            return x
        result = self.mark(symbol(found[0]), self.start(x))
        for name in found[1:]:
            result = self.make(self.start(x), fn.product, result, self.mark(symbol(name), self.start(x)))
        return result

    def pieces(self, base: str, sub: str, index: str) -> list[str] | None:
        """The fewest known names that a word is made of, the last of which carries the subscript."""
        best: dict[int, list[str]] = {0: []}
        for end in range(1, len(base) + 1):
            for begin in range(end):
                name = joined(base[begin:end], sub, index) if end == len(base) else base[begin:end]
                if begin in best and self.is_known(name) and len(best[begin]) + 1 < len(best.get(end, "x" * 99)):
                    best[end] = [*best[begin], name]
        return best.get(len(base))
