"""Formulas as people write them, read by a small parser and never executed."""

from tinygrad_bp.check.formula.functions import Written
from tinygrad_bp.check.formula.parser import Formula, parse, parse_all

__all__ = ["Formula", "Written", "parse", "parse_all"]
