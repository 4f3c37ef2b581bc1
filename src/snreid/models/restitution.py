"""The closed form of SNR with a channel gate: one reduction, a small MLP, one elementwise pass (method.md 1.1)."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from snreid.models.gates import channel_gate
from snreid.models.instance_affine import instance_affine
from snreid.models.kernels import working_dtype
from snreid.tensors import ChannelVectors, Maps


@dataclass(frozen=True, slots=True)
class Restituted:
    """F~+ and the statistics it was computed from."""

    maps: Maps
    """F~+, (B, C, H, W), in the dtype and layout of F."""
    mean: ChannelVectors
    """mu, (B, C), float32 or float64."""
    variance: ChannelVectors
    """s2, biased, (B, C)."""
    gate: ChannelVectors
    """a, (B, C), each in (0, 1)."""


def restitute(maps: Maps, gamma: Tensor, beta: Tensor, gate: tuple[Tensor, ...], eps: float) -> Restituted:
    """F~+ = [(1 - a) s + a] F + (1 - a) t with s = gamma / sqrt(s2 + eps), t = beta - s mu, a = gate(mu - beta).

    ``maps``: F. ``gamma``, ``beta``: (C). ``gate``: W1, b1, W2, b2 of the channel gate. ``eps`` > 0.
    Call it with autocast off. Differentiable to any order.
    """
    kind, rule = working_dtype(maps), partial(affine, eps=eps)
    return Restituted(*instance_affine(maps, rule, *(part.to(kind) for part in (gamma, beta, *gate))))


def affine(
    mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, *gate: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Slope and offset of F~+ = slope F + offset, and a; all (B, C) (method.md 1.1)."""
    share = channel_gate(mean - beta, *gate)
    scale = gamma * torch.rsqrt(variance + eps)
    removed = 1 - share
    return torch.addcmul(share, removed, scale), removed * torch.addcmul(beta, scale, mean, value=-1), share
