"""What a note itself says is wrong: ``<!-- wrong: A47 -->`` before a formula, which then must not agree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tinygrad_bp.check.notes.report import AS_SAID, NOT_AS_SAID, Entry, Found, reported
from tinygrad_bp.check.report import Report

NAME = re.compile(r"[\w.-]{1,20}(?!\S)")


@dataclass(frozen=True)
class Mark:
    """The name that a comment gives to a mistake; words may stand after it. ``start``: its place in the file."""

    name: str
    start: int


def named(text: str) -> str | None:
    """The name at the beginning of a mark."""
    found = NAME.match(text)
    return None if found is None else found.group()


def as_said(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """The entries of one formula that was said to be wrong: at least one of its equalities has to be."""
    said, whole = ", ".join(names), reported(entries)
    found = [f for e in entries for f in e.found]
    if all(f.verdict == "left out" for f in found):
        verdicts = {id(f): f.verdict for f in found}
    elif any(map(confirmed, found)):
        verdicts = {id(f): AS_SAID for f in found if confirmed(f)}
    elif any(f.verdict == "differs" for f in found):  # in doubt, which is no mistake
        verdicts = {}
    else:
        verdicts = {id(f): NOT_AS_SAID for f in found}
    return [_marked(e, verdicts, said, (whole, reported([e]))) for e in entries]


def _marked(entry: Entry, verdicts: Mapping[int, str], said: str, reports: tuple[Report, ...]) -> Entry:
    found = tuple(replace(f, verdict=verdicts[id(f)], said=said, reports=reports) if id(f) in verdicts else f for f in entry.found)
    return replace(entry, found=found, verdict=overall(entry.verdict, found))


def confirmed(found: Found) -> bool:
    """Whether a claim is wrong: it differs, its shape does, or it cannot be read."""
    return found.verdict == "not read" or (found.verdict == "differs" and (found.row is None or found.row.verdict in ("differs", "shape")))


def overall(before: str, found: Sequence[Found]) -> str:
    verdicts = {f.verdict for f in found}
    return next((v for v in ("differs", NOT_AS_SAID, AS_SAID) if v in verdicts), before)
