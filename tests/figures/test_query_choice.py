"""The rule that chooses queries, against sorting by hand."""

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.figures.query_choice import choose_queries, typical_queries
from snreid.records import Scores
from support.report_samples import made_up_scores


def scores(precision: list[float]) -> Scores:
    values = np.array(precision)
    return Scores(
        values, values, np.ones(len(values), np.int64), np.arange(len(values)) * 10, 100, np.arange(len(values))
    )


def test_best_middle_and_worst_of_the_gains() -> None:
    chosen = choose_queries(scores([0.5, 0.5, 0.5, 0.5, 0.5]), scores([0.4, 0.9, 0.6, 0.55, 0.1]))
    assert [c.query for c in chosen] == [10, 30, 40]
    assert chosen[0].reason == "SNR gains most on this query (+40 points of AP against Baseline)"
    assert chosen[1].reason == "A query from the middle of what SNR gains (+5 points of AP against Baseline)"
    assert chosen[2].reason == "SNR loses most on this query (−40 points of AP against Baseline)"


def test_a_scheme_that_only_gains_or_only_loses_is_told_so() -> None:
    gains = choose_queries(scores([0.1, 0.1]), scores([0.2, 0.4]), scheme_name="IN")
    assert [c.query for c in gains] == [10, 0] and "IN gains least" in gains[-1].reason
    losses = choose_queries(scores([0.5, 0.5]), scores([0.2, 0.4]))
    assert [c.query for c in losses] == [10, 0] and "SNR loses least" in losses[0].reason


def test_ties_go_to_the_earlier_query_and_one_query_is_shown_once() -> None:
    same = scores([0.5, 0.5, 0.5])
    assert [c.query for c in choose_queries(same, same)] == [0, 10, 20]
    assert len(choose_queries(scores([0.5]), scores([0.7]))) == 1


def test_other_queries_are_refused() -> None:
    with pytest.raises(ExperimentError, match="38 and 37 valid queries"):
        choose_queries(made_up_scores(0.5, 1), made_up_scores(0.5, 1, skipped=3))


def test_one_scheme_shows_its_best_middle_and_worst_query() -> None:
    chosen = typical_queries(scores([0.5, 0.9, 0.6, 0.55, 0.1]))
    assert [c.query for c in chosen] == [10, 30, 40]
    assert [c.reason for c in chosen] == [
        "The best ranked query (AP 90)",
        "A query from the middle (AP 55)",
        "The worst ranked query (AP 10)",
    ]
    assert [c.query for c in typical_queries(scores([0.4]))] == [0]
    with pytest.raises(ExperimentError, match="with a match"):
        typical_queries(scores([]))
