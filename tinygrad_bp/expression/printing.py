"""Formulas as text: in Python's notation, in the signs of mathematics, and in LaTeX's notation.

Brackets stand where they are needed, and only there. Each writer returns a text and its precedence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

Parts = tuple[str, float]


class Node(Protocol):
    """What is written: a name, a number, or a function of nodes, as an ``Expression`` is one."""

    @property
    def function(self) -> Any: ...
    @property
    def operands(self) -> tuple[Node, ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Any: ...
    @property
    def options(self) -> Mapping[Any, Any]: ...
    @property
    def shape(self) -> tuple[int, ...] | None: ...


INFIX = {
    np.add: ("+", 1), np.subtract: ("-", 1), np.multiply: ("*", 2), np.divide: ("/", 2), np.matmul: ("@", 1.5), np.power: ("**", 4),
    np.greater: (">", 0), np.greater_equal: (">=", 0), np.less: ("<", 0), np.less_equal: ("<=", 0),
    np.equal: ("==", 0), np.not_equal: ("!=", 0),
}  # fmt: skip
UNARY = 3  # the precedence of a leading minus
ATOM = 9
SCRIPT = 8  # has an exponent, and cannot have another
GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ", "lambda": "λ", "mu": "μ",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω",
}  # fmt: skip
SIGNS = {sign: name for name, sign in GREEK.items()} | {
    "ζ": "zeta", "κ": "kappa", "ν": "nu", "ξ": "xi", "π": "pi", "χ": "chi", "ψ": "psi", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta",
    "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SPOKEN = {"absolute": "abs"}


def text(x: Node, show: Callable[[Any], str] | None = None, unicode: bool = False) -> str:
    """Python's notation; with ``unicode`` that of mathematics, as far as a line of text goes."""
    return (_Unicode(show or unicode_name) if unicode else _Text(show or plain_name)).write(x)[0]


def latex(x: Node, show: Callable[[Any], str] | None = None) -> str:
    """LaTeX's mathematics, without dollar signs."""
    return _Latex(show or latex_name).write(x)[0]


# -- names and numbers -------------------------------------------------------------------------------------------------


def format_number(value: Any, digits: int = 9) -> str:
    """A number as a person writes it: no trailing zeros, no exponent where it is not needed."""
    if isinstance(value, bool | np.bool_) or np.ndim(value):
        return str(value)
    if digits < 1:
        raise ValueError(f"digits is how many significant digits are printed, at least 1; got {digits}")
    found = f"{float(value) + 0.0:.{digits}g}"  # -0.0 + 0.0 is 0.0
    return found if "e" in found or "n" in found else repr(round(float(found), 12)).removesuffix(".0") if "." not in found else found


def plain_name(x: Node) -> str:
    return x.name or format_number(x.value)


def unicode_name(x: Node) -> str:
    """``delta_o1`` as ``δ_o1``, ``y_hat`` as ``ŷ``, ``dE/dw`` as ``∂E/∂w``."""
    if x.operands:
        upper, lower, *held = map(unicode_name, x.operands)
        return f"∂{upper}/∂{lower}" + "".join(f"|{name}" for name in held)
    name = re.sub(r"^([A-Za-z])_hat", "\\1\u0302", plain_name(x))
    return re.sub(r"^(grad_)?([a-z]+)(?![a-z])", lambda m: ("∇" if m[1] else "") + GREEK.get(m[2], m[2]), name)


def latex_name(x: Node) -> str:
    r"""``out_h1`` as ``out_{h1}``, ``w5`` as ``w_{5}``; a number in scientific notation with ``\times 10^{}``."""
    if not x.name:
        return latex_number(format_number(x.value))
    if x.operands:
        upper, lower, *held = map(latex_name, x.operands)
        fraction = rf"\frac{{\partial {upper}}}{{\partial {lower}}}"
        return rf"\left.{fraction}\right|_{{{held[0]}}}" if held else fraction
    found = re.fullmatch(rf"([A-Za-z]+?|[{''.join(SIGNS)}])(_hat)?(\d*)(?:\^(\w+?))?(?:_(\w+))?(\+?)", x.name, re.ASCII)
    if found is None:
        return rf"\text{{{latex_escape(x.name)}}}"
    head, hat, digits, upper, lower, plus = found.groups()
    head = SIGNS.get(head, head)
    body = rf"\{head}" if head in GREEK or found[1] in SIGNS else head if len(head) == 1 else rf"\mathrm{{{head}}}"
    below = ",".join(filter(None, (digits, *(lower or "").split("_"))))
    return (
        (rf"\hat{{{body}}}" if hat else body)
        + (rf"^{{{upper}{plus}}}" if upper else "")
        + (rf"_{{{_upright(below)}}}" if below else "")
        + ("^{+}" if plus and not upper else "")
    )


def _upright(words: str) -> str:
    return rf"\mathrm{{{words}}}" if words.isalpha() and len(words) > 2 else words


def latex_escape(words: str) -> str:
    """Words for the running text of a LaTeX document."""
    escapes = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"} | {c: rf"\{c}" for c in "&%$#_{}"}
    return "".join(escapes.get(c, c) for c in words)


def latex_number(number: str) -> str:
    mantissa, _, exponent = number.partition("e")
    if exponent:
        return rf"{mantissa} \times 10^{{{int(exponent)}}}"
    return {"inf": r"\infty", "-inf": r"-\infty", "nan": r"\mathrm{nan}"}.get(number, number)


# -- formulas ----------------------------------------------------------------------------------------------------------


def _paren(parts: Parts, least: float) -> str:
    words, level = parts
    return words if level >= least else f"({words})"


def _least(sign: str, level: float, a: Parts, b: Parts) -> tuple[float, float]:
    """The precedence below which the operands are put in brackets: a - (b - c), a / (b * c), a * (b @ c), (a * b) @ c."""
    if sign == "**":
        return level + 1, level
    right = ATOM if b[0].startswith("-") and level > 0 else 0  # 2 + (-3), but x > -3
    if sign == "@":
        return level if a[1] == level else UNARY, max(UNARY, right)
    tight = level if sign in ("+", "*") else level + 0.5
    return level, max(tight, right)


class _Text:
    """Python's notation."""

    beside = " . "  # between derivatives of the chain rule

    def __init__(self, show: Callable[[Any], str]) -> None:
        self.show = show

    def write(self, x: Node) -> Parts:
        if x.function is None:
            words = self.show(x)
            return words, UNARY if words.startswith("-") else ATOM
        parts = [self.write(operand) for operand in x.operands]
        if x.function in INFIX:
            return self.infix(x, *parts)
        if x.function is np.negative:
            return self.minus(x, parts[0])
        special = getattr(self, f"write_{_name(x)}", None)
        return (special and special(x, *parts)) or self.call(x, parts, x.options)

    def infix(self, x: Node, a: Parts, b: Parts) -> Parts:
        sign, level = INFIX[x.function]
        left, right = _least(sign, level, a, b)
        return f"{_paren(a, left)}{'**' if sign == '**' else f' {sign} '}{_paren(b, right)}", level

    def minus(self, x: Node, a: Parts) -> Parts:
        least = ATOM if a[0].startswith("-") else 2
        return f"-{_paren(a, least)}", UNARY if x.operands[0].function not in (np.multiply, np.divide) else 2

    def call(self, x: Node, parts: list[Parts], options: Mapping[Any, Any]) -> Parts:
        name = _name(x)
        written = [*(p[0] for p in parts), *(f"{k}={_option(v)}" for k, v in options.items())]
        return f"{SPOKEN.get(name, name)}({', '.join(written)})", ATOM

    def write_juxtaposed(self, x: Node, a: Parts, b: Parts) -> Parts:
        return f"{a[0]}{self.beside}{b[0]}", 2

    def write_transpose(self, x: Node, a: Parts) -> Parts | None:
        if len(x.operands[0].shape or ()) == 1:  # NumPy's vectors are neither rows nor columns
            return a
        dotted = x.operands[0].function is None and any(c in a[0] for c in "./")  # a path, a derivative: (0.weight).T, (dE/dz).T
        return None if x.options else (f"{_paren((a[0], 0) if dotted else a, ATOM)}.T", ATOM)

    def write_join(self, x: Node, *parts: Parts) -> Parts:
        return self.call(x, list(parts), {})  # where the pieces begin is their own affair

    def write_contract(self, x: Node, a: Parts, b: Parts) -> Parts:
        return f"einsum('{x.options['spec']}', {a[0]}, {b[0]})", ATOM

    def write_logical_and(self, x: Node, a: Parts, b: Parts) -> Parts:
        return f"({a[0]}) & ({b[0]})", -1

    def write_scatter(self, x: Node, values: Parts, like: Parts) -> Parts:
        return f"scatter({values[0]}, at=[{index_text(x.options['index'])}])", ATOM

    def write_take(self, x: Node, a: Parts) -> Parts | None:
        return (f"{_paren(a, ATOM)}[{index_text(x.options['index'])}]", ATOM) if "index" in x.options else None


class _Unicode(_Text):
    """The signs of mathematics in a line of text."""

    beside = " · "

    def infix(self, x: Node, a: Parts, b: Parts) -> Parts:
        sign, level = INFIX[x.function]
        if sign == "**" and b[0].lstrip("-").isdigit():
            return f"{_paren(a, level + 1)}{b[0].translate(SUPERSCRIPT)}", level
        left, right = _least(sign, level, a, b)
        if sign == "@" and _vectors(x):
            return f"{_paren(self.turned(x.operands[0], a), ATOM)} {_paren(b, right)}", level
        mark = {
            "*": " ⊙ " if all(map(_is_array, x.operands)) else " · ",
            "@": " ",
            "**": "^",
            "==": " = ",
            "!=": " ≠ ",
            ">=": " ≥ ",
            "<=": " ≤ ",
        }
        return f"{_paren(a, left)}{mark.get(sign, f' {sign} ')}{_paren(b, right)}", level

    def write_transpose(self, x: Node, a: Parts) -> Parts | None:
        return None if x.options else (f"{_paren(_whole(x.operands[0], a), ATOM)}ᵀ", ATOM)

    def turned(self, x: Node, a: Parts) -> Parts:
        """The transpose of a vector."""
        return self.write(x.operands[0]) if x.function is np.transpose else (f"{_paren(_whole(x, a), ATOM)}ᵀ", ATOM)

    def write_outer(self, x: Node, a: Parts, b: Parts) -> Parts:
        return f"{_paren(a, UNARY)} {_paren(self.turned(x.operands[1], b), ATOM)}", 1.5

    def write_sqrt(self, x: Node, a: Parts) -> Parts:
        return f"√{_paren(a, ATOM)}", UNARY

    def write_sum(self, x: Node, a: Parts) -> Parts | None:
        return None if x.options else (f"Σ {_paren(a, 2)}", 1.4)


class _Latex(_Text):
    """LaTeX's notation."""

    def write(self, x: Node) -> Parts:
        words, level = super().write(x)
        bare = x.function is None and "^" in words and not words.startswith((r"\underset", r"\begin", r"\frac", r"\left"))
        return words, min(level, SCRIPT) if bare else level

    beside = r" \, "

    def infix(self, x: Node, a: Parts, b: Parts) -> Parts:
        sign, level = INFIX[x.function]
        if sign == "/":
            return rf"\frac{{{a[0]}}}{{{b[0]}}}", 2
        if sign == "**":
            return f"{_brackets(a, ATOM)}^{{{b[0]}}}", level
        marks = {
            "*": r"\odot" if all(map(_is_array, x.operands)) else r"\cdot",
            "@": r"\,",
            "==": "=",
            "!=": r"\ne",
            ">=": r"\ge",
            "<=": r"\le",
        }
        left, right = _least(sign, level, a, b)
        if sign == "@" and _vectors(x):
            return rf"{_brackets(self.turned(x.operands[0], a), SCRIPT)} \, {_brackets(b, right)}", level
        return f"{_brackets(a, left)} {marks.get(sign, sign)} {_brackets(b, right)}", level

    def minus(self, x: Node, a: Parts) -> Parts:
        return f"-{_brackets(a, ATOM if a[0].startswith('-') else 2)}", UNARY

    def call(self, x: Node, parts: list[Parts], options: Mapping[Any, Any]) -> Parts:
        name = _name(x)
        head = rf"\{name}" if name in LATEX_FUNCTIONS else rf"\operatorname{{{name.replace('_', ' ')}}}"
        written = [*(p[0] for p in parts), *(rf"\mathrm{{{latex_escape(k)}}}={_option(v)}" for k, v in options.items())]
        return rf"{head}\left({', '.join(written)}\right)", ATOM

    def write_transpose(self, x: Node, a: Parts) -> Parts | None:
        return None if x.options else (f"{_brackets(_whole(x.operands[0], a), ATOM)}^{{T}}", SCRIPT)

    def turned(self, x: Node, a: Parts) -> Parts:
        """The transpose of a vector."""
        return self.write(x.operands[0]) if x.function is np.transpose else (f"{_brackets(_whole(x, a), ATOM)}^{{T}}", SCRIPT)

    def write_outer(self, x: Node, a: Parts, b: Parts) -> Parts:
        return rf"{_brackets(a, UNARY)} \, {_brackets(self.turned(x.operands[1], b), SCRIPT)}", 1.5

    def write_sqrt(self, x: Node, a: Parts) -> Parts:
        return rf"\sqrt{{{a[0]}}}", ATOM

    def write_absolute(self, x: Node, a: Parts) -> Parts:
        return rf"\left|{a[0]}\right|", ATOM

    def write_logical_and(self, x: Node, a: Parts, b: Parts) -> Parts:
        return rf"{_brackets(a, 0)} \wedge {_brackets(b, 0)}", -1

    def write_sum(self, x: Node, a: Parts) -> Parts | None:
        if set(x.options) - {"axis"}:
            return None
        below = rf"_{{\text{{axis {_option(x.options['axis'])}}}}}" if x.options else ""
        return rf"\sum{below} {_brackets(a, 2)}", 1.4

    def write_take(self, x: Node, a: Parts) -> Parts | None:
        if "index" not in x.options:
            return None
        return rf"{_brackets(a, ATOM)}\left[{latex_option(x.options['index'], index_text)}\right]", ATOM

    def write_contract(self, x: Node, a: Parts, b: Parts) -> Parts:
        return rf"\operatorname{{einsum}}\left({latex_option(x.options['spec'])}, {a[0]}, {b[0]}\right)", ATOM

    def write_scatter(self, x: Node, values: Parts, like: Parts) -> Parts:
        where = latex_option(x.options["index"], lambda index: f"at {index_text(index)}")
        return rf"\operatorname{{scatter}}\left({values[0]},\ {where}\right)", ATOM

    def write_reshape(self, x: Node, a: Parts) -> Parts | None:
        side = _side(x)
        return None if side is None else a if side == "column" else (f"{_brackets(a, ATOM)}^{{T}}", SCRIPT)

    def write_broadcast_to(self, x: Node, a: Parts) -> Parts | None:
        size = x.options["shape"]
        if x.operands[0].shape not in ((), None) or len(size) != 1 or not 0 < size[0] <= 4:
            return None
        copies = r" \\ ".join([a[0]] * size[0])
        return rf"\begin{{pmatrix}} {copies} \end{{pmatrix}}", ATOM


LATEX_FUNCTIONS = {"exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "arcsin", "arccos", "arctan", "max", "min", "det"}


def _name(x: Node) -> str:
    return x.function if isinstance(x.function, str) else x.function.__name__


def _whole(x: Node, a: Parts) -> Parts:
    """What an exponent belongs to: of the name of a derivative, which is a fraction, all of it."""
    return (a[0], 0) if x.function is None and x.operands else a


def _side(x: Node) -> str | None:
    """Whether a reshape writes a vector as a ``row`` or a ``column``."""
    size, inner = x.options.get("shape"), x.operands[0].shape
    if inner is None or len(inner) != 1 or size not in ((1, *inner), (*inner, 1)):
        return None
    return "column" if size == (*inner, 1) else "row"


def _option(value: Any) -> str:
    return f"({', '.join(map(_option, value))}{',' if len(value) == 1 else ''})" if isinstance(value, tuple) else str(value)


def latex_option(value: Any, write: Callable[[Any], str] = _option) -> str:
    return rf"\text{{{latex_escape(write(value))}}}"


def index_text(index: Any) -> str:
    """``(..., 0)`` as ``..., 0``, a slice as ``1:3``, an array of places by its first few."""
    if isinstance(index, tuple):
        return ", ".join(map(index_text, index)) or "()"
    if isinstance(index, slice):
        first, last, step = ("" if v is None else str(v) for v in (index.start, index.stop, index.step))
        return f"{first}:{last}" + (f":{step}" if step else "")
    if isinstance(index, np.ndarray):
        return np.array2string(index, separator=", ", threshold=6, edgeitems=2).replace("\n", "")
    return "..." if index is ... else str(index)


def _vectors(x: Node) -> bool:
    """Whether both operands have one axis: their product is a row times a column."""
    return all(operand.shape is not None and len(operand.shape) == 1 for operand in x.operands)


def _is_array(x: Node) -> bool:
    """Whether it stands for more than a number, as far as shapes are known."""
    if x.shape is not None:
        return x.shape != ()
    return x.function is not None and any(map(_is_array, x.operands))


def _brackets(parts: Parts, least: float) -> str:
    words, level = parts
    return words if level >= least else rf"\left({words}\right)"
