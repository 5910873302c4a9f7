"""Losses, activations and state_dicts beside PyTorch's, where it is installed: ``pytest -m peers``."""

import importlib.util

import numpy as np
import pytest

from tinygrad_bp import Tensor, nn

if importlib.util.find_spec("torch") is None:
    pytest.skip("PyTorch is not installed: pip install torch", allow_module_level=True)
import torch

pytestmark = pytest.mark.peers
rng = np.random.default_rng(0)

P, Z = rng.uniform(0, 1, (4, 3)), 5 * rng.normal(size=(4, 3))
EDGES = np.array([[0.0, 1.0, 0.0], [1.0, 1e-60, 1 - 1e-16]])
LARGE = np.array([[-800.0, 800.0, 0.0], [800.0, -40.0, 40.0]])
CLASSES, IMAGES = np.array([2, 0, 1, 1]), rng.normal(size=(2, 3, 4, 5))
SHARES = rng.dirichlet(np.ones(3), 4)

CASES = {
    "MSELoss": ("MSELoss", P, SHARES),
    "BCELoss": ("BCELoss", P, SHARES),
    "BCEWithLogitsLoss": ("BCEWithLogitsLoss", Z, SHARES),
    "BCEWithLogitsLoss, large": ("BCEWithLogitsLoss", LARGE, np.round(P[:2])),
    "CrossEntropyLoss, classes": ("CrossEntropyLoss", Z, CLASSES),
    "CrossEntropyLoss, shares": ("CrossEntropyLoss", Z, SHARES),
    "CrossEntropyLoss, large": ("CrossEntropyLoss", LARGE, CLASSES[:2]),
    "CrossEntropyLoss, one sample": ("CrossEntropyLoss", Z[0], np.array(1)),
    "CrossEntropyLoss, images": ("CrossEntropyLoss", IMAGES, rng.integers(0, 3, (2, 4, 5))),
    "CrossEntropyLoss, shares of images": ("CrossEntropyLoss", IMAGES, np.moveaxis(rng.dirichlet(np.ones(3), (2, 4, 5)), -1, 1).copy()),
    "NLLLoss": ("NLLLoss", np.log(P), CLASSES),
    "NLLLoss, images": ("NLLLoss", IMAGES, rng.integers(0, 3, (2, 4, 5))),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_their_gradients(case, reduction):
    name, output, target = CASES[case]
    ours, theirs = Tensor(output, requires_grad=True), torch.tensor(output, requires_grad=True)
    loss = getattr(nn, name)(reduction)(ours, target)
    expected = getattr(torch.nn, name)(reduction=reduction)(theirs, torch.tensor(target))
    np.testing.assert_allclose(loss.numpy(), expected.detach().numpy(), rtol=1e-13, atol=1e-15)
    seed = rng.normal(size=loss.shape)
    loss.backward(seed)
    expected.backward(torch.tensor(seed))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
def test_bce_at_the_edges(target):
    """The values agree. PyTorch's derivative at 0 and 1 is +-1e12, not that of the value; ours is that of the value."""
    loss = nn.BCELoss("none")(Tensor(EDGES), np.full(EDGES.shape, target))
    expected = torch.nn.BCELoss(reduction="none")(torch.tensor(EDGES), torch.full(EDGES.shape, target, dtype=torch.float64))
    np.testing.assert_allclose(loss.numpy(), expected.numpy(), rtol=1e-13)


PAIRS = [
    (nn.Sigmoid(), torch.nn.Sigmoid()), (nn.Tanh(), torch.nn.Tanh()), (nn.ReLU(), torch.nn.ReLU()), (nn.Identity(), torch.nn.Identity()),
    (nn.LeakyReLU(), torch.nn.LeakyReLU()), (nn.LeakyReLU(0.3), torch.nn.LeakyReLU(0.3)), (nn.ELU(), torch.nn.ELU()),
    (nn.ELU(2.0), torch.nn.ELU(2.0)), (nn.GELU(), torch.nn.GELU()), (nn.SiLU(), torch.nn.SiLU()),
    (nn.Softmax(), torch.nn.Softmax(dim=-1)), (nn.Softmax(0), torch.nn.Softmax(dim=0)), (nn.LogSoftmax(), torch.nn.LogSoftmax(dim=-1)),
    (nn.Softplus(), torch.nn.Softplus(threshold=100)),  # it takes x itself for the value above its threshold
]  # fmt: skip


@pytest.mark.parametrize(("module", "peer"), PAIRS, ids=repr)
def test_activations_and_their_derivatives(module, peer):
    x = np.concatenate([LARGE, Z, np.zeros((1, 3))])
    ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = module(ours), peer(theirs)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-13, atol=1e-15)
    seed = rng.normal(size=x.shape)
    y.backward(seed)
    expected.backward(torch.tensor(seed))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


class Ours(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Sequential(nn.Linear(4, 4, bias=False, rng=1), nn.ReLU()))
        self.heads = [nn.Linear(4, 2, rng=2), nn.Linear(4, 2, rng=3)]
        self.scale = nn.Parameter(2.0)
        self.tied = self.heads[0]

    def forward(self, x):
        h = self.body(x)
        return self.scale * self.heads[0](h) + self.heads[1](h) * self.tied(h)


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        inner = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.ReLU())
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), inner)
        self.heads = torch.nn.ModuleList([torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)])
        self.scale = torch.nn.Parameter(torch.tensor(1.0))
        self.tied = self.heads[0]
        self.double()

    forward = Ours.forward


def test_a_nested_state_dict_loads_strictly_and_comes_back():
    ours, theirs, x = Ours(), Theirs(), rng.normal(size=(5, 3))
    assert set(ours.state_dict()) == set(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()}, strict=True)
    np.testing.assert_allclose(ours(x).numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-13)
    theirs = Theirs()
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(ours(x).numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-13)
    ours.load_state_dict(theirs.float().state_dict())
    assert ours.scale.dtype == np.float32


def test_safetensors_between_the_two(tmp_path):
    peer = pytest.importorskip("safetensors.torch")
    ours, theirs = nn.MLP([3, 4, 2], rng=0), torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 2)).double()
    ours.save(tmp_path / "ours.safetensors")
    theirs.load_state_dict(peer.load_file(tmp_path / "ours.safetensors"), strict=True)
    np.testing.assert_array_equal(ours[2].weight.numpy(), theirs[2].weight.detach().numpy())
    peer.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    back = nn.MLP([3, 4, 2], rng=1).load(tmp_path / "theirs.safetensors")
    np.testing.assert_array_equal(ours[2].weight.numpy(), back[2].weight.numpy())
