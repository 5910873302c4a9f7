"""The gallery's pictures are those that its own code makes, and all that it shows."""

from __future__ import annotations

import re

import pytest

from docs.make import GALLERY, LAYOUT, PICTURES, gallery

SHOWN = re.findall(r"\]\(pictures/(\w+\.svg)\)", GALLERY.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHVIZ_DOT", LAYOUT)
        return gallery()


def test_each_picture_that_is_made_is_shown(drawn: dict[str, str]) -> None:
    assert sorted(drawn) == sorted(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_are_current(drawn: dict[str, str], name: str) -> None:
    """``python docs/make.py`` makes them anew."""
    assert drawn[name] == (PICTURES / name).read_text(encoding="utf-8")
