"""The computation graph: each tensor with its value and gradient, each operation between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import graphviz
import numpy as np

from tinygrad_bp.draw.drawing import Drawing, new_digraph
from tinygrad_bp.draw.labels import (
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    bold,
    coloured,
    escape,
    is_small,
    label,
    summary,
    table,
    tint,
)
from tinygrad_bp.expression import INFIX, format_number
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


def graph(output: Tensor | Program, *more_outputs: Tensor, digits: int = 6, gradients: bool = True) -> Drawing:
    """Draw the computation graph behind one or more tensors, from the leaves above to the output below.

    ``output``: a tensor with a graph, or a ``Program``. ``digits``: significant digits of values and gradients.
    ``gradients``: write d(output)/d(tensor) into each tensor, where the (first) output is a scalar. Small arrays
    are written element by element; of a large one its shape, minimum, maximum and mean. A graph of more than
    1,000 tensors is drawn as a summary, whose caption says so. Raises ``GraphError`` where nothing was recorded.

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
        return Drawing(_summarised(program))
    found = program.gradients if gradients and program.output.value.size == 1 else {}
    found = {place: g for place, g in found.items() if program.lines[place].tracked}
    return Drawing(_one_by_one(program, found, digits))


def _one_by_one(program: Program, gradients: Mapping[int, Any], digits: int) -> graphviz.Digraph:
    digraph = _digraph(_legend(program, bool(gradients)))
    nodes: dict[int, str] = {}  # line -> node
    count = 0
    for line in program:
        if line.rule is not None:
            operation, count = f"n{count}", count + 1
            digraph.node(operation, _operation_label(line), **OPERATION)
            for position, place in enumerate(line.operands):
                digraph.edge(nodes[place], operation, **_edge(program.lines[place], _role(line, position)))
        nodes[line.index], count = f"n{count}", count + 1
        digraph.node(
            nodes[line.index], label(_tensor_label(program, line, gradients.get(line.index), digits)), **KINDS[_kind(program, line)]
        )
        if line.rule is not None:
            digraph.edge(operation, nodes[line.index], weight="9")
    return digraph


def _edge(operand: Line, role: str) -> dict[str, str]:
    """Results pull harder than leaves, so that the main computation runs straight down."""
    weight = {} if operand.rule is None else {"weight": "9"}
    return weight | ({"label": label(f"  {escape(role)}")} if role else {})  # the blanks keep it off the line


def _digraph(caption: str) -> graphviz.Digraph:
    layout = {"rankdir": "TB", "nodesep": "0.2", "ranksep": "0.22"}
    return new_digraph(caption, layout, {"fontsize": "10", "margin": "0.04,0.02", "height": "0.2", "width": "0.2"}, {"fontsize": "8"})


def _kind(program: Program, line: Line) -> str:
    if line.index in program.outputs:
        return "output"
    if line.rule is not None:
        return "result"
    return "constant" if line.constant else "parameter" if line.tracked else "input"


def _operation_label(line: Line) -> str:
    """The sign of an operator, or the function's name, and its options."""
    assert line.rule is not None
    sign = INFIX[line.rule.function][0] if line.rule.function in INFIX else line.rule.name
    options = ", ".join(f"{k}={_short(v)}" for k, v in (line.params or {}).items() if v is not None and v is not False)
    return label(escape(sign), *([f'<FONT POINT-SIZE="8">{escape(options)}</FONT>'] if options else []))


def _short(value: Any, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _role(line: Line, position: int) -> str:
    """What an operand is to its operation, where exchanging two of them would change the result."""
    assert line.rule is not None
    if len(line.operands) < 2 or line.rule.function in COMMUTATIVE:
        return ""
    return ("left", "right")[position] if line.rule.function in INFIX else line.rule.arguments[position]


def _tensor_label(program: Program, line: Line, gradient: Any, digits: int) -> str:
    """Name and shape, then the value, then the gradient, each in rows."""
    if line.constant and not line.shape:
        return escape(format_number(line.value, digits))
    name = "array" if line.constant else program.names[line.index]
    shape = f" {coloured(line.shape, GREY)}" if line.shape else ""
    rows = [[bold(name) + shape], *_rows(line.value, digits, _own_names(line))]
    if gradient is not None:
        rows += [[coloured("gradient")], *_rows(gradient, digits, colour=True)]
    return table(rows)


def _own_names(line: Line) -> list[str]:
    """The names that the elements were given; numbered ones would repeat what the row and column say."""
    return (
        [f"{name} = " for name in element_names(line.name, line.shape)]
        if isinstance(line.name, Name) and line.name.elements
        else [""] * line.value.size
    )


def _rows(value: Any, digits: int, names: list[str] | None = None, colour: bool = False) -> list[list[str]]:
    write = coloured if colour else escape
    if not is_small(value):
        return [[write(text)] for text in summary(value, digits)]
    names = names or [""] * np.size(value)
    cells = [write(f"{name}{format_number(x, digits)}") for name, x in zip(names, np.ravel(value), strict=True)]
    width = np.shape(value)[-1] if np.shape(value) else 1
    return [cells[i : i + width] for i in range(0, len(cells), width)]


def _legend(program: Program, gradients: bool) -> str:
    """The kinds of node that occur, each in its own colour and border, and whose gradient is written."""
    present = {_kind(program, line) for line in program}
    cells = "".join(_swatch(kind) for kind in KINDS if kind in present)
    keys = f'<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="6" CELLPADDING="3"><TR>{cells}</TR></TABLE>'
    note = [[escape(f"gradient: d({program.names[program.output.index]}) / d(tensor)")]] if gradients else []
    return label(table([[keys], *note]))


def _swatch(kind: str) -> str:
    border = {"input": 'STYLE="ROUNDED"', "constant": 'STYLE="DASHED"', "parameter": 'BORDER="2"', "output": 'BORDER="2"'}.get(kind, "")
    style = KINDS[kind]
    return f'<TD BGCOLOR="{style["fillcolor"]}" COLOR="{style["color"]}" {border}><FONT COLOR="#000000">{kind}</FONT></TD>'


def _summarised(program: Program) -> graphviz.Digraph:
    """Leaves, operations and output in one box each: how many of which kind."""
    kinds = Counter(_kind(program, line) for line in program)
    operations = Counter(line.rule.name for line in program if line.rule is not None)
    digraph = _digraph(label(escape(f"The graph has {len(program)} tensors; more than {LIMIT} are not drawn one by one.")))
    leaves = [(kind, KINDS[kind]) for kind in ("input", "parameter", "constant") if kinds[kind]]
    for count, (kind, style) in enumerate(leaves):
        digraph.node(f"n{count}", label(escape(f"{kinds[kind]} {kind}{'s' * (kinds[kind] > 1)}")), **style)
        digraph.edge(f"n{count}", f"n{len(leaves)}")
    rows = [escape(f"{count} x {name}") for name, count in operations.most_common()]
    digraph.node(f"n{len(leaves)}", label(bold(f"{sum(operations.values())} operations"), *rows), **OPERATION | {"shape": "box"})
    for count, place in enumerate(program.outputs, len(leaves) + 1):
        digraph.node(f"n{count}", label(_tensor_label(program, program.lines[place], None, 6)), **KINDS["output"])
        digraph.edge(f"n{len(leaves)}", f"n{count}")
    return digraph
