"""``doctor``: what can be drawn on this machine, which extras are installed, and what to install otherwise."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
from collections.abc import Iterator

import tinygrad_bp as tg
from tinygrad_bp.errors import LayoutError

HELP = "say which layout program and which extras there are, and what to install"
UNTOLD = ("test",)  # extras for those who work on the package


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing."""


def run(args: argparse.Namespace) -> int:
    """Run the command; the exit status is 0 where pictures can be drawn, and 1 where they cannot."""
    print(f"tinygrad_bp {tg.__version__}, Python {platform.python_version()}, NumPy {importlib.metadata.version('numpy')}\n")
    drawable = layout()
    print("\nExtras" if installed("tinygrad_bp") else "\nThe package runs without being installed, so its extras are not known.")
    for name, packages in extras().items():
        missing = [package for package, version in packages.items() if version is None]
        there = ", ".join(f"{package} {version}" for package, version in packages.items() if version)
        print(row(name, f'missing: pip install "tinygrad_bp[{name}]"' if missing else there))
    return 0 if drawable else 1


def row(name: str, what: str) -> str:
    return f"  {name:<14} {what}"


def layout() -> bool:
    """Say what is known of the layout program; whether there is one that works."""
    print("Pictures")
    try:
        found = tg.draw.examine()
    except LayoutError as error:
        print(row("layout program", "none that works"))
        print(f"\n{error}")
        return False
    print(row("layout program", found.program))
    print(row("version", found.version or "unknown"))
    for kind, works in found.formats.items():
        print(row(kind, "yes" if works else "no; install Graphviz, which writes it"))
    for script, works in found.scripts.items():
        print(row(script, "in svg and png" if works else "in svg; for png install Graphviz, and a font that has them"))
    if not all([*found.formats.values(), *found.scripts.values()]):
        print("\nGraphviz is at https://graphviz.org/download.")
    return True


def extras() -> dict[str, dict[str, str | None]]:
    """Extra -> package -> its version, or None where it is not installed."""
    found: dict[str, dict[str, str | None]] = {}
    for package, extra in requirements():
        found.setdefault(extra, {})[package] = installed(package)
    return found


def requirements() -> Iterator[tuple[str, str]]:
    """(package, extra), as this package declares them."""
    declared = importlib.metadata.requires("tinygrad_bp") if installed("tinygrad_bp") else None
    for requirement in declared or ():
        wanted = re.fullmatch(r"([\w.-]+).*;.*extra\s*==\s*['\"]([\w-]+)['\"].*", requirement)
        if wanted and wanted[2] not in UNTOLD:
            yield wanted[1], wanted[2]


def installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
