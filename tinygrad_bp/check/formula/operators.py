"""Operators, from loose to tight: comparisons; ``+ -``; products, divisions and factors side by side; a leading minus; powers."""

from __future__ import annotations

import numpy as np

from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.suffixes import Suffixes
from tinygrad_bp.check.formula.tokens import Token
from tinygrad_bp.expression import Expression, symbol

COMPARISONS = {
    ">": np.greater, "<": np.less, ">=": np.greater_equal, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
PRODUCTS = {"*": np.multiply, "dot": fn.dot, "@": np.matmul, "outer": np.outer, "/": np.divide}


class Operators(Suffixes):
    """Expressions: precedence climbing."""

    def expression(self) -> Expression:
        left = self.sum()
        while self.is_sign(*COMPARISONS) and not (self.is_sign("==") and self.nesting == 0):
            function = COMPARISONS[self.take().text]
            left = self.make(self.start(left), function, left, self.sum())
        return left

    def sum(self) -> Expression:
        left = self.term()
        while self.is_sign("+", "-"):
            function = np.add if self.take().text == "+" else np.subtract
            left = self.make(self.start(left), function, left, self.term())
        return left

    def term(self) -> Expression:
        left = self.unary()
        while True:
            if self.is_sign(*PRODUCTS):
                token = self.take()
                right = self.unary()
                left = self.divide(left, right, token) if token.text == "/" else self.make(
                    self.start(left), PRODUCTS[token.text], left, right
                )  # fmt: skip
            elif self.starts_factor():
                left = self.make(self.start(left), fn.product, left, self.power())
            else:
                return left

    def starts_factor(self) -> bool:
        return (
            self.token.kind in ("number", "word")
            or self.is_sign("(", "{", "[", "frac", "partial", "nabla", "sum", "sqrt", "hat", "bar", "tilde", "dotted", "...", "begin")
            or (self.is_sign("|", "||") and not self.bars)
        )

    def divide(self, upper: Expression, lower: Expression, token: Token) -> Expression:
        """A fraction on the line, or a derivative. 1/2 x is read; a/b x could be two things and is refused."""
        quotient = self.fraction(upper, lower)
        plain = quotient.function is not np.divide or all(x.function is None and not x.name for x in (upper, lower))
        if not plain and self.starts_factor():
            raise self.error("this could be part of the denominator or not: write (a / b) * c or a / (b * c)")
        return quotient

    def fraction(self, upper: Expression, lower: Expression) -> Expression:
        top, bottom = self.as_differential(upper), self.as_differential(lower)
        if top is not None and bottom is not None:
            return self.make(self.start(upper), fn.derivative, top, bottom)
        factors = upper.operands if upper.function in (np.multiply, np.negative, fn.product, fn.dot) else ()
        if bottom is not None and factors and self.as_differential(factors[-1]) is not None:  # eta * dE/dw
            return self.make(self.start(upper), upper.function, *factors[:-1], self.fraction(factors[-1], lower))
        return self.make(self.start(upper), np.divide, upper, lower)

    def as_differential(self, x: Expression) -> Expression | None:
        """E for the partial of E, for dE and for d E; ``None`` for anything else."""
        if x.function is fn.differential:
            return x.operands[0]
        if x.function is None and x.name.startswith("d") and len(x.name) > 1 and x.name[1].isalpha() and not self.is_known(x.name):
            if x.name.startswith("delta"):
                return None
            return self.mark(symbol(x.name[1:]), self.start(x))
        if x.function is fn.product and x.operands[0].name == "d" and not self.is_known("d"):
            return x.operands[1]
        return None

    def unary(self) -> Expression:
        token = self.token
        if self.accept("-"):
            return self.make(token.start, np.negative, self.nested(self.unary))
        if self.accept("+"):
            return self.nested(self.unary)  # type: ignore[no-any-return]
        return self.power()

    def power(self) -> Expression:
        base = self.postfix(self.atom())
        if self.accept("**"):
            return self.make(self.start(base), np.power, base, self.nested(self.unary))
        return base
