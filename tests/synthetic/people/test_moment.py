"""Random moments: repeatable, in view, and where somebody can stand."""

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people.camera import draw_camera
from snreid.synthetic.people.identity import Identity
from snreid.synthetic.people.moment import CROWD, CropBox, Moment, draw_moment
from snreid.synthetic.people.site import Site, scene_arrays
from snreid.synthetic.randomness import Draws


def _moments(kind: str) -> list[Moment]:
    site = Site(kind=kind, seed=1)
    view, stage = draw_camera(Draws.of("camera"), site).viewpoint, scene_arrays(kind, 1)
    track = Draws.of("track")
    return [draw_moment(view, stage, Identity(), track, track.below("shot", number)) for number in range(40)]


def test_moments_are_repeatable_and_differ() -> None:
    moments = _moments("plaza")
    assert moments == _moments("plaza") and len(set(moments)) == len(moments)


def test_people_stand_in_view_where_there_is_room() -> None:
    site = Site(kind="street", seed=1)
    view, stage = draw_camera(Draws.of("camera"), site).viewpoint, scene_arrays("street", 1)
    free = 0
    for moment in _moments("street"):
        x, y = moment.step.place
        seen = view.axes @ (np.array([x, y, 1.0]) - view.eye)
        assert seen[2] > 1 and abs(seen[0] / seen[2]) < view.view
        free += stage.free(x, y)
        assert all(0 <= number < CROWD for number, _ in moment.others)
    assert free >= 36


def test_some_are_crowded_and_most_are_whole() -> None:
    moments = _moments("campus")
    assert 0.1 < np.mean([bool(moment.others) for moment in moments]) < 0.6
    assert np.mean([moment.box.cut > 0.8 for moment in moments]) > 0.8, "most lack their feet at most"


@pytest.mark.parametrize("wrong", [{"zoom": 0.1}, {"aspect": 9.0}, {"cut": 0.0}])
def test_impossible_boxes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="CropBox"):
        CropBox(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="cloud"):
        Moment(cloud=2.0)
