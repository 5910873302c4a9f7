"""A network of neurons as pictures need it: which units, weights and errors a Program has, their names and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp.draw.labels import GRADIENT, Number, Run, short
from tinygrad_bp.draw.layers import Layer, find_layers, target_and_error
from tinygrad_bp.errors import GraphError
from tinygrad_bp.expression import format_number
from tinygrad_bp.letters import spoken
from tinygrad_bp.nn import Module
from tinygrad_bp.program import Program, element_names
from tinygrad_bp.tensor import Tensor

Index = tuple[int, ...]


class Network:
    """The chain of layers behind an output, unit by unit, for one sample.

    ``bare``: only the parameters have values that mean anything; the run was one for its structure.
    """

    def __init__(self, program: Program, digits: int = 6, gradients: bool = True, sample: int = 0, bare: bool = False) -> None:
        program = spoken(program, layers=False)  # its neurons have names of their own
        self.program, self.digits, self.bare = program, digits, bare
        self.layers = find_layers(program)
        self.target, self.error = target_and_error(program, self.layers[-1].out)
        x = program.lines[self.layers[0].x]
        self.batch = x.shape[:-1]
        self.samples = int(np.prod(self.batch))
        if not 0 <= sample < max(self.samples, 1):
            raise GraphError(f"the batch has {self.samples} samples, counted from 0; got sample={sample}")
        self.which = sample
        self.sample = tuple(map(int, np.unravel_index(sample, self.batch))) if self.batch else ()
        found = program.gradients if gradients and program.output.value.size == 1 and not bare else {}
        self.gradients: Mapping[int, Any] = {place: g for place, g in found.items() if program.lines[place].tracked}

    @classmethod
    def of(cls, output: Tensor | Program | Module, digits: int = 6, gradients: bool = True, sample: int = 0) -> Network:
        """That of a loss, of the output of a network, or of a model without a run."""
        if isinstance(output, Module):
            return cls(_dry_run(output), digits, gradients, bare=True)
        return cls(output if isinstance(output, Program) else Program.of(output), digits, gradients, sample)

    def width(self, k: int) -> int:
        """How many units column k has: the inputs are column 0, the neurons of layer k column k + 1."""
        return self.layers[0].fan(self.program)[0] if k == 0 else self.layers[k - 1].fan(self.program)[1]

    @property
    def has_loss(self) -> bool:
        """Whether the output is a number that is computed from the last layer's outputs, rather than one of these."""
        return self.program.output.value.size == 1 and self.program.output.index != self.layers[-1].out

    @property
    def loss_name(self) -> str:
        return short(str(self.program.output.name or "loss"))

    def is_shared(self, layer: Layer) -> bool:
        """Whether one number is the bias of every neuron of the layer."""
        bias = None if layer.bias is None else self.program.lines[layer.bias]
        return bias is not None and bias.value.size == 1 and (not bias.shape or layer.fan(self.program)[1] > 1)

    # -- numbers -------------------------------------------------------------------------------------------------

    def at(self, place: int, j: int) -> Index:
        """The index of unit j's number in a line of units; of a batch, in the sample that is drawn."""
        shape = self.program.lines[place].shape
        if self.layers[-1].vector and shape == self.batch:
            return self.sample
        return (*self.sample[: len(shape) - 1], j) if shape else ()

    def number(self, place: int, index: Index, gradient: bool = False) -> float | None:
        """An element of a line's value or gradient; None where there is none."""
        if (gradient and place not in self.gradients) or (self.bare and not self._is_parameter(place)):
            return None
        value = self.gradients[place] if gradient else self.program.lines[place].value
        return float(np.asarray(value)[index] if np.ndim(value) else value)

    def run(self, words: str, place: int | None, index: Index, gradient: bool = False) -> Run | None:
        """Words and an element of a line, as text; None where there is no number."""
        if place is None or (value := self.number(place, index, gradient)) is None:
            return None
        text = f"{words} {format_number(value, self.digits)}".strip()
        return Run(text, colour=GRADIENT if gradient else "", number=Number(place, index, gradient))

    def _is_parameter(self, place: int) -> bool:
        return any(place in (layer.weight, layer.bias) for layer in self.layers)

    # -- names ---------------------------------------------------------------------------------------------------

    def names(self, place: int, default: str) -> list[str]:
        """A name for each unit of a line."""
        line = self.program.lines[place]
        shape = line.shape if getattr(line.name, "elements", ()) else line.shape[-1:]
        if self.layers[-1].vector and line.shape == self.batch:
            shape = ()
        return [str(name) for name in element_names(default if line.name is None else line.name, shape)]

    def weight_name(self, layer: Layer, index: Index) -> str:
        weight = self.program.lines[layer.weight]
        if layer.weight not in self._weight_names:  # of a large layer they take a while
            self._weight_names[layer.weight] = element_names(weight.name or "w", weight.shape)
        return str(self._weight_names[layer.weight][int(np.ravel_multi_index(index, weight.shape))])

    @cached_property
    def _weight_names(self) -> dict[int, list[str | None]]:
        return {}

    @cached_property
    def titles(self) -> list[list[tuple[str, str, str]]]:
        """For each layer and neuron its name and those of its values: net_h1 and out_h1 are the net and out of h1."""
        return [self._titles(k) for k in range(len(self.layers))]

    def _titles(self, k: int) -> list[tuple[str, str, str]]:
        layer, last = self.layers[k], k + 1 == len(self.layers)
        nets, outs = self.names(layer.net, "net"), self.names(layer.out, "out")
        default = "o" if last else "h" if len(self.layers) == 2 else f"h{k + 1}_"
        return [_neuron(net, out, f"{default}{j + 1}") for j, (net, out) in enumerate(zip(nets, outs, strict=True))]


def _dry_run(model: Module) -> Program:
    """One run on zeros, for its structure."""
    modules = [model]
    for module in modules:  # grows on the way
        modules += [child for _, child in module.children()]
    widths = [module.in_features for module in modules if hasattr(module, "in_features")]
    if not widths:
        raise GraphError(
            "the model has no Linear layer that says how many inputs it takes. Give the output of a run: tg.draw.network(model(x))"
        )
    return Program.of(model(Tensor(np.zeros(widths[0]), name="x")))


def _neuron(net: str, out: str, default: str) -> tuple[str, str, str]:
    """Its name and those of its values: net_h1 and out_h1 are the net and out of h1."""
    (head, _, tail), (other, _, same) = net.partition("_"), out.partition("_")
    if tail and (tail == same or net == out):
        return tail, head, other
    if net.startswith("net") and net[3:].isdigit():  # nameless
        net = "net"
    if out.startswith("out") and out[3:].isdigit():
        out = "out"
    return default, net, out
