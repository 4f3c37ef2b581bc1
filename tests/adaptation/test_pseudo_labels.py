"""Pseudo labels are DBSCAN by its definition on the dense Jaccard distance, whatever the order of the images."""

import numpy as np
import pytest
from numpy.typing import NDArray

from reference.clusters import cores_and_clusters
from reference.k_reciprocal import encodings_by_definition, jaccard_by_definition
from snreid.adaptation.pseudo_labels import Density
from snreid.errors import DataError, ExperimentError

Embeddings = NDArray[np.float32]


def crowd(rng: np.random.Generator, noise: float, copies: int = 0) -> Embeddings:
    """Six persons of six images, three strangers, and copies of some images."""
    centres = rng.normal(size=(6, 8))
    images = np.concatenate([np.repeat(centres, 6, axis=0) + noise * rng.normal(size=(36, 8)), rng.normal(size=(3, 8))])
    return np.concatenate([images, images[rng.integers(len(images), size=copies)]]).astype(np.float32)


@pytest.mark.parametrize("noise", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("copies", [0, 8])
@pytest.mark.parametrize("density", [Density(k1=6, k2=2, eps=0.45), Density(k1=10, k2=1, eps=0.31, min_samples=3)])
def test_they_are_dbscan_by_definition(rng: np.random.Generator, noise: float, copies: int, density: Density) -> None:
    embeddings = crowd(rng, noise, copies)
    encodings = encodings_by_definition(embeddings, density.k1, density.k2)
    distances = jaccard_by_definition(encodings, encodings)
    # A pair this close to eps would be decided by rounding, and the test would say nothing.
    assert np.abs(distances - density.eps).min() > 1e-9
    cores, clusters, outliers = cores_and_clusters(distances, density.eps, density.min_samples)
    labels = density(embeddings)
    assert set(np.flatnonzero(labels == -1).tolist()) == outliers
    found = [set(np.flatnonzero(labels == number).tolist()) for number in range(labels.max() + 1)]
    assert sorted(map(sorted, (one & cores for one in found))) == sorted(map(sorted, clusters))
    for number, members in enumerate(found):
        for image in members - cores:
            assert any(distances[image, core] <= density.eps for core in members & cores), (number, image)


def test_persons_far_apart_are_the_clusters(rng: np.random.Generator) -> None:
    labels = Density(k1=8, k2=2, eps=0.5)(crowd(rng, 0.01))
    groups = labels[:36].reshape(6, 6)
    assert (groups == groups[:, :1]).all() and len(set(groups[:, 0].tolist())) == 6


def test_the_order_of_the_images_decides_nothing(rng: np.random.Generator) -> None:
    embeddings, density = crowd(rng, 0.8, copies=10), Density(k1=6, k2=2, eps=0.6)
    labels = density(embeddings)
    assert labels.max() > 1 and (labels == -1).any()
    for _ in range(3):
        order = rng.permutation(len(embeddings))
        assert (density(embeddings[order]) == labels[order]).all()


def test_images_that_are_all_the_same_are_one_cluster_and_few_images_none() -> None:
    assert Density()(np.ones((50, 3), np.float32)).tolist() == [0] * 50
    assert Density()(np.ones((3, 3), np.float32)).tolist() == [-1] * 3


@pytest.mark.parametrize(
    ("choices", "message"),
    [({"eps": 1.0}, "eps 1.0"), ({"eps": 0.0}, "eps 0.0"), ({"k1": 0}, "k1 0"), ({"min_samples": 0}, "min_samples 0")],
)
def test_choices_out_of_range(choices: dict[str, float], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        Density(**choices)  # type: ignore[arg-type]


def test_embeddings_that_are_not_finite() -> None:
    with pytest.raises(DataError, match="inf in row 0"):
        Density()(np.array([[np.inf, 1.0], [0.0, 1.0]], np.float32))
