"""Packages a finished run, and tests that it computes the same embeddings wherever it is loaded.

Weights are stored in float16 and without classifiers, which only serve the training identities. ``self_test.npz`` holds images and their
embeddings.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snreid.errors import CheckpointError
from snreid.experiments.packaged import WEIGHTS
from snreid.experiments.runs import Run, open_run
from snreid.models.delta import read_weights
from snreid.models.reid import CLASSIFIERS
from snreid.models.weights import HALF, save_tensors
from snreid.system.archives import check_arrays
from snreid.system.atomic_files import atomic_write, write_json

SELF_TEST = "self_test.npz"


def package(run: Run, images: NDArray[np.uint8], out: Path) -> None:
    """Writes a finished run to the folder ``out`` as a packaged run.

    ``images``: (N, 3, H, W) for the self-test, RGB, of the run's input size. Raises ``CheckpointError``.
    """
    saved = read_weights(run.folder)
    tensors = {name: _narrow(tensor) for name, tensor in saved.tensors.items() if not name.startswith(CLASSIFIERS)}
    save_tensors(out / WEIGHTS, tensors, {**saved.metadata, **HALF, "classifiers": False})
    write_json(out / "experiment.json", {**run.record, "packaged": {"sha256": read_weights(out).sha256}})
    embeddings = open_run(out).embedder()(torch.from_numpy(images))
    with atomic_write(out / SELF_TEST) as draft, draft.open("wb") as file:
        np.savez_compressed(file, images=images, embeddings=embeddings)


def self_test(folder: Path, embed: Callable[[Tensor], NDArray[np.float32]]) -> float:
    """Returns the smallest cosine between the embeddings of the self-test images and the stored ones: 1 up to rounding.

    Raises ``CheckpointError`` if the self-test is missing or damaged.
    """
    path = folder / SELF_TEST
    try:
        content = BytesIO(path.read_bytes())
        check_arrays(content)
        with np.load(content, allow_pickle=False) as stored:
            images, expected = stored["images"], stored["embeddings"]
        embeddings = embed(torch.from_numpy(images))
        cosines = (embeddings * expected).sum(1) / (
            np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
        )
    except Exception as error:  # zipfile, zlib and numpy raise a dozen types for a damaged file
        raise CheckpointError(
            "A packaged run has a whole self-test",
            found=f"{path}: {type(error).__name__}: {error}",
            fix="install snreid again",
        ) from error
    return float(cosines.min())


def _narrow(tensor: Tensor) -> Tensor:
    """Casts to float16, except vectors: norms may exceed the range of float16, and are small anyway."""
    return tensor.half() if tensor.dtype == torch.float32 and tensor.ndim > 1 else tensor
