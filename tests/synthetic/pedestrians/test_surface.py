"""Patterns and decals lie on the solid, on the side they were put on."""

import numpy as np
import pytest

from snreid.synthetic.pedestrians.surface import DECALS, PATTERNS, Decal, Surface, colour, paint, shaded

GREY, WHITE = (0.2, 0.2, 0.2), (0.9, 0.9, 0.9)


def _painted(surface: Surface, u: list[float], v: list[float], w: list[float]) -> list[bool]:
    """Where the second colour shows."""
    out = np.empty((3, len(u)), dtype=np.float32)
    paint(surface, *(np.array(x, dtype=np.float32) for x in (u, v, w)), out)
    return [bool(x > 0.5) for x in out[0]]


def test_colour_is_linear_light() -> None:
    assert colour("ffffff") == pytest.approx((1.0, 1.0, 1.0))
    assert colour("800000") == pytest.approx((0.2158605, 0.0, 0.0), abs=1e-6)
    assert shaded((0.5, 0.8, 0.1), 2.0) == (1.0, 1.0, 0.2)


def test_decals_stay_on_their_side() -> None:
    front = Surface(GREY, decals=(Decal("box", WHITE, side=1, at=(0.0, 1.0), size=(0.1, 0.1)),))
    assert _painted(front, [0.0, 0.0, 0.2, 0.0], [1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.2]) == [True] + [False] * 3
    back = Surface(GREY, decals=(Decal("disc", WHITE, side=-1, size=(0.1, 0.1)),))
    assert _painted(back, [0.0, 0.0], [1.0, -1.0], [0.0, 0.0]) == [False, True]
    both = Surface(GREY, decals=(Decal("box", WHITE, side=0, size=(0.1, 0.1)),))
    assert _painted(both, [0.0, 0.0], [1.0, -1.0], [0.0, 0.0]) == [True, True]


def test_hoops_follow_height_and_blocks_the_garment() -> None:
    hoops = Surface(GREY, "hoops", WHITE, 0.1)
    assert _painted(hoops, [0.0] * 3, [1.0] * 3, [0.01, 0.07, 0.11]) == [True, False, True]
    blocks = Surface(GREY, "blocks", WHITE, 0.06, height=(1.0, 2.0))
    assert _painted(blocks, [0.0] * 2, [1.0] * 2, [1.2, 1.9]) == [False, True]


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_every_pattern_shows_both_colours(pattern: str) -> None:
    u, w = np.meshgrid(np.linspace(-0.2, 0.2, 60), np.linspace(0, 1, 60))
    v = np.sqrt(0.05 - u * u)
    shown = _painted(Surface(GREY, pattern, WHITE, 0.09), u.ravel().tolist(), v.ravel().tolist(), w.ravel().tolist())
    assert 0.03 < np.mean(shown) < 0.97


@pytest.mark.parametrize("shape", DECALS)
def test_every_decal_covers_a_part_of_its_box(shape: str) -> None:
    u, w = np.meshgrid(np.linspace(-0.2, 0.2, 41), np.linspace(-0.2, 0.2, 41))
    surface = Surface(GREY, decals=(Decal(shape, WHITE, size=(0.1, 0.1)),))
    shown = np.array(_painted(surface, u.ravel().tolist(), [1.0] * u.size, w.ravel().tolist())).reshape(u.shape)
    box = (np.abs(u) < 0.1) & (np.abs(w) < 0.1)
    assert shown[box].mean() > 0.1 and not shown[~(box | np.isclose(np.abs(u), 0.1) | np.isclose(np.abs(w), 0.1))].any()


def test_plain_is_known() -> None:
    assert Surface(GREY).is_plain
    assert not Surface(GREY, "dots").is_plain
