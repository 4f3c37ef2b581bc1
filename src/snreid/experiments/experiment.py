"""An experiment: every setting that determines a model, as one value that converts to and from JSON."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import snreid.datasets  # noqa: F401  (registers the data sets that a file may name)
from snreid.errors import ExperimentError
from snreid.experiments.serialization import from_json, to_json
from snreid.images.second_view import SecondView
from snreid.images.transforms import Augmentation, InputFormat
from snreid.losses import CrossEntropy, DualCausality, EntropyCausality, Loss, Triplet, memory_of
from snreid.models.reid import ModelConfig
from snreid.models.schemes import StageSNR
from snreid.records import DataSet
from snreid.training.optim import Adam, Optim, Schedule, WarmupCosine
from snreid.training.sampling import Sampling
from snreid.training.training_set import Validation


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Every setting that affects the weights. Machine settings (devices, folders, workers) are in ``machine.Machine``."""

    recipe: str = "snr"
    """Name of the scheme in tables and folders."""
    preset: str = "small"
    """Preset that the settings come from; report it with results (method.md 4)."""
    sources: tuple[DataSet, ...] = ()
    """Data sets to train on, in one joint identity space."""
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    """Backbone, normalization scheme and head."""
    losses: tuple[Loss, ...] = (CrossEntropy(), Triplet())
    """Summed with their weights."""
    input: InputFormat = InputFormat()
    """Size and normalization of the network's input."""
    augmentation: Augmentation = Augmentation()
    """Random changes to training images."""
    second_view: SecondView | None = None
    """A second, strongly augmented view of each image, for losses that compare the two; None: no such view."""
    sampling: Sampling = Sampling()
    """How batches are drawn."""
    optimizer: Optim = Adam()
    """Update rule and learning rate."""
    schedule: Schedule = WarmupCosine()
    """Learning-rate factor over epochs."""
    epochs: int = 120
    """Passes over the training set."""
    batches_per_epoch: int | None = None
    """Steps in an epoch; None: images / batch size."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one optimizer step. Mining and normalization stay within each batch; epochs and the schedule
    still count batches."""
    freeze_stages: int = 0
    """Number of first backbone stages (0 to 4) that, with all before them, keep their weights and running statistics for good."""
    freeze_epochs: int = 0
    """Number of first epochs in which the whole backbone is frozen, and only the head and modules after stages train."""
    ema: float = 0.0
    """Decay per step, in [0, 1), of a moving average of the weights, which is then validated and saved; 0: none."""
    start: str = ""
    """Folder of a finished run whose whole model is the starting point, instead of pretrained weights; empty: none."""
    start_share: float = 0.0
    """Share of the weights of ``start``, in [0, 1), in the weights that are saved: the rest is what was trained (WiSE-FT, arXiv
    2109.01903). Held-out identities are scored with what was trained."""
    validation: Validation = Validation()
    """Held-out source identities."""
    metric: Literal["cosine", "euclidean"] = "cosine"
    """How embeddings are compared."""
    seed: int = 0
    """All randomness is a pure function of it."""

    def __post_init__(self) -> None:
        if not self.recipe.strip() or self.recipe.startswith(".") or any(c in self.recipe for c in "/\\\0"):
            raise ExperimentError(
                "The recipe's name becomes part of a folder's name",
                found=repr(self.recipe),
                fix="give a name without slashes that does not begin with a dot",
            )
        if (
            self.epochs < 1
            or (self.batches_per_epoch is not None and self.batches_per_epoch < 1)
            or not 0 <= self.seed < 2**32
        ):
            raise ExperimentError(
                "Epochs and batches per epoch must be at least 1, the seed between 0 and 2^32 - 1",
                found=f"epochs {self.epochs}, batches per epoch {self.batches_per_epoch}, seed {self.seed}",
                fix="correct the flag",
            )
        if self.schedule.warmup_epochs >= self.epochs and self.schedule.warmup_epochs > 0:
            raise ExperimentError(
                "The warm-up must end before training does",
                found=f"{self.schedule.warmup_epochs:g} warm-up epochs of {self.epochs}",
                fix=f"train for longer (--epochs {math.floor(self.schedule.warmup_epochs) + 1}), or leave the warm-up out: "
                f"--epochs {self.epochs} --schedule.warmup-epochs 0",
            )
        if self.accumulate < 1:
            raise ExperimentError(
                "A step takes at least one batch",
                found=f"accumulate {self.accumulate}",
                fix="use --accumulate 1, or 2 for the gradient of two batches",
            )
        self._require_training_parts()
        causal = [
            loss for loss in self.losses if isinstance(loss, DualCausality | EntropyCausality) and loss.weight > 0
        ]
        if causal and not isinstance(self.model.scheme, StageSNR):
            raise ExperimentError(
                "A causality loss needs a scheme with SNR modules",
                found=f"{type(causal[0]).__name__} with {type(self.model.scheme).__name__}",
                fix="use the recipe snr, or remove the loss",
            )

        comparing = [loss for loss in self.losses if loss.two_views and loss.weight > 0]
        if comparing and self.second_view is None:
            raise ExperimentError(
                "A loss that compares two views needs a second view of each image",
                found=f"{comparing[0].name} without one",
                fix="use the recipe bau, or remove the loss",
            )
        memory_of(self.losses)
        self._check_classifier()

    def _check_classifier(self) -> None:
        """Raises ``ExperimentError`` if the cross-entropy does not fit the classifier."""
        cosine = self.model.head.classifier == "cosine"
        for number, loss in enumerate(self.losses):
            if not isinstance(loss, CrossEntropy) or loss.weight == 0:
                continue
            if loss.margin > 0 and not cosine:
                raise ExperimentError(
                    "A margin of the cross-entropy needs scores that are cosines",
                    found=f"margin {loss.margin} with a linear classifier",
                    fix=f"add --model.head.classifier cosine --losses.{number}.scale 20, or leave the margin out",
                )
            if cosine and loss.scale <= 1:
                raise ExperimentError(
                    "The softmax of cosines is nearly uniform without a scale, and nothing is learned",
                    found=f"a cosine classifier with scale {loss.scale:g}",
                    fix=f"use scale 20 (--losses.{number}.scale 20)",
                )

    def _require_training_parts(self) -> None:
        if not 0 <= self.freeze_stages <= 4 or not 0 <= self.freeze_epochs < self.epochs:
            raise ExperimentError(
                "0 to 4 stages can be frozen, and the backbone for fewer epochs than there are",
                found=f"freeze_stages {self.freeze_stages}, freeze_epochs {self.freeze_epochs} of {self.epochs} epochs",
                fix="use --freeze-stages 1, --freeze-epochs 5, or 0 for none",
            )
        if not 0 <= self.ema < 1:
            raise ExperimentError(
                "The decay of averaged weights is at least 0 and below 1",
                found=f"ema {self.ema}",
                fix="use --ema 0.999, or 0 for none",
            )
        if not 0 <= self.start_share < 1 or (self.start_share and not self.start):
            raise ExperimentError(
                "The share of the start's weights is at least 0 and below 1, and above 0 only with a start",
                found=f"start_share {self.start_share}, start {self.start!r}",
                fix="use --start RUN --start-share 0.3, or 0 for none",
            )

    def to_json(self) -> Any:
        """The experiment as JSON; ``Experiment.from_json`` reads it back equal."""
        return to_json(self)

    @classmethod
    def from_json(cls, data: Any) -> "Experiment":
        """Raises ``ExperimentError`` naming the field that is wrong."""
        return from_json(cls, data)

    def is_in(self, stored: Any) -> bool:
        """Whether the JSON ``stored`` describes this experiment; an older version may have written fewer fields."""
        try:
            return Experiment.from_json(stored) == self
        except ExperimentError:
            return False
