"""What ``tg.check.notes`` returns: an entry for each formula of the notes, and the whole as a text of 80 columns."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
PLAIN = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|quad|qquad|displaystyle|,|;|!|:)(?![A-Za-z])", " "),
        (r"\\(?:text|mathrm|operatorname|mathbf|boldsymbol)\{([^{}]*)\}", r"\1"),
        (r"\{\s*(\w+|[+])\s*\}", r"{\1}"),
        (r"([_^])\{(\w+|[+])\}", r"\1\2"),
        (r"\\[dt]?frac\{\s*\\partial\s*([^{}]*?)\s*\}\s*\{\s*\\partial\s*([^{}]*?)\s*\}", r"d\1/d\2 "),
        (r"\\[dt]?frac\s*(?:(\d)\s*(\d)|\{(\w+)\}\{(\w+)\})", r"\1\3/\2\4 "),
        (r"\\[dt]?frac\{(\w+)\}\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1/(\2)"),
        (r"\\[dt]?frac\{((?:[^{}]|\{[^{}]*\})*)\}\{((?:[^{}]|\{[^{}]*\})*)\}", r"(\1)/(\2)"),
        (r"\\(?:cdot|times)(?![A-Za-z])", "*"),
        (r"\\(alpha|beta|delta|epsilon|eta|theta|lambda|mu|sigma|sum|exp|log|ln|tanh|partial)(?![A-Za-z])", r"\1"),
        (r"(?<=\()\s+|\s+(?=[),])", ""),
    )
)  # of LaTeX
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
    with np.errstate(all="ignore"):
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
        show = escaped if ascii_only else str
        return "\n\n".join("\n".join(self._note(note, show)) for note in self.notes)

    def _note(self, note: Note, show: Callable[[str], str]) -> Iterator[str]:
        yield show(note.name)
        yield f"{'line':>5}  {'claim':<{CLAIM}}  verdict"
        yield "-" * (CLAIM + 17)
        for i, found in merged(note):
            yield f"{found.line:>5}  {cut(show(readable(found.text)), CLAIM):<{CLAIM}}  {found.verdict}"
            for text in beneath(found):
                yield from wrapped(show(text), "       ")
            for text in explained(note.diagnoses[i]) if i in note.diagnoses else ():
                yield from wrapped(show(text), "       > ")
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
        yield f"column {found.column}: {found.reason}" if found.verdict == "not read" else found.reason
    row = found.row
    if row is None or found.verdict != "differs":
        return
    if row.verdict == "shape":
        yield f"expected shape {np.shape(row.autograd)}, claimed shape {np.shape(row.claim)}"
    elif row.verdict == "coarse":
        yield f"expected {shown(row.autograd)}; these digits are too few to tell it from {shown(row.claim)}"
    elif row.verdict == "disputed":
        yield f"autograd says {shown(row.autograd)}, and finite differences say {shown(row.numeric)}: is this a kink?"
    else:
        yield f"expected {shown(row.autograd)}, claimed {shown(row.claim)}, difference {row.difference:.1e}"


def shown(value: Any) -> str:
    if np.size(value) == 1:
        return format_number(np.reshape(value, ()), 10)
    return " ".join(np.array2string(np.asarray(value), precision=7, threshold=12, separator=", ").split())


def cut(text: str, width: int) -> str:
    """A claim on one line; its end matters as much as its beginning."""
    return text if len(text) <= width else f"{text[: width - 23]} ... {text[-18:]}"


def readable(text: str) -> str:
    r"""A formula with less of LaTeX in it, so that more of it fits on a line.

    >>> readable(r"\frac{\partial E}{\partial w_{5}} = \delta_{o1} \cdot out_{h1}")
    'dE/dw_5 = delta_o1 * out_h1'
    """
    text = text if len(text) < 2000 else f"{text[:1000]} ... {text[-900:]}"
    for pattern, replacement in PLAIN:
        text = pattern.sub(replacement, text)
    return "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in " ".join(text.split()))


def explained(diagnosis: Diagnosis) -> list[str]:
    """A diagnosis as lines still to be wrapped."""
    found = [str(candidate) for candidate in diagnosis.candidates]
    if len(found) > 1:
        found = ["Several mistakes give these numbers:", *(f"- {text}" for text in found)]
    return [*found, *diagnosis.note.splitlines()]


def escaped(text: str) -> str:
    """ASCII, with escapes for other letters."""
    return text.encode("ascii", "backslashreplace").decode()


def wrapped(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent)) or [""]
