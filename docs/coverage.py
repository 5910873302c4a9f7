"""Write ``docs/coverage.md``: ``python docs/coverage.py``, with ``autograd``, ``mygrad`` and ``jax`` installed.

Each function of NumPy that has a derivative is tried on each library. A yes needs a gradient that agrees with central
differences of NumPy's own function, not just no exception. ``--rules`` writes only what follows from the table of
rules, and leaves the measured part as it is.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import expression
from tinygrad_bp import rules as table
from tinygrad_bp.rule import COMPOSED, RULES, Rule

PAGE = Path(__file__).with_suffix(".md")
TOLERANCE = 1e-5
STEP = 1e-6

rng = np.random.default_rng(0)
X, Y, V, W = (rng.normal(size=shape) for shape in ((3, 3), (3, 3), (4,), (4,)))
T = rng.normal(size=(2, 3, 4))
POSITIVE, INSIDE = rng.uniform(0.5, 2.0, (3, 3)), rng.uniform(-0.9, 0.9, (3, 3))
SPD = X @ X.T + 3 * np.eye(3)
SYMMETRIC = X + X.T
HOLES = np.array([1.0, np.nan, 3.0, 2.5])
INDEX = np.array([[0, 2], [1, 1], [2, 0]])


@dataclass
class Call:
    """A function's name, a call of it in NumPy's spelling, and the arrays to differentiate by."""

    name: str
    run: Callable[..., Any]
    arrays: tuple[Any, ...]


def named(np: Any, path: str) -> Any:
    for part in path.split("."):
        np = getattr(np, part)
    return np


def plain(names: str, *arrays: Any) -> Iterator[Call]:
    """Functions that are called with the arrays alone."""
    for name in names.split():
        yield Call(name, lambda np, *xs, name=name: named(np, name)(*xs), arrays)


def calls() -> list[Call]:
    """Every function of ``numpy`` and ``numpy.linalg`` that has a derivative, each once: no aliases, none that works in place."""
    c = Call
    return [
        *plain("add subtract multiply divide maximum minimum fmax fmin hypot logaddexp logaddexp2 arctan2", X, Y),
        *plain("negative positive square exp exp2 expm1 sin cos tan arctan sinh cosh tanh arcsinh absolute fabs sinc", X),
        *plain("deg2rad rad2deg radians degrees conjugate real nan_to_num i0", X),
        *plain("reciprocal sqrt cbrt log log2 log10 log1p", POSITIVE),
        *plain("arcsin arccos arctanh", INSIDE),
        c("arccosh", lambda np, x: np.arccosh(x), (1 + POSITIVE,)),
        *plain("power float_power", POSITIVE, X),
        *plain("remainder fmod", X, POSITIVE),
        c("divmod", lambda np, x, y: np.divmod(x, y)[1], (X, POSITIVE)),
        c("modf", lambda np, x: np.modf(x)[0], (X,)),
        c("ldexp", lambda np, x: np.ldexp(x, INDEX[:, :1]), (X,)),
        c("copysign", lambda np, x: np.copysign(x, Y), (X,)),
        c("clip", lambda np, x: np.clip(x, -0.5, 0.5), (X,)),
        c("where", lambda np, x, y: np.where(X > 0, x, y), (X, Y)),
        c("select", lambda np, x, y: np.select([X > 0, Y > 0], [x, y], 0.0), (X, Y)),
        c("choose", lambda np, x, y: np.choose(np.asarray(X > 0, dtype=int), [x, y]), (X, Y)),
        c("piecewise", lambda np, x: np.piecewise(x, [X < 0, X >= 0], [lambda z: z * z, lambda z: 2 * z]), (X,)),
        c("interp", lambda np, y: np.interp(np.array([0.5, 1.2]), np.array([0.0, 1.0, 2.0, 3.0]), y), (V,)),
        c("unwrap", lambda np, x: np.unwrap(x), (4 * V,)),
        c("angle", lambda np, x: np.angle(x) * x, (X,)),
        *plain("sum mean prod max min var std ptp median average cumsum cumprod", X),
        *plain("nansum nanmean nanprod nanmax nanmin nanvar nanstd nanmedian nancumsum nancumprod", HOLES),
        *plain("cumulative_sum cumulative_prod diff ediff1d trapezoid", V),
        c("gradient", lambda np, x: np.gradient(x), (V,)),
        c("quantile", lambda np, x: np.quantile(x, 0.3), (V,)),
        c("percentile", lambda np, x: np.percentile(x, 70), (V,)),
        c("nanquantile", lambda np, x: np.nanquantile(x, 0.3), (HOLES,)),
        c("nanpercentile", lambda np, x: np.nanpercentile(x, 70), (HOLES,)),
        *plain("cov corrcoef", X),
        *plain("sort", V),
        c("partition", lambda np, x: np.partition(x, 1)[1], (V,)),
        *plain("matmul dot inner vdot kron tensordot cross vecdot matvec vecmat linalg.matmul", X, Y),
        *plain("outer linalg.outer convolve correlate polymul polyadd polysub linalg.vecdot", V, W),
        c("linalg.tensordot", lambda np, x, y: np.linalg.tensordot(x, y), (X, Y)),
        c("linalg.cross", lambda np, x, y: np.linalg.cross(x, y), (X, Y)),
        c("einsum", lambda np, x, y: np.einsum("ij,jk->ik", x, y), (X, Y)),
        c("polyval", lambda np, p, x: np.polyval(p, x), (V, W)),
        *plain("polyder polyint vander", V),
        c("polyfit", lambda np, y: np.polyfit(np.arange(4.0), y, 1), (V,)),
        c("linspace", lambda np, a, b: np.linspace(a, b, 5), (V, W)),
        c("logspace", lambda np, a, b: np.logspace(a, b, 3), (V, W)),
        c("geomspace", lambda np, a, b: np.geomspace(a, b, 3), (POSITIVE, POSITIVE + 1)),
        c("reshape", lambda np, x: np.reshape(x, (6, 4)), (T,)),
        *plain("ravel transpose squeeze flip fliplr flipud rot90 matrix_transpose copy atleast_1d atleast_2d atleast_3d", T),
        c("permute_dims", lambda np, x: np.permute_dims(x, (2, 0, 1)), (T,)),
        c("swapaxes", lambda np, x: np.swapaxes(x, 0, 2), (T,)),
        c("moveaxis", lambda np, x: np.moveaxis(x, 0, -1), (T,)),
        c("rollaxis", lambda np, x: np.rollaxis(x, 2), (T,)),
        c("expand_dims", lambda np, x: np.expand_dims(x, 1), (T,)),
        c("broadcast_to", lambda np, x: np.broadcast_to(x, (3, 4)), (X[:, :1],)),
        c("broadcast_arrays", lambda np, x, y: np.broadcast_arrays(x, y[:3, None])[0], (X, V)),
        c("meshgrid", lambda np, x, y: np.meshgrid(x, y)[0], (V, W)),
        c("roll", lambda np, x: np.roll(x, 1, 0), (X,)),
        c("pad", lambda np, x: np.pad(x, ((1, 1), (2, 0)), "constant"), (X,)),
        c("tile", lambda np, x: np.tile(x, (2, 1)), (X,)),
        c("repeat", lambda np, x: np.repeat(x, 2, 0), (X,)),
        c("resize", lambda np, x: np.resize(x, (2, 6)), (X,)),
        c("astype", lambda np, x: np.astype(x, np.float64), (X,)),
        *(
            c(f, lambda np, x, y, f=f: named(np, f)([x, y]), (X, Y))
            for f in ("concatenate", "stack", "vstack", "hstack", "dstack", "column_stack")
        ),
        c("append", lambda np, x, y: np.append(x, y), (X, Y)),
        c("block", lambda np, x, y: np.block([[x, y], [y, x]]), (X, Y)),
        c("delete", lambda np, x: np.delete(x, 1, 0), (X,)),
        c("insert", lambda np, x, y: np.insert(x, 1, y, 0), (X, Y[0])),
        *(c(f, lambda np, x, f=f: named(np, f)(x, 2)[1], (T[:, :2],)) for f in ("split", "array_split", "vsplit", "hsplit", "dsplit")),
        c("unstack", lambda np, x: np.unstack(x)[1], (X,)),
        c("take", lambda np, x: np.take(x, np.array([0, 0, 2]), 0), (X,)),
        c("take_along_axis", lambda np, x: np.take_along_axis(x, INDEX, 1), (X,)),
        c("compress", lambda np, x: np.compress(np.array([True, False, True]), x, 0), (X,)),
        c("extract", lambda np, x: np.extract(X > 0, x), (X,)),
        c("trim_zeros", lambda np, x: np.trim_zeros(x), (V,)),
        c("apply_along_axis", lambda np, x: np.apply_along_axis(lambda z: z * z, 0, x), (X,)),
        c("diagonal", lambda np, x: np.diagonal(x, 0, -1, -2), (X,)),
        *plain("diag trace tril triu diagflat linalg.diagonal linalg.trace linalg.matrix_transpose", X),
        *plain("linalg.inv linalg.det linalg.pinv linalg.norm linalg.matrix_norm linalg.cond", SPD),
        *plain("linalg.vector_norm linalg.svdvals", SPD),
        c("linalg.cholesky", lambda np, x: np.linalg.cholesky((x + np.swapaxes(x, 0, 1)) / 2), (SPD,)),
        c("linalg.slogdet", lambda np, x: np.linalg.slogdet(x)[1], (X,)),
        c("linalg.solve", lambda np, x, y: np.linalg.solve(x, y), (SPD, Y)),
        c("linalg.lstsq", lambda np, x, y: np.linalg.lstsq(x, y, rcond=None)[0], (SPD[:, :2], Y)),
        c("linalg.matrix_power", lambda np, x: np.linalg.matrix_power(x, 3), (X,)),
        c("linalg.multi_dot", lambda np, x, y: np.linalg.multi_dot([x, y, x]), (X, Y)),
        c("linalg.tensorinv", lambda np, x: np.linalg.tensorinv(x, ind=1), (SPD,)),
        c("linalg.tensorsolve", lambda np, x, y: np.linalg.tensorsolve(x, y), (SPD, Y[0])),
        c("linalg.eigh", lambda np, x: np.linalg.eigh((x + np.swapaxes(x, 0, 1)) / 2)[0], (SYMMETRIC,)),
        c("linalg.eigvalsh", lambda np, x: np.linalg.eigvalsh((x + np.swapaxes(x, 0, 1)) / 2), (SYMMETRIC,)),
        c("linalg.eig", lambda np, x: np.real(np.linalg.eig(x)[0]), (SPD,)),
        c("linalg.eigvals", lambda np, x: np.real(np.linalg.eigvals(x)), (SPD,)),
        c("linalg.svd", lambda np, x: np.linalg.svd(x, full_matrices=False)[1], (X,)),
        c("linalg.qr", lambda np, x: np.linalg.qr(x)[1], (X,)),
    ]


# -- the libraries: the gradients of sum(w * f(x)) -------------------------------------------------------------------


def expected(call: Call, weights: Any) -> list[Any]:
    """By central differences of NumPy's function."""
    found = []
    for i, x in enumerate(call.arrays):
        slope = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            values = []
            for h in (STEP, -STEP):
                moved = x.copy()
                moved[place] += h
                values.append(np.sum(weights * call.run(np, *call.arrays[:i], moved, *call.arrays[i + 1 :])))
            slope[place] = (values[0] - values[1]) / (2 * STEP)
        found.append(slope)
    return found


def in_tinygrad_bp(call: Call, weights: Any) -> list[Any]:
    places = tuple(range(len(call.arrays)))
    return list(tg.grad(lambda *xs: np.sum(weights * call.run(np, *xs)), places)(*call.arrays))


def in_autograd(call: Call, weights: Any) -> list[Any]:
    autograd, anp = importlib.import_module("autograd"), importlib.import_module("autograd.numpy")
    f = lambda *xs: anp.sum(weights * call.run(anp, *xs))  # noqa: E731
    return [autograd.grad(f, i)(*call.arrays) for i in range(len(call.arrays))]


def in_jax(call: Call, weights: Any) -> list[Any]:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    f = lambda *xs: (weights * call.run(jax.numpy, *xs)).sum()  # noqa: E731
    return list(jax.grad(f, tuple(range(len(call.arrays))))(*map(jax.numpy.asarray, call.arrays)))


def in_mygrad(call: Call, weights: Any) -> list[Any]:
    """MyGrad answers to NumPy's functions and has a namespace of its own: either will do."""
    mygrad = importlib.import_module("mygrad")
    try:
        return mygrad_gradients(mygrad, np, call, weights)
    except Exception:  # noqa: BLE001
        return mygrad_gradients(mygrad, mygrad, call, weights)


def mygrad_gradients(mygrad: Any, namespace: Any, call: Call, weights: Any) -> list[Any]:
    xs = [mygrad.tensor(x) for x in call.arrays]
    y = call.run(namespace, *xs)
    if not isinstance(y, mygrad.Tensor):
        raise TypeError("the graph was lost")
    (y * weights).sum().backward()
    return [x.grad for x in xs]


LIBRARIES: dict[str, Callable[[Call, Any], list[Any]]] = {
    "tinygrad_bp": in_tinygrad_bp,
    "autograd": in_autograd,
    "mygrad": in_mygrad,
    "jax": in_jax,
}


def works(gradients: Callable[[Call, Any], list[Any]], call: Call) -> bool:
    """Whether the library's gradients agree with central differences."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        weights = np.random.default_rng(1).normal(size=np.shape(call.run(np, *call.arrays)))
        exact = expected(call, weights)
        try:
            got = gradients(call, weights)
            return all(
                np.shape(a) == b.shape and bool(np.all((np.abs(np.asarray(a) - b) <= TOLERANCE * (1 + np.abs(b))) | np.isnan(b)))
                for a, b in zip(got, exact, strict=True)
            )
        except Exception:  # noqa: BLE001  (whatever a library raises is a no)
            return False


def measured() -> str:
    """Counts, and a row per function."""
    found = [name for name in LIBRARIES if name == "tinygrad_bp" or installed(name)]
    rows = {call.name: [works(LIBRARIES[name], call) for name in found] for call in calls()}
    versions = [tg.__version__ if name == "tinygrad_bp" else version(name) for name in found]
    lines = [f"Measured with NumPy {np.__version__}.", "", "| library | version | functions |", "| --- | --- | --- |"]
    for i, (name, number) in enumerate(zip(found, versions, strict=True)):
        lines.append(f"| {name} | {number} | {sum(row[i] for row in rows.values())} of {len(rows)} |")
    lines += ["", f"| function | {' | '.join(found)} |", f"| --- |{' --- |' * len(found)}"]
    lines += [f"| `{name}` | {' | '.join('yes' if ok else 'no' for ok in row)} |" for name, row in rows.items()]
    return "\n".join(lines)


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


# -- the table of rules ----------------------------------------------------------------------------------------------


def written() -> dict[str, dict[str, str]]:
    """The formulas as they stand in ``rules.py``: function -> argument -> text."""
    tree = ast.parse(Path(table.__file__).read_text("utf-8"))
    found = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("pointwise", "linear", "bilinear", "general")
        ):
            found[ast.unparse(node.args[0]).removeprefix("functions.")] = {
                str(k.arg): ast.unparse(k.value.body) if isinstance(k.value, ast.Lambda) else f"{ast.unparse(k.value)}(g, y)"
                for k in node.keywords
            }
    return found


def label(function: Any) -> str:
    if isinstance(function, tuple):
        return f"np.{function[0].__name__}.{function[1]}"
    if isinstance(function, np.ufunc):
        return f"np.{function.__name__}"
    module = getattr(function, "__module__", "")
    return f"{module.replace('numpy', 'np')}.{function.__name__}" if module.startswith("numpy") else function.__name__


def formula(rule: Rule, i: int, text: dict[str, dict[str, str]]) -> str:
    """As the symbol reader prints it; where it needs shapes or values, as it is written."""
    if rule.formulas[i] is None:
        return "not differentiated"
    options = {name: rule.options[name] if rule.options[name] is not None else expression.symbol(name) for name in rule.options}
    operands = [expression.symbol(name) for name in rule.arguments]
    body = text[label(rule.function)][rule.arguments[i]]
    try:
        printed = str(rule.derivative(i, expression.symbol("g"), operands, expression.symbol("y"), options))
    except Exception:  # noqa: BLE001
        return f"`{body}`"
    unreadable = "None" in printed or len(printed) > 200  # a symbol has no shape, an index makes an axis, a part is repeated
    return f"`{body if unreadable else printed}`"


def derived() -> str:
    """A row for each rule and argument, then what is composed and what is constant."""
    text, rules = written(), {id(r): r for f, r in RULES.items() if is_ours(f)}.values()
    lines = ["| function | kind | by | derivative times g |", "| --- | --- | --- | --- |"]
    for rule in rules:
        for i, argument in enumerate(rule.arguments):
            lines.append(f"| `{label(rule.function)}` | {rule.kind} | {argument} | {formula(rule, i, text).replace('|', chr(92) + '|')} |")
    composed = sorted({label(f) for f in COMPOSED if is_ours(f)})
    constants = sorted({label(r.function) for r in rules if r.kind == "constant"})
    lines += [
        "",
        "### Made of others",
        "",
        "Their derivatives follow from their definitions.",
        "",
        ", ".join(f"`{name}`" for name in composed) + ".",
    ]
    lines += ["", "### Constant", "", "Their derivative is zero or there is none, so the result is a plain array.", ""]
    return "\n".join([*lines, ", ".join(f"`{name}`" for name in constants) + "."])


def is_ours(function: Any) -> bool:
    """Not a rule that a user or a test has declared."""
    module = getattr(function, "__module__", None) or ""
    return isinstance(function, np.ufunc | tuple) or module.startswith(("numpy", "tinygrad_bp"))


# -- the page --------------------------------------------------------------------------------------------------------


def replaced(page: str, section: str, body: str) -> str:
    """The page with what stands between the section's two marks replaced."""
    begin, end = f"<!-- begin: {section} -->\n", f"\n<!-- end: {section} -->"
    head, tail = page.split(begin)
    return head + begin + "\n" + body + "\n" + end + tail.split(end)[1]


def main(arguments: list[str]) -> None:
    """``--rules``: only what follows from the table. ``--check``: fail where that is not what the page says."""
    before = PAGE.read_text("utf-8")
    page = replaced(before, "rules", derived())
    if "--check" in arguments:
        sys.exit(None if page == before else "docs/coverage.md is not current: python docs/coverage.py --rules")
    if "--rules" not in arguments:
        sys.path[:] = [p for p in sys.path if Path(p).resolve() != PAGE.parent]  # numba would take this file for the package coverage
        page = replaced(page, "measured", measured())
    PAGE.write_text(page, "utf-8", newline="\n")
    print(PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
