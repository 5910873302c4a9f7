"""``tg.why``: the operation responsible for a gradient that is zero, tiny, not a number, or not there."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_bp.engine import order
from tinygrad_bp.errors import GraphError, InPlaceError
from tinygrad_bp.explain.legible import legible
from tinygrad_bp.explain.matrices import symbolic
from tinygrad_bp.expression import Expression, format_number, number, partial, plain_number, symbol
from tinygrad_bp.functions import sum_to
from tinygrad_bp.letters import places, spoken
from tinygrad_bp.program import Line, Program
from tinygrad_bp.tensor import Tensor

COMPARED = (np.greater, np.greater_equal, np.less, np.less_equal, np.where)
TINY = 1e-7  # of the greatest gradient on the way, below which a gradient has vanished

MANY = 256  # terms of a sum that are looked at one by one

Index = tuple[int, ...]

STATES = {  # what people say of an operation whose derivative is zero or nearly so
    **dict.fromkeys(("sigmoid", "tanh", "erf", "softmax", "log_softmax"), "is saturated"),
    **dict.fromkeys(("relu", "leaky_relu", "elu", "gelu", "silu", "softplus"), "is off"),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), "takes the other operand"),
    **dict.fromkeys(("max", "min"), "takes another element"),
    "cross_entropy": "has reached its target, where softmax(x) - target vanishes",
    "where": "takes the other branch",
    "clamp": "has reached its bound",
}


class Reason(str):
    """A sentence, which an interactive session shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def why(tensor: Tensor | str, output: Tensor | None = None) -> Reason:
    """In one sentence, why the gradient of ``tensor`` is zero, tiny, not a number or ``None``.

    ``tensor``: a tensor, or, where ``output`` is given, the name of one or of an element. ``output``: the scalar that
    was differentiated; left out, the newest one that is still alive and that ``backward()`` was called on. Ask before
    the optimizer changes the parameters; afterwards the answer is that the values are gone.

    Raises ``GraphError`` if the output is not a scalar, ``NameLookupError`` for a name that the graph does not have, and
    ``TypeError`` for what is no tensor.

    >>> import numpy as np
    >>> import tinygrad_bp as tg
    >>> w = tg.Tensor(37.0, requires_grad=True, name="w")
    >>> out = tg.sigmoid(w).named("out")
    >>> out.backward()
    >>> tg.why(w)
    dout/dw is zero: sigmoid at w = 37 is saturated, its derivative out * (1 - out) = 1 * (1 - 1) = 0.
    """
    if isinstance(tensor, str) and output is None:
        raise TypeError(f"which graph? Give the output too: tg.why({tensor!r}, loss)")
    for given, wanted in ((tensor, Tensor | str), (output, Tensor | None)):
        if not isinstance(given, wanted):
            raise TypeError(f"tg.why asks about a tensor of a graph, as in tg.why(w) or tg.why('w', loss); got {type(given).__name__}")
    with np.errstate(all="ignore"):
        return Reason(_answer(tensor, output))


def _answer(tensor: Tensor | str, output: Tensor | None) -> str:
    if isinstance(tensor, Tensor):
        what = tensor.label()
        if not tensor.tracked:
            return (
                f"{what} does not require a gradient: it was made without requires_grad=True, by .detach(), inside no_grad(), or from "
                "nothing that requires one."
            )
        output = output if output is not None else _latest(tensor)
        if output is None and tensor.gradient is not None:
            return (
                f"{what} has a gradient, but no scalar that it came from is left: the loss was deleted, its graph was freed by "
                "retain_graph=False, or it is no scalar. Run forward and backward again, and ask while the loss is there."
            )
        if output is None:
            return (
                f"backward() has not been called on anything alive that leads back to {what}. If it was called on a loss, .detach(), "
                ".numpy() or no_grad() cut it off on the way; tg.why(tensor, loss) says more."
            )
    assert output is not None
    if not output.tracked:
        return f"{output.label()} was not recorded: nothing that it was computed from requires a gradient, or it was computed in no_grad()."
    try:
        program = legible(spoken(Program.of(output)))
    except InPlaceError as error:
        return _overwritten(tensor, output, str(error).partition(" was changed ")[0])
    if isinstance(tensor, Tensor) and tensor.serial not in program.serials:
        return _outside(tensor.label(), program)
    place, index = program.locate(tensor)
    search = _Search(program)
    if place not in program.gradients:
        said = search.undifferentiated(place)
    elif isinstance(tensor, Tensor) and tensor.gradient is None:
        said = _missing(program.names[place], program.names[program.outputs[0]], output.gradient is not None)
    else:
        said = search.reason(place, index)
    where = places(program, re.findall(r"(?<![A-Za-z\d_])(?:d(?=[A-Za-z]))?(\w+)", said))
    return f"{said} Here {where}." if where else said


def _missing(what: str, top: str, called: bool) -> str:
    if not called:
        return f"backward() has not been called on {top}."
    return f"the gradient of {what} was there and was cleared after backward(), by zero_grad() or by .grad = None."


def _overwritten(tensor: Tensor | str, output: Tensor, changed: str) -> str:
    """What can be said where the values of the graph are no longer those that the gradient was computed with."""
    what, kind = repr(tensor), "what it is"
    if isinstance(tensor, Tensor):
        what = tensor.label()
        if tensor.gradient is None and _leads(output, tensor):
            return _missing(what, output.label(), output.gradient is not None)
        g = np.asarray([] if tensor.grad is None else tensor.grad.numpy())
        kind = "not finite" if not np.all(np.isfinite(g)) else "zero" if g.size and not np.any(g) else kind
    return (
        f"why the gradient of {what} is {kind} cannot be said any more: {changed} was changed in place after the graph was recorded, as "
        "an optimizer's step does. Ask before the step, or after the next backward()."
    )


def _latest(tensor: Tensor) -> Tensor | None:
    """The newest scalar with a gradient of its own that leads to the tensor."""
    alive = [t for t in gc.get_objects() if issubclass(type(t), Tensor)]
    scalars = [t for t in alive if t.rule is not None and t.gradient is not None and t.raw.size == 1]
    read = {id(x) for t in alive for x in t.inputs}
    ends = sorted(scalars, key=lambda t: (id(t) in read, -t.serial))  # first those that nothing was computed from
    return next((t for t in ends if _leads(t, tensor)), None)


def _leads(output: Tensor, tensor: Tensor) -> bool:
    try:
        return any(t is tensor for t in order(output))
    except GraphError:  # freed
        return False


def _outside(what: str, program: Program) -> str:
    stops = [program.names[line.index] for line in program.lines if line.rule is None and not line.tracked and not line.constant]
    top = program.names[program.outputs[0]]
    said = f"{what} is not part of the graph of {top}: nothing that {top} was computed from leads back to it"
    if not stops:
        return said + "."
    ends = ", ".join(stops[:8])
    return f"{said}. The graph ends at {ends}: if one of these was computed from it, .detach(), .numpy() or no_grad() cut it off there."


@dataclass
class _Search:
    """Looks for the operation at which a gradient is lost, on the way from a tensor up to the output."""

    program: Program
    incoming: dict[str, Any] = field(default_factory=dict)  # the gradient that comes in, where it is spoken of

    def __post_init__(self) -> None:
        self.lines = self.program.lines
        self.top = self.program.outputs[0]

    @cached_property
    def users(self) -> list[list[tuple[int, int]]]:
        """Of each line: the lines that read it, and as which operand."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.lines]
        for line in self.lines:
            for i, place in enumerate(line.operands):
                found[place].append((line.index, i))
        return found

    def name(self, place: int) -> str:
        return self.program.names[place]

    def rule_name(self, place: int) -> str:
        rule = self.lines[place].rule
        return rule.name if rule else self.name(place)

    def goal(self, place: int, index: Index | None) -> str:
        return f"d{self.name(self.top)}/d{self.name(place)}" + _at(index)

    # -- the questions -------------------------------------------------------------------------------------------

    def undifferentiated(self, place: int) -> str:
        user, i = self.users[place][0] if self.users[place] else (self.top, 0)
        while user not in self.program.gradients and self.users[user]:
            user, i = self.users[user][0]
        rule = self.lines[user].rule
        assert rule is not None
        argument = rule.arguments[i] if i < len(rule.arguments) else "an operand"
        return f"{self.name(self.top)} depends on {self.name(place)} only through the {argument} of {rule.name}, which has no derivative."

    def reason(self, place: int, index: Index | None) -> str:
        g = np.asarray(self.program.gradients[place])
        of = g if index is None else g[index]
        if not np.all(np.isfinite(of)):
            return self.not_finite(place, index)
        greatest = max(float(np.max(np.abs(v), initial=0.0)) for v in self.program.gradients.values())
        lost = np.abs(of) <= TINY * greatest
        if not np.any(lost):
            sizes = format_number(float(np.min(of)), 4) + (f" to {format_number(float(np.max(of)), 4)}" if np.size(of) > 1 else "")
            return f"{self.goal(place, index)} is neither zero nor tiny: {sizes}."
        element = index if index is not None else tuple(int(k) for k in np.argwhere(lost)[0])
        share = "" if np.all(lost) or not np.ndim(of) else f" in {int(np.sum(lost))} of {of.size} elements, such as {_at(element)}"
        value = float(np.max(np.abs(of[lost] if np.ndim(of) else of)))
        kind = "zero" if value == 0 else f"tiny, {format_number(value, 3)}" + (" at most" if np.ndim(of) else "")
        return f"{self.goal(place, index)} is {kind}{share}: {self.lost(place, element)}."

    # -- zero and tiny -------------------------------------------------------------------------------------------

    def lost(self, place: int, element: Index) -> str:
        """Up from an element, along what it depends on, to where the gradient is still there."""
        small: list[tuple[float, int, int, Index]] = []
        while place != self.top:
            found = [
                (user, i, k, *self.passed(user, i, element))
                for k, (user, i) in enumerate(self.users[place])
                if user in self.program.gradients
            ]
            if len(found) > 1 and self.cancel([float(gx) for *_, gx in found]):
                return f"what comes back along its {len(found)} uses cancels: {_sum([gx for *_, gx in found])}"
            user, i, _, above, gx = max(found, key=lambda f: float(np.max(np.abs(f[4]), initial=0.0)))
            g = np.asarray(self.program.gradients[user])
            near = max((abs(float(g[k])) for k in above), default=0.0)
            if not above:  # nothing of the result depends on this element
                return self.blame(user, i, element, 0.0)
            terms = self.terms(user, i, element, above) if len(above) > 1 and abs(float(gx)) < TINY * near else []
            if terms and self.cancel(terms):
                return f"what comes back from the {len(above)} elements of {self.name(user)} that depend on it cancels: {_sum(terms)}"
            if near > 0:
                small.append((abs(float(np.sum(gx))) / near, user, i, element))
                if not np.any(gx):
                    return self.blame(user, i, element, 0.0)
            place, element = user, max(above, key=lambda k: abs(float(g[k])))
        return self.worst(small)

    @staticmethod
    def cancel(terms: list[float]) -> bool:
        """Whether they add up to nothing, although they are something."""
        return abs(sum(terms)) < TINY * max(map(abs, terms))

    def terms(self, user: int, i: int, element: Index, above: list[Index]) -> list[float]:
        """What comes back to an element from each of the elements that depend on it; of many, too few to cancel."""
        g = np.asarray(self.program.gradients[user])
        alone = [np.where(np.arange(g.size).reshape(g.shape) == np.ravel_multi_index(k, g.shape), g, 0.0) for k in above[:MANY]]
        return [float(self.back(self.lines[user], i, gk)[element]) for gk in alone]

    def worst(self, small: list[tuple[float, int, int, Index]]) -> str:
        """Of the steps of a way, the one that shrinks most, or, where none stands out, all that do."""
        shrinking = [step for step in small if step[0] < 1 - 1e-6]
        ratio, user, i, element = min(small)
        if ratio > 1e-3 and len(shrinking) > 2:
            names = ", ".join(sorted({self.rule_name(u) for _, u, *_ in shrinking}))
            mean = format_number(float(np.exp(np.mean([np.log(max(r, 1e-300)) for r, *_ in shrinking]))), 2)
            return f"it shrinks in {len(shrinking)} operations ({names}), to {mean} of itself in each on the average"
        return self.blame(user, i, element, ratio)

    def passed(self, user: int, i: int, element: Index) -> tuple[list[Index], Any]:
        """Which elements of a result an element of its operand i has a part in, and what comes back from them."""
        line = self.lines[user]
        g = np.asarray(self.program.gradients[user])
        gx = np.asarray(self.back(line, i, g))
        shape = line.shape
        if line.rule is not None and line.rule.kind == "pointwise":
            above = self._beneath(element, self.lines[line.operands[i]].shape, shape)
        else:
            above = [tuple(int(n) for n in k) for k in np.argwhere(self.moved(line, i, element))]
        return above, gx[element]

    def moved(self, line: Line, i: int, element: Index) -> Any:
        """How the result moves with one element of its operand i: the function itself says it, where it is linear."""
        assert line.rule is not None
        values = [self.lines[k].value for k in line.operands]
        unit = np.zeros_like(values[i])
        unit[element] = 1
        function, params = line.rule.function, line.params or {}

        def run(x: Any) -> Any:
            return function(*values[:i], x, *values[i + 1 :], **params)

        if line.rule.kind in ("linear", "bilinear"):
            return run(unit)
        step = 1e-3 * (1 + abs(float(values[i][element]))) * unit
        return run(values[i] + step) - run(values[i] - step)

    @staticmethod
    def _beneath(element: Index, narrow: Index, wide: Index) -> list[Index]:
        """The elements of a result to which one of an operand was broadcast."""
        mask = np.zeros(narrow, bool)
        mask[element] = True
        return [tuple(int(n) for n in k) for k in np.argwhere(np.broadcast_to(mask, wide))]

    def source(self, place: int, k: Index) -> Index:
        """The element of an operand that an element of the result was computed from, where it was broadcast."""
        shape = self.lines[place].shape
        return tuple(0 if n == 1 else j for n, j in zip(shape, k[len(k) - len(shape) :], strict=True))

    def back(self, line: Line, i: int, g: Any) -> Any:
        """The rule, run on arrays."""
        assert line.rule is not None
        gx = line.rule.derivative(i, g, [self.lines[k].value for k in line.operands], line.value, line.params)
        return sum_to(np.asarray(gx), self.lines[line.operands[i]].shape)

    # -- what is said of an operation ------------------------------------------------------------------------------

    def blame(self, user: int, i: int, element: Index, ratio: float) -> str:
        line = self.lines[user]
        assert line.rule is not None
        operand = line.operands[i]
        at = f"{line.rule.name} at {self.spoken(operand, element)}"
        state = STATES.get(line.rule.name)
        others = [k for j, k in enumerate(line.operands) if j != i]
        if line.rule.name == "take":
            return f"{self.name(operand)}{_at(element)} is not among the elements that {self.name(user)} takes"
        if line.rule.kind != "pointwise":
            if state or not others:
                return f"{at} {state or 'has no part in the result'}"
            factors, size = " and ".join(map(self.name, others)), "zero" if ratio == 0 else "small"
            return f"it is multiplied by {factors}, which is {size} there, in {line.rule.name}"
        formula = self.local(line, i)
        if (value := plain_number(formula)) is not None:
            return f"it is multiplied by {format_number(value)} in {line.rule.name}"
        if formula.function in COMPARED:  # relu's (x > 0): that number says it all
            return f"{at} {state}"
        numbers = self.numbers(user, line, i, element, formula)
        if formula.function is None and not state:
            return f"it is multiplied by {numbers} in {line.rule.name}"
        return f"{at} {state}, its derivative {numbers}" if state else f"{at} has the derivative {numbers}"

    def spoken(self, place: int, element: Index) -> str:
        line = self.lines[place]
        value = format_number(float(line.value[element]), 6)
        if line.constant:
            return value
        formula = f" = ({self.program.symbols[place]}){_at(element)}" if line.name is None and line.rule is not None else ""
        return f"{self.name(place)}{_at(element)}{formula} = {value}"

    def local(self, line: Line, i: int) -> Expression:
        """The derivative of a pointwise operation, with this graph's names."""
        letters = [number(self.lines[k].value[()]) if self.lines[k].constant else symbol(self.name(k)) for k in line.operands]
        formula: Expression = symbolic(line, i, number(1), letters, symbol(self.name(line.index)))
        return formula

    def numbers(self, user: int, line: Line, i: int, element: Index, formula: Expression) -> str:
        """``out * (1 - out) = 1 * (1 - 1) = 0``, at the element of the result that the gradient comes from."""
        k = self._beneath(element, self.lines[line.operands[i]].shape, line.shape)[0]
        values = {
            self.name(p): float(np.broadcast_to(self.lines[p].value, line.shape)[k])
            for p in {user, *line.operands}
            if not self.lines[p].constant
        }
        values |= self.incoming
        result = format_number(float(formula.evaluate(values)), 4)
        with_numbers = formula.text(lambda x: format_number(values[x.name] if x.name else x.value, 9))
        return " = ".join(dict.fromkeys([formula.text(), with_numbers, result]))

    # -- not a number ----------------------------------------------------------------------------------------------

    def not_finite(self, place: int, index: Index | None) -> str:
        g = np.asarray(self.program.gradients[place])
        of = g if index is None else g[index]
        kind = "not a number" if np.any(np.isnan(of)) else "infinite"
        said = self.broken_forward() or self.broken_backward() or "the gradient that comes in is so already"
        return f"{self.goal(place, index)} is {kind}: {said}."

    def broken_forward(self) -> str | None:
        """The oldest operation whose result is not finite although its operands are."""
        for line in self.lines:
            bad = ~np.isfinite(np.asarray(line.value, float)) if line.value.dtype.kind == "f" else np.zeros(line.shape, bool)
            if not np.any(bad):
                continue
            k = tuple(int(n) for n in np.argwhere(bad)[0])
            value = format_number(float(line.value[k]))
            if line.constant and not line.shape:
                return f"{self.rule_name(self.users[line.index][0][0])} is given {value}"
            if line.rule is None:
                return f"{self.name(line.index)}{_at(k)} is {value} to begin with"
            if all(np.all(np.isfinite(self.lines[i].value)) for i in line.operands):
                if line.rule.kind != "pointwise":
                    return f"{line.rule.name} gives {value} in the forward pass, for {self.name(line.index)}{_at(k)}"
                at = ", ".join(self.spoken(i, self.source(i, k)) for i in line.operands)
                return f"{line.rule.name} at {at} is {value} in the forward pass"
        return None

    def broken_backward(self) -> str | None:
        """The newest operation through which a finite gradient comes back as one that is not."""
        for line, i in self._contributions():
            g = np.asarray(self.program.gradients[line.index])
            gx = np.asarray(self.back(line, i, g))
            if not np.all(np.isfinite(g)) or np.all(np.isfinite(gx)):
                continue
            assert line.rule is not None
            k = tuple(int(n) for n in np.argwhere(~np.isfinite(gx))[0])
            operand = line.operands[i]
            at = f"{line.rule.name} at {self.spoken(operand, k)}"
            kind = "not a number" if np.isnan(gx[k]) else "infinite"
            if line.rule.kind != "pointwise":
                return f"the derivative of {at} is {kind}"
            incoming = partial(self.name(self.top), self.name(line.index))
            letters = [number(self.lines[p].value[()]) if self.lines[p].constant else symbol(self.name(p)) for p in line.operands]
            formula = symbolic(line, i, incoming, letters, symbol(self.name(line.index)))
            above = self._beneath(k, self.lines[operand].shape, line.shape)[0]
            self.incoming = {incoming.name: float(g[above])}
            return f"what comes back through {at} is {self.numbers(line.index, line, i, k, formula)}"
        return None

    def _contributions(self) -> Iterator[tuple[Line, int]]:
        for line in reversed(self.lines):
            if line.rule is not None and line.index in self.program.gradients:
                for i, place in enumerate(line.operands):
                    if place in self.program.gradients and line.rule.formulas[i] is not None:
                        yield line, i


def _sum(terms: list[Any]) -> str:
    """``1 + (-1)``, of many the first few."""
    shown = [format_number(float(term), 4) for term in terms[:4]]
    return " + ".join([f"({term})" if term.startswith("-") else term for term in shown] + (["..."] if len(terms) > 4 else []))


def _at(index: Index | None) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""
