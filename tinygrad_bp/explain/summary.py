"""A Program of many thousand lines in a page: what its layers are, what they compute, and what comes back to their weights."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from tinygrad_bp.explain.document import Block, Heading, Sentence, Table, by
from tinygrad_bp.explain.structure import Structure
from tinygrad_bp.expression import format_number
from tinygrad_bp.program import Line, Program

ROWS = 30


@dataclass(frozen=True)
class Part:
    """Lines that follow one another, from one that reads a parameter up to the next such."""

    lines: Sequence[Line]
    parameters: tuple[int, ...]

    @property
    def kind(self) -> tuple[Any, ...]:
        """What is alike in parts that do the same."""
        return tuple(line.rule.name for line in self.lines if line.rule), self.lines[-1].shape


def summary(program: Program, every: int = ROWS) -> Iterator[Block]:
    """A table of the parts; parts in a row that do the same share a line, and so do those beyond ``every``."""
    operations = sum(line.rule is not None for line in program.lines)
    top = program.names[program.outputs[0]]
    yield Heading.of(f"d{top}, a summary")
    value = format_number(program.output.value.item(), 6)
    yield Sentence.of(
        f"{operations} operations lead to {top} = {value}, from the first layer to the last. A layer begins where a parameter is "
        "read; layers that do the same, one after the other, share a line. |g| is the greatest absolute value in the "
        "derivative, by the layer's result or by the parameter."
    )
    rows: list[tuple[str, ...]] = []
    for _, alike in groupby(parts(program), key=lambda part: part.kind):
        rows.append(row(program, list(alike)))
    if len(rows) > every:
        rows = [*rows[: every // 2], ("...", f"{len(rows) - every // 2 * 2} more lines", "", "", ""), *rows[-(every // 2) :]]
    yield Table(("layers", "operations", "result", "|g|", "parameters, each with its |g|"), tuple(rows))
    yield Sentence.of(
        "One sweep back, newest first, gives all of these: every operation is visited once, whatever the number of paths. "
        'style="matrices" writes all of it out; a smaller network of the same kind is easier to read.'
    )


def parts(program: Program) -> Iterator[Part]:
    """The layers, oldest first: one begins where a parameter is read after operations that read none."""
    structure = Structure(program)
    lines: list[Line] = []
    read: dict[int, None] = {}
    reading = True
    for line in program.lines:
        if line.rule is None:
            continue
        parameters = [structure.source(i) for i in line.operands if structure.learned(i)]
        if parameters and not reading:
            yield Part(lines, tuple(read))
            lines, read = [], {}
        reading = bool(parameters)
        lines.append(line)
        read |= dict.fromkeys(parameters)
    if lines:
        yield Part(lines, tuple(read))


def row(program: Program, alike: list[Part]) -> tuple[str, ...]:
    """What the table says of layers in a row that do the same: of their parameters, the first and the last ones."""
    counts = Counter(line.rule.name for line in alike[0].lines if line.rule)
    done = textwrap.shorten(", ".join(name if k == 1 else f"{k} {name}" for name, k in counts.items()), 30, placeholder=" ...")
    last = alike[-1].lines[-1]
    ends = alike[:1] if len(alike) == 1 else [alike[0], alike[-1]]
    return (
        str(len(alike)),
        done,
        by(last.shape) or "number",
        greatest(program, last.index),
        " ... ".join(
            textwrap.shorten(", ".join(f"{program.names[i]} {greatest(program, i)}" for i in part.parameters), 40) for part in ends
        ),
    )


def greatest(program: Program, place: int) -> str:
    g = program.gradients.get(place)
    return "-" if g is None or not np.size(g) else format_number(float(np.max(np.abs(g))), 3)
