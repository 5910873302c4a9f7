"""Layers of neurons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tinygrad_bp.nn.module import Module, Parameter, Sequential
from tinygrad_bp.rules import affine, sigmoid

Bias = bool | Literal["shared"]


class Linear(Module):
    """``y = x @ weight.T + bias``: x (..., in_features), y (..., out_features).

    ``weight`` has shape (out_features, in_features), as in PyTorch. ``bias``: ``True`` for one per neuron, shape
    (out_features,); ``"shared"`` for a single number that all neurons of the layer share, shape (), as document
    "反向传播—BP" draws it; ``False`` for none. A bias that is not to be learned:
    ``layer.bias.requires_grad_(False)``.

    Both are drawn uniformly from +-1/sqrt(in_features), PyTorch's choice, from ``rng``: a
    ``numpy.random.Generator`` or a seed.

    >>> layer = Linear(2, 3, rng=0)
    >>> layer(np.ones((5, 2))).shape
    (5, 3)
    """

    def __init__(self, in_features: int, out_features: int, bias: Bias = True, *, dtype: Any = None, rng: Any = None) -> None:
        if bias not in (True, False, "shared"):
            raise ValueError(f'bias is True (one per neuron), "shared" (one per layer) or False; got {bias!r}')
        rng, bound = np.random.default_rng(rng), 1 / math.sqrt(max(in_features, 1))
        self.in_features, self.out_features, self.bias_kind = in_features, out_features, bias
        self.weight = Parameter(rng.uniform(-bound, bound, (out_features, in_features)), dtype=dtype)
        self.bias = Parameter(rng.uniform(-bound, bound, () if bias == "shared" else out_features), dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        return x @ self.weight.T if self.bias is None else affine(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias_kind!r}"


class Sigmoid(Module):
    """1 / (1 + exp(-x)), elementwise."""

    def forward(self, x: Any) -> Any:
        return sigmoid(x)


class Tanh(Module):
    """tanh(x), elementwise."""

    def forward(self, x: Any) -> Any:
        return np.tanh(x)


class MLP(Sequential):
    """A multi-layer perceptron: ``sizes`` neurons per layer, inputs first, an activation after each layer.

    It names what it computes, so that pictures and derivations can speak of it: ``net_h`` is the weighted input of
    layer ``h`` and ``out_h`` its output. ``layers`` gives the letters, hidden layers first (``h1``, ``h2`` ... and
    ``o`` unless told otherwise). State-dict keys are those of the same ``Sequential``: ``0.weight``, ``0.bias``,
    ``2.weight`` ...

    >>> model = MLP([2, 2, 1], bias="shared", rng=0)
    >>> model(np.array([0.05, 0.10])).name
    'out_o'
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: type[Module] = Sigmoid,
        bias: Bias = True,
        *,
        layers: Sequence[str] | None = None,
        dtype: Any = None,
        rng: Any = None,
    ) -> None:
        depth = len(sizes) - 1
        if depth < 1:
            raise ValueError(f"an MLP needs at least two sizes, inputs and outputs; got {list(sizes)}")
        rng = np.random.default_rng(rng)
        hidden = ["h"] if depth == 2 else [f"h{i}" for i in range(1, depth)]
        letters = list(layers) if layers is not None else [*hidden, "o"]
        if len(letters) != depth:
            raise ValueError(f"{depth} layers of neurons need {depth} letters; got {letters}")
        modules: list[Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            modules += [Linear(n_in, n_out, bias, dtype=dtype, rng=rng), activation()]
        super().__init__(*modules)
        self.names = [f"{kind}_{letter}" for letter in letters for kind in ("net", "out")]

    def forward(self, x: Any) -> Any:
        for module, name in zip(self.steps, self.names, strict=True):
            x = module(x)
            x.name = name
        return x
