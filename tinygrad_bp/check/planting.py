"""Backward passes with a mistake in them: each entry of the catalogue at each place of a network where it can be made."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from tinygrad_bp.check.anatomy import Anatomy, Layer
from tinygrad_bp.check.mistakes import CATALOGUE, OTHERS, Mistake
from tinygrad_bp.check.written_out import Edge
from tinygrad_bp.functions import sum_to
from tinygrad_bp.program import Line, Program, element_names

Array = np.ndarray[Any, Any]
OTHER = {mistake.name: mistake for mistake in OTHERS}


@dataclass(frozen=True)
class Planted:
    """A mistake at its places: other formulas on some edges, other derivatives at some lines, or other values."""

    mistakes: tuple[str, ...]
    places: tuple[str, ...]
    sentence: str
    edges: Mapping[Edge, Callable[[Any], Any]] = field(default_factory=dict)
    nodes: Mapping[int, Any] = field(default_factory=dict)
    values: Sequence[Any] | None = None

    def __add__(self, other: Planted) -> Planted:
        return Planted(
            self.mistakes + other.mistakes, self.places + other.places, f"{self.sentence}; also: {other.sentence}",
            {**other.edges, **self.edges}, {**other.nodes, **self.nodes}, other.values if self.values is None else self.values,
        )  # fmt: skip

    def meets(self, other: Planted) -> bool:
        """Whether both say something about the same place, so that they cannot be made together."""
        both_values = self.values is not None and other.values is not None
        return both_values or bool(self.edges.keys() & other.edges.keys() or self.nodes.keys() & other.nodes.keys())

    @property
    def first(self) -> int | None:
        """The line nearest the loss that it concerns; ``None`` if all are."""
        return None if self.values is not None else max([line for line, _ in self.edges] + list(self.nodes))

    def run(self, program: Program, seeds: Mapping[int, Any], needed: Container[int]) -> dict[int, Any] | None:
        """The backward pass with it: line -> derivative, for lines that are needed; ``None`` where shapes no longer fit.

        ``seeds``: what has arrived before the first of its lines passes anything on.
        """
        values = program.values if self.values is None else self.values

        def derivative(line: Line, i: int, g: Any, operands: Sequence[Any], result: Any) -> Any:
            if line.operands[i] not in needed:
                return None
            g = self.nodes.get(line.index, g)
            if (formula := self.edges.get((line.index, i))) is not None:
                return formula(g)
            assert line.rule is not None
            gx = np.asarray(line.rule.derivative(i, g, operands, result, line.params))
            return gx if np.shape(g) != line.shape else sum_to(gx, program.lines[line.operands[i]].shape)

        try:
            with np.errstate(all="ignore"):
                return dict(program.gradients) | program.reverse(values, seeds, derivative=derivative) | dict(self.nodes)
        except (ValueError, IndexError, TypeError):
            return None


def arrived(program: Program, first: int | None) -> dict[int, Any]:
    """The derivatives that lines up to ``first`` have got from those after it; for ``None`` that of the output."""
    if first is None:
        return {program.output.index: np.ones_like(program.output.value)}
    seed = {program.output.index: np.ones_like(program.output.value)}
    above = replace(program, lines=tuple(replace(line, rule=None) if line.index <= first else line for line in program.lines))
    found = above.reverse(program.values, seed, fit=lambda g, line, user: sum_to(np.asarray(g), line.shape))
    return {line: g for line, g in found.items() if line <= first}


def plants(anatomy: Anatomy, lr: float | None = None, previous: Mapping[int, Array] | None = None) -> Iterator[Planted]:
    """Every mistake of the catalogue at every place: each layer, all hidden layers, all layers."""
    if not anatomy.layers:
        return
    for mistake in CATALOGUE:
        yield from _in_loss(anatomy, mistake) if mistake.part in ("loss", "net") else _in_layers(anatomy, mistake, lr)
    yield from _in_values(anatomy, previous or {})


def _in_loss(anatomy: Anatomy, mistake: Mistake) -> Iterator[Planted]:
    ((part, formula),) = mistake.formulas.items()
    last, program = anatomy.layers[-1], anatomy.program
    line = last.net if part == "net" else last.out
    for k in mistake.variants(last, None):
        with np.errstate(all="ignore"):
            g = formula(anatomy, last.rows(program.gradients[line]), k)
        if g is not None:
            sentence = mistake.says.format_map(_Words(last, k))
            yield Planted((mistake.name,), (program.names[line],), sentence, nodes={line: last.unrow(g, program.lines[line].shape)})


def _in_layers(anatomy: Anatomy, mistake: Mistake, lr: float | None) -> Iterator[Planted]:
    """At each layer, and with the same variant at all hidden ones and at all."""
    found: dict[Any, list[tuple[Layer, Planted]]] = {}
    for layer in reversed(anatomy.layers):
        for k in mistake.variants(layer, lr):
            for p in _at(layer, mistake, k):
                found.setdefault((k, next(iter(p.edges))[1] if len(mistake.formulas) > 1 else 0), []).append((layer, p))
                yield p
    for same in found.values():
        every, hidden = [p for _, p in same], [p for layer, p in same if not layer.last]
        if len(hidden) > 1:
            yield _repeated(hidden, "every hidden layer")
        if len(every) > 1 and every != hidden:
            yield _repeated(every, "every layer")


def _repeated(several: Sequence[Planted], where: str) -> Planted:
    """The same mistake at several layers."""
    edges = {edge: f for p in several for edge, f in p.edges.items()}
    places = tuple(place for p in several for place in p.places)
    return Planted(several[0].mistakes, places, f"{several[0].sentence}; and so at {where}", edges)


def _at(layer: Layer, mistake: Mistake, k: Any) -> Iterator[Planted]:
    """A mistake at one layer: at all its parts, and at each alone."""
    edges = [e for part, f in mistake.formulas.items() if (e := _edges(layer, part, f, k))]
    words = _Words(layer, k)
    for chosen in [*edges, {**edges[0], **edges[-1]}] if len(edges) > 1 else edges:
        at, i = max(chosen)
        place = layer.program.names[layer.net if "activation" in mistake.formulas else layer.program.lines[at].operands[i]]
        yield Planted((mistake.name,), (place,), mistake.says.format_map(words), chosen)


def _edges(layer: Layer, part: str, formula: Callable[[Any, Array, Any], Any], k: Any) -> dict[Edge, Callable[[Any], Any]]:
    """The edges of a part of a layer with another formula; none where it does not apply."""
    lines = layer.program.lines

    def wrong(g: Any) -> Any:
        if np.shape(g) != lines[at].shape:
            raise ValueError("another mistake has left a shape that this formula does not take")
        return formula(layer, layer.rows(g), k)

    at = layer.out if part == "activation" else layer.net
    with np.errstate(all="ignore"):
        if (part == "activation" and layer.activation is None) or (part == "bias" and layer.bias is None):
            return {}
        if formula(layer, layer.rows(np.ones(lines[layer.net].shape)), k) is None:
            return {}
    if part == "activation":
        assert layer.activation is not None
        shape = lines[layer.net].shape
        return layer.activation.passing(layer.program, lambda g: layer.unrow(wrong(g), shape))
    if part == "back":
        return {layer.back: lambda g: layer.unrow(wrong(g), lines[layer.x].shape)}
    if part == "bias":
        assert layer.bias is not None
        return {layer.bias: lambda g: _bias_shaped(wrong(g), layer.bias_shape, layer.columns)}
    operand = lines[lines[layer.weights[0]].operands[layer.weights[1]]]

    def weights(g: Any) -> Any:
        w = wrong(g)
        return w if not layer.turned else np.swapaxes(w, -1, -2) if operand.rule is None and w.ndim > 1 else w.T

    return {layer.weights: weights}


def _bias_shaped(g: Any, shape: tuple[int, ...], columns: bool) -> Array:
    """A single sample's row is written as a vector; what has as many numbers as the bias has its shape."""
    g = np.asarray(g)
    if g.size == int(np.prod(shape)):
        return np.asarray(g.reshape(shape))
    return np.asarray(g[0] if g.ndim > 1 and len(g) == 1 else g.T if columns else g)


class _Words(dict[str, Any]):
    """The words of a sentence: the layer's, the variant's, and sums written out where they are short."""

    def __init__(self, layer: Layer, k: Any) -> None:
        super().__init__(layer.words)
        self.layer, self["k"] = layer, k
        program = layer.program
        names = np.array(element_names(program.lines[layer.weight].name, program.lines[layer.weight].shape), dtype=object)
        names = names.reshape(program.lines[layer.weight].shape)
        direct = program.lines[layer.weights[0]].operands[layer.weights[1]] == layer.weight
        self.weights = names.T if layer.turned == direct else names  # (out, in): the operand is the leaf or its transpose

    def __missing__(self, key: str) -> str:
        """The sums back to the first neuron below, where they are short."""
        E, program, layer = self["E"], self.layer.program, self.layer
        if key in ("neuron", "input"):
            return self._element(layer.net if key == "neuron" else layer.x)
        if key == "exchanged":
            return " and ".join(str(self.weights[place]) for place in self["k"])
        column = self.weights[:, 0]
        short = len(column) <= 3 and len(layer.X) == 1 and all(column)
        if key == "gradients":
            return " + ".join(f"d{E}/d{w}" for w in column) if short else f"d{E}/d{self['W']}"
        if key == "first":
            return element_names(program.lines[layer.x].name, program.lines[layer.x].shape)[0] or self["x"] if short else str(self["x"])
        if key == "paths":
            net = element_names(program.lines[layer.net].name, program.lines[layer.net].shape)
            if not short or not all(net):
                return f"d{E}/d{self['net']} times {self['W']}"
            return " + ".join(f"d{E}/d{z} * {w}" for z, w in zip(net, column, strict=True))
        return "this"

    def _element(self, line: int) -> str:
        """The neuron that a variant is about."""
        k, of = self["k"], self.layer.program.lines[line]
        if isinstance(k, str):
            return k
        names = element_names(of.name, of.shape)
        return names[k] or str(k + 1) if len(self.layer.X) == 1 else f"number {k + 1} of {self.layer.program.names[line]}"


def _in_values(anatomy: Anatomy, previous: Mapping[int, Array]) -> Iterator[Planted]:
    """Backward passes on values that are not those of the forward pass."""
    program = anatomy.program
    rounded, stale = OTHER["rounded values"], OTHER["stale values"]
    names = [program.names[line] for line in previous]
    for name, (line, value) in zip(names, previous.items(), strict=True):
        values = list(program.values)
        values[line] = value
        yield Planted((stale.name,), (name,), stale.says.format(k=name), values=values)
    if previous:
        yield Planted((stale.name,), tuple(names), stale.says.format(k=listed(names)), values=program.replay(previous))
    written = {line for layer in anatomy.layers for line in (layer.net, layer.out)}

    def run(line: Line, operands: Sequence[Any], k: int) -> Any:
        assert line.rule is not None
        value = line.rule.function(*operands, **(line.params or {}))
        return np.round(value, k) if line.index in written else value

    for k in (6, 5, 4, 3, 2, 1):
        with np.errstate(all="ignore"):
            values = program.replay({}, partial(run, k=k))
        edges: dict[Edge, Callable[[Any], Any]] = {}
        for layer in anatomy.layers:  # what was written out is not recorded as it is rounded
            if layer.activation is not None and len(layer.activation.edges) > 1:
                edges |= layer.activation.passing(program, partial(_passed, layer, values[layer.out]))
        yield Planted((rounded.name,), (), rounded.says.format(k=k), edges, values=values)


def _passed(layer: Layer, out: Any, g: Any) -> Array:
    """From the derivative by A to that by Z, by the activation's formula in terms of A."""
    assert layer.activation is not None
    a, g = layer.rows(out), layer.rows(g)
    if layer.activation.slope.name == "softmax":
        return layer.unrow(a * (g - np.sum(a * g, axis=1, keepdims=True)), np.shape(out))
    return layer.unrow(layer.activation.slope.of_a(a) * g, np.shape(out))


def listed(names: Sequence[str]) -> str:
    shown = list(names) if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
