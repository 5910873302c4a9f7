"""The scalar dialect: every neuron and every weight of a small network is a number with a name of its own.

The recording is on symbols, so what comes out are the formulas of the hand derivation, number by number, with the loop over
the updates around them. Python's floats are the fastest numbers there are for a handful of weights.
"""

from __future__ import annotations

import itertools
import linecache
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tinygrad_bp.changes import CHANGES
from tinygrad_bp.compile import matrix
from tinygrad_bp.compile.execute import executed
from tinygrad_bp.compile.scalar_record import Recording
from tinygrad_bp.compile.scalar_source import numpy_names
from tinygrad_bp.compile.scalar_text import source
from tinygrad_bp.compile.task import Task, Written, structure
from tinygrad_bp.errors import CompileError, DtypeError
from tinygrad_bp.tensor import Array

SMALL = 48  # numbers that a call reads and writes, up to which this dialect is the faster one: a network of 4-4-4 neurons
CHUNK, NATIVE_CHUNK = 1000, 100_000  # updates in one go: Ctrl-C comes through after these, and loses them


def write(task: Task, native: bool = False) -> Written:
    """The task as a program on single numbers; ``native`` compiles it further, to machine code, with numba.

    Raises ``CompileError`` for an operation that has no form on single numbers, by name, and ``DtypeError`` for arrays
    that are not float64.
    """
    recording = Recording(task)
    if task.optimizer is None:
        function = Differentiated(recording, native)
        return Written(function.source, "scalar", function.step)
    training = Training(recording, native)
    return Written(training.source, "scalar", training.step, training.steps, structure(task.optimizer.state | recording.remembered))


def write_if_small(task: Task, native: bool = False) -> Written:
    """The task on single numbers where that is faster and possible, otherwise on whole arrays."""
    if small(task):
        with suppress(CompileError, DtypeError):
            return write(task, native)
    return matrix.write(task)


def small(task: Task) -> bool:
    """Whether so few numbers are multiplied, and so few of them go in and out, that Python's floats are faster than arrays."""
    weights = sum(np.size(p.raw) for p in task.parameters)
    return bool(weights + sum(map(np.size, task.leaves)) <= SMALL)


class Runnable:
    """A recording, its source, and the source at work."""

    def __init__(self, recording: Recording, native: bool) -> None:
        self.recording, self.native = recording, native
        self.source = source(recording)
        self.run = machine_code(compiled(self.source, {})) if native else compiled(self.source, {})
        self.careful: Callable[..., Any] | None = None
        self.reads = [block.read for block in recording.inputs]
        self.frozen = [not p.tracked for p in recording.parameters]

    def inputs(self, leaves: Sequence[Array]) -> list[Any]:
        return [x for read in self.reads for x in flat(read(leaves))]

    def outputs(self, *arguments: Any) -> Sequence[Any] | None:
        """What the program returns: on Python's floats, and where these refuse to be infinite, on NumPy's, as in the eager run.

        ``None`` where another branch would be taken than in the recorded run.
        """
        try:
            return self.run(*arguments)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):
            self.careful = self.careful or compiled(source(self.recording, careful=True), numpy_names())
        with suppress(ValueError):  # on NumPy's numbers only a branch raises it
            return [float(x) for x in self.careful(*[x if isinstance(x, list) else np.float64(x) for x in arguments])]
        return None

    def shaped(self, loss: float) -> Any:
        """The loss as the user's function returns it: one number, but it may have axes."""
        return np.full(self.recording.shape, loss) if self.recording.shape else np.float64(loss)

    def fits(self) -> bool:
        """Whether the same parameters are frozen as in the recording."""
        return [not p.tracked for p in self.recording.parameters] == self.frozen


class Differentiated(Runnable):
    """The loss and its gradients."""

    def step(self, leaves: Sequence[Array]) -> Any:
        """(loss, (gradient, ...)), the gradients in the shapes of what they are by."""
        if not self.fits():
            return None
        weights = [x for block in self.recording.weights for x in flat(block.read(leaves))]
        results = self.outputs(*self.inputs(leaves), *weights)
        if results is None:
            return None
        loss, *numbers = results
        parts, shapes = iter(numbers), [t.shape for t in self.recording.wrt]
        gradients = tuple(np.array(list(itertools.islice(parts, math.prod(shape))), float).reshape(shape) for shape in shapes)
        return self.shaped(loss), gradients


class Training(Runnable):
    """Updates of the parameters and of what the optimizer remembers."""

    def __init__(self, recording: Recording, native: bool) -> None:
        super().__init__(recording, native)
        self.optimizer = recording.task.optimizer
        self.settings = self._settings()
        order = list(recording.state)
        self.places = [
            (self.recording.parameters[change.parameter], change.parameter, change.key, order.index(change.names[0]), len(change.names))
            for change in sorted(recording.changes, key=lambda change: change.key is not None)
            if change.names
        ]

    def _settings(self) -> list[Any]:
        """What an update depends on beside the state and the learning rate, which the program reads at every call."""
        return [getattr(self.optimizer, name) for name in self.optimizer.settings if name != "lr"]

    def step(self, leaves: Sequence[Array]) -> Any:
        """One update, and the loss before it."""
        state = self.state() if self.fits() else None
        if state is None:
            return None
        losses = np.empty(1) if self.native else [0.0]
        after = self.outputs(losses, self.optimizer.lr, *self.inputs(leaves), *state)
        if after is None:
            return None
        self.put_back(after)
        return self.shaped(losses[0])

    def steps(self, leaves: Sequence[Array], n: int) -> Any:
        """``n`` updates, or fewer, up to one that takes another branch; the loss before each.

        Ctrl-C leaves the parameters as they were after some whole updates.
        """
        state: Sequence[Any] | None = self.state() if self.fits() else None
        if state is None:
            return None
        size = NATIVE_CHUNK if self.native else CHUNK
        inputs, done = [self.optimizer.lr, *self.inputs(leaves)], [np.empty(0)]
        try:
            while size := min(size, n - sum(map(len, done))):
                losses = np.empty(size) if self.native else [0.0] * size
                after = self.outputs(losses, *inputs, *state)
                if after is None:  # one of these updates takes another branch: go on to where it is
                    size //= 2
                else:
                    state = after
                    done.append(np.asarray(losses))
        finally:
            self.put_back(state)
        return np.concatenate(done)

    def fits(self) -> bool:
        return super().fits() and self._settings() == self.settings

    def state(self) -> list[Any] | None:
        """What an update changes, in the order of the program's arguments; ``None`` where it is not what was recorded."""
        values: list[Any] = []
        for p, i, key, start, count in self.places:
            place = p.raw if key is None else self.optimizer.state.get(i, {}).get(key)
            numbers = flat(place)
            if place is None or len(numbers) != count:
                return None
            if start == len(values):
                values += numbers
            elif values[start] != numbers[0]:  # counts of updates that were the same for all parameters
                return None
        return values

    def put_back(self, state: Sequence[Any]) -> None:
        for p, i, key, start, count in self.places:
            numbers = state[start : start + count]
            if key is None:
                p.raw.flat = numbers
                p.gradient = None
                CHANGES.note(p)
                continue
            entry = self.optimizer.state[i]
            before = entry[key]  # others may hold the array
            entry[key] = np.reshape(numbers, before.shape) if isinstance(before, np.ndarray) else type(before)(numbers[0])


def flat(x: Any) -> list[Any]:
    """The elements of an array, or a number, as Python's numbers."""
    return x.ravel().tolist() if hasattr(x, "ravel") else [x]


# -- the program at work ----------------------------------------------------------------------------------------------


def compiled(text: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function that the text defines, in a module of its own; tracebacks show its lines."""
    file = f"<scalar program {next(_count)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = executed(text, names, file)
    program = module["train"] if "train" in module else module["value_and_grad"]
    weakref.finalize(program, linecache.cache.pop, file, None)
    return program  # type: ignore[no-any-return]


_count = itertools.count(1)


def machine_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function compiled by numba, with infinite results of divisions as NumPy has them."""
    try:
        import numba  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError("native=True needs numba: pip install 'tinygrad_bp[numba]'") from error
    return numba.njit(error_model="numpy")(function)  # type: ignore[no-any-return]
