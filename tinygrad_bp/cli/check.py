"""``check``: derivations written as Markdown, graded line by line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import tinygrad_bp as tg
from tinygrad_bp.errors import TinygradError

HELP = "check the formulas and numbers of derivations written as Markdown"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("notes", nargs="+", metavar="NOTE", help="a Markdown file")
    parser.add_argument("--unicode", action="store_true", help="write letters that are not ASCII as they are")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    return check(args.notes, args.unicode)


def check(notes: list[str], unicode: bool = False) -> int:
    """Check notes, one after the other; what one of them gets wrong does not hide the others."""
    status = 0
    for note in notes:
        try:
            report = tg.check.notes(Path(note))
        except (OSError, TinygradError) as error:
            print(f"{note}: {error.strerror or error}" if isinstance(error, OSError) else error, file=sys.stderr)
            status = 2
            continue
        print(report.text(ascii_only=not unicode), end="\n\n" if note != notes[-1] else "\n")
        status = max(status, 0 if report.ok else 1)
    return status
