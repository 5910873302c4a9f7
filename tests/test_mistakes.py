"""Planted mistakes: the tool names the mistake that a backward pass written by hand was given."""

import collections
import importlib.util
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, nn
from tinygrad_bp.check.anatomy import Anatomy
from tinygrad_bp.check.diagnosis import diagnose
from tinygrad_bp.check.mistakes import CATALOGUE, FACTORS, OTHERS
from tinygrad_bp.program import Program, element_names
from tinygrad_bp.worked import course_222, step_by_step

NETWORKS = 5  # that each mistake is planted in, at least
SINGLE = int(os.environ.get("SINGLE_NETWORKS", "1"))  # of those written in single numbers; with 5 it takes a minute
RIGHT_CLAIMS = int(os.environ.get("RIGHT_CLAIMS", "10000"))
LR = 0.5
EVERY = int(os.environ.get("EVERY_PAIR", "5"))  # which pairs of mistakes are tried; all with 1, which takes a minute

FUNCTIONS = {  # f and f' of z, in plain NumPy
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "softplus": (lambda z: np.log(1 + np.exp(z)), lambda z: 1 / (1 + np.exp(-z))),
    "identity": (lambda z: z, np.ones_like),
    "softmax": (lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True), None),
}
OF_A = {"sigmoid": lambda a: a * (1 - a), "tanh": lambda a: 1 - a**2, "relu": lambda a: 1.0 * (a > 0), "softplus": lambda a: 1 - np.exp(-a)}
MODULES = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "softplus": nn.Softplus, "identity": nn.Identity, "softmax": nn.Softmax}
LOSSES = {
    "half": nn.HalfSquaredError(), "mse": nn.MSELoss(), "quadratic": nn.QuadraticCost(), "bce": nn.BCELoss(),
    "cce": nn.CategoricalCrossEntropy(), "ce": nn.CrossEntropyLoss(), "bcel": nn.BCEWithLogitsLoss(),
}  # fmt: skip


@dataclass
class Net:
    """A network as plain arrays, W (out, in), samples in rows."""

    activations: list
    loss: str
    style: str  # "nn", "x @ W", "W @ x"
    shared: bool
    X: np.ndarray
    T: np.ndarray
    W: list
    b: list

    @property
    def n(self):
        return len(self.X)

    @property
    def m(self):
        return self.T.shape[1]

    def forward(self, digits=None):
        rounded = (lambda a: a) if digits is None else (lambda a: np.round(a, digits))
        Z, A = [], [self.X]
        for w, b, f in zip(self.W, self.b, self.activations, strict=True):
            Z.append(rounded(A[-1] @ w.T + b))
            A.append(rounded(FUNCTIONS[f][0](Z[-1])))
        return Z, A

    def delta_y(self, y):
        """dE/dy."""
        if self.loss in ("half", "mse", "quadratic"):
            return (y - self.T) * {"half": 1, "mse": 2 / (self.n * self.m), "quadratic": 1 / self.n}[self.loss]
        if self.loss == "bce":
            return (y - self.T) / (y * (1 - y)) / (self.n * self.m)
        if self.loss == "cce":
            return -self.T / y / self.n
        p = FUNCTIONS["softmax" if self.loss == "ce" else "sigmoid"][0](y)
        return (p - self.T) / (self.n if self.loss == "ce" else self.n * self.m)

    def tensor(self):
        """The same as a recorded graph."""
        if self.style == "nn":
            sizes, kind = [self.W[0].shape[1], *map(len, self.W)], "shared" if self.shared else True
            model = nn.MLP(sizes, [MODULES[f] for f in self.activations], kind, weights=list(zip(self.W, self.b, strict=True)))
            layers = [module for module in model if isinstance(module, nn.Linear)]
            for i, layer in enumerate(layers, 1):
                layer.weight.named(f"W{i}")
                layer.bias.named(f"b{i}")
            squeeze = (lambda a: a[0]) if self.n == 1 and self.loss != "ce" else (lambda a: a)
            return LOSSES[self.loss](model(Tensor(squeeze(self.X)).named("x")), Tensor(squeeze(self.T)).named("t"))
        column, vector = self.style == "W @ x", self.n == 1
        a = Tensor(self.X[0] if vector else self.X.T if column else self.X).named("x")
        for i, f in enumerate(self.activations, 1):
            weight, bias = self.W[i - 1], self.b[i - 1]
            b = Tensor(bias[:, None] if column and not vector and not self.shared else bias, requires_grad=True).named(f"b{i}")
            w = Tensor(weight if column else weight.T, requires_grad=True).named(f"W{i}")
            z = (w @ a + b if column else a @ w + b).named(f"z{i}")
            a = (1 / (1 + np.exp(-z)) if f == "sigmoid" else MODULES[f]()(z)).named(f"a{i}")
        t = self.T[0] if vector else self.T.T if column else self.T
        difference = (a - t).named("difference")
        return {"half": lambda d: 0.5 * np.sum(d**2), "mse": lambda d: np.mean(d * d), "quadratic": lambda d: np.sum(d * d) / (2 * self.n)}[
            self.loss
        ](difference).named("E")

    def program(self):
        return Program.of(self.tensor())

    def named(self, values):
        """Values of tensors, by the names that this network has."""
        return values

    def claims(self, gradients):
        """Gradients (out, in) and (out,) in the shapes of this style."""
        claims = {}
        for name in gradients:
            g = np.asarray(gradients[name])
            if name[0] == "W" and self.style == "x @ W" and g.ndim > 1:
                g = np.swapaxes(g, -1, -2)
            if name[0] == "b" and self.style == "W @ x" and self.n > 1:
                g = g.T if g.ndim == 2 or self.shared else g[:, None]
            claims[name] = g
        return claims


def networks(rng, count):
    """Random networks of every kind."""
    for i in range(count):
        loss = ["half", "mse", "quadratic", "half", "cce", "bce", "half", "ce", "mse", "bcel"][i % 10]
        style = ["nn", "x @ W", "W @ x"][i % 3] if loss in ("half", "mse", "quadratic") else "nn"
        depth, n = int(rng.integers(2, 4)), [1, 4, 3, 1, 5, 1, 3][i % 7]
        n = 3 if n == 1 and loss in ("ce", "cce") else n
        sizes = [int(rng.integers(2, 5))] * (depth + 1) if rng.random() < 0.4 else [int(k) for k in rng.integers(2, 6, depth + 1)]
        hidden = [str(f) for f in rng.choice(["sigmoid", "tanh", "relu", "softplus"], depth - 1)]
        if i % 4 == 3:
            hidden = ["relu"] * (depth - 1)
        last = str(rng.choice(["sigmoid", "tanh", "softplus"]))
        last = {"cce": "softmax", "bce": "sigmoid", "ce": "identity", "bcel": "identity"}.get(loss, last)
        shared = bool(i % 2)
        W = [rng.uniform(-1, 1, (out, into)).round(2) + 0.005 for into, out in itertools.pairwise(sizes)]
        b = [np.asarray(rng.uniform(0, 0.5)).round(2) if shared else rng.uniform(0, 0.5, out).round(2) for out in sizes[1:]]
        T = rng.uniform(0.1, 0.9, (n, sizes[-1])).round(2)
        if loss in ("ce", "cce"):
            T = np.eye(sizes[-1])[rng.integers(0, sizes[-1], n)]
        yield Net([*hidden, last], loss, style, shared, rng.uniform(0.1, 1, (n, sizes[0])).round(2), T, W, b)


@dataclass
class Single(Net):
    """The same for one sample, in single numbers: ``net_h1 = w1 * i1 + w2 * i2 + b``."""

    def program(self):
        return super().program().scalars()

    def named(self, values):
        return {n: v[i] for x, v in values.items() for n, i in zip(element_names(x, v.shape), np.ndindex(v.shape), strict=True)}

    def claims(self, gradients):
        """Of each element by its name; ``None`` where a shape is wrong, which a single number cannot have."""
        program, whole = super().program(), super().claims(gradients)
        shapes = {name: program.lines[program.place(name)].shape for name in whole}
        if any(np.shape(g) != shapes[name] for name, g in whole.items()):
            return None
        return self.named({name: np.asarray(g) for name, g in whole.items()})


def single_networks(rng, count):
    for net in itertools.islice((n for n in networks(rng, 10 * count) if n.loss not in ("ce", "cce")), count):
        yield Single(net.activations, net.loss, net.style, net.shared, net.X[:1], net.T[:1], net.W, net.b)


KINDS = {"matrices": networks, "single numbers": single_networks}
NEEDS_MATRICES = {
    "softmax elementwise",
    "Hadamard for outer product",
    "batch not summed",
    "shared bias not summed",
    "factor 1/n",
    "factor n",
}


def pulled(net, l, g, Z, A):
    """dE/dz of a layer from dE/da, right."""
    f, a = net.activations[l], A[l + 1]
    if f == "softmax":
        return a * (g - np.sum(g * a, axis=1, keepdims=True))
    return g * (OF_A[f](a) if f in ("sigmoid", "tanh") else FUNCTIONS[f][1](Z[l]))


def backward(net, bug="", at=(), k=None, other=""):
    """All gradients, by hand; with a mistake, or two, at some layers, or ``None`` where it cannot be made."""
    Z, A = net.forward(k if bug == "rounded values" else None)
    g, found = wrong_loss(net, other if other in LOSS_BUGS else bug, A[-1]), {}
    for l in reversed(range(len(net.W))):
        if g is None:
            return None
        here, f, x, w, b = l in at, net.activations[l], A[l], net.W[l], net.b[l]
        right = d = pulled(net, l, g, Z, A)
        for name in (bug, other):
            if here and f != "identity" and d is right:
                d = wrong_delta(net, name, k, f, g, d, Z[l], A[l + 1], x)
        if l == len(net.W) - 1:
            d = wrong_output_delta(net, bug, f, d, A[-1])
        if d is None:
            return None
        dw, db = np.einsum("nk,nj->kj", d, x), d.sum(0) if np.ndim(b) else d.sum()
        plain, back = dw, d @ w
        g = back
        for name in (bug, other) if here else ():
            dw = wrong_weights(net, name, k, d, dw, x, w, Z[l - 1] if l else None, A[l + 1])
            db = wrong_bias(net, name, k, d, db, b, x, A[l + 1])
            g = wrong_back(net, name, k, d, g, w, x, plain) if l and g is back else g
        if dw is None or db is None:
            return None
        found[f"W{l + 1}"], found[f"b{l + 1}"] = dw, db
    return found


LOSS_BUGS = {"target left out", "error not differentiated", "absolute error"}


def slope_of_loss(net):
    """c of c (y - t), the derivative of a squared error by the output, of a cross-entropy by the weighted sum."""
    known = {"half": 1, "quadratic": 1 / net.n, "mse": 2 / (net.n * net.m), "ce": 1 / net.n, "cce": 1 / net.n}
    return known.get(net.loss, 1 / (net.n * net.m))


def wrong_loss(net, bug, y):
    table = {
        "target left out": lambda: y,
        "error not differentiated": lambda: (y - net.T) ** 2,
        "absolute error": lambda: np.abs(y - net.T),
    }
    if bug not in table:
        return net.delta_y(y)
    return slope_of_loss(net) * table[bug]() if net.loss in ("half", "mse", "quadratic") else None


def wrong_output_delta(net, bug, f, d, y):
    squared, c = net.loss in ("half", "mse", "quadratic"), slope_of_loss(net)
    if bug == "cross-entropy's delta with a squared error":
        return c * (y - net.T) if squared and f != "softplus" else None
    if bug == "squared error's delta with a cross-entropy":
        p = y if f != "identity" else FUNCTIONS["softmax" if net.loss == "ce" else "sigmoid"][0](y)
        return None if squared else c * (p - net.T) * p * (1 - p)
    return d


def wrong_delta(net, bug, k, f, g, d, z, a, x):
    sigma = FUNCTIONS[f][1](z) if f != "softmax" else None
    if bug == "softmax elementwise":
        return g * a * (1 - a) if f == "softmax" else None
    table = {
        "sigma' missing": lambda: g,
        "sigma' at the activation": lambda: g * FUNCTIONS[f][1](a),
        "sigma' formula with the pre-activation": lambda: g * OF_A[f](z),
        "sigma' of another function": lambda: g * OF_A[k](a) if k != f else None,
        "activation for sigma'": lambda: g * a,
        "half of sigma'": lambda: g * (1 - a) if f == "sigmoid" else None,
        "sigma' twice": lambda: g * sigma * sigma,
        "minus for times at sigma'": lambda: g - sigma,
        "inner product for Hadamard": lambda: np.array([[row @ s] * len(s) for row, s in zip(g, sigma, strict=True)]),
        "relu mask from the wrong tensor": lambda: g * (g > 0) if f == "relu" else None,
    }
    return d if bug not in table else None if f == "softmax" else table[bug]()


def wrong_weights(net, bug, k, d, dw, x, w, z, a):
    table = {
        "outer product transposed": lambda: np.einsum("nk,nj->jk", d, x),
        "minus for times": lambda: np.sum([np.subtract.outer(-ds, -xs) for ds, xs in zip(d, x, strict=True)], axis=0),
        "weight for output": lambda: d.sum(0)[:, None] * w,
        "input left out": lambda: np.repeat(d.sum(0)[:, None], w.shape[1], 1),
        "own output for input": lambda: np.repeat((d * a).sum(0)[:, None], w.shape[1], 1),
        "pre-activation for activation": lambda: None if z is None else d.T @ z,
        "Hadamard for outer product": lambda: (d * x).sum(0) if d.shape == x.shape else None,
        "batch not summed": lambda: np.array([np.outer(p, q) for p, q in zip(d, x, strict=True)]) if len(x) > 1 else None,
    }
    return table[bug]() if bug in table else dw


def wrong_bias(net, bug, k, d, db, b, x, a):
    shared = np.ndim(b) == 0
    table = {
        "bias forgotten": lambda: np.zeros_like(b),
        "bias times input": lambda: (d * x[:, :1]).sum(None if shared else 0),
        "shared bias not summed": lambda: d.sum(0) if shared else None,
        "shared bias averaged": lambda: d.sum() / d.shape[1] if shared else None,
        "own bias summed over the layer": lambda: None if shared else np.full(b.shape, d.sum()),
        "batch not summed": lambda: d if len(x) > 1 else None,
    }
    return table[bug]() if bug in table else db


def wrong_back(net, bug, k, d, back, w, x, dw):
    ones = np.ones_like(x)
    table = {
        "weight gradients for delta times weight": lambda: ones * dw.sum(0),
        "output for weight": lambda: np.array([[sum(ds) * xj for xj in xs] for ds, xs in zip(d, x, strict=True)]),
        "weights not transposed": lambda: np.array([w @ ds for ds in d]) if w.shape[0] == w.shape[1] else None,
        "updated weights": lambda: d @ (w - LR * dw),
        "one path only": lambda: np.outer(d[:, 0], w[0]) if len(w) > 1 else None,
        "one path forgotten": lambda: d[:, 1:] @ w[1:] if len(w) > 2 else None,
        "mean over paths": lambda: back / len(w) if len(w) > 1 else None,
        "weight left out": lambda: ones * d.sum(1)[:, None],
        "Hadamard for matrix product": lambda: d * np.diag(w) if w.shape[0] == w.shape[1] else None,
        "minus for times at the weights": lambda: np.array([(w - ds[:, None]).sum(0) for ds in d]),
        "weights exchanged": lambda: d @ exchanged(w),
    }
    return table[bug]() if bug in table else back


def exchanged(w):
    w = w.copy()
    w.flat[0], w.flat[1] = w.flat[1], w.flat[0]
    return w


def scaled(net, c, only=None):
    return {name: c * g if only is None or name in only else g for name, g in backward(net).items()}


def other_name(net):
    c = {"half": 2 / (net.n * net.m), "mse": net.n * net.m / 2, "quadratic": 2 / net.m}.get(net.loss)
    return None if c is None else scaled(net, c)


WHOLE = {  # made without a place
    "sign flipped": lambda net, rng: scaled(net, -1, [None, ["W1"], ["W2", "b2"]][int(rng.integers(3))]),
    "factor 2": lambda net, rng: scaled(net, 2),
    "factor 1/2": lambda net, rng: scaled(net, 0.5, ["W1"]),
    "factor 1/n": lambda net, rng: scaled(net, 1 / net.n),
    "factor n": lambda net, rng: scaled(net, net.n),
    "factor 1/m": lambda net, rng: scaled(net, 1 / net.m),
    "factor m": lambda net, rng: scaled(net, net.m),
    "factor 1/(nm)": lambda net, rng: scaled(net, 1 / (net.n * net.m)),
    "factor nm": lambda net, rng: scaled(net, net.n * net.m),
    "loss of another name": lambda net, rng: other_name(net),
    "entries exchanged": lambda net, rng: dict(backward(net), W1=backward(net)["W1"].ravel()[::-1].reshape(net.W[0].shape)),
    "weight decay for momentum": lambda net, rng: decayed(net),
    "rounded values": lambda net, rng: backward(net, "rounded values", k=3),
    "missing or doubled factor": lambda net, rng: doubled(net),
    "stale values": lambda net, rng: stale(net)[0],
    "last digit": lambda net, rng: backward(net),  # and another digit when it is written
}


def doubled(net):
    """The weight's gradient with another weight in it."""
    if net.n > 1:
        return None
    found = backward(net)
    return dict(found, W1=found["W1"] * net.W[0] ** 2 * (1 - net.X))


def decayed(net):
    found = backward(net)
    return found | {f"W{i}": found[f"W{i}"] + 0.9 * w for i, w in enumerate(net.W, 1)}


def stale(net):
    old = [w + 0.1 for w in net.W]
    other = Net(net.activations, net.loss, net.style, net.shared, net.X, net.T, old, net.b)
    return backward(other), {f"W{i}": w.T if net.style == "x @ W" else w for i, w in enumerate(old, 1)}


def places(net, rng):
    hidden = list(range(len(net.W) - 1))
    return [[len(net.W) - 1], [int(rng.choice(hidden))], list(range(len(net.W)))]


def cases(name, rng, nets):
    """(network, wrong gradients) for one mistake."""
    for net in nets:
        right = backward(net)
        if name in WHOLE:
            tries = [WHOLE[name](net, rng)]
        else:
            tries = [backward(net, name, at, k=str(rng.choice(["sigmoid", "tanh"]))) for at in places(net, rng)]
        tries = [t for t in tries if t is not None and (name == "last digit" or differs(t, right)) and net.claims(t) is not None]
        if tries:
            yield net, tries[int(rng.integers(len(tries)))]


def differs(wrong, right):
    """Whether five digits show it."""
    return any(np.shape(wrong[x]) != np.shape(right[x]) or not np.allclose(wrong[x], right[x], 1e-4, 1e-9) for x in right)


NAMES = list(dict.fromkeys([m.name for m in CATALOGUE] + [f.name for f in FACTORS] + [m.name for m in OTHERS]))


def written(claims, digits, off):
    """Claims as they are written down with some digits, and how far off they may be; perhaps with another last digit."""
    claims = {name: np.asarray(c, dtype=float) for name, c in claims.items()}
    units = {name: 10.0 ** (np.ceil(np.log10(np.maximum(np.abs(c), 1e-30))) - digits) for name, c in claims.items()}
    return {x: (np.round(c / units[x]) + off) * units[x] for x, c in claims.items()}, {x: 0.5 * (1 + 1e-9) * u for x, u in units.items()}


def measured(kind, seed, digits=None, count=NETWORKS):
    """Mistake -> for each network whether it was named, whether it came first, and all that was named."""
    rng = np.random.default_rng(seed)
    nets, result = list(KINDS[kind](rng, 60)), collections.defaultdict(list)
    for name in NAMES:
        for net, wrong in itertools.islice(cases(name, rng, nets), count):
            claims, tolerances = net.claims(wrong), None
            if digits or name == "last digit":
                claims, tolerances = written(claims, digits or 7, name == "last digit")
            previous = net.named(stale(net)[1]) if name == "stale values" else None
            d = diagnose(net.program(), claims, tolerances, previous=previous)
            result[name].append([" and ".join(c.mistakes) for c in d.candidates])
    return result


@pytest.mark.parametrize(
    ("kind", "seed", "digits", "count"),
    [("matrices", 0, None, NETWORKS), ("matrices", 1, 5, NETWORKS), ("single numbers", 0, 5, SINGLE)],
)
def test_planted_mistakes_are_named(kind, seed, digits, count):
    result = measured(kind, seed, digits, count)
    possible = [name for name in NAMES if kind == "matrices" or name not in NEEDS_MATRICES]
    assert {name: len(found) for name, found in result.items()} == dict.fromkeys(possible, count)
    every = [(name, candidates) for name, found in result.items() for candidates in found]
    missed = [(name, candidates[:3]) for name, candidates in every if name not in candidates]
    assert len(missed) <= 0.02 * len(every), missed
    assert np.mean([candidates[:1] == [name] for name, candidates in every]) > 0.8  # the others give the same numbers
    assert np.mean([len(candidates) == 1 for _, candidates in every]) > 0.6


def test_the_backward_pass_by_hand_is_right():
    for net in networks(np.random.default_rng(0), 60):
        program = Program.of(net.tensor())
        assert len(Anatomy.of(program).layers) == len(net.W)
        for name, g in net.claims(backward(net)).items():
            np.testing.assert_allclose(program.gradients[program.place(name)], g, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_right_claims_are_never_called_wrong(kind):
    rng = np.random.default_rng(2)
    nets, told = list(KINDS[kind](rng, 200)), 0
    while told < RIGHT_CLAIMS:
        net = nets[int(rng.integers(len(nets)))]
        program = net.program()
        rights = {x: program.gradients[program.place(x)] for x in net.claims(backward(net))}
        elements = [(f"{x}{'_' * bool(g.ndim)}", x, i) for x, g in rights.items() for i in np.ndindex(g.shape)]
        claims = {}
        for _ in range(25):
            _, x, i = elements[int(rng.integers(len(elements)))]
            names = element_names(x, rights[x].shape)
            name = names[int(np.ravel_multi_index(i, rights[x].shape)) if i else 0]
            claims[name] = f"{rights[x][i]:.{int(rng.integers(2, 12))}e}"
        report = tg.check(program, claims)
        assert report.ok, str(report)
        assert not report.diagnosis
        assert report.diagnosis.wrong == ()
        told += 25


def test_the_course_example_is_named():
    report = tg.check(course_222.forward(), course_222.CLAIMS)
    assert [row.name for row in report if not row.ok] == ["w1", "w2", "w3", "w4"]
    assert report.diagnosis.mistake == "weight gradients for delta times weight"
    assert "dE/dw5 + dE/dw6, where delta times weight belongs" in " ".join(str(report.diagnosis).split())
    assert max(map(len, str(report.diagnosis).splitlines())) <= 80
    gradients = {row.name: (float(row.claim), float(row.autograd)) for row in report}
    assert all(gradients[w][0] * gradients[w][1] < 0 for w in ("w1", "w3"))


def test_what_two_outputs_hide_is_said():
    d = tg.check(step_by_step.forward(), {"w5": "0.082167041"}).diagnosis
    assert not d
    assert d.mistake is None
    assert "The claims are right" in str(d)
    assert "2/N" in str(d)
    assert str(tg.check(next(networks(np.random.default_rng(0), 1)).tensor(), {}).diagnosis) == "No mistake."


def test_an_unknown_mistake_says_how_far_the_claims_are_right():
    program = Program.of(step_by_step.forward())
    right = {name: program.gradients[program.place(name)] for name in ("net_o", "W2", "W1")}
    noise = np.random.default_rng(0).uniform(1, 3, (2, 2))
    d = diagnose(program, right | {"W1": right["W1"] * noise})
    assert not d
    assert "dE_total/dnet_o and dE_total/dW2 is still right" in " ".join(str(d).split())
    assert "The first that disagrees is dE_total/dW1" in str(d)
    assert "claim / right = 1.73" in str(diagnose(program, {"w1": 1.7345 * right["W1"][0, 0]}))


def test_two_mistakes_are_named():
    program = Program.of(step_by_step.forward())
    v = program.value
    delta_o, h, i = v("out_o") - v("target_o"), v("out_h"), v("i")
    d = diagnose(program, {"W2": np.outer(delta_o, h), "W1": np.outer((v("W2") @ delta_o) * h * (1 - h), i)})
    assert {"sigma' missing", "weights not transposed"} in [set(c.mistakes) for c in d.candidates]


FIRST = ["sigma' missing", "sigma' at the activation", "activation for sigma'", "half of sigma'", "sigma' twice"]
SECOND = [
    "weights not transposed", "one path only", "updated weights", "weight left out", "output for weight", "target left out",
    "weight for output", "minus for times", "own output for input", "bias forgotten", "bias times input",
]  # fmt: skip


def two_mistakes(kind, seed, every):
    """Pairs of mistakes, and what was named; each on another network."""
    rng = np.random.default_rng(seed)
    nets, found = list(KINDS[kind](rng, 40)), []
    for first, second in list(itertools.product(FIRST, SECOND))[::every]:
        for net in (nets[int(i)] for i in rng.permutation(len(nets))):
            at = list(range(len(net.W))) if rng.random() < 0.5 else [len(net.W) - 1]
            alone = [backward(net, name, at) for name in (first, second)]
            both = backward(net, first, at, other=second)
            if both is None or None in alone or not all(differs(both, one) for one in (*alone, backward(net))):
                continue
            if (claims := net.claims(both)) is None:
                continue
            candidates = [c.mistakes for c in diagnose(net.program(), claims, lr=LR).candidates]
            found.append(({first, second}, [set(c) for c in candidates]))
            break
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_mistakes_are_named(kind):
    found = two_mistakes(kind, 0, EVERY)
    assert len(found) == len(FIRST) * len(SECOND) // EVERY
    missed = [(pair, candidates) for pair, candidates in found if pair not in candidates]
    assert len(missed) <= 0.1 * len(found), missed


def test_a_new_weight_is_a_claim_too():
    program = Program.of(step_by_step.forward())
    d = diagnose(program, {"w5+": 0.40 + 0.5 * 0.082167041, "w6+": 0.408666186}, {"w5+": 1e-9, "w6+": 1e-9}, lr=0.5)
    assert d.wrong == ("w5+",)
    assert d.mistake == "sign flipped"


def test_the_weights_of_the_second_document_were_updated_first():
    """Its quoted results come from updating the output weights before the error passes them."""
    program = Program.of(step_by_step.forward())
    v = program.value
    delta, h, i = program.gradients[program.place("net_o")], v("out_h"), v("i")
    moved = v("W2") - 0.5 * np.outer(delta, h)
    d = diagnose(program, {"W1": np.outer((delta @ moved) * h * (1 - h), i)})
    assert d.mistake == "updated weights"
    assert "learning rate 0.5" in str(d)


def test_the_fourth_documents_listing_makes_two_mistakes():
    """Its update of the output weights is right; the error that passes the new weights has lost a factor."""
    program = Program.of(step_by_step.forward())
    v = program.value
    delta, h, i = program.gradients[program.place("net_o")], v("out_h"), v("i")
    moved = v("W2") - 0.5 * np.outer(delta, h)
    d = diagnose(program, {"W1": np.outer(((v("out_o") - v("target_o")) @ moved) * h * (1 - h), i)}, lr=0.5)
    assert d.mistake == "sigma' missing and updated weights"


def test_a_graph_that_is_no_network_has_factors_at_least():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    program = Program.of(np.sum(np.sin(x) * x).named("y"))
    assert diagnose(program, {"x": -program.gradients[0]}).mistake == "sign flipped"
    assert "The first that disagrees is dy/dx" in str(diagnose(program, {"x": [3.0, 0.1]}))


def test_the_page_is_the_catalogue():
    path = Path(__file__).parent.parent / "docs" / "mistakes.py"
    spec = importlib.util.spec_from_file_location("docs_mistakes", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = script.PAGE.read_text("utf-8")
    assert script.page(text) == text, "run docs/mistakes.py"
    assert all(f"| {name} |" in text for name in NAMES)


def test_the_first_documents_momentum_is_weight_decay():
    """It multiplies the weight itself, where the previous change of the weight belongs."""
    program = Program.of(step_by_step.forward())
    new = {name: 0.9 * program.value(name) - 0.5 * program.gradients[program.place(name)] for name in ("W1", "W2")}
    d = diagnose(program, {f"{name}+": value for name, value in new.items()}, lr=0.5)
    assert d.mistake == "weight decay for momentum"
    assert "0.2 times" in str(d)


def test_a_claim_that_is_not_a_number_is_said_to_be_none():
    assert "not a finite number" in str(tg.check(step_by_step.forward(), {"w5": float("nan")}).diagnosis)
    assert tg.check(step_by_step.forward(), {"w5": "0.082167042"}).diagnosis.mistake == "last digit"
