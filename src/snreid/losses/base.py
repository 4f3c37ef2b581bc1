"""The base class of losses, and their weighted sum. A loss sees ``Outputs`` and person indices, never a model."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from snreid.errors import ExperimentError
from snreid.outputs import Outputs
from snreid.tensors import PersonIds, Scalar


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss as a value. Subclasses are frozen keyword-only dataclasses without state; ``__call__`` computes the loss."""

    two_views: ClassVar[bool] = False
    """Whether the loss compares two views of each image."""
    weight: float = 1.0
    """Factor of this loss in the total, >= 0. ``__call__`` does not apply it."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ExperimentError(
                f"The weight of a loss is a finite number >= 0 ({type(self).__name__})",
                found=f"weight {self.weight}",
                fix="give a weight such as 1.0, or 0 to switch the loss off",
            )

    @property
    def name(self) -> str:
        """The name in the log: that of the class."""
        return type(self).__name__

    @property
    def memory(self) -> float | None:
        """Momentum of the prototypes that the loss needs, 0 to below 1; None if it needs none."""
        return None

    @abstractmethod
    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Computes the unweighted loss of a batch of B images.

        Args:
            outputs: What the model returned for the batch.
            persons: (B,) index of each image's identity in the joint training identity space.

        Returns:
            A scalar in float32 (float64 if the outputs are). It always depends on the outputs, so ``backward`` works even
            if nothing in the batch contributes.
        """


@dataclass(frozen=True, slots=True)
class LossParts:
    """The total loss and its parts."""

    total: Scalar
    """Sum of weight x loss: what is differentiated."""
    parts: Mapping[str, Scalar]
    """Weighted, detached value of each loss by name; a second loss of the same class is ``Name-2``."""


def memory_of(losses: Sequence[Loss]) -> float | None:
    """The momentum of the prototypes that ``losses`` share; None if they need no prototypes.

    Raises:
        ExperimentError: Two losses ask for different momenta.
    """
    momenta = {loss.memory for loss in losses if loss.weight > 0 and loss.memory is not None}
    if len(momenta) > 1:
        raise ExperimentError(
            "The losses of an experiment share one memory of prototypes",
            found=f"momentum {' and '.join(map(str, sorted(momenta)))}",
            fix="give them the same momentum",
        )
    return next(iter(momenta), None)


def total_loss(losses: Sequence[Loss], outputs: Outputs, persons: PersonIds) -> LossParts:
    """Sums weight x loss over ``losses`` (method.md section 2, "Total"). Losses of weight 0 are not computed.

    Args:
        losses: The losses of the experiment.
        outputs: What the model returned for a batch of B images.
        persons: (B,) index of each image's identity.

    Raises:
        ExperimentError: No loss has a positive weight.
    """
    active = [loss for loss in losses if loss.weight > 0]
    if not active:
        raise ExperimentError(
            "Training needs at least one loss with a positive weight",
            found=f"{len(losses)} losses, all of weight 0" if losses else "no loss",
            fix="add CrossEntropy() and Triplet()",
        )
    terms = [loss.weight * loss(outputs, persons) for loss in active]
    seen = Counter[str]()
    parts: dict[str, Scalar] = {}
    for loss, term in zip(active, terms, strict=True):
        seen[loss.name] += 1
        parts[loss.name if seen[loss.name] == 1 else f"{loss.name}-{seen[loss.name]}"] = term.detach()
    return LossParts(total=torch.stack(terms).sum(), parts=parts)
