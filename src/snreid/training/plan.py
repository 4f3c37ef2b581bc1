"""What the loop trains, on what and how, as one value of built objects."""

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
    """Where the loop gets pixels: a ``PixelStore``, or several of them as one."""

    @property
    def split(self) -> Split:
        """Names of the images, for messages."""
        ...

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[StoredImages]:
        """uint8 images (B, 3, H, W) of each index batch, in order."""
        ...


class Batches(Protocol):
    """Which images make a batch: ``IdentityBatches``, or what an adaptation draws."""

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """All batches of an epoch, of one length; the same ones whenever it is asked, also after a resume."""
        ...

    def share(self, batch: NDArray[np.int64], rank: int, world: int) -> NDArray[np.int64]:
        """The part of a batch that process ``rank`` of ``world`` trains on."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What is trained, on what, how: built objects and values, no folders."""

    model: nn.Module
    """Images -> ``Outputs``; on its device already. All its parameters and buffers are saved with each checkpoint."""
    losses: tuple[Loss, ...]
    store: Images
    """Opened; positions are those of ``persons``."""
    persons: NDArray[np.int64]
    """(N,) what the losses are told of each image: its joint identity."""
    batches: Batches
    augmentation: Augmentation
    input: InputFormat
    optim: Optim
    schedule: Schedule
    epochs: int
    seed: int
    accumulate: int = 1
    """Batches whose gradients are averaged for one step of the optimizer; the last step of an epoch takes what is left. Each batch is
    mined and normalized by itself."""
    precision: Precision = "float32"
    """bf16, fp16: forward pass under autocast; weights, losses and optimizer stay float32. fp16 scales the loss."""
    compiler: str | None = None
    """A backend of ``torch.compile`` for the objective; None: eager."""
    second_view: SecondView | None = None
    """What else the objective sees of each image: the views of a batch are joined, first all first ones. None: nothing."""
    average: Average | None = None
    """Of ``model`` or of a part of it, moved after each step and kept in checkpoints; None: no such average."""
    objective: nn.Module | None = None
    """(normalized images, persons) -> (total, weighted parts by name), as ``Objective``; None: ``losses`` of the ``model``'s outputs.
    It trains the parameters of ``model``, and what it remembers from step to step are buffers of ``model``."""

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return -(-len(self.batches) // self.accumulate)

    def first_images(self, batches: int, device: torch.device) -> list[Tensor]:
        """The images of the first batches of the first epoch, whole, normalized and not augmented: (B, 3, H, W) each, on the device."""
        stored = self.store.batches(self.batches.epoch(0)[:batches])
        return [self.input.normalize(images.to(device)) for images in stored]
