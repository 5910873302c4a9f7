"""Finding the program that lays pictures out, and running it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tinygrad_bp.errors import LayoutError

TIMEOUT = 60.0  # seconds; no picture that a person can read takes one
DPI = 96  # of a PNG, so that a notebook shows it at the size of the SVG
GRAPHVIZ = "Graphviz from https://graphviz.org/download"
INSTALL = f"Install one by 'pip install graphviz-pure', or {GRAPHVIZ}; the variable GRAPHVIZ_DOT names one in another place"


def find_program(program: str | None = None) -> str:
    """The layout program: the argument, ``GRAPHVIZ_DOT``, ``dot`` on PATH, or the package ``graphviz-pure``.

    Raises ``LayoutError``, which says what to install, where there is none.
    """
    # an environment that is not activated has its scripts beside its Python, but not on PATH
    folders = [None, str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    if named := program or os.environ.get("GRAPHVIZ_DOT"):
        for found in filter(None, (shutil.which(named, path=folder) for folder in folders)):
            return found
        raise LayoutError(f"there is no layout program {named!r}, which {'the argument' if program else 'GRAPHVIZ_DOT'} names. {INSTALL}")
    for found in filter(None, [shutil.which("dot"), *(shutil.which("graphviz-pure", path=folder) for folder in folders)]):
        return found
    raise LayoutError(f"no layout program was found, so the picture exists as DOT text only (.source, or save it as .dot). {INSTALL}")


def run_layout(source: str, kind: str, program: str | None = None, timeout: float = TIMEOUT) -> bytes:
    """The picture of a DOT text as bytes of a format such as ``svg``, ``png`` or ``jpg``.

    Raises ``LayoutError`` where the program is missing, takes too long, or refuses the text or the format.
    """
    found = find_program(program)
    command = [found, f"-T{kind}", *([] if kind == "svg" else [f"-Gdpi={DPI}"])]
    try:
        done = subprocess.run(command, input=source.encode(), capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise LayoutError(
            f"{found} took longer than {timeout:g} seconds for this picture. Draw less, or allow more with timeout="
        ) from None
    except OSError as error:
        raise LayoutError(f"{found} cannot be run: {error}. {INSTALL}") from error
    if done.returncode or not done.stdout:
        raise LayoutError(_refusal(found, kind, done.returncode, done.stderr.decode(errors="replace").strip()))
    return done.stdout


STARTS = {"svg": b"<?xml", "png": b"\x89PNG\r\n\x1a\n"}


def run_layouts(sources: Sequence[str], kind: str, program: str | None = None, timeout: float = TIMEOUT) -> list[bytes]:
    """Many pictures, ``svg`` or ``png``, by one run of the program, whose start takes longer than a picture. Raises as ``run_layout``."""
    start = STARTS[kind]
    pictures = [start + rest for rest in run_layout("\n".join(sources), kind, program, timeout).split(start)[1:]]
    if len(pictures) != len(sources):
        raise LayoutError(f"{find_program(program)} wrote {len(pictures)} pictures, and {len(sources)} were asked for")
    return pictures


def _refusal(program: str, kind: str, code: int, message: str) -> str:
    if "not recognized" in message:
        return f"{program} cannot write {kind}; save svg or png, or install {GRAPHVIZ}, which writes {kind} too"
    return f"{program} failed with exit code {code}: {message or 'it wrote nothing'}"
