"""What a command works on: an example of the documents by its name, or the output of a Python file of the user's.

>>> print(f"{load('step_by_step'):.9f}")
0.298371109
"""

from __future__ import annotations

import argparse
import runpy
import traceback
from pathlib import Path

from tinygrad_bp import Tensor
from tinygrad_bp.errors import NameLookupError
from tinygrad_bp.worked import examples


def arguments(parser: argparse.ArgumentParser) -> None:
    """The two arguments that say what to work on."""
    names = ", ".join(examples.EXAMPLES)
    parser.add_argument("source", metavar="SOURCE", help=f"an example ({names}), or a Python file, which is run")
    parser.add_argument("--output", default="loss", metavar="NAME", help="which tensor of the Python file (default: loss)")


def load(source: str, output: str = "loss") -> Tensor:
    """The loss of the example ``source``, or the tensor ``output`` that the Python file ``source`` leaves behind.

    The file is run as by ``python FILE``. Raises ``NameLookupError`` where there is no such example, file or tensor;
    what the file itself raises is shown with its own lines.
    """
    if source in examples.EXAMPLES:
        return examples.load(source).loss()
    if not source.endswith(".py"):
        raise NameLookupError(f"{source} is neither a Python file (.py) nor one of the examples {', '.join(examples.EXAMPLES)}")
    if not Path(source).is_file():
        raise NameLookupError(f"there is no file {source}")
    return pick(run_file(source), source, output)


def run_file(source: str) -> dict[str, object]:
    """The names that the file leaves behind; its own failure ends the command, shown without our lines."""
    try:
        return runpy.run_path(source, run_name="__main__")
    except Exception as error:  # noqa: BLE001 - whatever the user's file raises is shown as Python would
        lines = error.__traceback__
        while lines is not None and lines.tb_frame.f_code.co_filename != source:
            lines = lines.tb_next
        traceback.print_exception(type(error), error, lines)
        raise SystemExit(2) from None


def pick(names: dict[str, object], source: str, output: str) -> Tensor:
    """The tensor of that name."""
    found = names.get(output)
    if isinstance(found, Tensor):
        return found
    tensors = ", ".join(name for name, value in names.items() if isinstance(value, Tensor))
    what = f"leaves no {output} behind" if output not in names else f"has a {type(found).__name__} for {output}, not a Tensor"
    raise NameLookupError(f"{source} {what}. Say which tensor is meant with --output NAME" + (f": it has {tensors}" if tensors else ""))
