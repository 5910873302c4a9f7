"""Factors: numbers, names, brackets, and LaTeX's fractions, sums, roots, derivatives and matrices."""

from __future__ import annotations

import re

import numpy as np

from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.functions import Written
from tinygrad_bp.check.formula.tokens import Token
from tinygrad_bp.check.formula.words import Words
from tinygrad_bp.expression import Expression, symbol

MATRICES = {"pmatrix", "bmatrix", "vmatrix", "Bmatrix", "matrix", "smallmatrix", "array"}
COUNT = re.compile(r"\(.*\)|\d+|[kKtn]")  # of updates
CLOSING = {"(": ")", "[": "]", "{": "}"}
COMPARING = {">", "<", ">=", "<=", "==", "!="}


class Factors(Words):
    """What stands alone between two operators."""

    def atom(self) -> Expression:
        token = self.token
        if token.kind == "number":
            return self.number()
        if (
            token.text == "Delta"
            and not self.is_known("Delta")
            and (self.ahead(1).kind == "word" or self.ahead(1).text in ("{", "hat", "bar"))
        ):
            return self.make(self.take().start, fn.change, self.postfix(self.atom()))
        if token.kind == "word":
            return self.name()
        readers = {
            "(": self.bracket, "{": self.group, "[": self.listed, "frac": self.stacked, "partial": self.partial, "nabla": self.nabla,
            "sum": self.sigma, "sqrt": self.root, "begin": self.matrix, "...": self.ellipsis,
            "|": self.absolute, "||": self.norm,
        }  # fmt: skip
        if token.kind == "sign" and token.text in readers:
            return self.nested(readers[token.text])  # type: ignore[no-any-return]
        if self.is_sign("hat", "bar", "tilde", "dotted"):
            accent = self.take().text
            return self.mark(self.accented(self.braced() if self.is_sign("{") else self.letter(), accent), token.start)
        raise self.error(f"expected a number, a name or a bracket, found {token}")

    def letter(self) -> Expression:
        if self.token.kind != "word":
            raise self.error(f"expected a name, found {self.token}")
        token = self.take()
        return self.mark(symbol(token.text), token.start)

    def number(self) -> Expression:
        r"""A number; with \times 10^{-3} after it still one number."""
        token = self.take()
        text = token.text
        if text == "1" and (asked := self.condition()) is not None:
            return self.mark(asked, token.start)
        if self.is_sign("*", "dot") and self.ahead(1).text == "10" and self.ahead(2).text == "^":
            mark = self.at
            self.at += 3
            exponent = self.raw()
            if exponent.lstrip("-+").isdigit() and len(exponent) < 5 and "e" not in text.lower():
                text = f"{text}e{exponent}"
            else:
                self.at = mark
        return self.mark(Expression(None, value=Written(text)), token.start)

    def condition(self) -> Expression | None:
        r"""What an indicator asks, 1\{z > 0\}, 1(z > 0) or 1_{z > 0}: the comparison itself is 1 or 0."""
        at, depth, compares = self.at + self.is_sign("_"), 0, False
        for token in (t for t in self.tokens[at:] if t.kind == "sign"):
            depth += (token.text in CLOSING) - (token.text in CLOSING.values())
            compares |= token.text in COMPARING
            if depth <= 0:
                break
        if not compares or self.tokens[at].text not in CLOSING:
            return None
        self.accept("_")
        closing = CLOSING[self.take().text]
        x: Expression = self.nested(self.expression)
        self.expect(closing)
        return x

    def bracket(self) -> Expression:
        start = self.take().start
        x = self.expression()
        self.expect(")")
        return self.mark(x, start)

    def braced(self) -> Expression:
        return self.nested(self.group)  # type: ignore[no-any-return]

    def group(self) -> Expression:
        start = self.take().start
        if self.token.kind == "word" and self.ahead(1).text == "}" and self.ahead(1).kind == "sign":
            token = self.take()
            self.take()
            return self.named(token.text, start)
        x = self.expression()
        if self.is_sign("over"):  # {a \\over b}
            self.take()
            x = self.fraction(x, self.expression())
        self.expect("}")
        return self.mark(x, start)

    def listed(self) -> Expression:
        """[a, b] or [0.5]: an array; [a + b], on paper a bracket like others."""
        start = self.take().start
        items = [self.expression()]
        if items[0].function not in (None, fn.matrix) and items[0].names() and self.accept("]"):
            return self.mark(items[0], start)
        while self.accept(","):
            items.append(self.expression())
        self.expect("]")
        return self.make(start, fn.matrix, *items, nested=True)

    def stacked(self) -> Expression:
        r"""\frac{a}{b}; \frac{\partial}{\partial x}, which takes the factor after it."""
        start = self.take().start
        if self.is_sign("{") and self.ahead(2).text == "}" and self.differentiates(self.ahead(1)):
            self.at += 3
            lower = self.part()
            upper = self.make(start, fn.differential, self.differentiated())
        else:
            upper, lower = self.part(), self.part()
        result = self.fraction(upper, lower)
        return self.mark(result, start)

    def differentiated(self) -> Expression:
        r"""What stands after a partial sign or nabla; of J(\theta) the bracket only says what J depends on."""
        x = self.postfix(self.atom())
        close = self.closing.get(self.at) if x.name and self.is_sign("(") else None
        inside = self.tokens[self.at + 1 : close] if close is not None else []
        if inside and all(t.kind == "word" or t.text in (",", ";", "_", "{", "}", "|") or t.text.isdigit() for t in inside):
            while not self.accept(")"):
                self.take()
        return x

    def differentiates(self, token: Token) -> bool:
        return (token.kind == "sign" and token.text == "partial") or (token.text == "d" and not self.is_known("d"))

    def absolute(self) -> Expression:
        """|a|."""
        start = self.take().start
        x = self.between_bars("|")
        return self.make(start, fn.absolute, x)

    def norm(self) -> Expression:
        r"""The root of the sum of squares, \lVert a \rVert or \lVert a \rVert_2."""
        start = self.take().start
        square = self.make(start, np.power, self.between_bars("||"), self.mark(Expression(None, value=Written("2")), start))
        if self.accept("_") and self.raw() not in ("2", "F"):
            raise self.error("of the norms only the second can be read", self.tokens[self.at - 1])
        return self.make(start, np.sqrt, self.make(start, np.sum, square))

    def between_bars(self, closing: str) -> Expression:
        self.bars += 1
        x = self.expression()
        self.bars -= 1
        if closing == "|" and self.is_sign("||"):  # |a||b|
            place = self.token.start
            self.tokens[self.at : self.at + 1] = [Token("sign", "|", place + i, place + i + 1) for i in (0, 1)]
        self.expect(closing)
        return x

    def part(self) -> Expression:
        """An operand of a fraction: braces, or one sign, of which \frac12 has two."""
        token = self.token
        if self.is_sign("{"):
            self.take()
            x: Expression = self.nested(self.expression)
            self.expect("}")
            return x
        if token.kind == "number" and len(token.text) > 1 and token.text.isdigit():
            self.tokens[self.at] = Token("number", token.text[1:], token.start + 1, token.end)
            return self.mark(Expression(None, value=Written(token.text[0])), token.start)
        return self.atom()

    def partial(self) -> Expression:
        token = self.take()
        self.accept("_")  # a slip that is often met: \partial_{w}
        if self.is_sign("^"):
            raise self.error("derivatives of the second order are not read: write the formula of the first")
        if not self.starts_factor():
            raise self.error(f"expected what is differentiated, found {self.token}")
        return self.make(token.start, fn.differential, self.differentiated())

    def nabla(self) -> Expression:
        r"""nabla v; nabla_{(k)} v with the count of updates; nabla_v E, nabla_{\hat{y}} E."""
        start, below = self.take().start, None
        if self.accept("_"):
            mark = self.at
            if not COUNT.fullmatch(self.raw()):
                self.at = mark
                below = self.braced() if self.is_sign("{") else self.letter()
        body = self.differentiated()
        return self.make(start, fn.gradient, body) if below is None else self.make(start, fn.derivative, body, below)

    def sigma(self) -> Expression:
        """A sum over an index, with bounds, with the index alone, or over all elements."""
        start = self.take().start
        bounds = {"_": "", "^": ""}
        while self.is_sign("_", "^"):
            side = self.take().text
            bounds[side] = self.raw()
        letter, _, low = bounds["_"].partition("=")
        if letter and not letter.isalnum():
            raise self.error("expected an index under the sum sign, such as i or i=1", self.tokens[self.at - 1])
        return self.make(start, fn.total, self.term(), letter=letter, low=low, high=bounds["^"])

    def root(self) -> Expression:
        token = self.take()
        return self.make(token.start, np.sqrt, self.braced() if self.is_sign("{") else self.atom())

    def ellipsis(self) -> Expression:
        token = self.take()
        return self.mark(symbol("..."), token.start)

    def matrix(self) -> Expression:
        start = self.take().start
        kind = self.take()
        if kind.text not in MATRICES:
            raise self.error(f"expected a matrix, such as pmatrix, found {kind.text}", kind)
        rows: list[list[Expression]] = [[]]
        while not self.is_sign("end"):
            rows[-1].append(self.expression())
            if self.accept("\\\\"):
                rows.append([])
            elif not self.accept("&") and not self.is_sign("end"):
                raise self.error(f"expected '&', '\\\\' or \\end{{{kind.text}}}, found {self.token}")
        self.close(kind.text)
        rows = [row for row in rows if row]
        if not rows or len({len(row) for row in rows}) > 1:
            raise self.error("the rows of this matrix have different lengths", kind)
        return self.make(start, fn.matrix, *(x for row in rows for x in row), columns=len(rows[0]))
