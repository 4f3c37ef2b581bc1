"""The ReID head of every scheme: pool, BN neck, bias-free classifier (method.md section 3; Luo et al., arXiv 1903.07071).

The classifier is linear, or uses cosine scores (NormFace, arXiv 1704.06369; CosFace, arXiv 1801.09414).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from snreid.distances import directions
from snreid.errors import ExperimentError
from snreid.models.kernels import without_autocast
from snreid.models.snr import Layout
from snreid.tensors import Embeddings, Logits

TokenPool = Literal["mean", "class"]
"""How a sequence of tokens is pooled: the mean of its patch tokens, or its class token."""

Classifier = Literal["linear", "cosine"]
"""How an embedding is scored against the weight of each identity: by inner product or by cosine."""

_STD: dict[Classifier, float] = {"linear": 0.001, "cosine": 0.01}
"""Of the initial weights. For a cosine only their direction counts; their length is far above ``distances.NORM_FLOOR``."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """How final maps become an embedding and scores. Raises ``ExperimentError`` for an unknown choice."""

    token_pool: TokenPool = "mean"
    """For backbones with tokens; maps are always averaged."""
    stage_classifiers: bool = False
    """One linear classifier per SNR stage, shared by f~, f~+ and f~-, for the journal's entropy form of the loss."""
    classifier: Classifier = "linear"
    """``linear``: scores are inner products with the identities' weights, as published. ``cosine``: cosines between -1 and 1; the
    cross-entropy then needs a ``scale``. Stage classifiers are always linear."""

    def __post_init__(self) -> None:
        if self.token_pool not in get_args(TokenPool):
            raise ExperimentError(
                "token_pool must be a known one",
                found=repr(self.token_pool),
                fix=f"choose one of {', '.join(get_args(TokenPool))}",
            )
        if self.classifier not in get_args(Classifier):
            raise ExperimentError(
                "The classifier is 'linear' or 'cosine'", found=repr(self.classifier), fix="choose one of the two"
            )

    def build(
        self, channels: int, persons: int, *, layout: Layout = "nchw", prefix_tokens: int = 0
    ) -> "NeckClassifier":
        """The module for final maps of ``channels`` channels and ``persons`` training identities."""
        if self.token_pool == "class" and (layout != "tokens" or prefix_tokens < 1):
            raise ExperimentError(
                "token_pool='class' needs a backbone with a class token",
                found=f"final maps in layout {layout} with {prefix_tokens} class tokens",
                fix="take token_pool='mean'",
            )
        return NeckClassifier(channels, persons, self.token_pool, layout, prefix_tokens, self.classifier)


class NeckClassifier(nn.Module):
    """GAP -> BatchNorm1d with its bias frozen at 0 -> embedding -> classifier without bias, linear or by cosine."""

    def __init__(
        self,
        channels: int,
        persons: int,
        token_pool: TokenPool,
        layout: Layout,
        prefix_tokens: int,
        scoring: Classifier = "linear",
    ) -> None:
        super().__init__()
        self.scoring = scoring
        self.token_pool, self.layout, self.prefix_tokens = token_pool, layout, prefix_tokens
        self.neck = nn.BatchNorm1d(channels)
        self.neck.bias.requires_grad_(False)
        self.classifier = linear_classifier(channels, persons, std=_STD[scoring])

    def pool(self, maps: Tensor) -> Embeddings:
        """Final maps or tokens in the head's layout -> (B, D), float32 at least."""
        wide = maps if maps.dtype == torch.float64 else maps.float()
        if self.layout == "nchw":
            return wide.mean((2, 3))
        if self.layout == "nhwc":
            return wide.mean((1, 2))
        return wide[:, 0] if self.token_pool == "class" else wide[:, self.prefix_tokens :].mean(1)

    def embed(self, pooled: Embeddings) -> Embeddings:
        """(B, D) -> (B, D): through the neck, not L2-normalized."""
        embedding: Tensor = self.neck(as_weights(pooled, self.neck))
        return embedding

    def forward(self, embedding: Embeddings) -> Logits:
        """(B, D) -> (B, persons): products with the rows of the weight, or cosines, in float32 at least."""
        if self.scoring == "cosine":
            with without_autocast(embedding):
                return directions(embedding) @ directions(self.classifier.weight).T
        logits: Tensor = self.classifier(as_weights(embedding, self.classifier))
        return logits


def as_weights(vectors: Tensor, layer: nn.BatchNorm1d | nn.Linear) -> Tensor:
    """``vectors`` in the dtype of the layer's weight: a model cast as a whole (``model.bfloat16()``) still pools in float32.

    In any other model they are returned unchanged, without an operator in a traced graph.
    """
    return vectors if vectors.dtype == layer.weight.dtype else vectors.to(layer.weight.dtype)


def linear_classifier(channels: int, persons: int, *, std: float = _STD["linear"]) -> nn.Linear:
    """A bias-free linear layer over the training identities, normal with standard deviation ``std``."""
    if persons < 1:
        raise ExperimentError("A classifier needs at least one training identity", found=f"persons={persons}")
    layer = nn.Linear(channels, persons, bias=False)
    nn.init.normal_(layer.weight, std=std)
    return layer
