"""Planted mistakes: the tool names the mistake that a backward pass written by hand was given."""
import tinygrad_bp as tg
from tinygrad_bp.worked import course_222


def test_the_course_example_is_named():
    report = tg.check(course_222.forward(), course_222.CLAIMS)
    assert [row.name for row in report if not row.ok] == ["w1", "w2", "w3", "w4"]
    assert report.diagnosis.mistake == "weight gradients for delta times weight"
    assert "dE/dw5 + dE/dw6, where delta times weight belongs" in " ".join(str(report.diagnosis).split())
    assert max(map(len, str(report.diagnosis).splitlines())) < 80
