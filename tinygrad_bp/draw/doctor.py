"""What can be drawn on this machine: which layout program there is, what it writes, and which letters it knows."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from tinygrad_bp.draw.drawing import FORMATS
from tinygrad_bp.draw.layout import TIMEOUT, find_program, run_layout
from tinygrad_bp.errors import LayoutError

SCRIPTS = {"Greek": "δη", "Chinese": "误差"}  # of each two letters that look different
NO_LETTER = "\ue000"  # of the area for private use: a font that has letters of its own there is no font for text


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
    _picture("a", "svg", found)
    formats = {kind: _writes(kind, found) for kind in dict.fromkeys(FORMATS.values())}
    scripts = {script: formats["png"] and _has_letters(letters, found) for script, letters in SCRIPTS.items()}
    return Layout(found, _version(found), formats, scripts)


def _picture(text: str, kind: str, program: str) -> bytes:
    return run_layout(f'digraph {{ a [shape=plaintext fontname=Helvetica label="{text}"] }}', kind, program)


def _writes(kind: str, program: str) -> bool:
    try:
        return bool(_picture("a", kind, program))
    except LayoutError:
        return False


def _has_letters(letters: str, program: str) -> bool:
    """Whether letters that look different are drawn differently: what a font lacks is one and the same box."""
    pictures = {_picture(letter, "png", program) for letter in (*letters, NO_LETTER)}
    return len(pictures) == len(letters) + 1


def _version(program: str) -> str:
    """What the program says its version is; "" if it does not say."""
    try:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"version ([\d.]+)", said.stderr + said.stdout)
    return found[1] if found else ""
