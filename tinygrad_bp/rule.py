"""A derivative is one line of ordinary NumPy. Everything else is another way of reading it.

A rule is declared by one call, whose name is a mathematical claim about the function:

>>> import numpy as np
>>> from tinygrad_bp.rule import pointwise
>>> cube = pointwise(lambda x: x * x * x, x=lambda g, x: 3 * g * x * x)
>>> cube(2.0)
8.0

The keyword is the argument that the line differentiates, in order. The parameters of the lambda say what the
line reads: ``g`` the incoming gradient, ``y`` the result, the rest arguments; keyword-only parameters are
metadata such as ``axis``. The body is the textbook formula: no broadcasting, no dtype care, no accumulation.
``None`` in place of a lambda marks an array argument that is read but not differentiated.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tinygrad_bp.errors import NoRuleError, RuleError

Formula = Callable[..., Any]
Kind = Literal["pointwise", "linear", "bilinear", "constant", "general"]
RESULT = -1  # what a formula reads is a position among the arguments, or this for the result

RULES: dict[Any, Rule] = {}  # the registry: function -> its rule
COMPOSED: dict[Any, Callable[..., Any]] = {}  # function -> the same in terms of functions that have rules


class Rule:
    """One differentiable function: how it runs, and a formula for each argument.

    ``pulls[i](node, g)`` evaluates the formula of argument ``i`` on the node's arrays, ``recorded[i](node, g)``
    the same line on its tensors, so that the derivative is itself recorded. Both are specialised here, once.
    """

    __slots__ = (
        "__weakref__", "arguments", "arity", "count", "formulas", "function", "kind", "name", "options", "pulls", "reads", "recorded",
        "run", "signature", "views",
    )  # fmt: skip

    def __init__(self, kind: Kind, function: Callable[..., Any], formulas: Mapping[str, Formula | None]) -> None:
        self.kind = kind
        self.function = self.run = function  # the engine calls run, where a rule needs another way to the same result
        self.name = getattr(function, "__name__", repr(function))
        ours = (getattr(function, "__module__", None) or "numpy").split(".")[0] in ("numpy", "tinygrad_bp")
        self.views = kind == "linear" or not ours  # whether its result may be a view of an argument
        self.arguments = tuple(formulas)
        self.count = len(formulas)
        self.arity = self.count if kind != "constant" else None  # a call with so many plain arguments needs no binding
        self.formulas = tuple(formulas.values())
        self.options: dict[str, Any] = {}
        self.signature: tuple[tuple[str, Any], ...] | None = None
        for argument, formula in formulas.items():
            if not hasattr(formula, "__code__") and formula is not None:
                raise RuleError(
                    f"rule of {self.name}: the formula of {argument} is a lambda, such as lambda g, x: g * np.cos(x); got {formula!r}"
                )
        for formula in filter(None, self.formulas):
            self.options |= dict.fromkeys(_keywords(formula)) | (formula.__kwdefaults__ or {})
        if kind != "constant":
            self._compare_with_function()
        self.reads = tuple(self._positions(formula) for formula in self.formulas)
        self.pulls = tuple(map(self._on_arrays, self.formulas, self.reads))
        self.recorded = tuple(map(self._on_tensors, self.formulas, self.reads))

    def __repr__(self) -> str:
        return f"<{self.kind} rule of {self.name}({', '.join([*self.arguments, *self.options])})>"

    def _compare_with_function(self) -> None:
        """The formulas stand in the order of the function's parameters, and its options have the same defaults."""
        code = getattr(self.function, "__code__", None)
        if code is None or code.co_flags & inspect.CO_VARARGS:
            return
        names = code.co_varnames[: code.co_argcount]
        if self.arguments != names[: len(self.arguments)]:
            raise RuleError(
                f"rule of {self.name}: its formulas are for ({', '.join(self.arguments)}), but the function takes ({', '.join(names)}). "
                "Name each array argument as the function does, in its order; None stands for one that is not differentiated"
            )
        values = self.function.__defaults__ or ()
        defaults = dict(zip(names[len(names) - len(values) :], values, strict=True)) | (self.function.__kwdefaults__ or {})
        for name, default in self.options.items():
            if name in defaults and defaults[name] != default:
                raise RuleError(
                    f"rule of {self.name}: the option {name} is {defaults[name]!r} by default in the function, {default!r} in its formula"
                )

    def _positions(self, formula: Formula | None) -> tuple[int, ...]:
        """Where each parameter of a formula after ``g`` comes from."""
        if formula is None:
            return ()
        g, *names = _parameters(formula)
        unknown = [name for name in names if name != "y" and name not in self.arguments]
        if g != "g" or unknown:
            raise RuleError(
                f"rule of {self.name}: a formula takes g, then any of y, {', '.join(self.arguments)}, then keyword-only "
                f"metadata; this one takes ({', '.join([g, *names])})"
            )
        return tuple(self.arguments.index(name) if name in self.arguments else RESULT for name in names)

    def _on_arrays(self, formula: Formula | None, reads: tuple[int, ...]) -> Formula | None:
        """``pull(node, g)`` on raw arrays. One closure per common case: it runs once per operation and step."""
        if formula is None or _keywords(formula):
            return formula and self._with_options(formula, lambda t: [t.raw if i == RESULT else t.arrays[i] for i in reads])
        match reads:
            case ():
                return lambda t, g: formula(g)
            case (-1,):
                return lambda t, g: formula(g, t.raw)
            case (i,) if self.count > 2:
                return lambda t, g: formula(g, t.many_arrays[i])
            case (0,):
                return lambda t, g: formula(g, t.left_array)
            case (1,):
                return lambda t, g: formula(g, t.right_array)
            case (0, -1) if self.count < 3:
                return lambda t, g: formula(g, t.left_array, t.raw)
            case (0, 1) if self.count < 3:
                return lambda t, g: formula(g, t.left_array, t.right_array)
            case _:
                return lambda t, g: formula(g, *[t.raw if i == RESULT else t.arrays[i] for i in reads])

    def _on_tensors(self, formula: Formula | None, reads: tuple[int, ...]) -> Formula | None:
        """``pull(node, g)`` on the tensors themselves."""
        return formula and self._with_options(formula, lambda t: [t if i == RESULT else t.inputs[i] for i in reads])

    def _with_options(self, formula: Formula, operands: Callable[[Any], list[Any]]) -> Formula:
        wanted = _keywords(formula)
        if not wanted:
            return lambda t, g: formula(g, *operands(t))
        if len(wanted) == len(self.options):
            return lambda t, g: formula(g, *operands(t), **(t.params or {}))
        return lambda t, g: formula(g, *operands(t), **{k: v for k, v in (t.params or {}).items() if k in wanted})

    def derivative(self, i: int, g: Any, operands: Sequence[Any], result: Any, params: Mapping[str, Any] | None) -> Any:
        """The formula of argument ``i``, on whatever the operands are: arrays, tensors, symbols."""
        formula = self.formulas[i]
        if formula is None:
            return None
        options = {k: v for k, v in (params or {}).items() if k in _keywords(formula)}
        return formula(g, *[result if p == RESULT else operands[p] for p in self.reads[i]], **options)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """A call of the function, as (array arguments, metadata); ``None`` where there is no metadata."""
        n = len(self.arguments)
        if not kwargs and len(args) == n:
            return args, None
        if self.signature is None:
            self.signature = _signature(self)
        names = [name for name, _ in self.signature]
        named = dict(zip(names, args, strict=False)) | dict(kwargs)
        missing = [name for name in names[:n] if name not in named]
        if len(args) > len(names) or missing:
            lacking = f", without {' and '.join(missing)}" if missing else ""
            raise TypeError(f"{self.name} takes ({', '.join(names)}); got {len(args)} positional arguments and {sorted(kwargs)}{lacking}")
        inputs = tuple(named.pop(name) for name in names[:n])
        defaults = dict(self.signature)
        params = {name: value for name, value in named.items() if name in self.options and value is not defaults.get(name)}
        for name, value in named.items():
            if name not in self.options and value is not defaults.get(name, self):
                raise NoRuleError(f"the rule of {self.name} does not cover the option {name}={value!r}; leave it out")
        return inputs, params or None


def _parameters(formula: Formula) -> tuple[str, ...]:
    code = formula.__code__
    return code.co_varnames[: code.co_argcount]


def _keywords(formula: Formula) -> tuple[str, ...]:
    code = formula.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def _signature(rule: Rule) -> tuple[tuple[str, Any], ...]:
    """Names and defaults of the function's parameters, looked up when a call first needs them."""
    return _parameters_of(rule.function) or tuple((name, None) for name in [*rule.arguments, *rule.options])


@functools.cache
def _parameters_of(function: Any) -> tuple[tuple[str, Any], ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a C function that does not tell
        return ()
    return tuple((p.name, p.default) for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))


def parameter_names(function: Any) -> tuple[str, ...]:
    """The names of a function's parameters, in order."""
    return tuple(name for name, _ in _parameters_of(function))


def _declare(kind: Kind, function: Callable[..., Any], formulas: Mapping[str, Formula | None]) -> Callable[..., Any]:
    """Register the rule. NumPy's functions dispatch on tensors themselves; a plain function gets a door of its own."""
    if not formulas:
        name = getattr(function, "__name__", function)
        raise RuleError(f"{kind}({name}) takes a formula for each array argument, such as x=lambda g, x: g * np.cos(x)")
    rule = RULES[function] = Rule(kind, function, formulas)
    if type(function).__module__.startswith("numpy"):
        return function

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        for x in args if not kwargs else (*args, *kwargs.values()):
            if hasattr(x, "__apply_rule__"):  # a Tensor, or a symbol that prints
                return x.__apply_rule__(rule, args, kwargs)
        return function(*args, **kwargs)

    RULES[door] = rule
    return door


def pointwise(function: Callable[..., Any], /, **formulas: Formula | None) -> Callable[..., Any]:
    """The Jacobian is diagonal after broadcasting: each element of the result depends on the same element of each argument."""
    return _declare("pointwise", function, formulas)


def linear(function: Callable[..., Any], /, **formulas: Formula | None) -> Callable[..., Any]:
    """f(a u + v) = a f(u) + f(v): the formula is the transpose of f, and forward mode is f itself."""
    return _declare("linear", function, formulas)


def bilinear(function: Callable[..., Any], /, **formulas: Formula | None) -> Callable[..., Any]:
    """Linear in each argument while the others stay fixed, as a product."""
    return _declare("bilinear", function, formulas)


def general(function: Callable[..., Any], /, **formulas: Formula | None) -> Callable[..., Any]:
    """No claim: each formula must return the exact shape of its argument."""
    return _declare("general", function, formulas)


def constant(*functions: Callable[..., Any]) -> None:
    """The derivative is zero or there is none: the result is a plain array outside the graph."""
    for function in functions:
        RULES[function] = Rule("constant", function, {})


def composed(*functions: Any) -> Callable[[Formula], Formula]:
    """Say what a function is in terms of functions that have rules; its derivatives of every order follow.

    A ufunc's method is named by a pair, as ``(np.add, "reduce")``.

    >>> import numpy as np
    >>> @composed((np.logaddexp, "reduce"))
    ... def logaddexp_reduce(array, axis=0):
    ...     return np.log(np.sum(np.exp(array), axis=axis))
    >>> COMPOSED.pop((np.logaddexp, "reduce")) is logaddexp_reduce  # not for good
    True
    """

    def declare(definition: Formula) -> Formula:
        if not hasattr(definition, "__code__"):
            raise RuleError(f"a definition is a Python function, whose parameters can be read; got {definition!r}")
        for function in functions:
            if function in RULES:
                name = getattr(function, "__name__", function)
                raise RuleError(f"{name} has a rule, which would be used instead. Replace it: tg.{RULES[function].kind}({name}, ...)")
            COMPOSED[function] = definition
        return definition

    return declare
