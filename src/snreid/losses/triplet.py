"""Batch-hard triplet loss (Hermans et al., arXiv 1703.07737; method.md section 3).

Each image is an anchor once. Its positive is the farthest image of the same person, its negative the nearest image of another
person. Mining has no gradient; the two distances are then computed from the chosen rows.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn import functional

from snreid.distances import directions, euclidean_matrix, euclidean_pairs, rows
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.outputs import Outputs
from snreid.tensors import Embeddings, PersonIds, Scalar


@dataclass(frozen=True, kw_only=True)
class Triplet(Loss):
    """L_triplet: batch-hard, Euclidean, on vectors that are not normalized by default; >= 0."""

    margin: float | None = None
    """None: soft margin, softplus(d_ap - d_an). A number > 0: hinge, max(0, margin + d_ap - d_an), in units of the
    distance."""
    on: Literal["embedding", "pooled"] = "embedding"
    """Which vector: ``embedding`` after the BN neck (method.md section 3), or ``pooled`` before it."""
    normalize: bool = False
    """True: vectors get length 1 first, so that distances lie between 0 and 2 (``distances.directions``)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin is not None and not (math.isfinite(self.margin) and self.margin > 0):
            raise ExperimentError(
                "The margin of the triplet loss is positive, or None for the soft margin",
                found=f"margin {self.margin}",
                fix="use 0.3, or leave the margin out",
            )
        if self.on not in ("embedding", "pooled"):
            raise ExperimentError(
                "The triplet loss acts on 'embedding' or on 'pooled'",
                found=repr(self.on),
                fix="choose one of the two",
            )

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """See ``batch_hard_triplet``."""
        vectors = outputs.embedding if self.on == "embedding" else outputs.pooled
        return batch_hard_triplet(vectors, persons, margin=self.margin, normalize=self.normalize)


def batch_hard_triplet(
    embeddings: Embeddings, persons: PersonIds, margin: float | None = None, *, normalize: bool = False
) -> Scalar:
    """Batch-hard triplet loss with Euclidean distances (Hermans et al., arXiv 1703.07737).

    Args:
        embeddings: (B, D), any length.
        persons: (B,) identity of each image.
        margin: m > 0 of the hinge max(0, m + d_ap - d_an); None for the soft margin softplus(d_ap - d_an).
        normalize: Whether to scale embeddings to length 1 first.

    Returns:
        The mean over the anchors that have a positive and a negative in the batch, >= 0; 0 if there are none.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
        >>> batch_hard_triplet(embeddings, torch.tensor([0, 0, 1, 1]), margin=3.0)
        tensor(0.5000)
    """
    vectors = directions(embeddings) if normalize else embeddings
    triplets = hardest_triplets(vectors, persons)
    to_positive = euclidean_pairs(vectors, rows(vectors, triplets.positive))
    gap = to_positive - euclidean_pairs(vectors, rows(vectors, triplets.negative))
    return mean_over(functional.softplus(gap) if margin is None else (gap + margin).relu(), triplets.valid)


@dataclass(frozen=True, slots=True)
class Triplets:
    """One positive and one negative per anchor, as positions in the batch."""

    positive: Int64[Tensor, "batch"]
    """(B,) position of the anchor's positive; the anchor itself if it has none."""
    negative: Int64[Tensor, "batch"]
    """(B,) position of the anchor's negative; arbitrary if it has none."""
    valid: Bool[Tensor, "batch"]
    """(B,) True where the anchor has both."""


def hardest_triplets(vectors: Embeddings, persons: PersonIds) -> Triplets:
    """Farthest positive and nearest negative of each image of (B, D) by Euclidean distance; the first in the batch among equals."""
    distances = euclidean_matrix(vectors, vectors)
    positives, negatives = positive_mask(persons), negative_mask(persons)
    return Triplets(
        positive=distances.masked_fill(~positives, -1.0).argmax(dim=1),
        negative=distances.masked_fill(~negatives, torch.inf).argmin(dim=1),
        valid=positives.any(dim=1) & negatives.any(dim=1),
    )


def positive_mask(persons: PersonIds) -> Bool[Tensor, "batch batch"]:
    """True where row and column are two different images of one person."""
    same = persons[:, None] == persons[None, :]
    return same & ~torch.eye(len(persons), dtype=torch.bool, device=persons.device)


def negative_mask(persons: PersonIds) -> Bool[Tensor, "batch batch"]:
    """True where row and column are images of two persons."""
    return persons[:, None] != persons[None, :]


def mean_over(values: Tensor, valid: Bool[Tensor, "batch"]) -> Scalar:
    """Mean of ``values`` (B,) where ``valid``; 0, still differentiable, if none is. Does not synchronize with the device."""
    return torch.where(valid, values, 0.0).sum() / valid.sum().clamp_min(1)
