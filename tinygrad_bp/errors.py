"""The exceptions. Each is also a builtin one, so that ``except ValueError`` and the like keep working."""

from __future__ import annotations


class TinygradError(Exception):
    """Base class of every error that this package raises on purpose."""


class ShapeError(TinygradError, ValueError):
    """Shapes do not fit together, or would fit only by a broadcast that nobody asked for."""


class DtypeError(TinygradError, TypeError):
    """Data that cannot be differentiated: integers, booleans, complex numbers, strings, objects."""


class ConversionError(TinygradError, TypeError):
    """A tracked tensor would silently become a plain number or array and lose its graph."""


class NoRuleError(TinygradError, TypeError):
    """A NumPy function, or an option of it, for which no derivative rule is declared."""


class RuleError(TinygradError, ValueError):
    """A derivative rule that is declared wrongly, or whose formula returned the wrong shape."""


class GraphError(TinygradError, RuntimeError):
    """The graph cannot be walked: there is none, it was freed, or the output is not a scalar."""


class InPlaceError(TinygradError, RuntimeError):
    """Values that the backward pass needs were overwritten after the forward pass read them."""


class CompileError(TinygradError, RuntimeError):
    """A function whose run cannot be written out as a program that is right for other values too."""


class AnomalyError(TinygradError, FloatingPointError):
    """An operation made a NaN or an infinity; raised inside ``detect_anomaly()``."""


class DivergenceError(TinygradError, FloatingPointError):
    """The loss became NaN or infinite during training; ``history`` is the record of the run until then."""

    history: object = None


class NameLookupError(TinygradError, KeyError):
    """A name that the graph does not have."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class FormulaError(TinygradError, ValueError):
    """A formula that cannot be read or computed; it shows the line and points at the ``place``, counted from 0."""

    place: int | None = None

    @classmethod
    def at(cls, text: str, place: int, problem: str) -> FormulaError:
        """The problem, the line that it is in, and a caret under the place."""
        start = text.rfind("\n", 0, place) + 1
        line = text[start:].partition("\n")[0]
        column = place - start
        cut = max(0, column - 50)
        head, tail = "... " if cut else "", " ..." if len(line) > cut + 68 else ""
        error = cls(f"{problem}\n  {head}{line[cut : cut + 68]}{tail}\n  {' ' * (len(head) + column - cut)}^")
        error.place = place
        return error


class FileFormatError(TinygradError, ValueError):
    """A file that is damaged, or of another kind than its name says."""


class GradcheckError(TinygradError, AssertionError):
    """Autograd and finite differences disagree, or cannot be compared.

    Where one derivative is wrong: which ``input`` by number, its ``element``, that of the ``output`` (``None`` for a
    combination or a scalar), and ``expected``, ``got`` and ``ratio`` = got / expected.
    """

    input: int | None = None
    element: tuple[int, ...] | None = None
    output: tuple[int, ...] | None = None
    expected: float | None = None
    got: float | None = None
    ratio: float | None = None


class LayoutError(TinygradError, RuntimeError):
    """The program that lays out pictures is missing, failed or cannot write the format."""
