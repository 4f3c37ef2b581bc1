"""k-reciprocal encoding and the Jaccard distance (Zhong et al., CVPR 2017, arXiv 1701.08398), sparse and exact.

Two images are alike when they have the same neighbours. With d the squared Euclidean distance of L2-normalized embeddings
(2 - 2 cos) and an image its own nearest neighbour:

* N(i, k): the image i itself and every image j that has at most k images (i counted) strictly nearer to i;
* R(i, k): the j of N(i, k) with i in N(j, k), the k-reciprocal neighbours;
* R*(i): R(i, k1), and all of R(q, k1 / 2) for each q of R(i, k1) with |R(i, k1) and R(q, k1 / 2)| >= 2/3 |R(q, k1 / 2)|;
* V_ij = exp(-d_ij) for j in R*(i), else 0, divided by the sum of its row; then V_i becomes the mean of the V_j of the k2
  nearest j of i, i counted (local query expansion);
* J_ij = 1 - sum_l min(V_il, V_jl) / sum_l max(V_il, V_jl) = 1 - s / (2 - s) with s = sum_l min(V_il, V_jl), as rows sum to 1.

**The rule for ties.** An image counts as near as its tie allows: all that are as near as the last neighbour are neighbours,
so the order of the images decides nothing. "As near" means equal float64 keys (``similarity.py``). Equal embeddings are one
row with a multiplicity, so that a thousand copies of one image cost no more than one, and the rows stand in an order that
depends on the embeddings alone: the same set of images gives the same bits in any order, block or number of threads.

**Memory.** Nothing has N x N entries. A block of scores takes at most ``_SCORES`` float32 (64 MiB), or one row; N(., k1) has
N (k1 + 1) entries, V at most (k1 + 1) (k1 / 2 + 2) in a row and in a column, k2 times as many after the expansion (tens in
practice), 12 bytes each. Distances are kept up to ``limit`` only, and are at most as many as pairs that share a neighbour.

Departures: k1 counts the neighbours beside the image itself, as in the authors' code (the code of Cluster Contrast counts the
image); that code asks for more than 2/3, the paper and this module for at least 2/3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snreid.errors import DataError, ExperimentError
from snreid.evaluation.features import check_lengths
from snreid.evaluation.similarity import Cosine, squared_lengths
from snreid.records import Features

Sparse = Any
"""A ``scipy.sparse.csr_array``."""
_SCORES = 1 << 24
"""Most float32 scores at once."""
_ROWS = 1 << 10
"""Rows of one sparse product."""


@dataclass(frozen=True, slots=True)
class Encodings:
    """The k-reciprocal encodings of N images with U distinct embeddings."""

    rows: Sparse
    """(U, U) float64, one row per distinct embedding; every row sums to 1, and a column stands for all its copies."""
    row: NDArray[np.int64]
    """(N,) which row is an image's."""
    copies: NDArray[np.int64]
    """(U,) how many images have this embedding."""


def k_reciprocal(embeddings: NDArray[np.float32], *, k1: int = 30, k2: int = 6) -> Encodings:
    """Encodings of embeddings (N, D), compared by cosine.

    ``k1`` >= 1: neighbours of an image beside itself; ``k2`` >= 1: images averaged in the local query expansion, the image
    itself counted (1: none). Both may exceed N. Raises ``ExperimentError`` for other values and ``DataError`` for
    embeddings that are not finite.
    """
    if k1 < 1 or k2 < 1:
        raise ExperimentError(
            "k-reciprocal neighbours are counted from 1",
            came=f"k1 {k1}, k2 {k2}",
            repair="use k1 between 10 and 30 and k2 between 1 and k1",
        )
    distinct, row, copies = _distinct(embeddings)
    nearest = _nearest(distinct, copies, max(k1, k2 - 1))
    reciprocal = _reciprocal(_within(nearest, k1))
    expanded = _expanded(reciprocal, _reciprocal(_within(nearest, round(k1 / 2))), copies)
    encodings = _gaussian(expanded, distinct, copies)
    if k2 > 1:
        near = _by_copies(_within(nearest, k2 - 1), copies)
        encodings = _divided(near, near.sum(axis=1)) @ encodings
    encodings.sort_indices()
    return Encodings(encodings, row, copies)


def jaccard_distances(left: Sparse, right: Sparse, *, limit: float = 1.0) -> Sparse:
    """Jaccard distances (A, B), 0 to 1, of encodings (A, U) and (B, U) whose rows sum to 1.

    Stored are the distances of pairs that share a neighbour and are at most ``limit`` apart (a distance of 0 too); all others
    are larger, and exactly 1 where ``limit`` is 1. Every row is sorted by column. Takes one row of B numbers at a time.
    """
    images = right.tocsc()
    starts, holders, values = images.indptr, images.indices, images.data
    lengths = np.diff(starts)
    columns: list[NDArray[np.int32]] = []
    distances: list[NDArray[np.float64]] = []
    for first, last in zip(left.indptr[:-1], left.indptr[1:], strict=True):
        used = left.indices[first:last]
        counts = lengths[used]
        # Positions of all entries of these columns, one column after the other.
        places = np.arange(counts.sum()) + np.repeat(starts[used] - (np.cumsum(counts) - counts), counts)
        least = np.minimum(np.repeat(left.data[first:last], counts), values[places])
        shared = np.bincount(holders[places], least, minlength=right.shape[0])
        found = shared.nonzero()[0]
        apart = 1 - shared[found] / (2 - shared[found])
        apart[apart < _ROUNDING] = 0.0
        kept = apart <= limit
        columns.append(found[kept].astype(np.int32))
        distances.append(apart[kept])
    borders = np.concatenate([[0], np.cumsum([len(part) for part in columns])])
    indices = np.concatenate(columns) if columns else np.empty(0, np.int32)
    data = np.concatenate(distances) if distances else np.empty(0)
    return sparse.csr_array((data, indices, borders), shape=(left.shape[0], right.shape[0]))


_ROUNDING = 1e-12
"""Equal encodings are this far apart at most, by the rounding of their sums: exactly 0 is meant."""


def _distinct(
    embeddings: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct embeddings (U, D) in the order of their bytes, each image's row (N,), and copies (U,)."""
    if embeddings.ndim != 2 or not embeddings.size:
        raise DataError(
            "Neighbours are looked for among embeddings (images, dimensions)",
            came=f"shape {embeddings.shape}",
            repair="give at least one image",
        )
    plain = np.ascontiguousarray(embeddings, dtype=np.float32) + np.float32(0)  # -0 becomes 0
    nobody = np.zeros(len(plain), np.int64)
    check_lengths(Features(plain, nobody, nobody), slice(None), squared_lengths(plain), "unlabelled")
    whole = plain.view(np.dtype((np.void, plain.itemsize * plain.shape[1])))[:, 0]
    _, first, row, copies = np.unique(whole, return_index=True, return_inverse=True, return_counts=True)
    return plain[first], row.reshape(-1), copies


@dataclass(frozen=True, slots=True)
class _Nearest:
    """(U, U) in CSR form: each image's nearest ones, sorted by column."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    nearer: NDArray[np.int32]
    """How many images are strictly nearer than this one; 0 for the image itself."""


def _nearest(distinct: NDArray[np.float32], copies: NDArray[np.int64], k: int) -> _Nearest:
    """All images that have at most ``k`` images strictly nearer. Exact: float32 leaves out what is surely farther, keys decide."""
    compare, squared = Cosine(), squared_lengths(distinct)
    columns: list[NDArray[np.int32]] = []
    nearer: list[NDArray[np.int32]] = []
    step = max(1, _SCORES // len(distinct))
    for start in range(0, len(distinct), step):
        part = slice(start, start + step)
        scores = compare.product(compare.prepared(distinct[part], squared[part]), distinct, squared)
        errors = compare.error(squared[part], squared, distinct.shape[1])
        for offset, image in enumerate(range(start, min(start + step, len(distinct)))):
            near = _candidates(scores[offset], k + 1, float(errors[offset]))
            keys = compare.keys(distinct[image], distinct, near, squared[near])
            # The image is its own nearest, whatever rounding or a zero vector says.
            keys[near == image] = np.inf
            order = np.argsort(-keys, kind="stable")
            ranked, before = keys[order], np.cumsum(copies[near[order]]) - copies[near[order]]
            before = before[np.searchsorted(-ranked, -ranked, side="left")]  # equal keys: as near as the first of them
            kept = order[before <= k]
            count = before[before <= k]
            sort = np.argsort(near[kept])
            columns.append(near[kept][sort].astype(np.int32))
            nearer.append(count[sort].astype(np.int32))
    borders = np.concatenate([[0], np.cumsum([len(part) for part in columns])])
    return _Nearest(borders, np.concatenate(columns), np.concatenate(nearer))


def _candidates(scores: NDArray[np.float32], length: int, error: float) -> NDArray[np.int64]:
    """Columns that can be among the first ``length`` by their keys, ties with the last one included."""
    if len(scores) <= length:
        return np.arange(len(scores))
    last = float(np.partition(scores, -length)[-length])
    return np.flatnonzero(scores >= np.nextafter(np.float32(last - 2 * error), np.float32(-np.inf)))


def _within(nearest: _Nearest, k: int) -> Sparse:
    """(U, U) of ones: N(i, k)."""
    kept = nearest.nearer <= k
    borders = np.concatenate([[0], np.cumsum(kept)])[nearest.indptr]
    count = len(borders) - 1
    return sparse.csr_array((np.ones(kept.sum()), nearest.indices[kept], borders), shape=(count, count))


def _reciprocal(neighbours: Sparse) -> Sparse:
    """R: ones where both are neighbours of each other."""
    return neighbours.multiply(neighbours.T.tocsr()).tocsr()


def _by_copies(matrix: Sparse, copies: NDArray[np.int64]) -> Sparse:
    """Every column times the number of images it stands for."""
    scaled = matrix.copy()
    scaled.data = matrix.data * copies[matrix.indices]
    return scaled


def _divided(matrix: Sparse, sums: NDArray[np.float64]) -> Sparse:
    """Every row divided by its number."""
    divided = matrix.copy()
    divided.data = matrix.data / np.repeat(sums, np.diff(matrix.indptr))
    return divided


def _expanded(reciprocal: Sparse, half: Sparse, copies: NDArray[np.int64]) -> Sparse:
    """R*: what is stored is a member, its value means nothing."""
    counted, sizes = _by_copies(half, copies).T.tocsr(), half @ copies
    parts = []
    for part in _parts(reciprocal.shape[0]):
        members = reciprocal[part]
        common = (members @ counted).multiply(members).tocsr()  # |R(i, k1) and R(q, k1 / 2)| for q in R(i, k1)
        common.data = (3 * common.data >= 2 * sizes[common.indices]).astype(np.float64)
        common.eliminate_zeros()
        parts.append(members + common @ half)
    expanded = sparse.vstack(parts, format="csr")
    expanded.sort_indices()
    return expanded


def _gaussian(members: Sparse, distinct: NDArray[np.float32], copies: NDArray[np.int64]) -> Sparse:
    """V before the expansion: exp(-d) of the members, times their copies, divided by the row's sum."""
    compare, squared = Cosine(), squared_lengths(distinct)
    weights = members.copy()
    for image in range(len(distinct)):
        entries = slice(members.indptr[image], members.indptr[image + 1])
        others = members.indices[entries].astype(np.int64)
        keys = compare.keys(distinct[image], distinct, others, squared[others])
        apart = np.maximum(2 - 2 * compare.scores(keys, float(squared[image])), 0.0)
        apart[others == image] = 0.0
        weighted = np.exp(-apart) * copies[others]
        weights.data[entries] = weighted / weighted.sum()
    return weights


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))
