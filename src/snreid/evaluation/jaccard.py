"""k-reciprocal encoding and the Jaccard distance (Zhong et al., CVPR 2017, arXiv 1701.08398), sparse and exact.

Two images are similar when they have the same neighbours. With d the squared Euclidean distance of L2-normalized embeddings
(2 - 2 cos) and each image its own nearest neighbour:

* N(i, k): the image i itself and every image j that has at most k images (i counted) strictly nearer to i;
* R(i, k): the j of N(i, k) with i in N(j, k), the k-reciprocal neighbours;
* R*(i): R(i, k1), and all of R(q, k1 / 2) for each q of R(i, k1) with |R(i, k1) and R(q, k1 / 2)| >= 2/3 |R(q, k1 / 2)|;
* V_ij = exp(-d_ij) for j in R*(i), else 0, with each row divided by its sum; local query expansion then replaces V_i by the mean of
  the V_j of the k2 nearest images j of i, i included;
* J_ij = 1 - sum_l min(V_il, V_jl) / sum_l max(V_il, V_jl) = 1 - s / (2 - s) with s = sum_l min(V_il, V_jl), as rows sum to 1;
    rounded to 12 digits, so that distances equal by definition are equal.

**Ties.** Every image exactly as near as the last neighbour is a neighbour too, so the order of the images has no effect. "As near"
means equal float64 keys (``similarity.py``). Equal embeddings share one row with a multiplicity, so a thousand copies of an image
cost no more than one. The order of the rows depends only on the embeddings and on which array holds them: the same sets of images
give identical bits in any order, block size or number of threads.

**Memory.** No array has N x N entries. Neighbours are found tile by tile (``neighbours.py``) in one copy of the embeddings; N(., k1) has
N (k1 + 1) entries, V at most (k1 + 1) (k1 / 2 + 2) in a row and in a column, k2 times as many after the expansion (tens in
practice), 12 bytes each. Distances are stored only up to ``limit``, and only for pairs that share a neighbour.

Departures: k1 excludes the image itself, as in the authors' code (Cluster Contrast's code includes it). The authors' code requires an
overlap above 2/3; the paper and this module require at least 2/3. Their code also divides an image's distances by the distance to its
farthest image. ``encoded(released=True)`` does both, for re-ranking (``reranking.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snreid.errors import DataError, ExperimentError
from snreid.evaluation.exact.similarity import Cosine, Similarity, squared_lengths, stretches
from snreid.evaluation.features import check_lengths
from snreid.evaluation.neighbours import Embeddings, Kept, Nearest, nearest
from snreid.records import Features

Sparse = Any
"""A ``scipy.sparse.csr_array``."""
_ROWS = 1 << 10
"""Rows of one sparse product."""
_VALUES = 1 << 20
"""Embedding values copied at once."""


@dataclass(frozen=True, slots=True)
class Encodings:
    """The k-reciprocal encodings of N images with U distinct embeddings."""

    rows: Sparse
    """(U, U) float64, one row per distinct embedding; every row sums to 1, and a column represents all its copies."""
    row: NDArray[np.int64]
    """(N,) row of each image."""
    copies: NDArray[np.int64]
    """(U,) number of images with this embedding."""
    farthest: NDArray[np.float64] | None = None
    """(U,) squared distance of the farthest image, if distances were divided by it."""
    kept: Kept | None = None
    """Scores of the rows of the first array against those of the last one, if they were kept."""
    errors: NDArray[np.float32] | None = None
    """(U,) largest possible error of a kept score of this row."""


def k_reciprocal(embeddings: NDArray[np.float32], *, k1: int = 30, k2: int = 6) -> Encodings:
    """Encodings of embeddings (N, D), compared by cosine.

    ``k1`` >= 1: neighbours of an image besides itself; ``k2`` >= 1: images averaged in the local query expansion, the image
    itself included (1: none). Both may exceed N. Raises ``ExperimentError`` for other values and ``DataError`` for
    embeddings that are not finite.
    """
    return encoded([embeddings], Cosine(), k1=k1, k2=k2, released=False)


def encoded(
    parts: Sequence[NDArray[np.float32]], compare: Similarity, *, k1: int, k2: int, released: bool, keep: int = 0
) -> Encodings:
    """``k_reciprocal`` of the rows of several arrays (N1, D), (N2, D), ... as one set of N images, without concatenating them.

    ``released``: as in the authors' code, divide distances by the image's largest one, and add the neighbours of a neighbour
    only if more than 2/3 of them are shared (top of this module). ``keep``: keep all scores of the first array against the
    last one if there are at most this many.
    """
    if k1 < 1 or k2 < 1:
        raise ExperimentError(
            "The k-reciprocal neighbours are counted from 1",
            found=f"k1 {k1}, k2 {k2}",
            fix="use k1 between 10 and 30 and k2 between 1 and k1",
        )
    distinct, row, copies = _distinct(parts)
    images = Embeddings.of(distinct, compare)
    kept = _room(row[: len(parts[0])], row[-len(parts[-1]) :], keep)
    neighbours = nearest(images, copies, (k1, round(k1 / 2), k2 - 1), farthest=released, kept=kept)
    reciprocal, half = _reciprocal(_within(neighbours, k1)), _reciprocal(_within(neighbours, round(k1 / 2)))
    expanded = _expanded(reciprocal, half, copies, more=released)
    encodings = _gaussian(expanded, images, copies, neighbours.farthest)
    if k2 > 1:
        near = _by_copies(_within(neighbours, k2 - 1), copies)
        encodings = _divided(near, near.sum(axis=1)) @ encodings
    encodings.sort_indices()
    return Encodings(encodings, row, copies, neighbours.farthest, kept, images.errors() if kept else None)


def _room(first: NDArray[np.int64], last: NDArray[np.int64], most: int) -> Kept | None:
    """Room for the scores of the rows of the ``first`` array, which precede all others, against those of the ``last`` one."""
    begin, count = int(last.min()), int(last.max()) + 1
    size = int(first.max()) + 1, count - begin
    return Kept(np.empty(size, np.float32), begin) if size[0] * size[1] <= most else None


def jaccard_distances(left: Sparse, right: Sparse, *, limit: float = 1.0) -> Sparse:
    """Jaccard distances (A, B), 0 to 1, of encodings (A, U) and (B, U) whose rows sum to 1.

    Stores only the distances of pairs that share a neighbour and are at most ``limit`` apart (a distance of 0 too); all others
    are larger, and exactly 1 if ``limit`` is 1. Every row is sorted by column. Works on one row of B values at a time.
    """
    columns: list[NDArray[np.int32]] = []
    distances: list[NDArray[np.float64]] = []
    for shared in common_weights(left, right.tocsc()):
        sharing = np.flatnonzero(shared > 0)  # numpy finds nonzero entries eight times as fast in a boolean array
        apart = jaccard_of(shared[sharing])
        kept = apart <= limit
        columns.append(sharing[kept].astype(np.int32))
        distances.append(apart[kept])
    borders = np.concatenate([[0], np.cumsum([len(part) for part in columns])])
    indices = np.concatenate(columns) if columns else np.empty(0, np.int32)
    data = np.concatenate(distances) if distances else np.empty(0)
    return sparse.csr_array((data, indices, borders), shape=(left.shape[0], right.shape[0]))


def common_weights(left: Sparse, right: Sparse) -> Iterator[NDArray[np.float64]]:
    """For each encoding of ``left`` (A, U), its sum of minima (B,) with those of ``right`` (B, U), a ``csc_array``: 0 for most."""
    starts, holders, values = right.indptr, right.indices, right.data
    lengths = np.diff(starts)
    for first, last in zip(left.indptr[:-1], left.indptr[1:], strict=True):
        used = left.indices[first:last]
        counts = lengths[used]
        # Positions of all entries of these columns, one column after the other.
        places = np.arange(counts.sum()) + np.repeat(starts[used] - (np.cumsum(counts) - counts), counts)
        least = np.minimum(np.repeat(left.data[first:last], counts), values[places])
        shared = np.bincount(holders[places], least, minlength=right.shape[0])
        yield shared.astype(np.float64, copy=False)  # numpy counts in integers if nothing is shared


def jaccard_of(shared: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) Jaccard distances, to ``DIGITS`` digits, of pairs from their sums of minima (K,)."""
    apart = (1 - shared / (2 - shared)).round(DIGITS)
    apart += 0.0  # -0 becomes 0
    return apart


DIGITS = 12
"""Values equal by definition differ by about 1e-15 after rounding, which would break ties at random."""


def _distinct(
    parts: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct embeddings (U, D), the row of each image (N,), and the number of copies (U,).

    Ordered by the first and the last array that holds them, then by their bytes.
    """
    for embeddings in parts:
        if embeddings.ndim != 2 or not embeddings.size:
            raise DataError(
                "Neighbours are looked for among embeddings (images, dimensions)",
                found=f"shape {embeddings.shape}",
                fix="give at least one image",
            )
        nobody = np.zeros(len(embeddings), np.int64)
        check_lengths(Features(embeddings, nobody, nobody), slice(None), squared_lengths(embeddings), "unlabelled")
    _, first, row, copies = np.unique(_places(parts), return_index=True, return_inverse=True, return_counts=True)
    row = row.reshape(-1)
    holder = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    last = np.zeros(len(first), np.int64)
    np.maximum.at(last, row, holder)
    order = np.lexsort((last, holder[first]))
    return _picked(parts, first[order]), np.argsort(order)[row], copies[order]


def _places(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    """(N,) numbers that order the rows of several arrays by their bytes, equal for equal rows. Compares four columns at a time, and only
    rows still equal, so that nothing is copied whole."""
    count, dimension = sum(map(len, parts)), parts[0].shape[1]
    places = np.zeros(count, np.int64)  # where a row's group of still equal rows begins in the order
    equal = np.arange(count)
    for start in range(0, dimension, 4):
        columns = _picked([part[:, start : start + 4] for part in parts], equal).view(np.uint32).byteswap()
        order = np.lexsort((*columns.T[::-1], places[equal]))
        equal, columns, begins = equal[order], columns[order], places[equal[order]]
        opens = np.concatenate([[True], begins[1:] != begins[:-1]])
        differs = opens | np.concatenate([[True], (columns[1:] != columns[:-1]).any(axis=1)])
        position = np.arange(len(equal))
        inside = position - np.maximum.accumulate(np.where(opens, position, 0))
        places[equal] = np.maximum.accumulate(np.where(differs, begins + inside, 0))
        equal = equal[~(differs & np.concatenate([differs[1:], [True]]))]
        if not len(equal):
            break
    return places


def _picked(parts: Sequence[NDArray[np.float32]], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """These rows (K,) of several arrays, indexed as if concatenated: (K, D), -0 as 0."""
    picked = np.empty((len(rows), parts[0].shape[1]), np.float32)
    start = 0
    for part in parts:
        mine = np.flatnonzero((rows >= start) & (rows < start + len(part)))
        for some in np.array_split(mine, 1 + picked.shape[1] * len(mine) // _VALUES):
            picked[some] = part[rows[some] - start]
        start += len(part)
    picked += np.float32(0)  # -0 becomes 0
    return picked


def _within(nearest: Nearest, k: int) -> Sparse:
    """(U, U) of ones: N(i, k)."""
    kept = nearest.nearer <= k
    borders = np.concatenate([[0], np.cumsum(kept)])[nearest.indptr]
    count = len(borders) - 1
    return sparse.csr_array((np.ones(kept.sum()), nearest.indices[kept], borders), shape=(count, count))


def _reciprocal(neighbours: Sparse) -> Sparse:
    """R: ones where each is a neighbour of the other."""
    return neighbours.multiply(neighbours.T.tocsr()).tocsr()


def _by_copies(matrix: Sparse, copies: NDArray[np.int64]) -> Sparse:
    """Every column times the number of images it represents."""
    scaled = matrix.copy()
    scaled.data = matrix.data * copies[matrix.indices]
    return scaled


def _divided(matrix: Sparse, sums: NDArray[np.float64]) -> Sparse:
    """Every row divided by its value in ``sums``."""
    divided = matrix.copy()
    divided.data = matrix.data / np.repeat(sums, np.diff(matrix.indptr))
    return divided


def _expanded(reciprocal: Sparse, half: Sparse, copies: NDArray[np.int64], *, more: bool) -> Sparse:
    """R*: stored entries are members, their values mean nothing. ``more``: requires more than 2/3 in common instead of at least 2/3."""
    counted, sizes = _by_copies(half, copies).T.tocsr(), half @ copies
    parts = []
    for part in stretches(reciprocal.shape[0], _ROWS):
        members = reciprocal[part]
        common = (members @ counted).multiply(members).tocsr()  # |R(i, k1) and R(q, k1 / 2)| for q in R(i, k1)
        enough = 2 * sizes[common.indices] + more  # both sides are integers
        common.data = (3 * common.data >= enough).astype(np.float64)
        common.eliminate_zeros()
        parts.append(members + common @ half)
    expanded = sparse.vstack(parts, format="csr")
    expanded.sort_indices()
    return expanded


def _gaussian(
    members: Sparse, images: Embeddings, copies: NDArray[np.int64], largest: NDArray[np.float64] | None
) -> Sparse:
    """V before the expansion: exp(-d) of the members, times their copies, divided by the row's sum; d in units of ``largest`` (U,)."""
    sizes, members = np.diff(members.indptr), members.copy()
    row = np.repeat(np.arange(len(sizes)), sizes)
    apart = images.distances(row, members.indices.astype(np.int64))
    if largest is not None:
        apart /= np.where(largest > 0, largest, 1.0)[row]
    members.data = np.exp(-apart) * copies[members.indices]
    # Every row contains its own image.
    return _divided(members, np.add.reduceat(members.data, members.indptr[:-1]))
