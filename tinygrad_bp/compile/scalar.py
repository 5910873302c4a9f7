"""The scalar dialect: every neuron and every weight of a small network is a number with a name of its own.

The recording is on symbols, so what comes out are the formulas of the hand derivation, number by number, with the loop over
the updates around them. Python's floats are the fastest numbers there are for a handful of weights.
"""

from __future__ import annotations

import itertools
import linecache
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.changes import Changes
from tinygrad_bp.compile.scalar_cells import CALLED
from tinygrad_bp.compile.scalar_record import Change, Recording
from tinygrad_bp.compile.scalar_text import source
from tinygrad_bp.compile.task import Task, Written
from tinygrad_bp.engine import pull
from tinygrad_bp.tensor import Array, Tensor

CHUNK, NATIVE_CHUNK = 1000, 100_000  # updates in one go: Ctrl-C comes through after these, and loses them


def write(task: Task, native: bool = False) -> Written:
    """The task as a program on single numbers; ``native`` compiles it further, to machine code, with numba.

    Raises ``GraphError`` for an operation that has no form on single numbers, by name, and ``DtypeError`` for arrays
    that are not float64.
    """
    program = Scalar(task, native)
    training = task.optimizer is not None
    return Written(program.source, "scalar", program.step if training else program.gradients, program.steps if training else None)


class Scalar:
    """A recorded task, its source, and the source at work."""

    def __init__(self, task: Task, native: bool) -> None:
        self.task, self.native = task, native
        self.recording = Recording(task)
        self.source = source(self.recording)
        self.run = compiled(self.source, {})
        if native:
            self.run = machine_code(self.run)
        self.careful: Callable[..., Any] | None = None
        self.options = options(task)

    # -- calls -----------------------------------------------------------------------------------------------------

    def gradients(self, leaves: Sequence[Array]) -> Any:
        """The loss and its gradients."""
        loss, *numbers = self._call((), self._inputs(leaves), [x for w in self.recording.weights for x in flat(w.read(leaves))])
        parts, shapes = iter(numbers), [t.shape for t in self.recording.wrt]
        return loss, [np.array(list(itertools.islice(parts, math.prod(shape))), float).reshape(shape) for shape in shapes]

    def step(self, leaves: Sequence[Array]) -> Any:
        """One update, and the loss before it."""
        losses = self.steps(leaves, 1)
        return None if losses is None else losses[0]

    def steps(self, leaves: Sequence[Array], n: int) -> Any:
        """``n`` updates, and the loss before each.

        Ctrl-C leaves the parameters as they were after a number of whole updates.
        """
        if options(self.task) != self.options:
            return None
        losses: list[Any] = [[self._first_update(leaves)]] if n and self._remembers_nothing() else []
        left, chunk = n - len(losses), NATIVE_CHUNK if self.native else CHUNK
        inputs, values = [self.task.optimizer.lr, *self._inputs(leaves)], self._state()
        try:
            for size in [chunk] * (left // chunk) + [left % chunk]:
                losses.append(np.empty(size) if self.native else [0.0] * size)
                values = self._call((losses[-1],), inputs, values)
        finally:
            self._put_back(values)
        return np.concatenate(losses)

    def _call(self, places: Any, inputs: list[Any], values: Sequence[Any]) -> Any:
        """Run the program: on Python's floats, and where these refuse to be infinite, on NumPy's, which are as the eager run's."""
        try:
            return self.run(*places, *inputs, *values)
        except (ArithmeticError, ValueError):
            self.careful = self.careful or compiled(source(self.recording, careful=True), numpy_names())
            return [float(x) for x in self.careful(*places, *map(np.float64, inputs), *map(np.float64, values))]

    # -- numbers in and out ------------------------------------------------------------------------------------------

    def _inputs(self, leaves: Sequence[Array]) -> list[Any]:
        return [x for block in self.recording.inputs for x in flat(block.read(leaves))]

    def _state(self) -> list[Any]:
        """What an update changes, in the order of the program's arguments."""
        values = dict.fromkeys(self.recording.state)
        for change in self.recording.changes:
            values |= zip(change.names, flat(self._place(change)), strict=True)
        return list(values.values())

    def _place(self, change: Change) -> Any:
        if change.key is None:
            return self.recording.parameters[change.parameter].raw
        return self.task.optimizer.state[change.parameter][change.key]

    def _put_back(self, values: Sequence[Any]) -> None:
        new = dict(zip(self.recording.state, values, strict=True))
        for change in self.recording.changes:
            numbers, before = [new[name] for name in change.names], self._place(change)
            if change.key is None:
                p = self.recording.parameters[change.parameter]
                p.raw[...] = np.reshape(numbers, before.shape)
                Changes.note(p)
            else:  # a new array: others may hold the old one
                after = np.reshape(numbers, before.shape) if isinstance(before, np.ndarray) else type(before)(numbers[0])
                self.task.optimizer.state[change.parameter][change.key] = after

    def _remembers_nothing(self) -> bool:
        return any(change.key is not None and change.parameter not in self.task.optimizer.state for change in self.recording.changes)

    def _first_update(self, leaves: Sequence[Array]) -> float:
        """The eager update, in which the optimizer's memory comes into being."""
        loss = self.task.run([Tensor(a) for a in leaves])
        found = {t.serial: g for t, g in pull(loss, np.ones_like(loss.raw))}
        parameters = self.recording.parameters
        kept = [p.gradient for p in parameters]
        try:
            for p in parameters:
                p.gradient = found.get(p.serial)
            self.task.optimizer.step()
        finally:
            for p, gradient in zip(parameters, kept, strict=True):
                p.gradient = gradient
        return loss.item()


def flat(x: Any) -> list[Any]:
    """The elements of an array, or a number, as Python's numbers."""
    return x.ravel().tolist() if hasattr(x, "ravel") else [x]


def options(task: Task) -> Any:
    """What an update depends on beside lr: the optimizer's settings, and which parameters are frozen."""
    if task.optimizer is None:
        return None
    known = {k: v for k, v in vars(task.optimizer).items() if isinstance(v, bool | int | float | str | tuple | None)}
    return {**known, "lr": None, "type": type(task.optimizer)}, [p.tracked for p in task.wrt if isinstance(p, Tensor)]


# -- the program at work ----------------------------------------------------------------------------------------------


def numpy_names() -> dict[str, Any]:
    """What a program calls, on NumPy's numbers."""
    ours = {"sigmoid": functions.sigmoid, "erf": math.erf, "round": np.rint, "inf": np.inf, "nan": np.nan}
    return {name: getattr(np, name) for name in CALLED - ours.keys()} | ours


def compiled(text: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function that the text defines, in a module of its own; tracebacks show its lines."""
    file = f"<scalar program {next(_count)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = dict(names)
    exec(compile(text, file, "exec"), module)
    return module["train"] if "train" in module else module["value_and_grad"]  # type: ignore[no-any-return]


_count = itertools.count(1)


def machine_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function compiled by numba, with infinite results of divisions as NumPy has them."""
    try:
        import numba  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError("native=True needs numba: pip install 'tinygrad_bp[numba]'") from error
    return numba.njit(error_model="numpy")(function)  # type: ignore[no-any-return]
