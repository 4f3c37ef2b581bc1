"""Which files of a folder are images: the one listing that data sets, extraction and adaptation share."""

import os
from dataclasses import dataclass
from pathlib import Path

from snreid.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""File name endings (in any case) that count as an image. The decoder itself looks at the content only."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a folder."""

    images: tuple[str, ...]
    """Paths relative to the folder, with ``/``, sorted by code point: the same order on every machine."""
    others: tuple[str, ...]
    """Files that are not images (``Thumbs.db``, a readme), sorted. Hidden files are not listed at all."""


def list_images(folder: Path, *, deep: bool = False) -> Listing:
    """Lists the files of ``folder``, hidden ones excepted.

    Args:
        folder: The folder.
        deep: Whether to list its sub-folders too. Links to folders are followed, unless they lead back to a folder
            that contains them.

    Raises:
        DataError: The folder cannot be read.
    """
    names: list[str] = []
    try:
        _walk(folder, "", deep, names, (os.path.realpath(folder),))
    except OSError as error:
        raise DataError(
            "a folder of images has to be readable",
            found=f"{folder}: {error}",
            fix="check the path and its permissions",
        ) from None
    names.sort()
    images = tuple(name for name in names if name.lower().endswith(SUFFIXES))
    return Listing(images, tuple(name for name in names if not name.lower().endswith(SUFFIXES)))


def image_paths(folder: Path) -> list[Path]:
    """Paths of all images in ``folder`` and its sub-folders, in the order of ``list_images``."""
    return [folder / name for name in list_images(folder, deep=True).images]


def _walk(folder: Path, prefix: str, deep: bool, names: list[str], inside: tuple[str, ...]) -> None:
    """``inside``: real paths of ``folder`` and of all folders above it in this walk."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "@")):  # hidden; "@eaDir" is a network disk's folder of thumbnails
                continue
            if not entry.is_dir():
                names.append(prefix + entry.name)
            elif deep and (real := os.path.realpath(entry.path)) not in inside:
                _walk(folder / entry.name, f"{prefix}{entry.name}/", deep, names, (*inside, real))
