"""What ``tg.check`` returns: a row for each claim, with autograd, a second witness and a verdict."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp.check.diagnosis import Diagnosis, diagnose
from tinygrad_bp.check.rows import Row
from tinygrad_bp.check.slips import slips
from tinygrad_bp.check.witness import CENTRAL, COMPLEX
from tinygrad_bp.expression import format_number
from tinygrad_bp.letters import places
from tinygrad_bp.program import Program

WIDTH = 80  # of the table, in characters
UNTOLD = {  # verdict -> what the diagnosis says of it
    "missing": "No derivative was given for {names}.",
    "coarse": "Too few digits were written to tell whether these are right: {names}.",
    "disputed": "Autograd and the numerical derivative do not agree on {names}, so the claim is not judged.",
}


@dataclass(frozen=True)
class Report:
    """What ``tg.check`` returns: ``ok``, the ``rows``, and a table as text."""

    rows: tuple[Row, ...]
    program: Program | None = field(default=None, repr=False, compare=False)
    lr: float | None = None  # the learning rate of claims about new weights
    previous: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # values of the previous step

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """Which mistake the claims that differ were derived with; those with too few digits to tell are left out."""
        told = [row for row in self.rows if row.verdict in ("agrees", "differs", "shape")]
        untold = list(self._untold())
        known = {row.target: row for row in told if row.target is not None}
        if self.program is None or not known:
            wrong = [row for row in told if not row.ok]
            return Diagnosis(tuple(row.name for row in wrong), slips(wrong), "\n".join(untold))
        claims, tolerances = {n: row.claim for n, row in known.items()}, {n: row.tolerance for n, row in known.items()}
        found = diagnose(self.program, claims, tolerances, self.lr, self.previous)
        slipped = () if found else slips([row for row in known.values() if not row.ok])
        if slipped:
            found = replace(found, candidates=slipped, note="")
        return replace(found, note="\n".join([found.note, *untold] if found.wrong and found.note else untold)) if untold else found

    def _untold(self) -> Iterator[str]:
        """What is not right, and no mistake in a derivation."""
        for verdict, says in UNTOLD.items():
            if names := [row.name for row in self.rows if row.verdict == verdict]:
                yield says.format(names=", ".join(names))

    @property
    def ok(self) -> bool:
        """Whether all claims agree. A report without a claim is not."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __str__(self) -> str:
        header = ("name", "claim", "autograd", "numerical", "rel. error", "verdict")
        table = [header, *(self._cells(row) for row in self.rows)]
        widths = [max(len(cells[k]) for cells in table) for k in range(len(header))]
        widths[0] = min(widths[0], max(8, WIDTH - sum(widths[1:]) - 2 * len(widths[1:])))
        lines = ["  ".join(f"{_cut(cell, w):<{w}}" for cell, w in zip(cells, widths, strict=True)).rstrip() for cells in table]
        agreed = sum(row.ok for row in self.rows)
        notes = [line for row in self.rows if row.note for line in textwrap.wrap(f"{row.name}: {row.note}", WIDTH, subsequent_indent="  ")]
        said = [name for row in self.rows for name in re.findall(r"\w+", f"{row.name} {row.note}")]
        where = places(self.program, said) if self.program is not None else ""
        notes += textwrap.wrap(f"The parameters: {where}.", WIDTH) if where else []
        return "\n".join(
            [lines[0], "-" * len(lines[0]), *lines[1:], f"{agreed} of {len(self.rows)} claims agree{self._witnesses()}", *notes]
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"```text\n{self}\n```"

    def _witnesses(self) -> str:
        """How the numerical derivatives were found."""
        methods = list(dict.fromkeys(row.witness for row in self.rows if row.witness))
        if len(methods) < 2:
            return f" (numerical: {methods[0]})" if methods else ""
        rough = ", ".join(dict.fromkeys(row.name for row in self.rows if row.witness == CENTRAL))
        return f" (numerical: {COMPLEX};\n{_cut(ascii(rough)[1:-1], WIDTH - len(CENTRAL) - 8)} by {CENTRAL})"

    def _cells(self, row: Row) -> tuple[str, ...]:
        relative = "-" if row.verdict in ("shape", "missing") else f"{row.relative:.1e}"
        return ascii(row.name)[1:-1], _shown(row.claim), _shown(row.autograd), _shown(row.numeric), relative, row.verdict


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return format_number(value, 7) if np.size(value) == 1 and np.ndim(value) == 0 else f"array {np.shape(value)}"
