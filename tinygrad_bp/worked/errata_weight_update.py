r"""The mistakes in "BP神经网络权重更新及推导" and its listing, which have no numbers: on the numbers of "反向传播—BP" and on shapes.

Its snippet is part of https://github.com/doycode/mlgorithms, neural_network/ANN.py. Samples are columns there.

>>> round(float(loss(W_H, W_O)), 9)
0.298371109
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import sigmoid

from . import step_by_step as example
from .finding import Evidence, Finding, outcome

WEIGHTS: dict[str, Any] = dict(example.WEIGHTS)
X_I, TRUTH = np.array(example.INPUT), np.array(example.TARGET)
W_H, W_O = np.array(WEIGHTS["0.weight"]), np.array(WEIGHTS["2.weight"])
B_H, B_O = np.full(2, WEIGHTS["0.bias"]), np.full(2, WEIGHTS["2.bias"])


def loss(w_h: Any, w_o: Any) -> Any:
    """L, summed over the outputs."""
    return np.sum(np.square(sigmoid(w_o @ sigmoid(w_h @ X_I + B_H) + B_O) - TRUTH)) / 2


S_H = sigmoid(W_H @ X_I + B_H)
S_O = sigmoid(W_O @ S_H + B_O)
DELTA_O = (S_O - TRUTH) * S_O * (1 - S_O)
DELTA_H = (W_O.T @ DELTA_O) * S_H * (1 - S_H)
DW_H = np.outer(DELTA_H, X_I)


def gradient() -> Any:
    """The derivative of the loss by W_h, by autograd."""
    return np.asarray(tg.grad(loss)(W_H, W_O))


rng = np.random.default_rng(0)
column, w23, d2 = rng.normal(size=(3, 1)), rng.normal(size=(2, 3)), rng.normal(size=(2, 1))  # 3 hidden neurons, 2 outputs


def last_row_cut(hidden: int) -> Any:
    """What the snippet's update of the hidden weights comes to: no row for a constant unit has been added."""
    w, x = np.ones((hidden, 3)), np.ones((hidden, 1)) @ np.ones((1, 3))
    return outcome(lambda: np.subtract(w, x[:-1, :], out=w))


def two_hidden_neurons() -> Evidence:
    """With two hidden neurons the row that is left is broadcast, and nothing complains."""
    return Evidence(np.broadcast_to(DW_H[:-1, :], (2, 2)).copy(), DW_H, gradient())


D = partial(Finding, "weight_update")

TEXT = [
    D(
        "the words on error terms",
        "error of layer k+1 times weights of k+1 times derivative of k",
        r"$W_{k+1}^T\delta_{k+1}\odot\sigma'_k$",
        "transpose missing",
        why="In the order of the words, or with W in place of its transpose, another vector.",
    ),
    D(
        "z in the words",
        "z is a function of W and X",
        "of W, X and b",
        "bias forgotten",
        why="b is in the formula for z below it.",
    ),
    D(
        "loss",
        r"$L = \frac12(\sigma_o-\hat y)^2$ for a vector",
        r"$\frac12\sum(\sigma_o-\hat y)^2$",
        "wrong shape",
        why="The formula is that of one output.",
    ),
    D(
        "loss",
        r"$\hat y$ for the true value",
        r"$y$, as everywhere else",
        "notation",
        why=r"In the other documents $\hat y$ is the prediction; copied from one page to the other the sign turns.",
    ),
    D(
        r"first two formulas",
        r"$W_o$ and $W_t^o$ for one matrix, $\sigma$ for a function and its value",
        "one name each",
        "notation",
        why="Nothing is wrong in value.",
    ),
    D(
        r"$z_o = W_oX_o^T + b_o$ beside $\delta_oX_o^T$",
        r"$X_o^T$ in both",
        r"$W_oX_o$ with $X_o$ a column, as in the code",
        "transpose missing",
        why="If X is a row the first is right and the update is not; if it is a column, the reverse.",
    ),
    D(
        r"$z_o = W_oX_o^T + b_o$ beside $\delta_oX_o^T$, read with rows",
        r"$(\sigma_o-\hat y)\sigma_o(1-\sigma_o)X_o^T$",
        r"$\dots X_o$ for a row $X_o$",
        "stray transpose",
        why="A column times a column.",
    ),
    D(
        "update of the output weights",
        r"$(\sigma_o-\hat y)\sigma_o(1-\sigma_o)$ as a matrix product",
        r"$\odot$ between the factors",
        "notation",
        lambda: Evidence(outcome(lambda: d2 @ d2 @ (1 - d2)), (2, 1), (d2 * d2 * (1 - d2)).shape),
        "Three columns cannot be multiplied otherwise.",
    ),
    D(
        "hidden error",
        r"$\delta_oW_o\,\partial\sigma_h/\partial z_h$",
        r"$W_o^T\delta_o\odot\sigma'_h$ for columns",
        "transpose missing",
        why=r"Right for rows, with $\sigma'$ on a diagonal: numerator layout. The next formula has columns.",
    ),
    D(
        "update of the hidden weights",
        r"$W_o^T(\sigma_o-\hat y)$",
        r"$W_o^T\left((\sigma_o-\hat y)\odot\sigma_o\odot(1-\sigma_o)\right)$",
        "sigma' missing at the output",
        why=r"The formula before it has $\delta_o$, which contains the factor.",
    ),
    D(
        "update of the hidden weights",
        r"no $\odot$ before $\sigma_h(1-\sigma_h)$",
        r"$\odot$",
        "notation",
        lambda: Evidence(outcome(lambda: (w23.T @ d2) @ column @ (1 - column)), (3, 1), ((w23.T @ d2) * column * (1 - column)).shape),
    ),
    D(
        "the biases",
        r"no update for $b_o$ and $b_h$",
        r"$b_{t+1} = b_t - \eta\,\delta$",
        "bias forgotten",
        why="The code treats a bias as the weight of a constant unit, so it does update them; the formulas do not.",
    ),
]


def relu_as_listed() -> Any:
    """np.vectorize takes the type of all results from the first one."""

    def one(x: float) -> float:
        return max(0, x)

    return np.vectorize(one)(np.array([-1.0, 0.7]))


def swallowed() -> Evidence:
    """Without a bias a name is read that only the branch with a bias sets; the error is printed and training goes on."""

    def train(bias: bool) -> int:
        if bias:
            feature_num = 2
        return feature_num

    return Evidence(outcome(lambda: train(False)), (), outcome(lambda: train(True)))


CODE = [
    D(
        "snippet, hidden errors",
        "`W_out.T` times the output errors",
        "times `output_errors * out * (1 - out)`",
        "sigma' missing at the output",
        why="The first `tmp` held the right product and has been overwritten.",
    ),
    D(
        "snippet, order of the updates",
        "the output weights are updated before the error passes them",
        "after",
        "updated weights used",
        why="The text uses the weights of step t. Shown by itself, with the factor above put right.",
    ),
    D(
        "snippet, both together",
        "the hidden gradient as it is computed",
        "the gradient",
        "sigma' missing at the output",
        why="The two above, in one line of code.",
    ),
    D(
        "snippet, after the hidden layer",
        "no row of ones is added",
        "it is, in the full listing",
        "code does not run",
        lambda: Evidence(last_row_cut(3), (3, 3), np.ones((3, 3)).shape),
        "`[:-1, :]` then cuts off a real neuron.",
    ),
    D(
        "snippet, after the hidden layer, two hidden neurons",
        "the same",
        "the gradient of both rows",
        "wrong shape",
        two_hidden_neurons,
        "NumPy broadcasts the one row that is left: the second neuron gets the first one's gradient, and nothing complains.",
    ),
    D(
        "formulas beside the snippet",
        r"$X_i^T$ of all rows, no row cut",
        "the constant unit's row has no weights below it",
        "code differs from text",
        why="Bias as a vector b in the text, as a constant unit in the code: two conventions.",
    ),
    D(
        "snippet, names",
        "`output_vector1`, `output_vector2`",
        "the inputs z of the layers",
        "wrong words",
        lambda: Evidence(W_H @ X_I + B_H, S_H, 1 / (1 + np.exp(-(W_H @ X_I + B_H)))),
    ),
    D(
        "full listing, `relu`",
        "`np.vectorize` on a function that returns the integer 0",
        "float results",
        "code differs from text",
        lambda: Evidence(relu_as_listed().astype(float), np.array([0.0, 0.7]), np.asarray(tg.relu(np.array([-1.0, 0.7])))),
        "A negative first element turns all results into integers.",
    ),
    D(
        "full listing, `bias=False`",
        "`feature_num` is set only with a bias",
        "in either case",
        "code does not run",
        swallowed,
        "The error is caught and printed, and the training loop goes on without training.",
    ),
    D(
        "full listing, encoder",
        "`OneHotEncoder(sparse=False)`",
        "`sparse_output=False`",
        "code does not run",
        why="The argument was renamed in scikit-learn 1.2 and removed in 1.4.",
    ),
]

FINDINGS = TEXT + CODE
