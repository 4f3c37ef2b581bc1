"""The nearest images of every image of one set: exact, in bounded memory, at half the cost of all scores.

Scores are symmetric, so only the tiles on and above the diagonal of the score matrix are multiplied. Each tile is read
twice: by row for its row images, by column for its column images. A candidate for an image's nearest must reach a floor that
rises as nearer images are found; few do, and only those are kept.

float32 scores decide whatever they can decide with certainty. Where they leave open who is among the nearest, float64 keys decide
(``similarity.py``), which depend on the two embeddings alone. The keys also give the distances and choose the farthest image.

Memory: a tile of ``_TILE`` x ``_TILE`` scores, and about twice as many candidates as requested (more where embeddings tie).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.exact.similarity import (
    SMALLEST,
    UNIT_ROUNDOFF,
    Cosine,
    Doubles,
    Similarity,
    squared_lengths,
    stretches,
)
from snreid.evaluation.exact.threads import MOST_AHEAD, in_order, products_alone, threads

_TILE = 1 << 10
"""Rows and columns of one product. Larger ones waste more on the diagonal, smaller ones are slower per score (measured)."""
_PAIRS = 1 << 16
"""Values per side of the pairs compared in float64 at once: they stay in the cache."""
_TOGETHER = 1 << 12
"""Dimensions that ``einsum`` adds at once. Beyond 8,192, its buffer size, it sums a single pair in another order than several."""
_STEPS = 128
"""Parts of ``_PAIRS`` values that a thread compares in one call."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """U distinct embeddings and how they are compared; a distance is squared: 2 - 2 cos, or |x - y|^2."""

    rows: NDArray[np.float32]
    """(U, D)"""
    compare: Similarity
    squared: Doubles
    """(U,) squared lengths."""

    @classmethod
    def of(cls, rows: NDArray[np.float32], compare: Similarity) -> "Embeddings":
        """Rows (U, D) with their lengths."""
        return cls(rows, compare, squared_lengths(rows))

    def keys(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> Doubles:
        """(P,) float64: the keys that rank the images ``right`` (P,) among the neighbours of the images ``left`` (P,)."""
        keys = np.empty(len(left))
        for part in stretches(len(left), _PAIRS // self.rows.shape[1]):
            first, second = (self.rows[side[part]].astype(np.float64) for side in (left, right))
            keys[part] = self.compare.key_rows(first, second, self.squared[right[part]])
        return keys

    def distances(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> Doubles:
        """(P,) distances of pairs, the same in both directions; exactly 0 between an image and itself."""
        low, high = np.minimum(left, right), np.maximum(left, right)
        pairs, place = np.unique(low * len(self.rows) + high, return_inverse=True)
        first, second = np.divmod(pairs, len(self.rows))
        apart = np.zeros(len(pairs))
        others = np.flatnonzero(first != second)
        step = _PAIRS // self.rows.shape[1]

        def measure(stretch: slice) -> None:
            """Distances of a stretch of the pairs."""
            for part in stretches(stretch.stop - stretch.start, step):
                these = others[stretch][part]
                apart[these] = self._apart(first[these], second[these])

        work = list(stretches(len(others), step * _STEPS))
        for _ in in_order(measure, work, threads() if len(work) > 1 else 1):
            pass
        return np.asarray(apart[place.reshape(-1)])

    def _apart(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> Doubles:
        """(P,) distances of a few pairs with long runs of the same left image; a pair's distance does not depend on the other pairs."""
        runs = np.concatenate([[True], left[1:] != left[:-1]])
        first = self.rows[left[runs]].astype(np.float64)[np.cumsum(runs) - 1]
        second = self.rows[right].astype(np.float64)
        if not isinstance(self.compare, Cosine):
            first -= second
            return _inner(first, first)
        lengths = np.sqrt(self.squared[left] * self.squared[right])
        cosine = _inner(first, second) / np.where(lengths > 0, lengths, 1.0)
        return np.asarray(np.maximum(2 - 2 * cosine, 0.0))

    def scores(self, left: NDArray[np.float32], rows: slice, columns: slice) -> NDArray[np.float32]:
        """(A, B) float32 scores that are the same in both directions: the cosine, or -|x - y|^2 / 2. ``left``: the rows, prepared."""
        scores: NDArray[np.float32] = np.matmul(left, self.rows[columns].T)
        self.compare.finish(scores, self.compare.columns(self.squared[columns]).astype(np.float32))
        if not isinstance(self.compare, Cosine):
            scores -= (self.squared[rows] / 2).astype(np.float32)[:, None]
        return scores

    def errors(self) -> NDArray[np.float32]:
        """(U,) bound of |score - exact score| between an image and any other one (Higham, section 3.1: any order of summation)."""
        operations = (self.rows.shape[1] + 32) * UNIT_ROUNDOFF
        gamma = operations / (1 - operations)
        if isinstance(self.compare, Cosine):
            reach = np.ones(len(self.rows))
        else:
            lengths = np.sqrt(self.squared)
            reach = (lengths + lengths.max(initial=0.0)) ** 2
        bound = gamma * reach + self.rows.shape[1] * SMALLEST
        return np.asarray(np.nextafter(bound.astype(np.float32), np.float32(np.inf)))


def squared_distances(compare: Similarity, keys: Doubles, squared: Doubles) -> Doubles:
    """(P,) the squared distances, 2 - 2 cos or |x - y|^2, that belong to keys (P,) of images with these squared lengths, (P,) or (1,)."""
    if not isinstance(compare, Cosine):
        return np.negative(keys)
    cosine = np.sign(keys) * np.sqrt(np.abs(keys) / np.where(squared > 0, squared, 1.0))
    return np.asarray(np.maximum(2 - 2 * cosine, 0.0))


def _inner(left: Doubles, right: Doubles) -> Doubles:
    """(P,) inner products of the rows of (P, D) and (P, D) in one pass; a product and a sum would take two."""
    total = np.zeros(len(left))
    for start in range(0, left.shape[1], _TOGETHER):
        part = slice(start, start + _TOGETHER)
        total += np.einsum("pd,pd->p", left[:, part], right[:, part])
    return total


@dataclass(frozen=True, slots=True)
class Nearest:
    """(U, U) in CSR form: the nearest images of each image, sorted by column."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    nearer: NDArray[np.int32]
    """How many images are strictly nearer than this one, 0 for the image itself. Comparing it with any of the requested counts
    gives an exact answer; between two of them it may be off by the float32 rounding error."""
    farthest: Doubles | None
    """(U,) the distance of the farthest image, if requested."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Scores of the first images against the last ones, kept as the tiles pass, to avoid multiplying them again."""

    scores: NDArray[np.float32]
    """(A, B) as ``Embeddings.scores`` gives them; row i is image i, column j is image ``first`` + j."""
    first: int

    def take(self, tile: NDArray[np.float32], rows: slice, columns: slice) -> None:
        """Keep the part of a tile that belongs here; the tile is symmetric."""
        self._put(tile, rows.start, columns.start)
        self._put(tile.T, columns.start, rows.start)

    def _put(self, tile: NDArray[np.float32], row: int, column: int) -> None:
        mine = tile[: max(0, len(self.scores) - row), max(0, self.first - column) :]
        start = max(column, self.first) - self.first
        self.scores[row : row + mine.shape[0], start : start + mine.shape[1]] = mine


def nearest(
    images: Embeddings,
    copies: NDArray[np.int64],
    counts: Sequence[int],
    *,
    farthest: bool = False,
    kept: Kept | None = None,
) -> Nearest:
    """All images that have at most ``max(counts)`` images strictly nearer; ``copies`` (U,): number of images each row represents.

    Fills ``kept`` in the same pass.
    """
    errors = images.errors()
    blocks = list(stretches(len(images.rows), _TILE))
    near = [_Leaders(max(counts) + 1, errors[block]) for block in blocks]
    far = [_Leaders(1, errors[block], sign=-1) for block in blocks] if farthest else []
    members: list[tuple[NDArray[np.int64], ...]] = []
    distances: list[Doubles] = []
    with products_alone():
        tiles = in_order(lambda tile: images.scores(*tile), _tiles(images, blocks), min(threads(), MOST_AHEAD))
        for i, block in enumerate(blocks):
            for j in range(i, len(blocks)):
                tile = next(tiles)
                if kept is not None:
                    kept.take(tile, block, blocks[j])
                for leaders in (near, far)[: 1 + farthest]:
                    leaders[i].look(tile, blocks[j].start)
                    if j > i:
                        leaders[j].look(tile, block.start, transposed=True)
            members.append(_members(images, copies, near[i], block.start, sorted(set(counts))))
            near[i].forget()
            if farthest:
                distances.append(_farthest(images, far[i], block.start))
    sizes, columns, nearer = (np.concatenate(parts) for parts in zip(*members, strict=True))
    borders = np.concatenate([[0], np.cumsum(sizes)])
    maxima = np.concatenate(distances) if farthest else None
    return Nearest(borders, columns.astype(np.int32), nearer.astype(np.int32), maxima)


def _tiles(images: Embeddings, blocks: Sequence[slice]) -> Iterator[tuple[NDArray[np.float32], slice, slice]]:
    """The tiles on and above the diagonal, row by row, as arguments for ``Embeddings.scores``."""
    for i, block in enumerate(blocks):
        left = images.compare.prepared(images.rows[block], images.squared[block])
        for other in blocks[i:]:
            yield left, block, other


@dataclass(slots=True)
class _Leaders:
    """For a stretch of rows, every column that can be among a row's ``count`` largest scores (``sign`` -1: smallest)."""

    count: int
    errors: NDArray[np.float32]
    """(R,) largest possible error of a score."""
    sign: int = 1
    floor: NDArray[np.float32] | None = None
    """(R,) scores times ``sign`` below it are certainly not among them; None before the first tile."""
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    columns: list[NDArray[np.int64]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)
    held: int = 0
    ordered: int = 0
    """Number of candidates left after the last sort."""

    def look(self, tile: NDArray[np.float32], start: int, *, transposed: bool = False) -> None:
        """Add a tile (R, C), or (C, R) if ``transposed``, whose columns begin at ``start``."""
        if self.floor is None:
            self.floor = self._seed(tile.T if transposed else tile)
        border = self.floor * np.float32(self.sign)
        border = border if transposed else border[:, None]
        places = np.flatnonzero(tile >= border if self.sign > 0 else tile <= border)
        first, second = np.divmod(places, tile.shape[1])
        self.rows.append(second if transposed else first)
        self.columns.append((first if transposed else second) + start)
        self.scores.append(tile.reshape(-1)[places])
        self.held += len(places)
        if self.held > 2 * max(self.ordered, self.count * len(self.errors)):
            self.in_order()

    def in_order(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Rows, columns and scores of the candidates (K,), best first within each row; raises the floor and drops candidates below it."""
        row, column, score = np.concatenate(self.rows), np.concatenate(self.columns), np.concatenate(self.scores)
        order = np.argsort(row * (1 << 32) + _descending(score * np.float32(self.sign)))
        row, column, score = row[order], column[order], score[order]
        starts = np.searchsorted(row, np.arange(len(self.errors) + 1))
        lasts = starts[:-1] + self.count - 1
        full = lasts < starts[1:]
        assert self.floor is not None
        reached = score[np.minimum(lasts, len(score) - 1)] * np.float32(self.sign)
        self.floor = np.where(full, np.maximum(self.floor, _lowered(reached, self.errors)), self.floor)
        kept = score * np.float32(self.sign) >= self.floor[row]
        row, column, score = row[kept], column[kept], score[kept]
        self.rows, self.columns, self.scores = [row], [column], [score]
        self.held = self.ordered = len(row)
        return row, column, score

    def forget(self) -> None:
        """Free the candidates."""
        self.rows, self.columns, self.scores = [], [], []

    def _seed(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """(R,) a first floor, from the first tile (R, C)."""
        if tile.shape[1] < self.count:
            return np.full(len(tile), -np.inf, np.float32)
        if self.count == 1:
            best = tile.max(axis=1) if self.sign > 0 else -tile.min(axis=1)
        else:
            best = np.partition(tile * np.float32(self.sign), -self.count, axis=1)[:, -self.count]
        return _lowered(best, self.errors)


def _lowered(scores: NDArray[np.float32], errors: NDArray[np.float32]) -> NDArray[np.float32]:
    """A bound certainly below every exact score that reaches the exact score of ``scores``."""
    below = scores.astype(np.float64) - 2 * errors.astype(np.float64)
    return np.nextafter(below.astype(np.float32), np.float32(-np.inf))


def _descending(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """(K,) integers 0 to 2^32 - 1 in descending order of finite float32 scores."""
    bits = (scores + np.float32(0)).view(np.int32).astype(np.int64)
    return np.asarray(np.where(bits < 0, bits + (1 << 32), (1 << 31) - 1 - bits))


def _members(
    images: Embeddings, copies: NDArray[np.int64], leaders: _Leaders, start: int, counts: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For a stretch of rows: the number of neighbours of each (R,), their columns and how many are nearer (K,), by row and column."""
    row, column, score = leaders.in_order()
    # The image is its own nearest, whatever rounding or a zero vector gives.
    itself = column == row + start
    order = np.argsort(2 * row + ~itself, kind="stable")
    row, column, score, itself = row[order], column[order], score[order], itself[order]
    open_ends = 2 * leaders.errors[row[1:]].astype(np.float64)
    linked = (row[1:] == row[:-1]) & (score[:-1].astype(np.float64) - score[1:] <= open_ends) & ~itself[:-1]
    before = _before(row, copies[column])
    chain = np.concatenate([[0], np.cumsum(~linked)])
    begin = np.searchsorted(chain, np.arange(chain[-1] + 2))
    held = np.add.reduceat(copies[column], begin[:-1])
    first = before[begin[:-1]]
    undecided = np.zeros(len(held), np.bool_)
    for count in counts:
        undecided |= (first <= count) & (first + held - 1 > count) & (np.diff(begin) > 1)
    asked = np.flatnonzero(undecided[chain])
    if len(asked):
        keys = images.keys(row[asked] + start, column[asked])
        order = np.lexsort((-keys, chain[asked]))
        column[asked], keys = column[asked][order], keys[order]
        of = chain[asked]
        inside = first[of] + _before(of, copies[column[asked]])
        tied = np.concatenate([[False], (keys[1:] == keys[:-1]) & (of[1:] == of[:-1])])
        # Equal keys: as near as the first of them.
        before[asked] = inside[np.maximum.accumulate(np.where(tied, 0, np.arange(len(tied))))]
    kept = before <= counts[-1]
    row, column, before = row[kept], column[kept], before[kept]
    order = np.argsort(row * len(images.rows) + column)
    return np.bincount(row, minlength=len(leaders.errors)), column[order], before[order]


def _before(group: NDArray[np.int64], weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """(K,) the sum of the weights before each entry within its group; ``group`` (K,) ascends."""
    total = np.cumsum(weights) - weights
    return np.asarray(total - total[np.searchsorted(group, group)])


def _farthest(images: Embeddings, leaders: _Leaders, start: int) -> Doubles:
    """(R,) the distance of each row's farthest image."""
    row, column, _ = leaders.in_order()
    leaders.forget()
    apart = images.distances(row + start, column)
    return np.asarray(np.maximum.reduceat(apart, np.searchsorted(row, np.arange(len(leaders.errors)))))
