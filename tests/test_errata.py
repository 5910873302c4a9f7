"""Every mistake that the errata list: what is printed is wrong, what is said to be right is right."""

import re
from pathlib import Path

import numpy as np
import pytest

from tinygrad_bp.worked import errata
from tinygrad_bp.worked.finding import Evidence, agrees, difference, outcome

DOCS = Path(__file__).parent.parent / "docs"
NAMED = errata.by_name()
SHOWN = {name: f for name, f in NAMED.items() if f.evidence is not None}


@pytest.mark.parametrize("name", SHOWN)
def test_printed_is_wrong_and_right_is_right(name):
    printed, right, witness = SHOWN[name].evidence()
    assert agrees(right, witness), SHOWN[name]
    assert not agrees(printed, witness), SHOWN[name]


@pytest.mark.parametrize("name", NAMED)
def test_each_is_complete(name):
    f = NAMED[name]
    assert f.document in errata.DOCUMENTS
    assert f.kind in errata.KINDS
    assert f.place
    assert f.printed != f.right
    assert f.evidence is not None or f.why, "say why there is no evidence"
    assert not re.search(r"[|\n]", f.place + f.printed + f.right + f.why), "a bar or a new line breaks the table"


def test_every_kind_is_used_and_every_finding_has_a_name():
    assert {f.kind for f in errata.FINDINGS} == set(errata.KINDS)
    assert len(NAMED) == len(errata.FINDINGS)


def test_no_finding_is_listed_twice():
    keys = [(f.document, f.place, f.printed, f.right) for f in errata.FINDINGS]
    assert len(set(keys)) == len(keys)


def test_page_is_current():
    assert (DOCS / "errata.md").read_text("utf-8") == errata.markdown(), "run python docs/errata.py"


@pytest.mark.parametrize("document", errata.DOCUMENTS)
def test_the_page_of_a_document_has_all_its_findings(document):
    letter = errata.DOCUMENTS[document][0]
    text = (DOCS / "documents" / f"{document}.md").read_text("utf-8")
    named = set(re.findall(rf"\b{letter}\d+\b", text))
    for first, last in re.findall(rf"\b{letter}(\d+) to {letter}(\d+)\b", text):
        named |= {f"{letter}{k}" for k in range(int(first), int(last) + 1)}
    assert named == {name for name in NAMED if name.startswith(letter)}


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
