"""One run of a function, its backward pass and the optimizer's update, as a list of NumPy calls.

The forward functions, the rules of the table and ``Optimizer.change`` run as they stand, on arrays that write down
what is done to them. No derivative and no update formula is stated here.
"""

from __future__ import annotations

import contextlib
import itertools
import keyword
import operator
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_bp import expression, functions
from tinygrad_bp.changes import CHANGES
from tinygrad_bp.compile.task import Task, ensure_scalar, structure
from tinygrad_bp.compile.trace import VIEWS, Node, Trace, Traced, quiet_exp, same_places, scattered
from tinygrad_bp.engine import project
from tinygrad_bp.errors import CompileError
from tinygrad_bp.modes import enable_grad, no_grad
from tinygrad_bp.program import Line, Program
from tinygrad_bp.rule import RULES
from tinygrad_bp.tensor import Tensor

QUIET = 2000  # elements from which on it costs less to have a warning suppressed than to keep it from arising
RECORDING = threading.RLock()  # a parameter holds its traced values while a run is written down


@dataclass
class Recording:
    """What a run computed: the nodes in order, and which of them are wanted."""

    nodes: list[Node]
    loss: Node
    gradients: list[Node] = field(default_factory=list)
    writes: list[tuple[Node, Node]] = field(default_factory=list)  # (parameter or state, its new value)
    guards: list[tuple[Node, bool]] = field(default_factory=list)
    reserved: set[str] = field(default_factory=set)  # names of the forward lines
    expects: Any = None  # the structure of the optimizer's state


def record(task: Task) -> Recording:
    """Run the task once forward, backward and through the update, and again forward to see whether it does the same."""
    with RECORDING, _lowered(), enable_grad():
        trace = Trace()
        leaves = [trace.source("argument", array, name) for array, name in zip(task.leaves, task.names, strict=True)]
        with _traced_parameters(trace, task) as parameters:
            loss = task.run(leaves)
            ensure_scalar(loss)
            _run_again(trace, task)
            recording, forward = Recording(trace.nodes, loss.raw.node), len(trace.nodes)
            gradients = _pull_back(trace, loss, leaves, parameters, task, recording)
            if task.optimizer is None:
                wanted = parameters if task.parameters else [leaves[i] for i in task.wrt]
                zeros = [np.zeros_like(t.value) for t in wanted]
                recording.gradients = [_traced(trace, z if g is None else g).node for g, z in zip(gradients, zeros, strict=True)]
            else:
                del loss  # and the values of the graph with it
                _update(trace, task, parameters, gradients, recording)
        recording.guards = list(trace.guards)
        for node in trace.nodes[forward:]:
            if node.kind == "foreign":  # made by a rule, such as the ones of a sum
                node.kind = "constant"
    return recording


# -- while the run goes on -----------------------------------------------------------------------------------------------


def _sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) without a branch. Where exp would overflow, the result is smaller than any normal number."""
    if x.size < QUIET:
        largest = float(np.floor(np.log(np.finfo(x.dtype).max)))
        e = np.exp(np.minimum(-x, largest))
    else:
        e = x.trace.apply(quiet_exp, -x)
    return 1 / (e + 1)


def _scatter(values: Any, like: Any, *, index: Any) -> Any:
    trace = values.trace if isinstance(values, Traced) else like.trace
    return trace.apply(scattered, values, shape=like.shape, dtype=like.dtype, index=index)


LOWERED: dict[Callable[..., Any], Callable[..., Any]] = {functions.sigmoid: _sigmoid, functions.scatter: _scatter}
"""Functions of ours that are better written down in another way than by running their bodies."""


@contextlib.contextmanager
def _lowered() -> Iterator[None]:
    before = {function: RULES[function].run for function in LOWERED}

    def dispatcher(lowered: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: (lowered if any(isinstance(x, Traced) for x in args) else plain)(*args, **options)

    for function, lowered in LOWERED.items():
        RULES[function].run = dispatcher(lowered, before[function])
    try:
        yield
    finally:
        for function, run in before.items():
            RULES[function].run = run


@contextlib.contextmanager
def _traced_parameters(trace: Trace, task: Task) -> Iterator[list[Traced]]:
    """The parameters hold traced values in place of their arrays, until the run is over."""
    tensors = task.parameters
    with CHANGES.lock:
        CHANGES.look(tensors)
        exposed = {p.serial: CHANGES.exposed.pop(p.serial) for p in tensors if p.serial in CHANGES.exposed}
    arrays = [p.raw for p in tensors]
    traced = [trace.source("parameter", p.raw, name) for p, name in zip(tensors, task.parameter_names, strict=True)]
    try:
        for p, t in zip(tensors, traced, strict=True):
            p.raw = t
        yield traced
    finally:
        for p, array in zip(tensors, arrays, strict=True):
            p.raw = array
        CHANGES.exposed.update(exposed)


def _run_again(trace: Trace, task: Task) -> None:
    """A second run must do what the first did; what it finds equal but newly made is a constant of the program."""
    again = _Again(trace.nodes)
    leaves = [again.source("argument", array, name) for array, name in zip(task.leaves, task.names, strict=True)]
    before = [p.raw for p in task.parameters]
    for p, t in zip(task.parameters, before, strict=True):
        p.raw = again.source("parameter", t.node.value, t.node.name)
    try:
        with no_grad():
            task.run(leaves)
    finally:
        for p, t in zip(task.parameters, before, strict=True):
            p.raw = t
    if again.count != len(trace.nodes):
        raise CompileError(DIFFERENT.format(where="another number of operations"))


class _Again(Trace):
    """A run that is held against an earlier one on the way, and not kept."""

    def __init__(self, earlier: list[Node]) -> None:
        super().__init__()
        self.earlier, self.count = list(earlier), 0

    def add(self, node: Node) -> Node:
        node.index = self.count
        self.count += 1
        return node

    def settle(self, node: Node) -> None:
        if node.index < len(self.earlier):
            _compare(self.earlier[node.index], node)


DIFFERENT = (
    "a second run of the function with the same arguments did something else ({where}), so one program cannot stand for it. "
    "Random numbers and whatever else changes from call to call belong among the arguments"
)


def _compare(a: Node, b: Node) -> None:
    if a.kind == b.kind == "foreign":
        if a.value is b.value:
            return
        if a.value.dtype != b.value.dtype or not np.array_equal(a.value, b.value, equal_nan=a.value.dtype.kind == "f"):
            raise CompileError(DIFFERENT.format(where=f"other values in an array of shape {a.value.shape} at {a.where}"))
        a.kind = "constant"
    elif _signature(a) != _signature(b):
        name = getattr(a.function, "__name__", a.function or a.kind)
        raise CompileError(DIFFERENT.format(where=f"{name} of other operands or numbers"))


def _signature(node: Node) -> str:
    place = operator.attrgetter("index")
    return repr((node.function, node.kind, same_places(node.args, place), [(k, same_places(x, place)) for k, x in node.options.items()]))


# -- backward --------------------------------------------------------------------------------------------------------------


def _pull_back(
    trace: Trace, loss: Tensor, leaves: list[Traced], parameters: list[Traced], task: Task, recording: Recording
) -> list[Traced | None]:
    """The rules, newest line first, on traced arrays. One gradient for each that is wanted; ``None`` where the loss does not depend."""
    trace.readable = True
    program = Program.of(loss)
    trace.readable = False
    tensors = _tensors(loss, program)
    values = _values(trace, program, tensors)
    names = _identifiers(program, values, recording, leaves, parameters)
    _annotate(program, values, names)

    def derivative(line: Line, i: int, g: Any, operands: Any, result: Any) -> Any:
        if not program.lines[line.operands[i]].tracked:
            return None
        trace.note = _back(program, line, i, names)
        return line.rule.derivative(i, g, operands, result, line.params)  # type: ignore[union-attr]

    def fit(g: Any, line: Line, user: Line) -> Any:
        g = project(g, tensors[line.index], tensors[user.index])
        if isinstance(g, Traced) and g.node.name is None and g.node.function is not None:
            g.node.name = f"d_{names[line.index]}"
        return g

    place = program.outputs[0]
    found = program.reverse(values, {place: np.ones_like(loss.raw.value)[()]}, fit=fit, derivative=derivative)
    trace.note = ""
    wanted = [t.node for t in parameters] if task.parameters else [leaves[i].node for i in task.wrt]
    at = {t.raw.node.index: i for i, t in tensors.items() if t.rule is None and t.tracked and isinstance(t.raw, Traced)}
    return [_traced(trace, found[at[n.index]]) if n.index in at and at[n.index] in found else None for n in wanted]


def _traced(trace: Trace, g: Any) -> Traced:
    """A gradient, which may be a number or an array that does not depend on anything."""
    return g if isinstance(g, Traced) else trace.source("constant", np.asarray(g) if np.ndim(g) else g)


def _tensors(loss: Tensor, program: Program) -> dict[int, Any]:
    """Line -> its tensor, for all that have one."""
    found, todo = {}, [loss]
    while todo:
        t = todo.pop()
        place = program.serials[t.serial]
        if place not in found:
            found[place] = t
            todo += [x for x in t.inputs if isinstance(x, Tensor) and x.serial in program.serials]
    return found


def _values(trace: Trace, program: Program, tensors: dict[int, Any]) -> list[Any]:
    """What each line holds, traced: a line for a plain array has the array that its reader was given."""
    values: list[Any] = [tensors[i].raw if i in tensors else None for i in range(len(program.lines))]
    for line in program.lines:
        if line.rule is None:
            continue
        t = tensors[line.index]
        plain = _plain_arrays(t)
        for place, a in zip(line.operands, t.arrays, strict=True):
            if values[place] is None:
                values[place] = _original(trace, a, plain) if isinstance(a, np.ndarray) else a
    return [Traced(trace, trace.foreign(v)) if isinstance(v, np.ndarray) else v for v in values]


def _plain_arrays(t: Any) -> list[Node]:
    """The arrays that went into a result and are neither arguments nor parameters nor computed from such."""
    operands = {a.node for a in t.arrays if isinstance(a, Traced)}
    found: list[Node] = []
    seen: set[Node] = set()
    todo = [t.raw.node] if isinstance(t.raw, Traced) else []
    while todo:
        node = todo.pop()
        if node not in operands and node not in seen:
            seen.add(node)
            found += [node] if node.kind in ("foreign", "constant") else []
            todo += node.inputs()
    return found


def _original(trace: Trace, copy: Any, candidates: list[Node]) -> Any:
    """The array that a graph keeps a copy of: the user may write to it, and then both sweeps shall see that."""
    for node in candidates:
        if (
            node.value.shape == copy.shape
            and node.value.dtype == copy.dtype
            and np.array_equal(node.value, copy, equal_nan=copy.dtype.kind == "f")
        ):
            return Traced(trace, node)
    return copy


def identifier(name: str) -> str:
    """A name as Python allows it: ``0.weight`` becomes ``weight_0``."""
    head, dot, rest = name.partition(".")
    if dot and head.isdigit():
        name = f"{rest}_{head}"
    name = re.sub(r"\W", "_", name)
    return f"_{name}" if not name or name[0].isdigit() or keyword.iskeyword(name) or name == "np" else name


def _identifiers(program: Program, values: list[Any], recording: Recording, leaves: list[Traced], parameters: list[Traced]) -> list[str]:
    """A name for each line that is one in Python too; the lines of arguments and parameters have theirs already."""
    used = {str(t.node.name) for t in [*leaves, *parameters]}
    views: set[str] = set()
    names: list[str] = []
    for line, value in zip(program.lines, values, strict=True):
        node = value.node if isinstance(value, Traced) else None
        base = identifier(program.names[line.index])
        if node is not None and node.function is None and node.name is not None:
            known = node.name
        elif node is None and line.value.ndim == 0:
            known = program.names[line.index]  # a number as it stands
        elif node is not None and line.name is None and line.operands and (turned := _turned(node)):
            known = f"{names[line.operands[0]]}_{turned}"
            views.add(known)
        else:
            known = _unused("c" if line.constant and line.value.ndim == 0 else base, used)
            if node is not None and (node.function in VIEWS or node.function is operator.getitem):
                views.add(known)
        used.add(known)
        names.append(known)
    recording.reserved = used - views  # a view is named where it is first read
    return names


def _turned(node: Node) -> str:
    """How the name of a matrix that is transposed or reshaped ends: ``W_T``, ``x_1x3``; nothing for what is neither."""
    if node.function is np.transpose and not node.args[1:] and not node.options:
        return "T"
    return "x".join(map(str, node.value.shape)) or "0d" if node.function is np.reshape else ""


def _unused(base: str, used: set[str]) -> str:
    return next(name for k in itertools.count(1) if (name := base if k == 1 else f"{base}_{k}") not in used)


def _annotate(program: Program, values: list[Any], names: list[str]) -> None:
    """Names and comments for the forward nodes: which line each of them belongs to."""
    for line, value in zip(program.lines, values, strict=True):
        if not isinstance(value, Traced):
            continue
        name = names[line.index]
        text = f"{name}, which is not differentiated" if line.rule is None else f"{name} = {_formula(line, names)}"
        stop = {values[i].node for i in line.operands if isinstance(values[i], Traced)}
        todo = [value.node]
        while todo:
            node = todo.pop()
            if node in stop or node.note or node.function is None:
                continue
            node.note = text
            todo += node.inputs()
        if value.node.name is None:
            value.node.name = name


def _formula(line: Line, names: list[str]) -> str:
    operands = tuple(expression.symbol(names[i]) for i in line.operands)
    return str(expression.Expression(line.rule.function, operands, options=line.params or {}))  # type: ignore[union-attr]


def _back(program: Program, line: Line, i: int, names: list[str]) -> str:
    """The comment of a line that pulls back: the forward line, and the formula of its rule."""
    forward = f"{names[line.index]} = {_formula(line, names)}"
    operands = [expression.symbol(names[k], program.lines[k].shape) for k in line.operands]
    g, y = (expression.symbol(name, line.shape) for name in (f"d_{names[line.index]}", names[line.index]))
    try:
        formula = str(line.rule.derivative(i, g, operands, y, line.params))  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 - a formula that does not run on symbols
        formula = ""
    return f"back through {forward}: {formula}" if formula and len(formula) < 80 else f"back through {forward}"


# -- the update --------------------------------------------------------------------------------------------------------------


def _update(trace: Trace, task: Task, parameters: list[Traced], gradients: list[Traced | None], recording: Recording) -> None:
    """``Optimizer.change`` of every parameter, from a state that has the keys which it keeps."""
    optimizer = task.optimizer
    kept, lr = optimizer.state, optimizer.lr
    trace.updating = True
    rate = trace.source("number", float(lr), "lr")
    state = {i: dict(entry) for i, entry in kept.items()}
    try:
        optimizer.lr = rate
        for _ in range(3):  # the first update may be another than all others: v = g
            guards, nodes = len(trace.guards), len(trace.nodes)
            sources = {i: {key: _state_source(trace, task, i, key, x) for key, x in entry.items()} for i, entry in state.items()}
            optimizer.state = {i: dict(entry) for i, entry in sources.items()}
            changes = _changes(trace, task, parameters, gradients)
            after = {i: {key: _as_kept(x, parameters[i]) for key, x in entry.items()} for i, entry in optimizer.state.items()}
            recording.expects = structure(after)
            if recording.expects == structure(state):
                break
            state = after
            del trace.guards[guards:], trace.nodes[nodes:]
        else:
            raise CompileError(f"the state of {type(optimizer).__name__} changes its shape at every update, so no program stands for it")
        for i, entry in optimizer.state.items():
            for key, x in entry.items():
                _write(trace, recording, sources[i][key], x, "")
        for t, change in changes:
            trace.note = f"the update of {t.node.name}"
            _write(trace, recording, t, t - change, trace.note)
    finally:
        optimizer.state, optimizer.lr = kept, lr
        trace.note = ""


def _changes(trace: Trace, task: Task, parameters: list[Traced], gradients: list[Traced | None]) -> list[tuple[Traced, Any]]:
    found = []
    for i, (p, t, g) in enumerate(zip(task.wrt, parameters, gradients, strict=True)):
        if g is not None and p.tracked:
            trace.note = f"the update of {t.node.name}"
            found.append((t, task.optimizer.change(i, t, g.copy())))
    return found


def _state_source(trace: Trace, task: Task, i: int, key: str, x: Any) -> Any:
    if not isinstance(x, np.ndarray | np.generic | int | float):
        return x
    source = trace.source("state" if isinstance(x, np.ndarray) else "number", x, f"{identifier(key)}_{task.parameter_names[i]}")
    source.node.where = (i, key)
    return source


def _write(trace: Trace, recording: Recording, source: Any, new: Any, note: str) -> None:
    if isinstance(source, Traced) and not (isinstance(new, Traced) and new.node is source.node):
        recording.writes.append((source.node, _traced(trace, new).node))


def _as_kept(x: Any, parameter: Traced) -> Any:
    """An entry of the state as the optimizer will have it: an array, in memory, lies as the parameter does."""
    value, like = x.value if isinstance(x, Traced) else x, parameter.value
    return np.asfortranarray(value) if isinstance(value, np.ndarray) and value.shape == like.shape and like.flags.fnc else value
