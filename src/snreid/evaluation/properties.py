"""Brightness, size and sharpness of images, and their association with average precision.

Properties of one image, an array (H, W, 3) uint8, as stored on disk, before any resize:

* **brightness**: mean luma, 0 to 255; luma = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), on the stored (gamma-coded) values;
* **size**: number of pixels, H x W;
* **sharpness**: variance of the Laplacian of the luma (Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR
  2000) after a resize to ``SHARPNESS_SIZE``, so that images of different sizes can be compared. Kernel 0 1 0 / 1 -4 1 / 0 1 0 at
  positions with four neighbours. It grows with contrast and texture too: a dark image counts as less sharp.

Queries are split into quartiles of a property. Spearman's rank correlation rho measures whether average precision rises or
falls with it. The test does not treat the queries of one person as independent: under "no association" each person's
sum of centred rank products is equally likely positive or negative, so its sign is flipped at random (Hemerik, Goeman and Finos,
Robust testing in generalized linear models by sign flipping score contributions, JRSS-B 82, 2020; here the score of a
regression of ranks on ranks). An association is not a cause: dark images may come from one bad camera.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.exact.similarity import Doubles
from snreid.evaluation.subset_scores import SubsetScores, subset_scores
from snreid.evaluation.uncertainty import RESAMPLES, sign_flip_p_value
from snreid.images.reading import resize
from snreid.records import Interval, Scores

SHARPNESS_SIZE = (128, 64)
"""Height and width at which sharpness is measured."""
QUARTILES = (0.25, 0.5, 0.75)
LEAST = 4
"""Fewer queries are not split."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ImageProperties:
    """Measurements of one image."""

    brightness: float
    """Mean luma, 0 to 255."""
    size: float
    """Pixels, height x width."""
    sharpness: float
    """Variance of the Laplacian, >= 0."""


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) luma, 0 to 255, of an RGB image (H, W, 3)."""
    return np.asarray(pixels.astype(np.float32) @ _LUMA, dtype=np.float32)


def measure(pixels: NDArray[np.uint8]) -> ImageProperties:
    """The properties of an image (H, W, 3). Raises ``DataError`` for an array that is not an image."""
    grey = luma(resize(pixels, *SHARPNESS_SIZE))
    edges = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    height, width = pixels.shape[:2]
    brightness = float(luma(pixels).mean(dtype=np.float64))
    return ImageProperties(brightness, float(height * width), float(edges.var(dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A quarter of the queries."""

    low: float
    """Least value of the property in it."""
    high: float
    """Greatest value in it."""
    estimates: SubsetScores


@dataclass(frozen=True, slots=True)
class Trend:
    """Association of a property with average precision, over queries."""

    rho: float
    """Spearman's rank correlation, -1 to 1; ties have the mean of their ranks."""
    interval: Interval
    """Bootstrap over persons; ranks are those of all queries."""
    p_value: float
    """Two-sided, for "no association": signs flipped person by person; 0 < p <= 1."""


@dataclass(frozen=True, kw_only=True)
class PropertyBuckets:
    """Scores by quartiles of one property."""

    name: str
    """Such as ``brightness``."""
    unit: str
    """What its values mean, in words."""
    buckets: tuple[Bucket, ...] = ()
    """Up to four, ascending: equal values are never split. Empty if nothing can be split; ``remark`` says why."""
    trend: Trend | None = None
    """None if the property or the average precision does not vary."""
    remark: str = ""
    """Why there are no buckets, in a sentence; else empty."""

    def to_json(self) -> dict[str, Any]:
        """Buckets with their bounds; the trend where there is one."""
        rows = [{"low": b.low, "high": b.high, **b.estimates.to_json()} for b in self.buckets]
        content: dict[str, Any] = {"name": self.name, "unit": self.unit, "buckets": rows}
        if self.trend is not None:
            bounds = [self.trend.interval.low, self.trend.interval.high]
            content["trend"] = {"rho": self.trend.rho, "interval": bounds, "p_value": self.trend.p_value}
        return content | ({"remark": self.remark} if self.remark else {})


def by_property(name: str, unit: str, values: Doubles, scores: Scores) -> PropertyBuckets:
    """Scores by quartiles of ``values`` (V,), one per valid query of ``scores``.

    NaN means unknown; such a query is left out. A query on an edge belongs to the lower quartile. A property with fewer than two
    distinct values, or fewer than four queries, gives no buckets and a remark.
    """
    known = ~np.isnan(values)
    sure = values[known]
    if len(sure) < LEAST:
        remark = f"Too few to split: {len(sure)} queries have a match and this property."
        return PropertyBuckets(name=name, unit=unit, remark=remark)
    if sure.min() == sure.max():
        remark = f"Nothing to split: the same for all {len(sure):,} queries, {sure[0]:,.6g} {unit}."
        return PropertyBuckets(name=name, unit=unit, remark=remark)
    place = np.where(known, np.searchsorted(np.quantile(sure, QUARTILES), values, side="left"), -1)
    buckets = []
    for quarter in range(len(QUARTILES) + 1):
        inside = place == quarter
        estimates = subset_scores(scores, inside)
        if estimates is not None:
            buckets.append(Bucket(float(values[inside].min()), float(values[inside].max()), estimates))
    return PropertyBuckets(
        name=name,
        unit=unit,
        buckets=tuple(buckets),
        trend=trend(sure, scores.average_precision[known], scores.persons[known]),
    )


def trend(
    values: Doubles, precisions: Doubles, persons: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Trend | None:
    """Spearman's rho of two values per query (V,), with interval and p-value over ``persons`` (V,); None if one is constant."""
    x, y = (_ranks(numbers) - (len(values) + 1) / 2 for numbers in (values, precisions))
    if not x.any() or not y.any():
        return None
    p_value = sign_flip_p_value(x * y, persons, resamples=resamples, seed=seed)
    rho = float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
    return Trend(rho, _rho_interval(x, y, persons, resamples, seed), p_value)


def _ranks(values: Doubles) -> Doubles:
    """(V,) ranks from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])


def _rho_interval(x: Doubles, y: Doubles, persons: NDArray[np.int64], resamples: int, seed: int) -> Interval:
    """Percentile bootstrap of the correlation of ranks: resamples whole persons, from sums kept per person."""
    _, label = np.unique(persons, return_inverse=True)
    columns = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    sums = np.stack([np.bincount(label, weights=column) for column in columns], axis=1)
    generator = np.random.default_rng(seed)
    correlations = []
    for _ in range(resamples):
        drawn = np.bincount(generator.integers(0, len(sums), len(sums)), minlength=len(sums))
        n, sx, sy, sxx, syy, sxy = drawn @ sums
        spread = (n * sxx - sx * sx) * (n * syy - sy * sy)
        correlations.append((n * sxy - sx * sy) / np.sqrt(spread) if spread > 0 else 0.0)
    low, high = np.quantile(correlations, [0.025, 0.975])
    return Interval(float(low), float(high))
