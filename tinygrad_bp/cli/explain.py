"""``explain``: the derivation of a gradient of an example, or of a Python file of yours, as text, Markdown or LaTeX."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import tinygrad_bp as tg
from tinygrad_bp.cli import source
from tinygrad_bp.cli.numbers import count, rate

HELP = "write the derivation of a gradient, symbol by symbol and number by number"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    source.arguments(parser)
    parser.add_argument("--wrt", metavar="NAME", help="what the output is differentiated by, such as w1 or W1 (default: all weights)")
    parser.add_argument("--format", choices=FORMATS, default="text", help="how it is written (default: text)")
    styles = ("weights", "matrices", "operations", "summary")
    parser.add_argument("--style", choices=styles, metavar="STYLE", help=f"{', '.join(styles)} (default: what fits the graph)")
    parser.add_argument("--layout", choices=("numerator", "denominator"), help="also write the chain rule as Jacobians in this layout")
    parser.add_argument("--notation", metavar="NAME", help="i-h-o, x-h-y or layers (default: the graph's own names)")
    parser.add_argument("--lr", type=rate, metavar="ETA", help="also write the update with this learning rate")
    parser.add_argument("--digits", type=count, default=9, metavar="N", help="significant digits of numbers (default: 9)")
    parser.add_argument("--max-paths", type=int, default=8, metavar="N", help="more paths are counted, not listed (default: 8)")
    parser.add_argument("--forward", action="store_true", help="begin with the forward pass, where single weights are derived")
    parser.add_argument("--unicode", action="store_true", help="text in the signs of mathematics")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a file: .txt, .md or .tex")


FORMATS = {"text": "text", "markdown": "markdown", "latex": "tex"}  # a whole LaTeX document, which compiles as it is


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    output = source.load(args.source, args.output)
    derivation = tg.explain(
        output, args.wrt, args.lr, args.digits, args.max_paths,
        style=args.style, layout=args.layout, notation=args.notation, forward=args.forward,
    )  # fmt: skip
    if args.out is None:
        form = "unicode" if args.unicode and args.format == "text" else FORMATS[args.format]
        print(getattr(derivation, form).rstrip("\n"))
        return 0
    try:
        print(derivation.save(args.out))
    except OSError as error:
        print(f"{args.out}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0
