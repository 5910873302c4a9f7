"""The page of "BP算法讲解" is complete: every equation, every finding about a formula, and the tool's own words."""

import re
from pathlib import Path

import pytest

import tinygrad_bp as tg
from tinygrad_bp.worked import errata

PAGE = Path(__file__).parent.parent / "docs" / "documents" / "bp_explained.md"
TEXT = PAGE.read_text("utf-8")
EQUATIONS = [f"3-{k}" for k in range(1, 32)] + ["3-6-1", "3-6-2", "3-6-3"] + [f"4-{k}" for k in range(1, 7)]
IN_WORDS = {"3-5", "3-6", "3-12", "3-22"}  # names of parameters, and repetitions of (3-4), (3-7) and (3-8)


@pytest.fixture(scope="module")
def report():
    return tg.check.notes(PAGE)


def test_every_equation_is_there():
    tagged = set(re.findall(r"\\tag\{([\d-]+)\}", TEXT))
    assert tagged == set(EQUATIONS) - IN_WORDS
    assert all(f"({number})" in TEXT for number in IN_WORDS)


def test_nearly_everything_is_checked(report):
    """What is left out are two chains of matrices in denominator layout, which stand there element by element too."""
    (note,) = report.notes
    assert report.ok
    assert note.formulas["left out"] == 2
    assert note.formulas["defines"] == 0, "a name that is misspelt is taken for a new one"
    assert note.formulas["agrees"] >= 120


def test_every_right_equation_agrees_and_every_wrong_one_is_put_right(report):
    """Beside a marked formula with a number stands one that agrees."""
    agreeing = {number for text in agreed(report) for number in re.findall(r"\\tag\{([\d-]+)\}", text)}
    assert agreeing == set(EQUATIONS) - IN_WORDS


def agreed(report):
    """The displayed formulas all lines of which agree."""
    verdicts = {}
    for entry in report:
        for found in entry.found:
            verdicts.setdefault(found.line, set()).add(found.verdict)
    for block in re.finditer(r"\$\$(.*?)\$\$", TEXT, re.DOTALL):
        first, last = (TEXT.count("\n", 0, place) + 1 for place in block.span())
        if set().union(*(verdicts.get(line, set()) for line in range(first, last + 1))) == {"agrees"}:
            yield block.group(1)


def test_a_reader_sees_which_formula_is_wrong():
    """A comment is invisible, so that the name stands beside the formula as well."""
    shown = re.findall(r"<!-- wrong: (A\d+) -->\n\$\$(.*?)\$\$", TEXT, re.DOTALL)
    assert len(shown) > 35
    for name, formula in shown:
        assert re.search(rf"\\tag\{{{name}, (wrong|rounded)\}}", formula)


NOT_MARKED = {
    "A13": "words", "A25": "words", "A42": "one letter for two things", "A82": "a reference", "A85": "one letter for two things",
    "A29": "brackets that pair", "A32": "a count of updates", "A34": "the checker takes a diagonal for the derivative", "A38": "the same",
}  # fmt: skip


def test_every_finding_about_a_formula_or_a_number_is_marked(report):
    marked = {name for found in report.said() for name in found.said.split(", ")}
    formulas = {
        name
        for name, f in errata.by_name().items()
        if f.document == "bp_explained" and not f.kind.startswith("code") and re.match(r"\$|-?\d+\.|.*\$", f.printed)
    }
    assert formulas - marked == set(NOT_MARKED)


def test_what_is_quoted_is_what_the_tool_says(report):
    quotes = [" ".join(quote.replace("> ", " ").split()) for quote in re.findall(r"(?:^> .*\n)+", TEXT, re.MULTILINE)]
    said = " ".join(report.text().replace("\n       > ", " ").split())
    assert len(quotes) == 6
    for quote in quotes:
        assert quote in said


def test_the_report_fits_the_screen(report):
    assert max(map(len, report.text().splitlines())) <= 80
