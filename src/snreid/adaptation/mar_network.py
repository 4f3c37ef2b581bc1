"""The network and memory of MAR, as one module for the training loop (method.md 7)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from snreid.adaptation.mar_losses import LabelStatistics
from snreid.models.reid import ReIDModel

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
