"""The numbers of the speed page are those of the speed records."""

import subprocess
import sys
from pathlib import Path


def test_the_speed_page_is_that_of_the_records(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/write_performance.py", "--check"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run python benchmarks/write_performance.py: {done.stdout}{done.stderr}"
