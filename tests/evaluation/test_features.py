"""The features file: what comes back is what was written, and every way to be wrong is told in the user's words."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.errors import DataError
from snreid.evaluation.features import check_values, in_half, read_features, remarks, write_features
from snreid.records import NO_CAMERA, Features


def arrays(**changes: Any) -> dict[str, Any]:
    """A good file's arrays; a change to None removes one."""
    rng = np.random.default_rng(1)
    good = {
        "query": rng.normal(size=(3, 4)).astype(np.float32),
        "gallery": rng.normal(size=(5, 4)).astype(np.float32),
        "query_person": np.array([1, 2, 3]),
        "gallery_person": np.array([1, 2, 3, 0, -1]),
        "query_camera": np.array([1, 1, 2]),
        "gallery_camera": np.array([2, 2, 1, 1, 1]),
    } | changes
    return {name: value for name, value in good.items() if value is not None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "features.npz"


def test_what_was_written_comes_back(file: Path, rng: np.random.Generator) -> None:
    def side(count: int, names: tuple[str, ...]) -> Features:
        values = rng.normal(size=(count, 6)).astype(np.float32)
        return Features(values, rng.integers(-1, 5, size=count), rng.integers(1, 4, size=count), names)

    pair = side(2, ("a.jpg", "ü.jpg")), side(3, ("1", "2", "3"))
    write_features(file, *pair)
    for read, written in zip(read_features(file), pair, strict=True):
        assert read.embeddings.tobytes() == written.embeddings.tobytes()
        assert read.embeddings.dtype == np.float32 and read.persons.dtype == read.cameras.dtype == np.int64
        assert read.persons.tolist() == written.persons.tolist()
        assert read.cameras.tolist() == written.cameras.tolist()
        assert read.names == written.names
    assert [path.name for path in file.parent.iterdir()] == ["features.npz"]


def test_without_cameras_and_names(file: Path) -> None:
    np.savez(file, **arrays(query_camera=None, gallery_camera=None))
    query, gallery = read_features(file)
    assert set(query.cameras) == set(gallery.cameras) == {NO_CAMERA} and query.names == ()
    write_features(file, query, gallery)
    with np.load(file, allow_pickle=False) as again:
        assert sorted(again.files) == ["gallery", "gallery_person", "query", "query_person"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_every_float_type_is_read_as_float32_but_float16(file: Path, dtype: Any) -> None:
    """Which stays what it is: half the memory."""
    given = arrays()
    given["query"], given["gallery"] = given["query"].astype(dtype), given["gallery"].astype(dtype)
    np.savez_compressed(file, **given)
    for read, side in zip(read_features(file), ("query", "gallery"), strict=True):
        assert read.embeddings.dtype == (np.float16 if dtype is np.float16 else np.float32)
        assert np.array_equal(read.embeddings, given[side].astype(np.float32))


def test_half_precision_halves_the_file_and_comes_back(file: Path, rng: np.random.Generator) -> None:
    labels = np.ones(1000, np.int64)
    whole = Features(rng.normal(size=(1000, 64)).astype(np.float32), labels, labels)
    write_features(file, whole, whole)
    size = file.stat().st_size
    write_features(file, whole, whole, half=True)
    query, gallery = read_features(file)
    assert file.stat().st_size < 0.6 * size
    assert query.embeddings.dtype == gallery.embeddings.dtype == np.float16
    assert query.embeddings.tobytes() == whole.embeddings.astype(np.float16).tobytes()
    write_features(file, query, gallery)  # without being asked again it stays half
    assert read_features(file)[1].embeddings.tobytes() == gallery.embeddings.tobytes()


def test_what_half_precision_cannot_hold_is_refused_and_leaves_the_old_file(file: Path) -> None:
    np.savez(file, **arrays())
    before = file.read_bytes()
    query, gallery = read_features(file)
    for scale, largest in ((1e5, "100000"), (1e-9, "1e-09")):
        values = gallery.embeddings.copy()
        values[3] = values[3] / np.abs(values[3]).max() * np.float32(scale)
        bad = Features(values, gallery.persons, gallery.cameras)
        with pytest.raises(
            DataError, match=rf"half precision.*gallery.*65504.*Found: {largest} as the largest in row 3"
        ):
            write_features(file, query, bad, half=True)
        assert file.read_bytes() == before
        write_features(file, query, bad)
        file.write_bytes(before)
    zero = np.zeros((2, 3), np.float32)
    assert not in_half(zero, "query").any()
    assert in_half(np.full((1, 2), 65504, np.float32), "query").tolist() == [[65504, 65504]]


def test_an_overflow_in_a_file_of_half_precision_is_named(file: Path) -> None:
    with np.errstate(over="ignore"):
        np.savez(file, **arrays(query=np.full((3, 4), 7e4).astype(np.float16)))
    with pytest.raises(DataError, match=r"query embedding is finite.*inf in row 0, column 0.*half precision"):
        read_features(file)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.uint64])
def test_every_integer_type_is_read_as_int64(file: Path, dtype: Any) -> None:
    np.savez(file, **arrays(query_person=np.array([1, 2, 3], dtype)))
    assert read_features(file)[0].persons.tolist() == [1, 2, 3]


NAN = np.full((3, 4), np.nan, np.float32)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"gallery_person": None}, "add gallery_person"),
    "one camera array": ({"gallery_camera": None}, "add gallery_camera"),
    "one name array": ({"query_name": np.array(["a", "b", "c"])}, "add gallery_name"),
    "misspelt": ({"query_camera": None, "gallery_camera": None, "query_cameras": np.ones(3, int)}, "query_cameras"),
    "NaN": ({"query": NAN}, "query embedding is finite.*nan in row 0, column 0"),
    "beyond float32": ({"gallery": np.full((5, 4), 1e300)}, "gallery embedding is finite.*inf in row 0"),
    "whole numbers": ({"query": np.ones((3, 4), int)}, "query is float16.*int64"),
    "long double": ({"query": np.ones((3, 4), np.longdouble)}, "query is float16"),
    "complex": ({"query": np.ones((3, 4), complex)}, "complex128"),
    "flat": ({"query": np.ones(4, np.float32)}, r"one row per image.*\(4,\)"),
    "no rows": ({"query": np.ones((0, 4), np.float32), "query_person": np.ones(0, int)}, r"\(0, 4\)"),
    "dimensions": ({"query": np.ones((3, 5), np.float32)}, "query 5, gallery 4"),
    "few labels": ({"gallery_person": np.array([1, 2])}, r"5 integers.*\(2,\)"),
    "labels in a table": ({"gallery_person": np.ones((5, 1), int)}, r"\(5, 1\)"),
    "labels of text": ({"gallery_person": np.array(list("abcde"))}, "one integer per row.*<U1"),
    "labels with a point": ({"query_camera": np.array([1.0, 1, 2])}, "query_camera.*float64"),
    "labels too large": ({"query_person": np.array([2**63 + 1, 1, 1], np.uint64)}, "64 bits"),
    "labels too small": ({"query_person": np.array([-7, 1, 1])}, "-1 or above. Found: in .*-7"),
    "names of numbers": ({"query_name": np.arange(3), "gallery_name": np.arange(5)}, "list of text"),
    "too few names": ({"query_name": np.array(["a"]), "gallery_name": np.array(["b"])}, "1 names, 3 embeddings"),
    "objects": ({"query_person": np.array([1, "2", None], dtype=object)}, "without Python objects"),
}


@pytest.mark.parametrize("case", BAD)
def test_every_malformation_is_told(file: Path, case: str) -> None:
    change, message = BAD[case]
    np.savez(file, **arrays(**change))
    with pytest.raises(DataError, match=message) as caught:
        read_features(file)
    assert "features.npz" in str(caught.value) and caught.value.fix


@pytest.mark.parametrize("row", [0, 9000])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_a_value_that_cannot_be_used_is_found_wherever_it_is(side: str, row: int) -> None:
    count = 9001  # more than are looked at in one go
    labels = np.ones(count, np.int64)
    good = Features(np.ones((count, 2), np.float32), labels, labels)
    check_values(good, good)
    values = good.embeddings.copy()
    values[row, 1] = np.inf
    bad = Features(values, labels, labels)
    with pytest.raises(DataError, match=f"a {side} embedding is finite.*row {row}, column 1"):
        check_values(*((bad, good) if side == "query" else (good, bad)))


def test_files_that_are_no_npz(file: Path) -> None:
    with pytest.raises(DataError, match="exists"):
        read_features(file)
    with file.open("wb") as stream:
        np.save(stream, np.ones((3, 4)))
    with pytest.raises(DataError, match="a single array"):
        read_features(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"readme\.txt"):
        read_features(file)
    for content in (b"", b"hello", b"PK\x03\x04 not a zip", b"\x93NUMPY\x01\x00"):
        file.write_bytes(content)
        with pytest.raises(DataError, match="npz") as caught:
            read_features(file)
        assert "pickle" not in str(caught.value)
        assert (f"{file} is no .npz file" in str(caught.value)) == (content in (b"", b"hello"))


@pytest.mark.parametrize("name", ["query", "gallery_person", "query_camera", "gallery_name"])
def test_a_member_that_is_no_array_is_told(file: Path, name: str) -> None:
    np.savez(
        file, **arrays(**{name: None, "query_name": np.array(["a", "b", "c"])} if "name" in name else {name: None})
    )
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"{name}.npy", b"no array")
    with pytest.raises(DataError, match=f"{name} is no plain array"):
        read_features(file)


@pytest.mark.parametrize(
    ("labels", "fix"),
    [
        (np.array([[1, 2, 3]]), r"\.ravel\(\)"),
        (np.array([[1], [2], [3]]), r"\.ravel\(\)"),
        (np.ones((3, 2), int), "one number per row"),
        (np.array(["c1", "c1", "c2"]), "return_inverse"),
        (np.array([1.0, 1.0, 2.0]), r"\.astype\(numpy\.int64\)"),
    ],
)
def test_labels_of_another_form_are_told_with_what_helps(file: Path, labels: Any, fix: str) -> None:
    np.savez(file, **arrays(query_camera=labels))
    with pytest.raises(DataError, match=f"query_camera holds one integer per row.*{fix}"):
        read_features(file)


def test_a_small_file_cannot_take_much_memory(file: Path) -> None:
    np.savez_compressed(file, **arrays(gallery=np.zeros((3_000_000, 8), np.float32)))
    with pytest.raises(DataError, match=r"bytes that unpack to 96,\d"):
        read_features(file)


def test_damaged_files_are_refused_or_unharmed(file: Path, rng: np.random.Generator) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays())
    whole = buffer.getvalue()
    refused = 0
    for turn in range(150):
        damaged = bytearray(whole)
        if turn % 2:
            damaged = damaged[: rng.integers(0, len(whole))]
        else:
            for place in rng.integers(0, len(whole), size=3):
                damaged[place] = rng.integers(0, 256)
        file.write_bytes(bytes(damaged))
        try:
            read_features(file)
        except DataError as error:
            refused += "features.npz" in str(error)
    assert refused > 100


def test_a_failed_write_leaves_the_old_file(file: Path, rng: np.random.Generator) -> None:
    np.savez(file, **arrays())
    before = file.read_bytes()
    query, gallery = read_features(file)
    with pytest.raises(DataError):
        write_features(file, query, Features(gallery.embeddings[:, :2], gallery.persons, gallery.cameras))
    assert file.read_bytes() == before


def test_junk_queries_are_remarked_and_person_0_is_none_of_them(file: Path) -> None:
    np.savez(file, **arrays(query_person=np.array([-1, 0, -1])))
    (sentence,) = remarks(read_features(file)[0])
    assert sentence.startswith("2 of 3 queries")
    np.savez(file, **arrays(query_person=np.array([0, 1, 0])))
    assert remarks(read_features(file)[0]) == ()
