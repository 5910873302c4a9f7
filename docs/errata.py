"""Write ``docs/errata.md`` from the findings: ``python docs/errata.py``. A test compares them."""

from pathlib import Path

from tinygrad_bp.worked import errata

PAGE = Path(__file__).with_suffix(".md")


def main() -> None:
    """Write the page."""
    PAGE.write_text(errata.markdown(), encoding="utf-8", newline="\n")
    print(PAGE)


if __name__ == "__main__":
    main()
