"""The formulas of a note, one equality after the other, each against the network that was declared last."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinygrad_bp.check.claims import LAYOUT, Checker
from tinygrad_bp.check.formula import Formula, indices, parse_all
from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.evaluate import evaluate
from tinygrad_bp.check.formula.names import key
from tinygrad_bp.check.formula.operators import COMPARISONS
from tinygrad_bp.check.notes import marks, network
from tinygrad_bp.check.notes.markdown import Piece, Source, pieces
from tinygrad_bp.check.notes.network import Network, problem
from tinygrad_bp.check.notes.report import Entry, Found
from tinygrad_bp.check.rows import Row, verdict
from tinygrad_bp.errors import TinygradError
from tinygrad_bp.expression import Expression

FORMULAS = 2_000  # in one note
PIECES = 5_000  # with headings, and names between dollar signs
BUDGET = 3_000_000  # operations for all of them
SIZE = 100_000  # elements of a result
WITHIN = (fn.product, fn.dot, fn.matrix, fn.turn, fn.derivative)  # notations whose operands are looked into for names
TRIED = (0.3, -0.7, 1.1)  # values for names that stand for any number

# What typesets and claims nothing, and what stands between two claims. Each is replaced by something as long, for places count.
TYPESETTING = re.compile(r"\\(?:tag|label)\*?\{[^{}]*\}|(?<=\\\\)\[[^\[\]]{0,20}\]")
BETWEEN = re.compile(r"\\(?:Rightarrow|implies|Longrightarrow|Leftrightarrow|iff|land|therefore|because)\b")


def judge(source: Source) -> Iterator[Entry]:
    """What became of each formula of a note, in order."""
    reader = _Reader(source)
    for count, piece in enumerate(pieces(source.text)):
        if count > PIECES:
            raise source.error(piece.start, f"more than {PIECES} formulas and headings. Split the note into several files")
        if piece.kind in ("heading", "network"):
            yield from reader.unused()
        if piece.kind == "heading":
            reader.section += 1
        elif piece.kind == "network":
            reader.budget = reader.scope.budget
            reader.declare(network.read(source, piece))
            yield reader.entry("network", [Found(reader.network.line, summary(reader.network), "declared")])
        elif piece.kind == "left out":
            reader.reason = piece.text
        elif piece.kind == "wrong":
            yield from reader.mark(piece)
        else:
            entries = list(reader.formulas(piece))
            yield from marks.as_said(entries, reader.taken()) if reader.marks and entries else entries
    yield from reader.unused()


def summary(declared: Network) -> str:
    """A line on what was declared, so that a slip in it is seen."""
    if declared.program is None:
        return f"{len(declared.tensors)} names; no loss, so numbers only"
    return f"{len(declared.tensors)} names, loss {declared.loss} = {float(declared.program.output.value):.9g}"


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.section = self.networks = self.count = 0
        self.reason: str | None = None  # why the next formula is left out
        self.marks: list[marks.Mark] = []  # what says that the next formula is wrong
        self.budget: float = BUDGET
        self.declare(Network())

    def declare(self, declared: Network) -> None:
        self.network = declared
        self.networks += 1
        self.scope = declared.scope()
        self.scope.budget, self.scope.size = self.budget, SIZE
        self.checker = Checker(declared.program, self.scope)
        self.last: tuple[Expression, Formula] | None = None

    def entry(self, outcome: str, found: list[Found]) -> Entry:
        return Entry(outcome, tuple(found), self.networks, self.section, self.network.program, self.network.lr, self.network.previous)

    def unread(self, text: str, place: int, why: str, outcome: str = "not read") -> Found:
        return Found(self.source.line(place), text, outcome, column=self.source.column(place), reason=why)

    # -- what is said to be wrong ------------------------------------------------------------------------------------

    def mark(self, piece: Piece) -> Iterator[Entry]:
        name = marks.named(piece.text)
        if name is None:
            why = "a mark needs a name of at most 20 letters, digits, '-', '_' and '.': <!-- wrong: A47 -->"
            yield self.entry("not read", [self.unread("wrong:", piece.start, why)])
        else:
            self.marks.append(marks.Mark(name, piece.start))

    def taken(self) -> list[str]:
        """The names for the formula that has been reached."""
        names, self.marks = [mark.name for mark in self.marks], []
        return names

    def unused(self) -> Iterator[Entry]:
        """Marks without a formula: what was said to be wrong is not there."""
        for mark in self.marks:
            why = "no formula follows this mark before the next heading, network or the end"
            yield self.entry("not read", [self.unread(f"wrong: {mark.name}", mark.start, why)])
        self.marks = []

    # -- formulas --------------------------------------------------------------------------------------------------

    def formulas(self, piece: Piece) -> Iterator[Entry]:
        """The formulas between one pair of dollar signs; where they cannot be read together, line by line."""
        if piece.kind == "unclosed":
            yield self.entry("not read", [self.unread("", piece.start, piece.text)])
            return
        if self.reason is not None:
            yield self.entry("left out", [self.unread(piece.text, piece.start, self.reason, "left out")])
            self.reason = None
            return
        if not piece.text.strip():
            return
        for at, text in [(0, piece.text)] if self.readable(piece.text) else rows(plain(piece.text)):
            self.count += 1
            if self.count > FORMULAS:
                raise self.source.error(piece.start + at, f"more than {FORMULAS} formulas. Split the note into several files")
            try:
                found = parse_all(plain(text), self.scope.known)
            except TinygradError as error:
                place = piece.start + at + network.place(error, text)
                yield self.entry("not read", [self.unread(text, place, problem(error))])
                continue
            for formula in found:
                yield self.checked(formula, piece.start + at)

    def readable(self, text: str) -> bool:
        try:
            parse_all(plain(text), self.scope.known)
        except TinygradError:
            return False
        return True

    def checked(self, formula: Formula, start: int) -> Entry:
        """Each link of one chain; an equality that cannot be computed does not hide the others."""
        before = [self.last] if formula.continues and self.last is not None else []
        chain = [*before, *((x, formula) for x in formula.members)]
        self.last = chain[-1]
        place = start + formula.spans.get(id(formula.members[0]), (0, 0))[0]
        if len(chain) == 1:
            found = self.alone(formula, place)
            return self.entry(found.verdict, [found])
        return self.best([lambda layers=layers: self.read(chain, formula, not before, start, place, layers)  # type: ignore[misc]
                          for layers in indices.layers([x for x, _ in chain], self.scope)])  # fmt: skip

    def best(self, readings: Sequence[Callable[[], Entry]]) -> Entry:
        """The first reading that agrees; if none does, the plain one, unless it claims nothing and another one is wrong."""
        if len(readings) == 1:
            return readings[0]()
        before, verdicts = (self.scope.aliases, self.scope.known, self.scope.deltas), []
        for read in readings:
            self.scope.aliases = dict(before[0])
            if (entry := read()).verdict == "agrees":
                return entry
            self.scope.aliases, self.scope.known, self.scope.deltas = before
            verdicts.append(entry.verdict)
        return readings[verdicts.index("differs") if verdicts[0] == "no claim" and "differs" in verdicts else 0]()

    def read(self, chain: Sequence[tuple[Expression, Formula]], formula: Formula, fresh: bool, start: int, place: int,
             layers: Mapping[str, tuple[str, ...]]) -> Entry:  # fmt: skip
        """The same, where the letters of some deltas mean certain layers, and from there on."""
        self.scope.deltas = {**self.scope.deltas, **layers}
        try:
            defined = chain[0][0].name if fresh and self.defines(chain[0][0]) else ""
            letters = indices.instances([x for x, _ in chain], self.scope, defined)
        except TinygradError as error:
            return self.entry("not read", [self.unread(formula.text, place, problem(error))])
        each = self.for_every(letters, chain, fresh, start) if letters else self.links(chain, fresh, start)
        verdicts = {f.verdict for f in each}
        worst = next((v for v in ("not read", "differs", "agrees") if v in verdicts), "no claim")
        return self.entry("differs" if "differs" in verdicts else worst, each)

    def links(self, chain: Sequence[tuple[Expression, Formula]], fresh: bool, start: int) -> list[Found]:
        """Each equality of a chain; ``fresh``: it begins with what it is about."""
        return [self.link(*left, *right, k == 0 and fresh, start) for k, (left, right) in enumerate(itertools.pairwise(chain))]

    def for_every(self, letters: list[dict[str, str]], chain: Sequence[tuple[Expression, Formula]], fresh: bool, start: int) -> list[Found]:
        """The same for each value of free indices; of each equality the first that does not hold is told."""
        results = []
        for instance in letters:
            with self.scope.instance(instance):
                results.append(self.links(chain, fresh, start))
        return [together(same, letters) for same in zip(*results, strict=True)]

    def alone(self, formula: Formula, place: int) -> Found:
        """A formula without an equality claims nothing, unless it compares."""
        (x,), line, text = formula.members, self.source.line(place), formula.source(formula.members[0])
        if x.function not in COMPARISONS.values():
            return Found(line, text, "no claim")
        if any(o.function in COMPARISONS.values() for o in x.operands):
            return self.unread(text, place, "write one comparison at a time: a < b, b < c")
        try:
            holds = bool(np.all(evaluate(x, formula, self.scope)))
        except TinygradError as error:
            return self.unread(text, place, problem(error))
        return Found(line, text, "agrees" if holds else "differs", reason="" if holds else "this does not hold")

    def link(self, left: Expression, before: Formula, right: Expression, formula: Formula, first: bool, start: int) -> Found:
        place = start + formula.spans.get(id(right), (0, 0))[0]
        sides = before.source(left) if first else "", formula.source(right)
        text = f"{sides[0]} = {sides[1]}".lstrip()
        try:
            if first and self.defines(left):
                self.define(left, right, formula)
                return Found(self.source.line(place), text, "defines")
            free = self.free(left) & self.free(right)
            with np.errstate(all="ignore"):
                row = self.general(left, before, right, formula, free) if free else self.row(left, before, right, formula, first)
        except TinygradError as error:
            return self.unread(text, start + network.place(error, formula.text), problem(error))
        return Found(
            self.source.line(place),
            text,
            "agrees" if row.ok else "differs",
            row,
            self.source.column(place),
            row.note * (bool(free) or row.note == LAYOUT),
        )

    def row(self, left: Expression, before: Formula, right: Expression, formula: Formula, first: bool) -> Row:
        target = (self.checker.assigned(formula) or self.checker.target(left)) if first else None
        return alike(self.checker.link(left, before, right, formula) if target is None else self.checker.first(target, right, formula))

    def general(self, left: Expression, before: Formula, right: Expression, formula: Formula, free: set[str]) -> Row:
        r"""An equality that holds for any number, such as \sigma'(z) = \sigma(z) (1 - \sigma(z)): a few are tried."""
        aliases = self.scope.aliases
        try:
            for number in TRIED:
                self.scope.aliases = aliases | {key(name): number + 0.1 * i for i, name in enumerate(sorted(free))}
                row = self.checker.link(left, before, right, formula)
                if not row.ok:
                    break
        finally:
            self.scope.aliases = aliases
        shown = " and ".join(f"{name} = {number + 0.1 * i:.1f}" for i, name in enumerate(sorted(free)))
        return replace(row, note=f"for any {', '.join(sorted(free))}: a few values were tried" if row.ok else f"at {shown}")

    def free(self, x: Expression) -> set[str]:
        """The names in a formula that nothing is known of."""
        found, todo = set(), [x]
        while todo:
            y = todo.pop()
            todo += y.operands if y.function not in fn.OURS or y.function in WITHIN else ()
            if y.function is None and y.name and not self.known(y.name):
                found.add(y.name)
        return found

    def known(self, name: str) -> bool:
        try:
            self.scope.value(name)
        except TinygradError:
            return False
        return True

    def defines(self, left: Expression) -> bool:
        """Whether a formula gives a value to what has none: a new name, or without a network any derivative."""
        if self.checker.program is None and left.function in (fn.derivative, fn.gradient):
            return left.operands[0].function is None
        return left.function is None and bool(left.name) and self.checker.target(left) is None and not self.known(left.name)

    def define(self, left: Expression, right: Expression, formula: Formula) -> None:
        """From here on the name is known by the value it was given."""
        value, _, _ = self.checker.member(right, formula)
        if left.name:
            self.scope.aliases[key(next(self.scope.spellings(left.name)))] = value
            self.scope.known |= {key(left.name)}


def together(same: Sequence[Found], letters: Sequence[Mapping[str, str]]) -> Found:
    """One equality for all values of its free indices."""
    wrong = [k for k, found in enumerate(same) if found.verdict == "not read"] + [k for k, f in enumerate(same) if f.verdict == "differs"]
    k = wrong[0] if wrong else 0
    at = "at " + ", ".join(f"{letter} = {value}" for letter, value in letters[k].items())
    told = same[k].reason or (at if wrong else f"for every {', '.join(letters[0])}")
    return replace(same[k], reason=told, others=tuple(f.row for f in same if f is not same[k] and f.row is not None))


def alike(row: Row) -> Row:
    """A vector of one element counts as its number, and a row or a column of a matrix as a vector: they are written as either."""
    one = np.size(row.claim) == np.size(row.autograd) == 1
    vector = np.ndim(row.autograd) == 1 and np.shape(row.claim) in ((1, np.size(row.autograd)), (np.size(row.autograd), 1))
    if row.verdict != "shape" or not (one or vector):
        return row
    assert row.truth is not None
    claim = np.reshape(row.claim, np.shape(row.autograd))
    return replace(row, claim=claim[()], verdict=verdict(claim, row.truth, float(np.max(row.tolerance))))


def plain(text: str) -> str:
    """The text without what only typesets, everything still at its place."""
    text = TYPESETTING.sub(lambda m: " " * len(m.group()), text)
    return BETWEEN.sub(lambda m: ";".ljust(len(m.group())), text)


def rows(text: str) -> Iterator[tuple[int, str]]:
    r"""The lines of an array or an aligned environment, which end at \\; the signs of alignment left out."""
    inner = re.sub(r"\\(?:begin|end)\{(?:aligned|align|split|gathered|gather|array|cases|equation)\*?\}(?:\{[lcr| ]*\})?",
                   lambda m: " " * len(m.group()), text)  # fmt: skip
    if inner == text:
        yield 0, text
        return
    at = 0
    for line in re.split(r"(\\\\)", inner):
        if line.strip(" \n\t&") and line != "\\\\":
            yield at, line.replace("&", " ")
        at += len(line)
