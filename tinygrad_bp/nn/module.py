"""``Module``: parameters with names, and what holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_bp.errors import NameLookupError, ShapeError
from tinygrad_bp.tensor import Changes, Tensor


class _Path(str):
    """A parameter's name taken from its place in the modules; an enclosing module lengthens it."""

    __slots__ = ()


class Parameter(Tensor):
    """A tensor that a module learns.

    >>> Parameter([[1.0, 2.0]]).requires_grad
    True
    """

    __slots__ = ()

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
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, ...)")

    def __setattr__(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value)
        for name, p in _parameters(key, value):
            if p.name is None or isinstance(p.name, _Path):
                p.name = _Path(name)

    def children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for the modules directly inside this one."""
        for key, value in vars(self).items():
            yield from _modules(key, value)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter) in the order of definition; a shared parameter once, under its first name."""
        seen: set[int] = set()
        for key, value in vars(self).items():
            for name, p in _parameters(key, value):
                if p.serial not in seen:
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
        return {name: p.numpy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over values, and their dtype, from a state_dict of the same names and shapes; all of it or nothing."""
        own = dict(self.named_parameters())
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if missing or unknown:
            raise NameLookupError(f"state_dict does not fit the module: missing {sorted(missing)}, not in the module {sorted(unknown)}")
        new = {name: Tensor(value).raw for name, value in state.items()}
        for name, value in new.items():
            if value.shape != own[name].shape:
                raise ShapeError(f"{name} has shape {own[name].shape}; the state_dict holds shape {value.shape}")
        for name, value in new.items():
            own[name].raw = value if value.dtype.kind == "f" else value.astype(float)
            Changes.note(own[name])

    def __repr__(self) -> str:
        inside = [f"  ({name}): " + repr(module).replace("\n", "\n  ") for name, module in self.children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return "\n".join([head, *inside, ")"]) if inside else f"{head})"

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr."""
        return ""


def _parameters(key: str, value: Any) -> Iterator[tuple[str, Parameter]]:
    if isinstance(value, Parameter):
        yield key, value
    for name, module in _modules(key, value):
        for inner, p in module.named_parameters():
            yield f"{name}.{inner}", p


def _modules(key: str, value: Any) -> Iterator[tuple[str, Module]]:
    if isinstance(value, Module):
        yield key, value
    elif isinstance(value, list | tuple) and not isinstance(value, _Steps):
        for i, item in enumerate(value):
            yield from _modules(f"{key}.{i}", item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _modules(f"{key}.{name}", item)


class Sequential(Module):
    """Modules one after the other.

    >>> from tinygrad_bp import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.Sigmoid())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Sigmoid()
    )
    """

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            setattr(self, str(i), module)
        self.steps = _Steps(modules)

    def forward(self, x: Any) -> Any:
        for module in self.steps:
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, i: int) -> Any:
        return self.steps[i]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.steps)


class _Steps(list[Module]):
    """The modules of a Sequential, which finds them under their numbers already."""
