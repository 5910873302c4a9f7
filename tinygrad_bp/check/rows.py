"""One claim beside the truth: what it says, what autograd and the witness say, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

COMPUTED = 1e-7  # relative tolerance for claims that were computed rather than written down,
FULL_PRECISION = 14  # which shows in this many significant digits
ROUNDING = 1e-13  # relative allowance for the rounding of autograd itself


@dataclass(frozen=True)
class Truth:
    """What a claim is compared with: autograd, and a witness of how far off it may be."""

    expected: Array
    numeric: Array | None = None
    witness: str = ""
    doubt: float = 0.0

    @property
    def number(self) -> Any:
        """The witness's derivative, a plain number where it is one."""
        return None if self.numeric is None else self.numeric[()]


@dataclass(frozen=True)
class Row:
    """One claim and what became of it."""

    name: str
    claim: Any
    autograd: Any
    numeric: Any  # by complex step or central differences; None for an array that is too large
    tolerance: Any  # absolute, from the digits that the claim was written with
    verdict: str  # "agrees", "differs", "coarse" (too few digits to tell), "shape", "disputed" (by the witness), "missing"
    text: str = ""  # the claim as it was written, where it was
    target: str | None = None  # which gradient of the graph, or which new weight (with a plus), the claim is about
    note: str = ""  # what a reader should know, such as that the formula reads other gradients
    truth: Truth | None = field(default=None, repr=False, compare=False)  # all that the claim was compared with

    @property
    def witness(self) -> str:
        """How ``numeric`` was found: "complex step" or "central differences"."""
        return "" if self.truth is None else self.truth.witness

    @classmethod
    def of(cls, name: str, claim: Array, truth: Truth, tolerance: Any, text: str, target: str | None, note: str) -> Row:
        """A claim beside the truth, with the verdict."""
        found = verdict(claim, truth, tolerance)
        return cls(name, claim[()], truth.expected[()], truth.number, tolerance, found, text, target, note, truth)

    @classmethod
    def missing(cls, name: str, truth: Truth) -> Row:
        """A derivative that was to be given and was not."""
        return cls(name, None, truth.expected[()], truth.number, 0.0, "missing", truth=truth)

    @property
    def ok(self) -> bool:
        return self.verdict == "agrees"

    @property
    def difference(self) -> float:
        """The largest absolute difference between claim and autograd."""
        compared = self.verdict not in ("shape", "missing")
        return float(np.max(np.abs(self.claim - self.autograd), initial=0.0)) if compared else float("nan")

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The claim's shape and the gradient's."""
        return np.shape(self.claim), np.shape(self.autograd)

    @property
    def relative(self) -> float:
        """The same, relative to the largest absolute value of the gradient."""
        scale = float(np.max(np.abs(self.autograd), initial=0.0))
        return self.difference / scale if scale else self.difference


def verdict(value: Any, truth: Truth, tolerance: Any) -> str:
    """Whether a claim agrees with autograd, and whether autograd itself is beyond doubt."""
    expected = truth.expected
    if np.shape(value) != np.shape(expected):
        return "shape"
    scale = float(np.max(np.abs(expected), initial=0.0))
    if truth.numeric is not None and not bool(np.all(np.abs(truth.numeric - expected) <= truth.doubt)):
        return "disputed"
    if not np.all(np.isfinite(value)) or not np.all(np.isfinite(expected)):  # nothing is far from infinity
        return "differs"
    difference = np.abs(value - expected)
    if not bool(np.all(difference <= tolerance)):
        return "differs"
    return "coarse" if float(np.max(difference, initial=0.0)) > scale / 2 else "agrees"


def computed(expected: Any, dtype: Any = None) -> Any:
    """How far off a claim may be that was computed rather than written down: rounding errors, element by element."""
    dtype = np.dtype(dtype or float)
    eps = float(np.finfo(dtype).eps) if dtype.kind == "f" and dtype.itemsize < 8 else 0.0  # single precision rounds more
    largest = float(np.max(np.abs(expected), initial=0.0))
    return max(COMPUTED, min(1e3 * eps, 0.01)) * np.abs(expected) + max(ROUNDING, min(32 * eps, 0.01)) * largest
