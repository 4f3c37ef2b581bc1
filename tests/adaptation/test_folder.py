"""The folder of an adapted run: what is in it, when it is continued, and when it is refused."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.adaptation import MAR, Adaptation, AdaptiveBN, Unlabelled, adapt_run
from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.experiments.runs import Run, load, open_run
from snreid.models.weights import load_model
from snreid.studies.rows import label
from support.tiny import ALONE, Files, data_of, picture_files, session


def adapted(method: Adaptation, run: Run, target: Unlabelled, out: Path, **changes: object) -> Run:
    return adapt_run(method, run, target, out, session(**changes))


def test_the_record_says_what_was_adapted_to_what(baseline: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    method = AdaptiveBN(batch=8, seed=3)
    began = time.monotonic()
    run = adapted(method, baseline, dusk, tmp_path / "out")
    took = time.monotonic() - began
    entry = run.record["adaptation"]
    assert run.finished and Adaptation.from_json(entry["method"]) == method
    assert (entry["target"], entry["images"], entry["source"], entry["left_out"]) == ("dusk", 24, "baseline", [])
    assert entry["fingerprint"] == dusk.fingerprint
    assert entry["source_weights"] == load_model(baseline.folder / "model.safetensors").sha256
    assert run.experiment == replace(baseline.experiment, recipe="baseline-adaptive-bn-dusk")
    assert label(run.experiment) != label(baseline.experiment), "both fit into one table"
    assert 0 <= run.record["finished"]["seconds"] <= took + 0.05, "seconds, rounded to a tenth"


def test_what_is_finished_is_taken_as_it_is_and_what_is_another_is_refused(
    baseline: Run, dusk: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = adapted(AdaptiveBN(), baseline, dusk, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in first.folder.iterdir() if path.is_file()}
    monkeypatch.setattr(AdaptiveBN, "fit", lambda *_: pytest.fail("adapted again"))
    assert adapted(AdaptiveBN(), baseline, dusk, tmp_path / "out").record == first.record
    for method, target, change in (
        (AdaptiveBN(batch=4), dusk, "method.batch 128, now 4"),
        (AdaptiveBN(), dusk.only(np.arange(20)), "images 24, now 20; fingerprint"),
        (MAR(), dusk, "method AdaptiveBN, now MAR"),
    ):
        with pytest.raises(ExperimentError, match=f"holds one with {change}"):
            adapted(method, baseline, target, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in first.folder.iterdir() if path.is_file()} == before


def test_the_folder_of_a_trained_run_is_refused(baseline: Run, snr: Run, dusk: Unlabelled) -> None:
    for run in (baseline, snr):
        with pytest.raises(ExperimentError, match="holds a trained run"):
            adapted(AdaptiveBN(), baseline, dusk, run.folder)
    assert baseline.finished and snr.finished and "adaptation" not in open_run(baseline.folder).record


def test_a_request_that_failed_leaves_nothing_to_protect(
    baseline: Run, dusk: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DataError("no", found="no")

    with monkeypatch.context() as patch:
        patch.setattr(AdaptiveBN, "fit", fail)
        with pytest.raises(DataError):
            adapted(AdaptiveBN(), baseline, dusk, tmp_path / "out")
    with pytest.raises(CheckpointError, match="the same snreid adapt command"):
        load(tmp_path / "out")
    assert adapted(AdaptiveBN(batch=4), baseline, dusk, tmp_path / "out").finished


def test_a_run_that_is_not_finished_is_not_adapted(baseline: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / "experiment.json").write_text((baseline.folder / "experiment.json").read_text())
    with pytest.raises(CheckpointError, match="continue it: snreid train"):
        adapted(AdaptiveBN(), open_run(half), dusk, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_images_are_listed_and_left_out_only_when_that_is_asked_for(baseline: Run, tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "files", damaged=(3, 17)).read(Path())
    target = Unlabelled.of(data)
    with pytest.raises(DataError, match=r"2 of 24 are not.*003.png.*--skip-bad"):
        adapted(AdaptiveBN(), baseline, target, tmp_path / "out")
    run = adapted(AdaptiveBN(), baseline, target, tmp_path / "out", skip_bad=True)
    assert [Path(name).name for name in run.record["adaptation"]["left_out"]] == ["003.png", "017.png"]
    assert (run.folder / "bad_files.jsonl").read_text().count("\n") == 2
    good = Unlabelled.of(data).only(np.array([i for i in range(24) if i not in (3, 17)]))
    same = adapted(AdaptiveBN(), baseline, good, tmp_path / "good")
    assert (
        load_model(run.folder / "delta.safetensors").tensors.keys()
        == load_model(same.folder / "delta.safetensors").tensors.keys()
    )
    assert all(
        bool((value == load_model(same.folder / "delta.safetensors").tensors[name]).all())
        for name, value in load_model(run.folder / "delta.safetensors").tensors.items()
    )


def test_labels_of_the_target_change_no_bit(baseline: Run, tmp_path: Path) -> None:
    paths = picture_files(tmp_path / "files", 12)
    runs = []
    for name, persons in (("one", [1 + i // 2 for i in range(12)]), ("other", [1 + i % 3 for i in range(12)])):
        target = Unlabelled.of(data_of(paths, persons, [1 + i % 2 for i in range(12)]))
        runs.append(adapted(AdaptiveBN(), baseline, target, tmp_path / name))
    one, other = (load_model(run.folder / "delta.safetensors").sha256 for run in runs)
    assert one == other


def test_an_adapted_run_can_be_adapted_and_moved_with_its_source(
    baseline: Run, dusk: Unlabelled, tmp_path: Path
) -> None:
    shutil.copytree(baseline.folder, tmp_path / "runs" / "baseline")
    first = adapted(AdaptiveBN(), open_run(tmp_path / "runs" / "baseline"), dusk, tmp_path / "runs" / "first")
    second = adapted(AdaptiveBN(batch=4), first, dusk, tmp_path / "runs" / "second")
    assert second.experiment.recipe == "baseline-adaptive-bn-dusk-adaptive-bn-dusk"
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert load(tmp_path / "moved" / "second").model is not None


def test_several_processes_are_refused(baseline: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="one process"):
        adapt_run(AdaptiveBN(), baseline, dusk, tmp_path, session(group=replace(ALONE, world=2)))
