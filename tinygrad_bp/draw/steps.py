"""``Steps``: a sequence of pictures with words, as a page, an animation or numbered files."""

from __future__ import annotations

import html
import importlib
import io
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from tinygrad_bp.draw.drawing import Drawing
from tinygrad_bp.draw.fonts import check_letters
from tinygrad_bp.draw.labels import escape
from tinygrad_bp.draw.layout import TIMEOUT, find_program, run_layouts
from tinygrad_bp.draw.narration import Formula
from tinygrad_bp.draw.page import page
from tinygrad_bp.draw.svg import finish
from tinygrad_bp.errors import LayoutError
from tinygrad_bp.expression import Expression
from tinygrad_bp.files import write_whole

MOST = 200  # steps; nobody clicks through more
SECONDS, LAST = 2.0, 6.0  # that an animation shows a step, and the last one
Picture = Callable[..., Drawing]


@dataclass(frozen=True)
class Step:
    """One moment: the picture as it then is, and what is said about it; ``goal`` is what is computed, if anything.

    ``new`` and ``read``: the ``data-number`` of the texts of the picture that are new, and of those that they are
    computed from.
    """

    heading: str
    goal: Expression | None
    words: str
    formulas: tuple[Formula, ...]
    drawing: Drawing
    new: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The heading and the goal, in ASCII."""
        return self.heading + (self.goal.text() if self.goal else "")

    def __str__(self) -> str:
        return "\n".join([self.title, self.words, *map(str, self.formulas)])

    def markup(self) -> str:
        """The words as HTML, in the signs of mathematics; its attributes say what to mark in the picture."""
        title = html.escape(self.heading + (self.goal.text(unicode=True) if self.goal else ""))
        formulas = ""
        for left, *right in (formula.members(unicode=True) for formula in self.formulas):
            formulas += f'<p class="formula">{html.escape(left)}{"".join(f"<span>= {html.escape(x)}</span>" for x in right)}</p>'
        marks = "".join(f' data-{name}="{" ".join(names)}"' for name, names in (("new", self.new), ("read", self.read)) if names)
        return f"<li{marks}><h2>{title}</h2><p>{html.escape(self.words)}</p>{formulas}</li>"


class Steps(Sequence[Step]):
    """A sequence of pictures with words. ``print`` writes the words; a notebook shows the page to step through.

    >>> import tinygrad_bp as tg
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> steps = tg.draw.steps((x * x).named("y"))
    >>> len(steps)
    5
    >>> print(steps[3])
    Step 3 of 4. Backward: dy/dx
    x acts on y directly.
    dy/dx = 2 * x = 2 * 3 = 6
    """

    def __init__(self, title: str, steps: Iterable[Step]) -> None:
        self.title, self._steps = title, tuple(steps)

    @overload
    def __getitem__(self, k: int) -> Step: ...
    @overload
    def __getitem__(self, k: slice) -> Steps: ...
    def __getitem__(self, k: int | slice) -> Step | Steps:
        return Steps(self.title, self._steps[k]) if isinstance(k, slice) else self._steps[k]

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"<Steps: {len(self)} of {self.title}; .save('steps.html'), .save('steps.gif'), .save_svgs(folder)>"

    def __str__(self) -> str:
        return "\n\n".join(map(str, self))

    # -- in four forms ---------------------------------------------------------------------------------------------------

    def html(self, program: str | None = None, timeout: float = TIMEOUT) -> str:
        """One self-contained page: buttons, keys and a slider to step through, the words beneath the picture.

        It needs no network, runs from a file, and says each step to a screen reader. Raises ``LayoutError`` where no
        layout program does its work.
        """
        drawings = [step.drawing for step in self]
        return page(self.title, _svgs(drawings, "steps-", program, timeout), [step.markup() for step in self])

    def svgs(self, program: str | None = None, timeout: float = TIMEOUT) -> list[str]:
        """An SVG for each step, with its words as the caption. Raises ``LayoutError`` as ``html`` does."""
        return _svgs(self._captioned(), None, program, timeout)

    def gif(self, program: str | None = None, timeout: float = TIMEOUT) -> bytes:
        """An animated GIF with the words as captions. Raises ``ImportError`` without Pillow, ``LayoutError`` as ``html`` does."""
        try:
            images = importlib.import_module("PIL.Image")
        except ImportError as error:
            raise ImportError('an animated GIF needs Pillow: pip install "tinygrad_bp[gif]"') from error
        sources = [drawing.source for drawing in self._captioned()]
        check_letters("".join(sources), find_program(program))
        pngs = run_layouts(sources, "png", program, timeout)
        frames = [images.open(io.BytesIO(png)).convert("RGBA") for png in pngs]
        size = max(frame.width for frame in frames), max(frame.height for frame in frames)
        opaque = []
        for frame in frames:
            sheet = images.new("RGBA", size, "white")
            sheet.alpha_composite(frame)
            opaque.append(sheet.convert("RGB").quantize(255, dither=images.Dither.NONE))
        out = io.BytesIO()
        durations = [int(1000 * SECONDS)] * (len(frames) - 1) + [int(1000 * LAST)]
        opaque[0].save(out, "GIF", save_all=True, append_images=opaque[1:], duration=durations, loop=0)
        return out.getvalue()

    def save(self, path: str | os.PathLike[str], program: str | None = None, timeout: float = TIMEOUT) -> Path:
        """Write the steps as a page (``.html``), an animation (``.gif``), or into a folder as numbered SVGs (no suffix).

        Returns the path. A file is written whole or not at all. Raises ``LayoutError`` for another suffix and as
        ``html`` does, ``ImportError`` for a GIF without Pillow, ``OSError`` for what the file system cannot.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in (".html", ".htm"):
            write_whole(path, self.html(program, timeout).encode())
        elif suffix == ".gif":
            write_whole(path, self.gif(program, timeout))
        elif not suffix:
            self.save_svgs(path, program, timeout)
        else:
            raise LayoutError(f"steps are saved as .html, as .gif, or as SVGs in a folder (no suffix); got {path.name!r}")
        return path

    def save_svgs(self, folder: str | os.PathLike[str], program: str | None = None, timeout: float = TIMEOUT) -> list[Path]:
        """Write ``step-00.svg``, ``step-01.svg``, ... into a folder, made if need be. Returns their paths."""
        svgs = self.svgs(program, timeout)
        Path(folder).mkdir(parents=True, exist_ok=True)
        paths = [Path(folder) / f"step-{k:0{len(str(len(svgs) - 1)):d}}.svg" for k in range(len(svgs))]
        for path, svg in zip(paths, svgs, strict=True):
            write_whole(path, svg.encode())
        return paths

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the page in a frame, or the reason why there is none and the words. Never an exception."""
        try:
            frame = (
                f'<iframe srcdoc="{html.escape(self.html())}" title="{html.escape(self.title)}" style="width:100%;height:44rem;border:0">'
            )
            return {"text/html": f"{frame}</iframe>", "text/plain": repr(self)}
        except Exception as error:  # noqa: BLE001  (a notebook must show the cell whatever happened)
            return {"text/plain": f"{error}\n\n{self}"}

    # -- captions --------------------------------------------------------------------------------------------------------

    def _captioned(self) -> list[Drawing]:
        """The pictures with the words as captions, all of one height, so that nothing moves from step to step."""
        texts = [_wrapped(str(step)) for step in self]
        height = max(map(len, texts))
        return [_with_caption(step.drawing, [*lines, *[""] * (height - len(lines))]) for step, lines in zip(self, texts, strict=True)]


def _wrapped(text: str, width: int = 110) -> list[str]:
    return [line for part in text.splitlines() for line in textwrap.wrap(part, width, subsequent_indent="    ", break_on_hyphens=False)]


def _with_caption(drawing: Drawing, lines: Sequence[str]) -> Drawing:
    digraph = drawing.to_graphviz()
    text = "".join((escape(line) or "&#160;") + '<BR ALIGN="LEFT"/>' for line in lines)
    digraph.attr("graph", label=f"<{text}>", labeljust="l")
    return replace(drawing, digraph=digraph)


def _svgs(drawings: Sequence[Drawing], prefix: str | None, program: str | None, timeout: float) -> list[str]:
    texts = run_layouts([drawing.source for drawing in drawings], "svg", program, timeout)
    return [
        finish(text.decode(), f"step{k}-" if prefix is None else prefix, drawing.numbers, drawing.description)
        for k, (text, drawing) in enumerate(zip(texts, drawings, strict=True))
    ]
