"""``draw``: a picture of an example, or of a Python file of yours, in the format of the file's suffix."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tinygrad_bp as tg
from tinygrad_bp.cli import source
from tinygrad_bp.cli.numbers import count, rate
from tinygrad_bp.errors import NameLookupError
from tinygrad_bp.worked import examples

HELP = "draw the graph, the network, the way back of the errors, or all of it step by step"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    source.arguments(parser)
    parser.add_argument("--kind", choices=KINDS, default="network", metavar="KIND", help=f"{', '.join(KINDS)} (default: network)")
    parser.add_argument("--wrt", metavar="NAME", help="for backward: where the error flows back to, such as w1 (default: all weights)")
    parser.add_argument("--digits", type=count, default=6, metavar="N", help="significant digits of numbers (default: 6)")
    parser.add_argument("--updates", type=count, default=100, metavar="N", help="for training: how many updates (default: 100)")
    parser.add_argument("--every", type=count, default=10, metavar="N", help="for training: a picture after each N-th (default: 10)")
    parser.add_argument("--lr", type=rate, metavar="RATE", help="for training: the learning rate (default: the document's)")
    formats = "svg, png, jpg, pdf or dot; for steps and training html, gif, or a folder for an SVG of each"
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"{formats} (default: KIND.svg, steps.html, training.html)")


def training(args: argparse.Namespace) -> tg.draw.Steps:
    """Of an example: a file leaves a loss behind, and training needs what computes it anew."""
    if args.source not in examples.EXAMPLES:
        raise NameLookupError(
            f"training takes one of the examples {', '.join(examples.EXAMPLES)}. In a file of your own write "
            'tg.draw.training(lambda: loss_of(model), optimizer, updates=100, every=10).save("training.html")'
        )
    model, forward, lr = examples.load(args.source)
    sgd = tg.optim.SGD(model.parameters(), lr=lr if args.lr is None else args.lr)
    return tg.draw.training(lambda: forward(model), sgd, args.updates, args.every, args.digits)


KINDS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "graph": lambda args: tg.draw.graph(source.load(args.source, args.output), digits=args.digits),
    "circuit": lambda args: tg.draw.circuit(source.load(args.source, args.output), digits=args.digits),
    "network": lambda args: tg.draw.network(source.load(args.source, args.output), digits=args.digits),
    "backward": lambda args: tg.draw.backward(source.load(args.source, args.output), args.wrt, digits=args.digits),
    "steps": lambda args: tg.draw.steps(source.load(args.source, args.output), digits=args.digits),
    "training": training,
}


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    out = args.out or Path(f"{args.kind}.{'html' if args.kind in ('steps', 'training') else 'svg'}")
    try:
        print(KINDS[args.kind](args).save(out))
    except (OSError, ImportError, ValueError) as error:
        print(f"{out}: {error.strerror}" if isinstance(error, OSError) and error.strerror else error, file=sys.stderr)
        return 2
    return 0
