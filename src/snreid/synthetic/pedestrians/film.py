"""From light to pixels: lens, sensor, tone curve, noise, enlargement, compression. All in exact arithmetic.

Filters are integer matrices and act on integers; every sum stays below 2**53, so float64 products are exact in
any order of summation. The compression is JPEG's lossy part (block cosine transform, quantization tables of
ITU-T T.81 Annex K scaled as libjpeg does, chroma at half size) without its lossless part: another JPEG library would
round differently, and a difference of one level before quantization can become many after it.
"""

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.pedestrians.exact import cosine, exp2, power_table
from snreid.synthetic.pedestrians.style import Style
from snreid.synthetic.randomness import bell_integers

Matrix: TypeAlias = NDArray[np.float64]

_UNIT = 16384.0
"""Filter weights sum to this."""
_LEVELS = 4096
"""Steps of linear light that the sensor resolves below saturation."""
_FINE = 16
"""Grey levels are kept in sixteenths until the end."""


def expose(light: NDArray[np.float32], style: Style, seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) pixels of linear light (3, H, W), where 1 is a white surface in full light; H, W multiples of 16."""
    _, height, width = light.shape
    gains = np.array(style.illuminant, dtype=np.float32) * np.float32(0.82 * exp2(style.exposure))
    light = light * gains[:, None, None]
    if style.haze > 0:
        light = light + (gains[:, None, None] - light) * np.float32(style.haze)
    if style.vignetting > 0:
        light *= _corners(height, width, style.vignetting)
    counts = np.floor(np.clip(light, 0.0, 3.999) * np.float32(_LEVELS) + np.float32(0.5)).astype(np.float64)
    rows, columns = sensor_size(height, style), sensor_size(width, style)
    blunt = min(style.sharpness, 1.0)
    radius = 0.9 * height / 128.0 * (0.75 / (blunt * blunt) + 0.25)
    counts = _filtered(counts, _shrink(height, rows, radius), _shrink(width, columns, radius))
    np.minimum(counts, _LEVELS - 1, out=counts)
    values = _tone_curve(style.gamma, style.contrast)[counts.astype(np.int32)]
    values = _saturated(values, style.saturation)
    values = _noisy(values, style.noise, seed)
    sharpen = max(style.sharpness - 1.0, 0.0)
    fine = _filtered(values.astype(np.float64), _enlarge(rows, height, sharpen), _enlarge(columns, width, sharpen))
    if style.jpeg < 100:
        fine = _compressed(np.clip(fine, 0.0, 255.0 * _FINE), style.jpeg)
    pixels = np.clip(np.floor(fine * (1.0 / _FINE) + 0.5), 0.0, 255.0)
    return np.ascontiguousarray(pixels.astype(np.uint8).transpose(1, 2, 0))


def sensor_size(pixels: int, style: Style) -> int:
    """Rows (or columns) of the sensor for this many of the picture."""
    return max(8, int(pixels * style.resolution + 0.5))


def _filtered(planes: Matrix, rows: Matrix, columns: Matrix) -> Matrix:
    """Filter integers (3, H, W) along both axes and round down to integers."""
    count, height, width = planes.shape
    across = (planes.reshape(count * height, width) @ columns).reshape(count, height, -1)
    return np.floor((rows.T @ across) * (1.0 / (_UNIT * _UNIT)))


def _whole(kernel: Matrix) -> Matrix:
    """Scale columns of non-negative weights to integers that sum to ``_UNIT`` up to rounding."""
    kernel = np.floor(kernel * 1024.0 + 0.5)
    whole: Matrix = np.floor(kernel * (_UNIT / kernel.sum(axis=0)) + 0.5)
    return whole


@lru_cache(maxsize=512)
def _shrink(size: int, sensor: int, radius: float) -> Matrix:
    """(size, sensor) lens and sensor: each sensor element gathers the light around its place."""
    ratio = size / sensor
    reach = max(radius, 0.75 * ratio + 0.25 * radius)
    places = (np.arange(sensor) + 0.5) * ratio - 0.5
    distance = (np.arange(size)[:, None] - places[None, :]) * (1.0 / (reach * 1.25))
    bump = np.maximum(1.0 - distance * distance, 0.0)
    return _whole(bump * bump)


@lru_cache(maxsize=512)
def _enlarge(sensor: int, size: int, sharpen: float) -> Matrix:
    """(sensor, size) linear interpolation, followed by sharpening of the result by ``sharpen`` (0 is none)."""
    places = (np.arange(size) + 0.5) * (sensor / size) - 0.5
    places = np.clip(places, 0.0, sensor - 1.0)
    weights = np.maximum(1.0 - np.abs(np.arange(sensor)[:, None] - places[None, :]), 0.0)
    matrix: Matrix = np.floor(weights * _UNIT + 0.5)
    if sharpen > 0:
        padded = np.concatenate([matrix[:, :1], matrix, matrix[:, -1:]], axis=1)
        smooth = padded[:, :-2] + 2.0 * matrix + padded[:, 2:]
        matrix = matrix + np.floor((4.0 * matrix - smooth) * (0.2 * sharpen) + 0.5)
    return matrix


@lru_cache(maxsize=64)
def _corners(height: int, width: int, loss: float) -> NDArray[np.float32]:
    y = (np.arange(height)[:, None] + 0.5) * (2.0 / height) - 1.0
    x = (np.arange(width)[None, :] + 0.5) * (2.0 / width) - 1.0
    return (1.0 - loss * 0.5 * (x * x + y * y)).astype(np.float32)


@lru_cache(maxsize=1)
def _srgb() -> Matrix:
    """(_LEVELS,) encoded value, 0 to 1, of linear light."""
    linear = np.arange(_LEVELS) / (_LEVELS - 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * power_table(1.0 / 2.4, _LEVELS) - 0.055)


def _tone_curve(gamma: float, contrast: float) -> NDArray[np.int32]:
    """(_LEVELS,) sixteenths of a grey level of linear light: sRGB, then gamma, then contrast around 0.45."""
    steps = 1024
    encoded = power_table(gamma, steps + 1)
    encoded = np.clip((encoded - 0.45) * contrast + 0.45, 0.0, 1.0)
    values = np.floor(encoded * (255 * _FINE) + 0.5)
    place = _srgb() * steps
    below = np.minimum(np.floor(place), steps - 1.0).astype(np.int32)
    share = place - below
    return np.floor(values[below] * (1.0 - share) + values[below + 1] * share + 0.5).astype(np.int32)


def _saturated(values: NDArray[np.int32], saturation: float) -> NDArray[np.int32]:
    share = int(saturation * 256.0 + 0.5)
    if share == 256:
        return values
    grey = (values[0] * 77 + values[1] * 150 + values[2] * 29) >> 8
    moved: NDArray[np.int32] = grey + (((values - grey) * share) >> 8)
    return moved


def _noisy(values: NDArray[np.int32], noise: float, seed: int) -> NDArray[np.int32]:
    """Add noise, two thirds of it common to the three colours, and stay within the range of pixels."""
    _, height, width = values.shape
    scale = int(noise * _FINE / 147.8 * 1.372 * 1024.0 + 0.5)
    if scale:
        grain = bell_integers(seed, 4 * height * width).reshape(4, height, width)
        values = values + (((grain[0] * 5 + grain[1:] * 3) * scale) >> 13)
    clipped: NDArray[np.int32] = np.clip(values, 0, 255 * _FINE)
    return clipped


_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""


@lru_cache(maxsize=256)
def _steps(quality: int, chroma: bool, height: int, width: int) -> Matrix:
    """(height, width) quantization steps, the 8 x 8 table repeated."""
    table = np.array((_CHROMA if chroma else _LUMA).split(), dtype=np.int64).reshape(8, 8)
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = np.clip((table * scale + 50) // 100, 1, 255).astype(np.float64)
    return np.tile(table, (height // 8, width // 8))


@lru_cache(maxsize=16)
def _transform(size: int) -> Matrix:
    """(size, size) block-diagonal 8-point cosine transform, whole numbers scaled by 8192."""
    block = [[cosine((2 * n + 1) * k / 32.0) * (0.5 if k else 0.35355339059327373) for n in range(8)] for k in range(8)]
    whole = np.floor(np.array(block) * 8192.0 + 0.5)
    out = np.zeros((size, size))
    for start in range(0, size, 8):
        out[start : start + 8, start : start + 8] = whole
    return out


def _coded(plane: Matrix, quality: int, chroma: bool) -> Matrix:
    """A plane (H, W) of integer sixteenths, centred on zero, after quantization."""
    height, width = plane.shape
    down, across = _transform(height), _transform(width)
    steps = _steps(quality, chroma, height, width)
    scale = 1.0 / (8192.0 * 8192.0 * _FINE)
    kept = np.floor((down @ plane @ across.T) * scale / steps + 0.5) * steps
    return np.floor((down.T @ kept @ across) * (_FINE / (8192.0 * 8192.0)) + 0.5)


def _compressed(values: Matrix, quality: int) -> Matrix:
    """JPEG's loss at this quality on (3, H, W) whole sixteenths of a grey level."""
    red, green, blue = values
    luma = np.floor((red * 77.0 + green * 150.0 + blue * 29.0) * (1.0 / 256.0) + 0.5)
    luma_out = _coded(luma - 128.0 * _FINE, quality, False) + 128.0 * _FINE
    out = []
    for channel, factor in ((blue, 144.0), (red, 183.0)):
        difference = channel - luma
        small = difference[0::2, 0::2] + difference[0::2, 1::2] + difference[1::2, 0::2] + difference[1::2, 1::2]
        coded = _coded(np.floor(small * (factor / 1024.0) + 0.5), quality, True)
        out.append(np.repeat(np.repeat(coded * (256.0 / factor), 2, axis=0), 2, axis=1))
    blue_less, red_less = out
    green_less = (red_less * 77.0 + blue_less * 29.0) * (-1.0 / 150.0)
    return luma_out + np.stack([red_less, green_less, blue_less])
