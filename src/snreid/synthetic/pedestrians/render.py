"""Draw one picture: solids lit from one side, their shadow, the place behind them, the camera's film.

The guarantee: equal values give equal pixels on any machine, and at most one grey level of difference where a
machine rounds differently. It holds by design, because every step is an operation whose result IEEE 754 (or integer
arithmetic) fixes: see ``exact.py`` for the functions, ``solids.py`` for the geometry, ``film.py`` for the
filters and the compression, ``randomness.py`` for the draws. No BLAS product of fractions, no library transcendental, no
reduction of fractions in an order of the library's choice, no image codec.
"""

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.synthetic.limits import check_size
from snreid.synthetic.pedestrians.body import person_solids
from snreid.synthetic.pedestrians.exact import cosine, sine
from snreid.synthetic.pedestrians.film import expose
from snreid.synthetic.pedestrians.identity import Pedestrian, draw_pedestrian
from snreid.synthetic.pedestrians.moment import PedestrianMoment
from snreid.synthetic.pedestrians.scene import PANORAMA_TOP, panorama
from snreid.synthetic.pedestrians.solids import Axes, Hits, Point, Solid, Stack, moved, stack, trace, upright
from snreid.synthetic.pedestrians.style import Style
from snreid.synthetic.pedestrians.surface import Surface, paint
from snreid.synthetic.randomness import Draws

_FINE = 2
"""Samples per pixel along each axis."""
_SHADOWLESS = 6e-4
"""Solids whose radii multiply to less (cubic metres) cast no shadow."""


@dataclass(frozen=True, kw_only=True)
class PedestrianPicture:
    """Person, style and moment: all values that determine the pixels."""

    identity: Pedestrian = field(default_factory=Pedestrian)
    style: Style = field(default_factory=Style)
    moment: PedestrianMoment = field(default_factory=PedestrianMoment)
    size: tuple[int, int] = (128, 64)
    """Height and width, multiples of 16 from 32 to 512; the width at most three times the height."""

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.size[1] > 3 * self.size[0]:  # the place behind the person is 3.1 times as wide as a picture is high
            raise ExperimentError(
                "A picture is at most three times as wide as it is high", found=str(self.size), fix="take (128, 64)"
            )

    def draw(self) -> NDArray[np.uint8]:
        """(height, width, 3) RGB."""
        height, width = self.size
        view = _view(self.moment.direction, self.style.viewpoint)
        people = person_solids(self.identity, self.moment)
        things = _occluder(self.moment)
        seen = stack([*people, *things], view)
        frame = _frame(seen.box[: len(people)], self.moment, self.size)
        light = _light(self.style)
        ground = _background(self.style, self.moment, frame, self.size)
        _cast_shadow(ground, seen, light, self.style, frame, self.size)
        fine_x = frame.left + _centres(width * _FINE) * (frame.across / _FINE)
        fine_y = frame.top - _centres(height * _FINE) * (frame.down / _FINE)
        hits = trace(seen, fine_x, fine_y)
        colours = _shade(seen, hits, light, view, self.style)
        return expose(_composed(ground, hits, colours, self.size), self.style, self.moment.seed)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Position of the crop in the picture plane, metres."""

    left: float
    top: float
    across: float
    """Per pixel."""
    down: float


def _centres(count: int) -> NDArray[np.float64]:
    """(count,) centres of pixels or samples, in their own unit."""
    return np.arange(count, dtype=np.float64) + 0.5


def _view(direction: float, viewpoint: float) -> Axes:
    """The view's axes in the body frame (see ``solids.py``)."""
    turned, facing = sine(direction), cosine(direction)
    tilt, level = sine(viewpoint / 360.0), cosine(viewpoint / 360.0)
    right = (facing, 0.0, turned)
    return right, (turned * tilt, level, -facing * tilt), (-turned * level, tilt, facing * level)


def _light(style: Style) -> Point:
    """Direction to the light in the view frame."""
    azimuth, elevation = style.light
    x, y, z = cosine(elevation) * sine(azimuth), sine(elevation), cosine(elevation) * cosine(azimuth)
    tilt, level = sine(style.viewpoint / 360.0), cosine(style.viewpoint / 360.0)
    return x, y * level - z * tilt, y * tilt + z * level


def _frame(box: NDArray[np.float64], moment: PedestrianMoment, size: tuple[int, int]) -> _Frame:
    """A detector's crop of the person, with its errors."""
    left, right = float(box[:, 0].min()), float(box[:, 1].max())
    bottom, top = float(box[:, 2].min()), float(box[:, 3].max())
    down = (top - bottom) / moment.zoom / size[0]
    across = down * moment.stretch
    middle_x = (left + right) / 2.0 - moment.shift[0] * across * size[1]
    middle_y = (top + bottom) / 2.0 + moment.shift[1] * down * size[0]
    return _Frame(middle_x - across * size[1] / 2.0, middle_y + down * size[0] / 2.0, across, down)


def _background(style: Style, moment: PedestrianMoment, frame: _Frame, size: tuple[int, int]) -> NDArray[np.float32]:
    """(3, H, W) light of the place, cropped so that the feet are on its ground."""
    height, width = size
    pixel = 1.92 / height
    whole = panorama(style.scene, style.viewpoint, style.light, style.shadow, pixel)
    _, rows, columns = whole.shape
    wanted = np.floor((PANORAMA_TOP - frame.top) / pixel + _centres(height) * (frame.down / pixel))
    row = np.clip(wanted, 0, rows - 1).astype(np.int64)
    start = int(moment.background * (columns - width))
    column = start + np.floor(_centres(width) * min(frame.across / pixel, 1.0)).astype(np.int64)
    return whole[:, row[:, None], column[None, :]]


def _cast_shadow(
    ground: NDArray[np.float32], seen: Stack, light: Point, style: Style, frame: _Frame, size: tuple[int, int]
) -> None:
    """Darken, in place, the shadowed ground and a little around the feet."""
    height, width = size
    tilt, level = sine(style.viewpoint / 360.0), cosine(style.viewpoint / 360.0)
    y = frame.top - _centres(height) * frame.down
    first = int(np.searchsorted(-y, -style.scene.distance * tilt))
    if first >= height:
        return
    x = frame.left + _centres(width) * frame.across
    y = y[first:, None]
    # The point of the ground behind a pixel has y = 0 in the world: its position along the ray follows from its row.
    hidden = _hidden(seen, light, x, y, y * (-level / tilt))
    direct = max(style.shadow * 1.2 * max(0.12, sine(style.light[1])), 0.0)
    lost = direct / (direct + 1.0 - style.shadow + 1e-6)
    z = y * (-1.0 / tilt)
    near = np.maximum(1.0 - (x * x + z * z) * 6.0, 0.0) * 0.45
    ground[:, first:] *= ((1.0 - hidden * (0.92 * lost)) * (1.0 - near)).astype(np.float32)


def _hidden(
    seen: Stack, light: Point, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(rows, columns) shadowed points of the ground. ``x`` (columns,), ``y``, ``z`` (rows, 1), view frame.

    The larger solids count, as ellipsoids. In the frame in which an ellipsoid is the unit sphere, a ray from p along d
    meets it when ``(p·d)² - |d|²(|p|² - 1) > 0``; p is a column's part plus a row's part, and so is nearly all of this.
    """
    hidden = np.zeros((len(y), len(x)), dtype=np.bool_)
    for solid, centre, axes in zip(seen.solids, seen.centre.tolist(), seen.axes.tolist(), strict=True):
        low, a0, b0, high, a1, b1, c = solid.ends
        radii = ((a0 + a1) / 2.0, (b0 + b1) / 2.0, c if c else (high - low) * 0.55)
        if radii[0] * radii[1] * radii[2] < _SHADOWLESS:
            continue
        middle = [place + along * (low + high) / 2.0 for place, along in zip(centre, axes[2], strict=True)]
        columns, rows = x - middle[0], (y - middle[1], z - middle[2])
        along_x, along_row, length = 0.0, np.zeros_like(y), 0.0
        square_x, square_row, cross = 0.0, np.zeros_like(y), np.zeros_like(y)
        for axis, radius in zip(axes, radii, strict=True):
            a, b, d = axis[0] / radius, axis[1] / radius, axis[2] / radius
            ray = a * light[0] + b * light[1] + d * light[2]
            part = rows[0] * b + rows[1] * d
            along_x, along_row, length = along_x + a * ray, along_row + part * ray, length + ray * ray
            square_x, square_row, cross = square_x + a * a, square_row + part * part, cross + part * a
        inside = columns * (2.0 * (along_x * along_row - length * cross))
        inside += (columns * columns) * (along_x * along_x - length * square_x)
        inside += along_row * along_row - length * (square_row - 1.0)
        hidden |= inside > 0
    return hidden


def _shade(seen: Stack, hits: Hits, light: Point, view: Axes, style: Style) -> NDArray[np.float32]:
    """(3, N) light leaving every sample: albedo x (ambient from the sky + direct light by the cosine of its angle)."""
    up = np.array([view[0][1], view[1][1], view[2][1]])
    sun = np.array(light)
    count = len(seen.solids)
    table = np.concatenate(
        [seen.centre, seen.axes.reshape(count, 9), seen.quadric[:, :4], _dots(seen.axes, sun), _dots(seen.axes, up)],
        axis=1,
    ).T.astype(np.float32)
    each = np.repeat(table, hits.counts, axis=1)
    dx, dy, dz = hits.point[0] - each[0], hits.point[1] - each[1], hits.point[2] - each[2]
    u = dx * each[3] + dy * each[4] + dz * each[5]
    v = dx * each[6] + dy * each[7] + dz * each[8]
    w = dx * each[9] + dy * each[10] + dz * each[11]
    albedo = _albedo(seen.solids, hits.counts, u, v, w)
    nu, nv, nw = u * each[12], v * each[13], w * each[14] + each[15]
    scale = np.float32(1.0) / np.sqrt(nu * nu + nv * nv + nw * nw)
    facing = np.maximum((nu * each[16] + nv * each[17] + nw * each[18]) * scale, 0.0)
    sky = (nu * each[19] + nv * each[20] + nw * each[21]) * scale
    ambient = sky * np.float32(0.3 * (1.0 - style.shadow)) + np.float32(0.75 * (1.0 - style.shadow) + 0.06)
    shaded: NDArray[np.float32] = albedo * (ambient + facing * np.float32(1.2 * style.shadow))
    return shaded


def _dots(axes: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, 3) a direction in the frame of every solid; summed by hand, for a fixed order."""
    out: NDArray[np.float64] = (
        axes[:, :, 0] * direction[0] + axes[:, :, 1] * direction[1] + axes[:, :, 2] * direction[2]
    )
    return out


def _albedo(
    solids: tuple[Solid, ...],
    counts: NDArray[np.int64],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    w: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(3, N) colours of the samples, solid by solid."""
    out = np.repeat(np.array([s.surface.colour for s in solids], dtype=np.float32).T, counts, axis=1)
    start = 0
    for solid, count in zip(solids, counts.tolist(), strict=True):
        end = start + count
        if count and not solid.surface.is_plain:
            part = slice(start, end)
            right, high = np.float32(solid.origin[0]), np.float32(solid.origin[1])
            paint(solid.surface, u[part] + right, v[part], w[part] + high, out[:, part])
        start = end
    return out


def _composed(
    ground: NDArray[np.float32], hits: Hits, colours: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float32]:
    """(3, H, W): the solids over the background, four samples to a pixel."""
    height, width = size
    pixel = hits.at // (width * _FINE * _FINE) * width + hits.at % (width * _FINE) // _FINE
    share = 1.0 / (_FINE * _FINE)
    # bincount adds in the order of the samples, which is the same everywhere.
    covered = np.bincount(pixel, minlength=height * width).reshape(height, width) * share
    planes = [np.bincount(pixel, c, height * width).reshape(height, width) * share for c in colours]
    out: NDArray[np.float32] = (np.stack(planes) + ground * (1.0 - covered)).astype(np.float32)
    return out


def _occluder(moment: PedestrianMoment) -> list[Solid]:
    """An object between the person and the camera, in the body frame."""
    if moment.occluder == "none":
        return []
    draws = Draws.of("occluder", moment.seed)
    turned, facing = sine(moment.direction), cosine(moment.direction)
    right, ahead = moment.occluder_at, 0.55
    place = (right * facing - ahead * turned, 0.0, right * turned + ahead * facing)
    tone = draws.uniform("tone", 0.03, 0.35)
    surface = Surface((tone * draws.uniform("red", 0.7, 1.4), tone, tone * draws.uniform("blue", 0.7, 1.4)))
    if moment.occluder == "passer-by":
        other = PedestrianMoment(phase=draws.uniform("phase"), stride=0.05)
        return [moved(solid, place) for solid in person_solids(draw_pedestrian(draws), other)]
    radius, high, slim = {
        "pole": (draws.uniform("radius", 0.03, 0.07), 3.0, 1.0),
        "bin": (draws.uniform("radius", 0.2, 0.3), draws.uniform("high", 0.7, 1.05), 1.0),
        "box": (draws.uniform("radius", 0.3, 0.55), draws.uniform("high", 0.4, 0.8), 0.35),
    }[moment.occluder]
    return [upright(-0.2, high, radius, radius * sqrt(0.9), slim, surface, at=(place[0], place[2]))]
