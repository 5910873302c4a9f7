"""A wrong derivation that is widely copied: a 2-2-2 sigmoid network without biases, from a course's exercise.

w1, w3 lead into h1, w2, w4 into h2, w5, w7 into o1 and w6, w8 into o2. Going back through the output layer, its listings
add up the gradients of the weights, ``d_w5 + d_w6``, where ``delta_o1 * w5 + delta_o2 * w6`` belongs. So the gradients of
w1 to w4 are wrong, those of w1 and w3 even in sign, and training still lowers the loss, for w5 to w8 are right.

Source: an exercise of the course https://www.icourse163.org/course/ZJU-1003377027 (8.3), with the listing that goes
round, for instance at https://bcxiaobai.eu.org/post/11874.html. Its loss is half the sum of squared errors.

>>> import tinygrad_bp as tg
>>> report = tg.check(forward(), CLAIMS)
>>> [row.name for row in report if not row.ok]
['w1', 'w2', 'w3', 'w4']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_bp import Tensor, nn

TITLE = "a course's 2-2-2 example"
ADDRESS = "https://bcxiaobai.eu.org/post/11874.html"

INPUT = (0.5, 0.3)
TARGET = (0.23, -0.07)
WEIGHTS = {
    "0.weight": [[0.2, 0.5], [-0.4, 0.6]],  # w1 w3 into h1, w2 w4 into h2
    "2.weight": [[0.1, -0.3], [-0.5, 0.8]],  # w5 w7 into o1, w6 w8 into o2
}


def _delta(target: Any, out: Any) -> Any:
    """delta of an output neuron, the same for half the sum of squared errors and for the mean of two."""
    return (out - target) * out * (1 - out)


def _summed(h: Any, target_o1: Any, out_o1: Any, target_o2: Any, out_o2: Any) -> Any:
    """What the listings have for the derivative by an output h of the hidden layer: d_w5 + d_w6."""
    return _delta(target_o1, out_o1) * h + _delta(target_o2, out_o2) * h


CLAIMS: dict[str, Callable[..., Any]] = {
    "w5": lambda target_o1, out_o1, out_h1: _delta(target_o1, out_o1) * out_h1,
    "w6": lambda target_o2, out_o2, out_h1: _delta(target_o2, out_o2) * out_h1,
    "w7": lambda target_o1, out_o1, out_h2: _delta(target_o1, out_o1) * out_h2,
    "w8": lambda target_o2, out_o2, out_h2: _delta(target_o2, out_o2) * out_h2,
    "w1": lambda out_h1, i1, target_o1, out_o1, target_o2, out_o2: (
        _summed(out_h1, target_o1, out_o1, target_o2, out_o2) * out_h1 * (1 - out_h1) * i1
    ),
    "w2": lambda out_h2, i1, target_o1, out_o1, target_o2, out_o2: (
        _summed(out_h2, target_o1, out_o1, target_o2, out_o2) * out_h2 * (1 - out_h2) * i1
    ),
    "w3": lambda out_h1, i2, target_o1, out_o1, target_o2, out_o2: (
        _summed(out_h1, target_o1, out_o1, target_o2, out_o2) * out_h1 * (1 - out_h1) * i2
    ),
    "w4": lambda out_h2, i2, target_o1, out_o1, target_o2, out_o2: (
        _summed(out_h2, target_o1, out_o1, target_o2, out_o2) * out_h2 * (1 - out_h2) * i2
    ),
}
"""The gradients of the listings: w5 to w8 are right, w1 to w4 are not."""


def network() -> nn.MLP:
    """The network with its initial weights and the names of the exercise."""
    model = nn.MLP([2, 2, 2], bias=False)
    model.load_state_dict(WEIGHTS)
    model[0].weight.named("W1", "w1 w3 w2 w4")
    model[2].weight.named("W2", "w5 w7 w6 w8")
    return model


def forward(model: nn.MLP | None = None) -> Tensor:
    """The loss on the example's input and target."""
    loss: Tensor = nn.HalfSquaredError("E", "E_o")((model or network())(Tensor(INPUT).named("i")), Tensor(TARGET).named("target_o"))
    return loss
