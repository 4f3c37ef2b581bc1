"""How far apart the styles of two cameras are, by the channels of a stage. NumPy only.

The style of a set of images at one stage is the mean m and variance v = s^2 of every channel over all images and positions: what batch
normalization would measure there (AdaBN, Li et al., arXiv 1603.04779), and what AdaIN calls style (Huang and Belongie, arXiv 1703.06868).
Two sets A and B are compared channel by channel as Gaussians, by the squared Frechet (2-Wasserstein) distance relative to their mean
variance, averaged over the C channels:

    D(A, B) = 1/C sum_c [ (m_A - m_B)^2 + (s_A - s_B)^2 ] / [ (v_A + v_B) / 2 ]

It is 0 for equal sets and does not change when a channel is scaled or shifted, so F, F~ and F~+ can be compared with each other. For small
differences it is the symmetric Kullback-Leibler divergence of the feature divergence of Pan et al. (IBN-Net, arXiv 1807.09441) with half
the weight on s. That divergence itself is not taken: a channel that is silent in one set makes it infinite, after a ReLU there always are
some, and they would decide the number (docs/decisions.md). Nor are, as there, the images' channel means the sample: after instance
normalization they are the same number for every image (method.md 1.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError

Vectors = NDArray[np.float64]
"""(N, C): one value per image and channel."""
Matrix = NDArray[np.float64]
"""(G, G): one value for each pair of sets."""

FLOOR = 0.01
"""The mean variance of two sets counts as at least this share of the channel's variance over all sets, so that a channel that is constant
in both, with two values, counts as very different and not as infinitely different."""
_SILENT = 1e-12
"""A channel whose variance over all sets is below this (relative to its squared mean, or absolutely) says nothing and counts 0."""
SPLITS = 10
"""So many ways of halving a set give the yardstick of ``style_matrix``."""
FEWEST = 4
"""Images that a set needs to be halved."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Mean and biased variance over the positions of a map, of every image and channel."""

    mean: Vectors
    variance: Vectors

    def __post_init__(self) -> None:
        if self.mean.shape != self.variance.shape or self.mean.ndim != 2:
            raise ExperimentError(
                "Channel statistics are a mean and a variance for every image and channel",
                found=f"shapes {self.mean.shape} and {self.variance.shape}",
            )

    def of(self, images: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(C,) mean and (C,) biased variance of every channel over all positions of these images (maps of one size)."""
        means = self.mean[images]
        return means.mean(0), self.variance[images].mean(0) + means.var(0)

    @property
    def vectors(self) -> Vectors:
        """(N, 2C): mean and standard deviation of every channel, the style of each image."""
        return np.concatenate([self.mean, np.sqrt(self.variance)], axis=1)


def style_distance(
    first: tuple[NDArray[np.float64], NDArray[np.float64]],
    second: tuple[NDArray[np.float64], NDArray[np.float64]],
    whole: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> float:
    """D of two sets given as (mean, variance), (C,) each, >= 0. ``whole``: of all images that are compared, for the floors."""
    (m_a, v_a), (m_b, v_b), (mean, variance) = first, second, whole
    heard = variance > _SILENT * np.maximum(1, mean**2)
    if not heard.any():
        return 0.0
    spread = np.maximum((v_a + v_b)[heard] / 2, FLOOR * variance[heard])
    gap = (m_a - m_b)[heard] ** 2 + (np.sqrt(v_a) - np.sqrt(v_b))[heard] ** 2
    return float((gap / spread).sum() / len(heard))


def style_matrix(statistics: ChannelStatistics, sets: Sequence[NDArray[np.int64]], *, seed: int = 0) -> Matrix:
    """D of every pair of ``sets`` (positions of their images), (G, G), symmetric.

    On the diagonal stands the yardstick: D between two halves of the same set, the mean over ``SPLITS`` random halvings; NaN for
    sets of fewer than ``FEWEST`` images. Two sets that differ by the luck of the draw alone lie about half of that apart, since
    each of them has twice as many images.
    """
    whole = statistics.of(np.concatenate(list(sets))) if sets else (np.zeros(0), np.zeros(0))
    moments = [statistics.of(images) for images in sets]
    matrix = np.full((len(sets), len(sets)), np.nan)
    for a, b in combinations(range(len(sets)), 2):
        matrix[a, b] = matrix[b, a] = style_distance(moments[a], moments[b], whole)
    for place, images in enumerate(sets):
        if len(images) >= FEWEST:
            matrix[place, place] = _halves(statistics, images, whole, np.random.default_rng([seed, place]))
    return matrix


def _halves(
    statistics: ChannelStatistics,
    images: NDArray[np.int64],
    whole: tuple[NDArray[np.float64], NDArray[np.float64]],
    draw: np.random.Generator,
) -> float:
    found = []
    for _ in range(SPLITS):
        mixed = draw.permutation(images)
        half = len(mixed) // 2
        found.append(style_distance(statistics.of(mixed[:half]), statistics.of(mixed[half:]), whole))
    return float(np.mean(found))


def summarize(matrix: Matrix, domains: Sequence[str]) -> Mapping[str, float]:
    """Means of a ``style_matrix``, NaN where there is no such pair. ``domains``: (G,) the data set of each set.

    ``within``: pairs of cameras of one data set. ``across``: pairs of cameras of two data sets. ``halves``: the diagonal.
    """
    pairs = list(combinations(range(len(domains)), 2))
    groups = {
        "within": [matrix[a, b] for a, b in pairs if domains[a] == domains[b]],
        "across": [matrix[a, b] for a, b in pairs if domains[a] != domains[b]],
        "halves": [one for one in matrix.diagonal() if not np.isnan(one)],
    }
    return {name: float(np.mean(values)) if values else float("nan") for name, values in groups.items()}
