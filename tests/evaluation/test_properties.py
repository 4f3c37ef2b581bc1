"""What an image is like: by definition, pixel by pixel; quartiles; and a test that does not take queries for independent."""

import numpy as np
import pytest
from scipy import stats

from snreid.errors import DataError
from snreid.evaluation.properties import by_property, luma, measure, trend
from snreid.images.reading import resize
from snreid.records import Scores


def scores_of(precisions: np.ndarray, persons: np.ndarray | None = None) -> Scores:
    count = len(precisions)
    shown = np.arange(count) if persons is None else persons
    return Scores(precisions, np.ones(count), np.where(precisions > 0.5, 1, 2), np.arange(count), count, shown)


def sharpness_by_definition(pixels: np.ndarray) -> float:
    """Neighbour by neighbour, in plain Python."""
    small = resize(pixels, 128, 64).astype(float)
    grey = [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in small.tolist()]
    found = [
        grey[y - 1][x] + grey[y + 1][x] + grey[y][x - 1] + grey[y][x + 1] - 4 * grey[y][x]
        for y in range(1, 127)
        for x in range(1, 63)
    ]
    mean = sum(found) / len(found)
    return sum((one - mean) ** 2 for one in found) / len(found)


def test_properties_are_their_definition(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (90, 41, 3), dtype=np.uint8)
    found = measure(pixels)
    assert found.size == 90 * 41
    grey = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in pixels.reshape(-1, 3).tolist()]
    assert found.brightness == pytest.approx(sum(grey) / len(grey), rel=1e-5)
    assert found.sharpness == pytest.approx(sharpness_by_definition(pixels), rel=1e-4)


def test_white_is_255_bright_and_a_plain_image_has_no_edge() -> None:
    white = np.full((20, 10, 3), 255, np.uint8)
    assert measure(white).brightness == pytest.approx(255, abs=1e-3) and measure(white).sharpness < 1e-6
    assert luma(np.array([[[255, 0, 0]]], np.uint8))[0, 0] == pytest.approx(76.245)


def test_a_blurred_image_is_less_sharp(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)
    soft = resize(resize(pixels, 64, 32), 128, 64)
    assert measure(soft).sharpness < measure(pixels).sharpness / 4


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="height, width, 3"):
        measure(np.zeros((4, 4), np.uint8))


def test_quarters_are_those_of_a_sorted_list(rng: np.random.Generator) -> None:
    values, precisions = rng.permutation(np.arange(40.0)), rng.random(40)
    persons = rng.integers(1, 12, size=40)
    found = by_property("brightness", "levels", values, scores_of(precisions, persons))
    order = np.argsort(values)
    assert [(b.low, b.high) for b in found.buckets] == [(0, 9), (10, 19), (20, 29), (30, 39)]
    for quarter, bucket in enumerate(found.buckets):
        inside = order[10 * quarter : 10 * quarter + 10]
        assert bucket.estimates.queries == 10 and bucket.estimates.persons == len(set(persons[inside]))
        assert bucket.estimates.mean_ap.value == pytest.approx(precisions[inside].mean())
        assert bucket.estimates.rank1.value == pytest.approx((precisions[inside] > 0.5).mean())


def test_equal_values_are_never_parted() -> None:
    values = np.array([1.0, 1, 1, 1, 1, 2, 3, 3])
    found = by_property("size", "pixels", values, scores_of(np.linspace(0.1, 0.9, 8)))
    assert [(b.low, b.high, b.estimates.queries) for b in found.buckets] == [(1, 1, 5), (2, 2, 1), (3, 3, 2)]


def test_what_cannot_be_split_says_why() -> None:
    three = by_property("size", "pixels", np.arange(3.0), scores_of(np.full(3, 0.5)))
    assert not three.buckets and three.trend is None and "3 queries" in three.remark
    same = by_property("size", "pixels", np.full(9, 8192.0), scores_of(np.linspace(0, 1, 9)))
    assert not same.buckets and same.trend is None and "the same for all 9 queries, 8,192 pixels" in same.remark
    nothing = by_property("size", "pixels", np.full(9, np.nan), scores_of(np.full(9, 0.5)))
    assert not nothing.buckets and "0 queries" in nothing.remark
    assert "buckets" in nothing.to_json() and "trend" not in nothing.to_json()


def test_unknown_values_are_left_out(rng: np.random.Generator) -> None:
    values, precisions, persons = rng.random(30), rng.random(30), rng.integers(1, 9, size=30)
    values[[3, 17]] = np.nan
    keep = ~np.isnan(values)
    found = by_property("x", "", values, scores_of(precisions, persons))
    assert found == by_property("x", "", values[keep], scores_of(precisions[keep], persons[keep]))


def test_rho_is_spearmans_and_p_is_near_that_of_a_permutation(rng: np.random.Generator) -> None:
    x = rng.integers(0, 12, size=120).astype(float)  # many ties
    y = np.round(rng.random(120) + 0.03 * x, 1)
    found = trend(x, y, np.arange(120), resamples=4000)
    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    permuted = stats.permutation_test(
        (x,), lambda one: stats.spearmanr(one, y).statistic, permutation_type="pairings", n_resamples=500, rng=1
    )
    assert found.p_value == pytest.approx(permuted.pvalue, abs=0.03)
    assert found.interval.low < found.rho < found.interval.high


def test_perfect_order_and_none() -> None:
    up = trend(np.arange(20.0), np.arange(20.0) ** 3, np.arange(20))
    down = trend(np.arange(20.0), -np.arange(20.0), np.arange(20))
    assert up is not None and down is not None
    assert up.rho == pytest.approx(1) and down.rho == pytest.approx(-1) and up.p_value < 0.01
    assert trend(np.arange(5.0), np.ones(5), np.arange(5)) is None


def test_many_queries_of_one_person_do_not_make_chance_significant(rng: np.random.Generator) -> None:
    """No association, but a person's queries have one brightness and one difficulty: taken for independent, every second
    example would be 'significant'; person by person it is one in twenty."""
    persons = np.repeat(np.arange(25), 8)
    honest = careless = 0
    for _ in range(120):
        x, y = (rng.normal(size=25)[persons] + 0.2 * rng.normal(size=200) for _ in range(2))
        found = trend(x, y, persons, resamples=200)
        assert found is not None
        honest += found.p_value <= 0.05
        careless += stats.spearmanr(x, y).pvalue <= 0.05
    assert honest <= 14 and careless >= 40


def test_the_interval_widens_with_the_queries_of_a_person(rng: np.random.Generator) -> None:
    x = rng.normal(size=30)
    y = 0.4 * x + rng.normal(size=30)
    one = trend(x, y, np.arange(30))
    many = trend(np.repeat(x, 6), np.repeat(y, 6), np.repeat(np.arange(30), 6))
    loose = trend(np.repeat(x, 6), np.repeat(y, 6), np.arange(180))
    assert one is not None and many is not None and loose is not None
    widths = [t.interval.high - t.interval.low for t in (one, many, loose)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15) and widths[2] < 0.6 * widths[0]
