"""Images in, embeddings out: what evaluation, the command line and a user's own code call."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snreid.errors import DataError, DivergenceError
from snreid.images import FileImage
from snreid.loading import PixelStore, Progress
from snreid.models.reid import ReIDModel
from snreid.records import NO_CAMERA, Features, Sample, Split
from snreid.training.distributed import ProcessGroup
from snreid.training.parallel import agree
from snreid.transforms import InputFormat, StoredImages

EmbedBatch = Callable[[StoredImages], NDArray[np.float32]]
"""uint8 images (B, 3, H, W) to embeddings (B, D)."""
_TRIED = 64
"""Images that a trained model has to embed before it counts as one."""


class Embedder:
    """A model with the input format it was trained on, in eval mode.

    >>> import snreid
    >>> embedder = snreid.load("runs/snr")                    # doctest: +SKIP
    >>> embedder.extract(["a.jpg", "b.jpg"]).shape            # doctest: +SKIP
    (2, 512)
    """

    def __init__(self, model: ReIDModel, input: InputFormat, *, device: str = "cpu", bf16: bool = False) -> None:
        """``bf16``: compute under bfloat16 autocast; embeddings are float32 all the same."""
        self.model, self.input, self.device, self.bf16 = model, input, torch.device(device), bf16

    def __call__(self, images: StoredImages) -> NDArray[np.float32]:
        """uint8 images (B, 3, H, W) of the input size to embeddings (B, D), float32, not L2-normalized."""
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode(), self.autocast():
            pixels = self.input.normalize(images.to(self.device)).contiguous(memory_format=torch.channels_last)
            vectors = self.model.embed(pixels)
        self.model.train(was_training)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def autocast(self) -> torch.autocast:
        """The precision that this embedder computes in, as a context."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def extract(self, paths: Sequence[str | Path]) -> NDArray[np.float32]:
        """Embeddings (N, D) of image files, L2-normalized: their dot products are cosine similarities.

        Raises ``DataError`` naming each file that cannot be read.
        """
        if not paths:
            raise DataError("Extraction needs at least one image", came="an empty list", repair="give image paths")
        samples = tuple(Sample(FileImage(str(p)), 1, NO_CAMERA) for p in paths)
        store = PixelStore(Split(samples), self.input.height, self.input.width)
        bad = store.open()
        if bad:
            raise DataError(
                "Every image must be readable",
                came="; ".join(f"{b.name}: {b.reason}" for b in bad[:5])
                + (f" and {len(bad) - 5} more" if len(bad) > 5 else ""),
                repair="repair or leave out these files",
            )
        vectors = features(self, store).embeddings
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def features(
    embed: EmbedBatch,
    store: PixelStore,
    *,
    batch: int = 128,
    group: ProcessGroup | None = None,
    progress: Progress | None = None,
) -> Features:
    """Features of all images of an opened ``store``. Under several processes each embeds a contiguous part; all get the whole."""
    count = len(store.split)
    rank, world = (group.rank, group.world) if group is not None else (0, 1)
    mine = np.arange(rank * count // world, (rank + 1) * count // world)
    parts = []
    batches = [mine[i : i + batch] for i in range(0, len(mine), batch)]
    for done, images in enumerate(store.batches(batches), start=1):
        parts.append(embed(images))
        if progress is not None:
            progress(min(done * batch, len(mine)), len(mine))
    vectors = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
    if group is not None:
        vectors = np.concatenate([part for part in group.gather_arrays(vectors) if part.size])
    return Features(vectors, store.split.persons, store.split.cameras, tuple(s.image.name for s in store.split.samples))


def require_finite(vectors: NDArray[np.float32] | NDArray[np.float16], *, where: str) -> None:
    """Raises ``DivergenceError`` unless every number of the embeddings (N, D), and their length in float32, is finite. ``where``: whose
    they are, for the message."""
    if not _finite(vectors):
        raise _not_finite(where)


def require_working(embed: EmbedBatch, store: PixelStore, group: ProcessGroup) -> None:
    """Raises ``DivergenceError`` in every process when the first one does not embed a few images of an opened ``store`` as finite
    numbers: losses may stay finite while running statistics, which count only now, do not. Draws nothing and changes nothing.
    """
    vectors = np.zeros((0, 0), np.float32)
    if group.first:
        some = np.unique(np.linspace(0, len(store.split) - 1, _TRIED).astype(np.int64))
        with torch.random.fork_rng(devices=[]):  # torch seeds loader workers from the state that all share
            (images,) = store.batches([some])
            vectors = embed(images)
    broken = not _finite(vectors)
    if agree((broken, False), group)[0]:
        raise _not_finite("training images after the last step")


def _finite(vectors: NDArray[np.float32] | NDArray[np.float16]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):  # that is what is looked for
        return bool(np.isfinite(np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1)).all())


def _not_finite(where: str) -> DivergenceError:
    return DivergenceError(
        "A trained model must embed images as finite numbers",
        came=f"NaN or infinity for {where}",
        repair="start anew in another --out folder with a lower learning rate (--optimizer.lr, of MAR --lr)",
    )
