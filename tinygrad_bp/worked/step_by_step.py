"""The worked example of "反向传播—BP": a 2-2-2 sigmoid network with one shared bias per layer.

Source: "反向传播—BP", after https://www.cnblogs.com/charlotte77/p/5629865.html. Its figures are quoted as strings,
with the digits printed there.

>>> loss = forward()
>>> print(f"{loss:.9f}")
0.298371109
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_bp import Tensor, nn, optim

TITLE = "反向传播—BP"
ADDRESS = "https://www.cnblogs.com/charlotte77/p/5629865.html"

INPUT = (0.05, 0.10)
TARGET = (0.01, 0.99)
LR = 0.5
WEIGHTS = {
    "0.weight": [[0.15, 0.20], [0.25, 0.30]],  # w1 w2 into h1, w3 w4 into h2
    "0.bias": 0.35,
    "2.weight": [[0.40, 0.45], [0.50, 0.55]],  # w5 w6 into o1, w7 w8 into o2
    "2.bias": 0.60,
}

FORWARD = {
    "net_h1": "0.3775", "out_h1": "0.593269992", "out_h2": "0.596884378", "net_o1": "1.105905967", "out_o1": "0.75136507",
    "out_o2": "0.772928465", "E_o1": "0.274811083", "E_o2": "0.023560026", "E_total": "0.298371109",
}  # fmt: skip
GRADIENTS = {
    "w5": "0.082167041", "w1": "0.000438568", "out_o1": "0.74136507", "net_o1": "0.138498562", "out_h1": "0.036350306",
}  # fmt: skip
UPDATED = {
    "w1": "0.149780716", "w2": "0.19956143", "w3": "0.24975114", "w4": "0.29950229",
    "w5": "0.35891648", "w6": "0.408666186", "w7": "0.511301270", "w8": "0.561370121",
}  # fmt: skip
QUOTED_LOSS = {1: "0.291027924", 10_000: "0.000035085"}
QUOTED_OUTPUTS = ("0.015912196", "0.984065734")  # after 10,000 updates

XOR_INPUTS = ((0, 0), (0, 1), (1, 0), (1, 1))
XOR_TARGETS = ((0,), (1,), (1,), (0,))
XOR_UPDATES = 10_000


def _delta(target: Any, out: Any) -> Any:
    """delta_o of the document: dE_total/dnet_o of an output neuron."""
    return -(target - out) * out * (1 - out)


FORMULAS: dict[str, Callable[..., Any]] = {
    "w1": lambda target_o1, out_o1, target_o2, out_o2, w5, w7, out_h1, i1: (
        (_delta(target_o1, out_o1) * w5 + _delta(target_o2, out_o2) * w7) * out_h1 * (1 - out_h1) * i1
    ),
    "w2": lambda target_o1, out_o1, target_o2, out_o2, w5, w7, out_h1, i2: (
        (_delta(target_o1, out_o1) * w5 + _delta(target_o2, out_o2) * w7) * out_h1 * (1 - out_h1) * i2
    ),
    "w3": lambda target_o1, out_o1, target_o2, out_o2, w6, w8, out_h2, i1: (
        (_delta(target_o1, out_o1) * w6 + _delta(target_o2, out_o2) * w8) * out_h2 * (1 - out_h2) * i1
    ),
    "w4": lambda target_o1, out_o1, target_o2, out_o2, w6, w8, out_h2, i2: (
        (_delta(target_o1, out_o1) * w6 + _delta(target_o2, out_o2) * w8) * out_h2 * (1 - out_h2) * i2
    ),
    "w5": lambda target_o1, out_o1, out_h1: _delta(target_o1, out_o1) * out_h1,
    "w6": lambda target_o1, out_o1, out_h2: _delta(target_o1, out_o1) * out_h2,
    "w7": lambda target_o2, out_o2, out_h1: _delta(target_o2, out_o2) * out_h1,
    "w8": lambda target_o2, out_o2, out_h2: _delta(target_o2, out_o2) * out_h2,
    "b1": lambda target_o, out_o, W2, out_h: np.sum((_delta(target_o, out_o) @ W2) * out_h * (1 - out_h)),
    "b2": lambda target_o, out_o: np.sum(_delta(target_o, out_o)),
}
"""The document's formulas for w1..w8, and for the two biases the sums of deltas that the same derivation gives."""


def network() -> nn.MLP:
    """The network with its initial weights, named as in the document."""
    model = nn.MLP([2, 2, 2], bias="shared")
    model.load_state_dict(WEIGHTS)
    for layer, weights, letters, bias in ((model[0], "W1", "w1 w2 w3 w4", "b1"), (model[2], "W2", "w5 w6 w7 w8", "b2")):
        layer.weight.named(weights, letters)
        layer.bias.named(bias)
    return model


def forward(model: nn.MLP | None = None) -> Tensor:
    """E_total of the network on the document's input and target; the network as it is at the start unless one is given."""
    x = Tensor(INPUT).named("i")
    target = Tensor(TARGET).named("target_o")
    loss: Tensor = nn.HalfSquaredError(parts_name="E_o")((model or network())(x), target)
    return loss


def train(updates: int, sequential: bool = False, on_update: Callable[[int], None] = lambda k: None) -> nn.MLP:
    """Gradient descent on the weights; the biases stay, as in the document's listing.

    All weights are updated from the gradients of one point, as the document's formulas say. With ``sequential``
    the output weights are updated first and their new values carry the error back to the hidden layer: that is
    what the results quoted in the document come from.
    """
    model = network()
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    optimizer = optim.SGD([model[2].weight, model[0].weight], lr=LR)
    x, target, criterion = Tensor(INPUT), Tensor(TARGET), nn.HalfSquaredError()
    for k in range(updates):
        optimizer.zero_grad()
        net_h = model[0](x)
        out_h = model[1](net_h)
        net_o = model[2](out_h)
        criterion(model[3](net_o), target).backward()
        if sequential:
            model[0].weight.grad = _stale_gradient(net_o.grad, out_h, model[2].weight, x)
        optimizer.step()
        on_update(k + 1)
    return model


def _stale_gradient(delta_o: Any, out_h: Tensor, weight: Tensor, x: Tensor) -> Any:
    """dE/dW1 as it comes out if W2 has been updated before it carries the deltas back."""
    h, d = out_h.numpy(), np.asarray(delta_o)
    moved = weight.numpy() - LR * np.outer(d, h)
    return np.outer((d @ moved) * h * (1 - h), x.numpy())


def updated_weights(model: nn.MLP) -> dict[str, float]:
    """w1 .. w8 of a network, by name."""
    values = itertools.chain(model[0].weight.numpy().flat, model[2].weight.numpy().flat)
    return {f"w{k}": float(value) for k, value in enumerate(values, 1)}


def xor(rng: Any = 0, updates: int = XOR_UPDATES) -> tuple[nn.MLP, optim.History]:
    """The listing's second example: exclusive or, learned by a 2-5-1 network from one random sample at a time.

    Weights and the two shared biases are drawn from [0, 1); the biases stay. The loss is summed over the four samples
    and measured at the start and at the end. ``rng`` is a ``numpy.random.Generator`` or a seed.

    >>> model, history = xor(rng=0, updates=4000)
    >>> xor_learned(model)
    True
    """
    rng = np.random.default_rng(rng)
    model = nn.MLP([2, 5, 1], bias="shared", init=nn.init.uniform, bias_init=nn.init.uniform, rng=rng)
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    sgd = optim.SGD([model[2].weight, model[0].weight], lr=LR)
    history = optim.fit(
        model,
        nn.HalfSquaredError(),
        XOR_INPUTS,
        XOR_TARGETS,
        sgd,
        updates=updates,
        batch_size=1,
        sampling="random",
        measure_every=max(updates, 1),
        rng=rng,
        progress=False,
    )
    return model, history


def xor_learned(model: nn.MLP) -> bool:
    """Whether each of the four outputs is on its target's side of 0.5."""
    return optim.accuracy(model(np.array(XOR_INPUTS)), np.array(XOR_TARGETS)) == 1
