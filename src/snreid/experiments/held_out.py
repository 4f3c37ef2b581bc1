"""What a run trains on, and validation on source identities that it does not train on. A target's labels never choose anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from snreid.datasets import require_pairs
from snreid.errors import ExperimentError
from snreid.evaluation import evaluate
from snreid.experiments.experiment import Experiment
from snreid.images.loading import PixelCache, PixelStore, list_bad
from snreid.inference.embedder import Embedder, features, require_finite
from snreid.models.reid import ReIDModel
from snreid.models.weights import save_model
from snreid.records import Features, Split
from snreid.system.machine import Machine
from snreid.system.progress import counting
from snreid.training.distributed import ProcessGroup
from snreid.training.log import MetricsLog
from snreid.training.memory import Remembering
from snreid.training.plan import Plan
from snreid.training.training_set import Labels, TrainingSet, hold_out, join, validation_split


@dataclass(frozen=True)
class HeldOut:
    """Source people that are not trained on."""

    images: TrainingSet
    store: PixelStore
    query: Labels
    """Positions of those who ask."""
    gallery: Labels
    """Positions of those who answer."""


def training_set(
    experiment: Experiment, machine: Machine, pixels: PixelCache, group: ProcessGroup, console: Console
) -> tuple[TrainingSet, PixelStore, HeldOut | None]:
    """What an experiment trains on, its opened images row by row, and who is held out. Raises ``DataError``."""
    sources = [source.read(machine.root) for source in experiment.sources]
    for source in sources:
        pixels.tell(source, console)
        require_pairs(Split(tuple(s for s in source.train.samples if s.person > 0)), where=source.name)
    joined = join(sources, experiment.sampling.domains)
    size = experiment.input.height, experiment.input.width
    with counting(console if group.first else None, "reading training images") as progress:
        opened = pixels.open(joined.split, *size, progress)
    keep = opened.store.good
    if opened.bad:
        list_bad(opened.bad, len(joined.split), machine.out, skip=machine.skip_bad, write=group.first)
        # A person left with one image cannot form a pair; leaving it out is part of going on without the bad ones.
        counts = np.bincount(joined.persons[keep], minlength=joined.identities)
        keep = keep[counts[joined.persons[keep]] >= 2]
    training, store = joined.only(keep), opened.store.only(keep)
    if not experiment.validation.fraction:
        return training, store, None
    kept, held = hold_out(training, experiment.validation.fraction, experiment.seed)
    outside = training.only(held)
    # Now and not at the first validation: that nobody can ask must not be found out epochs later, at every restart again.
    query, gallery = validation_split(outside)
    return training.only(kept), store.only(kept), HeldOut(outside, store.only(held), query, gallery)


def validate(
    experiment: Experiment,
    machine: Machine,
    plan: Plan,
    held: HeldOut,
    group: ProcessGroup,
    epoch: int,
    kept: Mapping[str, Any],
    log: MetricsLog,
) -> Mapping[str, Any]:
    """mAP of the model (the averaged one where there is one) on held-out source identities; a new best is saved beside the checkpoints.

    Returns ``kept`` with ``best_mAP`` and ``best_epoch`` of now. Raises ``DivergenceError`` for an embedding that is not finite.
    """
    images, model = held.images, plan.model.network if isinstance(plan.model, Remembering) else plan.model
    if plan.average is not None:
        model = plan.average.model
    if not isinstance(model, ReIDModel):
        raise ExperimentError("Validation embeds with a ReIDModel", found=type(model).__name__)
    embedder = Embedder(model, experiment.input, device=str(group.device), bf16=machine.bf16)
    found = features(embedder, held.store, group=group)
    require_finite(found.embeddings, where=f"held-out images after epoch {epoch}")
    cameras = images.split.cameras + 1000 * images.sources * (images.split.cameras >= 0)
    joint = Features(found.embeddings, images.persons + 1, cameras, found.names)
    scores = evaluate(_rows(joint, held.query), _rows(joint, held.gallery), metric=experiment.metric)
    best = float(kept.get("best_mAP", -1.0))
    improved = scores.mean_ap > best
    if group.first:
        told = {"epoch": epoch, "validation_mAP": scores.mean_ap, "validation_rank1": scores.rank(1)}
        log.write(epoch * plan.steps, told)
        if improved:
            save_model(machine.out / "checkpoints" / "best.safetensors", model, {"epoch": epoch, "mAP": scores.mean_ap})
    return {"best_mAP": scores.mean_ap, "best_epoch": epoch} if improved else dict(kept)


def _rows(found: Features, index: Labels) -> Features:
    names = tuple(found.names[i] for i in index)
    return Features(found.embeddings[index], found.persons[index], found.cameras[index], names)
