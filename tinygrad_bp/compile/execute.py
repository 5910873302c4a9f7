"""The one place where text is run as a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def executed(text: str, names: Mapping[str, Any], file: str = "<compiled by tinygrad_bp>") -> dict[str, Any]:
    """What a program defines, given what it calls; tracebacks name ``file``.

    The text is always one that was written here from a recording. Of the user's there are names alone in it, as
    identifiers made anew or as quoted strings, so nothing of the user's is run.
    """
    space = dict(names)
    exec(compile(text, file, "exec"), space)
    return space
