"""The counting of ``counting.py`` on a torch device: product, comparison, sort and search stay there; few numbers come back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snreid.evaluation.exact.counting import SCORE_BITS, Counter, Standing, Tile, packed
from snreid.evaluation.exact.similarity import SLICE, Similarity


class TorchCounter(Counter):
    """On ``device``; the ranks are those of ``NumpyCounter``, since keys decide all pairs that rounding could swap."""

    def __init__(
        self,
        compare: Similarity,
        queries: NDArray[np.float32],
        low: NDArray[np.float32],
        bits: int,
        device: str,
    ) -> None:
        """As ``NumpyCounter``."""
        self._compare, self._bits, self._device = compare, bits, device
        self._queries, self._low = self._there(queries), self._there(low)[:, None]

    def near(self, tile: Tile) -> Tensor:
        """Keys of the near entries, on the device."""
        with _float32():
            wide = self._there(tile.embeddings).float()
            scores = self._queries[:, :SLICE] @ wide[:, :SLICE].T
            for start in range(SLICE, wide.shape[1], SLICE):
                part = slice(start, start + SLICE)
                scores.addmm_(self._queries[:, part], wide[:, part].T)
        self._compare.finish(scores, self._there(tile.columns))
        scores[:, self._there(tile.junk)] = -torch.inf
        scores[self._there(tile.row), self._there(tile.column)] = -torch.inf
        row, column = torch.nonzero(scores >= self._low, as_tuple=True)
        bits = scores[row, column].view(torch.int32).to(torch.int64)
        keys: Tensor = packed(row, bits, column + tile.start, self._bits)
        return keys

    def standing(self, keys: Sequence[Tensor], low: NDArray[np.int64], high: NDArray[np.int64], rows: int) -> Standing:
        """By one sort and binary search."""
        ordered = torch.cat(list(keys)).sort().values
        borders = np.arange(1, rows + 1) << (SCORE_BITS + self._bits)
        first = torch.searchsorted(ordered, self._there(low))
        last = torch.searchsorted(ordered, self._there(high), right=True)
        end = torch.searchsorted(ordered, self._there(borders))
        some = last > first
        edges = torch.zeros(len(ordered) + 1, dtype=torch.int32, device=self._device)
        ones = torch.ones(int(some.sum()), dtype=torch.int32, device=self._device)
        edges.index_add_(0, first[some], ones).index_add_(0, last[some], -ones)
        inside = ordered[edges.cumsum(0)[:-1] > 0]
        return Standing(*(edge.cpu().numpy() for edge in (first, last, end, inside)))

    def _there(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


@contextmanager
def _float32() -> Iterator[None]:
    """Full float32 precision in products, whatever training chose: the rounding bound requires it."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(chosen)
