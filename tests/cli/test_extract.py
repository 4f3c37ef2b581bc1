"""``snreid extract``: files and folders in, unit vectors out."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import snreid
from snreid.cli.extract import main
from snreid.errors import ExperimentError
from tiny import picture_files


def test_files_and_folders_are_embedded_in_order(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = picture_files(tmp_path / "folder", 3)
    single = picture_files(tmp_path / "single", 1)[0]
    (tmp_path / "folder" / "notes.txt").write_text("no picture")
    out = tmp_path / "deep" / "vectors"  # no suffix: the file is called what it was asked to be called
    assert main([str(pair[0]), str(single), str(tmp_path / "folder"), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "images": 4, "dim": 8, "batch": None}
    with np.load(out) as stored:
        assert stored["names"].tolist() == [str(p) for p in (single, *paths)]
        vectors = stored["embeddings"]
    assert vectors.dtype == np.float32
    np.testing.assert_allclose((vectors.astype(np.float64) ** 2).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, snreid.load(pair[0]).extract([single, *paths]), atol=1e-6)


def test_half_precision_halves_what_is_stored(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = picture_files(tmp_path, 1)
    stored = {}
    for flags in ((), ("--half",)):
        assert main([str(pair[0]), str(path), "--out", str(tmp_path / "v.npz"), "--json", *flags]) == 0
        with np.load(tmp_path / "v.npz") as file:
            stored[flags] = file["embeddings"]
    assert stored["--half",].dtype == np.float16
    assert stored["--half",].tobytes() == stored[()].astype(np.float16).tobytes()


def test_without_json_it_says_what_it_wrote(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = picture_files(tmp_path, 1)
    assert main([str(pair[0]), str(path), "--out", str(tmp_path / "v.npz")]) == 0
    assert capsys.readouterr().out == f"1 embeddings of 8 numbers in {tmp_path / 'v.npz'}\n"


def test_the_batch_that_was_measured_is_told_and_one_that_was_given_is_not_measured(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture_files(tmp_path / "many", 400)
    words = [str(pair[0]), str(tmp_path / "many"), "--out", str(tmp_path / "v.npz")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert any(f"; {size} images at a time were fastest\n" in said for size in (4, 8, 16, 32)), said
    assert main([*words, "--json", "--batch", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["batch"] == 5


def test_a_device_is_refused_before_anything_is_embedded(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = picture_files(tmp_path, 1)
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("snreid.runs.load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(ExperimentError, match="pipe is no regular file"):
        main([str(pair[0]), str(path), "--out", str(tmp_path / "pipe")])
    assert (tmp_path / "pipe").is_fifo()
