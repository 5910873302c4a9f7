"""Which module each line of a Program belongs to, read off the parameters: running a model records nothing for it.

A line belongs to the module whose parameters it reads; an activation to the module whose result it alone reads. What does
something else with results, reads those of several modules or brings in new data, such as a target, belongs to
what encloses these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tinygrad_bp.draw.layers import is_activation
from tinygrad_bp.nn import Module
from tinygrad_bp.program import Program

Path = tuple[str, ...]  # names of modules, the outermost first


@dataclass
class Group:
    """Lines that are drawn as one box: one use of a module."""

    path: Path
    lines: list[int] = field(default_factory=list)
    is_read: bool = False  # by a line outside


class Modules:
    """The module of each line of a Program.

    With ``model`` parameters are known by identity, without it by the names that modules give them, "0.weight".
    """

    def __init__(self, program: Program, model: Module | None = None) -> None:
        self.program = program
        self.types = dict(_types(model)) if model is not None else {}
        known = dict(_parameters(model)) if model is not None else {}
        leaves = {place: known[serial] for serial, place in program.serials.items() if serial in known}
        self.learned: list[bool] = []  # parameters and their rearrangements, such as W.T
        readers = Counter(place for line in program for place in set(line.operands))
        activations: set[int] = set()
        paths: list[Path | None] = []  # None is what has no place of its own: data from outside, a parameter that was renamed
        for line in program:
            if line.rule is None:
                self.learned.append(line.tracked)
                paths.append(leaves.get(line.index, _path(line.path or line.name) or None) if line.tracked else None)
                continue
            reads = [i for i in line.operands if not self.is_number(i)]
            own = [i for i in reads if self.learned[i]]
            self.learned.append(line.rule.kind == "linear" and len(own) == len(line.operands) == 1)
            if own:
                placed = [path for i in own if (path := paths[i]) is not None]
                paths.append(_common(placed) if placed else None)
                continue
            path = _common([paths[i] or () for i in reads])
            if is_activation(line.rule) and len(reads) == 1 and readers[reads[0]] == 1 and reads[0] not in activations:
                activations.add(line.index)
            paths.append(path if line.index in activations else path[:-1])
        self.paths = [path or () for path in paths]
        for line in reversed(program.lines):  # numbers in the source, and parameters without a place, belong to what reads them
            for i in line.operands:
                if self.is_number(i) or (self.learned[i] and paths[i] is None):
                    self.paths[i] = self.paths[line.index]

    def is_number(self, place: int) -> bool:
        """Whether a line is a plain number in the source."""
        return self.program.lines[place].constant and not self.program.lines[place].shape

    def collapse(self, depth: int) -> dict[int, Group]:
        """Line -> the box that it is drawn in, for lines of modules that lie ``depth`` deep or deeper.

        A module that is used twice gets two boxes where one would make a circle. Parameters, and numbers in the
        source, are in the box of the line that reads them.
        """
        groups: dict[int, Group] = {}
        latest: dict[Path, Group] = {}
        for line in self.program:
            path = self.paths[line.index][:depth]
            data = [i for i in line.operands if not (self.learned[i] or self.is_number(i))]
            if line.rule is not None and not self.learned[line.index] and len(path) == depth:
                group = latest.setdefault(path, Group(path))
                if group.is_read and any(groups.get(i) is not group for i in data):
                    group = latest[path] = Group(path)
                group.lines.append(line.index)
                groups[line.index] = group
            for i in data:
                if i in groups and groups[i] is not groups.get(line.index):
                    groups[i].is_read = True
        for line in reversed(self.program.lines):
            for i in line.operands if line.index in groups else ():
                inside = self.learned[i] or self.is_number(i)
                if inside and i not in groups and self.paths[i][:depth] == groups[line.index].path:
                    groups[i] = groups[line.index]
                    groups[i].lines.append(i)
        return groups


def _types(module: Module, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The class of each module."""
    for name, child in module.children():
        yield (*path, name), type(child).__name__
        yield from _types(child, (*path, name))


def _parameters(module: Module, path: Path = ()) -> Iterator[tuple[int, Path]]:
    """(serial, module) of each parameter; one that several modules share belongs to the first."""
    seen: set[int] = set()
    for name, child in module.children():
        for serial, where in _parameters(child, (*path, name)):
            if serial not in seen:
                seen.add(serial)
                yield serial, where
    for p in module.parameters():
        if p.serial not in seen:
            seen.add(p.serial)
            yield p.serial, path


def _path(name: str | None) -> Path:
    """The modules in a parameter's name: the numbers in encoder.layers.0.weight count the items of a list."""
    path: list[str] = []
    for part in str(name or "").split(".")[:-1]:
        if part.isdigit() and path:
            path[-1] += f".{part}"
        else:
            path.append(part)
    return tuple(path)


def _common(paths: Sequence[Path]) -> Path:
    """The innermost module that encloses all."""
    if not paths:
        return ()
    first, last = min(paths), max(paths)
    same = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]
