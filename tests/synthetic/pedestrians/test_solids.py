"""Rays and solids, against marching along each ray in small steps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from snreid.synthetic.pedestrians.solids import Axes, Solid, ellipsoid, limb, moved, stack, trace, upright
from snreid.synthetic.pedestrians.surface import Surface

PLAIN = Surface((0.5, 0.5, 0.5))
FRONT: Axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
LOOKING_DOWN: Axes = ((0.8, 0.0, 0.6), (0.18, 0.9539392014169457, -0.24), (-0.5723635208501674, 0.3, 0.763151361133557))


def _inside(solid: Solid, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """By definition: the quadric is negative and w within the cut; points (N, 3) in the body frame."""
    local = (points - np.array(solid.centre)) @ np.array(solid.axes).T
    a, b, c, shift, k = solid.quadric
    u, v, w = local.T
    value = a * u * u + b * v * v + c * w * w + 2 * shift * w + k
    return (value < 0) & (w >= solid.cut[0]) & (w <= solid.cut[1])


@pytest.mark.parametrize("view", [FRONT, LOOKING_DOWN])
@pytest.mark.parametrize(
    "solid",
    [
        ellipsoid((0.1, 0.9, 0.0), (0.2, 0.1, 0.4), PLAIN),
        upright(0.5, 1.2, 0.25, 0.15, 0.7, PLAIN),
        limb((0.1, 1.0, 0.0), (0.3, 0.4, 0.25), 0.1, 0.06, PLAIN),
    ],
)
def test_trace_finds_the_first_point_inside(solid: Solid, view: Axes) -> None:
    xs, ys = np.linspace(-0.6, 0.8, 29), np.linspace(1.6, 0.0, 33)
    hits = trace(stack([solid], view), xs, ys)
    depth = np.full(len(xs) * len(ys), -np.inf)
    depth[hits.at] = hits.point[2]
    steps = np.arange(1.5, -1.5, -0.002)
    body_axes = np.array(view)
    wrong = 0
    for index, (y, x) in enumerate((y, x) for y in ys for x in xs):
        points = np.stack([np.full_like(steps, x), np.full_like(steps, y), steps], axis=1) @ body_axes
        inside = _inside(solid, points)
        marched = steps[int(inside.argmax())] if inside.any() else -np.inf
        if np.isinf(marched) != np.isinf(depth[index]) or (np.isfinite(marched) and abs(marched - depth[index]) > 0.01):
            wrong += 1
    # Rays that touch the rim, or enter a tapered cylinder through its open end, may differ.
    assert len(hits.at) > 20
    assert wrong <= 0.06 * len(depth)


def test_the_nearer_solid_hides_the_other() -> None:
    near = ellipsoid((0.0, 0.0, 1.0), (0.2, 0.2, 0.2), PLAIN)
    far = ellipsoid((0.0, 0.0, -1.0), (0.4, 0.4, 0.4), PLAIN)
    for order, wanted in (([near, far], 0), ([far, near], 1)):
        hits = trace(stack(order, FRONT), np.array([0.0, 0.3]), np.array([0.0]))
        assert hits.solid[np.flatnonzero(hits.at == 0)[0]] == wanted
        assert hits.solid[np.flatnonzero(hits.at == 1)[0]] == 1 - wanted
        assert hits.counts.sum() == len(hits.at) == 2


def test_boxes_hold_the_solids() -> None:
    solids = [limb((0.0, 1.0, 0.0), (0.4, 0.2, 0.2), 0.1, 0.05, PLAIN), ellipsoid((0, 0, 0), (0.1, 0.2, 0.3), PLAIN)]
    seen = stack(solids, LOOKING_DOWN)
    xs, ys = np.linspace(-1, 1, 201), np.linspace(1.5, -1, 251)
    hits = trace(seen, xs, ys)
    for index, (left, right, bottom, top) in enumerate(seen.box):
        x, y, _ = hits.point[:, hits.solid == index]
        assert x.min() >= left - 1e-6 and x.max() <= right + 1e-6
        assert y.min() >= bottom - 1e-6 and y.max() <= top + 1e-6


def test_moved_only_moves() -> None:
    solid = ellipsoid((0.0, 1.0, 0.0), (0.1, 0.1, 0.1), PLAIN)
    assert moved(solid, (1.0, 0.0, 2.0)).centre == (1.0, 1.0, 2.0)
    assert moved(solid, (1.0, 0.0, 2.0)).quadric == solid.quadric
