"""Exact ranks of every query's matches, block by block: no query x gallery matrix, no order of files.

The rank of a match is 1 + the number of valid gallery entries before it, counted behind a matrix
product. Valid is what is neither junk nor ignored for the query (`relevance.py`).

**The rule for ties.** A wrong entry that is exactly as similar as a match comes before it. So nothing depends on the order
of the files, a model gains nothing by giving many images one score, and the reported numbers are a lower bound over all
ways to break ties. Equally similar matches take consecutive ranks. "Exactly as similar" means equal float64 keys
(`similarity.py`), which depend on the two embeddings alone: the ranks are the same for any order of the gallery, any
block size, any number of threads, and any matrix library.

Extra memory: two blocks of float32 scores, 40 bytes per match of up to ``_MATCHES_AT_ONCE`` matches, a few bytes per
gallery entry of a query's person. The embeddings are never copied whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.evaluation.features import check_lengths, check_pair
from snreid.evaluation.relevance import Relevance, relevance
from snreid.evaluation.similarity import Similarity, similarity, squared_lengths
from snreid.records import JUNK, Features, RankList

_MATCHES_AT_ONCE = 1 << 19
"""More matches than this are ranked in several walks over the gallery."""
_FEW_INTERVALS = 16
"""Up to so many intervals it is faster to test every value against each than to sort the values (measured)."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """How much is compared at once: memory against speed. No result depends on it."""

    queries: int = 256
    """Rows of one matrix product, >= 1."""
    gallery: int = 8192
    """Columns of one matrix product, >= 1. Scores of a block take 8 bytes x queries x gallery: 16 MiB by default."""

    def __post_init__(self) -> None:
        if self.queries < 1 or self.gallery < 1:
            raise ExperimentError(
                "a block holds at least one query and one gallery entry",
                came=f"{self.queries} queries x {self.gallery} gallery entries",
                repair="use 1 or more for both",
            )


@dataclass(frozen=True)
class _Target:
    """One query's matches on the way through the gallery, worst match first."""

    query: int
    marked: NDArray[np.int64]
    """Gallery positions that are not wrong, ascending."""
    keys: NDArray[np.float64]
    """(M,) keys of the matches, ascending."""
    scores: NDArray[np.float64]
    """(M,) their scores on the scale of the product."""
    wrong: NDArray[np.int64]
    """(M,) how many wrong entries came before each match so far; counted up in place."""

    def ranks(self) -> NDArray[np.int64]:
        """(M,) ascending ranks from 1, once the whole gallery was counted."""
        return (self.wrong + np.arange(len(self.wrong), 0, -1))[::-1]


@dataclass(frozen=True)
class _Tile:
    """A stretch of the gallery with what every query needs of it."""

    start: int
    embeddings: NDArray[np.float32]
    squared: NDArray[np.float64]
    junk: NDArray[np.int64]
    """Columns of the stretch that are dropped for everybody."""

    @property
    def stop(self) -> int:
        """First position behind the stretch."""
        return self.start + len(self.embeddings)


def match_ranks(
    query: Features, gallery: Features, *, metric: str = "cosine", block: Block | None = None
) -> tuple[NDArray[np.int64], ...]:
    """For every query the ascending ranks (M,) of its matches, from 1; empty where it has no valid match.

    ``metric``: ``"cosine"`` or ``"euclidean"`` (otherwise ``ExperimentError``). Raises ``DataError`` for labels and
    embeddings that do not fit together and for values that are not finite.
    """
    block = block or Block()
    compare = similarity(metric)
    check_pair(query, gallery)
    squared = check_lengths(query, slice(None), squared_lengths(query.embeddings), "query")
    labels = relevance(query, gallery)
    ranks = [np.empty(0, np.int64)] * len(query.embeddings)
    for group in _groups(labels, compare, squared):
        for tile in _tiles(gallery, block.gallery):
            for start in range(0, len(group), block.queries):
                _count(group[start : start + block.queries], tile, query, squared, compare)
        for target in group:
            ranks[target.query] = target.ranks()
    return tuple(ranks)


def rank_lists(
    query: Features, gallery: Features, queries: Sequence[int], length: int, metric: str = "cosine"
) -> tuple[RankList, ...]:
    """The first ``length`` gallery entries of the queries at these positions, ignored entries included, best first.

    Ties as in the module's rule (wrong, then ignored, then right), then by gallery position. A list is shorter than
    ``length`` only when the gallery is. Meant for pictures: time grows with the number of queries asked for.
    """
    compare = similarity(metric)
    check_pair(query, gallery)
    _check_request(query, queries, length)
    labels = relevance(query, gallery)
    chosen = np.asarray(queries, dtype=np.int64)
    embeddings = query.embeddings[chosen]
    squared = check_lengths(query, slice(None), squared_lengths(query.embeddings), "query")[chosen]
    best = [(np.empty(0, np.int64), np.empty(0))] * len(chosen)
    for tile in _tiles(gallery, Block().gallery):
        scores = compare.product(compare.prepared(embeddings, squared), tile.embeddings, tile.squared)
        errors = compare.error(squared, tile.squared, embeddings.shape[1])
        for row, index in enumerate(queries):
            near = _may_lead(scores[row], length, float(errors[row]))
            positions = np.concatenate([best[row][0], tile.start + near])
            found = compare.keys(embeddings[row], tile.embeddings, near, tile.squared[near])
            keys = np.concatenate([best[row][1], found])
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


def _groups(labels: Relevance, compare: Similarity, squared: NDArray[np.float64]) -> Iterator[list[_Target]]:
    """Queries that have a match, so many at a time that their matches fit into bounded memory."""
    group: list[_Target] = []
    held = 0
    for index in range(len(labels.query.embeddings)):
        positions = labels.matches(index)
        if not len(positions):
            continue
        if group and held + len(positions) > _MATCHES_AT_ONCE:
            yield group
            group, held = [], 0
        # Values that are not finite are reported when the walk over the gallery meets them.
        with np.errstate(invalid="ignore", over="ignore"):
            keys = np.sort(compare.keys(labels.query.embeddings[index], labels.gallery.embeddings, positions))
            scores = compare.scores(keys, float(squared[index]))
        group.append(_Target(index, labels.marked(index), keys, scores, np.zeros(len(keys), np.int64)))
        held += len(positions)
    if group:
        yield group


def _tiles(gallery: Features, size: int) -> Iterator[_Tile]:
    """The gallery in stretches, checked for values that are not finite."""
    for start in range(0, len(gallery.embeddings), size):
        part = slice(start, start + size)
        embeddings = gallery.embeddings[part]
        squared = check_lengths(gallery, part, squared_lengths(embeddings), "gallery")
        yield _Tile(start, embeddings, squared, np.flatnonzero(gallery.persons[part] == JUNK))


def _count(
    targets: list[_Target], tile: _Tile, query: Features, squared: NDArray[np.float64], compare: Similarity
) -> None:
    """Add this stretch of the gallery to the counts of these queries."""
    rows = np.array([target.query for target in targets])
    embeddings, lengths = query.embeddings[rows], squared[rows]
    scores = compare.product(compare.prepared(embeddings, lengths), tile.embeddings, tile.squared)
    errors = compare.error(lengths, tile.squared, embeddings.shape[1])
    scores[:, tile.junk] = -np.inf
    for row, target in enumerate(targets):
        first, last = target.marked.searchsorted((tile.start, tile.stop))
        scores[row, target.marked[first:last] - tile.start] = -np.inf
        _count_row(scores[row], target, tile, embeddings[row], float(errors[row]), compare)


def _count_row(
    scores: NDArray[np.float32],
    target: _Target,
    tile: _Tile,
    embedding: NDArray[np.float32],
    error: float,
    compare: Similarity,
) -> None:
    """Count the wrong entries before each match of one query; ``scores`` (N,) are -inf where an entry does not count.

    What lies further from a match's score than ``error`` is decided by the float32 score, the rest by its key.
    """
    low = np.nextafter((target.scores - error).astype(np.float32), np.float32(-np.inf))
    high = np.nextafter((target.scores + error).astype(np.float32), np.float32(np.inf))
    near = (scores >= low[0]).nonzero()[0]
    if not len(near):
        return
    values = scores[near]
    ordered = np.sort(values)
    surely = ordered.searchsorted(high, side="right")
    target.wrong[:] += len(near) - surely
    undecided = (ordered.searchsorted(low, side="left") < surely).nonzero()[0]
    if len(undecided):
        close = _inside(values, low[undecided], high[undecided])
        keys = compare.keys(embedding, tile.embeddings, near[close], tile.squared[near[close]])
        # Each close entry is counted already for the first `counted` matches from the worst, and belongs before `before`.
        counted = high.searchsorted(values[close], side="left")
        before = target.keys.searchsorted(keys, side="right")
        count = len(high) + 1
        missing = np.bincount(counted, minlength=count) - np.bincount(before, minlength=count)
        target.wrong[:] += np.cumsum(missing)[:-1]


def _inside(values: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.int64]:
    """Positions of the values (N,) that lie in one of the intervals low..high (K,), both ascending, ends included."""
    if len(low) <= _FEW_INTERVALS:
        inside = np.zeros(len(values), dtype=np.bool_)
        for first, last in zip(low, high, strict=True):
            inside |= (values >= first) & (values <= last)
        return inside.nonzero()[0]
    order = np.argsort(values)
    ordered = values[order]
    edges = np.bincount(ordered.searchsorted(low, side="left"), minlength=len(values) + 1)
    edges -= np.bincount(ordered.searchsorted(high, side="right"), minlength=len(values) + 1)
    return order[np.cumsum(edges)[:-1] > 0]


def _may_lead(scores: NDArray[np.float32], length: int, error: float) -> NDArray[np.int64]:
    """Columns that can be among the first ``length`` by their keys: those not surely behind that many others."""
    if len(scores) <= length:
        return np.arange(len(scores))
    last = float(np.partition(scores, -length)[-length])
    return np.flatnonzero(scores.astype(np.float64) >= last - 2 * error)


def _tie_order(verdicts: tuple[str, ...]) -> NDArray[np.int64]:
    """Equally similar entries are shown in this order."""
    return np.array([("wrong", "ignored", "right").index(verdict) for verdict in verdicts], dtype=np.int64)


def _check_request(query: Features, queries: Sequence[int], length: int) -> None:
    """``ExperimentError`` for positions that are no queries and for lists without entries."""
    count = len(query.embeddings)
    strange = [int(index) for index in queries if not 0 <= index < count]
    if strange:
        raise ExperimentError(
            f"rank lists are shown for queries at positions 0 to {count - 1}",
            came=str(strange[0]),
            repair="choose others",
        )
    if length < 1:
        raise ExperimentError(
            "a rank list shows at least one gallery entry", came=str(length), repair="ask for 1 or more"
        )
