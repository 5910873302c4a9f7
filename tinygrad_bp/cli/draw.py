"""``draw``: a picture of an example, or of a Python file of yours, in the format of the file's suffix."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tinygrad_bp as tg
from tinygrad_bp import Tensor
from tinygrad_bp.cli import source

HELP = "draw the graph, the network, the way back of the errors, or all of it step by step"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    source.arguments(parser)
    parser.add_argument("--kind", choices=KINDS, default="network", metavar="KIND", help=f"{', '.join(KINDS)} (default: network)")
    parser.add_argument("--wrt", metavar="NAME", help="for backward: where the error flows back to, such as w1 (default: all weights)")
    parser.add_argument("--digits", type=int, default=6, metavar="N", help="significant digits of numbers (default: 6)")
    formats = "svg, png, jpg, pdf or dot; for steps html, gif, or a folder for an SVG of each"
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"{formats} (default: KIND.svg, steps.html)")


KINDS: dict[str, Callable[[Tensor, argparse.Namespace], Any]] = {
    "graph": lambda output, args: tg.draw.graph(output, digits=args.digits),
    "circuit": lambda output, args: tg.draw.circuit(output, digits=args.digits),
    "network": lambda output, args: tg.draw.network(output, digits=args.digits),
    "backward": lambda output, args: tg.draw.backward(output, args.wrt, digits=args.digits),
    "steps": lambda output, args: tg.draw.steps(output, digits=args.digits),
}


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    out = args.out or Path("steps.html" if args.kind == "steps" else f"{args.kind}.svg")
    try:
        print(KINDS[args.kind](source.load(args.source, args.output), args).save(out))
    except (OSError, ImportError) as error:
        print(f"{out}: {error.strerror}" if isinstance(error, OSError) and error.strerror else error, file=sys.stderr)
        return 2
    return 0
