"""``snreid.adapt``: what the command line does, from Python."""

from pathlib import Path

import pytest

import snreid
from snreid.adaptation import AdaptiveBN, ClusterContrast
from snreid.adaptation.pseudo_labels import Density
from snreid.experiments.runs import Run
from snreid.training.sampling import Sampling
from support.tiny import drawn, picture_files

TINY = ClusterContrast(
    epochs=1,
    batches_per_epoch=2,
    density=Density(k1=4, k2=2, eps=0.6, min_samples=2),
    sampling=Sampling(persons=3, images=2, domains="camera"),
)


def test_a_run_adapts_to_a_data_set_and_to_a_folder(
    baseline: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClusterContrast, "for_experiment", classmethod(lambda cls, experiment: TINY))
    adapted = snreid.adapt(baseline, drawn("dusk"), out=tmp_path / "dusk", device="cpu")
    assert adapted.finished and adapted.record["adaptation"]["method"] == TINY.to_json()
    picture_files(tmp_path / "mine", 8)
    mine = snreid.adapt(
        str(baseline.folder), str(tmp_path / "mine"), out=str(tmp_path / "out"), method=AdaptiveBN(batch=4)
    )
    assert mine.record["adaptation"]["images"] == 8


def test_a_target_without_images_is_refused(baseline: Run, tmp_path: Path) -> None:
    with pytest.raises(snreid.DataError, match="is no folder"):
        snreid.adapt(baseline, tmp_path / "nowhere", out=tmp_path / "out")
    with pytest.raises(snreid.DataError, match="training images"):
        snreid.adapt(baseline, drawn("dusk", train_persons=0), out=tmp_path / "out")
