"""The same training in PyTorch, update by update: every loss with every optimizer."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_bp import Tensor, nn, optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytestmark = pytest.mark.peers

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 4)), RNG.uniform(0.1, 0.9, (6, 3))
CLASSES = RNG.integers(0, 3, 6)
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
    "cross-entropy": (nn.Identity, nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(), CLASSES),
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
    ends = torch.nn.Sigmoid() if last is nn.Sigmoid else torch.nn.Identity()
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
