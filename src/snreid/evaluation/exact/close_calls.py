"""The matches of a block of queries, and how many wrong entries come before each: by scores where these suffice, else by keys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.exact.counting import SCORE_BITS, Counter, bits_of, packed, position_bits
from snreid.evaluation.exact.relevance import Pairs, Relevance
from snreid.evaluation.exact.similarity import RUN, SLICE, Similarity, widened

_PAIRS_AT_ONCE = 1 << 18
"""Pairs of a match and an entry close to it that are compared at once."""
_ENTRIES = 256
"""Gallery entries of a person in float64 at once."""
_WORTH_A_LOOK = 4 * RUN
"""From this dimension on the second look narrows the margin enough to save more time on keys than it costs."""


@dataclass(frozen=True)
class Matches:
    """All matches of a block of queries, row by row, by ascending score inside a row. M matches of B queries."""

    labels: Relevance
    compare: Similarity
    squared: NDArray[np.float64]
    """Squared lengths of the gallery, as ``quick_squared_lengths`` gives them."""
    queries: NDArray[np.int64]
    """(B,) positions of the queries."""
    prepared: NDArray[np.float32]
    """(B, D) their embeddings, prepared for the product."""
    row: NDArray[np.int64]
    """(M,)"""
    starts: NDArray[np.int64]
    """(B,) first match of each row; every row has one."""
    position: NDArray[np.int64]
    """(M,) gallery positions."""
    score: NDArray[np.float64]
    """(M,) scores, from float64 products."""
    low: NDArray[np.float32]
    """(M,) an entry with a lower score certainly comes after the match..."""
    high: NDArray[np.float32]
    """(M,) ... and one with a higher score before it."""
    margin: NDArray[np.float64]
    """(M,) the same for the second look: a larger difference is certain."""
    wrong: NDArray[np.int64]
    """(M,) how many wrong entries came before each match so far; counted up in place."""

    @classmethod
    def of(
        cls,
        queries: NDArray[np.int64],
        pairs: Pairs,
        labels: Relevance,
        compare: Similarity,
        squared_query: NDArray[np.float64],
        squared: NDArray[np.float64],
    ) -> "Matches":
        """The matches among ``pairs``; ``squared_query``, ``squared``: quick squared lengths of all queries and of the gallery."""
        row, position = pairs.row[pairs.match], pairs.position[pairs.match]
        score = _scores(queries, row, position, labels, compare)
        order = np.lexsort((score, row))
        row, position, score = row[order], position[order], score[order]
        embeddings, lengths = widened(labels.query.embeddings[queries]), squared_query[queries]
        dimension = embeddings.shape[1]
        error, margin = (compare.error(lengths, squared, dimension, width=width)[row] for width in (SLICE, RUN))
        return cls(
            labels,
            compare,
            squared,
            queries,
            compare.prepared(embeddings, lengths),
            row,
            np.searchsorted(row, np.arange(len(queries))),
            position,
            score,
            np.nextafter((score - error).astype(np.float32), np.float32(-np.inf)),
            np.nextafter((score + error).astype(np.float32), np.float32(np.inf)),
            margin,
            np.zeros(len(row), np.int64),
        )

    def ranks(self) -> list[NDArray[np.int64]]:
        """For each row the ascending ranks of its matches from 1, after the whole gallery was counted."""
        # Matches whose scores differ only by rounding may be in the wrong order; their counts never are.
        order = np.lexsort((self.wrong, self.row))
        inside = np.arange(len(self.row)) - self.starts[self.row]
        return np.split(self.wrong[order] + inside + 1, self.starts[1:])

    def count(self, counter: Counter, near: Sequence[Any]) -> None:
        """Add the entries from ``counter.near`` to the counts."""
        bits = position_bits(len(self.labels.gallery.embeddings))
        low = packed(self.row, bits_of(self.low), 0, bits)
        high = packed(self.row, bits_of(self.high), (1 << bits) - 1, bits)
        standing = counter.standing(near, low, high, len(self.queries))
        self.wrong[:] += standing.end[self.row] - standing.last
        close = standing.inside
        if not len(close):
            return
        row, position = close >> (SCORE_BITS + bits), close & ((1 << bits) - 1)
        undecided = np.flatnonzero(standing.last > standing.first)
        first, count = close.searchsorted(low[undecided]), (standing.last - standing.first)[undecided]
        again = self._second_look(row, position)
        keys = np.full(len(close), np.nan)
        for match, entry in _expanded(undecided, first, count):
            if again is not None:
                apart = again[entry] - self.score[match]
                self._add(match[apart > self.margin[match]])
                still = np.abs(apart) <= self.margin[match]
                match, entry = match[still], entry[still]
            asked = np.unique(entry[np.isnan(keys[entry])])
            keys[asked] = self._keys(row[asked], position[asked])
            which, place = np.unique(match, return_inverse=True)
            of_match = self._keys(self.row[which], self.position[which])
            self._add(match[keys[entry] >= of_match[place]])

    def _second_look(self, row: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """(K,) scores of pairs within the margin; None if the second look is not worth its time."""
        if self.prepared.shape[1] < _WORTH_A_LOOK:
            return None
        columns = self.compare.columns(self.squared[position])
        return self.compare.nearly(self.prepared, row, self.labels.gallery.embeddings, position, columns)

    def _keys(self, row: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.compare.pair_keys(
            self.labels.query.embeddings, self.queries[row], self.labels.gallery.embeddings, position
        )

    def _add(self, before: NDArray[np.int64]) -> None:
        """Add one wrong entry to each match listed."""
        self.wrong[:] += np.bincount(before, minlength=len(self.wrong))


def _scores(
    queries: NDArray[np.int64],
    row: NDArray[np.int64],
    position: NDArray[np.int64],
    labels: Relevance,
    compare: Similarity,
) -> NDArray[np.float64]:
    """(M,) scores of the matches from float64 products, person by person: queries of one person share their matches."""
    score = np.empty(len(row))
    person = labels.query.persons[queries]
    begins = np.flatnonzero(np.r_[True, person[1:] != person[:-1]])
    borders = np.r_[begins, len(queries)]
    edges: NDArray[np.int64] = np.asarray(np.searchsorted(row, borders))
    for group, (first, last) in enumerate(pairwise(borders.tolist())):
        rows = labels.query.embeddings[queries[first:last]].astype(np.float64)
        entries = labels.entries(int(queries[first]))
        products = np.empty((len(rows), len(entries)))
        for start in range(0, len(entries), _ENTRIES):
            some = slice(start, start + _ENTRIES)
            right = labels.gallery.embeddings[entries[some]].astype(np.float64)
            # Dividing the products by the query lengths equals dividing the queries, and there are fewer products.
            part = compare.prepared(rows @ right.T, np.einsum("nd,nd->n", rows, rows))
            compare.finish(part, compare.columns(np.einsum("nd,nd->n", right, right)))
            products[:, some] = part
        mine = slice(edges[group], edges[group + 1])
        score[mine] = products[row[mine] - first, entries.searchsorted(position[mine])]
    return score


def _expanded(
    match: NDArray[np.int64], first: NDArray[np.int64], count: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The pairs of each match with the ``count`` (K,) entries from ``first`` (K,) on, in batches that bound memory."""
    sums = np.cumsum(count)
    start = 0
    while start < len(match):
        before = sums[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(sums, before + _PAIRS_AT_ONCE, side="right")))
        some = count[start:stop]
        inside = np.arange(int(some.sum())) - np.repeat(np.cumsum(some) - some, some)
        yield np.repeat(match[start:stop], some), np.repeat(first[start:stop], some) + inside
        start = stop
