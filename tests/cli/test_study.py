"""``snreid study``: recipes x seeds with shared flags; table, report and record."""

import json
from pathlib import Path

import pytest

from snreid.cli.study import main
from snreid.runs import open_run
from tiny import FLAGS, SOURCE, TARGET, experiment


def test_every_recipe_and_seed_is_trained_with_the_same_flags_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--recipe", "baseline", "snr", "--seeds", "0", "1", "-s", SOURCE, "-t", TARGET, "--examples", "dusk"]
    assert main([*words, *FLAGS, "--record", "record.json"]) == 0
    folder = Path("runs/study-noon")
    for name in ("baseline", "snr"):
        for seed in (0, 1):
            assert open_run(folder / f"{name}-{seed}").experiment == experiment(name, seed=seed)
    record = json.loads(Path("record.json").read_text())
    assert [(row["scheme"], row["seed"]) for row in record["rows"]] == [
        (s, n) for s in ("Baseline", "SNR") for n in (0, 1)
    ]
    shown = capsys.readouterr().out
    assert "dusk" in shown and "SNR" in shown and "Report: runs/study-noon/report.html" in shown
    page = (folder / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html") and "data:image" in page
    for reference in ("<script src", '<link rel="stylesheet" href="http', 'src="http'):
        assert reference not in page, "the page must not need the network"
