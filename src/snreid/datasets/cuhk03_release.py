"""``cuhk-03.mat``, the release of CUHK03: a MATLAB 7.3 file (HDF5) with every image as an array.

``detected`` and ``labeled`` are cells of five camera pairs; each is a cell (persons, 10) of images, the first five from the pair's first
camera, the others from its second; an empty cell is no image. HDF5 stores MATLAB's arrays with their axes reversed, so an image
(height, width, 3) is stored as (3, width, height).

Needs the ``h5py`` package (``pip install 'snreid[cuhk03]'``). Reading writes nothing. ``extract`` writes PNG files, which are read several
times faster than cells, for long trainings.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from snreid.errors import DataError, SnreidError
from snreid.images.reading import file_stamp
from snreid.system.atomic_files import atomic_write

_FIELD = {"detected": "detected", "labelled": "labeled"}
_IMAGES = 10
_FIRST_CAMERA = 5


@dataclass(frozen=True, slots=True)
class ReleaseImage:
    """One image of ``cuhk-03.mat`` as an ``ImageSource``."""

    path: str
    """Path of ``cuhk-03.mat``."""
    boxes: Literal["detected", "labelled"]
    pair: int
    """Camera pair, 1 to 5."""
    person: int
    """Person within the pair, from 1."""
    index: int
    """Image of the person, 1 to 10; 1 to 5 from the pair's first camera."""

    @property
    def name(self) -> str:
        """The file's path and the image's published name, as in ``cuhk-03.mat/detected/1_001_1_01.png``."""
        return f"{self.path}/{self.boxes}/{published_name(self.pair, self.person, self.index)}"

    def read(self) -> NDArray[np.uint8]:
        """Pixels (H, W, 3), RGB, uint8. Raises ``DataError`` with image and reason."""
        try:
            file = _opened(self.path, os.getpid())
            pairs = file[_FIELD[self.boxes]]
            cells = file[pairs[0, self.pair - 1]]
            stored = file[cells[self.index - 1, self.person - 1]][()]
        except SnreidError:
            raise
        except Exception as error:  # on a damaged file h5py raises almost anything
            raise _unreadable(self.name, error) from None
        if stored.ndim != 3 or stored.shape[0] != 3 or stored.dtype != np.uint8 or 0 in stored.shape:
            raise _unreadable(self.name, f"no 8-bit colour image but {stored.dtype} of shape {stored.shape}")
        return np.ascontiguousarray(stored.transpose(2, 1, 0))

    def stamp(self) -> str:
        """Name and file stamp: equal stamps mean equal pixels."""
        return f"{self.name} in {file_stamp(self.path)}"


def published_name(pair: int, person: int, index: int) -> str:
    """``PAIR_ID_CAMERA_INDEX.png`` as in the protocol's list, all counted from 1."""
    return f"{pair}_{person:03d}_{1 if index <= _FIRST_CAMERA else 2}_{index:02d}.png"


def release_images(path: Path, boxes: Literal["detected", "labelled"]) -> frozenset[tuple[int, int, int]]:
    """(pair, person, index) of each image of the file, counted from 1, without reading pixels.

    Raises ``DataError`` if the file is damaged or has another structure, or ``h5py`` is not installed.
    """
    positions: set[tuple[int, int, int]] = set()
    try:
        file = _opened(str(path), os.getpid())
        pairs = file[_FIELD[boxes]]
        for pair in range(pairs.shape[1]):
            cells = file[pairs[0, pair]][()]
            if cells.shape[0] != _IMAGES:
                raise _unreadable(str(path), f"{cells.shape[0]} images a person in pair {pair + 1}, not {_IMAGES}")
            for index, row in enumerate(cells):
                images = [person for person, cell in enumerate(row) if file[cell].ndim == 3]
                positions |= {(pair + 1, person + 1, index + 1) for person in images}
    except SnreidError:
        raise
    except Exception as error:
        raise _unreadable(str(path), error) from None
    return frozenset(positions)


def extract(
    path: Path,
    folder: Path,
    *,
    boxes: Literal["detected", "labelled"] = "detected",
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write every image of ``cuhk-03.mat`` (``path``) as PNG under its published name; existing files are replaced.

    The folder, usually ``images_detected`` or ``images_labeled``, is made if missing. ``progress(1)`` is called after each image. Returns
    the number of images. Raises ``DataError`` if the file cannot be read.
    """
    images = sorted(release_images(path, boxes))
    folder.mkdir(parents=True, exist_ok=True)
    for cell in images:
        with atomic_write(folder / published_name(*cell), durable=False) as draft:
            Image.fromarray(ReleaseImage(str(path), boxes, *cell).read()).save(draft, format="PNG")
        if progress is not None:
            progress(1)
    return len(images)


@lru_cache(maxsize=4)
def _opened(path: str, process: int) -> Any:
    """The open file, one for each process, because an HDF5 handle must not be shared across a fork."""
    try:
        import h5py
    except ImportError:
        raise DataError(
            "cuhk-03.mat is an HDF5 file and is read by the h5py package",
            found=f"{path}, and h5py is not installed",
            fix="pip install 'snreid[cuhk03]', or give a folder of extracted images",
        ) from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(name: str, error: Exception | str) -> DataError:
    return DataError(
        "cuhk-03.mat has to be the released MATLAB 7.3 file with the fields detected and labeled",
        found=f"{name}: {error}",
        fix="copy the file again, or give a folder of extracted images",
    )
