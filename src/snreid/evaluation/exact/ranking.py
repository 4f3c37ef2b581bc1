"""Exact ranks of every query's matches, block by block: no query x gallery matrix, independent of file order, sorting only
entries that come before a match.

The rank of a match is 1 + the number of valid gallery entries before it, counted after a matrix product. Valid entries are
neither junk nor ignored for the query (`relevance.py`).

**Ties.** A wrong entry exactly as similar as a match comes before it. So the order of the files has no effect, a model
gains nothing by giving many images one score, and the reported numbers are a lower bound over all
ways to break ties. Equally similar matches take consecutive ranks. "Exactly as similar" means equal float64 keys
(`similarity.py`), which depend on the two embeddings alone: the ranks are the same for any order of the gallery, any
block size, any number of threads, any device, and any matrix library.

**Method.** The score of a match is computed in float64. A wrong entry whose float32 score differs from it by more than the
product's rounding bound is counted by that score (`counting.py`). The scores of the few others are recomputed with a tighter
bound; pairs still too close are decided by keys (`close_calls.py`).

Extra memory: a block of queries in float32; for each thread a block of scores (``_SCORES_AT_ONCE`` of all together), 24 bytes per near
entry in it and, of float16 embeddings, its stretch of the gallery in float32; up to ``_NEAR_AT_ONCE`` near entries and a block's (8
bytes each, four times as much where all are too close to a match), 60 bytes per match of up to ``_MATCHES_AT_ONCE`` matches, 20 bytes
per gallery entry. The embeddings are never copied whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.evaluation.exact.close_calls import Matches
from snreid.evaluation.exact.counting import ROW_AND_POSITION_BITS, Counter, NumpyCounter, Tile, position_bits
from snreid.evaluation.exact.histogram import Histogram
from snreid.evaluation.exact.relevance import Pairs, Relevance, relevance
from snreid.evaluation.exact.similarity import Similarity, quick_squared_lengths, similarity, squared_lengths, widened
from snreid.evaluation.exact.threads import in_order, products_alone, threads
from snreid.evaluation.features import check_lengths, check_pair
from snreid.records import JUNK, Features, RankList

_MATCHES_AT_ONCE = 1 << 19
"""Most gallery entries of their persons that a block of queries has."""
_NEAR_AT_ONCE = 1 << 20
"""Near entries are counted once this many have accumulated."""
_SCORES_AT_ONCE = 1 << 23
"""Scores of all threads together: 64 MiB."""
_SHOWN_FROM = 8192
"""Gallery entries that rank lists score at once."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Block size: memory against speed. No result depends on it."""

    queries: int = 2048
    """Most rows of one matrix product, >= 1: the queries are divided evenly."""
    gallery: int = 2048
    """Columns of one matrix product, >= 1. A block of scores takes 4 bytes x queries x gallery, by default at most 16 MiB."""

    def __post_init__(self) -> None:
        if self.queries < 1 or self.gallery < 1:
            raise ExperimentError(
                "A block holds at least one query and one gallery entry",
                found=f"{self.queries} queries x {self.gallery} gallery entries",
                fix="use 1 or more for both",
            )


_DEVICE_BLOCK = Block(queries=8192, gallery=8192)
"""On a GPU: the gallery is copied there once for each block of queries."""


def match_ranks(
    query: Features, gallery: Features, *, metric: str = "cosine", block: Block | None = None, device: str = "cpu"
) -> tuple[NDArray[np.int64], ...]:
    """The ranks of the matches of every query.

    Args:
        query: Embeddings (Q, D) with persons and cameras.
        gallery: Embeddings (G, D) with persons and cameras.
        metric: ``"cosine"`` or ``"euclidean"``.
        block: Size of the blocks compared at once; no result depends on it.
        device: A torch device such as ``"cuda"``; no result depends on it.

    Returns:
        Q arrays (M,) of ascending ranks from 1, empty for a query without a valid match.

    Raises:
        DataError: Labels and embeddings do not fit together, or a value is not finite.
        ExperimentError: The metric or the device does not exist.
    """
    check_pair(query, gallery)
    _check_device(device)
    walk = _Walk(query, gallery, similarity(metric), block, device)
    ranks = [np.empty(0, np.int64)] * len(query.embeddings)
    with products_alone():
        for queries, pairs in _blocks(walk.labels, walk.rows):
            for index, of_query in zip(queries.tolist(), walk.ranks(queries, pairs), strict=True):
                ranks[index] = of_query
    return tuple(ranks)


def rank_lists(
    query: Features, gallery: Features, queries: Sequence[int], length: int, metric: str = "cosine"
) -> tuple[RankList, ...]:
    """The best gallery entries of some queries, ignored entries included. For figures: time grows with the number of queries.

    Args:
        query: Embeddings (Q, D) with persons and cameras.
        gallery: Embeddings (G, D) with persons and cameras.
        queries: Positions in ``query``.
        length: Entries per list, at most G.
        metric: ``"cosine"`` or ``"euclidean"``.

    Returns:
        One list per position, best first; ties by the rule of this module (wrong, ignored, right), then by gallery position.
    """
    compare = similarity(metric)
    check_pair(query, gallery)
    _check_request(query, queries, length)
    labels = relevance(query, gallery)
    chosen = np.asarray(queries, dtype=np.int64)
    embeddings = widened(query.embeddings[chosen])
    squared = check_lengths(query, slice(None), squared_lengths(query.embeddings), "query")[chosen]
    best = [(np.empty(0, np.int64), np.empty(0))] * len(chosen)
    for start in range(0, len(gallery.embeddings), _SHOWN_FROM):
        part = slice(start, start + _SHOWN_FROM)
        tile = gallery.embeddings[part]
        lengths = check_lengths(gallery, part, squared_lengths(tile), "gallery")
        scores = compare.product(compare.prepared(embeddings, squared), widened(tile), lengths)
        errors = compare.error(squared, lengths, embeddings.shape[1])
        for row, index in enumerate(queries):
            near = _may_lead(scores[row], length, float(errors[row]))
            positions = np.concatenate([best[row][0], start + near])
            tile_keys = compare.keys(embeddings[row], tile, near, lengths[near])
            keys = np.concatenate([best[row][1], tile_keys])
            order = np.lexsort((positions, _tie_order(labels.verdicts(index, positions)), -keys))[:length]
            best[row] = (positions[order], keys[order])
    return tuple(
        RankList(
            query=int(index),
            gallery=positions,
            score=compare.shown(keys, float(squared[row])),
            verdict=labels.verdicts(index, positions),
        )
        for row, (index, (positions, keys)) in enumerate(zip(queries, best, strict=True))
    )


class _Walk:
    """Scans the gallery, once for each block of queries."""

    def __init__(
        self, query: Features, gallery: Features, compare: Similarity, block: Block | None, device: str
    ) -> None:
        self.query, self.gallery, self.compare, self.device = query, gallery, compare, device
        self.threads = threads() if device == "cpu" else 1
        block = block or (_block_for(self.threads) if device == "cpu" else _DEVICE_BLOCK)
        self.bits = position_bits(len(gallery.embeddings))
        self.rows, self.columns = min(block.queries, 1 << (ROW_AND_POSITION_BITS - self.bits)), block.gallery
        self.squared_query, self.squared = (
            check_lengths(features, slice(None), quick_squared_lengths(features.embeddings), side)
            for features, side in ((query, "query"), (gallery, "gallery"))
        )
        self.labels = relevance(query, gallery)

    def ranks(self, queries: NDArray[np.int64], pairs: Pairs) -> list[NDArray[np.int64]]:
        """The ranks of the matches of each of these queries, all of which have matches."""
        matches = Matches.of(queries, pairs, self.labels, self.compare, self.squared_query, self.squared)
        histogram = Histogram(matches.row, matches.low, matches.high, matches.starts)
        counter = self._counter(matches, histogram)
        order = np.argsort(pairs.position, kind="stable")
        row, position = pairs.row[order], pairs.position[order]
        held: list[Any] = []
        count = 0
        for keys in in_order(counter.near, self._tiles(row, position), self.threads):
            held.append(keys)
            count += len(keys)
            if count >= _NEAR_AT_ONCE:
                matches.count(counter, held)
                held, count = [], 0
        if count:
            matches.count(counter, held)
        matches.wrong[:] += histogram.before()
        return matches.ranks()

    def _counter(self, matches: Matches, histogram: Histogram) -> Counter:
        lowest = matches.low[matches.starts]
        if self.device == "cpu":
            return NumpyCounter(self.compare, matches.prepared, lowest, self.bits, histogram)
        from snreid.evaluation.exact.torch_counting import TorchCounter  # torch is needed for nothing else here

        return TorchCounter(self.compare, matches.prepared, lowest, self.bits, self.device)

    def _tiles(self, row: NDArray[np.int64], position: NDArray[np.int64]) -> Iterator[Tile]:
        """The gallery in stretches; ``row`` and ``position`` (K,): the pairs that are not wrong, by position."""
        for start in range(0, len(self.gallery.embeddings), self.columns):
            part = slice(start, start + self.columns)
            first, last = position.searchsorted((start, start + self.columns))
            yield Tile(
                start,
                self.gallery.embeddings[part],
                self.compare.columns(self.squared[part]).astype(np.float32),
                np.flatnonzero(self.gallery.persons[part] == JUNK),
                row[first:last],
                position[first:last] - start,
            )


def _block_for(threads: int) -> Block:
    """Blocks with which all threads together hold at most ``_SCORES_AT_ONCE`` scores."""
    whole = Block()
    return Block(gallery=max(256, min(whole.gallery, _SCORES_AT_ONCE // (whole.queries * threads))))


def _blocks(labels: Relevance, size: int) -> Iterator[tuple[NDArray[np.int64], Pairs]]:
    """Queries that have a match, person by person, with their pairs: at most ``size``, fewer to bound memory."""
    order = np.argsort(labels.query.persons, kind="stable")
    held = np.cumsum(labels.count[order])
    size = -(-len(order) // -(-len(order) // size))  # even blocks: a small last one would slow the product
    start = 0
    while start < len(order):
        before = held[start - 1] if start else 0
        fits = int(np.searchsorted(held, before + _MATCHES_AT_ONCE, side="right"))
        stop = max(start + 1, min(start + size, fits))
        pairs = labels.pairs(order[start:stop])
        some = np.zeros(stop - start, np.bool_)
        some[pairs.row[pairs.match]] = True
        if some.any():
            kept = some[pairs.row]
            row = (np.cumsum(some) - 1)[pairs.row[kept]]
            yield order[start:stop][some], Pairs(row, pairs.position[kept], pairs.match[kept])
        start = stop


def _check_device(device: str) -> None:
    """``ExperimentError`` for a device that this machine lacks."""
    if device == "cpu":
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA raises the latter
        raise ExperimentError(
            "Scores are counted on the processor or on a device that torch finds here",
            found=f"{device!r}: {str(error).splitlines()[0]}",
            fix="use 'cpu', or 'cuda' where torch finds one",
        ) from error


def _may_lead(scores: NDArray[np.float32], length: int, error: float) -> NDArray[np.int64]:
    """Columns that can be among the first ``length`` by their keys: those not certainly behind that many others."""
    if len(scores) <= length:
        return np.arange(len(scores))
    last = float(np.partition(scores, -length)[-length])
    return np.flatnonzero(scores.astype(np.float64) >= last - 2 * error)


def _tie_order(verdicts: tuple[str, ...]) -> NDArray[np.int64]:
    """Display order of equally similar entries."""
    return np.array([("wrong", "ignored", "right").index(verdict) for verdict in verdicts], dtype=np.int64)


def _check_request(query: Features, queries: Sequence[int], length: int) -> None:
    """``ExperimentError`` for positions outside the queries and for lists without entries."""
    count = len(query.embeddings)
    strange = [int(index) for index in queries if not 0 <= index < count]
    if strange:
        raise ExperimentError(
            f"Rank lists are shown for queries at positions 0 to {count - 1}",
            found=str(strange[0]),
            fix="choose others",
        )
    if length < 1:
        raise ExperimentError(
            "A rank list shows at least one gallery entry", found=str(length), fix="ask for 1 or more"
        )
