"""A run's model as an ONNX file: the embeddings of torch in any batch, and what the file says of itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.images.transforms import InputFormat
from snreid.inference.embedder import Embedder
from snreid.inference.onnx_embedder import OnnxEmbedder
from snreid.inference.onnx_file import drawn_images, write_onnx
from snreid.models.snr import SNR
from support.tiny import experiment, lively

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


@pytest.mark.parametrize("trained", [True, False])
def test_snr_embeds_as_torch_does_trained_or_not(tmp_path: Path, trained: bool) -> None:
    """At the start the gammas of all modules are equal, and so are betas and biases: constants with several readers."""
    torch.manual_seed(0)
    chosen = experiment("snr")
    model = lively(chosen.model.build(5))
    modules = [module for module in model.modules() if isinstance(module, SNR)]
    assert modules
    if not trained:
        for module in modules:
            torch.nn.init.ones_(module.gamma)
            torch.nn.init.zeros_(module.beta)
            module.gate.reset_parameters()
    embedder = Embedder(model, chosen.input)
    opened = OnnxEmbedder(path=write_onnx(embedder, tmp_path / "net.onnx").path).open()
    images = drawn_images(chosen.input, 3)
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    found = opened(images)
    np.testing.assert_allclose(found, embedder(pixels), atol=1e-4)
    for module in modules:  # each of them counts: the file would not pass with another gate
        before = embedder(pixels)
        module.gate.expand.bias.data += 1
        assert np.abs(embedder(pixels) - before).max() > 0.01
