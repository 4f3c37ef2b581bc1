"""Prototypes: image after image as the formula says, alone and in two processes, never inside the model, exact after a resume."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from snreid.errors import Interrupted
from snreid.images.loading import PixelStore
from snreid.inference.embedder import Embedder
from snreid.losses import CrossEntropy, DomainUniformity
from snreid.models.weights import load_model
from snreid.training.checkpoint import CheckpointStore
from snreid.training.loop import Hooks, Loop, StepReport, TrainingPlan
from snreid.training.memory import Remembering
from snreid.training.parallel import Objective
from snreid.training.sampling import IdentityBatches, Sampling
from snreid.training.training_set import Validation, join
from support.tiny import ALONE, drawn, experiment, trained
from support.two_processes import answers_of_two

SOURCES = torch.tensor([0, 0, 1, 1])


def remembering(momentum: float = 0.1) -> Remembering:
    return Remembering(experiment().model.build(4), SOURCES, 8, momentum=momentum, group=ALONE)


def by_hand(old: Tensor, embedding: Tensor, persons: list[int], momentum: float) -> Tensor:
    """One image after the other, in numpy."""
    known = old.double().numpy().copy()
    for vector, person in zip(embedding.double().numpy(), persons, strict=True):
        mixed = momentum * known[person] + (1 - momentum) * vector / np.linalg.norm(vector)
        known[person] = mixed / np.linalg.norm(mixed)
    return torch.from_numpy(known).float()


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.7])
def test_prototypes_move_image_by_image(momentum: float) -> None:
    memory = remembering(momentum)
    assert not memory.prototypes.any(), "nobody was seen yet"
    known = memory.prototypes.clone()
    for persons in ([2, 0, 2, 2], [3, 0, 2, 0]):
        embedding = 5 * torch.randn(4, 8)
        memory.remember(embedding, torch.tensor(persons))
        known = by_hand(known, embedding, persons, momentum)
        assert torch.allclose(memory.prototypes, known, atol=1e-6)
    assert not memory.prototypes[1].any()


def test_outputs_carry_the_prototypes_of_before_the_batch() -> None:
    memory, persons = remembering(), torch.tensor([0, 0, 1, 1])
    objective = Objective(memory, (CrossEntropy(), DomainUniformity()))
    images = torch.rand(4, 3, 32, 16)
    before = memory(images).prototypes
    assert before is not None and not before.vectors.any() and torch.equal(before.sources, SOURCES)
    total, parts = objective(images, persons)
    assert float(parts["DomainUniformity"]) == 0, "nobody to compare with yet"
    total.backward()  # the old ones are still there for it
    assert memory.prototypes[:2].any(1).all()
    _, parts = objective(images, persons)
    assert float(parts["DomainUniformity"]) < 0
    assert not before.vectors.any()


def plan() -> TrainingPlan:
    """Nine steps of BAU on drawn people of two sources."""
    settings, training = experiment("bau"), join([drawn().read(Path()), drawn("dusk").read(Path())])
    store = PixelStore(training.split, 32, 16)
    assert store.open() == ()
    torch.manual_seed(0)
    model = settings.model.build(training.identities)
    sources = torch.from_numpy(training.sources_of_persons)
    return TrainingPlan(
        model=Remembering(model, sources, model.dim, momentum=0.1, group=ALONE),
        losses=settings.losses,
        store=store,
        persons=training.persons,
        batches=IdentityBatches(Sampling(persons=4, images=2), training.persons, training.domains, 0, 3),
        augmentation=settings.augmentation,
        second_view=settings.second_view,
        input=settings.input,
        optim=settings.optimizer,
        schedule=replace(settings.schedule, warmup_epochs=1),
        epochs=3,
        seed=0,
    )


def test_a_run_that_was_stopped_remembers_what_it_knew_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, stopped, again = plan(), plan(), plan()
    Loop(whole, CheckpointStore(tmp_path / "whole"), group=ALONE, hooks=Hooks()).run()

    def stop(report: StepReport) -> None:
        if report.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    store = CheckpointStore(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        Loop(stopped, store, group=ALONE, hooks=Hooks(report=stop)).run()
    at_stop = stopped.model.state_dict()["prototypes"].clone()
    steps: list[int] = []
    Loop(again, store, group=ALONE, hooks=Hooks(report=lambda report: steps.append(report.step))).run()
    assert steps == [5, 6, 7, 8, 9]
    expected, found = whole.model.state_dict(), again.model.state_dict()
    assert expected.keys() == found.keys() and "prototypes" in found
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    assert not torch.equal(at_stop, found["prototypes"]) and bool((found["prototypes"].norm(dim=1) > 0.99).any())


def test_a_refused_step_leaves_the_prototypes_as_they_were(tmp_path: Path) -> None:
    poisoned = plan()
    kept: list[Tensor] = []

    class Poisoning(Objective):
        def forward(self, images: Tensor, persons: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            kept.append(poisoned.model.get_buffer("prototypes").clone())
            if len(kept) == 3:
                images = images * float("nan")
            return super().forward(images, persons)

    objective = Poisoning(poisoned.model, poisoned.losses)
    reports: list[StepReport] = []
    Loop(
        replace(poisoned, objective=objective),
        CheckpointStore(tmp_path),
        group=ALONE,
        hooks=Hooks(report=reports.append),
    ).run()
    assert reports[-1].skipped == 1
    assert torch.equal(kept[2], kept[3]) and not torch.equal(kept[1], kept[2])
    assert all(bool(memory.isfinite().all()) for memory in kept)


def test_the_model_of_a_run_has_no_prototypes_and_is_validated_without(tmp_path: Path) -> None:
    run = trained(tmp_path, "bau", sources=(drawn(train_persons=12),), validation=Validation(fraction=0.3, every=1))
    saved = load_model(tmp_path / "model.safetensors")
    assert not any("prototypes" in name or name.startswith("network.") for name in saved.tensors)
    assert "best on held-out" in run.record["finished"]["checkpoint"]
    assert isinstance(run.embedder(), Embedder)


TWO = """
import torch
from snreid.losses import CrossEntropy, DomainUniformity
from snreid.training.memory import Remembering
from snreid.training.parallel import Objective, wrap
from support.tiny import ALONE, experiment

def memory(group):
    torch.manual_seed(0)
    return Remembering(experiment().model.build(4), torch.tensor([0, 0, 1, 1]), 8, momentum=0.3, group=group)

BATCHES = [(torch.randn(8, 8, generator=torch.Generator().manual_seed(s)), torch.tensor([0, 0, 2, 2, 1, 1, s, s])) for s in (2, 3)]

def work(group):
    rank, one = group.rank, memory(group)
    for embedding, persons in BATCHES:
        one.remember(embedding[4 * rank : 4 * rank + 4], persons[4 * rank : 4 * rank + 4])
    network = memory(group)
    objective = wrap(Objective(network, (CrossEntropy(), DomainUniformity())), group)
    for step in range(2):
        torch.manual_seed(10 + rank)
        objective(torch.rand(4, 3, 32, 16), torch.tensor([0, 0, 1, 1]) + 2 * rank)[0].backward()
    slopes = {name: p.grad.tolist() for name, p in network.named_parameters() if p.grad is not None}
    return {"alone": one.prototypes.tolist(), "wrapped": network.prototypes.tolist(), "slopes": slopes}
"""


@pytest.mark.slow
def test_two_processes_remember_the_whole_batch_alike(tmp_path: Path) -> None:
    first, second = answers_of_two(TWO, tmp_path, wrapped=True)
    assert first == second
    names: dict[str, object] = {}
    exec(TWO, names)
    one = names["memory"](ALONE)  # type: ignore[operator]
    for embedding, persons in names["BATCHES"]:  # type: ignore[attr-defined]
        one.remember(embedding, persons)
    torch.testing.assert_close(torch.tensor(first["alone"]), one.prototypes)
    assert bool((torch.tensor(first["wrapped"]).norm(dim=1) > 0.99).all())
