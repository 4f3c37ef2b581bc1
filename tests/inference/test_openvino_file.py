"""OpenVINO's own format. Not among the development packages (185 MB): install "snreid[openvino]" to run all of it."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snreid.errors import CheckpointError, ExperimentError
from snreid.inference.embedder import Embedder
from snreid.inference.onnx_file import drawn_images, write_onnx
from snreid.inference.openvino_file import OpenVinoEmbedder, write_openvino
from support.tiny import experiment


def test_without_openvino_the_command_to_install_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ExperimentError, match=r'pip install "snreid\[openvino\]"'):
        OpenVinoEmbedder(path=tmp_path / "net.xml").open()


def test_the_file_embeds_as_torch_does_and_knows_its_input(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the package openvino is not installed")
    torch.manual_seed(0)
    chosen = experiment("baseline")
    embedder = Embedder(chosen.model.build(5), chosen.input)
    file = write_onnx(embedder, tmp_path / "net.onnx", weights="ab12").path
    exported = write_openvino(embedder, file, tmp_path / "net.xml")
    assert exported.difference < 1e-4
    opened = OpenVinoEmbedder(path=exported.path).open()
    assert (opened.height, opened.width, opened.mean, opened.std) == (32, 16, chosen.input.mean, chosen.input.std)
    assert opened.weights == "ab12"
    images = drawn_images(chosen.input, 3)
    expected = embedder(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(opened(images), expected, atol=1e-4)
    (tmp_path / "net.xml").write_text("no network")
    with pytest.raises(CheckpointError, match=r"snreid export RUN --to openvino"):
        OpenVinoEmbedder(path=tmp_path / "net.xml").open()
