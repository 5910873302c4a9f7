r"""A network as a note declares it: names, numbers and formulas, a line each. Nothing is executed.

    input i [i1 i2] = [0.05, 0.10]
    W [w1 w2; w3 w4] = [[0.15, 0.20], [0.25, 0.30]]
    net_h = W @ i + 0.35                # a comment
    out_h = sigmoid(net_h)
    E = sum((target - out_h)^2) / 2
    eta = 0.5
    alias \hat{y} = out_h
    previous w1 = 0.14
    loss E

A line that gives numbers declares a quantity, one that gives a formula computes one from those above it. The names in
brackets are those of the elements; ``previous`` gives a value of the step before, for the diagnosis alone. The loss is the
last line with a formula whose value is a single number, unless a line says which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_bp.check.formula import Formula, parse
from tinygrad_bp.check.formula import functions as fn
from tinygrad_bp.check.formula.evaluate import FormulaScope, evaluate, literal
from tinygrad_bp.check.formula.functions import FUNCTIONS
from tinygrad_bp.check.formula.names import key
from tinygrad_bp.check.formula.scope import RATES, Scope
from tinygrad_bp.check.notes.markdown import Piece, Source
from tinygrad_bp.errors import FormulaError, GraphError, TinygradError
from tinygrad_bp.expression import Expression
from tinygrad_bp.program import Program, element_names
from tinygrad_bp.rule import RULES
from tinygrad_bp.tensor import Tensor, record

Part = tuple[Tensor, tuple[int, ...]]  # an element: of which tensor, and where in it

LINES = 500
ELEMENTS = 5_000  # numbers in all tensors of a network together
STEP_SIZES = ("eta", "lr", "learningrate", "alpha", "epsilon")  # what the learning rate may be called, the likeliest first

# The checker is also called from Python; a note has its own way to say these things.
WORDING = (
    (re.compile(r"Say (so|which) with aliases=\{'(.*?)': '(.*?)'\}"), r"Say \1 in the network: alias \2 = \3"),
    (re.compile("Give a list of formulas"), "Write a list of numbers as [1, 2]"),
    (re.compile(r"Give check\(\.\.\., lr=0\.5\)"), "Declare it in the network: eta = 0.5"),
    (re.compile(r"needs a graph: check\(output, \.\.\.\)"), "needs a network: declare one in a block ```network before it"),
)

ASSIGNMENT = re.compile(
    r"\s*(?:(?P<role>input|target|previous)\s+)?(?P<name>(?:[^=\[\]]|\^\{?\[\w+\]\}?)+?)\s*(?P<elements>\[[^\]=]*\])?\s*=(?!=)"
)
LAYER = re.compile(r"[A-Za-z]+\^\{?\d+\}?")  # w^2, the weights of layer 2
COMMAND = re.compile(r"\s*(?P<word>loss|layout|alias(?:es)?)\b\s*(?::|(?!\s*=))\s*")


@dataclass
class Network:
    """What the formulas of a note may speak of."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    aliases: dict[str, Any] = field(default_factory=dict)
    previous: dict[str, Any] = field(default_factory=dict)
    loss: str | None = None
    layout: str = "numerator"
    line: int = 0
    program: Program | None = None

    @property
    def lr(self) -> float | None:
        """The learning rate, if one is declared."""
        rates = [self.aliases[name] for size in STEP_SIZES for name in self.aliases if key(name) == size]
        return next((float(rate) for rate in rates if np.ndim(rate) == 0 and not isinstance(rate, str)), None)

    def scope(self) -> Scope:
        """The names for the formulas of the text."""
        scope = FormulaScope(self.program, self.aliases, self.lr)
        scope.denominator = self.layout == "denominator"
        return scope

    def finish(self) -> None:
        """Read the graph off; what the loss does not depend on stays known by its value."""
        if self.loss is not None:
            self.program = Program.of(self.tensors[self.loss])
            if not np.isfinite(self.program.output.value).all():
                raise GraphError(f"the loss {self.loss} is {float(self.program.output.value)}, so it has no derivatives here")
        inside = set() if self.program is None else set(self.program.serials)
        for name, tensor in self.tensors.items():
            if tensor.serial not in inside:
                self.aliases[name] = tensor.raw
                self.aliases.update(_elements(tensor))
        self.previous = {name: value for name, value in self.previous.items() if self.inside(name)}

    def inside(self, name: str) -> bool:
        """Whether the loss depends on a tensor or an element of this name."""
        return self.program is not None and (name in self.program.places or name in self.program.elements)


def read(source: Source, piece: Piece) -> Network:
    """The network of one block. Raises ``FormulaError`` with file, line, column and a caret."""
    return _Reader(source, piece).run()


class _Reader:
    def __init__(self, source: Source, piece: Piece) -> None:
        self.source, self.piece = source, piece
        self.network = Network(line=source.line(piece.start) - 1)
        self.values: dict[str, Any] = {}  # of all names, those of elements too
        self.places: dict[str, int] = {}  # key -> line
        self.parts: dict[str, Part] = {}  # name of an element -> where it is
        self.candidate: str | None = None

    def run(self) -> Network:
        for count, (place, line) in enumerate(statements(self.piece.text)):
            at = self.piece.start + place
            if count >= LINES:
                raise self.source.error(at, f"more than {LINES} lines in one network")
            command = COMMAND.match(line)
            if command is not None:
                read = {"loss": self.choose, "layout": self.lay}.get(command["word"], self.rename)
                read(line[command.end() :], at + command.end())
            else:
                self.assign(line, at)
        network = self.network
        network.loss = network.loss or self.candidate
        try:
            network.finish()
        except GraphError as error:
            raise self.source.error(self.piece.start, str(error)) from None
        return network

    # -- lines -----------------------------------------------------------------------------------------------------

    def assign(self, line: str, at: int) -> None:
        """``name = ...``, ``name [elements] = ...``, ``input name = ...``."""
        left = ASSIGNMENT.match(line)
        if left is None:
            raise self.source.error(at + len(line) - len(line.lstrip()), "expected a line such as  w1 = 0.15  or  net_h = W @ i + b")
        if left["role"] == "previous":
            self.before(left["name"], line[left.end() :], at + left.start("name"), at + left.end())
            return
        name = self.name(left["name"], at + left.start("name"))
        elements = re.split(r"[\s,;]+", left["elements"].strip("[]").strip()) if left["elements"] else []
        names = [self.name(e, at + left.start("elements")) for e in elements if e]
        formula = self.formula(line[left.end() :], at + left.end())
        x = formula.members[0]
        value = self.evaluated(formula, at + left.end())
        if names and len(names) != value.size:
            raise self.source.error(at + left.start("elements"), f"{name} has {value.size} elements; got {len(names)} names")
        if x.function is None and x.name:  # another name for the same
            self.network.aliases[name] = x.name
            self.values[name] = value
            return
        if literal(x) and value.ndim == 0 and key(name) in RATES:
            self.network.aliases[name] = self.values[name] = float(value)
            return
        self.declare(name, names, value, x, formula, at + left.end(), tracked=left["role"] is None)

    def before(self, text: str, numbers: str, at: int, right: int) -> None:
        """``previous name = ...``: a value of the previous step."""
        name = self.name(text, at, fresh=False)
        known = next((n for n in self.values if key(n) == key(name)), None)
        if known is None:
            raise self.source.error(at, f"{name} is not declared above; previous values are those of known names")
        formula = self.formula(numbers, right)
        value = self.evaluated(formula, right)
        if not literal(formula.members[0]) or value.shape != np.shape(self.values[known]):
            raise self.source.error(right, f"expected numbers, in the shape of {known}, which is {np.shape(self.values[known])}")
        self.network.previous[known] = value

    def declare(self, name: str, names: list[str], value: Any, x: Expression, formula: Formula, at: int, tracked: bool) -> None:
        if literal(x):
            tensor = Tensor(value, requires_grad=tracked)
        else:
            tensor = self.computed(x, formula, at, value)
            self.candidate = name if tensor.size == 1 and tensor.tracked else self.candidate
        self.network.tensors[name] = tensor.named(name, names)
        self.values[name] = value
        for index, element in zip(np.ndindex(value.shape), element_names(tensor.name, value.shape), strict=True):
            if value.ndim and element is not None:
                self.values.setdefault(str(element), value[index])
                self.parts.setdefault(key(str(element)), (tensor, index))
        if sum(t.size for t in self.network.tensors.values()) > ELEMENTS:
            raise self.source.error(at, f"the network has more than {ELEMENTS} numbers. Check a smaller one by hand")

    def choose(self, name: str, at: int) -> None:
        found = next((n for n in self.network.tensors if key(n) == key(name)), None)
        if found is None or self.network.tensors[found].size != 1 or not self.network.tensors[found].tracked:
            raise self.source.error(at, "the loss is a single number that a line above computes by a formula")
        self.network.loss = found

    def lay(self, text: str, at: int) -> None:
        """layout denominator: what derivatives of vectors by vectors are written in."""
        if text.strip() not in ("numerator", "denominator"):
            raise self.source.error(at, "expected  layout numerator  or  layout denominator")
        self.network.layout = text.strip()

    def rename(self, text: str, at: int) -> None:
        """alias a = b, c = d."""
        for part in re.finditer(r"[^,;]+", text):
            written, sign, meant = part.group().partition("=")
            if not sign or not meant.strip():
                raise self.source.error(at + part.start(), r"expected  alias written = meant,  such as  alias \hat{y} = out_o")
            name = self.name(written, at + part.start(), fresh=False)
            if meant.strip() not in FUNCTIONS:
                self.evaluated(self.formula(meant, at + part.start() + len(written) + 1), at + part.start() + len(written) + 1)
            self.network.aliases[name] = meant.strip()

    # -- parts of lines --------------------------------------------------------------------------------------------

    def name(self, text: str, at: int, fresh: bool = True) -> str:
        """A name as the formulas will know it; each is declared once."""
        at += len(text) - len(text.lstrip())
        try:
            (x,) = parse(text, {key(layer[0])} if (layer := LAYER.fullmatch(text.strip())) else None).members
        except (FormulaError, ValueError):
            raise self.source.error(at, f"{short(text)!a} is not a name") from None
        if x.function is not None or not x.name or x.name in FUNCTIONS:
            raise self.source.error(at, f"{short(text)!a} cannot be a name here")
        if fresh and key(x.name) in self.places:
            raise self.source.error(at, f"{x.name} is declared twice, first in line {self.places[key(x.name)]}")
        if fresh and key(x.name) in self.parts:
            raise self.source.error(at, f"{x.name} is already an element of {self.parts[key(x.name)][0].name}")
        if fresh:
            self.places[key(x.name)] = self.source.line(at)
        return x.name

    def scope(self) -> Scope:
        return FormulaScope(None, {**self.values, **self.network.aliases})

    def formula(self, text: str, at: int) -> Formula:
        try:
            formula = parse(text, self.scope().known)
        except TinygradError as error:
            raise self.located(error, text, at) from None
        if len(formula.members) > 1:
            at += len(text) - len(text.lstrip())
            raise self.source.error(at, "one '=' a line here. Chains of equalities belong into the text, where they are checked")
        for x in parts_of(formula.members[0]):
            if x.function is fn.product and all(o.function is None and not o.name for o in x.operands):
                raise self.source.error(at + formula.spans[id(x)][0], "two numbers side by side: put a comma or an operator between them")
        return formula

    def evaluated(self, formula: Formula, at: int) -> Any:
        """The value on plain arrays: it says what cannot be computed, and with it what would be too large."""
        try:
            value = evaluate(formula.members[0], formula, self.scope())
        except TinygradError as error:
            raise self.located(error, formula.text, at) from None
        if value.size > ELEMENTS:
            raise self.source.error(at, f"this has {value.size} elements, and {ELEMENTS} are the limit for a network")
        return value

    def computed(self, x: Expression, formula: Formula, at: int, value: Any) -> Tensor:
        try:
            with np.errstate(all="ignore"):
                tensor = _Recorder(formula, self.scope(), self.network.tensors, self.parts).run(x)
        except TinygradError as error:
            raise self.located(error, formula.text, at) from None
        except (ValueError, TypeError) as error:
            raise self.source.error(at, f"this cannot be computed: {error}") from None
        tensor = tensor if isinstance(tensor, Tensor) else Tensor(tensor)
        if tensor.shape != value.shape or not np.allclose(tensor.raw, value, equal_nan=True):
            raise self.source.error(at, "this can be read in two ways: write @ for the matrix product and * for the one element by element")
        return tensor

    def located(self, error: TinygradError, text: str, at: int) -> FormulaError:
        return self.source.error(at + place(error, text), problem(error))


DIRECT: dict[Any, Any] = {fn.total: np.sum, fn.turn: np.transpose, fn.absolute: np.abs}


class _Recorder:
    """Runs a formula on tensors, so that its derivatives come from the ordinary record.

    It has been evaluated on arrays before, so that nothing here is too large.
    """

    def __init__(self, formula: Formula, scope: Scope, tensors: dict[str, Tensor], parts: dict[str, Part]) -> None:
        self.formula, self.scope, self.parts = formula, scope, parts
        self.tensors = {key(name): tensor for name, tensor in tensors.items()}

    def run(self, x: Expression) -> Any:
        if x.function is None:
            return self.name(x) if x.name else float(x.value)
        if x.function is fn.total and x.options["letter"]:
            return self.total(x)
        operands = [self.run(o) for o in x.operands]
        if x.function in (fn.product, fn.dot):
            return self.product(x, *operands)
        if x.function is fn.matrix:
            return self.matrix(x, operands)
        if x.function in DIRECT:
            return DIRECT[x.function](*operands)
        if x.function in fn.OURS or (isinstance(x.function, str) and x.function.endswith("'")):
            raise self.formula.error(x, "a network is declared without derivatives: they are what is checked")
        if x.function == "take":
            return operands[0][x.options["index"]]
        function = self.scope.function(x.function) if isinstance(x.function, str) else x.function
        options = {k: v for k, v in x.options.items() if isinstance(k, str)}
        rule = RULES.get(function)
        if rule is None or isinstance(function, np.ufunc) or not any(isinstance(o, Tensor) for o in operands):
            return function(*operands, **options)
        return record(rule, *rule.bind(tuple(operands), options))  # ours, such as the sigmoid: NumPy does not dispatch them

    def name(self, x: Expression) -> Any:
        for k in map(key, self.scope.spellings(x.name)):
            if k in self.tensors:
                return self.tensors[k]
            if k in self.parts:
                tensor, index = self.parts[k]
                return tensor[index]
            if isinstance(alias := self.scope.aliases.get(k), str):
                if key(alias) in self.tensors:  # a^(2), which is a name and no formula
                    return self.tensors[key(alias)]
                return self.run(parse(alias, self.scope.known).members[0])
        return self.scope.value(x.name)

    def total(self, x: Expression) -> Any:
        """A sum over an index with numbers as its bounds."""
        letter, low, high = (x.options[k] for k in ("letter", "low", "high"))
        if not (low.isdigit() and high.isdigit() and int(low) <= int(high) <= int(low) + LINES):
            raise self.formula.error(
                x, f"a sum in a network needs numbers as bounds, at most {LINES} terms: \\sum_{{i=1}}^{{2}}, or sum(...)"
            )
        terms = []
        for k in range(int(low), int(high) + 1):
            self.scope.bindings[letter] = str(k)
            terms.append(self.run(x.operands[0]))
        del self.scope.bindings[letter]
        return sum(terms[1:], terms[0])

    def product(self, x: Expression, a: Any, b: Any) -> Any:
        if np.ndim(a) == 0 or np.ndim(b) == 0:
            return a * b
        if np.ndim(a) == np.ndim(b) == 1 and x.function is fn.product and x.operands[0].function is not fn.turn:
            raise self.formula.error(x, "which product of two vectors? Write a * b for each element, sum(a * b) for the inner product")
        return a @ b

    def matrix(self, x: Expression, operands: list[Any]) -> Any:
        """Numbers and scalars side by side."""
        if any(np.ndim(o) for o in operands):
            return np.stack(operands)
        row = np.stack([o if isinstance(o, Tensor) else Tensor(o) for o in operands])
        columns = x.options.get("columns", len(operands))
        return row if columns in (1, len(operands)) else row.reshape(-1, columns)


def statements(text: str) -> Iterator[tuple[int, str]]:
    """(place, line) without comments; a line with an open bracket goes on in the next one."""
    place, start, held = 0, 0, ""
    for line in text.split("\n"):
        code = line.partition("#")[0]
        start = start if held else place
        held += " " * (place - start - len(held)) + code
        place += len(line) + 1
        if held.strip() and held.count("[") + held.count("(") <= held.count("]") + held.count(")"):
            yield start, held.rstrip()
            held = ""
        elif not held.strip():
            held = ""
    if held.strip():
        yield start, held.rstrip()


def problem(error: Exception) -> str:
    """What an error says, in the words of a note, and without the line and the caret that it shows."""
    lines = str(error).split("\n")
    text = "\n".join(lines[:-2] if len(lines) > 2 and lines[-1].strip() == "^" else lines)
    for pattern, replacement in WORDING:
        text = pattern.sub(replacement, text)
    return text


def place(error: Exception, text: str) -> int:
    """Where in a text an error points: it says so, or its caret does; otherwise at the beginning."""
    found = getattr(error, "place", None)
    if found is not None:
        return int(found)
    *_, line, caret = ["", "", *str(error).split("\n")]
    begin = text.find(line[2:].removesuffix(" ...")) if caret.strip() == "^" else -1
    return begin + len(caret) - 3 if begin >= 0 else len(text) - len(text.lstrip())


def parts_of(x: Expression) -> Iterator[Expression]:
    todo = [x]
    while todo:
        yield (y := todo.pop())
        todo += y.operands


def short(text: str) -> str:
    text = " ".join(text[:200].split())
    return text if len(text) <= 40 else text[:37] + "..."


def _elements(tensor: Tensor) -> dict[str, Any]:
    if not tensor.ndim:
        return {}
    names = element_names(tensor.name, tensor.shape)
    return {str(name): tensor.raw[index] for name, index in zip(names, np.ndindex(tensor.shape), strict=True)}
