"""What a run trains on and whom it asks: the averaged weights are those that are validated and saved."""

from pathlib import Path

import pytest
import torch

from snreid.experiments import held_out
from snreid.models.weights import load_model
from snreid.training.log import read_metrics
from snreid.training.training_set import Validation
from support.tiny import trained

ASKED = Validation(fraction=0.4, every=1)


def test_the_averaged_weights_are_validated_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, torch.Tensor]] = []
    embed = held_out.features

    def features(embedder, store, group):  # type: ignore[no-untyped-def]
        asked.append({name: value.clone() for name, value in embedder.model.state_dict().items()})
        return embed(embedder, store, group=group)

    monkeypatch.setattr(held_out, "features", features)
    plain, averaged = (trained(tmp_path / f"ema-{ema}", "snr", ema=ema, validation=ASKED) for ema in (0.0, 0.8))
    saved = [load_model(run.folder / "model.safetensors").tensors for run in (plain, averaged)]
    for of_run, weights, run in ((asked[:2], saved[0], plain), (asked[2:], saved[1], averaged)):
        lines = [line for line in read_metrics(run.folder) if "validation_mAP" in line]
        best = max(range(len(lines)), key=lambda number: (lines[number]["validation_mAP"], -number))
        assert all(torch.equal(value, of_run[best][name]) for name, value in weights.items())
    assert any(not torch.equal(value, saved[1][name]) for name, value in saved[0].items())
    assert averaged.record["finished"]["checkpoint"].startswith("averaged, best on held-out")
    losses = [[line["CrossEntropy"] for line in read_metrics(r.folder) if "rate" in line] for r in (plain, averaged)]
    assert losses[0] == losses[1], "training itself goes on with its own weights"
