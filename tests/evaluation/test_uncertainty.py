"""Intervals and p-values against their slow twins, closed forms and simulation."""

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.evaluation import uncertainty
from snreid.evaluation.uncertainty import (
    compare,
    difference_interval,
    disagreement,
    few_persons,
    mean_interval,
    sign_flip_p_value,
)
from snreid.records import Interval, Scores


def scores(
    precision: NDArray[np.float64], first: NDArray[np.int64] | None = None, queries: int | None = None
) -> Scores:
    count = len(precision)
    ranks = np.where(precision > 0.5, 1, 7) if first is None else first
    return Scores(precision, precision, ranks, np.arange(count), queries or count, np.arange(count))


def test_equal_to_a_loop_over_resamples(rng: np.random.Generator) -> None:
    values = rng.random(37)
    labels = rng.integers(0, 6, size=37)
    for persons in (np.arange(37), labels):
        members = [list(values[persons == person]) for person in np.unique(persons)]
        draws = np.random.default_rng(5).integers(0, len(members), size=(300, len(members)))
        means = []
        for draw in draws:
            drawn = [value for index in draw for value in members[index]]
            means.append(sum(drawn) / len(drawn))
        found = mean_interval(values, persons, level=0.9, resamples=300, seed=5)
        np.testing.assert_allclose([found.low, found.high], np.quantile(means, [0.05, 0.95]), rtol=1e-12)
        assert found.level == 0.9


def test_the_width_is_that_of_the_normal_interval_for_many_values(rng: np.random.Generator) -> None:
    values = rng.normal(size=4000)
    found = difference_interval(values, np.arange(4000), resamples=4000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.05)
    assert found.low < values.mean() < found.high


def test_it_covers_the_truth_about_as_often_as_it_says(rng: np.random.Generator) -> None:
    hits = 0
    for turn in range(200):
        found = mean_interval(rng.random(60), np.arange(60), level=0.9, resamples=300, seed=turn)
        hits += found.low <= 0.5 <= found.high
    assert 0.82 <= hits / 200 <= 0.97


def test_queries_of_one_person_are_not_independent(rng: np.random.Generator) -> None:
    persons = np.repeat(np.arange(40), 25)
    values = rng.random(40)[persons]
    single, whole = mean_interval(values, np.arange(1000)), mean_interval(values, persons)
    assert whole.high - whole.low > 3 * (single.high - single.low)


def test_four_equal_queries_of_each_person_do_not_narrow_the_interval(rng: np.random.Generator) -> None:
    """Drawn query by query, a nominal 95 % would cover about 66 % here."""
    hits = 0
    for turn in range(200):
        found = mean_interval(np.repeat(rng.random(50), 4), np.repeat(np.arange(50), 4), resamples=300, seed=turn)
        hits += found.low <= 0.5 <= found.high
    assert 0.9 <= hits / 200 <= 0.98


def test_a_perfect_score_of_fifty_persons_is_not_certain() -> None:
    perfect = mean_interval(np.ones(200), np.repeat(np.arange(50), 4))
    assert (perfect.low, perfect.high) == (pytest.approx(0.025 ** (1 / 50)), 1.0)
    none = mean_interval(np.zeros(200), np.repeat(np.arange(50), 4))
    assert (none.low, none.high) == (0.0, pytest.approx(1 - perfect.low))


@pytest.mark.parametrize("share", [0.01, 0.03, 0.97])
def test_a_share_near_0_or_1_is_covered(rng: np.random.Generator, share: float) -> None:
    persons = np.repeat(np.arange(50), 2)
    hits = 0
    for turn in range(300):
        values = np.repeat((rng.random(50) < share).astype(float), 2)  # the queries of a person agree
        found = mean_interval(values, persons, resamples=200, seed=turn)
        assert 0 <= found.low <= values.mean() <= found.high <= 1
        hits += found.low <= share <= found.high
    assert hits / 300 >= 0.93


def test_one_hit_less_never_narrows_an_interval_near_1() -> None:
    """Against the tails of the binomial distribution, summed up."""
    widths = []
    for misses in range(5):
        values = np.where(np.arange(40) < misses, 0.0, 1.0)
        found = mean_interval(values, np.arange(40))
        widths.append(found.high - found.low)
        at_least = sum(math.comb(40, k) * found.low**k * (1 - found.low) ** (40 - k) for k in range(40 - misses, 41))
        at_most = sum(math.comb(40, k) * found.high**k * (1 - found.high) ** (40 - k) for k in range(41 - misses))
        assert at_least == pytest.approx(0.025) and at_most == pytest.approx(0.025 if misses else 1)
    assert widths == sorted(widths)


def test_interval_and_test_that_contradict_each_other_are_remarked() -> None:
    gain = np.where(np.arange(12) < 4, 0.4, 0.0)
    found = compare(scores(gain), scores(gain * 0)).mean_ap
    assert found.interval.low > 0 and found.p_value > 0.05
    assert "excludes 0" in found.remark and f"{found.p_value:.3f}" in found.remark
    assert "contains 0" in disagreement(Interval(-0.1, 0.2), 0.01)
    for low, p_value in ((0.1, 0.01), (-0.1, 0.2), (0.1, None)):
        assert not disagreement(Interval(low, 0.3), p_value)


def test_few_persons_are_told() -> None:
    assert "9 persons" in few_persons(9) and not few_persons(10)


def test_the_seed_decides_and_the_parts_do_not(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    values = rng.random(50)
    persons = np.arange(50)
    wanted = mean_interval(values, persons, seed=3)
    assert mean_interval(values, persons, seed=3) == wanted != mean_interval(values, persons, seed=4)
    p_value = sign_flip_p_value(values - 0.45, persons)
    monkeypatch.setattr(uncertainty, "_DRAWS_AT_ONCE", 333)
    assert mean_interval(values, persons, seed=3) == wanted
    assert 0 < sign_flip_p_value(values - 0.45, persons) == pytest.approx(p_value, abs=0.05)


def test_memory_stays_bounded(rng: np.random.Generator) -> None:
    values = rng.random(20_000)
    tracemalloc.start()
    try:
        mean_interval(values, np.arange(20_000), resamples=500)
        sign_flip_p_value(values - 0.5, np.arange(20_000), resamples=500)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


def test_the_p_value_is_that_of_all_sign_flips(rng: np.random.Generator) -> None:
    differences = rng.normal(0.4, 1, size=10)
    observed = abs(differences.sum())
    flips = itertools.product([-1, 1], repeat=10)
    exact = np.mean([abs((np.array(signs) * differences).sum()) >= observed - 1e-12 for signs in flips])
    assert sign_flip_p_value(differences, np.arange(10), resamples=20_000) == pytest.approx(exact, abs=0.012)


def test_one_sign_per_person() -> None:
    differences = np.full(12, 0.1)
    # Three persons: 2 of 8 sign patterns reach the observed sum, so p is about 1/4 and never near 2 / 2^12.
    assert sign_flip_p_value(differences, np.repeat([1, 2, 3], 4)) == pytest.approx(0.25, abs=0.04)
    assert sign_flip_p_value(differences, np.arange(12)) < 0.005


def test_p_values_are_uniform_when_nothing_differs(rng: np.random.Generator) -> None:
    found = np.array(
        [sign_flip_p_value(rng.normal(size=30), np.arange(30), resamples=200, seed=turn) for turn in range(300)]
    )
    assert 0.02 <= (found <= 0.05).mean() <= 0.09
    assert 0.4 <= (found <= 0.5).mean() <= 0.6


def test_compare_sees_a_small_but_steady_gain(rng: np.random.Generator) -> None:
    base = rng.uniform(0.1, 0.8, size=300)
    better = base + 0.02 + 0.02 * rng.normal(size=300)
    found = compare(scores(better), scores(base))
    assert found.mean_ap.difference == pytest.approx(better.mean() - base.mean(), abs=1e-12)
    assert 0.01 < found.mean_ap.interval.low < found.mean_ap.difference < found.mean_ap.interval.high < 0.03
    assert found.mean_ap.p_value == pytest.approx(1 / 2001)
    hits = (better > 0.5).mean() - (base > 0.5).mean()
    assert found.rank1.difference == pytest.approx(hits, abs=1e-12) and found.queries == 300
    back = compare(scores(base), scores(better))
    assert back.mean_ap.difference == -found.mean_ap.difference
    assert back.mean_ap.interval.low == pytest.approx(-found.mean_ap.interval.high, abs=1e-3)


def test_a_run_does_not_differ_from_itself(rng: np.random.Generator) -> None:
    one = scores(rng.random(50))
    found = compare(one, one)
    assert found.mean_ap.difference == found.rank1.difference == 0
    assert found.mean_ap.p_value == found.rank1.p_value == 1
    assert (found.rank1.interval.low, found.rank1.interval.high) == (0, 0)


def test_runs_on_other_queries_are_refused(rng: np.random.Generator) -> None:
    one = scores(rng.random(50))
    other = replace(one, query_index=one.query_index + 1, queries=51)
    for second in (
        scores(rng.random(49)),
        scores(rng.random(50), queries=60),
        other,
        replace(one, persons=one.persons + 1),
    ):
        with pytest.raises(ExperimentError, match="same queries"):
            compare(one, second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.empty(0), "persons": np.empty(0, np.int64)}, "at least one"),
        ({"level": 1.0}, "between 0 and 1. Found: 1.0"),
        ({"resamples": 0}, "At least one resample"),
        ({"persons": np.arange(3)}, "one person per value"),
        ({"values": np.arange(5.0)}, "between 0 and 1. Found: 0 to 4"),
    ],
)
def test_impossible_requests_are_refused(change: dict[str, object], message: str) -> None:
    request: dict[str, object] = {"values": np.arange(5) / 4, "persons": np.arange(5)} | change
    with pytest.raises(ExperimentError, match=message):
        mean_interval(**request)  # type: ignore[arg-type]
