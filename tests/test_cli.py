"""What the commands share: where they find what to work on, and how they say that they cannot."""

import pytest

from tinygrad_bp.cli import COMMANDS, main, source
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


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_fits_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
