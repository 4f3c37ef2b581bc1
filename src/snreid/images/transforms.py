"""From stored pixels to network input: one input format for training, test, export and serving, and the augmentation of method.md
section 4, both on whole batches.

Every random number is a function of (seed, epoch, batch) for the *global* batch, so the number of loader workers or processes and a
resume change no pixel.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import floor

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from snreid.errors import ExperimentError
from snreid.images.colours import (
    GREY,
    Rectangles,
    erased,
    grey_values,
    greyed,
    of_channels,
    rectangles,
    saturated,
    turn_hue,
)
from snreid.tensors import Images

StoredImages = UInt8[Tensor, "batch 3 height width"]
Draws = Float[Tensor, "batch numbers"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_ALWAYS, _MORE = 6, 8
"""Random numbers of an image for crop, flip, brightness and contrast, and for the options that are off by default."""
_LARGEST = 0.33
"""Largest share of the image that is erased."""
_AT_ONCE = 4
"""Number of images whose float32 pixels fit into the cache of one core."""


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """Size (pixels) and normalization (RGB, for values in 0..1) of the network's input."""

    height: int = 256
    width: int = 128
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 16 or max(self.height, self.width) > 2048:
            raise ExperimentError(
                "Input height and width must be between 16 and 2048 pixels",
                found=f"{self.height} x {self.width}",
                fix="set --input.height and --input.width, for example 256 and 128",
            )
        if not all(math.isfinite(deviation) and deviation > 0 for deviation in self.std):
            raise ExperimentError("Each std must be above 0", found=f"{self.std}", fix="set --input.std")
        if not all(map(math.isfinite, self.mean)):
            raise ExperimentError("Each mean must be a finite number", found=f"{self.mean}", fix="set --input.mean")

    def normalize(self, images: StoredImages | Images) -> Images:
        """Normalize images (B, 3, H, W), uint8 in 0..255 or float in 0..1, to float32."""
        if images.device.type == "cpu" and images.is_contiguous(memory_format=torch.channels_last):
            return self._normalize_rows(images)
        values = images.float() / 255 if images.dtype == torch.uint8 else images
        mean, std = of_channels(self.mean, images.device), of_channels(self.std, images.device)
        return (values - mean) / std

    def _normalize_rows(self, images: StoredImages | Images) -> Images:
        """The same numbers, bit for bit, for channels-last images, where a row is one vector RGBRGB... A few images at a time stay in
        the processor's cache."""
        mean, std = (torch.tensor(three).repeat(images.shape[3]) for three in (self.mean, self.std))
        rows = _as_rows(images)
        result = torch.empty(rows.shape)
        for start in range(0, len(rows), _AT_ONCE):
            part = result[start : start + _AT_ONCE].copy_(rows[start : start + _AT_ONCE])
            if images.dtype == torch.uint8:
                part.div_(255)
            part.sub_(mean).div_(std)
        return _as_images(result)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random crop after enlargement, horizontal flip and mild colour jitter (method.md 4).

    Off by default: saturation, hue, grey, and random erasing, which helps on the cameras of the training set and hurts on others.
    """

    enlarge: float = 1.125
    """The image is enlarged by this factor, and a random window of the input size is cut out."""
    crop: float = 0.5
    """Probability of this crop."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    brightness: float = 0.2
    """Values are multiplied by a factor within 1 +- this."""
    contrast: float = 0.15
    """Differences from the image's mean grey are multiplied by a factor within 1 +- this."""

    saturation: float = 0.0
    """Differences from each pixel's grey are multiplied by a factor within 1 +- this."""
    hue: float = 0.0
    """The hue is rotated by at most this share of the circle in either direction; at most 0.5."""
    grey: float = 0.0
    """Probability that the image loses its colour."""
    erasing: float = 0.0
    """Probability that a rectangle of 2 to 33 percent of the image, 0.3 to 3.33 times as high as wide, gets the mean colour of the input
    format (arXiv 1708.04896), which the network sees as 0."""

    def __post_init__(self) -> None:
        probabilities = (self.crop, self.flip, self.grey, self.erasing)
        inside = all(0 <= p <= 1 for p in probabilities) and 0 <= self.hue <= 0.5
        inside = inside and all(0 <= jitter < 1 for jitter in (self.brightness, self.contrast, self.saturation))
        if not (1 <= self.enlarge < math.inf and inside):
            raise ExperimentError(
                "enlarge must be at least 1, probabilities between 0 and 1, jitter between 0 and below 1, hue at most 0.5",
                found=f"{self}",
                fix="correct the --augmentation flag",
            )

    def draws(self, seed: int, epoch: int, batch: int, size: int) -> Draws:
        """Uniform numbers in 0..1 for the global batch number ``batch`` of ``epoch``; a pure function.

        Returns:
            (size, 6), or (size, 14) with the same first 6 if an option is on that is off by default.
        """
        place = (epoch << 24) + batch
        values = uniform(seed ^ 0x5EED, place, (size, _ALWAYS))
        if self._has_more:
            values = np.concatenate([values, uniform(seed ^ 0xC010_5EED, place, (size, _MORE))], axis=1)
        return torch.from_numpy(values)

    @property
    def _has_more(self) -> bool:
        return any((self.saturation, self.hue, self.grey, self.erasing))

    def __call__(self, images: StoredImages, draws: Draws, form: InputFormat | None = None) -> Images:
        """Augment a batch.

        Args:
            images: (B, 3, H, W) uint8.
            draws: From ``draws``.
            form: Input format to normalize with. Without it, an erased rectangle has ImageNet's mean colour.

        Returns:
            (B, 3, H, W) float32, normalized if there is a ``form``, else in 0..1.
        """
        if images.device.type == "cpu":
            return self._row_by_row(images, draws, form)
        made = self._batched(images, draws, IMAGENET_MEAN if form is None else form.mean)
        return made if form is None else form.normalize(made)

    def _batched(self, images: StoredImages, draws: Draws, mean: tuple[float, float, float]) -> Images:
        """The augmentation of all images at once, in 0..1; ``mean`` is the colour of erased rectangles."""
        made = self._jitter(self.move(images.float() / 255, draws), draws)
        more = draws[:, _ALWAYS:].to(images.device)
        if self._has_more:
            made = self._recolour(made, more)
        if self.erasing:
            made = erased(made, *self._erasing(more, images.shape[2], images.shape[3]), mean)
        return made

    def move(self, images: Images, draws: Draws) -> Images:
        """Crop and flip images (B, 3, H, W) in one bilinear sampling.

        Pixel (y, x) of a crop at offset (oy, ox) of the enlarged image lies at ((y + oy + 0.5) / enlarge - 0.5) of the original, which is
        what resizing and cutting would read.
        """
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
        """``_batched`` and ``normalize`` for a CPU, equal up to rounding: image by image in the cache, along channels-last rows.

        An image without crop is not sampled; a cropped one reads runs of neighbouring pixels instead of single ones.
        """
        rows = _as_rows(images.contiguous(memory_format=torch.channels_last))
        height, width = images.shape[2:]
        result = torch.empty(rows.shape)
        mean, std = ((0.0,) * 3, (1.0,) * 3) if form is None else (form.mean, form.std)
        scale = (1 / torch.tensor(std, dtype=torch.float64)).float().repeat(width)
        shift = (
            -(torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)).float().repeat(width)
        )
        recolours = any((self.saturation, self.hue, self.grey))
        for number, (crop, y, x, flip, brightness, contrast) in enumerate(draws[:, :_ALWAYS].tolist()):
            pixels = rows[number]
            if flip < self.flip:
                pixels = pixels.view(height, width, 3).flip(1).view(height, -1)
            made = result[number]
            if crop < self.crop:
                # In a mirrored image the window lies as far from the other side.
                room, offset = _offset(x, width, self.enlarge)
                across = _Axis.of(width, self.enlarge, room - offset if flip < self.flip else offset)
                _sample(pixels, _Axis.of(height, self.enlarge, _offset(y, height, self.enlarge)[1]), across, made)
            else:
                made.copy_(pixels)
            if self.brightness or self.contrast or recolours:
                made.mul_((1 + self.brightness * (2 * brightness - 1)) / 255).clamp_(max=1)
                _contrast(made, 1 + self.contrast * (2 * contrast - 1))
                if recolours:
                    image = made.view(height, width, 3).permute(2, 0, 1)
                    more = draws[number : number + 1, _ALWAYS:]
                    image.copy_(self._recolour(image[None].contiguous(), more)[0])
                torch.addcmul(shift, made, scale, out=made)
            else:
                torch.addcmul(shift, made, scale / 255, out=made)
        made = _as_images(result)
        if self.erasing:
            self._erase(made, draws[:, _ALWAYS:], IMAGENET_MEAN if form is None else (0.0, 0.0, 0.0))
        return made

    def _recolour(self, images: Images, more: Draws) -> Images:
        """Change saturation, hue and grey of images in 0..1; ``more``: the draws after the first 6."""
        if self.saturation:
            images = saturated(images, 1 + self.saturation * (2 * more[:, 0] - 1))
        if self.hue:
            images = turn_hue(images, self.hue * (2 * more[:, 1] - 1))
        return greyed(images, more[:, 2] < self.grey) if self.grey else images

    def _erasing(self, more: Draws, height: int, width: int) -> tuple[Bool[Tensor, "batch"], Rectangles]:
        """Which images lose a rectangle (B,), and the rectangles."""
        return more[:, 3] < self.erasing, rectangles(more[:, 4:], height, width, _LARGEST)

    def _erase(self, images: Images, more: Draws, colour: tuple[float, float, float]) -> None:
        """Erase in place, on a CPU, writing only the erased pixels."""
        chosen, places = self._erasing(more, images.shape[2], images.shape[3])
        corners = torch.stack(places, 1).int().tolist()
        for image, hit, (top, left, high, wide) in zip(images, chosen.tolist(), corners, strict=True):
            if hit:
                image[:, top : top + high, left : left + wide] = torch.tensor(colour).view(3, 1, 1)

    def _jitter(self, images: Images, draws: Draws) -> Images:
        random = draws.to(images.device)
        brightness = 1 + self.brightness * (2 * random[:, 4] - 1)
        contrast = 1 + self.contrast * (2 * random[:, 5] - 1)
        bright = (images * brightness.view(-1, 1, 1, 1)).clamp(0, 1)
        grey = grey_values(bright).mean((2, 3), keepdim=True)
        return (grey + (bright - grey) * contrast.view(-1, 1, 1, 1)).clamp(0, 1)


def uniform(first: int, second: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Uniform numbers in 0..1 as a pure function of the key (``first``, ``second``)."""
    key = np.array([first, second], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(shape, dtype=np.float32)


def _window_shift(draw: Tensor, length: int, enlarge: float, cropped: Tensor) -> Tensor:
    """Centre of the window that is cut out, in grid units (-1 to 1 over the original image)."""
    room = round(length * enlarge) - length
    offset = (draw * (room + 1)).floor().clamp(max=room)
    centre = (2 * offset - room) / (length * enlarge)
    return torch.where(cropped, centre, torch.zeros_like(centre))


def _as_rows(images: Tensor) -> Tensor:
    """View channels-last images (B, 3, H, W) as (B, H, 3 W): RGBRGB... in a row."""
    return images.permute(0, 2, 3, 1).flatten(2)


def _as_images(rows: Tensor) -> Tensor:
    """The inverse of ``_as_rows``."""
    return rows.view(*rows.shape[:2], -1, 3).permute(0, 3, 1, 2)


def _offset(draw: float, length: int, enlarge: float) -> tuple[int, int]:
    """By how many pixels the enlarged image exceeds the window, and how many of them precede it (in float32, as ``_window_shift``)."""
    room = round(length * enlarge) - length
    return room, min(room, floor(np.float32(draw) * np.float32(room + 1)))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Bilinear sampling of a window along one axis: pixel ``i`` of the window lies between ``first[i]`` and ``first[i] + 1``."""

    first: Tensor
    """(length,) int64."""
    part: Tensor
    """(length,) float32: weight of the second pixel."""
    runs: tuple[tuple[int, int, int], ...]
    """(start, stop, first) of runs in which ``first`` grows by one for each pixel."""

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(length: int, enlarge: float, offset: int) -> "_Axis":
        """The sampling of a window of ``length`` pixels at ``offset`` of the enlarged axis, whose ends are repeated."""
        place = ((np.arange(length) + offset + 0.5) / enlarge - 0.5).clip(0, length - 1)
        first = np.floor(place).astype(np.int64).clip(max=length - 2)
        starts = [0, *(np.flatnonzero(np.diff(first) != 1) + 1).tolist(), length]
        runs = tuple((start, stop, int(first[start])) for start, stop in pairwise(starts))
        return _Axis(torch.from_numpy(first), torch.from_numpy((place - first).astype(np.float32)), runs)


def _sample(pixels: Tensor, down: _Axis, across: _Axis, result: Tensor) -> None:
    """Sample rows (H, 3 W) uint8 bilinearly into ``result`` (H, 3 W) float32, in 0..255."""
    values = pixels.float()
    part = down.part[:, None]
    mixed = torch.lerp(values.index_select(0, down.first), values.index_select(0, down.first + 1), part)
    weights = across.part.repeat_interleave(3)
    for start, stop, first in across.runs:
        left = mixed[:, 3 * first : 3 * (first + stop - start)]
        right = mixed[:, 3 * (first + 1) : 3 * (first + 1 + stop - start)]
        torch.lerp(left, right, weights[3 * start : 3 * stop], out=result[:, 3 * start : 3 * stop])


def _contrast(rows: Tensor, factor: float) -> None:
    """Multiply differences from the mean grey by ``factor``, in place; ``rows`` (H, 3 W) in 0..1."""
    means = rows.mean(0).view(-1, 3).mean(0)
    grey = sum(weight * mean for weight, mean in zip(GREY, means.tolist(), strict=True))
    rows.mul_(factor).add_(grey * (1 - factor)).clamp_(0, 1)
