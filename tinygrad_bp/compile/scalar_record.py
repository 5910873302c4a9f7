"""A run of the user's function on symbols: forward by its own code, backward by the engine, the update by the optimizer.

Tensors hold arrays of any library, so here they hold ``Cells``. Nothing is differentiated or updated in this file: it
takes down what the rules and ``Optimizer.change`` do, and by what names a reader knows it.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.changes import next_serial
from tinygrad_bp.compile.recording import RECORDING
from tinygrad_bp.compile.scalar_cells import Cells, Whole, bound, decide, is_known, literals, meet, pointwise
from tinygrad_bp.compile.scalar_source import Names, Node, Nodes, evaluated
from tinygrad_bp.compile.task import Task, ensure_scalar
from tinygrad_bp.engine import order, pull
from tinygrad_bp.errors import CompileError, DtypeError, TinygradError
from tinygrad_bp.expression import Expression, number, symbol
from tinygrad_bp.modes import enable_grad
from tinygrad_bp.optim.optimizer import Optimizer
from tinygrad_bp.program import element_names
from tinygrad_bp.rule import RULES
from tinygrad_bp.tensor import Array, Tensor


@dataclass(frozen=True)
class Block:
    """Numbers that the program reads at every call: an array, its symbols, and where it is to be found."""

    symbols: Cells
    read: Callable[[Sequence[Array]], Any]

    def values(self, leaves: Sequence[Array]) -> dict[str, Any]:
        """The numbers that the symbols stand for now."""
        return dict(zip([x.name for x in self.symbols.raw.flat], np.ravel(np.asarray(self.read(leaves), float)), strict=True))


@dataclass(frozen=True)
class Change:
    """Numbers that every update changes: a parameter, or what the optimizer remembers of it."""

    parameter: int
    key: str | None  # of the optimizer's state; None for the parameter itself
    before: Cells
    after: Cells

    @property
    def names(self) -> list[str]:
        return [x.name for x in self.before.raw.flat]


def _held(t: Tensor, leaves: Sequence[Array]) -> Array:
    return t.raw


class Recording:
    """A task on symbols.

    ``inputs`` and ``weights`` are what the program reads; ``loss`` (of ``shape``), ``gradients`` and ``changes`` what it computes, as
    formulas. ``graph`` and ``cotangents`` are the tensors of the run, ``guards`` the conditions that the user's code asked
    for, and whether they were true.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.names = task, Names("losses", "k", "lr", "train", "value_and_grad")
        self.parameters = [w for w in task.wrt if isinstance(w, Tensor)]
        self.captured, self.remembered = eager_run(task)
        self.inputs: list[Block] = []
        self.changes: list[Change] = []
        for i, (name, leaf) in enumerate(zip(task.names, task.leaves, strict=True)):
            self.inputs.append(Block(self.symbols(name, leaf), operator.itemgetter(i)))
        for t in self.captured:
            self.inputs.append(Block(self.symbols(t.name or "constant", t.raw), partial(_held, t)))
        self.weights = [
            Block(self.symbols(p.name or name, p.raw), partial(_held, p))
            for p, name in zip(self.parameters, task.parameter_names, strict=True)
        ]
        self.values = {name: x for block in [*self.inputs, *self.weights] for name, x in block.values(task.leaves).items()}
        self.guards: list[tuple[Expression, bool]] = []
        self._run()
        self.counts: set[str] = set()  # names of whole numbers
        self.state: dict[str, tuple[Expression, Expression]] = {}  # name -> what it stands for before an update, and after it
        if task.optimizer is not None:
            self._update()

    def results(self) -> list[Expression]:
        """The loss, and the gradients where these are wanted."""
        gradients = [] if self.task.optimizer else [x for g in self.gradients if g is not None for x in g.raw.flat]
        return [self.loss, *gradients]

    def assigned(self) -> list[Expression]:
        """What an update changes, in the order of its lines: what belongs to a weight before the weight."""
        places = [(c.parameter, index, c.key is None, old) for c in self.changes for index, old in enumerate(c.before.raw.flat)]
        places.sort(key=lambda place: place[:3])
        return list({old.name: old for *_, old in places}.values())

    def symbols(self, name: str, raw: Array) -> Cells:
        """Symbols in the place of an array, named like its elements."""
        kind = raw.dtype if hasattr(raw, "dtype") else np.asarray(raw).dtype
        if kind not in (np.float64, np.int64, np.bool_):
            raise DtypeError(f"the scalar dialect computes in float64; {name} is {kind}. Use dialect='matrix', or float64")
        shape = np.shape(raw)
        held = Whole if kind == np.int64 else Cells
        return held.of([symbol(self.names.new(str(each))) for each in element_names(name, shape)], shape)

    # -- forward and backward --------------------------------------------------------------------------------------

    def _run(self) -> None:
        wrt = self.task.wrt
        count = len(self.task.leaves)
        leaves = [
            Tensor(block.symbols, requires_grad=not self.parameters and i in wrt, name=name)
            for i, (block, name) in enumerate(zip(self.inputs[:count], self.task.names, strict=True))
        ]
        held = [*zip(self.captured, self.inputs[count:], strict=True), *zip(self.parameters, self.weights, strict=True)]
        with RECORDING, enable_grad(), replaced(held), np.errstate(all="ignore"):
            loss = self._run_twice(leaves)
            self.graph = order(loss)
            on_symbols(partial(self._pull, loss))
        self.loss, self.shape = cells(loss.raw).raw.ravel()[0], loss.shape
        self.wrt = self.parameters or [leaves[i] for i in wrt]
        self.gradients = [self.cotangents.get(t.serial) for t in self.wrt]
        if self.task.optimizer is None:  # an optimizer leaves alone what has no gradient
            self.gradients = [cells(np.zeros(t.shape)) if g is None else g for t, g in zip(self.wrt, self.gradients, strict=True)]

    def _run_twice(self, leaves: list[Tensor]) -> Tensor:
        """An array of numbers that is there in both runs is one that the function reads; what is made anew is a constant."""
        first: list[np.ndarray[Any, Any]] = []
        known: dict[int, Block] = {}
        met: list[tuple[int, np.ndarray[Any, Any], Block]] = []  # when, on the clock of serial numbers

        def look(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            first.append(x)
            return literals(x)

        def know(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            before = next(again, None)
            if before is None or before.shape != x.shape or not np.array_equal(before, x, equal_nan=x.dtype.kind == "f"):
                raise CompileError(
                    f"a second run of the function with the same arguments met other values in an array of shape {x.shape}, so one "
                    "program cannot stand for it. Random numbers and whatever else changes from call to call belong among the arguments"
                )
            if before is not x:
                return literals(x)
            if id(x) not in known:
                known[id(x)] = Block(self.symbols("array", x), lambda leaves: x)
                self.values |= known[id(x)].values([])
            met.append((next_serial(), x, known[id(x)]))
            return known[id(x)].symbols.raw

        for way in (look, know):
            again, tokens = iter(first), (meet.set(way), decide.set(self._decide))
            self.guards = []
            try:
                loss: Tensor = on_symbols(partial(self.task.run, leaves))
            finally:
                meet.reset(tokens[0])
                decide.reset(tokens[1])
        self.inputs += known.values()
        _give_copies_symbols(loss, met)
        return loss

    def _decide(self, condition: Expression) -> bool:
        """The branch that the user's code takes with the numbers of this call."""
        self.guards.append((condition, evaluated(condition, self.names, self.values)))
        return self.guards[-1][1]

    def _pull(self, loss: Tensor) -> None:
        """The backward pass. Where a reader knows a tensor by name, its cotangent gets a name too, before it is pulled back further."""
        self.cotangents: dict[int, Cells] = {}
        for t, g in pull(loss, Cells(number(1))):
            names = self._derivative_names(t)
            if names:
                g.raw = self._define(names, g.raw)
            self.cotangents[t.serial] = Cells(g.raw)

    def _derivative_names(self, t: Tensor) -> list[str]:
        """``delta_o1`` for ``net_o1``, ``d_w5`` for ``w5``; nothing for what has no name."""
        if t.rule is None:
            return [f"d_{x.name}" for x in cells(t.raw).raw.flat]
        named = [str(name) for name in element_names(t.name, t.shape)] if t.name else []
        return [f"delta_{name[4:]}" if name.startswith("net_") else f"d_{name}" for name in named]

    def _define(self, names: list[str], raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        symbols = [x if is_known(x) else bound(self.names.new(name), x) for name, x in zip(names, raw.flat, strict=True)]
        return Cells.of(symbols, raw.shape).raw

    # -- the update --------------------------------------------------------------------------------------------------

    def _update(self) -> None:
        """Run ``change`` on symbols."""
        self.moving = [i for i, p in enumerate(self.parameters) if p.tracked and self.gradients[i] is not None]
        self.inputs += [block for i, block in enumerate(self.weights) if i not in self.moving]
        before = self.remembered
        for shared in (True, False):  # counts of updates are one number for all parameters, if the optimizer treats them so
            state = self._state_symbols(before, shared)
            values, after = self._changed(state)
            self._compare(before, after)
            self.changes = [
                Change(i, key, cells(state[i][key]), cells(after[i][key])) for i in self.moving for key in state[i]
            ] + [Change(i, None, self.weights[i].symbols, values[i]) for i in self.moving]  # fmt: skip
            if not shared or not self._contradictory():
                break
        for change in sorted(self.changes, key=lambda change: change.key is not None):  # the weights first
            self.state |= zip(change.names, zip(change.before.raw.flat, change.after.raw.flat, strict=True), strict=True)

    def _changed(self, state: dict[int, dict[str, Any]]) -> tuple[dict[int, Cells], dict[int, dict[str, Any]]]:
        """What the parameters and the state become."""
        optimizer = copy.copy(self.task.optimizer)
        optimizer.lr, optimizer.state = Cells(symbol("lr")), {i: dict(entry) for i, entry in state.items()}
        values = {}
        with np.errstate(all="ignore"):
            for i in self.moving:
                weight, gradient = self.weights[i].symbols, self.gradients[i]
                values[i] = weight - on_symbols(partial(optimizer.change, i, weight, gradient))
        return values, optimizer.state

    def _state_symbols(self, state: dict[int, dict[str, Any]], shared: bool) -> dict[int, dict[str, Any]]:
        counts: dict[Any, Cells] = {}

        def symbols(i: int, key: str, value: Any) -> Cells:
            weights, shape = self.weights[i].symbols, np.shape(value)
            if shape == weights.shape and not isinstance(value, int):
                return Cells.of([symbol(self.names.new(f"{key}_{w.name}")) for w in weights.raw.flat], shape)
            if shape != ():
                raise CompileError(f"the update of {type(self.task.optimizer).__name__} cannot be written out: {key} has shape {shape}")
            place = (key, value if shared else i)
            if place not in counts:
                name = self.names.new(key)
                counts[place] = Cells(symbol(name))
                self.counts |= {name} if isinstance(value, int) else set()
            return counts[place]

        return {i: {key: symbols(i, key, value) for key, value in state.get(i, {}).items()} for i in self.moving}

    def _compare(self, before: dict[int, dict[str, Any]], after: dict[int, dict[str, Any]]) -> None:
        shapes = [{i: {key: np.shape(v) for key, v in state.get(i, {}).items()} for i in self.moving} for state in (before, after)]
        if shapes[0] != shapes[1]:
            raise CompileError(
                f"the update of {type(self.task.optimizer).__name__} cannot be written out: what it remembers changes its form"
            )

    def _contradictory(self) -> bool:
        """Whether one number was to become two."""
        nodes = Nodes({})
        found: dict[Node, Node] = {}
        for change in self.changes:
            for old, new in zip(change.before.raw.flat, change.after.raw.flat, strict=True):
                if found.setdefault(nodes.node(old), nodes.node(new)) is not nodes.node(new):
                    return True
        return False


def cells(x: Any) -> Cells:
    """An array as symbols, also where it is one of plain numbers."""
    return x if isinstance(x, Cells) else Cells.of(np.ravel(x), np.shape(x))


@enable_grad()
def eager_run(task: Task) -> tuple[list[Tensor], dict[int, dict[str, Any]]]:
    """What a run shows: the tensors that the function reads beside its arguments and parameters, which may have other values at
    the next call, and what the optimizer remembers from one update to the next."""
    if task.optimizer is not None and type(task.optimizer).step is not Optimizer.step:
        raise CompileError(
            f"the update of {type(task.optimizer).__name__} cannot be written out: its step() is not that of Optimizer. "
            "Compile without the optimizer, and call its step()"
        )
    leaves = [Tensor(a, requires_grad=not task.parameters and i in task.wrt) for i, a in enumerate(task.leaves)]
    start = Tensor(0.0).serial
    own = {t.serial for t in (*leaves, *task.wrt) if isinstance(t, Tensor)}
    loss = task.run(leaves)
    ensure_scalar(loss)
    found: dict[int, Tensor] = {}
    for t in order(loss):
        for x in (t, *t.inputs):
            if isinstance(x, Tensor) and x.rule is None and x.serial < start and x.serial not in own:
                found[x.serial] = x
    return [found[serial] for serial in sorted(found)], remembered(task, loss) if task.optimizer else {}


def remembered(task: Task, loss: Tensor) -> dict[int, dict[str, Any]]:
    """The optimizer's state, as it is or as it will be after the first update."""
    gradients = {t.serial: g for t, g in pull(loss, np.ones_like(loss.raw))}
    optimizer = copy.copy(task.optimizer)
    state: dict[int, dict[str, Any]] = {}
    for i, p in enumerate(task.wrt):
        if p.tracked and p.serial in gradients:
            optimizer.state = {i: dict(task.optimizer.state[i])} if i in task.optimizer.state else {}
            if not optimizer.state:
                optimizer.change(i, p.raw, gradients[p.serial])
            state |= optimizer.state
    return state


def _give_copies_symbols(loss: Tensor, met: list[tuple[int, np.ndarray[Any, Any], Block]]) -> None:
    """``record`` keeps copies of the user's arrays for the backward pass: they get the symbols of what they were copied from."""
    past = 0
    for t in order(loss):
        own = [(x, block) for serial, x, block in met if past < serial < t.serial]
        arrays = list(t.arrays)
        for i, a in enumerate(arrays):
            if isinstance(a, np.ndarray):
                same = next(
                    (j for j, (x, _) in enumerate(own) if x.shape == a.shape and np.array_equal(x, a, equal_nan=x.dtype.kind == "f")), None
                )
                arrays[i] = a if same is None else own.pop(same)[1].symbols
        t.arrays = tuple(arrays)
        past = t.serial


@contextmanager
def replaced(held: Sequence[tuple[Tensor, Block]]) -> Iterator[None]:
    """Symbols in tensors, and functions that take them as one step, for the time of the recording."""
    values = [t.raw for t, _ in held]
    rule = RULES[functions.sigmoid]
    run = rule.run
    try:
        rule.run = lambda x: pointwise(functions.sigmoid, x) if isinstance(x, Cells) else run(x)
        for t, block in held:
            t.raw = block.symbols
        yield
    finally:
        rule.run = run
        for (t, _), value in zip(held, values, strict=True):
            t.raw = value


def on_symbols(run: Callable[[], Any]) -> Any:
    """The result of code that runs on symbols; where it cannot, an error that says so."""
    try:
        return run()
    except TinygradError:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        raise CompileError(f"this function cannot be written out on single numbers: {error}. Use dialect='matrix'") from error
