"""Decals, faces, light and shadows of a person's pixels."""

import numpy as np

from snreid.synthetic.people.kernels import FAR
from snreid.synthetic.people.shading import feature_face, light_point, openness, painted, shadowed

NO_PRINTS, LINEAR = np.zeros((1, 4, 4, 4), np.uint8), np.linspace(0, 1, 256, dtype=np.float32)
NOBODY = (np.empty((0, 4, 4), np.float32), np.empty((0, 3, 3), np.float32), np.empty((0, 3), np.float32))


def _painted(decal: list[float], x: float, z: float, front: float = 1.0, arm: float = 0.0, u: float = 0.0) -> bool:
    colour = np.zeros(3, np.float32)
    painted(colour, x, z, front, arm, u, np.array([decal], np.float32), 0, 1, NO_PRINTS, LINEAR)
    return bool(colour[0] > 0)


def test_each_kind_of_decal_is_where_it_says() -> None:
    red = [1.0, 0.0, 0.0, 1.0, 0.0]
    assert _painted([0, -0.1, 0.1, 0, 1, 0, *red], 0.0, 0.5) and not _painted([0, -0.1, 0.1, 0, 1, 0, *red], 0.2, 0.5)
    assert _painted([1, 0.55, 0, 0, 0, 0, *red], 0, 0, arm=0.8) and not _painted([1, 0.55, 0, 0, 0, 0, *red], 0, 0)
    assert _painted([2, 1.0, 0.0, 0.05, 0, 0, *red], 0.3, 0.3) and not _painted([2, 1.0, 0.0, 0.05, 0, 0, *red], 0.3, 0)
    assert _painted([3, 0.1, 0.02, 0, 0, 0, *red], -0.1, 0.5) and not _painted([3, 0.1, 0.02, 0, 0, 0, *red], 0.0, 0.5)
    assert _painted([4, 0.1, 0.02, 0, 0, 0, *red], 0.1, 0.5) and not _painted([4, 0.1, 0.02, 0, 0, 0, *red], -0.1, 0.5)
    assert _painted([6, 0.1, 0.02, 0, 0, 0, *red], 0, 0, u=0.1) and not _painted([6, 0.1, 0.02, 0, 0, 0, *red], 0, 0)


def test_a_decal_in_front_is_not_behind() -> None:
    front = [0, -1, 1, -1, 1, 1, 1.0, 0.0, 0.0, 1.0, 0]
    assert _painted(front, 0, 0, front=1) and not _painted(front, 0, 0, front=0)


def test_a_print_is_read_from_its_picture() -> None:
    prints = np.zeros((1, 4, 4, 4), np.uint8)
    prints[0, 0, 0] = 255  # its upper left corner
    decal = np.array([[5, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0]], np.float32)
    for x, z, there in ((-0.9, 0.9, True), (0.9, 0.9, False), (-0.9, -0.9, False)):
        colour = np.zeros(3, np.float32)
        painted(colour, x, z, 1.0, 0.0, 0.0, decal, 0, 1, prints, LINEAR)
        assert (colour[0] > 0) == there


def test_eyes_are_darker_than_the_cheek_and_only_in_front() -> None:
    traits = np.array([0.03, -0.1, 1.6, -0.03, -0.1, 1.6, 1.0, 0.0, 0.0, 0.1, 0.1, 0.1], np.float32)
    shades = []
    for x, y, z in ((0.03, -0.12, 1.6), (0.05, -0.12, 1.55), (0.03, 0.1, 1.6)):
        colour = np.full(3, 0.5, np.float32)
        feature_face(colour, x, y, z, traits)
        shades.append(float(colour.mean()))
    assert shades[0] < shades[1] and shades[2] == 0.5


def test_a_point_behind_another_is_in_its_shadow() -> None:
    maps = np.full((1, 8, 8), FAR)
    maps[0, 2:6, 2:6] = 1.0
    bases, corners = np.eye(3, dtype=np.float32)[None], np.array([[0, 0, 1]], np.float32)
    assert shadowed(4, 4, 2.0, maps, bases, corners) == 1.0
    assert shadowed(4, 4, 0.5, maps, bases, corners) == 0.0
    assert shadowed(0.8, 0.8, 2.0, maps, bases, corners) == 0.0
    assert 0 < shadowed(2.0, 4, 2.0, maps, bases, corners) < 1
    assert shadowed(40, 4, 2.0, maps, bases, corners) == 0.0


def test_a_hollow_sees_less() -> None:
    depth, owner = np.full((21, 21), np.float32(5)), np.zeros((21, 21), np.int32)
    assert openness(depth, owner, 10, 10, 0, 4.0) == 1.0
    depth[:, :8] = 4.9
    assert openness(depth, owner, 10, 10, 0, 4.0) < 1.0


def _lit(normal: tuple[float, float, float], sunlit: float) -> float:
    light = np.zeros(18, np.float32)
    light[:6] = (0, 0, 1, 1, 1, 1)
    light[6:12] = 0.2
    pixel, colour, eye = np.zeros(3, np.float32), np.full(3, 0.5, np.float32), np.array([0, -5, 5], np.float32)
    light_point(pixel, colour, 1.0, 0.0, 0.0, 0.0, 0.0, *normal, eye, 1.0, light, *NOBODY, sunlit)
    return float(pixel[0])


def test_what_faces_the_sun_is_brighter() -> None:
    assert _lit((0, 0, 1), 1.0) > _lit((0, -1, 0), 1.0) > 0
    assert _lit((0, 0, 1), 1.0) > _lit((0, 0, 1), 0.0)
