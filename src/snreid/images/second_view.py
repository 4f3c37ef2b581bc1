"""The second, strongly augmented view of a training image, which align-and-uniform losses compare with the first (method.md 5.2).

Cho et al. (NeurIPS 2024, arXiv 2411.11471) augment single images with Pillow; here the same operations work on batches of tensors, by
torchvision where it gives Pillow's numbers: RandAugment, flip and crop, colour jitter, random erasing. As in ``transforms``, every random
number is a function of (seed, epoch, batch) for the global batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from snreid.errors import ExperimentError
from snreid.images.colours import erased, rectangles, turn_hue
from snreid.images.transforms import IMAGENET_MEAN, Augmentation, StoredImages, uniform
from snreid.tensors import Images

ViewDraws = Float[Tensor, "batch numbers"]

_LEVEL = 10 / 30
"""The published magnitude: 10 of 30 for every operation."""
_SHIFT, _SHEAR, _TURN = 0.45 * _LEVEL, 0.3 * _LEVEL, 30 * _LEVEL
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
            negative = draws[:, 2 + 2 * turn] < 0.5
            for (number, operation), sign in product(enumerate(OPERATIONS.values()), (-1.0, 1.0)):
                chosen = (which == number) & (negative == (sign < 0)) & (draws[:, 0] < self.randaugment)
                rows = torch.nonzero(chosen).flatten()
                if len(rows):  # on the CPU: nothing waits for a GPU
                    there = rows.to(images.device)
                    result[there] = operation(result[there], sign)
        return result


def _translate(images: Images, x: float, y: float) -> Images:
    """Shift the content by shares ``x`` and ``y`` of the image's width and height; outside is black, as in Pillow."""
    height, width = images.shape[2:]
    moved: Images = F.affine(images, 0.0, [x * width, y * height], 1.0, [0.0, 0.0], InterpolationMode.BILINEAR)
    return moved


def _shear(images: Images, x: float, y: float) -> Images:
    """Shear about the centre by the slopes ``x`` and ``y``."""
    angles = [math.degrees(math.atan(slope)) for slope in (x, y)]
    sheared: Images = F.affine(images, 0.0, [0.0, 0.0], 1.0, angles, InterpolationMode.BILINEAR)
    return sheared


def _equalize(images: Images) -> Images:
    # torchvision would round down to whole levels.
    levels: Tensor = F.equalize((images * 255).round().to(torch.uint8))
    return levels / 255


def _posterize(images: Images) -> Images:
    # Pillow's two bits of eight; torchvision has multiples of 1/4 instead of 64/255.
    return (images * 255 / 64).floor().clamp(max=3) * 64 / 255


def _grey(images: Images) -> Tensor:
    # Pillow's weights; torchvision has 0.2989 for red.
    weights = torch.tensor(_GREY, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _blend(images: Images, other: Tensor, factor: Tensor | float = _BLEND) -> Images:
    return (other + factor * (images - other)).clamp(0, 1)


OPERATIONS: dict[str, Callable[[Images, float], Images]] = {
    "identity": lambda images, _: images,
    "translate_x": lambda images, sign: _translate(images, -sign * _SHIFT, 0),
    "translate_y": lambda images, sign: _translate(images, 0, -sign * _SHIFT),
    "shear_x": lambda images, sign: _shear(images, sign * _SHEAR, 0),
    "shear_y": lambda images, sign: _shear(images, 0, sign * _SHEAR),
    "rotate": lambda images, sign: F.rotate(images, sign * _TURN, InterpolationMode.BILINEAR),
    "autocontrast": lambda images, _: F.autocontrast(images),
    "equalize": lambda images, _: _equalize(images),
    "posterize": lambda images, _: _posterize(images),
    "colour": lambda images, _: _blend(images, _grey(images)),
    "contrast": lambda images, _: _blend(images, _grey(images).mean((2, 3), keepdim=True)),
    "brightness": lambda images, _: F.adjust_brightness(images, _BLEND),
    "sharpness": lambda images, _: F.adjust_sharpness(images, _BLEND),
    "invert": lambda images, _: F.invert(images),
    "solarize": lambda images, _: F.solarize(images, _SOLARIZE),
    "solarize_add": lambda images, _: F.solarize((images + _SOLARIZE_ADD).clamp(max=1), 128 / 255),
}
"""The operations of RandAugment, as in the published code. Each takes images (B, 3, H, W) in 0..1 and a direction, -1 or 1."""


def _jittered(images: Images, draws: ViewDraws, probability: float) -> Images:
    """``draws``: whether at all, then brightness, contrast, saturation and hue, in this order."""
    brightness, contrast, saturation = ((0.5 + 1.5 * draws[:, i]).view(-1, 1, 1, 1) for i in (1, 2, 3))
    changed = (images * brightness).clamp(0, 1)
    changed = _blend(changed, _grey(changed).mean((2, 3), keepdim=True), contrast)
    changed = _blend(changed, _grey(changed), saturation)
    changed = turn_hue(changed, 0.2 * draws[:, 4] - 0.1)
    return torch.where((draws[:, 0] < probability).view(-1, 1, 1, 1), changed, images)
