"""The main job: ``python -m tinygrad_bp demo``."""

import pytest

from docs.make import DRAWINGS, PICTURES
from tinygrad_bp.cli import main
from tinygrad_bp.draw import layout


def test_the_demo_prints_the_documents_numbers_and_saves_its_files(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "deep" / "er")]) == 0
    text = capsys.readouterr().out
    for expected in ("0.593269992", "0.298371109", "w5+ = w5 - eta * dE_total/dw5", "along 2 paths", "10 of 10 claims agree",
                     "sequential    0.291027924  0.291027924  agrees", "sequential    0.000035085  0.000035085  agrees"):  # fmt: skip
        assert expected in text
    assert "NO" not in text
    assert max(map(len, text.splitlines())) <= 80 + len(str(tmp_path))
    names = {path.name for path in (tmp_path / "deep" / "er").iterdir()}
    assert names == {"derivation.txt", "derivation.md", "graph.svg", "network.svg"}
    for name in ("graph.svg", "network.svg"):
        picture = (tmp_path / "deep" / "er" / name).read_text(encoding="utf-8")
        assert "0.082167" in picture  # the gradient of w5
        assert "0.59327" in picture  # out_h1


def test_without_a_layout_program_the_dot_text_is_saved_and_the_remedy_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(layout.shutil, "which", lambda *a, **k: None)
    monkeypatch.delenv("GRAPHVIZ_DOT", raising=False)
    assert main(["demo", "--out", str(tmp_path)]) == 0
    assert "graphviz-pure" in capsys.readouterr().out
    assert "digraph" in (tmp_path / "graph.dot").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert "Give another folder with --out" in capsys.readouterr().err


def test_no_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        main([])


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_pictures_of_the_pages_are_current(name):
    """``python docs/make.py`` makes them anew."""
    assert DRAWINGS[name]().svg(program="graphviz-pure") == (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
