"""Numbers on the command line, refused by the parser where they cannot be meant."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    """A whole number from 1 on, such as a number of digits or of updates.

    >>> count("3")
    3
    """
    found = _read(int, text, "a whole number")
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(found)


def rate(text: str) -> float:
    """A finite number from 0 on, such as a learning rate or a momentum.

    >>> rate("0.9")
    0.9
    """
    found = _read(float, text, "a number")
    if not (found >= 0 and math.isfinite(found)):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return found


def _read(kind: type[int | float], text: str, what: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
