"""``Expression``: a formula as a tree, which answers to operators and NumPy's functions by growing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_bp.expression import printing
from tinygrad_bp.expression.shapes import Shape, result_shape
from tinygrad_bp.rule import RULES, Rule, parameter_names

Show = Callable[["Expression"], str]
SIMPLIFIED: dict[Any, Callable[..., Expression]] = {}  # function -> what a person writes for it; ``simplify`` fills it


def _operator(function: Any, reflected: bool = False) -> Callable[[Expression, Any], Expression]:
    if reflected:
        return lambda self, other: apply(function, other, self)
    return lambda self, other: apply(function, self, other)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Expression:
    """A name, a number, or a function of expressions."""

    function: Any  # None for a name or a number
    operands: tuple[Expression, ...] = ()
    name: str = ""
    value: Any = None  # of a number
    options: Mapping[Any, Any] = field(default_factory=dict)
    shape: Shape | None = None  # where it is known

    # -- as an array ---------------------------------------------------------------------------------------------

    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Expression:
        return apply(ufunc, *args, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Expression:
        rule = RULES.get(function)
        if rule is not None and rule.arguments:
            return self.__apply_rule__(rule, args, kwargs)
        operands = tuple(x for x in args if isinstance(x, Expression))
        return call(function, operands, dict(zip(parameter_names(function)[len(operands) :], args[len(operands) :], strict=False)) | kwargs)

    def __apply_rule__(self, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Expression:
        inputs, params = rule.bind(args, kwargs)
        return apply(rule.function, *inputs, **(params or {}))

    __add__, __radd__ = _operator(np.add), _operator(np.add, reflected=True)
    __sub__, __rsub__ = _operator(np.subtract), _operator(np.subtract, reflected=True)
    __mul__, __rmul__ = _operator(np.multiply), _operator(np.multiply, reflected=True)
    __truediv__, __rtruediv__ = _operator(np.divide), _operator(np.divide, reflected=True)
    __pow__, __rpow__ = _operator(np.power), _operator(np.power, reflected=True)
    __matmul__, __rmatmul__ = _operator(np.matmul), _operator(np.matmul, reflected=True)
    __lt__, __le__, __gt__, __ge__ = map(_operator, (np.less, np.less_equal, np.greater, np.greater_equal))
    __and__, __rand__ = _operator(np.logical_and), _operator(np.logical_and, reflected=True)

    def __pos__(self) -> Expression:
        return self

    def __neg__(self) -> Expression:
        return apply(np.negative, self)

    def __eq__(self, other: object) -> Any:
        return apply(np.equal, self, other)

    def __ne__(self, other: object) -> Any:
        return apply(np.not_equal, self, other)

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Expression:
        return apply(take, self, index=index)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Expression:
        return apply(np.sum, self, axis=axis, keepdims=keepdims)

    @property
    def ndim(self) -> int:
        return 2 if self.shape is None else len(self.shape)

    @property
    def size(self) -> Any:
        return call(np.size, (self,)) if self.shape is None else math.prod(self.shape)

    @property
    def T(self) -> Expression:
        return apply(np.transpose, self)

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
                and plain_number(self) == plain_number(other)
                and bool(self.name or plain_number(self) is not None)
            )
        alike = (
            self.function is other.function and len(self.operands) == len(other.operands) and self.options.keys() == other.options.keys()
        )
        return (
            alike
            and all(_equal(value, other.options[key]) for key, value in self.options.items())
            and all(a.same(b) for a, b in zip(self.operands, other.operands, strict=True))
        )

    def names(self) -> list[str]:
        """The names that occur, each once, in order."""
        found = [self.name] if self.name else [n for x in self.operands for n in x.names()]
        return list(dict.fromkeys(found))

    def text(self, show: Show | None = None, unicode: bool = False) -> str:
        """In Python's notation; ``show`` writes the names and numbers, for instance a name's value in its place.

        With ``unicode``, in the signs of mathematics, which a console may not be able to write.
        """
        return printing.text(self, show, unicode)

    def latex(self, show: Show | None = None) -> str:
        """In LaTeX's notation."""
        return printing.latex(self, show)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The number that it stands for, given those of its names."""
        if self.function is None:
            return values[self.name] if self.name else self.value
        operands = [x.evaluate(values) for x in self.operands]
        result = self.function(*operands, **self.options)
        compared = isinstance(result, np.bool_ | np.ndarray) and result.dtype.kind == "b"
        return result.astype(np.int16) if compared else result  # x > 0 is 1 or 0, which NumPy would not subtract


def symbol(name: str, shape: tuple[int, ...] | None = None) -> Expression:
    """A name that stands for an array."""
    return Expression(None, name=name, shape=shape)


def partial(upper: str, lower: str, held: str = "", shape: Shape | None = None) -> Expression:
    """The name of a derivative, printed as dE/dw in text and as a fraction with partial signs in LaTeX.

    ``held`` is what is held fixed, where there is a way through it as well: dE/dw|u.
    """
    name = f"d{upper}/d{lower}" + (f"|{held}" if held else "")
    return Expression(None, tuple(map(symbol, (upper, lower, held) if held else (upper, lower))), name=name, shape=shape)


def number(value: Any) -> Expression:
    return Expression(None, value=value)


def lift(x: Any) -> Expression:
    """Numbers become expressions; expressions stay as they are."""
    return x if isinstance(x, Expression) else number(x)


def take(x: Any, *, index: Any) -> Any:
    """Indexing as a function."""
    return x[index]


def _equal(a: Any, b: Any) -> bool:
    """Whether two options are the same; an index may have arrays in it."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else bool(a == b)


def call(function: Any, operands: tuple[Expression, ...], options: Mapping[str, Any] | None = None) -> Expression:
    """A function of expressions as it stands."""
    shapes = [np.shape(x.value) if x.function is None and not x.name and x.shape is None else x.shape for x in operands]
    return Expression(function, operands, options=options or {}, shape=result_shape(function, shapes, options or {}))


def apply(function: Any, *args: Any, **options: Any) -> Expression:
    """A function of expressions, simplified where a person would."""
    operands = tuple(map(lift, args))
    if function in SIMPLIFIED:
        return SIMPLIFIED[function](*operands, **options)
    if operands and all(plain_number(x) is not None for x in operands) and isinstance(function, np.ufunc):
        return number(function(*[x.value for x in operands]))
    return call(function, operands, options)


def plain_number(x: Expression) -> Any:
    """Its value if it is a plain number, else ``None``."""
    return x.value if x.function is None and not x.name and np.ndim(x.value) == 0 else None
