"""Embeddings as a picture (t-SNE), and what can be said of them without one. The only file that imports scikit-learn's manifold."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST = 5
"""Images that a picture needs."""
_PERPLEXITY = 30.0
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Mixing:
    """How often an image's nearest neighbour bears its own label, and how often a neighbour drawn by lot would."""

    share: float
    """Between 0 and 1."""
    chance: float
    """The same for a neighbour drawn by lot among those that were allowed: what perfectly mixed labels come to."""
    images: int
    """Images that had an allowed neighbour of their own label and one of another; the rest can say nothing."""


def mixing(
    vectors: NDArray[np.float64],
    labels: NDArray[np.int64],
    persons: NDArray[np.int64],
    among: NDArray[np.int64] | None = None,
) -> Mixing | None:
    """Share of images whose nearest neighbour (Euclidean) has their label, neighbours of the same person left out.

    ``vectors``: (N, D). ``labels``, ``persons``: (N,). ``among``: (N,), an image's neighbours are those of equal value only.
    The same person is left out because one camera sees a person more than once: that its images are alike says nothing of the
    camera. Of two neighbours that are equally near the earlier one counts. None where no image has a choice.
    """
    square = (vectors**2).sum(1)
    hits, chances = [], []
    for start in range(0, len(vectors), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(vectors)))
        allowed = persons[rows, None] != persons[None, :]
        if among is not None:
            allowed &= among[rows, None] == among[None, :]
        same = labels[rows, None] == labels[None, :]
        choice = (allowed & same).any(1) & (allowed & ~same).any(1)
        distance = square[rows, None] + square[None, :] - 2 * vectors[rows] @ vectors.T
        nearest = np.where(allowed, distance, np.inf).argmin(1)
        hits.append(same[np.arange(len(rows)), nearest][choice])
        chances.append(((allowed & same).sum(1) / np.maximum(allowed.sum(1), 1))[choice])
    hit, chance = np.concatenate(hits or [np.zeros(0)]), np.concatenate(chances or [np.zeros(0)])
    return Mixing(float(hit.mean()), float(chance.mean()), len(hit)) if len(hit) else None


def standardized(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, D) with mean 0 and deviation 1 in every coordinate, so that loud channels do not drown the others; coordinates
    without spread are left out."""
    spread = vectors.std(0)
    kept = spread > 1e-6 * np.maximum(np.abs(vectors).max(0, initial=0.0), 1e-30)
    return np.asarray((vectors[:, kept] - vectors[:, kept].mean(0)) / spread[kept], dtype=np.float64)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, D) float64, each row of length 1 (a zero row stays zero): Euclidean neighbours are then those by cosine."""
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))


def plane(vectors: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64] | None:
    """t-SNE (van der Maaten and Hinton, 2008): (N, D) to (N, 2), the same picture for the same numbers and seed.

    Started from the two principal components; perplexity 30, or a third of the images where there are few. Distances between far
    points and sizes of clusters in such a picture mean nothing. None for fewer than ``FEWEST`` images, or when they are all alike.
    """
    from sklearn.manifold import TSNE

    if len(vectors) < FEWEST or vectors.shape[1] < 2 or vectors.std(0).max() < 1e-9:
        return None
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks of threads and of its own future defaults
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
    points = np.asarray(found, dtype=np.float64)
    return points if np.isfinite(points).all() else None
