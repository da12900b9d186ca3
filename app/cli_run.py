"""`python -m app.cli_run`: the console script without its installed name."""

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())
