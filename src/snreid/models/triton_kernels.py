"""EXPERIMENTAL: the passes of ``kernels`` on a GPU as four Triton kernels. Off unless the environment has ``SNREID_TRITON=1``.

They have never run on a GPU: their values and gradients were checked in Triton's interpreter, and they compile for compute capability
9.0, but were never timed. By default maps on a GPU go through torch's operators. ``SNREID_TRITON=1 make gpu`` checks and times them.

Each kernel reads its maps once. A program of a reduction handles some channels of one image and scans the positions in tiles; the mean
and the sum of squares of each tile are merged with those of the tiles before it (Chan, Golub and LeVeque 1983), so nothing cancels if the
mean is far above the deviation. Both memory layouts share the code: only strides and the tile shape differ. Computed in float32.

The tests import this module under ``TRITON_INTERPRET=1``, which needs no GPU.
"""

import contextlib
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from snreid.models.kernels import Kernels
from snreid.tensors import Maps

_FLAT_TILE = (1, 1024)
"""Channels and positions of a tile over contiguous maps, whose positions are adjacent in memory."""
_PIXEL_TILE = (64, 32)
"""The same over channels-last maps, whose channels are adjacent."""
_OPTIONS = {"enable_fp_fusion": True}
"""Of each launch: fused multiply-add. Triton 3.9 warns if it is not set, because its default will change."""


def triton_kernels(flat: bool) -> Kernels:
    """The kernels for contiguous (True) or channels-last maps of float32, bfloat16 or float16."""
    layout = torch.contiguous_format if flat else torch.channels_last
    return Kernels(
        partial(_launch_moments, flat),
        partial(_launch_affine, flat),
        partial(_launch_sums, flat),
        partial(_launch_combine, flat),
        layout,
    )


def _launch_moments(flat: bool, maps: Maps) -> tuple[Tensor, Tensor]:
    mean, variance = (maps.new_empty(maps.shape[:2], dtype=torch.float32) for _ in range(2))
    grid, sizes, tile = _shape(flat, maps)
    with _device(maps):
        _moments_kernel[grid](maps, mean, variance, *sizes, *tile, **_OPTIONS)
    return mean, variance


def _launch_affine(flat: bool, maps: Maps, slope: Tensor, offset: Tensor) -> Maps:
    result = _like(flat, maps)
    grid, sizes, tile = _shape(flat, maps)
    with _device(maps):
        _affine_kernel[(*grid, _tiles(maps, tile))](
            maps, result, slope.contiguous(), offset.contiguous(), *sizes, result.stride(0), *tile, **_OPTIONS
        )
    return result


def _launch_sums(flat: bool, maps: Maps, d_maps: Maps) -> tuple[Tensor, Tensor]:
    product, plain = (maps.new_empty(maps.shape[:2], dtype=torch.float32) for _ in range(2))
    grid, sizes, tile = _shape(flat, maps)
    with _device(maps):
        _sums_kernel[grid](maps, d_maps, product, plain, *sizes, d_maps.stride(0), *tile, **_OPTIONS)
    return product, plain


def _launch_combine(flat: bool, maps: Maps, d_maps: Maps, steep: Tensor, slope: Tensor, offset: Tensor) -> Maps:
    result = _like(flat, maps)
    grid, sizes, tile = _shape(flat, maps)
    vectors = (vector.contiguous() for vector in (steep, slope, offset))
    with _device(maps):
        _combine_kernel[(*grid, _tiles(maps, tile))](
            maps, d_maps, result, *vectors, *sizes, d_maps.stride(0), result.stride(0), *tile, **_OPTIONS
        )
    return result


def _shape(flat: bool, maps: Maps) -> tuple[tuple[int, int], tuple[int, ...], tuple[int, int]]:
    """Programs (images, groups of channels); channels, positions and the strides of image, channel and position; the tile."""
    images, channels, height, width = maps.shape
    positions = height * width
    tile = _FLAT_TILE if flat else _PIXEL_TILE
    strides = (positions, 1) if flat else (1, channels)
    return (images, triton.cdiv(channels, tile[0])), (channels, positions, maps.stride(0), *strides), tile


def _tiles(maps: Maps, tile: tuple[int, int]) -> int:
    return int(triton.cdiv(maps.shape[2] * maps.shape[3], tile[1]))


def _like(flat: bool, maps: Maps) -> Maps:
    return torch.empty_like(maps, memory_format=torch.contiguous_format if flat else torch.channels_last)


def _device(maps: Maps) -> contextlib.AbstractContextManager[object]:
    """Triton launches on the current GPU, which may differ from that of the maps."""
    return torch.cuda.device(maps.device) if maps.is_cuda else contextlib.nullcontext()


@triton.jit
def _moments_kernel(
    maps: tl.tensor,
    mean_out: tl.tensor,
    variance_out: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    image_stride: tl.tensor,
    channel_stride: tl.tensor,
    position_stride: tl.tensor,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
) -> None:
    image = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    place = tl.arange(0, POSITIONS)
    inside = channel < channels
    start = maps + image * image_stride + channel[:, None] * channel_stride
    mean = tl.zeros([CHANNELS], tl.float32)
    squares = tl.zeros([CHANNELS], tl.float32)
    for first in range(0, positions, POSITIONS):
        position = first + place
        valid = inside[:, None] & (position < positions)[None, :]
        read = tl.load(start + position[None, :] * position_stride, mask=valid, other=0.0).to(tl.float32)
        count = tl.minimum(positions - first, POSITIONS)
        tile_mean = tl.sum(read, 1) / count
        centred = tl.where(valid, read - tile_mean[:, None], 0.0)
        # Merged with the ``first`` positions before it.
        apart = tile_mean - mean
        share = count / (first + count)
        mean += apart * share
        squares += tl.sum(centred * centred, 1) + apart * apart * (first * share)
    where = image * channels + channel
    tl.store(mean_out + where, mean, mask=inside)
    tl.store(variance_out + where, squares / positions, mask=inside)


@triton.jit
def _affine_kernel(
    maps: tl.tensor,
    made: tl.tensor,
    slope: tl.tensor,
    offset: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    image_stride: tl.tensor,
    channel_stride: tl.tensor,
    position_stride: tl.tensor,
    made_stride: tl.tensor,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
) -> None:
    image = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    position = tl.program_id(2) * POSITIONS + tl.arange(0, POSITIONS)
    inside = channel < channels
    valid = inside[:, None] & (position < positions)[None, :]
    where = image * channels + channel
    scale = tl.load(slope + where, mask=inside, other=0.0)
    shift = tl.load(offset + where, mask=inside, other=0.0)
    place = channel[:, None] * channel_stride + position[None, :] * position_stride
    read = tl.load(maps + image * image_stride + place, mask=valid, other=0.0).to(tl.float32)
    moved = read * scale[:, None] + shift[:, None]
    tl.store(made + image * made_stride + place, moved.to(made.dtype.element_ty), mask=valid)


@triton.jit
def _sums_kernel(
    maps: tl.tensor,
    d_maps: tl.tensor,
    product_out: tl.tensor,
    plain_out: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    image_stride: tl.tensor,
    channel_stride: tl.tensor,
    position_stride: tl.tensor,
    d_stride: tl.tensor,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
) -> None:
    image = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    product = tl.zeros([CHANNELS], tl.float32)
    plain = tl.zeros([CHANNELS], tl.float32)
    for first in range(0, positions, POSITIONS):
        position = first + tl.arange(0, POSITIONS)
        valid = inside[:, None] & (position < positions)[None, :]
        place = channel[:, None] * channel_stride + position[None, :] * position_stride
        read = tl.load(maps + image * image_stride + place, mask=valid, other=0.0).to(tl.float32)
        d_read = tl.load(d_maps + image * d_stride + place, mask=valid, other=0.0).to(tl.float32)
        product += tl.sum(read * d_read, 1)
        plain += tl.sum(d_read, 1)
    where = image * channels + channel
    tl.store(product_out + where, product, mask=inside)
    tl.store(plain_out + where, plain, mask=inside)


@triton.jit
def _combine_kernel(
    maps: tl.tensor,
    d_maps: tl.tensor,
    made: tl.tensor,
    steep: tl.tensor,
    slope: tl.tensor,
    offset: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    image_stride: tl.tensor,
    channel_stride: tl.tensor,
    position_stride: tl.tensor,
    d_stride: tl.tensor,
    made_stride: tl.tensor,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
) -> None:
    image = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    position = tl.program_id(2) * POSITIONS + tl.arange(0, POSITIONS)
    inside = channel < channels
    valid = inside[:, None] & (position < positions)[None, :]
    where = image * channels + channel
    first = tl.load(steep + where, mask=inside, other=0.0)
    second = tl.load(slope + where, mask=inside, other=0.0)
    third = tl.load(offset + where, mask=inside, other=0.0)
    place = channel[:, None] * channel_stride + position[None, :] * position_stride
    read = tl.load(maps + image * image_stride + place, mask=valid, other=0.0).to(tl.float32)
    d_read = tl.load(d_maps + image * d_stride + place, mask=valid, other=0.0).to(tl.float32)
    combined = read * first[:, None] + d_read * second[:, None] + third[:, None]
    tl.store(made + image * made_stride + place, combined.to(made.dtype.element_ty), mask=valid)
