"""Which samples an update uses."""

from __future__ import annotations

from typing import Any

import numpy as np

GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


class Batches:
    """The sample numbers of each update: ``sampling`` says how they are drawn.

    ``"shuffle"``: each epoch takes every sample once, in a new random order; the last batch may be smaller.
    ``"order"``: the same without shuffling. ``"random"``: each batch is drawn anew, with replacement.
    """

    def __init__(self, samples: int, size: Any, sampling: str, rng: Any) -> None:
        if sampling not in ("shuffle", "order", "random"):
            raise ValueError(f'sampling is "shuffle", "order" or "random"; got {sampling!r}')
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"batch_size is a number of samples, at least 1, or None for all; got {size!r}")
        if size > samples:
            raise ValueError(f"batch_size is {size}, but there are only {samples} samples; None means all of them")
        self.samples, self.size, self.sampling = samples, int(size), sampling
        self.rng = np.random.default_rng(rng)
        self.per_epoch = -(-samples // self.size)
        self.order: Any = None

    def take(self, update: int) -> Any:
        """The samples of update number 0, 1, ...; to be asked for in this order."""
        if self.sampling == "random":
            return self.rng.integers(self.samples, size=self.size)
        place = update % self.per_epoch
        if place == 0 or self.order is None:
            self.order = self.rng.permutation(self.samples) if self.sampling == "shuffle" else np.arange(self.samples)
        return self.order[place * self.size : (place + 1) * self.size]

    def position(self) -> dict[str, Any]:
        """Where the random numbers and the order of this epoch stand: plain data."""
        return {"order": self.order, "rng": self.rng.bit_generator.state, "samples": self.samples, "size": self.size}

    def go_to(self, position: dict[str, Any]) -> None:
        """Stand there again."""
        if not position:
            raise ValueError("the run to be resumed was not of mini-batches; go on without batch_size, or begin anew")
        if (position["samples"], position["size"]) != (self.samples, self.size):
            raise ValueError(
                f"the run to be resumed had batches of {position['size']} out of {position['samples']} samples; "
                f"this one has {self.size} out of {self.samples}"
            )
        kind = position["rng"]["bit_generator"]
        if kind not in GENERATORS:
            raise ValueError(f"the random generator {kind!r} is none of NumPy's: {', '.join(GENERATORS)}")
        self.order = position["order"]
        self.rng = np.random.Generator(getattr(np.random, kind)())
        self.rng.bit_generator.state = position["rng"]
