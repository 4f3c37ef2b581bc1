"""Pseudo labels: DBSCAN (Ester et al., KDD 1996) on the k-reciprocal Jaccard distance of embeddings (method.md 7).

An image is a core if at least ``min_samples`` images, including itself, lie within ``eps`` of it. Cores within ``eps`` of each other
share a cluster, and so do chains of them; an image within ``eps`` of a core joins that core's cluster; all others are outliers.

The labels are a pure function of the embeddings: copies of an image are one weighted point, and points are sorted by their bytes
(``evaluation/jaccard.py``), so neither the order of the images nor their number of copies affects how clusters are numbered, or
which of two clusters an image between them joins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.evaluation.jaccard import jaccard_distances, k_reciprocal


@dataclass(frozen=True, kw_only=True)
class Density:
    """Settings of the clustering. The defaults are those of Cluster Contrast (arXiv 2103.11568)."""

    k1: int = 30
    """Nearest neighbours of an image, excluding itself, that may be k-reciprocal."""
    k2: int = 6
    """Images averaged in the local query expansion, including the image itself; 1: no expansion."""
    eps: float = 0.6
    """Largest Jaccard distance of neighbours in a cluster, above 0 and below 1. Larger: fewer and larger clusters, fewer outliers."""
    min_samples: int = 4
    """Images within ``eps`` of an image, including itself, that make it a core of a cluster."""

    def __post_init__(self) -> None:
        if not 0 < self.eps < 1:
            raise ExperimentError(
                "Images within a Jaccard distance above 0 and below 1 are neighbours",
                found=f"eps {self.eps}",
                fix="use 0.6",
            )
        if min(self.k1, self.k2, self.min_samples) < 1:
            raise ExperimentError(
                "Neighbours are counted from 1",
                found=f"k1 {self.k1}, k2 {self.k2}, min_samples {self.min_samples}",
                fix="use 30, 6 and 4",
            )

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the clusters (N,) of embeddings (N, D), numbered from 0; -1 for outliers. Raises ``DataError`` for non-finite values."""
        from sklearn.cluster import DBSCAN  # slow to import, and most commands do not need it
        from sklearn.neighbors import sort_graph_by_row_values

        encodings = k_reciprocal(embeddings, k1=self.k1, k2=self.k2)
        distances = jaccard_distances(encodings.rows, encodings.rows, limit=self.eps)
        graph = sort_graph_by_row_values(distances, copy=False, warn_when_not_sorted=False)
        dbscan = DBSCAN(eps=self.eps, min_samples=self.min_samples, metric="precomputed")
        labels = dbscan.fit(graph, sample_weight=encodings.copies).labels_
        return np.asarray(labels, dtype=np.int64)[encodings.row]
