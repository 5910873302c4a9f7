"""Both sweeps as one Program: the lines of a graph, and behind them the lines of its backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_bp.errors import GraphError
from tinygrad_bp.functions import sum_to
from tinygrad_bp.modes import enable_grad
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Tensor, record


def both_sweeps(program: Program) -> tuple[Program, int]:
    """The Program with its backward pass recorded too, and how many lines the forward pass has.

    The lines are run again as tensors, and the rules' own formulas on them; so the gradients are outputs of an
    ordinary graph, named dE/dw. Raises ``GraphError`` where the output is no scalar.
    """
    output = program.output
    if output.value.size != 1:
        raise GraphError(f"the output has shape {output.shape}; gradients are those of a scalar. Take .sum() or .mean()")
    with enable_grad():
        leaves: dict[int, Any] = {
            line.index: line.value if line.constant else Tensor(line.value, requires_grad=line.tracked, name=line.name)
            for line in program
            if line.rule is None
        }
        results = program.replay(leaves, _again)
        forward = len(Program.of(results[output.index]))
        seed = Tensor(np.ones_like(output.value), requires_grad=True, name=_derivative(program, output.index, output.index))
        found = program.reverse(results, {output.index: seed}, fit=lambda g, line, user: sum_to(g, line.shape))
    gradients = []
    for line in reversed(program.lines):  # the delta of a neuron is the gradient of its bias too, and has both names
        g = found.get(line.index)
        if line.tracked and isinstance(g, Tensor) and g.tracked and g is not seed:
            if line.name is not None:
                g.name = " = ".join(filter(None, [g.name, _derivative(program, output.index, line.index)]))
            if line.rule is None:
                gradients.append(g)
    return Program.of(results[output.index], *gradients), forward


def _derivative(program: Program, of: int, by: int) -> str:
    return f"d{program.names[of]}/d{program.names[by]}"


def _again(line: Any, operands: Any) -> Any:
    result = record(line.rule, tuple(operands), line.params)
    result.name = line.name
    return result
