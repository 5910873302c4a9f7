"""nn and optim: shapes, names, state, losses that refuse to broadcast, and updates against formulas by hand."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from tinygrad_bp import Tensor, nn, no_grad, optim
from tinygrad_bp.errors import NameLookupError, ShapeError


def numeric_gradient(f, p, step=1e-6):
    """Central differences of f() by the elements of parameter p."""
    result = np.zeros(p.shape)
    for index in np.ndindex(p.shape):
        ends = []
        for sign in (1, -1):
            with no_grad():
                p[index] = p.raw[index] + sign * step
                ends.append(f().item())
                p[index] = p.raw[index] - sign * step
        result[index] = (ends[0] - ends[1]) / (2 * step)
    return result


@pytest.mark.parametrize("bias", [True, "shared", False])
@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_linear_gradients(bias, batch):
    rng = np.random.default_rng(0)
    layer = nn.Linear(3, 2, bias=bias, rng=rng)
    x, target = rng.normal(size=(*batch, 3)), rng.normal(size=(*batch, 2))
    loss = lambda: nn.HalfSquaredError()(nn.Sigmoid()(layer(x)), target)  # noqa: E731
    loss().backward()
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad, numeric_gradient(loss, p), atol=1e-8, err_msg=name)


def test_the_gradient_of_a_shared_bias_is_the_sum_of_the_deltas():
    layer = nn.Linear(2, 3, bias="shared", rng=0)
    net = layer(np.ones((4, 2)))
    np.sum(np.square(net)).backward()
    assert layer.bias.shape == ()
    np.testing.assert_allclose(layer.bias.grad, np.sum(net.grad))


def test_a_frozen_bias_gets_no_gradient_and_stays():
    model = nn.MLP([2, 2, 1], rng=0)
    model[0].bias.requires_grad_(False)
    before = model[0].bias.numpy()
    nn.MSELoss()(model(np.ones((3, 2))), np.zeros((3, 1))).backward()
    optim.SGD(model.parameters(), lr=1.0).step()
    assert model[0].bias.grad is None
    np.testing.assert_array_equal(model[0].bias.numpy(), before)
    assert model[0].weight.grad is not None


def test_names_and_order_are_pytorchs():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Sequential(nn.Linear(3, 1, bias=False)))
    assert [(name, p.shape) for name, p in model.named_parameters()] == [("0.weight", (3, 2)), ("0.bias", (3,)), ("2.0.weight", (1, 3))]
    assert [p.name for p in model.parameters()] == ["0.weight", "0.bias", "2.0.weight"]


def test_a_custom_module_is_a_class_with_forward():
    class Net(nn.Module):
        def __init__(self):
            self.blocks = [nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1)]
            self.heads = {"a": nn.Linear(2, 1, rng=2)}
            self.scale = nn.Parameter(2.0)

        def forward(self, x):
            for block in self.blocks:
                x = np.tanh(block(x))
            return self.scale * self.heads["a"](x)

    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias",
                                                      "heads.a.weight", "heads.a.bias", "scale"]  # fmt: skip
    np.sum(net(np.ones(2))).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert net.eval().heads["a"].training is False


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="needs a method forward"):
        nn.Module()(1.0)


def test_mlp_names_what_it_computes():
    out = nn.MLP([2, 3, 3, 1], rng=0)(Tensor(np.ones(2)))
    net = out.inputs[0]
    assert (out.name, net.name, net.inputs[0].name) == ("out_o", "net_o", "out_h2")
    with pytest.raises(ValueError, match="2 layers of neurons need 2 letters"):
        nn.MLP([2, 2, 2], layers="h")
    with pytest.raises(ValueError, match="at least two sizes"):
        nn.MLP([2])


def test_state_dict_round_trip_keeps_dtype_and_is_all_or_nothing():
    model, other = nn.MLP([2, 3, 1], rng=0), nn.MLP([2, 3, 1], rng=1)
    other.load_state_dict(model.state_dict())
    x = np.ones((4, 2))
    np.testing.assert_array_equal(model(x).numpy(), other(x).numpy())
    state = {name: value.astype(np.float32) for name, value in model.state_dict().items()}
    other.load_state_dict(state)
    assert other(x.astype(np.float32)).dtype == np.float32
    before = other.state_dict()
    with pytest.raises(ShapeError, match=r"2.weight has shape \(1, 3\); the state_dict holds shape \(3, 1\)"):
        other.load_state_dict(state | {"2.weight": np.zeros((3, 1))})
    with pytest.raises(NameLookupError, match=r"missing \['0.bias'\]"):
        other.load_state_dict({k: v for k, v in state.items() if k != "0.bias"})
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("loss", [nn.HalfSquaredError(), nn.MSELoss()])
def test_a_loss_refuses_to_broadcast(loss):
    with pytest.raises(ShapeError, match=r"output of shape \(3, 1\) with a target of shape \(3,\)"):
        loss(Tensor(np.ones((3, 1))), np.ones(3))


def test_losses():
    output, target = Tensor([[1.0, 2.0, 4.0]], requires_grad=True), np.array([[0.0, 4.0, 1.0]])
    assert nn.HalfSquaredError()(output, target).item() == 7.0
    np.testing.assert_array_equal(nn.HalfSquaredError().parts(output, target).numpy(), [[0.5, 2.0, 4.5]])
    assert nn.MSELoss()(output, target).item() == 14 / 3
    assert nn.MSELoss("sum")(output, target).item() == 14.0
    np.testing.assert_array_equal(nn.MSELoss("none")(output, target).numpy(), [[1.0, 4.0, 9.0]])
    with pytest.raises(ValueError, match="reduction is"):
        nn.MSELoss("median")


def test_two_outputs_and_one_sample_hide_the_difference_of_the_two_losses():
    out, target = Tensor([0.3, 0.9]), np.array([0.0, 1.0])
    assert nn.HalfSquaredError()(out, target).item() == nn.MSELoss()(out, target).item()
    out, target = Tensor([0.3, 0.9, 0.5]), np.array([0.0, 1.0, 0.0])
    assert nn.HalfSquaredError()(out, target).item() != nn.MSELoss()(out, target).item()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_follows_the_formula(momentum):
    w, by_hand, v = Tensor([1.0, -2.0], requires_grad=True), np.array([1.0, -2.0]), np.zeros(2)
    optimizer = optim.SGD([w], lr=0.1, momentum=momentum)
    for _ in range(5):
        optimizer.zero_grad()
        np.sum(w**3).backward()
        optimizer.step()
        v = momentum * v + 3 * by_hand**2
        by_hand = by_hand - 0.1 * v
        np.testing.assert_allclose(w.numpy(), by_hand, rtol=1e-14)


def test_gradients_add_up_without_zero_grad():
    w = Tensor([1.0], requires_grad=True)
    for _ in range(3):
        (w * 2).sum().backward()
    assert w.grad.item() == 6.0
    optim.SGD([w], lr=1.0).zero_grad()
    assert w.grad is None


def test_a_backward_after_the_step_is_refused_with_the_parameters_name():
    model = nn.MLP([2, 2, 1], rng=0)
    loss = nn.MSELoss()(model(np.ones(2)), np.zeros(1))
    loss.backward()
    optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(RuntimeError, match=r"tensor '2.weight' was changed in place after linear read it"):
        loss.backward()


def test_optimizer_arguments():
    with pytest.raises(ValueError, match="needs parameters"):
        optim.SGD([], lr=0.1)
    with pytest.raises(TypeError, match="leaf tensors"):
        optim.SGD([Tensor(1.0, requires_grad=True) * 2], lr=0.1)
    with pytest.raises(ValueError, match="bias is True"):
        nn.Linear(2, 2, bias="each")


def test_random_weights_come_from_the_seed():
    a, b = nn.MLP([3, 4, 2], rng=7).state_dict(), nn.MLP([3, 4, 2], rng=np.random.default_rng(7)).state_dict()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])
    assert np.all(np.abs(a["0.weight"]) <= 3**-0.5)
    assert np.std(a["0.weight"]) > 0


class Scaled(nn.Parameter):
    def __init__(self, data: Any, factor: float = 1.0) -> None:
        super().__init__(factor * np.asarray(data, float))
        self.factor = factor


def test_a_parameter_is_known_by_its_mark_and_keeps_it_in_copies() -> None:
    p, constant = nn.Parameter([1.0], name="p"), Tensor([1.0], requires_grad=True)
    for same in (p, copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p)), p.requires_grad_(False)):
        assert isinstance(same, nn.Parameter)
        assert not isinstance(same, Scaled)
        assert same.name == "p"
    for other in (constant, p * 1, p.detach(), p.grad, 1.0, type("Named", (), {"learned": True})()):
        assert not isinstance(other, nn.Parameter)
    assert issubclass(nn.Parameter, Tensor)
    with pytest.raises(TypeError, match="required"):
        nn.Parameter([1.0], required=True)


def test_a_parameter_may_be_subclassed() -> None:
    p = Scaled([1.0, 2.0], factor=3.0)
    for same in (p, copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(same) is Scaled
        assert isinstance(same, nn.Parameter)
        assert (same.numpy().tolist(), same.factor, same.requires_grad) == ([3.0, 6.0], 3.0, True)
    module = nn.Module()
    module.scaled = p
    assert [name for name, _ in module.named_parameters()] == ["scaled"]


def test_a_part_of_a_sequential_is_one():
    model = nn.MLP([2, 3, 1], rng=0)
    x = np.ones(2)
    assert model[:0](x) is x
    np.testing.assert_array_equal(model[2:](model[:2](x)).numpy(), model(x).numpy())
    assert model[:2][0] is model[0]
    assert [p.name for p in model.parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
