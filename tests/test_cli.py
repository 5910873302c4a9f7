"""What the commands share: where they find what to work on, and how they say that they cannot."""

from pathlib import Path

import pytest

import tinygrad_bp as tg
from tinygrad_bp.cli import COMMANDS, doctor, draw, main, source
from tinygrad_bp.draw import doctor as examination
from tinygrad_bp.errors import NameLookupError
from tinygrad_bp.worked import examples


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_each_example_runs_and_each_parameter_has_a_gradient(name):
    loss = source.load(name)
    example = examples.load(name)
    example.loss().backward()
    assert loss.shape == ()
    assert all(p.grad is not None for p in example.model.parameters())


def test_a_python_file_gives_its_output(tmp_path):
    file = tmp_path / "my.py"
    file.write_text("import tinygrad_bp as tg\nloss = tg.Tensor(3.0, requires_grad=True) ** 2\nother = loss * 2\nn = 1\n")
    assert source.load(str(file)).item() == 9
    assert source.load(str(file), "other").item() == 18
    for name, says in (("cost", "leaves no cost behind.*--output.*loss, other"), ("n", "has a int for n, not a Tensor")):
        with pytest.raises(NameLookupError, match=says):
            source.load(str(file), name)


def test_what_is_neither_example_nor_file_is_said():
    with pytest.raises(NameLookupError, match=r"neither a Python file.*step_by_step"):
        source.load("step_by_stpe")
    with pytest.raises(NameLookupError, match="there is no file"):
        source.load("none.py")


def test_a_failing_file_is_shown_with_its_own_lines_only(tmp_path, capsys):
    file = tmp_path / "bad.py"
    file.write_text("x = 1\nx / 0\n")
    with pytest.raises(SystemExit) as stop:
        source.load(str(file))
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert "line 2" in said
    assert "ZeroDivisionError" in said
    assert "runpy" not in said


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"tinygrad_bp {tg.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_fits_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


# -- draw ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*draw.KINDS])
def test_every_kind_of_picture_is_drawn(kind, tmp_path, capsys):
    out = tmp_path / (f"{kind}.html" if kind in ("steps", "training") else "picture.svg")
    assert main(["draw", "step_by_step", "--kind", kind, "--out", str(out), "--digits", "4"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert "0.2984" in out.read_text(encoding="utf-8") or kind == "backward"


def test_the_way_back_to_one_weight(tmp_path):
    for name in ("w1", "w5"):
        assert main(["draw", "step_by_step", "--kind", "backward", "--wrt", name, "--out", str(tmp_path / f"{name}.svg")]) == 0
    assert (tmp_path / "w1.svg").read_text(encoding="utf-8") != (tmp_path / "w5.svg").read_text(encoding="utf-8")
    assert main(["draw", "step_by_step", "--kind", "backward", "--wrt", "w99", "--out", str(tmp_path / "none.svg")]) == 2
    assert not (tmp_path / "none.svg").exists()


def test_training_is_drawn_after_every_so_many_updates(tmp_path, capsys):
    out = tmp_path / "t.html"
    options = ["--kind", "training", "--updates", "5", "--every", "2", "--out", str(out)]
    assert main(["draw", "step_by_step", *options]) == 0
    page = out.read_text(encoding="utf-8")
    assert [f"After {n} update" in page for n in range(1, 7)] == [False, True, False, True, True, False]
    assert main(["draw", "my.py", *options]) == 2
    assert "tg.draw.training(" in capsys.readouterr().err


def test_a_users_file_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text("import tinygrad_bp as tg\nx = tg.Tensor(3.0, requires_grad=True, name='x')\ncost = (x * x).named('y')\n")
    assert main(["draw", "my.py", "--output", "cost", "--kind", "graph"]) == 0
    assert "<title>y = x * x</title>" in Path("graph.svg").read_text(encoding="utf-8")
    assert main(["draw", "my.py", "--output", "cost", "--kind", "steps"]) == 0
    assert "∂y/∂x" in Path("steps.html").read_text(encoding="utf-8")
    assert main(["draw", "my.py", "--output", "cost"]) == 2
    assert "no layers were found" in capsys.readouterr().err


def test_what_cannot_be_drawn_or_written_is_said_and_leaves_no_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out, says in (("no/x.svg", "there is no folder"), ("x.tiff", "use one of .svg"), ("file/x.svg", "file")):
        assert main(["draw", "step_by_step", "--out", str(tmp_path / out)]) == 2
        assert says in capsys.readouterr().err
    assert main(["draw", "step_by_stpe"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# -- doctor --------------------------------------------------------------------------------------------------------------


def test_the_doctor_says_what_there_is(capsys, monkeypatch):
    monkeypatch.setenv("GRAPHVIZ_DOT", "graphviz-pure")
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    rows = {line[2:16].strip(): line[17:] for line in said.splitlines() if line.startswith("  ")}
    assert rows["layout program"].endswith("graphviz-pure")
    assert rows["svg"] == rows["png"] == "yes"
    assert rows["pdf"].startswith("no; install Graphviz")
    assert "https://graphviz.org/download" in said
    assert all(len(line) <= 80 for line in said.splitlines() if "layout program" not in line)


def test_the_doctor_says_which_extras_there_are(capsys, monkeypatch):
    versions = {"tinygrad_bp": "0.1.0", "graphviz-pure": "0.2.2", "numpy": "2"}
    declared = ["numpy>=2.0", "graphviz-pure; extra == 'draw'", 'pillow; extra == "gif"', "pytest>=8; extra == 'test'"]
    monkeypatch.setattr(doctor, "installed", versions.get)
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: declared)
    assert main(["doctor"]) == 0
    extras = capsys.readouterr().out.partition("Extras\n")[2]
    assert extras == '  draw           graphviz-pure 0.2.2\n  gif            missing: pip install "tinygrad_bp[gif]"\n'
    del versions["tinygrad_bp"]
    assert main(["doctor"]) == 0
    assert "without being installed" in capsys.readouterr().out


def test_the_doctor_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setenv("GRAPHVIZ_DOT", "/no/such/program")
    assert main(["doctor"]) == 1
    assert "pip install graphviz-pure" in capsys.readouterr().out


def test_letters_that_a_font_lacks_are_noticed(monkeypatch):
    monkeypatch.setattr(examination, "is_drawable", lambda letter, program: letter in "δ∂误")
    assert tg.draw.examine().scripts == {"Greek": True, "Chinese": False}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("compile step_by_step --momentum -1", "argument --momentum: -1 is not a number from 0 on"),
        ("compile step_by_step --momentum nan", "nan is not a number from 0 on"),
        ("explain step_by_step --lr much", "'much' is not a number"),
        ("explain step_by_step --digits 0", "argument --digits: 0 is less than 1"),
        ("draw step_by_step --digits 2.5", "'2.5' is not a whole number"),
        ("draw step_by_step --kind training --updates 0", "argument --updates: 0 is less than 1"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused_by_the_parser(argv, says, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv.split())
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
