"""Align and uniform: the three losses of BAU on unit vectors (Cho et al., NeurIPS 2024, arXiv 2411.11471; method.md 5.2).

f and g are the L2-normalized embeddings of the first and the second view of a batch, D(x, y) = |x - y|^2 = 2 - 2 cos.

- alignment  sum over pairs (i, j) of one person of w_ij D(g_i, f_j) / sum of w_ij: pulls the views together, reliable ones more
- uniformity log mean over pairs i < j of exp(-2 D(f_i, f_j)): spreads all images over the sphere (Wang and Isola, arXiv 2005.10242)
- domain     log mean of exp(-2 D(f_i, c)) over the nearest prototypes c of other persons of the same source

The last two are averaged over both views. w_ij is the Jaccard overlap of the k-reciprocal neighbours of g_i and f_j among the 2B vectors.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from snreid.distances import at_least_float32
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.outputs import Outputs
from snreid.tensors import Embeddings, PersonIds, Scalar

Weights = Float[Tensor, "batch batch"]

_SHARPNESS = 2.0


@dataclass(frozen=True, kw_only=True)
class Alignment(Loss):
    """L_align: weighted squared distance between second and first views of the same person, between 0 and 4."""

    two_views: ClassVar[bool] = True
    weight: float = 1.5
    neighbours: int = 10
    """k: nearest neighbours, the image itself included, among both views of the batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise ExperimentError(
                "Alignment weighs by at least 1 neighbour", found=f"neighbours {self.neighbours}", fix="use 10"
            )

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """See ``alignment``. Raises ``ExperimentError`` if there is no second view."""
        if outputs.second is None:
            raise ExperimentError(
                "Alignment compares two views of each image",
                found="outputs without a second view",
                fix="give the experiment a second_view",
            )
        return alignment(outputs.embedding, outputs.second.embedding, persons, self.neighbours)


@dataclass(frozen=True, kw_only=True)
class Uniformity(Loss):
    """L_uniform: log of the mean closeness of two images, between -8 (all opposite) and 0 (all the same)."""

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Mean over the available views; ``persons`` is not used."""
        return torch.stack([uniformity(view) for view in _views(outputs)]).mean()


@dataclass(frozen=True, kw_only=True)
class DomainUniformity(Loss):
    """L_domain: log of the mean closeness of images and prototypes of other persons of the same source, between -8 and 0."""

    momentum: float = 0.1
    """Share of the old prototype that stays at each image of the person, 0 to below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ExperimentError(
                "The momentum of prototypes is at least 0 and below 1",
                found=f"momentum {self.momentum}",
                fix="use 0.1",
            )

    @property
    def memory(self) -> float | None:
        """Momentum of the prototypes."""
        return self.momentum

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Mean over the available views. Raises ``ExperimentError`` if there are no prototypes."""
        prototypes = outputs.prototypes
        if prototypes is None:
            raise ExperimentError(
                "The domain-specific uniformity loss compares with prototypes",
                found="outputs without prototypes",
                fix="train with snreid train, which remembers them",
            )
        vectors, sources = prototypes.vectors, prototypes.sources
        views = [domain_uniformity(view, persons, vectors, sources) for view in _views(outputs)]
        return torch.stack(views).mean()


def l2_normalized(embeddings: Embeddings) -> Embeddings:
    """(B, D), each row with length 1, in float32 at least."""
    return functional.normalize(at_least_float32(embeddings))


def alignment(
    first: Embeddings, second: Embeddings, persons: PersonIds, neighbours: int = 10, *, weights: Weights | None = None
) -> Scalar:
    """Alignment loss of BAU (Cho et al., arXiv 2411.11471): weighted squared distance between two views of each person.

    Args:
        first: (B, D) embeddings of the first views, any length.
        second: (B, D) embeddings of the second views, in the same order.
        persons: (B,) identity of each image.
        neighbours: k of ``reliability``.
        weights: (B, B) weight of each pair, row i for second_i; None for ``reliability``.

    Returns:
        The weighted mean of D(second_i, first_j) over the pairs of one person, i = j among them, 0 to 4; 0 if all weights are 0.

    Example:
        >>> import torch
        >>> first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> second = torch.tensor([[0.8, 0.6], [0.0, 2.0]])
        >>> alignment(first, second, torch.tensor([0, 1]))
        tensor(0.2000)
    """
    first, second = l2_normalized(first), l2_normalized(second)
    if weights is None:
        weights = reliability(first, second, neighbours)
    distances = 2 - 2 * second @ first.T
    weights = weights * (persons[:, None] == persons[None, :])
    return (weights * distances).sum() / weights.sum().clamp_min(1e-6)


@torch.no_grad()
def reliability(first: Embeddings, second: Embeddings, neighbours: int) -> Weights:
    """Weights w_ij (B, B) of the alignment loss, row i for second_i: Jaccard overlap, 0 to 1, of the k-reciprocal neighbours of second_i
    and first_j, unit vectors (B, D).

    Two of the 2B vectors are k-reciprocal neighbours if each is among the k most similar to the other, which include the other itself.
    """
    both = torch.cat([first, second])
    similar = both @ both.T
    nearest = similar.sort(dim=1, descending=True, stable=True).indices[:, :neighbours]
    chosen = torch.zeros_like(similar).scatter_(1, nearest, 1.0)
    of_first, of_second = (chosen * chosen.T).chunk(2)
    shared = of_second @ of_first.T
    every = of_second.sum(1)[:, None] + of_first.sum(1)[None, :] - shared
    return shared / every.clamp_min(1)


def uniformity(embeddings: Embeddings) -> Scalar:
    """Uniformity loss (Wang and Isola, arXiv 2005.10242): log of the mean over pairs i < j of exp(-2 D(f_i, f_j)).

    Args:
        embeddings: (B, D), any length, B >= 2.

    Returns:
        The loss, -8 (two opposite vectors) to 0 (all the same).

    Example:
        >>> import torch
        >>> uniformity(torch.tensor([[1.0, 0.0], [-3.0, 0.0]]))
        tensor(-8.)
    """
    vectors = l2_normalized(embeddings)
    closeness = _SHARPNESS * (2 * vectors @ vectors.T - 2)
    upper = torch.triu(torch.ones_like(closeness, dtype=torch.bool), diagonal=1)
    count = len(vectors) * (len(vectors) - 1) // 2
    return closeness.masked_fill(~upper, -torch.inf).flatten().logsumexp(0) - math.log(count)


def domain_uniformity(
    embeddings: Embeddings,
    persons: PersonIds,
    prototypes: Float[Tensor, "persons dim"],
    sources: Int64[Tensor, "persons"],
) -> Scalar:
    """Domain-specific uniformity loss of BAU (Cho et al., arXiv 2411.11471).

    The log of the mean of exp(-2 D(f_i, c)) over the images i and, for each, the B nearest prototypes c of other persons of its source.

    Args:
        embeddings: (B, D), any length.
        persons: (B,) identity of each image, 0 to N - 1.
        prototypes: (N, D) unit vectors, one per identity; all 0 for an identity that has no prototype yet.
        sources: (N,) source of each identity.

    Returns:
        The loss, -8 to 0; 0 if no image has a prototype to be compared with.

    Example:
        >>> import torch
        >>> prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> domain_uniformity(prototypes[:1], torch.tensor([0]), prototypes, sources=torch.tensor([0, 0, 0]))
        tensor(-4.)
    """
    vectors = l2_normalized(embeddings)
    remembered = prototypes.to(vectors.dtype)
    closeness = _SHARPNESS * (2 * vectors @ remembered.T - 2)
    themselves = torch.arange(len(remembered), device=vectors.device)[None, :] == persons[:, None]
    same_source = sources[persons][:, None] == sources[None, :]
    seen = remembered.square().sum(1) > 0
    valid = same_source & seen & ~themselves
    some = valid.any()
    # If nothing can be compared, everything is, and the result is multiplied by 0: no gradient is NaN, and the host does not wait.
    near = closeness.masked_fill(~valid & some, -torch.inf).topk(min(len(vectors), len(remembered)), dim=1).values
    count = torch.where(some, near.isfinite().sum(), near.numel())
    return torch.where(some, near.flatten().logsumexp(0) - count.to(near.dtype).log(), 0.0 * closeness.sum())


def _views(outputs: Outputs) -> list[Embeddings]:
    return [outputs.embedding] if outputs.second is None else [outputs.embedding, outputs.second.embedding]
