"""From stored pixels to what the network sees: one input format for training, test, export and serving, and the augmentation of
method.md section 4, on whole batches.

Every random number is drawn from (seed, epoch, batch) for the *global* batch, so neither the number of loader workers nor the number
of processes nor a resume changes a pixel (reliability.md R5).
"""

from dataclasses import dataclass

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
        values = images.float() / 255 if images.dtype == torch.uint8 else images
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        return (values - mean) / std


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

    def __call__(self, images: StoredImages, draws: Draws) -> Images:
        """(B, 3, H, W) uint8 to (B, 3, H, W) float32 in 0..1."""
        return self._jitter(self.move(images.float() / 255, draws), draws)

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
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0] = scale * mirror
        theta[:, 0, 2] = shift_x
        theta[:, 1, 1] = scale
        theta[:, 1, 2] = shift_y
        grid = F.affine_grid(theta.to(images.device), [count, 3, height, width], align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _jitter(self, images: Images, draws: Draws) -> Images:
        random = draws.to(images.device)
        brightness = 1 + self.brightness * (2 * random[:, 4] - 1)
        contrast = 1 + self.contrast * (2 * random[:, 5] - 1)
        bright = (images * brightness.view(-1, 1, 1, 1)).clamp(0, 1)
        weights = torch.tensor((0.2989, 0.587, 0.114), device=images.device).view(1, 3, 1, 1)
        grey = (bright * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        return (grey + (bright - grey) * contrast.view(-1, 1, 1, 1)).clamp(0, 1)


def _window_shift(draw: Tensor, length: int, enlarge: float, cropped: Tensor) -> Tensor:
    """Where the centre of the cut window lies, in grid units (-1 to 1 over the original image)."""
    room = round(length * enlarge) - length
    offset = (draw * (room + 1)).floor().clamp(max=room)
    centre = (2 * offset - room) / (length * enlarge)
    return torch.where(cropped, centre, torch.zeros_like(centre))
