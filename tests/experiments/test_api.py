"""``snreid.train`` and ``snreid.score``: what the command line does, from Python."""

from pathlib import Path

import numpy as np
import pytest
import torch

import snreid
from support.tiny import drawn, experiment


def test_training_and_scoring_from_python(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = snreid.train(experiment(), out=tmp_path / "run", device="cpu")
    assert run.finished and run.folder == tmp_path / "run"
    scores = snreid.score(run, drawn("dusk"), device="cpu")
    assert 0 < scores.mean_ap <= 1 and (tmp_path / "run" / "evaluation" / "dusk.json").is_file()
    again = snreid.score(str(run.folder), drawn("dusk"), device="cpu")
    np.testing.assert_array_equal(scores.average_precision, again.average_precision)
    assert snreid.train(experiment(), out=str(tmp_path / "run")).record == run.record
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_where_it_is_wanted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    snreid.train(experiment(), out=tmp_path / "run", device="cpu", quiet=False)
    assert "epoch 2/2" in capfd.readouterr().err


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(snreid.ExperimentError, match="cuda"):
        snreid.train(experiment(), out=tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()
    with pytest.raises(snreid.CheckpointError, match="nowhere"):
        snreid.score(tmp_path / "nowhere", drawn("dusk"))
