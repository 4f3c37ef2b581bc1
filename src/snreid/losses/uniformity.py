"""Align and uniform: the three losses of BAU on unit vectors (Cho et al., NeurIPS 2024, arXiv 2411.11471; method.md 5.2).

f and g are the L2-normalized embeddings of the first and the second view of a batch, D(x, y) = |x - y|^2 = 2 - 2 cos.

- alignment  sum over pairs (i, j) of one person of w_ij D(g_i, f_j) / sum of w_ij: the views come together, reliable ones more
- uniformity log mean over pairs i < j of exp(-2 D(f_i, f_j)): everybody keeps a distance to everybody (Wang and Isola, arXiv 2005.10242)
- domain     log mean of exp(-2 D(f_i, c)) over the nearest prototypes c of other persons of the same source

The last two are averaged over both views. w_ij is the Jaccard overlap of the k-reciprocal neighbours of g_i and f_j among the 2B vectors.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from snreid.distances import full_precision
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.outputs import Outputs, Prototypes
from snreid.tensors import Embeddings, PersonIds, Scalar

Weights = Float[Tensor, "batch batch"]

_SHARPNESS = 2.0


@dataclass(frozen=True, kw_only=True)
class Alignment(Loss):
    """L_align: weighted squared distance between second and first views of the same person, between 0 and 4."""

    weight: float = 1.5
    neighbours: int = 10
    """k: nearest neighbours, oneself included, among both views of the batch."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for fewer than one neighbour."""
        super().__post_init__()
        if self.neighbours < 1:
            raise ExperimentError(
                "Alignment weighs by at least 1 neighbour", found=f"neighbours {self.neighbours}", fix="use 10"
            )

    @property
    def two_views(self) -> bool:
        """It does."""
        return True

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """See ``alignment``. Raises ``ExperimentError`` when there is no second view."""
        if outputs.second is None:
            raise ExperimentError(
                "Alignment compares two views of each image",
                found="outputs without a second view",
                fix="give the experiment a second_view",
            )
        first, second = unit(outputs.embedding), unit(outputs.second.embedding)
        return alignment(first, second, persons, reliability(first, second, self.neighbours))


@dataclass(frozen=True, kw_only=True)
class Uniformity(Loss):
    """L_uniform: log of the mean closeness of two images, between -8 (all opposite) and 0 (all the same)."""

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Mean over the views that are there; ``persons`` is not looked at."""
        return torch.stack([uniformity(view) for view in _views(outputs)]).mean()


@dataclass(frozen=True, kw_only=True)
class DomainUniformity(Loss):
    """L_domain: log of the mean closeness of images and other people's prototypes in the same source, between -8 and 0."""

    momentum: float = 0.1
    """How much of the old prototype stays at each image of the person, 0 to below 1; with 1 there would never be one."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for a momentum outside [0, 1)."""
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ExperimentError(
                "The momentum of prototypes is at least 0 and below 1",
                found=f"momentum {self.momentum}",
                fix="use 0.1",
            )

    @property
    def memory(self) -> float | None:
        """Its momentum."""
        return self.momentum

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Mean over the views that are there. Raises ``ExperimentError`` when there are no prototypes."""
        prototypes = outputs.prototypes
        if prototypes is None:
            raise ExperimentError(
                "The domain-specific uniformity loss compares with prototypes",
                found="outputs without prototypes",
                fix="train with snreid train, which remembers them",
            )
        views = [domain_uniformity(view, persons, prototypes) for view in _views(outputs)]
        return torch.stack(views).mean()


def unit(embedding: Embeddings) -> Embeddings:
    """(B, D), each row with length 1, in float32 at least."""
    return functional.normalize(full_precision(embedding))


def alignment(first: Embeddings, second: Embeddings, persons: PersonIds, weights: Weights) -> Scalar:
    """Mean of D(second_i, first_j) over the pairs of one person, i = j among them, weighted; 0 where every weight is 0.

    ``first``, ``second``: (B, D) unit vectors; ``weights``: (B, B), row i for second_i.
    """
    distances = 2 - 2 * second @ first.T
    weights = weights * (persons[:, None] == persons[None, :])
    return (weights * distances).sum() / weights.sum().clamp_min(1e-6)


@torch.no_grad()
def reliability(first: Embeddings, second: Embeddings, neighbours: int) -> Weights:
    """(B, B): of second_i and first_j, shared k-reciprocal neighbours over all their k-reciprocal neighbours, 0 to 1. No gradient.

    Two of the 2B vectors are k-reciprocal neighbours when each is among the other's k most similar, itself included.
    """
    both = torch.cat([first, second])
    similar = both @ both.T
    nearest = similar.sort(dim=1, descending=True, stable=True).indices[:, :neighbours]
    chosen = torch.zeros_like(similar).scatter_(1, nearest, 1.0)
    of_first, of_second = (chosen * chosen.T).chunk(2)
    shared = of_second @ of_first.T
    every = of_second.sum(1)[:, None] + of_first.sum(1)[None, :] - shared
    return shared / every.clamp_min(1)


def uniformity(vectors: Embeddings) -> Scalar:
    """log of the mean over pairs of exp(-2 D), of (B, D) unit vectors, B >= 2."""
    closeness = _SHARPNESS * (2 * vectors @ vectors.T - 2)
    upper = torch.triu(torch.ones_like(closeness, dtype=torch.bool), diagonal=1)
    count = len(vectors) * (len(vectors) - 1) // 2
    return closeness.masked_fill(~upper, -torch.inf).flatten().logsumexp(0) - math.log(count)


def domain_uniformity(vectors: Embeddings, persons: PersonIds, prototypes: Prototypes) -> Scalar:
    """log of the mean of exp(-2 D) between (B, D) unit vectors and, for each, the B nearest prototypes of other persons of its source.

    People whom no batch has shown yet have no prototype; 0 where nobody has another to compare with.
    """
    remembered = prototypes.vectors.to(vectors.dtype)
    closeness = _SHARPNESS * (2 * vectors @ remembered.T - 2)
    own = torch.arange(len(remembered), device=vectors.device)[None, :] == persons[:, None]
    same_source = prototypes.sources[persons][:, None] == prototypes.sources[None, :]
    seen = remembered.square().sum(1) > 0
    valid = same_source & seen & ~own
    some = valid.any()
    # Where nothing can be compared everything is, and then multiplied by 0: no gradient is NaN, and no host waits for the answer.
    near = closeness.masked_fill(~valid & some, -torch.inf).topk(min(len(vectors), len(remembered)), dim=1).values
    count = torch.where(some, near.isfinite().sum(), near.numel())
    return torch.where(some, near.flatten().logsumexp(0) - count.to(near.dtype).log(), 0.0 * closeness.sum())


def _views(outputs: Outputs) -> list[Embeddings]:
    views = [outputs] if outputs.second is None else [outputs, outputs.second]
    return [unit(view.embedding) for view in views]
