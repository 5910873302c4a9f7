"""The command line: one file a command, each with ``HELP``, ``arguments(parser)`` and ``run(args)``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

import tinygrad_bp as tg
from tinygrad_bp.errors import TinygradError

COMMANDS = ("demo", "explain", "check", "compile", "draw", "doctor")


def main(argv: list[str] | None = None) -> int:
    """Run a command; the exit status is 0 if all is well, 1 if something disagrees, 2 if it could not be done."""
    for stream in (sys.stdout, sys.stderr):  # a GBK or cp1252 console cannot write every character
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(prog="python -m tinygrad_bp", description="Back-propagation, worked, drawn, explained and checked.")
    parser.add_argument("--version", action="version", version=f"tinygrad_bp {tg.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        command = importlib.import_module(f"tinygrad_bp.cli.{name}")
        command.arguments(commands.add_parser(name, help=command.HELP, description=(command.__doc__ or "").partition(": ")[2]))
    args = parser.parse_args(argv)
    try:
        return int(importlib.import_module(f"tinygrad_bp.cli.{args.command}").run(args))
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  (for the interpreter, which flushes it at its end)
        return 0
    except TinygradError as error:
        print(error, file=sys.stderr)
        return 2
