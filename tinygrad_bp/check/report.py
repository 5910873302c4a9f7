"""``tg.check``: claims about gradients against autograd and against finite differences."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_bp.check.witness import finite_difference
from tinygrad_bp.errors import GraphError, NameLookupError
from tinygrad_bp.expression import format_number
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_bp.check.diagnosis import Diagnosis

COMPUTED = 1e-7  # relative tolerance for claims that were computed rather than written down,
FULL_PRECISION = 14  # which shows in this many significant digits
ROUNDING = 1e-13  # relative allowance for the rounding of autograd itself
WITNESS = 1e-4  # relative allowance for the error of finite differences


@dataclass(frozen=True)
class Row:
    """One claim and what became of it."""

    name: str
    claim: Any
    autograd: Any
    numeric: Any  # by finite differences; None for an array that is too large
    tolerance: Any  # absolute, from the digits that the claim was written with
    verdict: str  # "agrees", "differs", "coarse" (too few digits to tell), "shape", or "disputed" (by finite differences)

    @property
    def ok(self) -> bool:
        return self.verdict == "agrees"

    @property
    def difference(self) -> float:
        """The largest absolute difference between claim and autograd."""
        return float("nan") if self.verdict == "shape" else float(np.max(np.abs(self.claim - self.autograd), initial=0.0))

    @property
    def relative(self) -> float:
        """The same, relative to the largest absolute value of the gradient."""
        scale = float(np.max(np.abs(self.autograd), initial=0.0))
        return self.difference / scale if scale else self.difference


@dataclass(frozen=True)
class Report:
    """What ``tg.check`` returns: ``ok``, the ``rows``, and a table as text."""

    rows: tuple[Row, ...]
    program: Program | None = field(default=None, repr=False, compare=False)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """Which mistake the claims that differ were derived with; those with too few digits to tell are left out."""
        from tinygrad_bp.check.diagnosis import Diagnosis, diagnose

        told = [row for row in self.rows if row.verdict in ("agrees", "differs", "shape")]
        if self.program is None:
            return Diagnosis(tuple(row.name for row in told if not row.ok))
        return diagnose(self.program, {row.name: row.claim for row in told}, {row.name: row.tolerance for row in told})

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __str__(self) -> str:
        header = ("name", "claim", "autograd", "numerical", "rel. error", "verdict")
        table = [header, *(self._cells(row) for row in self.rows)]
        widths = [max(len(cells[k]) for cells in table) for k in range(len(header))]
        lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(cells, widths, strict=True)).rstrip() for cells in table]
        agreed = sum(row.ok for row in self.rows)
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], f"{agreed} of {len(self.rows)} claims agree"])

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"```text\n{self}\n```"

    def _cells(self, row: Row) -> tuple[str, ...]:
        relative = "-" if row.verdict == "shape" else f"{row.relative:.1e}"
        return row.name, _shown(row.claim), _shown(row.autograd), _shown(row.numeric), relative, row.verdict


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return format_number(value, 7) if np.size(value) == 1 and np.ndim(value) == 0 else f"array {np.shape(value)}"


def check(output: Tensor | Program, claims: Mapping[str, Any]) -> Report:
    """Compare claimed gradients of ``output`` with autograd's and with finite differences.

    ``claims``: name -> claimed derivative of the output by the tensor, or the element, of that name. A claim is
    a number or array as read off a page (it agrees if it is right to the digits written: 0.08 agrees with 0.0822;
    a string such as ``"0.0821670"`` keeps its zeros; so few digits that a value twice as large would pass are
    "coarse"), or a function on plain arrays whose parameters are names of the graph.

    A claim whose shape differs from the gradient's is a mistake, also where broadcasting would hide it.

    >>> from tinygrad_bp import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(check((x * x).named("y"), {"x": lambda x: 2 * x}))
    name  claim  autograd  numerical  rel. error  verdict
    -----------------------------------------------------
    x     6      6         6          0.0e+00     agrees
    1 of 1 claims agree
    """
    program = output if isinstance(output, Program) else Program.of(output)
    if program.output.value.size != 1:
        raise GraphError(f"the output has shape {program.output.shape}; claims are about the gradient of a scalar")
    return Report(tuple(_row(program, name, claim) for name, claim in claims.items()), program)


def _row(program: Program, name: str, claim: Any) -> Row:
    place, index = program.locate(name)
    gradient = program.gradients.get(place)
    if gradient is None:
        gradient = np.zeros(program.lines[place].shape)
    expected = gradient if index is None else gradient[index]
    numeric = finite_difference(program, place, index)
    value, tolerance = _value(program, claim, expected)
    verdict = _verdict(value, expected, numeric, tolerance)
    return Row(name, value[()], np.asarray(expected)[()], None if numeric is None else numeric[()], tolerance, verdict)


def _verdict(value: Any, expected: Any, numeric: Any, tolerance: Any) -> str:
    """Whether a claim agrees with autograd, and whether autograd itself is beyond doubt."""
    if value.shape != np.shape(expected):
        return "shape"
    scale = float(np.max(np.abs(expected), initial=0.0))
    if numeric is not None and not bool(np.all(np.abs(numeric - expected) <= WITNESS * scale + WITNESS**2)):
        return "disputed"
    difference = np.abs(value - expected)
    if not bool(np.all(difference <= tolerance)):
        return "differs"
    return "coarse" if float(np.max(difference, initial=0.0)) > scale / 2 else "agrees"


def _value(program: Program, claim: Any, expected: Any) -> tuple[np.ndarray[Any, Any], Any]:
    """The claim as an array, and how far off it may be."""
    scale = float(np.max(np.abs(expected), initial=0.0))
    computed = COMPUTED * np.abs(expected) + ROUNDING * scale
    if callable(claim):
        return np.asarray(_evaluate(program, claim), dtype=float), computed
    if isinstance(claim, Tensor):
        return claim.numpy(), computed
    value, written = np.asarray(claim, dtype=float), [str(x) for x in np.asarray(claim).flat]
    if max(map(_significant, written), default=0) >= FULL_PRECISION:
        return value, computed
    decimals = max(map(_decimals, written), default=0)
    return value, 0.5 * 10.0**-decimals * (1 + 1e-9) + ROUNDING * scale


def _decimals(text: str) -> int:
    """How many decimal places a number was written with: 0.08 has 2, 1.364e-3 has 6."""
    mantissa, _, exponent = text.lower().strip().partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)


def _significant(text: str) -> int:
    """How many significant digits a number was written with."""
    return len(text.lower().strip().partition("e")[0].lstrip("+-").replace(".", "").lstrip("0"))


def _evaluate(program: Program, claim: Callable[..., Any]) -> Any:
    """Call a claim with the values that its parameters name."""
    names = list(inspect.signature(claim).parameters)
    try:
        values = {name: program.value(name) for name in names}
    except NameLookupError as error:
        raise NameLookupError(f"the claim's parameters are names of the graph: {error}") from None
    return claim(**values)
