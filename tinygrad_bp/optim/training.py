"""The training loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_bp.errors import DivergenceError, GraphError, ShapeError
from tinygrad_bp.modes import no_grad
from tinygrad_bp.optim import metrics
from tinygrad_bp.optim.batches import Batches
from tinygrad_bp.optim.clipping import clip_grad_norm_
from tinygrad_bp.optim.history import History
from tinygrad_bp.optim.optimizer import Optimizer, copied, put_back
from tinygrad_bp.optim.progress import CtrlC, display
from tinygrad_bp.optim.schedules import Schedule
from tinygrad_bp.tensor import Tensor


def fit(
    model: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any],
    x: Any,
    target: Any,
    optimizer: Optimizer,
    *,
    updates: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    sampling: str = "shuffle",
    threshold: float | None = None,
    patience: int | None = None,
    validation: tuple[Any, Any] | None = None,
    accuracy: bool | Callable[[Any, Any], float] | None = None,
    schedule: Schedule | None = None,
    callbacks: Iterable[Callable[[State], object]] = (),
    clip_norm: float | None = None,
    measure_every: int | None = None,
    record_weights: bool = False,
    restore_best: bool | None = None,
    resume: History | None = None,
    rng: Any = None,
    progress: bool | None = None,
) -> History:
    """Minimise ``loss(model(x), target)`` over the optimizer's parameters, and return what happened.

    **Samples.** The first axis of ``x`` and ``target`` counts samples; without ``batch_size`` every update uses all
    of them, and a single sample may come without that axis. With ``batch_size`` an update uses that many: each epoch
    takes every sample once in a new order (``sampling="shuffle"``) or as they come (``"order"``), or each batch is
    drawn anew (``"random"``). So ``batch_size=1, sampling="random"`` is one random sample at a time, as the XOR
    listing of document "反向传播—BP" does it. ``rng`` is a ``numpy.random.Generator`` or a seed.

    **The end.** After ``updates``, after ``epochs`` (of full batches one update each), when the training loss is at
    or below ``threshold``, or when the loss has not become lower for ``patience`` measurements (the validation loss
    where there is one); the first that happens. With nothing but a threshold it may run for ever. Ctrl-C ends it
    after the update that is running, puts back the weights with the lowest loss measured, and the history is returned as
    ever. However else it ended, the weights are the last ones; ``restore_best=True`` puts the best back always, and
    ``False`` never, so that an interrupted run goes on where it was.

    **Measurements** are made every ``measure_every`` updates (by default after each update of a full batch and each
    epoch of mini-batches), at the start and at the end: the training loss over all samples, that of the current
    weights; loss and accuracy on ``validation``, a pair (x, target); ``accuracy=True`` or a function of output and
    target; with ``record_weights`` all weights. Then ``callbacks`` are called with a ``State``. Threshold and
    patience are looked at here. ``History`` says how the lists belong together. What needs a pass of its own
    (validation, and mini-batches) is computed in ``eval()`` mode; the loss of a full batch is the one whose gradient
    is taken.

    **The rest.** ``schedule.step()`` is called after every epoch. ``clip_norm`` limits the norm of the gradients
    (``clip_grad_norm_``). ``resume`` continues the run of an earlier history: ``updates`` and ``epochs`` count from
    its start, and ``rng`` is not used; with model and optimizer as they were then (``load_checkpoint``) it goes on
    bit for bit. ``progress``: on a terminal, ``None`` shows a line after a second, ``True`` at once, ``False``
    never; elsewhere there is none.

    Raises ``DivergenceError`` when the loss becomes NaN or infinite, with the weights back at the last finite loss
    and the history in its ``history``; ``ShapeError`` for x and target of different lengths; ``GraphError`` where the
    loss depends on none of the optimizer's parameters; ``ValueError`` for no data, a batch larger than the data, or no
    condition for the end.

    It lives in ``optim`` and not in ``nn``: it needs an optimizer and anything that can be called, a module or not, and
    ``nn`` need know nothing of optimizers.

    >>> from tinygrad_bp import nn, optim
    >>> model = nn.MLP([2, 2, 2], rng=0)
    >>> sgd = optim.SGD(model.parameters(), lr=0.5)
    >>> history = optim.fit(model, nn.HalfSquaredError(), [0.05, 0.10], [0.01, 0.99], sgd, updates=1000, threshold=0.01)
    >>> history.updates, history.final_loss <= 0.01
    (69, True)
    >>> history.loss[-1] == nn.HalfSquaredError()(model([0.05, 0.10]), np.array([0.01, 0.99])).item()
    True
    """
    if updates is None and epochs is None and threshold is None and patience is None:
        raise ValueError("say when to stop: updates=, epochs=, threshold= or patience=")
    _whole(0, updates=updates, epochs=epochs)
    _whole(1, patience=patience, measure_every=measure_every)
    data = _Data(x, target, batch_size is not None)
    batches = None if batch_size is None else Batches(data.samples, batch_size, sampling, rng)
    history = History() if resume is None else copy.deepcopy(resume)
    if resume is not None and batches is not None:
        batches.go_to(history.position)
    _Run(
        model=model,
        criterion=loss,
        data=data,
        batches=batches,
        state=State(model, optimizer, schedule, history),
        limits=_Limits(updates, epochs, threshold, patience),
        validation=None if validation is None else _Data(*validation, False),
        accuracy=metrics.accuracy if accuracy is True else accuracy or None,
        callbacks=list(callbacks),
        clip_norm=clip_norm,
        every=measure_every or (1 if batches is None else batches.per_epoch),
        record_weights=record_weights,
        restore_best=restore_best,
    ).start(progress)
    return history


def _whole(least: int, **numbers: Any) -> None:
    for name, n in numbers.items():
        if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < least):
            raise ValueError(f"{name} is a whole number, {'at least 1' if least else 'not negative'}; got {n!r}")


@dataclass
class State:
    """What a callback of ``fit`` gets: everything in it is live. ``state.stop("why")`` ends training.

    ``state.history.updates`` is the number of updates made and ``state.history.loss[-1]`` the loss that they led to.
    """

    model: Any
    optimizer: Optimizer
    schedule: Schedule | None
    history: History
    reason: str = ""

    def stop(self, reason: str = "a callback asked to stop") -> None:
        """End training now, before the next update."""
        self.reason = reason


@dataclass
class _Limits:
    """When training is over."""

    updates: int | None
    epochs: int | None
    threshold: float | None
    patience: int | None

    def reached(self, h: History) -> str:
        if self.updates is not None and h.updates >= self.updates:
            return "all updates made"
        return "all epochs made" if self.epochs is not None and h.epochs >= self.epochs else ""

    def satisfied(self, h: History) -> str:
        if self.threshold is not None and h.loss[-1] <= self.threshold:
            return f"the training loss reached the threshold {self.threshold:g}"
        if self.patience is not None and h.best["stale"] >= self.patience:
            return f"no lower loss in {self.patience} measurements"
        return ""

    def total(self, per_epoch: int) -> int | None:
        both = [n for n in (self.updates, None if self.epochs is None else self.epochs * per_epoch) if n is not None]
        return min(both, default=None)


class _Data:
    """Samples and what is wanted for them."""

    def __init__(self, x: Any, target: Any, batched: bool) -> None:
        self.x, self.target = (a if isinstance(a, Tensor) else Tensor(a) for a in (x, target))
        if 0 in self.x.shape[:1] or 0 in self.target.shape[:1]:
            raise ValueError(f"there are no samples: x has shape {self.x.shape} and target {self.target.shape}")
        self.samples = self.x.shape[0] if self.x.ndim else 1
        if (batched or self.x.ndim > 1) and self.target.shape[:1] != (self.samples,):
            raise ShapeError(f"x has shape {self.x.shape} and target {self.target.shape}: the first axis counts the samples of both")

    def take(self, samples: Any) -> tuple[Tensor, Tensor]:
        return Tensor(self.x.raw[samples]), Tensor(self.target.raw[samples])


@dataclass
class _Run:
    """One call of ``fit``."""

    model: Any
    criterion: Any
    data: _Data
    batches: Batches | None
    state: State
    limits: _Limits
    validation: _Data | None
    accuracy: Callable[[Any, Any], float] | None
    callbacks: list[Callable[[State], object]]
    clip_norm: float | None
    every: int
    record_weights: bool
    restore_best: bool | None

    def __post_init__(self) -> None:
        self.history, self.optimizer = self.state.history, self.state.optimizer
        self.per_epoch = 1 if self.batches is None else self.batches.per_epoch
        if self.restore_best and not self.history.best.get("weights"):
            self.history.best = {}  # a resumed run that did not keep its best weights: the best from here on
        self.kept: list[Any] = []  # the parameters at the last update whose loss was finite
        self.pending: Any = None  # a loss that is computed, but not yet differentiated

    def start(self, show: bool | None) -> None:
        self.display = display(show, self.limits.total(self.per_epoch))
        self.history.restored, mode = None, getattr(self.model, "training", None)
        self.set_mode(True)
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"), CtrlC() as ctrl_c:  # an error of ours follows
                self.loop(ctrl_c)
        except DivergenceError as error:
            if self.kept:
                put_back(self.optimizer.params, self.kept)
            self.history.stopped, error.history = "the loss became NaN or infinite", self.history
            self.restore()
            raise
        finally:
            self.display.close()
            self.set_mode(mode)
        self.restore()

    def restore(self) -> None:
        """Put the best weights back, where that was asked for."""
        wanted = self.history.stopped == CtrlC.REASON if self.restore_best is None else self.restore_best
        if wanted and self.history.best and self.history.best["weights"]:
            put_back(self.optimizer.params, self.history.best["weights"])
            self.history.restored = self.history.best["at"]

    def loop(self, ctrl_c: CtrlC) -> None:
        h = self.history
        while True:
            if self.batches is None:
                self.pending = self.compute(self.data.x, self.data.target)
            h.stopped = self.limits.reached(h) or ctrl_c.reason
            if h.stopped or h.updates % self.every == 0:
                self.measure()
                for callback in self.callbacks:
                    callback(self.state)
                h.stopped = h.stopped or self.limits.satisfied(h) or self.state.reason or ctrl_c.reason
            if h.stopped:
                return
            if self.batches is not None:
                self.pending = self.compute(*self.data.take(self.batches.take(h.updates)))
            self.update()

    def compute(self, x: Tensor, target: Tensor) -> Any:
        self.batch = x, target
        self.output = self.model(x)
        loss = self.criterion(self.output, target)
        if loss.size != 1:
            raise ShapeError(f"the loss has shape {loss.shape}; fit minimises a single number: take .sum() or .mean() of it")
        return loss

    def update(self) -> None:
        """One step of the optimizer, from the loss that is computed already."""
        h, value = self.history, self.finite(self.pending.item())
        self.kept = [copied(p.raw) for p in self.optimizer.params]
        self.optimizer.step(self.closure)
        self.output = None  # so that the next forward pass does not meet the graph of this one in memory
        h.batch_loss.append(value)
        h.updates += 1
        if h.updates % self.per_epoch == 0:
            h.epochs += 1
            if self.state.schedule is not None:
                self.state.schedule.step()
        self.display.update(h.updates, value)

    def closure(self) -> Any:
        loss, self.pending = self.compute(*self.batch) if self.pending is None else self.pending, None
        self.optimizer.zero_grad()
        loss.backward()
        if not self.history.batch_loss and all(p.gradient is None for p in self.optimizer.params):
            raise GraphError(
                "the loss depends on none of the optimizer's parameters, or all are frozen, so that nothing would be learned. "
                "Make the optimizer of the model that is trained: optim.SGD(model.parameters(), ...)"
            )
        if self.clip_norm is not None:
            clip_grad_norm_(self.optimizer.params, self.clip_norm)
        return loss

    def finite(self, value: float) -> float:
        if math.isfinite(value):
            return float(value)
        made = self.history.updates
        if not self.kept:
            raise DivergenceError(
                f"the loss is {value} before the first update of this run: look for NaN or infinity in the data and weights"
            )
        raise DivergenceError(
            f"the loss is {value} after update {made} with lr={self.optimizer.lr:g}; the weights are back where they were before it. "
            "Try a smaller lr, fit(..., clip_norm=1.0) or inputs of a size near 1; tg.detect_anomaly() finds the operation"
        )

    def measure(self) -> None:
        """Everything that is known about the current weights goes into the history."""
        h = self.history
        if self.batches is not None:
            h.position = self.batches.position()
        if h.at and h.at[-1] == h.updates:  # a resumed run begins where the other one measured last
            if not h.best:
                self.remember_best((h.validation_loss or h.loss)[-1])
            return
        value, accuracy = self.evaluate(self.data) if self.batches is not None else (self.pending.item(), self.rate(self.data.target))
        h.loss.append(self.finite(value))
        h.at.append(h.updates)
        h.lr.append(self.optimizer.lr)
        h.accuracy += accuracy
        if self.validation is not None:
            value, accuracy = self.evaluate(self.validation)
            h.validation_loss.append(value)
            h.validation_accuracy += accuracy
        if self.record_weights:
            for name, array in self.weights().items():
                h.weights.setdefault(name, []).append(array)
        self.remember_best((h.validation_loss or h.loss)[-1])

    def evaluate(self, data: _Data) -> tuple[float, list[float]]:
        """Loss and accuracy of the current weights, without a graph."""
        self.set_mode(False)
        with no_grad():
            value = float(self.compute(data.x, data.target).item())
        self.set_mode(True)
        return value, self.rate(data.target)

    def rate(self, target: Any) -> list[float]:
        output, self.output = self.output, None
        return [] if self.accuracy is None else [float(self.accuracy(output.detach(), target))]

    def remember_best(self, value: float) -> None:
        best, h = self.history.best, self.history
        value = math.inf if math.isnan(value) else value  # so that any number is better
        if not best or value < best["value"]:
            best.update(
                value=value,
                at=h.updates,
                stale=0,
                weights=[] if self.restore_best is False else [copied(p.raw) for p in self.optimizer.params],
            )
        elif h.updates % self.every == 0:  # the one at the end of a run that will be resumed does not count
            best["stale"] += 1

    def weights(self) -> dict[str, Any]:
        named = getattr(self.model, "named_parameters", None)
        pairs = named() if named else ((p.name or f"parameter {i}", p) for i, p in enumerate(self.optimizer.params))
        return {name: p.numpy() for name, p in pairs}

    def set_mode(self, training: bool | None) -> None:
        if training is not None and hasattr(self.model, "train"):
            self.model.train(training)
