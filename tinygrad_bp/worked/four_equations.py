"""The four equations of "反向传播算法（过程及公式推导）", and its mini-batch descent on handwritten digits.

Source: "反向传播算法（过程及公式推导）", which names no address of its own; its formulas are pictures at
https://img-blog.csdn.net. The four have its numbers; Nielsen 2015, "Neural Networks and Deep Learning", chapter 2, which
it follows, has the last two the other way round. Weights are (out, in)::

    delta^L = (a^L - y) * sigma'(z^L)                        (BP1)  at the output, for the quadratic cost
    delta^l = ((w^(l+1))^T delta^(l+1)) * sigma'(z^l)        (BP2)  in any layer before
    dC/dw^l_jk = a^(l-1)_k delta^l_j                         (BP3)
    dC/db^l_j = delta^l_j                                    (BP4)

>>> model = network([4, 5, 5, 2], rng=0)
>>> x, y = np.random.default_rng(0).normal(size=(3, 4)), np.eye(2)[[0, 1, 0]]
>>> dw, db = gradients(model, x, y)
>>> nn.QuadraticCost()(model(x), y).backward()
>>> np.allclose(dw[0], model[0].weight.grad, rtol=1e-13)
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_bp import Tensor, nn, optim, sigmoid
from tinygrad_bp.worked.data import Split

TITLE = "反向传播算法（过程及公式推导）"

SIZES = (64, 100, 50, 10)
LR, BATCH, EPOCHS = 3.0, 10, 30

Arrays = list[Any]


def network(sizes: Sequence[int] = SIZES, rng: Any = 0) -> nn.MLP:
    """Sigmoid layers of these sizes, with Xavier's initial weights and biases of zero; layer l has the name of its number."""
    model = nn.MLP(sizes, init=nn.init.xavier_normal, bias_init=0, layers=[str(l) for l in range(2, len(sizes) + 1)], rng=rng)
    for l, layer in enumerate(layers(model), 2):
        layer.weight.named(f"w_{l}")
        layer.bias.named(f"b_{l}")
    return model


def layers(model: nn.MLP) -> list[Any]:
    """Its linear layers, l = 2 ... L."""
    return list(model.steps[::2])


def feed_forward(model: nn.MLP, x: Any) -> tuple[Arrays, Arrays]:
    """Weighted inputs z^2 ... z^L and activations a^1 ... a^L of samples x (n, inputs)."""
    zs, activations = [], [x]
    for layer in layers(model):
        zs.append(activations[-1] @ layer.weight.numpy().T + layer.bias.numpy())
        activations.append(sigmoid(zs[-1]))
    return zs, activations


def forward(model: nn.MLP, x: Any = (0.05, 0.10), y: Any = (0.01, 0.99)) -> Tensor:
    """C of one sample x, its tensors named after the document: a_1, z_2, a_2, ..., a_L.

    The sample is ours (the document has no numbers), for a network of 2 inputs and 2 outputs.

    >>> print(f"{forward(network([2, 3, 2])):.9f}")
    0.386353836
    """
    a = Tensor(x).named("a_1")
    for l, layer in enumerate(layers(model), 2):
        a = sigmoid(layer(a).named(f"z_{l}")).named(f"a_{l}")
    cost: Tensor = nn.QuadraticCost("C", None)(a, Tensor(y).named("y"))
    return cost


def sigma_prime(z: Any) -> Any:
    """The derivative of the sigmoid."""
    return sigmoid(z) * (1 - sigmoid(z))


def deltas(model: nn.MLP, x: Any, y: Any) -> Arrays:
    """(BP1) and (BP2): delta^2 ... delta^L of each sample, shapes (n, neurons)."""
    zs, activations = feed_forward(model, x)
    found = [(activations[-1] - y) * sigma_prime(zs[-1])]
    for layer, z in zip(layers(model)[:0:-1], zs[-2::-1], strict=True):  # from the last layer down, each with the z below it
        found.insert(0, (found[0] @ layer.weight.numpy()) * sigma_prime(z))
    return found


def gradients(model: nn.MLP, x: Any, y: Any) -> tuple[Arrays, Arrays]:
    """(BP3) and (BP4), averaged over the n samples: dC/dw^l and dC/db^l for l = 2 ... L."""
    _, activations = feed_forward(model, x)
    found = deltas(model, x, y)
    return [d.T @ a / len(x) for d, a in zip(found, activations, strict=False)], [d.mean(axis=0) for d in found]


def train(data: Split, sizes: Sequence[int] = SIZES, epochs: int = EPOCHS, rng: Any = 0) -> tuple[nn.MLP, optim.History]:
    """Section 4: mini-batches of 10, the gradient averaged over each; sigmoid units and quadratic cost throughout.

    The history has loss and accuracy after every epoch, on the samples learned from and on those of the test.
    """
    model = network(sizes, rng)
    sgd = optim.SGD(model.parameters(), lr=LR)
    history = optim.fit(
        model,
        nn.QuadraticCost(),
        data.x,
        data.target,
        sgd,
        epochs=epochs,
        batch_size=BATCH,
        validation=(data.test_x, data.test_target),
        accuracy=True,
        rng=rng,
        progress=False,
    )
    return model, history


def train_by_hand(data: Split, sizes: Sequence[int] = SIZES, epochs: int = EPOCHS, rng: Any = 0) -> nn.MLP:
    """The same descent with the four equations in place of autograd."""
    model = network(sizes, rng)
    rng = np.random.default_rng(rng)
    for _ in range(epochs):
        order = rng.permutation(len(data.x))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            dw, db = gradients(model, data.x[batch], data.target[batch])
            for layer, gw, gb in zip(layers(model), dw, db, strict=True):
                layer.load_state_dict({"weight": layer.weight.numpy() - LR * gw, "bias": layer.bias.numpy() - LR * gb})
    return model


def auto_encoder(data: Split, hidden: int = 16, epochs: int = EPOCHS, rng: Any = 0) -> tuple[nn.MLP, optim.History]:
    """Target = input: 64 pixels through a narrow hidden layer and back.

    Document "反向传播—BP" names it as the case of equal inputs and outputs.
    """
    model = nn.MLP([64, hidden, 64], init=nn.init.xavier_normal, bias_init=0, rng=rng)
    adam = optim.Adam(model.parameters(), lr=0.005)
    history = optim.fit(
        model,
        nn.QuadraticCost(),
        data.x,
        data.x,
        adam,
        epochs=epochs,
        batch_size=BATCH,
        validation=(data.test_x, data.test_x),
        rng=rng,
        progress=False,
    )
    return model, history
