"""All mistakes found in the five documents, each with a name such as A12, and the page that lists them.

>>> by_name()["A47"].place
'(4-5)'
>>> by_name()["A47"].size()
'-0.0182 (-2.7%)'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from . import errata_bp_explained, errata_four_equations, errata_one_output, errata_step_by_step, errata_weight_update
from .finding import KINDS, Evidence, Finding, agrees

__all__ = ["DOCUMENTS", "FINDINGS", "KINDS", "Evidence", "Finding", "agrees", "by_name", "markdown"]

DOCUMENTS = {
    "bp_explained": ("A", "BP算法讲解", "https://blog.csdn.net/weixin_39441762/article/details/80446692"),
    "step_by_step": ("B", "反向传播—BP", "https://www.cnblogs.com/charlotte77/p/5629865.html"),
    "one_output": ("C", "(untitled, a 2-2-1 network)", ""),
    "weight_update": ("D", "BP神经网络权重更新及推导", "https://github.com/doycode/mlgorithms"),
    "four_equations": ("E", "反向传播算法（过程及公式推导）", ""),
}
"""Of each document the letter of its findings, the title, and an address: of the original, or of the listing."""

FINDINGS: list[Finding] = [
    *errata_bp_explained.FINDINGS,
    *errata_step_by_step.FINDINGS,
    *errata_one_output.FINDINGS,
    *errata_weight_update.FINDINGS,
    *errata_four_equations.FINDINGS,
]

NOT_A_MISTAKE = "rounded intermediates"


def by_name() -> dict[str, Finding]:
    """The findings by their names: the letter of the document and a number."""
    return {
        f"{letter}{k}": finding
        for document, (letter, _, _) in DOCUMENTS.items()
        for k, finding in enumerate((f for f in FINDINGS if f.document == document), 1)
    }


def markdown() -> str:
    """The page ``docs/errata.md``."""
    named = by_name()
    wrong = {name: f for name, f in named.items() if f.kind != NOT_A_MISTAKE}
    sections = [HEAD.format(count=len(wrong), shown=sum(f.evidence is not None for f in wrong.values())), summary(wrong.values())]
    for document, (_, title, address) in DOCUMENTS.items():
        link = f" ({address})" if address else ""
        rows = [row(name, f) for name, f in wrong.items() if f.document == document]
        page = f"Gone through line by line in [{document}](documents/{document}.md)."
        sections.append("\n".join([f"## {document}", "", f"{title}{link}. {page}", "", *COLUMNS, *rows]))
    rounded = [row(name, f) for name, f in named.items() if f.kind == NOT_A_MISTAKE]
    sections += ["\n".join(["## Rounded on the way", "", ROUNDED, "", *COLUMNS, *rounded]), kinds()]
    return "\n\n".join(sections) + "\n"


HEAD = """# Errata of the five documents

<!-- Written by docs/errata.py from tinygrad_bp/worked/errata*.py. -->

{count} mistakes, from a lost factor to a slip in the last digit. {shown} of them carry evidence: a computation that says
what the printed version comes to and what the right one does, and an independent one (autograd, mostly) that decides
between them. The tests run every one. Where there is none the last column says why, or what there is to see.
Slips of the pen that touch neither a formula nor a statement are not listed.

**Size** is printed less right, the largest entry of an array, with its share of the right value."""

COLUMNS = ["| | place | printed | right | kind | size | |", "| --- | --- | --- | --- | --- | --- | --- |"]

ROUNDED = "Not mistakes: these figures follow from the rounded ones printed before them, and differ from the exact value in the last digit."


def row(name: str, finding: Finding) -> str:
    """A line of the table."""
    f = finding
    return f"| {name} | {f.place} | {f.printed} | {f.right} | {f.kind} | {f.size()} | {f.why} |"


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
