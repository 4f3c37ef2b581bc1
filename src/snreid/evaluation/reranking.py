"""k-reciprocal re-ranking (Zhong et al., CVPR 2017, arXiv 1701.08398): an image that shares the query's neighbours moves up.

The final distance of query q and gallery image g is equation 12 of the paper,

    d*(q, g) = (1 - lambda) J(q, g) + lambda d(q, g) / max_i d(q, i)

with J the Jaccard distance of their k-reciprocal encodings (``jaccard.py``) and d the squared Euclidean distance: of L2-normalized
embeddings for the metric ``"cosine"``, of the raw embeddings for ``"euclidean"``. The paper does not say how d is scaled to J; as in
the authors' code, d is divided by the distance to the image farthest from q, also inside the encodings' exp(-d). Neighbours and the
farthest image are searched among **all queries and all gallery images together**: a rank depends on the other queries, which a
system that answers one query at a time does not have. Re-ranked scores are therefore not comparable with plain ones.

Ranks, rules and ties are those of ``evaluate``: they use float64 numbers that depend only on the set of embeddings, and a wrong
image exactly as near as a match comes before it.

**No Q x G matrix.** J is exactly 1 except for pairs that share a neighbour; those are kept sparse, for some queries at a time.
For all other pairs d decides: an image comes before a match if it is nearer than t = (d* - (1 - lambda)) max d / lambda. These
are counted after the matrix product, a block at a time, as in ``ranking.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.evaluation.evaluate import scores_of_ranks
from snreid.evaluation.exact.ranking import Block
from snreid.evaluation.exact.relevance import Relevance, relevance
from snreid.evaluation.exact.similarity import Cosine, Similarity, similarity, squared_lengths, stretches, widened
from snreid.evaluation.exact.threads import MOST_AHEAD, in_order, products_alone, threads
from snreid.evaluation.features import check_values
from snreid.evaluation.jaccard import DIGITS, common_weights, encoded, jaccard_of
from snreid.evaluation.neighbours import squared_distances
from snreid.records import JUNK, Features, Scores

_BLOCK = Block(queries=256, gallery=8192)
MOST_NEIGHBOURS = 200
"""Ten times the paper's value. Time and memory grow with its square."""
_KEPT = 1 << 26
"""Most query x gallery scores kept for the count: 256 MB. Market-1501 has 54 million."""
_ROUNDING = 1e-15
"""Exceeds the rounding errors of a final distance in float64, which is at most 1."""


@dataclass(frozen=True, kw_only=True)
class ReRanking:
    """Settings of the re-ranking. The defaults are those of the paper."""

    k1: int = 20
    """Nearest neighbours of an image, besides itself, that may be k-reciprocal, 1 to ``MOST_NEIGHBOURS``."""
    k2: int = 6
    """Images averaged in the local query expansion, the image itself included; 1: none. At most ``k1``."""
    weight: float = 0.3
    """lambda, 0 to 1: the weight of the original distance. 1 ranks by it alone."""

    def __post_init__(self) -> None:
        if not 1 <= self.k2 <= self.k1 <= MOST_NEIGHBOURS:
            raise ExperimentError(
                f"Re-ranking looks at k1 neighbours, 1 to {MOST_NEIGHBOURS}, and averages k2 of them, 1 to k1",
                found=f"k1 {self.k1}, k2 {self.k2}",
                fix="use 20 and 6",
            )
        if not 0 <= self.weight <= 1:
            raise ExperimentError(
                "The share lambda of the original distance lies between 0 and 1",
                found=f"{self.weight}",
                fix="use 0.3",
            )

    def __str__(self) -> str:
        return f"re-ranked k1={self.k1} k2={self.k2} lambda={self.weight:g}"


@dataclass(frozen=True, slots=True)
class _Kept:
    """The scores of all queries and gallery entries from the neighbour search: cosines, or -|x - y|^2 / 2."""

    scores: NDArray[np.float32]
    """(A, B) of distinct embeddings."""
    errors: NDArray[np.float32]
    """(Q,) largest possible error of a query's scores."""
    rows: NDArray[np.int64]
    """(Q,) row of each query's scores."""
    columns: NDArray[np.int64]
    """(G,) column of each gallery entry's scores."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Counts of one query while the gallery is scanned; a value is minus a final distance, so larger is better."""

    query: int
    farthest: float
    """The squared distance of its farthest image."""
    marked: NDArray[np.int64]
    """Gallery positions that are not wrong, ascending."""
    sharing: NDArray[np.int64]
    """(S,) wrong gallery positions that share a neighbour with it and may come before its worst match, ascending."""
    jaccard: NDArray[np.float64]
    """(S,) their Jaccard distances."""
    values: NDArray[np.float64]
    """(M,) the matches' values, ascending: worst match first."""
    wrong: NDArray[np.int64]
    """(M,) how many wrong entries came before each match so far; counted up in place."""


def evaluate_reranked(
    query: Features,
    gallery: Features,
    *,
    reranking: ReRanking | None = None,
    metric: str = "cosine",
    block: Block | None = None,
) -> Scores:
    """``evaluate`` after k-reciprocal re-ranking of queries and gallery as one set. Not comparable with plain scores.

    Extra memory: one copy of the embeddings, some hundred bytes per image and neighbour, and all query x gallery scores if they
    fit in 256 MB, else two blocks of them.

    Args:
        query: Embeddings (Q, D) with persons and cameras.
        gallery: Embeddings (G, D) with persons and cameras.
        reranking: The settings; None for those of the paper.
        metric: As in ``evaluate``.
        block: As in ``evaluate``.

    Raises:
        DataError: As in ``evaluate``.
        ExperimentError: As in ``evaluate``.
    """
    ranks = reranked_match_ranks(query, gallery, reranking=reranking, metric=metric, block=block)
    return scores_of_ranks(ranks, query, gallery)


def reranked_match_ranks(
    query: Features,
    gallery: Features,
    *,
    reranking: ReRanking | None = None,
    metric: str = "cosine",
    block: Block | None = None,
) -> tuple[NDArray[np.int64], ...]:
    """``match_ranks`` after re-ranking: for every query the ascending ranks (M,) of its matches, from 1."""
    with products_alone():
        work = _ReRanked(query, gallery, reranking or ReRanking(), similarity(metric))
        return work.ranks(block or _BLOCK)


class _ReRanked:
    """The data of a set from which ranks are computed."""

    def __init__(self, query: Features, gallery: Features, options: ReRanking, compare: Similarity) -> None:
        check_values(query, gallery)
        self.labels: Relevance = relevance(query, gallery)
        self.query, self.gallery = widened(query.embeddings), widened(gallery.embeddings)
        self.options, self.compare = options, compare
        self.squared = squared_lengths(self.query), squared_lengths(self.gallery)
        parts = (self.query, self.gallery)
        encodings = encoded(parts, compare, k1=options.k1, k2=options.k2, released=True, keep=_KEPT)
        mine, others = np.split(encodings.row, [len(self.query)])
        self.encodings = encodings.rows[mine], encodings.rows[others].tocsc()
        assert encodings.farthest is not None
        self.farthest = encodings.farthest[mine]
        self.kept: _Kept | None = None
        if encodings.kept is not None and encodings.errors is not None:
            self.kept = _Kept(encodings.kept.scores, encodings.errors[mine], mine, others - encodings.kept.first)
        self.junk = gallery.persons == JUNK

    def ranks(self, block: Block) -> tuple[NDArray[np.int64], ...]:
        """Ascending ranks of every query's matches."""
        ranks = [np.empty(0, np.int64)] * len(self.query)
        valid = [index for index in range(len(self.query)) if len(self.labels.matches(index))]
        for first in range(0, len(valid), block.queries):
            targets = self._targets(valid[first : first + block.queries])
            if self.kept is None:
                self._multiply(targets, block.gallery)
            else:
                self._look_up(targets, self.kept)
            for target in targets:
                ranks[target.query] = (target.wrong + np.arange(len(target.wrong), 0, -1))[::-1]
        return tuple(ranks)

    def _targets(self, queries: Sequence[int]) -> list[_Target]:
        weights = common_weights(self.encodings[0][queries], self.encodings[1])
        pairs = self.labels.pairs(np.asarray(queries))
        borders = pairs.row.searchsorted(np.arange(len(queries) + 1))
        targets = []
        for row, (query, shared) in enumerate(zip(queries, weights, strict=True)):
            mine = slice(borders[row], borders[row + 1])
            marked = pairs.position[mine]
            matches = marked[pairs.match[mine]]
            values = np.sort(self._values(query, matches, jaccard_of(shared[matches])))
            shared[self.junk] = 0.0
            shared[marked] = 0.0
            sharing = np.flatnonzero(shared > self._least(values[0]))
            count = np.zeros(len(matches), np.int64)
            jaccard = jaccard_of(shared[sharing])
            targets.append(_Target(query, float(self.farthest[query]), marked, sharing, jaccard, values, count))
        return targets

    def _least(self, worst: float) -> float:
        """An entry that shares less than this certainly comes after the worst match, of value ``worst``, however near it is."""
        if self.options.weight == 1:
            return 0.0
        most = (_ROUNDING - worst) / (1 - self.options.weight)  # of the Jaccard distance
        return max(0.0, (2 - 2 * most) / (2 - most) - 10.0 ** (1 - DIGITS)) if most < 1 else 0.0

    def _values(self, query: int, positions: NDArray[np.int64], jaccard: NDArray[np.float64]) -> NDArray[np.float64]:
        """(K,) minus the exact final distances of gallery entries: they depend only on the set of embeddings."""
        if not self.options.weight:
            return -jaccard
        keys = self.compare.keys(self.query[query], self.gallery, positions, self.squared[1][positions])
        return self._combined(jaccard, squared_distances(self.compare, keys, self.squared[0][query : query + 1]), query)

    def _combined(self, jaccard: NDArray[np.float64], apart: NDArray[np.float64], query: int) -> NDArray[np.float64]:
        share = self.options.weight
        return -((1 - share) * jaccard + share * (apart / (self.farthest[query] or 1.0)))

    def _multiply(self, targets: Sequence[_Target], most: int) -> None:
        """Count for these queries from products with ``most`` gallery entries at a time."""
        rows = np.array([target.query for target in targets])
        lengths = self.squared[0][rows]
        prepared = self.compare.prepared(self.query[rows], lengths)
        parts = list(stretches(len(self.gallery), most))

        def product(part: slice) -> NDArray[np.float32]:
            """Scores of all targets against a stretch of the gallery."""
            return self.compare.product(prepared, self.gallery[part], self.squared[1][part])

        for part, scores in zip(parts, in_order(product, parts, min(threads(), MOST_AHEAD)), strict=True):
            errors = self.compare.error(lengths, self.squared[1][part], self.query.shape[1])
            for row, target in enumerate(targets):
                base = 2.0 if isinstance(self.compare, Cosine) else float(lengths[row])
                self._count(target, scores[row], float(errors[row]), base, part)

    def _look_up(self, targets: Sequence[_Target], kept: _Kept) -> None:
        """Count for these queries from the kept scores."""
        base = 2.0 if isinstance(self.compare, Cosine) else 0.0
        for target in targets:
            scores = kept.scores[kept.rows[target.query]][kept.columns]
            self._count(target, scores, float(kept.errors[target.query]), base, slice(0, len(scores)))

    def _count(self, target: _Target, scores: NDArray[np.float32], error: float, base: float, part: slice) -> None:
        """Count the wrong entries before each match of one query in a stretch of the gallery.

        ``scores`` (N,), which are overwritten, are within ``error`` of the exact ones; the squared distance is ``base`` - 2 score.
        """
        unit = self.options.weight / (target.farthest or 1.0)
        margin = 2 * error * unit + _ROUNDING
        here = _within(target.sharing, part)
        positions, jaccard = target.sharing[here], target.jaccard[here]
        cosines = scores[positions - part.start].astype(np.float64)
        # An entry that shares no neighbour can come before the worst match only if that match is farther than the nearest such entry.
        if target.values[0] <= self.options.weight - 1 + margin:
            scores[self.junk[part]] = -np.inf
            scores[target.marked[_within(target.marked, part)] - part.start] = -np.inf
            scores[positions - part.start] = -np.inf
            alike = np.flatnonzero(scores > self._border(target, error, base, unit))
            positions = np.concatenate([positions, alike + part.start])
            jaccard = np.concatenate([jaccard, np.ones(len(alike))])
            cosines = np.concatenate([cosines, scores[alike]])
        values = self._combined(jaccard, base - 2 * cosines, target.query)
        near = np.flatnonzero(values >= target.values[0] - margin)  # all others certainly come after every match
        positions, jaccard, values = positions[near], jaccard[near], values[near]
        # An entry certainly comes before the `before` worst matches; it may come before `possible`.
        before = (target.values + margin).searchsorted(values, side="left")
        possible = (target.values - margin).searchsorted(values, side="right")
        open_ = np.flatnonzero(possible > before)
        exact = self._values(target.query, positions[open_], jaccard[open_])
        before[open_] = target.values.searchsorted(exact, side="right")
        target.wrong[:] += len(before) - np.cumsum(np.bincount(before, minlength=len(target.wrong) + 1))[:-1]

    def _border(self, target: _Target, error: float, base: float, unit: float) -> np.float32:
        """Images without a shared neighbour and with scores up to this bound certainly come after the worst match."""
        if not unit:
            return np.float32(-np.inf)
        with np.errstate(over="ignore"):
            least = ((target.values[0] + (1 - self.options.weight)) / unit + base) / 2 - error - _ROUNDING / unit
            return np.float32(np.nextafter(np.float32(least), np.float32(-np.inf)))


def _within(positions: NDArray[np.int64], part: slice) -> slice:
    """Which of the ascending positions lie in a stretch of the gallery."""
    first, last = positions.searchsorted((part.start, part.stop))
    return slice(int(first), int(last))
