"""Forward and backward pass as a sequence of pictures: numbers appear as they are computed, with the chain rule in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tinygrad_bp.draw.circuits import circuit
from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.graphs import graph
from tinygrad_bp.draw.labels import Number
from tinygrad_bp.draw.layers import find_layers, usual_names
from tinygrad_bp.draw.narration import Formula, Narration, listed
from tinygrad_bp.draw.networks import network
from tinygrad_bp.draw.steps import MOST, Picture, Step, Steps
from tinygrad_bp.errors import GraphError, ShapeError
from tinygrad_bp.expression import Expression, symbol
from tinygrad_bp.letters import places, spoken
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor

SINGLE = 80  # steps for single numbers; with more, a step is a whole array
TOLD = 8  # lines on the way to a number that one step tells of
LARGEST = 1_000  # tensors of a graph that is told at all
State = Literal["shown", "hidden", "new"]


def steps(output: Tensor | Program, digits: int = 6, picture: Picture | None = None) -> Steps:
    """Forward and backward pass of a loss as a sequence of pictures: each number appears when it is computed.

    ``output``: a scalar tensor. ``picture``: ``draw.network``, ``draw.circuit`` or ``draw.graph``; the network where
    the graph is one, and the graph otherwise. ``digits``: significant digits. First come the values, in the order of
    computation; then the gradients, in reverse, that of a weight as soon as all that it acts on are there. The words
    are the rules of differentiation, run on the names of the graph. Small graphs are shown number by number, larger
    ones array by array. Raises ``GraphError`` where the output is not a scalar, or has more steps than anyone watches.

    >>> from tinygrad_bp.worked import step_by_step
    >>> print(steps(step_by_step.forward())[1])
    Step 1 of 26. Forward: net_h1
    net_h1 is computed from i1, w1, i2, w2 and b1.
    net_h1 = i1 * w1 + i2 * w2 + b1 = 0.05 * 0.15 + 0.1 * 0.2 + 0.35 = 0.3775
    """
    program = output if isinstance(output, Program) else Program.of(output)
    picture = picture or suitable(program)
    program = spoken(program, layers=picture is not network)
    if program.output.value.size != 1:
        raise GraphError(f"the output has shape {program.output.shape}; the way back starts from a scalar. Take .sum() or .mean()")
    if len(program) > LARGEST:
        raise GraphError(f"the graph has {len(program)} tensors, and {LARGEST} are the most that are told in steps. Draw a part of it")
    letters = places(program)
    if picture is circuit and any(line.shape for line in program):
        program = program.scalars()  # as the circuit would: its numbers are those of single lines
    drawn: dict[Number, State] = {}
    picture(program, digits=digits, show=lambda number: drawn.setdefault(number, "shown"))
    program = _with_names(program, {number.place for number in drawn})
    told = _Telling(program, list(drawn), digits, letters)
    if len(told.groups) > MOST:
        raise GraphError(f"these are {len(told.groups)} steps, and {MOST} are the most that are drawn. Draw a smaller network")
    moments = [told.start(), *told.forward(), *told.backward(), told.end()]
    when = {number: k for k, moment in enumerate(moments) for number in moment.new}

    def drawing(k: int) -> Drawing:
        def show(number: Number) -> State:
            at = when.get(number, 0)
            return "new" if at == k > 0 else "shown" if at <= k else "hidden"

        return picture(program, digits=digits, show=show)

    return Steps(
        f"{program.names[program.output.index]}, step by step",
        (
            Step(
                f"Step {k} of {len(moments) - 1}. {m.title}",
                m.goal,
                m.words,
                tuple(m.formulas),
                drawing(k),
                tuple(map(str, m.new)),
                tuple(map(str, told.read(m.formulas))),
            )
            for k, m in enumerate(moments)
        ),
    )


@dataclass(frozen=True)
class _Moment:
    title: str
    words: str
    goal: Expression | None = None
    formulas: Sequence[Formula] = ()
    new: Sequence[Number] = ()


def suitable(program: Program) -> Picture:
    """The picture that a reader expects."""
    try:
        find_layers(program)
    except GraphError:
        return graph
    return network


def _with_names(program: Program, drawn: Iterable[int]) -> Program:
    """The program with a name for each line that is drawn, so that the words can speak of it; arrays of numbers count as inputs."""
    usual = usual_names(program)
    lines = list(program.lines)
    for line in program:
        if line.name is None and (line.index in usual if line.rule is None else line.index in drawn) and (line.shape or not line.constant):
            lines[line.index] = replace(line, name=usual.get(line.index, program.names[line.index]), constant=False)
    return replace(program, lines=tuple(lines))


class _Telling:
    """Who tells the steps: each number that is drawn when it is computed, with the numbers on the way that are not drawn."""

    def __init__(self, program: Program, drawn: Sequence[Number], digits: int, letters: str = "") -> None:
        self.program, self.drawn, self.letters = program, drawn, letters
        computed = [n for n in drawn if n.gradient or program.lines[n.place].rule is not None]
        self.where = self._single(computed)
        self.narration = Narration(program if self.where is None else program.scalars(), digits)
        self.groups: dict[tuple[bool, int], list[Number]] = {}  # (gradient, line of the narration) -> the numbers that appear together
        for n in sorted(computed, key=lambda n: (n.place, n.index or ())):
            place = self.line(n)
            assert place is not None
            self.groups.setdefault((n.gradient, place), []).append(n)
        self.users = Narration(program).users
        self.by_name: dict[str, list[Number]] = {}
        for n in drawn:
            if (place := self.line(n)) is not None:
                name = self.narration.gradient(place).name if n.gradient else self.narration.name(place)
                self.by_name.setdefault(name, []).append(n)

    def _single(self, computed: Sequence[Number]) -> Mapping[tuple[int, tuple[int, ...]], int] | None:
        """Where each number is in the program of single numbers; None if whole arrays are told."""
        shapes = {n.place: self.program.lines[n.place].shape for n in computed}
        if len(computed) > SINGLE or any(n.index is None and shapes[n.place] for n in computed) or self._is_sample(computed):
            return None
        try:
            _, where = self.program.unrolled
        except (ShapeError, GraphError):
            return None
        return where if all((n.place, n.index or ()) in where for n in computed) else None

    def _is_sample(self, computed: Sequence[Number]) -> bool:
        """Whether one of a batch is drawn: the sums over the others would be of numbers that nobody sees."""
        drawn: dict[int, set[tuple[int, ...]]] = {}
        for n in computed:
            if not n.gradient:
                drawn.setdefault(n.place, set()).add((n.index or ())[:-1])
        return any(len(drawn[place]) < math.prod(self.program.lines[place].shape[:-1]) for place in drawn)

    def line(self, n: Number) -> int | None:
        """The line of the narration that computes a number; a given one that nothing uses may have none."""
        return n.place if self.where is None else self.where.get((n.place, n.index or ()))

    def read(self, formulas: Iterable[Formula]) -> list[Number]:
        """The numbers of the picture that formulas read."""
        names = dict.fromkeys(name for formula in formulas for name in formula.formula.names())
        return [number for name in names for number in self.by_name.get(name, [])]

    def start(self) -> _Moment:
        places = sorted({n.place for n in self.drawn if not n.gradient and self.program.lines[n.place].rule is None})
        given, sought = ([self.program.names[i] for i in places if self.program.lines[i].tracked is kind] for kind in (False, True))
        words = [
            f"Given: {listed(given)}." if given else "",
            f"Given, and their gradients sought: {listed(sought)}." if sought else "",
            f"Here {self.letters}." if self.letters else "",
        ]
        return _Moment("Start", " ".join(filter(None, words)))

    def end(self) -> _Moment:
        return _Moment("End", "All values and all gradients are there.")

    def forward(self) -> Iterator[_Moment]:
        """In the order of computation."""
        say, told = self.narration, {place for gradient, place in self.groups if not gradient}
        told |= {line.index for line in say.program if line.rule is None}
        for (gradient, place), numbers in self.groups.items():
            if not gradient:
                places = _untold(place, say.reads, told)
                words, formulas = _words(say.forward_words, places), [f for i in _few(places) for f in say.forward(i)]
                yield _Moment("Forward: ", words, symbol(say.name(place)), formulas, numbers)

    def backward(self) -> Iterator[_Moment]:
        """The lines in reverse, the elements of each in order; what is given comes right after the first line that uses it."""
        say, told = self.narration, {place for gradient, place in self.groups if gradient}

        def order(item: tuple[tuple[bool, int], list[Number]]) -> tuple[int, bool]:
            place = item[1][0].place
            given = self.program.lines[place].rule is None
            return (-min(self.users.get(place, [place])) if given else -place), given

        for (gradient, place), numbers in sorted(self.groups.items(), key=order):
            if gradient:
                places = _untold(place, lambda i: say.users.get(i, []), told)
                places = [i for i in reversed(places) if i == place or not say.is_one(i)]
                words, formulas = _words(say.backward_words, places), [f for i in _few(places) for f in say.backward(i)]
                yield _Moment("Backward: ", words, say.gradient(place), formulas, numbers)


def _few(places: Sequence[int]) -> Sequence[int]:
    """Of many lines that are not drawn the first and the last, so that a step stays one that is read."""
    return places if len(places) <= TOLD else [*places[: TOLD - 2], places[-1]]


def _words(say: Callable[[int], str], places: Sequence[int]) -> str:
    """A sentence for each line, or for the few that are told how many lie between."""
    sentences = [say(i) for i in _few(places)]
    if len(places) > TOLD:
        sentences.insert(-1, f"{len(places) - TOLD + 1} more that are not drawn follow in the same way.")
    return " ".join(sentences)


def _untold(place: int, neighbours: Callable[[int], Sequence[int]], told: set[int]) -> list[int]:
    """A place and those behind it that have not been told, oldest first; now they are told."""
    found, pending = {place}, list(neighbours(place))
    while pending:
        i = pending.pop()
        if i not in told:
            told.add(i)
            found.add(i)
            pending += neighbours(i)
    return sorted(found)
