"""What the pages show is what happens: every code block runs, every printed output is the real one, every link leads somewhere."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tinygrad_bp.rule import COMPOSED, RULES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(
    r"(?P<skip>^<!-- not run: .+? -->\n)?^```python\n(?P<code>.*?)^```\n(?:\n*^```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
ANY_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:|mailto:)([^)\s]*)[^)]*\)|<img[^>]*?src=\"(?!https?:)([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """A piece of Python on a page, and what the page says it prints."""

    page: Path
    line: int
    code: str
    expected: str | None
    skipped: bool

    def run(self, namespace: dict[str, Any]) -> str:
        """Its output. The padding makes a traceback point at the line of the page."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (self.line - 1) + self.code, str(self.page), "exec"), namespace)
        return out.getvalue()


def blocks(page: Path, text: str) -> list[Block]:
    """The Python blocks of a page, in order."""
    return [
        Block(page, text.count("\n", 0, found.start("code")) + 1, found["code"], found["output"], found["skip"] is not None)
        for found in BLOCK.finditer(text)
    ]


def visible(text: str) -> list[str]:
    """Its lines without what nobody sees: editors take spaces at the ends of lines away."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def run_page(page: Path, text: str) -> None:
    """Run all blocks of a page in one namespace and compare what they print."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, text):
        if not block.skipped:
            printed = visible(block.run(namespace))
            if block.expected is not None:
                assert printed == visible(block.expected), f"{page.name}, line {block.line}"


def slug(heading: str) -> str:
    """The anchor that viewers of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links and images whose file or heading does not exist."""
    prose = re.sub(r"`[^`\n]*`", "", ANY_FENCE.sub("", text))
    broken = []
    for link in (a or b for a, b in LINK.findall(prose)):
        path, _, anchor = link.partition("#")
        file = page.parent / path if path else page
        headings = {slug(h) for h in re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)} if anchor and file.exists() else set()
        if not file.exists() or (anchor and anchor not in headings):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rules, definitions = dict(RULES), dict(COMPOSED)  # what a page declares is for that page
    try:
        run_page(page, page.read_text("utf-8"))
    finally:
        for registry, before in ((RULES, rules), (COMPOSED, definitions)):
            registry.clear()
            registry.update(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_block_is_overlooked(page: Path) -> None:
    """An indented fence, or one in another spelling, would not be run."""
    text = page.read_text("utf-8")
    assert len(re.findall(r"^\s*(?:```|~~~)\s*(?:python|py|pycon)", text, re.MULTILINE | re.IGNORECASE)) == len(blocks(page, text))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text("utf-8")) == []


def test_readme_gives_its_two_commands() -> None:
    """They are marked, stand on one line each, and need no activated environment."""
    text = (ROOT / "README.md").read_text("utf-8")
    for name in ("run", "test"):
        (command,) = re.findall(rf"^<!-- command: {name} -->\n```sh\n(.*)\n```$", text, re.MULTILINE)
        assert command.startswith("python3 -m venv .venv && ")
        assert "activate" not in command


PAGE = "```python\nx = 1\nprint(x)\n```\n\n```text\n{output}\n```\n\n{comment}```python\n{code}\n```\n"


def test_the_checker_accepts_a_right_page() -> None:
    run_page(Path("page.md"), PAGE.format(output="1", comment="", code="assert x == 1"))
    run_page(Path("page.md"), PAGE.format(output="1", comment="<!-- not run: it takes an hour -->\n", code="1 / 0"))


def test_the_checker_finds_a_wrong_output() -> None:
    with pytest.raises(AssertionError, match=r"page.md, line 2"):
        run_page(Path("page.md"), PAGE.format(output="2", comment="", code="pass"))


def test_the_checker_finds_a_block_that_fails() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(Path("page.md"), PAGE.format(output="1", comment="", code="1 / 0"))
    assert caught.traceback[-1].lineno == 10  # counted from 0: the line of the page


def test_the_checker_finds_a_broken_link() -> None:
    text = "[here](README.md) [gone](gone.md) ![picture](gone.svg) [far](https://example.org) `[code](x)` [part](#no-such-part)"
    assert broken_links(ROOT / "README.md", text) == ["gone.md", "gone.svg", "#no-such-part"]
