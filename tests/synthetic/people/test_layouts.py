"""What stands at sites."""

import numpy as np
import pytest

from snreid.synthetic.people.layouts import LAYOUTS
from snreid.synthetic.people.pieces import Pieces
from snreid.synthetic.randomness import Draws


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
