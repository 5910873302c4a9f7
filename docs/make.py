"""Make the pages' pictures: ``python docs/make.py``. The tests compare them with what stands here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tinygrad_bp as tg
from tinygrad_bp.worked import step_by_step

PICTURES = Path(__file__).parent / "pictures"

DRAWINGS: dict[str, Callable[[], tg.draw.Drawing]] = {
    "graph": lambda: tg.draw.graph(step_by_step.forward()),
    "network": lambda: tg.draw.network(step_by_step.forward()),
}


def main() -> None:
    """Write every picture."""
    PICTURES.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        draw().save(PICTURES / f"{name}.svg")
        print(PICTURES / f"{name}.svg")


if __name__ == "__main__":
    main()
