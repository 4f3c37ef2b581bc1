"""The object for machines has exactly the promised keys."""

import json

import numpy as np
import pytest

from snreid.evaluation.summary import summary, summary_with_intervals
from snreid.evaluation.uncertainty import mean_interval
from snreid.records import Scores

SCORES = Scores(
    average_precision=np.array([1.0, 0.5, 0.25, 0.05]),
    inverse_negative_penalty=np.array([1.0, 0.5, 0.1, 0.01]),
    first_rank=np.array([1, 2, 7, 20]),
    query_index=np.array([0, 1, 3, 4]),
    queries=6,
    persons=np.array([3, 3, 8, 8]),
)


def test_the_promised_keys_and_values() -> None:
    found = summary(SCORES)
    assert list(found) == ["mAP", "mINP", "rank1", "rank5", "rank10", "rank20", "queries", "skipped_queries"]
    assert found == pytest.approx(
        {
            "mAP": 0.45,
            "mINP": 0.4025,
            "rank1": 0.25,
            "rank5": 0.5,
            "rank10": 0.75,
            "rank20": 1.0,
            "queries": 6,
            "skipped_queries": 2,
        }
    )
    assert type(found["queries"]) is int and json.loads(json.dumps(found)) == found


def test_every_share_has_an_interval_over_persons() -> None:
    found = summary_with_intervals(SCORES, resamples=100, seed=2)
    assert {key: found[key] for key in summary(SCORES)} == summary(SCORES)
    values = {"mAP": SCORES.average_precision, "mINP": SCORES.inverse_negative_penalty}
    values |= {f"rank{k}": (SCORES.first_rank <= k).astype(float) for k in (1, 5, 10, 20)}
    for name, each in values.items():
        interval = mean_interval(each, SCORES.persons, resamples=100, seed=2)
        assert found[f"{name}_interval"] == [interval.low, interval.high]
    assert found["mAP_interval"] == [pytest.approx(0.15), pytest.approx(0.75)]
    assert found["interval_level"] == 0.95 and found["persons"] == 2
    assert json.loads(json.dumps(found)) == found
