"""Every number that the second document prints, and what its quoted results come from."""

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.program import Program
from tinygrad_bp.worked import step_by_step as example


def as_printed(value: float, printed: str) -> str:
    """The value with as many decimals as the document prints."""
    return f"{value:.{len(printed.partition('.')[2])}f}"


@pytest.fixture(scope="module")
def program():
    return Program.of(example.forward())


@pytest.mark.parametrize(("name", "printed"), example.FORWARD.items())
def test_forward_values(program, name, printed):
    assert as_printed(float(program.value(name)), printed) == printed


@pytest.mark.parametrize(("name", "printed"), example.GRADIENTS.items())
def test_printed_gradients(program, name, printed):
    place, index = program.locate(name)
    value = float(program.gradients[place][() if index is None else index])
    assert as_printed(value, printed) == printed


@pytest.mark.parametrize(("name", "printed"), example.UPDATED.items())
def test_printed_weights_after_one_update(name, printed):
    value = example.updated_weights(example.train(1))[name]
    # the document prints w2+ .. w4+ with eight decimals, the last rounded
    assert as_printed(value, printed) == printed


def test_factors_printed_on_the_way(program):
    scalars = program.scalars()
    expected = {
        ("out_o1", "net_o1"): "0.186815602",
        ("net_o1", "w5"): "0.593269992",
        ("out_h1", "net_h1"): "0.241300709",
        ("net_o1", "out_h1"): "0.40",
    }
    values = {name: scalars.lines[i].value for name, i in scalars.places.items()}
    for (upper, lower), printed in expected.items():
        factor = scalars.partials(scalars.place(upper))[scalars.place(lower)]
        assert as_printed(float(factor.evaluate(values)), printed) == printed


def test_the_path_contributions_to_out_h1(program):
    scalars = program.scalars()  # the document prints -0.019049119 for the second: its last digit is wrong
    for error, printed in (("E_o1", "0.055399425"), ("E_o2", "-0.019049118")):
        one = scalars.reverse(scalars.values, {scalars.place(error): np.float64(1)})
        assert as_printed(float(one[scalars.place("out_h1")]), printed) == printed


def test_all_formulas_of_the_document_agree():
    report = tg.check(example.forward(), example.FORMULAS)
    assert sorted(row.name for row in report) == ["b1", "b2", *(f"w{k}" for k in range(1, 9))]
    assert report.ok, str(report)


@pytest.mark.parametrize(("updates", "simultaneous"), [(1, "0.291027774"), (10_000, "0.000035102")])
def test_training_both_ways(updates, simultaneous):
    quoted = example.QUOTED_LOSS[updates]
    assert as_printed(example.forward(example.train(updates)).item(), simultaneous) == simultaneous
    sequential = example.train(updates, sequential=True)
    assert as_printed(example.forward(sequential).item(), quoted) == quoted
    if updates == 10_000:
        outputs = sequential(np.array(example.INPUT)).numpy()
        assert [as_printed(value, printed) for value, printed in zip(outputs, example.QUOTED_OUTPUTS, strict=True)] == list(
            example.QUOTED_OUTPUTS
        )
