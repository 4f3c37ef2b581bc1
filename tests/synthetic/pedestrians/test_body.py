"""Bodies stand on the ground, are as tall as they should be, and wear what they wear."""

from dataclasses import replace

import numpy as np
import pytest

from snreid.synthetic.pedestrians.body import person_solids, pose
from snreid.synthetic.pedestrians.identity import (
    BAGS,
    BOTTOMS,
    HAIR_STYLES,
    HATS,
    JACKETS,
    Build,
    Pedestrian,
    PedestrianGarment,
    PedestrianHead,
    draw_pedestrian,
)
from snreid.synthetic.pedestrians.moment import PedestrianMoment
from snreid.synthetic.pedestrians.solids import stack
from snreid.synthetic.randomness import Draws

FRONT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def _box(identity: Pedestrian, moment: PedestrianMoment) -> np.ndarray:
    return stack(person_solids(identity, moment), FRONT).box


@pytest.mark.parametrize("height", [1.5, 1.72, 1.95])
def test_height(height: float) -> None:
    box = _box(Pedestrian(build=Build(height=height), head=PedestrianHead(style="bald")), PedestrianMoment(stride=0.0))
    assert box[:, 3].max() == pytest.approx(height, abs=0.03)
    assert box[:, 2].min() == pytest.approx(0.0, abs=0.03)


def test_legs_swing_against_each_other() -> None:
    bones = pose(Pedestrian(), PedestrianMoment(phase=0.25, stride=0.07))
    assert bones[0].ankle[2] > 0.1 and bones[1].ankle[2] < -0.1
    # Arms swing against the legs of their side.
    assert bones[0].hand[2] < bones[1].hand[2]
    later = pose(Pedestrian(), PedestrianMoment(phase=0.75, stride=0.07))
    assert later[0].ankle[2] == pytest.approx(bones[1].ankle[2])


def test_bones_keep_their_length() -> None:
    lengths = []
    for phase in (0.0, 0.1, 0.3, 0.6):
        bones = pose(Pedestrian(), PedestrianMoment(phase=phase, stride=0.07))
        lengths.append([np.linalg.norm(np.subtract(bones[0].knee, bones[0].ankle)),
                        np.linalg.norm(np.subtract(bones[1].shoulder, bones[1].elbow))])  # fmt: skip
    np.testing.assert_allclose(lengths, [lengths[0]] * 4, rtol=1e-12)


def test_girth_widens() -> None:
    slim, wide = (_box(Pedestrian(build=Build(girth=g)), PedestrianMoment(stride=0.0)) for g in (0.85, 1.4))
    assert wide[:, 1].max() > slim[:, 1].max()


def test_all_of_a_wardrobe_can_be_put_on() -> None:
    bare = len(person_solids(Pedestrian(head=PedestrianHead(style="bald")), PedestrianMoment()))
    for bag in BAGS[1:]:
        assert len(person_solids(Pedestrian(head=PedestrianHead(style="bald"), bag=bag), PedestrianMoment())) > bare - (
            bag == "shoulder"
        )
    for hat in HATS[1:]:
        assert len(person_solids(Pedestrian(head=PedestrianHead(style="bald", hat=hat)), PedestrianMoment())) > bare
    for style in HAIR_STYLES[1:]:
        assert len(person_solids(Pedestrian(head=PedestrianHead(style=style)), PedestrianMoment())) > bare
    for kind in BOTTOMS:
        assert person_solids(Pedestrian(bottom=PedestrianGarment(kind=kind)), PedestrianMoment(stride=0.07, phase=0.25))
    coats = {kind: _box(Pedestrian(jacket=PedestrianGarment(kind=kind)), PedestrianMoment()) for kind in JACKETS}
    assert len(coats["coat"]) > len(coats["none"])


def test_at_most_as_many_solids_as_the_depth_buffer_can_tell_apart() -> None:
    """One byte names a solid, 255 means none; a passer-by doubles them."""
    most = max(len(person_solids(draw_pedestrian(Draws.of(n)), PedestrianMoment())) for n in range(200))
    assert 2 * most < 255


def test_a_garment_turns_by_itself() -> None:
    """Another shirt colour changes surfaces, not shapes."""
    person = draw_pedestrian(Draws.of(4))
    other = replace(person, top=replace(person.top, colour=(0.9, 0.1, 0.1)))
    for mine, theirs in zip(
        person_solids(person, PedestrianMoment()), person_solids(other, PedestrianMoment()), strict=True
    ):
        assert mine.centre == theirs.centre and mine.quadric == theirs.quadric
