"""Pictures: the graph, the circuit and the network of neurons, with values and gradients, step by step; plots of training."""

import sys
from typing import NoReturn

from tinygrad_bp.callable_module import CallableModule
from tinygrad_bp.draw import plots
from tinygrad_bp.draw.circuits import circuit
from tinygrad_bp.draw.doctor import Layout, examine
from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.flow import backward
from tinygrad_bp.draw.graphs import graph
from tinygrad_bp.draw.networks import network
from tinygrad_bp.draw.passes import steps
from tinygrad_bp.draw.progress import training
from tinygrad_bp.draw.steps import Step, Steps

__all__ = ["Drawing", "Layout", "Step", "Steps", "backward", "circuit", "examine", "graph", "network", "plots", "steps", "training"]


class _Pictures(CallableModule):
    def __call__(self, *args: object, **options: object) -> NoReturn:
        raise TypeError(
            "tg.draw has a function for each kind of picture. Write tg.draw.graph(loss), .network(loss), .circuit(loss), "
            ".backward(loss) or .steps(loss)"
        )


sys.modules[__name__].__class__ = _Pictures
