"""How an SNR module splits what normalization removed (method.md sections 1 and 2; arXiv 2005.11037, tables of ablations).

Every gate decides which part of the residual R belongs to the person. The channel gates give one value per image and
channel, so that the closed form of method.md 1.1 holds; the others need R itself, as a map.
"""

from typing import Any

import torch
from torch import Tensor, nn


def _start(layer: Any) -> None:
    """Kaiming normal (fan-out, relu) weight, zero bias: method.md section 1."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ChannelGate(nn.Module):
    """a = sigmoid(W2 relu(W1 pool(R) + b1) + b2), one value in (0, 1) per image and channel (method.md section 1, step 3).

    ``channels``: C. ``hidden``: width between the two layers, C/16 in the paper. ``bias``: b2 at the start, 0 in the paper; sigmoid(3)
    = 0.95, so with 3 nearly all of R is restored at first and pretrained layers behind the module see familiar maps.
    """

    def __init__(self, channels: int, hidden: int, *, bias: float = 0.0) -> None:
        super().__init__()
        self.bias = bias
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset to the initial values."""
        _start(self.reduce)
        _start(self.expand)
        nn.init.constant_(self.expand.bias, self.bias)

    def parts(self) -> tuple[Tensor, ...]:
        """W1, b1, W2, b2."""
        return self.reduce.weight, self.reduce.bias, self.expand.weight, self.expand.bias

    def forward(self, pooled: Tensor) -> Tensor:
        """``pooled``: (B, C), the spatial mean of R. Returns a, (B, C), in the dtype of ``pooled``."""
        return channel_gate(pooled, *self.parts())


def channel_gate(pooled: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """The formula of ``ChannelGate`` as a function: (B, C), (h, C), (h), (C, h), (C) -> (B, C), in the dtype of ``pooled``.

    The weights are cast to that dtype, so a bfloat16 module still computes its gate in float32.
    """
    kind = pooled.dtype
    hidden = torch.relu(nn.functional.linear(pooled, w1.to(kind), b1.to(kind)))
    return torch.sigmoid(nn.functional.linear(hidden, w2.to(kind), b2.to(kind)))


class SpatialGate(nn.Module):
    """m = sigmoid(BN(conv5x5([max_c R; mean_c R]))), one value in (0, 1) per image and position (method.md section 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 5, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(1)
        _start(self.conv)

    def forward(self, residual: Tensor) -> Tensor:
        """``residual``: R, (B, C, H, W). Returns m, (B, 1, H, W)."""
        seen = torch.cat([residual.amax(1, keepdim=True), residual.mean(1, keepdim=True)], 1)
        return torch.sigmoid(self.norm(self.conv(seen.to(self.conv.weight.dtype)))).to(residual.dtype)


class ConvBranch(nn.Module):
    """relu(BN(conv1x1(R))): one of the two branches of the "conv" variant (method.md section 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        _start(self.conv)

    def forward(self, residual: Tensor) -> Tensor:
        """``residual``: R, (B, C, H, W). Returns a part of R+ or R- of the same shape."""
        return torch.relu(self.norm(self.conv(residual.to(self.conv.weight.dtype)))).to(residual.dtype)
