"""A derivation as a list of blocks, and its three written forms."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinygrad_bp.expression import Expression, Show, format_number, latex_name, latex_number

INDENT = "  "
WIDTH = 79


@dataclass(frozen=True)
class Heading:
    """What is derived."""

    goal: Expression


@dataclass(frozen=True)
class Sentence:
    """Words between the formulas."""

    words: str


@dataclass(frozen=True)
class Chain:
    """left = formula = the same with numbers = result. Without values the formula stands alone."""

    left: Expression | None
    formulas: tuple[Expression, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    only_numbers: bool = False  # the formula itself has been shown before

    def members(self, digits: int, latex: bool) -> list[str]:
        """What stands between the equals signs."""
        write = Expression.latex if latex else Expression.text
        members = [] if self.only_numbers else [write(f) for f in self.formulas]
        if self.values:
            last = self.formulas[-1]
            members += [write(last, numbers(self.values, digits, latex)), _number(last.evaluate(self.values), digits, latex)]
        return list(dict.fromkeys(members))  # a formula that is a number already is not repeated


def _number(value: Any, digits: int, latex: bool) -> str:
    text = format_number(value, digits)
    return latex_number(text) if latex else text


def numbers(values: Mapping[str, Any], digits: int, latex: bool) -> Show:
    """Writes each name as its value."""

    def show(x: Expression) -> str:
        return _number(values[x.name] if x.name else x.value, digits, latex)

    return show


@dataclass(frozen=True)
class Document:
    """The blocks, and how many digits numbers get."""

    blocks: tuple[Heading | Sentence | Chain, ...]
    digits: int = 9

    def text(self) -> str:
        out: list[str] = []
        for block in self.blocks:
            if isinstance(block, Chain):
                out.append(self._chain_text(block))
            else:
                out += ["", str(block.goal) if isinstance(block, Heading) else textwrap.fill(block.words, WIDTH), ""]
        return "\n".join(out).strip("\n").replace("\n\n\n", "\n\n")

    def _chain_text(self, chain: Chain) -> str:
        members = chain.members(self.digits, latex=False)
        left = f"{chain.left} = " if chain.left is not None else "  "
        margin = INDENT + " " * (len(left) - 2)
        lines = textwrap.wrap(
            members[0], WIDTH, initial_indent=INDENT + left, subsequent_indent=margin + INDENT * 2, break_on_hyphens=False
        )
        for member in members[1:]:
            lines += textwrap.wrap(
                member, WIDTH, initial_indent=f"{margin}= ", subsequent_indent=margin + INDENT * 2, break_on_hyphens=False
            )
        return "\n".join(lines)

    def markdown(self) -> str:
        out = []
        for block in self.blocks:
            if isinstance(block, Chain):
                out.append(f"$$\n{self._chain_latex(block)}\n$$")
            else:
                out.append(f"### ${block.goal.latex()}$" if isinstance(block, Heading) else block.words)
        return "\n\n".join(out) + "\n"

    def latex(self) -> str:
        out = []
        for block in self.blocks:
            if isinstance(block, Chain):
                out.append(f"\\[\n{self._chain_latex(block)}\n\\]")
            else:
                out.append(rf"\paragraph{{${block.goal.latex()}$}}" if isinstance(block, Heading) else block.words.replace("_", r"\_"))
        return "\n\n".join(out) + "\n"

    def _chain_latex(self, chain: Chain) -> str:
        members = chain.members(self.digits, latex=True)
        left = latex_name(chain.left) if chain.left is not None else ""
        lines = [f"{left} &= {members[0]}" if left else f"& {members[0]}", *(f"&= {m}" for m in members[1:])]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"
