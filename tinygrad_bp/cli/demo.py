"""``demo``: the example of a well-known derivation, worked, explained, checked, trained and drawn."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import tinygrad_bp as tg
from tinygrad_bp import Tensor
from tinygrad_bp.errors import LayoutError
from tinygrad_bp.worked import step_by_step as example

HELP = "work the 2-2-2 example of a well-known derivation"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder for text and pictures (default: demo)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    try:
        return demo(args.out)
    except OSError as error:
        print(f"{args.out}: {error.strerror or error}. Give another folder with --out DIR", file=sys.stderr)
        return 2


def demo(out: Path) -> int:
    """Work the example of "step_by_step": numbers, derivations, check, training and pictures."""
    out.mkdir(parents=True, exist_ok=True)
    loss = example.forward()
    report = tg.check(loss, example.FORMULAS)
    sections = {
        "1  Forward pass": forward_table(loss),
        "2  Derivations": "\n\n".join(str(tg.explain(loss, name, lr=example.LR)) for name in ("w5", "w1")),
        "3  The document's formulas against autograd and finite differences": str(report),
    }
    text = []
    for title, body in sections.items():
        text.append(heading(title) + body)
        print(text[-1])
    text.append(heading("4  Training") + training())
    print(text[-1])
    (out / "derivation.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    (out / "derivation.md").write_text("\n".join(tg.explain(loss, name, lr=example.LR).markdown for name in ("w5", "w1")), encoding="utf-8")
    print(heading("5  Pictures and files") + pictures(loss, out))
    return 0 if report.ok else 1


def heading(title: str) -> str:
    return f"\n{title}\n{'=' * len(title)}\n\n"


def forward_table(loss: Tensor) -> str:
    """The document's printed values beside ours, to the digits printed there."""
    program = tg.Program.of(loss)
    lines = ["name     document     computed        agrees", "-" * 46]
    for name, printed in example.FORWARD.items():
        value = float(program.value(name))
        agrees = f"{value:.{len(printed.partition('.')[2])}f}" == printed
        lines.append(f"{name:<8} {printed:<12} {value:<15.12f} {'yes' if agrees else 'NO'}")
    return "\n".join(lines)


def training() -> str:
    """The loss after 1 and after 10,000 updates, updated both ways, beside the quoted results."""
    lines = ["updates  update        loss         quoted in the document", "-" * 56]
    for updates, quoted in example.QUOTED_LOSS.items():
        for sequential in (False, True):
            label = "sequential" if sequential else "simultaneous"
            model = example.train(updates, sequential, progress(f"{label} training", updates))
            value = f"{example.forward(model).item():.9f}"
            lines.append(f"{updates:>7}  {label:<12}  {value}  {quoted}{'  agrees' if value == quoted else ''}")
    lines += [
        "",
        "The quoted losses come from updating w5..w8 first and using their new values.",
    ]
    return "\n".join(lines)


def progress(label: str, total: int) -> Callable[[int], None]:
    """A counter on a terminal, silence elsewhere."""
    if not sys.stderr.isatty() or total < 1000:
        return lambda k: None

    def show(k: int) -> None:
        if k % 500 == 0 or k == total:
            print(f"\r{label}: {k}/{total}" if k < total else f"\r{' ' * 40}\r", end="", file=sys.stderr, flush=True)

    return show


def pictures(loss: Tensor, out: Path) -> str:
    """Save both pictures, or their DOT text where no layout program is found; say where everything is."""
    lines = [f"{out / 'derivation.txt'}  the text above", f"{out / 'derivation.md'}  the derivations as mathematics"]
    for name, drawing, what in (
        ("graph", tg.draw.graph(loss), "the computation graph"),
        ("network", tg.draw.network(loss), "the network of neurons"),
    ):
        try:
            drawing.save(out / f"{name}.svg")
            lines.append(f"{out / name}.svg  {what}, with values and gradients")
        except LayoutError as error:
            drawing.save(out / f"{name}.dot")
            lines.append(f"{out / name}.dot  {what} as DOT text: {error}")
    return "\n".join(lines)
