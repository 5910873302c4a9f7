"""The same training in PyTorch, update by update: every loss with every optimizer."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_bp import Tensor, nn, optim
from tinygrad_bp.worked import bp_explained, step_by_step

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytestmark = pytest.mark.peers

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 4)), RNG.uniform(0.1, 0.9, (6, 3))
CLASSES = RNG.integers(0, 3, 6)
SHARES = Y / Y.sum(-1, keepdims=True)
UPDATES = 12


def half_squared(out, target):
    return 0.5 * torch.nn.functional.mse_loss(out, target, reduction="sum")


LOSSES = {
    "half squared error": (nn.Sigmoid, nn.HalfSquaredError(), half_squared, Y),
    "mean squared error": (nn.Sigmoid, nn.MSELoss(), torch.nn.MSELoss(), Y),
    "summed squared error": (nn.Sigmoid, nn.MSELoss("sum"), torch.nn.MSELoss(reduction="sum"), Y),
    "quadratic cost": (nn.Sigmoid, nn.QuadraticCost(), lambda out, target: half_squared(out, target) / len(out), Y),
    "binary cross-entropy": (nn.Sigmoid, nn.BCELoss(), torch.nn.BCELoss(), Y),
    "binary cross-entropy on logits": (nn.Identity, nn.BCEWithLogitsLoss(), torch.nn.BCEWithLogitsLoss(), Y),
    "negative log-likelihood": (nn.LogSoftmax, nn.NLLLoss(), torch.nn.NLLLoss(), CLASSES),
    "categorical cross-entropy": (
        nn.Softmax,
        nn.CategoricalCrossEntropy(),
        lambda out, target: -(target * out.log()).sum(-1).mean(),
        SHARES,
    ),
    "cross-entropy": (nn.Identity, nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(), CLASSES),
}
ENDS = {
    nn.Sigmoid: torch.nn.Sigmoid(),
    nn.Identity: torch.nn.Identity(),
    nn.Softmax: torch.nn.Softmax(-1),
    nn.LogSoftmax: torch.nn.LogSoftmax(-1),
}
OPTIMIZERS = {
    "SGD": (lambda p: optim.SGD(p, lr=0.3), lambda p: torch.optim.SGD(p, lr=0.3)),
    "momentum": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "Nesterov": (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "weight decay": (lambda p: optim.SGD(p, lr=0.1, weight_decay=0.01), lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01)),
    "Adam": (lambda p: optim.Adam(p, lr=0.05), lambda p: torch.optim.Adam(p, lr=0.05)),
    "AdamW": (lambda p: optim.AdamW(p, lr=0.05), lambda p: torch.optim.AdamW(p, lr=0.05)),
    "RMSprop": (lambda p: optim.RMSprop(p, lr=0.01), lambda p: torch.optim.RMSprop(p, lr=0.01)),
    "Adagrad": (lambda p: optim.Adagrad(p, lr=0.1), lambda p: torch.optim.Adagrad(p, lr=0.1)),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_update_agrees(loss, optimizer):
    last, ours, theirs, target = LOSSES[loss]
    model = nn.MLP([4, 5, 3], [nn.Sigmoid, last], rng=1)
    peer = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Sigmoid(), torch.nn.Linear(5, 3)).double()
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()}, strict=True)
    ends = ENDS[last]
    make, make_peer = OPTIMIZERS[optimizer]
    descent, peer_descent = make(model.parameters()), make_peer(peer.parameters())
    for _ in range(UPDATES):
        descent.zero_grad()
        value = ours(model(Tensor(X)), target)
        value.backward()
        descent.step()
        peer_descent.zero_grad()
        expected = theirs(ends(peer(torch.from_numpy(X))), torch.from_numpy(target))
        expected.backward()
        peer_descent.step()
        assert value.item() == pytest.approx(expected.item(), rel=1e-12)
        for p, q in zip(model.parameters(), peer.parameters(), strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-9, atol=1e-11)


# -- the documents' own trainings ----------------------------------------------------------------------------------------


def torch_run(layers, x, target, biases, updates):
    """Half squared error, rate 0.5, every update from one point: the loss of the last weights, and the weights."""
    linears = []
    for weight, bias in layers:
        w = torch.tensor(np.asarray(weight), dtype=torch.float64, requires_grad=True)
        linears.append((w, torch.tensor(np.asarray(bias), dtype=torch.float64, requires_grad=biases)))
    parameters = [p for layer in linears for p in layer if p.requires_grad]
    descent = torch.optim.SGD(parameters, lr=0.5)
    x, target = (torch.tensor(np.asarray(v), dtype=torch.float64) for v in (x, target))

    def loss():
        a = x
        for w, b in linears:
            a = torch.sigmoid(a @ w.T + b)
        return half_squared(a, target)

    for _ in range(updates):
        descent.zero_grad()
        loss().backward()
        descent.step()
    return loss().item(), [w.detach().numpy() for w, _ in linears]


@pytest.mark.parametrize("updates", [1, 10, 500])
def test_the_second_documents_training(updates):
    start = step_by_step.WEIGHTS
    layers = [(start["0.weight"], start["0.bias"]), (start["2.weight"], start["2.bias"])]
    loss, (w1, w2) = torch_run(layers, step_by_step.INPUT, step_by_step.TARGET, False, updates)
    model = step_by_step.train(updates)
    assert step_by_step.forward(model).item() == pytest.approx(loss, rel=1e-11)
    np.testing.assert_allclose(model[0].weight.numpy(), w1, rtol=1e-11)
    np.testing.assert_allclose(model[2].weight.numpy(), w2, rtol=1e-11)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("target", [bp_explained.TARGET, bp_explained.LISTING_TARGET])
def test_the_first_documents_training(target, biases):
    start = bp_explained.Network()
    layers = [(start.w.numpy().T, start.b1.numpy()), (start.v.numpy().T, start.b2.numpy())]
    loss, (w, v) = torch_run(layers, bp_explained.INPUT, target, biases, 10)
    model, history = bp_explained.train(target, biases=biases, updates=10)
    assert history.final_loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(model.w.numpy().T, w, rtol=1e-12)
    np.testing.assert_allclose(model.v.numpy().T, v, rtol=1e-12)
