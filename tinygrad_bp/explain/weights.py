"""The derivation for a single number: factor by factor along the paths from the loss to it, and grouped by deltas.

Every formula is a rule run on symbols, every number is the one that the graph holds; nothing is stated here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from tinygrad_bp.errors import GraphError
from tinygrad_bp.explain.document import Block, Chain, Heading, Sentence
from tinygrad_bp.expression import Expression, call, number, partial, symbol
from tinygrad_bp.letters import delta_of
from tinygrad_bp.program import Program

Factor = tuple[Expression, Expression]  # its name, and its formula
ONE = number(1)


@dataclass
class Weight:
    """The derivation of d(output)/d(one number), on a Program of single numbers.

    ``nets``: the places of weighted inputs, whose derivatives are the deltas. ``order``: in which order of the page
    the numbers of one layer stand.
    """

    program: Program
    bottom: int
    nets: frozenset[int]
    order: Mapping[int, tuple[int, int]]
    lr: float | None = None
    max_paths: int = 8
    forward: bool = False

    def __post_init__(self) -> None:
        self.top = self.program.outputs[0]
        if self.bottom not in self.program.gradients:
            raise GraphError(f"{self.name(self.top)} does not depend on {self.name(self.bottom)}, so that its derivative is zero")
        self.values: dict[str, Any] = {name: self.program.lines[i].value for name, i in self.program.places.items()}
        self.numbers: dict[str, Any] = {}  # of the factors that have been shown

    def name(self, place: int) -> str:
        return self.program.names[place]

    # -- the ways from the output to the number --------------------------------------------------------------------

    @cached_property
    def partials(self) -> dict[int, dict[int, Expression]]:
        """Of each named line above: its derivatives by the named lines that it is computed from."""
        found: dict[int, dict[int, Expression]] = {}
        pending = {self.top}
        while pending:
            place = max(pending)
            pending.remove(place)
            found[place] = self.program.partials(place)
            pending |= {i for i in found[place] if i not in found}
        return found

    @cached_property
    def steps(self) -> dict[int, dict[int, Expression]]:
        """The same, of the lines that lead to the number and towards it only; oldest first."""
        reaching = {self.bottom}
        for place in sorted(self.partials):
            if reaching & self.partials[place].keys():
                reaching.add(place)
        return {
            i: {k: e for k, e in self.partials[i].items() if k in reaching} for i in sorted(self.partials) if i in reaching - {self.bottom}
        }

    @cached_property
    def counts(self) -> dict[int, int]:
        """How many ways lead from each line to the number."""
        counts = {self.bottom: 1}
        for place, steps in self.steps.items():
            counts[place] = sum(counts[i] for i in steps)
        return counts

    def narrows(self) -> list[int]:
        """The lines that every way goes through, from the output to the number."""
        through = {self.top: 1}
        for place in sorted(self.steps, reverse=True):
            for i in self.steps[place]:
                through[i] = through.get(i, 0) + through.get(place, 0)
        return [i for i in sorted(through, reverse=True) if through[i] * self.counts[i] == self.counts[self.top]]

    def ways(self, start: int, end: int) -> list[list[int]]:
        """Each way from one line down to another, as lines."""
        found, stack = [], [[start]]
        while stack:
            way = stack.pop()
            if way[-1] == end:
                found.append(way)
            else:
                stack += [[*way, i] for i in sorted(self.steps.get(way[-1], {}), reverse=True) if i >= end]
        return found

    def factors(self, way: list[int]) -> list[Factor]:
        """Those along a way; a leading factor of 1, as dE_total/dE_o1, is left out as a person would."""
        upper, found = way[0], list[Factor]()
        for k, (a, b) in enumerate(itertools.pairwise(way)):
            formula = self.steps[a][b]
            if not (formula.same(ONE) and not found and k + 2 < len(way)):
                found.append((partial(self.name(upper), self.name(b), self.held(a, b)), formula))
                upper = b
        return found

    def held(self, a: int, b: int) -> str:
        """What is held fixed in a derivative because it depends on the same: in y = u + x, u = x * x, dy/dx|u is 1."""
        return ",".join(self.name(i) for i in self.steps[a] if i != b and self.leads(i, b))

    def leads(self, start: int, end: int) -> bool:
        pending = [start]
        for i in pending:
            pending += [k for k in self.steps.get(i, ()) if k >= end and k not in pending]
        return end in pending

    # -- what is written -----------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[Block]:
        goal = partial(self.name(self.top), self.name(self.bottom))
        yield Heading.of(goal)
        if self.forward:
            yield Sentence.of("Forward:")
            yield from self.forward_pass()
            yield Sentence.of("Backward:")
        count = self.counts[self.top]
        if count > self.max_paths:
            yield Sentence.of(
                f"{count} paths lead from ", symbol(self.name(self.top)), " to ", symbol(self.name(self.bottom)),
                ". Reverse mode never lists them: it adds up, at each quantity, what comes back from everything that uses it, as below.",
            )  # fmt: skip
        else:
            yield from self.along_ways(goal)
        if self.groups:
            yield Sentence.of("The same, grouped by deltas:" if self.nets & self.steps.keys() else "The same, from the output down:")
            yield from self.grouped(goal)
        if self.lr is not None:
            formula = symbol(self.name(self.bottom)) - symbol("eta") * goal
            values = {**self.values, "eta": self.lr, goal.name: float(self.program.gradients[self.bottom])}
            yield Sentence.of("The update:")
            yield Chain(symbol(f"{self.name(self.bottom)}+"), (formula,), values)

    def forward_pass(self) -> Iterator[Block]:
        above = {self.top} | {i for steps in self.partials.values() for i in steps}
        for place in sorted(above, key=lambda i: self.order.get(i, (i, 0))):
            if self.program.lines[place].rule is not None:
                yield Chain(symbol(self.name(place)), (self.program.definition(place),), self.values)

    def along_ways(self, goal: Expression) -> Iterator[Block]:
        """The product along what all ways have in common, and where they part, the sum over them."""
        narrows = self.narrows()
        parts = [self.ways(a, b) for a, b in itertools.pairwise(narrows)]
        if all(len(ways) == 1 for ways in parts):
            yield from self.along(goal, self.factors(narrows))
            return
        names = [partial(self.name(ways[0][0]), self.name(ways[0][-1])) for ways in parts]
        if len(parts) > 1:
            yield Chain(goal, (multiplied(names),))
        for name, ways in zip(names, parts, strict=True):
            yield from self.together(name, ways) if len(ways) > 1 else self.introduced(self.factors(ways[0]))
        if len(parts) > 1:
            yield Chain(goal, (multiplied(names),), self.numbers, only_numbers=True)

    def along(self, goal: Expression, factors: list[Factor]) -> Iterator[Block]:
        """One way: the product, each factor, the product with numbers."""
        if not factors:  # the output itself
            yield Chain(goal, (ONE,))
            self.numbers[goal.name] = 1.0
            return
        if len(factors) == 1:
            yield Chain(goal, factors[0] if not goal.operands else factors[0][1:], self.values)
            self.numbers[goal.name] = float(factors[0][1].evaluate(self.values))
            return
        product = multiplied([name for name, _ in factors])
        yield Chain(goal, (product,))
        yield from self.introduced(factors)
        yield Chain(goal, (product,), dict(self.numbers), only_numbers=True)
        self.numbers[goal.name] = float(product.evaluate(self.numbers))

    def introduced(self, factors: list[Factor]) -> Iterator[Block]:
        """Each factor that has not been shown: its formula, and its number."""
        for name, formula in factors:
            if name.name not in self.numbers:
                self.numbers[name.name] = float(formula.evaluate(self.values))
                yield Chain(name, (formula,), self.values)

    def together(self, goal: Expression, ways: list[list[int]]) -> Iterator[Block]:
        """Several ways: the derivative along each, and their sum."""
        top, bottom = symbol(self.name(ways[0][0])), symbol(self.name(ways[0][-1]))
        yield Sentence.of(bottom, " reaches ", top, f" along {len(ways)} paths, which add up:")
        labels = self.labels(ways)
        yield Chain(goal, (added(labels),))
        for label, way in zip(labels, ways, strict=True):
            between = [part for i in way[1:-1] for part in (", ", symbol(self.name(i)))][1:]
            yield Sentence.of("through ", *between, ":") if between else Sentence.of("directly:")
            yield from self.along(label, self.factors(way[1:] if label.operands else way))
        yield Sentence.of("and together:")
        yield Chain(goal, (added(labels),), dict(self.numbers), only_numbers=True)
        self.numbers[goal.name] = float(added(labels).evaluate(self.numbers))

    def labels(self, ways: list[list[int]]) -> list[Expression]:
        """What the derivative along each way is called: dE_o1/dw where the way begins with E_total = E_o1 + ..., or its number."""
        heads = [way[1] if self.steps[way[0]][way[1]].same(ONE) and len(way) > 2 else None for way in ways]
        alone = [head is not None and heads.count(head) == 1 for head in heads]
        return [
            partial(self.name(way[1]), self.name(way[-1])) if one else symbol(f"path {k}")
            for k, (one, way) in enumerate(zip(alone, ways, strict=True), 1)
        ]

    # -- grouped -------------------------------------------------------------------------------------------------

    @cached_property
    def groups(self) -> list[int]:
        """The lines whose derivatives the grouped form names: the deltas, or, where there are none and many ways, all."""
        between = self.steps.keys() - {self.top}
        nets = between & self.nets
        return sorted(nets or (between if self.counts[self.top] > self.max_paths else ()))

    def grouped(self, goal: Expression) -> Iterator[Chain]:
        """Newest layer first: each delta from the deltas above it, and the gradient from the lowest."""
        top, values = self.name(self.top), dict(self.values)
        cotangents: dict[int, Expression] = {self.top: ONE}
        chains: list[tuple[int, Chain]] = []
        for place in sorted({self.bottom, *self.steps}, reverse=True):
            if place != self.top:
                above = [(i, steps[place]) for i, steps in self.steps.items() if place in steps]
                cotangents[place] = reduce(lambda a, b: a + b, [cotangents[i] * e for i, e in above])
            if place == self.bottom:
                chains.append((place, Chain(goal, (cotangents[place],), values)))
            elif place in self.groups:
                name = partial(top, self.name(place))
                label = symbol(delta_of(self.name(place))) if place in self.nets else name
                chains.append((place, Chain(label, (*(() if label is name else (name,)), cotangents[place]), values)))
                values[label.name] = cotangents[place].evaluate(values)
                cotangents[place] = label
        layer = {place: self.order.get(place, (place, 0)) for place, _ in chains}
        for _, chain in sorted(chains, key=lambda pair: (-layer[pair[0]][0] if pair[0] != self.bottom else np.inf, layer[pair[0]][1])):
            yield chain


def multiplied(names: list[Expression]) -> Expression:
    """Factors as they stand, an equal one twice."""
    return reduce(lambda a, b: call(np.multiply, (a, b)), names)


def added(names: list[Expression]) -> Expression:
    return reduce(lambda a, b: call(np.add, (a, b)), names)
