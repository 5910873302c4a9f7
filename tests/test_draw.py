"""Pictures: what they say, that they are the same every time, and what happens where they cannot be made.

The golden files beside this one are rewritten by ``UPDATE_GOLDEN=1 pytest tests/test_draw.py``; read the difference.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, draw, nn
from tinygrad_bp.draw import fonts, layout
from tinygrad_bp.draw.columns import spread
from tinygrad_bp.draw.labels import escape
from tinygrad_bp.draw.layers import find_layers
from tinygrad_bp.errors import GraphError, LayoutError
from tinygrad_bp.program import Program
from tinygrad_bp.rules import affine

GOLDEN = Path(__file__).parent / "golden"
NASTY = ['<b>&"\\N', "</svg><script>alert(1)</script>", "]]>", "\\", "a\nb\x00\x1b", "<>", "'", "&lt;", "输入"]


def worked_example() -> Tensor:
    """The 2-2-2 network with one bias per layer, as far as its loss."""
    i = Tensor([0.05, 0.10]).named("i")
    target = Tensor([0.01, 0.99]).named("target_o")
    w1 = Tensor([[0.15, 0.20], [0.25, 0.30]], requires_grad=True).named("W1", "w1 w2 w3 w4")
    w2 = Tensor([[0.40, 0.45], [0.50, 0.55]], requires_grad=True).named("W2", "w5 w6 w7 w8")
    b1, b2 = Tensor(0.35, requires_grad=True, name="b1"), Tensor(0.60, requires_grad=True, name="b2")
    out_h = tg.sigmoid(affine(i, w1, b1).named("net_h")).named("out_h")
    out_o = tg.sigmoid(affine(out_h, w2, b2).named("net_o")).named("out_o")
    return np.sum((np.square(target - out_o) / 2).named("E_o")).named("E_total")  # type: ignore[no-any-return]


def edges(drawing: draw.Drawing) -> list[str]:
    return [line.split("[")[0].strip() for line in drawing.source.splitlines() if " -> " in line]


def words(drawing: draw.Drawing) -> str:
    """All text that the picture shows, in the order of the SVG."""
    texts = [e.text or "" for e in ET.fromstring(drawing.svg()).iter() if e.tag.endswith("}text")]
    return " ".join(" ".join(texts).split())


# -- the same picture every time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("picture", [draw.graph, draw.network, draw.backward, draw.circuit])
def test_golden(picture: Callable[[Tensor], draw.Drawing]) -> None:
    source, path = picture(worked_example()).source, GOLDEN / f"{picture.__name__}_2_2_2.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(source, encoding="utf-8", newline="\n")
    assert source == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", [draw.graph, draw.network])
def test_same_program_gives_same_bytes(picture: Callable[[Tensor | Program], draw.Drawing]) -> None:
    loss = worked_example()
    first, again, anew = picture(loss), picture(Program.of(loss)), picture(worked_example())
    assert first.source == again.source == anew.source
    assert first.svg() == anew.svg()
    assert first.png() == anew.png()


# -- the computation graph -----------------------------------------------------------------------------------------


def test_graph_shows_names_values_and_gradients() -> None:
    shown = words(draw.graph(worked_example()))
    for text in ("W1 (2, 2)", "w1 = 0.15", "0.082167", "net_h", "0.3775", "E_total", "0.298371", "gradient: d(E_total) / d(tensor)"):
        assert text in shown


def test_graph_without_gradients() -> None:
    assert "gradient" not in words(draw.graph(worked_example(), gradients=False))


def test_digits() -> None:
    shown = words(draw.graph(worked_example(), digits=3))
    assert "0.298" in shown
    assert "0.298371" not in shown


def test_parallel_edges_are_kept() -> None:
    a = Tensor(3.0, requires_grad=True, name="a")
    assert edges(draw.graph(a + a)) == ["n0 -> n1", "n0 -> n1", "n1 -> n2"]


def test_operand_order_is_written_where_it_matters() -> None:
    a, b = Tensor(3.0, requires_grad=True, name="a"), Tensor(2.0, requires_grad=True, name="b")
    assert "left" not in words(draw.graph(a * b + a))
    picture = draw.graph(b - a)  # a is older, so n0
    roles = {line.split(" -> ")[0].strip(): line for line in picture.source.splitlines() if " -> " in line}
    assert "right" in roles["n0"]
    assert "left" in roles["n1"]


def test_kinds_differ_in_more_than_colour() -> None:
    from tinygrad_bp.draw.nodes import KINDS

    forms = {(style["style"], style.get("peripheries"), style["color"]) for style in KINDS.values()}
    assert len(forms) == len(KINDS)


def test_a_leaf_that_is_read_often_is_named_beside_its_readers() -> None:
    x = y = Tensor(1.0, requires_grad=True, name="x")
    for _ in range(100):
        y = np.tanh(y * x)
    drawing = draw.graph(y)
    assert words(drawing).split().count("x") == 101
    assert len(edges(drawing)) == 5 * 100
    assert re.findall(r'<svg[^>]* width="(\d+)pt"', drawing.svg(timeout=20))[0] < "400"  # long edges would take minutes


def test_several_outputs() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    shown = words(draw.graph(np.exp(x).named("y"), np.sqrt(x).named("z")))
    assert "exp" in shown
    assert "sqrt" in shown
    with pytest.raises(TypeError, match="Program"):
        draw.graph(Program.of(np.exp(x)), x)


def test_the_backward_pass_is_drawn_by_the_same_call() -> None:
    x = Tensor(3.0, requires_grad=True, name="x")
    shown = words(draw.graph(tg.grad(lambda x: np.exp(x * x))(x)))
    assert "exp" in shown
    assert "0.0" not in shown
    assert f"{6 * np.exp(9):.6g}" in shown


def test_large_arrays_are_summarised() -> None:
    x = Tensor(np.arange(2000.0).reshape(40, 50), requires_grad=True, name="x")
    shown = words(draw.graph(x.sum()))
    assert "x (40, 50) min 0 max 1999 mean 999.5 gradient min 1 max 1 mean 1" in shown


def test_arrays_are_summarised_by_size_and_by_width() -> None:
    for shape in [(5, 4), (1, 5), (9, 1), (2, 2, 2)]:
        assert "mean" in words(draw.graph(Tensor(np.ones(shape), requires_grad=True, name="x").sum()))
    for shape in [(4, 4), (1, 4), (8, 1), (3,)]:
        assert "mean" not in words(draw.graph(Tensor(np.ones(shape), requires_grad=True, name="x").sum()))


def test_empty_array() -> None:
    x = Tensor(np.zeros((0, 3)), requires_grad=True, name="x")
    assert "x (0, 3) empty" in words(draw.graph(x.sum()))


def test_not_a_number_is_drawn() -> None:
    x = Tensor([np.nan, np.inf], requires_grad=True, name="x")
    assert "nan inf" in words(draw.graph(x * 1.0))


def test_a_huge_graph_is_summarised() -> None:
    x = y = Tensor(1.0, requires_grad=True, name="x")
    for _ in range(100_000):
        y = y + x
    for options in ({}, {"backward": True}, {"depth": 1, "wrt": x}):
        shown = words(draw.graph(y, **options))  # type: ignore[arg-type]
        assert "100000 x add" in shown
        assert "The graph has 100001 tensors; more than 1000 are not drawn one by one." in shown


def test_an_unrecorded_tensor_is_refused() -> None:
    with pytest.raises(GraphError):
        draw.graph(Tensor(1.0))


# -- the network ---------------------------------------------------------------------------------------------------


def test_network_shows_neurons_weights_and_errors() -> None:
    shown = words(draw.network(worked_example()))
    for text in (
        "i1 0.05", "h1 net 0.3775 out 0.59327 delta 0.00877135", "w5 = 0.4 grad 0.082167", "b1 = 0.35 grad 0.0187256", "o2 net 1.22492",
        "target_o1 = 0.01 E_o1 = 0.274811", "E_total 0.298371",
    ):  # fmt: skip
        assert text in shown


def test_network_gradients_are_those_of_the_engine() -> None:
    loss = worked_example()
    shown, program = words(draw.network(loss)), Program.of(loss)
    for name in ("W1", "W2"):
        for value in program.gradients[program.place(name)].flat:
            assert f"grad {value:.6g}" in shown


def per_neuron(kind: str) -> Tensor:
    """One 2-3-1 network, its layers written in different ways."""
    rng = np.random.default_rng(7)
    x = np.array([0.5, -1.0])
    v, a = rng.normal(size=(3, 2)), rng.normal(size=3)
    w, c = rng.normal(size=(1, 3)), rng.normal(size=1)
    turn = kind == "x @ W"
    V, W = (Tensor(m.T if turn else m, requires_grad=True, name=n) for m, n in ((v, "V"), (w, "W")))
    bias = [Tensor(b, requires_grad=True, name=n) for b, n in ((a, "a"), (c, "c"))]
    layer = {
        "linear": affine,
        "x @ W.T": lambda x, W, b: x @ W.T + b,
        "x @ W": lambda x, W, b: x @ W + b,
        "W @ x": lambda x, W, b: b + W @ x,
        "no bias": lambda x, W, b: x @ W.T,
    }[kind]
    return np.sum(np.square(layer(np.tanh(layer(x, V, bias[0])), W, bias[1]) - np.array([1.0])))  # type: ignore[no-any-return, no-untyped-call]


@pytest.mark.parametrize("kind", ["linear", "x @ W.T", "x @ W", "W @ x", "no bias"])
def test_layers_are_found_however_they_are_written(kind: str) -> None:
    program = Program.of(per_neuron(kind))
    layers = find_layers(program)
    assert [layer.fan(program) for layer in layers] == [(2, 3), (3, 1)]
    assert [program.names[layer.weight] for layer in layers] == ["V", "W"]
    assert [layer.bias is None for layer in layers] == [kind == "no bias"] * 2
    assert layers[0].net != layers[0].out  # tanh follows
    assert layers[1].net == layers[1].out  # nothing does


@pytest.mark.parametrize("kind", ["x @ W.T", "x @ W", "W @ x"])
def test_all_ways_give_the_same_numbers(kind: str) -> None:
    def numbers(of: str) -> list[str]:
        return sorted(word for word in words(draw.network(per_neuron(of))).split() if word.lstrip("-")[0].isdigit())

    assert numbers(kind) == numbers("linear")


def test_bias_of_each_neuron_is_on_its_edge() -> None:
    shown = words(draw.network(per_neuron("linear")))
    assert "1 bias" in shown
    for name in ("a1", "a2", "a3"):
        assert name in shown


def test_wide_layers_are_abbreviated() -> None:
    W = Tensor(np.ones((128, 784)), requires_grad=True, name="W")
    shown = words(draw.network(np.sum(np.tanh(affine(np.ones(784) / 784, W, np.zeros(128))))))
    assert "... 780 more" in shown
    assert "... 124 more" in shown
    assert "x784" in shown
    assert "x500" not in shown


def test_a_batch_shows_its_first_sample_and_says_so() -> None:
    W = Tensor([[1.0, 2.0]], requires_grad=True, name="W")
    x = Tensor([[0.25, 0.5], [3.0, 4.0]], name="x")
    shown = words(draw.network(np.sum(np.square(tg.sigmoid(x @ W.T) - np.array([[0.125], [9.0]])))))
    assert "the first of 2 samples" in shown
    assert "x1 0.25" in shown
    assert "target = 0.125" in shown
    assert "4" not in shown.split()


def test_an_output_that_is_no_scalar_is_drawn_without_gradients() -> None:
    W = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="W")
    shown = words(draw.network(tg.sigmoid(affine(np.array([1.0, 0.5]), W, 0.0))))
    assert "W11 = 1" in shown
    assert "grad" not in shown


def test_no_layers_says_what_was_looked_for() -> None:
    with pytest.raises(GraphError, match=r"x @ W\.T \+ b"):
        draw.network(np.square(Tensor(1.0, requires_grad=True)))


def test_layers_beside_one_another_are_refused() -> None:
    V, W = Tensor(np.ones((2, 2)), requires_grad=True, name="V"), Tensor(np.ones((2, 2)), requires_grad=True, name="W")
    with pytest.raises(GraphError, match=r"one chain.*W reads"):
        draw.network(np.sum(np.ones(2) @ V.T + np.ones(2) @ W.T))


def test_spread_keeps_order_and_distance() -> None:
    rng = np.random.default_rng(3)
    wanted, heights = sorted(rng.uniform(0, 50, 20)), list(rng.uniform(1, 8, 20))
    places = spread(wanted, heights, gap=2.0)
    distances = np.diff(places) - (np.array(heights[1:]) + np.array(heights[:-1])) / 2
    assert distances.min() > 2.0 - 1e-9
    assert np.mean(places) == pytest.approx(np.mean(wanted))  # least squares does not shift the whole
    assert spread([0.0, 100.0], [4.0, 4.0]) == [0.0, 100.0]


# -- text in pictures ----------------------------------------------------------------------------------------------


TAGS = {"svg", "style", "g", "title", "text", "path", "polygon", "polyline", "ellipse"}


def nasty_pictures(name: str) -> list[draw.Drawing]:
    """Every kind of picture, each with this name in it."""
    x = Tensor(1.5, requires_grad=True, name=name)
    W = Tensor([[2.5]], requires_grad=True, name=name)
    model = nn.Sequential(nn.Linear(1, 1, rng=0))
    model[0].weight.named(name)
    loss = np.sum(np.tanh(np.ones(1) @ W.T)).named(name)
    return [
        draw.graph(x * x), draw.graph(x * x, backward=True), draw.graph(np.exp(x * 2.0), wrt=x),
        draw.graph(model(np.ones(1)), model=model, depth=1),
        draw.network(loss), draw.network(loss, boxes=True), draw.network(model), draw.network(loss, weights=False), draw.backward(loss),
        draw.circuit(x * x + x),
    ]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_names_are_drawn_as_text(name: str) -> None:
    readable = name.replace("\n", " ").replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    for picture in nasty_pictures(name):
        root = ET.fromstring(picture.svg())
        assert {e.tag.rpartition("}")[2] for e in root.iter()} <= TAGS
        assert not [key for e in root.iter() for key in e.keys() if key.startswith("on") or key.endswith("href")]  # noqa: SIM118
        said = [(e.text or "") for e in root.iter() if e.tag.endswith(("}text", "}title"))]
        assert any(readable in text for text in said), said


@pytest.mark.parametrize("name", NASTY)
def test_tooltips_say_names_as_they_are(name: str) -> None:
    readable = name.replace("\n", " ").replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    x = Tensor(1.5, requires_grad=True, name=name)
    titles = [e.text for e in ET.fromstring(draw.graph((x * 2.0).named("y")).svg()).iter() if e.tag.endswith("}title")]
    assert f"y = {readable} * 2" in titles


def test_tooltips_carry_the_formula() -> None:
    titles = {e.text for e in ET.fromstring(draw.network(worked_example()).svg()).iter() if e.tag.endswith("}title")}
    assert "net_h1 = w1 * i1 + w2 * i2 + b1; out_h1 = sigmoid(net_h1)" in titles
    assert "dnet_o1/d(weight) = out_h1; dE_total/d(weight) = delta * out_h1" in titles
    assert not [title for title in titles if title and title.startswith("n0")]  # no names of the layout program's


def test_escape_leaves_no_markup() -> None:
    assert escape('<a href="x">') == "&lt;a href=&quot;x&quot;&gt;"


# -- files and layout programs ---------------------------------------------------------------------------------------


@pytest.fixture
def small() -> draw.Drawing:
    return draw.graph(Tensor(2.0, requires_grad=True, name="x") * 3.0)


@pytest.mark.parametrize(
    ("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".JPG", b"\xff\xd8"), (".dot", b"digraph"), (".gv", b"digraph")]
)
def test_save_goes_by_the_suffix(small: draw.Drawing, tmp_path: Path, suffix: str, start: bytes) -> None:
    path = small.save(tmp_path / f"picture{suffix}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_unknown_suffix(small: draw.Drawing, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"suffix; use one of \.svg"):
        small.save(tmp_path / "picture.xyz")


def test_pdf_says_what_to_install(small: draw.Drawing, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"cannot write pdf; .* install Graphviz"):
        small.save(tmp_path / "picture.pdf", program=pure())
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_writing_fails(small: draw.Drawing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "picture.dot"
    old.write_text("before")

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        small.save(old)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("picture.dot", "before")]


def test_no_such_folder(small: draw.Drawing, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing to save picture\.dot in"):
        small.save(tmp_path / "missing" / "picture.dot")


def test_a_folder_in_the_way(small: draw.Drawing, tmp_path: Path) -> None:
    (tmp_path / "picture.svg").mkdir()
    with pytest.raises(OSError, match=r"picture\.svg"):
        small.save(tmp_path / "picture.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["picture.svg"]


def pure() -> str:
    """The layout program that comes with the tests, whatever else is installed."""
    return shutil.which("graphviz-pure") or str(Path(sys.executable).parent / "graphviz-pure")


def test_a_png_without_the_font_says_so(tmp_path: Path) -> None:
    drawing = draw.graph(Tensor(2.0, requires_grad=True, name="\u8f93\u5165") * 3.0)
    with pytest.raises(LayoutError, match=r"no font with \u5165\u8f93, and would draw boxes.*Save an SVG"):
        drawing.png(program=pure())
    with pytest.raises(LayoutError, match="no font"):
        drawing.save(tmp_path / "picture.png", program=pure())
    assert not list(tmp_path.iterdir())
    assert "\u8f93\u5165" in drawing.save(tmp_path / "picture.svg", program=pure()).read_text(encoding="utf-8")
    greek = draw.graph(Tensor(2.0, requires_grad=True, name="\u03b4\u03c3\u03b7") * 3.0)
    assert greek.png(program=pure()).startswith(b"\x89PNG")


def test_fonts_are_looked_up_where_letters_without_one_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fonts, "_picture", lambda letter, program: letter.encode())  # as boxes with the letter's number in them
    monkeypatch.setattr(fonts.shutil, "which", lambda name: str(tmp_path / name))
    monkeypatch.setattr(
        fonts.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, b"Font" * ("e9" in command[1]), b"")
    )
    fonts.check_letters("caf\u00e9", "first")
    with pytest.raises(LayoutError, match="no font with \u8f93"):
        fonts.check_letters("\u00e9\u8f93", "first")
    monkeypatch.setattr(fonts.shutil, "which", lambda name: None)
    fonts.check_letters("\u8f93", "second")  # nobody knows


def test_wide_letters_get_room() -> None:
    from tinygrad_bp.draw.labels import measure

    assert measure("\u8f93\u5165") == 2.0
    narrow, wide = (
        draw.graph(Tensor(2.0, requires_grad=True, name=name) * 3.0, gradients=False).svg(program=pure())
        for name in ("ab", "\u8f93\u5165\u8f93\u5165")
    )
    widths = [float(re.findall(r'points="([\d.]+),[^"]*" ?/?>\s*<text[^>]*font-weight="bold"', svg)[0]) for svg in (narrow, wide)]
    assert widths[1] > widths[0] + 10


def test_dark_pages() -> None:
    svg = draw.network(worked_example()).svg(prefix="p-")
    assert "@media (prefers-color-scheme: dark)" in svg
    style = svg[svg.index("{", svg.index("@media")) + 1 : svg.index("</style>")]
    rules = re.findall(r"([^{}]+)\{fill:", style)
    assert all(rule.startswith("#p-picture ") for rule in rules)  # nothing else on the page changes
    assert 'fill="white"' not in svg  # the page shines through


def test_long_names_keep_to_the_picture() -> None:
    name = "a" * 500 + "_end"
    x, W = Tensor(1.5, requires_grad=True, name=name), Tensor([[2.5]], requires_grad=True, name=name)
    for picture in (draw.graph(x * x), draw.network(np.sum(np.tanh(np.ones(1) @ W.T))), draw.circuit(x * x)):
        svg = picture.svg()
        assert float(re.findall(r'<svg[^>]* width="(\d+)pt"', svg)[0]) < 1500
        assert re.search(r"aaaa \.\.\. a+_end", svg)
    assert name in draw.graph(x * x).svg()  # in the tooltip


def test_same_bytes_in_every_process() -> None:
    code = (
        "from tests.test_draw import worked_example; from tinygrad_bp import draw; import hashlib\n"
        "loss = worked_example()\n"
        "pictures = [draw.graph(loss), draw.graph(loss, backward=True), draw.network(loss), draw.backward(loss, 'W1')]\n"
        "pictures.append(draw.circuit(loss))\n"
        "print(hashlib.sha256(''.join(p.svg() for p in pictures).encode()).hexdigest())"
    )
    seen = {
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


posix = pytest.mark.skipif(os.name == "nt", reason="a script with #! is no program on Windows")


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("GRAPHVIZ_DOT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(layout.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(layout.sysconfig, "get_path", lambda name: str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("nothing_installed")
def test_missing_program_says_what_to_install(small: draw.Drawing) -> None:
    with pytest.raises(LayoutError, match=r"no layout program.*pip install graphviz-pure"):
        small.svg()
    assert small.source.startswith("digraph")


@posix
def test_order_of_programs(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pure = script(nothing_installed, "graphviz-pure", "")
    assert layout.find_program() == pure
    dot = script(nothing_installed, "dot", "")
    assert layout.find_program() == dot
    other, given = script(nothing_installed, "other", ""), script(nothing_installed, "given", "")
    monkeypatch.setenv("GRAPHVIZ_DOT", other)
    assert layout.find_program() == other
    assert layout.find_program(given) == given
    monkeypatch.setenv("GRAPHVIZ_DOT", str(nothing_installed / "nowhere"))
    with pytest.raises(LayoutError, match="GRAPHVIZ_DOT names"):
        layout.find_program()


@posix
def test_scripts_folder_of_an_environment_that_is_not_activated(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pure = script(nothing_installed, "graphviz-pure", "")
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    assert layout.find_program() == pure


@posix
def test_failing_program(small: draw.Drawing, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="exit code 3: out of ink"):
        small.svg(
            program=script(
                tmp_path, "broken", "import sys; sys.stdin.read(); print('half'); sys.exit(print('out of ink', file=sys.stderr) or 3)"
            )
        )
    with pytest.raises(LayoutError, match="it wrote nothing"):
        small.svg(program=script(tmp_path, "silent", "import sys; sys.stdin.read()"))
    (tmp_path / "noprogram").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "noprogram").chmod(0o755)
    with pytest.raises(LayoutError, match="cannot be run"):
        small.svg(program=str(tmp_path / "noprogram"))


@posix
def test_time_out(small: draw.Drawing, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"longer than 0\.2 seconds"):
        small.svg(program=script(tmp_path, "slow", "import time; time.sleep(60)"), timeout=0.2)


def test_notebook_shows_svg(small: draw.Drawing) -> None:
    assert small._repr_mimebundle_()["image/svg+xml"] == small.svg()


@pytest.mark.usefixtures("nothing_installed")
def test_notebook_degrades_to_text(small: draw.Drawing) -> None:
    bundle = small._repr_mimebundle_(include=None, exclude=None)
    assert list(bundle) == ["text/plain"]
    assert "pip install graphviz-pure" in bundle["text/plain"]
    assert small.source in bundle["text/plain"]


def test_to_graphviz_is_a_copy(small: draw.Drawing) -> None:
    before, copy = small.source, small.to_graphviz()
    assert copy.source == before
    copy.node("more")
    assert small.source == before


def test_import_does_not_load_graphviz() -> None:
    code = "import sys, tinygrad_bp; print([m for m in ('graphviz', 'tinygrad_bp.draw') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_model_is_drawn_without_a_run() -> None:
    model = nn.MLP([2, 3, 1], rng=0)
    source = tg.draw.network(model).source
    assert "W1_11 = " in source
    shown = words(tg.draw.network(model))
    assert "net" not in shown  # no values that would be those of a made-up input
    assert "delta" not in shown
    assert tg.draw.network(nn.Sequential(nn.Linear(2, 2, rng=0), nn.Tanh())).source
    with pytest.raises(GraphError, match="Give the output of a run"):
        tg.draw.network(nn.Sigmoid())
