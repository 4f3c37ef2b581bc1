"""``python -m snreid`` is the command ``snreid``."""

import sys

from snreid.cli import main

if __name__ == "__main__":
    sys.exit(main())
