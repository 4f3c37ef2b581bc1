"""Gallery entries near a block of queries, stretch by stretch of the gallery, and their positions relative to intervals.

One matrix product gives the scores of a block of queries against a stretch of the gallery. An entry is *near* a query when its score
reaches the query's lowest bound. A near entry is kept as one int64 that packs row, score and gallery position, so sorting
plain integers sorts by row, then by score, without a separate index; a binary search then counts the entries above a bound.

Everything is counted in bulk, never query by query: each score costs one comparison and one read of a flag.
"""

import queue
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.exact.histogram import Histogram
from snreid.evaluation.exact.similarity import Similarity, multiply, widened_into

SCORE_BITS = 32
ROW_AND_POSITION_BITS = 31
"""The bits of an int64 without its sign."""
_MANY = 8
"""One in so many scores reaches the lowest bound: they are counted in cells then, no longer one by one."""
_LOOKED_AT = 1 << 18
"""Scores scanned at once: 1 MB, which stays in the L2 cache from one pass to the next."""


@dataclass(frozen=True)
class Tile:
    """A stretch of the gallery, and the pairs in it that do not count."""

    start: int
    """Gallery position of the first entry."""
    embeddings: NDArray[np.float32] | NDArray[np.float16]
    """(N, D)"""
    columns: NDArray[np.float32]
    """(N,) ``Similarity.columns`` of the entries."""
    junk: NDArray[np.int64]
    """Columns that are dropped for every query."""
    row: NDArray[np.int64]
    """(K,) rows of the pairs that do not count..."""
    column: NDArray[np.int64]
    """(K,) ... and their columns."""


def position_bits(gallery: int) -> int:
    """Bits that hold the positions of a gallery of this size."""
    return max(1, (gallery - 1).bit_length())


def packed(row: Any, score_bits: Any, position: Any, bits: int) -> Any:
    """int64 keys ordered by row (K,), score, and gallery position (K,); arrays or tensors of one kind.

    ``score_bits`` (K,): the bits of float32 scores as signed integers, widened to int64; they are overwritten. Negative zero
    sorts before positive zero. ``bits``: number of bits that hold a position.
    """
    # As integers, positive floats keep their order and negative ones reverse it.
    score_bits ^= (score_bits >> 31) & 0x7FFFFFFF
    score_bits += 1 << 31
    score_bits <<= bits
    score_bits += position
    score_bits += row << (SCORE_BITS + bits)
    return score_bits


def bits_of(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The bits of float32 scores (K,), for ``packed``."""
    return scores.view(np.int32).astype(np.int64)


@dataclass(frozen=True)
class Standing:
    """Positions of the kept entries relative to the intervals; entries are numbered in the order of their keys."""

    first: NDArray[np.int64]
    """(M,) first entry not before the interval."""
    last: NDArray[np.int64]
    """(M,) first entry after it."""
    end: NDArray[np.int64]
    """(B,) first entry of the next row."""
    inside: NDArray[np.int64]
    """Keys of the entries that lie in an interval, ascending, each once."""


class Counter(ABC):
    """The computation on all scores of a block of queries. One per block; ``near`` may be called from several threads."""

    @abstractmethod
    def near(self, tile: Tile) -> Any:
        """Keys (``packed``) of the near entries of a stretch, in any order; an array or a tensor."""

    @abstractmethod
    def standing(self, keys: Sequence[Any], low: NDArray[np.int64], high: NDArray[np.int64], rows: int) -> Standing:
        """Positions of the entries from ``near`` relative to intervals from ``low`` (M,) to ``high`` (M,), both ends included.

        ``low``, ``high``: as keys, ascending. ``rows``: how many queries the block has, B.
        """


class NumpyCounter(Counter):
    """On the processor."""

    def __init__(
        self,
        compare: Similarity,
        queries: NDArray[np.float32],
        low: NDArray[np.float32],
        bits: int,
        histogram: Histogram | None = None,
    ) -> None:
        """``queries`` (B, D): prepared for the product; ``low`` (B,): a near entry reaches it; ``bits`` hold a position; ``histogram``: of
        the same queries, for stretches with many near entries; without one all of them are kept."""
        self._compare, self._queries, self._low, self._bits = compare, queries, low[:, None], bits
        self._histogram = histogram
        # Memory of one stretch is reused for the next: fresh pages cost as much as all comparisons.
        self._free: queue.SimpleQueue[_Memory] = queue.SimpleQueue()

    def near(self, tile: Tile) -> NDArray[np.int64]:
        """Keys of the near entries, except those that the histogram counts."""
        columns = len(tile.embeddings)
        memory = self._memory(columns)
        scores = memory.scores[: len(self._queries) * columns].reshape(len(self._queries), columns)
        partial = memory.partial[: scores.size].reshape(scores.shape)
        multiply(self._queries, widened_into(tile.embeddings, memory.wide), scores, partial)
        step = max(1, _LOOKED_AT // max(1, columns))
        order = np.argsort(tile.row, kind="stable")
        row, column = tile.row[order], tile.column[order]
        parts = []
        for start in range(0, len(scores), step):
            first, last = row.searchsorted((start, start + step))
            dropped = row[first:last] - start, column[first:last]
            parts.append(self._near(scores[start : start + step], start, tile, dropped, memory))
        self._free.put(memory)
        return np.concatenate(parts)

    def _near(
        self,
        scores: NDArray[np.float32],
        start: int,
        tile: Tile,
        dropped: tuple[NDArray[np.int64], NDArray[np.int64]],
        memory: "_Memory",
    ) -> NDArray[np.int64]:
        """Keys of the near entries for the queries from row ``start`` on; ``scores`` (K, N) are overwritten."""
        self._compare.finish(scores, tile.columns)
        if len(tile.junk):
            scores[:, tile.junk] = -np.inf
        scores[dropped] = -np.inf
        low = self._low[start : start + len(scores)]
        near = np.greater_equal(scores, low, out=memory.flags[: scores.size].reshape(scores.shape))
        if self._histogram is not None and np.count_nonzero(near) * _MANY > near.size:
            flat = self._histogram.add(scores, start, memory.partial[: scores.size].reshape(scores.shape))
        else:
            flat = np.flatnonzero(near)
        row = flat // scores.shape[1]
        bits = bits_of(scores.reshape(-1)[flat])
        flat -= row * scores.shape[1]
        flat += tile.start
        row += start
        return np.asarray(packed(row, bits, flat, self._bits))

    def standing(
        self, keys: Sequence[NDArray[np.int64]], low: NDArray[np.int64], high: NDArray[np.int64], rows: int
    ) -> Standing:
        """By one sort and binary search."""
        ordered = np.concatenate(keys)
        ordered.sort()
        first, last = ordered.searchsorted(low, side="left"), ordered.searchsorted(high, side="right")
        end = ordered.searchsorted(np.arange(1, rows + 1) << (SCORE_BITS + self._bits), side="left")
        some = last > first
        return Standing(first, last, end, ordered[_covered(first[some], last[some], len(ordered))])

    def _memory(self, columns: int) -> "_Memory":
        """Buffers for a stretch of this many entries that no other thread uses."""
        try:
            memory = self._free.get_nowait()
        except queue.Empty:
            memory = None
        if memory is not None and len(memory.wide) >= columns:
            return memory
        return _Memory.of(len(self._queries), self._queries.shape[1], columns)


@dataclass(frozen=True)
class _Memory:
    """Buffers for one stretch of N entries."""

    scores: NDArray[np.float32]
    """(B x N,)"""
    partial: NDArray[np.float32]
    """(B x N,) products of a slice of the dimensions."""
    flags: NDArray[np.bool_]
    """One for each score scanned at once."""
    wide: NDArray[np.float32]
    """(N, D) float16 embeddings in float32; untouched, hence no memory, if they are float32 already."""

    @classmethod
    def of(cls, queries: int, dimension: int, columns: int) -> "_Memory":
        """Buffers for this many entries."""
        flags = np.empty(max(_LOOKED_AT, columns), np.bool_)
        scores, partial = np.empty((2, queries * columns), np.float32)
        return cls(scores, partial, flags, np.empty((columns, dimension), np.float32))


def _covered(first: NDArray[np.int64], last: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Numbers below ``count`` that lie in one of the intervals first..last (K,), the last one excluded."""
    if not len(first):
        return first
    edges = np.zeros(count + 1, np.int32)
    np.add.at(edges, first, 1)
    np.add.at(edges, last, -1)
    return np.flatnonzero(np.cumsum(edges[:-1], dtype=np.int32))
