"""The second, strongly augmented view of a training image, which align-and-uniform losses compare with the first (method.md 5.2).

Cho et al. (NeurIPS 2024, arXiv 2411.11471) augment single images with Pillow; here the same operations work on batches of tensors:
RandAugment, flip and crop, colour jitter, random erasing. As in ``transforms``, every random number is a function of (seed, epoch, batch)
for the global batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from snreid.errors import ExperimentError
from snreid.images.colours import erased, rectangles, turn_hue
from snreid.images.transforms import IMAGENET_MEAN, Augmentation, StoredImages, uniform
from snreid.tensors import Images

ViewDraws = Float[Tensor, "batch numbers"]
Signs = Float[Tensor, "batch"]

_LEVEL = 10 / 30
"""The published magnitude: 10 of 30 for every operation."""
_SHIFT, _SHEAR, _TURN = 0.45 * _LEVEL, 0.3 * _LEVEL, math.radians(30 * _LEVEL)
_BLEND = 0.1 + 1.8 * _LEVEL
_SOLARIZE, _SOLARIZE_ADD = 256 * _LEVEL / 255, 110 * _LEVEL / 255
_GREY = (0.299, 0.587, 0.114)
_LARGEST = 0.4
"""Largest share of the image that is erased."""
_GEOMETRY = Augmentation(brightness=0.0, contrast=0.0)


@dataclass(frozen=True, kw_only=True)
class SecondView:
    """How the second view of a batch is made; the first one is the experiment's ``augmentation``."""

    randaugment: float = 0.5
    """Probability of RandAugment (arXiv 1909.13719): ``operations`` of 16 operations, one after the other."""
    operations: int = 2
    """Number of operations in a row, each sampled from all 16."""
    jitter: float = 0.5
    """Probability of a strong colour jitter: brightness, contrast and saturation times 0.5 to 2, hue +- a tenth of the circle."""
    erase: float = 0.5
    """Probability that a rectangle of 2 to 40 per cent of the image becomes grey (arXiv 1708.04896)."""

    def __post_init__(self) -> None:
        """Raise ``ExperimentError`` for a probability outside [0, 1], or a number of operations outside 0 to 16."""
        if not all(0 <= p <= 1 for p in (self.randaugment, self.jitter, self.erase)) or not 0 <= self.operations <= 16:
            raise ExperimentError(
                "The second view has probabilities between 0 and 1 and 0 to 16 operations",
                found=f"{self}",
                fix="correct the --second-view flag",
            )

    def draws(self, seed: int, epoch: int, batch: int, size: int) -> ViewDraws:
        """Uniform numbers in 0..1, (size, 17 + 2 x operations), for the global batch number ``batch`` of ``epoch``; a pure function."""
        return torch.from_numpy(uniform(seed ^ 0x2E5EED, (epoch << 24) + batch, (size, 17 + 2 * self.operations)))

    def __call__(self, images: StoredImages, draws: ViewDraws) -> Images:
        """Augment a batch.

        Args:
            images: (B, 3, H, W) uint8.
            draws: From ``draws``, on the CPU.

        Returns:
            (B, 3, H, W) float32 in 0..1.
        """
        geometry, jitter, erase, choices = draws[:, :6], draws[:, 6:11], draws[:, 11:16], draws[:, 16:]
        augmented = self._randaugment(images.float() / 255, choices)
        moved = _GEOMETRY.move(augmented, geometry.to(images.device))
        coloured = _jittered(moved, jitter.to(images.device), self.jitter)
        where = erase.to(images.device)
        places = rectangles(where[:, 1:], images.shape[2], images.shape[3], _LARGEST)
        return erased(coloured, where[:, 0] < self.erase, places, IMAGENET_MEAN)

    def _randaugment(self, images: Images, draws: ViewDraws) -> Images:
        """``draws``: whether at all, then for each step which operation and in which direction."""
        result = images.clone()
        for turn in range(self.operations):
            which = (draws[:, 1 + 2 * turn] * len(OPERATIONS)).long().clamp(max=len(OPERATIONS) - 1)
            signs = torch.where(draws[:, 2 + 2 * turn] < 0.5, -1.0, 1.0)
            for number, operation in enumerate(OPERATIONS.values()):
                rows = torch.nonzero((which == number) & (draws[:, 0] < self.randaugment)).flatten()
                if len(rows):  # on the CPU: nothing waits for a GPU
                    there = rows.to(images.device)
                    result[there] = operation(result[there], signs[rows].to(images.device))
        return result


def _warp(images: Images, matrix: Callable[[Signs, float], list[Tensor]], signs: Signs) -> Images:
    """Warp each image by a 2 x 3 matrix in the coordinates of ``affine_grid``; outside is black, as in Pillow."""
    rows = matrix(signs, images.shape[2] / images.shape[3])
    theta = torch.stack(rows, 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _translate_x(images: Images, signs: Signs) -> Images:
    zero, one = torch.zeros_like(signs), torch.ones_like(signs)
    return _warp(images, lambda s, _: [one, zero, 2 * _SHIFT * s, zero, one, zero], signs)


def _translate_y(images: Images, signs: Signs) -> Images:
    zero, one = torch.zeros_like(signs), torch.ones_like(signs)
    return _warp(images, lambda s, _: [one, zero, zero, zero, one, 2 * _SHIFT * s], signs)


def _shear_x(images: Images, signs: Signs) -> Images:
    zero, one = torch.zeros_like(signs), torch.ones_like(signs)
    return _warp(images, lambda s, high: [one, _SHEAR * high * s, zero, zero, one, zero], signs)


def _shear_y(images: Images, signs: Signs) -> Images:
    zero, one = torch.zeros_like(signs), torch.ones_like(signs)
    return _warp(images, lambda s, high: [one, zero, zero, _SHEAR / high * s, one, zero], signs)


def _rotate(images: Images, signs: Signs) -> Images:
    zero, cosine = torch.zeros_like(signs), torch.full_like(signs, math.cos(_TURN))
    sine = math.sin(_TURN)
    return _warp(images, lambda s, high: [cosine, -sine * high * s, zero, sine / high * s, cosine, zero], signs)


def _autocontrast(images: Images, _: Signs) -> Images:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def _equalize(images: Images, _: Signs) -> Images:
    """Equalize each channel's histogram with Pillow's integer table."""
    levels = (images * 255).round().long().flatten(2)
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    last = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - last) // 255
    table = (step // 2 + counts.cumsum(2) - counts) // step.clamp(min=1)
    table = torch.where(step > 0, table.clamp(max=255), torch.arange(256, device=images.device))
    return (table.gather(2, levels) / 255).view_as(images)


def _posterize(images: Images, _: Signs) -> Images:
    return (images * 255 / 64).floor().clamp(max=3) * 64 / 255  # two bits of eight


def _grey(images: Images) -> Tensor:
    weights = torch.tensor(_GREY, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _blend(images: Images, other: Tensor, factor: Tensor | float = _BLEND) -> Images:
    return (other + factor * (images - other)).clamp(0, 1)


def _smooth(images: Images) -> Images:
    """Pillow's SMOOTH: weight 5 in the middle, 1 around it; the border stays."""
    kernel = torch.ones(3, 1, 3, 3, device=images.device) / 13
    kernel[:, :, 1, 1] = 5 / 13
    result = images.clone()
    result[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=3)
    return result


def _solarize(images: Images, threshold: float) -> Images:
    return torch.where(images < threshold, images, 1 - images)


OPERATIONS: dict[str, Callable[[Images, Signs], Images]] = {
    "identity": lambda images, _: images,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "rotate": _rotate,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "posterize": _posterize,
    "colour": lambda images, _: _blend(images, _grey(images)),
    "contrast": lambda images, _: _blend(images, _grey(images).mean((2, 3), keepdim=True)),
    "brightness": lambda images, _: images * _BLEND,
    "sharpness": lambda images, _: _blend(images, _smooth(images)),
    "invert": lambda images, _: 1 - images,
    "solarize": lambda images, _: _solarize(images, _SOLARIZE),
    "solarize_add": lambda images, _: _solarize((images + _SOLARIZE_ADD).clamp(max=1), 128 / 255),
}
"""The operations of RandAugment, as in the published code. Each takes images (B, 3, H, W) in 0..1 and a direction (B,), -1 or 1."""


def _jittered(images: Images, draws: ViewDraws, probability: float) -> Images:
    """``draws``: whether at all, then brightness, contrast, saturation and hue, in this order."""
    brightness, contrast, saturation = ((0.5 + 1.5 * draws[:, i]).view(-1, 1, 1, 1) for i in (1, 2, 3))
    changed = (images * brightness).clamp(0, 1)
    changed = _blend(changed, _grey(changed).mean((2, 3), keepdim=True), contrast)
    changed = _blend(changed, _grey(changed), saturation)
    changed = turn_hue(changed, 0.2 * draws[:, 4] - 0.1)
    return torch.where((draws[:, 0] < probability).view(-1, 1, 1, 1), changed, images)
