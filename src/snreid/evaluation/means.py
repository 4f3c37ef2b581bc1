"""One embedding for several images: of a query, or of a track, which is a person's images on one camera in a row.

``"cosine"``: every embedding is divided by its length, the mean is taken, and divided by its length too, so that each image counts the
same. ``"euclidean"``: the mean of the embeddings as they are.
"""

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.exact.similarity import Numbers, similarity, squared_lengths

_UNIT = 2e-3
"""Half precision changes a length of 1 by less than this."""


def have_length_one(embeddings: Numbers) -> bool:
    """Whether all rows (N, D) have been divided by their lengths, as ``snreid extract`` does; their Euclidean distances then differ from
    the network's own."""
    return bool((np.abs(np.sqrt(squared_lengths(embeddings)) - 1) < _UNIT).all())


def group_means(embeddings: Numbers, groups: NDArray[np.int64], metric: str = "cosine") -> NDArray[np.float32]:
    """The mean embedding of each group.

    Args:
        embeddings: (N, D).
        groups: (N,) the group of each row, numbered from 0 without gaps.
        metric: ``"cosine"`` for means of length 1, ``"euclidean"`` for plain ones.

    Returns:
        (T, D) one row per group; zeros where the unit vectors of a group cancel out.

    Raises:
        ExperimentError: The metric does not exist.
    """
    similarity(metric)
    sums = np.zeros((int(groups.max(initial=-1)) + 1, embeddings.shape[1]))
    for row, group in enumerate(groups.tolist()):  # row by row: memory for the sums alone
        one = embeddings[row].astype(np.float64)
        sums[group] += one if metric == "euclidean" else one / _length(one)
    divisors = np.bincount(groups) if metric == "euclidean" else np.array([_length(one) for one in sums])
    return (sums / divisors[:, None]).astype(np.float32)


def _length(vector: NDArray[np.float64]) -> float:
    """Of a vector; 1 for zeros, which stay zeros when they are divided by it."""
    return float(np.linalg.norm(vector)) or 1.0
