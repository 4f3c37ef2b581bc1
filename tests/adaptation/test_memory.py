"""The memory of clusters and the contrast against it are what their definitions say."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reference.clusters import centres_by_definition, contrast_by_definition, moved_by_definition
from snreid.adaptation.memory import Update, check_memory_choices, cluster_centres, cluster_contrast, moved_centres
from snreid.errors import ExperimentError

CLUSTERS = torch.tensor([2, 0, 1, 1, -1, 0, 2, 2, 3, -1, 3, 1])
BATCH = torch.tensor([3, 3, 0, 0, 3, 0, 2])


def vectors(count: int, dimension: int = 5) -> Tensor:
    return torch.randn(count, dimension, dtype=torch.float64)


def test_centres_are_unit_means_of_unit_vectors_without_outliers() -> None:
    embeddings = vectors(12)
    found = cluster_centres(embeddings, CLUSTERS)
    expected = centres_by_definition(embeddings.tolist(), CLUSTERS.tolist())
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    moved = embeddings.clone()
    moved[CLUSTERS == -1] = 100.0
    assert torch.equal(cluster_centres(moved, CLUSTERS), found)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_contrast_is_its_definition(temperature: float) -> None:
    embeddings, centres = vectors(7), torch.nn.functional.normalize(vectors(4), dim=1)
    found = cluster_contrast(embeddings, BATCH, centres, temperature)
    expected = contrast_by_definition(embeddings.tolist(), BATCH.tolist(), centres.tolist(), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-12)
    assert float(cluster_contrast(3 * embeddings, BATCH, centres, temperature)) == pytest.approx(expected, rel=1e-12)


def test_the_gradient_is_that_of_the_embeddings_alone() -> None:
    embeddings = vectors(7).requires_grad_()
    centres = torch.nn.functional.normalize(vectors(4), dim=1).requires_grad_()
    cluster_contrast(embeddings, BATCH, centres, 0.5).backward()
    assert centres.grad is None and embeddings.grad is not None
    assert torch.autograd.gradcheck(lambda e: cluster_contrast(e, BATCH, centres, 0.5), embeddings)


@pytest.mark.parametrize("update", ["each", "hard", "mean"])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.7, 1.0])
def test_a_batch_moves_its_clusters_and_no_other(update: Update, momentum: float) -> None:
    embeddings, centres = vectors(7), torch.nn.functional.normalize(vectors(4), dim=1)
    before = centres.clone()
    found = moved_centres(centres, embeddings, BATCH, momentum, update)
    expected = moved_by_definition(centres.tolist(), embeddings.tolist(), BATCH.tolist(), momentum, update)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(centres, before) and torch.equal(found[1], centres[1])
    assert torch.equal(found, centres) == (momentum == 1.0) or torch.allclose(found, centres) == (momentum == 1.0)


def test_the_three_updates_differ() -> None:
    embeddings, centres = vectors(7), torch.nn.functional.normalize(vectors(4), dim=1)
    each, hard, mean = (moved_centres(centres, embeddings, BATCH, 0.1, way) for way in ("each", "hard", "mean"))
    assert not torch.allclose(each, hard) and not torch.allclose(each, mean) and not torch.allclose(hard, mean)


@pytest.mark.parametrize(
    ("choices", "message"),
    [({"temperature": 0.0}, "temperature 0.0"), ({"momentum": 1.5}, "momentum 1.5"), ({"update": "soft"}, "'soft'")],
)
def test_choices_out_of_range(choices: dict[str, Any], message: str) -> None:
    good = {"temperature": 0.05, "momentum": 0.1, "update": "each"}
    check_memory_choices(**good)
    with pytest.raises(ExperimentError, match=message):
        check_memory_choices(**good | choices)
