"""Identity loss: cross-entropy with label smoothing over the training identities (method.md section 3).

For scores that are cosines: a scale, without which a softmax of numbers between -1 and 1 stays nearly uniform, and a margin
(CosFace, Wang et al., arXiv 1801.09414).
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from snreid.distances import full_precision
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.outputs import Outputs
from snreid.tensors import Logits, PersonIds, Scalar


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """L_id: cross-entropy of the classifier, averaged over the batch, in nats; >= 0."""

    label_smoothing: float = 0.1
    """Share of the target spread evenly over all N identities, 0 <= share < 1."""
    scale: float = 1.0
    """Scores are multiplied by this before the softmax, > 0; 20 to 64 for a cosine classifier."""
    margin: float = 0.0
    """Subtracted from the score of an image's own identity before that, 0 to below 1. For a cosine classifier only, 0.35 as published."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for a smoothing or a margin outside [0, 1), or a scale that is not positive."""
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise ExperimentError(
                "Label smoothing is a share of at least 0 and below 1",
                found=str(self.label_smoothing),
                fix="use 0.1, or 0 for plain cross-entropy",
            )
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ExperimentError(
                "The scale of the cross-entropy is positive",
                found=f"scale {self.scale}",
                fix="use 1, or 20 with a cosine classifier",
            )
        if not 0 <= self.margin < 1:
            raise ExperimentError(
                "The margin of the cross-entropy is at least 0 and below 1",
                found=f"margin {self.margin}",
                fix="use 0, or 0.35 with a cosine classifier",
            )

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """See ``smoothed_cross_entropy``, of the scores after margin and scale."""
        logits = outputs.logits
        if self.margin > 0:
            logits = with_margin(logits, persons, self.margin)
        if self.scale != 1:
            logits = self.scale * full_precision(logits)
        return smoothed_cross_entropy(logits, persons, self.label_smoothing)


def with_margin(logits: Logits, persons: PersonIds, margin: float) -> Logits:
    """(B, N) scores, ``margin`` less where the column is the row's own identity."""
    logits = full_precision(logits)
    own = persons[:, None] == torch.arange(logits.shape[1], device=logits.device)
    return torch.where(own, logits - margin, logits)


def smoothed_cross_entropy(logits: Logits, persons: PersonIds, smoothing: float) -> Scalar:
    """Mean over images of -sum_k q_k log softmax(logits)_k with q = (1 - smoothing) onehot + smoothing / N.

    ``logits``: (B, N); ``persons``: (B,) between 0 and N - 1 (``IndexError`` from torch otherwise).
    """
    return functional.cross_entropy(full_precision(logits), persons, label_smoothing=smoothing)
