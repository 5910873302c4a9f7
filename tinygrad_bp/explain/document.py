"""A derivation as a list of blocks, and its written forms: plain text, the same in mathematical signs, Markdown, LaTeX."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tinygrad_bp.expression import Expression, Show, format_number, latex_escape, latex_name, latex_number, plain_name, unicode_name

INDENT = "  "
WIDTH = 79
SHOWN = 36  # elements of an array that are printed; of a larger one its size and range are
ROW = 56  # characters of a row of an array, before it goes on in the next line
SUBSTITUTED = 4  # elements of an array that are put into a formula in LaTeX

TIMES = r" \times "
EQUALS = "\u00a0=\u00a0"  # within a sentence: no line ends at it

Words = tuple[str | Expression, ...]
Form = Literal["ascii", "unicode", "latex"]


@dataclass(frozen=True)
class Heading:
    """What is derived."""

    words: Words

    @classmethod
    def of(cls, *words: str | Expression) -> Heading:
        return cls(words)


@dataclass(frozen=True)
class Sentence:
    """Words between the formulas, with formulas in them."""

    words: Words

    @classmethod
    def of(cls, *words: str | Expression) -> Sentence:
        return cls(words)


@dataclass(frozen=True)
class Chain:
    """left = formula = the same with numbers = result. Without values the formula stands alone."""

    left: Expression | None
    formulas: tuple[Expression, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    only_numbers: bool = False  # the formula itself has been shown before
    shapes: bool = False  # each symbol has its shape beneath it
    rows: frozenset[str] = frozenset()  # the vectors that are rows, where it matters
    tag: str = ""  # such as BP1
    note: Words = ()

    def members(self, form: Form, digits: int) -> list[tuple[str, str]]:
        """What stands between the equals signs, each with the line of shapes beneath it."""
        members = [] if self.only_numbers else [self._formula(f, form) for f in self.formulas]
        if self.values:
            last = self.formulas[-1]
            small = all(0 < np.size(self.values[name]) <= (SUBSTITUTED if form == "latex" else 1) for name in last.names())
            if small and last.function is not None:
                members.append((written(last, form, numbers(self.values, digits, form, self.rows)), ""))
            row = self.left is not None and self.left.name in self.rows
            members.append((value_text(last.evaluate(self.values), digits, form, row), ""))
        return list({words: (words, beneath) for words, beneath in members}.values())  # what is a number already is not repeated

    def _formula(self, formula: Expression, form: Form) -> tuple[str, str]:
        if not self.shapes:
            return written(formula, form), ""
        if form == "latex":
            return formula.latex(lambda x: rf"\underset{{{by(x.shape, TIMES)}}}{{{latex_name(x)}}}" if x.shape else latex_name(x)), ""
        return with_shapes(formula, form == "unicode")


@dataclass(frozen=True)
class Table:
    """Rows of words and formulas under a head; long ones are for reading downwards."""

    head: tuple[str, ...]
    rows: tuple[tuple[str | Expression, ...], ...]


@dataclass(frozen=True)
class Legend:
    """What the signs for products mean, where a form has signs that need to be explained."""


Block = Heading | Sentence | Chain | Table | Legend
LEGEND = {
    "ascii": "The sign * multiplies element by element, @ is the matrix product, and outer(a, b) that of the column a and the row b.",
    "unicode": "The sign ⊙ multiplies element by element; side by side stands the matrix product, and a bᵀ is that of a column and a row.",
    "latex": r"The sign $\odot$ multiplies element by element; side by side stands the matrix product, "
    "and $a\\,b^{T}$ is that of a column and a row.",
}
LEGEND["markdown"] = LEGEND["latex"]


# -- what formulas and numbers look like -------------------------------------------------------------------------------


def written(x: Expression, form: Form, show: Show | None = None) -> str:
    return x.latex(show) if form == "latex" else x.text(show, unicode=form == "unicode")


def by(shape: Sequence[int], sign: str = "x") -> str:
    """A shape as it is read aloud: 2x3."""
    return sign.join(map(str, shape))


def with_shapes(x: Expression, unicode: bool) -> tuple[str, str]:
    """The formula, and a line that has the shape of each symbol beneath it; a number has none."""
    name_of = unicode_name if unicode else plain_name
    marked = x.text(lambda y: f"\x00{name_of(y)}\x01{by(y.shape)}\x02" if y.shape else name_of(y), unicode)
    above = beneath = ""
    for piece in marked.split("\x00"):
        name, _, rest = piece.rpartition("\x01")
        shape, _, after = rest.rpartition("\x02") if name else ("", "", piece)
        if shape and beneath and len(beneath) >= len(above):  # the shape before it is too long: room is made at the last space
            space = above.rfind(" ") + 1
            above = above[:space] + " " * (len(beneath) + 1 - len(above)) + above[space:]
        beneath = beneath.ljust(len(above)) + shape if shape else beneath
        above += name + after
    return above, beneath.rstrip()


def numbers(values: Mapping[str, Any], digits: int, form: Form, rows: Collection[str] = ()) -> Show:
    """Writes each name as its value."""
    return lambda x: value_text(values[x.name] if x.name else x.value, digits, form, x.name in rows)


def value_text(value: Any, digits: int, form: Form, row: bool = False) -> str:
    """A number with that many digits, a small array with its elements, a large one in words."""
    array = np.asarray(value)
    array = array.astype(int) if array.dtype.kind == "b" else array  # a comparison in a formula counts as a number: (x > 0) * g
    if array.ndim == 0:
        found = format_number(array, digits)
        return latex_number(found) if form == "latex" else found
    if array.size > SHOWN or array.ndim > 2 or not array.size:
        words = large(array)
        return rf"\text{{{latex_escape(words)}}}" if form == "latex" else words
    cells = [[format_number(float(x), digits) for x in row] for row in np.atleast_2d(array)]
    if form != "latex":
        width = max(len(cell) for row in cells for cell in row)
        rows = ["[" + " ".join(cell.rjust(width) if len(cells) > 1 else cell for cell in row) + "]" for row in cells]
        rows = [line for row in rows for line in textwrap.wrap(row, ROW, subsequent_indent="  ")]
        return "\n".join(rows) if array.ndim == 1 else "[" + "\n ".join(rows) + "]"
    body = [[latex_number(cell) for cell in row] for row in cells]
    lines = [" & ".join(cells) for cells in body] if array.ndim == 2 or row else body[0]  # a vector is a column, unless it is a row
    return "\\begin{pmatrix} " + r" \\ ".join(lines) + " \\end{pmatrix}"


def large(array: Any) -> str:
    """``array of shape (64, 784), from -0.02 to 0.03``."""
    if not array.size:
        return f"array of shape {array.shape}"
    low, high = (format_number(float(v), 4) for v in (np.min(array), np.max(array)))
    return f"array of shape {array.shape}, " + (f"all {low}" if low == high else f"from {low} to {high}")


def wrapped(words: str, beneath: str, first: int, rest: int) -> Iterator[str]:
    """Lines of limited width, with the line of shapes beneath each; a line ends before an operator, outside brackets if it can."""
    margin = first
    while True:
        room = WIDTH - margin
        cut = len(words) if len(words) <= room else _break(words, room)
        last = cut >= len(words)
        yield " " * margin + words[:cut].rstrip()
        if below := (beneath if last else beneath[:cut]).rstrip():
            yield " " * margin + below
        if last:
            return
        words, beneath, margin = words[cut:].lstrip(), beneath[cut + len(words[cut:]) - len(words[cut:].lstrip()) :], rest


def _break(words: str, room: int) -> int:
    depth, best, least = 0, room, 99
    for i, c in enumerate(words[: room + 1]):
        depth += (c in "([") - (c in ")]")
        if c == " " and i > room // 4 and depth <= least and words[i + 1 : i + 2] != ".":
            best, least = i, depth
    return best


# -- the forms ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Document:
    """The blocks, and how many digits numbers get."""

    blocks: tuple[Block, ...]
    digits: int = 9

    def text(self, unicode: bool = False) -> str:
        form: Form = "unicode" if unicode else "ascii"
        parts: list[tuple[bool, str]] = []  # whether it is a formula, and the lines
        for block in self.blocks:
            if isinstance(block, Chain):
                parts.append((True, "\n".join(self._chain_lines(block, form))))
            elif isinstance(block, Heading):
                parts.append((False, _sentence(block, form)))
            elif isinstance(block, Sentence | Legend):
                filled = textwrap.fill(_sentence(block, form), WIDTH, break_on_hyphens=False, break_long_words=False)
                parts.append((False, filled.replace(EQUALS, " = ")))
            else:
                parts.append((False, "\n".join(_table_lines(block, form))))
        lines = parts[0][1] if parts else ""
        for (formula, _), (also, words) in itertools.pairwise(parts):
            lines += ("\n" if formula and also else "\n\n") + words
        return lines

    def _chain_lines(self, chain: Chain, form: Form) -> Iterator[str]:
        (words, beneath), *more = chain.members(form, self.digits)
        tag = f"({chain.tag}) " if chain.tag else ""
        left = "  " if chain.left is None else f"{tag}{written(chain.left, form)} = "
        margin = len(INDENT) + len(left)
        over = chain.left is not None and len(left) > WIDTH // 2  # a long name has a line of its own
        if over:
            yield INDENT + left.rstrip()
            margin, left = len(INDENT) * 3, ""
        first, *others = _laid_out(words, beneath, margin)
        yield (" " * margin if over else INDENT + left) + first[margin:]
        yield from others
        for words, beneath in more:
            first, *others = _laid_out(words, beneath, margin)
            yield " " * (margin - 2) + "= " + first[margin:]
            yield from others
        if chain.note:
            words = f"({_sentence(Sentence(chain.note), form)})"
            yield from textwrap.wrap(
                words, WIDTH, initial_indent=" " * margin, subsequent_indent=" " * (margin + 1), break_on_hyphens=False
            )

    def markdown(self) -> str:
        out = []
        for block in self.blocks:
            if isinstance(block, Chain):
                out.append(f"$$\n{self._chain_latex(block)}\n$$")
                if block.note:
                    out.append(f"({_sentence(Sentence(block.note), 'markdown')})")
            elif isinstance(block, Heading):
                out.append(f"### {_sentence(block, 'markdown')}")
            elif isinstance(block, Sentence | Legend):
                out.append(_sentence(block, "markdown"))
            else:
                rows = [
                    block.head,
                    ("---",) * len(block.head),
                    *([_sentence(Sentence((cell,)), "markdown") for cell in row] for row in block.rows),
                ]
                out.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
        return "\n\n".join(out) + "\n"

    def latex(self) -> str:
        out = []
        for block in self.blocks:
            if isinstance(block, Chain):
                out.append(f"\\[\n{self._chain_latex(block)}\n\\]")
                if block.note:
                    out.append(f"({_sentence(Sentence(block.note), 'latex')})")
            elif isinstance(block, Heading):
                out.append(rf"\subsection*{{{_sentence(block, 'latex')}}}")
            elif isinstance(block, Sentence | Legend):
                out.append(_sentence(block, "latex"))
            else:
                rows = [
                    list(map(latex_escape, block.head)),
                    *([_sentence(Sentence((cell,)), "latex") for cell in row] for row in block.rows),
                ]
                body = " \\\\\n".join(" & ".join(row) for row in rows)
                out.append(f"\\begin{{tabular}}{{{'l' * len(block.head)}}}\n{body}\n\\end{{tabular}}")
        return "\n\n".join(out) + "\n"

    def _chain_latex(self, chain: Chain) -> str:
        members = [words for words, _ in chain.members("latex", self.digits)]
        left = "" if chain.left is None else chain.left.latex()
        lines = [f"{left} &= {members[0]}" if left else f"& {members[0]}", *(f"&= {m}" for m in members[1:])]
        if chain.tag:
            lines[0] = rf"\text{{({latex_escape(chain.tag)})}} \quad {lines[0]}"
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _laid_out(words: str, beneath: str, margin: int) -> list[str]:
    if "\n" in words:  # an array: its rows stand beneath each other
        return [" " * margin + row for row in words.split("\n")]
    return list(wrapped(words, beneath, margin, margin + 2 * len(INDENT)))


def _sentence(block: Heading | Sentence | Legend, form: Form | Literal["markdown"]) -> str:
    if isinstance(block, Legend):
        return LEGEND[form]

    def one(part: str | Expression) -> str:
        if isinstance(part, str):
            part = part if form in ("ascii", "unicode") else part.replace(EQUALS, " = ")
            return latex_escape(part) if form == "latex" else part
        if form in ("ascii", "unicode"):
            return written(part, form)
        return f"${part.latex()}$"

    return "".join(map(one, block.words))


def _table_lines(table: Table, form: Form) -> Iterator[str]:
    """Columns beside each other; the last one goes on beneath itself where the terminal ends."""
    rows = [table.head, *(tuple(_sentence(Sentence((cell,)), form) for cell in row) for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    margin = sum(widths[:-1]) + 2 * (len(widths) - 1)
    for k, row in enumerate(rows):
        before = "  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)) + "  "
        first, *rest = textwrap.wrap(row[-1], WIDTH - margin, break_long_words=False) or [""]
        yield (before + first).rstrip()
        yield from (" " * margin + line for line in rest)
        if k == 0:
            yield "-" * min(WIDTH, margin + widths[-1])
