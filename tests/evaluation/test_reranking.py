"""Re-ranking in blocks and sparse is re-ranking by definition: same distances, rules and ties, for any order and block."""

from dataclasses import replace

import numpy as np
import pytest
from dense_reranking import final_distances
from ranking_by_definition import is_ignored, is_match

from snreid.errors import DataError, ExperimentError
from snreid.evaluation import (
    Block,
    evaluate,
    evaluate_reranked,
    match_ranks,
    neighbours,
    reranked_match_ranks,
    reranking,
)
from snreid.evaluation.reranking import ReRanking
from snreid.records import JUNK, Features


def people(
    rng: np.random.Generator, queries: int, images: int, noise: float, persons: int = 20
) -> tuple[Features, Features]:
    """Queries and gallery of persons on 3 cameras in 12 dimensions, with junk and distractors."""
    centres = rng.normal(size=(persons + 2, 12))

    def draw(count: int, lowest: int) -> Features:
        who = rng.integers(lowest, persons + 1, size=count)
        values = centres[who] + noise * rng.normal(size=(count, 12))
        return Features(values.astype(np.float32), who, rng.integers(1, 4, size=count))

    return draw(queries, 1), draw(images, JUNK)


def slow_ranks(query: Features, gallery: Features, distances: np.ndarray, i: int) -> list[int]:
    """Ranks of the matches of query ``i``: sorted by distance, wrong ones first where it is equal."""
    count = [j for j in range(len(gallery.persons)) if not is_ignored(query, gallery, i, j)]
    listed = sorted((distances[i, j], is_match(query, gallery, i, j)) for j in count)
    return [place for place, (_, match) in enumerate(listed, start=1) if match]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (7, 1, 0.0), (9, 4, 0.05), (6, 6, 1.0), (200, 3, 0.3)])
def test_it_is_the_dense_definition(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str, k1: int, k2: int, weight: float, kept: bool
) -> None:
    """Scores kept from the search for neighbours, or multiplied again because they are too many."""
    if not kept:
        monkeypatch.setattr(reranking, "_KEPT", 0)
    query, gallery = people(rng, 20, 160 if k1 < 100 else 25, noise=1.2)
    distances = final_distances(query, gallery, k1, k2, weight, metric)
    distances = distances.round(12)  # what is equal by definition is so up to rounding
    options = ReRanking(k1=k1, k2=k2, weight=weight)
    found = reranked_match_ranks(query, gallery, reranking=options, metric=metric)
    assert [ranks.tolist() for ranks in found] == [slow_ranks(query, gallery, distances, i) for i in range(20)]


def test_it_helps_where_persons_form_clusters_and_lambda_1_is_plain(rng: np.random.Generator) -> None:
    query, gallery = people(rng, 60, 600, noise=0.9)
    assert evaluate_reranked(query, gallery).mean_ap > evaluate(query, gallery).mean_ap + 0.02
    plain = match_ranks(query, gallery, metric="euclidean")
    alone = reranked_match_ranks(query, gallery, reranking=ReRanking(weight=1.0), metric="euclidean")
    assert [a.tolist() for a in alone] == [p.tolist() for p in plain]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_order_and_blocks_decide_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    query, gallery = people(rng, 30, 220, noise=1.2)
    few = np.round(gallery.embeddings).astype(np.float32)  # many exact ties
    copies = few.copy()
    copies[:60] = query.embeddings[np.arange(60) % 30]  # each query stands twice in the gallery, too
    for entries in (gallery, replace(gallery, embeddings=few), replace(gallery, embeddings=copies)):
        whole = reranked_match_ranks(query, entries, metric=metric)
        with monkeypatch.context() as patched:
            patched.setattr(neighbours, "_TILE", 17)
            patched.setattr(neighbours, "_PAIRS", 40)
            kept = reranked_match_ranks(query, entries, metric=metric, block=Block(queries=7, gallery=23))
            patched.setattr(reranking, "_KEPT", 0)
            small = reranked_match_ranks(query, entries, metric=metric, block=Block(queries=7, gallery=23))
        for other in (kept, small):
            assert [o.tolist() for o in other] == [w.tolist() for w in whole]
        order = rng.permutation(220)
        mixed = Features(entries.embeddings[order], entries.persons[order], entries.cameras[order])
        assert [s.tolist() for s in reranked_match_ranks(query, mixed, metric=metric)] == [w.tolist() for w in whole]


def test_equal_jaccard_distances_are_ties_whatever_their_sums_round_to() -> None:
    """With lambda 0 nothing else decides, and wrong entries come first. (These numbers gave 0.8 and 0.7999999999999999.)"""
    rng = np.random.default_rng(6)
    who = rng.integers(1, 21, 340)
    values = (rng.normal(size=(20, 16))[who - 1] + rng.normal(size=(340, 16))).astype(np.float32)
    cameras = rng.integers(1, 4, 340)
    query, gallery = (Features(values[part], who[part], cameras[part]) for part in (slice(40), slice(40, None)))
    distances = final_distances(query, gallery, 10, 3, 0.0, "cosine").round(9)
    found = reranked_match_ranks(query, gallery, reranking=ReRanking(k1=10, k2=3, weight=0.0))
    assert [ranks.tolist() for ranks in found] == [slow_ranks(query, gallery, distances, i) for i in range(40)]


def test_a_collapsed_model_gains_nothing() -> None:
    persons, cameras = np.repeat(np.arange(1, 6), 4), np.tile([1, 2, 3, 4], 5)
    for value in (0.3, 0.0):
        constant = Features(np.full((20, 6), value, np.float32), persons, cameras)
        for metric in ("cosine", "euclidean"):
            scores = evaluate_reranked(constant, constant, metric=metric)
            # 16 wrong entries stand before 3 matches, whatever the order of the files.
            assert scores.mean_ap == pytest.approx(np.mean([1 / 17, 2 / 18, 3 / 19]), abs=1e-15)


def test_errors_are_those_of_evaluate(rng: np.random.Generator) -> None:
    query, gallery = people(rng, 5, 30, noise=1.0)
    with pytest.raises(DataError, match="At least one query needs a match"):
        evaluate_reranked(query, replace(gallery, persons=gallery.persons * 0))
    with pytest.raises(DataError, match="query embedding is finite"):
        evaluate_reranked(replace(query, embeddings=query.embeddings * np.float32(np.nan)), gallery)
    with pytest.raises(ExperimentError, match="'cosine' or by 'euclidean'"):
        evaluate_reranked(query, gallery, metric="manhattan")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"k1": 0}, "k1 0, k2 6"),
        ({"k2": 0}, "k1 20, k2 0"),
        ({"k1": 5}, "k1 5, k2 6"),
        ({"k1": 201}, "k1 201, k2 6"),
        ({"weight": -0.1}, r"Found: -0\.1\."),
        ({"weight": 1.5}, r"1\.5"),
        ({"weight": float("nan")}, "nan"),
    ],
)
def test_settings_out_of_range(values: dict[str, float], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        ReRanking(**values)  # type: ignore[arg-type]
