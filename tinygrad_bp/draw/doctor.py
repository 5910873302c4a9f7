"""What can be drawn on this machine: which layout program there is, what it writes, and which letters it knows."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from tinygrad_bp.draw.drawing import FORMATS
from tinygrad_bp.draw.fonts import is_drawable
from tinygrad_bp.draw.layout import TIMEOUT, find_program, run_layout
from tinygrad_bp.errors import LayoutError

SMALL = "digraph { a }"
SCRIPTS = {"Greek": "δ∂", "Chinese": "误差"}


@dataclass(frozen=True)
class Layout:
    """A layout program, its version, the formats that it writes, and the scripts whose letters it has for a PNG."""

    program: str
    version: str
    formats: dict[str, bool]
    scripts: dict[str, bool]


def examine(program: str | None = None) -> Layout:
    """Try the layout program out. Raises ``LayoutError`` where there is none, or it draws nothing at all."""
    found = find_program(program)
    run_layout(SMALL, "svg", found)
    formats = {kind: _writes(kind, found) for kind in dict.fromkeys(FORMATS.values())}
    scripts = {script: formats["png"] and all(is_drawable(letter, found) for letter in letters) for script, letters in SCRIPTS.items()}
    return Layout(found, _version(found), formats, scripts)


def _writes(kind: str, program: str) -> bool:
    try:
        return bool(run_layout(SMALL, kind, program))
    except LayoutError:
        return False


def _version(program: str) -> str:
    """What the program says its version is; "" if it does not say."""
    try:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"version ([\d.]+)", said.stderr + said.stdout)
    return found[1] if found else ""
