"""Identity loss: cross-entropy with label smoothing over the training identities (method.md section 3).

For scores that are cosines it has a scale, without which the softmax of numbers between -1 and 1 stays nearly uniform, and a margin
(CosFace, Wang et al., arXiv 1801.09414).
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from snreid.distances import at_least_float32
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
        """See ``cross_entropy``."""
        return cross_entropy(outputs.logits, persons, self.label_smoothing, scale=self.scale, margin=self.margin)


def cross_entropy(
    logits: Logits, persons: PersonIds, label_smoothing: float = 0.1, *, scale: float = 1.0, margin: float = 0.0
) -> Scalar:
    """Cross-entropy with label smoothing, for linear and for cosine classifiers.

    The mean over images of -sum_k q_k log softmax(scale (logits - margin onehot))_k with
    q = (1 - label_smoothing) onehot + label_smoothing / N.

    Args:
        logits: (B, N) scores over the training identities.
        persons: (B,) identity of each image, 0 to N - 1.
        label_smoothing: Share of the target spread over all identities, 0 to below 1.
        scale: Factor of the scores, > 0; 20 to 64 if they are cosines.
        margin: Subtracted from the score of the image's own identity (CosFace, arXiv 1801.09414), 0 to below 1.

    Returns:
        The loss in nats, >= 0.

    Example:
        >>> import torch
        >>> cosines = torch.tensor([[0.9, 0.1, -0.2], [0.0, 0.7, 0.3]])
        >>> cross_entropy(cosines, torch.tensor([0, 1]), label_smoothing=0.0, scale=20.0, margin=0.35)
        tensor(0.1570)
    """
    logits = at_least_float32(logits)
    if margin > 0:
        target = persons[:, None] == torch.arange(logits.shape[1], device=logits.device)
        logits = torch.where(target, logits - margin, logits)
    if scale != 1:
        logits = scale * logits
    return functional.cross_entropy(logits, persons, label_smoothing=label_smoothing)
