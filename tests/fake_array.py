"""A stand-in for the array of a GPU library: it computes, but refuses to meet NumPy arrays or to become one.

What else it refuses is what CuPy refuses: the methods of ufuncs, such as ``np.add.at``, and ``np.reshape(a, shape=...)``,
where its name for the argument is ``newshape``. It comes to the host only through ``.get()``.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class FakeArray(np.lib.mixins.NDArrayOperatorsMixin):
    def __init__(self, host: Any) -> None:
        self.host = np.array(host)

    shape = property(lambda self: self.host.shape)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    dtype = property(lambda self: self.host.dtype)
    T = property(lambda self: wrap(self.host.T))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a FakeArray was converted to a NumPy array")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, np.ndarray | list) for x in args):
            raise TypeError(f"{ufunc.__name__}: a FakeArray met a NumPy array")
        if method != "__call__" or not all(isinstance(x, FakeArray | np.generic | float | int) for x in args):
            return NotImplemented
        return wrap(getattr(ufunc, method)(*unwrap(args), **unwrap(kwargs)))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if np.ndarray in types:
            raise TypeError(f"{function.__name__}: a FakeArray met a NumPy array")
        if not all(issubclass(t, FakeArray) for t in types):
            return NotImplemented
        if function is np.reshape and "shape" in kwargs:
            raise TypeError("reshape() got an unexpected keyword argument 'shape'")
        return wrap(function(*unwrap(args), **unwrap(kwargs)))

    def __getitem__(self, index: Any) -> Any:
        return wrap(self.host[unwrap(index)])

    def astype(self, dtype: Any) -> FakeArray:
        return FakeArray(self.host.astype(dtype))

    def copy(self) -> FakeArray:
        return FakeArray(self.host)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        return wrap(self.host.sum(axis=axis, keepdims=keepdims))

    def reshape(self, *shape: Any) -> FakeArray:
        return FakeArray(self.host.reshape(*shape))

    def get(self) -> Any:
        return self.host.copy()

    def item(self) -> Any:
        return self.host.item()

    def __repr__(self) -> str:
        return f"FakeArray({self.host})"


def unwrap(x: Any) -> Any:
    if isinstance(x, FakeArray):
        return x.host
    if isinstance(x, dict):
        return {k: unwrap(v) for k, v in x.items()}
    return type(x)(map(unwrap, x)) if type(x) in (list, tuple) else x


def wrap(x: Any) -> Any:
    if isinstance(x, tuple) and hasattr(x, "_fields"):  # slogdet
        return type(x)(*map(wrap, x))
    return FakeArray(x) if isinstance(x, np.ndarray | np.generic) else x
