"""Pictures: the computation graph and the network of neurons, with values and gradients in them; plots of training."""

from tinygrad_bp.draw import plots
from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.graphs import graph
from tinygrad_bp.draw.networks import network

__all__ = ["Drawing", "graph", "network", "plots"]
