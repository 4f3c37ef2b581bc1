"""The loop with an objective of its own: what it remembers, and what happens before an epoch."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snreid.errors import Interrupted
from snreid.images.loading import PixelStore
from snreid.training.checkpoint import CheckpointStore
from snreid.training.loop import Hooks, Loop, StepReport, TrainingPlan
from snreid.training.sampling import IdentityBatches, Sampling
from snreid.training.training_set import join
from support.tiny import ALONE, drawn, experiment

BATCHES, EPOCHS = 3, 3


def plan() -> TrainingPlan:
    """Nine steps on drawn people."""
    settings, training = experiment(), join([drawn().read(Path())])
    store = PixelStore(training.split, 32, 16)
    assert store.open() == ()
    torch.manual_seed(0)
    return TrainingPlan(
        model=settings.model.build(training.identities),
        losses=settings.losses,
        store=store,
        persons=training.persons,
        batches=IdentityBatches(Sampling(persons=3, images=2), training.persons, training.domains, 0, BATCHES),
        augmentation=settings.augmentation,
        input=settings.input,
        optim=settings.optimizer,
        schedule=replace(settings.schedule, warmup_epochs=1),
        epochs=EPOCHS,
        seed=0,
    )


def same(one: TrainingPlan, other: TrainingPlan) -> bool:
    states = one.model.state_dict(), other.model.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(v, states[1][k]) for k, v in states[0].items())


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class _Own(torch.nn.Module):
    """An objective with a memory: counts in a buffer of the model what it has seen."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor, persons: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.model.seen += len(persons)  # type: ignore[operator]
        total = self.model(images).embedding.square().mean()
        return total, {"Own": total.detach()}


def test_an_objective_of_its_own_and_what_it_remembers_go_through_a_resume(tmp_path: Path) -> None:
    reports: list[StepReport] = []

    def own(started: list[int]) -> tuple[TrainingPlan, Callable[[int], None]]:
        what = plan()
        what.model.register_buffer("seen", torch.zeros(()))
        what.model.register_buffer("starts", torch.zeros(EPOCHS))

        def start(epoch: int) -> None:
            started.append(epoch)
            what.model.starts[epoch] = 1 + epoch  # type: ignore[index, operator]

        return replace(what, objective=_Own(what.model)), start

    def go(folder: Path, started: list[int], stop_at: int = 0) -> TrainingPlan:
        what, start = own(started)

        def report(step: StepReport) -> None:
            reports.append(step)
            if step.step == stop_at:
                sigterm()

        hooks = Hooks(report=report, epoch_start=start)
        Loop(what, CheckpointStore(folder), group=ALONE, hooks=hooks).run()
        return what

    started, again = list[int](), list[int]()
    whole = go(tmp_path / "whole", started)
    assert started == [0, 1, 2] and set(reports[0].parts) == {"Own"}
    assert float(whole.model.seen) == 6 * BATCHES * EPOCHS  # type: ignore[arg-type]
    with pytest.raises(Interrupted):
        go(tmp_path / "cut", again, BATCHES + 2)
    rest = go(tmp_path / "cut", again)
    assert again == [0, 1, 1, 2], "an epoch that goes on is started again"
    assert same(rest, whole)


def test_sigterm_in_the_start_of_an_epoch_ends_it_there_and_the_next_start_does_it_again(tmp_path: Path) -> None:
    started: list[int] = []

    def start(epoch: int) -> None:
        started.append(epoch)
        if started == [0, 1]:
            sigterm()
            pytest.fail("it went on")

    def go() -> TrainingPlan:
        what = plan()
        Loop(what, CheckpointStore(tmp_path / "cut"), group=ALONE, hooks=Hooks(epoch_start=start)).run()
        return what

    with pytest.raises(Interrupted):
        go()
    assert CheckpointStore(tmp_path / "cut").last().step == BATCHES  # type: ignore[union-attr]
    rest, whole = go(), plan()
    Loop(whole, CheckpointStore(tmp_path / "whole"), group=ALONE, hooks=Hooks()).run()
    assert started == [0, 1, 1, 2] and same(rest, whole)
