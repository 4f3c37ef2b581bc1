"""SNR as published, step by step (method.md section 1): slow, obvious, differentiable. The twin of ``snreid.models.snr``."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FiveSteps:
    """Every map of the method; (B, C, H, W) unless said otherwise."""

    normalized: Tensor
    """F~"""
    residual: Tensor
    """R"""
    gate: Tensor
    """a, (B, C)"""
    restored: Tensor
    """F~+"""
    contaminated: Tensor
    """F~-"""


def normalize(maps: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Step 1: F~ = IN(F)."""
    batch, channels, height, width = maps.shape
    mean = maps.sum((2, 3)) / (height * width)
    centred = maps - mean.view(batch, channels, 1, 1)
    variance = (centred * centred).sum((2, 3)) / (height * width)
    scaled = centred / torch.sqrt(variance + eps).view(batch, channels, 1, 1)
    return gamma.view(1, channels, 1, 1) * scaled + beta.view(1, channels, 1, 1)


def snr_five_steps(
    maps: Tensor, gamma: Tensor, beta: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, eps: float = 1e-5
) -> FiveSteps:
    """All five steps with the channel gate."""
    normalized = normalize(maps, gamma, beta, eps)
    residual = maps - normalized
    pooled = residual.mean((2, 3))
    hidden = (pooled @ w1.T + b1).clamp(min=0)
    gate = 1 / (1 + torch.exp(-(hidden @ w2.T + b2)))
    share = gate[:, :, None, None]
    relevant, irrelevant = share * residual, (1 - share) * residual
    return FiveSteps(normalized, residual, gate, normalized + relevant, normalized + irrelevant)
