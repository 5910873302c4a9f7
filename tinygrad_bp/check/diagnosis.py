"""Which mistake explains a wrong gradient: the backward pass is run again with each mistake planted at each place.

What reproduces every wrong claim and leaves every right one right is a candidate. Simple explanations come first:
a factor or one mistake of the catalogue, then one that only some of the claims were derived with, then two mistakes,
then what the ratio of claim to gradient says. Where nothing explains the claims, the diagnosis says how far they are right.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp.check.anatomy import Anatomy
from tinygrad_bp.check.gathered import gathered
from tinygrad_bp.check.mistakes import FACTORS, Factor
from tinygrad_bp.check.planting import OTHER, Planted, arrived, listed, plants
from tinygrad_bp.errors import ShapeError
from tinygrad_bp.program import Program, element_names

Array = np.ndarray[Any, Any]

COMPUTED = 1e-6  # relative tolerance of claims that come without one
ROUNDING = 1e-13  # of gradients that cancel, relative to the largest
PAIRS = 3_000  # runs that are spent on two mistakes at a time
MORE = 200  # and on another pair, once one is found
CHANGE = "Delta "  # before the name of a weight: what the update adds to it
CHANCE = 0.02  # how likely a factor may be to fit by chance


@dataclass(frozen=True)
class Candidate:
    """One explanation: the mistakes, where they were made, and which claims they explain."""

    mistakes: tuple[str, ...]
    places: tuple[str, ...]
    sentence: str
    explains: tuple[str, ...]

    def __str__(self) -> str:
        return self.sentence + "."


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a derivation. ``candidates``: equal explanations, the likelier first; none if nothing is known."""

    wrong: tuple[str, ...]  # the claims that are
    candidates: tuple[Candidate, ...] = ()
    note: str = ""  # what else is to be said: how far an unexplained derivation is right, or what the numbers hide

    @property
    def mistake(self) -> str | None:
        """The name of the first candidate's mistake."""
        return " and ".join(self.candidates[0].mistakes) if self.candidates else None

    def __bool__(self) -> bool:
        return bool(self.candidates)

    def __str__(self) -> str:
        found = [str(c) for c in self.candidates]
        if len(found) > 1:
            found = ["Several mistakes give these numbers:", *(f"- {text}" for text in found)]
        lines = [*found, *self.note.splitlines()] or ["No mistake."]
        return "\n".join(_wrapped(line) for line in lines)

    __repr__ = __str__


@dataclass(frozen=True)
class Claim:
    """A claimed gradient beside the right one."""

    name: str
    line: int
    index: tuple[int, ...] | None
    value: Array
    right: Array
    tolerance: Any

    @property
    def of(self) -> str:
        """What it is a derivative by; a new weight, or the change of one, tells that by the weight."""
        return self.name.removesuffix("+").removeprefix(CHANGE)

    def part(self, gradient: Any) -> Array:
        """What another gradient of the whole tensor says about what is claimed."""
        return np.asarray(gradient) if self.index is None else np.asarray(np.asarray(gradient)[self.index])

    def fits(self, gradient: Any) -> bool:
        """Whether a gradient has the claimed shape and values."""
        try:
            other = self.part(gradient)
        except IndexError:
            return False
        if other.shape != self.value.shape:
            return False
        if not other.shape:
            return abs(float(other) - float(self.value)) <= max(float(self.tolerance), 1e-9 * abs(float(self.value)))
        return bool(np.all(np.abs(other - self.value) <= np.maximum(self.tolerance, 1e-9 * np.abs(self.value))))

    def each(self, program: Program) -> list[Claim]:
        """A claim about an array as claims about its elements, where its shape is right."""
        if self.index is not None or self.value.shape != self.right.shape or not self.right.shape:
            return [self]
        names = element_names(program.lines[self.line].name, self.right.shape)
        tolerance = np.broadcast_to(self.tolerance, self.right.shape)
        return [
            Claim(name or f"{self.name}{list(i)}", self.line, i, np.asarray(self.value[i]), np.asarray(self.right[i]), tolerance[i])
            for name, i in zip(names, np.ndindex(self.right.shape), strict=True)
        ]

    @cached_property
    def ok(self) -> bool:
        return self.fits(self.right) if self.index is None else self.value.shape == () and self._near(self.right)

    def _near(self, other: Any) -> bool:
        return bool(np.all(np.abs(other - self.value) <= self.tolerance))


def diagnose(
    program: Program,
    claims: Mapping[str, Any],
    tolerances: Mapping[str, Any] | None = None,
    lr: float | None = None,
    previous: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Why claimed gradients of the program's output are wrong, if they are.

    ``claims``: name of a tensor or element -> the claimed value, a number or array; right ones help to find the place.
    A name with ``+`` is a new weight, w - lr * gradient, if ``lr`` is given. ``tolerances``: name -> how far off a
    claim may be, as its digits say; numbers that were computed need none. ``lr``: the learning rate, where it is known.
    ``previous``: values of the previous step by name, where stale ones might have been used.

    >>> from tinygrad_bp.worked import step_by_step
    >>> program = Program.of(step_by_step.forward())
    >>> print(diagnose(program, {"w5": 0.138498562 * program.value("net_h1")}, {"w5": 1e-9}))
    The weighted sums before out_h stand in dE_total/dW2 where out_h belongs.
    """
    return _Search(program, claims, tolerances or {}, lr, previous or {}).diagnosis()


def _claim(program: Program, name: str, value: Any, tolerance: Any, lr: float | None, scale: float) -> Claim:
    value, base = np.asarray(value, dtype=float), name
    if name.endswith("+") and lr:
        base = name[:-1]
        weight = np.asarray(program.value(base))
        value = (weight - value) / lr
        tolerance = (1e-9 * np.max(np.abs(weight)) if tolerance is None else tolerance) / lr
    elif name.startswith(CHANGE) and lr:
        base, value = name.removeprefix(CHANGE), -value / lr
        tolerance = None if tolerance is None else tolerance / lr
    elif not np.any(value):  # nothing was written, so there are no digits
        tolerance = 0.0
    line, index = program.locate(base)
    gradient = program.gradients.get(line)
    gradient = np.zeros(program.lines[line].shape) if gradient is None else gradient
    right = np.asarray(gradient if index is None else gradient[index])
    if np.shape(tolerance) not in ((), value.shape):
        tolerance = float(np.max(tolerance))
    if tolerance is None:
        tolerance = COMPUTED * np.abs(value)
    return Claim(name, line, index, value, right, np.maximum(tolerance, ROUNDING * scale))


def by_line(program: Program, values: Mapping[str, Any]) -> dict[int, Array]:
    """Values by name, of elements too, as the whole arrays of their lines.

    Raises ``NameLookupError`` for a name that the graph does not have and ``ShapeError`` for a value that does not fit it.
    """
    found: dict[int, Array] = {}
    for name, value in values.items():
        line, index = program.locate(name)
        array = found.setdefault(line, np.array(program.lines[line].value, dtype=float))
        place: Any = () if index is None else index
        if np.shape(value) != array[place].shape:
            raise ShapeError(f"the previous value of {name} has shape {np.shape(value)}; {name} has {array[place].shape}")
        array[place] = value
    return found


class _Search:
    """Looks for explanations, simple ones first."""

    def __init__(self, program: Program, claims: Mapping[str, Any], tolerances: Mapping[str, Any], lr: float | None,
                 previous: Mapping[str, Any]) -> None:  # fmt: skip
        self.program, self.lr, self.previous = program, lr, by_line(program, previous)
        scale = max((float(np.max(np.abs(g), initial=0.0)) for g in program.gradients.values()), default=0.0)
        self.claims = [_claim(program, name, value, tolerances.get(name), lr, scale) for name, value in claims.items()]
        self.anatomy, self.seeds = Anatomy.of(program), dict[int | None, dict[int, Any]]()
        if not self.anatomy.layers:
            self._gather()
        self.wrong = [c for c in self.claims if not c.ok]
        self.sound = [c for c in self.claims if c.ok]

    def _gather(self) -> None:
        """Go over to layers where the graph is a network written in single numbers, and all wrong claims have a place in them."""
        found = gathered(self.program)
        if found is None:
            return
        moved = [(c, found.where.get((c.line, c.index))) for claim in self.claims for c in claim.each(self.program)]
        if all(place is not None or c.ok for c, place in moved):
            self.program, self.anatomy = found.program, Anatomy.of(found.program)
            self.claims = [replace(c, line=place[0], index=place[1]) for c, place in moved if place is not None]
            self.previous = found.values(self.previous)

    @cached_property
    def needed(self) -> set[int]:
        """The lines that the way back to a claimed one leads through."""
        needed = {c.line for c in self.claims}
        for line in self.program.lines:
            if needed & set(line.operands):
                needed.add(line.index)
        return needed

    def _run(self, p: Planted) -> dict[int, Any] | None:
        if p.first not in self.seeds:
            self.seeds[p.first] = arrived(self.program, p.first)
        return p.run(self.program, self.seeds[p.first], self.needed)

    def diagnosis(self) -> Diagnosis:
        names = tuple(c.name for c in self.wrong)
        if not self.wrong:
            return Diagnosis(names, note=self._hidden())
        ways = (
            self._alone,
            self._partly,
            self._rounded,
            self._apart,
            self._scaled,
            self._together,
            self._entries,
            self._added,
            self._quantities,
        )
        for way in ways:
            if found := _distinct(way()):
                return Diagnosis(names, tuple(found))
        return Diagnosis(names, note=self._extent())

    # -- one mistake ---------------------------------------------------------------------------------------------

    @cached_property
    def planted(self) -> list[tuple[Planted, dict[int, Any]]]:
        """Every mistake of the catalogue at every place, with what comes out."""
        lines = self.program.lines
        every = plants(self.anatomy, self.lr, self.previous)
        felt = (p for p in every if p.nodes or p.values or any(lines[line].operands[i] in self.needed for line, i in p.edges))
        runs = ((p, self._run(p)) for p in felt)
        return [(p, run) for p, run in runs if run is not None]

    def _alone(self) -> Iterator[Candidate]:
        """What explains the wrong claims and leaves the right ones right."""
        yield from self._last_digit()
        yield from self._factors()
        for p, run in self.planted:
            if self._explains(run) and all(map(self._kept(run), self.sound)):
                yield _candidate(p, self.wrong)

    def _partly(self) -> Iterator[Candidate]:
        """What explains the wrong claims, though the right ones would be wrong too."""
        for p, run in self.planted:
            if self._explains(run):
                yield _candidate(p, self.wrong, "; the claims that are right were derived without it")

    def _explains(self, run: Mapping[int, Any]) -> bool:
        """Whether a backward pass gives all the wrong claims."""
        return all(c.line in run and c.fits(run[c.line]) for c in self.wrong)

    def _explained(self, run: Mapping[int, Any]) -> list[Claim]:
        return [c for c in self.wrong if c.line in run and c.fits(run[c.line])]

    def _kept(self, run: Mapping[int, Any]) -> Callable[[Claim], bool]:
        return lambda c: c.line not in run or c.fits(run[c.line])

    def _last_digit(self) -> Iterator[Candidate]:
        same = [c for c in self.wrong if c.value.shape == c.right.shape]
        off = [c for c in same if np.all(np.abs(c.value - c.right) <= 3.01 * c.tolerance)]  # half a unit is right
        told = [np.all((np.abs(c.right) > 20 * c.tolerance) | (np.abs(c.value - c.right) <= c.tolerance)) for c in off]
        if off == self.wrong and all(told):
            yield _candidate(_said(OTHER["last digit"].name, self.wrong, OTHER["last digit"].says), self.wrong)

    def _factors(self) -> Iterator[Candidate]:
        right = {id(c): c.right for c in self.wrong}
        for name, says in self._multiples(right):
            yield _candidate(_said(name, self.wrong, f"{_capital(says)} in {self._derivatives(self.wrong)}"), self.wrong)

    def _multiples(self, of: Mapping[int, Array]) -> Iterator[tuple[str, str]]:
        """The factors that the wrong claims are too large by."""
        if any(of[id(c)].shape != c.value.shape or not np.any(c.value) for c in self.wrong):
            return
        n, m = (self.anatomy.samples, self.anatomy.outputs) if self.anatomy.layers else (1, 1)
        signs = ((1.0, "", ""), (-1.0, "sign flipped and ", "the sign is flipped, and "))
        tried = {1.0}
        for sign, before, said in signs:
            for f in FACTORS:
                c = sign * f.value(n, m)
                plain = f.name == "sign flipped"
                if (sign < 0 and plain) or (abs(c) == 1 and not plain) or not self._possible(f):
                    continue
                if all(_near(x, c * of[id(x)]) for x in self.wrong):
                    tried.add(c)
                    yield before + f.name, said + f.says.format(n=n, m=m, nm=n * m)

    def _possible(self, f: Factor) -> bool:
        return f.name != "loss of another name" or (bool(self.anatomy.layers) and self.anatomy.squared is not None)

    # -- two mistakes --------------------------------------------------------------------------------------------

    def _rounded(self) -> Iterator[Candidate]:
        """One mistake in numbers read off a page, the last digit of which is off as well."""
        if any(np.any(np.abs(c.value) < 200 * c.tolerance) for c in self.wrong):  # so few digits agree by chance
            return
        wider = [replace(c, tolerance=3.01 * c.tolerance) for c in self.wrong]
        for p, run in self.planted:
            if all(c.line in run and c.fits(run[c.line]) for c in wider) and all(map(self._kept(run), self.sound)):
                yield _candidate(p + _said(OTHER["last digit"].name, self.wrong, OTHER["last digit"].says), self.wrong)

    def _apart(self) -> Iterator[Candidate]:
        """Two mistakes that explain different claims."""
        each = [(p, run, self._explained(run)) for p, run in self.planted]
        each = [(p, run, found) for p, run, found in each if found]
        for (p, _, a), (q, _, b) in itertools.islice(itertools.combinations(each, 2), 10 * PAIRS):
            if not p.meets(q) and len({id(c) for c in (*a, *b)}) == len(self.wrong):
                yield _candidate(p + q, self.wrong)
                return

    def _scaled(self) -> Iterator[Candidate]:
        """A mistake and a factor."""
        for p, run in self.planted:
            shaped = [c for c in self.wrong if c.line in run and np.shape(run[c.line]) == self.program.lines[c.line].shape]
            found = {id(c): c.part(run[c.line]) for c in shaped}
            if len(found) == len(self.wrong) and all(map(self._kept(run), self.sound)):
                for name, says in self._multiples(found):
                    yield _candidate(p + _said(name, self.wrong, _capital(says)), self.wrong)

    def _together(self) -> Iterator[Candidate]:
        """Two mistakes in one derivation; after the first pair that does, a few more are tried."""
        left = PAIRS
        for p, q in self._pairs():
            result = self._run(p + q)
            if result is not None and self._explains(result) and all(map(self._kept(result), self.sound)):
                yield _candidate(p + q, self.wrong)
                left = min(left, MORE)
            left -= 1
            if left <= 0:
                return

    def _pairs(self) -> Iterator[tuple[Planted, Planted]]:
        """Pairs that might do: one that explains some claims with one that leaves these alone, then the common ones."""
        told = [(p, solved) for p, run in self.planted if (solved := self._explained(run))]
        for p, solved in sorted(told, key=lambda pair: -len(pair[1])):
            for q, run in self.planted:
                if not p.meets(q) and all(self._untouched(run, c) for c in solved):
                    yield p, q
        plain = [p for p, _ in sorted(self.planted, key=lambda pair: -len(self._explained(pair[1])))]
        yield from ((p, q) for i, q in enumerate(plain) for p in plain[:i] if not p.meets(q))

    def _untouched(self, run: Mapping[int, Any], c: Claim) -> bool:
        """Whether a mistake says nothing about a claim."""
        if c.line not in run:
            return True
        try:
            part = c.part(run[c.line])
        except IndexError:
            return False
        return part.shape == c.right.shape and bool(np.allclose(part, c.right, rtol=1e-9, atol=0))

    # -- what the numbers themselves say --------------------------------------------------------------------------

    def _entries(self) -> Iterator[Candidate]:
        """Right numbers in wrong places: in a whole array, or in elements of one."""
        whole = [c for c in self.wrong if c.index is None and c.value.ndim]
        if any(c.line != self.wrong[0].line for c in self.wrong):
            return
        if len(self.wrong) == 1 and whole:
            said = self._moved(self.wrong[0])
        else:
            said = self._exchanged() if all(c.index is not None for c in self.wrong) else None
        if said is not None:
            yield _candidate(_said(OTHER["entries exchanged"].name, self.wrong, said), self.wrong)

    def _moved(self, c: Claim) -> str | None:
        """What happened to the entries of an array."""
        if c.value.size == c.right.size and c.value.ndim == 2 and _near(c, c.right.T):
            return f"d{self._output}/d{c.of} is transposed"
        if c.value.shape != c.right.shape or not _permuted(c.value.ravel(), c.right.ravel(), c.tolerance):
            return None
        moved = np.flatnonzero(np.abs(c.value - c.right).ravel() > np.broadcast_to(c.tolerance, c.value.shape).ravel())
        names = [n or str(i) for i, n in enumerate(element_names(self.program.names[c.line], c.right.shape))]
        return OTHER["entries exchanged"].says.format(exchanged=listed([names[i] for i in moved]))

    def _exchanged(self) -> str | None:
        """The same for claims about single elements, which have the values of others."""
        line = self.program.lines[self.wrong[0].line]
        rest = self.program.gradients[line.index]
        if not all(any(_near(c, other) for other in rest.flat) for c in self.wrong):
            return None
        if len(self.wrong) > 1:
            return OTHER["entries exchanged"].says.format(exchanged=listed([c.name for c in self.wrong]))
        k = next(i for i, other in enumerate(rest.flat) if _near(self.wrong[0], other))
        return f"This is d{self._output}/d{element_names(line.name, rest.shape)[k]}"

    def _added(self) -> Iterator[Candidate]:
        """A multiple of the weight itself, added to its gradient."""
        if any(c.value.shape != c.right.shape for c in self.wrong):
            return
        values = [c.part(self.program.lines[c.line].value) for c in self.wrong]
        each = [
            (np.ravel(w), np.ravel(x.value - x.right), np.ravel(np.broadcast_to(x.tolerance, x.value.shape)))
            for x, w in zip(self.wrong, values, strict=True)
        ]
        w, extra, off = map(np.concatenate, zip(*each, strict=True))
        if len(w) < 3 or not np.all(w):
            return
        low, high = np.max((extra - np.sign(w) * off) / w), np.min((extra + np.sign(w) * off) / w)
        if low <= high < low + 0.01 * abs(low):
            c = float(low + high) / 2
            mistake = OTHER["weight decay for momentum"]
            yield _candidate(_said(mistake.name, self.wrong, mistake.says.format(c=float(f"{c:.4g}"))), self.wrong)

    def _quantities(self) -> Iterator[Candidate]:
        """The ratio of claim to gradient as a product of quantities of the graph."""
        from tinygrad_bp.check.ratios import products

        if any(c.value.shape != c.right.shape for c in self.wrong):
            return
        for text in products(self.anatomy, self.wrong, CHANCE):
            says = OTHER["missing or doubled factor"].says.format(k=text) + f" in {self._derivatives(self.wrong)}"
            yield _candidate(_said("missing or doubled factor", self.wrong, says), self.wrong)

    # -- without a candidate ---------------------------------------------------------------------------------------

    @property
    def _output(self) -> str:
        return self.program.output.name or "L"  # as in a derivation

    def _derivatives(self, claims: Sequence[Claim]) -> str:
        return listed([f"d{self._output}/d{c.of}" for c in claims])

    def _extent(self) -> str:
        """How far, going back from the loss, the claims are right."""
        first = max(self.wrong, key=lambda c: c.line)
        before = [c for c in self.sound if c.line > first.line]
        lines = ["No mistake of the catalogue explains this."]
        if before:
            lines.append(f"Going back from {self._output}, {self._derivatives(before)} is still right.")
        lines.append(f"The first that disagrees is d{self._output}/d{first.of}{_off(first)}.")
        return "\n".join(lines)

    def _hidden(self) -> str:
        """What right numbers hide: with two numbers in all, two losses have one derivative."""
        N = self.anatomy
        if self.claims and N.layers and N.squared is not None and N.samples * N.outputs == 2:
            return ("The claims are right. Of two numbers half the sum of squares equals the mean,\n"
                    "so they do not tell which was meant; with N numbers the factor is 2/N.")  # fmt: skip
        return ""


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 79, subsequent_indent="  " * line.startswith("- "), break_long_words=False, break_on_hyphens=False)


def _near(c: Claim, other: Any) -> bool:
    other = np.asarray(other)
    return c.value.shape == other.shape and bool(np.all(np.abs(c.value - other) <= np.maximum(c.tolerance, 1e-9 * np.abs(c.value))))


def _permuted(a: Array, b: Array, tolerance: Any) -> bool:
    return bool(np.all(np.abs(np.sort(a) - np.sort(b)) <= np.max(tolerance))) and bool(np.ptp(b) > 4 * np.max(tolerance))


def _off(c: Claim) -> str:
    if c.value.shape != c.right.shape:
        return f": its shape is {c.right.shape}, and the claim's is {c.value.shape}{_broadcast(c)}"
    if not np.all(np.isfinite(c.value)):
        return ": the claim is not a finite number"
    if not np.any(c.value):
        return ": the claim is zero"
    there = c.right != 0
    stray = "" if np.array_equal(c.value[~there], c.right[~there]) else ", and the claim is not zero where the right one is"
    if not np.any(there):
        return ": the right one is zero"
    ratios = c.value[there] / c.right[there]
    if np.ptp(ratios) <= 1e-3 * abs(ratios[0]):
        return f": claim / right = {ratios[0]:.10g}{stray}"
    worst = ratios[np.argmax(np.abs(c.value - c.right)[there])]
    return f": claim / right is between {np.min(ratios):.4g} and {np.max(ratios):.4g}, and {worst:.4g} where it is most off{stray}"


def _broadcast(c: Claim) -> str:
    """What NumPy would hide."""
    try:
        np.broadcast_shapes(c.value.shape, c.right.shape)
    except ValueError:
        return ""
    same = bool(np.all(np.abs(c.value - c.right) <= np.max(c.tolerance, initial=0.0)))
    return "; by broadcasting alone they agree" if same else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _said(name: str, wrong: Sequence[Claim], sentence: str) -> Planted:
    return Planted((name,), tuple(c.name for c in wrong), sentence)


def _candidate(p: Planted, explains: Sequence[Claim], more: str = "") -> Candidate:
    return Candidate(p.mistakes, p.places, p.sentence + more, tuple(c.name for c in explains))


def _distinct(found: Iterable[Candidate]) -> list[Candidate]:
    """Each mistake once, at the first of its places that explain the claims."""
    first: dict[tuple[str, ...], Candidate] = {}
    for c in found:
        first.setdefault(c.mistakes, c)
    return list(first.values())
