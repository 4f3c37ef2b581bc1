"""What some of the queries are worth: mAP and rank-1 with intervals over persons. The unit that a diagnosis is made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.uncertainty import bootstrap_interval
from snreid.records import Interval, Scores

RESAMPLES = 1000
"""Bootstrap draws per interval: a diagnosis shows hundreds of them."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries with its interval."""

    value: float
    """A share, 0 to 1; a difference of shares, -1 to 1."""
    interval: Interval
    """Percentile bootstrap over persons."""

    def to_json(self) -> dict[str, Any]:
        """``value`` and ``interval`` as [low, high]."""
        return {"value": self.value, "interval": [self.interval.low, self.interval.high]}


@dataclass(frozen=True, slots=True)
class Worth:
    """What a group of queries is worth."""

    queries: int
    """Queries with a valid match, at least 1."""
    persons: int
    """Whom they show, at least 1. With one person an interval has no width and says nothing."""
    mean_ap: Estimate
    rank1: Estimate

    def to_json(self) -> dict[str, Any]:
        """Flat but for the two estimates."""
        counts = {"queries": self.queries, "persons": self.persons}
        return counts | {"mAP": self.mean_ap.to_json(), "rank1": self.rank1.to_json()}


def estimate(
    values: NDArray[np.float64], persons: NDArray[np.int64], *, level: float = 0.95, resamples: int = RESAMPLES
) -> Estimate:
    """The mean of ``values`` (V,), V >= 1, one per query, with a bootstrap interval that draws whole ``persons`` (V,)."""
    interval = bootstrap_interval(values, level=level, resamples=resamples, groups=persons)
    return Estimate(float(values.mean()), interval)


def worth(scores: Scores, persons: NDArray[np.int64], chosen: NDArray[np.bool_] | None = None) -> Worth | None:
    """What the valid queries of ``scores``, or the ``chosen`` (V,) of them, are worth; None where there is none.

    ``persons`` (V,): whom each valid query shows. Intervals have level 0.95 and are the same at every call.
    """
    some = np.ones(len(scores.query_index), np.bool_) if chosen is None else chosen
    if not some.any():
        return None
    who = persons[some]
    return Worth(
        queries=len(who),
        persons=len(np.unique(who)),
        mean_ap=estimate(scores.average_precision[some], who),
        rank1=estimate((scores.first_rank[some] <= 1).astype(np.float64), who),
    )
