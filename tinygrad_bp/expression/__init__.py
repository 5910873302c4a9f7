"""Symbols: run a derivative rule on them and it prints itself.

An ``Expression`` answers to Python's operators and to NumPy's functions like an array, but computes nothing: it
writes down. It simplifies as a person does while writing, and no further: no ``1 * x``, no ``-(-x)``.

>>> import numpy as np
>>> x, y = symbol("x"), symbol("y")
>>> print(-np.exp(x) * y * 1 - 0)
-exp(x) * y
"""

from tinygrad_bp.expression.printing import INFIX, format_number, latex_escape, latex_name, latex_number, plain_name, unicode_name
from tinygrad_bp.expression.simplify import copied, divide, factors, oriented, power, product, vectors_first, vectors_last
from tinygrad_bp.expression.tree import SIMPLIFIED, Expression, Show, apply, call, lift, number, partial, plain_number, symbol

__all__ = [
    "INFIX", "SIMPLIFIED", "Expression", "Show", "apply", "call", "copied", "divide", "factors", "format_number",
    "latex_escape", "latex_name", "latex_number", "lift", "number", "oriented", "partial", "plain_name", "plain_number",
    "power", "product", "symbol", "unicode_name", "vectors_first", "vectors_last",
]  # fmt: skip
