"""A recording as the text of a program: forward, backward and update under headings, the loop around them, the numbers in and out."""

from __future__ import annotations

import builtins
import copy
import itertools
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from tinygrad_bp.compile.scalar_cells import CALLED
from tinygrad_bp.compile.scalar_labels import Labels
from tinygrad_bp.compile.scalar_record import Block, Recording
from tinygrad_bp.compile.scalar_source import Line, Listing, Node, Nodes, literal
from tinygrad_bp.expression import Expression

WIDTH = 79
GLUE = "\0"  # a space at which no line ends
AS_WRITTEN = {"sigmoid": lambda x: 1 / (1 + Expression("exp", (-x,)))}  # by a person; exp(-x) overflows for x below -709


def source(recording: Recording, careful: bool = False) -> str:
    """The program. ``careful`` leaves functions that may overflow, and the import, to whoever runs it."""
    nodes = Nodes({} if careful else AS_WRITTEN)
    loss, *gradients = results = [nodes.node(x) for x in recording.results()]
    for old, _ in recording.state.values():
        nodes.node(old).whole = old.name in recording.counts
    names = copy.deepcopy(recording.names)
    labels = Labels(recording, nodes, names)
    guards = {nodes.node(condition): taken for condition, taken in recording.guards}
    listing = Listing(names, {nodes.node(old): nodes.node(new) for old, new in recording.state.values()}, [*results, *guards])
    parts = [
        _written(listing, "forward", [*labels.forward, loss], guards),
        _written(listing, "backward", [*labels.backward, *gradients]),
    ]
    if recording.task.optimizer is None:
        program = _function(recording, listing, parts, results)
    else:
        program = _loop(recording, listing, parts, loss, [nodes.node(old) for old in recording.assigned()])
    used = sorted(_called(listing.live) - set(dir(builtins)))
    imports = [f"from math import {', '.join(used)}", "", ""] if used and not careful else []
    return "\n".join([*imports, *program]) + "\n"


def _function(recording: Recording, listing: Listing, parts: list[list[str]], results: list[Node]) -> list[str]:
    """The loss and its gradients."""
    head = _wrapped("def value_and_grad(", [*_names(recording.inputs), *_names(recording.weights)], "):")
    end = _returned(list(map(listing.said, results)))
    return [*head, *_indented(['"""The loss and its gradients."""', *_joined(parts), *end])]


def _loop(recording: Recording, listing: Listing, parts: list[list[str]], loss: Node, assigned: list[Node]) -> list[str]:
    """Updates, one after the other."""
    head = _wrapped("def train(", ["losses", "lr", *_names(recording.inputs), *recording.state], "):")
    parts[0].append(f"losses[k] = {listing.said(loss)}")
    start = len(listing.lines)
    for old in assigned:
        listing.assign(old)
    listing.finish()
    parts.append(_section(f"update: {type(recording.task.optimizer).__name__}", listing.lines[start:]))
    body = [
        '"""One update for each place of losses; returns what they changed."""',
        *_section("the same in every update", listing.once),
        "for k in range(len(losses)):",
        *_indented(_joined(parts)),
        *_returned(list(recording.state)),
    ]
    return [*head, *_indented(body)]


def _returned(names: list[str]) -> list[str]:
    """A tuple, however many there are."""
    return _wrapped("return ", names, "") if len(names) > 1 else [f"return ({''.join(f'{name},' for name in names)})"]


def _written(listing: Listing, title: str, nodes: Iterable[Node], guards: Mapping[Node, bool] = MappingProxyType({})) -> list[str]:
    """The lines of some nodes; before them, as soon as they can be, the guards: what follows may not be meant for other branches."""
    start = len(listing.lines)
    for condition, taken in guards.items():
        listing.check(condition, taken)
    for node in nodes:
        listing.write(node)
    return _section(title, listing.lines[start:])


def _section(title: str, lines: Sequence[Line]) -> list[str]:
    """Statements under their comments, each comment once for those in a row that share it."""
    written, last = [f"# {title}"] if lines else [], ""
    for statement, comment in lines:
        if comment not in ("", last):
            written += textwrap.wrap(comment, WIDTH - 8, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)
        last = comment
        written += _broken(statement)
    return written


def _broken(statement: str) -> list[str]:
    """A statement, on several lines between brackets if it needs them: broken where a person would, outside brackets and before + or -."""
    if len(statement) <= WIDTH - 8 or " = " not in statement:
        return [statement]
    name, equals, formula = re.split(r"( \S?= )", statement, maxsplit=1)
    for signs, deepest in (("-+", 0), ("-+*/", 0), ("-+", len(formula)), ("-+*/", len(formula))):
        lines = textwrap.wrap(_glued(formula, signs, deepest), WIDTH - 12, break_long_words=False, break_on_hyphens=False)
        if max(map(len, lines)) <= WIDTH - 12:
            break
    return [f"{name}{equals}(", *_indented(line.replace(GLUE, " ") for line in lines), ")"]


def _glued(formula: str, signs: str, deepest: int) -> str:
    """The formula with spaces left only before these signs, and in no more brackets than that."""
    depths = itertools.accumulate((c in "([") - (c in ")]") for c in formula)
    free = {sign.start() for sign in re.finditer(rf" (?=[{signs}] )", formula)}
    return "".join(
        GLUE if c == " " and not (k in free and depth <= deepest) else c for k, (c, depth) in enumerate(zip(formula, depths, strict=True))
    )


def _joined(parts: Iterable[list[str]]) -> list[str]:
    """Sections with an empty line between any two."""
    return list(itertools.chain.from_iterable(["", *part] for part in parts if part))[1:]


def _names(blocks: Iterable[Block]) -> list[str]:
    return [x.name for block in blocks for x in block.symbols.raw.flat]


def _called(nodes: Iterable[Node]) -> set[str]:
    """The names that a program takes from elsewhere: functions, and numbers that are not finite."""
    numbers = {literal(float(node.leaf.value)).lstrip("-") for node in nodes if node.leaf is not None and not node.name}
    return {node.function for node in nodes if node.function in CALLED} | (numbers & {"inf", "nan"})


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


def _wrapped(start: str, items: Iterable[str], end: str) -> list[str]:
    """A list, on several lines between brackets if it needs them."""
    listed = ", ".join(items)
    if len(start + listed + end) <= WIDTH - 4:
        return [f"{start}{listed}{end}"]
    opened, closed = (start, end) if start.endswith("(") else (f"{start}(", f"){end}")
    return [opened, *_indented(textwrap.wrap(f"{listed},", WIDTH - 8, break_on_hyphens=False)), closed]
