"""The numbers in the documents are those of the run records."""

import subprocess
import sys
from pathlib import Path


def test_results_are_those_of_the_records(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/write_results.py", "--check"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run python benchmarks/write_results.py: {done.stdout}{done.stderr}"
