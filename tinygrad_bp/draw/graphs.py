"""The computation graph: each tensor with its value and gradient, each operation between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_bp.draw.drawing import Canvas, Drawing
from tinygrad_bp.draw.labels import (
    GRADIENT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    Cell,
    Label,
    Number,
    Run,
    Show,
    bold,
    coloured,
    escape,
    is_small,
    lines,
    measure,
    summary,
    table,
    tint,
)
from tinygrad_bp.expression import INFIX, Expression, format_number, symbol
from tinygrad_bp.program import Line, Program, element_names
from tinygrad_bp.tensor import Name, Tensor

LIMIT = 1_000  # tensors that are drawn one by one; nobody reads more, and the layout would take minutes
COMMUTATIVE = (np.add, np.multiply)

KINDS: dict[str, dict[str, str]] = {
    "input": {"shape": "box", "style": "filled,rounded", "color": SKY, "fillcolor": tint(SKY)},
    "parameter": {"shape": "box", "style": "filled,bold", "color": ORANGE, "fillcolor": tint(ORANGE)},
    "constant": {"shape": "box", "style": "filled,dashed", "color": GREY, "fillcolor": "#FFFFFF"},
    "result": {"shape": "box", "style": "filled", "color": GREY, "fillcolor": "#FFFFFF"},
    "output": {"shape": "box", "style": "filled,bold", "color": GREEN, "fillcolor": tint(GREEN), "peripheries": "2"},
}
OPERATION = {
    "shape": "ellipse",
    "style": "filled",
    "color": PURPLE,
    "fillcolor": tint(PURPLE),
    "margin": "0.04,0.01",
    "height": "0.26",
    "width": "0.3",
}


def graph(output: Tensor | Program, *more_outputs: Tensor, digits: int = 6, gradients: bool = True, show: Show | None = None) -> Drawing:
    """Draw the computation graph behind one or more tensors, from the leaves above to the output below.

    ``output``: a tensor with a graph, or a ``Program``. ``digits``: significant digits of values and gradients.
    ``gradients``: write d(output)/d(tensor) into each tensor, where the (first) output is a scalar. Small arrays
    are written element by element; of a large one its shape, minimum, maximum and mean. A graph of more than
    1,000 tensors is drawn as a summary, whose caption says so. ``show``: which numbers are written, for pictures in
    steps. Raises ``GraphError`` where nothing was recorded.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> a = tg.Tensor(3.0, requires_grad=True, name="a")
    >>> picture = tg.draw.graph((a * a + 1).named("y"))
    >>> [line.split("[")[0].strip() for line in picture.source.splitlines() if "->" in line]
    ['n0 -> n1', 'n0 -> n1', 'n1 -> n2', 'n2 -> n4', 'n3 -> n4', 'n4 -> n5']
    """
    if isinstance(output, Program) and more_outputs:
        raise TypeError("give either a Program or tensors: Program.of(a, b) has several outputs of its own")
    program = output if isinstance(output, Program) else Program.of(output, *more_outputs)
    if len(program) > LIMIT:
        return _summarised(program)
    found = program.gradients if gradients and program.output.value.size == 1 else {}
    found = {place: g for place, g in found.items() if program.lines[place].tracked}
    return _one_by_one(program, found, digits, show)


def _one_by_one(program: Program, gradients: Mapping[int, Any], digits: int, show: Show | None) -> Drawing:
    canvas = _canvas(_legend(program, bool(gradients)), show)
    nodes: dict[int, str] = {}  # line -> node
    for line in program:
        tooltip = formula(program, line)
        if line.rule is not None:
            operation = canvas.node(_operation_label(line), OPERATION, id=f"operation-{line.index}", tooltip=tooltip)
            for position, place in enumerate(line.operands):
                canvas.edge(nodes[place], operation, _role(line, position), _pull(program.lines[place]))
        what = _tensor_label(program, line, gradients.get(line.index), digits)
        nodes[line.index] = canvas.node(what, KINDS[kind_of(program, line)], id=f"tensor-{line.index}", tooltip=tooltip)
        if line.rule is not None:
            canvas.edge(operation, nodes[line.index], style={"weight": "9"})
    return canvas.drawing(f"Computation graph of {program.names[program.output.index]}, {len(program)} tensors")


def _pull(operand: Line) -> dict[str, str]:
    """Results pull harder than leaves, so that the main computation runs straight down."""
    return {} if operand.rule is None else {"weight": "9"}


def _canvas(caption: str, show: Show | None = None) -> Canvas:
    layout = {"rankdir": "TB", "nodesep": "0.2", "ranksep": "0.22"}
    return Canvas(caption, layout, {"fontsize": "10", "margin": "0.04,0.02", "height": "0.2", "width": "0.2"}, {"fontsize": "8"}, show)


def kind_of(program: Program, line: Line) -> str:
    if line.index in program.outputs:
        return "output"
    if line.rule is not None:
        return "result"
    return "constant" if line.constant else "parameter" if line.tracked else "input"


def _operation_label(line: Line) -> Label:
    """The sign of an operator, or the function's name, and its options."""
    assert line.rule is not None
    sign = INFIX[line.rule.function][0] if line.rule.function in INFIX else line.rule.name
    options = ", ".join(f"{k}={_short(v)}" for k, v in (line.params or {}).items() if v is not None and v is not False)
    return lines(Run(sign), *([Run(options, size=8.0)] if options else []), size=10.0)


def _short(value: Any, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _role(line: Line, position: int) -> Label | None:
    """What an operand is to its operation, where exchanging two of them would change the result."""
    assert line.rule is not None
    if len(line.operands) < 2 or line.rule.function in COMMUTATIVE:
        return None
    role = ("left", "right")[position] if line.rule.function in INFIX else line.rule.arguments[position]
    return lines(Run(f"  {role}"), size=8.0)  # the blanks keep it off the line


def _tensor_label(program: Program, line: Line, gradient: Any, digits: int) -> Label:
    """Name and shape, then the value, then the gradient, each in rows."""
    if line.constant and not line.shape:
        return lines(Run(format_number(line.value, digits)), size=10.0)
    name = "array" if line.constant else program.names[line.index]
    shape = (coloured(f" {line.shape}", GREY),) if line.shape else ()
    rows: list[list[Cell]] = [[(bold(name), *shape)], *_rows(line.value, digits, Number(line.index), _own_names(line))]
    if gradient is not None:
        rows += [[(coloured("gradient"),)], *_rows(gradient, digits, Number(line.index, gradient=True))]
    return table(rows)


def _own_names(line: Line) -> list[str]:
    """The names that the elements were given; numbered ones would repeat what the row and column say."""
    return (
        [f"{name} = " for name in element_names(line.name, line.shape)]
        if isinstance(line.name, Name) and line.name.elements
        else [""] * line.value.size
    )


def _rows(value: Any, digits: int, number: Number, names: list[str] | None = None) -> list[list[Cell]]:
    """The elements, of which each is a number of its own, or of a large array its summary."""
    colour = GRADIENT if number.gradient else ""
    if not is_small(value):
        return [[(Run(text, colour=colour, number=number),)] for text in summary(value, digits)]
    names, shape = names or [""] * np.size(value), np.shape(value)
    cells: list[Cell] = [
        (Run(f"{name}{format_number(x, digits)}", colour=colour, number=replace(number, index=index)),)
        for name, index, x in zip(names, np.ndindex(shape), np.ravel(value), strict=True)
    ]
    width = shape[-1] if shape else 1
    return [cells[i : i + width] for i in range(0, len(cells), width)]


def _legend(program: Program, gradients: bool) -> str:
    """The kinds of node that occur, each in its own colour and border, and whose gradient is written."""
    present = {kind_of(program, line) for line in program}
    cells = "".join(_swatch(kind) for kind in KINDS if kind in present)
    keys = f'<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="6" CELLPADDING="3"><TR>{cells}</TR></TABLE>'
    note = f"<TR><TD>{escape(f'gradient: d({program.names[program.output.index]}) / d(tensor)')}</TD></TR>" if gradients else ""
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0"><TR><TD>{keys}</TD></TR>{note}</TABLE>>'


def _swatch(kind: str) -> str:
    border = {"input": 'STYLE="ROUNDED"', "constant": 'STYLE="DASHED"', "parameter": 'BORDER="2"', "output": 'BORDER="2"'}.get(kind, "")
    style, width = KINDS[kind], 10 * measure(kind)
    return (
        f'<TD BGCOLOR="{style["fillcolor"]}" COLOR="{style["color"]}" WIDTH="{width:.0f}" {border}><FONT COLOR="#000000">{kind}</FONT></TD>'
    )


def formula(program: Program, line: Line) -> str:
    """How a line is computed, as a tooltip says it."""
    name = "constant" if line.constant else program.names[line.index]
    if line.rule is None:
        return name
    operands = [symbol("array" if program.lines[i].constant and program.lines[i].shape else program.names[i]) for i in line.operands]
    return f"{name} = {_short(Expression(line.rule.function, tuple(operands), options=line.params or {}), 200)}"


def _summarised(program: Program) -> Drawing:
    """Leaves, operations and output in one box each: how many of which kind."""
    kinds = Counter(kind_of(program, line) for line in program)
    operations = Counter(line.rule.name for line in program if line.rule is not None)
    canvas = _canvas(lines(Run(f"The graph has {len(program)} tensors; more than {LIMIT} are not drawn one by one.")).markup())
    leaves = [
        canvas.node(lines(Run(f"{kinds[kind]} {kind}{'s' * (kinds[kind] > 1)}"), size=10.0), KINDS[kind])
        for kind in ("input", "parameter", "constant")
        if kinds[kind]
    ]
    rows = [Run(f"{count} x {name}") for name, count in operations.most_common()]
    middle = canvas.node(lines(bold(f"{sum(operations.values())} operations"), *rows, size=10.0), OPERATION | {"shape": "box"})
    for leaf in leaves:
        canvas.edge(leaf, middle)
    for place in program.outputs:
        what = _tensor_label(program, program.lines[place], None, 6)
        canvas.edge(middle, canvas.node(what, KINDS["output"], id=f"tensor-{place}"))
    return canvas.drawing(f"Summary of a computation graph of {len(program)} tensors")
