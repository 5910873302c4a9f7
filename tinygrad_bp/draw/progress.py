"""Training as a sequence of pictures: the network after every so many updates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.networks import network
from tinygrad_bp.draw.passes import suitable
from tinygrad_bp.draw.steps import MOST, Picture, Step, Steps
from tinygrad_bp.errors import GraphError
from tinygrad_bp.expression import format_number
from tinygrad_bp.letters import spoken
from tinygrad_bp.optim import Optimizer
from tinygrad_bp.program import Program, element_names
from tinygrad_bp.tensor import Tensor


def training(
    loss: Callable[[], Tensor], optimizer: Optimizer, updates: int, every: int = 1, digits: int = 6, picture: Picture | None = None
) -> Steps:
    """Training as a sequence of pictures: the network at the start, and after every so many updates.

    ``loss``: a function without arguments that runs the network and returns its scalar loss. ``optimizer``: what
    updates the weights. ``updates``: how many updates there are, of which each ``every``-th and the last are shown.
    ``picture``: as for ``steps``; the network has edges as wide as their weights are large. The weights are left as they
    are after the last update. Raises ``GraphError`` for more pictures than anyone watches, ``ValueError`` for none.

    >>> from tinygrad_bp import optim
    >>> from tinygrad_bp.worked import step_by_step
    >>> model = step_by_step.network()
    >>> sgd = optim.SGD(model.parameters(), lr=0.5)
    >>> print(training(lambda: step_by_step.forward(model), sgd, updates=20, every=10)[1])
    After 10 updates
    E_total is 0.175238; at the start it was 0.298371. Since the last picture b2 moved most, from 0.6 to 0.126332.
    """
    if updates < 1 or every < 1:
        raise ValueError(f"updates and every are at least 1; got {updates} and {every}")
    shown = sorted({*range(0, updates + 1, every), updates})
    if len(shown) > MOST:
        raise GraphError(f"these are {len(shown)} pictures, and {MOST} are the most that are drawn. Show fewer with a larger every=")
    programs: list[Program] = []
    for n in range(updates + 1):
        output = loss()
        if n in shown:
            programs.append(Program.of(output))
        if n < updates:
            optimizer.zero_grad()
            output.backward()
            optimizer.step()
    picture = picture or suitable(programs[0])
    programs = [spoken(program, layers=picture is not network) for program in programs]
    options = {"digits": digits} | ({"by_weight": True, "weights": True} if picture is network else {})
    drawings = _steady([picture(program, **options) for program in programs])
    words = [_progress(before, program, programs[0], digits) for before, program in zip([None, *programs], programs, strict=False)]
    titles = [f"After {n} update{'s' * (n != 1)}" if n else "Start" for n in shown]
    return Steps(
        f"{programs[0].names[programs[0].output.index]} in training",
        (Step(title, None, text, (), drawing) for title, text, drawing in zip(titles, words, drawings, strict=True)),
    )


def _progress(before: Program | None, program: Program, first: Program, digits: int) -> str:
    """What has become of the loss, and which weight moved most."""
    name = program.names[program.output.index]
    now, then = (format_number(p.output.value.item(), digits) for p in (program, first))
    if before is None:
        return f"{name} is {now}."
    moves = [
        (abs(new - old), weight, old, new)
        for line in program
        if line.tracked and line.rule is None
        for weight, old, new in zip(
            element_names(program.names[line.index] if line.name is None else line.name, line.shape),
            before.lines[line.index].value.flat,
            line.value.flat,
            strict=True,
        )
    ]
    _, weight, old, new = max(moves, key=lambda move: move[0])
    old, new = format_number(old, digits), format_number(new, digits)
    return f"{name} is {now}; at the start it was {then}. Since the last picture {weight} moved most, from {old} to {new}."


# of a node that has a place of its own, in the DOT text
PLACE = re.compile(r'(?<= pos=")[^"!]*(?=!")')
SIZES = (re.compile(r"(?<= height=)[\d.]+(?= id=)"), re.compile(r"(?<= width=)[\d.]+(?=\]$)"))


def _steady(drawings: Sequence[Drawing]) -> list[Drawing]:
    """The same pictures with each pinned node at one place and of one size in all, so that nothing moves when numbers grow.

    The places are those of the widest picture, the sizes the largest. Where the layout program finds the places, they stay.
    """
    copies = [drawing.to_graphviz() for drawing in drawings]
    bodies = [copy.body for copy in copies]
    if len(set(map(len, bodies))) > 1:
        return list(drawings)
    widest = max(bodies, key=lambda body: max((float(place.split(",")[0]) for line in body for place in PLACE.findall(line)), default=0.0))
    for k, pinned in enumerate(widest):
        if place := PLACE.search(pinned):
            changes = [(PLACE, place[0])]
            for size in SIZES:
                changes += [(size, max((x for body in bodies for x in size.findall(body[k].rstrip())), key=float))]
            for body in bodies:
                for pattern, text in changes:
                    body[k] = pattern.sub(text, body[k].rstrip()) + "\n"
    return [replace(drawing, digraph=copy) for drawing, copy in zip(drawings, copies, strict=True)]
