"""Make the tables of docs/mistakes.md from the catalogue: ``python docs/mistakes.py``. A test compares them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tinygrad_bp import Program
from tinygrad_bp.check.anatomy import Anatomy
from tinygrad_bp.check.mistakes import CATALOGUE, FACTORS, OTHERS, RIGHT, Mistake
from tinygrad_bp.check.planting import arrived, plants
from tinygrad_bp.program import element_names
from tinygrad_bp.worked import step_by_step

PAGE = Path(__file__).parent / "mistakes.md"
PARTS = {
    "loss": ("The loss", ("loss", "net")),
    "activation": ("The derivative of the activation", ("activation",)),
    "back": ("Back through the weights", ("back",)),
    "weights": ("The gradients of the weights", ("weights",)),
    "bias": ("The gradients of the biases", ("bias",)),
}
SHOWN = ("w1", "w5", "b1", "b2")
PREVIOUS = {"W2": [[0.30, 0.35], [0.40, 0.45]]}


def numbers() -> dict[str, str]:
    """Mistake -> what it makes of the second document's gradients, at the first place where it changes one."""
    program = Program.of(step_by_step.forward())
    everything = set(range(len(program)))
    found: dict[str, str] = {}
    previous = {program.place(name): np.array(value) for name, value in PREVIOUS.items()}
    for planted in plants(Anatomy.of(program), step_by_step.LR, previous):
        run = planted.run(program, arrived(program, planted.first), everything)
        if planted.mistakes[0] not in found and run is not None and (text := changed(program, run)):
            found[planted.mistakes[0]] = text
    return found


def changed(program: Program, run: dict[int, np.ndarray]) -> str:
    """The first gradient that is another: name, wrong and right value."""
    for name in SHOWN:
        place, index = program.locate(name)
        if np.shape(run[place]) != program.lines[place].shape:
            return f"shape {np.shape(run[place])}, not {program.lines[place].shape}"
        at = () if index is None else index
        wrong, right = float(run[place][at]), float(program.gradients[place][at])
        if abs(wrong - right) > 1e-9:
            return f"{name}: {wrong:.7g}, not {right:.7g}"
    for name in ("W1", "W2"):  # another element
        place = program.place(name)
        if not np.allclose(run[place], program.gradients[place], 1e-9):
            at = np.unravel_index(np.argmax(np.abs(run[place] - program.gradients[place])), run[place].shape)
            element = element_names(program.lines[place].name, program.lines[place].shape)[int(np.ravel_multi_index(at, run[place].shape))]
            return f"{element}: {run[place][at]:.7g}, not {program.gradients[place][at]:.7g}"
    return ""


def cell(latex: str) -> str:
    return "$" + latex.replace("|", r"\vert ") + "$"


def tables() -> str:
    """The generated part of the page."""
    known, lines = numbers(), []
    for part, (title, parts) in PARTS.items():
        lines += [f"## {title}", "", f"Right: {cell(RIGHT[part])}", ""]
        lines += ["| mistake | wrong formula | in the example | source |", "| --- | --- | --- | --- |"]
        chosen = [m for m in CATALOGUE if m.part in parts]
        lines += [row(m, known.get(m.name, "-")) for m in chosen] + [""]
    lines += ["## Factors", "", "With n samples and m outputs. In the example n = 1 and m = 2.", ""]
    lines += ["| mistake | wrong formula | in words | source |", "| --- | --- | --- | --- |"]
    lines += [f"| {f.name} | {cell(f.wrong)} | {f.says.format(n='n', m='m', nm='nm')} | {f.source or '-'} |" for f in FACTORS]
    lines += ["", "## Numbers", "", "| mistake | formula | in the example | source |", "| --- | --- | --- | --- |"]
    lines += [row(m, known.get(m.name, "-")) for m in OTHERS]
    return "\n".join(lines) + "\n"


def row(m: Mistake, example: str) -> str:
    return f"| {m.name} | {cell(m.wrong)} | {example} | {m.source or '-'} |"


def page(text: str) -> str:
    """The page with the tables made anew."""
    return re.sub(r"(<!-- tables -->\n).*(<!-- end -->)", lambda m: f"{m[1]}\n{tables()}\n{m[2]}", text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
