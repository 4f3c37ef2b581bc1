"""What a posture may be."""

import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people.posture import Posture


@pytest.mark.parametrize("wrong", [{"action": "fly"}, {"stride": -0.1}, {"swing": 3.0}, {"lean": 2.0}])
def test_impossible_postures_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ExperimentError, match=f"Posture.{next(iter(wrong))}"):
        Posture(**wrong)  # type: ignore[arg-type]
