"""Moments vary from image to image and hold together within a track."""

import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.pedestrians.moment import OCCLUDERS, PedestrianMoment, draw_pedestrian_moment
from snreid.synthetic.randomness import Draws


def test_shots_of_a_track_walk_the_same_way() -> None:
    for person in range(20):
        track = Draws.of("track", person)
        shots = [draw_pedestrian_moment(track, track.below("shot", n)) for n in range(4)]
        directions = [shot.direction for shot in shots]
        assert max(directions) - min(directions) < 0.28
        assert len({shot.phase for shot in shots}) == 4


def test_occlusion_happens_as_often_as_asked() -> None:
    def share(occlusion: float) -> float:
        drawn = [draw_pedestrian_moment(Draws.of(n), Draws.of("shot", n), occlusion=occlusion) for n in range(400)]
        return sum(moment.occluder != "none" for moment in drawn) / 400

    assert share(0.0) == 0.0
    assert share(0.3) == pytest.approx(0.3, abs=0.08)
    assert {draw_pedestrian_moment(Draws.of(n), Draws.of(n), occlusion=1.0).occluder for n in range(60)} == set(
        OCCLUDERS[1:]
    )


def test_all_sides_are_seen() -> None:
    quarters = {int((draw_pedestrian_moment(Draws.of(n), Draws.of(n)).direction + 0.125) % 1.0 * 4) for n in range(100)}
    assert quarters == {0, 1, 2, 3}


def test_impossible_moments_are_refused() -> None:
    with pytest.raises(ExperimentError, match=r"PedestrianMoment.occluder is one of none.*'whale'"):
        PedestrianMoment(occluder="whale")
    with pytest.raises(ExperimentError, match=r"PedestrianMoment.zoom lies between 0.2 and 3.0.*9.0"):
        PedestrianMoment(zoom=9.0)
