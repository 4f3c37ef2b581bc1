"""Places: a wall above a ground, at the height the viewpoint says."""

from dataclasses import replace

import numpy as np
import pytest

from snreid.synthetic.pedestrians.scene import PANORAMA_BOTTOM, PANORAMA_TOP, PANORAMA_WIDTH, panorama
from snreid.synthetic.pedestrians.style import GROUNDS, WALLS, Scene

PIXEL = 0.03
PLAIN = Scene(wall_colour=(0.9, 0.1, 0.1), wall_second=(0.9, 0.1, 0.1), ground_colour=(0.1, 0.1, 0.9), clutter=0)


@pytest.mark.parametrize("viewpoint", [5.0, 20.0])
def test_the_wall_stands_where_it_should(viewpoint: float) -> None:
    picture = panorama(PLAIN, viewpoint, (0.0, 0.12), 0.5, PIXEL)
    assert picture.shape == (3, int((PANORAMA_TOP - PANORAMA_BOTTOM) / PIXEL), int(PANORAMA_WIDTH / PIXEL))
    red = picture[0] > picture[2]
    edge = int(np.flatnonzero(~red[:, 0])[0])
    wanted = (PANORAMA_TOP - PLAIN.distance * np.sin(np.radians(viewpoint))) / PIXEL
    assert edge == pytest.approx(wanted, abs=1.01)
    assert red[:edge].all() and not red[edge:].any()


@pytest.mark.parametrize("wall", WALLS)
def test_walls_have_a_face(wall: str) -> None:
    picture = panorama(Scene(wall=wall, clutter=0), 5.0, (0.0, 0.12), 0.5, PIXEL)
    assert np.isfinite(picture).all() and picture.min() >= 0
    assert picture[:, :60].std() > 0.005


@pytest.mark.parametrize("ground", GROUNDS)
def test_grounds_have_a_face(ground: str) -> None:
    picture = panorama(Scene(ground=ground, clutter=0), 30.0, (0.0, 0.12), 0.5, PIXEL)
    assert picture[:, -30:].std() > 0.002


def test_seed_and_clutter_change_the_place() -> None:
    base = panorama(PLAIN, 5.0, (0.0, 0.12), 0.5, PIXEL)
    assert not np.array_equal(base, panorama(replace(PLAIN, seed=1), 5.0, (0.0, 0.12), 0.5, PIXEL))
    assert not np.array_equal(base, panorama(replace(PLAIN, clutter=5), 5.0, (0.0, 0.12), 0.5, PIXEL))


def test_direct_light_falls_with_its_angle() -> None:
    high, low = (panorama(PLAIN, 30.0, (0.0, elevation), 1.0, PIXEL)[:, -10:].mean() for elevation in (0.24, 0.06))
    assert high > 2 * low
