"""Activations, biases of every kind and MLPs, against plain NumPy and PyTorch's names."""

import copy
import inspect
import math
import pickle
import re

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn, optim
from tinygrad_bp.errors import ShapeError

rng = np.random.default_rng(0)
X = np.array([-800.0, -3.0, -0.5, 0.0, 0.5, 3.0, 800.0])


def logistic(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


ACTIVATIONS = {
    "Identity": (nn.Identity(), lambda x: x),
    "Sigmoid": (nn.Sigmoid(), logistic),
    "Tanh": (nn.Tanh(), math.tanh),
    "ReLU": (nn.ReLU(), lambda x: x if x > 0 else 0.0),
    "LeakyReLU": (nn.LeakyReLU(0.2), lambda x: x if x > 0 else 0.2 * x),
    "ELU": (nn.ELU(2.0), lambda x: x if x > 0 else 2.0 * math.expm1(x)),
    "GELU": (nn.GELU(), lambda x: x * math.erfc(-x / math.sqrt(2)) / 2),
    "SiLU": (nn.SiLU(), lambda x: x * logistic(x)),
    "Softplus": (nn.Softplus(), lambda x: max(x, 0) + math.log1p(math.exp(-abs(x)))),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_follows_its_formula(name):
    module, formula = ACTIVATIONS[name]
    np.testing.assert_allclose(module(Tensor(X)).numpy(), [formula(x) for x in X], rtol=1e-12, atol=1e-16)
    assert module(Tensor(X.astype(np.float32))).dtype == np.float32
    tg.gradcheck(lambda x: np.sum(module(x) * 1.0), [np.array([-3.0, -0.5, 0.5, 3.0])])
    assert not list(module.parameters())
    assert repr(module).startswith(name)


def test_softmax_over_an_axis():
    z = rng.normal(size=(2, 3))
    np.testing.assert_allclose(nn.Softmax()(z), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(nn.Softmax(axis=0)(z), np.exp(z) / np.exp(z).sum(axis=0), rtol=1e-14)
    np.testing.assert_allclose(nn.LogSoftmax(0)(z), np.log(np.exp(z) / np.exp(z).sum(axis=0)), rtol=1e-13)
    assert repr(nn.LogSoftmax(0)) == "LogSoftmax(axis=0)"


def test_every_activation_is_tested():
    modules = {name for name, m in inspect.getmembers(nn, inspect.isclass) if m.__module__.endswith("activations")}
    assert modules == {*ACTIVATIONS, "Softmax", "LogSoftmax"}


# -- biases ----------------------------------------------------------------------------------------------------------


def test_a_unit_layer_is_a_layer_with_biases():
    x, w, b = rng.normal(size=(5, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    unit, plain = nn.Linear(3, 2, "unit", init=w, bias_init=b), nn.Linear(3, 2, init=w, bias_init=b)
    assert unit.weight.shape == (2, 4)
    assert unit.bias is None
    assert [name for name, _ in unit.named_parameters()] == ["weight"]
    np.testing.assert_array_equal(unit.weight.numpy()[:, :3], w)
    np.testing.assert_array_equal(unit.weight.numpy()[:, 3], b)
    for batch in (x, x[0], x[None], x.tolist(), Tensor(x)):
        np.testing.assert_allclose(unit(batch).numpy(), plain(batch).numpy(), rtol=1e-14)
    for layer in (unit, plain):
        nn.HalfSquaredError()(layer(x), np.zeros((5, 2))).backward()
    np.testing.assert_allclose(unit.weight.grad.numpy()[:, :3], plain.weight.grad.numpy(), rtol=1e-13)
    np.testing.assert_allclose(unit.weight.grad.numpy()[:, 3], plain.bias.grad.numpy(), rtol=1e-13)


def test_the_unit_passes_gradients_down_to_the_inputs_alone():
    layer, x = nn.Linear(3, 2, "unit", rng=0), Tensor(rng.normal(size=(5, 3)), requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.tile(layer.weight.numpy()[:, :3].sum(axis=0), (5, 1)), rtol=1e-14)
    assert layer(x.numpy().astype(np.float32)).dtype == np.float64
    assert nn.Linear(3, 2, "unit", dtype=np.float32)(x.numpy().astype(np.float32)).dtype == np.float32


def test_inputs_keep_their_names_beside_the_unit():
    model = nn.MLP([2, 2, 1], bias="unit", rng=0)
    for x, names in ((Tensor([0.05, 0.10], name="x"), "x1 x2 x3"), (Tensor([0.05, 0.10]).named("i", "i1 i2"), "i1 i2 unit")):
        scalars = tg.Program.of(nn.HalfSquaredError()(model(x), [0.5])).scalars()
        assert [float(scalars.value(name)) for name in names.split()] == [0.05, 0.10, 1.0]
        assert scalars.value("out_h1") == model(x).inputs[0].inputs[0].arrays[0][0]
    assert nn.Linear(2, 1, "unit")(Tensor(np.ones((3, 2))).named("x", "a b c d e f")).shape == (3, 1)


def test_the_weights_of_a_unit_layer_as_one_matrix():
    w = rng.normal(size=(2, 4))
    layer = nn.Linear(3, 2, "unit", init=w)
    np.testing.assert_array_equal(layer.weight.numpy(), w)
    with pytest.raises(ShapeError, match=r"\(2, 4\) are needed; got shape \(2, 3\)"):
        nn.Linear(3, 2, "unit", init=w[:, :3])


def test_a_network_with_units_by_hand():
    """The forward and backward pass of the listing of document "BP神经网络权重更新及推导", in columns; its errors put right."""
    w_h, w_o = rng.normal(size=(3, 3)), rng.normal(size=(2, 4))
    x, t = rng.normal(size=(2, 1)), rng.uniform(size=(2, 1))
    s = np.vectorize(logistic)
    i = np.vstack([x, [[1.0]]])
    h = np.vstack([s(w_h @ i), [[1.0]]])
    y = s(w_o @ h)
    delta_o = (y - t) * y * (1 - y)
    delta_h = ((w_o.T @ delta_o) * h * (1 - h))[:-1]
    model = nn.MLP([2, 3, 2], bias="unit", weights=[w_h, w_o])
    out = model(x.ravel())
    np.testing.assert_allclose(out.numpy(), y.ravel(), rtol=1e-13)
    nn.HalfSquaredError()(out, t.ravel()).backward()
    np.testing.assert_allclose(model[2].weight.grad.numpy(), delta_o @ h.T, rtol=1e-12)
    np.testing.assert_allclose(model[0].weight.grad.numpy(), delta_h @ i.T, rtol=1e-12)


def test_a_bias_of_zero_and_a_frozen_one():
    layer = nn.Linear(2, 3, bias_init=0, rng=0)
    assert not layer.bias.numpy().any()
    layer.bias.requires_grad_(False)
    layer(np.ones(2)).sum().backward()
    assert layer.bias.grad is None
    assert repr(layer) == "Linear(in_features=2, out_features=3, bias=True)  # 9 parameters, 3 frozen"


# -- MLP -------------------------------------------------------------------------------------------------------------


def test_an_activation_for_each_layer():
    model = nn.MLP([2, 4, 3, 3], [nn.Tanh, nn.LeakyReLU(0.1), nn.Softmax], rng=0)
    x = rng.normal(size=(5, 2))
    w1, b1, w2, b2, w3, b3 = (p.numpy() for p in model.parameters())
    h = x @ w1.T + b1
    h = np.tanh(h) @ w2.T + b2
    z = np.where(h > 0, h, 0.1 * h) @ w3.T + b3
    np.testing.assert_allclose(model(x).numpy(), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), rtol=1e-13)
    one = nn.ELU(0.5)
    assert list(nn.MLP([2, 2, 2], one))[1::2] == [one, one]
    with pytest.raises(ValueError, match="2 layers of neurons need 2 activations; got 1"):
        nn.MLP([2, 2, 2], [nn.Tanh])
    with pytest.raises(TypeError, match="an activation is a module, its class, or a list of one per layer; got 'tanh'"):
        nn.MLP([2, 2, 2], "tanh")


def test_linear_outputs_have_one_name():
    out = nn.MLP([2, 3, 1], [nn.Sigmoid, nn.Identity], rng=0)(Tensor([1.0, 2.0]))
    assert (out.name, out.inputs[0].name) == ("out_o", "out_h")


@pytest.mark.parametrize(("bias", "b"), [(True, [[0.1, 0.2, 0.3], [0.4]]), ("shared", [0.1, 0.2]), ("unit", [[0.1, 0.2, 0.3], [0.4]])])
def test_weights_given_as_pairs(bias, b):
    w = [rng.normal(size=(3, 2)), rng.normal(size=(1, 3))]
    x = rng.normal(size=(4, 2))
    expected = np.vectorize(logistic)(np.vectorize(logistic)(x @ w[0].T + b[0]) @ w[1].T + b[1])
    for given in (list(zip(w, b, strict=True)), [[a.tolist(), c] for a, c in zip(w, b, strict=True)]):
        np.testing.assert_allclose(nn.MLP([2, 3, 1], bias=bias, weights=given)(x).numpy(), expected, rtol=1e-13)


def test_weights_without_biases():
    w = [rng.normal(size=(2, 2)), rng.normal(size=(2, 2))]
    model = nn.MLP([2, 2, 2], nn.Identity, bias=False, weights=w)
    np.testing.assert_allclose(model(np.eye(2)).numpy(), w[0].T @ w[1].T, rtol=1e-14)
    with pytest.raises(ValueError, match="weights are \\(W, b\\) for each layer where bias=True; got no b"):
        nn.MLP([2, 2, 2], weights=w)
    with pytest.raises(ValueError, match="bias=False leaves no bias"):
        nn.MLP([2, 2, 2], bias=False, weights=[(a, 0.5) for a in w])
    with pytest.raises(ValueError, match="2 layers of neurons need 2 pairs of weights; got 1"):
        nn.MLP([2, 2, 2], bias=False, weights=w[:1])
    with pytest.raises(ValueError, match="not by both"):
        nn.MLP([2, 2, 2], bias=False, weights=w, init=0)
    with pytest.raises(ShapeError, match=r"of shape \(2, 2\) are needed; got shape \(2, 3\)"):
        nn.MLP([2, 2, 2], bias=False, weights=[np.ones((2, 3)), w[1]])


def test_every_layer_draws_its_own():
    model = nn.MLP([3, 3, 3], init=nn.init.uniform, bias_init=nn.init.normal, rng=3)
    draw = np.random.default_rng(3)
    for layer in (model[0], model[2]):
        np.testing.assert_array_equal(layer.weight.numpy(), draw.uniform(0, 1, (3, 3)))
        np.testing.assert_array_equal(layer.bias.numpy(), draw.normal(0, 1, 3))


def test_the_repr_counts_parameters():
    assert repr(nn.MLP([2, 3, 1], [nn.ReLU, nn.Sigmoid], "unit")) == (
        "MLP(\n"
        "  (0): Linear(in_features=2, out_features=3, bias='unit')  # 9 parameters\n"
        "  (1): ReLU()\n"
        "  (2): Linear(in_features=3, out_features=1, bias='unit')  # 4 parameters\n"
        "  (3): Sigmoid()\n"
        ")  # 13 parameters"
    )
    tied = nn.Linear(1, 1, bias=False)
    assert repr(nn.Sequential(tied, tied)).endswith(")  # 1 parameter")


def changed(layer: nn.Linear) -> dict[str, nn.Linear]:
    """A layer after everything that gives its weight new values."""
    found = {name: copy.deepcopy(layer) for name in ("copied", "loaded", "assigned", "computed", "another dtype")}
    rows = np.ascontiguousarray(layer.weight.numpy())
    found["loaded"].load_state_dict({"weight": rows, "bias": np.zeros(len(rows))})
    found["assigned"].weight.data = rows
    with tg.no_grad():
        found["computed"].weight -= np.ascontiguousarray(0.1 * rows)
    found["another dtype"].load_state_dict({"weight": rows.astype(np.float32), "bias": np.zeros(len(rows), np.float32)})
    return found | {"new": layer, "given": nn.Linear(5, 3, init=rows), "pickled": pickle.loads(pickle.dumps(layer))}


def test_the_weight_lies_by_columns_whatever_it_is_given_and_its_gradient_with_it() -> None:
    for name, layer in changed(nn.Linear(5, 3, rng=0)).items():
        assert layer.weight.raw.flags.fnc, name
        assert layer.weight.raw.flags.owndata, name
        layer(np.ones((4, 5))).sum().backward()
        assert layer.weight.grad.raw.flags.fnc, name
        optim.SGD(layer.parameters(), lr=0.1, momentum=0.9).step()
        assert layer.weight.raw.flags.fnc, name


def test_the_gradient_of_another_weight_lies_by_rows_as_that_does() -> None:
    layer = nn.Linear(5, 3, rng=0)
    layer.weight = nn.Parameter(np.ascontiguousarray(layer.weight.numpy()))
    layer(np.ones((4, 5))).sum().backward()
    assert layer.weight.grad.raw.flags.c_contiguous


def test_replacing_a_weight_after_the_forward_pass_is_no_change_in_place() -> None:
    layer = nn.Linear(5, 3, rng=0)
    total = layer(np.ones((4, 5))).sum()
    layer.weight.data = np.zeros((3, 5))
    total.backward()
    assert np.array_equal(layer.weight.grad.numpy(), np.full((3, 5), 4.0))


@pytest.mark.parametrize("bias", [True, "shared", "unit", False])
@pytest.mark.parametrize("x", [np.ones((4, 3)), Tensor(np.ones(3)), 1.0])
def test_a_layer_says_what_shape_it_takes(bias, x):
    with pytest.raises(
        ShapeError, match=rf"^Linear\(in_features=2, .*\) takes x of shape \(\.\.\., 2\); got {re.escape(str(np.shape(x)))}$"
    ):
        nn.Linear(2, 3, bias)(x)


def test_values_given_as_bias_are_refused():
    with pytest.raises(ValueError, match="Values are given by bias_init"):
        nn.Linear(2, 3, bias=np.zeros(3))
