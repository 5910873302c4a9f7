r"""The mistakes in the words of "反向传播算法（过程及公式推导）". Its formulas are pictures and cannot be read here.

The numbers are those of "反向传播—BP", for the four equations in their usual form: M. Nielsen, Neural Networks and Deep
Learning, chapter 2, http://neuralnetworksanddeeplearning.com/chap2.html.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import nn, sigmoid

from . import step_by_step as example
from .finding import Evidence, Finding

WEIGHTS: dict[str, Any] = dict(example.WEIGHTS)
A1, Y, LR = np.array(example.INPUT), np.array(example.TARGET), example.LR
W2, W3 = np.array(WEIGHTS["0.weight"]), np.array(WEIGHTS["2.weight"])
B2, B3 = np.full(2, WEIGHTS["0.bias"]), np.full(2, WEIGHTS["2.bias"])

A2 = sigmoid(W2 @ A1 + B2)
A3 = sigmoid(W3 @ A2 + B3)
DELTA3 = (A3 - Y) * A3 * (1 - A3)  # BP1
DELTA2 = (W3.T @ DELTA3) * A2 * (1 - A2)  # BP2


def cost(z3: Any) -> Any:
    """C of one sample, from the weighted inputs of the last layer."""
    return np.sum(np.square(Y - sigmoid(z3))) / 2


def weights_changed_on_the_way() -> Evidence:
    moved = W3 - LR * np.outer(DELTA3, A2)
    exact = tg.grad(lambda z2: cost(W3 @ sigmoid(z2) + B3))(W2 @ A1 + B2)
    return Evidence((moved.T @ DELTA3) * A2 * (1 - A2), DELTA2, np.asarray(exact))


E = partial(Finding, "four_equations")

FINDINGS = [
    E(
        "first sentence",
        "back-propagation trains networks",
        "it computes the gradient that training uses",
        "wrong words",
        why="A definition; the document itself needs gradient descent in its last step.",
    ),
    E(
        "introduction, (2)",
        "the error is propagated back to the input layer",
        "to layer 2, the first with weights below it",
        "wrong words",
        lambda: Evidence(3, 2, len([p for p in nn.MLP([2, 2, 2]).parameters() if p.ndim == 2])),
        r"There is a $\delta^l$ for $l = 2, \dots, L$: one for each matrix of weights.",
    ),
    E(
        "introduction, (3)",
        "parameters are adjusted during the backward pass",
        "after it",
        "updated weights used",
        weights_changed_on_the_way,
        "Section 4 has it right. Adjusted on the way, the error passes new weights.",
    ),
    E(
        "introduction, (3)",
        "until it converges",
        "until a limit of iterations or a threshold",
        "wrong words",
        why="With a fixed step gradient descent need not converge.",
    ),
    E(
        "2",
        "L is the greatest number of layers",
        "the number of layers, and the index of the last",
        "wrong words",
        lambda: Evidence(2, 3, len([A1, A2, A3])),
        "A number has no greatest; taken as the count of layers of weights it is off by one.",
    ),
    E(
        "2",
        "the letters below the cost",
        "n, the number of samples",
        "missing symbol",
        why="The letters explained are four, and n, which the cost over a set of samples needs, is not among them.",
    ),
    E(
        "3, definition of the error",
        "the difference of actual and predicted value",
        r"$\delta_j^l = \partial C/\partial z_j^l$",
        "wrong words",
        lambda: Evidence(Y - A3, DELTA3, np.asarray(tg.grad(cost)(W3 @ A2 + B3))),
        r"The difference is $-\nabla_a C$; $\delta$ has the other sign and a factor $\sigma'$. A hidden layer has no actual value.",
    ),
    E(
        "4",
        "the pseudo-code runs over each sample of the training set",
        "of a mini-batch, if the update divides by its size",
        "wrong words",
        why="The update is a picture: whether it divides, and by what, cannot be read.",
    ),
]
