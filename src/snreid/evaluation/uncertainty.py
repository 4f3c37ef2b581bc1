"""Uncertainty of scores: bootstrap intervals over queries, and a paired test between two runs on the same queries.

Percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13. Sign-flip permutation test with the
p-value (1 + hits) / (1 + resamples): Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010).

Queries of one person are not independent: ``groups`` (one label per value, usually the person) resamples whole groups instead of
queries, which gives a wider, more honest interval if persons have many queries. Neither interval covers the training seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.records import Interval, Scores

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


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two runs compared query by query."""

    mean_ap: PairedDifference
    """Difference of mAP."""
    rank1: PairedDifference
    """Difference of rank-1."""
    queries: int
    """Queries with a valid match, the same in both runs."""


def bootstrap_interval(
    values: NDArray[np.float64],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> Interval:
    """Percentile bootstrap interval of the mean of ``values`` (Efron and Tibshirani, chapter 13).

    Args:
        values: (V,) one value per query: AP, or 1 for a hit and 0 for a miss.
        level: Nominal coverage, 0 to 1.
        resamples: Bootstrap samples.
        seed: The same seed gives the same interval.
        groups: (V,) labels; groups are resampled as a whole.

    Raises:
        ExperimentError: There are no values, the level is outside (0, 1), or ``groups`` has another length.
    """
    _check(values, level, resamples, groups)
    sums, counts = _grouped(values, groups)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for part in _parts(resamples, len(sums)):
        drawn = generator.integers(0, len(sums), size=(part.stop - part.start, len(sums)))
        means[part] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)


def sign_flip_p_value(
    differences: NDArray[np.float64],
    *,
    resamples: int = 2000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> float:
    """Two-sided p-value of a mean difference (V,) under random signs; with ``groups`` one sign per group."""
    _check(differences, 0.95, resamples, groups)
    sums, _ = _grouped(differences, groups)
    observed = abs(float(sums.sum()))
    generator = np.random.default_rng(seed)
    hits = 0
    for part in _parts(resamples, len(sums)):
        signs = generator.integers(0, 2, size=(part.stop - part.start, len(sums)), dtype=np.int8) * 2 - 1
        # A sum equal to the observed one up to rounding is a hit: without the margin, the order of summation would decide.
        hits += int((np.abs((signs * sums).sum(axis=1)) >= observed - 1e-12 * len(differences)).sum())
    return (1 + hits) / (1 + resamples)


def compare(
    a: Scores,
    b: Scores,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> PairedComparison:
    """Differences a - b of mAP and rank-1, with paired bootstrap intervals and sign-flip p-values.

    Args:
        a: Scores of one run.
        b: Scores of the other run, on the same queries.
        level: Nominal coverage of the intervals, 0 to 1.
        resamples: Bootstrap samples and random signs.
        seed: The same seed gives the same comparison.
        groups: (V,) one label per valid query, in the order of ``Scores.query_index``; groups are resampled as a whole.

    Raises:
        ExperimentError: The runs have different queries or different valid queries.
    """
    if a.queries != b.queries or not np.array_equal(a.query_index, b.query_index):
        raise ExperimentError(
            "a paired test needs two runs scored on the same queries",
            found=f"{len(a.query_index)} of {a.queries} queries with a match and {len(b.query_index)} of {b.queries}"
            + (", other ones" if len(a.query_index) == len(b.query_index) else ""),
            fix="evaluate both runs on the same target with the same query and gallery split",
        )

    def paired(differences: NDArray[np.float64]) -> PairedDifference:
        """Interval and p-value of one difference (V,), from the same samples at every call."""
        interval = bootstrap_interval(differences, level=level, resamples=resamples, seed=seed, groups=groups)
        p_value = sign_flip_p_value(differences, resamples=resamples, seed=seed, groups=groups)
        return PairedDifference(float(differences.mean()), interval, p_value)

    hits = (a.first_rank <= 1).astype(np.float64) - (b.first_rank <= 1)
    return PairedComparison(
        mean_ap=paired(a.average_precision - b.average_precision), rank1=paired(hits), queries=len(a.query_index)
    )


def _grouped(
    values: NDArray[np.float64], groups: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of values of each group; without groups every value is a group of its own."""
    if groups is None:
        return values, np.ones(len(values))
    _, label = np.unique(groups, return_inverse=True)
    return np.bincount(label, weights=values).astype(np.float64), np.bincount(label).astype(np.float64)


def _parts(resamples: int, size: int) -> Iterator[slice]:
    step = max(1, _DRAWS_AT_ONCE // size)
    return (slice(start, min(start + step, resamples)) for start in range(0, resamples, step))


def _check(values: NDArray[np.float64], level: float, resamples: int, groups: NDArray[np.int64] | None) -> None:
    if values.ndim != 1 or not len(values):
        raise ExperimentError(
            "an interval needs one value per query, at least one",
            found=f"shape {values.shape}",
            fix="score queries first",
        )
    if not 0 < level < 1:
        raise ExperimentError("the level lies between 0 and 1", found=str(level), fix="use 0.95 for 95 %")
    if resamples < 1:
        raise ExperimentError("at least one resample is drawn", found=str(resamples), fix="use 2000")
    if groups is not None and groups.shape != values.shape:
        raise ExperimentError(
            "groups give one label per value",
            found=f"{groups.shape} for {values.shape}",
            fix="give one label per value",
        )
