"""``snreid study``: recipes x seeds with shared flags; table, report and record."""

import json
import os
from pathlib import Path

import pytest

from snreid.cli.study import main
from snreid.errors import BusyError, ExperimentError
from snreid.experiments.runs import open_run
from snreid.models.schemes import StageSNR
from snreid.system.locks import folder_lock
from support.tiny import FLAGS, SOURCE, TARGET, experiment


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
    trained = open_run(folder / "snr-1").record["provenance"]
    assert record["rows"][-1]["trained_at"] == (trained["git"] or {}).get("commit")
    assert record["provenance"]["started"] >= trained["started"]
    for name in ("baseline-0", "baseline-1", "snr-0", "snr-1"):  # as if they were old
        file = folder / name / "experiment.json"
        stored = json.loads(file.read_text())
        stored["provenance"]["started"] = "2020-01-01T00:00:00+00:00"
        file.write_text(json.dumps(stored))
    assert main([*words, *FLAGS, "--record", "again.json"]) == 0
    started = json.loads(Path("again.json").read_text())["provenance"]["started"]
    assert not started.startswith("2020"), "of the process that wrote, not of the first run"
    shown = capsys.readouterr().out
    assert "dusk" in shown and "SNR" in shown and "Report: runs/study-noon/report.html" in shown
    page = (folder / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html") and "data:image" in page
    for reference in ("<script src", '<link rel="stylesheet" href="http', 'src="http'):
        assert reference not in page, "the page must not need the network"


def test_a_row_of_its_own_has_a_name_and_flags_that_the_others_do_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = "snr-12: snr --model.scheme.stages 1 2 --optimizer.lr 0.001"
    assert main(["--recipe", "snr", own, "-s", SOURCE, "-t", TARGET, *FLAGS, "--record", "record.json"]) == 0
    changed = open_run(Path("runs/study-noon/snr-12-0")).experiment
    plain = open_run(Path("runs/study-noon/snr-0")).experiment
    assert isinstance(changed.model.scheme, StageSNR) and changed.model.scheme.stages == (1, 2)
    assert changed.optimizer.lr == 0.001 and plain.optimizer.lr != 0.001
    assert changed.epochs == plain.epochs
    assert [row["scheme"] for row in json.loads(Path("record.json").read_text())["rows"]] == ["SNR", "snr-12"]


@pytest.mark.parametrize("row", ["snr-12: srn", "snr-12:", "../up: snr", "a: snr --x '1"])
def test_a_row_that_cannot_be_is_refused_by_its_words(row: str) -> None:
    with pytest.raises(ExperimentError):
        main(["--recipe", row, "-s", SOURCE, "-t", TARGET, *FLAGS])


@pytest.mark.parametrize("place", ["record", "report"])
def test_a_pipe_that_a_result_would_replace_is_refused_before_training(tmp_path: Path, place: str) -> None:
    pipe = tmp_path / ("record.json" if place == "record" else "out/report.html")
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    words = ["--recipe", "snr", "-s", SOURCE, "-t", TARGET, *FLAGS, "--out", str(tmp_path / "out")]
    with pytest.raises(ExperimentError, match=f"{pipe.name} is no regular file"):
        main([*words, "--record", str(tmp_path / "record.json")])
    assert pipe.is_fifo() and not (tmp_path / "out" / "snr-0").exists()


def test_a_study_does_not_take_one_seed_in_silence() -> None:
    with pytest.raises(ExperimentError, match=r"--seeds 0 1 2"):
        main(["--recipe", "snr", "--seed", "3", "-s", SOURCE, "-t", TARGET, *FLAGS])


def test_a_flag_that_one_recipe_lacks_is_explained_with_the_row(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--recipe", "snr", "baseline", "--losses.2.form", "code", "-s", SOURCE, "-t", TARGET, *FLAGS])
    assert "the row 'baseline'" in capsys.readouterr().err


def test_a_second_study_in_the_same_folder_trains_nothing(tmp_path: Path) -> None:
    words = ["--recipe", "baseline", "-s", SOURCE, "-t", TARGET, *FLAGS, "--out", str(tmp_path)]
    with folder_lock(tmp_path, "filling a table"), pytest.raises(BusyError, match=f"process {os.getpid()} has been"):
        main(words)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == []
