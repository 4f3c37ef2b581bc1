"""The base class of losses, and their weighted sum."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from snreid.errors import ExperimentError
from snreid.outputs import Outputs
from snreid.tensors import PersonIds, Scalar


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss as a value. Subclasses are frozen keyword-only dataclasses, stateless, and do the work in ``__call__``."""

    weight: float = 1.0
    """Factor of this loss in the total, >= 0. Not yet inside what ``__call__`` returns."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for a negative or non-finite weight."""
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ExperimentError(
                f"The weight of a loss is a finite number >= 0 ({type(self).__name__})",
                found=f"weight {self.weight}",
                fix="give a weight such as 1.0, or 0 to switch the loss off",
            )

    @property
    def name(self) -> str:
        """Under which the loss is logged: the class name."""
        return type(self).__name__

    @property
    def memory(self) -> float | None:
        """How much of a person's prototype stays when an image of the person comes, 0 to below 1; None: the loss needs no prototypes."""
        return None

    @property
    def two_views(self) -> bool:
        """Whether the loss compares two views of the images."""
        return False

    @abstractmethod
    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """The loss of a batch of B images, unweighted, in float32 (float64 if the outputs are).

        ``persons``: (B,) index of each image's identity in the joint training identity space.
        Always connected to the outputs, so ``backward`` works even where nothing in the batch contributes.
        """


@dataclass(frozen=True, slots=True)
class LossParts:
    """A total and what it is made of."""

    total: Scalar
    """Sum of weight x loss: what is differentiated."""
    parts: Mapping[str, Scalar]
    """Weighted, detached contribution of each loss by name; a second loss of the same class is ``Name-2``."""


def memory_of(losses: Sequence[Loss]) -> float | None:
    """The momentum of the prototypes that ``losses`` need; None when they need none. Raises ``ExperimentError`` for two different ones."""
    wanted = {loss.memory for loss in losses if loss.weight > 0 and loss.memory is not None}
    if len(wanted) > 1:
        raise ExperimentError(
            "The losses of an experiment share one memory of prototypes",
            found=f"momentum {' and '.join(map(str, sorted(wanted)))}",
            fix="give them the same momentum",
        )
    return next(iter(wanted), None)


def total_loss(losses: Sequence[Loss], outputs: Outputs, persons: PersonIds) -> LossParts:
    """Sum over losses of weight x loss (method.md section 2, "Total"). Losses of weight 0 are not computed.

    Raises ``ExperimentError`` when no loss has a positive weight.
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
