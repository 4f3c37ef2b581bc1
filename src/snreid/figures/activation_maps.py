"""Activation maps as pictures of their own resolution: one pixel for each position."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RAMP = ((0, 0, 14), (46, 18, 96), (112, 30, 112), (186, 52, 88), (236, 104, 46), (250, 176, 44), (252, 250, 206))
"""Colours from 0 to the end of the scale; luminance grows, so that they differ in greyscale too."""
_PALETTE_SIZE = 128
MAP_MEANINGS = {
    "F": "what the stage gives",
    "F~": "style removed",
    "R+": "given back",
    "R-": "left out",
    "F~+": "passed on",
    "F~-": "for the loss only",
}


def colours(values: NDArray[np.float32], scale: float) -> Image.Image:
    """The values (H, W), 0 to ``scale``, as a picture of H x W pixels in the colours of ``RAMP``; all dark if ``scale`` is 0."""
    share = np.clip(values / scale, 0, 1) if scale > 0 else np.zeros_like(values)
    steps = np.linspace(0, len(RAMP) - 1, _PALETTE_SIZE)
    palette = np.stack([np.interp(steps, range(len(RAMP)), channel) for channel in np.transpose(RAMP)], 1)
    image = Image.fromarray(np.ascontiguousarray(np.round(share * (_PALETTE_SIZE - 1)).astype(np.uint8)), "L")
    image.putpalette(np.round(palette).astype(np.uint8).tobytes())
    return image


def map_uri(values: NDArray[np.float32], scale: float) -> str:
    """``colours`` as ``data:image/png;base64,...``; the page enlarges it."""
    buffer = io.BytesIO()
    colours(values, scale).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
