"""Five image corruptions of cameras, each at severities 1 (mild) to 5 (hard): pure functions on uint8 arrays.

Named corruptions at five severities are an idea of Hendrycks and Dietterich (Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations, ICLR 2019, arXiv 1903.12261). Kinds and numbers are chosen for small crops of people; lengths are relative to the image,
so that a severity means the same for crops of any size. With x in 0..255 and s the severity:

================== ====================================================================================================
``dark``           underexposure by ``STOPS[s]`` stops in linear light, with the shot noise of few photons:
                   y = 2^-stops (x / 255)^2.2, y' = y + sqrt(y / PHOTONS + READ_NOISE^2) n, n standard normal;
                   back by 255 y'^(1/2.2)
``blur``           Gaussian blur (a lens out of focus), sigma = ``BLUR[s]`` of the image's height
``low-resolution`` the image shrunk by ``SHRINK[s]`` in height and width, and enlarged again (a person far away)
``jpeg``           one more compression at quality ``QUALITY[s]`` (the values of the paper's code), colours halved (4:2:0)
``colour-cast``    a wrong white balance: red, green and blue times 2^(CAST[s] d_c) in linear light; d a direction around the
                   grey axis (its mean is 0), d_c = cos(angle - 2 pi c / 3), c = 0, 1, 2
================== ====================================================================================================

Noise and the angle of the cast are seeded by the kind and a key (the image's name), not by the severity, so the severities of an image are
steps in one direction. Equal input gives equal pixels with equal versions of NumPy and libjpeg-turbo; other versions may differ by one
grey level.
"""

import hashlib
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.images.reading import recompress, resize

Kind = Literal["dark", "blur", "low-resolution", "jpeg", "colour-cast"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SEVERITIES = (1, 2, 3, 4, 5)

STOPS = (1.0, 2.0, 3.0, 4.0, 5.0)
PHOTONS = 400.0
"""Photons of a correctly exposed white pixel."""
READ_NOISE = 0.002
"""Read noise of the sensor, as a share of white."""
BLUR = (0.006, 0.012, 0.02, 0.03, 0.045)
"""Sigma as a share of the image's height: 0.8 to 5.8 pixels of 128."""
SHRINK = (1.5, 2.0, 3.0, 4.0, 6.0)
QUALITY = (25, 18, 15, 10, 7)
CAST = (0.25, 0.5, 0.75, 1.0, 1.4)
"""Stops between neutral and the strongest channel."""
GAMMA = 2.2

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB, 0 to 255."""
Light = NDArray[np.float64]
"""(H, W, 3) linear light, white is 1."""


def corrupt(pixels: Pixels, kind: Kind, severity: int, key: str) -> Pixels:
    """Corrupt an image; the input is not changed.

    Args:
        pixels: (H, W, 3) uint8.
        kind: One of ``KINDS``.
        severity: 1 to 5.
        key: Seed of noise and cast.

    Raises:
        ExperimentError: The kind or severity is unknown.
    """
    check_kind(kind, severity)
    step = severity - 1
    if kind == "blur":
        return _blur(pixels, BLUR[step] * pixels.shape[0])
    if kind == "low-resolution":
        return _low_resolution(pixels, SHRINK[step])
    if kind == "jpeg":
        return recompress(pixels, QUALITY[step])
    draws = np.random.default_rng(
        int.from_bytes(hashlib.sha256(f"{kind}\0{key}".encode(errors="replace")).digest()[:8])
    )
    return _dark(pixels, STOPS[step], draws) if kind == "dark" else _cast(pixels, CAST[step], draws)


def check_kind(kind: str, severity: int) -> None:
    """Raise ``ExperimentError`` unless both are known."""
    if kind not in KINDS:
        raise ExperimentError(f"A corruption is one of {', '.join(KINDS)}", found=repr(kind), fix="choose one of them")
    if severity not in SEVERITIES:
        raise ExperimentError(
            "The severity of a corruption is 1 (mild) to 5 (hard)", found=str(severity), fix="choose one of these"
        )


def _dark(pixels: Pixels, stops: float, draws: np.random.Generator) -> Pixels:
    light = _light(pixels) * 2.0**-stops
    noise = draws.standard_normal(light.shape)
    return _stored(light + np.sqrt(light / PHOTONS + READ_NOISE**2) * noise)


def _cast(pixels: Pixels, strength: float, draws: np.random.Generator) -> Pixels:
    angle = 2 * np.pi * draws.random()
    direction = np.cos(angle - 2 * np.pi * np.arange(3) / 3)
    return _stored(_light(pixels) * 2.0 ** (strength * direction))


def _blur(pixels: Pixels, sigma: float) -> Pixels:
    """Separable Gaussian blur, cut off at 3 sigma; the border is extended by its outermost pixels."""
    radius = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (kernel / kernel.sum()).astype(np.float32)
    height, width = pixels.shape[:2]
    padded = np.pad(pixels.astype(np.float32), ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    # Summed tap by tap in a fixed order: the last bit of a matrix product would depend on the library.
    rows = sum(weight * padded[k : k + height] for k, weight in enumerate(weights))
    blurred = sum(weight * np.asarray(rows)[:, k : k + width] for k, weight in enumerate(weights))
    return np.asarray(np.rint(np.asarray(blurred).clip(0, 255)), dtype=np.uint8)


def _low_resolution(pixels: Pixels, factor: float) -> Pixels:
    height, width = pixels.shape[:2]
    return resize(resize(pixels, max(1, round(height / factor)), max(1, round(width / factor))), height, width)


def _light(pixels: Pixels) -> Light:
    return np.asarray((np.arange(256) / 255) ** GAMMA)[pixels]


def _stored(light: Light) -> Pixels:
    return np.asarray(np.rint(255 * light.clip(0, 1) ** (1 / GAMMA)), dtype=np.uint8)
