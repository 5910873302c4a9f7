"""The letters in which readers speak of a module's parameters and layers: ``0.weight`` is W1, ``0.bias`` b1, their sum z1.

A parameter's name is its place in the modules, which a program needs and no derivation can be read with. Pictures,
derivations and checks speak of it with the letter that textbooks use, and say once which place that is.

>>> from tinygrad_bp import Tensor, nn
>>> model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=0))
>>> program = spoken(Program.of(model(Tensor([0.1, 0.2], name="x"))))
>>> [name for name in program.names]
['W1', 'b1', 'W2', 'b2', 'x', 'z1', 'a1', 'z2']
>>> print(places(program))
W1 = 0.weight, b1 = 0.bias, W2 = 2.weight, b2 = 2.bias
>>> program.place("2.weight") == program.place("W2")
True
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.program import Line, Program

PATH = re.compile(r"(?P<module>[^\s.]+(?:\.[^\s.]+)*)\.(?P<word>[A-Za-z_]\w*)")
SUM = re.compile(r"(?:net|z)(?=$|[_^\d])(.*)")  # what a weighted sum is called
NO_ACTIVATIONS = (np.negative, np.positive, np.square)  # functions of one argument that belong to what comes after a layer
TURNS = (np.transpose, np.swapaxes, np.reshape)
LEARNED = ("weight", "bias")  # words of parameters, also of those that are frozen
LISTED = 8  # letters that a legend says one by one


def spoken(program: Program, layers: bool = True) -> Program:
    """The Program with a letter for each parameter that is named by its place in a module.

    A matrix is W, the bias beside it b, a scale and a shift of one shape, as normalisations have them, gamma and beta;
    other words stay. The number is that of the layer, counted in the order of use. ``layers``: what nobody has named
    is called too, a layer's weighted sum z and what its activation makes of it a, with the same number. Where somebody
    has used a letter already, the place remains.
    """
    names = _Letters(program).names(layers)
    lines = tuple(
        replace(line, name=names[line.index], path=line.name if line.rule is None else None) if line.index in names else line
        for line in program.lines
    )
    return replace(program, lines=lines) if names else program


def places(program: Program, said: Collection[str] | None = None) -> str:
    """``W1 = 0.weight, b1 = 0.bias``: the place of each letter; with ``said`` of those that stand, or have elements, among these."""
    return ", ".join(f"{letter} = {path}" if path else letter for letter, path in entries(program, said))


def entries(program: Program, said: Collection[str] | None = None) -> list[tuple[str, str]]:
    """(letter, place) of what a legend says; of many the first and the last, with dots between."""
    found = [(program.names[line.index], line.path) for line in program.lines if line.path]
    modules: dict[str, int] = {}
    found.sort(key=lambda entry: modules.setdefault(entry[1].rpartition(".")[0], len(modules)))  # a frozen bias comes last otherwise
    if said is not None:
        heads = {head for name in said for head in (name, name.rpartition("_")[0], name.partition("[")[0])}
        heads |= {head.rpartition("_")[0] for head in heads}  # W1_2_10 is an element of W1 too
        found = [(letter, path) for letter, path in found if letter in heads]
    return found if len(found) <= LISTED else [*found[:4], ("...", ""), *found[-2:]]


def delta_of(name: str) -> str:
    """What the derivative by a weighted sum is called: ``net_h1`` has ``delta_h1``, ``net2`` ``delta2``, ``z^3`` ``delta^3``."""
    found = SUM.fullmatch(name)
    return f"delta{found[1]}" if found else f"delta_{name}"


class _Letters:
    """Which line of a Program gets which letter."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.readers: dict[int, list[Line]] = {line.index: [] for line in program}
        for line in program:
            for i in dict.fromkeys(line.operands):
                self.readers[i].append(line)

    def names(self, layers: bool) -> dict[int, str]:
        """Line -> letter with its number, unless somebody has given that name."""
        found: dict[int, str] = {}
        given = [line for line in self.program if line.name is not None]
        taken = {str(name) for line in given for name in (line.name, *getattr(line.name, "elements", ()))}
        arrays = {str(line.name) for line in given if line.shape and not getattr(line.name, "elements", ())}

        def give(place: int, letter: str, number: int, rest: str = "") -> None:
            name = f"{letter}{'_' * letter[-1].isdigit()}{number}{rest}"
            if name not in taken and not (letter in arrays and not rest):  # W1 may be an element of W
                taken.add(name)
                found[place] = name

        for members, number in self.numbered:
            for line in members:
                head, _, rest = _words(line)[1].partition("_")
                letter = _letter(head, line, members)
                give(line.index, letter or _words(line)[1], number, f"_{rest}" if letter and rest else "")
            net = self.net(members) if layers else None
            out = None if net is None else self.activation(net)
            for result, letter in ((net, "z"), (out, "a")):
                if result is not None and result.name is None:
                    give(result.index, letter, number)
        return found

    @cached_property
    def modules(self) -> list[list[Line]]:
        """The parameters that are named by their places, module by module, and each other one alone, in the order of use."""
        leaves = [line for line in self.program if line.rule is None and (line.tracked or _words(line)[1] in LEARNED)]
        found: dict[tuple[str, int], list[Line]] = {}
        met: Counter[str] = Counter()  # two models may both have a 0.weight
        for line in sorted(leaves, key=lambda line: (min((user.index for user in self.readers[line.index]), default=0), line.index)):
            module, _ = _words(line)
            found.setdefault((module, met[str(line.name)]) if module else ("", -line.index), []).append(line)
            met[str(line.name)] += 1
        return list(found.values())

    @cached_property
    def numbered(self) -> list[tuple[list[Line], int]]:
        """Each module with its number: a layer has that of its matrix, whatever that is called; the others count by themselves."""
        counts = {"layer": 0, "scale": 0, "other": 0}
        found = []
        for members in self.modules:
            kind = _kind(members)
            placed = bool(_words(members[0])[0])
            if kind != "layer" or any(_is_weight(line) if placed else line.index in self.matrices for line in members):
                counts[kind] += 1
            if placed:
                found.append((members, max(counts[kind], 1)))
        return found

    @cached_property
    def matrices(self) -> set[int]:
        """The leaves that inputs are multiplied by: of x @ W the one on the right, if it is a matrix; x may be a leaf too."""
        found = set()
        for line in self.program:
            if line.rule is not None and line.rule.function in (np.matmul, functions.linear):
                factors = [self.untransposed(i) for i in reversed(line.operands[:2])]
                found |= {x.index for x in [x for x in factors if x.rule is None and len(x.shape) > 1][:1]}
        return found

    def untransposed(self, place: int) -> Line:
        line = self.program.lines[place]
        return self.program.lines[line.operands[0]] if line.rule is not None and line.rule.function is np.transpose else line

    def net(self, members: list[Line]) -> Line | None:
        """The weighted sum of a layer: x @ W.T + b, in one operation or in two, where it is computed once."""
        if _kind(members) != "layer" or not any(_is_weight(line) for line in members):
            return None
        own = {line.index for line in members}
        readers = [line for i in own for line in self.readers[i]]
        own |= {line.index for line in readers if line.rule is not None and line.rule.function in TURNS}  # W.T is W
        sums = sorted({line.index for i in own for line in self.readers[i]} - own)
        reads = [i for k in sums for i in self.program.lines[k].operands if i in own]
        chained = all(before in self.program.lines[after].operands for before, after in itertools.pairwise(sums))
        return self.program.lines[sums[-1]] if sums and chained and len(reads) == len(set(reads)) else None

    def activation(self, net: Line) -> Line | None:
        """The function that alone reads a weighted sum."""
        for user in self.readers[net.index] if len(self.readers[net.index]) == 1 else ():
            if user.rule is not None and user.shape == net.shape and len(user.rule.arguments) == 1:
                return user if user.rule.function not in NO_ACTIVATIONS else None
        return None


def _words(line: Line) -> tuple[str, str]:
    """The module that a parameter's name says it is in, or nothing, and the parameter's own word."""
    found = PATH.fullmatch(str(line.name))
    return (found["module"], found["word"]) if found else ("", str(line.name))


def _is_weight(line: Line) -> bool:
    """Whether a parameter is what a layer multiplies by."""
    return len(line.shape) > 1 or _words(line)[1].startswith("weight")


def _kind(members: list[Line]) -> str:
    """A layer multiplies by a matrix or has a bias; a scale and a shift of one shape are those of a normalisation."""
    shapes = {_words(line)[1]: line.shape for line in members}
    if shapes.get("weight") and shapes["weight"] == shapes.get("bias"):
        return "scale"
    return "layer" if "bias" in shapes or any(len(line.shape) > 1 for line in members) else "other"


def _letter(head: str, line: Line, members: list[Line]) -> str:
    """What a textbook calls it; nothing, if it has a word of its own."""
    if _kind(members) == "scale":
        return {"weight": "gamma", "bias": "beta"}.get(head, "")
    return {"weight": "W" if len(line.shape) > 1 else "w", "bias": "b"}.get(head, "")
