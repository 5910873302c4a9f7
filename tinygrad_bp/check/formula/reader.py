"""What all parts of the parser share: the tokens, and the parts that are made of them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any

from tinygrad_bp.check.formula.names import joined, parts, readings
from tinygrad_bp.check.formula.tokens import Token, tokens
from tinygrad_bp.errors import FormulaError
from tinygrad_bp.expression import Expression, symbol

NESTING = 30  # brackets in brackets
DEPTH = 150  # operations on operations, which a chain of factors is too
LAYER = re.compile(r"\[(\w+)\]")  # a^{[1]} is a^{(1)}
PRIMED = re.compile("([a-z])'")  # the k' of a second sum, a letter of its own: a bold k


class Reader(ABC):
    """A place in the tokens, and the parts that were read up to it."""

    def __init__(self, text: str, known: Collection[str] | None) -> None:
        self.text, self.known = text, known
        self.tokens = tokens(text, known)
        self.at = 0
        self.nesting = 0
        self.bars = 0  # that are open, of |a|
        self.spans: dict[int, tuple[int, int]] = {}
        self.depths: dict[int, int] = {}
        self.kept: list[Expression] = []  # an id is unique only while its object lives
        self.counter = ""  # the letter that counts updates
        self.first = 0  # where the formula begins
        self.closing, self.listing = _brackets(self.tokens)

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

    def close(self, kind: str) -> None:
        self.expect("end")
        if self.token.text != kind:
            raise self.error(f"expected \\end{{{kind}}}, found \\end{{{self.token.text}}}")
        self.take()

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
                return PRIMED.sub(lambda m: chr(ord(m[1]) + ord("\U0001d41a") - ord("a")), LAYER.sub(r"(\1)", found))

    def whole(self) -> int | None:
        sign = -1 if self.accept("-") else 1
        if self.token.kind == "number" and self.token.text.isdigit() and len(self.token.text) < 10:
            return sign * int(self.take().text)
        return None

    def renamed(self, x: Expression, subscript: str = "", index: str = "", accent: str = "") -> Expression:
        base, sub, sup = parts(x.name)
        return self.mark(symbol(joined(base + accent, sub + subscript, sup + index)), self.start(x))

    # -- what the parts of the grammar need of each other, from loose to tight -------------------------------------

    @abstractmethod
    def expression(self) -> Expression: ...

    @abstractmethod
    def term(self) -> Expression: ...

    @abstractmethod
    def fraction(self, upper: Expression, lower: Expression) -> Expression: ...

    @abstractmethod
    def starts_factor(self) -> bool: ...

    @abstractmethod
    def power(self) -> Expression: ...

    @abstractmethod
    def postfix(self, x: Expression) -> Expression: ...

    @abstractmethod
    def accented(self, x: Expression, accent: str) -> Expression: ...


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
