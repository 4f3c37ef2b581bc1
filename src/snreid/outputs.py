"""The outputs of a model for a batch: one record, the same in every mode, and the only input of a loss."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from snreid.tensors import ChannelVectors, Embeddings, Logits


@dataclass(frozen=True, slots=True)
class StageVectors:
    """Pooled vectors of one SNR module (method.md 1.1), each (B, C), float32 under autocast too."""

    stage: int
    """Backbone stage that the module follows, counted from 1."""
    normalized: ChannelVectors
    """f~ = pool(F~)."""
    restored: ChannelVectors
    """f~+ = pool(F~ + R+): with the identity-relevant part restored."""
    contaminated: ChannelVectors
    """f~- = pool(F~ + R-): with the identity-irrelevant part restored."""
    constant: bool
    """True if f~ is the same vector for every image (``pool="mean"``): all distances between f~ are exactly 0 and must
    not be computed (method.md 1.2)."""
    logits: "StageLogits | None" = None
    """Scores of the stage's linear classifier; only for the entropy form of the loss in the journal version."""


@dataclass(frozen=True, slots=True)
class StageLogits:
    """Scores (B, persons) of one linear classifier per stage, shared by the three vectors (arXiv 2101.00588)."""

    normalized: Logits
    restored: Logits
    contaminated: Logits


@dataclass(frozen=True, slots=True)
class Prototypes:
    """One prototype embedding for each of the N training identities (``training.memory``)."""

    vectors: Float[Tensor, "persons dim"]
    """(N, D): L2-normalized; all 0 for a person not seen in any batch yet."""
    sources: Int64[Tensor, "persons"]
    """(N,): source of each person, from 0."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs for a batch of B images: the only input of a loss."""

    pooled: Embeddings
    """(B, D): global average pool of the last stage, before the BN neck."""
    embedding: Embeddings
    """(B, D): after the BN neck, not L2-normalized."""
    logits: Logits
    """(B, persons): bias-free classifier over the training identities."""
    stages: tuple[StageVectors, ...]
    """One entry per SNR module, in stage order; empty for every other scheme."""
    second: "Outputs | None" = None
    """Outputs for a second view of the same images, in the same order, if the experiment has one."""
    prototypes: Prototypes | None = None
    """Prototypes before this batch; present if a loss needs them (``Loss.memory``)."""
