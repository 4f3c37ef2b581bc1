"""Files of arrays from anywhere: NumPy's and MATLAB's give their arrays, and whatever else they hold is told and never run."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from snreid.errors import DataError
from snreid.evaluation.array_file import read_arrays


def read(path: Path, *wanted: str) -> dict[str, Any]:
    """The wanted arrays by name, or all."""
    return read_arrays(path, lambda names: {name: name for name in names if not wanted or name in wanted})


def test_the_chosen_arrays_are_read_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    np.savez(path, a=np.arange(3), b=np.array([{}], dtype=object), c=np.array(["x", "ü"]))
    seen: list[str] = []

    def choose(names: Sequence[str]) -> dict[int, str]:
        seen.extend(names)
        return {1: "a", 2: "c"}

    found = read_arrays(path, choose)
    assert seen == ["a", "b", "c"] and found[1].tolist() == [0, 1, 2] and found[2].tolist() == ["x", "ü"]
    with pytest.raises(DataError, match="b holds Python objects"):
        read(path)


def test_a_single_array_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.arange(6.0).reshape(2, 3))
    found = read(tmp_path / "f.npy")["embeddings"]
    assert isinstance(found, np.memmap) and found.tolist() == [[0, 1, 2], [3, 4, 5]]
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match="Python objects"):
        read(tmp_path / "o.npy")
    whole = (tmp_path / "f.npy").read_bytes()
    (tmp_path / "f.npy").write_bytes(whole[:-8])
    with pytest.raises(DataError, match=r"f\.npy"):
        read(tmp_path / "f.npy")


@pytest.mark.parametrize(("form", "compress"), [("4", False), ("5", False), ("5", True)])
def test_matlab_files(form: str, compress: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "result.mat"
    values = rng.normal(size=(4, 3)).astype(np.float32)
    arrays = {"query_f": values, "query_label": np.array([3, 1, -1]), "cam": ["c1", "hall"], "whole": np.eye(2)}
    savemat(path, arrays, format=form, do_compression=compress)  # type: ignore[arg-type]
    found = read(path)
    np.testing.assert_array_equal(found["query_f"], values)
    assert found["query_f"].flags.c_contiguous and found["whole"].dtype == np.float64
    assert found["query_label"].shape == (1, 3) and found["query_label"].ravel().tolist() == [3, 1, -1]
    assert [text.strip() for text in found["cam"]] == ["c1", "hall"]


def test_cells_of_text_are_text_and_structures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.mat"
    savemat(
        path,
        {"cams": np.array(["c1", "hall"], dtype=object), "bag": {"x": 1}, "mixed": np.array(["a", 1.0], dtype=object)},
    )
    assert read(path, "cams")["cams"].tolist() == ["c1", "hall"]
    for name, said in (("bag", "class struct"), ("mixed", "other things than texts")):
        with pytest.raises(DataError, match=f"plain arrays.*{said}"):
            read(path, name)


def test_a_matlab_file_cannot_take_much_memory(tmp_path: Path) -> None:
    savemat(tmp_path / "f.mat", {"f": np.zeros((12_000_000, 1))}, do_compression=True)
    with pytest.raises(DataError, match="bytes that unpack to"):
        read(tmp_path / "f.mat", "nothing")
    savemat(tmp_path / "g.mat", {"f": np.zeros((3, 4), np.uint8)})
    whole = bytearray((tmp_path / "g.mat").read_bytes())
    at = whole.index(np.array([3, 4], "<i4").tobytes())
    whole[at : at + 8] = np.array([2**30, 2**30], "<i4").tobytes()
    (tmp_path / "g.mat").write_bytes(bytes(whole))
    with pytest.raises(DataError, match="bytes that unpack to 1,152,921,504,606,846,976"):
        read(tmp_path / "g.mat")


def test_files_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with pytest.raises(DataError, match="must exist"):
        read(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(500))
    with pytest.raises(DataError, match=r"7\.3, which is HDF5.*'-v7'"):
        read(path)
    torch.save({"qf": torch.ones(2, 3)}, path)
    with pytest.raises(DataError, match=r"torch\.save, which holds Python objects.*numpy\.savez"):
        read(path)
    for content in (b"", b"hello", b"PK\x03\x04 not a zip", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="npz") as caught:
            read(path)
        assert "pickle" not in str(caught.value)
        assert (f"{path} is no .npz, .npy or .mat file" in str(caught.value)) == (content in (b"", b"hello"))


def test_a_member_that_is_no_array_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    np.savez(path, a=np.arange(3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.npy", b"no array")
    with pytest.raises(DataError, match="b is no plain array"):
        read(path)
    np.savez_compressed(path, a=np.zeros((24_000_000,), np.float32))
    with pytest.raises(DataError, match=r"bytes that unpack to 96,\d"):
        read(path)


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_damaged_files_are_refused_or_unharmed(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    buffer = io.BytesIO()
    arrays = {"a": rng.normal(size=(5, 4)), "b": np.arange(5), "c": np.array(["x", "yz"])}
    if kind == "npz":
        np.savez_compressed(buffer, **arrays)
    else:
        savemat(buffer, arrays, do_compression=True)
    whole = buffer.getvalue()
    path = tmp_path / f"f.{kind}"
    refused = 0
    for turn in range(150):
        damaged = bytearray(whole)
        if turn % 2:
            damaged = damaged[: rng.integers(0, len(whole))]
        else:
            for place in rng.integers(0, len(whole), size=3):
                damaged[place] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            read(path)
        except DataError as error:
            refused += path.name in str(error)
    assert refused > 80
