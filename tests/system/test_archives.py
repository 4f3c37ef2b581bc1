"""Files of arrays: what a header declares is compared with what is there, before memory is used."""

import io
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from snreid.system.archives import check_arrays, check_matlab


def stored(*, compress: bool = False, **arrays: Any) -> io.BytesIO:
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **arrays)
    file.seek(0)
    return file


def packed(**members: bytes) -> io.BytesIO:
    """A zip archive of members as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    file.seek(0)
    return file


def header(*shape: int) -> bytes:
    """The header of an array of float32."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "array", [np.zeros((0, 3)), np.float32(3), np.array(["ü", "longer"]), np.zeros((200, 100), ">f8"), np.ones(3, bool)]
)
def test_what_numpy_writes_is_right_and_still_readable(array: Any, compress: bool) -> None:
    file = stored(a=array, b=np.arange(5), compress=compress)
    check_arrays(file)
    with np.load(file) as arrays:
        np.testing.assert_array_equal(arrays["a"], array)


def test_a_bomb_is_refused_before_it_unpacks() -> None:
    file = stored(query=np.zeros(100 * 2**20, np.uint8), compress=True)
    assert len(file.getvalue()) < 2**20
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpack to 104,857,600"):
        check_arrays(file)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    check_arrays(file, ["other"])


@pytest.mark.parametrize("shape", [(10**12,), (2**32, 2**32), (2,), (0,)])
def test_a_header_that_declares_another_size_is_refused(shape: tuple[int, ...]) -> None:
    check_arrays(packed(a=header(1) + bytes(4)))
    with pytest.raises(ValueError, match=r"a has 4 bytes instead of"):
        check_arrays(packed(a=header(*shape) + bytes(4)))


def test_members_that_are_no_arrays_are_refused() -> None:
    for content in (b"", b"\x93NUMPY", b"hello", b"\x93NUMPY\x09\x00" + bytes(100)):
        with pytest.raises(ValueError, match="a is no plain array"):
            check_arrays(packed(a=content))
    with pytest.raises(ValueError, match="a holds Python objects"):
        check_arrays(stored(a=np.array([{}], object)))


@pytest.mark.parametrize("form", ["4", "5"])
@pytest.mark.parametrize("compress", [False, True])
def test_what_matlab_writes_is_right(form: Any, compress: bool, rng: np.random.Generator) -> None:
    file = io.BytesIO()
    savemat(file, {"f": rng.normal(size=(40, 30)), "labels": np.arange(40)}, format=form, do_compression=compress)
    file.seek(5)
    check_matlab(file)
    assert file.tell() == 5


def test_a_bomb_in_a_matlab_file_is_refused_while_it_unpacks() -> None:
    file = io.BytesIO()
    savemat(file, {"small": np.eye(2), "large": np.zeros(200 * 2**20, np.uint8)}, do_compression=True)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bytes that unpack to 6\d,\d\d\d,\d\d\d"):
        check_matlab(file)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
