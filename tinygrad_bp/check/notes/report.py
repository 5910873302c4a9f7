"""What ``tg.check.notes`` returns: an entry for each formula of the notes, and the whole as a text of 80 columns."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_bp.check.report import WIDTH, Report, Row
from tinygrad_bp.expression import format_number
from tinygrad_bp.program import Program

if TYPE_CHECKING:
    from tinygrad_bp.check.diagnosis import Diagnosis

CLAIM = 60  # characters of a claim that are shown
SEARCHES = 10  # diagnoses in one note
GOOD = ("agrees", "declared", "defines", "no claim", "left out")


@dataclass(frozen=True)
class Found:
    """One equality and what became of it: "agrees", "differs", "not read"; or "defines", "no claim", "left out", "declared"."""

    line: int
    text: str
    verdict: str
    row: Row | None = None  # the comparison itself
    column: int = 0
    reason: str = ""  # why it was not read


@dataclass(frozen=True)
class Entry:
    """One formula of a note: a chain of equalities."""

    verdict: str
    found: tuple[Found, ...]
    network: int  # which one it speaks of
    section: int
    program: Program | None = field(repr=False, compare=False, default=None)
    lr: float | None = None


@dataclass(frozen=True)
class Note:
    """One file."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def formulas(self) -> Counter[str]:
        """How many formulas agree, differ, ..."""
        return Counter(e.verdict for e in self.entries if e.verdict != "network")

    @cached_property
    def diagnoses(self) -> dict[int, Diagnosis]:
        """Place in ``entries`` -> the diagnosis that belongs beneath it: a network's claims together, else section by section."""
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
                if diagnosis and part is whole:
                    break
        return found


def wrong(entry: Entry) -> list[Found]:
    """Claims about gradients and new weights that differ: what a diagnosis can explain."""
    return [f for f in entry.found if f.row is not None and f.row.target is not None and f.row.verdict in ("differs", "shape")]


def diagnosed(entries: Sequence[Entry]) -> Diagnosis:
    """One diagnosis for several formulas; of several claims about one gradient a wrong one counts."""
    rows = [f.row for e in entries for f in e.found if f.row is not None and f.row.target is not None]
    rows.sort(key=lambda row: not row.ok)  # the report keeps the last
    return Report(tuple(rows), entries[0].program, entries[0].lr).diagnosis


@dataclass(frozen=True)
class NotesReport:
    """What ``tg.check.notes`` returns: ``ok``, the ``notes`` with their entries as data, and a report as text."""

    notes: tuple[Note, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was read and agrees."""
        return all(e.verdict in GOOD or e.verdict == "network" for note in self.notes for e in note.entries)

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Entry]:
        return (e for note in self.notes for e in note.entries)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"````text\n{self.text(ascii_only=False)}\n````"

    def text(self, ascii_only: bool = True) -> str:
        """The report; other letters than those of ASCII are written as escapes unless told otherwise."""
        text = "\n\n".join("\n".join(self._note(note)) for note in self.notes)
        return "".join(c if c == "\n" or (c.isprintable() and (c.isascii() or not ascii_only)) else ascii(c)[1:-1] for c in text)

    def _note(self, note: Note) -> Iterator[str]:
        yield note.name
        yield f"{'line':>5}  {'claim':<{CLAIM}}  verdict"
        yield "-" * (CLAIM + 17)
        for i, entry in enumerate(note.entries):
            for found in entry.found:
                yield f"{found.line:>5}  {cut(found.text, CLAIM):<{CLAIM}}  {found.verdict}"
                yield from beneath(found)
            if i in note.diagnoses:
                yield from wrapped(str(note.diagnoses[i]), "       > ")
        yield ""
        yield from wrapped(totals(note), "")


def totals(note: Note) -> str:
    """``31 formulas: 27 agree, 2 differ, 1 not read, 1 without a claim``, and the share that was checked."""
    count = note.formulas
    words = {"agrees": "agree", "differs": "differ", "not read": "not read", "no claim": "without a claim", "left out": "left out"}
    parts = [f"{count[verdict]} {words[verdict]}" for verdict in words if count[verdict] or verdict in ("agrees", "differs", "not read")]
    links = [f for e in note.entries for f in e.found if f.row is not None]
    claims = count["agrees"] + count["differs"] + count["not read"]
    share = f"; {100 * (claims - count['not read']) // claims} % of those with a claim were checked" if claims else ""
    hold = sum(f.verdict == "agrees" for f in links)
    return f"{sum(count.values())} formulas: {', '.join(parts)}{share}. {hold} of {len(links)} equalities hold."


def beneath(found: Found) -> Iterator[str]:
    """What is to be said of a claim that does not hold, or could not be read."""
    if found.reason:
        yield from wrapped(f"column {found.column}: {found.reason}" if found.verdict == "not read" else found.reason, "       ")
    row = found.row
    if row is None or found.verdict != "differs":
        return
    if row.verdict == "shape":
        yield f"       expected shape {np.shape(row.autograd)}, claimed shape {np.shape(row.claim)}"
    elif row.verdict == "coarse":
        yield from wrapped(f"expected {shown(row.autograd)}; these digits are too few to tell it from {shown(row.claim)}", "       ")
    elif row.verdict == "disputed":
        yield from wrapped(f"autograd says {shown(row.autograd)}, and finite differences say {shown(row.numeric)}: at a kink?", "       ")
    else:
        yield from wrapped(f"expected {shown(row.autograd)}, claimed {shown(row.claim)}, difference {row.difference:.1e}", "       ")


def shown(value: Any) -> str:
    if np.ndim(value) == 0:
        return format_number(value, 10)
    return " ".join(np.array2string(np.asarray(value), precision=7, threshold=12, separator=", ").split())


def cut(text: str, width: int) -> str:
    """A claim on one line; its end matters as much as its beginning."""
    text = text.encode("ascii", "backslashreplace").decode() if len(text) < 5 * width else text
    return text if len(text) <= width else f"{text[: width - 23]} ... {text[-18:]}"


def wrapped(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent)) or [""]
