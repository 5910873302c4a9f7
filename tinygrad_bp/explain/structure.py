"""What a graph is as a network: its weighted inputs, and its layers where they follow one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.program import Line, Program
from tinygrad_bp.rule import RULES

ADD = RULES[np.add]
REARRANGED = {"transpose", "swapaxes", "reshape", "expand_dims", "broadcast_to", "join", "take", "cast"}


@dataclass(frozen=True)
class Layer:
    """Lines of a Program: ``net`` is the weighted input, ``out`` what the activation makes of it, or ``net`` again."""

    weight: int
    bias: int | None
    input: int
    net: int
    out: int


class Structure:
    """Reads the layers off a Program: a weighted input is a sum of products with leaves, and of biases."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lines = program.lines

    @cached_property
    def users(self) -> list[list[int]]:
        """The lines that read each line."""
        found: list[list[int]] = [[] for _ in self.lines]
        for line in self.lines:
            for i in dict.fromkeys(line.operands):
                found[i].append(line.index)
        return found

    def source(self, place: int) -> int:
        """Where the numbers of a line come from, if it only rearranges them."""
        while (line := self.lines[place]).rule is not None and line.rule.name in REARRANGED:
            place = line.operands[0]
        return place

    def learned(self, place: int) -> bool:
        """Whether its numbers are those of a leaf that requires gradients."""
        line = self.lines[self.source(place)]
        return line.rule is None and line.tracked

    @cached_property
    def sums(self) -> dict[int, list[tuple[int, int]]]:
        """Each line that is a sum of products with leaves -> those products, as (weight, input)."""
        found: dict[int, list[tuple[int, int]]] = {}
        for line in self.lines:
            products = list(self._products(line, found))
            if products:
                found[line.index] = products
        return found

    def _products(self, line: Line, found: dict[int, list[tuple[int, int]]]) -> Iterator[tuple[int, int]]:
        function = line.rule.function if line.rule else None
        if function is np.matmul or function is functions.linear:
            a, b = line.operands[:2]
            if self.learned(b) and self.lines[b].shape:
                yield self.source(b), a
            elif self.learned(a):
                yield self.source(a), b
        elif function is np.add and all(i in found or self.learned(i) for i in line.operands):
            yield from (pair for i in line.operands for pair in found.get(i, []))

    @cached_property
    def nets(self) -> dict[int, list[tuple[int, int]]]:
        """The weighted inputs: such sums that are not part of a longer one."""
        parts = {i for user in self.sums for i in self.lines[user].operands if self.lines[user].rule is ADD}
        return {i: pairs for i, pairs in self.sums.items() if i not in parts}

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers, first to last, of a network where each reads the one before alone; otherwise none."""
        layers: list[Layer] = []
        for net, pairs in sorted(self.nets.items()):
            if len(pairs) != 1 or (layers and self.source(pairs[0][1]) != layers[-1].out):
                return []
            weight, x = pairs[0]
            layers.append(Layer(weight, self._bias(net, weight), self.source(x), net, self.activated(net)))
        return layers if layers and self._only_way(layers) else []

    def _bias(self, net: int, weight: int) -> int | None:
        line = self.lines[net]
        added = line.operands if line.rule is ADD else line.operands[2:]  # of x @ weight.T + bias as one operation
        leaves = [self.source(i) for i in added if self.learned(i) and self.source(i) != weight]
        return leaves[-1] if leaves else None

    def activated(self, net: int) -> int:
        """The line of the same size that alone reads a weighted input, if it reads nothing else that is tracked."""
        if len(self.users[net]) == 1:
            user = self.lines[self.users[net][0]]
            others = [i for i in user.operands if i != net and self.lines[i].tracked]
            if user.shape == self.lines[net].shape and not others and user.rule is not None and len(user.rule.arguments) == 1:
                return user.index
        return net

    def _only_way(self, layers: list[Layer]) -> bool:
        """Whether the output of each layer goes to the next and nowhere else."""
        return all(len([u for u in self.users[layer.out] if self.lines[u].tracked]) == 1 for layer in layers[:-1])
