"""Uncertainty of scores over persons: intervals of means and of differences, and a paired test between two runs on the same queries.

Queries of one person are not independent, so persons are drawn, each with all of its queries. Percentile bootstrap: Efron and Tibshirani,
An Introduction to the Bootstrap, chapter 13. A share near 0 or 1 has Clopper and Pearson's interval (Biometrika 26, 1934), because the
bootstrap of fifty hits is [1, 1]. Sign-flip permutation test with the p-value (1 + hits) / (1 + resamples):
Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010). Nothing here covers the training seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from snreid.errors import ExperimentError
from snreid.evaluation.exact.similarity import Doubles, stretches
from snreid.records import Interval, Scores

RESAMPLES = 2000
"""Bootstrap samples and random signs: the same everywhere, so that one score has one interval."""
FEW = 10
"""An interval of fewer persons comes with a note."""
_RARE = 5
"""So many persons have to differ from 0, and from 1, for a bootstrap: with fewer, a sample often has none of them."""
_DRAWS_AT_ONCE = 1 << 20
"""Bounds memory: about 32 MB at any number of queries and resamples."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A score of run a minus the same score of run b, on the same queries."""

    difference: float
    """a - b, a share between -1 and 1."""
    interval: Interval
    """Paired bootstrap interval of the difference."""
    p_value: float
    """Two-sided sign-flip permutation test of "a and b are interchangeable", 0 < p <= 1."""

    @property
    def remark(self) -> str:
        """What to make of interval and test if they contradict each other (``disagreement``); else empty."""
        return disagreement(self.interval, self.p_value)


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two runs compared query by query."""

    mean_ap: PairedDifference
    """Difference of mAP."""
    rank1: PairedDifference
    """Difference of rank-1."""
    queries: int
    """Queries with a valid match, the same in both runs."""
    persons: int
    """Persons among them."""


def mean_interval(
    values: Doubles, persons: NDArray[np.int64], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Interval of the mean of values between 0 and 1: mAP, mINP, or CMC at a rank.

    Percentile bootstrap over persons. If most persons have nothing but 0, or nothing but 1, and fewer than five differ from it, Clopper
    and Pearson's interval, with as many draws as persons (fewer if their queries are unevenly spread): as wide as if the queries of a
    person always agreed.

    Args:
        values: (V,) one value per query, 0 to 1: AP, or 1 for a hit and 0 for a miss.
        persons: (V,) the person of each query, such as ``Scores.persons``.
        level: Nominal coverage, 0 to 1.
        resamples: Bootstrap samples.
        seed: The same seed gives the same interval.

    Raises:
        ExperimentError: There are no values, one lies outside 0 to 1, ``persons`` has another length, or the level is outside (0, 1).
    """
    _check(values, persons, level, resamples)
    if values.min() < 0 or values.max() > 1:
        raise ExperimentError(
            "A score lies between 0 and 1",
            found=f"{values.min():g} to {values.max():g}",
            fix="divide percent by 100; a difference has difference_interval",
        )
    sums, counts = _by_person(values, persons)
    rare = min(int((sums > 0).sum()), int((sums < counts - 1e-9).sum()))
    if rare < _RARE and 2 * rare < len(sums):
        return _clopper_pearson(float(values.mean()), float(counts.sum() ** 2 / (counts**2).sum()), level)
    return _bootstrap(sums, counts, level, resamples, seed)


def difference_interval(
    differences: Doubles, persons: NDArray[np.int64], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of a mean difference (V,), over persons; the arguments are those of ``mean_interval``."""
    _check(differences, persons, level, resamples)
    return _bootstrap(*_by_person(differences, persons), level, resamples, seed)


def sign_flip_p_value(
    differences: Doubles, persons: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p-value of a mean difference (V,) under random signs, one for each person."""
    _check(differences, persons, 0.95, resamples)
    sums, _ = _by_person(differences, persons)
    observed = abs(float(sums.sum()))
    generator = np.random.default_rng(seed)
    hits = 0
    for part in stretches(resamples, _DRAWS_AT_ONCE // len(sums)):
        signs = generator.integers(0, 2, size=(part.stop - part.start, len(sums)), dtype=np.int8) * 2 - 1
        # A sum equal to the observed one up to rounding is a hit: without the margin, the order of summation would decide.
        hits += int((np.abs((signs * sums).sum(axis=1)) >= observed - 1e-12 * len(differences)).sum())
    return (1 + hits) / (1 + resamples)


def disagreement(interval: Interval, p_value: float | None) -> str:
    """A sentence if the interval of a difference excludes 0 and its test does not at the same level, or the other way round; else empty."""
    apart = interval.low > 0 or interval.high < 0
    if p_value is None or apart == (p_value <= 1 - interval.level):
        return ""
    verdicts = ("excludes", "does not") if apart else ("contains", "rejects it")
    return (
        f"The interval {verdicts[0]} 0 and the test {verdicts[1]} (p = {p_value:.3f}): the difference is not settled."
    )


def few_persons(persons: int) -> str:
    """A sentence on intervals over fewer than ``FEW`` persons; empty for more."""
    if persons >= FEW:
        return ""
    return (
        f"Only {persons} person{'s were' if persons > 1 else ' was'} queried: intervals of fewer than {FEW} are rough."
    )


def compare(
    a: Scores, b: Scores, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> PairedComparison:
    """Differences a - b of mAP and rank-1, with paired bootstrap intervals and sign-flip p-values over persons.

    Args:
        a: Scores of one run.
        b: Scores of the other run, on the same queries.
        level: Nominal coverage of the intervals, 0 to 1.
        resamples: Bootstrap samples and random signs.
        seed: The same seed gives the same comparison.

    Raises:
        ExperimentError: The runs have different queries or different valid queries.
    """
    same = np.array_equal(a.query_index, b.query_index) and np.array_equal(a.persons, b.persons)
    if a.queries != b.queries or not same:
        raise ExperimentError(
            "A paired test needs two runs scored on the same queries",
            found=f"{len(a.query_index)} of {a.queries} queries with a match and {len(b.query_index)} of {b.queries}"
            + (", other ones" if len(a.query_index) == len(b.query_index) else ""),
            fix="evaluate both runs on the same target with the same query and gallery split",
        )

    def paired(differences: Doubles) -> PairedDifference:
        """Interval and p-value of one difference (V,), from the same samples at every call."""
        interval = difference_interval(differences, a.persons, level=level, resamples=resamples, seed=seed)
        p_value = sign_flip_p_value(differences, a.persons, resamples=resamples, seed=seed)
        return PairedDifference(float(differences.mean()), interval, p_value)

    hits = (a.first_rank <= 1).astype(np.float64) - (b.first_rank <= 1)
    return PairedComparison(
        mean_ap=paired(a.average_precision - b.average_precision),
        rank1=paired(hits),
        queries=len(a.query_index),
        persons=len(np.unique(a.persons)),
    )


def _by_person(values: Doubles, persons: NDArray[np.int64]) -> tuple[Doubles, Doubles]:
    """Sum and number of the values of each person."""
    _, label = np.unique(persons, return_inverse=True)
    return np.bincount(label, weights=values).astype(np.float64), np.bincount(label).astype(np.float64)


def _bootstrap(sums: Doubles, counts: Doubles, level: float, resamples: int, seed: int) -> Interval:
    """Percentile interval of the mean of all values, from their sum and number for each person (P,)."""
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for part in stretches(resamples, _DRAWS_AT_ONCE // len(sums)):
        drawn = generator.integers(0, len(sums), size=(part.stop - part.start, len(sums)))
        means[part] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)


def _clopper_pearson(share: float, draws: float, level: float) -> Interval:
    """Clopper and Pearson's interval of a share; ``draws`` need not be whole."""
    hits, tail = share * draws, (1 - level) / 2
    low = float(betaincinv(hits, draws - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, draws - hits, 1 - tail)) if hits < draws else 1.0
    return Interval(low=low, high=high, level=level)


def _check(values: Doubles, persons: NDArray[np.int64], level: float, resamples: int) -> None:
    if values.ndim != 1 or not len(values):
        raise ExperimentError(
            "An interval needs one value per query, at least one",
            found=f"shape {values.shape}",
            fix="score queries first",
        )
    if not 0 < level < 1:
        raise ExperimentError("The level lies between 0 and 1", found=str(level), fix="use 0.95 for 95 %")
    if resamples < 1:
        raise ExperimentError("At least one resample is drawn", found=str(resamples), fix=f"use {RESAMPLES}")
    if persons.shape != values.shape:
        raise ExperimentError(
            "Every value belongs to a query of one person",
            found=f"{persons.shape} persons for {values.shape} values",
            fix="give one person per value, as in Scores.persons",
        )
