"""The documents' examples by name: each a model, its run on one sample, and the learning rate.

>>> example = load("one_output")
>>> print(f"{example.loss():.9f}")
0.043577536
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tinygrad_bp import Tensor, nn
from tinygrad_bp.worked import bp_explained, course_222, four_equations, one_output, step_by_step, weight_update


class Example(NamedTuple):
    """A network as it is at the start, what makes the loss of it, and the document's learning rate."""

    model: Any
    forward: Callable[[Any], Tensor]
    lr: float

    def loss(self) -> Tensor:
        """The loss of one sample, with its graph."""
        return self.forward(self.model)


def _iris(model: nn.MLP) -> Tensor:
    """The first flower of the iris data, whose class is the first of three."""
    return weight_update.forward(model, [5.1, 3.5, 1.4, 0.2], [1.0, 0.0, 0.0])


EXAMPLES: dict[str, Callable[[], Example]] = {
    "step_by_step": lambda: Example(step_by_step.network(), step_by_step.forward, step_by_step.LR),
    "bp_explained": lambda: Example(bp_explained.Network(), bp_explained.forward, bp_explained.LR),
    "one_output": lambda: Example(one_output.Network(), one_output.forward, one_output.LR),
    "weight_update": lambda: Example(weight_update.network(), _iris, weight_update.LR),
    "four_equations": lambda: Example(four_equations.network([2, 3, 2]), four_equations.forward, four_equations.LR),
    "course_222": lambda: Example(course_222.network(), course_222.forward, 0.5),
}
"""The fifth document has no numbers of its own: its network is small here, with initial weights of its kind."""


def load(name: str) -> Example:
    """The example of that name."""
    return EXAMPLES[name]()
