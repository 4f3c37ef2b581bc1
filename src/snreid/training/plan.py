"""The input of the training loop: model, images, losses and settings as built objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snreid.images.second_view import SecondView
from snreid.images.transforms import Augmentation, InputFormat, StoredImages
from snreid.losses import Loss
from snreid.records import Split
from snreid.system.machine import Precision
from snreid.training.averaging import Average
from snreid.training.optim import Optim, Schedule


class Images(Protocol):
    """The source of pixels: a ``PixelStore``, or several of them as one."""

    @property
    def split(self) -> Split:
        """The images as samples; their names appear in messages."""

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[StoredImages]:
        """uint8 images (B, 3, H, W) of each index batch, in order."""


class Batches(Protocol):
    """A batch sampler: ``IdentityBatches``, or that of an adaptation."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """Returns all batches of an epoch, of equal length; always the same ones, also after a resume."""

    def share(self, batch: NDArray[np.int64], rank: int, world: int) -> NDArray[np.int64]:
        """The part of a batch that process ``rank`` of ``world`` trains on."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """All that the loop needs, as built objects and values; no folders."""

    model: nn.Module
    """Images -> ``Outputs``; already on its device. Each checkpoint saves all its parameters and buffers."""
    losses: tuple[Loss, ...]
    store: Images
    """Opened; row i belongs to ``persons[i]``."""
    persons: NDArray[np.int64]
    """(N,) label of each image for the losses: its joint identity."""
    batches: Batches
    augmentation: Augmentation
    input: InputFormat
    optim: Optim
    schedule: Schedule
    epochs: int
    seed: int
    accumulate: int = 1
    """Batches whose gradients are averaged for one optimizer step; the last step of an epoch takes the rest. Mining and normalization
    stay within each batch."""
    precision: Precision = "float32"
    """With bf16 or fp16 the forward pass runs under autocast; weights, losses and optimizer stay float32. fp16 scales the loss."""
    compiler: str | None = None
    """Backend of ``torch.compile`` for the objective; None: eager."""
    second_view: SecondView | None = None
    """A second view of each image; a batch is then all first views followed by all second views. None: one view."""
    average: Average | None = None
    """Moving average of ``model`` or a part of it, updated after each step and kept in checkpoints; None: no average."""
    objective: nn.Module | None = None
    """(normalized images, persons) -> (total, weighted parts by name), as ``Objective``; None: ``losses`` of the ``model``'s outputs.
    It trains the parameters of ``model`` and keeps its state in buffers of ``model``."""

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return -(-len(self.batches) // self.accumulate)

    def first_images(self, batches: int, device: torch.device) -> list[Tensor]:
        """The first ``batches`` batches of epoch 0, normalized but not augmented: (B, 3, H, W) each, on the device."""
        stored = self.store.batches(self.batches.epoch(0)[:batches])
        return [self.input.normalize(images.to(device)) for images in stored]
