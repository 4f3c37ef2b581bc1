"""Adaptation by clustering: Cluster Contrast (Dai et al., arXiv 2103.11568), related to SpCL (Ge et al., NeurIPS 2020; method.md 7).
Needs no source images; with a ``source_weight`` the run's own losses on them are added to the contrastive loss. (SpCL instead contrasts
source images against class means in the same memory.)

Each epoch embeds every target image, clusters the embeddings (``pseudo_labels.py``), drops the outliers, initializes a memory with the
cluster means and contrasts batches of P clusters x K images against it (``memory.py``).

Clusters are a pure function of the weights and the images, batches of (seed, epoch), augmentation of (seed, epoch, batch). A checkpoint
holds weights, optimizer, and the clusters and memory of the epoch, so an interrupted adaptation resumes and ends with the same bits.

Differences from the authors' code: this project's augmentation without random erasing, average instead of generalized-mean pooling, and
initialization from a model trained on a source instead of ImageNet (as in their unsupervised results).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snreid.adaptation.base import Adaptation, causality_losses, weighted
from snreid.adaptation.job import AdaptationJob
from snreid.adaptation.memory import (
    OUTLIER,
    Update,
    check_memory_choices,
    cluster_centres,
    cluster_contrast,
    moved_centres,
)
from snreid.adaptation.pseudo_labels import Density
from snreid.adaptation.two_sources import TwoStores
from snreid.errors import ExperimentError
from snreid.evaluation.exact.similarity import widened
from snreid.experiments.experiment import Experiment
from snreid.images.transforms import Augmentation
from snreid.inference.embedder import features, require_finite
from snreid.losses import Loss, LossParts, total_loss
from snreid.training.log import MetricsLog
from snreid.training.optim import Adam, Optim, Schedule, WarmupCosine, WarmupSteps
from snreid.training.parallel import outputs_of
from snreid.training.plan import TrainingPlan
from snreid.training.sampling import IdentityBatches, Sampling


@dataclass(frozen=True, kw_only=True)
class ClusterContrast(Adaptation):
    """Cluster Contrast on a target's images. The defaults are those of the authors' code for Market-1501."""

    name: ClassVar[str] = "clustering"

    epochs: int = 50
    """Epochs; each clusters the target once and trains on the clusters."""
    batches_per_epoch: int = 200
    """Steps between two clusterings."""
    density: Density = Density()
    """Settings of the clustering."""
    sampling: Sampling = Sampling(persons=16, images=16, domains="camera")
    """Batches: ``persons`` clusters (or all, if there are fewer) with ``images`` images each, spread over the cameras if known."""
    augmentation: Augmentation = Augmentation()
    """Random changes to the training images; clusters come from the unchanged images."""
    optimizer: Optim = Adam(lr=3.5e-4, weight_decay=5e-4)
    """Update rule and learning rate."""
    schedule: Schedule = WarmupSteps(warmup_epochs=0, milestones=(20.0, 40.0))
    """Learning-rate factor over epochs."""
    temperature: float = 0.05
    """Temperature of the contrastive loss, > 0."""
    momentum: float = 0.1
    """Share of a cluster's vector that is kept when an embedding updates it, 0 to 1."""
    update: Update = "each"
    """Which embeddings of a batch update a cluster's vector: ``each`` in turn, the ``hard`` one, or their ``mean``."""
    causality_weight: float = 1.0
    """Factor, >= 0, on the causality loss that an SNR run was trained with, with clusters as persons; 0 leaves it out. A run that was
    trained without it has none here either."""
    source_weight: float = 0.0
    """Factor, >= 0, on the run's training losses on labelled source images, which are then part of every batch, drawn as in its training.
    0 uses no source image. Losses that need a second view or prototypes are left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_memory_choices(self.temperature, self.momentum, self.update)
        factors = (self.causality_weight, self.source_weight)
        if self.epochs < 1 or self.batches_per_epoch < 1 or not all(0 <= factor < float("inf") for factor in factors):
            raise ExperimentError(
                "Clustering takes at least 1 epoch of at least 1 batch, and factors of losses that are not negative",
                found=f"epochs {self.epochs}, batches per epoch {self.batches_per_epoch}, causality weight {self.causality_weight}, "
                f"source weight {self.source_weight}",
                fix="correct the flag",
            )

    @property
    def needs_source(self) -> bool:
        """True if ``source_weight`` is positive."""
        return self.source_weight > 0

    @classmethod
    def for_experiment(cls, experiment: Experiment) -> Self:
        """See ``Adaptation.for_experiment``; presets ``small`` and ``mobile`` get a budget of minutes on two cores.

        Their k1 and eps are smaller, because DBSCAN soon merges the clusters of a weak model. Chosen on PKU-Reid, which is in no table.
        """
        mobile = experiment.preset == "mobile"
        if not mobile and experiment.preset != "small":
            return cls(seed=experiment.seed)
        return cls(
            seed=experiment.seed,
            epochs=8 if mobile else 4,
            batches_per_epoch=100 if mobile else 50,
            density=Density(k1=20, eps=0.5),
            sampling=Sampling(persons=16, images=4, domains="camera"),
            schedule=WarmupCosine(warmup_epochs=0, floor=0.01),
        )

    def fit(self, job: AdaptationJob) -> Mapping[str, Any]:
        """See ``Adaptation.fit``. Facts: clusters and outliers of the last epoch. Raises ``ExperimentError`` if the target forms fewer
        than two clusters."""
        job.model.freeze(job.experiment.freeze_stages)
        training = _Clustered(self, job)
        training.train()
        plan = TrainingPlan(
            model=training,
            objective=training,
            losses=(),
            store=TwoStores(job.labelled.store, job.store) if self.needs_source else job.store,
            persons=np.arange(training.first + len(job.target)),
            batches=_ClusterBatches(self, training.clusters, job.target.cameras, self._source_batches(job)),
            augmentation=self.augmentation,
            input=job.experiment.input,
            optim=self.optimizer,
            schedule=self.schedule,
            epochs=self.epochs,
            seed=self.seed,
            precision=job.session.machine.precision,
        )
        job.folder.loop(plan, settings=self.to_json(), is_same=self.is_in, epoch_start=training.cluster)
        return {"clusters": len(training.centres), "outliers": int((training.clusters == OUTLIER).sum())}

    def source_losses(self, experiment: Experiment) -> tuple[Loss, ...]:
        """Returns the run's losses that need only one view of a batch, weighted by ``source_weight``."""
        kept = [loss for loss in experiment.losses if not loss.two_views and loss.memory is None]
        return weighted(kept, self.source_weight)

    def _source_batches(self, job: AdaptationJob) -> IdentityBatches | None:
        if not self.needs_source:
            return None
        training = job.labelled.training
        return IdentityBatches(
            job.experiment.sampling, training.persons, training.domains, self.seed, self.batches_per_epoch
        )


class _Clustered(nn.Module):
    """The network with the state of an epoch as buffers: the cluster of each image, and the cluster memory."""

    clusters: Tensor
    """(N,) cluster of each target image, or ``OUTLIER``."""
    centres: Tensor
    """(C, D) unit vectors of the epoch's C clusters."""
    made_for: Tensor
    """() epoch of these clusters, -1 before the first."""

    def __init__(self, method: ClusterContrast, job: AdaptationJob) -> None:
        super().__init__()
        self.method, self.job = method, job
        self.losses = causality_losses(job.experiment, method.causality_weight)
        self.source_losses = method.source_losses(job.experiment)
        self.network = job.model
        device = job.session.group.device
        known = job.labelled.training.persons if method.needs_source else np.zeros(0, dtype=np.int64)
        self.persons = torch.from_numpy(known).to(device)
        """(S,) persons of the source images, if they are used."""
        self.border = job.experiment.sampling.batch if method.needs_source else 0
        """Number of source images, which come first in a batch."""
        self.register_buffer("clusters", torch.full((len(job.target),), OUTLIER, device=device))
        self.register_buffer("centres", torch.zeros(0, job.model.dim, device=device))
        self.register_buffer("made_for", torch.tensor(-1, device=device))
        self.register_load_state_dict_pre_hook(_as_many_centres)  # type: ignore[no-untyped-call]

    @property
    def first(self) -> int:
        """Position of the first image of the target."""
        return len(self.persons)

    def forward(self, images: Tensor, positions: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalized images (B, 3, H, W) at ``positions`` (B,) -> the total and its parts by name.

        Source images pass through the network first, on their own, so that batch norms never mix the two domains and their running
        statistics end with the target's.
        """
        source = self._of_source(images, positions)
        method, clusters = self.method, self.clusters[positions[self.border :] - self.first]
        outputs = outputs_of(self.network, images[self.border :], precision=self.job.session.machine.precision)
        contrast = cluster_contrast(outputs.embedding, clusters, self.centres, method.temperature)
        total, parts = contrast, {type(method).__name__: contrast.detach()}
        if self.losses:
            causality = total_loss(self.losses, outputs, clusters)
            total, parts = contrast + causality.total, parts | dict(causality.parts)
        if source is not None:
            named = {f"Source{name}": part for name, part in source.parts.items()}
            total, parts = total + source.total, parts | named
        # The loop restores the buffers if it skips the step.
        embeddings = outputs.embedding.detach()
        self.centres = moved_centres(self.centres, embeddings, clusters, method.momentum, method.update)
        return total, parts

    def _of_source(self, images: Tensor, positions: Tensor) -> LossParts | None:
        if not self.border:
            return None
        outputs = outputs_of(self.network, images[: self.border], precision=self.job.session.machine.precision)
        return total_loss(self.source_losses, outputs, self.persons[positions[: self.border]])

    def cluster(self, epoch: int) -> None:
        """Clusters the target for an epoch, unless a checkpoint of this epoch already holds the clusters."""
        if int(self.made_for) == epoch:
            return
        began, job, density = time.monotonic(), self.job, self.method.density
        where = f"{job.target.name} in epoch {epoch + 1}"
        vectors = features(job.embedder(), job.store).embeddings
        require_finite(vectors, where=where)
        clusters = density(widened(vectors))
        count, outliers = int(clusters.max()) + 1, int((clusters == OUTLIER).sum())
        seconds = time.monotonic() - began
        text = f"{count} clusters of {len(clusters) - outliers} images, {outliers} outliers"
        job.session.say(f"epoch {epoch + 1}/{self.method.epochs}  {text} ({seconds:.0f} s)")
        # Logged at the epoch's first step, so that a resume that clusters this epoch again replaces the line.
        first = epoch * self.method.batches_per_epoch + 1
        facts = {"epoch": epoch, "clusters": count, "outliers": outliers, "cluster_seconds": seconds}
        MetricsLog(job.folder.path, tensorboard=False).write(first, facts)
        if count < 2:
            change = "raise" if outliers > len(clusters) // 2 else "lower"
            raise ExperimentError(
                "Contrast needs at least two clusters",
                found=f"{text} of {where}, with eps {density.eps}",
                fix=f"{change} --density.eps in another --out folder; the last checkpoint is kept in this one",
            )
        labels = torch.from_numpy(clusters)
        self.centres = cluster_centres(torch.from_numpy(vectors), labels).to(self.centres)
        self.clusters.copy_(labels)
        self.made_for.fill_(epoch)


def _as_many_centres(module: _Clustered, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Resizes the centres to match a checkpoint: their number differs between epochs."""
    module.centres = module.centres.new_zeros(state[prefix + "centres"].shape)


@dataclass(frozen=True)
class _ClusterBatches:
    """Batches of an epoch's clusters, preceded by source images if they are used."""

    method: ClusterContrast
    clusters: Tensor
    """(N,) clusters of the current epoch."""
    cameras: NDArray[np.int64]
    """(N,)"""
    source: IdentityBatches | None = None

    def __len__(self) -> int:
        return self.method.batches_per_epoch

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """Returns ``len(self)`` arrays of positions: source images, then P * K target images (offset by the source's number); P is lower if
        there are fewer clusters."""
        clusters = self.clusters.cpu().numpy()
        kept = np.flatnonzero(clusters != OUTLIER)
        count = int(clusters.max()) + 1
        sampling = replace(self.method.sampling, persons=min(self.method.sampling.persons, count))
        # The target counts as one source; drawn by camera, a cluster seen by two cameras could appear twice in a batch.
        domains = self.cameras[kept] if sampling.domains == "camera" else np.zeros(len(kept), dtype=np.int64)
        batches = IdentityBatches(sampling, clusters[kept], domains, self.method.seed, len(self))
        target = [kept[batch] for batch in batches.epoch(epoch)]
        if self.source is None:
            return target
        pairs = zip(self.source.epoch(epoch), target, strict=True)
        return [np.concatenate([of_source, len(self.source.persons) + of_target]) for of_source, of_target in pairs]

    def share(self, batch: NDArray[np.int64], rank: int, world: int) -> NDArray[np.int64]:
        """The whole batch: an adaptation runs in one process."""
        return batch
