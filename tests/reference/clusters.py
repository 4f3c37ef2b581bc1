"""Clusters, their memory and the contrast by definition, in plain Python: the twins of ``snreid.adaptation``'s."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = Sequence[float]


def unit(vector: Vector) -> list[float]:
    """Divided by its length."""
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def centres_by_definition(embeddings: Sequence[Vector], clusters: Sequence[int]) -> list[list[float]]:
    """The unit mean of the unit vectors of each cluster."""
    centres = []
    for number in range(max(clusters) + 1):
        mine = [unit(vector) for vector, cluster in zip(embeddings, clusters, strict=True) if cluster == number]
        centres.append(unit([sum(column) / len(mine) for column in zip(*mine, strict=True)]))
    return centres


def contrast_by_definition(
    embeddings: Sequence[Vector], clusters: Sequence[int], centres: Sequence[Vector], temperature: float
) -> float:
    """Mean over the batch of -log of the share that the own cluster has."""
    losses = []
    for vector, cluster in zip(embeddings, clusters, strict=True):
        likeness = [math.exp(sum(a * b for a, b in zip(unit(vector), c, strict=True)) / temperature) for c in centres]
        losses.append(-math.log(likeness[cluster] / sum(likeness)))
    return sum(losses) / len(losses)


def moved_by_definition(
    centres: Sequence[Vector], embeddings: Sequence[Vector], clusters: Sequence[int], momentum: float, update: str
) -> list[list[float]]:
    """The centres after a batch."""
    moved = [list(centre) for centre in centres]
    for number in sorted(set(clusters)):
        mine = [unit(vector) for vector, cluster in zip(embeddings, clusters, strict=True) if cluster == number]
        if update == "hard":
            mine = [min(mine, key=lambda v: sum(a * b for a, b in zip(v, moved[number], strict=True)))]
        if update == "mean":
            mine = [[sum(column) / len(mine) for column in zip(*mine, strict=True)]]
        for vector in mine:
            pairs = zip(moved[number], vector, strict=True)
            moved[number] = unit([momentum * old + (1 - momentum) * new for old, new in pairs])
    return moved


def cores_and_clusters(
    distances: NDArray[np.float64], eps: float, min_samples: int
) -> tuple[set[int], list[set[int]], set[int]]:
    """DBSCAN by definition on dense distances: the cores, the clusters as sets of cores, the outliers."""
    count = len(distances)
    near = [{j for j in range(count) if distances[i, j] <= eps} for i in range(count)]
    cores = {i for i in range(count) if len(near[i]) >= min_samples}
    clusters: list[set[int]] = []
    left = set(cores)
    while left:
        grown, edge = set(), {min(left)}
        while edge:
            grown |= edge
            edge = {j for i in edge for j in near[i] & cores} - grown
        clusters.append(grown)
        left -= grown
    outliers = {i for i in range(count) if i not in cores and not near[i] & cores}
    return cores, clusters, outliers
