"""What stands at sites."""

import numpy as np
import pytest

from snreid.pedestrians.randomness import Draws
from snreid.synthetic.layouts import LAYOUTS
from snreid.synthetic.pieces import Pieces


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_parallelograms_with_pictures(kind: str, seed: int) -> None:
    pieces = Pieces(Draws.of("test", kind, seed))
    LAYOUTS[kind](pieces)
    assert 10 < len(pieces.quads) < 400 and len(pieces.pictures) < 60
    for quad in pieces.quads:
        right, up = np.array(quad.right), np.array(quad.up)
        assert np.linalg.norm(np.cross(right, up)) > 0
        assert abs(right @ up) < 1e-6, "edges are perpendicular"
        assert 0 <= quad.picture < len(pieces.pictures)


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
