"""A camera: its position and the look of its pictures, independent of who is seen.

``Film.develop`` turns linear light at twice the size into the picture: averaged down, exposed, toned, reduced to the
camera's own resolution, sharpened or blurred, with noise and JPEG, and scaled back to the requested size.

The distributions of cameras are set by hand and by aggregates of CUHK03's training images, and of no other
data set (``benchmarks/people_realism.py``): close to them on average, yet wider, because CUHK03 has few cameras and a model
trained on rendered people must work on any.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import atan2, cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from snreid.images.reading import recompress
from snreid.synthetic.limits import check_fields
from snreid.synthetic.people.site import Site, scene_arrays
from snreid.synthetic.randomness import Draws, bell_integers

F32 = NDArray[np.float32]
_TRIES = 16
_BELL_SPREAD = 147.8
"""Standard deviation of ``bell_integers``."""
_STEEPEST = 2.5
"""Largest factor by which a flat picture is stretched."""
_MIDDLE_GREY, _MADE_UP = 0.18, 0.75
"""Target of automatic exposure, and the share of the difference it corrects: a dark place stays a little darker."""


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """Position and direction of a camera. Metres and radians."""

    place: tuple[float, float] = (0.0, -10.0)
    height: float = 3.0
    heading: float = pi / 2
    """Viewing direction: 0 along x, a quarter turn along y."""
    pitch: float = 0.2
    """Below the horizon."""
    focal: float = 900.0
    """Height in pixels of its own picture of an object of one metre at one metre."""
    view: float = 0.45
    """Half its width, as a tangent."""

    def __post_init__(self) -> None:
        check_fields(self, height=(0.5, 15.0), pitch=(-0.3, 1.4), focal=(50.0, 10000.0), view=(0.05, 2.0))

    @property
    def eye(self) -> F32:
        """(3,)"""
        return np.array([*self.place, self.height], np.float32)

    @property
    def axes(self) -> F32:
        """(3, 3): right, down and forward in the world."""
        c, s, p, q = cos(self.heading), sin(self.heading), cos(self.pitch), sin(self.pitch)
        return np.array([[s, -c, 0.0], [-c * q, -s * q, -p], [c * p, s * p, -q]], np.float32)


@dataclass(frozen=True, kw_only=True)
class Film:
    """The look of a camera's pictures."""

    exposure: float = 1.0
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of red, green and blue."""
    saturation: float = 0.9
    contrast: float = 0.1
    """-0.5 flat to 0.8 hard."""
    gamma: float = 1.0
    levels: float = 0.0
    """Share by which the darkest and the brightest parts of a picture are stretched to black and white."""
    lift: float = 0.02
    """Of black, as haze and cheap lenses do."""
    aliased: float = 0.0
    """Share of pixels sampled instead of averaged, 0 to 1: jagged edges, as from cheap scaling."""
    blur: float = 0.2
    """Pixels of the final picture."""
    sharpen: float = 0.3
    noise: float = 0.008
    quality: int = 75
    """Of JPEG."""

    def __post_init__(self) -> None:
        check_fields(
            self, exposure=(0.05, 20.0), saturation=(0.0, 3.0), contrast=(-0.5, 0.9), gamma=(0.3, 3.0), levels=(0.0, 1.0),
            lift=(0.0, 0.4), aliased=(0.0, 1.0), blur=(0.0, 6.0), sharpen=(0.0, 6.0), noise=(0.0, 0.2), quality=(5, 100),
        )  # fmt: skip

    def develop(self, light: F32, native: float, key: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB from (2 H, 2 W, 3) of linear light. ``native``: the picture's height in the camera's own pixels; ``key``: of the
        noise."""
        from snreid.synthetic.people.kernels import averaged_down, toned  # drawing a camera needs no numba

        height, width = light.shape[0] // 2, light.shape[1] // 2
        x = np.empty((height, width, 3), np.float32)
        level = averaged_down(light, self.aliased, x) ** 2
        gain = self.exposure * (_MIDDLE_GREY / max(level, 1e-3)) ** _MADE_UP
        gains = np.array(self.white, np.float32) * np.float32(gain)
        toned(x, gains, 1 / (2.2 * self.gamma), self.saturation, self.contrast)
        x = self._levelled(x)
        if self.blur > 0.15:
            x = blurred(x, self.blur)
        return self._recorded(x, native, key)

    def _levelled(self, x: F32) -> F32:
        """The picture with its darkest and brightest parts stretched, and with black lifted."""
        grey = np.sort(x[1::3, 1::3, 1].ravel())
        low, high = float(grey[len(grey) // 64]), float(grey[-1 - len(grey) // 64])
        black, white = low * (1 - self.levels), high + (1 - high) * self.levels
        slope = min((white - black) / max(high - low, 0.05), _STEEPEST)
        rise = (black + white) / 2 - slope * (low + high) / 2
        kept = 1 - self.lift
        return np.asarray(x * np.float32(slope * kept) + np.float32(rise * kept + self.lift), np.float32)

    def _recorded(self, x: F32, native: float, key: int) -> NDArray[np.uint8]:
        """The picture as stored in the camera's own pixels, scaled back to its size."""
        height, width = x.shape[:2]
        rows = int(min(max(native, 40.0), height))
        small = (max(8, rows * width // height), rows)
        if small[1] != height:
            picture = Image.fromarray(_bytes(x)).resize(small, Image.Resampling.BOX)
            x = np.asarray(picture, np.float32) / np.float32(255)
        if self.sharpen > 0.05:
            x = np.asarray(x + np.float32(self.sharpen) * (x - blurred(x, 1.0)))
        if self.noise > 0:
            grain = bell_integers(key, x.size).reshape(x.shape).astype(np.float32)
            grain *= np.float32(self.noise / _BELL_SPREAD)
            x = np.asarray(x + 0.7 * grain + 1.2 * grain.mean(-1, keepdims=True), np.float32)
        stored = recompress(_bytes(x), self.quality)
        if stored.shape == (height, width, 3):
            return stored
        return np.array(Image.fromarray(stored).resize((width, height), Image.Resampling.BICUBIC), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One camera of a site."""

    viewpoint: Viewpoint = Viewpoint()
    film: Film = Film()


def _bytes(x: F32) -> NDArray[np.uint8]:
    return np.asarray(np.clip(x * 255 + np.float32(0.5), 0, 255), np.uint8)


@lru_cache(maxsize=256)
def _taps(hundredths: int) -> F32:
    sigma = max(hundredths, 1) / 100
    reach = max(1, int(np.ceil(2.5 * sigma)))
    values = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(values / values.sum(), np.float32)


def blurred(image: F32, sigma: float) -> F32:
    """(H, W, C) blurred by a Gaussian of ``sigma`` pixels, edges repeated."""
    from snreid.synthetic.people.kernels import blur_into

    out = np.empty_like(image)
    blur_into(image, _taps(round(sigma * 100)), np.empty_like(image), out)
    return out


def draw_camera(draws: Draws, site: Site) -> Camera:
    """A random camera that looks at the middle of a site, with an unobstructed view if one is found in ``_TRIES`` tries."""
    stage = scene_arrays(site.kind, site.seed)
    for attempt in range(_TRIES):
        viewpoint = _draw_viewpoint(draws.below("try", attempt), site)
        eye, (x, y) = viewpoint.eye, viewpoint.place
        ahead = np.array([cos(viewpoint.heading), sin(viewpoint.heading), 0.0], np.float32)
        below = np.array([x, y, 1.2], np.float32)
        if stage.free(x, y) and all(stage.sees(eye, below + ahead * away) for away in (3, 5, 7)):
            break
    return Camera(viewpoint=viewpoint, film=_draw_film(draws.below("film")))


def _draw_viewpoint(draws: Draws, site: Site) -> Viewpoint:
    around = draws.uniform("around", -pi, pi)
    away = draws.uniform("away", 0.55, 1.0) * site.radius
    place = (away * cos(around), away * sin(around))
    target = (draws.bell("target x", 0.0, 1.5), draws.bell("target y", 0.0, 1.5))
    low, high = draws.pick("mounting", ((1.6, 2.3), (2.3, 3.4), (3.4, 6.0)), (0.22, 0.46, 0.32))
    height = min(draws.uniform("height", low, high), 3.6 if site.indoor else 9.0)
    flat = max(((target[0] - place[0]) ** 2 + (target[1] - place[1]) ** 2) ** 0.5, 2.0)
    return Viewpoint(
        place=place,
        height=height,
        heading=atan2(target[1] - place[1], target[0] - place[0]),
        pitch=min(atan2(height - 0.9, flat) * draws.uniform("pitch", 0.9, 1.1), 1.0),
        focal=draws.pick("resolution", (480.0, 640.0, 950.0, 1500.0), (0.15, 0.3, 0.33, 0.22)),
        view=draws.uniform("view", 0.35, 0.7),
    )


def _draw_film(draws: Draws) -> Film:
    warm, green = draws.bell("warm", -0.04, 0.06), draws.bell("green", 0.0, 0.03)
    soft = draws.chance("soft", 0.25)  # out of focus, or smoothed by the manufacturer against noise
    vivid = draws.chance("vivid one", 0.35)
    return Film(
        exposure=2.0 ** draws.bell("exposure", -0.55, 0.42),
        white=(1 + warm, 1 + green, 1 - warm),
        saturation=min(
            max(draws.bell("vivid", 0.80, 0.22) if vivid else draws.bell("saturation", 0.43, 0.14), 0.1), 1.5
        ),
        contrast=draws.uniform("contrast", -0.4, 0.3),
        gamma=min(max(draws.bell("gamma", 0.82, 0.10), 0.6), 1.2),
        levels=draws.uniform("levels", 0.35, 1.0),
        lift=max(0.0, draws.bell("lift", -0.005, 0.03)),
        aliased=0.0 if soft else draws.uniform("aliased", 0.2, 1.0),
        blur=draws.uniform("out of focus", 0.3, 1.1) if soft else abs(draws.bell("blur", 0.0, 0.2)),
        sharpen=draws.uniform("soft sharpen", 0.0, 1.2) if soft else draws.uniform("sharpen", 0.0, 2.4),
        noise=0.001 + 0.015 * draws.uniform("noise") ** 2,
        quality=int(draws.uniform("quality", 45, 92)),
    )
