"""``tg.explain``: which of the ways to write a derivation fits, and the Derivation that comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinygrad_bp.errors import FileFormatError, GraphError, NameLookupError, ShapeError
from tinygrad_bp.explain.document import EQUALS, Block, Chain, Document, Sentence, Table
from tinygrad_bp.explain.legible import legible, settled
from tinygrad_bp.explain.matrices import Layout, Matrices
from tinygrad_bp.explain.notation import Notation, in_notation, renamed
from tinygrad_bp.explain.structure import Structure
from tinygrad_bp.explain.summary import summary
from tinygrad_bp.explain.weights import Weight
from tinygrad_bp.expression import Expression, format_number, partial, symbol
from tinygrad_bp.letters import entries, spoken
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor

Style = Literal["weights", "matrices", "operations", "summary"]
STYLES = ("weights", "matrices", "operations", "summary")
PATH_LIMIT = 8
MANY = 40  # deltas, more than which nobody follows one by one
READABLE = 400  # operations, more than which nobody reads one by one

PREAMBLE = "\\documentclass{article}\n\\usepackage[margin=2cm]{geometry}\n\\usepackage{amsmath}\n\\begin{document}\n\\raggedright\n\n"


def signs_of(latex: str) -> str:
    """What a document needs for names in Chinese and the like: the package that sets them, or, without it, their numbers."""
    beyond = sorted({c for c in latex if ord(c) > 0x24F})
    if not beyond:
        return ""
    numbers = "".join(rf"\DeclareUnicodeCharacter{{{ord(c):04X}}}{{U+{ord(c):04X}}}" for c in beyond)
    return rf"\IfFileExists{{ctex.sty}}{{\usepackage{{ctex}}}}{{\ifdefined\DeclareUnicodeCharacter{numbers}\fi}}" + "\n"


@dataclass(frozen=True)
class Derivation:
    """What ``tg.explain`` returns. ``str(d)`` is plain text; notebooks show the mathematics."""

    document: Document

    @property
    def text(self) -> str:
        """Plain ASCII text, not wider than 79 columns unless a name or a matrix is."""
        return self.document.text()

    @property
    def unicode(self) -> str:
        """The same in the signs of mathematics, for consoles that can write them."""
        return self.document.text(unicode=True)

    @property
    def markdown(self) -> str:
        """Markdown with mathematics between dollar signs, as GitHub, Jupyter and KaTeX read it."""
        return self.document.markdown()

    @property
    def latex(self) -> str:
        """LaTeX for a document that loads ``amsmath``."""
        return self.document.latex()

    @property
    def tex(self) -> str:
        """A whole LaTeX document, which can be compiled as it is."""
        return PREAMBLE.replace("\\begin", signs_of(self.latex) + "\\begin", 1) + self.latex + "\n\\end{document}\n"

    def save(self, path: str | Path) -> Path:
        """Write a file, in UTF-8: text for ``.txt``, Markdown for ``.md``, a LaTeX document for ``.tex``."""
        path = Path(path)
        forms = {".txt": "text", ".md": "markdown", ".tex": "tex"}
        if path.suffix not in forms:
            raise FileFormatError(f"a derivation is saved as {', '.join(forms)}; got {path.name!r}")
        path.write_text(getattr(self, forms[path.suffix]).rstrip("\n") + "\n", encoding="utf-8")
        return path

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return self.markdown


def explain(
    output: Tensor | Program,
    wrt: str | Tensor | None = None,
    lr: float | None = None,
    digits: int = 9,
    max_paths: int = PATH_LIMIT,
    *,
    style: Style | None = None,
    layout: Layout | None = None,
    notation: str | Notation | Mapping[str, str] | None = None,
    forward: bool = False,
) -> Derivation:
    """The derivation of d(output)/d(wrt), with the numbers put in.

    ``output``: a scalar tensor. ``wrt``: a tensor, or the name of a tensor or of an element of one (``"w5"``); left
    out, all leaves that require gradients. ``lr``: also write the update w - lr * gradient. ``digits``: how many
    significant digits are printed; the computation uses all of them.

    ``style``: how it is written. Left out, a single number is derived as ``"weights"``, an array as ``"matrices"``,
    and a graph of more than some hundred operations as ``"summary"``; what cannot be taken apart into single numbers is
    explained in matrices, and says so.

    - ``"weights"``: number by number, path by path, and grouped by deltas. More paths than ``max_paths`` are
      counted instead of listed. ``forward``: begin with the forward pass.
    - ``"matrices"``: with whole arrays, back through every layer, with shapes. ``layout``, ``"numerator"`` or
      ``"denominator"``: also write the chain rule as a product of Jacobians in that layout.
    - ``"operations"``: a line for each operation, with the rule that was used.
    - ``"summary"``: a table of the layers.

    ``notation``: ``"i-h-o"``, ``"x-h-y"`` or ``"layers"``, those of published derivations, or a dict of names to be
    replaced, ``{"out_h": "h"}``; left out, the graph's own names. ``wrt`` is a name in that notation, or the tensor.

    Raises ``GraphError`` if the output is not a scalar or does not depend on ``wrt``, ``NameLookupError`` for a name
    that the graph does not have; with style ``"weights"`` also ``ShapeError`` if the graph is too large to be taken
    apart into single numbers.

    >>> import tinygrad_bp as tg
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> print(tg.explain((x * x).named("y"), "x"))
    dy/dx
    <BLANKLINE>
      dy/dx = 2 * x
            = 2 * 3
            = 6
    """
    if style is not None and style not in STYLES:
        raise ValueError(f"style is one of {', '.join(map(repr, STYLES))}; got {style!r}")
    if digits < 1:
        raise ValueError(f"digits is how many significant digits are printed, at least 1; got {digits}")
    if layout not in (None, "numerator", "denominator"):
        raise ValueError(f"layout is 'numerator' or 'denominator'; got {layout!r}")
    program = spoken(output if isinstance(output, Program) else Program.of(output))
    if program.output.value.size != 1:
        raise GraphError(f"the output has shape {program.output.shape}; a derivation starts from a scalar. Take .sum() or .mean()")
    program = in_notation(program, notation)
    request = _Request(program, wrt, lr, max_paths, layout, forward, digits)
    return Derivation(Document(tuple(_with_legend(list(request.blocks(style)), program)), digits))


def _with_legend(blocks: list[Block], program: Program) -> Iterator[Block]:
    """Beneath the heading, which parameters the letters stand for that occur."""
    said = None if any(isinstance(block, Table) for block in blocks) else {name for block in blocks for name in _names(block)}
    words = [part for letter, path in entries(program, said) for part in (", ", symbol(letter), f"{EQUALS}{path}" if path else "")][1:]
    yield blocks[0]
    if words:
        yield Sentence.of("The parameters: ", *words, ".")
    yield from blocks[1:]


def _names(block: Block) -> Iterator[str]:
    """The names in the formulas of a block."""
    formulas = (block.left, *block.formulas) if isinstance(block, Chain) else getattr(block, "words", ())
    for formula in formulas:
        if isinstance(formula, Expression):
            yield from (x.name for x in (formula, *formula.operands))
            yield from formula.names()


@dataclass
class _Request:
    """What was asked for, before it is known how it can be answered."""

    program: Program
    wrt: str | Tensor | None
    lr: float | None
    max_paths: int
    layout: Layout | None
    forward: bool
    digits: int

    def blocks(self, style: Style | None) -> Iterator[Block]:
        operations = sum(line.rule is not None for line in self.program.lines)
        if style == "summary" or (style is None and operations > READABLE):
            if self.wrt is not None:
                self.program.locate(self.wrt)
            return summary(self.program)
        if style == "operations":
            return self.in_matrices(every=True)
        if style == "matrices" or (style is None and self.layout) or (style is None and not self.single()):
            return self.in_matrices()
        try:
            return iter(list(self.in_weights(legible(self.program), MANY if style is None else None)))
        except (ShapeError, GraphError) as error:
            if style == "weights" or not (isinstance(error, ShapeError) or "taken apart" in str(error)):
                raise
            heading, *rest = self.in_matrices()
            return iter([heading, Sentence.of(f"In matrices, because {error}."), *rest, *self.element(legible(self.program))])

    def wanted(self) -> list[int]:
        if self.wrt is not None:
            return [self.program.locate(self.wrt)[0]]
        return [line.index for line in self.program.lines if line.rule is None and line.tracked and line.index in self.program.gradients]

    def single(self) -> bool:
        """Whether the question is about one number."""
        if self.wrt is None:
            return False
        place, index = self.program.locate(self.wrt)
        return index is not None or self.program.lines[place].value.size == 1

    def in_matrices(self, every: bool = False) -> Iterator[Block]:
        arrays = frozenset(line.index for line in self.program.lines if line.rule is None and line.name is None)
        program, chosen = (self.program, False) if every else settled(self.program)
        program = legible(program, every)
        heading, *rest = Matrices.of(program, self.wanted(), self.layout, self.lr, arrays, every).blocks()
        yield heading
        if chosen:
            yield Sentence.of("A choice that falls the same way for every element here is written as what it chooses.")
        yield from rest

    def element(self, program: Program) -> Iterator[Block]:
        """The one number that was asked for, where its whole array has been derived."""
        assert self.wrt is not None
        place, index = program.locate(self.wrt)
        if index is not None:
            top = program.names[program.outputs[0]]
            goal = partial(top, program.spelled(str(self.wrt)))
            whole = partial(top, program.names[place])
            value = format_number(program.gradients[place][index], self.digits)
            at = ", ".join(str(i + 1) for i in index)
            yield Sentence.of(goal, f" is the element {at}, counted from 1, of ", whole, f": {value}.")

    def in_weights(self, program: Program, limit: int | None) -> Iterator[Block]:
        if self.wrt is None:
            raise NameLookupError("which number is to be derived? Give wrt, the name of a tensor or of an element, such as 'w5'")
        place, index = program.locate(self.wrt)
        scalars, where = program.unrolled
        scalars = renamed(scalars, {scalars.outputs[0]: program.names[program.outputs[0]]})  # a sum of one term has the term's name
        nets = frozenset(where[i, k] for i in Structure(program).nets for k in np.ndindex(program.lines[i].shape) if (i, k) in where)
        order = {scalar: (i, int(np.ravel_multi_index(k, program.lines[i].shape)) if k else 0) for (i, k), scalar in where.items()}
        for k in np.ndindex(program.lines[place].shape) if index is None else [index]:
            if (place, k) not in where:
                what = self.wrt.label() if isinstance(self.wrt, Tensor) else self.wrt
                raise GraphError(f"{program.names[program.outputs[0]]} does not depend on {what}, so that its derivative is zero")
            if scalars.lines[where[place, k]].name is None:  # what is asked for is a symbol too
                scalars = renamed(scalars, {where[place, k]: scalars.names[where[place, k]]})
            weight = Weight(scalars, where[place, k], nets, order, self.lr, self.max_paths, self.forward)
            if limit and len(weight.groups) > limit:
                raise ShapeError(f'number by number it takes {len(weight.groups)} deltas, which style="weights" writes out')
            heading, *rest = weight.blocks()
            yield heading
            yield from self.data(program, where, scalars, rest)
            yield from rest

    def data(self, program: Program, where: Mapping[Any, int], scalars: Program, blocks: list[Block]) -> Iterator[Block]:
        """The arrays that got their names here, and whose numbers the formulas speak of."""
        spoken = {name for block in blocks if isinstance(block, Chain) for formula in block.formulas for name in formula.names()}
        unnamed = [line for line in self.program.lines if line.rule is None and line.name is None and line.shape]
        for line in unnamed:
            if any((at := (line.index, k)) in where and scalars.names[where[at]] in spoken for k in np.ndindex(line.shape)):
                name = symbol(program.names[line.index])
                yield Chain(name, (name,), {name.name: line.value}, only_numbers=True)
