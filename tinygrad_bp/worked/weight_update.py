"""The network of "BP神经网络权重更新及推导": three layers, biases as units that are always 1, trained on the iris data.

Source: "BP神经网络权重更新及推导" and its full listing,
https://github.com/doycode/mlgorithms/blob/master/mlgorithms/neural_network/ANN.py. There: 4 features, a hidden layer
of 2 to 10 neurons drawn at random (8 here), 3 classes one-hot, weights from a truncated normal distribution, two
thirds of the 150 flowers for training, all of them in every update, rate 0.001, at most 9999 updates.

The listing's gradient of the hidden weights has two mistakes: the error that it carries back lacks the factor
sigma'(z_o), and it goes through output weights that have been updated already. ``train`` makes either kind of update.
The data need scikit-learn: ``pip install "tinygrad_bp[data]"``.

>>> model = network(rng=0)
>>> model[0].weight.shape, model[2].weight.shape  # the last column belongs to the constant unit
((8, 5), (3, 9))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_bp import Tensor, nn, optim
from tinygrad_bp.worked.data import Split

TITLE = "BP神经网络权重更新及推导"
ADDRESS = "https://github.com/doycode/mlgorithms/blob/master/mlgorithms/neural_network/ANN.py"

LR = 0.001
UPDATES = 9999
HIDDEN = 8


def _delta_o(y: Any, sigma_o: Any) -> Any:
    """dL/dz_o."""
    return (sigma_o - y) * sigma_o * (1 - sigma_o)


def _with_one(x: Any) -> Any:
    """x with the constant unit, after the others."""
    return np.append(x, 1.0)


FORMULAS: dict[str, Callable[..., Any]] = {
    "w_o": lambda y, sigma_o, sigma_h: np.outer(_delta_o(y, sigma_o), _with_one(sigma_h)),
    "w_h": lambda y, sigma_o, sigma_h, w_o, x_i: np.outer((w_o.T @ _delta_o(y, sigma_o))[:-1] * sigma_h * (1 - sigma_h), x_i),
}
"""The document's output formula, and its delta_h = delta_o w_o sigma_h'. x_i has its constant unit in it, sigma_h has not;
no error goes back to that unit."""

MISTAKEN: dict[str, Callable[..., Any]] = {
    "w_h": lambda y, sigma_o, sigma_h, w_o, x_i: np.outer((w_o.T @ (sigma_o - y))[:-1] * sigma_h * (1 - sigma_h), x_i),
}
"""The document's last formula: it has forgotten the output's factor sigma_o (1 - sigma_o), and so has its listing."""


def _truncated(shape: tuple[int, ...], rng: Any) -> Any:
    """The listing's initial weights, cut off at 1 / sqrt(inputs, the constant unit counted)."""
    bound = shape[1] ** -0.5
    return nn.init.truncated_normal(shape, rng, low=-bound, high=bound)


def network(hidden: int = HIDDEN, rng: Any = 0) -> nn.MLP:
    """4 features, hidden neurons and 3 classes, with a constant unit below each layer."""
    model = nn.MLP([4, hidden, 3], bias="unit", init=_truncated, rng=rng)
    model[0].weight.named("w_h")
    model[2].weight.named("w_o")
    return model


def forward(model: nn.MLP, x: Any, y: Any) -> Tensor:
    """L of one flower, its tensors named after the document: x_i, z_h, sigma_h, z_o, sigma_o.

    >>> print(f"{forward(network(), [5.1, 3.5, 1.4, 0.2], [1.0, 0.0, 0.0]):.6f}")
    0.524034
    """
    sigma_h = model[1](model[0](Tensor(x).named("x_i")).named("z_h")).named("sigma_h")
    sigma_o = model[3](model[2](sigma_h).named("z_o")).named("sigma_o")
    loss: Tensor = nn.HalfSquaredError("L", None)(sigma_o, Tensor(y).named("y"))
    return loss


class ListingDescent(optim.Optimizer):
    """The listing's update: the right one for w_o; for w_h, the output's error itself carried back through the new w_o.

    It needs what only the listing has at hand, so it is made for one network and one set of samples.
    """

    def __init__(self, model: nn.MLP, data: Split, lr: float) -> None:
        super().__init__([model[2].weight, model[0].weight], lr)  # w_o first: it is changed when w_h comes
        self.model, self.data = model, data

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        x, hidden = np.asarray(self.data.x), self.model[1](self.model[0](self.data.x)).numpy()
        error = self.model(self.data.x).numpy() - self.data.target
        self.seen = np.column_stack([x, np.ones(len(x))]), hidden, error
        return super().step(closure)

    def change(self, i: int, value: Any, gradient: Any) -> Any:
        if i == 0:
            return self.lr * gradient
        x, hidden, error = self.seen
        back = (error @ self.model[2].weight.numpy())[:, :-1]
        return self.lr * (back * hidden * (1 - hidden)).T @ x


def train(data: Split, listing: bool = False, lr: float = LR, updates: int = UPDATES, rng: Any = 0) -> tuple[nn.MLP, optim.History]:
    """Train on all samples at once; the history has the accuracy after every update, as the listing prints it.

    ``listing``: with its gradient, or with the right one. Ends at accuracy 1, as the listing does. Its loss is half the
    sum of squared errors over all samples. The history has loss and accuracy on the test samples too.
    """
    model = network(rng=rng)
    optimizer = ListingDescent(model, data, lr) if listing else optim.SGD(model.parameters(), lr)
    history = optim.fit(
        model,
        nn.HalfSquaredError(),
        data.x,
        data.target,
        optimizer,
        updates=updates,
        accuracy=True,
        validation=(data.test_x, data.test_target),
        callbacks=[_stop_at_accuracy_1],
        progress=False,
    )
    return model, history


def _stop_at_accuracy_1(state: optim.State) -> None:
    if state.history.accuracy[-1] == 1:
        state.stop("every training sample is classified right")
