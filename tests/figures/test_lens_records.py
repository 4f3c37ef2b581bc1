"""What the page shows is what it can show."""

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.figures.lens_records import StageMaps
from support.lens_samples import gate, stage_maps


def test_the_scale_is_the_largest_value_of_all_maps() -> None:
    stage = stage_maps(1)
    assert stage.scale == max(value.max() for value in stage.maps.values())


@pytest.mark.parametrize("maps", [{}, {"G": np.zeros((2, 2), np.float32)}, {"F": np.zeros(4, np.float32)}])
def test_strange_maps_are_refused(maps: dict[str, np.ndarray]) -> None:
    with pytest.raises(ExperimentError, match="one height and width"):
        StageMaps(stage=1, maps=maps)
    with pytest.raises(ExperimentError, match="one height and width"):
        StageMaps(stage=1, maps={"F": np.zeros((2, 2), np.float32), "F~": np.zeros((2, 3), np.float32)})


def test_a_gate_knows_where_its_values_lie() -> None:
    assert gate(1, "a", False).span == (0.25, 0.55)
