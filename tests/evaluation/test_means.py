"""Means of groups of embeddings, by definition."""

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.evaluation import group_means, have_length_one


def slow_mean(rows: list[list[float]], metric: str) -> list[float]:
    """In plain Python."""

    def unit(vector: list[float]) -> list[float]:
        length = sum(x * x for x in vector) ** 0.5
        return [x / length for x in vector]

    used = rows if metric == "euclidean" else [unit(row) for row in rows]
    mean = [sum(column) / len(used) for column in zip(*used, strict=True)]
    return mean if metric == "euclidean" else unit(mean)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_equal_to_a_loop(metric: str, kind: type[np.floating], rng: np.random.Generator) -> None:
    embeddings = (3 * rng.normal(size=(20, 6))).astype(kind)
    groups = np.array([2, 0, 1, 2, 2] * 4)
    means = group_means(embeddings, groups, metric)
    assert means.shape == (3, 6) and means.dtype == np.float32
    for group in range(3):
        slow = slow_mean(embeddings[groups == group].astype(float).tolist(), metric)
        np.testing.assert_allclose(means[group], slow, atol=1e-6)


def test_each_image_counts_the_same_whatever_its_length() -> None:
    rows = np.array([[100, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(group_means(rows, np.zeros(2, np.int64)), [[0.5**0.5, 0.5**0.5]], rtol=1e-6)
    np.testing.assert_allclose(group_means(rows, np.zeros(2, np.int64), "euclidean"), [[50, 0.5]])


def test_opposite_vectors_have_no_direction_and_there_are_two_metrics() -> None:
    rows = np.array([[1, 0], [-1, 0]], np.float32)
    assert not group_means(rows, np.zeros(2, np.int64)).any()
    assert group_means(rows[:0], np.zeros(0, np.int64)).shape == (0, 2)
    with pytest.raises(ExperimentError, match="cosine"):
        group_means(rows, np.zeros(2, np.int64), "l1")


def test_rows_of_length_one_are_recognized_in_half_precision_too(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(50, 2048)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert have_length_one(unit) and have_length_one(unit.astype(np.float16))
    assert not have_length_one(rows) and not have_length_one(np.concatenate([unit, 1.01 * unit[:1]]))
