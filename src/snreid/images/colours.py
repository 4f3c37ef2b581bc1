"""Colour changes and random erasing for batches of images: what the augmentation and the second view share.

All operators work on tensors on any device and never synchronize with it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from snreid.tensors import Images

EachImage = Float[Tensor, "batch"]
Rectangles = tuple[EachImage, EachImage, EachImage, EachImage]
"""Top, left, height and width in whole pixels."""

GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey value."""


def of_channels(values: tuple[float, float, float], device: torch.device) -> Float[Tensor, "1 3 1 1"]:
    """``values`` as (1, 3, 1, 1), filled on the device: a copy from the host would synchronize."""
    return torch.stack([torch.full((), value, device=device) for value in values]).view(1, 3, 1, 1)


def grey_values(images: Images) -> Float[Tensor, "batch 1 height width"]:
    """Grey values (B, 1, H, W) of RGB images (B, 3, H, W)."""
    return (images * of_channels(GREY, images.device)).sum(1, keepdim=True)


def saturated(images: Images, factors: EachImage) -> Images:
    """Multiply the difference of each pixel of RGB images in 0..1 from its grey value: 0 removes the colour, 1 changes nothing."""
    grey = grey_values(images)
    return (grey + factors.view(-1, 1, 1, 1) * (images - grey)).clamp(0, 1)


def greyed(images: Images, chosen: Bool[Tensor, "batch"]) -> Images:
    """RGB images (B, 3, H, W), those that ``chosen`` (B,) marks without colour."""
    return torch.where(chosen.view(-1, 1, 1, 1), grey_values(images), images)


def turn_hue(images: Images, turns: EachImage) -> Images:
    """Rotate the hue of RGB images in 0..1 by ``turns``, shares of the full circle; value and saturation (HSV) stay."""
    red, green, blue = images.unbind(1)
    value, low = images.amax(1), images.amin(1)
    spread = value - low
    safe = torch.where(spread > 0, spread, 1.0)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    turned = sixth + 6 * turns.view(-1, 1, 1)
    parts = []
    for offset in (5, 3, 1):
        k = (offset + turned) % 6
        parts.append(value - spread * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(parts, 1)


def rectangles(draws: Float[Tensor, "batch 4"], height: int, width: int, largest: float) -> Rectangles:
    """A random rectangle for each image (random erasing, arXiv 1708.04896), cut to fit the image.

    ``draws`` are uniform numbers in 0..1 for the area (0.02 to ``largest`` of the image), the ratio of height to width (0.3 to 1 / 0.3),
    the top and the left edge.
    """
    area = (0.02 + (largest - 0.02) * draws[:, 0]) * height * width
    ratio = 0.3 + (1 / 0.3 - 0.3) * draws[:, 1]
    high = (area * ratio).sqrt().round().clamp(1, height - 1)
    wide = (area / ratio).sqrt().round().clamp(1, width - 1)
    top = (draws[:, 2] * (height - high + 1)).floor()
    left = (draws[:, 3] * (width - wide + 1)).floor()
    return top, left, high, wide


def erased(
    images: Images, chosen: Bool[Tensor, "batch"], places: Rectangles, colour: tuple[float, float, float]
) -> Images:
    """Images (B, 3, H, W) with ``colour`` in the rectangles of those that ``chosen`` (B,) marks."""
    top, left, high, wide = places
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    inside_y = (y >= top[:, None]) & (y < (top + high)[:, None])
    inside_x = (x >= left[:, None]) & (x < (left + wide)[:, None])
    filled = chosen[:, None, None] & inside_y[:, :, None] & inside_x[:, None, :]
    return torch.where(filled[:, None], of_channels(colour, images.device), images)
