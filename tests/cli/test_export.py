"""``snreid export`` and extraction with what it wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from snreid.cli.export import main
from snreid.cli.extract import main as extract
from snreid.errors import DataError, ExperimentError
from snreid.evaluation import read_mark
from support.tiny import picture_files

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")


def test_an_exported_file_extracts_what_the_run_does(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(path) for path in picture_files(tmp_path / "images", 9)]
    file, rough = tmp_path / "net.onnx", tmp_path / "rough.onnx"
    assert main([str(pair[0]), "--out", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(file) and told["difference"] < 1e-4 and told["bytes"] == file.stat().st_size
    assert main([str(pair[0]), "--int8", "--calibrate", str(tmp_path / "images"), "--out", str(rough)]) == 0
    assert "Cosine to float32 on the 9 calibration images: mean" in capsys.readouterr().out
    found, marks = [], []
    for number, model in enumerate((pair[0], file, rough)):
        out = tmp_path / f"{number}.npz"
        assert extract([str(model), *paths, "--out", str(out), "--batch", str(3 - number)]) == 0
        with np.load(out) as stored:
            found.append(stored["embeddings"])
            marks.append(read_mark(out))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
    assert marks[0] == marks[1] != marks[2] and marks[2].startswith("file ")


def test_a_damaged_calibration_image_is_named_and_nothing_is_written(pair: tuple[Path, Path], tmp_path: Path) -> None:
    picture_files(tmp_path / "images", 3, damaged=(1,))
    out = tmp_path / "net.onnx"
    out.write_bytes(b"of an earlier day")
    with pytest.raises(DataError, match=r"001\.png: is damaged.*Fix: replace this file, or leave it out of --cal"):
        main([str(pair[0]), "--int8", "--calibrate", str(tmp_path / "images"), "--out", str(out)])
    assert out.read_bytes() == b"of an earlier day"


def test_what_does_not_go_together_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="calibration images"):
        main([str(pair[0]), "--int8"])
    (image,) = map(str, picture_files(tmp_path, 1))
    (tmp_path / "net.onnx").write_bytes(b"x")
    for words, message in (
        ([str(tmp_path / "net.onnx"), image, "--backend", "openvino"], "run by onnxruntime"),
        ([str(pair[0]), image, "--batch", "0"], "at least one image"),
        ([str(pair[0]), image, "--backend", "onnxruntime", "--precision", "bf16"], "computes on the CPU"),
    ):
        with pytest.raises(ExperimentError, match=message):
            extract(words)


@pytest.mark.parametrize(("words", "ending"), [((), ".onnx"), (("--to", "openvino"), ".xml")])
def test_another_ending_is_refused_before_the_export(
    words: tuple[str, ...], ending: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(ExperimentError, match=rf"ends in \{ending}.*model\.pt"):
        main([str(pair[0]), *words, "--out", str(tmp_path / "model.pt")])
