"""Numbers as text."""

import pytest

from snreid.figures.formatting import (
    p_text,
    percent,
    percent_range,
    percent_with_interval,
    points,
    points_with_interval,
)
from snreid.records import Interval


@pytest.mark.parametrize(
    ("share", "text"), [(0.4123, "+41.2"), (-0.0312, "-3.1"), (0.0004, "0.0"), (-0.0004, "0.0"), (0.0, "0.0")]
)
def test_points(share: float, text: str) -> None:
    assert points(share) == text


def test_percent_and_p() -> None:
    assert [percent(0.41249), percent(1.0), percent(0.0)] == ["41.2", "100.0", "0.0"]
    assert [p_text(p) for p in (0.0005, 0.0312, 0.5, 1.0)] == ["p < 0.001", "p = 0.031", "p = 0.50", "p = 1.00"]


def test_intervals() -> None:
    assert percent_range(Interval(0.38, 0.441)) == "38.0\N{EN DASH}44.1"
    assert percent_with_interval(0.412, Interval(0.38, 0.441)) == "41.2 [38.0, 44.1]"
    assert points_with_interval(0.031, Interval(-0.002, 0.064)) == "+3.1 [\N{MINUS SIGN}0.2, +6.4]"
