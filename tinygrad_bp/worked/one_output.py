"""The derivation of the untitled document on a 2-2-1 sigmoid network with one shared bias per layer.

The document begins "以带 1 层隐藏层的前馈型神经网络为例解释反向传播法" and names no address; it works in symbols
alone. Its formulas are here as functions; **the values are ours**, chosen with two digits so that they can be followed
by hand.

>>> loss = forward()
>>> print(f"{loss:.9f}")
0.043577536
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn, optim

TITLE = "(untitled) 以带 1 层隐藏层的前馈型神经网络为例解释反向传播法"

INPUT = (0.60, 0.10)
TARGET = 1.0
LR = 0.5


def _delta(target: Any, out_o: Any) -> Any:
    """dE/dnet_o, which the document writes out each time."""
    return -(target - out_o) * out_o * (1 - out_o)


FORMULAS: dict[str, Callable[..., Any]] = {
    "w1": lambda target, out_o, w5, out_h1, i1: _delta(target, out_o) * w5 * out_h1 * (1 - out_h1) * i1,
    "w2": lambda target, out_o, w5, out_h1, i2: _delta(target, out_o) * w5 * out_h1 * (1 - out_h1) * i2,
    "w3": lambda target, out_o, w6, out_h2, i1: _delta(target, out_o) * w6 * out_h2 * (1 - out_h2) * i1,
    "w4": lambda target, out_o, w6, out_h2, i2: _delta(target, out_o) * w6 * out_h2 * (1 - out_h2) * i2,
    "w5": lambda target, out_o, out_h1: _delta(target, out_o) * out_h1,
    "w6": lambda target, out_o, out_h2: _delta(target, out_o) * out_h2,
    "b1": lambda target, out_o, w5, w6, out_h1, out_h2: _delta(target, out_o) * (w5 * out_h1 * (1 - out_h1) + w6 * out_h2 * (1 - out_h2)),
    "b2": _delta,
}
"""The document's formulas for w1 and w5; the others are those that it leaves to the reader as similar."""


class Network(nn.Module):
    """The document's equations; its output neuron O is a single number here, ``net_o`` and then ``out_o``.

    >>> round(Network()(Tensor(INPUT)).item(), 9)
    0.70477962
    """

    def __init__(self) -> None:
        self.W1 = nn.Parameter([[0.20, -0.30], [0.40, 0.10]]).named("W1", "w1 w2 w3 w4")  # w1 w2 into h1, w3 w4 into h2
        self.b1 = nn.Parameter(0.25).named("b1")
        self.W2 = nn.Parameter([0.70, 0.50]).named("W2", "w5 w6")
        self.b2 = nn.Parameter(0.15).named("b2")

    def forward(self, i: Any) -> Any:
        net_h = (self.W1 @ i + self.b1).named("net_h")
        out_h = tg.sigmoid(net_h).named("out_h")
        net_o = (self.W2 @ out_h + self.b2).named("net_o")
        return tg.sigmoid(net_o).named("out_o")


def forward(model: Network | None = None) -> Tensor:
    """E of the network on our input and target; the network as it is at the start unless one is given."""
    i, target = Tensor(INPUT).named("i", "i1 i2"), Tensor(TARGET).named("target")
    loss: Tensor = nn.HalfSquaredError("E", None)((model or Network())(i), target)
    return loss


def train(updates: int) -> tuple[Network, optim.History]:
    """w+ = w - eta dE/dw, as the document ends, for all weights and both biases at once.

    >>> model, history = train(1)
    >>> round(history.final_loss, 9)
    0.040231938
    """
    model = Network()
    sgd = optim.SGD(model.parameters(), lr=LR)
    history = optim.fit(model, nn.HalfSquaredError(), INPUT, TARGET, sgd, updates=updates)
    return model, history
