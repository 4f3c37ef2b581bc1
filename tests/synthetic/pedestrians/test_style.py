"""Styles refuse what no camera could be."""

import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.pedestrians.style import Scene, Style


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"exposure": 9.0}, r"Style.exposure lies between -6.0 and 6.0. Found: 9.0"),
        ({"gamma": 0.0}, "Style.gamma"),
        ({"contrast": 5.0}, "Style.contrast"),
        ({"saturation": -1.0}, "Style.saturation"),
        ({"sharpness": 0.0}, "Style.sharpness"),
        ({"resolution": 1.5}, "Style.resolution"),
        ({"noise": -1.0}, "Style.noise"),
        ({"jpeg": 0}, "Style.jpeg"),
        ({"haze": 0.9}, "Style.haze"),
        ({"shadow": 2.0}, "Style.shadow"),
        ({"viewpoint": 89.0}, "Style.viewpoint"),
        ({"illuminant": (1.0, 9.0, 1.0)}, "Style.illuminant"),
        ({"light": (0.0, 0.4)}, "elevation"),
    ],
)
def test_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        Style(**values)  # type: ignore[arg-type]


def test_unknown_places() -> None:
    with pytest.raises(ExperimentError, match=r"Scene.wall is one of plaster.*'sea'"):
        Scene(wall="sea")
    with pytest.raises(ExperimentError, match=r"Scene.ground"):
        Scene(ground="lava")
    with pytest.raises(ExperimentError, match=r"Scene.distance"):
        Scene(distance=0.0)
    with pytest.raises(ExperimentError, match=r"Scene.clutter"):
        Scene(clutter=99)
