"""MAR from the source run to the adapted one: settings, what it starts from, and that a stop changes no bit."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import snreid
from reference import mar as slow
from snreid.adaptation import MAR, Unlabelled, adapt_run
from snreid.adaptation.mar_network import MARNetwork
from snreid.errors import DataError, ExperimentError, Interrupted
from snreid.experiments.experiment import Experiment
from snreid.experiments.run_folder import RunFolder
from snreid.experiments.runs import Run
from snreid.images.loading import PixelStore
from snreid.models.weights import load_model
from snreid.training.checkpoint import CheckpointStore
from snreid.training.log import follow, read_metrics
from snreid.training.loop import StepReport, TrainingPlan
from support.tiny import console, data_of, drawn, picture_files, session, trained

SHORT = MAR(epochs=3, batches_per_epoch=3, source_batch=8, target_batch=8, mining=0.2)


def go(run: Run, target: Unlabelled, out: Path, method: MAR = SHORT, **changes: Any) -> Run:
    return adapt_run(method, run, target, out, session(**changes))


def same(one: Run, other: Run) -> bool:
    tensors = [load_model(run.folder / "model.safetensors").tensors for run in (one, other)]
    return all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())


@pytest.fixture(scope="module")
def whole(baseline: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Adapted without a disturbance."""
    return go(baseline, Unlabelled.of(drawn("dusk").read(Path())), tmp_path_factory.mktemp("mar") / "whole")


def test_the_published_settings_are_the_defaults_and_small_runs_get_a_small_budget() -> None:
    method = MAR()
    assert (method.epochs, method.source_batch, method.target_batch, method.lr, method.weight_decay) == (
        20,
        184,
        184,
        2e-4,
        0.025,
    )
    assert (method.scale, method.margin, method.mining) == (30, 1, 0.005)
    assert (method.consistency_weight, method.source_weight, method.joint_weight) == (2e-4, 50, 0.2)
    assert MAR.for_experiment(Experiment(preset="paper", seed=3)) == MAR(seed=3)
    small = MAR.for_experiment(Experiment(preset="small", seed=3))
    steps = small.epochs * (small.batches_per_epoch or 0) * (small.source_batch + small.target_batch)
    assert small.seed == 3 and steps <= 40_000 and small.epochs > 1


def test_the_adapted_run_is_another_model_that_embeds(baseline: Run, whole: Run) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8)
    vectors = snreid.load(whole.folder)(images)
    assert np.isfinite(vectors).all() and not np.allclose(vectors, snreid.load(baseline.folder)(images))
    lines = read_metrics(whole.folder)
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert all(("MDL" in line) == (line["epoch"] >= 1) for line in lines), "active from the second epoch"
    assert [round(line["rate"] / 2e-4, 4) for line in lines] == [1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.01]
    assert not (whole.folder / "checkpoints").exists() and 0 < whole.record["finished"]["facts"]["threshold"] <= 1


def test_with_snr_its_loss_goes_on_unless_it_is_switched_off(snr: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    for weight, there in ((1.0, True), (0.0, False)):
        run = go(snr, dusk, tmp_path / f"{weight}", replace(SHORT, epochs=1, causality_weight=weight))
        lines = read_metrics(run.folder)
        assert all(("DualCausality" in line) == there for line in lines)
    for size in (4, 9):
        with pytest.raises(ExperimentError, match=r"4 images of each.*--source-batch 8, or --causality-weight 0"):
            go(snr, dusk, tmp_path / "odd", replace(SHORT, source_batch=size))
    with pytest.raises(ExperimentError, match=r"takes 7 people; the source has 6.*lower --source-batch to 24"):
        go(snr, dusk, tmp_path / "many", replace(SHORT, source_batch=28))


def test_it_starts_from_the_statistics_and_the_threshold_of_the_whole_target(
    baseline: Run, dusk: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[TrainingPlan] = []
    monkeypatch.setattr(RunFolder, "loop", lambda folder, plan, **_: plans.append(plan))
    go(baseline, dusk, tmp_path / "out")
    model = plans[0].model
    assert isinstance(model, MARNetwork) and model.training
    embedder = baseline.embedder()
    store = PixelStore(dusk.split, 32, 16)
    store.open()
    (pixels,) = store.batches([np.arange(24)])
    features = functional.normalize(torch.from_numpy(embedder(pixels)), dim=1)
    agents = functional.normalize(embedder.model.head.classifier.weight.detach(), dim=1)
    y = [slow.multilabel(f, agents, 30.0) for f in features]
    rows = [torch.tensor(row).double().log().tolist() for row in y]
    cameras = dusk.cameras.tolist()
    found = [
        slow.moments([r for r, c in zip(rows, cameras, strict=True) if c == k])
        for k in sorted(set(cameras))
        if cameras.count(k) > 1
    ]
    for at, value in ((0, model.label_mean), (1, model.label_std)):
        expected = [sum(column) / len(found) for column in zip(*(one[at] for one in found), strict=True)]
        torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-3, atol=1e-3)
    assert float(model.threshold) == pytest.approx(slow.threshold(y, 0.2), rel=1e-4)
    assert not bool(model.remembered.any())


def stopping(at: int, what: Callable[[], None]) -> Callable[..., Callable[[StepReport], None]]:
    """In the place of ``follow``: does something after a step."""

    def made(log: Any, bar: Any) -> Callable[[StepReport], None]:
        inner = follow(log, bar)

        def report(step: StepReport) -> None:
            inner(step)
            if step.step == at:
                what()

        return report

    return made


class PowerCut(Exception):
    """What no part of the program catches."""


def cut() -> None:
    raise PowerCut


@pytest.mark.parametrize("at", [2, 3, 5, 9])
def test_after_sigterm_it_goes_on_to_the_same_bits(
    at: int, baseline: Run, dusk: Unlabelled, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "snreid.experiments.run_folder.follow", stopping(at, lambda: os.kill(os.getpid(), signal.SIGTERM))
        )
        with pytest.raises(Interrupted):
            go(baseline, dusk, tmp_path / "cut")
    assert CheckpointStore(tmp_path / "cut" / "checkpoints").last().step == at  # type: ignore[union-attr]
    with pytest.raises(ExperimentError, match=r"holds one with method\.lr"):
        go(baseline, dusk, tmp_path / "cut", replace(SHORT, lr=1e-3))
    assert same(go(baseline, dusk, tmp_path / "cut"), whole)


@pytest.mark.parametrize(("at", "saved"), [(3, 2), (5, 4), (6, 5)])
def test_after_a_kill_it_goes_on_from_the_last_state_to_the_same_bits(
    at: int, saved: int, baseline: Run, dusk: Unlabelled, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("snreid.experiments.run_folder.follow", stopping(at, cut))
        with pytest.raises(PowerCut):
            go(baseline, dusk, tmp_path / "cut", save_seconds=0.0)
    assert CheckpointStore(tmp_path / "cut" / "checkpoints").last().step == saved  # type: ignore[union-attr]
    again = go(baseline, dusk, tmp_path / "cut")
    assert same(again, whole)
    assert [line["step"] for line in read_metrics(again.folder)] == list(range(1, 10))


def test_labels_of_the_target_change_no_bit(baseline: Run, tmp_path: Path) -> None:
    paths = picture_files(tmp_path / "files", 12)
    runs = []
    for name, persons in (("one", [1 + i // 2 for i in range(12)]), ("other", [1 + i % 3 for i in range(12)])):
        target = Unlabelled.of(data_of(paths, persons, [1 + i % 2 for i in range(12)]))
        runs.append(go(baseline, target, tmp_path / name, replace(SHORT, epochs=2)))
    assert same(*runs)


def test_a_target_without_cameras_is_adapted_to_and_it_is_said(baseline: Run, tmp_path: Path) -> None:
    target = Unlabelled.of(replace(drawn("dusk").read(Path()), has_cameras=False))
    said = console()
    run = adapt_run(replace(SHORT, epochs=1), baseline, target, tmp_path / "out", session(talk=said))
    assert "dusk has no cameras: L_CML" in said.file.getvalue()  # type: ignore[attr-defined]
    assert all(line["CML"] > 0 for line in read_metrics(run.folder))


def test_the_source_must_be_the_one_it_was_trained_on(dusk: Unlabelled, tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    other = replace(run.experiment, sources=(drawn(train_persons=5),))
    with pytest.raises(
        DataError, match=r"other images and persons and fingerprint.*24 images of 6 persons, now 20 of 5"
    ):
        go(replace(run, experiment=other), dusk, tmp_path / "out")
    with pytest.raises(ExperimentError, match=r"30 of 24 images.*--target-batch"):
        go(run, dusk, tmp_path / "out", replace(SHORT, target_batch=30))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "--epochs is at least 1"),
        ({"target_batch": 2}, "--target-batch is at least 3"),
        ({"mining": 0.0}, "mined share"),
        ({"margin": 5.0}, "margin 5.0"),
        ({"joint_weight": -1.0}, "not negative"),
        ({"source_images": 3}, "has 3 images of each of at least two people. Found: --source-batch 184"),
        ({"lr": 0.0}, "learning rate is positive"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        MAR(**changes)
