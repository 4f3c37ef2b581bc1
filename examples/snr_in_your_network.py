"""Use the SNR module and its loss in a network of your own."""

import torch
from torch import nn

import snreid
from snreid.losses import dual_causality
from snreid.models import SNRSplit


class Network(nn.Module):
    """Two convolutions with an SNR module between them."""

    def __init__(self, persons: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.snr = snreid.SNR(32)
        self.second = nn.Sequential(
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.classifier = nn.Linear(64, persons)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, SNRSplit]:
        """(B, 3, H, W) to logits (B, persons) and the parts that the causality loss compares."""
        parts = self.snr.split(self.first(images))  # in evaluation self.snr(maps) is enough
        return self.classifier(self.second(parts.maps)), parts


images, persons = torch.rand(8, 3, 64, 32), torch.arange(4).repeat_interleave(2)
network = Network(persons=4)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
for step in range(5):
    logits, parts = network(images)
    loss = nn.functional.cross_entropy(logits, persons) + dual_causality(parts.restored, parts.contaminated, persons)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.3f}")
