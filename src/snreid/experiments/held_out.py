"""The training images of a run, and validation on held-out source identities. Target labels never select anything."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snreid.datasets import require_pairs
from snreid.evaluation import evaluate
from snreid.experiments.experiment import Experiment
from snreid.experiments.targets import rows_of
from snreid.images.loading import PixelStore, list_bad
from snreid.inference.embedder import Embedder, features, require_finite
from snreid.models.reid import ReIDModel
from snreid.records import Features, Scores, Split
from snreid.system.progress import counting
from snreid.training.session import Session
from snreid.training.training_set import Labels, TrainingSet, hold_out, join, validation_split


@dataclass(frozen=True)
class HeldOut:
    """Held-out source identities, with their images as a validation set."""

    images: TrainingSet
    store: PixelStore
    query: Labels
    """Positions of the queries."""
    gallery: Labels
    """Positions of the gallery images."""

    def scores(self, model: ReIDModel, experiment: Experiment, session: Session, *, epoch: int) -> Scores:
        """Scores the model on the held-out images. Raises ``DivergenceError``, naming the ``epoch``, if an embedding is not finite."""
        embedder = Embedder(model, experiment.input, device=session.device, bf16=session.machine.bf16)
        embedded = features(embedder, self.store, group=session.group)
        require_finite(embedded.embeddings, where=f"held-out images after epoch {epoch}")
        known = self.images.split.cameras >= 0
        cameras = self.images.split.cameras + 1000 * self.images.sources * known
        joint = Features(embedded.embeddings, self.images.persons + 1, cameras, embedded.names)
        return evaluate(rows_of(joint, self.query), rows_of(joint, self.gallery), metric=experiment.metric)


def training_set(experiment: Experiment, session: Session, out: Path) -> tuple[TrainingSet, PixelStore, HeldOut | None]:
    """Returns an experiment's training set, its opened images in the same order, and the held-out identities.

    ``out``: folder in which unreadable images are listed. Raises ``DataError`` if a source is missing or has no pairs, or if an image
    cannot be read.
    """
    machine, console, first = session.machine, session.console, session.first
    sources = [source.read(machine.root) for source in experiment.sources]
    for source in sources:
        session.pixels.tell(source, console)
        require_pairs(Split(tuple(s for s in source.train.samples if s.person > 0)), where=source.name)
    joined = join(sources, experiment.sampling.domains)
    size = experiment.input.height, experiment.input.width
    with counting(console if first else None, "reading training images") as progress:
        opened = session.pixels.open(joined.split, *size, progress)
    keep = opened.store.good
    if opened.bad:
        list_bad(opened.bad, len(joined.split), out, skip=machine.skip_bad, write=first)
        # A person with a single image cannot form a pair, so skipping bad images leaves such persons out too.
        counts = np.bincount(joined.persons[keep], minlength=joined.identities)
        keep = keep[counts[joined.persons[keep]] >= 2]
    training, store = joined.only(keep), opened.store.only(keep)
    if not experiment.validation.fraction:
        return training, store, None
    kept, held = hold_out(training, experiment.validation.fraction, experiment.seed)
    outside = training.only(held)
    # Checked now: at the first validation, epochs later, it is too late to discover that no query is valid.
    query, gallery = validation_split(outside)
    return training.only(kept), store.only(kept), HeldOut(outside, store.only(held), query, gallery)
