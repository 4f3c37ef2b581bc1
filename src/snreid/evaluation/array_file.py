"""Files of named arrays from anywhere: NumPy's ``.npz`` and ``.npy``, MATLAB's ``.mat`` up to version 7.

Nothing in them is ever unpickled, and what their headers declare is checked before memory is used.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from snreid.errors import DataError
from snreid.system.archives import check_arrays, check_growth, check_matlab

ONLY = "embeddings"
"""What the one array of an ``.npy`` file is called here."""
Place = TypeVar("Place", bound=Hashable)
_BYTES = {"double": 8, "single": 4, "char": 4, "cell": 8} | {
    f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""MATLAB's classes that are read, and the bytes of an element in memory."""


def read_arrays(path: Path, choose: Callable[[Sequence[str]], Mapping[Place, str]]) -> dict[Place, NDArray[Any]]:
    """The arrays of a file that ``choose`` picks, given the names of all, each under a key of its own. The content decides what the file
    is; an ``.npy`` file is mapped, not read.

    Raises ``DataError`` if there is no such file, it is of another kind or damaged, or an array to read holds Python objects or unpacks
    to more than fits the file. Also what ``choose`` raises.
    """
    if not path.is_file():
        raise DataError("The features file must exist", found=str(path), fix="check the path")
    try:
        with path.open("rb") as file:  # numpy leaves a file open if it cannot read it
            start = file.read(10)
            file.seek(0)
            if start.startswith(b"\x93NUMPY"):
                array = np.load(path, mmap_mode="r", allow_pickle=False)
                return dict.fromkeys(choose([ONLY]), array)
            if start.startswith(b"PK"):
                return _of_npz(file, choose)
            if start != b"MATLAB 7.3" and (start.startswith(b"MATLAB") or path.suffix.lower() == ".mat"):
                return _of_matlab(file, choose)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes zipfile, zlib, numpy and scipy raise two dozen different types
        raise DataError(
            "A features file is an .npz, .npy or .mat of plain arrays, without Python objects in it",
            found=f"{path}: {type(error).__name__}: {error}",
            fix="write it with numpy.savez from numeric and text arrays; if it was copied, copy it again",
        ) from error
    newer = start == b"MATLAB 7.3"
    raise DataError(
        "A features file is an .npz, .npy or .mat of plain arrays",
        found=f"{path} is {'of MATLAB 7.3, which is HDF5' if newer else 'no .npz, .npy or .mat file'}",
        fix="save it in MATLAB with '-v7'"
        if newer
        else "write it with numpy.savez(file, query=..., gallery=..., query_person=..., gallery_person=...)",
    )


def _of_npz(file: IO[bytes], choose: Callable[[Sequence[str]], Mapping[Place, str]]) -> dict[Place, NDArray[Any]]:
    with np.load(file, allow_pickle=False) as content:
        if any(name.endswith("/data.pkl") for name in content.files):
            raise ValueError("a file of torch.save, which holds Python objects")
        chosen = choose(content.files)
        check_arrays(file, set(chosen.values()))
        return {place: content[name] for place, name in chosen.items()}


def _of_matlab(file: IO[bytes], choose: Callable[[Sequence[str]], Mapping[Place, str]]) -> dict[Place, NDArray[Any]]:
    check_matlab(file)
    variables = {name: (shape, kind) for name, shape, kind in whosmat(file)}
    chosen = choose(list(variables))
    total = 0
    for name in chosen.values():
        shape, kind = variables[name]
        if kind not in _BYTES:
            raise ValueError(f"{name} is of class {kind}")
        total += prod(map(int, shape)) * _BYTES[kind]
    check_growth(file.seek(0, 2), total)
    file.seek(0)
    content = loadmat(file, variable_names=list(chosen.values()), mat_dtype=True)
    return {place: _texts(content[name]) for place, name in chosen.items()}


def _texts(array: NDArray[Any]) -> NDArray[Any]:
    """A cell array of texts as an array of text; every other array as it is, row by row."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array)
    cells = [cell.item() for cell in array.ravel()]
    if not all(isinstance(cell, str) for cell in cells):
        raise ValueError("a cell array of other things than texts")
    return np.array(cells, dtype=np.str_)
