"""mAP and rank-1 of a subset of the queries, with intervals over persons: the unit of a diagnosis."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.uncertainty import mean_interval
from snreid.records import Interval, Scores


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries with its interval."""

    value: float
    """A share, 0 to 1; a difference of shares, -1 to 1."""
    interval: Interval
    """Over persons (`uncertainty.py`)."""

    def to_json(self) -> dict[str, Any]:
        """``value`` and ``interval`` as [low, high]."""
        return {"value": self.value, "interval": [self.interval.low, self.interval.high]}


@dataclass(frozen=True, slots=True)
class SubsetScores:
    """mAP and rank-1 of a subset of the queries."""

    queries: int
    """Queries with a valid match, at least 1."""
    persons: int
    """Persons among them, at least 1. With one person an interval has no width and no meaning."""
    mean_ap: Estimate
    rank1: Estimate

    def to_json(self) -> dict[str, Any]:
        """The counts, and ``mAP`` and ``rank1`` as estimates."""
        counts = {"queries": self.queries, "persons": self.persons}
        return counts | {"mAP": self.mean_ap.to_json(), "rank1": self.rank1.to_json()}


def subset_scores(scores: Scores, subset: NDArray[np.bool_] | None = None) -> SubsetScores | None:
    """mAP and rank-1 of the valid queries chosen by ``subset`` (V,), or of all; None if there are none.

    Intervals have level 0.95 and are the same at every call.
    """
    chosen = np.ones(len(scores.query_index), np.bool_) if subset is None else subset
    if not chosen.any():
        return None
    persons = scores.persons[chosen]
    return SubsetScores(
        queries=len(persons),
        persons=len(np.unique(persons)),
        mean_ap=_estimate(scores.average_precision[chosen], persons),
        rank1=_estimate((scores.first_rank[chosen] <= 1).astype(np.float64), persons),
    )


def _estimate(values: NDArray[np.float64], persons: NDArray[np.int64]) -> Estimate:
    return Estimate(float(values.mean()), mean_interval(values, persons))
