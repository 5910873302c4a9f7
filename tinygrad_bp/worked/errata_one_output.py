r"""The mistakes in the untitled derivation for a 2-2-1 network, which has no numbers: on the weights of "反向传播—BP".

>>> round(float(out_o(W1, W2)), 4)
0.7514
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import sigmoid

from . import step_by_step as example
from .finding import Evidence, Finding

WEIGHTS: dict[str, Any] = dict(example.WEIGHTS)
X, TARGET = np.array(example.INPUT), example.TARGET[0]
W1, W2 = np.array(WEIGHTS["0.weight"]), np.array(WEIGHTS["2.weight"][0])
B1, B2 = np.array(WEIGHTS["0.bias"]), np.array(WEIGHTS["2.bias"])


def out_o(w1: Any, w2: Any, b1: Any = B1, b2: Any = B2) -> Any:
    """The output."""
    return sigmoid(w2 @ sigmoid(w1 @ X + b1) + b2)


def loss(w1: Any, w2: Any, b1: Any = B1, b2: Any = B2) -> Any:
    """E, half the squared error."""
    return np.square(TARGET - out_o(w1, w2, b1, b2)) / 2


OUT_O = float(out_o(W1, W2))
DELTA_O = -(TARGET - OUT_O) * OUT_O * (1 - OUT_O)

C = partial(Finding, "one_output")


FINDINGS = [
    C(
        "first sentence",
        "the letters explained as if under a picture",
        "a picture of the network",
        "missing part",
        why="Which weight goes where follows only from the formulas for net.",
    ),
    C(
        "the biases",
        "b1, b2 are the biases of the input layer and the hidden layer",
        "of the hidden layer and the output layer",
        "wrong words",
        lambda: Evidence(0.0, DELTA_O, float(tg.grad(loss, argnums=3)(W1, W2, B1, B2))),
        "Drawn as constant units they stand one layer lower, but add to the next. Shown: the derivative by $b_2$.",
    ),
    C(
        "the loss",
        "mean squared error",
        "half the squared error",
        "factor 2 or 1/n",
        why="With one output the mean is the square itself. The derivatives below it belong to the half.",
    ),
    C(
        "the other gradients",
        r"those by $w_6$ and $b_2$ in the same way, all others likewise; copied for $b_1$: $\delta_O w_5 out_{h_1}(1-out_{h_1})$",
        r"for $b_1$ the sum over $h_1$ and $h_2$",
        "wrong words",
        why="The shared bias reaches the output along two paths; $w_1$ has one. The document gives no formula for it.",
    ),
]
