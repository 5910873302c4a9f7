"""A Program made fit for reading: what would make formulas long, or be written twice, gets a short name of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tinygrad_bp.explain.notation import renamed
from tinygrad_bp.explain.structure import REARRANGED, Structure
from tinygrad_bp.program import Line, Program
from tinygrad_bp.rule import RULES

POSITIVE = RULES[np.positive]
LONG = 14  # operations in a formula, more than which nobody reads at once


def legible(program: Program, every: bool = False) -> Program:
    """The Program with a name for each line that a reader has to be able to point at; ``every``: for all of them.

    Names that are there stay. The rest are those under which the Program prints the line (t1, t2, ...), ``L`` for an
    output without a name, ``z1, a1, z2, ...`` for the layers of a network, and ``c1, c2, ...`` for arrays of data.
    """
    structure = Structure(program)
    taken = {str(line.name) for line in program.lines if line.name is not None}
    names: dict[int, str] = {}

    def name(place: int, wanted: str) -> None:
        if place not in names and program.lines[place].name is None:
            names[place] = wanted if wanted not in taken else program.names[place]
            taken.add(names[place])

    if len(program.outputs) == 1:
        name(program.outputs[0], "L")
    for l, layer in enumerate(structure.layers, 1):
        if program.lines[layer.out].name is None:
            name(layer.net, f"z{l}")
            name(layer.out, f"a{l}")
    for net in structure.nets:  # the weighted input of out_h is net_h, that of h1 is net_h1
        out = program.lines[structure.activated(net)].name
        if out is not None:
            name(net, f"net_{out.removeprefix('out_')}")
    arrays = [line.index for line in program.lines if line.rule is None and line.name is None and not line.tracked and line.shape]
    for place in arrays:
        name(place, program.names[place])
    for place in _unreadable(program, structure, names, every):
        name(place, program.names[place])
    return renamed(program, names)


def _unreadable(program: Program, structure: Structure, names: dict[int, str], every: bool) -> Iterator[int]:
    size: dict[int, int] = {}
    for line in program.lines:
        known = line.rule is None or line.name is not None or line.index in names
        size[line.index] = 1 if known else (line.rule is not POSITIVE) + sum(size[i] for i in line.operands)
        if known or line.rule is None:
            continue
        shared = len(structure.users[line.index]) > 1 and line.rule.name not in REARRANGED
        if every or shared or twice_read(line) or line.index in structure.nets or size[line.index] > LONG:
            size[line.index] = 1
            yield line.index


def twice_read(line: Line) -> bool:
    """Whether its rule may read what comes back to it more than once, as that of softmax does."""
    return line.rule is not None and line.rule.kind == "general" and line.shape != () and line.rule.name != "linear"


def settled(program: Program) -> tuple[Program, bool]:
    """The Program without the choices that fall the same way for every element, and whether there were any.

    Guards against 0 log 0 and the like are such, as long as they guard against nothing.
    """
    changed = {line.index: chosen for line in program.lines if (chosen := _choice(program, line)) is not None}
    lines = tuple(
        replace(line, rule=POSITIVE, operands=(changed[line.index],), params=None) if line.index in changed else line
        for line in program.lines
    )
    return replace(program, lines=lines), bool(changed)


def _choice(program: Program, line: Line) -> int | None:
    """The one operand that all elements of a choice come from."""
    name = line.rule.name if line.rule else ""
    if name not in ("where", "maximum", "minimum"):
        return None
    values = [program.lines[i].value for i in line.operands]
    if name == "where":
        chosen = 1 if np.all(values[0]) else 2 if not np.any(values[0]) else None
    else:  # a bound of zero is a relu, which is no mere guard
        bounded = program.lines[line.operands[1]].constant and values[1].ndim == 0 and values[1] != 0
        within = values[0] > values[1] if name == "maximum" else values[0] < values[1]
        chosen = 0 if bounded and np.all(within) else None
    return line.operands[chosen] if chosen is not None and values[chosen].shape == line.shape else None
