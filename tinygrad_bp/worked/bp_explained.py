"""The worked example of "BP算法讲解", 2.4 and 2.5: a 2-2-2 sigmoid network, a bias per neuron, weights (in, out).

Source: "BP算法讲解", after https://blog.csdn.net/weixin_39441762/article/details/80446692. Its figures are quoted as
strings, with the digits printed there. What is printed wrong is left out: docs/documents/bp_explained.md has it.

>>> loss = forward()
>>> print(f"{loss:.4f}")
0.2730
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn, optim

TITLE = "BP算法讲解"
ADDRESS = "https://blog.csdn.net/weixin_39441762/article/details/80446692"

INPUT = (0.05, 0.10)
TARGET = (0.0, 1.0)  # in the text, 2.4
LISTING_TARGET = (0.01, 0.99)  # in the listing, 2.5
LR = 0.5
UPDATES = 10  # in the listing, both
THRESHOLD = 0.19

FORWARD = {
    "net11": "0.1325", "net12": "0.1400", "h1": "0.5331", "h2": "0.5349",
    "net21": "0.6807", "net22": "0.7341", "y_hat1": "0.6639", "y_hat2": "0.6757",
}  # fmt: skip
GRADIENTS = {"net21": "0.14814", "net22": "-0.07106", "v11": "0.07897", "v12": "-0.03788", "v22": "-0.03801"}
UPDATED = {
    "v11": "0.36051", "v12": "0.46894", "v21": "0.46038", "v22": "0.56901",
    "w11": "0.14983", "w12": "0.19978", "w21": "0.24966", "w22": "0.29956",
}  # fmt: skip


def _delta(y: Any, y_hat: Any) -> Any:
    """(3-18): dE/dnet2."""
    return y_hat * (1 - y_hat) * (y_hat - y)


FORMULAS: dict[str, Callable[..., Any]] = {
    "v": lambda h, y, y_hat: np.outer(h, _delta(y, y_hat)),  # (3-19)
    "b2": _delta,  # (3-20)
    "w": lambda x, h, v, y, y_hat: np.outer(x, h * (1 - h) * (v @ _delta(y, y_hat))),  # (3-23), with v . delta
    "b1": lambda h, v, y, y_hat: h * (1 - h) * (v @ _delta(y, y_hat)),  # (3-24)
    "w12": lambda x1, h2, v21, v22, net21, net22, y1, y2: (
        x1 * h2 * (1 - h2) * (v21 * _delta(y1, tg.sigmoid(net21)) + v22 * _delta(y2, tg.sigmoid(net22)))
    ),  # the same for one weight, as 2.4 writes it out
}
"""The document's formulas. Its (3-23) prints v - delta for v . delta; (3-24) has the product."""


class Network(nn.Module):
    """(4-1), in the document's layout: w and v are (in, out), x, h and y_hat are vectors of one sample.

    net1 = w^T x + b1, h = sigmoid(net1), net2 = v^T h + b2, y_hat = sigmoid(net2). The document's (4-1) has x for h
    in the third and h for y_hat in the last of these; its numbers are computed as here.

    >>> Network()(np.array([0.05, 0.10])).numpy().round(4)
    array([0.6639, 0.6757])
    """

    def __init__(self) -> None:
        self.w = nn.Parameter([[0.15, 0.20], [0.25, 0.30]]).named("w", "w11 w12 w21 w22")
        self.b1 = nn.Parameter([0.1, 0.1]).named("b1", "b11 b12")
        self.v = nn.Parameter([[0.40, 0.45], [0.50, 0.55]]).named("v", "v11 v12 v21 v22")
        self.b2 = nn.Parameter([0.2, 0.2]).named("b2", "b21 b22")

    def forward(self, x: Any) -> Any:
        net1 = (self.w.T @ x + self.b1).named("net1", "net11 net12")
        h = tg.sigmoid(net1).named("h", "h1 h2")
        net2 = (self.v.T @ h + self.b2).named("net2", "net21 net22")
        return tg.sigmoid(net2).named("y_hat", "y_hat1 y_hat2")


def forward(model: Network | None = None, target: Sequence[float] = TARGET) -> Tensor:
    """E, (3-4), of the network on the document's input; the network as it is at the start unless one is given.

    >>> print(f"{forward(target=LISTING_TARGET):.4f}")
    0.2632
    """
    x, y = Tensor(INPUT).named("x", "x1 x2"), Tensor(target).named("y", "y1 y2")
    loss: Tensor = nn.HalfSquaredError("E", "E_y")((model or Network())(x), y)
    return loss


def train(
    target: Sequence[float] = TARGET,
    biases: bool = False,
    updates: int | None = None,
    threshold: float | None = None,
    optimizer: Callable[[Iterable[Tensor]], optim.Optimizer] = lambda params: optim.SGD(params, lr=LR),
) -> tuple[Network, optim.History]:
    """Step 5): repeat until so many updates are made or the loss is at or below the threshold.

    The biases stay unless ``biases`` is set, as the document advises. The loss reported is that of the weights that
    came out, and the updates counted are those made. The listing prints less: its loss is the one before the last
    update, and so with a threshold it makes one update more than it takes.

    >>> model, history = train(threshold=THRESHOLD)
    >>> history.updates, round(history.final_loss, 6)
    (12, 0.188198)
    """
    model = Network()
    params = [model.v, model.w, *([model.b2, model.b1] if biases else [])]
    history = optim.fit(model, nn.HalfSquaredError(), INPUT, target, optimizer(params), updates=updates, threshold=threshold)
    return model, history


def printed_momentum(params: Iterable[Tensor], lr: float = LR, beta: float = 0.9) -> optim.Optimizer:
    """2.6.2 as its formula stands: w(k) = beta w(k-1) - eta dE/dw. The text above it describes ``optim.SGD(momentum=beta)``.

    The formula shrinks every weight by the factor beta in each update and remembers no step: it is plain gradient
    descent with weight decay (1 - beta) / eta.

    >>> w = Tensor([0.4], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> printed_momentum([w], lr=0.25, beta=0.5).step()  # 0.5 * 0.4 - 0.25 * 0.8
    >>> w
    Tensor([0.], requires_grad=True)
    """
    return optim.SGD(params, lr=lr, weight_decay=(1 - beta) / lr)
