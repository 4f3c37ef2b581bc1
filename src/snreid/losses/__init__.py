"""FAMILY of losses: frozen values that turn a batch's ``Outputs`` and its persons into one number.

A loss sees ``Outputs`` and person indices, never a model. ``total_loss`` sums several by their weights and keeps
the parts for the log.
"""

from snreid.losses.base import Loss, LossParts, memory_of, total_loss
from snreid.losses.causality import DualCausality
from snreid.losses.circle import Circle
from snreid.losses.entropy import EntropyCausality
from snreid.losses.identity import CrossEntropy
from snreid.losses.triplet import Triplet
from snreid.losses.uniformity import Alignment, DomainUniformity, Uniformity

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
    "memory_of",
    "total_loss",
]
