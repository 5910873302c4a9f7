"""Slips of the pen: each is named when it is made, and chance is not taken for one."""

import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.check.slips import SLIPS, slip
from tinygrad_bp.worked import step_by_step

PAGE = (Path(__file__).parent.parent / "docs" / "mistakes.md").read_text("utf-8")


def swapped(digits, rng):
    k = rng.integers(len(digits) - 1)
    return digits[:k] + digits[k + 1] + digits[k] + digits[k + 2 :]


def changed(digits, rng):
    k, d = rng.integers(len(digits)), str((int(digits[rng.integers(len(digits))]) + 1) % 10)
    return digits[:k] + d + digits[k + 1 :]


def left_out(digits, rng):
    k = rng.integers(len(digits) - 2)  # further back it is another number
    return digits[:k] + digits[k + 1 :]


def one_more(digits, rng):
    k = rng.integers(len(digits) - 1)
    return digits[:k] + str(rng.integers(10)) + digits[k:]


MADE = {"digits exchanged": swapped, "digit wrong": changed, "digit left out": left_out, "digit too many": one_more}


@pytest.mark.parametrize("kind", MADE)
def test_a_slip_is_named(kind):
    """Of some slips there are two readings: 0.1234 for 0.1235 is a last digit, 0.1223 for 0.1233 a digit wrong."""
    rng = np.random.default_rng(0)
    names = []
    for _ in range(300):
        digits = str(rng.integers(100_000, 1_000_000))  # none of which is a zero after the point
        wrong = MADE[kind](digits, rng)
        if digits.startswith(wrong[:6]) or wrong.startswith("0"):
            continue  # this is no mistake, or moves the point
        found = slip(f"0.{wrong}", float(f"0.{digits}"))
        assert found is not None, (wrong, digits)
        meant = re.search(r"(\S+) was meant", found[1])[1]
        assert abs(float(meant) - float(f"0.{digits}")) <= 0.5001 * 10.0 ** -len(meant.partition(".")[2])
        names.append(found[0])
    assert len(names) > 200
    assert names.count(kind) > 0.75 * len(names)


@pytest.mark.parametrize(("written", "right", "name"), [
    ("-0.019049119", -0.01904911826, "last digit"), ("-0.007106", -0.07106, "decimal point"),
    ("12.50", 1.25, "decimal point"), ("0.2796", 0.272957, "digit left out"), ("0.59", 0.95, None), ("0.6575", 0.675705, None),
    ("0.14983", 0.149318, None), ("0.7514", float("nan"), None), ("0.000", 0.5, None), ("1250", 1520.0, None),
])  # fmt: skip
def test_what_is_said_of_a_number(written, right, name):
    found = slip(written, right)
    assert (found and found[0]) == name


def test_chance_is_not_a_slip():
    """A wrong number is not explained away: of 2,000 with five digits hardly one looks like a slip."""
    rng = np.random.default_rng(1)
    found = [slip(f"{a:.5f}", b) for a, b in rng.uniform(0, 1, (2000, 2))]
    assert sum(f is not None for f in found) <= 8


def test_values_and_gradients_are_explained():
    loss = step_by_step.forward()
    assert tg.check(loss, "net_h1 = 0.3757").diagnosis.mistake == "digits exchanged"
    report = tg.check(loss, {"w5": "0.082617041", "w6": "0.082667628"})
    assert str(report.diagnosis) == "Two digits are exchanged, 61 for 16: 0.082167041 was meant."
    assert tg.check(loss, {"w5": "0.164334081"}).diagnosis.mistake == "factor 2"  # the derivation comes first
    assert tg.check(loss, {"w5": "0.082617041", "w6": "0.5"}).diagnosis.mistake is None
    assert tg.check(loss, "w5+ = 0.35819648", lr=0.5).diagnosis.mistake == "digits exchanged"
    assert tg.check(None, "1.2345 * 2.3 = 2.83395").diagnosis.mistake == "digits exchanged"
    assert tg.check(loss, "net_h1 = 0.375 + 0.0007").diagnosis.mistake is None  # nobody wrote 0.3757
    assert tg.check(loss, "E_total = (target_o1 - out_o1)^2 + (target_o2 - out_o2)^2").diagnosis.mistake == "factor 2"
    assert tg.check(loss, "net_h1 = -0.3775").diagnosis.mistake == "sign flipped"
    assert tg.check(loss, "net_h1 = 0.8").diagnosis.mistake is None  # too few digits to be twice 0.3775


def test_a_note_says_what_happened_to_a_number():
    report = tg.check.notes("$1.2345 * 2.3 = 2.83395$\n\n<!-- wrong: A1 --> $1.2345 * 2.3 = 2.89335$\n\n$2 * 1.2345 = 2.5$\n")
    assert "> Two digits are exchanged, 39 for 93: 2.83935 was meant." in " ".join(str(report).split("\n"))
    (found,) = report.said("A1")
    assert found.diagnosis.mistake == "digits exchanged"


def test_the_page_has_them_all():
    assert all(f"| {name} | " in PAGE for name in SLIPS)
