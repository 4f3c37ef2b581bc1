"""Dual causality loss by entropies, the journal form (Jin et al., IEEE TMM 2021, arXiv 2101.00588; method.md section 2).

phi = softmax of a linear classifier on the pooled vector, H its entropy:
L+ = sp(H(f~+) - H(f~)),  L- = sp(H(f~) - H(f~-)). It needs no pairs of images, so it serves any classifier.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from snreid.distances import at_least_float32
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.losses.causality import Terms, check_stage_choices, weighted_stages
from snreid.outputs import Outputs
from snreid.tensors import Logits, PersonIds, Scalar


@dataclass(frozen=True, kw_only=True)
class EntropyCausality(Loss):
    """Sum over stages of stage weight x (L+ + L-); 2 ln 2 per unit of stage weight where the three vectors agree."""

    stage_weights: tuple[float, ...] = (0.1, 0.1, 0.5, 0.5)
    """lambda_b of backbone stages 1, 2, ... (>= 0; 0 leaves a stage out)."""
    terms: Terms = "both"
    """L+ and L-, only L+ (``clarification``), or only L- (``destruction``)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stage_choices(self.stage_weights, self.terms)

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Weighted sum over stages. Raises ``ExperimentError`` if the model has no weighted SNR stage, or its stages no classifiers."""
        losses = []
        for stage, weight in weighted_stages(outputs.stages, self.stage_weights):
            logits = stage.logits
            if logits is None:
                raise ExperimentError(
                    "The entropy form of the causality loss needs a classifier at every SNR stage",
                    found=f"no scores at stage {stage.stage}",
                    fix="build the SNR scheme with stage classifiers, or use DualCausality",
                )
            loss = entropy_causality(logits.normalized, logits.restored, logits.contaminated, terms=self.terms)
            losses.append(weight * loss)
        return torch.stack(losses).sum()


def entropy_causality(normalized: Logits, restored: Logits, contaminated: Logits, *, terms: Terms = "both") -> Scalar:
    """L+ + L- of one stage by entropies (Jin et al., arXiv 2101.00588), averaged over the B images.

    Args:
        normalized: (B, N) scores of f~.
        restored: (B, N) scores of f~+.
        contaminated: (B, N) scores of f~-.
        terms: L+ and L- (``both``), only L+ (``clarification``), or only L- (``destruction``).

    Returns:
        The loss, 0 to 2 softplus(ln N); 2 ln 2 where the three agree.

    Example:
        >>> import torch
        >>> unsure, sure = torch.zeros(1, 4), torch.tensor([[9.0, 0.0, 0.0, 0.0]])
        >>> entropy_causality(unsure, restored=sure, contaminated=unsure)
        tensor(0.9170)
    """
    middle = entropy(normalized)
    loss = middle.new_zeros(())
    if terms != "destruction":
        loss = loss + functional.softplus(entropy(restored) - middle).mean()
    if terms != "clarification":
        loss = loss + functional.softplus(middle - entropy(contaminated)).mean()
    return loss


def entropy(logits: Logits) -> Float[Tensor, "batch"]:
    """Entropy of softmax(logits) in nats, (B,), 0 to ln N; finite for all finite scores."""
    log_share = functional.log_softmax(at_least_float32(logits), dim=1)
    return -(log_share.exp() * log_share).sum(dim=1)
