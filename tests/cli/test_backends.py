"""``--backend`` and ``--batch``: what goes together, and that another runtime embeds a run's images as torch does."""

import importlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import snreid
from snreid.cli.backends import (
    Network,
    chosen_backend,
    embed_batch,
    model_mark,
    open_network,
    own_backend,
    require_same_model,
)
from snreid.errors import ExperimentError
from support.tiny import session


def test_a_file_has_a_runtime_of_its_own_and_a_folder_has_none(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    names = ("net.onnx", "NET.ONNX", "net.xml", "net.bin", "folder.onnx")
    assert [own_backend(tmp_path / name) for name in names] == ["onnxruntime"] * 2 + ["openvino", None, None]


def test_the_flag_counts_before_torch_and_the_file_before_the_flag() -> None:
    folder, file = Path("runs/snr"), Path("net.xml")
    usual: dict[str, Any] = {"batch": None, "precision": "float32"}
    assert chosen_backend(folder, **usual) == "torch"
    assert chosen_backend(folder, given="openvino", **usual) == "openvino"
    assert chosen_backend(file, **usual) == "openvino"
    assert chosen_backend(folder, batch=1, precision="bf16") == "torch"
    for given, own, changes, message in (
        ("torch", "openvino", {}, r"net\.xml with --backend torch"),
        (None, None, {"batch": 0}, r"--batch 0"),
        ("onnxruntime", None, {"precision": "bf16"}, r"Found: --precision bf16\. Fix: leave it out"),
        (
            None,
            "openvino",
            {"precision": "bf16", "device": "cpu"},
            r"Found: --precision bf16\. Fix: leave it out",
        ),
        (None, "openvino", {"precision": "bf16", "device": "cuda"}, r"--device cuda --precision bf16.*leave both out"),
        (
            None,
            "openvino",
            {"device": "cuda:1"},
            r"openvino computes on the CPU.*Found: --device cuda:1\. .*leave it out",
        ),
        (None, "openvino", {"device": "gpu"}, "auto, cpu, cuda"),
        (None, None, {"device": "cuda"}, "where torch finds one"),
        (None, None, {"device": "gpu"}, "auto, cpu, cuda"),
    ):
        with pytest.raises(ExperimentError, match=message):
            chosen_backend(file if own else folder, given=given, **{**usual, **changes})  # type: ignore[arg-type]


def test_another_runtime_takes_the_cpu_where_no_device_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for device in ("auto", "cpu", None):
        found = chosen_backend(Path("net.xml"), precision="float32", device=device)
        assert found == "openvino"


def test_a_run_embeds_in_onnx_runtime_as_in_torch_and_leaves_no_file(pair: tuple[Path, Path]) -> None:
    pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")
    before = sorted(pair[1].rglob("*"))
    network = open_network(pair[1], "onnxruntime")
    assert sorted(pair[1].rglob("*")) == before
    images = torch.randint(0, 256, (3, 3, network.height, network.width), dtype=torch.uint8)
    np.testing.assert_allclose(embed_batch(network)(images), snreid.load(pair[1])(images), atol=1e-4)


def test_a_runtime_that_is_not_installed_is_told_with_its_command(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "openvino":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ExperimentError, match=r'pip install "snreid\[openvino\]"'):
        open_network(pair[1], "openvino")


def test_the_mark_tells_models_apart(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(pair[0], tmp_path / "copy"))
    marks = [model_mark(place) for place in (pair[0], copy, pair[1])]
    assert marks[0] == marks[1] != marks[2] and re.fullmatch("run [0-9a-f]{16}", marks[0])
    (tmp_path / "net.xml").write_text("graph")
    seen = set()
    for weights in (b"1", b"2"):
        (tmp_path / "net.bin").write_bytes(weights)
        seen.add(model_mark(tmp_path / "net.xml"))
    (tmp_path / "net.onnx").write_bytes(b"1")
    seen.add(model_mark(tmp_path / "net.onnx"))
    assert len(seen) == 3 and all(mark.startswith("file ") for mark in seen)


def test_marks_that_contradict_are_refused_and_marks_of_another_kind_told(pair: tuple[Path, Path]) -> None:
    network, talk = Network(lambda images: images.numpy(), (8, 8), model=pair[0]), session()
    for mark in ("", model_mark(pair[0])):
        require_same_model(mark, network, Path("f.npz"), talk)
    assert not talk.console.file.getvalue()  # type: ignore[attr-defined]
    require_same_model("   ", network, Path("f.npz"), talk)  # a foreign file may hold anything
    require_same_model("file 1", network, Path("f.npz"), talk)
    assert "f.npz is of a file, and the model named is a run" in talk.console.file.getvalue()  # type: ignore[attr-defined]
    with pytest.raises(ExperimentError, match=r"f\.npz is of run 2, this model is run \w{16}\."):
        require_same_model("run 2", network, Path("f.npz"), talk)
