r"""The mistakes in "BP算法讲解". Formulas and numbers are claims of docs/documents/bp_explained.md; what is wrong in words,
shapes and the listing has its evidence here, on the document's own numbers, a 2-2-2 network, or on the 4-5-2 network of 2.3.

Weights have the shape (in, out), so that net = w^T x + b, as in (3-1). The independent computation is autograd,
a finite difference, or the same sum written another way.

>>> round(float(loss(W, V)), 4)
0.273
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import nn, sigmoid

from .finding import Evidence, Finding, number, outcome

X = np.array([0.05, 0.10])
Y = np.array([0.0, 1.0])
Y_LISTING = np.array([0.01, 0.99])
W, V = np.array([[0.15, 0.20], [0.25, 0.30]]), np.array([[0.40, 0.45], [0.50, 0.55]])
B1, B2 = np.array([0.1, 0.1]), np.array([0.2, 0.2])
LR = 0.5

NET1 = W.T @ X + B1
H = sigmoid(NET1)
NET2 = V.T @ H + B2
YHAT = sigmoid(NET2)
DELTA = YHAT * (1 - YHAT) * (YHAT - Y)  # (3-18)
DV = np.outer(H, DELTA)  # (3-19)
DW = np.outer(X, H * (1 - H) * (V @ DELTA))  # (3-23), with the product that is meant


def loss(w: Any, v: Any, b1: Any = B1, b2: Any = B2, y: Any = Y) -> Any:
    """E of (3-4) on the network of (3-3)."""
    return np.sum(np.square(y - sigmoid(v.T @ sigmoid(w.T @ X + b1) + b2))) / 2


def gradient(argnum: int) -> Any:
    """The derivative of the loss by w, v, b1 or b2, by autograd."""
    return np.asarray(tg.grad(loss, argnums=argnum)(W, V, B1, B2))


def trained(updates: int, w: Any = W, v: Any = V, y: Any = Y_LISTING, biases: bool = False) -> list[Any]:
    """w, v, b1 and b2 after some updates by (3-9) and (3-10), or of the weights alone as in the listing."""
    params = [w, v, B1, B2]
    for _ in range(updates):
        grads = [np.asarray(g) for g in tg.grad(loss, argnums=(0, 1, 2, 3))(*params, y)]
        params = [p - LR * g if biases or k < 2 else p for k, (p, g) in enumerate(zip(params, grads, strict=True))]
    return params


def listed(updates: int, biases: bool = False) -> Any:
    """The loss of the listing after some updates."""
    w, v, b1, b2 = trained(updates, biases=biases)
    return loss(w, v, b1, b2, Y_LISTING)


rng = np.random.default_rng(0)
x4, y2 = rng.normal(size=4), np.array([0.0, 1.0])
w45, v52 = rng.normal(size=(4, 5)), rng.normal(size=(5, 2))
b5, b2_ = rng.normal(size=5), rng.normal(size=2)
h5 = sigmoid(w45.T @ x4 + b5)
net2 = v52.T @ h5 + b2_


def denominator(f: Callable[..., Any], at: Any) -> tuple[int, ...]:
    """The shape of a derivative with the variable's axes first, as the document has them from 2.3 on."""
    return np.shape(tg.jacobian(f, layout="denominator")(at))


def half(yhat: Any, y: Any) -> Any:
    """Half the sum of squares, (3-4)."""
    return np.sum(np.square(y - yhat)) / 2


def parse(code: str) -> Any:
    """What becomes of a line of a listing when it is read."""
    return outcome(lambda: compile(code, "listing", "exec"))


def look_up(name: str, **names: Any) -> Any:
    """What becomes of a name of a listing, given those that it defines."""

    def found() -> Any:
        if name not in names:
            raise NameError(f"name {name!r} is not defined")
        return names[name]

    return outcome(found)


def update(Y: Any, pred_y: Any, H: Any, V: Any, aph: Any, W: Any) -> float:
    """A function with the parameters of the listing's."""
    return 0.0


A = partial(Finding, "bp_explained")


def only_a_local_minimum() -> Evidence:
    def f(x: Any) -> Any:
        return x**4 / 4 - x**2 / 2 + 0.3 * x

    x = 1.0
    for _ in range(500):
        x -= 0.1 * float(tg.grad(f)(x))
    return Evidence(f(x), "-0.5699", min(f(np.linspace(-2, 2, 4001))))


def start_matters() -> Evidence:
    ours, other = trained(1000, y=Y)[1], trained(1000, v=np.array([[3.0, -3.0], [-3.0, 3.0]]), y=Y)[1]
    return Evidence("0.0", "3.2", abs(ours[0, 0] - other[0, 0]))


MODEL = [
    A(
        "1.5 and 2.3",
        r"rule $Y$ down, $X$ across; then (3-25) $\partial net_2/\partial h = v$",
        r"$v^T$ by that rule; $v$ with the variable down",
        "layout changed",
        why="Section 1.5 teaches numerator layout, every formula from (3-7) on is in denominator layout, and nothing says so.",
    ),
    A(
        "2.1",
        "in a CNN it gives the gradients of the fully connected layers",
        "of every layer, kernels included",
        "wrong words",
        why="A statement about scope, without a number.",
    ),
    A(
        "2.1, 2.3",
        "back-propagation as the process that optimises the loss",
        "it computes the gradient; gradient descent optimises",
        "wrong words",
        why="A definition. The document gives the other one, a way to find gradients, in the same section.",
    ),
    A(
        "2.3, core idea",
        "steps are taken until the loss attains its minimum",
        "a point where the gradient is small: a local minimum at best",
        "wrong words",
        only_a_local_minimum,
        "Section 2.6.1 says so itself. Shown on $x^4/4 - x^2/2 + 0.3x$ from $x = 1$.",
    ),
    A(
        "2.3, before figure 4",
        "a network with 1 layer",
        "2 layers, as 2.2 counts them",
        "wrong words",
        lambda: Evidence(1, 2, int(sum(p.ndim == 2 for p in nn.MLP([4, 5, 2]).parameters()))),
    ),
    A(
        "2.3, matrices after (3-4)",
        r"$b_1 = (b_{11}, \dots, b_{14})$",
        r"$(b_{11}, \dots, b_{15})$",
        "wrong shape",
        why="w is 4 x 5: there are five hidden neurons.",
    ),
    A(
        "2.3, matrices after (3-4)",
        r"$net_1 = (net_{11}, \dots, net_{14})$",
        r"$(net_{11}, \dots, net_{15})$",
        "wrong shape",
    ),
]

STEPS = [
    A(
        "2.3.1, step 2",
        "the expected value of the loss",
        "the loss of one sample",
        "wrong words",
        why="No distribution and no average over samples stands in (3-6).",
    ),
    A(
        "(3-6) and the words below it",
        r"the $\frac12$ takes the mean over the outputs",
        r"it cancels the 2 of the derivative",
        "factor 2 or 1/n",
        why="Half the sum is the mean for two outputs only. Shown on three.",
    ),
    A(
        "(3-6-1) beside (3-13)",
        r"$E = \frac1n\sum_i (y_i - \hat y_i)^2$ as the general form, $\partial E/\partial\hat y = \hat y - y$",
        r"$\frac2n (\hat y - y)$ for that E",
        "factor 2 or 1/n",
        why="Shown on three outputs.",
    ),
    A(
        "(3-6-2) and the line below it",
        r"$y_{ji}$, $j$ the sample, in $y_{n \times m}$",
        r"$y_{ij}$: row $i$ the output, column $j$ the sample",
        "wrong index",
        why="On n = 2 outputs and m = 3 samples.",
    ),
    A(
        "(3-6-3)",
        r"$\frac{1}{mn}(y-\hat y)^T(y-\hat y)$",
        r"$\frac{1}{mn}\operatorname{tr}\left((y-\hat y)^T(y-\hat y)\right)$",
        "trace missing",
        why="It is an m x m matrix for m samples.",
    ),
    A(
        "2.3.1, step 3; (3-7), (3-8)",
        r"error term of a unit for $\partial E/\partial v$",
        r"error term is $\partial E/\partial net$; $\partial E/\partial v$ is the gradient of the weights",
        "wrong words",
        lambda: Evidence(v52.shape, (2,), np.shape(tg.grad(lambda n: half(sigmoid(n), y2))(net2))),
    ),
    A(
        "2.3.1, remark below (3-8)",
        "the inner function's derivative always multiplies from the left",
        "in denominator layout; from the right in that of 1.5",
        "layout changed",
        why="In numerator layout the factors in that order have shapes that do not fit.",
    ),
    A(
        "2.3.1, below (3-10)",
        "plus or minus in the update depends on the loss",
        "minus, for every loss that is to fall",
        "wrong words",
        why="The sentence after it says so: always along the negative gradient.",
    ),
    A(
        "2.3.2, step 1",
        "the initial parameters have little influence on the final ones",
        "they decide which solution is found",
        "wrong words",
        start_matters,
        r"From $v = (3, -3; -3, 3)$ instead of that of 2.4: the difference of $v_{11}$ after 1,000 updates, with either loss below 0.01.",
    ),
    A("2.3.2, step 2", "and then the value of (nothing)", r"of $E(\theta)$", "missing symbol", why="The formula is not in the text."),
    A(
        "2.3.2, step 3",
        "the gradient of the parameters with respect to the loss",
        "of the loss with respect to the parameters",
        "wrong words",
        lambda: Evidence(1 / DV, DV, gradient(1)),
        "The two are reciprocals, for each weight.",
    ),
    A(
        "2.3.2, step 3",
        "output unit v, hidden unit w",
        "weights v into the output units, w into the hidden units",
        "wrong words",
        lambda: Evidence(w45.shape, h5.shape, denominator(lambda n: np.sum(sigmoid(n)), h5)),
    ),
    A(
        "(3-11)",
        r"$\dots(y-\hat y(net_2(v,b_2))$",
        r"$\dots(y-\hat y(net_2(v,b_2)))$",
        "brackets",
    ),
    A(
        "(3-13)",
        r"$\frac{1}{2\partial\hat y}\partial(\dots)$",
        r"$\frac12\frac{\partial}{\partial\hat y}(\dots)$",
        "notation",
        why=r"The result $\hat y - y$ and the step $\frac12(-y-y+\hat y+\hat y)$ are right; the fraction is torn apart.",
    ),
    A(
        "(3-15)",
        r"$\partial net_2/\partial v = h$",
        r"$\partial net_{2,k}/\partial v_{ij} = h_i\,[j=k]$",
        "wrong shape",
        why=r"A recipe: contracted with $\delta$ it gives $h\cdot\delta^T$, (3-19).",
    ),
    A(
        "(3-16)",
        r"$\partial net_2/\partial b_2 = (1\ 1)$",
        "the identity matrix",
        "wrong shape",
    ),
    A(
        "(3-16) in (3-12)",
        r"$(1\ 1)\,\delta$, a number",
        r"$\delta$, as (3-20) has it",
        "stray transpose",
        why="(3-20) multiplies element by element by the same ones without the transpose.",
    ),
    A(
        "below (3-16)",
        r"the derivative of $net_2$ by the activation $g_2$",
        r"of $g_2$ by $net_2$",
        "wrong words",
        lambda: Evidence(1 / (YHAT * (1 - YHAT)), YHAT * (1 - YHAT), np.diag(tg.jacobian(sigmoid)(NET2))),
    ),
    A(
        "(3-17)",
        r"$\partial\hat y/\partial net_2 = \hat y\odot(1-\hat y)$",
        r"$\operatorname{diag}(\hat y\odot(1-\hat y))$",
        "wrong shape",
        why=r"A recipe: with $\odot$ after it, (3-18) is right.",
    ),
    A(
        "remark below (3-17)",
        r"$\frac{\partial(1/(1+exp(-z))}{\partial z}$",
        r"$\frac{\partial(1/(1+exp(-z)))}{\partial z}$",
        "brackets",
    ),
    A(
        "example of the product below (3-18)",
        r"`a_{22}}`, `b_{22}}`, `a_{22}b_{22}}`",
        "`a_{22}`, `b_{22}`, `a_{22}b_{22}`",
        "notation",
        why="A brace too many in each of the three matrices: the formula cannot be typeset. What it means is right.",
    ),
    A(
        "(3-21)",
        r"$net_2(h(net_1(w,b_1),b_2))$",
        r"$net_2(h(net_1(w,b_1)),b_2)$",
        "brackets",
        lambda: Evidence(outcome(lambda: sigmoid(NET1, B2)), (2,), NET2.shape),
        "$b_2$ is printed as an argument of h, which has one.",
    ),
    A(
        "(3-21)",
        r"$\dots b_2)))))$ at the end",
        r"one bracket less",
        "brackets",
    ),
    A(
        "(3-23)",
        r"$v - \delta^{(K)}$",
        r"$v\cdot\delta^{(k)}$",
        "minus where times belongs",
        why="(3-24), the example and the listing have the product.",
    ),
    A("(3-23)", r"$\delta^{(K)}$", r"$\delta^{(k)}$", "wrong index", why="No K is defined; (3-24) has k."),
    A(
        "(3-24)",
        r"$\dots(v\cdot\delta^{(k)}))$ at the end",
        "one bracket less",
        "brackets",
    ),
    A(
        "(3-26)",
        r"$\partial h/\partial net_1 = h\odot(1-h)$",
        r"$\operatorname{diag}(h\odot(1-h))$",
        "wrong shape",
        lambda: Evidence((5,), (5, 5), denominator(sigmoid, w45.T @ x4 + b5)),
    ),
    A(
        "(3-27)",
        r"$\frac{(w^Tx+b_1)}{\partial w}$",
        r"$\frac{\partial(w^Tx+b_1)}{\partial w}$",
        "missing symbol",
        why="The partial sign above the line is missing.",
    ),
    A(
        "(3-27)",
        r"$\partial net_1/\partial w = x$",
        r"$\partial net_{1,k}/\partial w_{ij} = x_i\,[j=k]$",
        "wrong shape",
    ),
    A(
        "(3-28)",
        r"$\frac{\partial(w^Tx+b)}{\partial b_1}$",
        r"$\frac{\partial(w^Tx+b_1)}{\partial b_1}$",
        "wrong index",
        why="There is no b without an index; taken at its word the derivative is 0.",
    ),
    A(
        "(3-28)",
        r"$\partial net_1/\partial b_1 = (1\ 1 \dots 1)$",
        "the identity matrix",
        "wrong shape",
        lambda: Evidence((1, 5), (5, 5), denominator(lambda b: w45.T @ x4 + b, b5)),
    ),
    A(
        "below (3-28)",
        "(3-26) is like (3-15)",
        "(3-27) is",
        "wrong reference",
        lambda: Evidence(
            len(denominator(sigmoid, b5)), len(denominator(lambda w: w.T @ x4 + b5, w45)), len(denominator(lambda v: v.T @ h5 + b2_, v52))
        ),
        "Shown by the number of axes: derivatives by weights have three.",
    ),
    A(
        "below (3-28)",
        "(3-27) is like (3-16)",
        "(3-28) is",
        "wrong reference",
        lambda: Evidence(
            len(denominator(lambda w: w.T @ x4 + b5, w45)),
            len(denominator(lambda b: w45.T @ x4 + b, b5)),
            len(denominator(lambda b: v52.T @ h5 + b, b2_)),
        ),
        "Derivatives by a bias have two axes.",
    ),
    A(
        "(3-30)",
        r"$h_2\odot(1-h_2)\odot(v\cdot\delta^{(k)})^T$",
        r"$h_2\odot(1-h_2)\odot(v\cdot\delta^{(k)})$",
        "stray transpose",
        why="A column times a row, element by element, has no meaning on paper; NumPy makes it 5 x 5. (3-31) is right once this is.",
    ),
    A(
        "(3-30) beside 2.4",
        r"$\delta_1$ for the error of hidden layer 2",
        r"$\delta_{h_2}$",
        "wrong index",
        lambda: Evidence((5,), (), np.shape(DELTA[0])),
        r"In 2.4 $\delta_1^{(1)}$ is the first entry of the output's $\delta$.",
    ),
]


EXAMPLE = [
    A(
        "2.4, first paragraph",
        "these two groups of data",
        "one sample with two inputs and two outputs",
        "wrong words",
        lambda: Evidence(2, 1, X.reshape(2, -1).shape[1]),
    ),
    A("(4-1)", r"$net_2 = v^Tx+b_2$", r"$v^Th+b_2$", "wrong symbol"),
    A(
        "(4-1)",
        r"$h = sigmoid(net_2)$",
        r"$\hat y = sigmoid(net_2)$",
        "wrong symbol",
        why="As printed h is defined twice.",
    ),
    A(
        "(4-4)",
        r"$net_2 = v^Tx+b_2$",
        r"$v^Th+b_2$",
        "wrong symbol",
        why="The numbers after it are those of h, and right.",
    ),
    A(
        "(4-5)",
        "0.6575",
        "0.6757",
        "misprint of a number",
        why="Each 7 is a 5 and each 5 a 7. (4-6) goes on with 0.6757.",
    ),
    A(
        "(4-6)",
        r"$\frac12\binom{0-0.6639}{1-0.6757}$",
        r"$\frac12\binom{0-0.6639}{1-0.6757}^T\binom{0-0.6639}{1-0.6757}$",
        "missing factor",
        why="The second factor of the product is not printed.",
    ),
    A(
        "(4-6)",
        "0.2796",
        "0.2730",
        "misprint of a number",
        why="E = 0.27296: a 2 was lost on the way. The rounded outputs give 0.27297.",
    ),
    A(
        r"2.4, step 3, $\nabla_1v$",
        r"`\delta ^{(1)}^T`",
        r"`\delta ^{(1)T}`",
        "notation",
        why="Two superscripts on one letter cannot be typeset; (3-19) has it right.",
    ),
    A(
        r"2.4, $\nabla_1w$, third line",
        "-0.007106",
        "-0.07106",
        "misprint of a number",
        why="A zero too many. The next line is computed with the right figure.",
    ),
    A(
        r"2.4, $\nabla_1w$, fourth line",
        r"$(0.02728, 0.03499)^T$",
        r"$(0.00679, 0.00870)^T$",
        "sigma' missing at the hidden layer",
        why=r"These are $v\cdot\delta$: the factor $h\odot(1-h) \approx 0.249$, printed in the line before, has not been multiplied in.",
    ),
    A(
        r"2.4, $\nabla_1w$, result (printed twice)",
        r"$\begin{pmatrix}1.364&1.750\\2.728&3.500\end{pmatrix}\cdot10^{-3}$",
        r"$\begin{pmatrix}0.339&0.435\\0.679&0.870\end{pmatrix}\cdot10^{-3}$",
        "sigma' missing at the hidden layer",
        why="Four times too large, in the sum as in its entries below.",
    ),
    *(
        A(
            rf"2.4, $\nabla_1w_{{{element}}}$",
            printed,
            right,
            "sigma' missing at the hidden layer",
            why=r"The formula beside it, with $h(1-h)$, is right.",
        )
        for element, printed, right in (
            (11, "1.364e-3", "3.395e-4"),
            (12, "1.750e-3", "4.352e-4"),
            (21, "2.728e-3", "6.790e-4"),
            (22, "3.500e-3", "8.704e-4"),
        )
    ),
    A(
        r"2.4, $\nabla_1w$, bottom right",
        "3.500e-3",
        "3.499e-3",
        "last digit",
        why="0.10 times the printed 0.03499 is 3.499e-3; 3.500 is twice the rounded 1.750.",
    ),
    A(
        r"2.4, below $\nabla_1w$",
        "(3-23) and the derivative by each element of v agree",
        "of w",
        "wrong symbol",
        lambda: Evidence(DV, DW, gradient(0)),
        "They agree because both have lost the same factor.",
    ),
    A(
        "2.4, note before step 4",
        "biases are in general not updated",
        "they are, by (3-9) and (3-10)",
        "bias forgotten",
        why=r"The gradient by $b_2$ is $\delta$, larger than that by any weight.",
    ),
    *(
        A(
            rf"2.4, step 4, $w^{{(1)}}_{{{element}}}$",
            f"{w} - 0.5 * {g} = {shown}",
            f"= {follows} by the printed gradient",
            "does not follow",
            why=f"{shown} is right: it comes from the right gradient, not from the printed one.",
        )
        for element, w, g, shown, follows in (
            (11, "0.15", "1.364e-3", "0.14983", "0.14932"),
            (12, "0.20", "1.750e-3", "0.19978", "0.19913"),
            (21, "0.25", "2.728e-3", "0.24966", "0.24864"),
            (22, "0.30", "3.500e-3", "0.29956", "0.29825"),
        )
    ),
]


def one_update_too_many() -> Evidence:
    losses = [float(listed(k)) for k in range(13)]
    return Evidence(12, 11, next(k for k, value in enumerate(losses) if value <= 0.19))


LISTING = [
    A(
        "2.5, marker before the forward pass",
        "`**********` without `#`",
        "`#**********`",
        "code does not run",
        lambda: Evidence(parse("**********forward"), (), parse("#**********forward")),
        "A remark above asks the reader to delete the marks; the other markers are comments.",
    ),
    A(
        "2.5, return of the backward function",
        "`Errorter`",
        "`Errorterm`",
        "code does not run",
        lambda: Evidence(look_up("Errorter", Errorterm=1.0), (), look_up("Errorterm", Errorterm=1.0)),
    ),
    A(
        "2.5, call of the backward function",
        "8 arguments, with net1 and net2",
        "6, as it is defined",
        "code does not run",
        lambda: Evidence(
            outcome(lambda: update(1, 2, 3, 4, 5, 6, 7, 8)),  # type: ignore[call-arg]
            (),
            outcome(lambda: update(1, 2, 3, 4, 5, 6)),
        ),
    ),
    A(
        "2.5, main program",
        "the loss printed as `e`, which prints 2.72",
        "the loss, 0.19",
        "code reports another quantity",
        lambda: Evidence(float(np.e), "0.194", listed(10)),
        "`from numpy import *` brings Euler's number in under that name, so nothing complains.",
    ),
    A(
        "2.5, main program",
        r"targets (0.01, 0.99)",
        "(0, 1), as in 2.4",
        "code differs from text",
        number("0.2632", "0.2730", lambda: loss(W, V)),
        "The loss at the start.",
    ),
    A(
        "2.5, last line printed",
        "loss after 10 updates: 0.2000",
        "0.1937",
        "code reports another quantity",
        number("0.2000", "0.1937", lambda: listed(10)),
        "It is the loss before the last update, beside weights after it.",
    ),
    A(
        "2.5, main program",
        "prediction printed beside the weights: 0.5774, 0.7104",
        "0.5677, 0.7138",
        "code reports another quantity",
        number(["0.5774", "0.7104"], ["0.5677", "0.7138"], lambda: forward(*trained(10))),
        "Also from before the last update.",
    ),
    A(
        "2.5, backward function",
        "the biases are never updated",
        "(3-9) and (3-10) update them",
        "bias forgotten",
        lambda: Evidence(float(listed(10)), "0.1089", listed(10, biases=True)),
        "The loss after 10 updates without and with.",
    ),
    A(
        "2.5, random start",
        "`B1`, `B2` of shape [1, 2]",
        "[2, 1], as the fixed ones",
        "wrong shape",
        lambda: Evidence((W.T @ X[:, None] + B1[None]).shape, (2, 1), (W.T @ X[:, None] + B1[:, None]).shape),
        "NumPy broadcasts without a word and the activation reads the first column: both neurons get the first bias.",
    ),
    A(
        "2.5, comment above the backward function",
        "formulas of step 4",
        "of steps 3 and 4",
        "wrong reference",
        why="The gradients are those of step 3.",
    ),
    A(
        "2.5, version with a threshold",
        "prints `n`",
        "`m`, which counts there",
        "code does not run",
        lambda: Evidence(look_up("n", m=1), (), look_up("m", m=1)),
        "The comment asks to switch off the part that sets n.",
    ),
    A(
        "2.5, version with a threshold",
        "stops after 12 updates for a threshold of 0.19",
        "the loss is below it after 11",
        "code reports another quantity",
        one_update_too_many,
        "The loss that is compared is the one before the update.",
    ),
]


def forward(w: Any, v: Any, b1: Any, b2: Any) -> Any:
    """The outputs of the network."""
    return sigmoid(v.T @ sigmoid(w.T @ X + b1) + b2)


IMPROVEMENTS = [
    A(
        "2.6.2, 1",
        r"$w^{(k)} = \beta w^{(k-1)} - \eta\nabla_kw$",
        r"$\Delta w^{(k)} = \beta\Delta w^{(k-1)} - \eta\nabla_kw$, $w^{(k)} = w^{(k-1)} + \Delta w^{(k)}$",
        "weight decay in place of momentum",
        why=r"The words before it are right. One update with $\beta = 0.9$: the first has no last change to add.",
    ),
]


ROUNDED = [
    *(
        A(
            rf"2.4, $\nabla_1v_{{21}}$ ({times})",
            "0.07924",
            "0.07925",
            "rounded intermediates",
            why="0.5349 * 0.14814 = 0.07924 with the printed factors.",
        )
        for times in ("matrix", "by element")
    ),
    A(
        r"2.4, $\nabla_1w$, top right",
        "1.750e-3",
        "1.749e-3",
        "rounded intermediates",
        why="0.05 * 0.03499 = 1.7495e-3, a tie. Of the product as the document forms it; that a factor is missing is another matter.",
    ),
]


def the_last_need_not_be_the_best() -> Evidence:
    x, losses = 1.0, []
    for _ in range(10):
        losses.append(x**2)
        x -= 1.1 * float(tg.grad(lambda t: t * t)(x))
    return Evidence(x**2, 1.0, min(losses))


# The names of findings are cited, so what is found later stands at the end.
LATER = [
    A(
        "2.2",
        "a linear transformation by weights and biases",
        "an affine one",
        "wrong words",
        lambda: Evidence(True, False, bool(np.allclose(W.T @ (2 * X) + B1, 2 * (W.T @ X + B1)))),
        "Twice the input is not twice the result.",
    ),
    A(
        "2.4, step 3",
        r"$Y, \hat Y, net_2$ are put into (3-19), $net_1$ into (3-23)",
        "into (3-18) and (3-26)",
        "wrong reference",
        why=r"(3-19) contains h and $\delta$ only, (3-23) no $net_1$.",
    ),
    A(
        "below 2.5",
        "the listing is written line by line from the formulas",
        r"it has $v\cdot\delta$ where (3-23) has $v-\delta$",
        "code differs from text",
        lambda: Evidence((V[:, :] - DELTA[:, None]).shape, (2,), np.asarray(V @ DELTA).shape),
        "The listing is right.",
    ),
    A(
        "2.3.1, below (3-6-3)",
        "in general the output has one or two dimensions",
        "as many as there are classes, or quantities to predict",
        "wrong words",
        why="Nothing follows from it.",
    ),
    A(
        "2.3.1, below (3-10)",
        "$k = 1, \\dots, n$ counts updates",
        "another letter",
        "wrong symbol",
        why="In (3-6-1), a page before, n is the number of outputs.",
    ),
    A(
        "2.3.1, step 5",
        "the parameters at the end are the best so far",
        "those with the smallest loss are",
        "wrong words",
        the_last_need_not_be_the_best,
        "Too large a rate makes the loss rise, as the document says itself. Shown on $x^2$ with a rate of 1.1: the loss after 10 updates.",
    ),
    A(
        "remark below (3-17)",
        "z has been defined as a vector here",
        "$net_1$ and $net_2$ have; z is the single number of the line before",
        "wrong symbol",
        lambda: Evidence((2,), (), np.shape(sigmoid(0.3))),
    ),
]

FINDINGS = MODEL + STEPS + EXAMPLE + LISTING + IMPROVEMENTS + ROUNDED + LATER
