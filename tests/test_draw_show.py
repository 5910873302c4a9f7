"""Pictures in steps: which numbers are written, that nothing moves, and that a script finds each number in the SVG."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any, Literal

import pytest

from tests.test_draw import worked_example
from tinygrad_bp import draw
from tinygrad_bp.draw.labels import Number
from tinygrad_bp.program import Program

PICTURES: list[Callable[..., draw.Drawing]] = [draw.network, draw.graph]


def numbers(svg: str) -> dict[str, str]:
    """What an SVG writes for each number: ``value-3-0`` -> its text."""
    return {name: html.unescape(text) for name, text in re.findall(r'data-number="([^"]*)">([^<]*)<', svg)}


def places(svg: str) -> list[str]:
    """Where every text is, in order; a thicker border may shorten the edges."""
    return re.findall(r'<text[^>]*( x="[^"]*" y="[^"]*")', svg)


@pytest.mark.parametrize("picture", PICTURES)
def test_numbers_are_found_by_their_line_and_index(picture: Any) -> None:
    program = Program.of(worked_example())
    found = numbers(picture(program).svg())
    w2, net_o = program.place("W2"), program.place("net_o")
    for index in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        assert found[str(Number(w2, index))].endswith(f"{program.lines[w2].value[index]:g}")
        assert found[str(Number(w2, index, gradient=True))].endswith(f"{program.gradients[w2][index]:.6g}")
    assert found[f"value-{net_o}-1"].endswith(f"{program.lines[net_o].value[1]:.6g}")
    assert found[f"grad-{net_o}-0"].endswith(f"{program.gradients[net_o][0]:.6g}")


@pytest.mark.parametrize("picture", PICTURES)
def test_hidden_numbers_keep_their_room(picture: Any) -> None:
    program = Program.of(worked_example())

    def show(number: Number) -> Literal["shown", "hidden", "new"]:
        return "hidden" if number.gradient else "new" if number.place == program.place("net_h") else "shown"

    full, part = picture(program).svg(), picture(program, show=show).svg()
    assert places(full) == places(part)
    written = numbers(part)
    assert numbers(full).keys() == written.keys()
    assert all((text == "") == name.startswith("grad") for name, text in written.items())
    assert "0.082167" not in part
    assert "0.3775" in part


@pytest.mark.parametrize("picture", PICTURES)
def test_ids_are_this_pictures_own(picture: Any) -> None:
    loss = worked_example()
    first, other = picture(loss).svg(), picture(loss, digits=3).svg()
    ids = [re.findall(r'\bid="([^"]*)"', svg) for svg in (first, other)]
    assert len(set(ids[0])) == len(ids[0])
    assert not set(ids[0]) & set(ids[1])
    assert set(re.findall(r'\bid="([^"]*)"', picture(loss).svg(prefix="p-"))) == {f"p-{name.partition('-')[2]}" for name in ids[0]}


@pytest.mark.parametrize("picture", [*PICTURES, draw.circuit, draw.backward, lambda *a, **k: draw.backward(a[0], "w1", **k)])
def test_every_number_can_be_hidden(picture: Any) -> None:
    full, bare = (
        re.findall(r"<text[^>]*>([^<]*)</text>", picture(worked_example(), show=show).svg()) for show in (None, lambda n: "hidden")
    )
    assert any(re.search(r"\d\.\d", text) for text in full)
    assert not [text for text in bare if re.search(r"\d\.\d", text)]
