"""A model as an ONNX file: folded batch norms, any batch, size and normalization in its metadata, compared with torch after writing.

The contract is that of ``inference/onnx_embedder.py``, which reads the file: one input ``images``, normalized RGB (B, 3, H, W) float32,
one output ``embeddings`` (B, D), not L2-normalized; ``snreid.height``, ``snreid.width``, ``snreid.mean``, ``snreid.std``.
"""

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snreid.errors import CheckpointError
from snreid.images.transforms import InputFormat
from snreid.inference.embedder import Embedder
from snreid.inference.folding import folded
from snreid.inference.onnx_embedder import INSTALL, OnnxEmbedder, first_line, package
from snreid.system.atomic_files import atomic_write

_OPSET = 17
_ALLOWED = 1e-3
"""Largest allowed difference to torch, relative to the largest value; a file above it is deleted."""


@dataclass(frozen=True)
class Exported:
    """A written file and the difference of its embeddings to torch's."""

    path: Path
    difference: float
    """Largest absolute difference on noise images."""
    largest: float
    """Largest absolute value of torch's embeddings."""


def write_onnx(embedder: Embedder, path: Path, *, weights: str = "") -> Exported:
    """Writes the model of ``embedder`` (on the CPU) to ``path``; ``weights``: a hash of its weights, kept in the metadata.

    Raises ``ExperimentError`` without the packages onnx and onnxruntime, ``CheckpointError`` when the network has no ONNX form or its
    ONNX form gives other results; then no new file is left at ``path``.
    """
    onnx = package("onnx", INSTALL)
    size = embedder.input.height, embedder.input.width
    network = folded(embedder.model, size)
    stored = BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the one torch exporter without further packages; it warns of its age
            torch.onnx.export(
                network,
                (torch.zeros(2, 3, *size),),
                stored,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=_OPSET,
                input_names=["images"],
                output_names=["embeddings"],
                dynamic_axes={"images": {0: "batch"}, "embeddings": {0: "batch"}},
            )
    except Exception as error:  # an exporter raises its own class of error for each unsupported operator
        raise CheckpointError(
            "A model is exported when each of its operators has an ONNX form",
            found=first_line(error),
            fix="extract with torch (the default), or export another scheme or backbone",
        ) from error
    model = onnx.load_from_string(stored.getvalue())
    _read_constants_directly(model.graph)
    form = embedder.input
    mean, std = (",".join(map(repr, values)) for values in (form.mean, form.std))
    kept = {"height": str(form.height), "width": str(form.width), "mean": mean, "std": std}
    kept |= {"weights": weights} if weights else {}
    onnx.helper.set_model_props(model, {f"snreid.{k}": v for k, v in kept.items()})
    with atomic_write(path) as draft:
        draft.write_bytes(model.SerializeToString())
        difference = difference_to(embedder, OnnxEmbedder(path=draft, threads=1).open(), "ONNX Runtime")
    return Exported(path, *difference)


def _read_constants_directly(graph: Any) -> None:
    """Removes in place the identities through which parts of a network read a shared constant.

    torch's exporter stores equal weights once (the gamma and beta of two untrained SNR modules, say) and gives each further
    reader its own Identity. ONNX Runtime 1.32 fails with several of them: it refuses the file with "Node input
    is not a graph input, initializer, or output of a previous node".
    """
    stored = {constant.name for constant in graph.initializer}
    copies = [node for node in graph.node if node.op_type == "Identity" and node.input[0] in stored]
    original = {node.output[0]: node.input[0] for node in copies}
    for node in copies:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [original.get(name, name) for name in node.input]


def drawn_images(input: InputFormat, count: int) -> NDArray[np.uint8]:
    """(count, H, W, 3) of noise, the same at every call."""
    return np.random.default_rng(0).integers(0, 256, (count, input.height, input.width, 3), dtype=np.uint8)


def difference_to(embedder: Embedder, other: Any, where: str) -> tuple[float, float]:
    """Largest difference between two embedders on noise images, in batches of another size than exported, and the largest value.

    ``other`` takes uint8 (B, H, W, 3). Raises ``CheckpointError`` when they no longer agree.
    """
    images = drawn_images(embedder.input, 4)
    expected = embedder(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    embeddings = np.concatenate([other(images[:1]), other(images[1:])])
    difference, largest = float(np.abs(embeddings - expected).max()), float(np.abs(expected).max())
    if not difference <= _ALLOWED * (1 + largest):
        raise CheckpointError(
            "An exported network embeds as torch does",
            found=f"{where} differs by {difference:.2g}, where the largest value is {largest:.2g}",
            fix="extract with torch (the default), and tell the authors which scheme and backbone this is",
        )
    return difference, largest
