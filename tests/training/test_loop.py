"""The loop on noise: it ends, it ends the same however often it is stopped, and what is not finite does not get into it."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snreid.errors import CheckpointError, DivergenceError, Interrupted
from snreid.images.loading import PixelStore
from snreid.images.transforms import Augmentation, Draws, InputFormat
from snreid.losses import CrossEntropy, Triplet
from snreid.models.backbone import Backbone
from snreid.models.reid import ModelConfig
from snreid.records import Sample, Split
from snreid.training.checkpoint import CheckpointStore, TrainingState
from snreid.training.distributed import ProcessGroup
from snreid.training.loop import Hooks, Loop, StepReport, TrainingPlan
from snreid.training.optim import Adam, WarmupCosine
from snreid.training.sampling import IdentityBatches, Sampling
from support.tiny import ALONE

EPOCHS, BATCHES = 3, 4
STEPS = EPOCHS * BATCHES
PERSONS = np.repeat(np.arange(6), 4)
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Noise:
    """A picture of noise."""

    number: int

    @property
    def name(self) -> str:
        return f"noise-{self.number:02d}"

    def read(self) -> NDArray[np.uint8]:
        return np.random.default_rng(self.number).integers(0, 256, (32, 16, 3), dtype=np.uint8)


def plan(
    *, seed: int = 0, memory_gb: float = 1.0, augmentation: Augmentation | None = None, lr: float = 1e-3
) -> TrainingPlan:
    """Twelve steps on 24 pictures of six people."""
    split = Split(tuple(Sample(Noise(i), int(person) + 1, 1 + i % 2) for i, person in enumerate(PERSONS)))
    store = PixelStore(split, 32, 16, memory_gb=memory_gb)
    assert store.open() == () and store.cached == (memory_gb > 0)
    torch.manual_seed(seed)
    backbone = Backbone(name="resnet18", weights="random", channels=(4, 4, 8, 8))
    model = ModelConfig(backbone=backbone).build(6).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampling = Sampling(persons=3, images=2)
    return TrainingPlan(
        model=model,
        losses=(CrossEntropy(), Triplet()),
        store=store,
        persons=PERSONS,
        batches=IdentityBatches(sampling, PERSONS, np.zeros(24, dtype=np.int64), seed, BATCHES),
        augmentation=augmentation or Augmentation(),
        input=InputFormat(height=32, width=16),
        optim=Adam(lr=lr),
        schedule=WarmupCosine(warmup_epochs=1),
        epochs=EPOCHS,
        seed=seed,
    )


@dataclass
class Watch:
    """Counts what happens around the steps and may do something at one of them."""

    at_step: Mapping[int, Callable[[], None]] = field(default_factory=dict)
    at_epoch: Mapping[int, Callable[[], None]] = field(default_factory=dict)
    reports: list[StepReport] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    """Epochs whose end was gone through."""

    def report(self, step: StepReport) -> None:
        self.reports.append(step)
        self.at_step.get(step.step, lambda: None)()

    def epoch_end(self, epoch: int, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        self.at_epoch.get(epoch, lambda: None)()
        self.epochs.append(epoch)
        return {"ends": [*kept.get("ends", []), epoch]}

    @property
    def steps(self) -> list[int]:
        return [report.step for report in self.reports]


def run(
    what: TrainingPlan, folder: Path, watch: Watch, *, name: str = "one", save_seconds: float = 60.0
) -> Mapping[str, Any]:
    hooks = Hooks(report=watch.report, epoch_end=watch.epoch_end, values={"experiment": {"name": name}})
    return Loop(what, CheckpointStore(folder), group=ALONE, hooks=hooks, save_seconds=save_seconds).run()


def weights(of: TrainingPlan) -> Weights:
    return {name: value.clone() for name, value in of.model.state_dict().items()}


def differing(one: Weights, other: Weights) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name, value in one.items() if not torch.equal(value, other[name])]


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class PowerCut(Exception):
    """What no part of the program catches."""


def cut() -> None:
    raise PowerCut


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Watch]:
    """Weights and reports of a run that nothing disturbs."""
    torch.set_num_threads(1)
    what, watch = plan(), Watch()
    assert run(what, tmp_path_factory.mktemp("straight"), watch) == {"ends": [1, 2, 3]}
    return weights(what), watch


def test_it_runs_to_the_end_and_reports_every_step(straight: tuple[Weights, Watch], tmp_path: Path) -> None:
    found, watch = straight
    assert watch.steps == list(range(1, STEPS + 1)) and watch.epochs == [1, 2, 3]
    assert [(r.epoch, r.step) for r in watch.reports] == [
        (e, e * BATCHES + b + 1) for e in range(EPOCHS) for b in range(BATCHES)
    ]
    assert {(r.images, r.skipped) for r in watch.reports} == {(6, 0)}
    schedule = plan().schedule
    assert [r.rate for r in watch.reports] == pytest.approx(
        [1e-3 * schedule.factor(step / BATCHES, EPOCHS) for step in range(STEPS)]
    )
    assert all(
        set(r.parts) == {"CrossEntropy", "Triplet"} and np.isfinite(sum(r.parts.values())) for r in watch.reports
    )
    assert all(bool(torch.isfinite(value).all()) for value in found.values())
    trained = differing(found, weights(plan()))
    assert set(dict(plan().model.named_parameters())) & set(trained)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(
    straight: tuple[Weights, Watch], tmp_path: Path
) -> None:
    again, other = plan(), plan(seed=1)
    run(again, tmp_path / "again", Watch())
    run(other, tmp_path / "other", Watch())
    assert differing(straight[0], weights(again)) == []
    assert differing(straight[0], weights(other)) != []


def test_images_decoded_on_the_way_give_the_same_bits(straight: tuple[Weights, Watch], tmp_path: Path) -> None:
    what = plan(memory_gb=0)
    run(what, tmp_path, Watch())
    assert differing(straight[0], weights(what)) == []


@pytest.mark.parametrize("step", [1, 6, BATCHES, 2 * BATCHES, STEPS])
def test_after_sigterm_the_step_is_saved_and_the_rest_comes_out_the_same(
    straight: tuple[Weights, Watch], tmp_path: Path, step: int
) -> None:
    first = Watch(at_step={step: sigterm})
    with pytest.raises(Interrupted):
        run(plan(), tmp_path, first)
    assert first.steps == list(range(1, step + 1))
    pointer = CheckpointStore(tmp_path).last()
    assert pointer is not None and pointer.step == step
    second, what = Watch(), plan()
    assert run(what, tmp_path, second) == {"ends": [1, 2, 3]}
    assert second.steps == list(range(step + 1, STEPS + 1))
    assert first.epochs + second.epochs == [1, 2, 3]
    assert differing(straight[0], weights(what)) == []


@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_sigterm_in_validation_ends_it_at_once_and_it_is_done_again(
    straight: tuple[Weights, Watch], tmp_path: Path, epoch: int
) -> None:
    first = Watch(at_epoch={epoch: sigterm})
    with pytest.raises(Interrupted):
        run(plan(), tmp_path, first)
    assert first.epochs == list(range(1, epoch))
    second, what = Watch(), plan()
    assert run(what, tmp_path, second) == {"ends": [1, 2, 3]}
    assert second.epochs == list(range(epoch, EPOCHS + 1))
    assert first.steps + second.steps == list(range(1, STEPS + 1))
    assert differing(straight[0], weights(what)) == []


def test_sigterm_while_buffers_are_shared_is_answered_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[ProcessGroup] = []

    def share(model: nn.Module, group: ProcessGroup) -> None:
        sigterm()
        shared.append(group)

    monkeypatch.setattr("snreid.training.loop.share_buffers", share)
    watch = Watch()
    with pytest.raises(Interrupted):
        run(plan(), tmp_path, watch)
    assert shared == [ALONE] and watch.epochs == []
    state = CheckpointStore(tmp_path).load()
    assert state is not None and state.values["pending"]


@pytest.mark.parametrize(
    "watch",
    [
        Watch(at_step={2: cut}),
        Watch(at_step={BATCHES + 1: cut}),
        Watch(at_step={STEPS: cut}),
        Watch(at_epoch={2: cut}),
    ],
    ids=["in an epoch", "after an epoch", "last step", "in validation"],
)
def test_after_a_power_cut_it_goes_on_from_the_last_checkpoint(
    straight: tuple[Weights, Watch], tmp_path: Path, watch: Watch
) -> None:
    with pytest.raises(PowerCut):
        run(plan(), tmp_path, watch, save_seconds=0)
    pointer = CheckpointStore(tmp_path).last()
    assert pointer is not None and pointer.step == watch.steps[-1] - 1
    second, what = Watch(), plan()
    assert run(what, tmp_path, second, save_seconds=0) == {"ends": [1, 2, 3]}
    assert second.steps == list(range(watch.steps[-1], STEPS + 1))
    assert watch.epochs + second.epochs == [1, 2, 3]
    assert differing(straight[0], weights(what)) == []


def test_stopped_after_every_single_step_it_still_comes_out_the_same(
    straight: tuple[Weights, Watch], tmp_path: Path
) -> None:
    epochs: list[int] = []
    for step in range(1, STEPS + 1):
        watch = Watch(at_step={step: sigterm})
        with pytest.raises(Interrupted):
            run(plan(), tmp_path, watch)
        assert watch.steps == [step]
        epochs += watch.epochs
    what, watch = plan(), Watch()
    assert run(what, tmp_path, watch) == {"ends": [1, 2, 3]}
    assert watch.steps == [] and epochs + watch.epochs == [1, 2, 3]
    assert differing(straight[0], weights(what)) == []


@dataclass(frozen=True)
class SignalledAtTheEnd(CheckpointStore):
    """SIGTERM comes while the state of the last step is written."""

    def save(self, state: TrainingState) -> Path:
        sigterm()
        return super().save(state)


def test_sigterm_in_the_last_save_is_answered_and_nothing_is_trained_again(
    straight: tuple[Weights, Watch], tmp_path: Path
) -> None:
    first = Watch()
    hooks = Hooks(report=first.report, epoch_end=first.epoch_end, values={"experiment": {"name": "one"}})
    with pytest.raises(Interrupted):
        Loop(plan(), SignalledAtTheEnd(tmp_path), group=ALONE, hooks=hooks).run()
    second, what = Watch(), plan()
    assert run(what, tmp_path, second) == {"ends": [1, 2, 3]}
    assert first.epochs == [1, 2, 3] and second.steps == [] and second.epochs == []
    assert differing(straight[0], weights(what)) == []


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_how_often_it_saves_changes_no_bit(straight: tuple[Weights, Watch], tmp_path: Path, seconds: float) -> None:
    what, saved = plan(), []

    def look() -> None:
        pointer = CheckpointStore(tmp_path).last()
        saved.append(pointer.step if pointer else 0)

    run(what, tmp_path, Watch(at_step=dict.fromkeys(range(1, STEPS + 1), look)), save_seconds=seconds)
    assert saved == (list(range(STEPS)) if seconds == 0 else [0] * STEPS)
    assert differing(straight[0], weights(what)) == []


@dataclass(frozen=True, kw_only=True)
class Poisoned(Augmentation):
    """Makes pixels of some batches NaN, as a broken brightness does."""

    epoch: int = 0
    batches: tuple[int, ...] = ()

    def draws(self, seed: int, epoch: int, batch: int, size: int) -> Draws:
        values = super().draws(seed, epoch, batch, size)
        if epoch == self.epoch and batch in self.batches:
            values[0, 4] = torch.nan
        return values


def test_a_batch_with_nan_is_skipped_counted_and_leaves_no_trace(tmp_path: Path) -> None:
    what = plan(augmentation=Poisoned(epoch=1, batches=(1,)))
    seen: dict[int, Weights] = {}
    bad = BATCHES + 2
    looks = {step: (lambda step=step: seen.update({step: weights(what)})) for step in (bad - 1, bad, bad + 1)}
    watch = Watch(at_step=looks)
    run(what, tmp_path, watch)
    assert [r.skipped for r in watch.reports] == [int(step >= bad) for step in range(1, STEPS + 1)]
    assert not np.isfinite(sum(watch.reports[bad - 1].parts.values()))
    assert differing(seen[bad - 1], seen[bad]) == [] and differing(seen[bad], seen[bad + 1]) != []
    assert all(bool(torch.isfinite(value).all()) for value in weights(what).values())


def test_skipped_steps_are_counted_over_a_resume(tmp_path: Path) -> None:
    bad = Poisoned(epoch=0, batches=(0, 1, 2, 3))
    with pytest.raises(Interrupted):
        run(plan(augmentation=bad), tmp_path, Watch(at_step={2: sigterm}))
    watch = Watch()
    with pytest.raises(DivergenceError, match="4 steps in a row"):
        run(plan(augmentation=bad), tmp_path, watch)
    assert [r.skipped for r in watch.reports] == [3]


def test_nan_that_stays_ends_the_run_names_the_images_and_saves_nothing_bad(tmp_path: Path) -> None:
    what = plan(augmentation=Poisoned(epoch=1, batches=(0, 1, 2, 3)))
    watch = Watch()
    with pytest.raises(DivergenceError, match="4 steps in a row") as caught:
        run(what, tmp_path, watch, save_seconds=0)
    batch = what.batches.epoch(1)[3]
    assert all(f"noise-{i:02d}" in str(caught.value) for i in batch) and caught.value.exit_code == 3
    assert watch.steps == list(range(1, 2 * BATCHES))
    state = CheckpointStore(tmp_path).load()
    assert state is not None and state.step == 2 * BATCHES - 1
    assert all(bool(torch.isfinite(value).all()) for value in state.tensors.values() if value.is_floating_point())


def test_a_broken_weight_ends_the_run_in_the_very_step(tmp_path: Path) -> None:
    what = plan()

    def spoil() -> None:
        with torch.no_grad():
            next(what.model.parameters())[0, 0, 0, 0] = torch.nan

    watch = Watch(at_step={5: spoil})
    with pytest.raises(DivergenceError, match=r"Found: backbone\."):
        run(what, tmp_path, watch)
    assert watch.steps == [1, 2, 3, 4, 5]


def test_checkpoints_of_another_experiment_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(plan(), tmp_path, Watch(at_step={2: sigterm}))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    what = plan()
    with pytest.raises(CheckpointError, match=r"belong to other settings.*another --out folder"):
        run(what, tmp_path, Watch(), name="two")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert differing(weights(what), weights(plan())) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("epoch", 10**12),
        ("batch", 10**12),
        ("pending", "no"),
        ("skipped", -1),
        ("skipped", 10**12),
        ("in_a_row", None),
        ("kept", [1]),
        ("optimizer", {}),
        ("optimizer", {"groups": [[]], "plain": {}}),
        ("optimizer", {"groups": 3, "plain": {}}),
    ],
)
def test_a_state_that_no_run_has_saved_is_refused(tmp_path: Path, place: str, value: object) -> None:
    with pytest.raises(Interrupted):
        run(plan(), tmp_path, Watch(at_step={2: sigterm}))
    store = CheckpointStore(tmp_path)
    state = store.load()
    assert state is not None
    forged = replace(state, **{place: value}) if hasattr(state, place) else None
    store.save(forged or replace(state, values={**state.values, place: value}))
    with pytest.raises(CheckpointError, match="holds all that a run needs to continue"):
        run(plan(), tmp_path, Watch())
    store.save(replace(state, tensors={**state.tensors, "model.extra": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=r"holds all that .*extra"):
        run(plan(), tmp_path, Watch())


def test_a_plan_that_is_through_is_not_trained_again(straight: tuple[Weights, Watch], tmp_path: Path) -> None:
    run(plan(), tmp_path, Watch())
    what, watch = plan(), Watch()
    assert run(what, tmp_path, watch) == {"ends": [1, 2, 3]}
    assert watch.steps == [] and watch.epochs == []
    assert differing(straight[0], weights(what)) == []
