"""FAMILY of losses. Each exists twice: as a pure function of tensors, and as a frozen ``Loss`` that an experiment lists.

from snreid.losses import batch_hard_triplet

loss = batch_hard_triplet(embeddings, persons, margin=0.3)      # (B, D), (B,) -> scalar
"""

from snreid.losses.base import Loss, LossParts, memory_of, total_loss
from snreid.losses.causality import DualCausality, dual_causality
from snreid.losses.circle import Circle, circle
from snreid.losses.entropy import EntropyCausality, entropy_causality
from snreid.losses.identity import CrossEntropy, cross_entropy
from snreid.losses.triplet import Triplet, batch_hard_triplet
from snreid.losses.uniformity import (
    Alignment,
    DomainUniformity,
    Uniformity,
    alignment,
    domain_uniformity,
    uniformity,
)

__all__ = [
    "Alignment",
    "Circle",
    "CrossEntropy",
    "DomainUniformity",
    "DualCausality",
    "EntropyCausality",
    "Loss",
    "LossParts",
    "Triplet",
    "Uniformity",
    "alignment",
    "batch_hard_triplet",
    "circle",
    "cross_entropy",
    "domain_uniformity",
    "dual_causality",
    "entropy_causality",
    "memory_of",
    "total_loss",
    "uniformity",
]
