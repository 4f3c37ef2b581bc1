"""The surface of a solid: a colour, a repeating pattern and decals, in the solid's own coordinates.

Because a pattern is a function of (u, v, w) on the solid, it turns with the body, narrows at the silhouette and stays on
its side. The angle around a solid is measured as ``u / (|u| + |v|)``, which needs no arc tangent.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.pedestrians.exact import linear_of

Colour: TypeAlias = tuple[float, float, float]
"""Red, green, blue in linear light, 0 to 1."""
Samples: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]

PATTERNS = ("plain", "hoops", "stripes", "checks", "plaid", "dots", "blocks", "camouflage")
DECALS = ("box", "disc", "ring", "wedge", "bars", "strap", "zigzag")


def colour(code: str) -> Colour:
    """Linear light of an sRGB colour written as ``"rrggbb"``."""
    red, green, blue = (linear_of(int(code[i : i + 2], 16) / 255.0) for i in (0, 2, 4))
    return red, green, blue


def shaded(base: Colour, factor: float) -> Colour:
    """The same colour, ``factor`` times as bright, at most 1."""
    return min(base[0] * factor, 1.0), min(base[1] * factor, 1.0), min(base[2] * factor, 1.0)


@dataclass(frozen=True, slots=True)
class Decal:
    """A mark on one side of a solid: a logo, a face, an open jacket's front, a strap."""

    shape: str
    """One of ``DECALS``."""
    colour: Colour
    side: int = 1
    """1 on the front, -1 on the back, 0 on both."""
    at: tuple[float, float] = (0.0, 0.0)
    """Centre (u, w), metres on the garment."""
    size: tuple[float, float] = (0.05, 0.05)
    """Half width and half height, metres."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Colour, pattern and decals of a solid."""

    colour: Colour
    pattern: str = "plain"
    """One of ``PATTERNS``."""
    second: Colour = (0.0, 0.0, 0.0)
    """The pattern's other colour."""
    period: float = 0.08
    """Size of the pattern, metres."""
    decals: tuple[Decal, ...] = ()
    height: tuple[float, float] = (0.0, 1.0)
    """Where the garment begins and ends (w): colour blocks are measured in it."""

    @property
    def is_plain(self) -> bool:
        """Whether it has only its colour."""
        return self.pattern == "plain" and not self.decals


def paint(surface: Surface, u: Samples, v: Samples, w: Samples, out: Samples) -> None:
    """Write linear albedo into ``out`` (3, N) for points (N,) each given in metres on the garment."""
    out[:] = np.array(surface.colour, dtype=np.float32)[:, None]
    if surface.pattern != "plain":
        mask = _pattern(surface, u, v, w)
        np.copyto(out, np.array(surface.second, dtype=np.float32)[:, None], where=mask)
    for decal in surface.decals:
        mask = _decal(decal, u, w)
        if decal.side:
            mask &= v > 0 if decal.side > 0 else v < 0
        np.copyto(out, np.array(decal.colour, dtype=np.float32)[:, None], where=mask)


def _half(x: Samples, period: float, share: float = 0.5) -> Mask:
    """True on the first ``share`` of every period."""
    phase = x * np.float32(1.0 / period)
    phase -= np.floor(phase)
    inside: Mask = phase < np.float32(share)
    return inside


def _angle(u: Samples, v: Samples) -> Samples:
    """-1 to 1 over the front from one side to the other, the same over the back."""
    reach: Samples = np.abs(u) + np.abs(v)
    reach += np.float32(1e-6)
    around: Samples = np.divide(u, reach, dtype=np.float32)
    return around


def _pattern(surface: Surface, u: Samples, v: Samples, w: Samples) -> Mask:
    """(N,) where the second colour shows."""
    period, kind = surface.period, surface.pattern
    if kind == "hoops":
        return _half(w, period, 0.42)
    around = _angle(u, v) * np.float32(0.2)
    if kind == "stripes":
        return _half(around, period * 0.8, 0.35)
    if kind == "checks":
        return _half(around, period) ^ _half(w, period)
    if kind == "plaid":
        return _half(around, period, 0.3) | _half(w, period, 0.3)
    if kind == "dots":
        x, y = around * np.float32(1.0 / period), w * np.float32(1.0 / period)
        x, y = x - np.floor(x) - np.float32(0.5), y - np.floor(y) - np.float32(0.5)
        dots: Mask = x * x + y * y < np.float32(0.09)
        return dots
    if kind == "blocks":
        low, high = surface.height
        return w > np.float32(low + (high - low) * (0.35 + 0.4 * min(max(period / 0.12, 0.0), 1.0)))
    # Camouflage: three crossing zigzags; cheap, and without an obvious period.
    a = np.abs(around * np.float32(7.0) + w * np.float32(3.1)) % np.float32(0.31)
    b = np.abs(around * np.float32(-4.3) + w * np.float32(5.7)) % np.float32(0.23)
    c = np.abs(around * np.float32(2.1) - w * np.float32(8.9)) % np.float32(0.37)
    mask: Mask = a + b + c > np.float32(0.47)
    return mask


def _decal(decal: Decal, u: Samples, w: Samples) -> Mask:
    """(N,) where the decal is, whatever the side."""
    x = (u - np.float32(decal.at[0])) * np.float32(1.0 / decal.size[0])
    y = (w - np.float32(decal.at[1])) * np.float32(1.0 / decal.size[1])
    one = np.float32(1.0)
    if decal.shape == "disc":
        return x * x + y * y < one
    if decal.shape == "ring":
        square = x * x + y * y
        return (square < one) & (square > np.float32(0.35))
    inside: Mask = (np.abs(x) < one) & (np.abs(y) < one)
    if decal.shape == "wedge":
        inside &= np.abs(x) < (y + one) * np.float32(0.5)
    elif decal.shape == "bars":
        inside &= _half(y + one, 0.8, 0.55)
    elif decal.shape == "strap":
        inside &= np.abs(x - y) < np.float32(0.2)
    elif decal.shape == "zigzag":
        inside &= np.abs(np.abs(x) * np.float32(1.4) - np.float32(0.7) - y) < np.float32(0.35)
    return inside
