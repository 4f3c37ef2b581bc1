"""``snreid report``: a page of runs that are there already."""

from pathlib import Path

import pytest

from snreid.cli.report import main
from tiny import TARGET


def test_finished_runs_become_a_page_and_nothing_is_trained(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [(folder / "model.safetensors").stat().st_mtime_ns for folder in pair]
    out = tmp_path / "page"
    words = [
        *map(str, pair),
        "-t",
        TARGET,
        "--examples",
        "dusk",
        "--out",
        str(out),
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert f"Report: {out / 'report.html'}" in shown
    assert shown.index("Baseline") < shown.index("SNR"), "the first run is what the others are held against"
    assert "SNR" in (out / "report.html").read_text()
    assert [(folder / "model.safetensors").stat().st_mtime_ns for folder in pair] == weights
