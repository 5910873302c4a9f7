"""The matrix dialect: NumPy with every buffer made once."""

from __future__ import annotations

import math
import operator
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.compile.bound import Bound
from tinygrad_bp.compile.execute import executed
from tinygrad_bp.compile.recording import Recording, identifier, record
from tinygrad_bp.compile.schedule import Plan, is_view, planned, root
from tinygrad_bp.compile.simplify import simplified
from tinygrad_bp.compile.task import Task, Written
from tinygrad_bp.compile.trace import Node, assigned, cast, is_number, memory, quiet_exp, scattered
from tinygrad_bp.errors import CompileError

INFIX = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", operator.add: "+", operator.sub: "-", operator.mul: "*",
    operator.truediv: "/", operator.pow: "**", operator.floordiv: "//", operator.mod: "%", operator.lt: "<", operator.le: "<=",
    operator.gt: ">", operator.ge: ">=", operator.eq: "==", operator.ne: "!=",
}  # fmt: skip
NUMBERS = {1.0: "one", 2.0: "two", 0.5: "half", 0.0: "zero", -1.0: "minus_one"}
SMALL = 8  # elements of a constant array that are still worth printing
WIDTH = 80


def write(task: Task) -> Written:
    """Record one run and write it out."""
    recording = simplified(record(task))
    source, inputs = _Writer(recording, planned(recording), task).text()
    numbers = [n for n in recording.nodes if n.kind == "number"]
    returned = [n for n, _ in recording.writes if n.kind == "number"]
    bound = Bound(executed(source, {})["make"], inputs, numbers, returned, task)
    return Written(source, "matrix", bound.step, expects=recording.expects, inlined=lambda: bound.inlined)


class _Writer:
    """Turns a recording and the plan of its memory into text."""

    def __init__(self, recording: Recording, plan: Plan, task: Task) -> None:
        self.recording, self.plan, self.task = recording, plan, task
        self.texts: dict[Node, str] = {}
        self.views: dict[tuple[Any, ...], str] = {}
        self.constants: dict[tuple[Any, ...], str] = {}
        self.inputs: list[Node] = []  # the parameters of make
        self.before: list[str] = []  # constants
        self.after: list[str] = []  # views of buffers and inputs
        self.body: list[tuple[str, str]] = []  # (code, comment) of step
        self.taken = set(recording.reserved) | {"np", "math", "make", "step", "erf"}
        self.rates: dict[Node, str] = {}
        self.functions: dict[str, str] = {}  # NumPy's functions, by the short names that step calls them by

    # -- the whole -------------------------------------------------------------------------------------------------

    def text(self) -> tuple[str, list[Node]]:
        arguments = [n for n in self.recording.nodes if n.kind == "argument"]
        numbers = [n for n in self.recording.nodes if n.kind == "number"]
        for n in self.recording.nodes:
            if n.kind in ("argument", "number", "parameter", "state"):
                self.texts[n] = str(n.name) if n.kind in ("argument", "parameter") else self.fresh(n.name)
            if n.kind in ("parameter", "state"):
                self.inputs.append(n)
        self.name_results()
        self.step()
        result = self.result()
        inner = [
            *_call_lines("def step(", [self.texts[n] for n in [*arguments, *numbers]], "):", 4),
            *_indented(_commented(self.body)),
            *_call_lines("    return ", result, "", 4),
        ]
        sections = [
            ("constants", self.before),
            ("memory: names that are equal take turns in one array", self.buffers()),
            ("views", self.after),
        ]
        outer = [line for title, lines in sections if lines for line in [f"# {title}", *lines, ""]]
        body = _indented([*outer, *inner, "", "return step"])
        make = [*_call_lines("def make(", [self.texts[n] for n in self.inputs], "):", 0), *body]
        return "\n".join([f'"""{self.title()}"""', "", *self.imports(), "", "", *make, ""]), self.inputs

    def imports(self) -> list[str]:
        """NumPy, and by short names the functions that step calls: looking them up in a module at each call takes time."""
        math_too = ["import math", ""] if any("math." in line for line in self.before) else []
        plain = {path: name for path, name in self.functions.items() if path == f"np.{name}"}
        longer = [f"{name} = {path}" for path, name in sorted(self.functions.items()) if path not in plain]
        names = _call_lines("from numpy import ", sorted(plain.values()), "", 0) if plain else []
        return [*math_too, "import numpy as np", *names, *([""] if longer else []), *longer]

    def title(self) -> str:
        what = "One training step" if self.task.optimizer is not None else "A loss and its gradient"
        arguments = [f"{self.texts[n]} {_describe(n.value)}" for n in self.recording.nodes if n.kind == "argument"]
        return f"{what}, for {', '.join(arguments)}." if arguments else f"{what}."

    def fresh(self, name: str | None) -> str:
        """A name that nothing has yet."""
        base = identifier(name) if name else "s"
        count = 1
        known = base if name else "s1"
        while known in self.taken:
            count += 1
            known = f"{base}_{count}" if name else f"s{count}"
        self.taken.add(known)
        return known

    def name_results(self) -> None:
        """Names for what is computed; what is computed in a parameter's own array has the parameter's name."""
        own = set(self.texts.values())
        unnamed = []
        for node in self.plan.order:
            if node in self.plan.target:
                self.texts[node] = self.texts[self.plan.target[node]]
            elif is_view(node):
                continue  # named where it is first read
            elif node.name is None:
                unnamed.append(node)
            elif node.name in self.recording.reserved and node.name not in own:  # its own name, kept free for it
                self.texts[node] = str(node.name)
                own.add(str(node.name))
            else:
                self.texts[node] = self.fresh(node.name)
        later = self.on_the_way(unnamed)
        for node in unnamed:
            if node not in later:
                self.texts[node] = self.fresh(None)
        for node in reversed(unnamed):
            if node in later:
                self.texts[node] = self.texts[later[node]]

    def on_the_way(self, unnamed: list[Node]) -> dict[Node, Node]:
        """Results that are only a step on the way to the next one in the same memory, and so need no name of their own."""
        found = {}
        for node in unnamed:
            nodes = self.plan.home[node].nodes if node in self.plan.home else [node]
            after = nodes[nodes.index(node) + 1 :][:1]
            if after and after[0].note == node.note and after[0].value.shape == node.value.shape:
                found[node] = after[0]
        return found

    def buffers(self) -> list[str]:
        lines = []
        for slot in self.slots():
            layouts: dict[tuple[tuple[int, ...], bool], list[str]] = {}  # (shape, whether by columns) -> names
            for n in slot.nodes:
                layouts.setdefault((n.value.shape, n in self.plan.columns), []).append(self.texts[n])
            first = next((layout for layout in layouts if math.prod(layout[0]) == slot.size), None)
            dtype = "" if slot.dtype == np.float64 else f", {_dtype(slot.dtype)}"
            if first is None:
                flat = self.fresh("memory")
                lines.append(f"{flat} = np.empty({slot.size}{dtype})")
            else:
                (shape, columns), names = first, list(dict.fromkeys(layouts.pop(first)))
                order = ', order="F"' if columns else ""
                lines += _chained(names, f"np.empty({_tuple(shape)}{dtype}{order})")
                flat = names[0] if len(shape) == 1 else f"{names[0]}{'.T' * columns}.reshape(-1)"
            for (shape, columns), names in layouts.items():
                size = math.prod(shape)
                part = flat if size == slot.size else f"{flat}[:{size}]"
                if columns:
                    part = f"{part}.reshape({_sizes(shape[::-1])}).T"
                elif len(shape) != 1:
                    part = f"{part}.reshape({_sizes(shape)})"
                lines += _chained(list(dict.fromkeys(names)), part)
        return lines

    def slots(self) -> list[Any]:
        found: list[Any] = []
        for n in self.plan.order:
            slot = self.plan.home.get(n)
            if slot is not None and all(slot is not s for s in found):
                found.append(slot)
        return found

    def step(self) -> None:
        guards = dict(self.recording.guards)
        for node, taken in list(guards.items()):
            if node.function is None:
                self.guard(node, taken)
        for node in self.plan.order:
            if not is_view(node):
                self.statement(node)
            if node in guards and node.function is not None:
                self.guard(node, guards[node])
        for source, new in self.plan.copies:
            self.line(f"{self.texts[source]}[...] = {self.operand(new)}", f"the new {self.texts[source]}")

    def guard(self, node: Node, taken: bool) -> None:
        text = self.operand(node)
        self.body += [(f"if {'not ' if taken else ''}{text}:", "another branch than in the recorded run"), ("    return None", "")]

    def line(self, code: str, note: str) -> None:
        self.body.append((code, note))

    def result(self) -> list[str]:
        loss = self.operand(self.recording.loss)
        if self.task.optimizer is None:
            gradients = [self.operand(g) for g in self.recording.gradients]
            return [loss, f"({', '.join(gradients)},)"]
        return [loss, *(self.operand(new) for source, new in self.recording.writes if source.kind == "number")]

    # -- operands ----------------------------------------------------------------------------------------------------

    def operand(self, x: Any) -> str:
        """A node or a plain value as text."""
        if not isinstance(x, Node):
            return self.plain(x)
        if x not in self.texts:
            if is_view(x):
                return self.view(x)
            self.texts[x] = self.array(x) if x.is_array else self.plain(x.value)
        return self.texts[x]

    def plain(self, x: Any) -> str:
        if isinstance(x, tuple | list):
            inner = ", ".join(map(self.operand, x))
            return f"[{inner}]" if isinstance(x, list) else f"({inner}{',' * (len(x) == 1)})"
        if isinstance(x, slice):
            return f"slice({self.operand(x.start)}, {self.operand(x.stop)}, {self.operand(x.step)})"
        if isinstance(x, np.generic):
            return f"np.{x.dtype.name.replace('bool', 'bool_')}({_number(x.item())})"
        if isinstance(x, float):
            return _number(x)
        if isinstance(x, np.dtype) or (isinstance(x, type) and issubclass(x, np.generic)):
            return _dtype(np.dtype(x))
        if x is ...:
            return "..."
        if isinstance(x, bool | int | str | type(None)):
            return repr(x)
        if isinstance(x, type) and x in (float, int, bool):
            return x.__name__
        raise CompileError(f"{x!r} was given to a NumPy function, and cannot be written into a program")

    def array(self, node: Node) -> str:
        """A constant array, written down if it is small, and given to make if it is not."""
        value = node.value
        if node.kind == "constant" and value.size <= SMALL and value.flags.c_contiguous:
            name = self.named(node, "c")
            values = "[]" if not value.size else _listed(value)
            shape = f".reshape({_sizes(value.shape)})" if not value.size else ""
            dtype = "" if np.array(value.tolist()).dtype == value.dtype else f", {_dtype(value.dtype)}"
            self.before.append(f"{name} = np.array({values}{dtype}){shape}")
            return name
        self.inputs.append(node)
        return self.named(node, "constant" if node.kind == "constant" else "array")

    def named(self, node: Node, otherwise: str) -> str:
        """The name of a line of the recording, where the array is one."""
        if node.name in self.recording.reserved and node.name not in self.texts.values():
            return str(node.name)
        return self.fresh(node.name or otherwise)

    def number(self, x: Any, node: Node) -> str:
        """A number among arrays: as an array without dimensions, which NumPy takes without converting it."""
        value = x.value if isinstance(x, Node) else x
        others = [o.value.dtype for o in node.args if isinstance(o, Node) and o.is_array]
        dtype = np.result_type(*others) if others else None
        weak = is_number(value)
        if (
            dtype is None
            or isinstance(value, bool | np.bool_)
            or (weak and dtype.kind != "f")
            or (isinstance(value, float) and math.isnan(value))
        ):
            return self.operand(x)
        if weak and isinstance(x, Node) and x.kind != "constant":
            return self.rate(x, dtype)
        if isinstance(x, Node) and x.kind != "constant":
            return self.operand(x)
        array = np.array(value, dtype if weak else value.dtype)
        key = (float(array), array.dtype)
        if key not in self.constants:
            text = f"c_{_number(float(array))}".replace("-", "m").replace(".", "_").replace("+", "").removesuffix("_0")
            name = self.constants[key] = self.fresh(NUMBERS.get(float(array), text))
            self.before.append(
                f"{name} = np.array({_number(float(array))}{'' if array.dtype == np.float64 else f', {_dtype(array.dtype)}'})"
            )
        return self.constants[key]

    def rate(self, x: Node, dtype: np.dtype[Any]) -> str:
        """A number that changes from call to call, such as the learning rate, put where NumPy reads it fastest."""
        if x not in self.rates:
            name = self.rates[x] = self.fresh(f"{self.operand(x)}_now")
            self.before.append(f"{name} = np.empty((){'' if dtype == np.float64 else f', {_dtype(dtype)}'})")
            self.body.append((f"{name}[...] = {self.operand(x)}", "as an array, which NumPy need not convert at each use"))
            self.constants[name,] = str(dtype)
        return self.rates[x] if self.constants[self.rates[x],] == str(dtype) else self.operand(x)

    def elementwise(self, x: Any, node: Node) -> str:
        """An operand of an elementwise function: of the result's shape already, where a view can have it."""
        if not isinstance(x, Node) or not x.is_array:
            return self.number(x, node)
        reshaped = x.value.shape != node.value.shape and x.value.size == node.value.size and x.value.ndim
        if reshaped and self.by_rows(x) and self.steady(x):
            return self.made_view(x, f".reshape({_sizes(node.value.shape)})", "x".join(map(str, node.value.shape)))
        return self.operand(x)

    def by_rows(self, x: Node) -> bool:
        """Whether another shape of it is a view."""
        return x not in self.plan.columns and x.value.flags.c_contiguous

    def steady(self, x: Node) -> bool:
        """Whether views of it can be made once: of buffers, parameters and constants, not of arguments and what a call returns."""
        base = root(x)
        kept = base in self.plan.home or base in self.plan.target or base.kind in ("parameter", "state", "foreign", "constant")
        while kept and x is not base:
            below = next(n for n in x.inputs() if n.is_array)
            kept = memory(x.value) is memory(below.value) and not any(n.kind != "constant" for n in x.inputs() if n is not below)
            x = below
        return bool(kept) and (base in self.plan.home or base.value.flags.c_contiguous or x is base)

    def made_view(self, x: Node, code: str, suffix: str) -> str:
        key = (x, code)
        if key not in self.views:
            text = self.operand(x)
            name = self.views[key] = self.fresh(f"{text}_{suffix}")
            self.after.append(f"{name} = {text}{code}")
        return self.views[key]

    def view(self, node: Node) -> str:
        x = next(n for n in node.inputs() if n.is_array)
        code, suffix = self.view_code(node, x)
        named = node.name is not None and node.name.startswith("d_")
        name = self.texts[node] = self.fresh(node.name if named or not suffix else f"{self.operand(x)}_{suffix}")
        if self.steady(node):
            self.after.append(f"{name} = {code}")
        else:
            self.body.append((f"{name} = {code}", node.note))
        return name

    def view_code(self, node: Node, x: Node) -> tuple[str, str]:
        text = self.operand(x)
        if node.function is np.transpose and not node.args[1:] and not node.options:
            return f"{text}.T", "T"
        if node.function is np.reshape:
            return f"{text}.reshape({_sizes(node.value.shape)})", "x".join(map(str, node.value.shape)) or "0d"
        if node.function is operator.getitem:
            return f"{text}[{self.index(node.args[1])}]", ""
        return self.call(node), ""

    def index(self, index: Any) -> str:
        entries = index if isinstance(index, tuple) else (index,)
        found = []
        for e in entries:
            if isinstance(e, slice):
                parts = ["" if part is None else self.operand(part) for part in (e.start, e.stop, e.step)]
                found.append(":".join(parts[:2]) + (f":{parts[2]}" if parts[2] else ""))
            else:
                found.append(self.operand(e))
        return (
            ", ".join(found) + ("," if len(entries) == 1 and isinstance(index, tuple) and not isinstance(entries[0], slice) else "") or "()"
        )

    # -- statements --------------------------------------------------------------------------------------------------

    def statement(self, node: Node) -> None:
        out = self.texts[node] if node in self.plan.home or node in self.plan.target else None
        f = node.function
        if out is None:
            self.line(f"{self.texts[node]} = {self.value(node)}", node.note)
        elif f in (np.where, np.broadcast_to, np.reshape, cast, assigned):
            self.copies(node, out)
        elif f is scattered:
            self.scatter(node, out)
        elif f is quiet_exp:
            self.line('with np.errstate(over="ignore"):  # 1 / (1 + infinity) is 0', node.note)
            self.line(f"    {self.short('np.exp')}({self.operand(node.args[0])}, out={out})", node.note)
        elif self.is_column_sum(node):
            product = self.short("np.dot" if node.value.size < functions.SMALL_PRODUCT else "np.matmul")
            self.line(f"{product}({self.ones(node.args[0].value)}, {self.operand(node.args[0])}, out={out})", node.note)
        elif self.is_small_product(node):
            self.line(f"{self.short('np.dot')}({', '.join(self.product(node))})", node.note)
        elif isinstance(f, np.ufunc) and f.signature is None:
            operands = [self.elementwise(x, node) for x in node.args]
            self.line(f"{self.short(_path(f))}({', '.join([*operands, *self.options(node), f'out={out}'])})", node.note)
        else:
            self.line(f"{self.call(node)[:-1]}, out={out})", node.note)

    def copies(self, node: Node, out: str) -> None:
        """What is best written as copying into the result."""
        f, note = node.function, node.note
        first = self.operand(node.args[2] if f is np.where else node.args[0])
        unsafe = ', casting="unsafe"' if f is cast else ""
        if first != out:
            self.line(f"{self.copyto}({out}, {first}{unsafe})", note)
        if f is np.where:
            self.line(f"{self.copyto}({out}, {self.operand(node.args[1])}, where={self.operand(node.args[0])})", note)
        elif f is assigned:
            self.line(f"{out}[{self.index(node.options['index'])}] = {self.operand(node.args[1])}", note)

    def is_column_sum(self, node: Node) -> bool:
        """Whether it is the sum of the rows of a matrix: as a product with a row of ones that takes half the time."""
        rows = node.function == np.add.reduce and node.options in ({"axis": 0}, {"axis": (0,)}) and node.args[0].value.ndim == 2
        return rows and node.value.dtype == node.args[0].value.dtype and node.value.dtype in (np.float64, np.float32)

    def is_small_product(self, node: Node) -> bool:
        """Whether it is a product of matrices that costs less by ``dot``, which fills its result with zeros first."""
        if node.function is not np.matmul or node.value.size >= functions.SMALL_PRODUCT or node not in self.plan.home:
            return False
        whole = (isinstance(x, Node) and x.value.flags.forc and 0 < x.value.ndim < 3 for x in node.args)  # dot would copy a part
        if not all(whole) or any(x.value.dtype != node.value.dtype for x in node.args):
            return False
        return [x.value.size for x in node.args].count(1) != 1  # see functions.product

    def product(self, node: Node) -> list[str]:
        """What ``dot`` is given. It writes row by row; a result by columns is the transpose of one by rows, (b.T @ a.T).T."""
        a, b = node.args
        if node not in self.plan.columns:
            return [self.operand(a), self.operand(b), f"out={self.texts[node]}"]
        return [self.transposed(b), self.transposed(a), f"out={self.made_view(node, '.T', 'T')}"]

    def transposed(self, x: Node) -> str:
        if x.function is np.transpose and not x.args[1:] and not x.options:
            return self.operand(x.args[0])
        return self.made_view(x, ".T", "T") if self.steady(x) else f"{self.operand(x)}.T"

    def ones(self, x: Any) -> str:
        key = ("ones", x.shape[0], x.dtype.str)
        if key not in self.constants:
            self.constants[key] = self.fresh("ones")
            self.before.append(f"{self.constants[key]} = np.ones({x.shape[0]}{'' if x.dtype == np.float64 else f', {_dtype(x.dtype)}'})")
        return self.constants[key]

    def scatter(self, node: Node, out: str) -> None:
        index, values = node.options["index"], self.operand(node.args[0])
        self.line(f"{out}.fill(0)", node.note)
        entries = index if isinstance(index, tuple) else (index,)
        if all(isinstance(e, int | slice | type(None) | type(...)) for e in entries):
            self.line(f"{out}[{self.index(index)}] = {values}", node.note)
        else:
            add_at = self.short("np.add.at")
            self.line(f"{add_at}({out}, {self.plain(index) if isinstance(index, tuple) else self.operand(index)}, {values})", node.note)

    def value(self, node: Node) -> str:
        """The text of a call whose result is a number, or an array that NumPy makes."""
        f, args = node.function, node.args
        if f in INFIX and not node.options and not node.is_array:
            numbers = all(is_number(a.value if isinstance(a, Node) else a) for a in args)
            if not (numbers and isinstance(f, np.ufunc)):
                return f"{self.operand(args[0])} {INFIX[f]} {self.operand(args[1])}"
        if f is operator.neg:
            return f"-{self.operand(args[0])}"
        if f is operator.getitem:
            return f"{self.operand(args[0])}[{self.index(args[1])}]"
        if f is operator.abs:
            return f"abs({self.operand(args[0])})"
        if f is cast:
            return f"{_dtype(node.value.dtype)}({self.operand(args[0])})"
        return self.call(node)

    def call(self, node: Node) -> str:
        args = list(map(self.operand, node.args))
        f = node.function
        if f is functions.erf:
            if "erf" not in self.texts.values() and not any(line.startswith("erf =") for line in self.before):
                self.before.append("erf = np.vectorize(math.erf, otypes=[float])")
            return f"erf({args[0]}).astype({_dtype(node.value.dtype)})"
        if getattr(f, "__name__", "") == "reduce" and node.args[0].is_array and not node.is_array and self.flat(node):
            args[0] = self.made_view(node.args[0], ".reshape(-1)", "flat") if node.args[0].value.ndim > 1 else args[0]
            return f"{self.short(_path(f))}({args[0]})"
        return f"{self.short(_path(f))}({', '.join([*args, *self.options(node)])})"

    def flat(self, node: Node) -> bool:
        """Whether all elements of a buffer are reduced: as one long axis that is quicker."""
        x = node.args[0]
        everything = node.options == {"axis": None} or (x.value.ndim == 1 and node.options in ({"axis": 0}, {"axis": (0,)}, {"axis": -1}))
        return everything and x in self.plan.home and self.by_rows(x)

    def short(self, path: str) -> str:
        """The name by which step calls a function: looking one up in a module at each call takes time."""
        if path not in self.functions:
            self.functions[path] = self.fresh(path.partition("np.")[2].replace("linalg.", "").replace("fft.", "").replace(".", "_"))
        return self.functions[path]

    @property
    def copyto(self) -> str:
        return self.short("np.copyto")

    def options(self, node: Node) -> list[str]:
        return [f"{name}={self.operand(x)}" for name, x in node.options.items()]


# -- text ------------------------------------------------------------------------------------------------------------


def _path(function: Any) -> str:
    """The name of a NumPy function in a program."""
    owner: Any = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{function.__name__}"
    module = getattr(function, "__module__", None) or "numpy"
    path = [*module.split(".")[1:], function.__name__]
    found: Any = np
    for name in path:
        found = getattr(found, name, None)
    if found is not function and getattr(np, path[-1], None) is function:
        path, found = path[-1:], function
        raise CompileError(f"{function!r} ran on the arrays of a compiled function, and a program that imports only NumPy cannot call it")
    return ".".join(["np", *path])


def _number(x: Any) -> str:
    if isinstance(x, float) and not math.isfinite(x):
        return "np.nan" if math.isnan(x) else "np.inf" if x > 0 else "-np.inf"
    return repr(x)


def _listed(value: Any) -> str:
    return _number(value.item()) if value.ndim == 0 else f"[{', '.join(map(_listed, value))}]"


def _tuple(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape)) or "()"


def _dtype(dtype: Any) -> str:
    return f"np.{dtype.name}" if dtype.kind != "b" else "bool"


def _describe(value: Any) -> str:
    return f"{np.shape(value)} {np.result_type(value)}"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


def _commented(body: list[tuple[str, str]]) -> list[str]:
    """Above the calls of each line of the recording: which line it is, and how it is pulled back."""
    lines, last = [], ""
    for code, note in body:
        if note and note != last:
            lines += _comment(" ".join(note.split()))
        last = note or last
        lines.append(code)
    return lines


def _comment(note: str) -> list[str]:
    return textwrap.wrap(note, WIDTH - 8, initial_indent="# ", subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False)


def _call_lines(head: str, items: list[str], tail: str, indent: int) -> list[str]:
    """``head`` items ``tail``, in as many lines as it takes."""
    whole = f"{head}{', '.join(items)}{tail}"
    if len(whole) + indent <= WIDTH:
        return [whole]
    margin = " " * (len(head) - len(head.lstrip()))
    opened, closed = (head, tail) if head.endswith("(") else (f"{head}(", f"){tail}")
    inner = textwrap.wrap(", ".join(items) + ",", WIDTH - indent - 4 - len(margin), break_long_words=False, break_on_hyphens=False)
    return [opened, *(f"{margin}    {line}" for line in inner), f"{margin}{closed}"]


def _chained(names: list[str], value: str) -> list[str]:
    """a = b = c = value, in as many lines as it takes."""
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + len(name) + 3 + (len(value) + 3 if len(lines) == 1 else len(names[0]) + 3) <= WIDTH - 4:
            lines[-1] += f" = {name}"
        else:
            lines.append(name)
    return [f"{line} = {names[0] if k else value}" for k, line in enumerate(lines)]
