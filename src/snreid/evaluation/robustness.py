"""The cost of a corruption: the same queries with clean and with corrupted images, compared query by query."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snreid.evaluation.subset_scores import Estimate, SubsetScores, subset_scores
from snreid.evaluation.uncertainty import PairedComparison, PairedDifference, compare, difference_interval
from snreid.records import Scores


@dataclass(frozen=True)
class CorruptionEffect:
    """One kind of corruption at one severity, against clean images."""

    kind: str
    severity: int
    """1 (mild) to 5 (hard)."""
    scores: Scores
    estimates: SubsetScores
    comparison: PairedComparison
    """Corrupted minus clean: a loss is negative."""

    def to_json(self) -> dict[str, Any]:
        """The scores and the paired differences."""
        both = {"mAP": self.comparison.mean_ap, "rank1": self.comparison.rank1}
        return {
            "kind": self.kind,
            "severity": self.severity,
            **self.estimates.to_json(),
            "difference": {name: _difference(paired) for name, paired in both.items()},
        }


def corruption_effect(kind: str, severity: int, clean: Scores, corrupted: Scores) -> CorruptionEffect:
    """Corrupted against clean images.

    Raises ``ExperimentError`` unless both were scored on the same queries (`uncertainty.py: compare`), at least one of them valid.
    """
    paired = compare(corrupted, clean)
    estimates = subset_scores(corrupted)
    assert estimates is not None  # or compare would have raised
    return CorruptionEffect(kind, severity, corrupted, estimates, paired)


def mean_drop(clean: Scores, effects: Sequence[CorruptionEffect]) -> Estimate | None:
    """The mean corruption drop: the average loss of mAP over ``effects``, each counted once; a loss is positive.

    The drops of one query under all corruptions are averaged first, so the bootstrap keeps the queries of a person, and all
    corruptions of a query, together. None without effects. (Hendrycks and Dietterich's mean corruption error, arXiv 1903.12261,
    divides by a reference model's errors; there is none here.)
    """
    if not effects:
        return None
    each = [clean.average_precision - effect.scores.average_precision for effect in effects]
    drops = np.asarray(np.mean(each, axis=0))
    return Estimate(float(drops.mean()), difference_interval(drops, clean.persons))


def _difference(paired: PairedDifference) -> dict[str, Any]:
    bounds = [paired.interval.low, paired.interval.high]
    found = {"value": paired.difference, "interval": bounds, "p_value": paired.p_value}
    return found | ({"remark": paired.remark} if paired.remark else {})
