"""Notes that check themselves: derivations written as Markdown, whose formulas and numbers are claims.

The module itself is the function: ``tg.check.notes("notes.md")``. A block of the kind ``network`` declares a network and its
names, and every formula after it is checked, link by link; see docs/check_your_notes.md.
"""

from __future__ import annotations

import os
from pathlib import Path

from tinygrad_bp.callable_module import answers
from tinygrad_bp.check.notes.report import NotesReport
from tinygrad_bp.errors import FileFormatError

__all__ = ["NotesReport", "check_notes"]

SIZE = 1_000_000  # bytes of a note


def check_notes(*notes: str | os.PathLike[str]) -> NotesReport:
    r"""Check the formulas of notes, each given as the name of a file or as text (of more than one line).

    Raises ``FormulaError`` at what is wrong with the declaration of a network, with file, line, column and a caret,
    ``FileFormatError`` for what is no text, and ``OSError`` for a file that cannot be read.

    >>> print(check_notes('''
    ... $$0.5 \\cdot 0.3 = 0.15$$ and $2 + 2 = 5$
    ... '''))
    text
     line  claim                                                         verdict
    -----------------------------------------------------------------------------
        2  0.5 * 0.3 = 0.15                                              agrees
        2  2 + 2 = 5                                                     differs
           expected 4, claimed 5, difference 1.0e+00
    <BLANKLINE>
    2 formulas: 1 agree, 1 differ, 0 not read; 100 % of those with a claim were
    checked. 1 of 2 equalities hold.
    """
    from tinygrad_bp.check.notes.judge import judge
    from tinygrad_bp.check.notes.markdown import Source
    from tinygrad_bp.check.notes.report import Note

    found = []
    for note in notes:
        inline = isinstance(note, str) and "\n" in note
        source = Source("text", clean(str(note), "text")) if inline else Source(str(note), opened(Path(note)))
        found.append(Note(source.name, tuple(judge(source))))
    return NotesReport(tuple(found))


def opened(path: Path) -> str:
    """The text of a file, no more than is allowed of it."""
    with path.open("rb") as file:
        data = file.read(SIZE + 1)
    try:
        text = data[:SIZE].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) <= SIZE or error.start < SIZE - 4:
            raise FileFormatError(
                f"{path}: not UTF-8 text, at byte {error.start} in line {data.count(bytes([10]), 0, error.start) + 1}. Save it as UTF-8"
            ) from None
        text = ""
    return clean(text if len(data) <= SIZE else "x" * (SIZE + 1), str(path))


def clean(text: str, name: str) -> str:
    """The text with one kind of line ends. Raises for what no note contains."""
    if len(text) > SIZE:
        raise FileFormatError(f"{name}: more than {SIZE} bytes. Split the note into several files")
    if "\0" in text:
        raise FileFormatError(f"{name}: line {text.count(chr(10), 0, text.index(chr(0))) + 1} has a NUL byte; this is no text file")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


answers(__name__, check_notes)
