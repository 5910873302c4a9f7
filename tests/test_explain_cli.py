"""``python -m tinygrad_bp explain``: the documents' examples by name, and a user's file."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinygrad_bp as tg
from tinygrad_bp.cli import main
from tinygrad_bp.worked import examples, step_by_step


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_a_weight_of_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    d = tg.explain(step_by_step.forward(), "w1", lr=0.5, forward=True)
    assert said(capsys, "step_by_step", "--wrt", "w1", "--lr", "0.5", "--forward") == d.text + "\n"
    d = tg.explain(step_by_step.forward(), "w1", digits=4)
    assert said(capsys, "step_by_step", "--wrt", "w1", "--digits", "4", "--unicode") == d.unicode + "\n"
    assert said(capsys, "step_by_step", "--wrt", "w1", "--digits", "4", "--format", "markdown") == d.markdown
    latex = said(capsys, "step_by_step", "--wrt", "w1", "--digits", "4", "--format", "latex")
    assert latex.startswith("\\documentclass")
    assert d.latex in latex


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_every_example_in_every_style(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for style in ("matrices", "operations", "summary"):
        text = said(capsys, name, "--style", style, "--digits", "5")
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 79
    assert " . " in said(capsys, name, "--layout", "numerator")
    assert "delta^3" in said(capsys, name, "--notation", "layers")


def test_more_paths_than_asked_for_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "4 paths lead from E_total to b1." in said(capsys, "step_by_step", "--wrt", "b1", "--max-paths", "3")
    assert "along 4 paths" in said(capsys, "step_by_step", "--wrt", "b1")


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        'import tinygrad_bp as tg\nw = tg.Tensor(3.0, requires_grad=True, name="w")\ncost = (w * w).named("cost")\n', encoding="utf-8"
    )
    assert said(capsys, str(file), "--output", "cost", "--wrt", "w").endswith("= 6\n")
    out = tmp_path / "w.md"
    assert said(capsys, str(file), "--output", "cost", "--wrt", "w", "--out", str(out)).strip() == str(out)
    assert "$$" in out.read_text(encoding="utf-8")


def test_what_is_wrong_is_said_and_the_status_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["step_by_step", "--wrt", "w9"], "no tensor named 'w9'"),
        (["step_by_step", "--wrt", "w1", "--out", str(tmp_path / "w.docx")], "saved as .txt, .md, .tex"),
        (["step_by_step", "--wrt", "w1", "--out", str(tmp_path / "none" / "w.md")], "No such file or directory"),
        (["step_by_step", "--notation", "greek"], "there is no notation 'greek'"),
    ):
        assert main(["explain", *arguments]) == 2
        assert words in capsys.readouterr().err
