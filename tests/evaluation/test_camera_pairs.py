"""Scores per camera pair: equal to their definition, gallery images removed one by one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ranking_by_definition import SlowScores, scores_by_definition

from snreid.errors import DataError
from snreid.evaluation.camera_pairs import CameraPair, camera_pairs
from snreid.evaluation.evaluate import evaluate
from snreid.evaluation.exact import ranking
from snreid.evaluation.exact.ranking import Block
from snreid.records import Features


def only(features: Features, keep: list[int]) -> Features:
    names = tuple(features.names[i] for i in keep) if features.names else ()
    return Features(features.embeddings[keep], features.persons[keep], features.cameras[keep], names)


def by_definition(query: Features, gallery: Features, here: int, there: int, metric: str) -> SlowScores:
    """Throw away all other cameras' images, then walk down every list. Positions are those in the whole query split."""
    mine = [i for i in range(len(query.persons)) if query.cameras[i] == here]
    left = [j for j in range(len(gallery.persons)) if gallery.cameras[j] == there]
    found = scores_by_definition(only(query, mine), only(gallery, left), metric)
    return replace(found, query_index=[mine[i] for i in found.query_index])


def small(rng: np.random.Generator, *, lowest: int = 1) -> tuple[Features, Features]:
    """Few persons, three cameras (the fourth in the gallery only), junk, distractors, equal vectors, shared names."""

    def draw(count: int, first: int, cameras: int) -> Features:
        persons = rng.integers(first, 5, size=count)
        names = tuple(f"image-{number}" for number in rng.permutation(80)[:count])
        vectors = rng.integers(-2, 3, size=(count, 4)).astype(np.float32)
        return Features(vectors, persons, rng.integers(lowest, cameras + 1, size=count), names)

    return draw(30, 1, 3), draw(70, -1, 4)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_every_pair_is_its_definition(metric: str, rng: np.random.Generator) -> None:
    query, gallery = small(rng)
    found = camera_pairs(query, gallery, metric=metric, block=Block(queries=4, gallery=7))
    assert [(p.query_camera, p.gallery_camera) for p in found.pairs] == [
        (a, b) for a in (1, 2, 3) for b in (1, 2, 3, 4)
    ]
    answered = 0
    for pair in found.pairs:
        slow = by_definition(query, gallery, pair.query_camera, pair.gallery_camera, metric)
        assert pair.scores.query_index.tolist() == slow.query_index
        assert pair.scores.first_rank.tolist() == slow.first_rank
        np.testing.assert_allclose(pair.scores.average_precision, slow.average_precision)
        assert pair.scores.queries == (query.cameras == pair.query_camera).sum()
        assert pair.gallery == ((gallery.cameras == pair.gallery_camera) & (gallery.persons != -1)).sum()
        assert (pair.estimates is None) == (not slow.query_index)
        if pair.estimates is not None:
            assert pair.estimates.queries == len(slow.query_index)
            assert pair.estimates.persons == len(set(query.persons[slow.query_index]))
            assert pair.estimates.mean_ap.value == pytest.approx(np.mean(slow.average_precision))
        answered += len(slow.query_index)
    assert answered > 30, "the example has to have matches"


def test_a_camera_finds_nobody_on_itself(crowd: tuple[Features, Features]) -> None:
    for pair in camera_pairs(*crowd).pairs:
        own = pair.query_camera == pair.gallery_camera
        assert (pair.estimates is None) == own
        if own:
            assert pair.scores.skipped_queries == pair.scores.queries > 0


def test_with_two_cameras_a_pair_is_all_there_is_once_the_own_camera_is_gone(crowd: tuple[Features, Features]) -> None:
    query, gallery = (only(one, np.flatnonzero(one.cameras <= 2).tolist()) for one in crowd)
    asking, answering = (only(one, np.flatnonzero(one.cameras == c).tolist()) for one, c in ((query, 1), (gallery, 2)))
    (pair,) = (p for p in camera_pairs(query, gallery).pairs if (p.query_camera, p.gallery_camera) == (1, 2))
    assert pair.scores.mean_ap == evaluate(asking, answering).mean_ap


def test_images_without_a_camera_are_in_no_pair_and_counted(rng: np.random.Generator) -> None:
    query, gallery = small(rng)
    where = rng.random(len(query.cameras)) < 0.2
    blind = replace(query, cameras=np.where(where, -1, query.cameras))
    there = rng.random(len(gallery.cameras)) < 0.2
    half = replace(gallery, cameras=np.where(there, -1, gallery.cameras))
    found = camera_pairs(blind, half)
    assert found.unknown_queries == where.sum() > 0
    assert found.unknown_gallery == (there & (gallery.persons != -1)).sum() > 0
    left = [only(one, np.flatnonzero(one.cameras > 0).tolist()) for one in (blind, half)]

    def numbers(pairs: tuple[CameraPair, ...]) -> list[list[float]]:
        return [pair.scores.average_precision.tolist() for pair in pairs]

    assert numbers(found.pairs) == numbers(camera_pairs(*left).pairs)
    nobody = camera_pairs(*(replace(one, cameras=np.full(len(one.persons), -1)) for one in (query, gallery)))
    assert nobody.pairs == () and nobody.scored == () and nobody.unknown_queries == 30


def test_one_camera_has_one_empty_pair(rng: np.random.Generator) -> None:
    query, gallery = (replace(one, cameras=np.ones_like(one.cameras)) for one in small(rng))
    (pair,) = camera_pairs(query, gallery).pairs
    assert pair.estimates is None and pair.scores.queries == 30
    assert pair.to_json() == {
        "query_camera": 1,
        "gallery_camera": 1,
        "gallery_images": pair.gallery,
        "all_queries": 30,
        "without_match": 30,
    }


def test_scored_pairs_come_from_the_hardest_on(crowd: tuple[Features, Features]) -> None:
    found = camera_pairs(*crowd)
    values = [pair.scores.mean_ap for pair in found.scored]
    assert values == sorted(values) and len(values) == 12


def test_a_value_that_is_not_finite_is_named_by_its_own_row(crowd: tuple[Features, Features]) -> None:
    crowd[1].embeddings[577, 3] = np.nan
    with pytest.raises(DataError, match=r"gallery embedding.*row 577"):
        camera_pairs(*crowd)


def test_of_the_gallery_one_camera_is_ranked_at_a_time(
    crowd: tuple[Features, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image is compared once with each query of another camera: no more work than one evaluation."""
    seen = []
    walk = ranking._Walk

    def counted(query: Features, gallery: Features, *others: Any) -> object:
        seen.append(len(gallery.embeddings))
        return walk(query, gallery, *others)

    monkeypatch.setattr(ranking, "_Walk", counted)
    camera_pairs(*crowd)
    gallery = crowd[1]
    assert sorted(seen) == sorted(int(((gallery.cameras == c) & (gallery.persons != -1)).sum()) for c in (1, 2, 3, 4))
