"""From stored pixels to what the network sees: one input format for training, test, export and serving, and the augmentation of
method.md section 4, on whole batches.

Every random number is drawn from (seed, epoch, batch) for the *global* batch, so neither the number of loader workers nor the number
of processes nor a resume changes a pixel (reliability.md R5).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import floor

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from snreid.errors import ExperimentError
from snreid.tensors import Images

StoredImages = UInt8[Tensor, "batch 3 height width"]
Draws = Float[Tensor, "batch 6"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_GREY = (0.2989, 0.587, 0.114)
_AT_ONCE = 4
"""Images whose float32 pixels fit into the cache of a core together."""


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """Size (pixels) and normalization (RGB, for values between 0 and 1) of what the network sees."""

    height: int = 256
    width: int = 128
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 16 or max(self.height, self.width) > 2048:
            raise ExperimentError(
                "Input height and width must be between 16 and 2048 pixels",
                came=f"{self.height} x {self.width}",
                repair="set --input.height and --input.width, for example 256 and 128",
            )
        if min(self.std) <= 0:
            raise ExperimentError("Each std must be above 0", came=f"{self.std}", repair="set --input.std")

    def normalize(self, images: StoredImages | Images) -> Images:
        """uint8 in 0..255, or float in 0..1, (B, 3, H, W), to normalized float32."""
        if images.device.type == "cpu" and images.is_contiguous(memory_format=torch.channels_last):
            return self._normalize_rows(images)
        values = images.float() / 255 if images.dtype == torch.uint8 else images
        mean, std = _of_channels(self.mean, images.device), _of_channels(self.std, images.device)
        return (values - mean) / std

    def _normalize_rows(self, images: StoredImages | Images) -> Images:
        """The same numbers, to the bit, for images in channels-last: a row is one vector there, and a channel's mean
        stands at every third place of it. A few images at a time, so that they stay in the processor's cache."""
        mean, std = (torch.tensor(three).repeat(images.shape[3]) for three in (self.mean, self.std))
        rows = _as_rows(images)
        result = torch.empty(rows.shape)
        for start in range(0, len(rows), _AT_ONCE):
            some = result[start : start + _AT_ONCE].copy_(rows[start : start + _AT_ONCE])
            if images.dtype == torch.uint8:
                some.div_(255)
            some.sub_(mean).div_(std)
        return _as_images(result)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random crop after enlargement, horizontal flip, mild colour jitter; no random erasing, which hurts across domains (method.md 4)."""

    enlarge: float = 1.125
    """The image is enlarged by this factor and a window of the input size is cut out at random."""
    crop: float = 0.5
    """Probability of that."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    brightness: float = 0.2
    """Values are multiplied by a factor within 1 +- this."""
    contrast: float = 0.15
    """Differences to the image's mean grey are multiplied by a factor within 1 +- this."""

    def __post_init__(self) -> None:
        inside = 0 <= self.crop <= 1 and 0 <= self.flip <= 1 and 0 <= self.brightness < 1 and 0 <= self.contrast < 1
        if self.enlarge < 1 or not inside:
            raise ExperimentError(
                "enlarge must be at least 1, probabilities between 0 and 1, jitter between 0 and below 1",
                came=f"{self}",
                repair="correct the --augmentation flag",
            )

    def draws(self, seed: int, epoch: int, batch: int, size: int) -> Draws:
        """(size, 6) uniform numbers in 0..1 for the global batch number ``batch`` of ``epoch``; a pure function."""
        key = np.array([seed ^ 0x5EED, (epoch << 24) + batch], dtype=np.uint64)
        values = np.random.Generator(np.random.Philox(key=key)).random((size, 6), dtype=np.float32)
        return torch.from_numpy(values)

    def __call__(self, images: StoredImages, draws: Draws, form: InputFormat | None = None) -> Images:
        """(B, 3, H, W) uint8 to (B, 3, H, W) float32 in 0..1, or, with the input format ``form``, normalized as it says."""
        if images.device.type == "cpu":
            return self._row_by_row(images, draws, form)
        made = self._jitter(self.move(images.float() / 255, draws), draws)
        return made if form is None else form.normalize(made)

    def move(self, images: Images, draws: Draws) -> Images:
        """Crop and flip in one bilinear sampling: the pixel (y, x) of a crop at offset (oy, ox) of the enlarged image lies
        at ((y + oy + 0.5) / enlarge - 0.5) of the original, which is what resizing and cutting would read."""
        count, _, height, width = images.shape
        cropped = draws[:, 0] < self.crop
        scale = torch.where(cropped, 1 / self.enlarge, 1.0)
        # grid_sample counts from -1 to 1 over the image; the window's centre moves by whole enlarged pixels.
        shift_y = _window_shift(draws[:, 1], height, self.enlarge, cropped)
        shift_x = _window_shift(draws[:, 2], width, self.enlarge, cropped)
        mirror = torch.where(draws[:, 3] < self.flip, -1.0, 1.0)
        theta = torch.zeros(count, 2, 3, device=draws.device)
        theta[:, 0, 0] = scale * mirror
        theta[:, 0, 2] = shift_x
        theta[:, 1, 1] = scale
        theta[:, 1, 2] = shift_y
        grid = F.affine_grid(theta.to(images.device), [count, 3, height, width], align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _row_by_row(self, images: StoredImages, draws: Draws, form: InputFormat | None) -> Images:
        """``move``, ``_jitter`` and ``normalize`` for a CPU, to rounding: image by image in its cache, along rows of RGBRGB... in
        channels-last. An image that is not cropped is not sampled, and one that is takes its neighbours in runs, not one by one."""
        rows = _as_rows(images.contiguous(memory_format=torch.channels_last))
        height, width = images.shape[2:]
        result = torch.empty(rows.shape)
        mean, std = ((0.0,) * 3, (1.0,) * 3) if form is None else (form.mean, form.std)
        scale = (1 / torch.tensor(std, dtype=torch.float64)).float().repeat(width)
        shift = (
            -(torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)).float().repeat(width)
        )
        for number, (crop, y, x, flip, brightness, contrast) in enumerate(draws.tolist()):
            pixels = rows[number]
            if flip < self.flip:
                pixels = pixels.view(height, width, 3).flip(1).view(height, -1)
            made = result[number]
            if crop < self.crop:
                # Of a mirrored image the window lies as far from the other side.
                room, offset = _offset(x, width, self.enlarge)
                across = _Axis.of(width, self.enlarge, room - offset if flip < self.flip else offset)
                _sample(pixels, _Axis.of(height, self.enlarge, _offset(y, height, self.enlarge)[1]), across, made)
            else:
                made.copy_(pixels)
            if self.brightness or self.contrast:
                made.mul_((1 + self.brightness * (2 * brightness - 1)) / 255).clamp_(max=1)
                _contrast(made, 1 + self.contrast * (2 * contrast - 1))
                torch.addcmul(shift, made, scale, out=made)
            else:
                torch.addcmul(shift, made, scale / 255, out=made)
        return _as_images(result)

    def _jitter(self, images: Images, draws: Draws) -> Images:
        random = draws.to(images.device)
        brightness = 1 + self.brightness * (2 * random[:, 4] - 1)
        contrast = 1 + self.contrast * (2 * random[:, 5] - 1)
        bright = (images * brightness.view(-1, 1, 1, 1)).clamp(0, 1)
        grey = (bright * _of_channels(_GREY, images.device)).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        return (grey + (bright - grey) * contrast.view(-1, 1, 1, 1)).clamp(0, 1)


def _of_channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(1, 3, 1, 1), filled on the device: a copy from the host would make the host wait for it."""
    return torch.stack([torch.full((), value, device=device) for value in values]).view(1, 3, 1, 1)


def _window_shift(draw: Tensor, length: int, enlarge: float, cropped: Tensor) -> Tensor:
    """Where the centre of the cut window lies, in grid units (-1 to 1 over the original image)."""
    room = round(length * enlarge) - length
    offset = (draw * (room + 1)).floor().clamp(max=room)
    centre = (2 * offset - room) / (length * enlarge)
    return torch.where(cropped, centre, torch.zeros_like(centre))


def _as_rows(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in channels-last as (B, H, 3 W): the same memory, RGBRGB... in a row."""
    return images.permute(0, 2, 3, 1).flatten(2)


def _as_images(rows: Tensor) -> Tensor:
    """The way back from ``_as_rows``."""
    return rows.view(*rows.shape[:2], -1, 3).permute(0, 3, 1, 2)


def _offset(draw: float, length: int, enlarge: float) -> tuple[int, int]:
    """Pixels that the enlarged image has more than the window, and how many of them come before it (in float32, as ``_window_shift``)."""
    room = round(length * enlarge) - length
    return room, min(room, floor(np.float32(draw) * np.float32(room + 1)))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Bilinear sampling of a window along one axis: pixel ``i`` of the window lies between ``first[i]`` and ``first[i] + 1``."""

    first: Tensor
    """(length,) int64."""
    part: Tensor
    """(length,) float32: how much of the second."""
    runs: tuple[tuple[int, int, int], ...]
    """(start, stop, first) of stretches where ``first`` grows by one a pixel."""

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(length: int, enlarge: float, offset: int) -> "_Axis":
        """A window of ``length`` pixels at ``offset`` of the enlarged axis; the ends of the axis are repeated."""
        place = ((np.arange(length) + offset + 0.5) / enlarge - 0.5).clip(0, length - 1)
        first = np.floor(place).astype(np.int64).clip(max=length - 2)
        starts = [0, *(np.flatnonzero(np.diff(first) != 1) + 1).tolist(), length]
        runs = tuple((start, stop, int(first[start])) for start, stop in pairwise(starts))
        return _Axis(torch.from_numpy(first), torch.from_numpy((place - first).astype(np.float32)), runs)


def _sample(pixels: Tensor, down: _Axis, across: _Axis, result: Tensor) -> None:
    """Bilinear sampling of rows (H, 3 W) uint8 into ``result`` (H, 3 W) float32, in 0..255."""
    values = pixels.float()
    part = down.part[:, None]
    mixed = torch.lerp(values.index_select(0, down.first), values.index_select(0, down.first + 1), part)
    weights = across.part.repeat_interleave(3)
    for start, stop, first in across.runs:
        left = mixed[:, 3 * first : 3 * (first + stop - start)]
        right = mixed[:, 3 * (first + 1) : 3 * (first + 1 + stop - start)]
        torch.lerp(left, right, weights[3 * start : 3 * stop], out=result[:, 3 * start : 3 * stop])


def _contrast(rows: Tensor, factor: float) -> None:
    """Differences to the mean grey times ``factor``, in place: rows (H, 3 W) in 0..1."""
    means = rows.mean(0).view(-1, 3).mean(0)
    grey = sum(weight * mean for weight, mean in zip(_GREY, means.tolist(), strict=True))
    rows.mul_(factor).add_(grey * (1 - factor)).clamp_(0, 1)
