"""A formula's text to an ``Expression``: precedence climbing over the tokens, as a mathematician reads.

From loose to tight: ``=``; comparisons; ``+ -``; products, divisions and factors side by side, from left to right; a
leading minus; powers, transposes, indices. A sum sign takes the product that follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.functions import ARRAYS, FUNCTIONS, KEYWORDS, MODULES, UNKNOWN, Written
from tinygrad_bp.check.formula.names import UPDATED, joined, key, parts, readings
from tinygrad_bp.check.formula.tokens import Token, tokens
from tinygrad_bp.errors import FormulaError
from tinygrad_bp.expression import Expression, symbol

NESTING = 30  # brackets in brackets
DEPTH = 150  # operations on operations, which a chain of factors is too

COMPARISONS = {
    ">": np.greater, "<": np.less, ">=": np.greater_equal, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
PRODUCTS = {"*": np.multiply, "dot": fn.dot, "@": np.matmul, "outer": np.outer, "/": np.divide}
MATRICES = {"pmatrix", "bmatrix", "vmatrix", "Bmatrix", "matrix", "smallmatrix", "array"}
EQUATIONS = {"aligned", "align", "split", "eqnarray", "gathered", "gather", "cases", "equation"}
METHODS = {"sum", "mean", "dot", "max", "min", "transpose", "ravel", "reshape", "prod"}


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


def _brackets(found: Sequence[Token]) -> tuple[dict[int, int], set[int]]:
    """Where each round bracket closes, and which ones hold a list."""
    closing: dict[int, int] = {}
    listing: set[int] = set()
    opened: list[int] = []
    for i, token in enumerate(found):
        if token.kind == "sign" and token.text in ("(", "{", "["):
            opened.append(i)
        elif token.kind == "sign" and token.text in (")", "}", "]") and opened:
            closing[opened.pop()] = i
        elif token.kind == "sign" and token.text == "," and opened:
            listing.add(opened[-1])
    return closing, listing


class _Parser:
    def __init__(self, text: str, known: Collection[str] | None) -> None:
        self.text, self.known = text, known
        self.tokens = tokens(text, known)
        self.at = 0
        self.nesting = 0
        self.spans: dict[int, tuple[int, int]] = {}
        self.depths: dict[int, int] = {}
        self.kept: list[Expression] = []  # an id is unique only while its object lives
        self.first = 0  # where the formula begins
        self.closing, self.listing = _brackets(self.tokens)

    # -- tokens --------------------------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, n: int) -> Token:
        return self.tokens[min(self.at + n, len(self.tokens) - 1)]

    def is_sign(self, *signs: str) -> bool:
        return self.token.kind == "sign" and self.token.text in signs

    def take(self) -> Token:
        token = self.token
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def accept(self, *signs: str) -> bool:
        if self.is_sign(*signs):
            self.take()
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise self.error(f"expected '{sign}', found {self.token}")

    def error(self, problem: str, token: Token | None = None) -> FormulaError:
        return FormulaError.at(self.text, (token or self.token).start, problem)

    # -- making parts --------------------------------------------------------------------------------------------

    def mark(self, x: Expression, start: int) -> Expression:
        """Remember where a part stands, and refuse to grow deeper than recursion can follow."""
        end = self.tokens[max(self.at - 1, 0)].end
        self.spans[id(x)] = (start, max(end, start))
        self.kept.append(x)
        depth = 1 + max((self.depths.get(id(o), 1) for o in x.operands), default=0)
        if depth > DEPTH:
            raise self.error(f"the formula is too long: more than {DEPTH} operations build on each other. Split it")
        self.depths[id(x)] = depth
        return x

    def make(self, start: int, function: Any, *operands: Expression, **options: Any) -> Expression:
        return self.mark(Expression(function, operands, options=options), start)

    def start(self, x: Expression) -> int:
        return self.spans[id(x)][0]

    def nested(self, read: Callable[[], Any]) -> Any:
        self.nesting += 1
        if self.nesting > NESTING:
            raise self.error(f"brackets nested more than {NESTING} deep")
        result = read()
        self.nesting -= 1
        return result

    def is_known(self, name: str) -> bool:
        return self.known is not None and any(k in self.known for k in readings(name))

    # -- whole formulas ------------------------------------------------------------------------------------------

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

    def close(self, kind: str) -> None:
        self.expect("end")
        if self.token.text != kind:
            raise self.error(f"expected \\end{{{kind}}}, found \\end{{{self.token.text}}}")
        self.take()

    def chain(self) -> Formula:
        start, self.first = self.token.start, self.at
        continues = self.accept("=")
        members, assigns = [self.expression()], False
        while self.is_sign("=", ":=", "==", "+=", "-="):
            sign = self.take().text
            right = self.expression()
            if sign in ("+=", "-="):
                right = self.make(self.start(members[-1]), np.add if sign == "+=" else np.subtract, members[-1], right)
            assigns |= sign in (":=", "+=", "-=")
            members.append(right)
        end = self.tokens[max(self.at - 1, 0)].end
        self.spans[0] = (start, end)
        return Formula(self.text, tuple(members), self.spans, continues, assigns)

    # -- operators -----------------------------------------------------------------------------------------------

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
        return self.token.kind in ("number", "word") or self.is_sign(
            "(", "{", "[", "frac", "partial", "nabla", "sum", "sqrt", "hat", "bar", "tilde", "dotted", "...", "begin"
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

    # -- what follows a factor -----------------------------------------------------------------------------------

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
            elif self.is_sign("[") and self.token.start == self.tokens[self.at - 1].end:
                x = self.index(x)
            elif self.is_sign("'"):
                raise self.error("a prime belongs to a function: write f'(x) or sigmoid'(x)")
            elif self.is_sign("+") and self.ahead(1).text in ("=", ":=") and x.name and x.function is None:
                self.take()
                x = self.renamed(x, index=UPDATED)
            else:
                return x

    def renamed(self, x: Expression, subscript: str = "", index: str = "", accent: str = "") -> Expression:
        base, sub, sup = parts(x.name)
        return self.mark(symbol(joined(base + accent, sub + subscript, sup + index)), self.start(x))

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

    def raw(self) -> str:
        """A subscript or upper index as it stands: {h 1} is h1, {h_1} too."""
        if not self.is_sign("{"):
            if self.token.kind == "sign" and not self.is_sign("+", "*"):
                raise self.error(f"expected a subscript, found {self.token}")
            return self.take().text
        depth, found = 0, ""
        while True:
            token = self.take()
            if token.kind == "end":
                raise self.error("expected '}', found the end")
            depth += (token.text == "{") - (token.text == "}")
            found += "" if token.text in ("{", "}", "_") else token.text
            if depth == 0:
                return found

    def superscript(self, x: Expression) -> Expression:
        """A transpose, an update's plus, an index such as (k), or a power."""
        self.take()
        mark = self.at
        index = self.raw()
        if index == "T" or (index.startswith("(") and index.endswith(")T")):
            base = self.renamed(x, index=index[:-1]) if index[:-1] and x.name else x
            return self.make(self.start(x), fn.turn, base)
        if x.function is None and x.name:
            if index in ("+", "new"):
                return self.renamed(x, index=UPDATED)
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
        if index.startswith("(") and index.endswith(")"):
            return index[1:-1].isdigit() or any(c.isalpha() for c in index)
        return index.isalpha() and name != "e" and index not in (self.known or ())

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

    def whole(self) -> int | None:
        sign = -1 if self.accept("-") else 1
        if self.token.kind == "number" and self.token.text.isdigit() and len(self.token.text) < 10:
            return sign * int(self.take().text)
        return None

    # -- factors -------------------------------------------------------------------------------------------------

    def atom(self) -> Expression:
        token = self.token
        if token.kind == "number":
            return self.number()
        if token.kind == "word":
            return self.name()
        readers = {
            "(": self.bracket, "{": self.group, "[": self.listed, "frac": self.stacked, "partial": self.partial, "nabla": self.nabla,
            "sum": self.sigma, "sqrt": self.root, "begin": self.matrix, "...": self.ellipsis,
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
        if self.is_sign("*", "dot") and self.ahead(1).text == "10" and self.ahead(2).text == "^":
            mark = self.at
            self.at += 3
            exponent = self.raw()
            if exponent.lstrip("-+").isdigit() and len(exponent) < 5 and "e" not in text.lower():
                text = f"{text}e{exponent}"
            else:
                self.at = mark
        return self.mark(Expression(None, value=Written(text)), token.start)

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
        self.expect("}")
        return self.mark(x, start)

    def listed(self) -> Expression:
        """[a, b]: an array."""
        start = self.take().start
        items = [self.expression()]
        while self.accept(","):
            items.append(self.expression())
        self.expect("]")
        return self.make(start, fn.matrix, *items, nested=True)

    def stacked(self) -> Expression:
        r"""\frac{a}{b}."""
        start = self.take().start
        upper, lower = self.part(), self.part()
        result = self.fraction(upper, lower)
        return self.mark(result, start)

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
        return self.make(token.start, fn.differential, self.postfix(self.atom()))

    def nabla(self) -> Expression:
        """nabla v; nabla_{(k)} v with the count of updates; nabla_v E."""
        start = self.take().start
        sub = self.raw() if self.accept("_") else ""
        body = self.postfix(self.atom())
        counts = sub.strip("()").isdigit() or sub.strip("()") in ("", "k", "K", "t", "n")
        if not counts and body.name in ("E", "L", "J", "C", "loss"):
            variable = self.named(sub, start)
            return self.make(start, fn.derivative, body, variable)
        return self.make(start, fn.gradient, body)

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

    # -- names and calls -----------------------------------------------------------------------------------------

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
        index = ""
        while self.is_sign("_") or (self.is_sign("^") and base in UNKNOWN):
            mark, sign = self.at, self.take().text
            text = self.raw()
            if sign == "^" and not (text.startswith("(") or text.isalpha()):
                self.at = mark
                break
            x, index = (self.renamed(x, subscript=("_" if parts(x.name)[1] else "") + text), index) if sign == "_" else (x, text)
        x = self.renamed(x, index=index) if index else x
        primes = 0
        while self.is_sign("'"):
            self.take()
            primes += 1
        if primes > 1:
            raise self.error("derivatives of the second order are not read")
        if self.is_function(x.name, primes):
            return self.application(x, primes)
        if primes:
            raise self.error("a prime belongs to a function: write f'(x) or sigmoid'(x)")
        return self.dependence(x) if self.is_sign("(") else self.split(x)

    def is_function(self, name: str, primes: int) -> bool:
        if self.is_known(name) and not primes:
            return False
        base = parts(name)[0]
        latex = self.tokens[self.at - 1].word and name in FUNCTIONS  # \exp x
        return (self.is_sign("(") and (name in FUNCTIONS or name in ARRAYS or base in UNKNOWN or bool(primes))) or latex

    def application(self, x: Expression, primes: int) -> Expression:
        function = f"{x.name}'" if primes else FUNCTIONS.get(x.name, x.name)
        if not self.is_sign("("):
            return self.make(self.start(x), function, self.power())
        if x.name in ARRAYS:
            self.take()
            value = self.nested(self.expression)
            self.expect(")")
            return self.mark(value, self.start(x))
        return self.call(function, self.start(x))

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

    def dependence(self, x: Expression) -> Expression:
        """E(v, b_2), or E(theta) = ...: what a quantity depends on, which says nothing about its value."""
        close = self.closing.get(self.at)
        if close is None or not (self.at in self.listing or self.declares(close)):
            return self.split(x)
        self.take()
        self.nested(self.expression)
        while self.accept(","):
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
