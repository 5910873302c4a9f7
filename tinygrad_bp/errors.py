"""The exceptions. Each is also a builtin one, so that ``except ValueError`` and the like keep working."""


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


class AnomalyError(TinygradError, FloatingPointError):
    """An operation made a NaN or an infinity; raised inside ``detect_anomaly()``."""


class DivergenceError(TinygradError, FloatingPointError):
    """The loss became NaN or infinite during training; ``history`` is the record of the run until then."""

    history: object = None


class NameLookupError(TinygradError, KeyError):
    """A name that the graph does not have."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


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
