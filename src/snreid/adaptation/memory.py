"""A cluster memory and its contrastive loss (Cluster Contrast, Dai et al., arXiv 2103.11568; method.md 7).

For C clusters with unit vectors c_1 .. c_C, a unit embedding f of cluster y, and a temperature tau:

- at the start of an epoch c_k is the L2-normalized mean of the unit embeddings of cluster k's images;
- L = -log( exp(f . c_y / tau) / sum_k exp(f . c_k / tau) ), averaged over the batch (InfoNCE); no gradient flows into the memory;
- after the step, its embeddings update the vectors of their clusters: c <- m c + (1 - m) f, L2-normalized.

Three updates are available. ``each``: all embeddings of a cluster, one after the other in batch order, as in the authors' published
code (with m = 0.1 the last one weighs most). ``hard``: the one least similar to c, as in the first version of their paper. ``mean``:
the mean of the cluster's embeddings in the batch.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from snreid.errors import ExperimentError
from snreid.tensors import Embeddings, Scalar

Update = Literal["each", "hard", "mean"]
Centres = Float[Tensor, "clusters dim"]
ClusterIds = Int64[Tensor, "batch"]
OUTLIER = -1
"""The cluster of an image that belongs to none."""


def cluster_centres(embeddings: Embeddings, clusters: ClusterIds) -> Centres:
    """Returns unit vectors (C, D) of the clusters 0 to C - 1 of embeddings (N, D): means of their images' unit vectors.

    ``clusters``: (N,); images of cluster ``OUTLIER`` are ignored. No cluster up to the largest number is empty.
    """
    inside = clusters != OUTLIER
    unit, members = functional.normalize(embeddings[inside], dim=1), clusters[inside]
    sums = unit.new_zeros(int(members.max()) + 1, unit.shape[1]).index_add_(0, members, unit)
    return functional.normalize(sums, dim=1)


def cluster_contrast(embeddings: Embeddings, clusters: ClusterIds, centres: Centres, temperature: float) -> Scalar:
    """InfoNCE loss of unnormalized embeddings (B, D) against unit centres (C, D); ``clusters``: (B,), 0 to C - 1."""
    similarity = functional.normalize(embeddings, dim=1) @ centres.detach().to(embeddings.dtype).T
    return functional.cross_entropy(similarity / temperature, clusters)


@torch.no_grad()
def moved_centres(
    centres: Centres, embeddings: Embeddings, clusters: ClusterIds, momentum: float, update: Update
) -> Centres:
    """Returns the centres (C, D) updated by a batch of embeddings (B, D) of ``clusters`` (B,); other clusters keep theirs."""
    unit = functional.normalize(embeddings.to(centres.dtype), dim=1)
    moved = centres.clone()
    for number in torch.unique(clusters).tolist():
        mine = unit[clusters == number]
        centre = moved[number]
        if update == "hard":
            mine = mine[(mine @ centre).argmin()][None]
        elif update == "mean":
            mine = mine.mean(0, keepdim=True)
        for vector in mine:
            centre = functional.normalize(momentum * centre + (1 - momentum) * vector, dim=0)
        moved[number] = centre
    return moved


def check_memory_choices(temperature: float, momentum: float, update: str) -> None:
    """Raises ``ExperimentError`` for a temperature or momentum out of range or an unknown update."""
    if not 0 < temperature < float("inf") or not 0 <= momentum <= 1:
        raise ExperimentError(
            "A cluster memory has a temperature above 0 and a momentum between 0 and 1",
            found=f"temperature {temperature}, momentum {momentum}",
            fix="use --temperature 0.05 --momentum 0.1",
        )
    if update not in get_args(Update):
        raise ExperimentError(
            f"A cluster memory is updated by {', '.join(get_args(Update))}",
            found=repr(update),
            fix="choose one of these",
        )
