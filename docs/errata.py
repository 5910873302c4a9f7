"""Write ``docs/errata.md``: ``python docs/errata.py``. A test compares them.

A fact stands once. What is printed as a formula or a number, and wrong, is a claim of the document's page, marked with the
name of its finding, ``<!-- wrong: B11 -->``: how wrong it is, and which mistake it is, comes from the check of that page.
What is wrong in words or in a listing has its evidence in ``tinygrad_bp.worked``, beside place, kind and correction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp.check.notes.report import Found
from tinygrad_bp.worked.errata import DOCUMENTS, KINDS, Finding, by_name
from tinygrad_bp.worked.finding import difference

DOCS = Path(__file__).parent
PAGE = DOCS / "errata.md"
NOT_A_MISTAKE = "rounded intermediates"


def page_of(document: str) -> Path:
    """The page that goes through a document."""
    return DOCS / "documents" / f"{document}.md"


@cache
def marked() -> Mapping[str, tuple[Found, ...]]:
    """Name of a finding -> the claims that the pages say are wrong by that name."""
    report = tg.check.notes(*map(page_of, DOCUMENTS))
    names = dict.fromkeys(name for found in report.said() for name in found.said.split(", "))
    return {name: report.said(name) for name in names}


def size(finding: Finding, claims: tuple[Found, ...]) -> str:
    """How large the mistake is: printed less right. Of several claims the one that is most off."""
    valued = [found for found in claims if found.relative is not None]
    if valued:
        worst = max(valued, key=lambda found: np.nan_to_num(found.relative, nan=np.inf))
        return str(difference(np.asarray(worst.claimed), np.asarray(worst.expected)))
    if claims:
        return "shapes do not fit" if "shapes" in claims[0].reason else "not a formula"
    return finding.size()


def told(claims: tuple[Found, ...]) -> str:
    """The mistake by the name that the tool has for it; several, where the numbers do not tell them apart."""
    for found in claims:
        if found.diagnosis:
            return " or ".join(dict.fromkeys(" and ".join(c.mistakes) for c in found.diagnosis.candidates))
    return ""


def markdown() -> str:
    """The page."""
    named, claims = by_name(), marked()
    wrong = {name: f for name, f in named.items() if f.kind != NOT_A_MISTAKE}
    counts = {
        "count": len(wrong),
        "claimed": sum(name in claims for name in wrong),
        "named": sum(bool(told(claims.get(name, ()))) for name in wrong),
        "shown": sum(f.evidence is not None for f in wrong.values()),
    }
    sections = [HEAD.format(**counts), summary(wrong.values())]
    for document, (_, title, address) in DOCUMENTS.items():
        link = f" ({address})" if address else ""
        rows = [row(name, f, claims.get(name, ())) for name, f in wrong.items() if f.document == document]
        page = f"Gone through line by line in [{document}](documents/{document}.md)."
        sections.append("\n".join([f"## {document}", "", f"{title}{link}. {page}", "", *COLUMNS, *rows]))
    rounded = [row(name, f, claims.get(name, ())) for name, f in named.items() if f.kind == NOT_A_MISTAKE]
    sections += ["\n".join(["## Rounded on the way", "", ROUNDED, "", *COLUMNS, *rounded]), kinds()]
    return "\n\n".join(sections) + "\n"


HEAD = """# Errata of the five documents

<!-- Written by docs/errata.py from the pages in docs/documents and tinygrad_bp/worked/errata*.py. -->

{count} mistakes, from a lost factor to a slip in the last digit. {claimed} of them are claims of the documents' pages,
which `python -m tinygrad_bp check` reads and finds wrong; for {named} of these it names the mistake, *in italics* beside the
kind (see [the catalogue](mistakes.md)). {shown} others, in words and listings, carry evidence: a computation that
says what the printed version comes to and what the right one does, and an independent one that decides between them. The
tests run every one. Where there is neither, the last column says why, or what there is to see.
Slips of the pen that touch neither a formula nor a statement are not listed.

**Size** is printed less right, the largest entry of an array, with its share of the right value."""

COLUMNS = ["| | place | printed | right | kind: *as the tool names it* | size | |", "| --- | --- | --- | --- | --- | --- | --- |"]

ROUNDED = "Not mistakes: these figures follow from the rounded ones printed before them, and differ from the exact value in the last digit."


def row(name: str, finding: Finding, claims: tuple[Found, ...]) -> str:
    """A line of the table."""
    f = finding
    kind = f"{f.kind}: *{said}*" if (said := told(claims)) else f.kind
    return f"| {name} | {f.place} | {f.printed} | {f.right} | {kind} | {size(f, claims)} | {f.why} |"


def summary(findings: Iterable[Finding]) -> str:
    """How many mistakes each document has, and of which kinds."""
    count = Counter((f.kind, f.document) for f in findings)
    used = [kind for kind in KINDS if any((kind, d) in count for d in DOCUMENTS)]
    lines = [f"| kind | {' | '.join(DOCUMENTS)} | all |", "| --- |" + " --- |" * (len(DOCUMENTS) + 1)]
    for kind in used:
        each = [count[kind, d] for d in DOCUMENTS]
        lines.append(f"| {kind} | {' | '.join(str(n or '') for n in each)} | {sum(each)} |")
    totals = [sum(count[kind, d] for kind in used) for d in DOCUMENTS]
    return "\n".join([*lines, f"| all | {' | '.join(map(str, totals))} | {sum(totals)} |"])


def kinds() -> str:
    """What the kinds mean."""
    return "\n".join(["## The kinds", "", *(f"- **{kind}**: {meaning}." for kind, meaning in KINDS.items())])


def main() -> None:
    """Write the page."""
    PAGE.write_text(markdown(), encoding="utf-8", newline="\n")
    print(PAGE)


if __name__ == "__main__":
    main()
