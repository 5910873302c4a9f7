"""Each error is also a builtin one, and says what happened, with which shapes, and what to write instead."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tinygrad_bp import errors

ALL = [e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, errors.TinygradError)]


@pytest.mark.parametrize("error", ALL, ids=lambda e: e.__name__)
def test_errors_are_builtin_ones_too(error: type[errors.TinygradError]) -> None:
    assert error.__doc__
    builtin = [e for e in error.__mro__ if e.__module__ == "builtins" and e not in {Exception, BaseException, object}]
    assert bool(builtin) == (error is not errors.TinygradError)


@pytest.mark.parametrize("error", [e for e in ALL if e is not errors.TinygradError], ids=lambda e: e.__name__)
def test_the_page_of_errors_shows_each(error: type[errors.TinygradError]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "errors.md").read_text(encoding="utf-8")
    assert re.search(rf"^## .*`{error.__name__}` \(an? `{error.__bases__[-1].__name__}`\)$", page, re.MULTILINE)
    assert re.search(rf"^(tinygrad_bp\.errors\.)?{error.__name__}: |except tg\.errors\.{error.__name__}", page, re.MULTILINE)


def test_a_lookup_error_prints_its_message_and_not_the_repr_of_it() -> None:
    assert str(errors.NameLookupError("no tensor named 'x'")) == "no tensor named 'x'"
    assert not str(errors.NameLookupError())
