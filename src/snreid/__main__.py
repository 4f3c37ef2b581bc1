"""``python -m snreid`` is the command ``snreid``."""

import sys

from snreid.cli import main

sys.exit(main())
