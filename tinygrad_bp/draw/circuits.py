"""The circuit: gates as circles, and on each wire the value above and the gradient below."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_bp.draw.drawing import Canvas, Drawing
from tinygrad_bp.draw.labels import (
    GRADIENT,
    GREY,
    LONGEST,
    PURPLE,
    Label,
    Number,
    Run,
    Show,
    bold,
    caption,
    folded,
    lines,
    short,
    stack,
    tint,
)
from tinygrad_bp.draw.layers import with_loss
from tinygrad_bp.draw.nodes import COMMUTATIVE, KINDS, formula, kind_of
from tinygrad_bp.errors import GraphError
from tinygrad_bp.expression import INFIX, format_number
from tinygrad_bp.letters import places, spoken
from tinygrad_bp.program import Line, Program
from tinygrad_bp.tensor import Tensor

GATES = 80  # the most that are drawn; a circuit is for graphs that can be followed by hand
GATE = {"class": "gate", "shape": "circle", "style": "filled", "color": PURPLE, "fillcolor": tint(PURPLE), "margin": "0.02"}
WIRE = {"class": "wire", "shape": "plain", "style": "filled", "fillcolor": "#FFFFFF"}
SIGNS: dict[Any, str] = {np.negative: "-", np.square: "**2"}
LONGEST_ROW = 4  # gates one after the other that are drawn from left to right; more would not fit a page
LETTERS = 8  # of a function's name that fit a circle
SMALL = {"margin": "0.06,0.03", "height": "0.2", "width": "0.2"}
FORK = {"class": "fork", "shape": "point", "width": "0.06", "color": GREY}


def circuit(
    output: Tensor | Program,
    digits: int = 4,
    *,
    gradients: bool = True,
    local: bool = False,
    down: bool | None = None,
    show: Show | None = None,
) -> Drawing:
    """Draw a small computation on single numbers as a circuit.

    Gates are circles; each wire has its value above it and d(output)/d(wire) below. What feeds several gates forks,
    and its gradient is written as the sum of those that come back. Arrays are taken apart into single numbers.
    ``output``: a scalar. ``digits``: significant digits. ``local``: write each gradient as the product that it is,
    what arrives at the gate times the gate's local derivative. ``gradients``: write gradients at all. ``down``: from
    top to bottom rather than from left to right; by default where more than four gates follow one another. ``show``: as
    in ``network``. Raises ``GraphError`` for more than 80 gates or an output that is no scalar.

    >>> import tinygrad_bp as tg
    >>> x, y = (tg.Tensor(v, requires_grad=True, name=n) for v, n in ((-2.0, "x"), (5.0, "y")))
    >>> picture = tg.draw.circuit(((x + y) * x).named("f"), local=True)
    >>> "-2 * 1 = -2" in picture.source, "-2 + 3 = 1" in picture.source
    (True, True)
    """
    program = with_loss(spoken(output if isinstance(output, Program) else Program.of(output)))
    if len(program.outputs) > 1 or program.output.value.size != 1:
        raise GraphError(f"the output has shape {program.output.shape}; a circuit ends in a single number. Take .sum() or .mean()")
    letters = places(program)
    if any(line.shape for line in program):
        program = program.scalars()
    gates = sum(line.rule is not None for line in program)
    if gates > GATES:
        raise GraphError(f"the circuit has {gates} gates, and {GATES} are the most that are drawn. tg.draw.graph draws larger graphs")
    return _Circuit(program, digits, gradients, local, _row(program) > LONGEST_ROW if down is None else down, letters, show).draw()


def _row(program: Program) -> int:
    """How many gates follow one another at most."""
    length: list[int] = []
    for line in program:
        length.append((line.rule is not None) + max((length[i] for i in line.operands), default=0))
    return max(length)


Read = tuple[int, int]  # a line, and which of its operands


class _Circuit:
    """One circuit on its way to the page."""

    def __init__(self, program: Program, digits: int, gradients: bool, local: bool, down: bool, letters: str, show: Show | None) -> None:
        self.program, self.digits, self.local = program, digits, local
        self.down = down
        self.into, self.out = ("n", "s") if down else ("w", "e")  # the sides at which wires meet what is written on them
        self.gradients = program.gradients if gradients else {}
        self.reads: dict[int, list[Read]] = {line.index: [] for line in program}  # line -> where it is read
        for line in program:
            for position, place in enumerate(line.operands):
                self.reads[place].append((line.index, position))
        self.gates: dict[int, str] = {}
        self.merged = {line.index: self.reads[line.index][0][0] for line in program if self.is_part_of_a_sum(line)}
        self.back = {read: found for reads in self.reads.values() for read in reads if (found := self.sent_back(*read))}
        note = f"on each wire: its value, below it d({short(program.names[program.output.index])}) / d(wire)" if gradients else ""
        layout = {"rankdir": "TB" if down else "LR", "nodesep": "0.12", "ranksep": "0.14" if down else "0.18"}
        words = caption(*([note] if note else []), *folded(letters))
        self.canvas = Canvas(words, layout, {"fontsize": "10"}, {"dir": "none", "fontsize": "8"}, show)

    def draw(self) -> Drawing:
        ends: dict[int, str] = {}  # line -> the node from which its wires go on
        for line in self.program:
            if line.rule is None:
                ends[line.index] = self.leaf(line)
                continue
            gate = self.gate(line)
            for position, place in enumerate(line.operands):
                if place not in self.merged:
                    self.wire(ends[place], gate, line, position)
            if line.index not in self.merged:
                ends[line.index] = self.result(line, gate)
        return self.canvas.drawing(f"Circuit of {self.program.names[self.program.output.index]}")

    # -- gradients -------------------------------------------------------------------------------------------------

    def sent_back(self, index: int, position: int) -> tuple[float, float] | None:
        """What arrives at a gate, and its local derivative by one of its operands."""
        line = self.program.lines[index]
        if index not in self.gradients or line.rule is None or self.program.lines[line.operands[position]].constant:
            return None
        operands = [self.program.values[i] for i in line.operands]
        slope = line.rule.derivative(position, np.ones_like(line.value), operands, line.value, line.params)
        return None if slope is None else (float(self.gradients[index]), float(np.sum(slope)))

    def gradient(self, line: Line) -> Run:
        """A line's gradient: of what several gates read, the sum of what they send back."""
        reads = [read for read in self.reads[line.index] if read in self.back]
        if line.index not in self.gradients:
            return Run("")
        if len(self.reads[line.index]) == 1 and reads:
            return self.part(reads[0], Number(line.index, (), True))
        text = format_number(self.gradients[line.index], self.digits)
        if len(reads) > 1:
            first, *others = [arrives * slope for arrives, slope in map(self.back.__getitem__, reads)]
            terms = [f"{'-' if part < 0 else '+'} {format_number(abs(part), self.digits)}" for part in others]
            written = f"{' '.join([format_number(first, self.digits), *terms])} = {text}"
            text = written if len(written) <= LONGEST else f"sum of {len(reads)} = {text}"  # a sum without its middle would be wrong
        return Run(text, colour=GRADIENT, number=Number(line.index, (), True))

    def part(self, read: Read, number: Number) -> Run:
        """What one gate sends back to one of its operands."""
        if read not in self.back:
            return Run("")
        arrives, slope = self.back[read]
        factors = f"{format_number(arrives, self.digits)} * {format_number(slope, self.digits)} = " if self.local else ""
        return Run(f"{factors}{format_number(arrives * slope, self.digits)}", colour=GRADIENT, number=number)

    def value(self, line: Line, name: str = "") -> Run:
        return Run(f"{name} {format_number(line.value, self.digits)}".strip(), number=Number(line.index, ()))

    def is_part_of_a_sum(self, line: Line) -> bool:
        """Whether it is a nameless sum that goes into another one: a + b + c is one gate."""
        reads = self.reads[line.index]
        rules = [at.rule for at in (line, *(self.program.lines[i] for i, _ in reads))]
        return line.name is None and len(reads) == 1 and all(rule is not None and rule.function is np.add for rule in rules)

    # -- nodes -----------------------------------------------------------------------------------------------------

    def gate(self, line: Line) -> str:
        """The circle of an operation, the same for all parts of a sum."""
        whole = line.index
        while whole in self.merged:
            whole = self.merged[whole]
        if whole not in self.gates:
            line = self.program.lines[whole]
            sign = _sign(line)
            shape = {} if all(len(run.text) <= LETTERS for run in sign) else {"shape": "ellipse"}
            self.gates[whole] = self.canvas.node(sign, GATE | shape, id=f"gate-{whole}", tooltip=formula(self.program, line))
        return self.gates[whole]

    def leaf(self, line: Line) -> str:
        """A box with the name of what is given; its numbers are on its wire, or in the box where it has several wires."""
        if line.constant:
            return self.canvas.node(stack(Run(format_number(line.value, self.digits))), KINDS["constant"] | SMALL)
        what = [bold(self.program.names[line.index])]
        if len(self.reads[line.index]) > 1:
            what += [self.value(line), *([found] if (found := self.gradient(line)).text else [])]
        style = KINDS[kind_of(self.program, line)] | SMALL
        return self.canvas.node(stack(*what), style, id=f"leaf-{line.index}", tooltip=formula(self.program, line))

    def wire(self, start: str, gate: str, line: Line, position: int) -> None:
        """From what is read to the gate that reads it; its numbers are on it, unless they stand where it comes from."""
        operand = self.program.lines[line.operands[position]]
        role, alone = self.role(line, position), len(self.reads[operand.index]) == 1
        if operand.constant or (operand.rule is not None and alone):
            self.canvas.edge(start, gate, role)
            return
        below = self.gradient(operand) if alone else self.part((line.index, position), Number(line.index, (), True, position))
        node = self.canvas.node(_on_wire(self.value(operand), below, not self.down), WIRE)
        # as far back as what is multiplied before it is added: a box between gates would stand over their wires
        far = {"minlen": "2"} if operand.rule is None and line.rule is not None and line.rule.function is np.add and not alone else {}
        self.canvas.edge(start, f"{node}:{self.into}", style=far)
        self.canvas.edge(f"{node}:{self.out}", gate, role)

    def result(self, line: Line, gate: str) -> str:
        """The wire that leaves a gate; the end of it, or the point at which it forks."""
        name = "" if line.name is None else self.program.names[line.index]
        is_output = line.index in self.program.outputs
        what = _on_wire(self.value(line, "" if is_output else name), self.gradient(line), not self.down)
        wire = self.canvas.node(what, WIRE, id=f"wire-{line.index}", tooltip=formula(self.program, line))
        self.canvas.edge(gate, f"{wire}:{self.into}")
        if is_output:
            end = self.canvas.node(stack(bold(self.program.names[line.index])), KINDS["output"] | SMALL, id="output")
            self.canvas.edge(f"{wire}:{self.out}", end)
        if len(self.reads[line.index]) < 2:
            return f"{wire}:{self.out}"
        fork = self.canvas.node(None, FORK)
        self.canvas.edge(f"{wire}:{self.out}", fork)
        return fork

    def role(self, line: Line, position: int) -> Label | None:
        """Which operand it is, where exchanging two of them would change the result."""
        assert line.rule is not None
        if len(line.operands) < 2 or line.rule.function in COMMUTATIVE:
            return None
        role = ("left", "right")[position] if line.rule.function in INFIX else line.rule.arguments[position]
        return lines(Run(f"  {role}"), size=8.0)  # the blanks keep it off the wire


def _sign(line: Line) -> Label:
    assert line.rule is not None
    sign = SIGNS.get(line.rule.function) or (INFIX[line.rule.function][0] if line.rule.function in INFIX else "")
    return stack(Run(sign, size=13.0) if sign else Run(line.rule.name))


def _on_wire(above: Run, below: Run, ruled: bool) -> Label:
    """Two rows; a wire from left to right runs between them, one from top to bottom stops for them."""
    return Label((((above,),), ((below,),)), 9.0, f'CELLPADDING="1" COLOR="{GREY}"', ruled)
