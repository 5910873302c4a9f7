"""Plots of training, with matplotlib: learning curves, activation functions, descent over a loss surface, images.

Each function returns a matplotlib ``Figure``, which a notebook shows and ``.savefig(path)`` saves, and draws on ``ax=``
where one is given. matplotlib is imported when the first of them is called: ``pip install "tinygrad_bp[plots]"``.
"""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_bp.draw.labels import BLUE, GREEN, ORANGE, PURPLE, VERMILLION
from tinygrad_bp.optim.history import History
from tinygrad_bp.rules import leaky_relu, relu, sigmoid, softplus
from tinygrad_bp.tensor import Tensor

# Line and dash differ together with colour: nothing depends on colour alone.
STYLES = ((BLUE, "-"), (VERMILLION, "--"), (GREEN, "-."), (PURPLE, ":"), (ORANGE, (0, (6, 1, 1, 1, 1, 1))), ("black", (0, (1, 2))))
MARKERS = "os^Dv*"
PAGE = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "svg.hashsalt": "tinygrad_bp"}
WHAT = {
    "loss": "training loss",
    "accuracy": "training accuracy",
    "validation_loss": "validation loss",
    "validation_accuracy": "validation accuracy",
    "lr": "learning rate",
}


def learning_curves(
    histories: History | Mapping[str, History], what: str = "loss", *, log: bool | None = None, title: str = "", ax: Any = None
) -> Any:
    """What happened during training, over the number of updates: one curve per history.

    ``histories``: a history of ``optim.fit``, or name -> history. ``what``: ``"loss"``, ``"accuracy"``,
    ``"validation_loss"``, ``"validation_accuracy"`` or ``"lr"``. ``log``: a logarithmic axis, by default for losses.
    Raises ``ValueError`` for another quantity or one that was not recorded, ``ImportError`` without matplotlib.

    >>> learning_curves({"plain": History(loss=[0.5, 0.3], at=[0, 1])}, what="speed")
    Traceback (most recent call last):
        ...
    ValueError: what is one of loss, accuracy, validation_loss, validation_accuracy, lr; got 'speed'
    """
    if what not in WHAT:
        raise ValueError(f"what is one of {', '.join(WHAT)}; got {what!r}")
    named = {"": histories} if isinstance(histories, History) else dict(histories)
    if any(not getattr(h, what) for h in named.values()):
        raise ValueError(f"a history has no {WHAT[what]}: ask fit for it, with accuracy=True or validation=(x, target)")
    figure, ax = _axes(ax)
    for (name, history), (colour, dash) in zip(named.items(), STYLES * len(named), strict=False):
        ax.plot(history.at, getattr(history, what), color=colour, linestyle=dash, linewidth=2, label=name)
    if log or (log is None and what.endswith("loss")):
        ax.set_yscale("log")
    ax.set(xlabel="updates", ylabel=WHAT[what], title=title)
    if what.endswith("accuracy"):
        ax.set_ylim(-0.02, 1.02)
    ax.grid(alpha=0.3)
    if any(named):
        _legend(ax)
    return figure


def activation(function: Callable[[Any], Any], name: str | None = None, *, low: float = -5.0, high: float = 5.0, ax: Any = None) -> Any:
    """An activation function and its derivative, which ``backward`` computes, over weighted inputs from low to high.

    ``function``: one that works elementwise, such as ``tg.sigmoid`` or a module of ``nn``. Where it has a kink the two
    sides' derivatives are drawn, not joined. Raises ``ImportError`` without matplotlib.
    """
    figure, ax = _axes(ax, (5, 4))
    x = Tensor(np.linspace(low, high, 401), requires_grad=True)
    y = function(x)
    y.sum().backward()
    slope = np.asarray(x.grad)
    jumps = np.flatnonzero(np.abs(np.diff(slope)) > 0.2) + 1  # more than any smooth derivative changes from point to point
    ax.plot(x.numpy(), y.numpy(), color=BLUE, linewidth=2, label="g(z)")
    ax.plot(
        np.insert(x.numpy(), jumps, np.nan), np.insert(slope, jumps, np.nan), color=VERMILLION, linestyle="--", linewidth=2, label="g'(z)"
    )
    ax.set(xlabel="z", title=name or getattr(function, "__name__", type(function).__name__))
    ax.axhline(0, color="black", linewidth=0.6)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.grid(alpha=0.3)
    ax.legend(loc="upper left")
    return figure


def activations(chosen: Mapping[str, Callable[[Any], Any]] | None = None) -> Any:
    """A panel for each activation function with its derivative; sigmoid, tanh, relu and three more unless others are given.

    Raises ``ImportError`` without matplotlib.
    """
    chosen = chosen or {
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "relu": relu,
        "leaky_relu, slope 0.1": lambda z: leaky_relu(z, slope=0.1),
        "softplus": softplus,
        "identity": lambda z: z * 1.0,
    }
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = _figure((4 * columns, 3.2 * rows))
    with _page():
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, (name, function) in zip(panels, chosen.items(), strict=False):
            activation(function, name, ax=panel)
    for panel in panels[len(chosen) :]:
        panel.remove()
    return figure


def descent(
    loss: Callable[[Any], Any],
    paths: Mapping[str, Any],
    *,
    labels: Sequence[str] = ("w1", "w2"),
    limits: Sequence[Sequence[float]] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Paths of gradient descent over the loss as a function of two weights, drawn as lines of equal height.

    ``loss``: a function of an array of two numbers. ``paths``: name -> positions (updates + 1, 2), the start first.
    ``limits``: ((left, right), (bottom, top)); the paths and a margin unless given. Raises ``ValueError`` for positions
    of another shape, ``ImportError`` without matplotlib.
    """
    tracks = {name: np.asarray(path, dtype=float) for name, path in paths.items()}
    if not tracks or any(p.ndim != 2 or p.shape[1] != 2 for p in tracks.values()):
        raise ValueError(f"paths have shape (updates + 1, 2); got {[p.shape for p in tracks.values()]}")
    figure, ax = _axes(ax, (8, 6))
    (left, right), (bottom, top) = limits or _around(np.concatenate(list(tracks.values())))
    xs, ys = np.linspace(left, right, 61), np.linspace(bottom, top, 61)
    heights = np.array([[float(loss(np.array([x, y]))) for x in xs] for y in ys])
    lines = ax.contour(xs, ys, heights, levels=_levels(heights), colors="#767676", linewidths=0.8)
    ax.clabel(lines, lines.levels[1::2], fontsize=9, fmt="%.2g")
    for (name, path), (colour, dash), marker in zip(tracks.items(), STYLES, MARKERS, strict=False):
        ax.plot(*path.T, color=colour, linestyle=dash, marker=marker, markersize=4, linewidth=1.8, label=name)
    start = next(iter(tracks.values()))[0]
    ax.plot(*start, marker="o", markersize=11, markerfacecolor="none", markeredgecolor="black", linestyle="none", label="start")
    ax.set(xlabel=labels[0], ylabel=labels[1], xlim=(left, right), ylim=(bottom, top), title=title)
    _legend(ax)
    return figure


def reconstructions(originals: Any, outputs: Any, shape: tuple[int, int] = (8, 8), *, title: str = "", ax: Any = None) -> Any:
    """Images above, and below each what an auto-encoder makes of it; both (n, pixels) from 0, white, to 1, black.

    Raises ``ValueError`` for arrays of different shapes, ``ImportError`` without matplotlib.
    """
    above, below = np.asarray(originals), np.asarray(outputs)
    if above.shape != below.shape or above.ndim != 2 or above.shape[1] != shape[0] * shape[1]:
        raise ValueError(f"originals and outputs have shape (n, {shape[0] * shape[1]}); got {above.shape} and {below.shape}")
    figure, ax = _axes(ax, (9, 0.4 + 8 * 2 * (shape[0] + 2) / (len(above) * (shape[1] + 2))))
    gap = ((1, 1), (1, 1))
    rows = [np.hstack([np.pad(image.reshape(shape), gap) for image in images]) for images in (above, below)]
    ax.imshow(np.vstack(rows), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    height = shape[0] + 2
    ax.set_yticks([height / 2 - 0.5, height * 1.5 - 0.5], ["original", "output"])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    return figure


def _legend(ax: Any) -> None:
    """Below the axes, where it covers nothing."""
    handles, names = ax.get_legend_handles_labels()
    size = ax.xaxis.label.get_size()
    ax.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False, fontsize=size)


def _levels(heights: Any) -> Any:
    """Heights of contours: closer where it is low, for there the descent ends."""
    low, high = float(np.min(heights)), float(np.max(heights))
    return low + (high - low) * np.linspace(0.06, 0.98, 12) ** 2.5


def _around(points: Any, margin: float = 0.15) -> tuple[tuple[float, float], tuple[float, float]]:
    """The rectangle around the points, with room on each side."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = margin * np.maximum(high - low, 1e-3)
    (left, bottom), (right, top) = low - room, high + room
    return (left, right), (bottom, top)


def _matplotlib(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "tinygrad_bp[plots]"') from error


def _page() -> Any:
    return _matplotlib("matplotlib").rc_context(PAGE)


def _axes(ax: Any, size: tuple[float, float] = (8, 4.5)) -> tuple[Any, Any]:
    """(figure, axes): those given, or new ones."""
    if ax is not None:
        return ax.figure, ax
    with _page():
        figure = _figure(size)
        return figure, figure.add_subplot()


def _figure(size: tuple[float, float]) -> Any:
    return _plot_class()(figsize=size, layout="constrained")


@functools.cache
def _plot_class() -> Any:
    """A Figure that shows itself in a notebook, whether pyplot has been imported there or not."""

    class Plot(_matplotlib("matplotlib.figure").Figure):  # type: ignore[misc]
        def _repr_png_(self) -> bytes:
            out = io.BytesIO()
            self.savefig(out, format="png")
            return out.getvalue()

    return Plot
