"""Dual causality loss by entropies, the journal form (Jin et al., IEEE TMM 2021, arXiv 2101.00588; method.md
section 2).

phi = softmax of a linear classifier on the pooled vector, H its entropy:
L+ = sp(H(f~+) - H(f~)),  L- = sp(H(f~) - H(f~-)). No pairs of images are needed, so it serves any classifier.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from snreid.distances import full_precision
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.losses.causality import Terms, check_stage_choices, weighted_stages
from snreid.outputs import Outputs, StageLogits
from snreid.tensors import Logits, PersonIds, Scalar


@dataclass(frozen=True, kw_only=True)
class EntropyCausality(Loss):
    """Sum over stages of stage weight x (L+ + L-); 2 ln 2 per unit of stage weight where the three vectors agree."""

    stage_weights: tuple[float, ...] = (0.1, 0.1, 0.5, 0.5)
    """lambda_b of backbone stages 1, 2, ... (>= 0; 0 leaves a stage out)."""
    terms: Terms = "both"
    """Which half acts: L+ and L-, only L+ (``clarification``), or only L- (``destruction``)."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for an unknown term or unusable stage weights."""
        super().__post_init__()
        check_stage_choices(self.stage_weights, self.terms)

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Weighted sum over stages; ``persons`` is not looked at.

        Raises ``ExperimentError`` when the model has no weighted SNR stage, or its stages have no classifiers.
        """
        losses = []
        for stage, weight in weighted_stages(outputs.stages, self.stage_weights):
            if stage.logits is None:
                raise ExperimentError(
                    "The entropy form of the causality loss needs a classifier at every SNR stage",
                    found=f"no scores at stage {stage.stage}",
                    fix="build the SNR scheme with stage classifiers, or use DualCausality",
                )
            losses.append(weight * entropy_causality(stage.logits, terms=self.terms))
        return torch.stack(losses).sum()


def entropy_causality(logits: StageLogits, *, terms: Terms = "both") -> Scalar:
    """L+ + L- of one stage, averaged over the B images. Three (B, N) score matrices in; value in [0, 2 softplus(ln
    N)]."""
    normalized = entropy(logits.normalized)
    loss = normalized.new_zeros(())
    if terms != "destruction":
        loss = loss + functional.softplus(entropy(logits.restored) - normalized).mean()
    if terms != "clarification":
        loss = loss + functional.softplus(normalized - entropy(logits.contaminated)).mean()
    return loss


def entropy(logits: Logits) -> Float[Tensor, "batch"]:
    """Entropy of softmax(logits) in nats, (B,), between 0 and ln N; finite for every finite score, as the log is
    of no product."""
    log_share = functional.log_softmax(full_precision(logits), dim=1)
    return -(log_share.exp() * log_share).sum(dim=1)
