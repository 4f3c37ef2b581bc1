"""Circle loss on pairs (Sun et al., CVPR 2020, arXiv 2002.10857, eq. 6 and 8).

For an anchor, its cosines s_p to every other image of its person and s_n to every image of another person in the batch:

    log(1 + sum over n of exp(scale a_n (s_n - m)) x sum over p of exp(-scale a_p (s_p - (1 - m))))

with a_p = max(0, 1 + m - s_p) and a_n = max(0, s_n + m), both without gradient: the farther a pair is from its optimum, the larger its
weight.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional

from snreid.distances import directions
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.losses.triplet import mean_over, negative_mask, positive_mask
from snreid.outputs import Outputs
from snreid.tensors import Embeddings, PersonIds, Scalar

_OUT = -1e9
"""The exponent of a pair that does not count. Not -inf, which has no gradient where all pairs of an anchor have it."""


@dataclass(frozen=True, kw_only=True)
class Circle(Loss):
    """L_circle: all positives and negatives of each anchor, by cosine; >= 0. Defaults are the published settings."""

    margin: float = 0.25
    """m, 0 to below 1: cosines should be above 1 - m for one person and below m for two."""
    scale: float = 128.0
    """gamma, > 0."""
    on: Literal["embedding", "pooled"] = "embedding"
    """Which vector: ``embedding`` after the BN neck, or ``pooled`` before it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.margin < 1 or not (math.isfinite(self.scale) and self.scale > 0):
            raise ExperimentError(
                "The circle loss has a margin of at least 0 and below 1, and a positive scale",
                found=f"margin {self.margin}, scale {self.scale}",
                fix="use 0.25 and 128",
            )
        if self.on not in ("embedding", "pooled"):
            raise ExperimentError(
                "The circle loss acts on 'embedding' or on 'pooled'", found=repr(self.on), fix="choose one of the two"
            )

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """See ``circle``."""
        vectors = outputs.embedding if self.on == "embedding" else outputs.pooled
        return circle(vectors, persons, self.margin, self.scale)


def circle(embeddings: Embeddings, persons: PersonIds, margin: float = 0.25, scale: float = 128.0) -> Scalar:
    """Circle loss by cosine (Sun et al., arXiv 2002.10857, eq. 6 and 8).

    Args:
        embeddings: (B, D), any length.
        persons: (B,) identity of each image.
        margin: m, 0 to below 1.
        scale: gamma, > 0.

    Returns:
        The mean over the anchors that have a positive and a negative in the batch, >= 0; 0 if there are none.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        >>> circle(embeddings, torch.tensor([0, 1, 0, 1]), margin=0.25, scale=1.0)
        tensor(2.2945)
    """
    units = directions(embeddings)
    cosines: Tensor = units @ units.T
    positives, negatives = positive_mask(persons), negative_mask(persons)
    fixed = cosines.detach()
    apart = -scale * (1 + margin - fixed).relu() * (cosines - (1 - margin))
    close = scale * (fixed + margin).relu() * (cosines - margin)
    exponent = apart.masked_fill(~positives, _OUT).logsumexp(1) + close.masked_fill(~negatives, _OUT).logsumexp(1)
    return mean_over(functional.softplus(exponent), positives.any(dim=1) & negatives.any(dim=1))
