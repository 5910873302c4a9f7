"""The computation graph: each tensor with its value and gradient, each operation between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_bp.draw.by_layer import ByLayer
from tinygrad_bp.draw.drawing import Canvas, Drawing
from tinygrad_bp.draw.labels import BLUE, GREY, Label, Number, Run, Show, bold, caption, coloured, lines, short, stack
from tinygrad_bp.draw.layers import with_loss
from tinygrad_bp.draw.modules import Group, Modules, Path
from tinygrad_bp.draw.neurons import Network
from tinygrad_bp.draw.nodes import KINDS, MODULE, OPERATION, formula, kind_of, legend, operation_label, role, tensor_label
from tinygrad_bp.draw.sweeps import both_sweeps
from tinygrad_bp.errors import GraphError
from tinygrad_bp.expression import format_number
from tinygrad_bp.letters import places, spoken
from tinygrad_bp.nn import Module
from tinygrad_bp.program import Line, Program
from tinygrad_bp.tensor import Tensor

OFTEN = 6  # reads of a leaf that are all drawn as edges; long ones make a picture unreadable, and its layout slow
FAR = 40  # tensors between one and its second or a later reader, over which no edge is drawn, for the same reason
SHALLOW = 2  # layers of a network whose both passes are drawn operation by operation
LIMIT = 1_000  # nodes that are drawn one by one; nobody reads more, and the layout would take minutes


def graph(
    output: Tensor | Program,
    *more_outputs: Tensor,
    digits: int = 6,
    gradients: bool = True,
    model: Module | None = None,
    depth: int | None = None,
    wrt: str | Tensor | None = None,
    backward: bool = False,
    boxes: bool | None = None,
    show: Show | None = None,
) -> Drawing:
    """Draw the computation graph behind one or more tensors, from the leaves above to the output below.

    Small arrays are written element by element; of a large one its shape, minimum, maximum and mean. What a module
    computes stands in a frame of its own.

    ``output``: a tensor with a graph, such as a loss or a gradient that can be differentiated again, or a ``Program``.
    ``digits``: significant digits of values and gradients. ``gradients``: write d(output)/d(tensor) into each tensor,
    where the (first) output is a scalar. ``model``: whose modules the frames are; without it they are read off the
    parameters' names, such as "0.weight", where these were not renamed. ``depth``: draw modules that lie so deep as
    one box each; 1 draws layers only. ``wrt``: only the paths that lead from this tensor to the output, with what else
    their operations read. ``backward``: draw the backward pass too, operation by operation, or with ``boxes``, by default
    where a network has more than two layers, with a box per layer for each pass, side by side. ``show``: which numbers are
    written, for pictures in steps.

    What is read again far away is named beside that reader; an edge across the page could not be followed.
    A graph of more than 1,000 nodes is drawn as a summary, whose caption says so. Raises ``GraphError`` where nothing
    was recorded, or nothing leads from ``wrt`` to the output, ``ValueError`` for options that exclude each other.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> a = tg.Tensor(3.0, requires_grad=True, name="a")
    >>> picture = tg.draw.graph((a * a + 1).named("y"))
    >>> [line.split("[")[0].strip() for line in picture.source.splitlines() if "->" in line]
    ['n0 -> n1', 'n0 -> n1', 'n1 -> n2', 'n2 -> n4', 'n3 -> n4', 'n4 -> n5']
    """
    if isinstance(output, Program) and more_outputs:
        raise TypeError("give either a Program or tensors: Program.of(a, b) has several outputs of its own")
    if depth is not None and depth < 1:
        raise ValueError(f"depth counts the modules around an operation, from 1; got {depth}")
    if backward and (depth is not None or wrt is not None):
        raise ValueError("backward=True draws every operation of both passes; leave out depth= and wrt=, or backward=True")
    if boxes and not backward:
        raise ValueError(
            "boxes=True draws both passes, a box per layer: give backward=True too, or depth=1 for the modules of the forward pass"
        )
    program = with_loss(spoken(output if isinstance(output, Program) else Program.of(output, *more_outputs)))
    known = {p.serial for p in model.parameters()} if model is not None else set()
    if known and not known & program.serials.keys():
        raise GraphError("none of the model's parameters is in the graph: give the model that computed the output")
    if backward and boxes is not False and (net := _deep(program, boxes, digits)) is not None:
        return ByLayer(net, show, forward=True).draw()
    if backward and len(program) <= LIMIT:
        picture = _Graph(*both_sweeps(program), digits, {}, None, show, letters=places(program))
    else:
        modules = Modules(program, model)
        groups = modules.collapse(depth) if depth is not None else {}
        found = program.gradients if gradients and program.output.value.size == 1 else {}
        found = {place: g for place, g in found.items() if program.lines[place].tracked}
        picture = _Graph(program, len(program), digits, found, modules, show, groups, wrt, places(program))
    return picture.draw() if picture.size <= LIMIT else _summarised(program)


def _deep(program: Program, boxes: bool | None, digits: int) -> Network | None:
    """The network whose passes are drawn by layers: where that was asked for, or would be too many operations to read."""
    try:
        net = Network(program, digits)
    except GraphError:
        if boxes:
            raise
        return None
    return net if net.has_loss and (boxes or len(net.layers) > SHALLOW) else None


class _Graph:
    """One graph on its way to the page. ``forward``: how many of the lines are the forward pass."""

    def __init__(
        self,
        program: Program,
        forward: int,
        digits: int,
        gradients: Mapping[int, Any],
        modules: Modules | None,
        show: Show | None,
        groups: Mapping[int, Group] | None = None,
        wrt: str | Tensor | None = None,
        letters: str = "",
    ) -> None:
        self.program, self.forward, self.digits, self.gradients, self.modules = program, forward, digits, gradients, modules
        self.groups = groups or {}
        self.kept, self.aside = (set(range(len(program))), set[int]()) if wrt is None else _paths(program, wrt)
        output = short(program.names[program.output.index]) if gradients else ""
        self.canvas = _canvas(legend(self.kinds(), output, letters), show)
        self.nodes: dict[int, str] = {}  # line -> node
        self.boxes: dict[int, str] = {}  # id of a group -> node
        self.frames: dict[Path, Any] = {}
        self.drawn: set[tuple[str, str]] = set()  # edges to boxes, each of which is drawn once
        self.reads = Counter(place for line in program for place in line.operands)
        self.begun: set[int] = set()  # what has been read
        self.later: list[tuple[Any, ...]] = []

    @property
    def size(self) -> int:
        """How many nodes it would have, one for an operation with its result."""
        return len(self.kept - self.groups.keys()) + len({id(group) for place, group in self.groups.items() if place in self.kept})

    def draw(self) -> Drawing:
        for line in self.program:
            if line.index not in self.kept:
                continue
            if line.index in self.groups:
                self.module(line)
            else:
                self.line(line)
        for path in sorted(self.frames, key=len, reverse=True):  # the innermost first
            (self.frames[path[:-1]] if len(path) > 1 else self.canvas.digraph).subgraph(self.frames[path])
        for edge in self.later:
            self.canvas.edge(*edge)
        return self.canvas.drawing(f"Computation graph of {self.program.names[self.program.output.index]}, {len(self.program)} tensors")

    def kinds(self) -> list[str]:
        """The kinds of node that are drawn."""
        drawn = [line for line in self.program if line.index in self.kept and line.index not in self.groups]
        special = ["module"] * bool(self.groups) + ["aside"] * bool(self.aside)
        return [*(self.kind(line) for line in drawn if line.index not in self.aside), *special]

    def kind(self, line: Line) -> str:
        return "backward" if line.index >= self.forward and not line.constant else kind_of(self.program, line)

    def line(self, line: Line) -> None:
        """A tensor, and above it the operation that it is the result of."""
        tooltip, within = formula(self.program, line), self.frame(self.modules.paths[line.index] if self.modules else ())
        if line.index in self.aside:
            label = stack(Run(self.program.names[line.index], colour=GREY))
            self.nodes[line.index] = self.canvas.node(label, KINDS["aside"], f"tensor-{line.index}", tooltip, within)
            return
        operation = ""
        if line.rule is not None:
            operation = self.canvas.node(operation_label(line), OPERATION, f"operation-{line.index}", tooltip, within)
            for position, place in enumerate(line.operands):
                aside = {"style": "dashed"} if place in self.aside else {}
                self.edge(place, operation, role(line, position), aside, self.tail(place, line.index, within))
        what = tensor_label(self.program, line, self.gradients.get(line.index), self.digits)
        self.nodes[line.index] = self.canvas.node(what, KINDS[self.kind(line)], f"tensor-{line.index}", tooltip, within)
        if operation:
            self.later.append((operation, self.nodes[line.index], None, {"weight": "9"}))

    def tail(self, place: int, reader: int, within: Any) -> str:
        """The node of what is read: its own, or for a reader that is not the first one, and far away, its name beside that reader.

        So is a leaf that is read often, and what the backward pass reads of a long forward pass.
        """
        line = self.program.lines[place]
        again = place in self.begun and not line.constant and place not in self.aside
        self.begun.add(place)
        if not again or not (reader - place > FAR or (line.rule is None and self.reads[place] > OFTEN)):
            return self.nodes[place]
        return self.canvas.node(stack(Run(self.program.names[place])), KINDS[self.kind(line)], tooltip="drawn above", within=within)

    def edge(self, place: int, head: str, label: Label | None, style: Mapping[str, str], tail: str = "") -> None:
        """From a line, or the box that it is in. Results pull harder than leaves, so that the main computation runs straight down."""
        pull = {} if self.program.lines[place].rule is None else {"weight": "9"}
        self.later.append((tail or self.nodes[place], head, label, pull | dict(style)))

    def frame(self, path: Path) -> Any:
        """The frame of a module, and of those around it."""
        for k in range(1, len(path) + 1):
            if path[:k] not in self.frames:
                title = lines(coloured(self.title(path[:k]), GREY), size=9.0).markup()
                style = {
                    "label": title,
                    "labelloc": "t",
                    "labeljust": "l",
                    "style": "rounded,dashed",
                    "color": GREY,
                    "id": f"module-{len(self.frames)}",
                }
                self.frames[path[:k]] = self.canvas.frame(style)
        return self.frames.get(path)

    def title(self, path: Path) -> str:
        kind = self.modules.types.get(path, "") if self.modules else ""
        return ".".join(path) + (f": {kind}" if kind else "")

    def module(self, line: Line) -> None:
        """A module as one box, when the first of its lines comes, and what it reads from outside."""
        group = self.groups[line.index]
        if id(group) not in self.boxes:
            within = self.frame(group.path[:-1])
            name = f"group-{min(group.lines)}"
            self.boxes[id(group)] = self.canvas.node(self.module_label(group), MODULE, name, self.title(group.path), within)
        box = self.nodes[line.index] = self.boxes[id(group)]
        for place in line.operands:
            given = self.is_learned(place) or self.program.lines[place].constant
            if not (given and place in self.groups) and (self.nodes[place], box) not in self.drawn and self.nodes[place] != box:
                self.drawn.add((self.nodes[place], box))
                self.edge(place, box, None, {})

    def module_label(self, group: Group) -> Label:
        """Its name, what it learns, which operations it does and what comes out."""
        members = [self.program.lines[i] for i in sorted(group.lines)]
        learned = [line for line in members if line.rule is None and line.tracked]
        operations = Counter(line.rule.name for line in members if line.rule is not None and not self.is_learned(line.index))
        rows = [bold(self.title(group.path)), Run(_words(operations))]
        if learned:
            rows.append(Run(", ".join(f"{self.program.names[line.index]} {line.shape}" for line in learned)))
        result = [line for line in members if line.rule is not None][-1]
        rows.append(Run(f"result {result.shape or format_number(result.value, self.digits)}"))
        if result.index in self.gradients:
            low, high = (format_number(f(self.gradients[result.index]), 3) for f in (np.min, np.max))
            rows.append(Run(f"gradient {low} to {high}", colour=BLUE, number=Number(result.index, gradient=True)))
        return stack(*rows)

    def is_learned(self, place: int) -> bool:
        return self.modules is not None and self.modules.learned[place]


def _words(operations: Counter[str]) -> str:
    """sigmoid, 2 x add."""
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in operations.items())


def _paths(program: Program, wrt: str | Tensor) -> tuple[set[int], set[int]]:
    """The lines on the paths from a tensor to the outputs and what their operations read, and of these the latter."""
    start, _ = program.locate(wrt)
    above = {start}
    for line in program:
        if above.intersection(line.operands):
            above.add(line.index)
    reaching = set(program.outputs)
    for line in reversed(program.lines):
        if line.index in reaching:
            reaching.update(line.operands)
    on_path = above & reaching
    if not on_path.intersection(program.outputs):
        raise GraphError(f"no path leads from {program.names[start]} to {program.names[program.output.index]}")
    beside = {i for place in on_path - {start} for i in program.lines[place].operands} - on_path
    return on_path | beside, beside


def _canvas(caption: str, show: Show | None = None) -> Canvas:
    layout = {"rankdir": "TB", "nodesep": "0.2", "ranksep": "0.22"}
    return Canvas(caption, layout, {"fontsize": "10", "margin": "0.04,0.02", "height": "0.2", "width": "0.2"}, {"fontsize": "8"}, show)


def _summarised(program: Program) -> Drawing:
    """Leaves, operations and output in one box each: how many of which kind."""
    kinds = Counter(kind_of(program, line) for line in program)
    operations = Counter(line.rule.name for line in program if line.rule is not None)
    why = f"The graph has {len(program)} tensors; more than {LIMIT} are not drawn one by one."
    canvas = _canvas(caption(why))
    leaves = [
        canvas.node(stack(Run(f"{kinds[kind]} {kind}{'s' * (kinds[kind] > 1)}")), KINDS[kind])
        for kind in ("input", "parameter", "constant")
        if kinds[kind]
    ]
    rows = [Run(f"{count} x {name}") for name, count in operations.most_common()]
    middle = canvas.node(stack(bold(f"{sum(operations.values())} operations"), *rows), OPERATION | {"shape": "box"})
    for leaf in leaves:
        canvas.edge(leaf, middle)
    for place in program.outputs:
        what = tensor_label(program, program.lines[place], None, 6)
        canvas.edge(middle, canvas.node(what, KINDS["output"], id=f"tensor-{place}"))
    return canvas.drawing(f"Summary of a computation graph of {len(program)} tensors")
