"""What ``tg.check.notes`` returns: an entry for each formula of the notes, and the whole as a text of 80 columns."""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_bp.check.formula.readable import in_ascii, readable
from tinygrad_bp.check.report import WIDTH, Report
from tinygrad_bp.check.rows import Row
from tinygrad_bp.expression import format_number
from tinygrad_bp.program import Program

if TYPE_CHECKING:
    from tinygrad_bp.check.diagnosis import Diagnosis

CLAIM = 60  # characters of a claim that are shown
SEARCHES = 10  # diagnoses in one note,
MARKED = 200  # and of what it says itself is wrong, each formula alone, which is quick
AS_SAID, NOT_AS_SAID = "wrong, as said", "said to be wrong, but agrees"  # where the note has a mark
GOOD = ("agrees", "declared", "defines", "no claim", "left out", AS_SAID)


@dataclass(frozen=True)
class Found:
    """One equality and what became of it: "agrees", "differs", "not read"; "defines", "no claim", "left out", "declared";
    and where the note says that it is wrong, "wrong, as said" or "said to be wrong, but agrees".
    """

    line: int
    text: str
    verdict: str
    row: Row | None = None  # the comparison itself
    column: int = 0
    reason: str = ""  # why it was not read
    said: str = ""  # the name that a mark in the note gives to what is wrong here
    others: tuple[Row, ...] = field(default=(), repr=False)  # the comparisons for other values of a free index
    reports: tuple[Report, ...] = field(default=(), repr=False, compare=False)  # on all claims that have this mark, on those here

    @property
    def label(self) -> str:
        """The verdict, with the name of the mark."""
        return f"{self.verdict} ({cut_name(self.said)})" if self.said else self.verdict

    @property
    def unread(self) -> bool:
        return self.verdict == "not read" or (self.verdict == AS_SAID and self.row is None and self.column > 0)

    @property
    def expected(self) -> Any:
        """What should stand there; ``None`` where nothing could be computed."""
        return None if self.row is None else self.row.autograd

    @property
    def claimed(self) -> Any:
        """The value of what stands there."""
        return None if self.row is None else self.row.claim

    @property
    def difference(self) -> float | None:
        """The largest absolute difference; NaN for shapes that differ."""
        return None if self.row is None else self.row.difference

    @property
    def relative(self) -> float | None:
        """The same, relative to the largest expected number."""
        return None if self.row is None else self.row.relative

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """Why a claim with a mark is wrong; ``None`` without a mark, or where nothing can be said of it."""
        if not self.said or self.row is None:
            return None
        with np.errstate(all="ignore"):
            found = [report.diagnosis for report in self.reports] if explicable(self) else []
        return next(filter(None, found), None) or slipped(self) or (found[-1] if found else None)


@dataclass(frozen=True)
class Entry:
    """One formula of a note: a chain of equalities."""

    verdict: str
    found: tuple[Found, ...]
    network: int  # which one it speaks of
    section: int
    program: Program | None = field(repr=False, compare=False, default=None)
    lr: float | None = None
    previous: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)


@dataclass(frozen=True)
class Note:
    """One file."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def formulas(self) -> Counter[str]:
        """How many formulas agree, differ, ..."""
        return Counter(e.verdict for e in self.entries if e.verdict != "network")

    @property
    def claims(self) -> int:
        """How many formulas say something that can be right or wrong, read or not."""
        return sum(self.formulas[verdict] for verdict in ("agrees", "differs", AS_SAID, NOT_AS_SAID, "not read"))

    @cached_property
    def diagnoses(self) -> dict[int, Diagnosis]:
        """Place in ``entries`` -> the diagnosis that belongs beneath it: a network's claims together, else section by section,
        else formula by formula.
        """
        found: dict[int, Diagnosis] = {}
        for network in {e.network: None for e in self.entries if wrong(e)}:
            whole = [i for i, e in enumerate(self.entries) if e.network == network]
            sections = [[i for i in whole if self.entries[i].section == s] for s in dict.fromkeys(self.entries[i].section for i in whole)]
            sections = [s for s in sections if any(wrong(self.entries[i]) for i in s)]
            for part in [whole, *sections] if len(sections) > 1 else [whole]:
                if len(found) >= SEARCHES:
                    return found
                diagnosis = diagnosed([self.entries[i] for i in part])
                if diagnosis or part is not whole or len(sections) == 1:
                    found[next(i for i in part if wrong(self.entries[i]))] = diagnosis
                    found |= {} if diagnosis else self.each(part, SEARCHES - len(found))
                if diagnosis and part is whole:
                    break
        return found

    def each(self, part: Sequence[int], searches: int) -> dict[int, Diagnosis]:
        """A diagnosis for each wrong formula beside the right ones, where one for all explains nothing."""
        places = [i for i in part if wrong(self.entries[i])]
        right = [self.entries[i] for i in part if i not in places]
        alone = {i: diagnosed([self.entries[i], *right]) for i in places[: searches if len(places) > 1 else 0]}
        return {i: diagnosis for i, diagnosis in alone.items() if diagnosis}


def wrong(entry: Entry) -> list[Found]:
    """Claims about gradients and new weights that differ, and have no mark of their own: what a diagnosis can explain."""
    return [f for f in entry.found if explicable(f) and not f.said]


def slipped(found: Found) -> Diagnosis | None:
    """What happened to the digits of a number, if that explains why it is wrong."""
    if found.row is None or found.row.verdict != "differs":
        return None
    return Report((replace(found.row, target=None),)).diagnosis or None


def explicable(found: Found) -> bool:
    return found.row is not None and found.row.target is not None and found.row.verdict in ("differs", "shape")


def diagnosed(entries: Sequence[Entry]) -> Diagnosis:
    """One diagnosis for several formulas."""
    with np.errstate(all="ignore"):
        return reported(entries).diagnosis


def reported(entries: Sequence[Entry]) -> Report:
    """The claims about derivatives that have no mark yet; of several about one gradient a wrong one counts."""
    every = (row for e in entries for f in e.found if not f.said for row in (f.row, *f.others))
    rows = [row for row in every if row is not None and row.target is not None]
    rows.sort(key=lambda row: not row.ok)  # the report keeps the last
    return Report(tuple(rows), entries[0].program, entries[0].lr, entries[0].previous)


@dataclass(frozen=True)
class NotesReport:
    """What ``tg.check.notes`` returns: ``ok``, the ``notes`` with their entries as data, and a report as text."""

    notes: tuple[Note, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was read and agrees, or is wrong where the note says so. A note without a claim is not."""
        return all(note.claims for note in self.notes) and all(e.verdict in GOOD or e.verdict == "network" for e in self)

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Entry]:
        return (e for note in self.notes for e in note.entries)

    def said(self, name: str | None = None) -> tuple[Found, ...]:
        """The equalities that a mark of this name, or any mark, says are wrong."""
        marked = (f for note in self.notes for e in note.entries for f in e.found if f.said)
        return tuple(f for f in marked if name is None or name in f.said.split(", "))

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"````text\n{self.text(ascii_only=False)}\n````"

    def text(self, ascii_only: bool = True) -> str:
        """The report; other letters than those of ASCII are written as escapes unless told otherwise."""
        show = escaped if ascii_only else str
        return "\n\n".join("\n".join(self._note(note, show)) for note in self.notes)

    def _note(self, note: Note, show: Callable[[str], str]) -> Iterator[str]:
        yield show(note.name)
        yield f"{'line':>5}  {'claim':<{CLAIM}}  verdict"
        yield "-" * (CLAIM + 17)
        told: set[int] = set()  # the diagnoses that were shown
        for i, found in merged(note):
            width = min(CLAIM, CLAIM + 11 - len(found.label))
            yield f"{found.line:>5}  {cut(show(readable(found.text)), width):<{width}}  {found.label}"
            for text in beneath(found):
                yield from wrapped(show(text), "       ")
            diagnosis = note.diagnoses.get(i) if i is not None else None
            if found.said and len(told) < MARKED:
                diagnosis = found.diagnosis
            elif not diagnosis:
                diagnosis = slipped(found) or diagnosis
            for text in explained(diagnosis) if diagnosis is not None and id(diagnosis) not in told else ():
                yield from wrapped(show(text), "       > ")
            told.add(id(diagnosis))
        yield ""
        yield from wrapped(totals(note), "")


def merged(note: Note) -> Iterator[tuple[int | None, Found]]:
    """What is found, with its place in ``entries`` where a diagnosis may belong; names alone on a line are put together."""
    for (silent, line), group in itertools.groupby(enumerate(note.entries), lambda e: (e[1].verdict == "no claim", e[1].found[0].line)):
        entries = list(group)
        bare = [e.found[0] for _, e in entries if e.found[0].verdict == "no claim"]
        if silent and len(bare) == len(entries):
            yield None, Found(line, ", ".join(f.text for f in bare), "no claim")
            continue
        for i, entry in entries:
            first = next(iter(wrong(entry)), None)
            yield from ((i if found is first else None, found) for found in entry.found)


def totals(note: Note) -> str:
    """``31 formulas: 27 agree, 2 differ, 1 not read, 1 without a claim``, and the share that was checked."""
    count = note.formulas
    words = {"agrees": "agree", "differs": "differ", AS_SAID: "wrong as said", NOT_AS_SAID: "said to be wrong but agree",
             "not read": "not read", "no claim": "without a claim", "left out": "left out"}  # fmt: skip
    parts = [f"{count[verdict]} {words[verdict]}" for verdict in words if count[verdict] or verdict in ("agrees", "differs", "not read")]
    links = [f for e in note.entries for f in e.found if f.row is not None]
    share = (
        f"; {100 * (note.claims - count['not read']) // note.claims} % of those with a claim were checked"
        if note.claims
        else "; there is nothing to check"
    )
    hold = sum(f.row is not None and f.row.ok for f in links)
    return f"{sum(count.values())} formulas: {', '.join(parts)}{share}. {hold} of {len(links)} equalities hold."


def beneath(found: Found) -> Iterator[str]:
    """What is to be said of a claim that does not hold, or could not be read."""
    if found.reason:
        yield f"column {found.column}: {found.reason}" if found.unread else found.reason
    row = found.row
    if row is None or found.verdict not in ("differs", AS_SAID):
        return
    if row.verdict == "shape":
        yield f"expected shape {np.shape(row.autograd)}, claimed shape {np.shape(row.claim)}"
    elif row.verdict == "coarse":
        yield f"expected {shown(row.autograd)}; these digits are too few to tell it from {shown(row.claim)}"
    elif row.verdict == "disputed":
        yield f"autograd says {shown(row.autograd)}, the {row.witness} {shown(row.numeric)}: is this a kink?"
    else:
        yield f"expected {shown(row.autograd)}, claimed {shown(row.claim)}, difference {row.difference:.1e}"


def shown(value: Any) -> str:
    if np.size(value) == 1:
        return format_number(np.reshape(value, ()), 10)
    return " ".join(np.array2string(np.asarray(value), precision=7, threshold=12, separator=", ").split())


def cut_name(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:17]}..."


def cut(text: str, width: int) -> str:
    """A claim on one line; its end matters as much as its beginning."""
    tail = min(18, width // 3)
    return text if len(text) <= width else f"{text[: width - tail - 5]} ... {text[-tail:]}"


def explained(diagnosis: Diagnosis) -> list[str]:
    """A diagnosis as lines still to be wrapped."""
    found = [str(candidate) for candidate in diagnosis.candidates]
    if len(found) > 1:
        found = ["Several mistakes give these numbers:", *(f"- {text}" for text in found)]
    return [*found, *diagnosis.note.splitlines()]


def escaped(text: str) -> str:
    """ASCII, with escapes for letters that mathematics has no other sign for."""
    return in_ascii(text).encode("ascii", "backslashreplace").decode()


def wrapped(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent)) or [""]
