"""What a long run shows on a terminal, and how Ctrl-C ends it."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Self

WAIT = 1.0
"""Seconds before anything is shown: a short run stays silent."""
INTERVAL = 0.1
"""Seconds between two lines."""


def display(show: bool | None, total: int | None) -> Any:
    """A bar by tqdm where it is installed, else a line that counts; neither where stderr is not a terminal."""
    if show is False or not sys.stderr.isatty():
        return Silent()
    wait = 0.0 if show else WAIT
    try:
        tqdm = importlib.import_module("tqdm")
    except ImportError:
        return Line(total, wait)
    return Bar(tqdm.tqdm(total=total, unit="update", delay=wait, leave=False, ascii=True, file=sys.stderr))


class Silent:
    """Shows nothing."""

    def update(self, made: int, loss: float) -> None:
        """``made`` updates are made, and this is the loss of the last samples."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Line(Silent):
    """``update 1200/10000  loss 0.0123``, over and over on one line."""

    def __init__(self, total: int | None, wait: float) -> None:
        self.total, self.next, self.width = total, time.monotonic() + wait, 0

    def update(self, made: int, loss: float) -> None:
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + INTERVAL
        of = "" if self.total is None else f"/{self.total}"
        self._write(f"update {made}{of}  loss {loss:.6g}")

    def close(self) -> None:
        if self.width:
            self._write("")
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)


class Bar(Silent):
    """A bar of tqdm's."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def update(self, made: int, loss: float) -> None:
        self.bar.set_postfix_str(f"loss {loss:.6g}", refresh=False)
        self.bar.update(made - self.bar.n)

    def close(self) -> None:
        self.bar.close()


class CtrlC:
    """Inside this block Ctrl-C only sets ``reason``, so that no update is cut in half; a second one interrupts at once.

    Only the main thread hears Ctrl-C, and a handler that a program has set for itself is left alone.
    """

    REASON = "Ctrl-C"

    def __init__(self) -> None:
        self.reason, self.listening = "", False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self.listening = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.listening:
            signal.signal(signal.SIGINT, self._hear)
        return self

    def _hear(self, signum: int, frame: FrameType | None) -> None:
        if self.reason:
            raise KeyboardInterrupt
        self.reason = self.REASON

    def __exit__(self, *exc: object) -> None:
        if self.listening:
            signal.signal(signal.SIGINT, signal.default_int_handler)
