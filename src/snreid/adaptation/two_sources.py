"""Batches of source images followed by target images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.images.loading import PixelStore
from snreid.images.transforms import StoredImages
from snreid.records import Split
from snreid.training.sampling import IdentityBatches, Rounds

Indices = NDArray[np.int64]


class TwoStores:
    """Two opened stores as one: positions 0 to S - 1 are the source's, those after it the target's."""

    def __init__(self, source: PixelStore, target: PixelStore) -> None:
        self.source, self.target = source, target
        self.split = Split(source.split.samples + target.split.samples)

    def batches(self, batches: Sequence[Indices]) -> Iterator[StoredImages]:
        """Yields uint8 images (B, 3, H, W) of each batch; in a batch source positions precede target positions."""
        border = len(self.source.split)
        first = self.source.batches([batch[batch < border] for batch in batches])
        second = self.target.batches([batch[batch >= border] - border for batch in batches])
        for of_source, of_target in zip(first, second, strict=True):
            yield torch.cat([of_source, of_target])


@dataclass(frozen=True, kw_only=True)
class TwoBatches:
    """Samples batches as a pure function of (seed, epoch): both sides in shuffled rounds that continue from epoch to epoch: each image
    once before any repeats."""

    source_count: int
    target_count: int
    source_batch: int
    target_batch: int
    length: int
    """Batches in an epoch."""
    seed: int
    identities: IdentityBatches | None = None
    """Draws the source part by identities, if a loss needs several images of a person; None: image by image."""

    def __post_init__(self) -> None:
        for what, count, batch in (
            ("source", self.source_count, self.source_batch),
            ("target", self.target_count, self.target_batch),
        ):
            if count < batch:
                raise ExperimentError(
                    f"A batch takes each of its {what} images once",
                    found=f"{batch} of {count} images",
                    fix=f"lower --{what}-batch to {count} or less",
                )

    def __len__(self) -> int:
        return self.length

    def epoch(self, epoch: int) -> list[Indices]:
        """Returns ``length`` arrays of source positions, then target positions (offset by the number of source images)."""
        source = self.identities.epoch(epoch) if self.identities is not None else self._dealt("source", epoch)
        pairs = zip(source, self._dealt("target", epoch), strict=True)
        return [np.concatenate([of_source, of_target + self.source_count]) for of_source, of_target in pairs]

    def share(self, batch: Indices, rank: int, world: int) -> Indices:
        """The whole batch: pairs span it, so training runs in one process."""
        return batch

    def _dealt(self, side: str, epoch: int) -> list[Indices]:
        count, size = (
            (self.source_count, self.source_batch) if side == "source" else (self.target_count, self.target_batch)
        )
        key = np.array([self.seed, side == "target"], dtype=np.uint64)
        rounds = Rounds(np.arange(count), np.random.Generator(np.random.Philox(key=key)))
        drawn = [np.array(rounds.draw(size), dtype=np.int64) for _ in range((epoch + 1) * self.length)]
        return drawn[epoch * self.length :]
