"""Neighbours against a loop over all pairs; the picture repeatable and never more than it can be."""

import numpy as np
import pytest

from snreid.analysis.lens.neighbours import FEWEST, mixing, plane, standardized, unit


def slow_mixing(
    vectors: np.ndarray, labels: np.ndarray, persons: np.ndarray, among: np.ndarray | None
) -> tuple[float, float]:
    hits, chances = [], []
    for i in range(len(vectors)):
        others = [
            j for j in range(len(vectors)) if persons[j] != persons[i] and (among is None or among[j] == among[i])
        ]
        same = [j for j in others if labels[j] == labels[i]]
        if not same or len(same) == len(others):
            continue
        nearest = min(others, key=lambda j: float(((vectors[i] - vectors[j]) ** 2).sum()))
        hits.append(labels[nearest] == labels[i])
        chances.append(len(same) / len(others))
    return float(np.mean(hits)), float(np.mean(chances))


@pytest.mark.parametrize("grouped", [False, True])
def test_mixing_is_what_a_loop_over_all_pairs_finds(
    rng: np.random.Generator, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snreid.analysis.lens.neighbours._BLOCK", 64)
    vectors = rng.normal(size=(150, 6))
    labels, persons = rng.integers(0, 3, 150), rng.integers(0, 30, 150)
    among = rng.integers(0, 2, 150) if grouped else None
    vectors[:, 0] += labels
    found = mixing(vectors, labels, persons, among)
    share, chance = slow_mixing(vectors, labels, persons, among)
    assert found is not None and found.share == pytest.approx(share) and found.chance == pytest.approx(chance)
    assert found.share > found.chance


def test_separate_labels_give_1_and_mixed_ones_chance(rng: np.random.Generator) -> None:
    labels, persons = np.repeat([0, 1], 100), np.arange(200)
    apart = rng.normal(size=(200, 4)) + 50 * labels[:, None]
    found = mixing(apart, labels, persons)
    assert found is not None and found.share == 1 and found.chance == pytest.approx(99 / 199)
    blind = mixing(rng.normal(size=(200, 4)), labels, persons)
    assert blind is not None and abs(blind.share - blind.chance) < 0.15


def test_images_of_the_same_person_are_no_neighbours() -> None:
    vectors = np.array([[0.0], [0.1], [5.0], [5.1], [0.2]])
    labels, persons = np.array([0, 0, 1, 1, 1]), np.array([1, 1, 2, 3, 4])
    found = mixing(vectors, labels, persons)
    # 0 and 1 are of one person and have nobody else of their label, so they say nothing; 4 is nearest to 1, of another label.
    assert found is not None and found.share == pytest.approx(2 / 3)


def test_without_a_choice_there_is_no_number() -> None:
    vectors = np.zeros((3, 2))
    assert mixing(vectors, np.zeros(3, dtype=np.int64), np.arange(3)) is None
    assert mixing(vectors, np.arange(3), np.arange(3)) is None
    assert mixing(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)) is None


def test_standardized_and_unit(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(9, 3)) * [1, 100, 1e-3] + [0, 5, 1]
    vectors[:, 2] = 0.1
    made = standardized(vectors)
    assert made.shape == (9, 2)
    np.testing.assert_allclose(made.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(made.std(0), 1)
    lengths = np.linalg.norm(unit(np.array([[3, 4], [0, 0]], dtype=np.float32)), axis=1)
    np.testing.assert_allclose(lengths, [1, 0])


def test_the_picture_keeps_clusters_apart_and_is_the_same_twice(rng: np.random.Generator) -> None:
    labels = np.repeat([0, 1], 20)
    vectors = rng.normal(size=(40, 5)) + 30 * labels[:, None]
    points = plane(vectors)
    assert points is not None and points.shape == (40, 2)
    again = plane(vectors)
    assert again is not None and np.array_equal(points, again)
    found = mixing(points, labels, np.arange(40))
    assert found is not None and found.share == 1


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_too_few_images_have_no_picture(rng: np.random.Generator, count: int) -> None:
    assert plane(rng.normal(size=(count, 4))) is None


def test_few_images_and_equal_ones(rng: np.random.Generator) -> None:
    points = plane(rng.normal(size=(FEWEST, 4)))
    assert points is not None and points.shape == (FEWEST, 2)
    assert plane(np.ones((10, 4))) is None
    assert plane(rng.normal(size=(10, 1))) is None
