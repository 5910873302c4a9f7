"""The derivation of dE/dw: the paths from the loss to the weight, factor by factor, and the same grouped by deltas.

Every formula is a rule run on symbols, every number is the one that the graph holds; nothing is stated here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from tinygrad_bp.errors import GraphError
from tinygrad_bp.explain.document import Chain, Document, Heading, Sentence
from tinygrad_bp.expression import Expression, number, partial, symbol
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor

PATH_LIMIT = 8


@dataclass(frozen=True)
class Derivation:
    """What ``tg.explain`` returns. ``str(d)`` is plain text; notebooks show the mathematics."""

    document: Document

    @property
    def text(self) -> str:
        """Plain ASCII text."""
        return self.document.text()

    @property
    def markdown(self) -> str:
        """Markdown with mathematics between dollar signs."""
        return self.document.markdown()

    @property
    def latex(self) -> str:
        """LaTeX for a document that loads ``amsmath``."""
        return self.document.latex()

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return self.markdown


def explain(
    output: Tensor | Program, wrt: str | Tensor, lr: float | None = None, digits: int = 9, max_paths: int = PATH_LIMIT
) -> Derivation:
    """The derivation of d(output)/d(wrt), with the numbers put in.

    ``output``: a scalar tensor. ``wrt``: a tensor, or the name of a tensor or of an element of one (``"w5"``); an
    array is explained element by element. ``lr``: also write the update w - lr * gradient. ``digits``: how many
    significant digits are printed; the computation uses all of them. More paths than ``max_paths`` are counted
    instead of listed.

    Raises ``GraphError`` if the output is not a scalar or does not depend on ``wrt``, ``ShapeError`` if the graph
    is too large to be taken apart into single numbers.

    >>> import tinygrad_bp as tg
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> print(tg.explain((x * x).named("y"), "x"))
    dy/dx
    <BLANKLINE>
      dy/dx = 2 * x
            = 2 * 3
            = 6
    """
    matrix = output if isinstance(output, Program) else Program.of(output)
    if matrix.output.value.size != 1:
        raise GraphError(f"the output has shape {matrix.output.shape}; a derivation starts from a scalar. Take .sum() or .mean()")
    place, index = matrix.locate(wrt)
    scalars, where = matrix.unrolled
    indices = np.ndindex(matrix.lines[place].shape) if index is None else [index]
    blocks = [block for i in indices for block in _Writer(scalars, where.get((place, i)), wrt, lr, max_paths).blocks()]
    return Derivation(Document(tuple(blocks), digits))


class _Writer:
    """One derivation in the making."""

    def __init__(self, program: Program, bottom: int | None, wrt: str | Tensor, lr: float | None, max_paths: int) -> None:
        self.program, self.lr, self.max_paths = program, lr, max_paths
        self.top = program.outputs[0]
        if bottom is None or bottom not in program.gradients:
            what = wrt.label() if isinstance(wrt, Tensor) else wrt
            raise GraphError(f"{program.names[self.top]} does not depend on {what}, so that its derivative is zero")
        self.bottom = bottom
        self.values = {name: program.lines[i].value for name, i in program.places.items()}
        self.partials = {i: program.partials(i) for i in self._route()}

    def _route(self) -> list[int]:
        """The named lines from the output down to the weight, newest first."""
        partials: dict[int, dict[int, Expression]] = {}
        pending, reaching = {self.top}, {self.bottom}
        while pending:
            place = max(pending)
            pending.remove(place)
            partials[place] = self.program.partials(place)
            pending |= {i for i in partials[place] if i not in partials}
        for place in sorted(partials):
            if reaching & partials[place].keys():
                reaching.add(place)
        self.reaching = reaching
        return sorted(reaching - {self.bottom}, reverse=True)

    def name(self, place: int) -> str:
        return self.program.names[place]

    def steps(self, place: int) -> dict[int, Expression]:
        """The factors from a named line to those below it that lead on to the weight."""
        return {i: e for i, e in self.partials[place].items() if i in self.reaching}

    # -- what is written -----------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[Heading | Sentence | Chain]:
        top, bottom = self.name(self.top), self.name(self.bottom)
        goal = partial(top, bottom)
        yield Heading(goal)
        count = self.count_paths()
        if count > self.max_paths:
            yield Sentence(
                f"{count} paths lead from {top} to {bottom}. Reverse mode never lists them: it adds up, at each "
                "quantity, what comes back from everything that uses it, as below."
            )
        else:
            yield from self.along_paths(goal)
        if self.deltas():
            yield Sentence("The same, grouped by deltas:")
            yield from self.grouped(goal)
        if self.lr is not None:
            new = symbol(f"{bottom}+")
            eta = symbol("eta")
            formula = symbol(bottom) - eta * goal
            values = {**self.values, "eta": self.lr, goal.text(): self.gradient}
            yield Sentence("The update:")
            yield Chain(new, (formula,), values)

    @property
    def gradient(self) -> float:
        return float(self.program.gradients[self.bottom])

    def along_paths(self, goal: Expression) -> Iterator[Sentence | Chain]:
        paths = list(self.paths())
        products = [self.factors(path) for path in paths]
        chains = [reduce(lambda a, b: a * b, [name for name, _ in factors]) for factors in products]
        if len(paths) == 1 and len(products[0]) == 1:
            yield Chain(goal, (products[0][0][1],), self.values)
            return
        if len(paths) == 1:
            yield Chain(goal, (chains[0],))
        else:
            yield Sentence(f"{self.name(self.bottom)} reaches {self.name(self.top)} along {len(paths)} paths, which add up:")
        numbers: dict[str, float] = {}
        for path, factors, chain in zip(paths, products, chains, strict=True):
            known = set(numbers)
            if len(paths) > 1:
                yield Sentence("through " + ", ".join(self.name(i) for i in path[1:-1]) + ":")
                yield Chain(None, (chain,))
            for name, formula in factors:
                numbers[name.text()] = float(formula.evaluate(self.values))
                if name.text() not in known:
                    yield Chain(name, (formula,), self.values)
            if len(paths) > 1:
                yield Chain(None, (chain,), numbers, only_numbers=True)
        if len(paths) == 1:
            yield Chain(goal, (chains[0],), numbers, only_numbers=True)
        else:
            terms = [symbol(f"path {k + 1}") for k in range(len(paths))]
            sums = {term.name: float(chain.evaluate(numbers)) for term, chain in zip(terms, chains, strict=True)}
            yield Sentence("and together:")
            yield Chain(goal, (reduce(lambda a, b: Expression(np.add, (a, b)), terms),), sums, only_numbers=True)

    def grouped(self, goal: Expression) -> Iterator[Chain]:
        """Newest first: each delta from the deltas above it, and the gradient from the lowest."""
        values, cotangents = dict(self.values), {self.top: number(1)}
        deltas = self.deltas()
        for place in sorted(self.reaching, reverse=True):
            if place != self.top:
                above = [(i, self.steps(i)[place]) for i in sorted(self.partials) if place in self.steps(i)]
                cotangents[place] = reduce(lambda a, b: a + b, [cotangents[i] * e for i, e in above])
            if place in deltas or place == self.bottom:
                label = goal if place == self.bottom else symbol(deltas[place])
                upper = () if place == self.bottom else (partial(self.name(self.top), self.name(place)),)
                yield Chain(label, (*upper, cotangents[place]), dict(values))
                if place != self.bottom:
                    values[deltas[place]] = cotangents[place].evaluate(values)
                    cotangents[place] = label

    def deltas(self) -> dict[int, str]:
        """The weighted inputs on the way, whose cotangents are the deltas: ``net_o1`` has ``delta_o1``."""
        return {i: f"delta_{self.name(i)[4:]}" for i in self.reaching - {self.top, self.bottom} if self.name(i).startswith("net_")}

    # -- paths ---------------------------------------------------------------------------------------------------

    def count_paths(self) -> int:
        counts = {self.bottom: 1}
        for place in sorted(self.partials):
            counts[place] = sum(counts[i] for i in self.steps(place))
        return counts[self.top]

    def paths(self) -> Iterator[list[int]]:
        """Each way from the output down to the weight, as lines."""
        stack = [[self.top]]
        while stack:
            path = stack.pop()
            if path[-1] == self.bottom:
                yield path
            else:
                stack += [[*path, i] for i in sorted(self.steps(path[-1]), reverse=True)]

    def factors(self, path: list[int]) -> list[tuple[Expression, Expression]]:
        """(name, formula) of each factor; a leading factor of 1, as dE_total/dE_o1, is left out as a person would."""
        upper = path[0]
        found: list[tuple[Expression, Expression]] = []
        for k, (a, b) in enumerate(itertools.pairwise(path)):
            formula = self.partials[a][b]
            if formula.same(number(1)) and b != path[-1] and not found and k + 2 < len(path):
                continue
            found.append((partial(self.name(upper), self.name(b)), formula))
            upper = b
        return found
