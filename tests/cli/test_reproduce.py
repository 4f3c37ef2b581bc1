"""``snreid reproduce``: lists, fills what is missing, prints what was published beside ours."""

import json
from pathlib import Path

import pytest

from snreid.cli.reproduce import main
from snreid.datasets import DukeMTMC
from snreid.errors import ExperimentError
from snreid.studies.protocols import single_source
from support.tiny import drawn
from support.tiny_tables import tiny_table
from support.trees import touch

NAMES = (
    "bounding_box_train/0001_c2_f0046182.jpg",
    "bounding_box_train/0001_c6_f0046302.jpg",
    "query/0002_c1_f0044158.jpg",
    "bounding_box_test/0002_c2_f0044280.jpg",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the tiny table as the only one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snreid.studies.paper_tables.tables", lambda: (tiny_table(),))
    return tmp_path


FLAGS = ["--seeds", "0", "--workers", "0", "--device", "cpu", "--root", "no-data"]


def test_a_table_is_filled_printed_and_recorded_and_a_second_time_nothing_is_trained(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", *FLAGS, "--records", "records"]) == 0
    first = capsys.readouterr().out
    assert "A tiny table" in first and "50.0 / - (SNR)" in first and "cannot be run here" in first
    assert sorted(path.name for path in (here / "runs/reproduce/small/noon").iterdir()) == ["baseline-0", "snr-0"]
    assert [path.name for path in (here / "records").iterdir()] == ["tiny-here.json"]
    record = json.loads((here / "records/tiny-here.json").read_text())
    assert record["published"][0]["mAP"] == 50.0 and {row["seed"] for row in record["rows"]} == {0}
    before = {path: path.stat().st_mtime_ns for path in (here / "runs").rglob("*") if path.is_file()}
    assert main(["tiny", *FLAGS]) == 0
    assert capsys.readouterr().out == first
    assert {path: path.stat().st_mtime_ns for path in (here / "runs").rglob("*") if path.is_file()} == before


def test_show_trains_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", *FLAGS, "--show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(one["table"], one["case"]) for one in shown["cases"]] == [("tiny", "here"), ("tiny", "away")]
    assert list(shown["cases"][1]["absent"]) == ["market1501"] and not (here / "runs").exists()


def test_the_list_says_what_can_run_here(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--root", "no-data"]) == 0
    shown = capsys.readouterr().out
    assert "here: can run here (dusk, night, noon)" in shown and "away: cannot run here: market1501 missing" in shown
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tinny"], "did you mean 'tiny'"),
        ([], "or all"),
        (["tiny", "--on", "mars"], "place of these tables is one of tiny"),
        (["tiny", "--batches-per-epoch", "3"], "needs --epochs"),
        (["tiny", "--epochs", "0"], "--epochs must fit"),
        (["tiny", "--jobs", "0"], "--jobs 0"),
        (["tiny", "--shard", "2/2"], "K/N"),
        (["tiny", "--jobs", "2", "--shard", "0/2"], "--shard 0/2"),
        (["all", "tinny"], "did you mean 'tiny'"),
        (["tiny", "--records", "file.txt"], "--records is a folder"),
        (["tiny", "--out", "file.txt"], "--out is a folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(here: Path, words: list[str], said: str) -> None:
    (here / "file.txt").touch()
    with pytest.raises(ExperimentError, match=said):
        main([*words, *FLAGS])
    assert not (here / "runs").exists()


def test_epochs_in_place_of_the_cases_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", *FLAGS, "--epochs", "3", "--batches-per-epoch", "1", "--json"]) == 0
    (found, _) = json.loads(capsys.readouterr().out)["cases"]
    assert {one["epochs"] for one in found["experiments"].values()} == {3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "0", "0"], "by each once"),
        (["--seeds"], "at least one seed"),
        (["--seeds", "-1"], "seed"),
    ],
)
def test_seeds_that_cannot_be_are_refused(here: Path, words: list[str], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        main(["tiny", *words, *FLAGS[2:]])
    assert not (here / "runs").exists()


def test_a_table_typed_twice_is_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "all", "tiny", *FLAGS, "--show", "--json"]) == 0
    assert [one["case"] for one in json.loads(capsys.readouterr().out)["cases"]] == ["here", "away"]


def test_the_list_takes_withdrawn_data_where_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, NAMES)
    duke = single_source(DukeMTMC(), drawn())
    table = tiny_table(settings={"duke": duke}, published={})
    monkeypatch.setattr("snreid.studies.paper_tables.tables", lambda: (table,))
    assert main(["--list", "--root", str(tmp_path)]) == 0
    assert "cannot run here: dukemtmc missing" in capsys.readouterr().out
    assert main(["--list", "--withdrawn", "--root", str(tmp_path)]) == 0
    assert "can run here (noon, dukemtmc)" in capsys.readouterr().out
