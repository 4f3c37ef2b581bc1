"""From embeddings with labels to scores (method.md 6)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.evaluation.exact.ranking import Block, match_ranks
from snreid.evaluation.metrics import average_precision, first_rank, inverse_negative_penalty
from snreid.records import Features, Scores


def evaluate(
    query: Features, gallery: Features, *, metric: str = "cosine", block: Block | None = None, device: str = "cpu"
) -> Scores:
    """Rank the gallery for every query and score the ranks of the matches.

    ``exact/relevance.py`` has the rules for same-camera, junk and own-name entries, ``exact/ranking.py`` the tie rule.

    Args:
        query: Embeddings (Q, D) with persons and cameras.
        gallery: Embeddings (G, D) with persons and cameras.
        metric: ``"cosine"`` (embeddings are L2-normalized first) or ``"euclidean"`` (they are not).
        block: Size of the blocks compared at once. It affects memory and time, but no result.
        device: A torch device such as ``"cuda"``. It affects no result either.

    Raises:
        DataError: Labels and embeddings do not fit together, a value is not finite, or no query has a valid match.
        ExperimentError: The metric or the device does not exist.

    Example:
        >>> import numpy as np
        >>> from snreid.evaluation import evaluate
        >>> from snreid.records import Features
        >>> query = Features(np.eye(2, dtype=np.float32), np.array([1, 2]), np.array([1, 1]))
        >>> gallery = Features(np.eye(2, dtype=np.float32), np.array([1, 2]), np.array([2, 2]))
        >>> evaluate(query, gallery).mean_ap
        1.0
    """
    return scores_of_ranks(match_ranks(query, gallery, metric=metric, block=block, device=device), query, gallery)


def scores_of_ranks(ranks: Sequence[NDArray[np.int64]], query: Features, gallery: Features) -> Scores:
    """``score_ranks`` of a whole query set. Raises ``DataError`` if no query has a valid match."""
    scores = score_ranks(ranks, query.persons)
    if not len(scores.query_index):
        raise DataError(
            "At least one query needs a match: a gallery image of its person"
            + (" from another camera" if (query.cameras >= 0).any() else ""),
            found=f"none among {scores.queries} queries and {len(gallery.persons)} gallery images",
            fix="check that query and gallery share person ids (-1 is junk, no person) and, if every person "
            "was seen by one camera only, leave the cameras out",
        )
    return scores


def score_ranks(ranks: Sequence[NDArray[np.int64]], persons: NDArray[np.int64]) -> Scores:
    """Scores from the ranks of the matches, one array per query, as ``match_ranks`` gives them; ``persons`` (Q,): who is on each query.

    If no query has a match, the ``Scores`` are empty and their means undefined.
    """
    valid = [index for index, of_query in enumerate(ranks) if len(of_query)]
    matched = [ranks[index] for index in valid]
    return Scores(
        average_precision=np.array([average_precision(of_query) for of_query in matched], dtype=np.float64),
        inverse_negative_penalty=np.array([inverse_negative_penalty(of_query) for of_query in matched], np.float64),
        first_rank=np.array([first_rank(of_query) for of_query in matched], dtype=np.int64),
        query_index=np.array(valid, dtype=np.int64),
        queries=len(ranks),
        persons=persons[valid],
    )
