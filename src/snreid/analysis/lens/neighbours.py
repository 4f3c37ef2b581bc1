"""Nearest-neighbour statistics and a t-SNE plot of embeddings. The only file that imports scikit-learn's manifold."""

import warnings

import numpy as np
from numpy.typing import NDArray

from snreid.figures.lens_records import NeighbourShare

FEWEST = 5
"""Fewest images for a plot."""
_PERPLEXITY = 30.0
_BLOCK = 512


def mixing(
    vectors: NDArray[np.float64],
    labels: NDArray[np.int64],
    persons: NDArray[np.int64],
    among: NDArray[np.int64] | None = None,
) -> NeighbourShare | None:
    """Returns the share of images whose nearest neighbour (Euclidean) has their label, ignoring neighbours of the same person.

    ``vectors``: (N, D). ``labels``, ``persons``: (N,). ``among``: (N,); only images of equal value are neighbours. The same person
    is ignored because a camera sees a person more than once, and that these images are similar says nothing about the camera. Ties
    go to the earlier neighbour. None if no image has neighbours of both kinds.
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
    return NeighbourShare(float(hit.mean()), float(chance.mean())) if len(hit) else None


def standardized(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standardizes every coordinate of (N, D), so that no channel dominates; drops constant coordinates."""
    spread = vectors.std(0)
    kept = spread > 1e-6 * np.maximum(np.abs(vectors).max(0, initial=0.0), 1e-30)
    return np.asarray((vectors[:, kept] - vectors[:, kept].mean(0)) / spread[kept], dtype=np.float64)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """L2-normalizes the rows of (N, D) to float64 (zero rows stay zero): Euclidean neighbours then equal cosine neighbours."""
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))


def plane(vectors: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64] | None:
    """t-SNE (van der Maaten and Hinton, 2008): (N, D) to (N, 2), deterministic for the same values and seed.

    Initialized with the first two principal components; perplexity 30, or a third of the images if there are few. Distances between
    far points and sizes of clusters mean nothing in such a plot. None for fewer than ``FEWEST`` images, or if all are equal.
    """
    from sklearn.manifold import TSNE

    if len(vectors) < FEWEST or vectors.shape[1] < 2 or vectors.std(0).max() < 1e-9:
        return None
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about threads and future defaults
        embedded = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
    points = np.asarray(embedded, dtype=np.float64)
    return points if np.isfinite(points).all() else None
