"""What MAR trains and remembers, as one module for the training loop (method.md 7)."""

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
"""So far T moves to the threshold of a batch."""
MEMORY_KEPT = 0.9
"""Share of an image's multilabel that is kept when it is seen again."""


class MARNetwork(nn.Module):
    """The network with what is remembered from batch to batch, all of it in buffers: they are saved with every checkpoint, and put back
    when a step is refused."""

    threshold: Tensor
    label_mean: Tensor
    label_std: Tensor
    memory: Tensor
    remembered: Tensor

    def __init__(self, network: ReIDModel, images: int) -> None:
        """``images``: N of the target."""
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
        """(K, D): the rows of the source classifier, L2-normalized, with gradient."""
        return functional.normalize(self.network.head.classifier.weight, dim=1)

    def statistics(self) -> LabelStatistics:
        """The running ones, (K,)."""
        return LabelStatistics(self.label_mean, self.label_std)

    @torch.no_grad()
    def set_statistics(self, statistics: LabelStatistics) -> None:
        """Remember these, (K,)."""
        self.label_mean.copy_(statistics.mean)
        self.label_std.copy_(statistics.std)

    @torch.no_grad()
    def remember(self, images: Tensor, labels: Tensor) -> Tensor:
        """Takes the multilabels (B, K) of target images (B,) into memory: as they are the first time, then a tenth of the new one. Returns
        what is remembered of these images."""
        known = self.remembered[images].unsqueeze(1)
        kept = torch.where(
            known, MEMORY_KEPT * self.memory[images] + (1 - MEMORY_KEPT) * labels.detach(), labels.detach()
        )
        self.memory[images] = kept
        self.remembered[images] = True
        return kept


class MARObjective(nn.Module):
    """Normalized images and their positions in, the total and its parts out: ``TrainingPlan.objective``.

    The first ``source_batch`` images of a batch are the source's; they and the target's go through the network one after the other, as in
    the published code, so that batch norms never mix the two.
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
        """``persons``: (S,) of the source's images. ``cameras``: (N,) of the target's. ``weights``: of L_CML, of L_AL + b L_RJ, and b.
        ``causality``: losses of the source images' stages."""
        super().__init__()
        self.model, self.persons, self.cameras, self.source_batch = model, persons, cameras, source_batch
        self.scale, self.margin, self.mining, self.weights = scale, margin, mining, weights
        self.causality, self.average_agents, self.precision = tuple(causality), average_agents, precision
        self.active = False
        """Whether L_MDL acts: from the second epoch on."""

    def forward(self, images: Tensor, positions: Tensor) -> tuple[Scalar, dict[str, Scalar]]:
        """(B, 3, H, W) and (B,) -> the total, and weighted, detached parts by name."""
        border = self.source_batch
        persons = self.persons[positions[:border]]
        seen = positions[border:] - len(self.persons)
        outputs = outputs_of(self.model.network, images[:border], precision=self.precision)
        source = functional.normalize(outputs.embedding, dim=1)
        target = functional.normalize(
            outputs_of(self.model.network, images[border:], precision=self.precision).embedding, dim=1
        )
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
        """The running statistics move first, as in the published code."""
        statistics = camera_statistics(log_labels, cameras)
        if statistics is None:
            return log_labels.sum() * 0
        momentum = min(1.0, (self.source_batch + len(log_labels)) / 10_000)
        self.model.set_statistics(moved(self.model.statistics(), mean_over_cameras(statistics), momentum))
        running = LabelStatistics(self.model.label_mean.clone(), self.model.label_std.clone())
        return consistency_loss(statistics, running, average_agents=self.average_agents)

    def _discrimination(self, target: Tensor, seen: Tensor, log_labels: Tensor) -> Scalar:
        """T moves after it has decided, as in the published code."""
        labels = self.model.remember(seen, log_labels.exp())
        loss = discriminative_loss(target, labels, self.model.threshold, self.mining)
        with torch.no_grad():
            now = batch_threshold(pair_agreements(labels), self.mining)
            self.model.threshold.lerp_(now, THRESHOLD_MOMENTUM)
        return loss
