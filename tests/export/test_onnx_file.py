"""A run's model as an ONNX file: the embeddings of torch in any batch, and what the file says of itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.embedding import Embedder
from snreid.evaluation import OnnxEmbedder
from snreid.export import write_onnx
from snreid.export.onnx_file import drawn_images
from snreid.transforms import InputFormat
from tiny import experiment, lively

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")


def test_the_file_embeds_as_torch_does_and_knows_its_input(tmp_path: Path) -> None:
    torch.manual_seed(0)
    input = InputFormat(height=32, width=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    embedder = Embedder(lively(experiment("baseline").model.build(5)), input)
    exported = write_onnx(embedder, tmp_path / "deep" / "net.onnx")
    assert exported.difference < 1e-4 and exported.largest > 0
    assert [file.name for file in exported.path.parent.iterdir()] == ["net.onnx"]
    opened = OnnxEmbedder(path=exported.path).open()
    assert (opened.height, opened.width, opened.mean, opened.std, opened.batch) == (32, 16, input.mean, input.std, None)
    images = drawn_images(input, 3)
    expected = embedder(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    for count in (1, 3):
        np.testing.assert_allclose(opened(images[:count]), expected[:count], atol=1e-4)
