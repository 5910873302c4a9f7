"""Make the pages' pictures: ``python docs/make.py``. The tests compare them with what stands here."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import nn, optim
from tinygrad_bp.draw import plots
from tinygrad_bp.worked import bp_explained, data, four_equations, step_by_step, weight_update

PICTURES = Path(__file__).parent / "pictures"
GALLERY = Path(__file__).parent / "gallery.md"
LAYOUT = "graphviz-pure"  # one release of it draws the same bytes everywhere

DRAWINGS: dict[str, Callable[[], tg.draw.Drawing]] = {
    "graph": lambda: tg.draw.graph(step_by_step.forward()),
    "network": lambda: tg.draw.network(step_by_step.forward()),
}

NEURON_X, NEURON_TARGET = [[1.0], [2.0], [3.0], [4.0]], [[0.1], [0.3], [0.7], [0.9]]


def learning_curves() -> Any:
    """The first document's example: plain descent, momentum, and the formula that it prints for momentum."""
    kinds = {
        "plain descent": lambda params: optim.SGD(params, lr=0.5),
        "momentum 0.9": lambda params: optim.SGD(params, lr=0.5, momentum=0.9),
        "the printed formula, beta 0.9": bp_explained.printed_momentum,
    }
    return plots.learning_curves({name: bp_explained.train(updates=200, optimizer=kind)[1] for name, kind in kinds.items()})


def neuron_path(lr: float, momentum: float) -> Any:
    """Where gradient descent takes the weight and the bias of one neuron in 60 updates."""
    model = nn.MLP([1, 1], weights=[([[-0.8]], [1.5])])
    sgd = optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    history = optim.fit(model, nn.QuadraticCost(), NEURON_X, NEURON_TARGET, sgd, updates=60, record_weights=True)
    return np.column_stack([np.ravel(values) for values in history.weights.values()])


def neuron_cost(wb: Any) -> float:
    """Its cost as a function of the two."""
    model = nn.MLP([1, 1], weights=[([[wb[0]]], [wb[1]])])
    return float(nn.QuadraticCost()(model(np.array(NEURON_X)), np.array(NEURON_TARGET)).item())


def descent() -> Any:
    """One neuron, so that the loss surface can be drawn whole."""
    paths = {"plain, lr 4": neuron_path(4.0, 0.0), "momentum 0.9, lr 0.7": neuron_path(0.7, 0.9)}
    return plots.descent(neuron_cost, paths, labels=("weight w", "bias b"), limits=((-1.2, 2.2), (-5.0, 2.4)))


def iris() -> Any:
    """Accuracy with the fourth document's gradient and with the right one."""
    kinds = {"the listing's gradient": True, "the right gradient": False}
    samples = data.iris(0)
    return plots.learning_curves({name: weight_update.train(samples, kind, updates=2500)[1] for name, kind in kinds.items()}, "accuracy")


def reconstructions() -> Any:
    """Test digits, and what an auto-encoder with 16 hidden neurons makes of them."""
    samples = data.digits()
    model, _ = four_equations.auto_encoder(samples)
    return plots.reconstructions(samples.test_x[:12], model(samples.test_x[:12]).numpy())


PLOTS: dict[str, Callable[[], Any]] = {
    "learning_curves": learning_curves,
    "activations": plots.activations,
    "descent": descent,
    "iris": iris,
    "reconstructions": reconstructions,
}
NEEDED = ("matplotlib", "sklearn")


def gallery() -> dict[str, str]:
    """The SVGs that the gallery's own code saves: file name -> text."""
    blocks = re.findall(r"^```python\n(.*?)^```", GALLERY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(None):
        exec(compile("\n".join(blocks), str(GALLERY), "exec"), {"__name__": "__main__"})
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.svg"))}


def main() -> None:
    """Write every picture."""
    os.environ["GRAPHVIZ_DOT"] = LAYOUT
    PICTURES.mkdir(exist_ok=True)
    drawn = gallery() | {f"{name}.svg": draw().svg() for name, draw in DRAWINGS.items()}
    for name, text in drawn.items():
        (PICTURES / name).write_text(text, encoding="utf-8", newline="\n")
        print(PICTURES / name)
    if not all(map(importlib.util.find_spec, NEEDED)):
        print("the plots are left as they are; they need matplotlib and scikit-learn")
        return
    for name, plot in PLOTS.items():
        plot().savefig(PICTURES / f"{name}.svg", metadata={"Date": None})  # no date: the same picture is the same file
        print(PICTURES / f"{name}.svg")


if __name__ == "__main__":
    main()
