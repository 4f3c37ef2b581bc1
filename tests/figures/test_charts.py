"""The drawings: points where the numbers are, labels that never overlap, three ways to tell schemes apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.figures.charts import (
    DASH_PATTERNS,
    STYLES,
    CmcChart,
    IntervalChart,
    IntervalRow,
    Span,
    short_labels,
    shorten,
    span_of,
    spread,
)
from snreid.records import Interval
from support.report_samples import Node, render

shares = st.floats(0, 1)


@given(st.lists(shares, min_size=1, max_size=12))
@settings(deadline=None, max_examples=100)
def test_a_span_holds_all_values_between_0_and_1(values: list[float]) -> None:
    span = span_of(values)
    assert 0 <= span.low <= min(values) + 1e-9 and max(values) - 1e-9 <= span.high <= 1
    assert span.high - span.low > 0.199
    assert len(span.ticks) >= 3 and all(span.low - 1e-9 <= tick <= span.high + 1e-9 for tick in span.ticks)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=9))
@settings(deadline=None, max_examples=100)
def test_labels_keep_their_order_and_distance(wanted: list[float]) -> None:
    placed = spread(wanted, 10, 190, gap=16)
    for i, first in enumerate(placed):
        assert 10 - 1e-9 <= first <= 190 + 1e-9
        for j, second in enumerate(placed[:i]):
            assert abs(first - second) > 16 - 1e-9
            assert wanted[i] == wanted[j] or (wanted[i] < wanted[j]) == (first < second)


def test_labels_that_do_not_fit_still_do_not_overlap() -> None:
    placed = spread([5.0, 5.0, 5.0], 0, 10, gap=16)
    assert sorted(placed) == [0, 16, 32]


def test_labels_with_room_stay_where_they_are_wanted() -> None:
    assert spread([100.0, 20.0, 60.0], 0, 200, gap=16) == [100.0, 20.0, 60.0]


def test_a_curve_goes_through_its_numbers() -> None:
    curves = {"Baseline": np.linspace(0.2, 0.6, 20), "SNR": np.linspace(0.4, 1.0, 20)}
    chart = CmcChart(title="night", curves=curves, styles={"Baseline": 0, "SNR": 1}, span=Span(0.2, 1.0))
    root = render("{{ charts.cmc(chart) }}", chart=chart)
    lines = root.all("polyline")
    assert len(lines) == 2
    for line in lines:
        points = [tuple(map(float, pair.split(","))) for pair in (line.attributes["points"] or "").split()]
        assert len(points) == 20
        # Straight input gives a straight line, and rank 1 of a curve that starts at the axis lies on the axis.
        heights = np.array([y for _, y in points])
        slope = (heights[-1] - heights[0]) / 19
        np.testing.assert_allclose(heights, heights[0] + slope * np.arange(20), atol=0.06)
    low, high = ([float(p.split(",")[1]) for p in (line.attributes["points"] or "").split()] for line in lines)
    # Shares 0.2 .. 0.6 and 0.4 .. 1.0 on one axis: a step of 0.2 is as high in both.
    assert low[0] - high[0] == pytest.approx((low[0] - low[-1]) / 2, abs=0.1)
    assert low[0] - high[-1] == pytest.approx(2 * (low[0] - low[-1]), abs=0.1)
    words = root.all("desc")[0].text
    assert "Baseline: 20.0 % at rank 1, 60.0 % at rank 20" in words and "SNR: 40.0 %" in words
    texts = [node.text for node in root.all("text")]
    assert "rank k" in texts and "found, %" in texts
    assert any(text.endswith("SNR") for text in texts)


def test_schemes_differ_in_colour_pattern_and_shape() -> None:
    assert len(set(DASH_PATTERNS)) == STYLES

    def marker(style: int) -> Node:
        (path,) = render("{{ charts.marker(style, 1.5, 2) }}", style=style).all("path")
        return path

    assert len({marker(style).attributes["d"] for style in range(STYLES)}) == STYLES
    assert len({marker(style).attributes["class"] for style in range(STYLES)}) == STYLES
    assert marker(STYLES) == marker(0)
    assert (marker(0).attributes["transform"] or "").startswith("translate(1.5 2)")


def test_whiskers_end_where_the_interval_ends() -> None:
    rows = [IntervalRow("Baseline", 0, 0.45, Interval(0.4, 0.5)), IntervalRow("SNR", 1, 0.6, Interval(0.5, 0.7))]
    root = render("{{ charts.intervals(chart) }}", chart=IntervalChart(title="mAP", groups=[("night", rows)]))
    first, second = root.all("line", "whisker")
    assert float(first.attributes["x2"] or 0) == float(second.attributes["x1"] or 1)
    lengths = [float(line.attributes["x2"] or 0) - float(line.attributes["x1"] or 0) for line in (first, second)]
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=0.02)
    assert {"45.0", "60.0"} <= {node.text for node in root.all("text", "value")}


def test_long_names_end_in_an_ellipsis() -> None:
    assert shorten("SNR") == "SNR"
    assert len(shorten("x" * 99)) == len(shorten("x" * 14)) == 13


def test_long_names_that_begin_alike_have_labels_of_their_own() -> None:
    names = [
        f"snr-no-loss-{method}-{place}"
        for method in ("adaptive-bn", "clustering")
        for place in ("market1501", "cuhk03")
    ]
    labels = short_labels(["SNR", "snr-no-loss", *names])
    assert labels["SNR"] == "SNR" and labels["snr-no-loss"] == "snr-no-loss"
    assert len(set(labels.values())) == 6 and max(map(len, labels.values())) <= 13
    assert labels[names[0]] == "adapti\N{HORIZONTAL ELLIPSIS}et1501"
