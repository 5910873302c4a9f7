"""A training run on disk: all that is needed to go on as if it had never stopped.

The file is an ``.npz`` archive, read with ``allow_pickle=False``: arrays, and one JSON text that says where each
belongs. Nothing in it is executed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_bp.files import DAMAGE, from_npz, to_npz, write_whole
from tinygrad_bp.optim.history import History
from tinygrad_bp.optim.optimizer import Optimizer
from tinygrad_bp.optim.schedules import Schedule
from tinygrad_bp.optim.training import State

FORMAT = "tinygrad_bp checkpoint 1"


def save_checkpoint(
    path: str | os.PathLike[str], model: Any, optimizer: Optimizer, history: History | None = None, schedule: Schedule | None = None
) -> None:
    """Write weights, the optimizer's state, the history (with where the random numbers stand) and the schedule.

    A new file takes the place of the old one in a single move, so that an interruption leaves the old one whole.

    >>> from tinygrad_bp import nn, optim
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = f"{folder.name}/run.npz"
    >>> x, target = np.eye(4), np.eye(4)
    >>> def setup():
    ...     model = nn.MLP([4, 2, 4], rng=0)
    ...     return model, optim.Adam(model.parameters())
    >>> model, adam = setup()
    >>> history = optim.fit(model, nn.MSELoss(), x, target, adam, epochs=3, batch_size=2, rng=0)
    >>> save_checkpoint(path, model, adam, history)

    And another day, in another process:

    >>> model, adam = setup()
    >>> history = load_checkpoint(path, model, adam)
    >>> optim.fit(model, nn.MSELoss(), x, target, adam, epochs=5, batch_size=2, resume=history).updates
    10
    >>> folder.cleanup()
    """
    tree = {
        "format": FORMAT,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": None if schedule is None else schedule.state_dict(),
        "history": None if history is None else asdict(history),
    }
    arrays: dict[str, Any] = {}
    text = json.dumps(_pack(tree, arrays, ""))
    write_whole(path, to_npz({"about": np.array(text), **arrays}))


def load_checkpoint(path: str | os.PathLike[str], model: Any, optimizer: Optimizer, schedule: Schedule | None = None) -> History:
    """Give model, optimizer and schedule the state that they had, and return the history for ``fit(..., resume=history)``.

    Raises ``ValueError`` for a file that is damaged or something else, and ``NameLookupError`` or ``ShapeError`` for one
    that belongs to another model or optimizer; then nothing is changed.
    """
    tree = _read(Path(path))
    if (schedule is None) != (tree["schedule"] is None):
        raise ValueError(f"{path} was saved {'with' if tree['schedule'] else 'without'} a schedule, and must be loaded so")
    history = History() if tree["history"] is None else History(**tree["history"])
    optimizer.check_state_dict(tree["optimizer"])
    model.load_state_dict(tree["model"])
    optimizer.load_state_dict(tree["optimizer"])
    if schedule is not None:
        schedule.load_state_dict(tree["schedule"])
    return history


class Checkpoint:
    """A callback of ``fit`` that saves a checkpoint when at least ``every`` updates were made since the last one.

    >>> from tinygrad_bp import optim
    >>> optim.Checkpoint("run.npz", every=1000)
    Checkpoint('run.npz', every=1000)
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path, self.every, self.saved = path, every, 0

    def __call__(self, state: State) -> None:
        if state.history.updates - self.saved >= self.every:
            save_checkpoint(self.path, state.model, state.optimizer, state.history, state.schedule)
            self.saved = state.history.updates

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, every={self.every})"


def _pack(tree: Any, arrays: dict[str, Any], path: str) -> Any:
    """The same tree for JSON: an array becomes the name under which ``arrays`` has it; keys that are numbers survive."""
    if isinstance(tree, np.ndarray | np.generic):
        arrays[path] = tree
        return {"array": path}
    if isinstance(tree, Mapping):
        return {"items": [[key, _pack(value, arrays, f"{path}/{key}")] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return [_pack(value, arrays, f"{path}/{i}") for i, value in enumerate(tree)]
    return tree


def _unpack(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(tree, list):
        return [_unpack(value, arrays) for value in tree]
    if not isinstance(tree, dict):
        return tree
    return arrays[tree["array"]] if "array" in tree else {key: _unpack(value, arrays) for key, value in tree["items"]}


def _read(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    try:
        arrays = from_npz(content)
        tree: dict[str, Any] = _unpack(json.loads(str(arrays["about"])), arrays)
        known = tree["format"] == FORMAT and set(tree) == {"format", "model", "optimizer", "schedule", "history"}
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged, or not a checkpoint: {error}") from error
    if not known or not set(tree["history"] or {}) <= {field.name for field in fields(History)}:
        raise ValueError(f"{path} is not a checkpoint of this version: {tree['format']!r}")
    return tree
