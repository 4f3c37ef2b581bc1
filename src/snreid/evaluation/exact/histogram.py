"""Counting where much comes before a match: cells of scores instead of a sort.

The scores of a row are put into cells of equal width between the lowest and the highest bound of its matches. A cell that the interval of
a match touches is *open*: its entries are kept one by one and compared exactly. Of all other cells the number of entries is enough:
whatever lies in a higher cell than a match's interval comes before that match. Time per score does not depend on how many matches a row
has.
"""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

CELLS = 512
"""Cells of a row: more of them leave fewer entries in open ones, and take longer to add up."""
_STEEPEST = 1e30
"""Cells per unit of score at most, so that nothing overflows."""


class Histogram:
    """Numbers of entries in the cells of a block of queries, from several threads."""

    def __init__(
        self, row: NDArray[np.int64], low: NDArray[np.float32], high: NDArray[np.float32], starts: NDArray[np.int64]
    ) -> None:
        """``row``, ``low``, ``high`` (M,): the matches, row by row, and their intervals; ``starts`` (B,): the first of each row, which has
        the lowest bound."""
        self._low = low[starts][:, None]
        reach = np.maximum.reduceat(high, starts).astype(np.float64) - low[starts]
        self._scale = ((CELLS - 4) / np.maximum(reach, (CELLS - 4) / _STEEPEST)).astype(np.float32)[:, None]
        # The same arithmetic as for entries: rounding keeps the order, so an entry in a higher cell has a higher score.
        first, self._last = (self._cells(bound[:, None], row)[:, 0] for bound in (low, high))
        self._row = row
        edges = np.zeros((len(starts), CELLS + 1), np.int32)
        np.add.at(edges, (row, first), 1)
        np.add.at(edges, (row, self._last + 1), -1)
        self._open = np.cumsum(edges[:, :-1], axis=1) > 0
        self._counts = np.zeros((len(starts), CELLS), np.int64)
        self._offset = np.arange(len(starts))[:, None] * CELLS
        self._lock = Lock()

    def add(self, scores: NDArray[np.float32], start: int, spare: NDArray[np.float32]) -> NDArray[np.int64]:
        """Count the scores (K, N) of the rows from ``start`` on. Returns the flat positions of those in open cells, which do not count.
        ``spare`` (K, N) is overwritten."""
        rows = slice(start, start + len(scores))
        cells = self._cells(scores, rows, spare)
        cells += self._offset[: len(scores)]
        flat = cells.reshape(-1)
        counts = np.bincount(flat, minlength=len(scores) * CELLS).reshape(-1, CELLS)
        with self._lock:
            self._counts[rows] += counts
        return np.flatnonzero(self._open[rows].reshape(-1)[flat])

    def before(self) -> NDArray[np.int64]:
        """(M,) entries counted in higher cells than each match's interval, open cells left out."""
        closed = np.where(self._open, 0, self._counts)
        higher = np.cumsum(closed[:, ::-1], axis=1)[:, ::-1] - closed
        return np.asarray(higher[self._row, self._last])

    def _cells(
        self, scores: NDArray[np.float32], rows: NDArray[np.int64] | slice, spare: NDArray[np.float32] | None = None
    ) -> NDArray[np.int64]:
        """(K, N) the cell of each score: 0 for all below the lowest bound, the last one for all far above the highest."""
        place = np.subtract(scores, self._low[rows], out=spare)
        place *= self._scale[rows]
        place += np.float32(1)
        return np.clip(place, 0, CELLS - 1, out=place).astype(np.int64)
