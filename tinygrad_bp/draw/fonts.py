"""Which letters a layout program cannot draw: in a PNG it puts boxes in their place, and says nothing."""

from __future__ import annotations

import functools
import shutil
import subprocess

from tinygrad_bp.draw.labels import FONT
from tinygrad_bp.draw.layout import run_layout
from tinygrad_bp.errors import LayoutError

NOBODYS = ("\ue000", "\ue001")  # letters that no font has
MOST = 64  # letters that are looked at; a picture with more of them fails at one of the first


def check_letters(source: str, program: str) -> None:
    """Raise ``LayoutError`` where the text of a picture has letters that the program has no font for."""
    letters = sorted({c for c in source if not c.isascii() and c.isprintable() and not c.isspace() and c != "\ufffd"})[:MOST]
    missing = "".join(c for c in letters if not is_drawable(c, program))
    if missing:
        raise LayoutError(
            f"{program} has no font with {missing}, and would draw boxes in place of these letters. "
            "Save an SVG, which is shown with the fonts of its reader, or install a font that has them, such as Noto Sans CJK, "
            "for Graphviz from https://graphviz.org/download"
        )


@functools.cache
def is_drawable(letter: str, program: str) -> bool:
    """Whether a letter looks like one that no font has; where these differ among themselves, whether some font has it."""
    first, other = (_picture(c, program) for c in NOBODYS)
    if first == other:
        return _picture(letter, program) != first
    if (listing := shutil.which("fc-list")) is None:
        return True  # nobody to ask
    found = subprocess.run([listing, f":charset={ord(letter):x}", "family"], capture_output=True, timeout=30, check=False)
    return bool(found.returncode or found.stdout.strip())


@functools.cache
def _picture(letter: str, program: str) -> bytes:
    source = f'graph {{ node [shape=plain fontname="{FONT}" width=1 height=1 fixedsize=true]; a [label="{letter}"] }}'
    return run_layout(source, "png", program)
