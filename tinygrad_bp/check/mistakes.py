r"""The catalogue: the mistakes that people make in a backward pass by hand, an entry each.

An entry has the wrong formula as it is run, for a layer L and ``g``, the derivative that arrives there, with a row for
each sample (``anatomy`` has the letters). ``k`` is the variant where there are several. A formula that does not apply
returns ``None``. ``says`` is the sentence of the diagnosis, ``wrong`` the formula as it is found on paper; the right
one is that of its part:

- ``activation``: from the derivative by A to that by Z;
- ``back``: from the derivative by Z to that by X, the layer below;
- ``weights``, ``bias``: from the derivative by Z to those by W and b;
- ``loss``: the derivative of the loss by the network's output.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_bp.check.anatomy import SLOPES, Anatomy, Layer
from tinygrad_bp.functions import sum_to

Array = np.ndarray[Any, Any]
Formula = Callable[[Any, Array, Any], Any]

RIGHT = {
    "activation": r"\delta = \frac{\partial E}{\partial a} \odot \sigma'(z)",
    "back": r"\frac{\partial E}{\partial a^{l-1}} = W^T \delta",
    "weights": r"\frac{\partial E}{\partial W} = \delta \, x^T",
    "bias": r"\frac{\partial E}{\partial b} = \sum_{\mathrm{samples}} \delta",
    "loss": r"\frac{\partial E}{\partial y} = y - t",
    "factor": r"\frac{\partial E}{\partial w}",
    "values": r"\frac{\partial E}{\partial w}(w_t, x, z, a)",
    "update": r"w^{+} = w - \eta \frac{\partial E}{\partial w} + \mu (w - w_{t-1})",
    "entries": r"\frac{\partial E}{\partial w_{ij}}",
}
COMMON_LR = (0.5, 0.1, 0.01, 1.0, 0.05, 0.2, 0.25, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 0.001)
LARGE = 1_000_000  # numbers, which the gradients of each sample would take
MANY = 60  # variants of one mistake at one place


@dataclass(frozen=True)
class Mistake:
    """One entry of the catalogue."""

    name: str
    says: str
    wrong: str
    formulas: dict[str, Formula] = field(default_factory=dict)
    variants: Callable[[Layer, float | None], Iterable[Any]] = lambda layer, lr: (None,)
    source: str = ""

    @property
    def part(self) -> str:
        return next(iter(self.formulas), "entries")


def _slope(L: Layer) -> Array:
    """sigma'(z), right."""
    assert L.activation is not None
    return np.asarray(L.activation.slope.of_z(L.Z))


def _is(L: Layer, *names: str) -> bool:
    return L.activation is not None and L.activation.slope.name in names


def _wide(column: Array, like: Array) -> Array:
    return np.broadcast_to(column, like.shape)


def _to_bias(L: Layer, g: Array) -> Array:
    """Summed over samples, and over the neurons that share the bias."""
    shape = L.bias_shape
    return np.asarray(sum_to(g.T if L.columns and len(shape) == 2 else g, shape))


def _paths(L: Layer, lr: float | None) -> Iterable[int]:
    """The neurons that the layer below can be reached through."""
    n = L.W.shape[0]
    return [0, n - 1, *range(1, n - 1)][: MANY if n > 1 else 0]


def _samples(L: Layer, lr: float | None) -> Iterable[Any]:
    return (None, 0, -1) if len(L.X) > 1 and L.X.size * L.W.shape[0] < LARGE else ()


def _rates(L: Layer, lr: float | None) -> Iterable[tuple[float, str]]:
    """Learning rates, and whose update of the weights it was: by the same derivation, or by the right one beside it."""
    return [(rate, "its own") for rate in COMMON_LR] if lr is None else [(lr, "its own"), (lr, "the right one")]


def _exchanges(L: Layer, lr: float | None) -> Iterable[Any]:
    places = list(np.ndindex(L.W.shape))
    return itertools.islice(itertools.combinations(places, 2), MANY)


def _exchanged(W: Array, k: Any) -> Array:
    a, b = k
    other = W.copy()
    other[a], other[b] = W[b], W[a]
    return other


def _unsummed(L: Layer, each: Array, k: Any) -> Array:
    """What belongs to each sample, or to one."""
    return each if k is None else each[k]


def _mask(L: Layer, g: Array, k: str) -> Array | None:
    tensor = {"the gradient itself": g, "the layer's input": L.X}[k]
    return g * (tensor > 0) if _is(L, "relu") and tensor.shape == g.shape else None


def _hadamard(L: Layer, g: Array, k: str) -> Array | None:
    if k == "the diagonal alone":
        return g * np.diag(L.W) if L.W.shape[0] == L.W.shape[1] else None
    return L.W.T * g[0] if len(g) == 1 else None


def _hadamard_outer(L: Layer, g: Array, k: str) -> Array | None:
    if g.shape != L.X.shape or (k == "a row for each sample" and len(g) == 1):
        return None
    if k == "a row for each sample":
        return g * L.X
    product = np.sum(g * L.X, axis=0)
    return np.asarray(product) if k == "a vector" else _wide(product, L.W)


def _times_input(L: Layer, g: Array, k: Any) -> Array | None:
    if k == "its own output":
        return _to_bias(L, g * L.A)
    if k == "the inputs":
        return _to_bias(L, g * L.X) if g.shape == L.X.shape else None
    return _to_bias(L, g * L.X[:, k : k + 1])


def _shared(L: Layer, g: Array, k: Any) -> Array | None:
    if L.bias_shape or g.shape[1] == 1:
        return None
    each = np.sum(g, axis=0)
    return np.asarray(each if k is None else each[k])


def _other_slope(L: Layer, g: Array, k: str) -> Array | None:
    slope = next(s for s in SLOPES.values() if s.name == k).of_a(L.A)
    return None if _is(L, k) or np.all(slope == 1) else g * slope


def _entropy_delta(N: Anatomy, g: Array, k: Any) -> Any:
    return None if N.squared is None or N.target is None else N.squared * (N.Y - N.target)


def _squared_delta(N: Anatomy, g: Array, k: Any) -> Any:
    if N.entropy is None or N.target is None:
        return None
    return N.entropy * (N.probabilities - N.target) * N.probabilities * (1 - N.probabilities)


def _with_error(f: Callable[[Array, Array], Array]) -> Formula:
    """A formula of output and target in place of a squared error's y - t."""

    def formula(N: Anatomy, g: Array, k: Any) -> Any:
        return None if N.squared is None or N.target is None else N.squared * f(N.Y, N.target)

    return formula


DOC1, DOC2, DOC4 = "BP算法讲解", "反向传播—BP", "BP神经网络权重更新及推导"
GITHUB = "https://github.com/"

CATALOGUE: tuple[Mistake, ...] = (
    # -- the loss: at the output, and so in everything below --
    Mistake("target left out", "The target is missing: {out} stands where {out} - target belongs", "y",
            {"loss": _with_error(lambda y, t: y)}),
    Mistake("error not differentiated", "The error itself stands where its derivative belongs, (y - t)^2 for y - t", "(y - t)^2",
            {"loss": lambda N, g, k: None if N.squared is None else k * g * (N.Y - N.target)}, lambda L, lr: (1.0, 0.5)),
    Mistake("absolute error", "The sign of the error is lost: |y - t| stands where y - t belongs", "|y - t|",
            {"loss": _with_error(lambda y, t: np.abs(y - t))}),
    # -- sigma' --
    Mistake("sigma' missing", "Sigma' is missing at {place}: {slope} was left out of d{E}/d{net}",
            r"\frac{\partial E}{\partial a}", {"activation": lambda L, g, k: g},
            source=f"{DOC1}, 2.4; {GITHUB}jiexunsee/Neural-Network-with-Python/issues/1"),
    Mistake("cross-entropy's delta with a squared error", "Cross-entropy's delta was taken, {out} - target; the loss is a "
            "squared error, and {slope} belongs to d{E}/d{net}", "y - t", {"net": _entropy_delta},
            source=f"{DOC4}, the update of the hidden weights"),
    Mistake("squared error's delta with a cross-entropy", "The delta of a squared error was taken; with a cross-entropy "
            "the slope p * (1 - p) cancels, and d{E}/d{net} is p - t", r"(p - t) \odot p \odot (1 - p)", {"net": _squared_delta},
            source=f"asked for in {GITHUB}rasbt/python-machine-learning-book-2nd-edition/issues/54"),
    Mistake("softmax elementwise", "Softmax was differentiated as if elementwise at {place}: each output depends on all sums",
            r"\frac{\partial E}{\partial a} \odot a \odot (1 - a)",
            {"activation": lambda L, g, k: g * L.A * (1 - L.A) if _is(L, "softmax") else None},
            source=f"{GITHUB}deeplearning4j/libnd4j/issues/440"),
    Mistake("sigma' at the activation", "Sigma' was taken at {out}, which already is the activation; it belongs at {net}",
            r"\frac{\partial E}{\partial a} \odot \sigma'(a)", {"activation": lambda L, g, k: g * L.activation.slope.of_z(L.A)},
            source=f"{GITHUB}davidrmiller/neural2d/issues/40"),
    Mistake("sigma' formula with the pre-activation", "The formula of sigma' in terms of {out} was given {net}",
            r"\frac{\partial E}{\partial a} \odot z \odot (1 - z)", {"activation": lambda L, g, k: g * L.activation.slope.of_a(L.Z)},
            source=f"asked for in {GITHUB}lazyprogrammer/facial-expression-recognition/issues/2"),
    Mistake("sigma' of another function", "The derivative of {k} was taken at {place}; its activation is {f}",
            r"\frac{\partial E}{\partial a} \odot (1 - a^2)", {"activation": _other_slope}, lambda L, lr: ("sigmoid", "tanh", "relu"),
            source=f"{GITHUB}ttezel/nn/issues/8"),
    Mistake("activation for sigma'", "The activation {out} stands where its derivative belongs, at {place}",
            r"\frac{\partial E}{\partial a} \odot a", {"activation": lambda L, g, k: g * L.A}),
    Mistake("half of sigma'", "A factor of sigma' is missing at {place}: 1 - {out} alone stands for {slope}",
            r"\frac{\partial E}{\partial a} \odot (1 - a)", {"activation": lambda L, g, k: g * (1 - L.A) if _is(L, "sigmoid") else None},
            source=f"{GITHUB}neuroph/neuroph/issues/37"),
    Mistake("sigma' twice", "Sigma' was multiplied twice at {place}",
            r"\frac{\partial E}{\partial a} \odot \sigma'(z)^2", {"activation": lambda L, g, k: g * _slope(L) ** 2}),
    Mistake("minus for times at sigma'", "Minus stands where times belongs: d{E}/d{out} - sigma'",
            r"\frac{\partial E}{\partial a} - \sigma'(z)", {"activation": lambda L, g, k: g - _slope(L)}),
    Mistake("relu mask from the wrong tensor", "The mask of relu was taken from {k}; it belongs to {net}",
            r"\frac{\partial E}{\partial a} \odot [g > 0]", {"activation": _mask},
            lambda L, lr: ("the gradient itself", "the layer's input"),
            source=f"{GITHUB}exacity/deeplearningbook-chinese/issues/127"),
    Mistake("inner product for Hadamard", "A sum stands at {place} where the product with sigma' is elementwise",
            r"\left(\frac{\partial E}{\partial a}\right)^T \sigma'(z)",
            {"activation": lambda L, g, k: _wide(np.sum(g * _slope(L), axis=1, keepdims=True), g)},
            source=f"{DOC4}, the update of the output weights"),
    # -- back through the weights --
    Mistake("weight gradients for delta times weight", "Gradients of the weights were added up, {gradients}, where "
            "delta times weight belongs: d{E}/d{first} is {paths}", r"\sum_k \frac{\partial E}{\partial w_{kj}}",
            {"back": lambda L, g, k: _wide(np.sum(g.T @ L.X, axis=0), L.X)}, source="https://bcxiaobai.eu.org/post/11874.html"),
    Mistake("output for weight", "The layer's output {x} stands where the weight belongs: d{E}/d{first} is {paths}", r"\sum_k \delta_k a_j",
            {"back": lambda L, g, k: np.sum(g, axis=1, keepdims=True) * L.X}),
    Mistake("weights not transposed", "The weights {W} were not transposed on the way back to {x}", r"W \delta",
            {"back": lambda L, g, k: g @ L.W.T if L.W.shape[0] == L.W.shape[1] else None},
            source=f"{DOC4}, the words on error terms"),
    Mistake("updated weights", "The weights {W} were updated before they carried the error back to {x} (learning rate {k[0]:g})",
            r"\left(W - \eta \frac{\partial E}{\partial W}\right)^T \delta",
            {"back": lambda L, g, k: g @ (L.W - k[0] * (g.T @ L.X if k[1] == "its own" else L.right))}, _rates,
            source=f"the listing of {DOC4}; the results that {DOC2} quotes; {GITHUB}kim-marcel/basic_neural_network/issues/7"),
    Mistake("one path only", "Only one path was followed back to {x}, that through {neuron}; "
            "d{E}/d{first} is {paths}", r"w_{kj} \delta_k", {"back": lambda L, g, k: g[:, [k]] @ L.W[[k]]}, _paths,
            source=f"the listing of {DOC2}, a comment on the hidden weights"),
    Mistake("one path forgotten", "One path back to {x} was forgotten, that through {neuron}", r"\sum_{i \ne k} w_{ij} \delta_i",
            {"back": lambda L, g, k: g @ L.W - g[:, [k]] @ L.W[[k]] if len(L.W) > 2 else None}, _paths),
    Mistake("mean over paths", "The mean over the paths back to {x} was taken in place of their sum",
            r"\frac{1}{m} W^T \delta", {"back": lambda L, g, k: g @ L.W / len(L.W) if len(L.W) > 1 else None}),
    Mistake("weight left out", "The weights {W} are missing: the deltas were added up without them on the way back to {x}",
            r"\sum_k \delta_k", {"back": lambda L, g, k: _wide(np.sum(g, axis=1, keepdims=True), L.X)}),
    Mistake("Hadamard for matrix product", "An elementwise product with {W} ({k}) stands where the matrix product belongs",
            r"W^T \odot \delta", {"back": _hadamard}, lambda L, lr: ("the diagonal alone", "not summed")),
    Mistake("minus for times at the weights", "Minus stands where times belongs: {W} - delta", r"\sum_k (w_{kj} - \delta_k)",
            {"back": lambda L, g, k: _wide(np.sum(L.W, axis=0), L.X) - np.sum(g, axis=1, keepdims=True)},
            source=f"{DOC1}, (3-23)"),
    Mistake("weights exchanged", "Two weights of {W} changed places on the way back to {x}: {exchanged}", r"w_{kj} \leftrightarrow w_{jk}",
            {"back": lambda L, g, k: g @ _exchanged(L.W, k)}, _exchanges,
            source=f"{DOC2}, the hidden error in general, read as row and column"),
    # -- the weights --
    Mistake("outer product transposed", "The outer product for d{E}/d{W} is transposed", r"x \, \delta^T",
            {"weights": lambda L, g, k: (g.T @ L.X).T}),
    Mistake("minus for times", "Minus stands where times belongs in d{E}/d{W}: {x} - delta for {x} * delta", r"v - \delta",
            {"weights": lambda L, g, k: k * (np.sum(L.X, axis=0) - np.sum(g, axis=0)[:, None])}, lambda L, lr: (1, -1)),
    Mistake("weight for output", "The weights {W} stand in d{E}/d{W} where {x} belongs", r"\delta_k w_{kj}",
            {"weights": lambda L, g, k: np.sum(g, axis=0)[:, None] * L.W}),
    Mistake("input left out", "The input {x} is missing in d{E}/d{W}: delta alone stands there", r"\delta",
            {"weights": lambda L, g, k: _wide(np.sum(g, axis=0)[:, None], L.W)}),
    Mistake("own output for input", "The output {out} stands in d{E}/d{W} where {x}, the layer's input, belongs", r"\delta_k a_k",
            {"weights": lambda L, g, k: _wide(np.sum(g * L.A, axis=0)[:, None], L.W)}),
    Mistake("pre-activation for activation", "The weighted sums before {x} stand in d{E}/d{W} where {x} belongs", r"\delta \, z^T",
            {"weights": lambda L, g, k: None if L.below is None else g.T @ L.below}),
    Mistake("Hadamard for outer product", "An elementwise product of delta and {x} stands for the outer product ({k})",
            r"\delta \odot x", {"weights": _hadamard_outer}, lambda L, lr: ("a vector", "in every row", "a row for each sample")),
    Mistake("batch not summed", "The sum over the batch is missing in d{E}/d{W}, d{E}/d{b}", r"\delta_s x_s^T",
            {"weights": lambda L, g, k: _unsummed(L, g[:, :, None] * L.X[:, None, :], k), "bias": _unsummed}, _samples),
    # -- the bias --
    Mistake("bias forgotten", "The bias was forgotten: d{E}/d{b} is not zero", "0",
            {"bias": lambda L, g, k: np.zeros(L.bias_shape)},
            source=f"{DOC1}, 2.4; {DOC2}, step 2; {DOC4}"),
    Mistake("bias times input", "The gradient of the bias {b} was multiplied by {input}; a bias is a weight whose input is 1",
            r"\delta \, x", {"bias": _times_input}, lambda L, lr: ("the inputs", "its own output", *range(min(L.X.shape[1], MANY)))),
    Mistake("shared bias not summed", "The bias {b} is shared by the layer's neurons, so d{E}/d{b} is the sum of their deltas", r"\delta_k",
            {"bias": _shared}, lambda L, lr: (None, *range(L.W.shape[0])),
            source="the untitled document on a 2-2-1 network, its last words"),
    Mistake("shared bias averaged", "The bias {b} is shared: the mean of the deltas was taken in place of their sum",
            r"\frac{1}{m} \sum_k \delta_k",
            {"bias": lambda L, g, k: _to_bias(L, g) / g.shape[1] if not L.bias_shape and g.shape[1] > 1 else None}),
    Mistake("own bias summed over the layer", "Each neuron has a bias of its own in {b}; the deltas of all were added up",
            r"\sum_k \delta_k", {"bias": lambda L, g, k: np.full(L.bias_shape, np.sum(g)) if L.bias_shape else None},
            source=f"{DOC1}, (3-16) in (3-12)"),
)  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """A factor that is too many; ``value`` is for n samples and m outputs."""

    name: str
    value: Callable[[int, int], float]
    says: str
    wrong: str
    source: str = ""


FACTORS: tuple[Factor, ...] = (
    Factor("sign flipped", lambda n, m: -1.0, "the sign is flipped", r"-\frac{\partial E}{\partial w}",
           f"{DOC2}, step 2; {DOC1}, below (3-10)"),
    Factor("factor 2", lambda n, m: 2.0, "a factor of 2 is too many, as from a square whose 1/2 was forgotten",
           r"2 \frac{\partial E}{\partial w}",
           f"{DOC2}, step 2, and the document on a 2-2-1 network: the words for the loss"),
    Factor("factor 1/2", lambda n, m: 0.5, "a factor of 1/2 is too many, as from a square that was not differentiated",
           r"\frac12 \frac{\partial E}{\partial w}",
           f"{GITHUB}Open-Deep-ML/DML-OpenProblem/issues/54"),
    Factor("factor 1/n", lambda n, m: 1 / n, "divided by the {n} samples once too often: a mean where the sum belongs",
           r"\frac1n \frac{\partial E}{\partial w}",
           f"{GITHUB}d2l-ai/d2l-en/pull/1000"),
    Factor("factor n", lambda n, m: n, "the division by the {n} samples is missing: a sum where the mean belongs",
           r"n \frac{\partial E}{\partial w}",
           f"{GITHUB}hunkim/DeepLearningZeroToAll/issues/173"),
    Factor("factor 1/m", lambda n, m: 1 / m, "divided by the {m} outputs once too often: a mean where the sum belongs",
           r"\frac1m \frac{\partial E}{\partial w}"),
    Factor("factor m", lambda n, m: m, "the division by the {m} outputs is missing: a sum where the mean belongs",
           r"m \frac{\partial E}{\partial w}"),
    Factor("factor 1/(nm)", lambda n, m: 1 / (n * m), "divided by all {nm} numbers: a mean where the sum belongs",
           r"\frac1{nm} \frac{\partial E}{\partial w}"),
    Factor("factor nm", lambda n, m: n * m, "the division by all {nm} numbers is missing: a sum where the mean belongs",
           r"nm \frac{\partial E}{\partial w}"),
    Factor("loss of another name", lambda n, m: 2 / (n * m), "this is the derivative of the mean of squares, not of half their sum",
           r"\frac{2}{nm} (y - t)",
           f"{DOC1}, (3-6-1) beside (3-13)"),
    Factor("loss of another name", lambda n, m: n * m / 2, "this is the derivative of half the sum of squares, not of their mean",
           r"y - t"),
    Factor("loss of another name", lambda n, m: 2 / m, "this is the derivative of the mean of squares, not of the quadratic cost",
           r"\frac{2}{nm} (y - t)"),
    Factor("loss of another name", lambda n, m: m / 2, "this is the derivative of the quadratic cost, not of the mean of squares",
           r"\frac{1}{n} (y - t)"),
)  # fmt: skip

OTHERS: tuple[Mistake, ...] = (
    Mistake("entries exchanged", "The numbers are right, but in other places: {exchanged}", r"\frac{\partial E}{\partial w_{ji}}"),
    Mistake("last digit", "The last digit that was written is off, from rounding on the way",
            r"\frac{\partial E}{\partial w} \pm \epsilon",
            source=f"{DOC1}, 2.4; {DOC2}, step 2"),
    Mistake("rounded values", "The values on the way were rounded to {k} decimals", r"\mathrm{round}(a)",
            {"values": lambda L, g, k: None},
            source=f"{DOC1}, 2.4"),
    Mistake("stale values", "Values of the previous step were used: {k}", r"w_{t-1}", {"values": lambda L, g, k: None},
            source=f"the listing of {DOC1}: the loss and outputs printed beside new weights"),
    Mistake("weight decay for momentum", "A multiple of the weight itself, {c:g} times, was added, which is weight decay; "
            "momentum adds a multiple of the previous change", r"\frac{\partial E}{\partial w} + \mu w",
            {"update": lambda L, g, k: None}, source=f"{DOC1}, its rule for momentum"),
    Mistake("missing or doubled factor", "Claim / right = {k}", r"\prod q^{\pm 1}"),
)  # fmt: skip
