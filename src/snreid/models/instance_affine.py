"""Maps normalized by their own statistics: one affine map per image and channel, whose slope and offset a rule makes of the moments.

SNR, instance norm and switchable norm differ in the rule alone (method.md 1.1, section 5). One autograd function serves them:
one reduction and one affine pass forward, one reduction and one pass backward; it keeps the input and (B, C) vectors, no map of its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snreid.models.kernels import Passes, passes_for, working_dtype
from snreid.tensors import ChannelVectors, Maps

Rule = Callable[..., tuple[ChannelVectors, ...]]
"""(mean, variance, *weights) -> (slope, offset, *more), all (B, C), of differentiable operators and without side effects:
backward asks again."""


def own_affine(maps: Maps, rule: Rule, *weights: Tensor) -> tuple[Tensor, ...]:
    """slope F + offset in the dtype and layout of ``maps``; then mean, biased variance and what else the rule gives, (B, C) each.

    ``maps``: F, (B, C, H, W). ``weights``: what the rule needs, in the working dtype (float32, or float64 for float64 maps).
    Call it with autocast off. Differentiable as often as torch allows; from the second derivative on in torch's operators.
    """
    passes = passes_for(maps)
    if passes is None:
        return _in_operators(maps, rule, *weights)
    if not torch.is_grad_enabled():  # an autograd function costs 0.1 ms, also where nobody wants a gradient
        return _OwnAffine.forward(maps, passes, rule, *weights)
    found: tuple[Tensor, ...] = _OwnAffine.apply(maps, passes, rule, *weights)
    return found


def _in_operators(maps: Maps, rule: Rule, *weights: Tensor) -> tuple[Tensor, ...]:
    """The same in operators that torch differentiates itself."""
    wide = maps.to(working_dtype(maps))
    variance, mean = torch.var_mean(wide, (2, 3), correction=0)
    slope, offset, *more = rule(mean, variance, *weights)
    made = torch.addcmul(offset[..., None, None], wide, slope[..., None, None])
    return made.to(maps.dtype), mean, variance, *more


class _OwnAffine(torch.autograd.Function):
    """maps, passes, rule, weights -> maps, mean, variance, more."""

    @staticmethod
    def forward(maps: Tensor, passes: Passes, rule: Rule, *weights: Tensor) -> tuple[Tensor, ...]:
        """The statistics, and one read and one write for the maps."""
        mean, variance = passes.moments(maps)
        slope, offset, *more = rule(mean, variance, *weights)
        return passes.affine(maps, slope, offset), mean, variance, *more

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps the input and vectors; slope and offset are cheaper to compute again."""
        maps, ctx.passes, ctx.rule, *weights = inputs
        ctx.save_for_backward(maps, *output[1:3], *weights)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """dF = slope D + (dmu + 2 ds2 (F - mu)) / N with D the gradient of the result, where dmu and ds2 gather what came through them."""
        maps, mean, variance, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: this gradient is to be differentiated
            return _differentiable(ctx, maps, weights, slopes)
        d_maps, d_mean, d_variance, *d_more = slopes
        passes = ctx.passes
        if passes.layout is not None:
            d_maps = d_maps.contiguous(memory_format=passes.layout)
        with torch.enable_grad(), torch.autocast(maps.device.type, enabled=False):
            leaves = [part.detach().requires_grad_() for part in (mean, variance, *weights)]
            slope, offset, *more = ctx.rule(*leaves)
            d_slope, d_offset = passes.sums(maps, d_maps)
            # One scalar with the wanted gradients: handing them to grad() would first import seconds of symbolic shapes.
            along = (slope * d_slope + offset * d_offset).sum()
            for vector, d_vector in zip(more, d_more, strict=True):
                along = along + (vector * d_vector).sum()
            inner = torch.autograd.grad(along, leaves)
        d_input = None
        if ctx.needs_input_grad[0]:
            positions = maps.shape[2] * maps.shape[3]
            steep = 2 * (d_variance + inner[1]) / positions
            level = (d_mean + inner[0]) / positions - steep * mean
            d_input = passes.combine(maps, d_maps, steep, slope.detach(), level)
        return d_input, None, None, *inner[2:]


def _differentiable(
    ctx: Any, maps: Tensor, weights: list[Tensor], slopes: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """The gradients of ``_OwnAffine`` as functions of everything they depend on."""
    inputs = (maps, *weights)
    wanted = (ctx.needs_input_grad[0], *ctx.needs_input_grad[3:])
    with torch.autocast(maps.device.type, enabled=False):
        made = _in_operators(maps, ctx.rule, *weights)
    asked = [one for one, needed in zip(inputs, wanted, strict=True) if needed]
    found = iter(torch.autograd.grad(made, asked, slopes, create_graph=True, allow_unused=True))
    first, *rest = (next(found) if needed else None for needed in wanted)
    return first, None, None, *rest
