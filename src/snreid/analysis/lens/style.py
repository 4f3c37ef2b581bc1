"""The distance between the styles of two cameras, by the channels of a stage. NumPy only.

The style of a set of images at one stage is the mean m and variance v = s^2 of every channel over all images and positions: the statistics
of batch normalization there (AdaBN, Li et al., arXiv 1603.04779), and the style of AdaIN (Huang and Belongie, arXiv 1703.06868). Two sets
A and B are compared channel by channel as Gaussians, by the squared Frechet (2-Wasserstein) distance relative to their mean variance,
averaged over the C channels:

    D(A, B) = 1/C sum_c [ (m_A - m_B)^2 + (s_A - s_B)^2 ] / [ (v_A + v_B) / 2 ]

It is 0 for equal sets and invariant to scaling or shifting a channel, so F, F~ and F~+ can be compared with each other. For small
differences it equals the symmetric Kullback-Leibler divergence of Pan et al. (IBN-Net, arXiv 1807.09441) with half the weight on s. That
divergence itself is not used: a channel that is constant in one set makes it infinite, and after a ReLU such channels always exist and
would dominate (docs/decisions.md). Nor is it computed, as there, from the images' channel means: after instance normalization they are
equal for every image (method.md 1.2).
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
Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(C,) means and (C,) variances of the channels of a set of images."""

FLOOR = 0.01
"""Lower bound on the mean variance of two sets, as a share of the channel's variance over all sets: a channel that is constant in both
sets, with different values, counts as very different but not as infinitely different."""
_SILENT = 1e-12
"""A channel whose variance over all sets is below this (relative to its squared mean, or absolutely) counts as 0."""
SPLITS = 10
"""Number of random halvings of a set for the diagonal of ``style_matrix``."""
FEWEST = 4
"""Fewest images of a set that is halved."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Mean and biased variance over the positions of a map, for every image and channel."""

    mean: Vectors
    variance: Vectors

    def __post_init__(self) -> None:
        if self.mean.shape != self.variance.shape or self.mean.ndim != 2:
            raise ExperimentError(
                "Channel statistics are a mean and a variance for every image and channel",
                found=f"shapes {self.mean.shape} and {self.variance.shape}",
            )

    def of(self, images: NDArray[np.int64]) -> Moments:
        """Returns mean and biased variance, (C,) each, of every channel over all positions of these images (maps of one size)."""
        means = self.mean[images]
        return means.mean(0), self.variance[images].mean(0) + means.var(0)

    @property
    def vectors(self) -> Vectors:
        """(N, 2C): mean and standard deviation of every channel, the style of each image."""
        return np.concatenate([self.mean, np.sqrt(self.variance)], axis=1)


def style_distance(first: Moments, second: Moments, whole: Moments) -> float:
    """Returns D >= 0 of two sets. ``whole``: those of all compared images, for the floors."""
    (m_a, v_a), (m_b, v_b), (mean, variance) = first, second, whole
    heard = variance > _SILENT * np.maximum(1, mean**2)
    if not heard.any():
        return 0.0
    spread = np.maximum((v_a + v_b)[heard] / 2, FLOOR * variance[heard])
    gap = (m_a - m_b)[heard] ** 2 + (np.sqrt(v_a) - np.sqrt(v_b))[heard] ** 2
    return float((gap / spread).sum() / len(heard))


def style_matrix(statistics: ChannelStatistics, sets: Sequence[NDArray[np.int64]], *, seed: int = 0) -> Matrix:
    """Returns D of every pair of ``sets`` (positions of their images), (G, G), symmetric.

    The diagonal holds a reference: D between two halves of the same set, averaged over ``SPLITS`` random halvings; NaN for sets of
    fewer than ``FEWEST`` images. Two sets that differ only by chance are about half as far apart, since each has twice as many
    images.
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
    statistics: ChannelStatistics, images: NDArray[np.int64], whole: Moments, draw: np.random.Generator
) -> float:
    distances = []
    for _ in range(SPLITS):
        mixed = draw.permutation(images)
        half = len(mixed) // 2
        distances.append(style_distance(statistics.of(mixed[:half]), statistics.of(mixed[half:]), whole))
    return float(np.mean(distances))


def summarize(matrix: Matrix, domains: Sequence[str]) -> Mapping[str, float]:
    """Returns means of a ``style_matrix``, NaN if there is no such pair. ``domains``: (G,) the data set of each set.

    ``within``: pairs of cameras of one data set. ``across``: pairs of cameras of two data sets. ``halves``: the diagonal.
    """
    pairs = list(combinations(range(len(domains)), 2))
    groups = {
        "within": [matrix[a, b] for a, b in pairs if domains[a] == domains[b]],
        "across": [matrix[a, b] for a, b in pairs if domains[a] != domains[b]],
        "halves": [value for value in matrix.diagonal() if not np.isnan(value)],
    }
    return {name: float(np.mean(values)) if values else float("nan") for name, values in groups.items()}
