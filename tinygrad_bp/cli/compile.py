"""``compile``: one update of an example written out as a program, printed."""

from __future__ import annotations

import argparse

import tinygrad_bp as tg
from tinygrad_bp import optim
from tinygrad_bp.cli.numbers import rate
from tinygrad_bp.worked import examples

HELP = "print an update of an example as the program that a careful person would write"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("example", choices=list(examples.EXAMPLES), metavar="EXAMPLE", help=f"one of {', '.join(examples.EXAMPLES)}")
    parser.add_argument(
        "--dialect",
        choices=("auto", "scalar", "matrix"),
        default="auto",
        help="single numbers with names, or NumPy with buffers made once (default: which is faster)",
    )
    parser.add_argument("--momentum", type=rate, default=0.0, metavar="NUMBER", help="of the gradient descent (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    example = examples.load(args.example)
    optimizer = optim.SGD(example.model.parameters(), lr=example.lr, momentum=args.momentum)
    step = tg.compile(lambda: example.forward(example.model), optimizer=optimizer, dialect=args.dialect)
    print(step.record(), end="")
    return 0
