"""What a formula may call: an explicit list. Everything else in it is a name, never code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from tinygrad_bp import functions
from tinygrad_bp.rule import RULES


class Written(float):
    """A number as it was written: it remembers its digits.

    >>> x = Written("1.364e-3")
    >>> x.significant, x.half_unit
    (4, 5e-07)
    """

    text: str

    def __new__(cls, text: str) -> Self:
        self = super().__new__(cls, text)
        self.text = text
        return self

    @property
    def decimals(self) -> int:
        """How many decimal places it has: 0.08 has 2, 1.364e-3 has 6."""
        mantissa, _, exponent = self.text.lower().partition("e")
        return len(mantissa.partition(".")[2]) - max(-300, min(300, int(exponent or 0)))

    @property
    def significant(self) -> int:
        return len(self.text.lower().partition("e")[0].lstrip("+-").replace(".", "").lstrip("0"))

    @property
    def half_unit(self) -> float:
        """Half a unit of its last digit; 0 for a whole number, which is exact."""
        return 0.5 * 10.0**-self.decimals if "." in self.text else 0.0


# Notations that NumPy has no function for; evaluate.py says what they compute.


def product(a: Any, b: Any) -> Any:
    """A dot or nothing between two factors: which product, the shapes decide."""


def dot(a: Any, b: Any) -> Any:
    """The same where a dot was written: of two columns it is the inner product."""


def turn(a: Any) -> Any:
    """^T, which makes a row of a column."""


def differential(a: Any) -> Any:
    """d E or the partial sign: has a meaning only over another one."""


def derivative(upper: Any, lower: Any) -> Any:
    """dE/dw."""


def gradient(lower: Any) -> Any:
    """nabla w: the derivative of the output."""


def change(lower: Any) -> Any:
    """Delta w: what one step of gradient descent adds."""


def matrix(*rows: Any) -> Any:
    """A matrix literal."""


def total(body: Any) -> Any:
    """A sum sign."""


def absolute(a: Any) -> Any:
    """|a| of a number; of an array it could be a norm as well, and is refused."""


OURS = (product, dot, turn, differential, derivative, gradient, change, matrix, total, absolute)

FUNCTIONS: dict[str, Callable[..., Any]] = {rule.name: rule.function for rule in RULES.values() if rule.kind == "pointwise"} | {
    f.__name__: f
    for f in (np.sum, np.mean, np.max, np.min, np.prod, np.matmul, np.outer, np.inner, np.transpose, np.trace, np.sign, np.diag, np.floor,
              np.zeros_like, np.ones_like, np.greater, np.less, np.greater_equal, np.less_equal, np.equal, np.not_equal, np.reshape,
              np.expand_dims, np.broadcast_to, np.swapaxes, np.ravel, np.squeeze, functions.softmax, functions.log_softmax,
              functions.logsumexp, functions.linear)
} | {"dot": np.dot, "abs": np.absolute, "ln": np.log, "pow": np.power, "amax": np.max, "amin": np.min, "log": np.log,
     "sgn": np.sign, "ReLU": functions.relu, "Sigmoid": functions.sigmoid, "Softmax": functions.softmax}  # fmt: skip

FUNCTIONS |= {name.replace("_", ""): function for name, function in FUNCTIONS.items()}  # \mathrm{broadcast to}

ARRAYS = {"array", "asarray"}  # np.array([[1, 2], [3, 4]])
MODULES = {"np", "numpy", "math", "tg", "nn"}
UNKNOWN = {"f", "g", "sigma", "phi", "varphi"}  # letters that stand for a function before a bracket
KEYWORDS = {"True": True, "False": False, "None": None}
