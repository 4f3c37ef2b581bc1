"""8 bits: convolutions quantized, what follows stages not; the same people, roughly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.errors import DataError
from snreid.inference.embedder import Embedder
from snreid.inference.int8 import quantize
from snreid.inference.onnx_embedder import OnnxEmbedder
from snreid.inference.onnx_file import drawn_images, write_onnx
from snreid.models import StageSNR
from snreid.models.snr import Gate
from support.tiny import experiment, lively

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")


def test_convolutions_are_in_8_bits_and_directions_stay(tmp_path: Path) -> None:
    torch.manual_seed(0)
    chosen = experiment("baseline-in")
    exact = write_onnx(Embedder(lively(chosen.model.build(5)), chosen.input), tmp_path / "exact.onnx").path
    images = list(drawn_images(chosen.input, 16))
    with pytest.raises(DataError, match="at least 8 images"):
        quantize(exact, tmp_path / "rough.onnx", images[:7])
    quantize(exact, tmp_path / "rough.onnx", images)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["exact.onnx", "rough.onnx"]
    nodes = onnx.load(str(tmp_path / "rough.onnx")).graph.node
    made_by = {name: node for node in nodes for name in node.output}
    read = {made_by[node.input[1]].op_type for node in nodes if node.op_type == "Conv"}
    assert read == {"DequantizeLinear"}
    weights = {entry.name for entry in onnx.load(str(tmp_path / "rough.onnx")).graph.initializer}
    norms = [node for node in nodes if "/after" in node.name and "quantize" not in node.op_type.lower()]
    assert "InstanceNormalization" in {node.op_type for node in norms}
    for node in norms:
        for name in node.input:
            assert (
                name not in made_by
                or made_by[name].op_type != "DequantizeLinear"
                or made_by[name].input[0] not in weights
            )
    one, other = (OnnxEmbedder(path=p).open()(np.stack(images)) for p in (exact, tmp_path / "rough.onnx"))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert not np.array_equal(one, other) and cosine.mean() > 0.9


@pytest.mark.parametrize("gate", ["channel", "conv"])
def test_what_follows_the_last_stage_is_in_float32(gate: Gate, tmp_path: Path) -> None:
    """The closed form of the last SNR stands in no module of the exported file, another gate in ``/last``."""
    torch.manual_seed(0)
    chosen = experiment("snr")
    model = replace(chosen.model, scheme=StageSNR(gate=gate)).build(5)
    exact = write_onnx(Embedder(lively(model), chosen.input), tmp_path / "exact.onnx").path
    quantize(exact, tmp_path / "rough.onnx", list(drawn_images(chosen.input, 8)))
    nodes = onnx.load(str(tmp_path / "rough.onnx")).graph.node
    made_by = {name: node for node in nodes for name in node.output}
    ours = [node for node in nodes if node.op_type in ("Add", "Conv") and not node.name.startswith("/features/")]
    assert {node.name for node in ours} >= ({"/Add"} if gate == "channel" else {"/last/relevant/conv/Conv"})
    for node in ours:
        assert not any(made_by[name].op_type == "DequantizeLinear" for name in node.input if name in made_by)
