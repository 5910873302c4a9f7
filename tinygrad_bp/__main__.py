"""``python -m tinygrad_bp COMMAND``; the commands are in ``cli``."""

import sys

from tinygrad_bp.cli import main

if __name__ == "__main__":
    sys.exit(main())
