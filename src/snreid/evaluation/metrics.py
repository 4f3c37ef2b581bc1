"""Metrics of one query, from the ranks of its matches: pure functions.

All take ``ranks`` (M,), M >= 1: the ranks of all matches of one query, ascending. The rank of a match is 1 + the number of valid gallery
entries before it (method.md 6), so the ranks are distinct.
"""

import numpy as np
from numpy.typing import NDArray


def average_precision(ranks: NDArray[np.int64]) -> float:
    """AP, 0 < AP <= 1: the mean of the precision at the hits, (1/M) sum_k k / rank_k (method.md 6).

    This is not the trapezoidal area under the precision-recall curve. The ranks already resolve ties (``exact/ranking.py``).
    """
    hits = np.arange(1, len(ranks) + 1)
    return float(np.add.reduce(hits / ranks)) / len(ranks)  # .mean() takes six times as long on short arrays


def inverse_negative_penalty(ranks: NDArray[np.int64]) -> float:
    """INP, 0 < INP <= 1: matches / rank of the last match (Ye et al., TPAMI 2021, arXiv 2001.04193, section 3.3)."""
    return len(ranks) / float(ranks[-1])


def first_rank(ranks: NDArray[np.int64]) -> int:
    """Rank of the first match, >= 1; the query is a hit of CMC at k if this is <= k."""
    return int(ranks[0])
