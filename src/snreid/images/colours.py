"""Changes of colour and erased rectangles for batches of images as tensors: what the augmentation and the second view share.

The same operators for one image or many, on a CPU or a GPU; nothing here waits for a device.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from snreid.tensors import Images

EachImage = Float[Tensor, "batch"]
Rectangles = tuple[EachImage, EachImage, EachImage, EachImage]
"""Top, left, height and width in pixels, whole numbers."""

GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in a grey value."""


def of_channels(values: tuple[float, float, float], device: torch.device) -> Float[Tensor, "1 3 1 1"]:
    """(1, 3, 1, 1), filled on the device: a copy from the host would make the host wait for it."""
    return torch.stack([torch.full((), value, device=device) for value in values]).view(1, 3, 1, 1)


def grey_values(images: Images) -> Float[Tensor, "batch 1 height width"]:
    """(B, 1, H, W) of RGB (B, 3, H, W)."""
    return (images * of_channels(GREY, images.device)).sum(1, keepdim=True)


def saturated(images: Images, factors: EachImage) -> Images:
    """RGB (B, 3, H, W) in 0..1, differences to each pixel's grey times ``factors`` (B,): 0 takes the colour away, 1 changes nothing."""
    grey = grey_values(images)
    return (grey + factors.view(-1, 1, 1, 1) * (images - grey)).clamp(0, 1)


def greyed(images: Images, chosen: Bool[Tensor, "batch"]) -> Images:
    """RGB (B, 3, H, W), the ``chosen`` (B,) ones without colour."""
    return torch.where(chosen.view(-1, 1, 1, 1), grey_values(images), images)


def turn_hue(images: Images, turns: EachImage) -> Images:
    """RGB (B, 3, H, W) in 0..1 with its hue turned by ``turns`` (B,) of a full circle; value and saturation (HSV) stay."""
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
    """A rectangle for each image of ``height`` x ``width`` pixels (random erasing, arXiv 1708.04896).

    ``draws``: (B, 4) in 0..1: area (0.02 to ``largest`` of the image), height to width (0.3 to 1 / 0.3), and where it begins from above and
    from the left. One that would not fit is cut to fit.
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
    """(B, 3, H, W), the rectangles of the ``chosen`` (B,) images filled with ``colour``."""
    top, left, high, wide = places
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    inside_y = (y >= top[:, None]) & (y < (top + high)[:, None])
    inside_x = (x >= left[:, None]) & (x < (left + wide)[:, None])
    filled = chosen[:, None, None] & inside_y[:, :, None] & inside_x[:, None, :]
    return torch.where(filled[:, None], of_channels(colour, images.device), images)
