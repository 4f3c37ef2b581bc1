"""The parts of places: closed boxes, pictures that are painted once, floors darker than walls."""

import numpy as np

from snreid.synthetic.people.pieces import Pieces
from snreid.synthetic.randomness import Draws


def test_a_box_is_closed_outward() -> None:
    pieces = Pieces(Draws.of("box"))
    pieces.box(1.0, 2.0, 0.3, (2.0, 1.0, 0.5), 0, 0)
    assert len(pieces.quads) == 5 and pieces.footprints
    for quad in pieces.quads:
        middle = np.array(quad.origin) + (np.array(quad.right) + np.array(quad.up)) / 2
        outward = np.cross(quad.right, quad.up)
        assert outward @ (middle - [1.0, 2.0, 0.25]) > 0


def test_a_picture_is_painted_once() -> None:
    pieces = Pieces(Draws.of("once"))
    assert pieces.picture("brick") == pieces.picture("brick") != pieces.picture("brick", 1)


def test_a_floor_is_darker_than_its_picture() -> None:
    pieces = Pieces(Draws.of("floor"))
    pieces.ground(0, 0, 4, 4, 0, 1.0)
    pieces.upright(0, 0, 0.0, 2.0, 2.0, 0)
    floor, wall = pieces.quads
    assert max(floor.tint) < 0.9 and wall.tint == (1.0, 1.0, 1.0)
