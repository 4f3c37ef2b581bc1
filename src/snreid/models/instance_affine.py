"""Maps normalized by their own statistics: one affine map per image and channel, whose slope and offset a rule computes from the moments.

SNR, instance norm and switchable norm differ only in the rule (method.md 1.1, section 5). One autograd function serves them all: one
reduction and one affine pass forward, one reduction and one pass backward. It saves the input and (B, C) vectors, but no other map.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snreid.models.kernels import Kernels, kernels_for, working_dtype
from snreid.tensors import ChannelVectors, Maps

Rule = Callable[..., tuple[ChannelVectors, ...]]
"""(mean, variance, *weights) -> (slope, offset, *more), all (B, C), made of differentiable operators and free of side effects: the
backward pass calls it again."""


def instance_affine(maps: Maps, rule: Rule, *weights: Tensor) -> tuple[Tensor, ...]:
    """slope F + offset for maps F (B, C, H, W), in their dtype and layout; then mean, biased variance and further results of the rule,
    (B, C) each.

    ``weights``: in the working dtype. Call it with autocast off. It is differentiable to any order; second and higher derivatives use
    torch's operators.
    """
    kernels = kernels_for(maps)
    if kernels is None:
        return _in_operators(maps, rule, *weights)
    if not torch.is_grad_enabled():  # an autograd function costs 0.1 ms even if no gradient is needed
        return _InstanceAffine.forward(maps, kernels, rule, *weights)
    result: tuple[Tensor, ...] = _InstanceAffine.apply(maps, kernels, rule, *weights)
    return result


def _in_operators(maps: Maps, rule: Rule, *weights: Tensor) -> tuple[Tensor, ...]:
    """``instance_affine`` in operators that torch differentiates itself."""
    wide = maps.to(working_dtype(maps))
    variance, mean = torch.var_mean(wide, (2, 3), correction=0)
    slope, offset, *more = rule(mean, variance, *weights)
    return torch.addcmul(offset[..., None, None], wide, slope[..., None, None]).to(maps.dtype), mean, variance, *more


class _InstanceAffine(torch.autograd.Function):
    """maps, kernels, rule, weights -> maps, mean, variance, more."""

    @staticmethod
    def forward(maps: Tensor, kernels: Kernels, rule: Rule, *weights: Tensor) -> tuple[Tensor, ...]:
        """(maps, mean, variance, *more)."""
        mean, variance = kernels.moments(maps)
        slope, offset, *more = rule(mean, variance, *weights)
        return kernels.affine(maps, slope, offset), mean, variance, *more

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Saves the input and vectors; slope and offset are cheaper to recompute."""
        maps, ctx.kernels, ctx.rule, *weights = inputs
        ctx.save_for_backward(maps, *output[1:3], *weights)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """dF = slope D + (dmu + 2 ds2 (F - mu)) / N, with D the gradient of the result and dmu, ds2 those of the moments."""
        maps, mean, variance, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: this gradient will be differentiated
            return _differentiable(ctx, maps, weights, slopes)
        d_maps, d_mean, d_variance, *d_more = slopes
        kernels = ctx.kernels
        if kernels.layout is not None:
            d_maps = d_maps.contiguous(memory_format=kernels.layout)
        with torch.enable_grad(), torch.autocast(maps.device.type, enabled=False):
            leaves = [part.detach().requires_grad_() for part in (mean, variance, *weights)]
            slope, offset, *more = ctx.rule(*leaves)
            d_slope, d_offset = kernels.sums(maps, d_maps)
            # One scalar with the wanted gradients: with several outputs grad() first imports symbolic shapes, which takes seconds.
            along = (slope * d_slope + offset * d_offset).sum()
            for vector, d_vector in zip(more, d_more, strict=True):
                along = along + (vector * d_vector).sum()
            inner = torch.autograd.grad(along, leaves)
        d_input = None
        if ctx.needs_input_grad[0]:
            positions = maps.shape[2] * maps.shape[3]
            steep = 2 * (d_variance + inner[1]) / positions
            level = (d_mean + inner[0]) / positions - steep * mean
            d_input = kernels.combine(maps, d_maps, steep, slope.detach(), level)
        return d_input, None, None, *inner[2:]


def _differentiable(
    ctx: Any, maps: Tensor, weights: list[Tensor], slopes: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """The gradients of ``_InstanceAffine`` as differentiable functions."""
    inputs = (maps, *weights)
    wanted = (ctx.needs_input_grad[0], *ctx.needs_input_grad[3:])
    with torch.autocast(maps.device.type, enabled=False):
        outputs = _in_operators(maps, ctx.rule, *weights)
    leaves = [leaf for leaf, needed in zip(inputs, wanted, strict=True) if needed]
    gradients = iter(torch.autograd.grad(outputs, leaves, slopes, create_graph=True, allow_unused=True))
    first, *rest = (next(gradients) if needed else None for needed in wanted)
    return first, None, None, *rest
