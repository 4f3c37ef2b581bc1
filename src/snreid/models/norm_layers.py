"""Normalization layers of the baselines: affine instance norm, IBN-a's half, switchable norm, batch-instance norm."""

from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from snreid.models.instance_affine import instance_affine
from snreid.models.kernels import has_pixels, kernels_for, without_autocast, working_dtype
from snreid.models.snr import Layout, channels_first, in_layout
from snreid.tensors import Maps


def activation_of(norm: nn.BatchNorm2d) -> nn.Module:
    """The activation (and dropout) that timm merges into some of its norms; a replacement must keep it."""
    extra: Any = norm
    if not hasattr(norm, "act"):
        return nn.Identity()
    return nn.Sequential(extra.drop, extra.act) if hasattr(norm, "drop") else nn.Sequential(extra.act)


def exactly(module: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Whether ``module`` is of exactly this class and has no hooks, so that an equivalent computation may replace it."""
    return module is not None and type(module) is kind and not has_hooks(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether the module has hooks."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks)


def has_new_parameters(module: nn.Module) -> bool:
    """Whether a norm has parameters not inherited from a batch norm: mixing weights, or a scale and a shift of its own."""
    return isinstance(module, Switchable | BatchInstance) or (
        isinstance(module, AffineInstance) and not module.inherited
    )


class AffineInstance(nn.Module):
    """gamma (F - mu) / sqrt(s2 + eps) + beta with mu and biased s2 per image and channel; no running statistics."""

    def __init__(self, channels: int, *, eps: float = 1e-5, tail: nn.Module | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.tail = tail if tail is not None else nn.Identity()
        self.inherited = False
        """Whether scale and shift come from the replaced batch norm."""

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> Self:
        """With the scale, shift, eps and folded activation of a batch norm."""
        made = cls(norm.num_features, eps=norm.eps, tail=activation_of(norm))
        _inherit(norm, made)
        made.inherited = True
        return made

    def forward(self, maps: Maps) -> Maps:
        """(B, C, H, W) -> (B, C, H, W), in the dtype of the maps. torch raises for maps of a single position, which cannot be normalized.

        Raises ``ExperimentError`` for integers, as all of these layers do.
        """
        # On contiguous maps torch's kernels are faster: one call does the whole gradient. But for a single image torch 2.15 computes it
        # wrongly if the incoming gradient is channels-last.
        if _one_pass(maps, self.weight) and (len(maps) == 1 or (has_pixels(maps) and not maps.is_contiguous())):
            # Channels-last, as the maps are: torch would copy them and pass contiguous maps to the next convolution.
            kind, rule = working_dtype(maps), partial(_slope_offset, eps=self.eps)
            with without_autocast(maps):
                normalized = instance_affine(maps, rule, self.weight.to(kind), self.bias.to(kind))[0]
        else:
            normalized = functional.instance_norm(maps, weight=self.weight, bias=self.bias, eps=self.eps)
        result: Tensor = self.tail(normalized)
        return result


class HalfInstance(nn.Module):
    """IBN-a: instance norm on the first half of the channels, batch norm on the rest (Pan et al., arXiv 1807.09441)."""

    def __init__(
        self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1, tail: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.instance_channels = channels // 2
        self.instance = AffineInstance(self.instance_channels, eps=eps)
        self.batch = nn.BatchNorm2d(channels - self.instance_channels, eps=eps, momentum=momentum)
        self.tail = tail if tail is not None else nn.Identity()

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> Self:
        """With the scale, shift and running statistics of a batch norm, each in its half."""
        made = cls(norm.num_features, eps=norm.eps, momentum=norm.momentum or 0.1, tail=activation_of(norm))
        half = made.instance_channels
        _inherit(norm, made.instance, slice(None, half))
        made.instance.inherited = True
        _inherit(norm, made.batch, slice(half, None))
        return made

    def forward(self, maps: Maps) -> Maps:
        """(B, C, H, W) -> (B, C, H, W)."""
        weights = self.instance.weight, self.batch.weight
        if _one_pass(maps, *weights) and _plain(self.batch) and exactly(self.instance, AffineInstance):
            normalized = self._at_once(maps)
        else:
            first, second = maps[:, : self.instance_channels], maps[:, self.instance_channels :]
            normalized = torch.cat([self.instance(first), self.batch(second)], 1)
        result: Tensor = self.tail(normalized)
        return result

    def _at_once(self, maps: Maps) -> Maps:
        """Both halves as one affine map per image and channel, without splitting and concatenating the maps."""
        kind, half = working_dtype(maps), self.instance_channels
        known = _known(self.batch, kind)

        def rule(mean: Tensor, variance: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
            """The affine map, from the image's own moments and from the batch's."""
            whole = _of_batch(mean[:, half:], variance[:, half:]) if known is None else known
            instance = _slope_offset(mean[:, :half], variance[:, :half], *weights[:2], eps=self.instance.eps)
            rest = _slope_offset(*whole, *weights[2:], eps=self.batch.eps)
            return tuple(torch.cat([a, b.expand(len(a), -1)], 1) for a, b in zip(instance, rest, strict=True))

        weights = (self.instance.weight, self.instance.bias, self.batch.weight, self.batch.bias)
        with without_autocast(maps):
            normalized, mean, variance = instance_affine(maps, rule, *(part.to(kind) for part in weights))
        _remember(self.batch, maps, mean[:, half:], variance[:, half:])
        return normalized


class Switchable(nn.Module):
    """Switchable Normalization: a learned softmax mix of IN, LN and BN statistics (Luo et al., arXiv 1806.10779).

    mean = sum_k w_k mean_k and variance = sum_k v_k variance_k over k = IN, LN, BN, with w and v the softmax of three
    learned numbers each, shared by all channels. Biased variances. Evaluation uses running BN statistics.
    """

    def __init__(
        self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1, tail: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean_weight = nn.Parameter(torch.ones(3))
        self.var_weight = nn.Parameter(torch.ones(3))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.tail = tail if tail is not None else nn.Identity()

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> Self:
        """With the scale, shift and running statistics of a batch norm and equal mixing weights."""
        made = cls(norm.num_features, eps=norm.eps, momentum=norm.momentum or 0.1, tail=activation_of(norm))
        _inherit(norm, made)
        return made

    def forward(self, maps: Maps) -> Maps:
        """(B, C, H, W) -> (B, C, H, W), statistics in float32."""
        kind = working_dtype(maps)
        weights = (self.weight, self.bias, self.mean_weight, self.var_weight)
        known = _known(self, kind)

        def rule(mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, *shares: Tensor) -> tuple[Tensor, ...]:
            """The affine map with the mixed statistics."""
            mixed_mean, mixed_variance = _mixed(mean, variance, known, *shares)
            scale = weight * torch.rsqrt(mixed_variance + self.eps)
            return scale, bias - mixed_mean * scale

        with without_autocast(maps):
            normalized, mean, variance = instance_affine(maps, rule, *(part.to(kind) for part in weights))
        if self.training:
            batch = _of_batch(mean.detach(), variance.detach())
            for running, now in zip((self.running_mean, self.running_var), batch, strict=True):
                running.lerp_(now.to(running.dtype), self.momentum)
        result: Tensor = self.tail(normalized)
        return result


def _of_batch(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over all images, (C), from those of each image, (B, C)."""
    batch_mean = mean.mean(0)
    return batch_mean, (variance + (mean - batch_mean).square()).mean(0)


def _mixed(
    mean: Tensor, variance: Tensor, known: tuple[Tensor, Tensor] | None, mean_weight: Tensor, var_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance of a switchable norm, (B, C) each; ``known``: the batch's in evaluation."""
    layer_mean = mean.mean(1, keepdim=True)
    layer_variance = (variance + mean.square()).mean(1, keepdim=True) - layer_mean.square()
    batch_mean, batch_variance = _of_batch(mean, variance) if known is None else known
    share = torch.softmax(mean_weight, 0)
    mixed = share[0] * mean + share[1] * layer_mean + share[2] * batch_mean
    share = torch.softmax(var_weight, 0)
    return mixed, (share[0] * variance + share[1] * layer_variance + share[2] * batch_variance).clamp(min=0)


class BatchInstance(nn.Module):
    """Batch-Instance Normalization: gamma (rho BN(F) + (1 - rho) IN(F)) + beta (Nam and Kim, arXiv 1805.07925).

    rho is one learned number per channel, initially 1 (batch norm). As in the paper it is clipped to [0, 1] after each step: the next
    pass in training mode clips the parameter itself before using it, evaluation clips a copy.
    """

    def __init__(
        self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1, tail: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.rho = nn.Parameter(torch.ones(channels))
        # A torch batch norm, so that it is synchronized between GPUs like any other.
        self.batch = nn.BatchNorm2d(channels, eps=eps, momentum=momentum, affine=False)
        self.tail = tail if tail is not None else nn.Identity()

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> Self:
        """With the scale, shift and running statistics of a batch norm; it starts as that batch norm."""
        made = cls(norm.num_features, eps=norm.eps, momentum=norm.momentum or 0.1, tail=activation_of(norm))
        _inherit(norm, made)
        _inherit(norm, made.batch)
        return made

    def forward(self, maps: Maps) -> Maps:
        """(B, C, H, W) -> (B, C, H, W), computed in float32. torch raises for maps of a single position."""
        with without_autocast(maps):
            at_once = _one_pass(maps, self.weight) and _plain(self.batch)
            mixed = self._at_once(maps) if at_once else self._one_by_one(maps)
        result: Tensor = self.tail(mixed)
        return result

    def _one_by_one(self, maps: Maps) -> Maps:
        share = self._share()
        # In a model cast as a whole, torch's norms require one dtype for input and parameters and handle it themselves.
        wide = maps.to(maps.dtype if maps.dtype == self.weight.dtype else working_dtype(maps))
        instance = functional.instance_norm(wide, weight=self.weight * (1 - share), bias=self.bias, eps=self.eps)
        scale = (self.weight * share)[:, None, None]
        return torch.addcmul(instance, self.batch(wide), scale).to(maps.dtype)

    def _at_once(self, maps: Maps) -> Maps:
        kind = working_dtype(maps)
        known = _known(self.batch, kind)

        def rule(mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, share: Tensor) -> tuple[Tensor, ...]:
            """The mix of two affine maps is one."""
            whole = _of_batch(mean, variance) if known is None else known
            by_image, offset = _slope_offset(mean, variance, weight * (1 - share), bias, eps=self.eps)
            by_batch, offset = _slope_offset(*whole, weight * share, offset, eps=self.batch.eps)
            return by_image + by_batch, offset

        weights = (self.weight, self.bias, self._share())
        mixed, mean, variance = instance_affine(maps, rule, *(part.to(kind) for part in weights))
        _remember(self.batch, maps, mean, variance)
        return mixed

    def _share(self) -> Tensor:
        if not self.training:
            return self.rho.clamp(0, 1)
        # Through .data, or autograd would refuse a step with two passes (MAR); the second clip changes nothing.
        self.rho.data.clamp_(0, 1)
        return self.rho  # not a copy: the gradient of a clamp is 0 at its border, where rho starts


class StageInstanceNorm(nn.Module):
    """Affine instance norm after a stage, for maps and for tokens; prefix tokens pass unchanged (Baseline-IN)."""

    def __init__(self, channels: int, *, layout: Layout = "nchw", prefix_tokens: int = 0, eps: float = 1e-5) -> None:
        super().__init__()
        self.layout, self.prefix_tokens = layout, prefix_tokens
        self.norm = AffineInstance(channels, eps=eps)

    def forward(self, maps: Tensor) -> Tensor:
        """Keeps shape and layout."""
        normalized = self.norm(channels_first(maps, self.layout, self.prefix_tokens))
        return in_layout(normalized, maps, self.layout, self.prefix_tokens)


def _inherit(norm: nn.BatchNorm2d, made: nn.Module, part: slice = slice(None)) -> None:
    """Copies the scale, shift and running statistics that both norms have, of the channels ``part`` of ``norm``."""
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            target, source = getattr(made, name, None), getattr(norm, name)
            if target is not None and source is not None:
                target.copy_(source[part])


def _slope_offset(mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    """Slope and offset of gamma (F - mu) / sqrt(s2 + eps) + beta, per channel (C) or per image and channel (B, C) like the moments."""
    scale = weight * torch.rsqrt(variance + eps)
    return scale, torch.addcmul(bias, scale, mean, value=-1)


def _one_pass(maps: Maps, *weights: Tensor) -> bool:
    """Whether ``instance_affine`` handles these maps in its fused passes, on a CPU, where that is faster.

    While tracing, torch's norms stay as they are: one node of an exported graph. torch reports maps whose number of channels does
    not match ``weights``, and maps of a single position.
    """
    if kernels_for(maps) is None:
        return False
    working_dtype(maps)  # raises for integers
    if maps.device.type != "cpu" or maps.dim() != 4:
        return False
    return maps.shape[1] == sum(map(len, weights)) and maps.shape[2] * maps.shape[3] > 1


def _plain(norm: nn.Module) -> bool:
    """Whether this batch norm may be computed in another way: not synchronized or replaced, without hooks, with running
    statistics."""
    return exactly(norm, nn.BatchNorm2d) and norm.running_mean is not None


def _known(norm: nn.BatchNorm2d | Switchable, kind: torch.dtype) -> tuple[Tensor, Tensor] | None:
    """Mean and variance that a norm uses in evaluation; None in training."""
    if norm.training:
        return None
    assert norm.running_mean is not None and norm.running_var is not None
    # Copies: the backward pass reads them again, and a pass in training may have changed them by then.
    return norm.running_mean.to(kind, copy=True), norm.running_var.to(kind, copy=True)


def _remember(norm: nn.BatchNorm2d, maps: Maps, mean: Tensor, variance: Tensor) -> None:
    """Updates the running statistics of a torch batch norm from each image's mean and biased variance."""
    if not norm.training:
        return
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        count = maps.numel() // maps.shape[1]
        batch_mean, batch_variance = _of_batch(mean, variance)
        unbiased = batch_variance * (count / (count - 1))
        for running, now in ((norm.running_mean, batch_mean), (norm.running_var, unbiased)):
            running.lerp_(now.to(running.dtype), momentum)
