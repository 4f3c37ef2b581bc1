"""The numbers in the documents are those of the run records."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


@pytest.mark.parametrize("script", ["write_results.py", "write_performance.py"])
def test_the_pages_are_those_of_the_records(root: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}", "--check"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run python benchmarks/{script}: {done.stdout}{done.stderr}"


def test_a_row_that_was_not_scored_everywhere_is_written_with_dashes(root: Path) -> None:
    """As one is that was adapted to a target, and scored there alone."""
    found = spec_from_file_location("write_results", root / "benchmarks" / "write_results.py")
    assert found is not None and found.loader is not None
    writer = module_from_spec(found)
    found.loader.exec_module(writer)
    (record, *_) = (one for one in writer.read_records() if len(one["table"]) > 8)
    last, column = record["table"][-1]["scheme"], record["table"][0]["target"]
    left = [cell for cell in record["table"] if (cell["scheme"], cell["target"]) != (last, column)]
    published = [{"scheme": last, "target": column, "mAP": 33.6, "rank1": 55.1, "source": "SNR"}]
    lines = writer.results_page([{**record, "table": left, "published": published}]).splitlines()
    assert [line.split("|")[2].strip() for line in lines if line.startswith(f"| {last} |") and "[" in line] == [
        "-",
        "-",
    ]
    assert f"| {last} | {column} | 33.6 / 55.1 (SNR) | not run |  |" in lines
    assert writer.results_page([record]).count("not run") == 0
