r"""Where the mathematics of a Markdown file stands: a scanner that goes through the text once.

``$...$``, ``$`...`$``, ``$$...$$`` and fenced blocks of the kind ``math`` are formulas, fenced blocks of the kind ``network``
declare one. Other fences, code between backquotes and comments are not looked into. As in pandoc, a dollar sign opens a
formula only before something that is no space, and closes one only after such and before no digit: $5 is a price.
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
PARAGRAPH = re.compile(r"\n[ \t>]*\n")
LEFT_OUT = re.compile(r"<!--\s*not checked:\s*(.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A part of the file that matters: "formula", "network", "heading", "left out" or "unclosed"."""

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
            comment = LEFT_OUT.match(text, found.start(), end)
            if comment is not None:
                yield Piece("left out", comment[1], found.start())
            at = end if close < 0 else close + 3
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
    if sign == "$":
        blank = PARAGRAPH.search(text, begin, end)
        end = blank.start() if blank else end
        if begin >= end or text[begin].isspace():
            return None, begin
    close = closing_dollar(text, begin, end, sign)
    if close is None and sign == "$" and text[begin].isdigit():
        return None, begin  # a price
    if close is None:
        return Piece("unclosed", f"nothing closes this {sign}. Write \\$ for a dollar sign", start), begin
    inner = slice(begin + 1, close - 1) if sign == "$" and text[begin] == "`" and text[close - 1] == "`" else slice(begin, close)
    return Piece("formula", unquoted(text[inner]), inner.start), close + len(sign)


def closing_dollar(text: str, begin: int, end: int, sign: str) -> int | None:
    at = begin
    while (at := text.find(sign, at, end)) >= 0:
        slashes = len(text[begin:at]) - len(text[begin:at].rstrip("\\")) if text[at - 1] == "\\" else 0
        tight = sign == "$$" or not (text[at - 1].isspace() or text[at + 1 : at + 2].isdigit())
        if slashes % 2 == 0 and tight and at > begin:
            return at
        at += 1
    return None


def unquoted(text: str) -> str:
    """The text of a quotation without the signs before its lines; everything keeps its place."""
    return QUOTE.sub(lambda m: " " * len(m.group()), text)
