"""What a reader of the derivation calls the numbers of a program, and which forward lines a line pulls back."""

from __future__ import annotations

from functools import partial

from tinygrad_bp.compile.scalar_cells import is_known
from tinygrad_bp.compile.scalar_record import Recording, cells
from tinygrad_bp.compile.scalar_source import Names, Node, Nodes, reachable
from tinygrad_bp.expression import Expression
from tinygrad_bp.program import element_names
from tinygrad_bp.tensor import Tensor


class Labels:
    """The nodes of a recording in the order of the derivation, with names and comments."""

    def __init__(self, recording: Recording, nodes: Nodes, names: Names) -> None:
        self.nodes, self.cotangents = nodes, recording.cotangents
        self.users: dict[int, list[Tensor]] = {}
        self.forward: list[Node] = []
        self.backward: list[Node] = []
        for t in recording.graph:
            for x in t.inputs:
                if isinstance(x, Tensor):
                    self.users.setdefault(x.serial, []).append(t)
        self._label_forward(recording, names)
        self._label_backward(recording)

    def _label_forward(self, recording: Recording, names: Names) -> None:
        named = [
            (cell, str(name))
            for t in recording.graph
            if t.rule is not None and t.name
            for name, cell in zip(element_names(t.name, t.shape), cells(t.raw).raw.flat, strict=True)
        ]
        for cell, name in [*named, (recording.loss, "loss")]:
            node = self.nodes.node(cell)
            if node.function is not None and not node.wanted:
                node.wanted, node.own_line = names.new(name), True
                self.forward.append(node)

    def _label_backward(self, recording: Recording) -> None:
        """Deltas and gradients of leaves have lines of their own, other named cotangents if they are needed more than once."""
        forward = frozenset(reachable([self.nodes.node(recording.loss)]))  # a derivative may be among these numbers already
        for t in reversed([t for t in recording.graph if t.serial in self.cotangents]):
            for index, cell in enumerate(self.cotangents[t.serial].raw.flat):
                node = self.nodes.node(cell)
                if isinstance(cell.value, Expression) and is_known(cell) and node not in forward and not node.wanted:
                    node.wanted, node.own_line = cell.name, t.rule is None or str(t.name).startswith("net_")
                    node.comment = partial(self._comment, t, index)
                    self.backward.append(node)

    def _comment(self, t: Tensor, index: int) -> str:
        """Which forward lines are pulled back, from the loss on, each with its rules: what is inlined in the line, and the last."""
        found: dict[int, Tensor] = {}
        stack = [(t, index)]
        while stack:
            x, i = stack.pop()
            for u in self.users.get(x.serial, ()):
                if u.serial in self.cotangents and u.serial not in found:
                    found[u.serial] = u
                    every = self.cotangents[u.serial].raw.ravel()
                    alike = u.rule is not None and u.rule.kind == "pointwise" and u.shape == x.shape
                    stack += [(u, j) for j in ([i] if alike else range(len(every))) if not self._has_line(every[j])][:1]
        lines: list[tuple[str, list[str]]] = []
        for serial in sorted(found, reverse=True):
            u = found[serial]
            assert u.rule is not None
            if u.name or not lines:
                lines.append((str(u.name or ""), []))
            lines[-1][1].append(u.rule.name)
        return "back through " + ", ".join(f"{name} ({', '.join(rules)})" if name else ", ".join(rules) for name, rules in lines)

    def _has_line(self, cell: Expression) -> bool:
        """Whether a cotangent has been written on a line of its own, under a name that says so."""
        return isinstance(cell.value, Expression) and self.nodes.node(cell).name == cell.name
