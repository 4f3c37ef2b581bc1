"""Places with a roof: daylight comes in, and there is room to walk."""

import pytest

from snreid.synthetic.people.interiors import corridor, hall, walkway
from snreid.synthetic.people.pieces import Pieces
from snreid.synthetic.people.site import INDOOR, Site, scene_arrays
from snreid.synthetic.randomness import Draws


@pytest.mark.parametrize("layout", [hall, walkway, corridor])
def test_some_shine_by_daylight_more_than_others(layout: object) -> None:
    brightest = []
    for seed in range(6):
        pieces = Pieces(Draws.of("interior", seed))
        layout(pieces)  # type: ignore[operator]
        brightest.append(max(quad.glow for quad in pieces.quads))
    assert max(brightest) > 0.6 and max(brightest) > 1.3 * min(brightest)


@pytest.mark.parametrize("kind", INDOOR)
def test_there_is_room_to_walk(kind: str) -> None:
    stage = scene_arrays(kind, 4)
    free = [stage.free(x, y) for x in range(-6, 7, 2) for y in range(-2, 3)]
    assert sum(free) > 0.6 * len(free) and Site(kind=kind).indoor
