"""Which files of a folder are images: the one listing that data sets, extraction and adaptation share."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from snreid.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""File name endings (in any case) that count as an image. The decoder itself looks at the content only."""
_OF_THE_SYSTEM = frozenset({"@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "__MACOSX", "Thumbs.db", "desktop.ini"})
"""What network disks, Windows and macOS leave in a folder: thumbnails, deleted files, resource forks."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a folder."""

    images: tuple[str, ...]
    """Paths relative to the folder, with ``/``, sorted by code point: the same order on every machine."""
    others: tuple[str, ...]
    """Files that are not images (a readme, a video), sorted."""

    @property
    def note(self) -> str:
        """The number of other files and the first of them, as a sentence for the user; "" if there are none."""
        if not self.others:
            return ""
        count, names = len(self.others), ", ".join(self.others[:_SHOWN])
        return f"{count:,} file{'s' * (count > 1)} passed over, not named like an image: {names}{', ...' * (count > _SHOWN)}"


def list_images(folder: Path, *, deep: bool = False) -> Listing:
    """Lists the files of ``folder``, without hidden ones and what the operating system keeps there.

    Args:
        folder: The folder.
        deep: Whether to list its sub-folders too. Links to folders are followed, unless they lead back to a folder
            that contains them.

    Raises:
        DataError: The folder cannot be read.
    """
    try:
        names = sorted(_names(folder, deep))
    except OSError as error:
        raise DataError(
            "A folder of images has to be readable",
            found=f"{folder}: {error}",
            fix="check the path and its permissions",
        ) from None
    images = tuple(name for name in names if name.lower().endswith(SUFFIXES))
    return Listing(images, tuple(name for name in names if not name.lower().endswith(SUFFIXES)))


def images_at(places: Iterable[Path]) -> Listing:
    """The named files, whatever their endings, and the images in and below the named folders, in the order of ``places``; with
    full paths. Raises ``DataError`` if a folder cannot be read."""
    images: list[str] = []
    others: list[str] = []
    for place in places:
        if place.is_dir():
            inside = list_images(place, deep=True)
            images += [str(place / name) for name in inside.images]
            others += [str(place / name) for name in inside.others]
        else:
            images.append(str(place))
    return Listing(tuple(images), tuple(others))


def spelt(path: Path) -> Path:
    """The path in the Unicode form in which it exists: NFC on most systems, NFD where macOS wrote it; unchanged if there is none."""
    kinds: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    forms = (path, *(Path(normalize(kind, str(path))) for kind in kinds))
    return next((form for form in forms if os.path.lexists(form)), path)


def _names(folder: Path, deep: bool) -> list[str]:
    """Paths of all files, relative to ``folder``. Without recursion, because folders may be nested deeper than Python calls."""
    names: list[str] = []
    # Each folder with the real paths of itself and of all folders above it in this walk.
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(folder),))]
    while waiting:
        prefix, inside = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _OF_THE_SYSTEM:
                    continue
                link = entry.is_symlink()
                # A link that leads nowhere or to itself is a file that cannot be read, which its reader reports.
                if not (os.path.isdir(entry.path) if link else entry.is_dir()):
                    names.append(prefix + entry.name)
                    continue
                real = os.path.realpath(entry.path) if link else os.path.join(inside[-1], entry.name)
                if deep and real not in inside:
                    waiting.append((f"{prefix}{entry.name}/", (*inside, real)))
    return names
