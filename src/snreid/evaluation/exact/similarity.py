"""Similarity of two embeddings: cosine or Euclidean, fast and rounded over blocks, or slow and reproducible for one pair.

A matrix product in float32 is fast, but its last bits depend on the library, the number of threads and the pair's position
in the product. Two equal gallery images could then get different scores, and the order of the files would decide a rank.
So every similarity has two forms:

* ``product`` gives float32 scores of a block of queries against a block of the gallery, from one matrix product;
* ``keys`` gives, for one query and some gallery rows, float64 numbers that depend only on the two vectors:
  elementwise products of exactly converted float32 values, added in an order that depends on the dimension only.
  **The keys define the ranking.** They are equal for equal vectors, on any machine.

``error`` bounds the difference between ``product`` and the score that belongs to a key, so a ranking needs keys only for pairs
closer to a match than that. The bound is the classical one for inner products in any order of summation
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1): |error| <= gamma_n |x| |y|,
gamma_n = n u / (1 - n u), u = 2^-24. If the product is a sum over slices of dimensions, n is the width of a slice + the
number of slices instead of the whole dimension: fewer keys, a slower product.

Accumulating in float64 is therefore unnecessary: float32 decides whatever it can decide with certainty, keys decide the rest.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError

SLICE = 512
"""Dimensions per partial product of ``product``: shorter slices bound rounding more tightly, longer ones are faster."""
RUN = 32
"""Dimensions that ``nearly`` and ``quick_squared_lengths`` add in float32; the runs are added in float64. Longer ones are faster and leave
more pairs to keys."""
UNIT_ROUNDOFF = 2.0**-24
"""Largest relative error of one float32 operation."""
SMALLEST = float(np.finfo(np.float32).tiny)
"""Largest loss of one product if the processor flushes tiny numbers to zero."""
_AT_ONCE = 1 << 17
"""Numbers of gathered rows at once: 1 MB in float64, which stays in the cache."""
_ROWS = 2048
"""Rows that are widened at once: bounds memory."""
_TORCH_ALONE = (1 << 15) - 1
"""Numbers that torch copies on the calling thread alone."""
_SAFE = (1e-25, 1e29)
"""Range of squared lengths that float32 computes correctly: squares of smaller elements may vanish, of larger ones overflow."""
Doubles = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]
"""float16, float32 or float64: types that a computation first widens, exactly."""
SHORTEST, LONGEST = 1e-15, 1e15
"""Allowed Euclidean length of a non-zero embedding: within it, float32 neither overflows nor loses more than
``error`` allows."""


def stretches(count: int, step: int) -> Iterator[slice]:
    """Slices of ``count`` items, ``step`` (at least 1) at a time."""
    step = max(1, step)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def squared_lengths(rows: Numbers) -> Doubles:
    """Squared Euclidean length of each row of (N, D): (N,) float64, independent of the row's position.

    Not finite where the row is not: squares of finite float32 values cannot overflow float64.
    """
    squared = np.empty(len(rows))
    for part in _parts(*rows.shape):
        # order="C": the order of summation must depend on the dimension alone, not on the memory layout.
        wide = rows[part].astype(np.float64, order="C")
        np.multiply(wide, wide, out=wide)
        squared[part] = wide.sum(axis=1)
    return squared


def quick_squared_lengths(rows: NDArray[np.float32] | NDArray[np.float16]) -> Doubles:
    """Squared Euclidean length of each row of (N, D) up to a relative error of ``RUN`` float32 roundings: (N,) float64, six times
    as fast as ``squared_lengths``.

    Exact (and slow) where float32 could overflow or lose much, so that a row that is not finite or too long is detected here too.
    """
    squared = np.empty(len(rows))
    wide = np.empty((min(_ROWS, len(rows)), rows.shape[1]), np.float32)
    for start in range(0, len(rows), _ROWS):
        part = widened_into(rows[start : start + _ROWS], wide)
        with np.errstate(over="ignore", invalid="ignore"):
            squared[start : start + _ROWS] = _in_runs(part, part)
    strange = np.flatnonzero(~((squared > _SAFE[0]) & (squared < _SAFE[1])))
    squared[strange] = squared_lengths(rows[strange])
    return squared


def widened(rows: NDArray[np.float32] | NDArray[np.float16]) -> NDArray[np.float32]:
    """The same numbers in float32; copies only float16."""
    if rows.dtype == np.float32:
        return np.asarray(rows, np.float32)
    return widened_into(rows, np.empty(rows.shape, np.float32))


def widened_into(rows: NDArray[np.float32] | NDArray[np.float16], wide: NDArray[np.float32]) -> NDArray[np.float32]:
    """As ``widened``, into the first rows of ``wide`` (at least N, D) if conversion is needed: allocating memory costs seven
    times as much as converting."""
    if rows.dtype == np.float32:
        return np.asarray(rows, np.float32)
    import torch  # Several times as fast as numpy; not at the top, because evaluation needs no torch otherwise.

    # In small parts, so that torch stays on this thread: others run beside it.
    step = max(1, _TORCH_ALONE // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        some = np.ascontiguousarray(rows[start : start + step])
        # torch would warn about read-only memory (a mapped file).
        here = torch.from_numpy(some if some.flags.writeable else some.copy())
        torch.from_numpy(wide[start : start + len(some)]).copy_(here)
    return wide[: len(rows)]


class Similarity(ABC):
    """A measure of similarity; larger is more similar. Stateless."""

    @abstractmethod
    def key_rows(self, query: Doubles, rows: Doubles, squared: Doubles | None) -> Doubles:
        """(N,) float64 keys of C-contiguous rows (N, D), which are overwritten, for one query (D,); ``squared`` (N,) are the
        rows' squared lengths from ``squared_lengths``, if known already."""

    def keys(
        self, query: Numbers, gallery: Numbers, positions: NDArray[np.int64], squared: Doubles | None = None
    ) -> Doubles:
        """(K,) float64 keys that rank the gallery entries at ``positions`` (K,) for one query (D,). Equal keys are ties.

        ``squared`` (K,): the entries' squared lengths, if known already.
        """
        wide_query = query.astype(np.float64)
        keys = np.empty(len(positions))
        for part in _parts(len(positions), gallery.shape[1]):
            rows = gallery[positions[part]].astype(np.float64, order="C")
            keys[part] = self.key_rows(wide_query, rows, None if squared is None else squared[part])
        return keys

    def pair_keys(
        self, queries: Numbers, rows: NDArray[np.int64], gallery: Numbers, positions: NDArray[np.int64]
    ) -> Doubles:
        """(K,) float64 keys of pairs: of the query at ``rows`` (K,) in ``queries`` and the gallery entry at ``positions`` (K,)."""
        keys = np.empty(len(positions))
        memory = _Gathered(len(positions), gallery.shape[1])
        for part in _parts(len(positions), gallery.shape[1]):
            left, right = memory.rows(queries, rows[part], 0), memory.rows(gallery, positions[part], 1)
            keys[part] = self.key_rows(memory.wide(left, 0), memory.wide(right, 1), None)
        return keys

    def nearly(
        self,
        queries: NDArray[np.float32],
        rows: NDArray[np.int64],
        gallery: NDArray[np.float32] | NDArray[np.float16],
        positions: NDArray[np.int64],
        columns: Doubles,
    ) -> Doubles:
        """(K,) scores of pairs as for ``pair_keys``, of prepared queries, within ``error(..., width=RUN)`` of the scores of their
        keys: several times as fast as keys. ``columns`` (K,): ``columns`` of the entries' squared lengths, in float64."""
        scores = np.empty(len(positions))
        memory = _Gathered(len(positions), gallery.shape[1])
        for part in _parts(len(positions), gallery.shape[1]):
            left, right = memory.rows(queries, rows[part], 0), memory.rows(gallery, positions[part], 1)
            scores[part] = _in_runs(left, right)
        self.finish(scores, columns)
        return scores

    @abstractmethod
    def scores(self, keys: Doubles, squared_length: float) -> Doubles:
        """The score of ``product`` that belongs to each key, for a query of this squared length. Increasing."""

    @abstractmethod
    def shown(self, keys: Doubles, squared_length: float) -> NDArray[np.float32]:
        """The number shown to the user for each key: cosine, or minus the Euclidean distance."""

    @abstractmethod
    def prepared(self, queries: Numbers, squared: Doubles) -> Any:
        """The (B, D) left factor of the product, from queries and their squared lengths (B,), in the queries' type."""

    @abstractmethod
    def columns(self, squared: Doubles) -> Doubles:
        """(N,) gallery values for ``finish``, from its squared lengths (N,)."""

    @abstractmethod
    def finish(self, products: Any, columns: Any) -> None:
        """Turn inner products (B, N) into scores in place, with ``columns`` (N,); arrays or tensors of one type."""

    @abstractmethod
    def error(
        self, squared_queries: Doubles, squared_gallery: Doubles, dimension: int, *, width: int = SLICE
    ) -> Doubles:
        """(B,) bound of |score - key's score| for each query against this block of the gallery, where the inner products are sums
        of partial ones of ``width`` dimensions each, in any order of summation. ``product`` has slices of ``SLICE``, ``nearly`` runs of
        ``RUN`` that are added in float64."""

    def product(
        self, queries: NDArray[np.float32], gallery: NDArray[np.float32], squared_gallery: Doubles
    ) -> NDArray[np.float32]:
        """(B, N) float32 scores of prepared queries (B, D) against gallery rows (N, D)."""
        scores, partial = np.empty((2, len(queries), len(gallery)), np.float32)
        multiply(queries, gallery, scores, partial)
        self.finish(scores, self.columns(squared_gallery).astype(np.float32))
        return scores


def multiply(queries: Any, gallery: Any, scores: Any, partial: Any) -> None:
    """Write the inner products (B, N) of rows (B, D) and (N, D), slice by slice of ``SLICE`` dimensions, into ``scores``; ``partial``
    (B, N) is overwritten. Arrays."""
    np.matmul(queries[:, :SLICE], gallery[:, :SLICE].T, out=scores)
    for start in range(SLICE, queries.shape[1], SLICE):
        part = slice(start, start + SLICE)
        scores += np.matmul(queries[:, part], gallery[:, part].T, out=partial)


class _Gathered:
    """Memory for rows that are gathered part by part: fresh pages cost more than the copies."""

    def __init__(self, count: int, dimension: int) -> None:
        rows = min(count, max(1, _AT_ONCE // dimension))
        self._narrow = np.empty((2, rows, dimension), np.float32)
        self._wide = np.empty((2, rows, dimension))  # untouched, hence no memory, unless ``wide`` is called

    def rows(self, table: Numbers, positions: NDArray[np.int64], side: int) -> NDArray[np.float32]:
        """Some rows of a table in float32, valid until the next call for this side (0 or 1)."""
        found = self._narrow[side, : len(positions)]
        if table.dtype == np.float32:
            return np.take(table, positions, axis=0, out=found, mode="clip")
        return widened_into(np.asarray(table[positions], np.float16), found)

    def wide(self, rows: NDArray[np.float32], side: int) -> Doubles:
        """These rows in float64, valid until the next call for this side."""
        found = self._wide[side, : len(rows)]
        np.copyto(found, rows)
        return found


class Cosine(Similarity):
    """Cosine of the angle (method.md 3). A zero vector has cosine 0 with everything.

    The key is ``x |x| / |g|^2`` with x = q . g: strictly increasing in the cosine and without square roots, so that
    equal angles between short integer vectors are recognized as equal.
    """

    def key_rows(self, query: Doubles, rows: Doubles, squared: Doubles | None) -> Doubles:
        """x |x| / |g|^2 for each row g."""
        if squared is None:
            squared = (rows * rows).sum(axis=1)
        products = np.multiply(rows, query, out=rows).sum(axis=1)
        return np.asarray(products * np.abs(products) / np.where(squared > 0, squared, 1.0))

    def scores(self, keys: Doubles, squared_length: float) -> Doubles:
        """The cosine, -1 to 1."""
        return np.asarray(np.sign(keys) * np.sqrt(np.abs(keys) / (squared_length or 1.0)))

    def shown(self, keys: Doubles, squared_length: float) -> NDArray[np.float32]:
        """The cosine, -1 to 1."""
        return self.scores(keys, squared_length).astype(np.float32)

    def prepared(self, queries: Numbers, squared: Doubles) -> Any:
        """The queries divided by their lengths."""
        return np.asarray(queries * self.columns(squared).astype(queries.dtype)[:, None])

    def columns(self, squared: Doubles) -> Doubles:
        """1 / length, 0 for a zero vector."""
        return np.asarray(np.where(squared > 0, 1 / np.sqrt(np.where(squared > 0, squared, 1.0)), 0.0))

    def finish(self, products: Any, columns: Any) -> None:
        """Divide each column by its gallery entry's length."""
        products *= columns

    def error(
        self, squared_queries: Doubles, squared_gallery: Doubles, dimension: int, *, width: int = SLICE
    ) -> Doubles:
        """The bound for unit vectors, the same for all."""
        return np.full(len(squared_queries), _gamma(dimension, width) + dimension * SMALLEST)


class Euclidean(Similarity):
    """Minus the Euclidean distance (method.md 3, embeddings not normalized).

    The key is minus the squared distance, from differences; the product's score is q . g - |g|^2 / 2, which orders a
    query's gallery in the same way.
    """

    def key_rows(self, query: Doubles, rows: Doubles, squared: Doubles | None) -> Doubles:
        """-|q - g|^2 for each row g."""
        rows -= query
        return np.asarray(-np.multiply(rows, rows, out=rows).sum(axis=1))

    def scores(self, keys: Doubles, squared_length: float) -> Doubles:
        """q . g - |g|^2 / 2 = (|q|^2 - |q - g|^2) / 2."""
        return np.asarray((squared_length + keys) / 2)

    def shown(self, keys: Doubles, squared_length: float) -> NDArray[np.float32]:
        """-|q - g|, in the unit of the embeddings."""
        return (0.0 - np.sqrt(-keys)).astype(np.float32)

    def prepared(self, queries: Numbers, squared: Doubles) -> Any:
        """The queries unchanged."""
        return queries

    def columns(self, squared: Doubles) -> Doubles:
        """|g|^2 / 2."""
        return np.asarray(squared / 2)

    def finish(self, products: Any, columns: Any) -> None:
        """Subtract |g|^2 / 2 from each column."""
        products -= columns

    def error(
        self, squared_queries: Doubles, squared_gallery: Doubles, dimension: int, *, width: int = SLICE
    ) -> Doubles:
        """The bound grows with the lengths: |q| |g| + |g|^2 / 2 times gamma."""
        longest = np.sqrt(squared_gallery.max(initial=0.0))
        lengths = np.sqrt(squared_queries)
        # Second part: the float64 rounding of keys and of scores(), which matters only for a very long query.
        rounding = _gamma(dimension, width) * (lengths * longest + longest**2 / 2) + 1e-13 * (lengths + longest) ** 2
        return np.asarray(rounding + dimension * SMALLEST)


def similarity(metric: str) -> Similarity:
    """The similarity called ``metric`` (``"cosine"`` or ``"euclidean"``); ``ExperimentError`` for any other name."""
    if metric == "cosine":
        return Cosine()
    if metric == "euclidean":
        return Euclidean()
    raise ExperimentError(
        "Embeddings are compared by 'cosine' or by 'euclidean'", found=repr(metric), fix="choose one of the two"
    )


def _parts(count: int, dimension: int) -> Iterator[slice]:
    """Slices of ``count`` rows whose float64 copy takes 1 MB: it bounds memory and stays in the cache."""
    return stretches(count, _AT_ONCE // dimension)


def _in_runs(a: NDArray[np.float32], b: NDArray[np.float32]) -> Doubles:
    """Inner products of the rows of (N, D) and (N, D): runs of ``RUN`` dimensions in float32, added in float64."""
    count, dimension = a.shape
    whole = dimension - dimension % RUN
    runs = (rows[:, :whole].reshape(count, -1, RUN) for rows in (a, b))
    tail = np.einsum("nd,nd->n", a[:, whole:], b[:, whole:]).astype(np.float64)
    return np.asarray(np.einsum("nrd,nrd->nr", *runs).sum(axis=1, dtype=np.float64) + tail)


def _gamma(dimension: int, width: int) -> float:
    """gamma_n of a product in slices, with a margin for the roundings before and after it and for a quick length."""
    slices = 0 if width == RUN else -(-dimension // width)  # runs are added in float64
    operations = min(dimension, width) + slices + min(dimension, RUN) + 16
    return operations * UNIT_ROUNDOFF / (1 - operations * UNIT_ROUNDOFF)
