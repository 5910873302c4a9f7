"""How a written name is normalised: ``out_{h 1}``, ``{ out }_{h_1}`` and ``out_h1`` are one name.

A name is kept as text, ``base_subscript^index``: ``out_h1``, ``yhat_1``, ``v^(k)``, ``w_5^+``. Two names are the same if
their keys are: the key leaves out what only typesets, such as underscores, brackets and spaces.
"""

from __future__ import annotations

from collections.abc import Iterator

UPDATED = "+"  # the index of a value after the update


def parts(name: str) -> tuple[str, str, str]:
    """Base, subscript and upper index of a normalised name.

    >>> parts("delta_o1^(k)")
    ('delta', 'o1', '(k)')
    """
    body, _, index = name.partition("^")
    base, _, subscript = body.partition("_")
    return base, subscript, index


def joined(base: str, subscript: str, index: str = "") -> str:
    """The other way round."""
    return base + (f"_{subscript}" if subscript else "") + (f"^{index}" if index else "")


def key(text: str) -> str:
    """What identifies a name: its letters, digits and plus, case kept.

    >>> key("w_{ho}") == key("w_ho") == "who"
    True
    """
    return "".join(c for c in text if c.isalnum() or c == "+")


def readings(name: str) -> Iterator[str]:
    """The keys under which a written name may be known, the most literal first.

    An upper index belongs to the name (``W^{o}``), or counts updates and says nothing here (``v^{(k)}``); a bare number is a layer.
    """
    base, subscript, index = parts(name)
    if base == "delta" and index.strip("()").isalpha() and index.strip("()") not in ("t", "k", "n"):  # of the layer o, not of any
        yield key(base + index + subscript)
        return
    timeless = "" if base != "delta" and subscript.split("+")[0] in ("t", "k") else subscript  # W_{t+1}^{o}
    for sub in dict.fromkeys((subscript, timeless)):
        counts = index.startswith("(")  # v^{(1)} is v if there is a v, and v1 only else
        if counts:
            yield key(joined(base, sub))
        if index:
            yield key(joined(base, sub) + index)
            yield key(base + index + sub)
        if not counts and not index.isdigit():
            yield key(joined(base, sub))


def with_index(name: str, letter: str, value: str) -> str:
    """A name with one letter of its subscript replaced: ``y_ji`` at i = 2 is ``y_j2``.

    >>> with_index("w_ho", "o", "2"), with_index("E_total", "o", "2")
    ('w_h2', 'E_total')
    """
    base, subscript, index = parts(name)
    short = len([c for c in subscript if c.isalpha()]) <= 3
    return joined(base, subscript.replace(letter, value), index) if short else name
