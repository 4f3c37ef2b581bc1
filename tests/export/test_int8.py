"""8 bits: convolutions quantized, what follows stages not; the same people, roughly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.embedding import Embedder
from snreid.errors import DataError
from snreid.evaluation import OnnxEmbedder
from snreid.export import quantize, write_onnx
from snreid.export.onnx_file import drawn_images
from tiny import experiment, lively

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
