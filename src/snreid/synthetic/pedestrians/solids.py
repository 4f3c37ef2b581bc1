"""Solids and their intersections with rays: quadrics seen by a distant camera (parallel rays).

Every solid is one quadric in its own frame (u, v, w), ``a u² + b v² + c w² + 2 l w + k = 0``, cut to a range of w:
ellipsoids have ``c > 0, l = 0``; tapered cylinders with elliptical section have ``c = -s², l = -s r, k = -r²`` for
a radius ``r + s w``. Along the ray of a pixel this is a quadratic equation, solved in closed form, and the nearest solid wins.

Frames: the *body* frame has x to the person's left, y up, z forward, in metres, ground at y = 0. The *view* frame has
x to the right of the picture, y up in the picture, z towards the camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.pedestrians.surface import Surface

Point: TypeAlias = tuple[float, float, float]
Axes: TypeAlias = tuple[Point, Point, Point]

UPRIGHT: Axes = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0))
"""Axes u, v, w of an upright solid: left, forward, up."""
_FAR = 1e3


class Solid(NamedTuple):
    """One quadric with its surface, in the body frame, metres."""

    centre: Point
    axes: Axes
    """Unit vectors u, v, w."""
    quadric: tuple[float, float, float, float, float]
    """a, b, c, l, k."""
    cut: tuple[float, float]
    """Lowest and highest w that belong to the solid."""
    ends: tuple[float, float, float, float, float, float, float]
    """For the bounding box: w, u-radius, v-radius of the lower end, the same of the upper end, w-radius of both."""
    surface: Surface
    origin: tuple[float, float]
    """Position of the centre on the garment (u, w), so that a pattern continues from one solid to the next."""


def ellipsoid(
    centre: Point,
    radii: Point,
    surface: Surface,
    *,
    axes: Axes = UPRIGHT,
    cut: tuple[float, float] = (-_FAR, _FAR),
    origin: tuple[float, float] = (0.0, 0.0),
) -> Solid:
    """An ellipsoid with these radii (u, v, w), cut to a range of w."""
    a, b, c = radii
    quadric = (1.0 / (a * a), 1.0 / (b * b), 1.0 / (c * c), 0.0, -1.0)
    return Solid(centre, axes, quadric, cut, (0.0, a, b, 0.0, a, b, c), surface, origin)


def upright(
    low: float,
    high: float,
    radius_low: float,
    radius_high: float,
    depth: float,
    surface: Surface,
    *,
    at: tuple[float, float] = (0.0, 0.0),
) -> Solid:
    """A tapered upright cylinder from height ``low`` to ``high``, ``depth`` times as deep (z) as wide (x).

    ``at``: its x and z. Its pattern measures w from the ground.
    """
    centre = (at[0], low, at[1])
    return _tapered(centre, UPRIGHT, high - low, radius_low, radius_high, depth, surface, (0.0, low))


def limb(start: Point, end: Point, radius_start: float, radius_end: float, surface: Surface) -> Solid:
    """A tapered round cylinder between two points; w runs from ``start`` to ``end``, v looks forward."""
    delta = (end[0] - start[0], end[1] - start[1], end[2] - start[2])
    length = sqrt(delta[0] * delta[0] + delta[1] * delta[1] + delta[2] * delta[2])
    w = (delta[0] / length, delta[1] / length, delta[2] / length)
    # v is the forward direction made perpendicular to w; limbs never point straight forward.
    v = (-w[2] * w[0], -w[2] * w[1], 1.0 - w[2] * w[2])
    norm = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    v = (v[0] / norm, v[1] / norm, v[2] / norm)
    u = (w[1] * v[2] - w[2] * v[1], w[2] * v[0] - w[0] * v[2], w[0] * v[1] - w[1] * v[0])
    return _tapered(start, (u, v, w), length, radius_start, radius_end, 1.0, surface, (0.0, 0.0))


def _tapered(
    start: Point,
    axes: Axes,
    length: float,
    radius_start: float,
    radius_end: float,
    depth: float,
    surface: Surface,
    origin: tuple[float, float],
) -> Solid:
    slope = (radius_end - radius_start) / length
    quadric = (1.0, 1.0 / (depth * depth), -slope * slope, -slope * radius_start, -radius_start * radius_start)
    ends = (0.0, radius_start, radius_start * depth, length, radius_end, radius_end * depth, 0.0)
    return Solid(start, axes, quadric, (0.0, length), ends, surface, origin)


def moved(solid: Solid, by: Point) -> Solid:
    """The same solid at another place."""
    x, y, z = solid.centre
    return solid._replace(centre=(x + by[0], y + by[1], z + by[2]))


@dataclass(frozen=True)
class Stack:
    """Solids as seen by a camera: S solids, all numbers float64, view frame."""

    solids: tuple[Solid, ...]
    centre: NDArray[np.float64]
    """(S, 3)"""
    axes: NDArray[np.float64]
    """(S, 3, 3): [solid, u/v/w, x/y/z]"""
    quadric: NDArray[np.float64]
    """(S, 5)"""
    box: NDArray[np.float64]
    """(S, 4): left, right, bottom, top of each solid in the picture plane, metres."""


def stack(solids: Sequence[Solid], view: Axes) -> Stack:
    """Turn solids from the body frame into the view frame; ``view``: the view's x, y, z axes in the body frame."""
    turn = np.array(view)
    centre = _rotate(np.array([s.centre for s in solids]), turn)
    axes = _rotate(np.array([s.axes for s in solids]), turn)
    ends = np.array([s.ends for s in solids])
    plane = axes[:, :, :2]
    squares = plane * plane
    corners = []
    for at in (0, 3):
        middle = centre[:, :2] + ends[:, at, None] * plane[:, 2]
        reach = np.sqrt(
            squares[:, 0] * (ends[:, at + 1] * ends[:, at + 1])[:, None]
            + squares[:, 1] * (ends[:, at + 2] * ends[:, at + 2])[:, None]
            + squares[:, 2] * (ends[:, 6] * ends[:, 6])[:, None]
        )
        corners.append((middle - reach, middle + reach))
    low, high = np.minimum(corners[0][0], corners[1][0]), np.maximum(corners[0][1], corners[1][1])
    box = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
    return Stack(tuple(solids), centre, axes, np.array([s.quadric for s in solids]), box)


def _rotate(vectors: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not a matrix product: the library chooses its order of summation, and with it the last bit.
    x, y, z = vectors[..., 0, None], vectors[..., 1, None], vectors[..., 2, None]
    return x * turn[:, 0] + y * turn[:, 1] + z * turn[:, 2]


@dataclass(frozen=True)
class Hits:
    """Intersections of a picture's rays, N samples sorted by solid."""

    at: NDArray[np.int64]
    """(N,) flat position in the sample grid."""
    solid: NDArray[np.int64]
    """(N,) index of the solid."""
    counts: NDArray[np.int64]
    """(S,) samples per solid, which follow one another."""
    point: NDArray[np.float32]
    """(3, N) intersection in the view frame, metres."""


def trace(seen: Stack, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Hits:
    """Intersect parallel rays at columns ``xs`` (W,) ascending and rows ``ys`` (H,) descending, in metres, with the solids."""
    depth = np.full((len(ys), len(xs)), -_FAR, dtype=np.float32)
    owner = np.full(depth.shape, 255, dtype=np.uint8)
    columns = np.searchsorted(xs, seen.box[:, :2]).tolist()
    rows = np.searchsorted(-ys, -seen.box[:, 2:]).tolist()
    coefficients = _ray_coefficients(seen).tolist()
    fine_x, fine_y = xs.astype(np.float32), ys.astype(np.float32)
    for index, solid in enumerate(seen.solids):
        (left, right), (bottom, top) = columns[index], rows[index]
        if left < right and top < bottom:
            window = slice(top, bottom), slice(left, right)
            columns_seen, rows_seen = fine_x[left:right], fine_y[top:bottom, None]
            _meet(coefficients[index], solid.cut, columns_seen, rows_seen, depth[window], owner[window], index)
    flat = owner.ravel()
    order = np.argsort(flat, kind="stable")
    counts = np.bincount(flat, minlength=256)[: len(seen.solids)]
    at = order[: int(counts.sum())]
    width = len(xs)
    point = np.stack([fine_x[at % width], fine_y[at // width], depth.ravel()[at]])
    return Hits(at, flat[at].astype(np.int64), counts, point)


def _ray_coefficients(seen: Stack) -> NDArray[np.float64]:
    """(S, 14) of the quadratic in z: centre, root's linear part, discriminant's polynomial, w's direction."""
    u, v, w = seen.axes[:, 0], seen.axes[:, 1], seen.axes[:, 2]
    a, b, c, shift, k = seen.quadric.T

    def form(i: int, j: int) -> NDArray[np.float64]:
        """(S,) entry (i, j) of the quadric's matrix in the view frame."""
        entry: NDArray[np.float64] = a * u[:, i] * u[:, j] + b * v[:, i] * v[:, j] + c * w[:, i] * w[:, j]
        return entry

    # A cone viewed along its axis has no near root; limbs that steep are hidden by their joints.
    zz = np.maximum(form(2, 2), 1e-2 * np.maximum(a, b))
    xz, yz, lz = form(0, 2), form(1, 2), shift * w[:, 2]
    parts = [
        seen.centre[:, 0], seen.centre[:, 1], seen.centre[:, 2],
        xz / zz, yz / zz, lz / zz,
        (xz * xz - zz * form(0, 0)) / (zz * zz), 2.0 * (xz * yz - zz * form(0, 1)) / (zz * zz),
        (yz * yz - zz * form(1, 1)) / (zz * zz),
        2.0 * (xz * lz - zz * shift * w[:, 0]) / (zz * zz), 2.0 * (yz * lz - zz * shift * w[:, 1]) / (zz * zz),
        (lz * lz - zz * k) / (zz * zz),
    ]  # fmt: skip
    return np.stack([*parts, w[:, 0], w[:, 1], w[:, 2]], axis=1)


def _meet(
    numbers: list[float],
    cut: tuple[float, float],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    depth: NDArray[np.float32],
    owner: NDArray[np.uint8],
    index: int,
) -> None:
    """Write one solid into its window of the depth buffer, where it is nearest."""
    cx, cy, cz, bx, by, b0, dxx, dxy, dyy, dx, dy, d0, wx, wy, wz = numbers
    x, y = x - np.float32(cx), y - np.float32(cy)
    root = (dxy * y) * x
    root += (dxx * x + dx) * x
    root += (dyy * y + dy) * y + d0
    hit = root > 0
    np.maximum(root, 0, out=root)
    np.sqrt(root, out=root)
    root -= bx * x
    root -= by * y + b0
    if cut[0] > -_FAR or cut[1] < _FAR:
        along = wz * root
        along += wx * x
        along += wy * y
        hit &= along >= cut[0]
        hit &= along <= cut[1]
    root += np.float32(cz)
    hit &= root > depth
    np.copyto(depth, root, where=hit)
    np.copyto(owner, np.uint8(index), where=hit)
