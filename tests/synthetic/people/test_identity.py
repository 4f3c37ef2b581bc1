"""What a person may be."""

from dataclasses import replace

import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people.identity import Bag, Fabric, Garment, Head, Identity, Physique, Print, Shoes


@pytest.mark.parametrize(
    "wrong",
    [
        {"age": 17.0},
        {"age": 91.0},
        {"weight": 1.1},
        {"height": -0.1},
        {"ancestry": (2.0, 0.0, 0.0)},
        {"ancestry": (0.0,) * 3},
    ],
)
def test_a_body_that_no_adult_has_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ExperimentError, match="Physique"):
        Physique(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Fabric, {"pattern": "gold"}), (Fabric, {"colour": (2.0, 0, 0)}), (Fabric, {"period": 0.0}),
        (Print, {"kind": "song"}), (Print, {"size": 3.0}), (Head, {"style": "tall"}), (Head, {"hat": "crown"}),
        (Head, {"beard": 2.0}), (Shoes, {"kind": "skates"}), (Bag, {"kind": "piano"}), (Bag, {"size": 2.0}),
    ],
)  # fmt: skip
def test_words_and_numbers_outside_their_range_are_refused(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ExperimentError, match="Fix"):
        kind(**wrong)


def test_garments_are_worn_where_they_belong() -> None:
    with pytest.raises(ExperimentError, match=r"Garment.kind"):
        Garment(kind="cloud")
    with pytest.raises(ExperimentError, match=r"Identity.top.kind"):
        replace(Identity(), top=Garment(kind="trousers"))
    with pytest.raises(ExperimentError, match=r"Garment.sleeve"):
        Garment(kind="tee", sleeve=3.0)
