"""Pictures in steps: what appears when, what is said, and the files that come of it."""

from __future__ import annotations

import math
import re
import stat
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import Tensor, draw, nn
from tinygrad_bp.draw.layout import run_layouts
from tinygrad_bp.draw.page import markup, merge, page
from tinygrad_bp.errors import GraphError, LayoutError
from tinygrad_bp.expression import format_number
from tinygrad_bp.program import Program
from tinygrad_bp.worked import examples, step_by_step

NAMES = {"sigmoid": lambda x: 1 / (1 + math.exp(-x)), "tanh": math.tanh, "square": lambda x: x * x}


def titles(steps: draw.Steps) -> list[str]:
    """Of the steps between start and end, without the counting."""
    return [step.title.partition(". ")[2] for step in steps][1:-1]


@pytest.fixture(scope="module")
def worked() -> draw.Steps:
    return draw.steps(step_by_step.forward())


# -- what is told ------------------------------------------------------------------------------------------------------


def test_forward_in_order_and_backward_in_reverse(worked: draw.Steps) -> None:
    forward = ["net_h1", "net_h2", "out_h1", "out_h2", "net_o1", "net_o2", "out_o1", "out_o2", "E_o1", "E_o2", "E_total"]
    backward = ["net_o1", "net_o2", "w5", "w6", "w7", "w8", "b2", "net_h1", "net_h2", "w1", "w2", "w3", "w4", "b1"]
    assert titles(worked) == [f"Forward: {name}" for name in forward] + [f"Backward: dE_total/d{name}" for name in backward]


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_each_number_is_told_once_and_after_what_it_is_computed_from(name: str) -> None:
    steps = draw.steps(examples.load(name).loss())
    new = [number for step in steps for number in step.new]
    assert len(set(new)) == len(new)
    appears = {number: k for k, step in enumerate(steps) for number in step.new}
    for k, step in enumerate(steps):
        assert all(appears.get(number, 0) < k for number in step.read)
    assert len(steps) > 20 or name == "one_output"


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # shrinking takes minutes
@given(st.lists(st.integers(1, 3), min_size=2, max_size=3), st.integers(0, 10**6), st.sampled_from([True, "shared", False]))
def test_the_numbers_put_in_give_the_number_that_is_said(sizes: list[int], seed: int, bias: Any) -> None:
    """Any small network: the formula with numbers, read as Python, comes to the tensor's own value or gradient."""
    rng = np.random.default_rng(seed)
    model = nn.MLP([2, *sizes], bias=bias, rng=rng)
    loss = nn.HalfSquaredError()(model(Tensor(rng.normal(size=2)).named("x")), Tensor(rng.normal(size=sizes[-1])).named("target"))
    scalars = Program.of(loss).scalars()
    own = [*(line.value for line in scalars), *scalars.gradients.values()]
    texts = {format_number(value, 12) for value in own}
    told = 0
    for step in draw.steps(loss, digits=12):
        for formula in step.formulas:
            *_, put_in, value = formula.members()
            assert value in texts
            if set(re.findall(r"\b[a-zA-Z_]\w*", put_in)) <= NAMES.keys():  # else it is a name that equals the value
                told += 1
                assert math.isclose(eval(put_in, dict(NAMES)), float(value), rel_tol=1e-9, abs_tol=1e-11), str(formula)
    assert told > len(sizes)


def test_negative_numbers_stand_in_brackets(worked: draw.Steps) -> None:
    said = str(worked)
    assert "0.138499 * 0.4 + (-0.0380982 * 0.5)" in said
    assert not re.search(r"[-+*/] -", said)


def test_two_paths_are_added_up(worked: draw.Steps) -> None:
    (step,) = (s for s in worked if s.title.endswith("dE_total/dnet_h1"))
    assert "out_h1 acts on E_total through net_o1 and net_o2: each gradient times its local derivative, added up." in step.words
    assert str(step.formulas[0]) == (
        "dE_total/dout_h1 = dE_total/dnet_o1 * dnet_o1/dout_h1 + dE_total/dnet_o2 * dnet_o2/dout_h1 = "
        "dE_total/dnet_o1 * w5 + dE_total/dnet_o2 * w7 = 0.138499 * 0.4 + (-0.0380982 * 0.5) = 0.0363503"
    )


def test_a_network_without_names_is_told_with_the_usual_ones() -> None:
    W = Tensor([[0.5, -0.2]], requires_grad=True)
    steps = draw.steps(np.sum(np.square(tg.sigmoid(np.array([1.0, 2.0]) @ W.T) - 1.0)))
    assert titles(steps) == ["Forward: net_o", "Forward: out_o", "Forward: loss", "Backward: dloss/dnet_o"] + [
        f"Backward: dloss/dW1_{k}" for k in (1, 2)
    ]


def test_a_batch_is_told_array_by_array() -> None:
    model = nn.MLP([2, 3, 1], rng=0)
    steps = draw.steps(nn.MSELoss()(model(np.ones((4, 2))), np.zeros((4, 1))))
    assert "net_h = x @ W1.T + b1 = an array of shape (4, 3)" in str(steps)
    assert "delta_h = dloss/dnet_h = dloss/dout_h * out_h * (1 - out_h) = an array of shape (4, 3)" in str(steps)
    assert len(steps) == 1 + 5 + 6 + 1


def test_other_pictures_have_steps_too() -> None:
    x = Tensor(3.0, requires_grad=True, name="x")
    steps = draw.steps((np.sin(x) * x).named("y"))
    assert titles(steps) == ["Forward: t1", "Forward: y", "Backward: dy/dy", "Backward: dy/dt1", "Backward: dy/dx"]
    assert str(steps[-2].formulas[-1]).startswith("dy/dx = dy/dt1 * dt1/dx + dy/dx = ")
    for picture in (draw.graph, draw.circuit):
        network = draw.steps(step_by_step.forward(), picture=picture)
        assert "Backward: dE_total/dw5" in titles(network)


def test_what_cannot_be_told_is_said() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"shape \(2,\).*scalar"):
        draw.steps(x * 2)
    y = Tensor(1.0, requires_grad=True)
    for _ in range(draw.passes.MOST):
        y = y * 1.0
    with pytest.raises(GraphError, match="steps, and 200 are the most"):
        draw.steps(y)
    for _ in range(2_000):
        y = y + 1.0
    with pytest.raises(GraphError, match="tensors, and 1000 are the most"):
        draw.steps(y)


def test_a_long_sum_is_told_without_recursion() -> None:
    y = Tensor(1.0, requires_grad=True, name="x")
    for _ in range(90):
        y = y + 1.0
    said = str(draw.steps(y.named("y"), picture=draw.graph))
    assert "dy/dx = " in said


# -- what is drawn -----------------------------------------------------------------------------------------------------


def numbers(svg: str) -> dict[str, str]:
    return {name: text for name, text in re.findall(r'data-number="([^"]*)">([^<]*)<', svg) if text}


def test_numbers_appear_when_they_are_computed_and_stay(worked: draw.Steps) -> None:
    shown = [numbers(svg) for svg in worked.svgs()]
    for k in range(1, len(worked)):
        assert shown[k].keys() - shown[k - 1].keys() == set(worked[k].new)
        assert shown[k - 1].items() <= shown[k].items()
    full = numbers(draw.network(step_by_step.forward()).svg())
    assert shown[-1] == full


def test_nothing_moves(worked: draw.Steps) -> None:
    svgs = worked.svgs()
    texts = [re.findall(r'<text[^>]*x="([^"]*)" y="([^"]*)"[^>]*data-number', svg) for svg in svgs]
    assert all(places == texts[0] for places in texts)
    assert len({re.search(r"<svg [^>]*>", re.sub(r"step\d+-", "", svg))[0] for svg in svgs}) == 1  # type: ignore[index]


def test_the_same_bytes_every_time(worked: draw.Steps) -> None:
    again = draw.steps(step_by_step.forward())
    assert again.html() == worked.html()
    assert again.svgs() == worked.svgs()


def test_captions_say_the_words(worked: draw.Steps) -> None:
    text = " ".join("".join(ET.fromstring(worked.svgs()[14]).itertext()).split())
    assert "Step 14 of 26. Backward: dE_total/dw5" in text
    assert "= 0.138499 * 0.59327 = 0.082167" in text


# -- files -------------------------------------------------------------------------------------------------------------


def test_files(worked: draw.Steps, tmp_path: Path) -> None:
    assert worked.save(tmp_path / "steps.html").read_text(encoding="utf-8") == worked.html()
    worked[:3].save(tmp_path / "deep" / "folder")
    assert sorted(path.name for path in (tmp_path / "deep" / "folder").iterdir()) == ["step-0.svg", "step-1.svg", "step-2.svg"]
    assert [path.name for path in worked[:11].save_svgs(tmp_path / "more")][9:] == ["step-09.svg", "step-10.svg"]
    with pytest.raises(LayoutError, match=r"as \.html, as \.gif, or as SVGs in a folder.*'steps.svg'"):
        worked.save(tmp_path / "steps.svg")


def test_a_page_is_self_contained(worked: draw.Steps) -> None:
    html = worked.html()
    assert not re.search(r"""(src|href)=|url\(|@import|fetch\(|https?://""", html)
    assert "default-src 'none'" in html
    assert html.count("<script") == 1
    assert len(html) < 100_000


def test_an_animation(worked: draw.Steps, tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    with images.open(worked[10:14].save(tmp_path / "steps.gif")) as animation:
        assert animation.n_frames == 4
        assert animation.info["duration"] == 2000
        assert animation.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        pictures = set()
        for k in range(4):
            animation.seek(k)
            pictures.add(animation.convert("RGB").tobytes())
        assert len(pictures) == 4
        assert animation.info["duration"] == 6000


def test_an_animation_draws_no_boxes_in_place_of_letters() -> None:
    pytest.importorskip("PIL.Image")
    x = Tensor(3.0, requires_grad=True, name="误差")
    with pytest.raises(LayoutError, match="no font with 差误"):
        draw.steps((x * x).named("y")).gif(program="graphviz-pure")


def test_an_animation_without_pillow_says_what_to_install(worked: draw.Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r'pip install "tinygrad_bp\[gif\]"'):
        worked.gif()


def test_without_a_layout_program_a_notebook_shows_the_words(worked: draw.Steps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(worked._repr_mimebundle_()) == {"text/html", "text/plain"}
    monkeypatch.setenv("GRAPHVIZ_DOT", str(tmp_path / "nowhere"))
    bundle = worked._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert "GRAPHVIZ_DOT names" in bundle["text/plain"]
    assert "dE_total/dw5 = " in bundle["text/plain"]
    with pytest.raises(LayoutError):
        worked.save(tmp_path / "steps.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a script with #! is no program on Windows")
def test_a_layout_program_that_draws_only_one_is_found_out(tmp_path: Path) -> None:
    program = tmp_path / "one"
    program.write_text(f"#!{sys.executable}\nimport sys; sys.stdin.read(); print('<?xml?><svg/>')\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(LayoutError, match="wrote 1 pictures, and 2 were asked for"):
        run_layouts(["digraph {}", "digraph {}"], "svg", str(program))


# -- training ----------------------------------------------------------------------------------------------------------


def training(updates: int, every: int) -> draw.Steps:
    example = examples.load("step_by_step")
    return draw.training(example.loss, tg.optim.SGD(example.model.parameters(), lr=0.5), updates, every)


def test_training_shows_every_kth_update_and_the_last() -> None:
    steps = training(5, every=2)
    assert [step.title for step in steps] == ["Start", "After 2 updates", "After 4 updates", "After 5 updates"]
    one = training(1, every=1)
    assert one[1].title == "After 1 update"
    assert "w5 = 0.358916" in one[1].drawing.svg()  # as the document prints it
    model = step_by_step.network()
    tg.optim.fit(model, nn.HalfSquaredError(), step_by_step.INPUT, step_by_step.TARGET, tg.optim.SGD(model.parameters(), lr=0.5), updates=1)
    now = format_number(step_by_step.forward(model).item(), 6)
    assert one[1].words == f"E_total is {now}; at the start it was 0.298371. Since the last picture b2 moved most, from 0.6 to 0.5498."


def test_nothing_moves_while_numbers_grow() -> None:
    steps = training(30, every=10)
    for pattern in (r'pos="[^"]*"', r"(?<= height=)[\d.]+", r"(?<= width=)[\d.]+"):
        assert len({tuple(re.findall(pattern, step.drawing.source)) for step in steps}) == 1
    assert len({step.drawing.source for step in steps}) == 4


def test_training_for_nothing_or_for_too_long_is_refused() -> None:
    for updates, every in ((0, 1), (5, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            training(updates, every)
    with pytest.raises(GraphError, match="larger every="):
        training(500, every=1)


# -- one SVG of many ---------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(["<a1/>", "<text>1</text>", '<text x="1">2</text>', "<path/>"])
GROUPS = st.builds(lambda name, inner: f'<g id="{name}">{"".join(inner)}</g>', st.sampled_from("pqr"), st.lists(LEAVES, max_size=4))
SVGS = st.lists(
    st.builds(lambda parts: f"<svg>{''.join(parts)}</svg>", st.lists(st.one_of(LEAVES, GROUPS), max_size=5)), min_size=1, max_size=5
)


def frame(element: ET.Element, k: int) -> str:
    """What a reader of the merged picture sees in frame k."""

    def seen(child: ET.Element) -> bool:
        runs = [list(map(int, run.split("-"))) for run in child.get("data-frames", f"{k}").split()]
        return any(run[0] <= k <= run[-1] for run in runs)

    def copy(e: ET.Element) -> ET.Element:
        found = ET.Element(e.tag, {name: value for name, value in e.items() if name != "data-frames"})
        found.text = e.text
        found.extend([copy(child) for child in e if seen(child)])
        return found

    return markup(copy(element))


def in_any_order(svg: str) -> Any:
    """An SVG without the order of siblings."""

    def tree(e: ET.Element) -> Any:
        return (e.tag, tuple(sorted(e.items())), e.text or "", tuple(sorted(map(repr, map(tree, e)))))

    return tree(ET.fromstring(svg))


@given(SVGS)
def test_each_frame_of_the_merged_picture_is_the_picture(svgs: list[str]) -> None:
    merged = merge(svgs)
    for k, svg in enumerate(svgs):
        assert in_any_order(frame(merged, k)) == in_any_order(svg)


def test_what_all_frames_share_is_there_once(worked: draw.Steps) -> None:
    svgs = [step.drawing.svg(prefix="p-") for step in worked]
    merged = markup(merge(svgs))
    assert len(merged) < 3 * len(svgs[0])
    assert merged.count(">w1 = 0.15<") == 1


def test_a_title_is_text() -> None:
    text = page("</title><script>{{hash}}</script>", ["<svg/>"], ["<li>1</li>"])
    assert "<title>&lt;/title&gt;&lt;script&gt;{{hash}}&lt;/script&gt;</title>" in text


def test_a_step_over_many_layers_tells_of_a_few() -> None:
    model = nn.MLP([3] * 51, rng=0)
    steps = draw.steps(nn.MSELoss()(model(np.ones(3)), np.zeros(3)))
    assert max(len(step.formulas) for step in steps) < 10
    assert "94 more that are not drawn follow in the same way. loss is computed from" in steps[1].words
    assert [str(steps[1].formulas[k]).split(" ")[0] for k in (0, -1)] == ["net_h1", "loss"]
