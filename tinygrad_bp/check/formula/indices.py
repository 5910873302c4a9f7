r"""Indices that stand for any number: ``\delta_h = \sum_o \delta_o w_{oh} f'(net_h)`` holds for every h.

An index is free if no sum sign binds it and the names that have it are known only once it is a number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.names import parts
from tinygrad_bp.check.formula.scope import Scope, is_kronecker
from tinygrad_bp.errors import FormulaError, TinygradError
from tinygrad_bp.expression import Expression

INSTANCES = 1_000  # of one formula
CHOICES = 30  # of layers for the letters of one formula
SIZE = 200  # of one index
Name = tuple[str, frozenset[str]]  # a name, and the letters that sums around it bind


def instances(members: Sequence[Expression], scope: Scope, defined: str = "") -> list[dict[str, str]]:
    """Letter -> number, for each instance of a formula with free indices; empty if it has none.

    ``defined``: the name that the formula gives a value to. Raises ``FormulaError`` if there are too many instances, and
    ``NameLookupError`` if a name has no value for any number.
    """
    names = list(dict.fromkeys(name for member in members for name in _names(member, frozenset())))
    unknown = [
        name
        for name in names
        if (name[0] != defined or _letters(scope, *name)) and (not _known(scope, *name, {}) or _counts(scope, *name, names))
    ]
    found = [_letters(scope, *name) for name in unknown]
    unknown, found = _without_kronecker(unknown, found)
    if not any(found):
        return []
    if not all(found):
        raise scope.unknown(unknown[found.index(())][0])
    letters = list(dict.fromkeys(letter for each in found for letter in each))
    sizes = [_size(scope, letter, letters, names) for letter in letters]
    count = 1
    for size in sizes:
        count *= size
    if count > INSTANCES:
        raise FormulaError(f"this stands for {count} formulas, one for each {', '.join(letters)}; {INSTANCES} are the limit")
    ranges = [[str(k + 1) for k in range(size)] for size in sizes]
    return [dict(zip(letters, values, strict=True)) for values in itertools.product(*ranges)]


def layers(members: Sequence[Expression], scope: Scope) -> Iterator[dict[str, tuple[str, ...]]]:
    r"""What the letters of ``\delta_k`` and ``\delta_j`` may mean where they alone tell the layers apart: nothing new, then each choice.

    In many books k counts the outputs and j the hidden neurons, and a_k and a_j are what flows into them.
    """
    yield {}
    found = [parts(x) for x in dict.fromkeys(name for member in members for name, _ in _names(member, frozenset()))]
    letters = list(dict.fromkeys(sub for base, sub, index in found if base == "delta" and not index and len(sub) == 1 and sub.islower()))
    if letters and len(scope.sums) ** len(letters) <= CHOICES:
        for chosen in itertools.product(scope.sums, repeat=len(letters)):
            yield {letter: (name,) for letter, name in zip(letters, chosen, strict=True)}


def _names(x: Expression, bound: frozenset[str]) -> Iterator[Name]:
    if x.function is fn.total and x.options["letter"]:
        bound = bound | {str(x.options["letter"])}
    if x.function is None and x.name:
        yield x.name, frozenset(bound & set(parts(x.name)[1]))
    for operand in x.operands:
        yield from _names(operand, bound)


def _known(scope: Scope, name: str, bound: frozenset[str], free: Mapping[str, str]) -> bool:
    """Whether a name has a value, the letters of sums being 1."""
    try:
        with scope.instance({**dict.fromkeys(bound, "1"), **free}):
            return not (is_kronecker(name) and scope.delta(name) is None) and scope.value(name) is not None
    except TinygradError:
        return False


def _without_kronecker(unknown: list[Name], found: list[tuple[str, ...]]) -> tuple[list[Name], list[tuple[str, ...]]]:
    """Those that say something about the letters: delta_ij does not, if other names say how far i and j go."""
    told = {letter for (name, _), letters in zip(unknown, found, strict=True) if not is_kronecker(name) for letter in letters}
    kept = [
        (n, f) for n, f in zip(unknown, found, strict=True) if not (is_kronecker(n[0]) and not f and set(parts(n[0])[1]) <= told | n[1])
    ]
    return [n for n, _ in kept], [f for _, f in kept]


def _counts(scope: Scope, name: str, bound: frozenset[str], names: Sequence[Name]) -> bool:
    """Whether the k of y_k counts elements rather than steps: y is an array, and no name has k + 1."""
    steps = any(c in parts(other)[1] for other, _ in names for c in "+-")
    if parts(name)[1] != "k" or "k" in bound or steps or not scope.value(name).ndim:
        return False
    return _known(scope, name, bound, {"k": "1"})


def _letters(scope: Scope, name: str, bound: frozenset[str]) -> tuple[str, ...]:
    """The most letters of a subscript that may be numbers together; t counts steps."""
    letters = [c for c in dict.fromkeys(parts(name)[1]) if c.isalpha() and c.islower() and c not in bound and c != "t"]
    if len(letters) > 3:
        return ()
    subsets = (chosen for n in range(len(letters), 0, -1) for chosen in itertools.combinations(letters, n))
    return next((chosen for chosen in subsets if _known(scope, name, bound, dict.fromkeys(chosen, "1"))), ())


def _size(scope: Scope, letter: str, letters: Sequence[str], names: Sequence[Name]) -> int:
    """How far the first name with the letter goes."""
    first = dict.fromkeys(letters, "1")
    for name, bound in names:
        here = {c: n for c, n in first.items() if c in parts(name)[1]}
        if letter in here and letter not in bound and _known(scope, name, bound, here):
            size = 1
            while size <= SIZE and _known(scope, name, bound, here | {letter: str(size + 1)}):
                size += 1
            if size <= SIZE:  # more: the name is one number whatever the letter is
                return size
    return 1
