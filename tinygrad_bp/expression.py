"""Symbols: run a derivative rule on them and it prints itself.

An ``Expression`` answers to Python's operators and to NumPy's functions like an array, but computes nothing: it
writes down. It simplifies as a person does while writing, and no further: no ``1 * x``, no ``-(-x)``.

>>> import numpy as np
>>> x, y = symbol("x"), symbol("y")
>>> print(-np.exp(x) * y * 1 - 0)
-exp(x) * y
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.rule import RULES, Rule

Show = Callable[["Expression"], str]

INFIX = {
    np.add: ("+", 1), np.subtract: ("-", 1), np.multiply: ("*", 2), np.divide: ("/", 2), np.matmul: ("@", 1.5), np.power: ("**", 4),
    np.greater: (">", 0), np.greater_equal: (">=", 0), np.less: ("<", 0), np.less_equal: ("<=", 0),
    np.equal: ("==", 0), np.not_equal: ("!=", 0),
}  # fmt: skip
UNARY = 3  # the precedence of a leading minus
ATOM = 9
LATEX_FUNCTIONS = {"exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh"}


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Expression:
    """A name, a number, or a function of expressions."""

    function: Any  # None for a name or a number
    operands: tuple[Expression, ...] = ()
    name: str = ""
    value: Any = None  # of a number
    options: Mapping[Any, Any] = field(default_factory=dict)  # by name, or by position where it was given so
    shape: tuple[int, ...] | None = None  # of a name that stands for an array, where it is known

    # -- as an array ---------------------------------------------------------------------------------------------

    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Expression:
        return apply(ufunc, *args)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Expression:
        rule = RULES.get(function)
        if rule is not None and len(rule.arguments) > 1:  # such as np.where
            return self.__apply_rule__(rule, args, kwargs)
        return _call(function, tuple(map(lift, args[:1])), dict(enumerate(args[1:])) | kwargs)

    def __apply_rule__(self, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Expression:
        inputs, params = rule.bind(args, kwargs)
        return _call(rule.function, tuple(map(lift, inputs)), params or {})

    def __add__(self, other: Any) -> Expression:
        return add(self, lift(other))

    def __radd__(self, other: Any) -> Expression:
        return add(lift(other), self)

    def __sub__(self, other: Any) -> Expression:
        return subtract(self, lift(other))

    def __rsub__(self, other: Any) -> Expression:
        return subtract(lift(other), self)

    def __mul__(self, other: Any) -> Expression:
        return multiply(self, lift(other))

    def __rmul__(self, other: Any) -> Expression:
        return multiply(lift(other), self)

    def __truediv__(self, other: Any) -> Expression:
        return divide(self, lift(other))

    def __rtruediv__(self, other: Any) -> Expression:
        return divide(lift(other), self)

    def __pow__(self, other: Any) -> Expression:
        return power(self, lift(other))

    def __rpow__(self, other: Any) -> Expression:
        return power(lift(other), self)

    def __matmul__(self, other: Any) -> Expression:
        return _call(np.matmul, (self, lift(other)))

    def __rmatmul__(self, other: Any) -> Expression:
        return _call(np.matmul, (lift(other), self))

    def __pos__(self) -> Expression:
        return self

    def __neg__(self) -> Expression:
        return negative(self)

    def __eq__(self, other: object) -> Any:
        return apply(np.equal, self, other)

    def __ne__(self, other: object) -> Any:
        return apply(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Expression:
        return apply(np.less, self, other)

    def __gt__(self, other: Any) -> Expression:
        return apply(np.greater, self, other)

    def __and__(self, other: Any) -> Expression:
        return apply(np.logical_and, self, other)

    def __le__(self, other: Any) -> Expression:
        return apply(np.less_equal, self, other)

    def __ge__(self, other: Any) -> Expression:
        return apply(np.greater_equal, self, other)

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Expression:
        return _call("take", (self,), {"index": index})

    def sum(self, axis: Any = None, keepdims: bool = False) -> Expression:
        return np.sum(self, axis=axis, keepdims=keepdims)  # type: ignore[call-overload, no-any-return]

    @property
    def ndim(self) -> int:
        return 2 if self.shape is None else len(self.shape)

    @property
    def size(self) -> Any:
        return _call(np.size, (self,)) if self.shape is None else math.prod(self.shape)

    @property
    def T(self) -> Expression:
        return _call(np.transpose, (self,))

    # -- as text -------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def same(self, other: Expression) -> bool:
        """Whether both are the same formula."""
        if self is other:
            return True
        if self.function is None or other.function is None:
            return (
                self.function is other.function
                and self.name == other.name
                and _number(self) == _number(other)
                and bool(self.name or _number(self) is not None)
            )
        alike = self.function is other.function and self.options == other.options and len(self.operands) == len(other.operands)
        return alike and all(a.same(b) for a, b in zip(self.operands, other.operands, strict=True))

    def names(self) -> list[str]:
        """The names that occur, each once, in order."""
        found = [self.name] if self.name else [n for x in self.operands for n in x.names()]
        return list(dict.fromkeys(found))

    def text(self, show: Show | None = None) -> str:
        """In Python's notation; ``show`` writes the names and numbers, for instance a name's value in its place."""
        return _text(self, show or _plain)[0]

    def latex(self, show: Show | None = None) -> str:
        """In LaTeX's notation."""
        return _latex(self, show or latex_name)[0]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The number that it stands for, given those of its names."""
        if self.function is None:
            return values[self.name] if self.name else self.value
        operands = [x.evaluate(values) for x in self.operands]
        return self.function(*operands, **self.options)


def symbol(name: str, shape: tuple[int, ...] | None = None) -> Expression:
    """A name that stands for an array."""
    return Expression(None, name=name, shape=shape)


def partial(upper: str, lower: str) -> Expression:
    """The name of a derivative, printed as dE/dw in text and as a fraction with partial signs in LaTeX."""
    return Expression(None, (symbol(upper), symbol(lower)), name=f"d{upper}/d{lower}")


def number(value: Any) -> Expression:
    return Expression(None, value=value)


def lift(x: Any) -> Expression:
    """Numbers become expressions; expressions stay as they are."""
    return x if isinstance(x, Expression) else number(x)


def _call(function: Any, operands: tuple[Expression, ...], options: Mapping[Any, Any] | None = None) -> Expression:
    return Expression(function, operands, options=options or {})


def apply(function: Any, *args: Any, **options: Any) -> Expression:
    """A function of expressions, simplified where a person would."""
    operands = tuple(map(lift, args))
    if function in SIMPLIFIED:
        return SIMPLIFIED[function](*operands)
    if operands and all(_number(x) is not None for x in operands) and isinstance(function, np.ufunc):
        return number(function(*[x.value for x in operands]))
    return _call(function, operands, options)


# -- simplification: what a person does without thinking ---------------------------------------------------------------


def _number(x: Expression) -> Any:
    """Its value if it is a plain number, else ``None``."""
    return x.value if x.function is None and not x.name and np.ndim(x.value) == 0 else None


def _is(x: Expression, n: float) -> bool:
    value = _number(x)
    return value is not None and bool(value == n)


def _negated(x: Expression) -> Expression | None:
    """What stands behind a leading minus, if there is one."""
    value = _number(x)
    if value is not None and value < 0:
        return number(-value)
    return x.operands[0] if x.function is np.negative else None


def add(a: Expression, b: Expression) -> Expression:
    if _is(a, 0):
        return b
    if _is(b, 0):
        return a
    if (x := _number(a)) is not None and (y := _number(b)) is not None:
        return number(x + y)
    if (minus := _negated(b)) is not None:
        return subtract(a, minus)
    if a.same(b):
        return multiply(number(2), a)
    return _call(np.add, (a, b))


def subtract(a: Expression, b: Expression) -> Expression:
    if _is(b, 0):
        return a
    if _is(a, 0):
        return negative(b)
    if (x := _number(a)) is not None and (y := _number(b)) is not None:
        return number(x - y)
    if (minus := _negated(b)) is not None:
        return add(a, minus)
    return _call(np.subtract, (a, b))


def multiply(a: Expression, b: Expression) -> Expression:
    x, y = _number(a), _number(b)
    if x is not None and y is not None:
        return number(x * y)
    if _is(a, 0) or _is(b, 0):
        return number(0)
    if _is(a, 1):
        return b
    if _is(b, 1):
        return a
    if (minus := _negated(a)) is not None:
        return negative(multiply(minus, b))
    if (minus := _negated(b)) is not None:
        return negative(multiply(a, minus))
    if x is None and y is not None:  # numbers in front
        return multiply(b, a)
    if b.function is np.multiply and _number(b.operands[0]) is not None:  # and together
        return multiply(multiply(b.operands[0], a), b.operands[1])
    if a.same(b):
        return power(a, number(2))
    return _call(np.multiply, (a, b))


def divide(a: Expression, b: Expression) -> Expression:
    x, y = _number(a), _number(b)
    if x is not None and y is not None and y != 0:
        return number(x / y)
    if _is(b, 1) or _is(a, 0):
        return a
    if (minus := _negated(a)) is not None:
        return negative(divide(minus, b))
    if y is not None and a.function is np.multiply and (c := _number(a.operands[0])) is not None:
        return multiply(number(c / y), a.operands[1])
    return _call(np.divide, (a, b))


def power(a: Expression, b: Expression) -> Expression:
    x, y = _number(a), _number(b)
    if x is not None and y is not None:
        return number(x**y)
    if y is not None and y == 0:
        return number(1)
    return a if _is(b, 1) else _call(np.power, (a, b))


def negative(a: Expression) -> Expression:
    if (x := _number(a)) is not None:
        return number(-x)
    minus = _negated(a)
    return _call(np.negative, (a,)) if minus is None else minus


def square(a: Expression) -> Expression:
    return power(a, number(2))


SIMPLIFIED: dict[Any, Callable[..., Expression]] = {
    np.add: add, np.subtract: subtract, np.multiply: multiply, np.divide: divide, np.power: power,
    np.negative: negative, np.square: square, np.positive: lambda a: a,
    functions.half_squared_error: functions.half_squared_error,  # written out
    functions.half_sum_of_squares: functions.half_sum_of_squares,
}  # fmt: skip


# -- printing ------------------------------------------------------------------------------------------------------


def _plain(x: Expression) -> str:
    return x.name or format_number(x.value)


def format_number(value: Any, digits: int = 9) -> str:
    """A number as a person writes it: no trailing zeros, no exponent where it is not needed."""
    if isinstance(value, bool | np.bool_) or np.ndim(value):
        return str(value)
    text = f"{float(value):.{digits}g}"
    return text if "e" in text or "n" in text else repr(round(float(text), 12)).removesuffix(".0") if "." not in text else text


def _paren(parts: tuple[str, float], least: float) -> str:
    text, level = parts
    return text if level >= least else f"({text})"


def _least(function: Any, a: tuple[str, float], b: tuple[str, float]) -> tuple[float, float]:
    """The precedence below which the operands are put in brackets: a - (b - c), a / (b * c), a * (b @ c), (a * b) @ c."""
    sign, level = INFIX[function]
    if sign == "**":
        return level + 1, level
    if sign == "@":
        return level if a[1] == level else UNARY, UNARY
    tight = level if sign in ("+", "*") else level + 0.5
    return level, max(tight, 2 if level == 1 and b[0].startswith("-") else 0)


def _text(x: Expression, show: Show) -> tuple[str, float]:
    """The text and its precedence."""
    if x.function is None:
        text = show(x)
        return text, UNARY if text.startswith("-") else ATOM
    if x.function in INFIX:
        sign, level = INFIX[x.function]
        a, b = (_text(operand, show) for operand in x.operands)
        left, right = _least(x.function, a, b)
        return f"{_paren(a, left)}{'**' if sign == '**' else f' {sign} '}{_paren(b, right)}", level
    if x.function is np.negative:
        return f"-{_paren(_text(x.operands[0], show), 2)}", UNARY if x.operands[0].function not in (np.multiply, np.divide) else 2
    if x.function is np.transpose and not x.options:
        return f"{_paren(_text(x.operands[0], show), ATOM)}.T", ATOM
    name = x.function if isinstance(x.function, str) else x.function.__name__
    arguments = [_text(operand, show)[0] for operand in x.operands] + [
        f"{k}={v}" if isinstance(k, str) else str(v) for k, v in x.options.items()
    ]
    return f"{name}({', '.join(arguments)})", ATOM


def latex_name(x: Expression) -> str:
    r"""``out_h1`` as ``out_{h1}``, ``w5`` as ``w_{5}``; a number in scientific notation with ``\times 10^{}``."""
    if not x.name:
        return latex_number(format_number(x.value))
    if x.operands:
        upper, lower = map(latex_name, x.operands)
        return rf"\frac{{\partial {upper}}}{{\partial {lower}}}"
    if x.name.endswith("+"):
        return f"{latex_name(symbol(x.name[:-1]))}^{{+}}"
    head, _, tail = x.name.partition("_")
    if not tail and head.rstrip("0123456789") != head and head.rstrip("0123456789"):
        stem = head.rstrip("0123456789")
        head, tail = stem, head[len(stem) :]
    greek = {"delta", "eta", "sigma", "theta"}
    body = rf"\{head}" if head in greek else head if len(head) == 1 else rf"\mathrm{{{head}}}"
    return rf"{body}_{{{tail.replace('_', ',')}}}" if tail else body


def latex_number(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}" if exponent else text


def _latex(x: Expression, show: Show) -> tuple[str, float]:
    if x.function is None:
        text = show(x)
        return text, UNARY if text.startswith("-") else ATOM
    parts = [_latex(operand, show) for operand in x.operands]
    if x.function is np.divide:
        return rf"\frac{{{parts[0][0]}}}{{{parts[1][0]}}}", 2
    if x.function is np.power:
        return f"{_brackets(parts[0], ATOM)}^{{{parts[1][0]}}}", 4
    if x.function in INFIX:
        sign, level = INFIX[x.function]
        sign = {
            "*": r"\odot" if all(map(_is_array, x.operands)) else r"\cdot",
            "@": "",
            "==": "=",
            "!=": r"\ne",
            ">=": r"\ge",
            "<=": r"\le",
        }.get(sign, sign)
        left, right = _least(x.function, *parts)
        return f"{_brackets(parts[0], left)} {sign} {_brackets(parts[1], right)}", level
    if x.function is np.negative:
        return f"-{_brackets(parts[0], 2)}", UNARY
    if x.function is np.transpose and not x.options:
        return f"{_brackets(parts[0], ATOM)}^{{T}}", ATOM
    name = x.function if isinstance(x.function, str) else x.function.__name__
    head = rf"\{name}" if name in LATEX_FUNCTIONS else rf"\mathrm{{{name.replace('_', ' ')}}}"
    options = [rf"\mathrm{{{k}}}={v}" if isinstance(k, str) else str(v) for k, v in x.options.items()]
    return rf"{head}\left({', '.join([*(p[0] for p in parts), *options])}\right)", ATOM


def _is_array(x: Expression) -> bool:
    """Whether it stands for more than a number, as far as shapes are known."""
    if x.shape is not None:
        return x.shape != ()
    if x.function in (np.sum, np.mean, np.max, np.min) and not x.options.get("keepdims") and x.options.get("axis") is None:
        return False
    return any(map(_is_array, x.operands))


def _brackets(parts: tuple[str, float], least: float) -> str:
    text, level = parts
    return text if level >= least else rf"\left({text}\right)"
