"""What a mistake in a document is: where it stands, what is printed, what is right, and evidence on numbers.

>>> agrees("0.082", 0.0822), agrees("0.083", 0.0822)
(True, False)
>>> agrees((5, 2), (5,))
False
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

KINDS = {
    "misprint of a number": "a digit is wrong, or missing, in a number whose formula is right",
    "last digit": "the last digit does not follow, neither from exact nor from the printed figures",
    "rounded intermediates": "not a mistake: the last digit follows from the rounded figures printed before it",
    "does not follow": "the two sides of a printed equality have different values",
    "sign flipped": "a plus for a minus, or a derivative with its sign turned",
    "minus where times belongs": "a difference is printed where a product is meant",
    "missing factor": "one factor of a product is not printed",
    "factor 2 or 1/n": "half the sum, the mean and the sum of squares are taken for one another",
    "trace missing": "a matrix is printed where its trace is meant",
    "sigma' missing at the output": "the derivative of the output's activation is left out of the error sent back",
    "sigma' missing at the hidden layer": "the derivative of the hidden layer's activation is left out",
    "updated weights used": "the error is sent back through weights that have been changed already",
    "bias forgotten": "a bias is left out of the formulas or left as it was",
    "weight decay in place of momentum": "the weights are shrunk where the last change of them is meant",
    "transpose missing": "a transpose is not printed, or matrices stand in an order that their shapes do not allow",
    "stray transpose": "a transpose is printed where there is none",
    "wrong shape": "an array is printed with another shape than it has",
    "layout changed": "numerator and denominator layout in one derivation",
    "wrong index": "a subscript, superscript or order of indices is wrong or missing",
    "wrong symbol": "another variable is printed than the one that is meant",
    "missing symbol": "a sign, a letter or an argument is not printed",
    "brackets": "opening and closing brackets do not pair",
    "notation": "a formula that is right in what it means and not well formed as it is printed",
    "wrong reference": "an equation or a step is cited by another's number",
    "missing part": "something that the text refers to is not there",
    "wrong words": "a statement in words that is not true, or says another thing than the formula",
    "code does not run": "the listing stops with an error",
    "code differs from text": "the listing computes something else than the text says",
    "code reports another quantity": "the listing prints, names or counts another quantity than it says",
}
"""The kinds of mistakes, each in a line."""


class Evidence(NamedTuple):
    """What the printed and the right version come to, and what an independent computation says."""

    printed: Any
    right: Any
    witness: Any


@dataclass(frozen=True)
class Finding:
    """One mistake in one document. ``printed`` and ``right`` are Markdown, ``why`` says what ``evidence`` cannot."""

    document: str
    place: str
    printed: str
    right: str
    kind: str
    evidence: Callable[[], Evidence] | None = None
    why: str = ""

    def size(self) -> str:
        """How large the mistake is on numbers, for a table."""
        if self.evidence is None:
            return ""
        printed, right, _ = self.evidence()
        return difference(printed, right)


def agrees(claim: Any, value: Any) -> bool:
    """Whether a claim is true of a value.

    A string is a number with the digits that are written, a list holds several; a tuple is a shape, a type is the
    exception that a computation ends in, a bool is a statement, and anything else an array of the same shape.
    """
    if isinstance(claim, list):
        return len(claim) == np.size(value) and all(map(agrees, claim, np.ravel(value)))
    if isinstance(claim, str):
        half = Decimal(5).scaleb(int(Decimal(claim).as_tuple().exponent) - 1)
        return bool(abs(Decimal(claim) - Decimal(float(value))) <= half)
    if isinstance(claim, (tuple, type, bool)) or isinstance(value, (tuple, type, bool)):
        return bool(type(claim) is type(value) and claim == value)
    return np.shape(claim) == np.shape(value) and np.allclose(claim, value, rtol=1e-9, atol=0)


def difference(printed: Any, right: Any) -> str:
    """The distance of what is printed from what is right, in a few words.

    >>> difference("0.6575", "0.6757")
    '-0.0182 (-2.7%)'
    >>> difference((4,), (5,))
    'shape (4,) for (5,)'
    """
    if isinstance(printed, type):
        return printed.__name__
    if isinstance(printed, bool):
        return "not so"
    if isinstance(printed, tuple):
        return f"shape {printed} for {right}"
    if isinstance(printed, int):
        return f"{printed - right:+d}"
    p, r = numbers(printed), numbers(right)
    if p.shape != r.shape:
        return f"shape {p.shape} for {r.shape}"
    worst = int(np.argmax(np.abs(p - r)))
    d, scale = (p - r).flat[worst], r.flat[worst]
    return f"{d:+.3g}{share(float(d + scale), float(scale))}"


def share(printed: float, right: float) -> str:
    """A number as a share of the right one, where that says something."""
    ratio = printed / right if right else 0.0
    if ratio <= 0:
        return ""
    return f" ({100 * (ratio - 1):+.2g}%)" if 0.5 < ratio < 1.99 else f" ({ratio:.3g} times)"


def numbers(claim: Any) -> np.ndarray[Any, Any]:
    """The numbers in a claim."""
    return np.asarray([float(c) for c in claim] if isinstance(claim, list) else claim, float)


def number(printed: str | Sequence[str], right: str | Sequence[str], value: Callable[[], Any]) -> Callable[[], Evidence]:
    """Evidence for a misprinted number: the two figures, and the value computed."""
    return lambda: Evidence(printed, right, value())


def outcome(run: Callable[[], Any]) -> Any:
    """What a computation comes to: its shape, or the type of the exception that it ends in."""
    try:
        return np.shape(run())
    except Exception as error:  # noqa: BLE001 - whichever it is, it is the outcome
        return type(error)
