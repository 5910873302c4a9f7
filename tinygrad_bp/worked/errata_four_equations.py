r"""The mistakes in the words of "反向传播算法（过程及公式推导）". Its formulas are pictures and cannot be read here.

The page of the document has the four equations in their usual form: M. Nielsen, Neural Networks and Deep Learning, chapter
2, http://neuralnetworksanddeeplearning.com/chap2.html.

>>> len(FINDINGS)
9
"""

from __future__ import annotations

from functools import partial

from tinygrad_bp import nn

from .finding import Evidence, Finding

SIZES = [2, 2, 2]

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
        lambda: Evidence(3, 2, len([p for p in nn.MLP(SIZES).parameters() if p.ndim == 2])),
        r"There is a $\delta^l$ for $l = 2, \dots, L$: one for each matrix of weights.",
    ),
    E(
        "introduction, (3)",
        "parameters are adjusted during the backward pass",
        "after it",
        "updated weights used",
        why="Section 4 has it right. Adjusted on the way, the error passes new weights.",
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
        "y is the actual class",
        r"the wanted output, a vector like $a^L$",
        "wrong words",
        why="A class is a name or a number; the cost needs an entry for each output.",
    ),
    E(
        "2",
        "L is the greatest number of layers",
        "the number of layers, and the index of the last",
        "wrong words",
        lambda: Evidence(2, 3, len(SIZES)),
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
        "3, definition of the error; introduction, (2)",
        "the difference of actual and predicted value",
        r"$\delta_j^l = \partial C/\partial z_j^l$",
        "wrong words",
        why=r"The difference is $-\nabla_a C$; $\delta$ has the other sign and a factor $\sigma'$. A hidden layer has no actual value.",
    ),
    E(
        "4",
        "the pseudo-code runs over each sample of the training set",
        "of a mini-batch, if the update divides by its size",
        "wrong words",
        why="The update is a picture: whether it divides, and by what, cannot be read.",
    ),
]
