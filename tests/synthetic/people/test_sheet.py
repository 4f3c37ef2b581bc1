"""The contact sheet."""

import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people.render import Picture
from snreid.synthetic.people.sheet import people_sheet


def test_a_sheet_has_room_for_all(picture: Picture) -> None:
    steps: list[tuple[int, int]] = []
    sheet = people_sheet([[picture, picture], [picture]], scale=1, progress=lambda *step: steps.append(step))
    assert sheet.shape == (2 * 64 + 2, 2 * 32 + 2, 3) and steps == [(1, 3), (2, 3), (3, 3)]
    assert (sheet[-64:, -32:] == 255).all(), "what is empty is paper"


def test_an_empty_sheet_is_refused(picture: Picture) -> None:
    with pytest.raises(ExperimentError, match="at least one picture"):
        people_sheet([[]])
    with pytest.raises(ExperimentError, match="scale 0"):
        people_sheet([[picture]], scale=0)
