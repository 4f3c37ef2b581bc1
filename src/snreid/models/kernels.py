"""The four passes over maps that a normalization per image and channel needs, each one or two reads, in the layout of the maps.

Viewed as one image of B * C channels, contiguous maps go through torch's batch-norm kernels: an affine map per image and channel is a
batch norm in evaluation mode with mean 0 and variance 1, and its backward gives both sums of the gradient in one read. Channels-last maps
have no such view; there each image is a batch of its own. Maps too small for one kernel per image, and maps on a GPU, use ordinary
operators. ``SNREID_TRITON=1`` replaces these on a GPU by the experimental kernels of ``triton_kernels``. Nothing here is differentiable;
``instance_affine`` is.
"""

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import torch
from torch import Tensor
from torch.autograd import forward_ad

from snreid.errors import ExperimentError
from snreid.tensors import ChannelVectors, Maps

_LOOP_FROM = 12_288
"""Values per image from which one kernel per image is faster than operators on the batch: 9 microseconds a call against two or three
more passes. Measured on one core: statistics of 64 images of 128 x 12 x 6 (9,216 values) take 0.59 ms in a loop and 0.50 at once, of
64 x 24 x 12 (18,432) 0.79 and 1.05, of 64 x 48 x 24 2.0 and 4.4."""
_LANES = 2048
"""Running sums of the channels-last kernels. More sums are shorter, hence more exact (one sum over 2048 positions gives a mean with an
error of 2e-6, 16 partial sums 2e-7); twice as many take 20 to 33 % longer."""
_TERMS = 64
"""Least number of terms of a running sum."""
_HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Kernels:
    """One implementation of the four passes. Vectors are (B, C) in the working dtype; maps keep their dtype and layout."""

    moments: Callable[[Maps], tuple[ChannelVectors, ChannelVectors]]
    """F -> mean and biased variance over the positions, without cancellation if the mean is far above the deviation."""
    affine: Callable[[Maps, ChannelVectors, ChannelVectors], Maps]
    """F, slope, offset -> slope F + offset."""
    sums: Callable[[Maps, Maps], tuple[ChannelVectors, ChannelVectors]]
    """F, D -> sums of F D and of D over the positions."""
    combine: Callable[[Maps, Maps, ChannelVectors, ChannelVectors, ChannelVectors], Maps]
    """F, D, steep, slope, offset -> steep F + slope D + offset."""
    layout: torch.memory_format | None
    """Memory format that D must have; None: any."""


def kernels_for(maps: Maps) -> Kernels | None:
    """The fastest implementation for ``maps``.

    None if only differentiable operators work: under a tracer or a transform (``torch.func``, forward-mode derivatives), for tensor
    subclasses and for empty tensors.
    """
    traced = (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or type(maps) not in (Tensor, torch.nn.Parameter)
    )
    if traced or maps.device.type not in ("cpu", "cuda") or maps.numel() == 0:
        return None
    flat, pixels = maps.is_contiguous(), has_pixels(maps)
    if maps.device.type == "cuda":
        triton = _triton_kernels()
        return triton(flat) if triton and (flat or pixels) and maps.dtype != torch.float64 else _BATCH
    if flat:
        return _FLAT
    return _IMAGES if pixels and maps[0].numel() >= _LOOP_FROM else _BATCH


def working_dtype(maps: Tensor) -> torch.dtype:
    """The dtype of statistics and gates: float32, or float64 for float64 maps. Raises ``ExperimentError`` for integers."""
    if not maps.dtype.is_floating_point:
        raise ExperimentError(
            "Maps are normalized as floating-point numbers",
            found=f"maps of {maps.dtype}",
            fix="convert them first: maps.float()",
        )
    return torch.float64 if maps.dtype == torch.float64 else torch.float32


def without_autocast(maps: Tensor) -> contextlib.AbstractContextManager[object]:
    """A context without autocast on the device of ``maps``: a bfloat16 mean has 3 digits, and gates depend on differences of means."""
    # Tensors on the meta device have no autocast.
    return contextlib.nullcontext() if maps.is_meta else torch.autocast(maps.device.type, enabled=False)


@cache
def _triton_kernels() -> Callable[[bool], Kernels] | None:
    """Maker of the Triton kernels for contiguous (True) or channels-last maps; None unless ``SNREID_TRITON=1``."""
    if os.environ.get("SNREID_TRITON") != "1":
        return None
    maker: Callable[[bool], Kernels] = import_module("snreid.models.triton_kernels").triton_kernels
    return maker


def has_pixels(maps: Maps) -> bool:
    """Whether the channels of a position are adjacent in memory, and so are the positions of an image: channels-last, or tokens."""
    return maps[:1].is_contiguous(memory_format=torch.channels_last)


# Contiguous maps: one batch norm of B * C channels.


def _flat_moments(maps: Maps) -> tuple[Tensor, Tensor]:
    ((mean, variance),) = _norm_moments([_flat(maps)])
    return mean.view(maps.shape[:2]), variance.view(maps.shape[:2])


def _flat_affine(maps: Maps, slope: Tensor, offset: Tensor) -> Maps:
    result = torch.empty_like(maps)
    _norm_affine([_flat(maps)], [_flat(result)], [slope.reshape(-1)], [offset.reshape(-1)])
    return result


def _flat_sums(maps: Maps, d_maps: Maps) -> tuple[Tensor, Tensor]:
    ((product, plain),) = _norm_sums([_flat(maps)], [_flat(d_maps)])
    return product.view(maps.shape[:2]), plain.view(maps.shape[:2])


def _flat_combine(maps: Maps, d_maps: Maps, steep: Tensor, slope: Tensor, offset: Tensor) -> Maps:
    # The slope in the dtype of the maps: with operands of two dtypes torch would first copy the maps to the wider one.
    return _flat_affine(maps, steep, offset).addcmul_(d_maps, slope.to(maps.dtype)[..., None, None])


def _flat(maps: Maps) -> Tensor:
    images, channels, height, width = maps.shape
    return maps.view(1, images * channels, height, width)


# Channels-last maps: one batch norm per image.


def _image_moments(maps: Maps) -> tuple[Tensor, Tensor]:
    images, channels = maps.shape[:2]
    moments = _norm_moments(_each(_pixels(maps)))
    mean, variance = (torch.stack(part).view(images, -1, channels) for part in zip(*moments, strict=True))
    if mean.shape[1] == 1:
        return mean[:, 0], variance[:, 0]
    overall = mean.mean(1)
    return overall, variance.mean(1).add_((mean - overall[:, None]).square_().mean(1))


def _image_affine(maps: Maps, slope: Tensor, offset: Tensor) -> Maps:
    if maps.dtype not in _HALVES:
        return _batch_affine(maps, slope, offset)
    result = torch.empty_like(maps, memory_format=torch.channels_last)
    _norm_affine(_each(_pixels(maps, 1)), _each(_pixels(result, 1)), slope.unbind(), offset.unbind())
    return result


def _image_sums(maps: Maps, d_maps: Maps) -> tuple[Tensor, Tensor]:
    images, channels = maps.shape[:2]
    sums = _norm_sums(_each(_pixels(maps)), _each(_pixels(d_maps)))
    product, plain = (torch.stack(part).view(images, -1, channels) for part in zip(*sums, strict=True))
    if product.shape[1] == 1:
        return product[:, 0], plain[:, 0]
    return product.sum(1), plain.sum(1)


def _image_combine(maps: Maps, d_maps: Maps, steep: Tensor, slope: Tensor, offset: Tensor) -> Maps:
    if maps.dtype not in _HALVES:
        return _batch_combine(maps, d_maps, steep, slope, offset)
    return _image_affine(maps, steep, offset).addcmul_(d_maps, slope.to(maps.dtype)[..., None, None])


def _pixels(maps: Maps, lanes: int = _LANES) -> Tensor:
    """A channels-last view (B, k * C, H * W / k, 1): k positions of an image side by side, for at most ``lanes`` running sums."""
    images, channels, height, width = maps.shape
    most = max(1, min(lanes // channels, height * width // _TERMS))
    together = math.gcd(height * width, 1 << (most.bit_length() - 1))
    rows = maps.permute(0, 2, 3, 1).view(images, -1, 1, together * channels)
    return rows.permute(0, 3, 1, 2)


def _each(maps: Tensor) -> tuple[Tensor, ...]:
    return maps.chunk(len(maps))


# Any maps: operators on the whole batch.


def _batch_moments(maps: Maps) -> tuple[Tensor, Tensor]:
    wide = maps.to(working_dtype(maps))
    # Not var_mean: over channels-last maps it takes 30 times as long as mean.
    mean = wide.mean((2, 3), keepdim=True)
    return mean[..., 0, 0], (wide - mean).square_().mean((2, 3))


def _batch_affine(maps: Maps, slope: Tensor, offset: Tensor) -> Maps:
    wide = maps.to(slope.dtype)
    return torch.addcmul(offset[..., None, None], wide, slope[..., None, None]).to(maps.dtype)


def _batch_sums(maps: Maps, d_maps: Maps) -> tuple[Tensor, Tensor]:
    wide, d_wide = maps.to(working_dtype(maps)), d_maps.to(working_dtype(maps))
    return (wide * d_wide).sum((2, 3)), d_wide.sum((2, 3))


def _batch_combine(maps: Maps, d_maps: Maps, steep: Tensor, slope: Tensor, offset: Tensor) -> Maps:
    wide, d_wide = maps.to(slope.dtype), d_maps.to(slope.dtype)
    result = torch.addcmul(offset[..., None, None], wide, steep[..., None, None])
    return result.addcmul_(d_wide, slope[..., None, None]).to(maps.dtype)


# torch's batch-norm kernels, over all channels of each tensor.


def _norm_moments(several: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Mean and biased variance per channel of each, in two reads, in the working dtype."""
    # For half precision the kernel gets running statistics: their dtype makes it return float32.
    zeros, ones = _zero_one(several[0]) if several[0].dtype in _HALVES else (None, None)
    return [torch.batch_norm_update_stats(maps, zeros, ones, 0.0) for maps in several]


def _norm_affine(
    several: Sequence[Tensor], results: Sequence[Tensor], slopes: Sequence[Tensor], offsets: Sequence[Tensor]
) -> None:
    """slope F + offset per channel of each, written into ``results``: a view of a kernel's own result could not be changed in place, as
    the activation after a norm does."""
    zeros, ones = _zero_one(several[0])
    unused = zeros[:0]
    for read, written, scale, shift in zip(several, results, slopes, offsets, strict=True):
        torch.ops.aten.native_batch_norm.out(
            read, scale, shift, zeros, ones, False, 0.0, 0.0, out=written, save_mean=unused, save_invstd=unused
        )


def _norm_sums(several: Sequence[Tensor], d_several: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Sums of F D and of D per channel of each: the gradients of a batch norm's scale and shift."""
    zeros, ones = _zero_one(several[0])
    both = [False, True, True]
    backward = torch.ops.aten.native_batch_norm_backward
    return [
        backward(d_maps, maps, ones, zeros, ones, None, None, False, 0.0, both)[1:]
        for maps, d_maps in zip(several, d_several, strict=True)
    ]


def _zero_one(maps: Tensor) -> tuple[Tensor, Tensor]:
    """A 0 and a 1 for each channel, in the working dtype."""
    kind = working_dtype(maps)
    return maps.new_zeros(maps.shape[1], dtype=kind), maps.new_ones(maps.shape[1], dtype=kind)


_FLAT = Kernels(_flat_moments, _flat_affine, _flat_sums, _flat_combine, torch.contiguous_format)
_IMAGES = Kernels(_image_moments, _image_affine, _image_sums, _image_combine, torch.channels_last)
_BATCH = Kernels(_batch_moments, _batch_affine, _batch_sums, _batch_combine, None)
