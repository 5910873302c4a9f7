"""All mistakes found in the five documents, each with a name such as B8. ``docs/errata.md`` lists them.

>>> by_name()["B1"].printed
'layer L3 is a hidden layer'
"""

from __future__ import annotations

from . import errata_bp_explained, errata_four_equations, errata_one_output, errata_step_by_step, errata_weight_update
from .finding import KINDS, Evidence, Finding, agrees

__all__ = ["DOCUMENTS", "FINDINGS", "KINDS", "Evidence", "Finding", "agrees", "by_name"]

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


def by_name() -> dict[str, Finding]:
    """The findings by their names: the letter of the document and a number."""
    return {
        f"{letter}{k}": finding
        for document, (letter, _, _) in DOCUMENTS.items()
        for k, finding in enumerate((f for f in FINDINGS if f.document == document), 1)
    }
