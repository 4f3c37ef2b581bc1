"""Run folders of an earlier version: they open, are scored, reported, and adapted from.

``old_run.tar.gz`` was written by commit 5160f52: ``baseline-0`` is a finished run of a network with two channels, scored on dusk, and
``adapted`` is its adaptation by ``adaptive-bn``, stored as a delta.
"""

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.adaptation import AdaptiveBN, Unlabelled, adapt_run
from snreid.experiments.job import train
from snreid.experiments.runs import load, open_run
from snreid.experiments.scoring import read_result, score_run
from snreid.studies.plan import study_plan
from snreid.studies.records import record
from snreid.studies.run import score_models
from support.tiny import drawn, session


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of the two old runs."""
    with tarfile.open(Path(__file__).with_name("old_run.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.mark.parametrize("name", ["baseline-0", "adapted"])
def test_it_embeds(old: Path, name: str) -> None:
    images = torch.randint(0, 256, (2, 3, 32, 16), dtype=torch.uint8)
    vectors = load(old / name)(images)
    assert len(vectors) == 2 and np.isfinite(vectors).all()


def test_it_is_finished_and_taken_as_it_is(old: Path) -> None:
    run = open_run(old / "baseline-0")
    before = {path: path.stat().st_mtime_ns for path in old.rglob("*")}
    assert run.finished and train(run.experiment, run.folder, session()).record == run.record
    dusk = Unlabelled.of(drawn("dusk").read(old))
    assert adapt_run(AdaptiveBN(), run, dusk, old / "adapted", session()).finished
    assert {path: path.stat().st_mtime_ns for path in old.rglob("*")} == before


def test_its_scores_are_read_and_made_again_alike(old: Path) -> None:
    run, dusk = open_run(old / "baseline-0"), drawn("dusk").read(old)
    stored = read_result(run.folder, dusk)
    assert stored is not None
    (read,) = score_run(run, [dusk], session())
    assert read.scores.average_precision.tolist() == stored.scores.average_precision.tolist()
    for file in (run.folder / "evaluation").iterdir():
        file.unlink()
    (again,) = score_run(run, [dusk], session())
    assert again.scores.mean_ap == pytest.approx(stored.scores.mean_ap, abs=0.02)


def test_it_is_reported_beside_a_new_run(old: Path) -> None:
    run = open_run(old / "baseline-0")
    new = train(replace(run.experiment, seed=1), old / "baseline-1", session())
    plan = study_plan([run.experiment], [drawn("dusk")], [0, 1])
    result = score_models(plan, [run, new], session())
    rows = record(result, "old and new", 1.0)["rows"]
    assert [(row["scheme"], row["seed"]) for row in rows] == [("Baseline", 0), ("Baseline", 1)]
