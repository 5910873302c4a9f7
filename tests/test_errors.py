"""Each error is also a builtin one, and says what happened, with which shapes, and what to write instead."""

from __future__ import annotations

import inspect

import pytest

from tinygrad_bp import errors

ALL = [e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, errors.TinygradError)]


@pytest.mark.parametrize("error", ALL, ids=lambda e: e.__name__)
def test_errors_are_builtin_ones_too(error: type[errors.TinygradError]) -> None:
    assert error.__doc__
    builtin = [e for e in error.__mro__ if e.__module__ == "builtins" and e not in {Exception, BaseException, object}]
    assert bool(builtin) == (error is not errors.TinygradError)


def test_a_lookup_error_prints_its_message_and_not_the_repr_of_it() -> None:
    assert str(errors.NameLookupError("no tensor named 'x'")) == "no tensor named 'x'"
    assert not str(errors.NameLookupError())
