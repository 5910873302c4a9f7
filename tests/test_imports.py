"""The house has one direction: every module imports only what stands below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import tinygrad_bp

PACKAGE = Path(tinygrad_bp.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

CORE = {"anomaly", "files", "changes", "modes", "errors", "functions", "rule", "tensor", "engine", "rules"}
READABLE = CORE | {"callable_module", "nn", "optim", "expression", "letters", "program"}  # what a reader of the Program may know

MAY_READ = {
    "errors": set(),
    "functions": {"errors"},
    "rule": {"errors"},
    "anomaly": {"errors"},
    "changes": {"errors"},
    "files": {"errors"},
    "modes": set(),
    "callable_module": set(),
    "tensor": {"anomaly", "changes", "modes", "errors", "rule"},
    "engine": {"anomaly", "changes", "errors", "functions", "rule", "tensor"},
    "rules": {"errors", "functions", "rule", "tensor", "engine"},
    "compositions": CORE,
    "operators": CORE,
    "nn": CORE,
    "optim": CORE | {"nn"},
    "expression": {"errors", "functions", "rule"},
    "program": CORE | {"expression"},
    "letters": {"functions", "program"},
    "draw": READABLE,
    "explain": READABLE,
    "check": READABLE | {"operators"},
    "compile": READABLE | {"operators"},
    "worked": {"public", "errors"},  # exceptions are public: users catch them
    "cli": {"public", "errors", "worked"},
    "__main__": {"cli"},
    "__init__": CORE | {"compositions", "operators", "nn", "optim"},  # the readers only by name, when they are first used
}


def part(path: Path) -> str:
    """The module or subpackage directly under the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(node: ast.AST, file: Path) -> list[str]:
    """The modules of the package that an import statement reads, with the names it takes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        above = ["tinygrad_bp", *file.relative_to(PACKAGE).parts[:-1]]
        base = ".".join([*above[: len(above) - node.level + 1], *base.split(".")]).rstrip(".")
    return [f"{base}.{alias.name}" for alias in node.names]


def target(name: str) -> str | None:
    """Which part of the package a dotted name reads; a name of the package itself is ``public``."""
    head, *rest = name.split(".")
    if head != "tinygrad_bp":
        return None
    if not rest or (rest[0] in tinygrad_bp.__all__ and len(rest) == 1):
        return "public"
    return rest[0]


def arrows(source: str, file: Path) -> Iterator[tuple[str, str]]:
    """(from, to) for each import of one part by another, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        for name in imported(node, file):
            to = target(name)
            if to is not None and to != part(file):
                yield part(file), to


def wrong(source: str, file: Path) -> list[str]:
    """The arrows of one file that point up or sideways."""
    return [f"{start} imports {to}" for start, to in arrows(source, file) if to not in MAY_READ.get(start, set())]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_imports_point_down(file: Path) -> None:
    assert part(file) in MAY_READ, f"say in MAY_READ what {part(file)} may read"
    assert wrong(file.read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize(
    ("file", "source", "arrow"),
    [
        ("rule.py", "from tinygrad_bp.tensor import Tensor", "rule imports tensor"),
        ("tensor.py", "from tinygrad_bp.engine import pull", "tensor imports engine"),
        ("tensor.py", "def f():\n    import tinygrad_bp.program", "tensor imports program"),
        ("draw/graph.py", "from ..explain import derivation", "draw imports explain"),
        ("draw/graph.py", "from tinygrad_bp import check", "draw imports public"),
        ("worked/one.py", "from tinygrad_bp.program import Program", "worked imports program"),
        ("worked/one.py", "from tinygrad_bp import program", "worked imports program"),
        ("cli/demo.py", "from tinygrad_bp import _secret", "cli imports _secret"),
    ],
)
def test_a_wrong_arrow_is_found(file: str, source: str, arrow: str) -> None:
    assert wrong(source, PACKAGE / file) == [arrow]


@pytest.mark.parametrize("file", [f for f in FILES if part(f) in ("worked", "cli")], ids=lambda f: f.name)
def test_examples_reach_only_public_names(file: Path) -> None:
    """``tg.name`` counts like an import of the name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    aliases = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names if a.name == "tinygrad_bp"}
    reached = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in aliases}
    assert reached - {*tinygrad_bp.__all__, "__version__"} == set()


def module(file: Path) -> str:
    """The dotted name of a file."""
    parts = ["tinygrad_bp", *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circles(reads: Mapping[str, set[str]]) -> set[str]:
    """The modules in circles of imports: what is left when each that reads nothing left, or that nothing left reads, is taken away."""
    left = {name: set(others) - {name} for name, others in reads.items()}
    while True:
        read = {other for others in left.values() for other in others}
        done = {name for name, others in left.items() if not others & left.keys() or name not in read}
        if not done:
            return set(left)
        left = {name: others - done for name, others in left.items() if name not in done}


def test_no_imports_go_in_circles() -> None:
    """Inside packages neither, nor within functions, nor for types alone."""
    modules = {module(file) for file in FILES}
    reads: dict[str, set[str]] = {}
    for file in FILES:
        names = [name for node in ast.walk(ast.parse(file.read_text("utf-8"))) for name in imported(node, file)]
        reads[module(file)] = {name if name in modules else name.rpartition(".")[0] for name in names} & modules
    assert sum(map(len, reads.values())) > 300
    assert circles(reads) == set()


@pytest.mark.parametrize(
    ("reads", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, set()),
        ({"a": {"b"}, "b": {"a"}}, {"a", "b"}),
        ({"top": {"a"}, "a": {"b"}, "b": {"c", "low"}, "c": {"a"}, "low": set()}, {"a", "b", "c"}),
    ],
)
def test_a_circle_is_found(reads: dict[str, set[str]], found: set[str]) -> None:
    assert circles(reads) == found


def test_import_brings_nothing_heavy() -> None:
    """Drawing, explaining, checking and what they need are imported when they are first used."""
    code = "import sys, tinygrad_bp; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    ours = {f"tinygrad_bp.{name}" for name in ("draw", "explain", "check", "compile", "worked")}
    assert set(run.stdout.split()) & ({"graphviz", "sympy", "matplotlib"} | ours) == set()


def test_public_names_exist() -> None:
    missing = [name for name in tinygrad_bp.__all__ if not hasattr(tinygrad_bp, name)]
    assert missing == []


def test_only_programs_written_by_compile_are_executed() -> None:
    """Their text is put together from the recording; no other file may run text, whoever wrote it."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"exec", "eval"}
    }
    assert found == {"compile/execute.py"}
