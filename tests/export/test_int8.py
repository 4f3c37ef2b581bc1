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
from tiny import experiment

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")


@pytest.mark.xfail(strict=False, reason="to be repaired: fails on the tiny untrained network under shape checks")
def test_convolutions_are_in_8_bits_and_directions_stay(tmp_path: Path) -> None:
    torch.manual_seed(0)
    chosen = experiment("baseline-in")
    exact = write_onnx(Embedder(chosen.model.build(5), chosen.input), tmp_path / "exact.onnx").path
    images = list(drawn_images(chosen.input, 16))
    with pytest.raises(DataError, match="at least 8 images"):
        quantize(exact, tmp_path / "rough.onnx", images[:7])
    quantize(exact, tmp_path / "rough.onnx", images)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["exact.onnx", "rough.onnx"]
    nodes = onnx.load(str(tmp_path / "rough.onnx")).graph.node
    made_by = {name: node for node in nodes for name in node.output}
    read = {made_by[node.input[1]].op_type for node in nodes if node.op_type == "Conv"}
    assert read == {"DequantizeLinear"}
    delicate = [
        made_by[name].op_type for node in nodes if "/after" in node.name for name in node.input if name in made_by
    ]
    assert "QuantizeLinear" not in {node.op_type for node in nodes if "/after" in node.name} and delicate
    one, other = (OnnxEmbedder(path=p).open()(np.stack(images)) for p in (exact, tmp_path / "rough.onnx"))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert not np.array_equal(one, other) and cosine.mean() > 0.9
