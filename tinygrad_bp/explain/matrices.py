"""The derivation with whole arrays: forward, and back through every line, each derivative once, from those above it.

One sweep of the rules on symbols gives all formulas. At some lines, the weighted inputs first of all, the derivative
gets a name, delta, and the formulas below go on from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tinygrad_bp.errors import GraphError
from tinygrad_bp.explain.document import Block, Chain, Heading, Legend, Sentence, Words
from tinygrad_bp.explain.legible import LONG, twice_read
from tinygrad_bp.explain.notation import renamed
from tinygrad_bp.explain.structure import REARRANGED, Structure
from tinygrad_bp.expression import Expression, apply, call, copied, factors, oriented, partial, product, symbol, vectors_first, vectors_last
from tinygrad_bp.functions import sum_to
from tinygrad_bp.letters import delta_of
from tinygrad_bp.program import Line, Program
from tinygrad_bp.rule import Rule

Layout = Literal["numerator", "denominator"]


@dataclass
class Matrices:
    """The derivation of d(output)/d(each of some lines), on a Program in which what matters has a name."""

    program: Program
    wanted: Sequence[int]
    layout: Layout | None = None
    lr: float | None = None
    constants: frozenset[int] = frozenset()  # arrays in the source, which are shown once because they got their names here
    every: bool = False  # an operation a line, each with its rule
    forced: frozenset[int] = frozenset()  # lines whose derivative gets a name because what comes below would be too long
    notes: dict[int, list[Words]] = field(default_factory=dict)
    long: set[int] = field(default_factory=set)  # lines found in the sweep that should have been among the forced ones

    def __post_init__(self) -> None:
        self.structure = Structure(self.program)
        self.top = self.program.outputs[0]
        self.users = self.structure.users

    @classmethod
    def of(cls, program: Program, wanted: Sequence[int], layout: Layout | None = None, lr: float | None = None,
           constants: frozenset[int] = frozenset(), every: bool = False) -> Matrices:  # fmt: skip
        """The derivation in which no formula is longer than anybody reads: what would make it so gets a name."""
        trial = cls(program, wanted, layout, every=every)
        long = trial.long if trial.derivatives else set()  # the sweep finds them
        program = renamed(program, {i: program.names[i] for i in long if program.lines[i].name is None})
        return cls(program, wanted, layout, lr, constants, every, frozenset(long))

    # -- which lines matter --------------------------------------------------------------------------------------

    @cached_property
    def on_the_way(self) -> list[int]:
        """The lines from which the output is computed and which depend on a wanted one, oldest first."""
        above, below = {self.top}, set(self.wanted)
        for line in reversed(self.program.lines):
            if line.index in above:
                above.update(i for i in line.operands if not self.program.lines[i].constant)
        for line in self.program.lines:
            if line.rule is not None and any(i in below for i in line.operands):
                below.add(line.index)
        return sorted(above & below)

    @cached_property
    def joints(self) -> set[int]:
        """The lines whose derivative gets a name: weighted inputs, what is used more than once, and what is wanted."""
        way = set(self.on_the_way)
        if self.every:
            return way - {self.top}
        shared = {i for i in way & self.program.named if sum(u in way for u in self.users[i]) > 1}
        general = {i for i in way if twice_read(self.program.lines[i])}
        return (way & self.structure.nets.keys() | shared | self.forced | general & self.program.named | set(self.wanted)) - {self.top}

    @cached_property
    def plain(self) -> set[int]:
        """Those of them that need no name where their derivative is a number: nothing but their rule reads it more than once."""
        way = set(self.on_the_way)
        alone = {i for i in self.joints if twice_read(self.program.lines[i]) and sum(u in way for u in self.users[i]) == 1}
        return set() if self.every else alone - self.structure.nets.keys() - set(self.wanted)

    # -- the sweep -----------------------------------------------------------------------------------------------

    def label(self, place: int) -> Expression:
        """The name of the derivative by a line: delta_o, or dE/dw."""
        name, shape = self.program.names[place], self.program.lines[place].shape
        if place in self.structure.nets and place not in self.wanted:
            return symbol(delta_of(name), shape)
        return partial(self.program.names[self.top], name, shape=shape)

    @cached_property
    def derivatives(self) -> dict[int, Expression]:
        """Line -> the derivative of the output by it, in terms of the named ones above it."""
        way = set(self.on_the_way)
        self.long.clear()
        labels = {i: self.label(i) for i in self.joints}

        def derivative(line: Line, i: int, g: Expression, operands: Sequence[Any], result: Any) -> Any:
            place = line.operands[i]
            assert line.rule is not None
            if place not in way or line.index not in way:
                return None
            if line.index not in {*labels, self.top} and operations(g) > 1.5 * LONG and line.rule.name not in REARRANGED:
                labels[line.index] = partial(self.program.names[self.top], self.program.names[line.index], shape=line.shape)
                self.long.add(line.index)
            if line.index in labels and line.index in self.plain and (n := copied(g)) is not None and not n.names():
                del labels[line.index]
                self.joints.remove(line.index)
            g = labels.get(line.index, g)
            gx = symbolic(line, i, g, operands, result)
            if gx is not None:
                self._note(line, i, place, gx)
                if line.rule.name == "take" and not self.every:
                    self.notes.setdefault(place, []).append(("scatter: zeros, but for these places",))
            return gx if gx is None or self.every else self._ordered(gx, g)

        one = apply(np.broadcast_to, 1, shape=self.program.output.shape)
        return self.program.reverse(self.program.symbols, {self.top: one}, fit=self._fitted, derivative=derivative)

    def _ordered(self, gx: Expression, g: Expression) -> Expression:
        """In denominator layout, and without one, the inner derivative stands to the left of what comes from above."""
        incoming = {id(x) for x in factors(g)}
        local = [x for x in factors(gx) if id(x) not in incoming]
        rest = [x for x in factors(gx) if id(x) in incoming]
        if gx.shape is not None and product(local + rest).shape not in (gx.shape, None):
            return gx
        return product(rest + local if self.layout == "numerator" else local + rest)

    def _fitted(self, g: Expression, line: Line, user: Line) -> Expression:
        """Broadcasting is undone here, as the engine does it, and said."""
        fitted: Expression = sum_to(g, line.shape) if g.shape is not None else g
        if fitted is not g:
            self._summed(line.index, g.shape or (), line.shape)
        return fitted

    def _summed(self, place: int, wide: tuple[int, ...], narrow: tuple[int, ...]) -> None:
        extra = len(wide) - len(narrow)
        axes = [*range(extra), *(i + extra for i, n in enumerate(narrow) if n == 1 and wide[i + extra] != 1)]
        if axes:
            where = "axis " + str(axes[0]) if len(axes) == 1 else "axes " + " and ".join(map(str, axes))
            self.notes.setdefault(place, []).append((f"summed over {where}, where ", symbol(self.program.names[place]), " was broadcast"))

    def _note(self, line: Line, i: int, place: int, gx: Expression) -> None:
        """What a rule with a sum of its own did for a bias; in a listing of operations, the rule itself."""
        assert line.rule is not None
        if line.rule.kind == "general" and gx.function is np.sum:
            self._summed(place, gx.operands[0].shape or (), self.program.lines[place].shape)
        if self.every:
            self.notes.setdefault(place, []).insert(0, (f"{rule_text(line.rule, i, line, self.program)}",))

    # -- what is written -----------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[Block]:
        missing = [self.program.names[i] for i in self.wanted if i not in self.derivatives]
        if missing:
            top = self.program.names[self.top]
            raise GraphError(f"{top} does not depend on {', '.join(missing)}, so that its derivative is zero")
        yield Heading(self._title())
        yield Sentence.of(f"Forward.{' The shape of an array stands beneath its name; a number has none.' * self.has_arrays}")
        for line in self.program.lines:
            if line.index in self.shown and line.shape and line.rule is None and line.index in self.constants:
                yield Chain(self._symbol(line.index), (self._symbol(line.index),), self.values, only_numbers=True)
            if line.rule is not None and line.index in self.shown:
                formula = self.program.definition(line.index)
                formula = formula if self.every else vectors_last(formula)  # values are columns in either layout
                yield Chain(self._symbol(line.index), (formula,), self.values, shapes=True)
        yield Sentence(self._introduction())
        if self.has_arrays:
            yield Legend()
        order = sorted(self.joints & self.derivatives.keys(), key=self._position)
        for place in order:
            yield from self._back(place)

    @cached_property
    def has_arrays(self) -> bool:
        return any(line.shape for line in self.program.lines)

    @cached_property
    def shown(self) -> set[int]:
        """The named lines that the output is computed from."""
        above = {self.top}
        for line in reversed(self.program.lines):
            if line.index in above:
                above.update(line.operands)
        return above & self.program.named

    def _title(self) -> Words:
        top, goals = self.program.names[self.top], [self.program.names[i] for i in self.wanted]
        if self.every:
            return (f"{top}, operation by operation",)
        listed = [part for name in goals[:6] for part in (", ", partial(top, name))][1:]
        return (*listed, *([", ..."] if len(goals) > 6 else []), *([", in matrices"] if self.has_arrays else []))

    def _introduction(self) -> Words:
        top = self.program.names[self.top]
        words: list[str | Expression] = ["Backward, from ", symbol(top), ". "]
        if nets := [i for i in sorted(self.joints) if self.label(i).function is None and not self.label(i).operands]:
            last = self.program.names[nets[-1]]
            words += ["Each delta is the derivative of ", symbol(top), " by a weighted input, such as ", symbol(delta_of(last))]
            words += [" by ", symbol(last), ". "]
            words += ["BP1 to BP4 are the four equations of back-propagation. "] if self._tag(nets[-1]) else []
        if self.layout == "numerator":
            words.append("Numerator layout: the derivative of y by x has y down and x across, the outermost factor stands first, "
                         "and the derivative by a vector is a row, before its matrix. ")  # fmt: skip
        if self.layout == "denominator":
            words.append("Denominator layout: the derivative of y by x has x down and y across, the innermost factor stands first, "
                         "and a vector is a column after its matrix. ")  # fmt: skip
        return tuple(words)

    def _position(self, place: int) -> tuple[int, int]:
        """Newest first; what nothing depends on right after the derivatives that it is made of."""
        if self.program.lines[place].rule is None:
            above = [i for i in self.joints if self.label(i).name in self.derivatives[place].names() and i != place]
            return -min(above, default=self.top), place + 1
        return -place, 0

    def _symbol(self, place: int) -> Expression:
        return symbol(self.program.names[place], self.program.lines[place].shape)

    @cached_property
    def values(self) -> dict[str, Any]:
        """Name -> value, of the lines and of the derivatives."""
        values = {name: self.program.lines[i].value for name, i in self.program.places.items()}
        return values | {self.label(i).name: self.program.gradients[i] for i in self.joints if i in self.program.gradients}

    def _back(self, place: int) -> Iterator[Block]:
        label = self.label(place)
        steps = self._chain(place) if self.layout else ()
        numerator = self.layout == "numerator"
        formula = vectors_first(self.derivatives[place]) if numerator else vectors_last(self.derivatives[place])
        rows = frozenset(self.label(i).name for i in self.joints) if numerator else frozenset()
        formula = oriented(formula, rows, row=True) if numerator else formula
        name = partial(self.program.names[self.top], self.program.names[place], shape=self.program.lines[place].shape)
        upper = () if label.name == name.name else (name,)
        if len(steps) > 1:
            yield Chain(label, (*upper, product_of(steps)), shapes=True, tag=self._tag(place))
            upper, tag = (), ""
        else:
            tag = self._tag(place)
        notes = {"".join(map(str, words)): words for words in self.notes.get(place, [])}  # each said once
        note = tuple(part for k, words in enumerate(notes.values()) for part in ((("; ",) if k else ()) + words))
        yield Chain(label, (*upper, formula), self.values, shapes=True, rows=rows, tag=tag, note=note)
        if self.lr is not None and place in self.wanted:
            new, eta = symbol(f"{self.program.names[place]}+"), symbol("eta")
            step = oriented(self._symbol(place) - eta * label, rows, row=False)
            yield Chain(new, (step,), {**self.values, "eta": self.lr}, rows=rows)

    def _tag(self, place: int) -> str:
        for layer in self.structure.layers if not self.every else ():
            if place in (layer.net, layer.weight, layer.bias):
                last = layer is self.structure.layers[-1]
                return ("BP1" if last else "BP2") if place == layer.net else "BP3" if place == layer.weight else "BP4"
        return ""

    def _chain(self, place: int) -> tuple[Expression, ...]:
        """The derivatives whose product this one is, outermost first in numerator layout, where one way alone leads here."""
        way, at, down = set(self.on_the_way), place, [place]
        while at != self.top and (at == place or at not in self.joints):
            above = [u for u in self.users[at] if u in way]
            if len(above) != 1:
                return ()
            at = above[0]
            if at in self.program.named:
                down.append(at)
        names, shapes = self.program.names, [self.program.lines[i].shape for i in down]
        steps = [partial(names[self.top], names[down[-1]], shape=shapes[-1])] if down[-1] != self.top else []
        for upper, lower in zip(down[:0:-1], down[-2::-1], strict=True):
            a, b = self.program.lines[upper].shape, self.program.lines[lower].shape
            steps.append(partial(names[upper], names[lower], shape=a + b if self.layout == "numerator" else b + a))
        return tuple(steps if self.layout == "numerator" else steps[::-1])


def operations(x: Expression, known: Collection[int] = ()) -> int:
    """How long a formula is: its operations and its names; ``known``: ids of parts that count as one."""
    return 1 + sum(operations(y, known) for y in x.operands) if x.function is not None and id(x) not in known else 1


def product_of(steps: Sequence[Expression]) -> Expression:
    """Factors side by side, none of them carried out."""
    result = steps[0]
    for step in steps[1:]:
        result = Expression(juxtaposed, (result, step))
    return result


def juxtaposed(a: Any, b: Any) -> Any:
    """The product of two derivatives, whatever their axes."""
    return np.tensordot(a, b, 1)


def symbolic(line: Line, i: int, g: Expression, operands: Sequence[Any], result: Any) -> Any:
    """The rule's formula on symbols; where it is no formula but a program, or repeats its parts without end, its name."""
    assert line.rule is not None
    rule = line.rule
    try:
        formula = rule.derivative(i, g, operands, result, line.params)
    except (AttributeError, TypeError, ValueError, IndexError):
        pass
    else:
        if not isinstance(formula, Expression) or operations(formula, {id(x) for x in (g, result, *operands)}) <= 2 * LONG:
            return formula

    def pullback(g: Any, y: Any, *arrays: Any) -> Any:
        return rule.derivative(i, g, arrays, y, line.params)

    pullback.__name__ = f"{rule.name}_derivative"
    return call(pullback, (g, result, *operands))


def rule_text(rule: Rule, i: int, line: Line, program: Program) -> str:
    """``sigmoid, by x: g * y * (1 - y)``: a rule in its own letters."""
    letters = [symbol(name, program.lines[k].shape) for name, k in zip(rule.arguments, line.operands, strict=True)]
    formula = symbolic(line, i, symbol("g", line.shape), letters, symbol("y", line.shape))
    return f"rule of {rule.name}, by {rule.arguments[i]}: {formula}"
