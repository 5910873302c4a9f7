"""Pictures: the computation graph and the network of neurons, with values and gradients in them; plots of training."""

from tinygrad_bp.draw import plots
from tinygrad_bp.draw.circuits import circuit
from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.flow import backward
from tinygrad_bp.draw.graphs import graph
from tinygrad_bp.draw.networks import network

__all__ = ["Drawing", "backward", "circuit", "graph", "network", "plots"]
