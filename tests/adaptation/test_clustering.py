"""Cluster Contrast: what a step is, that an interruption changes nothing, and what it says when a target does not cluster."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reference.clusters import centres_by_definition, contrast_by_definition
from snreid.adaptation import Adaptation, ClusterContrast, Unlabelled, adapt_run, clustering
from snreid.adaptation.base import causality_losses
from snreid.adaptation.clustering import _ClusterBatches
from snreid.adaptation.pseudo_labels import Density
from snreid.errors import ExperimentError, Interrupted
from snreid.experiments.recipes import preset
from snreid.experiments.runs import Run
from snreid.images.loading import PixelStore
from snreid.inference.embedder import features
from snreid.losses import DualCausality, total_loss
from snreid.models.weights import load_model
from snreid.records import NO_CAMERA, Sample, Split
from snreid.training.log import read_metrics
from snreid.training.optim import Adam, WarmupSteps
from snreid.training.sampling import IdentityBatches, Sampling
from snreid.training.training_set import join
from support.tiny import drawn, experiment, session

TINY = ClusterContrast(
    epochs=2,
    batches_per_epoch=3,
    density=Density(k1=4, k2=2, eps=0.6, min_samples=2),
    sampling=Sampling(persons=3, images=2, domains="camera"),
    schedule=WarmupSteps(warmup_epochs=0, milestones=(1.0,)),
)


def adapted(method: ClusterContrast, run: Run, target: Unlabelled, out: Path, **changes: Any) -> Run:
    return adapt_run(method, run, target, out, session(**changes))


def digest(run: Run) -> str:
    return load_model(run.folder / "model.safetensors").sha256


def told(run_folder: Path) -> list[dict[str, Any]]:
    """The log without its times."""
    times = ("seconds", "waited", "cluster_seconds")
    return [{k: v for k, v in line.items() if k not in times} for line in read_metrics(run_folder)]


def test_an_adapted_run_is_another_model_and_tells_its_clusters(snr: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    run = adapted(TINY, snr, dusk, tmp_path / "out")
    assert run.finished and digest(run) != digest(snr)
    assert Adaptation.from_json(run.record["adaptation"]["method"]) == TINY
    lines = told(run.folder)
    clustered = [line for line in lines if "clusters" in line]
    assert [line["step"] for line in clustered] == [1, 4] and [line["epoch"] for line in clustered] == [0, 1]
    last = clustered[-1]
    assert run.record["finished"]["facts"] == {"clusters": last["clusters"], "outliers": last["outliers"]}
    steps = [line for line in lines if "rate" in line]
    assert [line["rate"] for line in steps] == pytest.approx([3.5e-4] * 3 + [3.5e-5] * 3)
    assert all(line["DualCausality"] > 0 for line in steps), "SNR keeps its loss on the clusters"
    assert run.embedder()(torch.zeros(2, 3, 32, 16, dtype=torch.uint8)).shape == (2, 8)


def test_the_same_again_is_the_same(baseline: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    first, second = (adapted(TINY, baseline, dusk, tmp_path / name) for name in "ab")
    assert digest(first) == digest(second) and told(first.folder) == told(second.folder)
    other = adapted(replace(TINY, seed=1), baseline, dusk, tmp_path / "c")
    assert digest(other) != digest(first)


def test_the_causality_loss_is_that_of_the_run_times_the_factor(snr: Run, baseline: Run) -> None:
    (kept,) = causality_losses(snr.experiment, 1.0)
    assert kept == next(loss for loss in snr.experiment.losses if isinstance(loss, DualCausality))
    (half,) = causality_losses(snr.experiment, 0.5)
    assert half == replace(kept, weight=0.5)
    assert causality_losses(snr.experiment, 0.0) == ()
    assert causality_losses(baseline.experiment, 1.0) == ()


def test_the_first_step_is_the_definition(baseline: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    """The logged loss of step 1, from the untouched run: its clusters, its means, its batch, no augmentation."""
    still = replace(TINY.augmentation, crop=0.0, flip=0.0, brightness=0.0, contrast=0.0)
    method = replace(TINY, augmentation=still)
    run = adapted(method, baseline, dusk, tmp_path / "out")
    embedder = baseline.embedder()
    store = PixelStore(dusk.split, 32, 16)
    store.open()
    vectors = features(embedder, store).embeddings
    clusters = method.density(vectors)
    centres = centres_by_definition(vectors.tolist(), clusters.tolist())
    assert read_metrics(run.folder)[0]["clusters"] == len(centres)
    batch = _ClusterBatches(method, torch.from_numpy(clusters), dusk.cameras).epoch(0)[0]
    (images,) = store.batches([batch])
    embedder.model.train()
    with torch.no_grad():
        outputs = embedder.model(embedder.input.normalize(images))
    loss = contrast_by_definition(outputs.embedding.tolist(), clusters[batch].tolist(), centres, method.temperature)
    assert read_metrics(run.folder)[1]["ClusterContrast"] == pytest.approx(loss, rel=1e-4)


class _Killed(Exception):
    """The process ends here."""


def _after(monkeypatch: pytest.MonkeyPatch, name: str, calls: int, act: Any) -> None:
    """Lets ``act`` happen inside the call number ``calls`` of a function of the module."""
    original, count = getattr(clustering, name), 0

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == calls:
            act()
        return original(*given, **named)

    monkeypatch.setattr(clustering, name, counted)


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _kill() -> None:
    raise _Killed


@pytest.fixture(scope="module")
def whole(snr: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An adaptation that nothing interrupted."""
    target = Unlabelled.of(drawn("dusk").read(Path()))
    return adapted(TINY, snr, target, tmp_path_factory.mktemp("adapted") / "whole")


@pytest.mark.parametrize("name", ["moved_centres", "cluster_centres"])
@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("act", [_terminate, _kill], ids=["sigterm", "killed"])
def test_an_interruption_anywhere_changes_nothing(
    snr: Run,
    dusk: Unlabelled,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    calls: int,
    act: Any,
) -> None:
    """In the first or second step of the first epoch, or while the first or second epoch is being clustered."""
    with monkeypatch.context() as patched:
        _after(patched, name, calls, act)
        with pytest.raises((Interrupted, _Killed)):
            adapted(TINY, snr, dusk, tmp_path / "cut", save_seconds=0.0)
    run = adapted(TINY, snr, dusk, tmp_path / "cut", save_seconds=0.0)
    assert digest(run) == digest(whole)
    assert told(run.folder) == told(whole.folder)


def test_a_step_that_is_refused_moves_no_cluster(
    baseline: Run, dusk: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    original_move, original_loss = clustering.moved_centres, clustering.cluster_contrast

    def move(centres: Tensor, *rest: Any) -> Tensor:
        """Keep what the memory was before each step."""
        seen.append(centres.clone())
        return original_move(centres, *rest)

    def loss(*given: Any) -> Tensor:
        """Infinite in the second step."""
        return original_loss(*given) * (float("inf") if len(seen) == 1 else 1.0)

    monkeypatch.setattr(clustering, "moved_centres", move)
    monkeypatch.setattr(clustering, "cluster_contrast", loss)
    run = adapted(TINY, baseline, dusk, tmp_path / "out")
    assert not torch.equal(seen[0], seen[1]) and torch.equal(seen[1], seen[2])
    assert [line["skipped"] for line in read_metrics(run.folder) if "rate" in line] == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(("eps", "word"), [(1e-6, "raise"), (0.9999, "lower")])
def test_a_target_that_does_not_cluster(baseline: Run, dusk: Unlabelled, tmp_path: Path, eps: float, word: str) -> None:
    method = replace(TINY, density=Density(k1=20 if eps > 0.5 else 3, k2=1, eps=eps, min_samples=8))
    with pytest.raises(ExperimentError, match=rf"at least two clusters.*of dusk in epoch 1.*{word} --density.eps"):
        adapted(method, baseline, dusk, tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").exists() and baseline.finished


def test_with_a_source_weight_the_run_s_own_losses_act_on_its_images_beside_the_contrast(
    snr: Run, dusk: Unlabelled, tmp_path: Path
) -> None:
    still = replace(TINY.augmentation, crop=0.0, flip=0.0, brightness=0.0, contrast=0.0)
    alone = replace(TINY, augmentation=still)
    beside = replace(alone, source_weight=0.5)
    assert beside.needs_source and not alone.needs_source
    runs = [adapted(method, snr, dusk, tmp_path / str(method.needs_source)) for method in (alone, beside)]
    first, both = (next(line for line in read_metrics(run.folder) if "rate" in line) for run in runs)
    assert digest(runs[0]) != digest(runs[1])

    training = join([source.read(Path()) for source in snr.experiment.sources])
    store = PixelStore(training.split, 32, 16)
    store.open()
    sampling = snr.experiment.sampling
    batch = IdentityBatches(sampling, training.persons, training.domains, 0, TINY.batches_per_epoch).epoch(0)[0]
    (images,) = store.batches([batch])
    embedder = snr.embedder()
    embedder.model.train()
    with torch.no_grad():
        outputs = embedder.model(embedder.input.normalize(images))
    expected = total_loss(snr.experiment.losses, outputs, torch.from_numpy(training.persons[batch])).parts
    assert {name for name in both if name.startswith("Source")} == {f"Source{name}" for name in expected}
    for name, part in expected.items():
        assert both[f"Source{name}"] == pytest.approx(0.5 * float(part), rel=1e-4), name
    for name in ("ClusterContrast", "DualCausality"):
        assert both[name] == pytest.approx(first[name], rel=1e-5), "the target's part is what it is without the source"


def test_with_source_images_an_interruption_changes_nothing(
    baseline: Run, dusk: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = replace(TINY, source_weight=1.0)
    whole = adapted(method, baseline, dusk, tmp_path / "whole")
    with monkeypatch.context() as patched:
        _after(patched, "moved_centres", 2, _terminate)
        with pytest.raises(Interrupted):
            adapted(method, baseline, dusk, tmp_path / "cut")
    run = adapted(method, baseline, dusk, tmp_path / "cut")
    assert digest(run) == digest(whole) and told(run.folder) == told(whole.folder)


def test_of_the_source_s_losses_those_stay_that_one_view_is_enough_for() -> None:
    method = replace(TINY, source_weight=2.0)
    kept = method.source_losses(experiment("bau"))
    assert [loss.name for loss in kept] == ["CrossEntropy", "Triplet", "Uniformity"]
    assert all(loss.weight == 2.0 for loss in kept) and TINY.source_losses(experiment("bau")) == ()


def test_labels_of_the_target_change_no_bit(baseline: Run, tmp_path: Path) -> None:
    data = drawn("dusk").read(Path())
    others = Split(tuple(Sample(s.image, 1 + i % 3, s.camera) for i, s in enumerate(data.train.samples)))
    runs = [
        adapted(TINY, baseline, Unlabelled.of(replace(data, train=train)), tmp_path / name)
        for name, train in (("one", data.train), ("other", others))
    ]
    assert digest(runs[0]) == digest(runs[1])


def test_batches_are_whole_clusters_spread_over_cameras() -> None:
    clusters = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, -1, -1, 2, 2])
    cameras = np.array([1, 1, 2, 2, 1, 1, 2, 2, 1, 2, 1, 2])
    method = replace(TINY, batches_per_epoch=20, sampling=Sampling(persons=8, images=2, domains="camera"))
    batches = _ClusterBatches(method, clusters, cameras)
    drawn = batches.epoch(4)
    assert len(drawn) == len(batches) == 20
    for batch in drawn:
        rows = clusters.numpy()[batch].reshape(3, 2)
        assert (rows[:, 0] == rows[:, 1]).all() and sorted(rows[:, 0].tolist()) == [0, 1, 2]
        assert (np.sort(cameras[batch].reshape(3, 2), axis=1) == [1, 2]).all()
        assert batches.share(batch, 0, 1) is batch
    again = _ClusterBatches(method, clusters, cameras).epoch(4)
    assert all((a == b).all() for a, b in zip(drawn, again, strict=True))
    alike = replace(method, sampling=replace(method.sampling, domains="source"))
    for batch in _ClusterBatches(alike, clusters, cameras).epoch(0):
        assert sorted(clusters.numpy()[batch].tolist()) == [0, 0, 1, 1, 2, 2]
    nobody = _ClusterBatches(method, clusters, np.full(12, NO_CAMERA)).epoch(0)
    assert {int(i) for batch in nobody for i in batch} == set(np.flatnonzero(clusters != -1).tolist())


def test_it_starts_with_the_run_s_seed_and_settings_of_its_preset() -> None:
    small = ClusterContrast.for_experiment(replace(preset("small"), seed=7))
    assert small.seed == 7 and small.epochs * small.batches_per_epoch * small.sampling.batch <= 20_000
    assert ClusterContrast.for_experiment(preset("paper")) == ClusterContrast()
    published = ClusterContrast()
    assert (published.epochs, published.batches_per_epoch, published.sampling.batch) == (50, 200, 256)
    assert published.optimizer == Adam(lr=3.5e-4, weight_decay=5e-4)
    assert [published.schedule.factor(epoch, 50) for epoch in (0, 19, 20, 39, 40)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batches_per_epoch": 0},
        {"causality_weight": -1.0},
        {"source_weight": -2.0},
        {"temperature": 0.0},
    ],
)
def test_choices_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError, match=str(next(iter(changes.values())))):
        replace(TINY, **changes)
