"""What the nodes of a graph say, and how each kind of them looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_bp.draw.labels import (
    BLUE,
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
    bold,
    coloured,
    escape,
    folded,
    is_small,
    lines,
    measure,
    stack,
    summary,
    table,
    tint,
)
from tinygrad_bp.expression import INFIX, Expression, format_number, symbol
from tinygrad_bp.program import Line, Program, element_names
from tinygrad_bp.tensor import Name

COMMUTATIVE = (np.add, np.multiply)
KINDS: dict[str, dict[str, str]] = {
    "input": {"shape": "box", "style": "filled,rounded", "color": SKY, "fillcolor": tint(SKY)},
    "parameter": {"shape": "box", "style": "filled,bold", "color": ORANGE, "fillcolor": tint(ORANGE)},
    "constant": {"shape": "box", "style": "filled,dashed", "color": GREY, "fillcolor": "#FFFFFF"},
    "result": {"shape": "box", "style": "filled", "color": GREY, "fillcolor": "#FFFFFF"},
    "output": {"shape": "box", "style": "filled,bold", "color": GREEN, "fillcolor": tint(GREEN), "peripheries": "2"},
}
MODULE = {"shape": "box", "style": "filled,rounded,bold", "color": BLUE, "fillcolor": "#FFFFFF", "margin": "0.1,0.05"}
KINDS |= {
    "backward": {"shape": "box", "style": "filled", "color": BLUE, "fillcolor": tint(BLUE)},
    "aside": {"shape": "box", "style": "filled,dotted", "color": GREY, "fillcolor": "#FFFFFF"},
    "module": MODULE,
}
LEGEND = {"backward": "backward pass", "aside": "beside the paths"}
OPERATION = {
    "shape": "ellipse",
    "style": "filled",
    "color": PURPLE,
    "fillcolor": tint(PURPLE),
    "margin": "0.04,0.01",
    "height": "0.26",
    "width": "0.3",
}


def kind_of(program: Program, line: Line) -> str:
    if line.index in program.outputs:
        return "output"
    if line.rule is not None:
        return "result"
    return "constant" if line.constant else "parameter" if line.tracked else "input"


def operation_label(line: Line) -> Label:
    """The sign of an operator, or the function's name, and its options."""
    assert line.rule is not None
    sign = INFIX[line.rule.function][0] if line.rule.function in INFIX else line.rule.name
    options = ", ".join(f"{k}={_short(v)}" for k, v in (line.params or {}).items() if v is not None and v is not False)
    return stack(Run(sign), *([Run(options, size=8.0)] if options else []))


def _short(value: Any, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def role(line: Line, position: int) -> Label | None:
    """What an operand is to its operation, where exchanging two of them would change the result."""
    assert line.rule is not None
    if len(line.operands) < 2 or line.rule.function in COMMUTATIVE:
        return None
    role = ("left", "right")[position] if line.rule.function in INFIX else line.rule.arguments[position]
    return lines(Run(f"  {role}"), size=8.0)  # the blanks keep it off the line


def tensor_label(program: Program, line: Line, gradient: Any, digits: int) -> Label:
    """Name and shape, then the value, then the gradient, each in rows."""
    if line.constant and not line.shape:
        return stack(Run(format_number(line.value, digits)))
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


def legend(present: Sequence[str], output: str, letters: str = "") -> str:
    """The kinds of node that occur, each in its own colour and border, whose gradient is written, and what letters stand for."""
    cells = "".join(_swatch(kind) for kind in KINDS if kind in present)
    keys = f'<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="6" CELLPADDING="3"><TR>{cells}</TR></TABLE>'
    notes = [*([f"gradient: d({output}) / d(tensor)"] if output else []), *folded(letters)]
    rows = "".join(f"<TR><TD>{escape(note)}</TD></TR>" for note in notes)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0"><TR><TD>{keys}</TD></TR>{rows}</TABLE>>'


def _swatch(kind: str) -> str:
    border = {
        "input": 'STYLE="ROUNDED"', "constant": 'STYLE="DASHED"', "parameter": 'BORDER="2"', "output": 'BORDER="2"',
        "module": 'BORDER="2" STYLE="ROUNDED"', "aside": 'STYLE="DOTTED"',
    }  # fmt: skip
    style, words = KINDS[kind], LEGEND.get(kind, kind)
    colours = f'BGCOLOR="{style["fillcolor"]}" COLOR="{style["color"]}" WIDTH="{10 * measure(words):.0f}"'
    return f'<TD {colours} {border.get(kind, "")}><FONT COLOR="#000000">{words}</FONT></TD>'


def formula(program: Program, line: Line) -> str:
    """How a line is computed, as a tooltip says it."""
    name = "constant" if line.constant else program.names[line.index]
    if line.rule is None:
        return name
    operands = [symbol("array" if program.lines[i].constant and program.lines[i].shape else program.names[i]) for i in line.operands]
    return f"{name} = {_short(Expression(line.rule.function, tuple(operands), options=line.params or {}), 200)}"
