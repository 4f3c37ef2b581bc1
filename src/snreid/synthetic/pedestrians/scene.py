"""The place: a wall and a ground, painted once per camera as a panorama and cropped for every image.

The ground is the plane y = 0 under the person's feet, the wall is upright ``scene.distance`` behind. Both are seen
by the same parallel rays as the person (``solids.py``), so a higher viewpoint shows more ground.
"""

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.pedestrians.exact import cosine, sine
from snreid.synthetic.pedestrians.style import Scene
from snreid.synthetic.pedestrians.surface import Colour, shaded
from snreid.synthetic.randomness import Draws, hashed

Plane: TypeAlias = NDArray[np.float64]
Planes: TypeAlias = NDArray[np.float64]
"""(3, H, W) red, green and blue."""

PANORAMA_WIDTH = 6.0
"""Metres."""
PANORAMA_TOP, PANORAMA_BOTTOM = 2.9, -0.6
"""Metres above the feet in the picture plane."""


def _lattice(ix: Plane, iy: Plane, seed: int) -> Plane:
    """A random number in [0, 1) for every pair of integers, any shape (broadcast)."""
    keys = ix.astype(np.int64) * 73856093 + iy.astype(np.int64) * 19349663 + (seed & 0x3FFFFFFF) * 83492791
    return (hashed(keys.astype(np.uint64)) >> np.uint64(40)).astype(np.float64) * (1.0 / (1 << 24))


def _noise(x: Plane, y: Plane, size: float, seed: int) -> Plane:
    """Smooth random values in [0, 1) that change over ``size`` metres."""
    x, y = x * (1.0 / size), y * (1.0 / size)
    ix, iy = np.floor(x), np.floor(y)
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy)
    low = _lattice(ix, iy, seed) * (1.0 - fx) + _lattice(ix + 1, iy, seed) * fx
    high = _lattice(ix, iy + 1, seed) * (1.0 - fx) + _lattice(ix + 1, iy + 1, seed) * fx
    return low * (1.0 - fy) + high * fy


def _mix(first: Colour, second: Colour, share: Plane) -> Planes:
    """``first`` where ``share`` is 0, ``second`` where it is 1."""
    return np.stack([a + (b - a) * share for a, b in zip(first, second, strict=True)])


def _cells(x: Plane, y: Plane, wide: float, high: float, joint: float, shifted: bool, seed: int) -> tuple[Plane, Plane]:
    """Rectangular cells: (a random number per cell, 1.0 on the joints between them)."""
    row = np.floor(y * (1.0 / high))
    x = x * (1.0 / wide) + (0.5 * (row - 2.0 * np.floor(row * 0.5)) if shifted else 0.0)
    column = np.floor(x)
    gap = (x - column < joint / wide) | (y * (1.0 / high) - row < joint / high)
    return _lattice(column, row, seed), gap.astype(np.float64)


def _wall(scene: Scene, x: Plane, h: Plane) -> Planes:
    """Albedo of the wall at ``x`` along it and height ``h``."""
    kind, seed, first, second = scene.wall, scene.seed, scene.wall_colour, scene.wall_second
    if kind == "bricks":
        tone, gap = _cells(x, h, 0.24, 0.085, 0.012, True, seed)
        return _mix(first, second, gap) * (0.75 + 0.5 * tone * (1.0 - gap))
    if kind == "tiles":
        tone, gap = _cells(x, h, 0.3, 0.3, 0.014, False, seed)
        return _mix(first, shaded(first, 0.55), gap) * (0.94 + 0.12 * tone)
    if kind == "panels":
        tone, gap = _cells(x, h, 1.15, 0.9, 0.03, False, seed)
        return _mix(first, second, np.where(tone > 0.62, 0.8, 0.0)) * (1.0 - 0.6 * gap)
    if kind == "hedge":
        leaves = _noise(x, h, 0.06, seed) * 0.6 + _noise(x, h, 0.35, seed + 1) * 0.7
        return _mix(shaded(first, 0.25), first, leaves)
    if kind == "fence":
        behind = _mix(second, shaded(second, 0.5), _noise(x, h, 0.5, seed))
        bars, _ = _cells(x, h * 0.0, 0.16, 9.0, 0.0, False, seed)
        slat = (x * (1.0 / 0.16) - np.floor(x * (1.0 / 0.16)) < 0.45) & (h < 1.7)
        return np.where(slat, _mix(first, shaded(first, 0.7), bars), behind)
    if kind in ("shops", "doors"):
        return _facade(scene, x, h)
    stains = _noise(x, h, 0.8, seed) * 0.6 + _noise(x, h, 0.05, seed + 3) * 0.4
    return _mix(first, second, np.where(h < 0.35, 0.5, 0.0)) * (0.8 + 0.4 * stains)


def _facade(scene: Scene, x: Plane, h: Plane) -> Planes:
    """Shop windows with goods behind the glass and a sign above, or doors in a plain front."""
    shops = scene.wall == "shops"
    wide, share = (1.5, 0.8) if shops else (1.3, 0.62)
    column = np.floor(x * (1.0 / wide))
    inside = x * (1.0 / wide) - column
    tone, hue = _lattice(column, column * 0.0, scene.seed), _lattice(column, column * 0.0, scene.seed + 7)
    low, high = (0.35, 2.0) if shops else (0.0, 2.05)
    pane = (inside > 0.5 - share / 2) & (inside < 0.5 + share / 2) & (h > low) & (h < high)
    frame = pane & ((inside < 0.5 - share / 2 + 0.03) | (inside > 0.5 + share / 2 - 0.03) | (h > high - 0.05))
    goods = _noise(x, h, 0.22, scene.seed + 11)
    glass = _mix(shaded(scene.wall_second, 0.4), shaded(scene.wall_colour, 1.6), goods * tone)
    out = _mix(scene.wall_colour, scene.wall_second, np.where(h < 0.3, 0.6, 0.1 * _noise(x, h, 0.1, scene.seed)))
    out = np.where(pane, glass if shops else glass * 0.35 + _mix(scene.wall_second, (0.05, 0.05, 0.05), hue) * 0.6, out)
    out = np.where(frame, np.array(shaded(scene.wall_colour, 0.4))[:, None, None], out)
    if shops:
        sign = (h > 2.1) & (h < 2.5)
        letters = (_lattice(np.floor(x * 9.0), np.floor(h * 7.0), scene.seed + 5) > 0.6) & (h > 2.18) & (h < 2.42)
        board = np.stack([0.08 + 0.5 * hue, 0.08 + 0.35 * tone, 0.6 - 0.5 * hue])
        out = np.where(sign, np.where(letters, 0.85, board), out)
    return out


def _ground(scene: Scene, x: Plane, z: Plane) -> Planes:
    """Albedo of the ground at ``x`` across and ``z`` towards the camera."""
    kind, seed, first, second = scene.ground, scene.seed + 100, scene.ground_colour, scene.ground_second
    grain = _noise(x, z, 0.03, seed) * 0.5 + _noise(x, z, 0.6, seed + 1) * 0.5
    if kind in ("slabs", "tiles"):
        size = 0.5 if kind == "slabs" else 0.33
        tone, gap = _cells(x, z, size, size, 0.02, kind == "slabs", seed)
        return _mix(first, second, gap) * (0.85 + 0.2 * tone + 0.1 * grain)
    if kind == "crossing":
        phase = x + 0.3
        white = (phase - np.floor(phase) < 0.5).astype(np.float64)
        return _mix(first, (0.7, 0.7, 0.68), white) * (0.8 + 0.4 * grain)
    if kind == "planks":
        tone, gap = _cells(x, z, 0.14, 2.5, 0.012, True, seed)
        return _mix(first, second, np.maximum(gap, tone * 0.4)) * (0.85 + 0.3 * grain)
    if kind == "grass":
        return _mix(shaded(first, 0.55), second, _noise(x, z * 0.5, 0.04, seed + 2) * 0.6 + grain * 0.4)
    if kind == "gravel":
        return _mix(first, second, _noise(x, z, 0.025, seed + 2))
    return _lit(first, 0.75 + 0.5 * grain)


def _lit(base: Colour, factor: Plane) -> Planes:
    """One colour, its brightness times ``factor``."""
    return np.stack([channel * factor for channel in base])


def _clutter(scene: Scene, x: Plane, h: Plane, out: Planes) -> None:
    """Posters, bins, posts and people far away: rounded upright shapes along the wall, in place."""
    for number in range(scene.clutter):
        draws = Draws.of("clutter", scene.seed, number)
        middle, wide = draws.uniform("x", 0.0, PANORAMA_WIDTH), draws.uniform("wide", 0.03, 0.28)
        low = 0.0 if draws.chance("stands", 0.7) else draws.uniform("low", 0.6, 1.4)
        high = low + draws.uniform("high", 0.3, 1.5)
        tone = draws.uniform("tone", 0.02, 0.3)
        tint = (
            tone * draws.uniform("r", 0.8, 1.25),
            tone * draws.uniform("g", 0.85, 1.15),
            tone * draws.uniform("b", 0.75, 1.25),
        )
        across, up = (x - middle) * (1.0 / wide), (h - low) * (2.0 / (high - low)) - 1.0
        square = across * across
        upper = up * up * up * up
        inside = square * square * square * square + upper * upper * upper < 1.0
        out[:] = np.where(inside, _lit(tint, 1.0 - 0.55 * square), out)


@lru_cache(maxsize=96)
def panorama(
    scene: Scene, viewpoint: float, light: tuple[float, float], shadow: float, pixel: float
) -> NDArray[np.float32]:
    """(3, rows, columns) light leaving wall and ground; rows fall from ``PANORAMA_TOP`` by ``pixel`` metres.

    Cached for the last 96 calls, because all images of one camera share it.
    """
    rows, columns = int((PANORAMA_TOP - PANORAMA_BOTTOM) / pixel), int(PANORAMA_WIDTH / pixel)
    x = (np.arange(columns, dtype=np.float64)[None, :] + 0.5) * pixel + np.zeros((rows, 1))
    y = PANORAMA_TOP - (np.arange(rows, dtype=np.float64)[:, None] + 0.5) * pixel + np.zeros((1, columns))
    down, flat = sine(viewpoint / 360.0), cosine(viewpoint / 360.0)
    base = scene.distance * down
    h = (y - base) * (1.0 / flat)
    split = int(min(max((PANORAMA_TOP - base) / pixel, 0.0), rows))
    out = np.empty((3, rows, columns))
    toward, up = cosine(light[0]) * cosine(light[1]), sine(light[1])
    if split:
        wall = _wall(scene, x[:split], h[:split])
        _clutter(scene, x[:split], h[:split], wall)
        out[:, :split] = wall * (0.75 * (1.0 - shadow) + 1.2 * shadow * max(0.12, toward))
    if split < rows:
        ground = _ground(scene, x[split:], y[split:] * (-1.0 / down))
        out[:, split:] = ground * ((1.0 - shadow) + 1.2 * shadow * max(0.12, up))
    return out.astype(np.float32)
