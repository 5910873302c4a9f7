"""Slips of the pen: what happened to a value that should be another, and to the digits of a number.

A value can have lost its sign, or a factor of 2. A written number is changed back in each of the ways in which numbers go
wrong on paper; what then is right, to the digits written, says what happened.

>>> slip("0.3757", 0.3775)
('digits exchanged', 'Two digits are exchanged, 57 for 75: 0.3775 was meant')
>>> slip("0.2796", 0.272957)
('digit left out', 'A digit is left out: 0.27296 was meant')
>>> slip("0.3757", 0.4)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np

from tinygrad_bp.check.diagnosis import Candidate
from tinygrad_bp.check.formula import Written, parse
from tinygrad_bp.check.formula.evaluate import literal
from tinygrad_bp.check.rows import Row
from tinygrad_bp.errors import TinygradError

SLIPS = {
    "sign flipped": "the sign is the other one",
    "factor 2": "it is twice the right value",
    "factor 1/2": "it is half the right value",
    "last digit": "the last digit is off by one",
    "decimal point": "the point stands too far left or right, or zeros after it are too many or too few",
    "digits exchanged": "two neighbouring digits have changed places",
    "digit left out": "a digit is missing",
    "digit too many": "a digit is written that does not belong there",
    "digit wrong": "one digit is another",
}
MULTIPLES = ((-1.0, "sign flipped", "The sign is flipped"), (2.0, "factor 2", "This is twice the right value"),
             (0.5, "factor 1/2", "This is half the right value"))  # fmt: skip
MOST = 20  # wrong numbers that are looked at together
DECIMALS = 20
TELLING = 4  # digits that a number needs, so that chance does not explain it; more for slips of which there are many


def slip(written: str, right: float) -> tuple[str, str] | None:
    """The name of the slip, and a sentence; ``None`` if no single one explains a number without exponent."""
    if not np.isfinite(right) or _digits(written) < 3:
        return None
    for name, says, meant, needed in _undone(written):
        if _digits(written) >= needed and _is(meant, right):
            return name, f"{says}: {meant} was meant"
    return None


def slips(rows: Sequence[Row]) -> tuple[Candidate, ...]:
    """What explains numbers that are wrong: a slip in each of them; nothing, if one of them remains unexplained."""
    found: list[tuple[str, str]] = []
    for row in rows:
        if (multiple := _multiple(row)) is not None:
            found.append(multiple)
            continue
        wrong = list(_numbers(row))
        if not wrong or len(wrong) + len(found) > MOST:
            return ()
        for text, right in wrong:
            explained = slip(text, right)
            if explained is None:
                return ()
            found.append(explained)
    if not found:
        return ()
    more = f"; and {len(found) - 1} more like it" if len(found) > 1 else ""
    places = tuple(row.name for row in rows)
    return (Candidate(tuple(dict.fromkeys(name for name, _ in found)), places, found[0][1] + more, places),)


def _multiple(row: Row) -> tuple[str, str] | None:
    """Whether all of a value is the right one times -1, 2 or 1/2."""
    scale = float(np.max(np.abs(row.autograd), initial=0.0)) if row.verdict == "differs" else 0.0
    off = np.max(row.tolerance, initial=0.0) + 1e-9 * scale
    if not off < scale / 100:  # so few digits fit anything
        return None
    return next(((name, says) for c, name, says in MULTIPLES if np.all(np.abs(row.claim - c * row.autograd) <= off)), None)


def _numbers(row: Row) -> Iterator[tuple[str, float]]:
    """The numbers of a claim that are wrong, as they were written, and what they should be."""
    decimals = _decimals(row) if row.verdict == "differs" else None
    if decimals is not None and 0 < decimals <= DECIMALS:
        for claim, right in zip(np.ravel(row.claim), np.ravel(row.autograd), strict=True):
            if np.isfinite(claim) and abs(claim - right) > 0.5 * 10.0**-decimals:
                yield f"{claim:.{decimals}f}", float(right)


def _decimals(row: Row) -> int | None:
    """How many decimals a claim was written with, if it is a number or numbers."""
    if not row.text:
        unit = 2 * float(np.max(row.tolerance, initial=0.0))
        decimals = -round(np.log10(unit)) if unit else 0
        return decimals if abs(unit * 10.0**decimals - 1) < 1e-3 else None
    try:
        x = parse(row.text).members[0]
    except (TinygradError, ValueError):
        return None
    todo, most = [x] if literal(x) else [], None
    while todo:
        y = todo.pop()
        todo += y.operands
        if isinstance(y.value, Written):
            most = max(most or 0, y.value.decimals)
    return most


def _undone(written: str) -> Iterator[tuple[str, str, str, int]]:
    """(slip, sentence, what was meant if it was this one, digits that are needed to tell)."""
    sign, digits = ("-", written[1:]) if written.startswith("-") else ("", written)
    last = Decimal(1).scaleb(int(Decimal(written).as_tuple().exponent))
    for one in (last, -last):
        yield "last digit", "The last digit is off", str(Decimal(written) + one), 3
    for k in (1, -1, 2, -2, 3, -3):
        yield "decimal point", "The decimal point is in another place", f"{Decimal(written).scaleb(k):f}", 3
    yield from ((name, says, sign + meant, needed) for name, says, meant, needed in _rewritten(digits))


def _rewritten(digits: str) -> Iterator[tuple[str, str, str, int]]:
    """The same for slips in single digits, of a number without its sign."""
    first = len(digits) - len(digits.lstrip("0."))
    places = [i for i in range(first, len(digits)) if digits[i].isdigit()]
    for i, j in itertools.pairwise(places):
        if digits[i] != digits[j]:
            swapped = [*digits]
            swapped[i], swapped[j] = digits[j], digits[i]
            a, b = digits[i] + digits[j], digits[j] + digits[i]
            yield "digits exchanged", f"Two digits are exchanged, {a} for {b}", "".join(swapped), TELLING
    for i in places:
        for d in "0123456789":
            if d != digits[i]:
                yield "digit wrong", f"A digit is wrong, {digits[i]} for {d}", digits[:i] + d + digits[i + 1 :], TELLING + 1
    for i in places[:-1]:  # digits that follow have to bear it out
        for d in "0123456789":
            yield "digit left out", "A digit is left out", digits[:i] + d + digits[i:], TELLING
    for i in places[:-2]:
        yield "digit too many", "A digit is too many", digits[:i] + digits[i + 1 :], TELLING + 1


def _digits(text: str) -> int:
    """How many digits of a number say something."""
    return sum(c.isdigit() for c in text.lstrip("-0."))


def _is(text: str, right: float) -> bool:
    """Whether a written number is right to its last digit."""
    decimals = len(text.partition(".")[2])
    return decimals > 0 and abs(float(text) - right) <= 0.5 * 10.0**-decimals * (1 + 1e-9)
