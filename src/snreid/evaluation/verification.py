"""Verification: whether two images show one person, by a threshold on their score at a wanted false match rate.

The pairs are those of ranking (``exact/relevance.py``): every query with every gallery image. The same person on another camera is a
genuine pair, another person on any camera an impostor pair. Junk, the same person on the same camera, and an image with itself are
neither. A score is the cosine, or minus the Euclidean distance: higher is more alike. It is rounded to a multiple of ``step``, as it is
printed, and a pair matches if its rounded score reaches the threshold.
"""

from dataclasses import dataclass
from math import ceil, log10

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError, ExperimentError
from snreid.evaluation.exact.relevance import relevance
from snreid.evaluation.exact.similarity import Numbers, similarity, squared_lengths
from snreid.evaluation.features import check_values, some
from snreid.evaluation.uncertainty import few_persons, mean_interval
from snreid.records import JUNK, Features, Interval

COSINE_STEP = 1e-5
"""Cosines are rounded to this; the rounding of a network is ten times smaller."""
ENOUGH = 30
"""A rate that fewer false matches show is rough (the rule of 30: Doddington et al., Speech Communication 31, 2000)."""
_DIGITS = 6
"""The longest possible Euclidean distance has 10^5 to 10^6 steps."""
_AT_ONCE = 1 << 22
"""Scores at once: 32 MB in float64, and as much for their levels."""
_POINTS = 100
"""Most points of a ROC curve, evenly spaced in the logarithm of the false match rate."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A threshold with its rates on labelled pairs; rates are shares between 0 and 1."""

    metric: str
    step: float
    """Scores are rounded to multiples of this."""
    wanted: float
    """The false match rate that was asked for."""
    threshold: float
    """The lowest score, a multiple of ``step``, at which the false match rate is at most the wanted one."""
    false_match_rate: float
    """Share of the impostor pairs that match."""
    true_match_rate: float
    """Share of the genuine pairs that match."""
    interval: Interval
    """Of the true match rate at this threshold, over persons (``mean_interval``)."""
    genuine: int
    """Number of genuine pairs."""
    impostor: int
    """Number of impostor pairs."""
    persons: int
    """Persons in the genuine pairs."""
    roc: tuple[tuple[float, float, float], ...]
    """(false match rate, true match rate, threshold), rates ascending."""
    data: str = ""
    """What the pairs are of."""
    model: str = ""
    """What embedded them; empty: unknown."""

    def __post_init__(self) -> None:
        """Raise ``ExperimentError`` for values that no calibration has: they may come from a file."""
        similarity(self.metric)
        rates = [self.wanted, self.false_match_rate, self.true_match_rate, self.interval.low, self.interval.high]
        rates += [rate for point in self.roc for rate in point[:2]]
        fewest = min(self.genuine, self.impostor, self.persons)
        if not (min(rates) >= 0 and max(rates) <= 1 and self.interval.low <= self.interval.high and fewest >= 1):
            raise ExperimentError(
                "A calibration is of pairs of both kinds, with rates between 0 and 1",
                found=f"rates from {min(rates):g} to {max(rates):g}, {fewest} as the smallest number",
                fix="calibrate again",
            )
        cosine = self.metric == "cosine"
        usual = self.step == COSINE_STEP if cosine else 1e-30 < self.step < 1e30
        reach = 1 if cosine else 10**_DIGITS * self.step
        if not (usual and -reach <= self.threshold <= reach + self.step):
            raise ExperimentError(
                "A threshold is a possible score, rounded to the step of its metric",
                found=f"threshold {self.threshold:g}, step {self.step:g}, {self.metric}",
                fix="calibrate again",
            )

    def matches(self, score: float) -> bool:
        """Whether a pair with this score is taken for one person."""
        return round(score / self.step) >= round(self.threshold / self.step)

    def text(self, score: float) -> str:
        """A score as it is compared; a distance without its minus sign."""
        return score_text(score, self.metric, self.step)

    @property
    def rule(self) -> str:
        """Which pairs match, in words."""
        return f"{'cosine at least' if self.metric == 'cosine' else 'distance at most'} {self.text(self.threshold)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what the rates cannot tell."""
        few = self.wanted * self.impostor
        rough = f"{self.impostor:,} impostor pairs show a false match rate of {self.wanted:g} by {few:.0f} pairs: "
        rough += f"fewer than {ENOUGH} make it rough."
        return tuple(note for note in (rough if few < ENOUGH else "", few_persons(self.persons)) if note)


def calibrate(
    query: Features,
    gallery: Features,
    *,
    false_match_rate: float = 1e-3,
    metric: str = "cosine",
    data: str = "",
    model: str = "",
) -> Calibration:
    """The threshold at a false match rate, and the true match rate there.

    The threshold is the lowest multiple of the step at which at most this share of the impostor pairs match. Two images that are both
    query and gallery image are two pairs. Memory is bounded for any number of impostor pairs.

    Args:
        query: Embeddings (Q, D) with persons and cameras.
        gallery: Embeddings (G, D) with persons and cameras.
        false_match_rate: The wanted share of the impostor pairs that match, above 0 and below 1.
        metric: ``"cosine"`` or ``"euclidean"``.
        data: A name of the data, kept in the result.
        model: A name of the model, kept in the result.

    Raises:
        DataError: Labels and embeddings do not fit together, or there are no genuine or too few impostor pairs.
        ExperimentError: The rate lies outside (0, 1), or the metric does not exist.

    Example:
        >>> found = calibrate(query, gallery, false_match_rate=1e-3)              # doctest: +SKIP
        >>> found.threshold, found.true_match_rate                                # doctest: +SKIP
        (0.61234, 0.58)
    """
    check_values(query, gallery)
    require_rate(false_match_rate)
    query, gallery = (_without_junk(side) for side in (query, gallery))
    step, lowest = _steps(query, gallery, metric)
    levels, persons, impostors = _levels(query, gallery, metric, step, lowest)
    total = int(impostors.sum())
    _require_pairs(len(levels), total, false_match_rate)
    false, true = _reached(impostors), _reached(np.bincount(levels, minlength=len(impostors)))

    def places(rates: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each rate the lowest level that at most this share of the impostor pairs reach."""
        allowed = np.floor(rates * total * (1 + 1e-12))
        return len(false) - np.searchsorted(false[::-1], allowed, side="right")

    def point(place: int) -> tuple[float, float, float]:
        """False match rate, true match rate and threshold of a level."""
        threshold = round((lowest + place) * step, _decimals(step))
        return float(false[place] / total), float(true[place] / len(levels)), threshold

    (place,) = places(np.array([false_match_rate])).tolist()
    falsely, truly, threshold = point(place)
    return Calibration(
        metric=metric,
        step=step,
        wanted=false_match_rate,
        threshold=threshold,
        false_match_rate=falsely,
        true_match_rate=truly,
        interval=mean_interval((levels >= place).astype(np.float64), persons),
        genuine=len(levels),
        impostor=total,
        persons=len(np.unique(persons)),
        roc=tuple(map(point, np.unique(places(np.geomspace(1 / total, 1, _POINTS)))[::-1].tolist())),
        data=data,
        model=model,
    )


def require_rate(rate: float) -> None:
    """Raise ``ExperimentError`` for a wanted false match rate outside (0, 1)."""
    if not 0 < rate < 1:
        raise ExperimentError(
            "A false match rate lies between 0 and 1", found=f"{rate:g}", fix="ask for 0.001, one in 1,000"
        )


def pair_scores(left: Numbers, right: Numbers, metric: str) -> NDArray[np.float64]:
    """(A, B) scores of the rows (A, D) and (B, D): the cosine, 0 for a vector of zeros, or minus the Euclidean distance."""
    similarity(metric)
    one, two = left.astype(np.float64), right.astype(np.float64)
    products: NDArray[np.float64] = one @ two.T
    squared, other = squared_lengths(one)[:, None], squared_lengths(two)
    if metric == "cosine":
        products /= np.sqrt(np.where(squared > 0, squared, 1.0))
        products /= np.sqrt(np.where(other > 0, other, 1.0))
        return products
    products *= -2
    products += squared
    products += other
    return np.asarray(0.0 - np.sqrt(np.maximum(products, 0.0)))


def score_text(score: float, metric: str, step: float = COSINE_STEP) -> str:
    """A score for the reader, rounded to ``step``: the cosine, or the distance."""
    return f"{score if metric == 'cosine' else abs(score):.{max(0, _decimals(step))}f}"


def _decimals(step: float) -> int:
    """Of a power of ten."""
    return round(-log10(step))


def _without_junk(features: Features) -> Features:
    kept = features.persons != JUNK
    return features if kept.all() else some(features, np.flatnonzero(kept))


def _steps(query: Features, gallery: Features, metric: str) -> tuple[float, int]:
    """The step, and the lowest possible level: the score divided by the step."""
    similarity(metric)
    if metric == "cosine":
        return COSINE_STEP, -round(1 / COSINE_STEP)
    reach = sum(float(np.sqrt(squared_lengths(side.embeddings).max(initial=0.0))) for side in (query, gallery))
    step = 10.0 ** (ceil(log10(reach or 1.0)) - _DIGITS)
    return step, -ceil(reach / step)


def _levels(
    query: Features, gallery: Features, metric: str, step: float, lowest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Level above the lowest (P,) and person (P,) of each genuine pair, and the number of impostor pairs at every level."""
    pairs = relevance(query, gallery).pairs(np.arange(len(query.persons)))
    highest = (round(1 / step) if metric == "cosine" else 0) - lowest
    elsewhere = highest + 1  # where pairs are put that are no impostors
    impostors, levels = np.zeros(highest + 2, np.int64), np.zeros(len(pairs.row), np.int64)
    width = max(1, _AT_ONCE // max(1, len(query.persons)))
    for start in range(0, len(gallery.persons), width):
        scores = pair_scores(query.embeddings, gallery.embeddings[start : start + width], metric)
        block = np.clip(np.rint(scores / step).astype(np.int64) - lowest, 0, highest)
        here = np.flatnonzero((pairs.position >= start) & (pairs.position < start + width))
        at = pairs.row[here], pairs.position[here] - start
        levels[here] = block[at]
        block[at] = elsewhere
        impostors += np.bincount(block.ravel(), minlength=len(impostors))
    return levels[pairs.match], query.persons[pairs.row[pairs.match]], impostors[:elsewhere]


def _reached(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pairs reach each level, and 0 for the one above all."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0)


def _require_pairs(genuine: int, impostor: int, rate: float) -> None:
    if not genuine:
        raise DataError(
            "A calibration needs pairs of the same person that count: on two cameras, or two images where no cameras are known",
            found=f"none, and {impostor:,} pairs of different persons",
            fix="check that query and gallery share persons, and that the cameras are right",
        )
    if rate * impostor < 1 - 1e-9:
        raise DataError(
            "A false match rate of one in N needs at least N pairs of different persons",
            found=f"{impostor:,} pairs for a rate of {rate:g}, one in {1 / rate:,.0f}",
            fix="calibrate on more persons"
            + (f", or ask for a rate of {ENOUGH / impostor:.1g} or more" if impostor >= 2 * ENOUGH else ""),
        )
