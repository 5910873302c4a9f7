"""Every mistake that the errata list: what is printed is wrong, what is said to be right is right, and the pages say so."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.__main__ import main
from tinygrad_bp.worked import errata
from tinygrad_bp.worked.finding import Evidence, agrees, difference, outcome

DOCS = Path(__file__).parent.parent / "docs"
NAMED = errata.by_name()
SHOWN = {name: f for name, f in NAMED.items() if f.evidence is not None}


@pytest.fixture(scope="module")
def script():
    """docs/errata.py, which reads the claims of the pages once."""
    spec = importlib.util.spec_from_file_location("docs_errata", DOCS / "errata.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SHOWN)
def test_printed_is_wrong_and_right_is_right(name):
    printed, right, witness = SHOWN[name].evidence()
    assert agrees(right, witness), SHOWN[name]
    assert not agrees(printed, witness), SHOWN[name]


@pytest.mark.parametrize("name", NAMED)
def test_each_is_complete(name, script):
    f = NAMED[name]
    assert f.document in errata.DOCUMENTS
    assert f.kind in errata.KINDS
    assert f.place
    assert f.printed != f.right
    assert name in script.marked() or f.evidence is not None or f.why, "say why there is neither a claim nor evidence"
    assert name not in script.marked() or f.evidence is None, "the page has it as a claim: once is enough"
    assert not re.search(r"[|\n]", f.place + f.printed + f.right + f.why), "a bar or a new line breaks the table"


def test_every_kind_is_used_and_every_finding_has_a_name():
    assert {f.kind for f in errata.FINDINGS} == set(errata.KINDS)
    assert len(NAMED) == len(errata.FINDINGS)


def test_no_finding_is_listed_twice():
    keys = [(f.document, f.place, f.printed, f.right) for f in errata.FINDINGS]
    assert len(set(keys)) == len(keys)


def test_page_is_current(script):
    assert script.PAGE.read_text("utf-8") == script.markdown(), "run python docs/errata.py"


def test_the_readme_has_the_count(script):
    (count,) = re.findall(r"\[(\d+) mistakes\]\(docs/errata.md\)", (DOCS.parent / "README.md").read_text("utf-8"))
    assert f"\n{count} mistakes, " in script.markdown()


@pytest.mark.parametrize("document", errata.DOCUMENTS)
def test_the_page_of_a_document_checks_itself(document, script, capsys):
    assert main(["check", str(script.page_of(document))]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("document", errata.DOCUMENTS)
def test_the_page_of_a_document_has_all_its_findings(document, script):
    letter = errata.DOCUMENTS[document][0]
    text = script.page_of(document).read_text("utf-8")
    prose = re.sub("<!--.*?-->", "", text)
    named = set(re.findall(rf"\b{letter}\d+\b", prose))
    for first, last in re.findall(rf"\b{letter}(\d+) to {letter}(\d+)\b", prose):
        named |= {f"{letter}{k}" for k in range(int(first), int(last) + 1)}
    assert named == {name for name in NAMED if name.startswith(letter)}
    marked = {name for found in tg.check.notes(script.page_of(document)).said() for name in found.said.split(", ")}
    assert marked <= named, "a mark names what is no finding"


NO_FORMULAS = {
    "A11": "no tensor is named 'y_ji'", "A20": "expected ')', found the end",
    "A21": "a differential has a value only", "A27": "expected ')', found '}'", "A30": "did not expect ')' here",
    "A33": "did not expect ')' here", "A35": "a differential has a value only", "A37": "no tensor is named 'b'",
    "B18": "a subscript belongs to a name",
}  # fmt: skip


def test_what_is_marked_as_wrong_is_wrong_because_of_its_value_or_its_shapes(script):
    """A mark also holds where a formula cannot be read: that should be so only where it was printed like that."""
    marked = {name: found for name, found in script.marked().items() if all(f.unread and "shapes" not in f.reason for f in found)}
    assert {name: found[0].reason[: len(NO_FORMULAS.get(name, "?"))] for name, found in marked.items()} == NO_FORMULAS


SAID = {
    "A10": "loss of another name", "A15": "sign flipped", "A31": "minus for times at the weights", "A52": "sigma' missing",
    "A53": "sigma' missing and last digit", "A54": "sigma' missing", "A55": "sigma' missing and last digit", "A56": "sigma' missing",
    "A57": "sigma' missing and last digit", "A60": "bias forgotten", "A77": "weight decay for momentum",
    "A49": "digit left out", "A51": "decimal point", "A58": "last digit", "B17": "last digit",
    "B14": "sign flipped", "B21": "bias forgotten", "B34": "sign flipped", "B35": "one path only or Hadamard for matrix product",
    "C3": "factor 2", "C4": "shared bias not summed", "D1": "weights not transposed or weights exchanged", "D12": "bias forgotten",
    "D10": "sigma' missing or cross-entropy's delta with a squared error", "D14": "updated weights",
    "D15": "sigma' missing and updated weights or cross-entropy's delta with a squared error and updated weights", "E3": "updated weights",
    "E8": "sigma' missing and sign flipped or cross-entropy's delta with a squared error and sign flipped",
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_the_tool_names_the_mistake(name, script):
    assert script.told(script.marked()[name]) == SAID[name]


@pytest.mark.parametrize(
    ("claim", "value", "expected"),
    [
        ("0.6757", 0.675705, True),
        ("0.6575", 0.675705, False),
        ("3.50e-3", 0.0035049, True),
        ("3.50e-3", 0.0035051, False),
        (["0.1", "0.2"], np.array([0.12, 0.18]), True),
        (["0.1", "0.2"], np.array([0.12]), False),
        ((5,), (5,), True),
        ((5,), (5, 1), False),
        (NameError, (), False),
        (True, False, False),
        (1.0, 1.0 + 1e-6, False),
        (np.zeros(2), np.zeros((1, 2)), False),
    ],
)
def test_agrees(claim, value, expected):
    assert agrees(claim, value) is expected


def test_agrees_takes_a_number_to_be_neither_a_shape_nor_an_exception():
    assert not agrees(2, (2,))
    assert not agrees(0.0, NameError)


def test_outcome_is_a_shape_or_what_went_wrong():
    assert outcome(lambda: np.ones((2, 3))) == (2, 3)
    assert outcome(lambda: 1 / 0) is ZeroDivisionError


def test_difference():
    assert difference("0.02", "0.01") == "+0.01 (2 times)"
    assert difference(3, 2) == "+1"
    assert difference(np.array([1.0, 2.0]), np.array([1.0, -2.0])) == "+4"
    assert difference(NameError, ()) == "NameError"
    assert Evidence("1", "2", 2.0).witness == 2.0
