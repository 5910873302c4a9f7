"""Noticing that values were overwritten after a graph was recorded, so that no gradient is wrong in silence."""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_bp.errors import InPlaceError

next_serial = itertools.count(1).__next__  # creation order, which is a topological order


class Changes:
    """When values were last overwritten in place, on the clock of serial numbers; there is one, ``CHANGES``.

    A node is older than a change exactly when its serial number is smaller, so the backward pass compares one
    number per node, and looks closer only where something did change after the node was recorded.

    ``Tensor.data`` hands out the array itself, and NumPy tells nobody when it is written to. So a tensor whose
    array is in the user's hands is remembered here with a hash of its bytes, which is compared whenever the
    values are used again, until nobody else holds the array.
    """

    __slots__ = ("exposed", "latest", "lock")  # of an object, as CPython reads them faster than attributes of a class

    def __init__(self) -> None:
        self.latest = 0
        self.exposed: dict[int, tuple[weakref.ref[Any], int]] = {}
        self.lock = threading.RLock()  # a look and a replacement of .data in two threads must not interleave

    def tick(self) -> int:
        """The time of a change that comes now."""
        self.latest = next_serial()
        return self.latest

    def note(self, t: Any) -> None:
        t.changed = self.tick()

    def expose(self, t: Any) -> None:
        serial = t.serial
        self.exposed[serial] = weakref.ref(t, lambda _: self.exposed.pop(serial, None)), _fingerprint(t.raw)

    def look(self, tensors: Iterable[Any]) -> None:
        """Notice writes through arrays that ``.data`` handed out."""
        with self.lock:
            for t in (base for x in tensors for base in views(x)):
                ref, before = self.exposed.get(t.serial, (None, 0))
                if ref is None:
                    continue
                now = _fingerprint(t.raw)
                if now != before:
                    self.note(t)
                    self.exposed[t.serial] = ref, now
                if sys.getrefcount(t.raw) <= 2:  # the slot and this call: nobody else can write any more
                    self.exposed.pop(t.serial, None)

    def look_everywhere(self) -> None:
        self.look([ref() for ref, _ in list(self.exposed.values())])


CHANGES = Changes()


class ReadOnly(np.ndarray[Any, Any]):
    """A result's values in the user's hands: an array like any other, but a write to it says whose values they are.

    Whatever is computed from it is a plain array. Copies may be written to.
    """

    owner = "a tensor"

    def __array_finalize__(self, base: Any) -> None:
        self.owner = getattr(base, "owner", self.owner)

    def guard(self) -> None:
        """Raise where a write would change the values of a graph."""
        if not self.flags.writeable:
            raise InPlaceError(
                f"these are the values of {self.owner}, so they cannot be written to: a gradient would be wrong. "
                "Write to a copy, t.numpy(), or compute a new tensor"
            )

    def __setitem__(self, index: Any, value: Any) -> None:
        self.guard()
        super().__setitem__(index, value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        for array in (*kwargs.get("out", ()), *(args[:1] if method == "at" else ())):
            if isinstance(array, ReadOnly):
                array.guard()
        if "out" in kwargs:
            kwargs["out"] = tuple(map(_base, kwargs["out"]))
        return getattr(ufunc, method)(*map(_base, args), **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(kwargs.get("out"), ReadOnly) or (function in WRITERS and isinstance(args[0], ReadOnly)):
            self.guard()
        return super().__array_function__(function, types, args, kwargs)

    def copy(self, order: Any = "C") -> np.ndarray[Any, Any]:  # type: ignore[override]
        return _base(self).copy(order)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return repr(_base(self))


def _guarded(name: str) -> Any:
    method = getattr(np.ndarray, name)

    def write(self: ReadOnly, *args: Any, **kwargs: Any) -> Any:
        self.guard()
        return method(self, *args, **kwargs)

    return write


for _name in ("fill", "put", "sort", "partition", "resize", "setfield"):
    setattr(ReadOnly, _name, _guarded(_name))
WRITERS = (np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)


def _base(a: Any) -> Any:
    return a.view(np.ndarray) if isinstance(a, ReadOnly) else a


def read_only(a: np.ndarray[Any, Any], owner: str = "") -> np.ndarray[Any, Any]:
    """A view that cannot be written to; where the values have an ``owner``, an attempt names it."""
    view = a.view(ReadOnly) if owner else a.view()
    if isinstance(view, ReadOnly):
        view.owner = owner
    view.flags.writeable = False
    return view


def _fingerprint(a: Any) -> int:
    """What a write to an array changes: its bytes, or the name that dask gives to the way it will be computed."""
    if hasattr(a, "get"):  # an array on a GPU: its bytes have to come here to be compared
        a = a.get()
    return hash(a.tobytes("A") if isinstance(a, np.ndarray) else getattr(a, "name", None))


def shares_memory(a: Any, b: Any) -> bool:
    """Whether writing to one array may change the other."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.may_share_memory(a, b)
    return hasattr(b, "shape") and not isinstance(a, np.generic) and (a is b or getattr(a, "base", None) is not None)


def views(t: Any) -> Iterator[Any]:
    """The tensor, and those whose arrays its array is a view of: a write to one is a write to all."""
    while hasattr(t, "left"):
        yield t
        inputs = [(t.left, t.left_array)] if t.rule is None else zip(t.inputs, t.arrays, strict=True) if t.rule.views else ()
        t = next((x for x, a in inputs if shares_memory(t.raw, a)), None)
