#!/usr/bin/env python3
"""Everything that must hold before a change is accepted, from nothing: no network but the package index, no system Graphviz.

The two commands of README.md are read from it and run in fresh copies of the tree, then format, lint, types, the
built packages, the import time and the size of each file. The last line sums up: ``N passed, N failed, N skipped``,
where a step that is not a test run counts as one failure when it fails.
"""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tokenize
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEP_LIMIT = 600  # seconds; a step that takes longer hangs
IMPORT_LIMIT = 1.6  # times `import numpy`; the aim is 1.3, and a busy machine may add its noise
CORE = ("rule", "tensor", "engine", "rules")  # meant to be read in one sitting

# Libraries to compare with, installed on top of the tests' environment for the tests marked `peers`.
# Each as pip takes it, for instance "torch==2.13.0". While there are none, the step does nothing.
PEERS: tuple[str, ...] = (
    "dask[array,distributed]==2026.8.0",
    "torch==2.13.0",
    "scikit-learn==1.9.1",
    "matplotlib==3.11.2",
    "numba==0.68.1",
)

# For the tests marked `browser`: a package of the index, and Debian's packages, installed where this runs as root.
BROWSER = ("selenium==4.51.0",)
BROWSER_APT = ("chromium", "chromium-driver")

PASSED_THROUGH = re.compile(r"PIP_.*|.*_proxy|SSL_CERT_.*|LANG|LC_.*|SYSTEMROOT", re.IGNORECASE)  # where packages come from, and no more

# pytest's words, where they are not those of the last line
COUNTED = {"error": "failed", "errors": "failed", "xpassed": "passed", "xfailed": "skipped"}

totals: Counter[str] = Counter()
broken: list[str] = []


class Workplace:
    """A temporary folder with copies of the tree and an environment in which only ``python3`` is found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs, home = folder / "bin", folder / "home"
        programs.mkdir()
        home.mkdir()
        (programs / "python3").write_text(f'#!/bin/sh\nexec {shlex.quote(os.path.realpath(sys.executable))} "$@"\n')
        (programs / "python3").chmod(0o755)
        self.env = {name: value for name, value in os.environ.items() if PASSED_THROUGH.fullmatch(name)}
        self.env |= {"PATH": str(programs), "HOME": str(home), "TMPDIR": str(folder), "CI": "true", "NO_COLOR": "1"}
        settings = Path.home() / ".config/pip/pip.conf"
        if settings.exists():
            self.env.setdefault("PIP_CONFIG_FILE", str(settings))

    def copy(self, name: str) -> Path:
        """A fresh copy of the files under version control, as they are now."""
        target = self.folder / name
        for file in tracked_files():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, target / file)
        return target


def tracked_files() -> list[str]:
    """The files under version control; all files where there is none, as in an unpacked source distribution."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False) if shutil.which("git") else None
    if found is None or found.returncode or not found.stdout:
        hidden = {".git", ".venv", "__pycache__", "dist", "build"}
        return [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and not hidden & set(p.relative_to(ROOT).parts)]
    return [name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def call(command: str | list[str], cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    """Run a command, showing its output while it comes: (exit status, output)."""
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    print("$", command if isinstance(command, str) else shlex.join(command), flush=True)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(argv, cwd=cwd, env=env, text=True, **pipes)
    timer = threading.Timer(STEP_LIMIT, process.kill)
    timer.start()
    lines = []
    for line in process.stdout or ():
        print(line, end="", flush=True)
        lines.append(line)
    status = process.wait()
    timer.cancel()
    return status, "".join(lines)


def step(name: str, run: Callable[[], bool]) -> None:
    """One step, its time, and whether it failed: by the tests that it counted, or as one failure of its own."""
    print(f"\n== {name}", flush=True)
    start, before = time.monotonic(), totals["failed"]
    try:
        good = run()
    except Exception as error:  # noqa: BLE001  (the other steps are still worth running)
        print(f"{type(error).__name__}: {error}")
        good = False
    if not good:
        broken.append(name)
        totals["failed"] += totals["failed"] == before
    print(f"-- {name}: {'ok' if good else 'FAILED'} in {time.monotonic() - start:.1f} s", flush=True)


def count_tests(output: str) -> bool:
    """Add pytest's summary to the totals; false where there is none."""
    summaries = re.findall(r"^(?:=+ )?((?:\d+ [a-z]+, )*\d+ [a-z]+) in [\d.]+s", output, re.MULTILINE)
    for number, kind in re.findall(r"(\d+) ([a-z]+)", summaries[-1]) if summaries else ():
        totals[COUNTED.get(kind, kind)] += int(number)
    return bool(summaries)


def readme_command(name: str) -> str:
    """The one line of the fenced block that follows its marker."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^<!-- command: {name} -->\s*```sh\n(.*)\n```", text, re.MULTILINE)
    return line


def tests(command: str | list[str], cwd: Path, env: dict[str, str]) -> bool:
    """Whether a command that ends in pytest succeeds; its counts go to the totals."""
    status, output = call(command, cwd, env)
    return count_tests(output) and status == 0


def succeeds(*command: str | Path, cwd: Path, env: dict[str, str]) -> bool:
    """Whether a command that is no test run succeeds."""
    return call([str(part) for part in command], cwd, env)[0] == 0


def example(tree: Path, env: dict[str, str]) -> bool:
    """The first command of the README, which must leave pictures although no Graphviz is installed."""
    status, _ = call(readme_command("run"), tree, env)
    pictures = [file.name for file in (tree / "demo").glob("*.svg")]
    print("pictures:", *sorted(pictures))
    command = [".venv/bin/python", "-m", "tinygrad_bp"]
    drawn = [
        succeeds(
            *command,
            "draw",
            "step_by_step",
            "--kind",
            kind,
            "--out",
            f"demo/{kind}.{'html' if kind == 'steps' else 'svg'}",
            cwd=tree,
            env=env,
        )
        for kind in ("graph", "circuit", "network", "backward", "steps")
    ]
    return status == 0 and bool(pictures) and all(drawn) and succeeds(*command, "doctor", cwd=tree, env=env)


def environment(work: Workplace, name: str, *requirements: str | Path) -> Path:
    """The Python of a new virtual environment with these requirements."""
    folder = work.folder / name
    subprocess.run([os.path.realpath(sys.executable), "-m", "venv", str(folder)], check=True, env=work.env)
    subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *map(str, requirements)], check=True, env=work.env)
    return folder / "bin/python"


def built_packages(work: Workplace, tree: Path, python: Path) -> bool:
    """Build both distributions; install the wheel alone in a new environment and work the example there."""
    if not succeeds(python, "-m", "build", "--outdir", work.folder / "dist", tree, cwd=work.folder, env=work.env):
        return False
    (wheel,) = (work.folder / "dist").glob("*.whl")
    fresh = environment(work, "fresh", wheel)
    show = "import tinygrad_bp as tg, pathlib; print(tg.__version__, pathlib.Path(tg.__file__).with_name('py.typed').exists())"
    return succeeds(fresh, "-c", show, cwd=work.folder, env=work.env) and succeeds(
        fresh, "-m", "tinygrad_bp", "demo", "--out", "demo", cwd=work.folder, env=work.env
    )


def import_time(python: Path, env: dict[str, str], cwd: Path, runs: int = 21) -> bool:
    """What importing the package costs beside NumPy, each in a process of its own: the fastest of several runs in turn."""
    times: dict[str, list[int]] = {"numpy": [], "tinygrad_bp": []}
    for _ in range(runs):
        for name, found in times.items():
            command = [str(python), "-X", "importtime", "-c", f"import {name}"]
            log = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True).stderr
            (cumulative,) = re.findall(rf"\| +(\d+) \| {name}$", log, re.MULTILINE)
            found.append(int(cumulative))
    numpy, ours = (min(found) / 1000 for found in times.values())
    print(f"import numpy {numpy:.0f} ms, import tinygrad_bp {ours:.0f} ms: ratio {ours / numpy:.2f}")
    return ours / numpy < IMPORT_LIMIT


def code_lines(source: str) -> int:
    """Lines with code: not blank, not comment, not docstring."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            lines.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


def sizes() -> bool:
    """Print the code lines of every file of the package."""
    package = ROOT / "tinygrad_bp"
    counts = {file.relative_to(package).as_posix(): code_lines(file.read_text(encoding="utf-8")) for file in sorted(package.rglob("*.py"))}
    for name, count in counts.items():
        print(f"{count:6} {name}")
    print(f"{sum(counts[f'{name}.py'] for name in CORE):6} the core: {', '.join(CORE)}")
    print(f"{sum(counts.values()):6} in all")
    return True


def peers(tree: Path, python: Path, env: dict[str, str]) -> bool:
    """The tests that compare with other libraries, with these installed."""
    if not PEERS:
        print("no libraries are named in PEERS")
        return True
    install = succeeds(python, "-m", "pip", "install", "--quiet", *PEERS, cwd=tree, env=env)
    return install and tests([str(python), "-m", "pytest", "-m", "peers"], tree, env)


def browser(tree: Path, python: Path, env: dict[str, str]) -> bool:
    """The tests of pages in a real browser, which Debian's packages bring; skipped, with the reason, where it cannot be had."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        if os.name != "posix" or os.geteuid() or not shutil.which("apt-get"):
            print("there is no chromium with its chromedriver, and without root and apt-get none is installed: the tests are skipped")
        else:
            quiet = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
            if not (
                succeeds("apt-get", "update", "-q", cwd=tree, env=quiet)
                and succeeds("apt-get", "install", "-q", "-y", "--no-install-recommends", *BROWSER_APT, cwd=tree, env=quiet)
            ):
                print("chromium could not be installed: the tests are skipped")
    install = succeeds(python, "-m", "pip", "install", "--quiet", *BROWSER, cwd=tree, env=env)
    return install and tests([str(python), "-m", "pytest", "-m", "browser", "tests"], tree, env)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tinygrad_bp-") as folder:
        work = Workplace(Path(folder))
        first, tree = work.copy("first"), work.copy("second")  # each command must do on a fresh copy
        env, python, tools = work.env, tree / ".venv/bin/python", work.folder / "tools/bin"
        lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["lint"]

        step("README: run", lambda: example(first, env))
        step("README: test", lambda: tests(readme_command("test"), tree, env))
        step("tools", lambda: bool(environment(work, "tools", *lint)))
        step("format", lambda: succeeds(tools / "ruff", "format", "--check", "--diff", ".", cwd=tree, env=env))
        step("lint", lambda: succeeds(tools / "ruff", "check", ".", cwd=tree, env=env))
        step("types", lambda: succeeds(tools / "mypy", "--python-executable", python, cwd=tree, env=env))
        step("packages", lambda: built_packages(work, first, tools / "python"))
        step("import time", lambda: import_time(work.folder / "fresh/bin/python", env, work.folder))
        step("code lines", sizes)
        step("peers", lambda: peers(tree, python, env))
        step("browser", lambda: browser(tree, python, env))

    if broken:
        print(f"\nfailed steps: {', '.join(broken)}")
    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
