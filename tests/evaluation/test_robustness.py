"""What a corruption costs: paired, query by query."""

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.evaluation.robustness import corruption_effect, mean_drop
from snreid.evaluation.uncertainty import compare, difference_interval
from snreid.records import Scores

PERSONS = np.repeat(np.arange(10), 4)


def scores_of(precisions: np.ndarray) -> Scores:
    count = len(precisions)
    return Scores(
        precisions, np.ones(count), np.where(precisions > 0.5, 1, 3), np.arange(count), count, PERSONS[:count]
    )


def test_it_is_the_paired_comparison_corrupted_minus_clean(rng: np.random.Generator) -> None:
    clean = scores_of(rng.random(40))
    worse = scores_of(clean.average_precision * rng.random(40))
    found = corruption_effect("dark", 3, clean, worse)
    assert found.comparison == compare(worse, clean)
    assert (
        found.comparison.mean_ap.difference == pytest.approx(worse.mean_ap - clean.mean_ap)
        and worse.mean_ap < clean.mean_ap
    )
    shown = found.to_json()
    assert shown["kind"] == "dark" and shown["severity"] == 3 and shown["mAP"]["value"] == pytest.approx(worse.mean_ap)
    assert shown["difference"]["mAP"]["value"] < 0 and shown["difference"]["rank1"]["interval"][0] <= 0


def test_the_mean_drop_counts_every_corruption_once(rng: np.random.Generator) -> None:
    clean = scores_of(rng.random(40))
    worse = [scores_of(clean.average_precision * share) for share in (0.9, 0.5, 0.1)]
    effects = [corruption_effect("blur", s, clean, one) for s, one in enumerate(worse, start=1)]
    found = mean_drop(clean, effects)
    assert found is not None
    assert found.value == pytest.approx(np.mean([clean.mean_ap - one.mean_ap for one in worse])) and found.value > 0
    drops = 0.5 * clean.average_precision
    wanted = difference_interval(drops, PERSONS)
    assert (found.interval.low, found.interval.high) == pytest.approx((wanted.low, wanted.high))
    assert mean_drop(clean, []) is None


def test_other_queries_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ExperimentError, match="same queries"):
        corruption_effect("dark", 1, scores_of(rng.random(40)), scores_of(rng.random(39)))
