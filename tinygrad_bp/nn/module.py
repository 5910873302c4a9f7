"""``Module``: parameters with names, and what holds them."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from sys import _getframe
from typing import Any, Self

import numpy as np

from tinygrad_bp import files
from tinygrad_bp.changes import next_serial
from tinygrad_bp.errors import DtypeError, NameLookupError, ShapeError
from tinygrad_bp.tensor import Tensor, called


class _Path(str):
    """A parameter's name taken from its place in the modules; an enclosing module lengthens it."""

    __slots__ = ()


class _Learned(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return super().__instancecheck__(x) or (cls is Parameter and isinstance(x, Tensor) and hasattr(x, "learned"))


class Parameter(Tensor, metaclass=_Learned):
    """A tensor that a module learns.

    The object is a plain ``Tensor`` with a mark, to which ``isinstance(t, Parameter)`` answers: CPython reads slots
    several times as fast where all objects are of one class. Subclasses are classes as any other.

    >>> Parameter([[1.0, 2.0]]).requires_grad
    True
    >>> isinstance(Parameter(1.0), Parameter), isinstance(Tensor(1.0), Parameter)
    (True, False)
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True, dtype: Any = None, name: str | None = None, **others: Any) -> Any:
        t = super().__new__(cls) if cls is not Parameter else Tensor(data, requires_grad, dtype, name, **others)
        t.learned = True
        return t

    def __init__(self, data: Any, requires_grad: bool = True, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(data, requires_grad, dtype, name)


class Module:
    """A function with parameters. Subclass it, set parameters and modules as attributes, and write ``forward``.

    >>> import numpy as np
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([2.0, 3.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(Tensor([1.0, 1.0]))
    Tensor([2., 3.], requires_grad=True)
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    training: bool = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        first, frame = next_serial(), _getframe(1)
        y = self.forward(*args, **kwargs) if kwargs else self.forward(*args)
        line = first, frame.f_code, frame.f_lasti
        if y.__class__ is Tensor and y.serial > first:  # what ``called`` does, where it is simple
            y.calls += (line,)
            return y
        return called(y, line)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, ...)")

    def __setattr__(self, key: str, value: Any) -> None:
        if not (value is None or isinstance(value, Parameter)) and isinstance(vars(self).get(key), Parameter):
            raise TypeError(
                f"{key} is a parameter of {type(self).__name__}, and {type(value).__name__} in its place would not be learned. "
                f"Write .{key}.data = values, or .{key} = nn.Parameter(values)"
            )
        object.__setattr__(self, key, value)
        for name, p in _parameters(key, value):
            if p.name is None or isinstance(p.name, _Path):
                p.name = _Path(name)

    def __copy__(self) -> Self:
        """A module of its own, as ``copy.deepcopy`` makes it: two modules with the same parameters would learn as one."""
        return copy.deepcopy(self)

    def children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for the modules directly inside this one, also in lists, tuples and dicts."""
        for key, value in vars(self).items():
            yield from _inside(key, value, Module)

    def named_parameters(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter) in the order of definition; a shared parameter once, under its first name, unless told otherwise."""
        seen: set[int] = set()
        for key, value in vars(self).items():
            for name, p in _parameters(key, value):
                if p.serial not in seen or not remove_duplicate:
                    seen.add(p.serial)
                    yield name, p

    def parameters(self) -> Iterator[Parameter]:
        """The parameters, in the order of ``named_parameters``."""
        return (p for _, p in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.gradient = None

    def train(self, mode: bool = True) -> Module:
        """Put the module and all inside it into training mode."""
        self.training = mode
        for _, module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Module:
        """Leave training mode."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Name -> a copy of the values, with the names and shapes that PyTorch gives the same modules."""
        return {name: p.numpy() for name, p in self.named_parameters(remove_duplicate=False)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over values, and their dtype, from a state_dict of the same names and shapes; all of it or nothing.

        Integers become float64. Raises ``NameLookupError`` for missing and unknown names, ``ShapeError`` for another
        shape, ``DtypeError`` for what is not real numbers; then nothing has changed.
        """
        own = dict(self.named_parameters(remove_duplicate=False))
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if missing or unknown:
            found = [f"{what} {sorted(names)}" for what, names in (("missing", missing), ("not in the module", unknown)) if names]
            raise NameLookupError(f"state_dict does not fit the module: {', '.join(found)}")
        new = {name: _values(name, state[name], p.shape) for name, p in own.items()}
        for name, value in new.items():
            own[name].replace(value)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ``state_dict`` to a file: ``.npz``, or with the extra ``safetensors`` also ``.safetensors``.

        The file appears whole or not at all: an interrupted save leaves the old one as it was. Raises ``ValueError``
        for another suffix.

        >>> import tempfile, pathlib
        >>> from tinygrad_bp import nn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nn.Linear(2, 3, rng=0).save(pathlib.Path(folder) / "model.npz")
        ...     model = nn.Linear(2, 3).load(pathlib.Path(folder) / "model.npz")
        """
        files.write(path, self.state_dict())

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Take over the values that ``save`` wrote, and return the module. Nothing in the file is executed.

        Raises ``FileFormatError`` for a damaged file or one of another kind, and the errors of ``load_state_dict``
        for one that belongs to another module; then nothing has changed.
        """
        self.load_state_dict(files.read(path))
        return self

    def __repr__(self) -> str:
        inside = [f"  ({name}): " + repr(module).replace("\n", "\n  ") for name, module in self.children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return ("\n".join([head, *inside, ")"]) if inside else f"{head})") + self._size()

    def _size(self) -> str:
        """How many numbers it learns, as a comment; nothing where it has none."""
        sizes = [(p.size, p.requires_grad) for p in self.parameters()]
        total, frozen = sum(n for n, _ in sizes), sum(n for n, learned in sizes if not learned)
        return f"  # {total} parameter{'s' * (total != 1)}{f', {frozen} frozen' if frozen else ''}" if sizes else ""

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr."""
        return ""


def _values(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """What a parameter takes over: a copy, checked."""
    try:
        raw = Tensor(value).raw
    except DtypeError as error:
        raise DtypeError(f"{name} in the state_dict: {error}") from error
    if raw.shape != shape:
        raise ShapeError(f"{name} has shape {shape}; the state_dict holds shape {raw.shape}")
    return raw if raw.dtype.kind == "f" else raw.astype(float)


def _parameters(key: str, value: Any) -> Iterator[tuple[str, Parameter]]:
    for name, found in _inside(key, value, (Module, Parameter)):
        if isinstance(found, Parameter):
            yield name, found
        else:
            for inner, p in found.named_parameters(remove_duplicate=False):
                yield f"{name}.{inner}", p


def _inside(key: str, value: Any, wanted: Any) -> Iterator[tuple[str, Any]]:
    """What an attribute holds of the wanted kinds, with names: itself, or items of lists, tuples and dicts."""
    if isinstance(value, wanted):
        yield key, value
    elif isinstance(value, list | tuple) and not isinstance(value, _Steps):
        for i, item in enumerate(value):
            yield from _inside(f"{key}.{i}", item, wanted)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _inside(f"{key}.{name}", item, wanted)


CALL = Module.__call__  # between the modules of a Sequential it has nothing to add: the user's line is that of the whole


class Sequential(Module):
    """Modules one after the other.

    >>> from tinygrad_bp import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.Sigmoid())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)  # 9 parameters
      (1): Sigmoid()
    )  # 9 parameters
    """

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            setattr(self, str(i), _step(module))
        self.steps = _Steps(modules)

    def forward(self, x: Any) -> Any:
        for module in self.steps:
            x = module.forward(x) if module.__class__.__call__ is CALL else module(x)
        return x

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, i: int | slice) -> Any:
        """One of the modules, or a ``Sequential`` of several."""
        found = self.steps[i]
        if not isinstance(found, list):
            return found
        part = Sequential()
        vars(part).update({str(k): module for k, module in enumerate(found)})  # not set, which would rename their parameters
        part.steps = _Steps(found)
        return part

    def __iter__(self) -> Iterator[Module]:
        return iter(self.steps)


def _step(module: Any) -> Any:
    """The same, if it can be called: a class or a list of modules would be called only when data comes."""
    if not callable(module) or isinstance(module, type):
        raise TypeError(f"a Sequential is made of modules, nn.Sequential(nn.Linear(2, 2), nn.Tanh()); got {module!r}")
    return module


class _Steps(list[Module]):
    """The modules of a Sequential, which finds them under their numbers already."""
