"""Which letters a derivation is written in, as data: those of the graph's own names, of a document, or of the reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tinygrad_bp.errors import GraphError, NameLookupError
from tinygrad_bp.explain.structure import Structure
from tinygrad_bp.program import Program
from tinygrad_bp.tensor import Name


@dataclass(frozen=True)
class Notation:
    """Names for the parts of a network of layers.

    ``hidden`` and ``last``: weight, bias, weighted input and output of a layer. In them ``{l}`` is the number of the
    layer, counted from ``first``, and ``{n}`` the same, left out where there is only one hidden layer. ``weights``
    names single weights, all layers through, ``{k}`` counting from 1; without it they have two indices.
    """

    input: str
    target: str
    cost: str
    parts: str
    hidden: tuple[str, str, str, str]
    last: tuple[str, str, str, str]
    weights: str = ""
    first: int = 1


NOTATIONS = {
    # document "反向传播—BP", and the untitled one
    "i-h-o": Notation(
        "i", "target_o", "E_total", "E_o", ("W{l}", "b{l}", "net_h{n}", "out_h{n}"), ("W{l}", "b{l}", "net_o", "out_o"), "w{k}"
    ),
    # document "BP算法讲解"
    "x-h-y": Notation("x", "y", "E", "E_y", ("w{n}", "b{l}", "net{l}", "h{n}"), ("v", "b{l}", "net{l}", "y_hat")),
    # Nielsen's, which document "反向传播算法（过程及公式推导）" follows: layer 1 is the input
    "layers": Notation("a^1", "y", "C", "C_y", ("W^{l}", "b^{l}", "z^{l}", "a^{l}"), ("W^{l}", "b^{l}", "z^{l}", "a^{l}"), first=2),
}


def in_notation(program: Program, notation: str | Notation | Mapping[str, str] | None) -> Program:
    """The same Program with other names for its lines.

    Raises ``NameLookupError`` for a notation or a name that does not exist, ``GraphError`` where a notation names
    layers and the graph is not a network of layers that follow one another.
    """
    if notation is None:
        return program
    if isinstance(notation, Mapping):
        return renamed(program, {program.place(old): new for old, new in notation.items()})
    if isinstance(notation, str):
        if notation not in NOTATIONS:
            raise NameLookupError(
                f"there is no notation {notation!r}; there are {', '.join(map(repr, NOTATIONS))}. "
                "For names of your own give a dict, such as {'out_h': 'h'}"
            )
        notation = NOTATIONS[notation]
    return renamed(program, _names(program, notation))


def _names(program: Program, notation: Notation) -> dict[int, str]:
    structure = Structure(program)
    layers = structure.layers
    if not layers:
        raise GraphError(
            "a notation names the layers of a network, and this graph is not one in which each layer reads the one before. "
            "Give names of your own as a dict, such as {'t3': 'h'}, or with t.named(...)"
        )
    names: dict[int, str] = {layers[0].input: notation.input, program.outputs[0]: notation.cost}
    count = 0
    for l, layer in enumerate(layers, notation.first):
        templates = notation.last if layer is layers[-1] else notation.hidden
        n = "" if len(layers) <= 2 else str(l)
        weight, bias, net, out = (t.format(l=l, n=n) for t in templates)
        names |= {layer.out: out, layer.net: net, layer.weight: weight} | ({} if layer.bias is None else {layer.bias: bias})
        size = program.lines[layer.weight].value.size
        if notation.weights:
            names[layer.weight] = Name(weight, [notation.weights.format(k=count + k) for k in range(1, size + 1)])
        count += size
    return names | _around_the_loss(program, structure, layers[-1].out, notation)


def _around_the_loss(program: Program, structure: Structure, out: int, notation: Notation) -> dict[int, str]:
    """The target, which is compared with the output, and the error of each output, where it has a name."""
    shape = program.lines[out].shape
    compared = [program.lines[i] for i in structure.users[out]]
    targets = [
        i for line in compared for i in line.operands if i != out and program.lines[i].shape == shape and not program.lines[i].tracked
    ]
    parts = [line.index for line in program.lines[out + 1 :] if line.name is not None and line.shape == shape and line.index not in targets]
    return dict.fromkeys(targets[:1], notation.target) | (dict.fromkeys(parts[:1], notation.parts) if shape else {})


def renamed(program: Program, names: Mapping[int, str]) -> Program:
    """The Program with other names for some lines; an array in the source that gets a name is no longer a mere number."""
    lines = tuple(
        replace(line, name=names[line.index], constant=line.constant and not line.shape) if line.index in names else line
        for line in program.lines
    )
    return replace(program, lines=lines)
