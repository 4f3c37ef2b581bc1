"""Keys depend on two vectors and nothing else; the product stays within its bound."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from ranking_by_definition import similarity_by_definition

from snreid.errors import ExperimentError
from snreid.evaluation.exact.similarity import (
    RUN,
    SLICE,
    Cosine,
    Euclidean,
    Similarity,
    quick_squared_lengths,
    similarity,
    squared_lengths,
    widened,
    widened_into,
)

BOTH = pytest.mark.parametrize("compare", [Cosine(), Euclidean()], ids=["cosine", "euclidean"])


def all_keys(compare: Similarity, query: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return compare.keys(query, rows, np.arange(len(rows)))


@BOTH
@pytest.mark.parametrize("dimension", [1, 2, 7, 64, 129, 700, 2048])
def test_keys_do_not_depend_on_company_place_or_layout(
    compare: Similarity, dimension: int, rng: np.random.Generator
) -> None:
    rows = rng.normal(size=(33, dimension)).astype(np.float32)
    query = rng.normal(size=dimension).astype(np.float32)
    keys = all_keys(compare, query, rows)
    alone = np.concatenate([all_keys(compare, query, rows[j : j + 1]) for j in range(33)])
    columns_first = all_keys(compare, query, np.asfortranarray(rows))
    wide = np.zeros((66, dimension + 3), np.float32)
    wide[::2, 1:-2] = rows
    strided = all_keys(compare, query, wide[::2, 1:-2])
    backwards = all_keys(compare, query, rows[::-1])[::-1]
    for other in (alone, columns_first, strided, backwards):
        assert other.tobytes() == keys.tobytes()
    lengths = squared_lengths(rows)
    assert lengths.tobytes() == squared_lengths(np.asfortranarray(rows)).tobytes()
    assert lengths.tobytes() == np.concatenate([squared_lengths(rows[j : j + 1]) for j in range(33)]).tobytes()


@BOTH
def test_keys_are_the_definition(compare: Similarity, rng: np.random.Generator) -> None:
    metric = "cosine" if isinstance(compare, Cosine) else "euclidean"
    rows = rng.normal(size=(20, 9)).astype(np.float32)
    rows[3] = 0
    query = rng.normal(size=9).astype(np.float32)
    exact = [float(similarity_by_definition(query, row, metric)) for row in rows]
    np.testing.assert_allclose(all_keys(compare, query, rows), exact, rtol=1e-13, atol=0)


def test_short_integer_vectors_of_one_direction_tie_exactly() -> None:
    query = np.array([3, 1, -2], np.float32)
    rows = np.array([[1, 2, 5], [3, 6, 15], [7, 14, 35], [11, 22, 55]], np.float32)
    assert len(set(all_keys(Cosine(), query, rows).tolist())) == 1


def kinds_of_embeddings(rng: np.random.Generator, dimension: int) -> dict[str, NDArray[np.float32]]:
    """Where rounding is small, where it piles up in one direction, and where lengths are extreme."""
    normal = rng.normal(size=(60, dimension))
    cases = {
        "normal": normal,
        "positive": np.abs(normal),
        "collapsed": 1 + 1e-6 * normal,
        "tiny": 1e-14 * normal / np.sqrt(dimension) + 1e-14,
        "huge": 1e12 * normal,
        "one large": normal + 1e4 * (np.arange(dimension) == 0),
    }
    return {name: values.astype(np.float32) for name, values in cases.items()}


@BOTH
@pytest.mark.parametrize("dimension", [1, 3, 64, SLICE, SLICE + 1, 2048])
def test_the_product_stays_within_its_bound(compare: Similarity, dimension: int, rng: np.random.Generator) -> None:
    for name, rows in kinds_of_embeddings(rng, dimension).items():
        queries, gallery = rows[:10], rows[10:]
        squared, lengths = squared_lengths(queries), squared_lengths(gallery)
        product = compare.product(compare.prepared(queries, squared), gallery, lengths)
        errors = compare.error(squared, lengths, dimension)
        quick, quick_lengths = quick_squared_lengths(queries), quick_squared_lengths(gallery)
        prepared = compare.prepared(queries, quick)
        whole = prepared @ gallery.T  # in one go, with quick lengths
        compare.finish(whole, compare.columns(quick_lengths).astype(np.float32))
        wide, narrow = (compare.error(quick, quick_lengths, dimension, width=width) for width in (dimension, RUN))
        everybody = np.arange(len(gallery))
        columns = compare.columns(quick_lengths)
        for i in range(len(queries)):
            exact = compare.scores(all_keys(compare, queries[i], gallery), float(squared[i]))
            assert np.abs(product[i] - exact).max() <= errors[i], name
            assert np.abs(whole[i] - exact).max() <= wide[i], name
            near = compare.nearly(prepared, np.full(len(gallery), i), gallery, everybody, columns)
            assert np.abs(near - exact).max() <= narrow[i], name


@pytest.mark.parametrize("dimension", [1, 127, RUN, 300, 2048])
def test_quick_lengths_are_nearly_lengths(dimension: int, rng: np.random.Generator) -> None:
    cases = kinds_of_embeddings(rng, dimension)
    cases["float16"] = rng.normal(size=(60, dimension)).astype(np.float16)  # type: ignore[assignment]
    cases["nothing"] = np.zeros((5, dimension), np.float32)
    cases["long"] = np.full((5, dimension), 3e38, np.float32)
    cases["short"] = np.full((5, dimension), 1e-30, np.float32)
    cases["columns first"] = np.asfortranarray(cases["normal"])
    for name, rows in cases.items():
        bound = (RUN + 2) * 2.0**-24
        np.testing.assert_allclose(quick_squared_lengths(rows), squared_lengths(rows), rtol=bound, atol=0, err_msg=name)
    strange = np.ones((3, dimension), np.float32)
    strange[0, -1], strange[1, -1] = np.nan, np.inf
    assert np.isfinite(quick_squared_lengths(strange)).tolist() == [False, False, True]


def test_float16_is_widened_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    assert np.array_equal(widened(every), every.astype(np.float32), equal_nan=True)
    assert np.array_equal(widened(every.T), every.T.astype(np.float32), equal_nan=True)
    rows = np.ones((2, 3), np.float32)
    assert widened(rows) is rows


@BOTH
def test_keys_of_pairs_are_keys(compare: Similarity, rng: np.random.Generator) -> None:
    queries, gallery = (rng.normal(size=(count, 300)).astype(np.float32) for count in (6, 9))
    rows, positions = rng.integers(0, 6, size=2000), rng.integers(0, 9, size=2000)
    keys = compare.pair_keys(queries, rows, gallery, positions)
    table = np.stack([all_keys(compare, query, gallery) for query in queries])
    assert keys.tobytes() == table[rows, positions].tobytes()


@BOTH
def test_scores_grow_with_keys_and_are_the_numbers_shown(compare: Similarity, rng: np.random.Generator) -> None:
    rows = rng.normal(size=(200, 5)).astype(np.float32)
    query, gallery = rows[0], rows[1:]
    keys = np.sort(all_keys(compare, query, gallery))
    square = float(squared_lengths(rows[:1])[0])
    assert (np.diff(compare.scores(keys, square)) > 0).all()
    shown = compare.shown(all_keys(compare, query, gallery), square)
    if isinstance(compare, Cosine):
        wanted = gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)
    else:
        wanted = -np.linalg.norm(gallery - query, axis=1)
    np.testing.assert_allclose(shown, wanted, atol=1e-5)


def test_a_zero_vector_has_cosine_zero_with_everything() -> None:
    rows = np.array([[0, 0], [1, 0]], np.float32)
    assert all_keys(Cosine(), rows[1], rows).tolist() == [0, 1]
    assert all_keys(Cosine(), rows[0], rows).tolist() == [0, 0]


def test_many_rows_are_compared_in_parts(rng: np.random.Generator) -> None:
    rows = rng.integers(-3, 4, size=(1500, 1024)).astype(np.float32)
    exact = rows.astype(np.int64) @ rows[0].astype(np.int64)
    squares = (rows.astype(np.int64) ** 2).sum(axis=1)
    assert squared_lengths(rows).tolist() == squares.tolist()
    wanted = [float(Fraction(int(x) * abs(int(x)), int(s))) for x, s in zip(exact, squares, strict=True)]
    assert all_keys(Cosine(), rows[0], rows).tolist() == wanted


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ExperimentError, match="'manhattan'"):
        similarity("manhattan")


def test_rows_that_must_not_be_written_are_widened_in_silence(
    rng: np.random.Generator, recwarn: pytest.WarningsRecorder
) -> None:
    rows = rng.normal(size=(9, 40)).astype(np.float16)
    wanted = rows.astype(np.float32)
    rows.flags.writeable = False
    wide = np.empty((12, 40), np.float32)
    assert np.array_equal(widened_into(rows, wide), wanted) and np.array_equal(wide[:9], wanted)
    assert np.array_equal(widened(rows), wanted) and not len(recwarn)
