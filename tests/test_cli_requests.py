"""Requests that once went wrong without a word, or too late: each is refused before anything is drawn, scored or trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snreid.cli import main
from snreid.cli.names import known_names
from snreid.experiments.scoring import read_result
from support.tiny import FLAGS, SOURCE, TARGET, drawn, trained

HERE = ["--device", "cpu", "--workers", "0"]
Captured = pytest.CaptureFixture[str]
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("requests") / "run").folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of this test alone, in the folder it works in."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Refused:
    """What stderr says of a wrong request, which ends with 2, prints no result and leaves no file."""
    monkeypatch.chdir(tmp_path)

    def call(*words: Any) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr()
        assert said.out == "" and "Traceback" not in said.err
        assert sorted(tmp_path.rglob("*")) == before
        return " ".join(said.err.split())

    return call


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["evaluate", "run", "-t", "noon", "--cache", ""], "--cache"),
        (["study", "--cache=", "--source", "noon"], "--cache="),
        (["extract", "run", "photos", "--out", ""], "--out"),
        (["data", "check", "noon", "--root", ""], "--root"),
    ],
)
def test_an_empty_value_is_not_the_current_folder(words: list[str], flag: str, refused: Refused) -> None:
    assert f"{flag} needs a value. Found: an empty one. Fix: give a value (. is the current folder), or" in refused(
        *words
    )


def test_the_current_folder_may_be_named(refused: Refused) -> None:
    assert "needs a value" not in refused("evaluate", "run", "-t", "noon", "--cache", ".", "--out=.", "--root=.")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ([TARGET.replace("test_persons=4", "test_persons=0")], "dusk with 0 query and 0 gallery images"),
        ([TARGET, "dusk"], "Each target has a name of its own. Found: dusk twice"),
    ],
)
def test_a_target_that_cannot_be_scored_is_told_before_training(
    target: list[str], said: str, run: Path, refused: Refused
) -> None:
    assert said in refused("train", "baseline", "-s", SOURCE, *FLAGS, "--out", "new", "-t", *target)
    assert said in refused("evaluate", run, *HERE, "-t", *target)
    assert said in refused("compare", run, run, *HERE, "-t", *target)


def test_a_study_and_a_report_refuse_an_empty_target_too(run: Path, refused: Refused) -> None:
    empty = TARGET.replace("test_persons=4", "test_persons=0")
    words = ["--recipe", "baseline", "-s", SOURCE, *FLAGS, "--out", "new"]
    assert "0 gallery images" in refused("study", *words, "-t", empty)
    assert "0 gallery images" in refused("report", run, *HERE, "-t", empty)


def test_a_comparison_looks_at_both_runs_before_it_scores_one(run: Path, refused: Refused) -> None:
    assert "A run is a folder with an experiment.json. Found: no folder nowhere" in refused(
        "compare", run, "nowhere", "-t", TARGET, *HERE
    )
    assert "A comparison needs two runs and a target" in refused("compare", run, run, "-t")


def test_scores_of_evaluate_are_taken_by_the_commands_after_it(run: Path, capsys: Captured) -> None:
    assert main(["evaluate", str(run), "-t", TARGET, *HERE]) == 0
    kept = run / "evaluation" / "dusk.npz"
    before = kept.stat().st_mtime_ns
    assert main(["compare", str(run), str(run), "-t", TARGET, *HERE]) == 0
    assert kept.stat().st_mtime_ns == before, "the target was scored a second time"
    assert read_result(run, drawn("dusk").read(Path())) is not None


def test_in_a_file_or_a_narrow_terminal_no_number_is_cut_off(
    run: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["evaluate", str(run), "-t", TARGET, *HERE]) == 0
    shown = capsys.readouterr().out
    found = json.loads((run / "evaluation" / "dusk.json").read_text())
    low, high = found["mAP_interval"]
    assert f" {100 * found['mAP']:.1f} [{100 * low:.1f}, {100 * high:.1f}] " in shown
    assert "…" not in shown


def test_data_sets_to_check_and_a_picture_to_write_are_asked_for(refused: Refused) -> None:
    assert "takes NAME first, then flags" in refused("data", "check")
    assert "A contact sheet is a PNG file. Found: sheet.xyz" in refused("data", "sheet", "sheet.xyz")
    assert "at least 1 worker" in refused("data", "check", SOURCE, "--workers", "0")


def test_nothing_that_is_there_is_drawn_over(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "here" / "noon").mkdir(parents=True)
    (tmp_path / "here" / "noon" / "mine.txt").write_text("mine")
    assert "holds something already" in refused("data", "make", "here", "--domain", "noon")


def test_the_list_of_data_sets_has_every_name(capsys: Captured) -> None:
    assert main(["data", "list"]) == 0
    assert f"names: {', '.join(known_names())}" in capsys.readouterr().out.splitlines()
    assert main(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == list(known_names())


def test_a_run_that_is_not_finished_says_how_to_go_on(run: Path, refused: Refused) -> None:
    (run / "model.safetensors").unlink()
    said = refused("evaluate", run, "-t", TARGET, *HERE)
    assert f"snreid train {run / 'experiment.json'} --out {run}" in said


def test_damaged_weights_are_no_traceback(run: Path, refused: Refused) -> None:
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "Fix:" in refused("evaluate", run, "-t", TARGET, *HERE)
    assert "Fix:" in refused("extract", run, "nowhere.png")


def test_a_folder_of_another_experiment_is_kept(run: Path, refused: Refused) -> None:
    words = [*FLAGS, "--seed", "9", "--out", run]
    assert "A run folder holds one experiment" in refused("train", "baseline", "-s", SOURCE, *words)


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"kind": "Other"}'])
def test_a_damaged_experiment_file(content: str, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "mine.json").write_text(content)
    assert "Fix:" in refused("train", "mine.json", "-s", SOURCE)


def test_with_too_few_people_nothing_is_begun(refused: Refused) -> None:
    words = [*FLAGS]
    words[words.index("--sampling.persons") + 1] = "9"
    said = refused("train", "snr", "-s", SOURCE, *words, "--out", "new")
    assert "A batch needs 9 different identities. Found: the sources have 6" in said
