"""Noticing that values were overwritten after a graph was recorded, so that no gradient is wrong in silence."""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

next_serial = itertools.count(1).__next__  # creation order, which is a topological order


class Changes:
    """When values were last overwritten in place, on the clock of serial numbers.

    A node is older than a change exactly when its serial number is smaller, so the backward pass compares one
    number per node, and looks closer only where something did change after the node was recorded.

    ``Tensor.data`` hands out the array itself, and NumPy tells nobody when it is written to. So a tensor whose
    array is in the user's hands is remembered here with a hash of its bytes, which is compared whenever the
    values are used again, until nobody else holds the array.
    """

    latest = 0
    exposed: ClassVar[dict[int, tuple[weakref.ref[Any], int]]] = {}
    lock = threading.RLock()  # a look and a replacement of .data in two threads must not interleave

    @classmethod
    def note(cls, t: Any) -> None:
        t.changed = cls.latest = next_serial()

    @classmethod
    def expose(cls, t: Any) -> None:
        serial = t.serial
        cls.exposed[serial] = weakref.ref(t, lambda _: cls.exposed.pop(serial, None)), _fingerprint(t.raw)

    @classmethod
    def look(cls, tensors: Iterable[Any]) -> None:
        """Notice writes through arrays that ``.data`` handed out."""
        with cls.lock:
            for t in (base for x in tensors for base in views(x)):
                ref, before = cls.exposed.get(t.serial, (None, 0))
                if ref is None:
                    continue
                now = _fingerprint(t.raw)
                if now != before:
                    cls.note(t)
                    cls.exposed[t.serial] = ref, now
                if sys.getrefcount(t.raw) <= 2:  # the slot and this call: nobody else can write any more
                    cls.exposed.pop(t.serial, None)

    @classmethod
    def look_everywhere(cls) -> None:
        cls.look([ref() for ref, _ in list(cls.exposed.values())])


def _fingerprint(a: Any) -> int:
    """What a write to an array changes: its bytes, or the name that dask gives to the way it will be computed."""
    if hasattr(a, "get"):  # an array on a GPU: its bytes have to come here to be compared
        a = a.get()
    return hash(a.tobytes() if isinstance(a, np.ndarray) else getattr(a, "name", None))


def shares_memory(a: Any, b: Any) -> bool:
    """Whether writing to one array may change the other."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.may_share_memory(a, b)
    return not isinstance(a, np.generic) and (a is b or getattr(a, "base", None) is not None)


def views(t: Any) -> Iterator[Any]:
    """The tensor, and those whose arrays its array is a view of: a write to one is a write to all."""
    while hasattr(t, "arrays"):
        yield t
        linear = t.inputs and (t.rule is None or t.rule.kind == "linear")
        t = t.inputs[0] if linear and shares_memory(t.raw, t.arrays[0]) else None
