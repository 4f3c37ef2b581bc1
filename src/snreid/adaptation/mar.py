"""MAR: unsupervised re-identification by soft multilabel learning (Yu et al., CVPR 2019, arXiv 1903.06325; method.md 7).

A target image is described by its similarity to each person of the source. Images that look alike but differ in this description are
pushed apart, the others pulled together; the source's labels keep the description meaningful. The network is that of the source run,
with SNR or without; with SNR its causality loss still applies to the labelled source images.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snreid.adaptation.base import Adaptation, causality_losses
from snreid.adaptation.job import AdaptationJob
from snreid.adaptation.mar_losses import (
    LabelStatistics,
    agent_loss,
    batch_threshold,
    camera_statistics,
    consistency_loss,
    discriminative_loss,
    joint_loss,
    log_multilabels,
    mean_over_cameras,
    moved,
    pair_agreements,
    threshold_of_all,
)
from snreid.adaptation.mar_network import MARNetwork
from snreid.adaptation.two_sources import TwoBatches, TwoStores
from snreid.errors import DataError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.inference.embedder import features
from snreid.losses import Loss, total_loss
from snreid.system.machine import Precision
from snreid.system.progress import counting
from snreid.tensors import Scalar
from snreid.training.optim import SGD, WarmupSteps
from snreid.training.parallel import outputs_of
from snreid.training.plan import TrainingPlan
from snreid.training.sampling import IdentityBatches, Sampling

THRESHOLD_MOMENTUM = 0.1
"""Share by which T moves towards the threshold of a batch."""
_PAIR_IMAGES = 4
"""Images per person in the source part of a batch if a causality loss needs pairs."""


@dataclass(frozen=True, kw_only=True)
class MAR(Adaptation):
    """Soft multilabel learning: total = L_MDL + 2e-4 L_CML + 50 (L_AL + 0.2 L_RJ), plus L_SNR if the run was trained with it."""

    name: ClassVar[str] = "mar"
    needs_source = True  # the agents are the source's persons

    epochs: int = 20
    """Epochs; L_MDL applies from the second one on."""
    batches_per_epoch: int | None = None
    """Steps in an epoch; left out: source images / source batch, as published."""
    source_batch: int = 184
    """Labelled source images in a batch."""
    target_batch: int = 184
    """Target images in a batch; pairs are formed among them."""
    source_images: int | None = None
    """Images of each person in the source part. Left out: 4 with a causality loss (it compares a person's images), else 1, which draws
    image by image, as published."""
    lr: float = 2e-4
    """Learning rate of SGD with momentum 0.9, times 0.1 at 5/8 and at 7/8 of the epochs."""
    weight_decay: float = 2.5e-2
    """Weight decay; norms and biases get none."""
    scale: float = 30.0
    """Factor on f.a before the softmax."""
    margin: float = 1.0
    """m of L_RJ, between 0 and 4 (the largest squared distance of unit vectors)."""
    mining: float = 0.005
    """Share of a batch's target pairs, the most similar ones, that L_MDL uses; also the share of agreements above T."""
    consistency_weight: float = 2e-4
    """Weight of L_CML."""
    source_weight: float = 50.0
    """Weight of L_AL + joint_weight L_RJ."""
    joint_weight: float = 0.2
    """Weight of L_RJ inside that sum."""
    causality_weight: float = 1.0
    """Factor on the weights of the run's causality losses; 0 leaves them out."""
    average_agents: bool = False
    """L_CML: average over agents instead of the sum used in the paper and its code."""
    threshold_images: int | None = None
    """T starts from all pairs of this many target images, evenly spread over the set; left out: of all images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = {
            "epochs": (self.epochs, 1),
            "batches-per-epoch": (self.batches_per_epoch, 1),
            "source-batch": (self.source_batch, 2),
            "target-batch": (self.target_batch, 3),
            "source-images": (self.source_images, 1),
            "threshold-images": (self.threshold_images, 3),
        }
        for flag, (count, least) in counts.items():
            if count is not None and count < least:
                raise ExperimentError(f"--{flag} is at least {least}", found=str(count), fix=f"give {least} or more")
        amounts = (self.consistency_weight, self.source_weight, self.joint_weight, self.causality_weight)
        if not all(math.isfinite(amount) and amount >= 0 for amount in amounts):
            raise ExperimentError(
                "Weights of losses are finite and not negative", found=str(amounts), fix="give 0 or more"
            )
        if not (0 < self.mining <= 1 and 0 < self.margin <= 4 and 0 < self.scale < math.inf):
            raise ExperimentError(
                "The mined share is above 0 and at most 1, the margin above 0 and at most 4, the scale above 0",
                found=f"mining {self.mining}, margin {self.margin}, scale {self.scale}",
                fix="use --mining 0.005 --margin 1 --scale 30",
            )
        self._require_two_people(self.source_images or 1)
        self._optim()  # raises for a bad learning rate

    @classmethod
    def for_experiment(cls, experiment: Experiment) -> Self:
        """The published settings; for presets ``small`` and ``mobile`` a budget of minutes on two cores (chosen as in
        docs/adaptation.md)."""
        if experiment.preset not in ("small", "mobile"):
            return cls(seed=experiment.seed)
        return cls(
            seed=experiment.seed,
            epochs=10 if experiment.preset == "mobile" else 6,
            batches_per_epoch=80 if experiment.preset == "mobile" else 40,
            source_batch=64,
            target_batch=64,
            # With and without SNR alike, so that the two compare.
            source_images=_PAIR_IMAGES if experiment.preset == "mobile" else None,
            threshold_images=2000,
        )

    def fit(self, job: AdaptationJob) -> Mapping[str, Any]:
        """See ``Adaptation.fit``."""
        source, target = job.labelled, job.target
        causality = causality_losses(job.experiment, self.causality_weight)
        if not target.has_cameras:
            job.session.say(
                f"{target.name} has no cameras: L_CML compares batches with the whole set instead of cameras with each other"
            )
        job.model.freeze(job.experiment.freeze_stages)
        batches = self._batches(job, bool(causality))
        model, device = MARNetwork(job.model, len(target)), job.session.group.device
        objective = MARObjective(
            self,
            model,
            persons=torch.from_numpy(source.training.persons).to(device),
            cameras=torch.from_numpy(target.cameras).to(device),
            causality=causality,
            precision=job.session.machine.precision,
        )
        if job.folder.checkpoints.last() is None:
            self._initialize(model, job)
        plan = TrainingPlan(
            model=model.train(),
            losses=(),
            store=TwoStores(source.store, job.store),
            persons=np.arange(len(source.training.split) + len(target), dtype=np.int64),
            batches=batches,
            augmentation=job.experiment.augmentation,
            input=job.experiment.input,
            optim=self._optim(),
            schedule=WarmupSteps(warmup_epochs=0, milestones=(5 / 8 * self.epochs, 7 / 8 * self.epochs), drop=0.1),
            epochs=self.epochs,
            seed=self.seed,
            precision=job.session.machine.precision,
            objective=objective,
        )

        def activate(epoch: int) -> None:
            """Switches L_MDL on from the second epoch."""
            objective.active = epoch >= 1

        job.folder.loop(plan, settings=self.to_json(), is_same=self.is_in, epoch_start=activate)
        return {"threshold": float(model.threshold)}

    def _optim(self) -> SGD:
        return SGD(lr=self.lr, momentum=0.9, weight_decay=self.weight_decay, decay_norms=False)

    def _batches(self, job: AdaptationJob, pairs: bool) -> TwoBatches:
        training = job.labelled.training
        images = self.source_images or (_PAIR_IMAGES if pairs else 1)
        length = self.batches_per_epoch or max(1, len(training.split) // self.source_batch)
        identities = None
        if images > 1:
            self._require_two_people(images)
            if self.source_batch > training.identities * images:
                raise ExperimentError(
                    f"The source's part of a batch has {images} images of each of its people",
                    found=f"--source-batch {self.source_batch}, which takes {self.source_batch // images} people; the source has "
                    f"{training.identities}",
                    fix=f"lower --source-batch to {training.identities * images} or less",
                )
            sampling = Sampling(persons=self.source_batch // images, images=images)
            identities = IdentityBatches(sampling, training.persons, training.domains, self.seed, length)
        return TwoBatches(
            source_count=len(training.split),
            target_count=len(job.target),
            source_batch=self.source_batch,
            target_batch=self.target_batch,
            length=length,
            seed=self.seed,
            identities=identities,
        )

    def _require_two_people(self, images: int) -> None:
        """The source's part of a batch shows at least two people, ``images`` images of each."""
        if self.source_batch % images or self.source_batch < 2 * images:
            raise ExperimentError(
                f"The source's part of a batch has {images} images of each of at least two people",
                found=f"--source-batch {self.source_batch}",
                fix=f"use --source-batch {max(2, self.source_batch // images) * images}"
                + ("" if self.source_images else ", or --causality-weight 0, as only the causality loss needs pairs"),
            )

    def _initialize(self, model: MARNetwork, job: AdaptationJob) -> None:
        """Initializes the running statistics of log y, and T, from the source model's multilabels of the whole target set."""
        with counting(job.session.console, f"describing {job.target.name}") as progress:
            embeddings = features(job.embedder(), job.store, progress=progress).embeddings
        with torch.no_grad():
            device = job.session.group.device
            vectors = functional.normalize(torch.from_numpy(embeddings).to(device), dim=1)
            log_labels = log_multilabels(vectors, model.agents(), self.scale)
            statistics = camera_statistics(log_labels, torch.from_numpy(job.target.cameras).to(device))
            if statistics is None:
                raise DataError(
                    "Statistics of a camera need two of its images",
                    found=f"{len(job.target)} images of {job.target.name}, each on a camera of its own",
                    fix="name a target with more images",
                )
            model.set_statistics(mean_over_cameras(statistics))
            model.threshold.copy_(threshold_of_all(_spread(log_labels.exp(), self.threshold_images), self.mining))


class MARObjective(nn.Module):
    """A ``TrainingPlan.objective``: takes normalized images and their positions, returns the total and its parts.

    The first ``source_batch`` images of a batch are the source's. Source and target images pass through the network separately, as in the
    published code, so that batch norms never mix the two.
    """

    def __init__(
        self,
        method: MAR,
        model: MARNetwork,
        *,
        persons: Tensor,
        cameras: Tensor,
        causality: Sequence[Loss],
        precision: Precision,
    ) -> None:
        """``persons``: (S,) of the source images. ``cameras``: (N,) of the target images. ``causality``: losses on the stages of the
        source images."""
        super().__init__()
        self.method, self.model, self.persons, self.cameras = method, model, persons, cameras
        self.causality, self.precision = causality, precision
        self.active = False
        """Whether L_MDL applies: from the second epoch on."""

    def forward(self, images: Tensor, positions: Tensor) -> tuple[Scalar, dict[str, Scalar]]:
        """(B, 3, H, W) and (B,) -> the total, and weighted, detached parts by name."""
        method, border = self.method, self.method.source_batch
        persons = self.persons[positions[:border]]
        seen = positions[border:] - len(self.persons)
        outputs, others = (
            outputs_of(self.model.network, part, precision=self.precision)
            for part in (images[:border], images[border:])
        )
        source, target = (functional.normalize(part.embedding, dim=1) for part in (outputs, others))
        agents, known = self.model.agents(), method.source_weight
        parts = {
            "AL": known * agent_loss(source, agents, persons, method.scale),
            "RJ": known * method.joint_weight * joint_loss(source, persons, target, agents, method.margin),
        }
        log_labels = log_multilabels(target, agents, method.scale)
        parts["CML"] = method.consistency_weight * self._consistency(log_labels, self.cameras[seen])
        if self.active:
            parts["MDL"] = self._discrimination(target, seen, log_labels)
        total = torch.stack(list(parts.values())).sum()
        shown = {name: part.detach() for name, part in parts.items()}
        if self.causality:
            causality = total_loss(self.causality, outputs, persons)
            total, shown = total + causality.total, {**shown, **causality.parts}
        return total, shown

    def _consistency(self, log_labels: Tensor, cameras: Tensor) -> Scalar:
        """The running statistics are updated first, as in the published code."""
        statistics = camera_statistics(log_labels, cameras)
        if statistics is None:
            return log_labels.sum() * 0
        momentum = min(1.0, (self.method.source_batch + len(log_labels)) / 10_000)
        self.model.set_statistics(moved(self.model.statistics(), mean_over_cameras(statistics), momentum))
        running = LabelStatistics(self.model.label_mean.clone(), self.model.label_std.clone())
        return consistency_loss(statistics, running, average_agents=self.method.average_agents)

    def _discrimination(self, target: Tensor, seen: Tensor, log_labels: Tensor) -> Scalar:
        """T is updated after it is used, as in the published code."""
        labels = self.model.remember(seen, log_labels.exp())
        loss = discriminative_loss(target, labels, self.model.threshold, self.method.mining)
        with torch.no_grad():
            now = batch_threshold(pair_agreements(labels), self.method.mining)
            self.model.threshold.lerp_(now, THRESHOLD_MOMENTUM)
        return loss


def _spread(labels: Tensor, count: int | None) -> Tensor:
    """``count`` evenly spaced rows."""
    if count is None or count >= len(labels):
        return labels
    return labels[torch.linspace(0, len(labels) - 1, count, dtype=torch.float64).round().long().to(labels.device)]
