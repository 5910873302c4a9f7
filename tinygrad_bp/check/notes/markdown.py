r"""Where the mathematics of a Markdown file stands: a scanner that goes through the text once.

``$...$``, ``$`...`$``, ``$$...$$`` and fenced blocks of the kind ``math`` are formulas, fenced blocks of the kind ``network``
declare one. Other fences, code between backquotes and comments are not looked into. $5 is a price unless a dollar sign
closes it that stands after no space and before no digit, and so is 5$ before a space. No formula reaches into code.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tinygrad_bp.errors import FormulaError

FENCE = re.compile(r"^(?P<quote>(?:[ ]{0,3}>)*)[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<kind>[\w-]*)(?P<rest>[^\n`]*)$", re.MULTILINE)
SPECIAL = re.compile(r"\\.|`+|<!--|\$\$|\$|^[ ]{0,3}#{1,6}[ \t]", re.MULTILINE | re.DOTALL)
QUOTE = re.compile(r"^(?:[ ]{0,3}>)+", re.MULTILINE)
QUOTES = re.compile("`+")
PARAGRAPH = re.compile(r"\n[ \t>]*\n")
COMMENTS = {"not checked": "left out", "wrong": "wrong"}
DOLLAR = re.compile(r"(?:[^\\$]|\\.)*+\$", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A part of the file that matters: "formula", "network", "heading", "left out", "wrong" or "unclosed"."""

    kind: str
    text: str
    start: int  # where the text begins in the file


@dataclass(frozen=True)
class Source:
    """A note's text, and the lines in it."""

    name: str
    text: str

    @cached_property
    def starts(self) -> list[int]:
        return [0, *(m.end() for m in re.finditer("\n", self.text))]

    def line(self, place: int) -> int:
        """The number of the line that a place is in, counted from 1."""
        return bisect_right(self.starts, place)

    def column(self, place: int) -> int:
        return place - self.starts[self.line(place) - 1] + 1

    def error(self, place: int, problem: str) -> FormulaError:
        """What is wrong, with file, line and column, the line itself and a caret."""
        return FormulaError.at(self.text, place, f"{self.name}:{self.line(place)}:{self.column(place)}: {problem}")


def pieces(text: str) -> Iterator[Piece]:
    """The formulas, networks and headings of a file, in order."""
    at = 0
    while (fence := FENCE.search(text, at)) is not None:
        yield from prose(text, at, fence.start())
        closing = re.compile(rf"^(?:[ ]{{0,3}}>)*[ \t]*{fence['fence'][0]}{{{min(len(fence['fence']), 99)},}}[ \t]*$", re.MULTILINE)
        begin = min(fence.end() + 1, len(text))
        end = closing.search(text, begin)
        body = unquoted(text[begin : end.start() if end else len(text)])
        kind = {"math": "formula", "network": "network"}.get(fence["kind"])
        if end is None and kind:
            yield Piece("unclosed", f"this block has no end: write {fence['fence']} on a line of its own after it", fence.start("fence"))
        elif kind:
            yield Piece(kind, body, begin)
        at = end.end() if end else len(text)
    yield from prose(text, at, len(text))


def prose(text: str, at: int, end: int) -> Iterator[Piece]:
    """The formulas and headings between two fences."""
    while (found := SPECIAL.search(text, at, end)) is not None:
        sign, at = found.group(), found.end()
        if sign.startswith("`"):
            at = after_code(text, at, end, sign)
        elif sign == "<!--":
            close = text.find("-->", at, end)
            close = end if close < 0 else close
            word, colon, rest = text[at:close].partition(":")
            if colon and word.strip() in COMMENTS:
                yield Piece(COMMENTS[word.strip()], rest.strip(), found.start())
            at = min(close + 3, end)
        elif sign.startswith("$"):
            piece, at = formula(text, found.start(), end, sign)
            if piece is not None:
                yield piece
        elif not sign.startswith("\\"):
            yield Piece("heading", "", found.start())


def after_code(text: str, at: int, end: int, quotes: str) -> int:
    """Where code between backquotes ends; a lone backquote is one."""
    closing = re.compile(rf"(?<!`){quotes}(?!`)").search(text, at, min(end, at + 10_000)) if len(quotes) < 99 else None
    return at if closing is None else closing.end()


def formula(text: str, start: int, end: int, sign: str) -> tuple[Piece | None, int]:
    """The formula that a dollar sign opens, if it does, and where to go on."""
    begin = start + len(sign)
    close = closing_dollar(text, begin, end)
    joined = close is not None and text.startswith(sign, close) and (sign == "$$" or text[close + 1 : close + 2] != "$")
    if sign == "$" and text[begin : begin + 1].isdigit():  # a price, unless it looks like a formula
        joined = joined and not text[close - 1].isspace() and not text[close + 1 : close + 2].isdigit()  # type: ignore[operator]
        if not joined:
            return None, begin
    price = sign == "$" and text[start - 1 : start].isdigit() and not text[begin : begin + 1].strip(" .,;:)")
    if price or (close is not None and code_between(text, begin, close, end)):  # 5$, or a dollar sign before code
        return (None if price else stray(sign, start)), begin
    if close is None or not joined or PARAGRAPH.search(text, begin, close):
        return stray(sign, start), begin
    quoted = sign == "$" and close - begin > 2 and text[begin] == "`" == text[close - 1]
    return Piece("formula", unquoted(text[begin + quoted : close - quoted]), begin + quoted), close + len(sign)


def stray(sign: str, start: int) -> Piece:
    return Piece("unclosed", f"nothing closes this {sign}. Write \\$ for a dollar sign", start)


def code_between(text: str, begin: int, close: int, end: int) -> bool:
    """Whether code between backquotes begins before a closing dollar sign, so that this one closes nothing."""
    quotes = QUOTES.search(text, begin + 1, close)  # right after the dollar sign they belong to it: $`x`$
    if quotes is None or text[begin] == "`" or text.count("{", begin, quotes.start()) > text.count("}", begin, quotes.start()):
        return False
    return after_code(text, quotes.end(), end, quotes.group()) > quotes.end()


def closing_dollar(text: str, begin: int, end: int) -> int | None:
    """The next dollar sign that no backslash stands before."""
    found = DOLLAR.search(text, begin, end)
    return None if found is None else found.end() - 1


def unquoted(text: str) -> str:
    """The text of a quotation without the signs before its lines; everything keeps its place."""
    return QUOTE.sub(lambda m: " " * len(m.group()), text)
