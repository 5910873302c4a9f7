"""What happened during training, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(repr=False)
class History:
    """The record of a training run. ``print(history)`` is a short summary.

    ``loss[k]`` is the training loss of the weights after ``at[k]`` updates: ``loss[0]`` that of the weights at the
    start, ``loss[-1]`` that of the weights after the last update. The other lists go with it: ``lr``, and where asked
    for ``accuracy``, ``validation_loss``, ``validation_accuracy`` and ``weights[name]`` (arrays).

    ``batch_loss[k]`` is the loss of the samples that update k + 1 used, before it: with all samples, the training
    loss; with mini-batches, the noisy one.

    >>> History(loss=[0.5, 0.25], at=[0, 1], updates=1, epochs=1, stopped="1 update made")
    History: 1 update, 1 epoch; 1 update made
      training loss 0.5 -> 0.25
    """

    loss: list[float] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    weights: dict[str, list[Any]] = field(default_factory=dict)
    batch_loss: list[float] = field(default_factory=list)
    updates: int = 0
    """How many updates were made."""
    epochs: int = 0
    """How many epochs were completed."""
    stopped: str = ""
    """Why training stopped, in words."""
    restored: int | None = None
    """Where the best weights were put back: after how many updates they were found."""
    best: dict[str, Any] = field(default_factory=dict)
    """``value`` and ``at`` of the lowest loss so far (validation loss, where there is one), ``stale``: measurements
    since then, and the ``weights``, if they are to be put back."""
    position: dict[str, Any] = field(default_factory=dict)
    """Where the random numbers and the order of samples stand: what ``fit(..., resume=history)`` needs."""

    @property
    def final_loss(self) -> float:
        """The training loss of the weights that the model was left with."""
        return self.loss[-1 if self.restored is None else self.at.index(self.restored)]

    def __repr__(self) -> str:
        lines = [f"History: {_count(self.updates, 'update')}, {_count(self.epochs, 'epoch')}; {self.stopped or 'still running'}"]
        for label, values in self._curves():
            if values:
                lines.append(f"  {label} {values[0]:.6g} -> {values[-1]:.6g}")
        if self.restored is not None:
            lines.append(f"  the weights are those after {_count(self.restored, 'update')}, training loss {self.final_loss:.6g}")
        return "\n".join(lines)

    def _curves(self) -> list[tuple[str, list[float]]]:
        return [
            ("training loss", self.loss),
            ("training accuracy", self.accuracy),
            ("validation loss", self.validation_loss),
            ("validation accuracy", self.validation_accuracy),
        ]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
