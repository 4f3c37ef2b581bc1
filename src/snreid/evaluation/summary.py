"""Scores as one flat, machine-readable object: the output of ``snreid evaluate --json``."""

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.uncertainty import bootstrap_interval
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
    scores: Scores,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, float | int | list[float]]:
    """``summary`` plus ``mAP_interval`` and ``rank1_interval`` as [low, high] (shares) and ``interval_level``.

    Args:
        scores: Of one run.
        level: Coverage of the intervals, 0 to 1.
        resamples: Bootstrap samples.
        seed: Of the samples.
        groups: (V,) a label per valid query, to resample persons instead of queries.
    """
    values = {"mAP": scores.average_precision, "rank1": (scores.first_rank <= 1).astype(np.float64)}
    richer: dict[str, float | int | list[float]] = dict(summary(scores))
    for name, value in values.items():
        interval = bootstrap_interval(value, level=level, resamples=resamples, seed=seed, groups=groups)
        richer[f"{name}_interval"] = [interval.low, interval.high]
    richer["interval_level"] = level
    return richer
