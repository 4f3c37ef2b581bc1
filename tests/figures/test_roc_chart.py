"""The ROC curve as a drawing: points where the rates are, words that say the same, a file that is XML."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from snreid.evaluation import Calibration
from snreid.figures.roc_chart import RocChart, roc_svg
from snreid.records import Interval

FOUND = Calibration(
    metric="cosine",
    step=1e-5,
    wanted=1e-2,
    threshold=0.61234,
    false_match_rate=0.0095,
    true_match_rate=0.5,
    interval=Interval(0.4, 0.6),
    genuine=2000,
    impostor=10000,
    persons=40,
    roc=((0.0001, 0.1, 0.8), (0.0095, 0.5, 0.61234), (0.1, 0.8, 0.3), (1.0, 1.0, -1.0)),
    data="shop <1> & 2",
)


def test_decades_are_evenly_spaced_and_points_lie_on_them() -> None:
    chart = RocChart(found=FOUND)
    rates = [1.0, 0.1, 0.01, 0.001, 0.0001]
    assert chart.decades == list(zip(rates, ["100", "10", "1", "0.1", "0.01"], strict=True))
    places = [chart.x(rate) for rate in rates]
    assert places[0] == chart.right and places[-1] == chart.left
    assert [a - b for a, b in pairwise(places)] == pytest.approx([(616 - 64) / 4] * 4)
    assert (chart.y(0), chart.y(1)) == (chart.bottom, chart.top)
    points = [tuple(map(float, point.split(","))) for point in chart.polyline.split()]
    assert points[0] == (chart.left, pytest.approx(chart.y(0.1), abs=0.1)) and points[-1] == (chart.right, chart.top)
    assert chart.rough == 0.003


def test_the_file_says_the_threshold_in_words_and_is_xml() -> None:
    text = roc_svg(FOUND)
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "Same person or not: shop <1> & 2" in words
    assert "cosine at least 0.61234: 50.0 [40.0, 60.0] % true, 0.95 % false matches" in words
    assert "2,000 pairs of the same person (40 persons), 10,000 of different persons" in words
    described = root.find("{http://www.w3.org/2000/svg}desc")
    assert described is not None and "80.0 % at a false match rate of 10 %" in (described.text or "")
    assert text == roc_svg(FOUND) and "<script" not in text and "http" not in text.replace(root.tag[1:27], "")
