"""k-reciprocal re-ranking by definition (arXiv 1701.08398), dense: the twin of ``snreid.evaluation.reranking``.

Plain sets and loops over N x N arrays of float64, in own words; ties are cut by position, so it serves where there are none.
"""

import numpy as np
from numpy.typing import NDArray

from snreid.records import Features


def final_distances(
    query: Features, gallery: Features, k1: int, k2: int, weight: float, metric: str
) -> NDArray[np.float64]:
    """(Q, G) final distances."""
    x = np.concatenate([query.embeddings, gallery.embeddings]).astype(np.float64)
    if metric == "cosine":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    squares = (x**2).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares[None, :] - 2 * x @ x.T, 0)
    np.fill_diagonal(apart, 0)
    original = apart / apart.max(axis=1, keepdims=True)
    order = np.argsort(original, axis=1)

    def reciprocal(i: int, k: int) -> set[int]:
        return {int(j) for j in order[i, : k + 1] if i in order[j, : k + 1]}

    count = len(x)
    V = np.zeros((count, count))
    for i in range(count):
        mine = reciprocal(i, k1)
        members = set(mine)
        for j in mine:
            theirs = reciprocal(j, round(k1 / 2))
            if 3 * len(theirs & mine) > 2 * len(theirs):
                members |= theirs
        for j in members:
            V[i, j] = np.exp(-original[i, j])
        V[i] /= V[i].sum()
    V = np.stack([V[order[i, :k2]].mean(axis=0) for i in range(count)])
    queries = len(query.persons)
    jaccard = np.array(
        [[1 - np.minimum(a, b).sum() / np.maximum(a, b).sum() for b in V[queries:]] for a in V[:queries]]
    )
    return (1 - weight) * jaccard + weight * original[:queries, queries:]
