"""``snreid report``: a page of runs that are there already."""

from pathlib import Path

import pytest

from snreid.cli.report import _name, main
from support.tiny import TARGET


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
    streams = capsys.readouterr()
    shown = streams.out
    assert "is replaced" not in streams.err
    assert f"Report: {out / 'report.html'}" in shown
    assert shown.index("Baseline") < shown.index("SNR"), "the first run is what the others are held against"
    assert "SNR" in (out / "report.html").read_text()
    assert [(folder / "model.safetensors").stat().st_mtime_ns for folder in pair] == weights


def test_reports_of_other_runs_or_targets_have_other_folders_and_replacing_one_is_told(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    noon = TARGET.replace("dusk", "noon")
    words = [str(pair[0]), "-t", TARGET, "--workers", "0", "--device", "cpu"]
    assert main(words) == 0
    assert main([str(pair[0]), "-t", noon, *words[3:]]) == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["report-baseline-on-dusk", "report-baseline-on-noon"]
    assert "is replaced" not in capsys.readouterr().err
    assert main(words) == 0
    assert "The page in runs/report-baseline-on-dusk is replaced" in capsys.readouterr().err


def test_the_name_of_a_folder_says_runs_and_targets_and_never_grows_too_long() -> None:
    assert _name(["a-0", "b-0"], ["dusk", "noon"]) == "report-a-0+b-0-on-dusk+noon"
    many = [f"snr-market1501-{seed}" for seed in range(20)]
    assert len(_name(many, ["dusk"]).encode()) < 120 and "20-runs" in _name(many, ["dusk"])
    assert _name(many, ["dusk"]) != _name([*many[1:], "other"], ["dusk"])
