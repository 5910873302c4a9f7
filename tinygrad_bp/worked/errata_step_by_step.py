r"""The mistakes in "反向传播—BP", on its own 2-2-2 network: weights (out, in), one bias per layer.

>>> print(f"{loss(W1, W2):.9f}")
0.298371109
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import nn, sigmoid

from . import step_by_step as example
from .finding import Evidence, Finding, number, outcome

X, TARGET, LR = np.array(example.INPUT), np.array(example.TARGET), example.LR
WEIGHTS: dict[str, Any] = dict(example.WEIGHTS)
W1, W2 = np.array(WEIGHTS["0.weight"]), np.array(WEIGHTS["2.weight"])
B1, B2 = WEIGHTS["0.bias"], WEIGHTS["2.bias"]

NET_H = W1 @ X + B1
OUT_H = sigmoid(NET_H)
OUT_O = sigmoid(W2 @ OUT_H + B2)
DELTA_O = -(TARGET - OUT_O) * OUT_O * (1 - OUT_O)
DELTA_H = (DELTA_O @ W2) * OUT_H * (1 - OUT_H)


def loss(w1: Any, w2: Any, b1: Any = B1, b2: Any = B2, target: Any = TARGET) -> Any:
    """E_total."""
    return np.sum(np.square(target - sigmoid(w2 @ sigmoid(w1 @ X + b1) + b2))) / 2


def gradients() -> list[Any]:
    """The derivatives by the two matrices and the two biases, by autograd."""
    grads: list[Any] = [np.asarray(g) for g in tg.grad(loss, argnums=(0, 1, 2, 3))(W1, W2, np.array(B1), np.array(B2))]
    return grads


def updated() -> float:
    """The loss after one simultaneous update of the weights."""
    w1, w2, _, _ = gradients()
    return float(loss(W1 - LR * w1, W2 - LR * w2))


def trained(updates: int, what: str) -> Any:
    """The loss or the outputs after simultaneous updates of the weights, as the formulas and the listing make them."""
    model = example.train(updates)
    return example.forward(model).item() if what == "loss" else model(X).numpy()


B = partial(Finding, "step_by_step")

TEXT = [
    B(
        "first paragraph",
        "layer L3 is a hidden layer",
        "the output layer",
        "wrong words",
        lambda: Evidence(2, 1, sum(isinstance(m, nn.Sigmoid) for m in example.network()) - 1),
        "Hidden layers of the network pictured.",
    ),
    B(
        "first paragraph",
        "input and output equal: auto-encoder; not equal: an artificial neural network",
        "an auto-encoder is a neural network too",
        "wrong words",
        why="A definition.",
    ),
    B(
        "the network; listing",
        "b1 belongs to the input layer, b2 to the hidden layer",
        "b1 enters the hidden neurons, b2 the outputs, as in its listing",
        "code differs from text",
        lambda: Evidence(0.0, float(np.sum(DELTA_H)), float(gradients()[2])),
        "Drawn as constant units they stand one layer lower; the listing puts b1 into the hidden layer. Shown: the derivative by b1.",
    ),
    B(
        "values",
        "o1 = 0.01, o2 = 0.99 as output data",
        "target_o1, target_o2",
        "wrong symbol",
        lambda: Evidence(TARGET, OUT_O, example.network()(X).numpy()),
        "o1 is a neuron, a target and, below, the output of h1.",
    ),
    B(
        "values",
        "inputs, targets and weights",
        r"and the biases, $b_1 = 0.35$, $b_2 = 0.60$",
        "missing part",
        why="They appear in a picture and, later, in the numbers of the computation.",
    ),
    B(
        "aim",
        "the original outputs 0.01 and 0.99",
        "the targets",
        "wrong words",
        why="The outputs at the start are 0.751 and 0.773; nothing is called original elsewhere.",
    ),
    B(
        "step 1, words before out_h1",
        "h1's output o1",
        "out_h1",
        "wrong symbol",
        lambda: Evidence(OUT_O[0], OUT_H[0], 1 / (1 + np.exp(-0.3775))),
    ),
    B(
        "step 1, words before out_h2",
        "h2's output o2",
        "out_h2",
        "wrong symbol",
        lambda: Evidence(OUT_O[1], OUT_H[1], 1 / (1 + np.exp(-0.3925))),
    ),
    B(
        "step 1, last sentence",
        "0.75136079",
        "0.75136507",
        "misprint of a number",
        why="The formulas above it have the right figure.",
    ),
    B(
        "step 2, part 1",
        r"$\sum \frac12(target-output)^2$",
        r"$\sum_o \frac12(target_o-out_o)^2$",
        "wrong index",
        why="The sum has no index, and the output another name than everywhere else. The next formulas have both right.",
    ),
    B(
        "step 2, part 1",
        "square error",
        "half the sum of squared errors",
        "factor 2 or 1/n",
        lambda: Evidence(float(np.sum((TARGET - OUT_O) ** 2)), "0.298371109", loss(W1, W2)),
        "The formula beside the name has the half.",
    ),
    B(
        "step 2, dE_total/dout_o1; the sum of both paths",
        r"$\dots * -1 + 0$; $0.055399425+-0.019049119$",
        r"$\dots * (-1) + 0$; $0.055399425+(-0.019049119)$",
        "notation",
        why="Two signs of operation in a row. The values are right.",
    ),
    B(
        "step 2, dE_total/dout_o1",
        r"$\partial outo$",
        r"$\partial out_{o1}$",
        "wrong index",
        why="The index is lost in the second line; the value is right.",
    ),
    B(
        "step 2, if the error is taken as negative",
        r"$\partial E/\partial w_5 = -\delta_{o1} out_{h1}$",
        r"$\delta_{o1} out_{h1}$ with the $\delta_{o1}$ defined above",
        "sign flipped",
        why=r"True of another $\delta$, with the sign turned, that gets the same letter.",
    ),
    B(
        "step 2, update of w5",
        r"$\partial_{w_5}$",
        r"$\partial w_5$",
        "notation",
        why="The variable stands as an index of the partial sign.",
    ),
    B(
        "step 2, part 3, first words",
        "between hidden layers",
        "between the input and the hidden layer",
        "wrong words",
        lambda: Evidence(2, 1, sum(isinstance(m, nn.Sigmoid) for m in example.network()) - 1),
        "There is one hidden layer.",
    ),
    B(
        r"step 2, $\partial E_{o2}/\partial out_{h1}$ (printed twice)",
        "-0.019049119",
        "-0.019049118",
        "last digit",
        why="Exact: -0.0190491183; from the printed figures the same. The sum after it, 0.036350306, is right with either.",
    ),
    B(
        r"step 2, $out_{h1}$",
        r"$1+e^{-net}_{h1}$",
        r"$1+e^{-net_{h1}}$",
        "wrong index",
        why="The index has slipped off the exponent, to the power.",
    ),
    B(
        "step 2, name of the hidden error",
        "sigma(h1) in words",
        r"$\delta_{h1}$, as in the formula",
        "wrong symbol",
        why="Sigma is the sigmoid: its value at h1 is out_h1.",
    ),
    B(
        r"step 2, $\delta_{h1}$ in general",
        r"$\sum_o \delta_o w_{ho}$",
        r"$\sum_o \delta_o w_{oh}$ for weights (out, in)",
        "wrong index",
        why=r"Right if it is read as from h to o; wrong as row and column of the weights in the listing's order.",
    ),
    B(
        "step 2, as a whole",
        "eight weights updated, no word about b1 and b2",
        r"$b_1^+ = 0.340637195$, $b_2^+ = 0.549799837$",
        "bias forgotten",
        why="The derivative by each is not zero. The loss falls faster with them.",
    ),
    B(
        "results, after 1 update",
        "0.291027924",
        "0.291027774",
        "updated weights used",
        why="Comes from carrying the error back through w5+ to w8+. The printed w1+ to w4+ do not: they are simultaneous.",
    ),
    B(
        "results, after 10,000 updates",
        "0.000035085",
        "0.000035102",
        "updated weights used",
        number("0.000035085", "0.000035102", lambda: trained(10_000, "loss")),
    ),
    B(
        "results, outputs after 10,000 updates",
        "0.015912196, 0.984065734",
        "0.015913620, 0.984064274",
        "updated weights used",
        number(["0.015912196", "0.984065734"], ["0.015913620", "0.984064274"], lambda: trained(10_000, "outputs")),
    ),
    B("results", "the original input [0.01, 0.99]", "the targets", "wrong words", lambda: Evidence(TARGET, X, np.array([0.05, 0.10]))),
    B("last paragraph", "reference [3]", "no list of references", "missing part", why="The document has no numbered references."),
]


def missing_is_zero() -> Evidence:
    drawn = float(np.random.default_rng(0).random())

    def chosen(bias: float | None) -> float:
        return drawn if bias is None else bias

    return Evidence(0.0 or drawn, 0.0, chosen(0.0))  # the listing asks for truth, not for None


def no_array() -> Evidence:
    given = W1.ravel()
    return Evidence(outcome(lambda: not given), (), outcome(lambda: given is None))


LISTING = [
    B(
        "listing, last lines (twice)",
        "target 0.09",
        "0.99",
        "code differs from text",
        number("0.496045683", "0.291027774", updated),
        "The loss that it prints after the first update; the quoted ones cannot come from this listing.",
    ),
    B(
        "listing, bias of a layer",
        "a bias of 0 is replaced by a random number",
        "0",
        "code differs from text",
        missing_is_zero,
        "The test is on truth, and 0 is false.",
    ),
    B(
        "listing, initial weights",
        "weights given as an array",
        "accepted like a list",
        "code does not run",
        no_array,
        "The truth of an array of several elements is an error.",
    ),
    B(
        "listing, training",
        "the biases stay as they are",
        "they are parameters",
        "bias forgotten",
        lambda: Evidence(np.zeros(2), np.array([DELTA_H.sum(), DELTA_O.sum()]), np.array([float(g) for g in gradients()[2:]])),
    ),
    B(
        "listing, comments on the errors of both layers",
        "values of the output neurons, values of the hidden neurons",
        r"their errors $\partial E/\partial net$",
        "wrong words",
        lambda: Evidence(OUT_O, DELTA_O, np.asarray(tg.grad(lambda n: np.sum(np.square(TARGET - sigmoid(n))) / 2)(W2 @ OUT_H + B2))),
    ),
    B(
        "listing, comment on the hidden error",
        r"$\Sigma\ \partial E/\partial z_j \cdot w_{ij}$ for $dE/dy_j$",
        r"$dE/dy_i = \sum_j \partial E/\partial z_j\, w_{ij}$",
        "wrong index",
        why="j is summed over and free at once. The code is right.",
    ),
    B(
        "listing, comment on the hidden error",
        r"$\partial E/\partial z_j = dE/dy_j \cdot \partial z_j/\partial$",
        r"$dE/dy_j \cdot dy_j/dz_j$",
        "wrong symbol",
        lambda: Evidence(1 / (OUT_H * (1 - OUT_H)), OUT_H * (1 - OUT_H), np.diag(tg.jacobian(sigmoid)(NET_H))),
        "Broken off, and upside down. The code is right.",
    ),
    B(
        "listing, comments on the updates (twice)",
        r"$\Delta w = \alpha \cdot \partial E/\partial w$",
        r"$\Delta w = -\eta\, \partial E/\partial w$",
        "sign flipped",
        why=r"The code subtracts. The text has $\eta$, the comment $\alpha$; and $w_i$ has lost its second index.",
    ),
    B(
        "listing, comment on the update of a hidden weight",
        r"$\partial E_j/\partial w_i$",
        r"$\partial E/\partial w_i$, with E over both outputs",
        "wrong index",
        why="One output's error is not the whole for a hidden weight. The code is right.",
    ),
    B(
        "listing, comment on the error",
        "difference of two squares",
        "squared error (half of it)",
        "wrong words",
        lambda: Evidence(float(TARGET[0] ** 2 - OUT_O[0] ** 2), "0.274811083", np.square(TARGET[0] - OUT_O[0]) / 2),
        "The term means $a^2 - b^2$.",
    ),
    B(
        "listing, name of a method",
        "total net input with respect to input",
        "output with respect to total net input",
        "wrong words",
        why="It returns out (1 - out). The derivative that it is named after is a weight.",
    ),
    B(
        "listing, number printed beside the loss",
        "9999 beside the last loss",
        "10,000, the updates made",
        "code reports another quantity",
        lambda: Evidence(9_999, 10_000, len(range(10_000))),
        "It counts from 0, and the loss is computed after the update.",
    ),
]

FINDINGS = TEXT + LISTING
