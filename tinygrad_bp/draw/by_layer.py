"""Both passes of a network with a box per layer: what it computes on the left, and on the right what the error does on its way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp.draw.boxes import BOX, alike, between, heading
from tinygrad_bp.draw.drawing import Canvas, Drawing
from tinygrad_bp.draw.labels import (
    BLUE,
    GRADIENT,
    GREEN,
    GREY,
    PURPLE,
    SKY,
    VERMILLION,
    Cell,
    Label,
    Number,
    Run,
    Show,
    bold,
    caption,
    coloured,
    folded,
    measure,
    stack,
    table,
    tint,
)
from tinygrad_bp.draw.layers import usual_names
from tinygrad_bp.draw.narration import Narration
from tinygrad_bp.draw.neurons import Network
from tinygrad_bp.expression import Expression, format_number
from tinygrad_bp.letters import SUM, delta_of, places, spoken

WIDEST = 27.0  # of a formula, in parts of the font's size; of a longer one the value alone is given
FORWARD = {"color": BLUE, "fillcolor": "#FFFFFF"}
LAST = {"color": GREEN, "fillcolor": tint(GREEN)}
BACKWARD = {"color": VERMILLION, "fillcolor": "#FFFFFF"}
GOAL = {"color": VERMILLION, "fillcolor": tint(VERMILLION), "penwidth": "3"}
BACK = {"color": VERMILLION, "penwidth": "2.2", "dir": "back", "weight": "9"}


class ByLayer:
    """The picture of both passes, or of the way back alone, from the loss down to the first layer that is asked about.

    ``goal``: what the way back leads to, as (name, layer, line and index of the number); None for everything.
    """

    def __init__(self, net: Network, show: Show | None, forward: bool, goal: tuple[str, int, Number] | None = None) -> None:
        self.net, self.show, self.forward, self.goal = net, show, forward, goal
        program = spoken(net.program)
        usual = usual_names(program)
        lines = tuple(
            replace(line, name=usual[line.index], constant=False) if line.name is None and line.index in usual else line for line in program
        )
        self.program = replace(program, lines=lines)
        self.say = Narration(self.program, net.digits)
        self.top = self.program.names[self.program.output.index]
        self.first = 0 if goal is None else max(goal[1], 0)  # the lowest layer that is drawn

    def draw(self) -> Drawing:
        shown = list(alike(self.net, self.first))
        words = [
            f"delta: d({self.top}) / d(weighted sum)",
            "beside each array its least and its greatest element",
            *folded(places(self.program)),
        ]
        graph = {"rankdir": "TB", "ranksep": "0.25", "nodesep": "0.4"}
        self.canvas = Canvas(caption(*words), graph, {"fontsize": "10"}, {}, self.show)
        (self.two_columns if self.forward else self.one_column)(shown)
        what = (
            "Both passes" if self.forward else f"How the error flows back from {self.top} to {self.goal[0] if self.goal else 'all weights'}"
        )
        return self.canvas.drawing(f"{what}, a box per layer")

    # -- how it is drawn -------------------------------------------------------------------------------------------

    def one_column(self, shown: Sequence[tuple[int | None, int]]) -> None:
        """From the loss at the top, back to the first layer at the bottom."""
        above = self.loss()
        for k, count in reversed(shown):
            below = self.more(count) if k is None else self.backward(k)
            self.canvas.edge(above, below, style=BACK | {"dir": "forward"})
            above = below

    def two_columns(self, shown: Sequence[tuple[int | None, int]]) -> None:
        """Forward down the left, and back up the right; a dashed line goes to where values are read again."""
        x = self.program.lines[self.net.layers[0].x]
        what = stack(bold(self.program.names[x.index]), Run(f"{self.net.width(0)} units"))
        left = self.canvas.node(what, BOX | {"color": SKY, "fillcolor": tint(SKY)}, id="input")
        right = ""
        for k, count in shown:
            row = self.canvas.frame({"rank": "same"}, plain=True)
            ahead = self.more(count, row) if k is None else self.ahead(k, row)
            back = self.more(count, row) if k is None else self.backward(k, row)
            self.canvas.digraph.subgraph(row)
            self.canvas.edge(left, ahead, style={"weight": "9"})
            self.canvas.edge(ahead, back, style={"style": "dashed"} if k is not None else {"style": "invis"})
            if right:
                self.canvas.edge(right, back, style=BACK)
            left, right = ahead, back
        end = self.loss()
        self.canvas.edge(left, end, style={"weight": "9"})
        self.canvas.edge(right, end, style=BACK)

    def loss(self) -> str:
        output = self.program.output
        value = Run(format_number(output.value.item(), self.net.digits), number=Number(output.index))
        return self.canvas.node(
            stack(bold(self.top), value), BOX | {"color": PURPLE, "fillcolor": tint(PURPLE), "peripheries": "2"}, id="loss"
        )

    def more(self, count: int, row: Any = None) -> str:
        return self.canvas.node(stack(coloured(f"... {count} more of the same", GREY)), {"shape": "plaintext"}, within=row)

    def ahead(self, k: int, row: Any) -> str:
        """The box of what a layer computes."""
        rows = [self.row(str(self.say.forward(place)[0].names[0]), self.program.definition(place), place) for place in self.results(k)]
        style = BOX | (LAST if k + 1 == len(self.net.layers) else FORWARD)
        return self.canvas.node(self.label(bold(heading(self.net, k)), rows), style, id=f"layer-{k}", within=row)

    def backward(self, k: int, row: Any = None) -> str:
        """The box of what the error does in a layer: what arrives, its delta, and the gradients of what it learns."""
        layer = self.net.layers[k]
        goal = self.goal if k == self.first else None
        passed = [*self.after(k), *reversed(self.results(k))]
        learned = [] if self.goal else [i for i in (layer.weight, layer.bias) if i is not None]
        rows = [self.derivative(place) for place in (*passed, *learned) if place in self.program.gradients]
        if goal:
            name, _, number = goal
            rows += [self.derivative(number.place)] if number.index is None and number.place not in passed else []
            if number.index is not None:
                value = self.text(self.program.gradients[number.place][number.index])
                rows.append((bold(f"d{self.top}/d{name}"), Run(value, True, GRADIENT, replace(number, gradient=True))))
        return self.canvas.node(
            self.label(bold(f"back through layer {k + 1}"), rows), BOX | (GOAL if goal else BACKWARD), id=f"back-{k}", within=row
        )

    @staticmethod
    def label(title: Run, rows: Sequence[tuple[Run, ...]]) -> Label:
        cells: list[Sequence[Cell]] = [((title,),), *(tuple((run,) for run in row) for row in rows)]
        return replace(table(cells), left=True)

    # -- what it says ------------------------------------------------------------------------------------------------

    def results(self, k: int) -> list[int]:
        layer = self.net.layers[k]
        return list(dict.fromkeys((layer.net, layer.out)))

    def after(self, k: int) -> list[int]:
        """The named results between the last layer and the loss, newest first."""
        if k + 1 < len(self.net.layers):
            return []
        out = self.net.layers[-1].out
        return [i for i in sorted(self.program.named, reverse=True) if out < i < self.program.output.index and self.program.lines[i].rule]

    def row(self, name: str, formula: Expression | None, place: int, gradient: bool = False) -> tuple[Run, ...]:
        """name = formula, and beside it between which bounds the numbers are."""
        value = self.program.gradients[place] if gradient else self.program.lines[place].value
        words = "" if formula is None else formula.text(lambda x: self.deltas.get(x.name, x.name or format_number(x.value)))
        words = f"{name} = {words}" if words and measure(words) < WIDEST else name
        colour = GRADIENT if gradient else ""
        return Run(words), Run(self.text(value), colour=colour, number=Number(place, gradient=gradient))

    def derivative(self, place: int) -> tuple[Run, ...]:
        (said,) = self.say.backward(place)
        formula = said.formula if said.formula.function is not None or said.formula.name else None
        return self.row(str(said.names[0]), formula, place, gradient=True)

    @cached_property
    def deltas(self) -> dict[str, str]:
        """Name of a derivative by a weighted sum -> its delta."""
        sums = [i for i in self.program.named if (found := SUM.fullmatch(self.program.names[i])) and found[1]]
        return {self.say.gradient(i).name: delta_of(self.program.names[i]) for i in sums}

    def text(self, value: Any) -> str:
        digits = min(self.net.digits, 4)
        return format_number(np.reshape(value, ()), digits) if np.size(value) == 1 else between(np.asarray(value), digits)
