"""Keys of near entries sort as row, score and position do, and the counts are those of looking at every score."""

import numpy as np
import pytest
from numpy.typing import NDArray

from snreid.evaluation.exact.counting import SCORE_BITS, Counter, NumpyCounter, Tile, bits_of, packed, position_bits
from snreid.evaluation.exact.similarity import Cosine, Euclidean, Similarity, squared_lengths
from snreid.evaluation.exact.torch_counting import TorchCounter

BITS = 6
BOTH = pytest.mark.parametrize("compare", [Cosine(), Euclidean()], ids=["cosine", "euclidean"])
KINDS = pytest.mark.parametrize("kind", ["numpy", "torch"])


def counter_of(kind: str, compare: Similarity, queries: NDArray[np.float32], low: NDArray[np.float32]) -> Counter:
    if kind == "numpy":
        return NumpyCounter(compare, queries, low, BITS)
    return TorchCounter(compare, queries, low, BITS, "cpu")


def test_keys_are_ordered_by_row_score_and_position(rng: np.random.Generator) -> None:
    special = np.array([-np.inf, -3e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 1e-3, 1.0, 3e38, np.inf], np.float32)
    triples = sorted((r, i, p) for r in (0, 1, 5) for i in range(len(special)) for p in (0, 1, 9, 1023))
    row, which, position = (np.array(column) for column in zip(*triples, strict=True))
    keys = packed(row, bits_of(special[which]), position, position_bits(1024))
    assert keys.dtype == np.int64 and (np.diff(keys) > 0).all() and keys[0] >= 0
    assert (keys & 1023).tolist() == position.tolist()
    assert (keys >> (SCORE_BITS + 10)).tolist() == row.tolist()


def test_the_last_row_and_position_have_room() -> None:
    for count in (1, 2, 3, 1024, 1025, 115_913):
        bits = position_bits(count)
        assert count <= 1 << bits < 2 * max(count, 2)
        last = packed(np.array([(1 << (31 - bits)) - 1]), bits_of(np.array([np.inf], np.float32)), count - 1, bits)
        assert last[0] > 0


def drawn(rng: np.random.Generator, compare: Similarity) -> tuple[NDArray[np.float32], Tile, NDArray[np.float32]]:
    """Queries, a stretch of the gallery from 20 on with junk and pairs that do not count, and the scores by definition."""
    queries = rng.integers(-3, 4, size=(7, 5)).astype(np.float32)
    gallery = rng.integers(-3, 4, size=(30, 5)).astype(np.float32)
    columns = compare.columns(squared_lengths(gallery)).astype(np.float32)
    tile = Tile(20, gallery, columns, np.array([2, 29]), np.array([0, 0, 6]), np.array([1, 5, 29]))
    scores = queries @ gallery.T
    compare.finish(scores, columns)
    scores[:, tile.junk] = -np.inf
    scores[tile.row, tile.column] = -np.inf
    return queries, tile, scores


@BOTH
@KINDS
def test_who_reaches_the_lowest_bound_is_near(compare: Similarity, kind: str, rng: np.random.Generator) -> None:
    queries, tile, scores = drawn(rng, compare)
    low = np.sort(scores, axis=1)[:, -9]
    keys = np.sort(np.asarray(counter_of(kind, compare, queries, low).near(tile)))
    wanted = sorted((r, s, 20 + c) for (r, c), s in np.ndenumerate(scores) if s >= low[r])
    assert (keys >> (SCORE_BITS + BITS)).tolist() == [r for r, _, _ in wanted]
    assert set((keys & 63).tolist()) <= set(range(20, 50))
    for r in range(7):
        mine = keys[keys >> (SCORE_BITS + BITS) == r] & 63
        assert sorted(mine.tolist()) == sorted(p for row, _, p in wanted if row == r)
        assert (np.diff(scores[r, mine - 20]) >= 0).all()


@BOTH
@KINDS
def test_standing_is_counting_all(compare: Similarity, kind: str, rng: np.random.Generator) -> None:
    queries, tile, scores = drawn(rng, compare)
    lowest = np.sort(scores, axis=1)[:, 3]
    counter = counter_of(kind, compare, queries, lowest)
    row = np.repeat(np.arange(7), 4)
    at = np.sort(np.stack([rng.choice(scores[r][scores[r] >= lowest[r]], 4) for r in range(7)]), axis=1).ravel()
    low, high = np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))
    rest = Tile(0, tile.embeddings[:0], tile.columns[:0], *(np.empty(0, np.int64),) * 3)
    found = counter.standing(
        [counter.near(tile), counter.near(rest)],
        packed(row, bits_of(low), 0, BITS),
        packed(row, bits_of(high), 63, BITS),
        7,
    )
    for m, r in enumerate(row.tolist()):
        assert found.end[r] - found.last[m] == (scores[r] > high[m]).sum()
        assert found.last[m] - found.first[m] == ((scores[r] >= low[m]) & (scores[r] <= high[m])).sum()
    inside = {
        (r, 20 + c)
        for (r, c), s in np.ndenumerate(scores)
        if any(lo <= s <= hi for lo, hi in zip(low[row == r], high[row == r], strict=True))
    }
    assert {(key >> (SCORE_BITS + BITS), key & 63) for key in found.inside.tolist()} == inside
    assert len(found.inside) == len(inside) and (np.diff(found.inside) > 0).all()


def test_nothing_in_an_interval(rng: np.random.Generator) -> None:
    queries, tile, _ = drawn(rng, Cosine())
    for kind in ("numpy", "torch"):
        counter = counter_of(kind, Cosine(), queries, np.full(7, -2, np.float32))
        bound = packed(np.arange(7), bits_of(np.full(7, 1e9, np.float32)), 0, BITS)
        found = counter.standing([counter.near(tile)], bound, bound, 7)
        assert not len(found.inside) and (found.end == found.last).all() and (found.first == found.last).all()
