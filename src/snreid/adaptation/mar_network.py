"""The network and memory of MAR, as one module for the training loop (method.md 7)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

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
)
from snreid.losses import Loss, total_loss
from snreid.models.reid import ReIDModel
from snreid.system.machine import Precision
from snreid.tensors import Scalar
from snreid.training.parallel import outputs_of

THRESHOLD_MOMENTUM = 0.1
"""Share by which T moves towards the threshold of a batch."""
MEMORY_KEPT = 0.9
"""Share of an image's stored multilabel that is kept when the image is seen again."""


class MARNetwork(nn.Module):
    """The network with its memory across batches as buffers: every checkpoint saves them, and a skipped step restores them."""

    threshold: Tensor
    label_mean: Tensor
    label_std: Tensor
    memory: Tensor
    remembered: Tensor

    def __init__(self, network: ReIDModel, images: int) -> None:
        """``images``: number N of target images."""
        super().__init__()
        self.network = network
        agents = network.head.classifier.out_features
        device = network.head.classifier.weight.device
        self.register_buffer("threshold", torch.zeros((), device=device))
        self.register_buffer("label_mean", torch.zeros(agents, device=device))
        self.register_buffer("label_std", torch.zeros(agents, device=device))
        self.register_buffer("memory", torch.zeros(images, agents, device=device))
        self.register_buffer("remembered", torch.zeros(images, dtype=torch.bool, device=device))

    def agents(self) -> Tensor:
        """Returns the L2-normalized rows of the source classifier, (K, D), with gradient."""
        return functional.normalize(self.network.head.classifier.weight, dim=1)

    def statistics(self) -> LabelStatistics:
        """Returns the running statistics, (K,)."""
        return LabelStatistics(self.label_mean, self.label_std)

    @torch.no_grad()
    def set_statistics(self, statistics: LabelStatistics) -> None:
        """Stores the running statistics, (K,)."""
        self.label_mean.copy_(statistics.mean)
        self.label_std.copy_(statistics.std)

    @torch.no_grad()
    def remember(self, images: Tensor, labels: Tensor) -> Tensor:
        """Stores multilabels (B, K) of target images (B,): unchanged the first time, later with a weight of a tenth. Returns the stored
        multilabels of these images."""
        known, labels = self.remembered[images].unsqueeze(1), labels.detach()
        kept = torch.where(known, MEMORY_KEPT * self.memory[images] + (1 - MEMORY_KEPT) * labels, labels)
        self.memory[images] = kept
        self.remembered[images] = True
        return kept


class MARObjective(nn.Module):
    """A ``TrainingPlan.objective``: takes normalized images and their positions, returns the total and its parts.

    The first ``source_batch`` images of a batch are the source's. Source and target images pass through the network separately, as in the
    published code, so that batch norms never mix the two.
    """

    def __init__(
        self,
        model: MARNetwork,
        *,
        persons: Tensor,
        cameras: Tensor,
        source_batch: int,
        scale: float,
        margin: float,
        mining: float,
        weights: tuple[float, float, float],
        causality: Sequence[Loss],
        average_agents: bool,
        precision: Precision,
    ) -> None:
        """``persons``: (S,) of the source images. ``cameras``: (N,) of the target images. ``weights``: those of L_CML and L_AL + b L_RJ,
        and b. ``causality``: losses on the stages of the source images."""
        super().__init__()
        self.model, self.persons, self.cameras, self.source_batch = model, persons, cameras, source_batch
        self.scale, self.margin, self.mining, self.weights = scale, margin, mining, weights
        self.causality, self.average_agents, self.precision = tuple(causality), average_agents, precision
        self.active = False
        """Whether L_MDL applies: from the second epoch on."""

    def forward(self, images: Tensor, positions: Tensor) -> tuple[Scalar, dict[str, Scalar]]:
        """(B, 3, H, W) and (B,) -> the total, and weighted, detached parts by name."""
        border = self.source_batch
        persons = self.persons[positions[:border]]
        seen = positions[border:] - len(self.persons)
        outputs, others = (
            outputs_of(self.model.network, part, precision=self.precision)
            for part in (images[:border], images[border:])
        )
        source, target = (functional.normalize(part.embedding, dim=1) for part in (outputs, others))
        agents = self.model.agents()
        consistency, known, joint = self.weights
        parts = {
            "AL": known * agent_loss(source, agents, persons, self.scale),
            "RJ": known * joint * joint_loss(source, persons, target, agents, self.margin),
        }
        log_labels = log_multilabels(target, agents, self.scale)
        parts["CML"] = consistency * self._consistency(log_labels, self.cameras[seen])
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
        momentum = min(1.0, (self.source_batch + len(log_labels)) / 10_000)
        self.model.set_statistics(moved(self.model.statistics(), mean_over_cameras(statistics), momentum))
        running = LabelStatistics(self.model.label_mean.clone(), self.model.label_std.clone())
        return consistency_loss(statistics, running, average_agents=self.average_agents)

    def _discrimination(self, target: Tensor, seen: Tensor, log_labels: Tensor) -> Scalar:
        """T is updated after it is used, as in the published code."""
        labels = self.model.remember(seen, log_labels.exp())
        loss = discriminative_loss(target, labels, self.model.threshold, self.mining)
        with torch.no_grad():
            now = batch_threshold(pair_agreements(labels), self.mining)
            self.model.threshold.lerp_(now, THRESHOLD_MOMENTUM)
        return loss
