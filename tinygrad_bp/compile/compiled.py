"""``tg.compile``: what the user calls, and the guards around the programs that were written out."""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from tinygrad_bp.anomaly import WATCHES
from tinygrad_bp.compile import matrix, scalar
from tinygrad_bp.compile.bound import LEAVES, defined
from tinygrad_bp.compile.captured import Captured, Same, Test, is_plain, reading_mode
from tinygrad_bp.compile.recording import identifier
from tinygrad_bp.compile.task import Task, Written, structure
from tinygrad_bp.compile.trace import Traced
from tinygrad_bp.engine import pull
from tinygrad_bp.errors import CompileError, ConversionError
from tinygrad_bp.modes import enable_grad
from tinygrad_bp.nn import Module
from tinygrad_bp.optim import Optimizer
from tinygrad_bp.tensor import Tensor

Dialect = Literal["auto", "matrix", "scalar"]
LIMIT = 8  # programs that are kept


def compiled(
    f: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    wrt: Iterable[Tensor] | None = None,
    optimizer: Optimizer | None = None,
    dialect: Dialect = "auto",
    native: bool = False,
    copy: bool = True,
    on_change: Literal["record", "raise"] = "record",
) -> Compiled:
    """A scalar function with its gradient, or a whole training step, written out as a NumPy program and run as that.

    ``tg.compile(f, argnums)`` does what ``tg.value_and_grad(f, argnums)`` does: a call returns (value, gradient).
    ``tg.compile(f, wrt=model.parameters())`` differentiates by tensors that f closes over: (value, [gradients]).
    ``tg.compile(f, optimizer=optimizer)`` is a training step: a call updates the optimizer's parameters and its state
    in place, as ``zero_grad(); f(...).backward(); step()`` would, and returns the loss before the update. The
    gradients stay inside; ``.grad`` of the parameters is None afterwards.

    The first call with arguments of some shapes runs f, writes down what NumPy does, forward and backward, and makes
    ``source`` of it. Later ones run that. Numbers, strings and None among the arguments are part of the program.
    Branches that f took by the value of an array are looked at again in each call.

    ``on_change``: where a call does not fit what was recorded (other shapes or numbers, another branch), ``"record"``
    records it too and keeps the last few programs, ``"raise"`` raises ``CompileError``. ``copy=False`` returns the
    program's own arrays, which the next call overwrites. ``dialect``: ``"matrix"`` writes NumPy on whole arrays with
    buffers made once, ``"scalar"`` single numbers for small networks, ``"auto"`` chooses. ``native=True`` compiles a
    scalar program to machine code, with numba.

    Raises ``CompileError`` for what no program can stand for: random numbers inside f, values taken out with
    ``.item()``, results whose shape depends on values.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> f = tg.compile(lambda x: np.sum(x**3), dialect="matrix")
    >>> value, gradient = f(np.array([1.0, 2.0]))
    >>> print(value, gradient)
    9.0 [ 3. 12.]
    """
    return Compiled(f, argnums, wrt, optimizer, dialect, native, copy, on_change)


class Compiled:
    """A function whose runs are written out as programs. ``source`` is the text of the one that ran last."""

    def __init__(self, f: Any, argnums: Any, wrt: Any, optimizer: Any, dialect: Dialect, native: bool, copy: bool, on_change: str) -> None:
        if dialect not in ("auto", "matrix", "scalar"):
            raise ValueError(f'dialect is "auto", "matrix" or "scalar"; got {dialect!r}')
        if on_change not in ("record", "raise"):
            raise ValueError(f'on_change is "record" or "raise"; got {on_change!r}')
        if native and dialect == "matrix":
            raise ValueError('native=True compiles single numbers; leave dialect="matrix" away')
        if wrt is not None and optimizer is not None:
            raise ValueError("an optimizer brings its parameters along; leave wrt= away")
        if optimizer is not None:
            _ensure_formula(optimizer)
        self.f, self.argnums, self.optimizer = f, argnums, optimizer
        self.dialect, self.native, self.copy, self.on_change = dialect, native, copy, on_change
        self.single = isinstance(wrt, Tensor)
        self.tensors = optimizer.params.copy() if optimizer is not None else _tensors(wrt)
        self.programs: dict[Any, list[Written]] = {}
        self.latest: Written | None = None
        self.recorded = 0
        self.lock = threading.Lock()
        self.quick: Callable[..., Any] = _no_quick_way
        self.captured = Captured(f, self.tensors or [])

    # -- calling -------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **options: Any) -> Any:
        with self.lock:
            if not options:
                result = self.quick(*args)
                if result is not None:
                    return result
            return self.slow(args, options)

    def slow(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call that is not quite like the last one: look for its program, or record one."""
        if WATCHES:
            raise CompileError("a compiled program is not watched for anomalies; call the function itself inside detect_anomaly()")
        call = _Arguments(self, args, options)
        key = call.key, self.captured.key()
        written = self.fitting(key)
        result = None if written is None else written.step(call.leaves)
        if result is None:
            result = self.record_and_run(call, key)
        elif written is not None:
            self.use(key, written)
        written = self.programs[key][0]
        self.quick = call.quick(written, self.captured.tests()) or _no_quick_way
        call.let_go()
        return self.give(call, result)

    def fitting(self, key: Any) -> Written | None:
        found = self.programs.get(key)
        return found[0] if found else None

    def record_and_run(self, call: _Arguments, key: Any) -> Any:
        """What is done where no program fits: another one, or, while the optimizer has no state yet, a plain step."""
        for written in self.programs.get(key, []):
            if self.optimizer is not None and written.expects != structure(self.optimizer.state):
                return self.plain_step(call)
            result = written.step(call.leaves)
            if result is not None:
                self.use(key, written)
                return result
        written = self.write(call, key)
        result = written.step(call.leaves)
        if result is not None:
            return result
        return self.plain_step(call) if self.optimizer is not None else self.plain_gradients(call)

    def write(self, call: _Arguments, key: Any) -> Written:
        if self.recorded and self.on_change == "raise":
            raise CompileError(f"this call does not fit the run that was recorded: {call.describe()}")
        written = self.dialect_of(call)(call.task())
        self.recorded += 1
        if self.recorded == LIMIT + 1:
            warnings.warn(
                f"a compiled function was recorded for the {self.recorded}th time; the last {LIMIT} programs are kept. What changes from "
                "call to call, such as a number, is better given as an array",
                stacklevel=5,  # the caller of __call__
            )
        while sum(map(len, self.programs.values())) >= LIMIT:
            oldest = next(iter(self.programs))
            self.programs[oldest].pop()
            if not self.programs[oldest]:
                del self.programs[oldest]
        self.use(key, written)
        return written

    def dialect_of(self, call: _Arguments) -> Callable[[Task], Written]:
        if self.dialect == "scalar":
            return partial(scalar.write, native=self.native)
        return matrix.write if self.dialect == "matrix" else partial(scalar.write_if_small, native=self.native)

    def use(self, key: Any, written: Written) -> None:
        """Put a program where the next call looks first."""
        others = [w for w in self.programs.pop(key, []) if w is not written]
        self.programs[key] = [written, *others]
        self.latest = written

    def plain_step(self, call: _Arguments) -> Any:
        """The step as it would be without us, for the first update of an optimizer that has no state yet."""
        with enable_grad():
            loss = call.run(call.leaves)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        return loss.raw

    def plain_gradients(self, call: _Arguments) -> Any:
        """Value and gradients as they would be without us, where a branch hangs on a rounding error."""
        with enable_grad():
            leaves = [Tensor(x, requires_grad=True) if wanted else x for x, wanted in zip(call.leaves, call.differentiated(), strict=True)]
            loss = call.run(leaves)
            found = {t.serial: g for t, g in pull(loss, np.ones_like(loss.raw))}
        chosen = self.tensors if self.tensors is not None else [x for x in leaves if isinstance(x, Tensor)]
        return loss.raw, [found.get(t.serial, np.zeros_like(t.raw)) for t in chosen]

    def give(self, call: _Arguments, result: Any) -> Any:
        """The result as the caller gets it."""
        own = self.copy
        if self.optimizer is not None:
            return result.copy() if own and isinstance(result, np.ndarray) else result
        loss, gradients = result
        make = _tensor if call.tensors else lambda x: x
        each = [make(g.copy() if own and isinstance(g, np.ndarray) else g) for g in gradients]
        return make(loss.copy() if own and isinstance(loss, np.ndarray) else loss), call.arranged(each)

    def repeat(self, n: int, *args: Any, **options: Any) -> np.ndarray[Any, Any]:
        """``n`` training steps on the same arguments. Returns the n losses, each the one before its update.

        Raises ``TypeError`` without an optimizer.
        """
        if self.optimizer is None:
            raise TypeError("repeat() repeats a training step; give compile an optimizer")
        parts: list[Any] = []
        while (left := n - sum(map(len, parts))) > 0:
            parts.append([float(np.reshape(self(*args, **options), ()))])  # records, where no program fits
            steps = self.latest.steps if self.latest is not None else None
            if steps is not None and left > 1:
                with self.lock:
                    more = steps(_Arguments(self, args, options).leaves, left - 1)
                parts += [] if more is None else [more]
        return np.concatenate(parts) if parts else np.empty(0)

    # -- looking at it -----------------------------------------------------------------------------------------------

    def record(self, *args: Any, **options: Any) -> str:
        """Write the program for these arguments out without running it, and return its text."""
        with self.lock:
            call = _Arguments(self, args, options)
            key = call.key, self.captured.key()
            if self.fitting(key) is None:
                self.write(call, key)
            call.let_go()
            return self.source

    @property
    def source(self) -> str:
        """The text of the program that ran last: imports, buffers, and a function ``step``."""
        if self.latest is None:
            raise CompileError("nothing is recorded yet: call the function once, or record(...) it")
        return self.latest.source

    def __repr__(self) -> str:
        name = getattr(self.f, "__name__", type(self.f).__name__)
        return f"<compiled {name}, {sum(map(len, self.programs.values()))} programs>"


def _tensors(wrt: Any) -> list[Tensor] | None:
    """What ``wrt=`` gives, as a list."""
    given = [wrt] if isinstance(wrt, Tensor) else list(wrt) if isinstance(wrt, Iterable) else wrt
    if given is not None and not (isinstance(given, list) and all(isinstance(t, Tensor) for t in given)):
        raise TypeError(
            f"wrt= is a tensor that the function closes over, or several, such as model.parameters(); got {wrt!r}. "
            "Arguments are chosen by argnums=, counted from 0"
        )
    return given


def _ensure_formula(optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer= is one of tinygrad_bp.optim, such as optim.SGD(model.parameters(), lr=0.5); got {type(optimizer).__name__}"
        )
    if type(optimizer).change is Optimizer.change:
        raise CompileError(
            f"{type(optimizer).__name__} does more than one formula of the gradient (a method change), which is what can be written out. "
            "Compile without it, with wrt=, and call its step() with the gradients"
        )


def _no_quick_way(*args: Any) -> Any:
    return None


def _tensor(x: Any) -> Tensor:
    return Tensor(x)


# -- the arguments of a call -----------------------------------------------------------------------------------------------


class _Arguments:
    """The arguments of one call, taken apart into arrays, and what else the program depends on."""

    def __init__(self, owner: Compiled, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.owner = owner
        self.leaves: list[Any] = []
        self.names: list[str] = []
        self.tensors = False
        numbers = owner.argnums if isinstance(owner.argnums, tuple) else (owner.argnums,)
        if owner.tensors is None and not all(-len(args) <= i < len(args) for i in numbers):
            raise TypeError(f"argnums={owner.argnums} asks for an argument that a call with {len(args)} does not have")
        self.chosen = [] if owner.tensors is not None else [i % len(args) for i in numbers]
        self.wanted: dict[int, list[int]] = {}
        names = _argument_names(owner.f, len(args))
        self.specs = []
        for i, (name, x) in enumerate(zip(names, args, strict=True)):
            start = len(self.leaves)
            self.specs.append(self.take(name, x, i in self.chosen))
            self.wanted[i] = list(range(start, len(self.leaves)))
        self.options = {name: self.take(name, x, False) for name, x in options.items()}
        self.key = repr((self.specs, sorted(self.options.items())))
        self.objects = [spec[1].x for spec in [*self.specs, *self.options.values()] if spec[0] == "object"]
        self.key += repr([m.training for x in self.objects if isinstance(x, Module) for m in reading_mode(x)])

    def take(self, name: str, x: Any, differentiated: bool) -> Any:
        """What stands for an argument: (kind, leaf number, shape, dtype) for an array, the value for a static one."""
        if isinstance(x, Tensor):
            self.tensors = True
            if isinstance(x.raw, Traced):
                raise CompileError(NESTED)
            if x.tracked and x.rule is not None:
                raise ConversionError(
                    f"{x.label()} has a graph, and what a compiled function returns has none. Give t.detach(), or call the function itself"
                )
            return self.leaf("tensor", x.name or name, x.raw, differentiated)
        if isinstance(x, dict):
            return "dict", [(key, self.take(f"{name}_{key}", value, differentiated)) for key, value in x.items()]
        if isinstance(x, np.ndarray | np.generic) or (_is_array(x) and (differentiated or not is_plain(x))):
            known = isinstance(x, np.ndarray | np.generic)
            return self.leaf("array", name, x if known else np.asarray(x, float if differentiated else None), differentiated)
        if isinstance(x, list | tuple):
            kind = type(x) if hasattr(x, "_fields") else "tuple" if isinstance(x, tuple) else "list"
            return kind, [self.take(f"{name}_{i}", value, differentiated) for i, value in enumerate(x)]
        if is_plain(x):
            return "static", x
        if hasattr(x, "__array_function__"):
            raise CompileError(
                NESTED if isinstance(x, Traced) else f"a compiled program is NumPy's; {name} is {type(x).__name__}. Convert it"
            )
        return "object", Same(x)

    def leaf(self, kind: str, name: str, x: Any, differentiated: bool) -> Any:
        if not isinstance(x, np.ndarray | np.generic):
            raise CompileError(f"a compiled program is NumPy's, and {name} holds {type(x).__name__}; call the function itself")
        x = x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x
        if differentiated and x.dtype.kind != "f":
            Tensor(x, requires_grad=True)  # raises what it always raises
        base, count = identifier(name), 1
        known = base
        while known in self.names:
            count += 1
            known = f"{base}_{count}"
        self.leaves.append(x)
        self.names.append(known)
        return kind, len(self.leaves) - 1, x.shape, x.dtype.str, differentiated

    def run(self, leaves: Sequence[Any]) -> Any:
        """f on these arrays in place of the arguments' own."""
        args = [self.build(spec, leaves) for spec in self.specs]
        return self.owner.f(*args, **{name: self.build(spec, leaves) for name, spec in self.options.items()})

    def build(self, spec: Any, leaves: Sequence[Any]) -> Any:
        kind, content, *rest = spec
        if kind in ("tensor", "array"):
            x = leaves[content]
            tensor = kind == "tensor" or rest[-1]
            return Tensor(x, requires_grad=rest[-1], name=self.names[content]) if tensor and not isinstance(x, Tensor) else x
        if kind == "static":
            return content
        if kind == "object":
            return content.x
        if kind == "dict":
            return {key: self.build(value, leaves) for key, value in content}
        values = [self.build(value, leaves) for value in content]
        return values if kind == "list" else tuple(values) if kind == "tuple" else kind(*values)

    def differentiated(self) -> list[bool]:
        """Of each leaf: whether its gradient is wanted."""
        wanted = {k for i in self.chosen for k in self.wanted[i]}
        return [k in wanted for k in range(len(self.leaves))]

    def let_go(self) -> None:
        """Forget the arrays, which are the caller's. A program keeps the call that it was written for, as it knows their structure."""
        self.leaves.clear()

    def task(self) -> Task:
        owner = self.owner
        tensors = owner.tensors
        for p in tensors or []:
            if not isinstance(p.raw, np.ndarray):
                raise CompileError(f"a compiled program is NumPy's, and {p.label()} holds {type(p.raw).__name__}")
        wrt = tensors if tensors is not None else [k for i in self.chosen for k in self.wanted[i]]
        return Task(
            self.run,
            self.leaves,
            self.names,
            wrt,
            _parameter_names(tensors or [], self.names),
            owner.optimizer,
        )

    def arranged(self, gradients: list[Any]) -> Any:
        """Gradients in the structure of what they are by."""
        owner = self.owner
        if owner.tensors is not None:
            return gradients[0] if owner.single else gradients
        each = iter(gradients)
        trees = [_replaced(self.specs[i], each) for i in self.chosen]
        return tuple(trees) if isinstance(owner.argnums, tuple) else trees[0]

    def quick(self, written: Written, captured: list[Test]) -> Callable[..., Any] | None:
        """A function of the same arguments that sees at once whether the program fits, or returns ``None``."""
        tests, given = [f"len(args) == {len(self.specs)}", "not WATCHES"], []
        space: dict[str, Any] = {}
        for expression, objects in captured:
            tests.append(expression)
            space |= objects
        for k, (kind, content, *_) in enumerate(self.specs):
            if kind not in ("tensor", "array") or self.leaves[content].ndim == 0:
                return None
            x = f"args[{k}]"
            if kind == "tensor":
                tests.append(f"{x}.__class__ is Tensor and {x}.rule is None")
                x = f"{x}.raw"
            space |= {f"shape{k}": self.leaves[content].shape, f"dtype{k}": self.leaves[content].dtype}
            tests.append(f"{x}.__class__ is ndarray and {x}.shape == shape{k} and {x}.dtype is dtype{k}")
            given.append(x)
        more, lines, own = written.inlined() or (
            [],
            [f"result = step([{LEAVES}])", "if result is None:", "    return None"],
            {"step": written.step},
        )
        space |= {"Tensor": Tensor, "ndarray": np.ndarray, "give": self.owner.give, "call": self, "WATCHES": WATCHES, **own}
        lines = [line.replace(LEAVES, ", ".join(given)) for line in lines]
        last = "give(call, result)" if self.owner.optimizer is None else "result.copy() if result.__class__ is ndarray else result"
        return defined("quick(*args)", [f"if not ({' and '.join([*tests, *more])}):", "    return None", *lines, f"return {last}"], space)

    def describe(self) -> str:
        return ", ".join(f"{name} of shape {np.shape(x)}, {np.result_type(x)}" for name, x in zip(self.names, self.leaves, strict=True))


def _replaced(spec: Any, each: Iterator[Any]) -> Any:
    kind, content, *_ = spec
    if kind in ("tensor", "array"):
        return next(each)
    if kind == "dict":
        return {key: _replaced(value, each) for key, value in content}
    if kind in ("static", "object"):
        return content
    values = [_replaced(value, each) for value in content]
    return values if kind == "list" else tuple(values) if kind == "tuple" else kind(*values)


NESTED = "a compiled function was called while another one was recorded; call the function itself there"


def _is_array(x: Any) -> bool:
    return isinstance(x, int | float) or (type(x) in (list, tuple) and len(x) > 0 and all(map(_is_array, x)))


def _argument_names(f: Any, n: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:n]
    return names + [f"x{i}" for i in range(len(names), n)]


def _parameter_names(tensors: list[Tensor], taken: list[str]) -> list[str]:
    names: list[str] = []
    for i, p in enumerate(tensors):
        base, count = identifier(p.name or f"parameter_{i}"), 1
        known = base
        while known in (*names, *taken):
            count += 1
            known = f"{base}_{count}"
        names.append(known)
    return names
