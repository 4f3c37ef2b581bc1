"""Write any ``ReIDData`` as a folder in Market-1501's format, which every program of the field reads.

The release's layout: ``bounding_box_train``, ``query``, ``bounding_box_test``, files such as
``0002_c1s1_000451_03.jpg`` (person, camera, sequence, frame, box). The frame counts the images of the whole data set,
so no two files are called the same, and ``MarketFormat(folder=...)`` reads back the labels in the same order within
each person and camera.
"""

import contextlib
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from snreid.errors import DataError
from snreid.records import JUNK, ReIDData, Sample

_QUALITY = 95
_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")


def write_market_format(data: ReIDData, folder: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Write train, query and gallery images as JPEG (quality 95, colour at full size); returns how many.

    ``progress(done, total)`` is called after each image. Everything is written beside ``folder`` and moved there at the
    end: an interrupted run leaves ``folder`` as it was, and what a killed one left beside it is removed. Raises
    ``DataError`` when ``folder`` holds anything, when an image's camera is not known, or when an image cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            "Drawn or copied data sets are written into a new or empty folder, nothing is ever overwritten",
            found=f"{folder} holds something already" if folder.is_dir() else f"{folder} is a file",
            fix="name another folder, or empty this one yourself",
        )
    splits = dict(zip(_FOLDERS, (data.train, data.query, data.gallery), strict=True))
    total = sum(len(split) for split in splits.values())
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    partial, lock = _draft(folder)
    try:
        done = 0
        for name, split in splits.items():
            (partial / name).mkdir()
            for sample in split.samples:
                done += 1
                _write(sample, partial / name, done)
                if progress is not None:
                    progress(done, total)
        partial.chmod(0o777 & ~_umask())
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)
    return total


def market_name(sample: Sample, frame: int) -> str:
    """The file's name. Raises ``DataError`` for a camera that is not known, or a person no name can hold."""
    if sample.camera < 1 or sample.person < JUNK:
        raise DataError(
            "Market-1501's format names a camera (from 1) and a person (-1 junk, 0 distractor, from 1 people)",
            found=f"{sample.image.name} with person {sample.person} and camera {sample.camera}",
            fix="write data with cameras, or give every image camera 1",
        )
    person = "-1" if sample.person == JUNK else f"{sample.person:04d}"
    return f"{person}_c{sample.camera}s1_{frame:06d}_00.jpg"


def _write(sample: Sample, folder: Path, frame: int) -> None:
    pixels = np.ascontiguousarray(sample.image.read())
    Image.fromarray(pixels).save(folder / market_name(sample, frame), format="JPEG", quality=_QUALITY, subsampling=0)


def _draft(folder: Path) -> tuple[Path, int | None]:
    """A new folder beside ``folder`` and the lock that says its writer lives; None where there are no locks."""
    while True:
        partial = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
        lock, taken = _lock(partial)
        if not taken and partial.exists():
            return partial, lock
        if lock is not None:  # another process swept it between its making and its locking
            os.close(lock)


def _sweep(folder: Path) -> None:
    """Removes the drafts of ``folder`` that killed writers left: folders of our name, with nothing but our folders in
    them, that nobody has locked.
    """
    for partial in folder.parent.glob(f"{glob.escape(_prefix(folder))}????????"):
        with contextlib.suppress(OSError):  # another process may sweep it at the same time
            if partial.is_symlink() or not {entry.name for entry in partial.iterdir()} <= set(_FOLDERS):
                continue
            lock, taken = _lock(partial)
            if lock is None:
                continue
            if not taken:
                shutil.rmtree(partial, ignore_errors=True)
            os.close(lock)


def _prefix(folder: Path) -> str:
    return f".{folder.name}.partial-"


def _lock(folder: Path) -> tuple[int | None, bool]:
    """(a handle that holds the lock of a folder until it is closed or its process ends, whether another process has it).

    No handle where neither can be known: Windows, and file systems without locks.
    """
    if sys.platform == "win32":
        return None, False
    import fcntl

    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return handle, True
    except OSError:
        if handle is not None:
            os.close(handle)
        return None, False
    return handle, False


def _umask() -> int:
    """The process's file mask (there is no way to read it without setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
