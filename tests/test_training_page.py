"""The blocks of docs/training.md that need scikit-learn or matplotlib, run where these are installed."""

import importlib.util

import pytest

from docs.make import NEEDED
from tests.test_docs import ROOT, blocks, visible

PAGE = ROOT / "docs" / "training.md"


@pytest.mark.peers
@pytest.mark.skipif(not all(map(importlib.util.find_spec, NEEDED)), reason="matplotlib or scikit-learn is not installed")
def test_the_blocks_with_data_and_plots_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text("utf-8")
    lines, namespace, ran = text.splitlines(), {"__name__": "__main__"}, 0
    for block in blocks(PAGE, text):
        marker = lines[block.line - 3]  # above the fence
        if block.skipped and "minute" in marker:
            continue
        printed = visible(block.run(namespace))
        ran += block.skipped
        if block.expected is not None:
            assert printed == visible(block.expected), f"line {block.line}"
    assert ran == 4
    assert len(list(tmp_path.glob("*.svg"))) == 4
