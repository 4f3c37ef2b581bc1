"""The sparse Jaccard distance is the dense definition, for any order of the images, with copies and ties."""

import numpy as np
import pytest
from k_reciprocal import encodings_by_definition, jaccard_by_definition
from numpy.typing import NDArray

from snreid.errors import DataError, ExperimentError
from snreid.evaluation import jaccard, neighbours
from snreid.evaluation.jaccard import jaccard_distances, k_reciprocal

Embeddings = NDArray[np.float32]


def clustered(rng: np.random.Generator, count: int, dimension: int) -> Embeddings:
    """Images of about count / 5 persons."""
    centres = rng.normal(size=(max(2, count // 5), dimension))
    return (centres[rng.integers(len(centres), size=count)] + 0.5 * rng.normal(size=(count, dimension))).astype(
        np.float32
    )


def dense(embeddings: Embeddings, k1: int, k2: int, limit: float = 1.0) -> NDArray[np.float64]:
    """All distances between all images; 1 where nothing is stored."""
    encodings = k_reciprocal(embeddings, k1=k1, k2=k2)
    stored = jaccard_distances(encodings.rows, encodings.rows, limit=limit)
    full = np.ones(stored.shape)
    full[np.repeat(np.arange(len(full)), np.diff(stored.indptr)), stored.indices] = stored.data
    return full[encodings.row][:, encodings.row]


def slow(embeddings: Embeddings, k1: int, k2: int) -> NDArray[np.float64]:
    encodings = encodings_by_definition(embeddings, k1, k2)
    return jaccard_by_definition(encodings, encodings)


@pytest.mark.parametrize(("count", "dimension"), [(1, 3), (2, 1), (13, 5), (29, 7), (45, 33)])
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (5, 1), (8, 3), (30, 6), (7, 20)])
def test_it_is_the_dense_definition(rng: np.random.Generator, count: int, dimension: int, k1: int, k2: int) -> None:
    embeddings = clustered(rng, count, dimension)
    np.testing.assert_allclose(dense(embeddings, k1, k2), slow(embeddings, k1, k2), atol=1e-6)


def ties(rng: np.random.Generator) -> dict[str, Embeddings]:
    """Images that are exactly as near as others."""
    few = rng.integers(-1, 2, size=(40, 3)).astype(np.float32)
    copied = clustered(rng, 12, 5)[rng.integers(12, size=45)]
    return {
        "small integers, parallel and zero vectors": few,
        "many copies": copied,
        "all the same": np.ones((9, 4), np.float32),
        "all zero": np.zeros((5, 3), np.float32),
        "minus zero": np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [1.0, -0.0]], np.float32),
        "right angles": np.eye(12, dtype=np.float32),
    }


@pytest.mark.parametrize(
    "case",
    [
        "small integers, parallel and zero vectors",
        "many copies",
        "all the same",
        "all zero",
        "minus zero",
        "right angles",
    ],
)
@pytest.mark.parametrize(("k1", "k2"), [(2, 1), (4, 3), (9, 6)])
def test_copies_and_ties(rng: np.random.Generator, case: str, k1: int, k2: int) -> None:
    embeddings = ties(rng)[case]
    np.testing.assert_allclose(dense(embeddings, k1, k2), slow(embeddings, k1, k2), atol=1e-6)


@pytest.mark.parametrize("case", ["small integers, parallel and zero vectors", "many copies"])
def test_the_order_of_the_images_decides_nothing(rng: np.random.Generator, case: str) -> None:
    embeddings = ties(rng)[case]
    order = rng.permutation(len(embeddings))
    assert dense(embeddings[order], 5, 3).tobytes() == dense(embeddings, 5, 3)[order][:, order].tobytes()


def test_blocks_decide_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = clustered(rng, 150, 9)
    whole = dense(embeddings, 10, 4)
    monkeypatch.setattr(neighbours, "_TILE", 7)
    monkeypatch.setattr(jaccard, "_ROWS", 7)
    assert dense(embeddings, 10, 4).tobytes() == whole.tobytes()


def test_lengths_decide_nothing(rng: np.random.Generator) -> None:
    embeddings = clustered(rng, 50, 6)
    scaled = embeddings * 2.0 ** rng.integers(-5, 6, size=(50, 1)).astype(np.float32)
    np.testing.assert_allclose(dense(scaled.astype(np.float32), 8, 3), dense(embeddings, 8, 3), atol=1e-6)


def test_what_holds_of_every_distance(rng: np.random.Generator) -> None:
    embeddings = clustered(rng, 300, 16)
    encodings = k_reciprocal(embeddings, k1=12, k2=4)
    np.testing.assert_allclose(encodings.rows.sum(axis=1), 1, rtol=1e-12)
    distances = dense(embeddings, 12, 4)
    assert (np.diag(distances) == 0).all() and (distances == distances.T).all()
    assert distances.min() == 0 and distances.max() == 1
    near = dense(embeddings, 12, 4, limit=0.5)
    assert (near == np.where(distances <= 0.5, distances, 1)).all()


def test_queries_against_a_gallery(rng: np.random.Generator) -> None:
    """Re-ranking takes some rows and some columns of one encoding."""
    embeddings = clustered(rng, 60, 8)
    encodings = k_reciprocal(embeddings, k1=10, k2=3)
    query, gallery = encodings.row[:20], encodings.row[20:]
    part = jaccard_distances(encodings.rows[query], encodings.rows[gallery])
    full = np.ones(part.shape)
    full[np.repeat(np.arange(20), np.diff(part.indptr)), part.indices] = part.data
    np.testing.assert_array_equal(full, dense(embeddings, 10, 3)[:20, 20:])


def test_a_thousand_copies_cost_one_row() -> None:
    encodings = k_reciprocal(np.repeat(np.eye(3, dtype=np.float32), 1000, axis=0), k1=30, k2=6)
    assert encodings.rows.shape == (3, 3) and encodings.copies.tolist() == [1000, 1000, 1000]
    assert encodings.rows.nnz == 3


def test_what_cannot_be_encoded() -> None:
    good = np.eye(3, dtype=np.float32)
    with pytest.raises(ExperimentError, match=r"k1 0, k2 6.*Fix"):
        k_reciprocal(good, k1=0)
    with pytest.raises(ExperimentError, match="k2 0"):
        k_reciprocal(good, k2=0)
    with pytest.raises(DataError, match="nan in row 1, column 2"):
        k_reciprocal(np.where(np.arange(9).reshape(3, 3) == 5, np.nan, good).astype(np.float32))
    with pytest.raises(DataError, match=r"\(0, 4\)"):
        k_reciprocal(np.zeros((0, 4), np.float32))
