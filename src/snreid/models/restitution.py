"""The closed form of SNR with a channel gate: one reduction, a small MLP, one elementwise pass (method.md 1.1).

Two ways compute the same: torch operators, for the compiler, for export and for maps that are not contiguous; and one
autograd function on native batch-norm kernels, for everything else. Seen as one image of B * C channels, an affine map per
image and channel is a batch norm in evaluation mode with mean 0 and variance 1, and its backward gives both reductions that
the gradient needs in one read. The function keeps the input and a few vectors, no map of its own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snreid.models.gates import channel_gate
from snreid.tensors import ChannelVectors, Maps


@dataclass(frozen=True, slots=True)
class Restituted:
    """F~+ and the statistics it was made from."""

    maps: Maps
    """F~+, (B, C, H, W), in the dtype of F."""
    mean: ChannelVectors
    """mu, (B, C), float32 or float64."""
    variance: ChannelVectors
    """s2, biased, (B, C)."""
    gate: ChannelVectors
    """a, (B, C), each in (0, 1)."""


def restitute(maps: Maps, gamma: Tensor, beta: Tensor, gate: tuple[Tensor, ...], eps: float) -> Restituted:
    """F~+ = [(1 - a) s + a] F + (1 - a) t with s = gamma / sqrt(s2 + eps), t = beta - s mu, a = gate(mu - beta).

    ``maps``: F. ``gamma``, ``beta``: (C). ``gate``: W1, b1, W2, b2 of the channel gate. ``eps`` > 0.
    Call it with autocast off. Differentiable once; under the compiler as often as torch allows.
    """
    kind = working_dtype(maps)
    scale, shift = gamma.to(kind), beta.to(kind)
    weights = tuple(part.to(kind) for part in gate)
    if _fits_kernels(maps):
        return Restituted(*_Restitution.apply(maps, eps, scale, shift, *weights))
    wide = maps.to(kind)
    variance, mean = torch.var_mean(wide, (2, 3), correction=0)
    slope, offset, share = affine(mean, variance, eps, scale, shift, *weights)
    restored = torch.addcmul(offset[..., None, None], wide, slope[..., None, None])
    return Restituted(restored.to(maps.dtype), mean, variance, share)


def _fits_kernels(maps: Maps) -> bool:
    """Whether the native kernels serve: real, contiguous maps on a device that has them, nobody tracing."""
    traced = (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or type(maps) not in (Tensor, torch.nn.Parameter)
    )
    return not traced and maps.device.type in ("cpu", "cuda") and maps.is_contiguous() and maps.numel() > 0


def working_dtype(maps: Tensor) -> torch.dtype:
    """Statistics and gates are computed in float32, or in float64 for float64 maps."""
    return torch.float64 if maps.dtype == torch.float64 else torch.float32


def affine(
    mean: Tensor, variance: Tensor, eps: float, gamma: Tensor, beta: Tensor, *gate: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Slope and offset of F~+ = slope F + offset, and a; all (B, C) (method.md 1.1)."""
    share = channel_gate(mean - beta, *gate)
    scale = gamma * torch.rsqrt(variance + eps)
    return (1 - share) * scale + share, (1 - share) * (beta - scale * mean), share


class _Restitution(torch.autograd.Function):
    """maps, eps, gamma, beta, W1, b1, W2, b2 -> F~+, mu, s2, a. ``maps`` is contiguous, the rest in the working dtype."""

    @staticmethod
    def forward(maps: Tensor, eps: float, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One read for the statistics, one read and one write for the maps."""
        mean, variance = _statistics(maps)
        slope, offset, share = affine(mean, variance, eps, *weights)
        return _affine_maps(maps, slope, offset), mean, variance, share

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps the input and (B, C) vectors; slope, offset and a are cheaper to compute again."""
        maps, ctx.eps, *weights = inputs
        _, mean, variance, _ = output
        ctx.save_for_backward(maps, mean, variance, *weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """dF = slope dF~+ + (dmu + 2 ds2 (F - mu)) / N, where dmu and ds2 gather everything that came through them."""
        maps, mean, variance, *weights = ctx.saved_tensors
        d_maps, d_mean, d_variance, d_share = slopes
        d_maps = d_maps.contiguous()
        with torch.enable_grad(), torch.autocast(maps.device.type, enabled=False):
            leaves = [part.detach().requires_grad_() for part in (mean, variance, *weights)]
            slope, offset, share = affine(leaves[0], leaves[1], ctx.eps, *leaves[2:])
            d_slope, d_offset = _affine_sums(maps, d_maps)
            # One scalar with the wanted gradients: handing them to grad() would first import seconds of symbolic shapes.
            along = (slope * d_slope + offset * d_offset + share * d_share).sum()
            inner = torch.autograd.grad(along, leaves)
        positions = maps.shape[2] * maps.shape[3]
        steep = 2 * (d_variance + inner[1]) / positions
        level = (d_mean + inner[0]) / positions - steep * mean
        d_input = None
        if ctx.needs_input_grad[0]:
            d_input = _affine_maps(maps, steep, level).addcmul_(d_maps, slope.detach()[..., None, None])
        return d_input, None, *inner[2:]


def _statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance per image and channel, (B, C) each, in the working dtype; two passes, no cancellation."""
    images, channels, height, width = maps.shape
    wide = maps.to(working_dtype(maps)).view(1, images * channels, height, width)
    mean, variance = torch.batch_norm_update_stats(wide, None, None, 0.0)
    return mean.view(images, channels), variance.view(images, channels)


def _affine_maps(maps: Tensor, slope: Tensor, offset: Tensor) -> Tensor:
    """slope F + offset in one pass, in the dtype of the maps; slope and offset are (B, C)."""
    images, channels, height, width = maps.shape
    flat = maps.view(1, images * channels, height, width)
    zero, one = _zero_one(slope)
    moved = torch.batch_norm(
        flat,
        slope.reshape(-1),
        offset.reshape(-1),
        zero,
        one,
        training=False,
        momentum=0.0,
        eps=0.0,
        cudnn_enabled=False,
    )
    return moved.view(maps.shape)


def _affine_sums(maps: Tensor, d_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of slope and offset: sums of F dF~+ and of dF~+ over the positions, (B, C) each, in the working dtype."""
    images, channels, height, width = maps.shape
    flat, d_flat = (part.view(1, images * channels, height, width) for part in (maps, d_maps))
    one = torch.ones(images * channels, dtype=working_dtype(maps), device=maps.device)
    zero = torch.zeros_like(one)
    _, d_slope, d_offset = torch.ops.aten.native_batch_norm_backward(
        d_flat, flat, one, zero, one, None, None, False, 0.0, [False, True, True]
    )
    return d_slope.view(images, channels), d_offset.view(images, channels)


def _zero_one(like: Tensor) -> tuple[Tensor, Tensor]:
    return like.new_zeros(like.numel()), like.new_ones(like.numel())
