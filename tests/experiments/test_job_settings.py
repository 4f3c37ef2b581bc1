"""Settings of training that are off by default: frozen stages and epochs, averaged weights, a run as the start of another."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from snreid.errors import CheckpointError
from snreid.experiments import job, run_folder
from snreid.experiments.job import train
from snreid.experiments.runs import Run, open_run
from snreid.models.schemes import StageSNR
from snreid.models.weights import load_model, save_model
from snreid.training.averaging import Average
from snreid.training.loop import Loop, StepReport
from snreid.training.optim import AdamW
from support.tiny import drawn, experiment, session, trained

SETTINGS: Mapping[str, Any] = {
    "model": replace(experiment("snr").model, scheme=StageSNR(stages=(1, 2), start="matched")),
    "epochs": 3,
    "freeze_epochs": 1,
    "freeze_stages": 1,
    "ema": 0.7,
    "optimizer": AdamW(head_lr=3.0, weight_decay=0.1),
}
"""12 steps, in 4 of which the whole backbone rests."""


class Stopped(Exception):
    """Ends a run where its training would begin."""


def weights(of: Run) -> dict[str, Tensor]:
    return dict(load_model(of.folder / "model.safetensors").tensors)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("whole") / "run", "snr", **SETTINGS)


def test_frozen_stages_are_those_of_the_start_in_a_finished_run(whole: Run) -> None:
    torch.manual_seed(0)
    start, end = whole.experiment.model.build(6).state_dict(), weights(whole)
    moved = {name for name, value in start.items() if not torch.equal(value, end[name])}
    assert not [name for name in moved if name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1"))]
    assert {"backbone.layer2.0.conv1.weight", "backbone.layer2.0.bn1.running_var", "head.classifier.weight"} <= moved
    assert any(name.startswith("after.") for name in moved)
    assert whole.record["finished"]["checkpoint"] == "averaged, last"


def test_the_backbone_rests_for_the_first_epochs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, dict[str, Tensor], set[str]]] = []

    class Watched(Loop):
        def _step(self, objective: Any, optimizer: Any, position: Any, batches: Any) -> None:
            epoch = position.epoch
            super()._step(objective, optimizer, position, batches)
            model = self.plan.model
            names = dict(model.named_parameters())
            known = {name for name, p in names.items() if p in optimizer.state}
            seen.append((epoch, {name: value.clone() for name, value in model.state_dict().items()}, known))

    monkeypatch.setattr(run_folder, "Loop", Watched)
    trained(tmp_path / "run", "snr", **{**SETTINGS, "freeze_stages": 0, "ema": 0.0})
    first = seen[0][1]
    for epoch, now, known in seen:
        moved = {name for name, value in now.items() if not torch.equal(value, first[name])}
        backbone = [name for name in moved if name.startswith("backbone.")]
        assert bool(backbone) == (epoch > 0)
        assert any(name.startswith("backbone.") for name in known) == (epoch > 0), "no moments of what does not train"
    assert "head.classifier.weight" in moved and "backbone.conv1.weight" in moved


@pytest.mark.parametrize("at", [2, 4, 5, 9])
def test_a_killed_run_with_all_of_it_ends_with_the_same_bits(
    at: int, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(log: object, bar: object) -> Any:
        def report(step: StepReport) -> None:
            if step.step == at:
                raise RuntimeError("power cut")

        return report

    out, eager = tmp_path / "run", session(save_seconds=0)
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "follow", cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(whole.experiment, out, eager)
    again = weights(train(whole.experiment, out, eager))
    assert all(torch.equal(value, again[name]) for name, value in weights(whole).items())


def begun(experiment_of: Any, out: Path, patch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The state of a model before its first step; nothing is trained."""
    found: dict[str, Tensor] = {}

    def look(loop: Loop) -> None:
        found.update({name: value.clone() for name, value in loop.plan.model.state_dict().items()})
        raise Stopped

    with patch.context() as inner:
        inner.setattr(Loop, "run", look)
        with pytest.raises(Stopped):
            train(experiment_of, out, session())
    return found


def test_norms_behind_stages_are_matched_before_the_first_step_and_so_is_the_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    averages: list[dict[str, Tensor]] = []

    def average(model: Any, decay: float) -> Average:
        made = Average(model, decay)
        averages.append({name: value.clone() for name, value in made.model.state_dict().items()})
        return made

    monkeypatch.setattr(job, "Average", average)
    plain = experiment("snr", ema=0.7)
    matched = replace(plain, model=replace(plain.model, scheme=StageSNR(stages=(1, 2), start="matched")))
    published = begun(plain, tmp_path / "published", monkeypatch)
    before = begun(matched, tmp_path / "matched", monkeypatch)
    moved = {name for name, value in published.items() if not torch.equal(value, before[name])}
    assert moved == {f"after.{stage}.{part}" for stage in (1, 2) for part in ("gamma", "beta")}
    assert all(torch.equal(value, averages[1][name]) for name, value in before.items())


def test_a_run_starts_from_another_with_all_its_weights(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(whole.experiment, start=str(whole.folder), seed=5, freeze_epochs=0)
    before = begun(other, tmp_path / "next", monkeypatch)
    assert all(torch.equal(value, before[name]) for name, value in weights(whole).items())
    record = open_run(tmp_path / "next").record["training"]
    sha256 = load_model(whole.folder / "model.safetensors").sha256
    assert record["start"] == {"run": "run", "sha256": sha256, "classifier": True} and record["weights"] is None
    assert "start" not in whole.record["training"]


def test_a_share_of_the_start_is_in_the_saved_weights_of_a_resumed_run_too(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = replace(whole.experiment, start=str(whole.folder), seed=5, epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(job, "save_model", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
        with pytest.raises(RuntimeError, match="power cut"):
            train(replace(alone, start_share=0.25), tmp_path / "mixed", session())
    moved = Path(shutil.copytree(whole.folder, tmp_path / "moved"))
    save_model(whole.folder / "model.safetensors", whole.experiment.model.build(6), {})
    try:
        with pytest.raises(CheckpointError, match=r"share of the weights it started from.*instead of \w{12}"):
            train(replace(alone, start_share=0.25), tmp_path / "mixed", session())
    finally:
        shutil.copy(moved / "model.safetensors", whole.folder)
    run = train(replace(alone, start_share=0.25), tmp_path / "mixed", session())
    assert run.record["finished"]["checkpoint"] == "averaged, last, 25% of the start"
    mixed, start, end = weights(run), weights(whole), weights(train(alone, tmp_path / "alone", session()))
    for name, value in mixed.items():
        kept = 0.0 if name.startswith("head.classifier") or not value.is_floating_point() else 0.25
        torch.testing.assert_close(value, (1 - kept) * end[name] + kept * start[name] if kept else end[name])
    assert any(not torch.equal(mixed[name], end[name]) for name in mixed)


def test_the_average_begins_with_norms_that_were_matched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, bool] = {}

    def look(loop: Loop) -> None:
        assert loop.plan.average is not None
        live, average = loop.plan.model.state_dict(), loop.plan.average.model.state_dict()
        found.update({name: torch.equal(value, average[name]) for name, value in live.items()})
        raise Stopped

    model = replace(experiment("snr").model, scheme=StageSNR(start="matched"))
    monkeypatch.setattr(Loop, "run", look)
    with pytest.raises(Stopped):
        train(experiment("snr", model=model, ema=0.9), tmp_path, session())
    assert found["after.1.gamma"] and all(found.values())


def test_of_other_people_the_classifier_is_new(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(whole.experiment, start=str(whole.folder), sources=(drawn("dusk"),))
    before, start = begun(other, tmp_path / "next", monkeypatch), weights(whole)
    assert {name for name, value in start.items() if not torch.equal(value, before[name])} == {"head.classifier.weight"}
    assert open_run(tmp_path / "next").record["training"]["start"]["classifier"] is False


def test_pretrained_weights_are_not_looked_for_and_the_start_not_once_a_run_goes_on(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = replace(whole.experiment.model.backbone, weights="/nowhere/weights.pth")
    model = replace(whole.experiment.model, backbone=backbone)
    place = tmp_path / "start"
    whole.folder.rename(place)
    try:
        settings = replace(whole.experiment, model=model, start=str(place), epochs=2, freeze_epochs=0)
        with monkeypatch.context() as patch:
            patch.setattr(job, "save_model", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
            with pytest.raises(RuntimeError, match="power cut"):
                train(settings, tmp_path / "run", session())
    finally:
        place.rename(whole.folder)
    done = train(settings, tmp_path / "run", session())
    assert done.finished and done.record["training"]["start"]["run"] == "start"
    assert done.embedder().model.dim == 8


def test_what_a_run_cannot_start_from_is_said(whole: Run, tmp_path: Path) -> None:
    def start(folder: Path, **changes: Any) -> None:
        train(
            replace(experiment("snr", **changes), start=str(folder)),
            tmp_path / "run",
            session(),
        )

    with pytest.raises(CheckpointError, match=r"A run is a folder with an experiment\.json"):
        start(tmp_path / "nowhere")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "experiment.json").write_text((whole.folder / "experiment.json").read_text())
    with pytest.raises(CheckpointError, match="starts from a finished one"):
        start(tmp_path / "half")
    with pytest.raises(CheckpointError, match="mean and deviation that they were trained with"):
        start(whole.folder, input=replace(whole.experiment.input, mean=(0.1, 0.2, 0.3)))
    torn = tmp_path / "torn"
    shutil.copytree(whole.folder, torn)
    (torn / "experiment.json").write_text(json.dumps({**whole.record, "training": None}))
    with pytest.raises(CheckpointError, match="training is None"):
        start(torn)
    model = replace(experiment("snr").model, scheme=StageSNR(stages=(1,)))
    with pytest.raises(CheckpointError, match=r"unexpected \(after\..*same backbone, scheme and head"):
        start(whole.folder, model=model)
    assert not (tmp_path / "run").exists()
