"""CMC, AP and INP by definition (method.md 6), in plain Python and exact fractions: the twin of ``snreid.evaluation``.

Slow and obvious: for every query, list what counts, sort it, walk down the list. Similarities are exact rational numbers, so
"equal" means equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from snreid.records import Features


@dataclass(frozen=True)
class SlowScores:
    """One entry per query with a valid match."""

    average_precision: list[float]
    inverse_negative_penalty: list[float]
    first_rank: list[int]
    query_index: list[int]


def similarity_by_definition(query: Sequence[float], entry: Sequence[float], metric: str) -> Fraction:
    """Grows exactly when the cosine (or minus the Euclidean distance) grows, for one query."""
    q, g = [Fraction(float(x)) for x in query], [Fraction(float(x)) for x in entry]
    if metric == "euclidean":
        return -sum(((a - b) ** 2 for a, b in zip(q, g, strict=True)), start=Fraction(0))
    inner = sum((a * b for a, b in zip(q, g, strict=True)), start=Fraction(0))
    square = sum((b * b for b in g), start=Fraction(0))
    return inner * abs(inner) / square if square else Fraction(0)


def is_ignored(query: Features, gallery: Features, i: int, j: int) -> bool:
    """Junk, the query's person on the query's camera or, where one of the cameras is unknown, under the query's name."""
    if gallery.persons[j] == -1:
        return True
    if query.persons[i] != gallery.persons[j]:
        return False
    if query.cameras[i] != -1 and gallery.cameras[j] != -1:
        return bool(query.cameras[i] == gallery.cameras[j])
    return bool(query.names and gallery.names and query.names[i] == gallery.names[j])


def is_match(query: Features, gallery: Features, i: int, j: int) -> bool:
    """The same person in an entry that is not ignored."""
    return bool(query.persons[i] == gallery.persons[j]) and not is_ignored(query, gallery, i, j)


def ranks_by_definition(query: Features, gallery: Features, i: int, metric: str) -> list[int]:
    """Ranks of the matches of query ``i``, from 1; a wrong entry as similar as a match stands before it."""
    listed = []
    for j in range(len(gallery.persons)):
        if is_ignored(query, gallery, i, j):
            continue
        likeness = similarity_by_definition(query.embeddings[i], gallery.embeddings[j], metric)
        listed.append((-likeness, is_match(query, gallery, i, j)))
    listed.sort()
    return [place for place, (_, match) in enumerate(listed, start=1) if match]


def scores_by_definition(query: Features, gallery: Features, metric: str) -> SlowScores:
    """Walk down every query's list."""
    scores = SlowScores([], [], [], [])
    for i in range(len(query.persons)):
        ranks = ranks_by_definition(query, gallery, i, metric)
        if not ranks:
            continue
        precisions = [hits / rank for hits, rank in enumerate(ranks, start=1)]
        scores.average_precision.append(sum(precisions) / len(precisions))
        scores.inverse_negative_penalty.append(len(ranks) / ranks[-1])
        scores.first_rank.append(ranks[0])
        scores.query_index.append(i)
    return scores


def cmc_by_definition(first_ranks: list[int], k: int) -> float:
    """Share of queries with a match among the first ``k``."""
    return len([rank for rank in first_ranks if rank <= k]) / len(first_ranks)
