"""Ranks: equal to the definition, and to themselves under everything that must not matter."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from ranking_by_definition import is_ignored, is_match, ranks_by_definition, similarity_by_definition

from snreid.errors import DataError, ExperimentError
from snreid.evaluation.exact import close_calls as undecided
from snreid.evaluation.exact import ranking
from snreid.evaluation.exact import threads as threads_module
from snreid.evaluation.exact.ranking import Block, match_ranks, rank_lists
from snreid.records import Features

METRICS = pytest.mark.parametrize("metric", ["cosine", "euclidean"])
Ranks = tuple[NDArray[np.int64], ...]


def same(a: Ranks, b: Ranks) -> bool:
    return [x.tolist() for x in a] == [y.tolist() for y in b]


def rows_of(features: Features, order: NDArray[np.int64]) -> Features:
    names = tuple(features.names[i] for i in order) if features.names else ()
    return Features(features.embeddings[order], features.persons[order], features.cameras[order], names)


def awkward(rng: np.random.Generator, count: int = 300, dimension: int = 531) -> tuple[Features, Features]:
    """Equal vectors all over the gallery under different persons, and vectors one bit beside them."""
    kinds = rng.normal(size=(12, dimension)).astype(np.float32)
    embeddings = kinds[rng.integers(0, 12, size=count)]
    beside = rng.random(count) < 0.3
    embeddings[beside, 7] = np.nextafter(embeddings[beside, 7], np.float32(9))
    gallery = Features(embeddings, rng.integers(-1, 9, size=count), rng.integers(1, 4, size=count))
    return rows_of(gallery, np.flatnonzero(gallery.persons > 0)[:40]), gallery


@METRICS
def test_equal_to_the_definition_where_vectors_are_equal_or_one_bit_apart(
    metric: str, rng: np.random.Generator
) -> None:
    query, gallery = awkward(rng, count=60, dimension=17)
    found = match_ranks(query, gallery, metric=metric, block=Block(queries=3, gallery=16))
    for i in range(len(query.persons)):
        assert found[i].tolist() == ranks_by_definition(query, gallery, i, metric)


@METRICS
def test_equal_to_the_definition_for_a_collapsed_network(metric: str, rng: np.random.Generator) -> None:
    values = (1 + 1e-6 * rng.normal(size=(70, 24))).astype(np.float32)
    features = Features(values, rng.integers(1, 6, size=70), rng.integers(1, 3, size=70))
    query = rows_of(features, np.arange(8))
    found = match_ranks(query, features, metric=metric)
    for i in range(8):
        assert found[i].tolist() == ranks_by_definition(query, features, i, metric)


@METRICS
@pytest.mark.parametrize("case", ["crowd", "awkward"])
def test_order_of_the_gallery_and_block_size_never_matter(
    metric: str, case: str, crowd: tuple[Features, Features], rng: np.random.Generator
) -> None:
    query, gallery = crowd if case == "crowd" else awkward(rng)
    wanted = match_ranks(query, gallery, metric=metric)
    blocks = [Block(), Block(queries=1, gallery=1000), Block(queries=7, gallery=13), Block(queries=300, gallery=64)]
    for turn in range(8):
        shuffled = rows_of(gallery, rng.permutation(len(gallery.persons)))
        assert same(match_ranks(query, shuffled, metric=metric, block=blocks[turn % 4]), wanted)


@METRICS
def test_order_and_company_of_the_queries_never_matter(
    metric: str, crowd: tuple[Features, Features], rng: np.random.Generator
) -> None:
    query, gallery = crowd
    wanted = match_ranks(query, gallery, metric=metric)
    order = rng.permutation(40)
    assert same(match_ranks(rows_of(query, order), gallery, metric=metric), tuple(wanted[i] for i in order))
    alone = match_ranks(rows_of(query, np.array([11])), gallery, metric=metric)
    assert same(alone, (wanted[11],))


def test_monotone_changes_of_the_score_never_matter(crowd: tuple[Features, Features], rng: np.random.Generator) -> None:
    query, gallery = crowd

    def changed(features: Features, factor: object) -> Features:
        return Features((features.embeddings * np.float32(factor)), features.persons, features.cameras)  # type: ignore[arg-type]

    wanted = match_ranks(query, gallery, metric="cosine")
    own = np.exp2(rng.integers(-20, 20, size=(600, 1)))
    assert same(match_ranks(changed(query, 0.125), changed(gallery, own), metric="cosine"), wanted)
    assert same(match_ranks(changed(query, 3.7), changed(gallery, 0.9), metric="cosine"), wanted)
    far = match_ranks(query, gallery, metric="euclidean")
    assert same(match_ranks(changed(query, 1024), changed(gallery, 1024), metric="euclidean"), far)


def test_euclidean_on_unit_vectors_is_cosine(crowd: tuple[Features, Features]) -> None:
    def unit(features: Features) -> Features:
        lengths = np.linalg.norm(features.embeddings.astype(np.float64), axis=1, keepdims=True)
        return Features((features.embeddings / lengths).astype(np.float32), features.persons, features.cameras)

    query, gallery = map(unit, crowd)
    assert same(match_ranks(query, gallery, metric="euclidean"), match_ranks(*crowd, metric="cosine"))


def test_euclidean_does_not_change_under_translation(rng: np.random.Generator) -> None:
    values = rng.integers(-50, 50, size=(200, 6)).astype(np.float32)
    persons = rng.integers(1, 8, size=200)
    cameras = rng.integers(1, 4, size=200)
    wanted, moved = (
        match_ranks(rows_of(features, np.arange(30)), features, metric="euclidean")
        for features in (Features(values, persons, cameras), Features(values + 4096, persons, cameras))
    )
    assert same(moved, wanted)


@METRICS
def test_layout_of_the_embeddings_never_matters(metric: str, crowd: tuple[Features, Features]) -> None:
    query, gallery = crowd
    wanted = match_ranks(query, gallery, metric=metric)
    columns_first = Features(np.asfortranarray(gallery.embeddings), gallery.persons, gallery.cameras)
    assert same(match_ranks(query, columns_first, metric=metric), wanted)
    narrow = Features(gallery.embeddings, gallery.persons.astype(np.int16), gallery.cameras.astype(np.uint8))
    assert same(match_ranks(query, narrow, metric=metric), wanted)


def test_a_model_that_gives_one_vector_for_all_is_ranked_last() -> None:
    gallery = Features(np.ones((10, 3), np.float32), np.array([1, 1, 1] + [2] * 5 + [0, -1]), np.arange(10) + 2)
    query = Features(np.ones((1, 3), np.float32), np.array([1]), np.array([1]))
    assert match_ranks(query, gallery)[0].tolist() == [7, 8, 9]


def test_several_walks_over_the_gallery_give_the_same(
    crowd: tuple[Features, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = match_ranks(*crowd)
    monkeypatch.setattr(ranking, "_MATCHES_AT_ONCE", 45)
    monkeypatch.setattr(ranking, "_NEAR_AT_ONCE", 100)
    monkeypatch.setattr(undecided, "_PAIRS_AT_ONCE", 3)
    monkeypatch.setattr(undecided, "_ENTRIES", 4)
    assert same(match_ranks(*crowd, block=Block(gallery=50)), wanted)


@METRICS
@pytest.mark.parametrize("threads", [2, 4])
def test_threads_never_matter(
    metric: str, threads: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, gallery = awkward(rng)
    wanted = match_ranks(query, gallery, metric=metric)
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads_module, "usable_cores", lambda: threads)
    assert threads_module.threads() == threads
    assert same(match_ranks(query, gallery, metric=metric, block=Block(queries=16, gallery=21)), wanted)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_module.threads() == 1


def test_more_threads_hold_no_more_scores() -> None:
    for threads in (1, 2, 3, 8, 16):
        block = ranking._block_for(threads)
        assert 256 <= block.gallery <= 2048 and threads * block.queries * block.gallery * 4 <= 64 << 20
    assert ranking._block_for(2) == Block()


@METRICS
@pytest.mark.parametrize("dimension", [24, 531])
def test_half_precision_is_ranked_as_the_numbers_it_stands_for(
    metric: str, dimension: int, rng: np.random.Generator
) -> None:
    query, gallery = awkward(rng, dimension=dimension)
    half = [Features(f.embeddings.astype(np.float16), f.persons, f.cameras) for f in (query, gallery)]
    whole = [Features(f.embeddings.astype(np.float32), f.persons, f.cameras) for f in half]
    wanted = match_ranks(*whole, metric=metric)
    assert same(match_ranks(*half, metric=metric, block=Block(queries=11, gallery=64)), wanted)
    assert same(match_ranks(half[0], whole[1], metric=metric), wanted)
    shown = [rank_lists(*pair, [0, 3], 20, metric) for pair in (half, whole)]
    for a, b in zip(*shown, strict=True):
        assert a.gallery.tolist() == b.gallery.tolist() and a.score.tolist() == b.score.tolist()


def test_half_precision_is_widened_block_by_block(rng: np.random.Generator) -> None:
    persons = rng.integers(1, 300, size=30_000)
    gallery = Features(rng.standard_normal((30_000, 512), dtype=np.float32).astype(np.float16), persons, persons % 5)
    query = rows_of(gallery, np.arange(64))
    tracemalloc.start()
    try:
        match_ranks(query, gallery)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < gallery.embeddings.nbytes, f"{peak >> 20} MiB"


def test_extra_memory_stays_small_for_a_large_gallery(rng: np.random.Generator) -> None:
    gallery = Features(
        rng.standard_normal((120_000, 256), dtype=np.float32),
        rng.integers(-1, 1500, size=120_000),
        rng.integers(1, 7, size=120_000),
    )
    query = rows_of(gallery, np.flatnonzero(gallery.persons > 0)[:64])
    tracemalloc.start()
    try:
        for metric in ("cosine", "euclidean"):
            match_ranks(query, gallery, metric=metric)
        rank_lists(query, gallery, [0, 1], 10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20, f"{peak >> 20} MiB"


@METRICS
def test_rank_lists_are_the_definition(metric: str, rng: np.random.Generator) -> None:
    values = rng.integers(-2, 3, size=(50, 3)).astype(np.float32)
    gallery = Features(values, rng.integers(-1, 5, size=50), rng.integers(1, 3, size=50))
    query = rows_of(gallery, np.array([3, 9, 20]))
    for shown in rank_lists(query, gallery, [2, 0], 12, metric):
        i = shown.query

        def place(j: int, i: int = i) -> tuple[object, ...]:
            verdict = 2 if is_match(query, gallery, i, j) else 1 if is_ignored(query, gallery, i, j) else 0
            return -similarity_by_definition(query.embeddings[i], gallery.embeddings[j], metric), verdict, j

        wanted = sorted(range(50), key=place)[:12]
        assert shown.gallery.tolist() == wanted
        assert shown.verdict == tuple(("wrong", "ignored", "right")[place(j)[1]] for j in wanted)  # type: ignore[index]
        assert (np.diff(shown.score) <= 0).all() and shown.score.dtype == np.float32


@METRICS
def test_rank_lists_of_a_gallery_of_many_blocks(metric: str, rng: np.random.Generator) -> None:
    values = rng.normal(size=(20_000, 24)).astype(np.float32)
    gallery = Features(values, rng.integers(-1, 50, size=20_000), rng.integers(1, 3, size=20_000))
    query = rows_of(gallery, np.arange(5))
    for shown in rank_lists(query, gallery, range(5), 40, metric):
        wide, one = values.astype(np.float64), query.embeddings[shown.query].astype(np.float64)
        likeness = wide @ one / np.linalg.norm(wide, axis=1) / np.linalg.norm(one)
        if metric == "euclidean":
            likeness = -np.linalg.norm(wide - one, axis=1)
        assert shown.gallery.tolist() == np.argsort(-likeness)[:40].tolist()
        np.testing.assert_allclose(shown.score, likeness[shown.gallery], atol=1e-6)


def test_a_rank_list_is_as_long_as_the_gallery_at_most(crowd: tuple[Features, Features]) -> None:
    query, gallery = crowd
    (shown,) = rank_lists(query, rows_of(gallery, np.arange(4)), [0], 10)
    assert sorted(shown.gallery.tolist()) == [0, 1, 2, 3] and len(shown.verdict) == 4


@pytest.mark.parametrize(("queries", "length", "came"), [([40], 5, "40"), ([-1], 5, "-1"), ([0], 0, "0")])
def test_impossible_rank_lists_are_refused(
    queries: list[int], length: int, came: str, crowd: tuple[Features, Features]
) -> None:
    with pytest.raises(ExperimentError, match=f"Found: {came}"):
        rank_lists(*crowd, queries, length)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_values_without_meaning_are_named(side: str, value: float, crowd: tuple[Features, Features]) -> None:
    crowd[side == "gallery"].embeddings[17, 5] = value
    for call in (match_ranks, lambda q, g: rank_lists(q, g, [17], 5)):
        with pytest.raises(DataError, match=rf"{side} embedding.*row 17"):
            call(*crowd)


def test_an_empty_block_is_refused() -> None:
    with pytest.raises(ExperimentError, match="0 queries x 2048"):
        Block(queries=0)
