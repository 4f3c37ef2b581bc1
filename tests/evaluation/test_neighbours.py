"""Neighbours found tile by tile are those of the whole table of exact comparisons, ties and copies included."""

import numpy as np
import pytest
from k_reciprocal import cosine_order
from numpy.typing import NDArray

from snreid.evaluation import neighbours
from snreid.evaluation.exact.similarity import Similarity, similarity
from snreid.evaluation.neighbours import Embeddings, Kept, nearest

COUNTS = (3, 8)


def by_definition(rows: NDArray[np.float32], copies: NDArray[np.int64], metric: str, k: int) -> list[set[int]]:
    """N(i, k) of integer vectors."""
    numbers = [[int(x) for x in row] for row in rows]
    found = []
    for i, one in enumerate(numbers):
        order = [sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) for other in numbers]
        if metric == "cosine":
            order = cosine_order(numbers, i)
        nearer = [sum(c for c, o in zip(copies, order, strict=True) if o < mine) for mine in order]
        # The image itself comes before those that are exactly as near.
        found.append({j for j in range(len(rows)) if j == i or max(nearer[j], int(copies[i])) <= k})
    return found


def members(rows: NDArray[np.float32], copies: NDArray[np.int64], metric: str, k: int) -> list[set[int]]:
    """The same of the module."""
    near = nearest(Embeddings.of(rows, similarity(metric)), copies, COUNTS)
    kept = [slice(a, b) for a, b in zip(near.indptr[:-1], near.indptr[1:], strict=True)]
    assert all((np.diff(near.indices[part]) > 0).all() for part in kept)
    return [set(near.indices[part][near.nearer[part] <= k].tolist()) for part in kept]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("tile", [1024, 9])
@pytest.mark.parametrize("reach", [1, 20])
def test_every_neighbour_and_no_other(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str, tile: int, reach: int
) -> None:
    monkeypatch.setattr(neighbours, "_TILE", tile)
    rows = np.unique(rng.integers(-reach, reach + 1, size=(60, 3)), axis=0).astype(np.float32)
    copies = rng.integers(1, 4, size=len(rows))
    for k in COUNTS:
        assert members(rows, copies, metric, k) == by_definition(rows, copies, metric, k)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_what_float32_cannot_tell_apart_is_told_apart(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    """All differ from one vector by a few units of its last bits: of a product in float32 only noise is left."""
    monkeypatch.setattr(neighbours, "_TILE", 16)
    base = rng.integers(1 << 20, 1 << 21, size=40)
    rows = np.unique(base + rng.integers(-3, 4, size=(50, 40)), axis=0).astype(np.float32)
    copies = np.ones(len(rows), np.int64)
    for k in COUNTS:
        assert members(rows, copies, metric, k) == by_definition(rows, copies, metric, k)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_farthest_images_and_distances(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
    monkeypatch.setattr(neighbours, "_TILE", 16)
    rows = rng.normal(size=(75, 6)).astype(np.float32)
    images = Embeddings.of(rows, similarity(metric))
    wide = rows.astype(np.float64)
    if metric == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    table = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    left, right = np.indices(table.shape).reshape(2, -1)
    apart = images.distances(left, right).reshape(table.shape)
    np.testing.assert_allclose(apart, table, atol=1e-12)
    assert (apart == apart.T).all() and (np.diag(apart) == 0).all()
    farthest = nearest(images, np.ones(75, np.int64), COUNTS, farthest=True).farthest
    assert farthest is not None and (farthest == apart.max(axis=1)).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_no_score_is_farther_off_than_its_bound(rng: np.random.Generator, metric: str) -> None:
    rows = (rng.normal(size=(50, 300)) * 10.0 ** rng.integers(-2, 3, size=(50, 1))).astype(np.float32)
    compare: Similarity = similarity(metric)
    images = Embeddings.of(rows, compare)
    everything = slice(0, 50)
    scores = images.scores(compare.prepared(rows, images.squared), everything, everything)
    left, right = np.indices(scores.shape).reshape(2, -1)
    exact = (1.0 if metric == "cosine" else 0.0) - images.distances(left, right).reshape(scores.shape) / 2
    assert (np.abs(scores - exact).max(axis=1) <= images.errors()).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("count", "first"), [(20, 20), (33, 20), (50, 0), (7, 49), (16, 32)])
def test_scores_are_kept_on_the_way(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str, count: int, first: int
) -> None:
    """The first ``count`` of 50 images against those from ``first`` on, where the two overlap too; the neighbours stay what they are."""
    monkeypatch.setattr(neighbours, "_TILE", 16)
    images = Embeddings.of(rng.normal(size=(50, 6)).astype(np.float32), similarity(metric))
    kept = Kept(np.full((count, 50 - first), np.nan, np.float32), first)
    copies = np.ones(50, np.int64)
    found, plain = nearest(images, copies, COUNTS, kept=kept), nearest(images, copies, COUNTS)
    assert found.indices.tolist() == plain.indices.tolist() and found.nearer.tolist() == plain.nearer.tolist()
    left, right = np.indices((50, 50)).reshape(2, -1)
    apart = images.distances(left, right).reshape(50, 50)[:count, first:]
    exact = (1 - apart / 2) if metric == "cosine" else -apart / 2
    assert (np.abs(kept.scores - exact) <= images.errors()[:count, None]).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_distances_in_several_threads_are_the_same(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    images = Embeddings.of(rng.normal(size=(40, 6)).astype(np.float32), similarity(metric))
    left, right = rng.integers(0, 40, size=(2, 3000))
    whole = images.distances(left, right)
    monkeypatch.setattr(neighbours, "_PAIRS", 40)
    monkeypatch.setattr(neighbours, "_STEPS", 3)
    monkeypatch.setattr(neighbours, "threads", lambda: 3)
    assert (images.distances(left, right) == whole).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dimension", [6, 2049, 12288])
def test_the_distance_of_a_pair_is_the_same_in_any_company(
    rng: np.random.Generator, metric: str, dimension: int
) -> None:
    images = Embeddings.of(rng.normal(size=(6, dimension)).astype(np.float32), similarity(metric))
    left, right = np.triu_indices(6, 1)
    alone = [images.distances(left[[k]], right[[k]])[0] for k in range(len(left))]
    assert images.distances(left, right).tolist() == alone
