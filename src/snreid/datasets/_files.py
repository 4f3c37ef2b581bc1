"""Find data sets on disk and read labels from file names; for the readers."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from snreid.datasets._rules import shown
from snreid.errors import DataError
from snreid.images.files import list_images
from snreid.images.reading import FileImage
from snreid.records import NO_CAMERA, Sample


def named_images(folder: Path, pattern: re.Pattern[str], form: str) -> list[tuple[str, re.Match[str]]]:
    """Full path and match of each image of a folder, without its sub-folders, in the order of their names.

    ``form`` is the pattern in words. Raises ``DataError`` if the folder cannot be listed, has no image, or has one with another name.
    """
    names = list_images(folder).images
    if not names:
        raise DataError(
            "A folder of a data set holds images", found=f"none in {folder}", fix="unpack the archive again"
        )
    parsed = [(name, pattern.fullmatch(name)) for name in names]
    strange = [name for name, match in parsed if match is None]
    if strange:
        raise DataError(
            f"An image in this folder is named {form}",
            found=f"{len(strange)} of {len(names)} in {folder} are not: {shown(strange)}",
            fix="rename or remove them, or read the folder by a pattern of your own (FolderTree)",
        )
    return [(str(folder / name), match) for name, match in parsed if match is not None]


def named_samples(folder: Path, pattern: re.Pattern[str], form: str) -> tuple[Sample, ...]:
    """The samples of a folder, labelled by the groups ``person`` and, if there is one, ``camera`` of ``pattern``.

    Arguments and errors are those of ``named_images``.
    """
    has_camera = "camera" in pattern.groupindex
    return tuple(
        Sample(FileImage(path), int(name["person"]), int(name["camera"]) if has_camera else NO_CAMERA)
        for path, name in named_images(folder, pattern, form)
    )


def find_base(root: Path, folders: Sequence[str], needed: Sequence[str], *, name: str, home: str) -> Path:
    """The folder of a data set, recognized by the entries it must have (``needed``).

    ``folders`` are candidates below the data folder ``root``, "" is ``root`` itself. ``home`` says where to get the data set; it is empty
    for a folder of the user's own. Raises ``DataError`` unless exactly one candidate has all entries.
    """
    places = [root / folder for folder in folders]
    names = dict.fromkeys(folder.rpartition("/")[2] for folder in folders if folder)
    # An archive that is unpacked into a folder of its name lies one folder deeper.
    inner = [root / folder / name for folder in folders if folder for name in names]
    hits = _complete(places, needed) or _complete(inner, needed)
    if len(hits) == 1:
        return hits[0]
    wanted = ", ".join(needed)
    if hits:
        raise DataError(
            f"{name} has to be found once below the data folder",
            found=f"{wanted} in each of: {', '.join(map(str, hits))}",
            fix="give the folder that is meant as the data folder itself",
        )
    elsewhere = f", or get the data set by hand from its own page: {home}" if home else ""
    best = max((*places, *inner), key=lambda place: len(needed) - len(_lacking(place, needed)))
    missing = _lacking(best, needed)
    if len(missing) < len(needed):
        raise DataError(
            f"{name} needs a folder that holds {wanted}",
            found=f"{best} without {', '.join(missing)}; it holds {_content(best)}",
            fix=f"unpack the whole archive there, or rename what has another name{elsewhere}",
        )
    raise DataError(
        f"{name} needs a folder that holds {wanted}",
        found=f"none of {_places(root, folders)}{_state(root)}",
        fix=f"give the right data folder{elsewhere}",
    )


def _lacking(place: Path, needed: Sequence[str]) -> list[str]:
    return [entry for entry in needed if not (place / entry).exists()]


def _complete(places: Sequence[Path], needed: Sequence[str]) -> list[Path]:
    """The places that have all entries, each once."""
    return list({os.path.realpath(place): place for place in places if not _lacking(place, needed)}.values())


def find_folder(root: Path, folders: Sequence[str], *, name: str, home: str) -> Path:
    """The folder of a data set, recognized by its name: a candidate, or ``root`` itself if it has the last part of a candidate's name.

    Arguments are those of ``find_base``. Raises ``DataError`` unless there is exactly one such folder.
    """
    places = [root / folder for folder in folders if (root / folder).is_dir()]
    if root.is_dir() and root.name in {folder.rpartition("/")[2] for folder in folders}:
        places.append(root)
    unique = list({os.path.realpath(place): place for place in places}.values())
    if len(unique) == 1:
        place = unique[0]
        while (inner := place / place.name).is_dir():  # unpacked into a folder of the archive's name
            place = inner
        return place
    if unique:
        raise DataError(
            f"{name} has to be found once below the data folder",
            found=", ".join(map(str, unique)),
            fix="give the folder that is meant as the data folder itself",
        )
    raise DataError(
        f"{name} needs its folder of images",
        found=f"none of {', '.join(folders)} in {root}{_state(root)}",
        fix=f"give the right data folder, or get the data set by hand from its own page: {home}",
    )


def _places(root: Path, folders: Sequence[str]) -> str:
    inner = ", ".join(folder for folder in folders if folder)
    return f"{root}, nor its folders {inner}" if "" in folders else f"the folders {inner} of {root}"


def _state(root: Path) -> str:
    if not root.exists():
        return f" (the data folder {root} does not exist)"
    if not root.is_dir():
        return f" (the data folder {root} is not a folder)"
    return f" (the data folder {root} holds {_content(root)})"


def _content(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    return (", ".join(names[:8]) or "nothing") + (", ..." if len(names) > 8 else "")
