"""Scores as one flat, machine-readable object: the output of ``snreid evaluate --json``."""

import numpy as np

from snreid.evaluation.uncertainty import RESAMPLES, mean_interval
from snreid.records import Scores

SHOWN_RANKS = (1, 5, 10, 20)
"""The ranks at which the field reports CMC."""


def summary(scores: Scores) -> dict[str, float | int]:
    """mAP, mINP and rank1, rank5, rank10, rank20 as shares (0 to 1).

    ``queries`` counts all queries, ``skipped_queries`` those without a valid match, which enter no mean.
    """
    shares: dict[str, float | int] = {"mAP": scores.mean_ap, "mINP": scores.mean_inp}
    shares |= {f"rank{k}": scores.rank(k) for k in SHOWN_RANKS}
    return shares | {"queries": scores.queries, "skipped_queries": scores.skipped_queries}


def summary_with_intervals(
    scores: Scores, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float | int | list[float]]:
    """``summary`` plus ``NAME_interval`` of each share as [low, high], their ``interval_level``, and the number of ``persons`` queried.

    Args:
        scores: Of one run.
        level: Coverage of the intervals, 0 to 1.
        resamples: Bootstrap samples.
        seed: Of the samples.
    """
    values = {"mAP": scores.average_precision, "mINP": scores.inverse_negative_penalty}
    values |= {f"rank{k}": (scores.first_rank <= k).astype(np.float64) for k in SHOWN_RANKS}
    richer: dict[str, float | int | list[float]] = dict(summary(scores))
    for name, value in values.items():
        interval = mean_interval(value, scores.persons, level=level, resamples=resamples, seed=seed)
        richer[f"{name}_interval"] = [interval.low, interval.high]
    return richer | {"interval_level": level, "persons": len(np.unique(scores.persons))}
