"""What a model gives for a batch: one record, the same in every mode, and all that a loss may see."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from snreid.tensors import ChannelVectors, Embeddings, Logits


@dataclass(frozen=True, slots=True)
class StageVectors:
    """Pooled vectors of one SNR module (method.md 1.1), each (B, C), float32 under autocast too."""

    stage: int
    """Which backbone stage the module follows, counted from 1."""
    normalized: ChannelVectors
    """f~ = pool(F~)."""
    restored: ChannelVectors
    """f~+ = pool(F~ + R+): with the identity-relevant part given back."""
    contaminated: ChannelVectors
    """f~- = pool(F~ + R-): with the identity-irrelevant part given back."""
    constant: bool
    """True when f~ is the same vector for every image (``pool="mean"``): every distance between two f~ is exactly 0
    and must not be computed (method.md 1.2)."""
    logits: "StageLogits | None" = None
    """Scores of the stage's own linear classifier; present only for the journal's entropy form of the loss."""


@dataclass(frozen=True, slots=True)
class StageLogits:
    """Scores (B, persons) of one linear classifier per stage, shared by the three vectors (arXiv 2101.00588)."""

    normalized: Logits
    restored: Logits
    contaminated: Logits


@dataclass(frozen=True, slots=True)
class Prototypes:
    """One remembered embedding for each of the N training identities (``training.memory``)."""

    vectors: Float[Tensor, "persons dim"]
    """(N, D): L2-normalized; all 0 for a person whom no batch has shown yet."""
    sources: Int64[Tensor, "persons"]
    """(N,): of which source each person is, from 0."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """All that a loss may see of a batch of B images."""

    pooled: Embeddings
    """(B, D): global average pool of the last stage, before the BN neck."""
    embedding: Embeddings
    """(B, D): after the BN neck, not L2-normalized."""
    logits: Logits
    """(B, persons): bias-free classifier over the training identities."""
    stages: tuple[StageVectors, ...]
    """One entry per SNR module, in stage order; empty for every other scheme."""
    second: "Outputs | None" = None
    """The same for a second view of the same images, in the same order, where the experiment makes one."""
    prototypes: Prototypes | None = None
    """As they were before this batch; there when a loss asks for them (``Loss.memory``)."""
