"""An ONNX file in 8 bits: static quantization from calibration images (onnxruntime.quantization), one scale per output channel.

Weights become int8, maps uint8, with the range that calibration images show; nothing is learned and no label is used. The arithmetic
of SNR and the head stays in float32: the gate depends on small differences of means.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.inference.onnx_embedder import INSTALL, OnnxEmbedder, package
from snreid.system.atomic_files import atomic_write

_BATCH = 8
_FEWEST = 8


def quantize(source: Path, target: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Writes ``target``, the ONNX file ``source`` with its convolutions in 8 bits.

    ``images``: uint8 (H, W, 3) of the network's size; a few hundred similar to those to embed. Raises ``DataError`` for fewer
    than 8, ``ExperimentError`` without the packages.
    """
    if len(images) < _FEWEST:
        raise DataError(
            f"Calibration needs at least {_FEWEST} images, better a few hundred",
            found=f"{len(images)}",
            fix="name a folder with more images",
        )
    tools, onnx = package("onnxruntime.quantization", INSTALL), package("onnx", INSTALL)
    opened = OnnxEmbedder(path=source, threads=1).open()
    batches = [opened._prepared(np.stack(images[i : i + _BATCH])) for i in range(0, len(images), _BATCH)]
    with atomic_write(target) as draft:
        with _quiet():
            tools.quantize_static(
                str(source),
                str(draft),
                _reader(tools, opened.input_name, batches),
                quant_format=tools.QuantFormat.QDQ,
                activation_type=tools.QuantType.QUInt8,
                weight_type=tools.QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=["Conv", "MaxPool", "Add"],
                nodes_to_exclude=_delicate(onnx, source),
                calibrate_method=tools.CalibrationMethod.MinMax,
                extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            )
        metadata = onnx.load(str(source), load_external_data=False).metadata_props
        model = onnx.load(str(draft))
        notes = {entry.key: entry.value for entry in metadata if entry.key != "snreid.weights"}
        onnx.helper.set_model_props(model, notes)
        draft.write_bytes(model.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the quantizer's warnings about biases on the root logger, which call for no action."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _delicate(onnx: Any, source: Path) -> list[str]:
    """Nodes of the modules after stages (SNR, instance norms): maps tolerate 8 bits, their statistics do not.

    The nodes after the last stage are named ``/last`` or, without maps (``SNR.means``), after no module at all.
    """
    graph = onnx.load(str(source), load_external_data=False).graph
    names = [node.name for node in graph.node]
    return [name for name in names if "/after" in name or name.startswith("/last/") or name.count("/") == 1]


def _reader(tools: Any, name: str, batches: Sequence[NDArray[Any]]) -> Any:
    """Calibration batches in onnxruntime's form: a class with one method."""

    class Reader(tools.CalibrationDataReader):
        """One batch after the other, then None."""

        left = iter(batches)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            """The next batch."""
            batch = next(self.left, None)
            return None if batch is None else {name: batch}

    return Reader()
