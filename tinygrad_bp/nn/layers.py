"""Layers of neurons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from tinygrad_bp.errors import ShapeError
from tinygrad_bp.nn.activations import Sigmoid
from tinygrad_bp.nn.init import Init, drawn, uniform
from tinygrad_bp.nn.module import Module, Parameter, Sequential
from tinygrad_bp.rule import RULES
from tinygrad_bp.rules import affine, join
from tinygrad_bp.tensor import Name, Tensor, record

Bias = bool | Literal["shared", "unit"]
Activation = Module | type[Module]
AFFINE = RULES[affine]  # called by its rule: a layer runs too often to go through the door


class Linear(Module):
    """``y = x @ weight.T + bias``: x (..., in_features), y (..., out_features).

    ``weight`` has shape (out_features, in_features), as in PyTorch. ``bias`` says which biases there are:

    - ``True``: one per neuron, shape (out_features,).
    - ``"shared"``: one number for all neurons of the layer, shape (), as document "反向传播—BP" draws it. Its gradient
      is the sum of the layer's deltas.
    - ``"unit"``: a unit that is always 1 is appended to x, and the weight has one more column, the last: shape
      (out_features, in_features + 1), as in the listing of document "BP神经网络权重更新及推导". ``layer.bias`` is None.
    - ``False``: none.

    Biases of zero: ``bias_init=0``. A bias that is not to be learned: ``layer.bias.requires_grad_(False)``.

    ``init`` and ``bias_init`` are functions (shape, rng) -> array, of which ``nn.init`` has many, or numbers, or the
    values themselves; where they are left out, values are drawn evenly from +-1/sqrt(in_features), PyTorch's choice.
    With ``"unit"``, ``init`` gives all columns, unless ``bias_init`` is given too. ``rng`` is a
    ``numpy.random.Generator`` or a seed. Raises ``ShapeError`` for initial values of another shape.

    >>> layer = Linear(2, 3, rng=0)
    >>> layer(np.ones((5, 2))).shape
    (5, 3)
    >>> Linear(2, 3, bias="unit", init=0.5)(np.array([1.0, 1.0]))
    Tensor([1.5, 1.5, 1.5], requires_grad=True)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: Bias = True,
        *,
        init: Init = None,
        bias_init: Init = None,
        dtype: Any = None,
        rng: Any = None,
    ) -> None:
        if type(bias) not in (bool, str) or bias not in (True, False, "shared", "unit"):
            raise ValueError(
                f'bias is True (one per neuron), "shared" (one per layer), "unit" (a constant-1 unit) or False; got {bias!r}. '
                "Values are given by bias_init"
            )
        if bias_init is not None and not bias:
            raise ValueError("bias_init is given, but bias=False leaves no bias to give it to")
        self.in_features, self.out_features, self.bias_kind = in_features, out_features, bias
        bound = 1 / math.sqrt(max(in_features, 1))
        usual, rng = partial(uniform, low=-bound, high=bound), np.random.default_rng(rng)
        init, joined = (usual if init is None else init), bias == "unit" and bias_init is None
        bias_init = usual if bias_init is None else bias_init
        weight = drawn(init, (out_features, in_features + joined), rng)
        own = drawn(bias_init, () if bias == "shared" else (out_features,), rng) if bias and not joined else None
        if bias == "unit" and own is not None:
            weight, own = np.column_stack([weight, own]), None
        self.weight = Parameter(np.asfortranarray(weight), dtype=dtype)  # so weight.T, by which it multiplies, lies by rows: the fastest
        self.bias = None if own is None else Parameter(own, dtype=dtype)

    def forward(self, x: Any) -> Any:
        try:
            if self.bias is not None:
                return record(AFFINE, (x, self.weight, self.bias))
            return (with_unit(x) if self.bias_kind == "unit" else x) @ self.weight.T
        except (ShapeError, IndexError) as error:
            takes = f"Linear({self.extra_repr()}) takes x of shape (..., {self.in_features})"
            raise ShapeError(f"{takes}; got {x if x is None else np.shape(x)}") from error

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias_kind!r}"


def with_unit(x: Any) -> Any:
    """x (..., n) with a unit that is always 1 after the others: (..., n + 1)."""
    x = x if hasattr(x, "shape") else np.asarray(x)
    raw = x.raw if isinstance(x, Tensor) else x
    n = raw.shape[-1]
    joined = record(join(2), (x, np.ones_like(raw[..., :1])), {"axis": raw.ndim - 1, "bounds": (0, n, n + 1)})
    if isinstance(x, Tensor) and x.name and not joined.tracked:  # inputs: nothing leads back to their own tensor
        elements = getattr(x.name, "elements", ())
        joined.name = Name(x.name, [*elements, "unit"]) if elements and x.ndim == 1 else str(x.name)
    return joined


class MLP(Sequential):
    """A multi-layer perceptron: ``sizes`` neurons per layer, inputs first, an activation after each layer.

    ``activation``: a module or its class, for all layers, or a list with one for each layer, such as
    ``[nn.Tanh, nn.Softmax]``. ``bias``, ``init`` and ``bias_init`` are those of ``Linear``, the same for all layers.
    ``weights``, instead of the two, gives the values: (W, b) for each layer, or W alone where the layer has no bias
    of its own. W is (out, in); b a number, or one per neuron.

    It names what it computes, so that pictures and derivations can speak of it: ``net_h`` is the weighted input of
    layer ``h`` and ``out_h`` its output (the only name where the activation is ``Identity``: there the two are one).
    ``layers`` gives the letters, hidden layers first (``h1``, ``h2`` ... and ``o`` unless told otherwise). State-dict
    keys are those of the same ``Sequential``: ``0.weight``, ``0.bias``, ``2.weight`` ...

    Raises ``ValueError`` where there is not one activation, letter or pair of weights per layer, and ``ShapeError``
    for weights of another shape. Source: document "BP算法讲解", (3-1) to (3-3), with a g per layer.

    >>> from tinygrad_bp import nn
    >>> model = MLP([2, 2, 1], bias="shared", rng=0)
    >>> model(np.array([0.05, 0.10])).name
    'out_o'
    >>> weights = [([[0.15, 0.20], [0.25, 0.30]], 0.35), ([[0.40, 0.45], [0.50, 0.55]], 0.60)]
    >>> MLP([2, 2, 2], nn.Sigmoid, "shared", weights=weights)(np.array([0.05, 0.10])).numpy().round(6)
    array([0.751365, 0.772928])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation | Sequence[Activation] = Sigmoid,
        bias: Bias = True,
        *,
        weights: Sequence[Any] | None = None,
        init: Init = None,
        bias_init: Init = None,
        layers: Sequence[str] | None = None,
        dtype: Any = None,
        rng: Any = None,
    ) -> None:
        if not hasattr(sizes, "__len__"):
            raise TypeError(f"sizes are those of all layers, inputs first, in one list: nn.MLP([2, 2, 1]); got {sizes!r}")
        depth = len(sizes) - 1
        if depth < 1:
            raise ValueError(f"an MLP needs at least two sizes, inputs and outputs; got {list(sizes)}")
        if weights is not None and not (init is None and bias_init is None):
            raise ValueError("the values are given by weights, or by init and bias_init, not by both")
        rng = np.random.default_rng(rng)
        hidden = ["h"] if depth == 2 else [f"h{i}" for i in range(1, depth)]
        letters = _one_each("letters", depth, [*hidden, "o"] if layers is None else layers)
        values = [(init, bias_init)] * depth
        if weights is not None:
            values = [_pair(w, bias) for w in _one_each("pairs of weights", depth, weights)]
        activations = _one_each("activations", depth, activation if isinstance(activation, list | tuple) else [activation] * depth)
        modules: list[Module] = []
        for (n_in, n_out), (w, b), g in zip(itertools.pairwise(sizes), values, activations, strict=True):
            modules += [Linear(n_in, n_out, bias, init=w, bias_init=b, dtype=dtype, rng=rng), _module(g)]
        super().__init__(*modules)
        self.names = [f"{kind}_{letter}" for letter in letters for kind in ("net", "out")]

    def forward(self, x: Any) -> Any:
        for module, name in zip(self.steps, self.names, strict=True):
            x = module(x)
            x.name = name
        return x


def _one_each(what: str, depth: int, given: Sequence[Any]) -> list[Any]:
    if len(given) != depth:
        raise ValueError(f"{depth} layers of neurons need {depth} {what}; got {given if what == 'letters' else len(given)}")
    return list(given)


def _pair(given: Any, bias: Bias) -> tuple[Any, Any]:
    """(W, b) of a layer, b None where only W is given, which is enough where the layer has no bias of its own."""
    if isinstance(given, tuple | list) and len(given) == 2 and np.ndim(given[0]) == 2:
        return given[0], given[1]
    if bias in (True, "shared"):
        raise ValueError(f"weights are (W, b) for each layer where bias={bias!r}; got no b")
    return given, None


def _module(activation: Any) -> Module:
    made = activation() if isinstance(activation, type) else activation
    if not isinstance(made, Module):
        raise TypeError(f"an activation is a module, its class, or a list of one per layer; got {made!r}")
    return made
