"""mAP and rank-1 of some queries: plain means, and intervals that draw persons."""

import numpy as np
import pytest

from snreid.evaluation.subset_scores import subset_scores
from snreid.evaluation.uncertainty import mean_interval
from snreid.records import Scores


def scores_of(precisions: list[float], first: list[int], persons: list[int]) -> Scores:
    count = len(precisions)
    return Scores(np.array(precisions), np.ones(count), np.array(first), np.arange(count), count, np.array(persons))


def test_means_counts_and_intervals_of_the_chosen_queries() -> None:
    scores = scores_of([0.5, 0.1, 0.9, 0.3], [1, 4, 1, 2], [1, 1, 2, 3])
    found = subset_scores(scores, np.array([True, True, True, False]))
    assert found is not None
    assert (found.queries, found.persons) == (3, 2)
    assert found.mean_ap.value == pytest.approx(0.5) and found.rank1.value == pytest.approx(2 / 3)
    expected = mean_interval(np.array([0.5, 0.1, 0.9]), np.array([1, 1, 2]))
    assert found.mean_ap.interval == expected
    assert found.to_json()["mAP"] == {"value": found.mean_ap.value, "interval": [expected.low, expected.high]}


def test_without_queries_there_is_nothing() -> None:
    assert subset_scores(scores_of([], [], [])) is None
    assert subset_scores(scores_of([0.5], [1], [1]), np.array([False])) is None


def test_persons_and_not_queries_are_drawn() -> None:
    """Twenty equal queries of each of two persons say as little as one query of each."""
    found = subset_scores(scores_of([0.0] * 20 + [1.0] * 20, [9] * 20 + [1] * 20, [1] * 20 + [2] * 20))
    assert found is not None
    assert (
        (found.mean_ap.interval.low, found.mean_ap.interval.high)
        == (0.0, 1.0)
        == (
            found.rank1.interval.low,
            found.rank1.interval.high,
        )
    )
