"""Write any ``ReIDData`` as a folder in Market-1501's format, which every program of the field reads.

The layout is that of the release: ``bounding_box_train``, ``query``, ``bounding_box_test``, with files such as ``0002_c1s1_000451_03.jpg``
(person, camera, sequence, frame, box). The frame counts the images of the whole data set, so file names are unique, and
``MarketFormat(folder=...)`` reads the labels back in the same order within each person and camera.

A whole folder needs more than ``system/atomic_files.py``: its draft is locked while its writer lives, and unlocked drafts are deleted.
"""

import contextlib
import glob
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from snreid.errors import DataError
from snreid.records import JUNK, ReIDData, Sample
from snreid.system.atomic_files import naming

_QUALITY = 95
_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")


def write_market_format(data: ReIDData, folder: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Write train, query and gallery images as JPEG of quality 95 without colour subsampling, and return their number.

    Everything is written beside ``folder``, which is new or empty, and moved there at the end, so an interrupted run leaves it unchanged.
    Drafts that killed processes left beside it are deleted. ``progress(done, total)`` is called after each image.

    Raises:
        DataError: ``folder`` is not empty, an image's camera is not known, or an image cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            "Drawn or copied data sets are written into a new or empty folder, nothing is ever overwritten",
            found=f"{folder} holds something already" if folder.is_dir() else f"{folder} is a file",
            fix="name another folder, or empty this one yourself",
        )
    splits = dict(zip(_FOLDERS, (data.train, data.query, data.gallery), strict=True))
    total = sum(len(split) for split in splits.values())
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        partial, lock = _draft(folder)
    try:
        done = 0
        for name, split in splits.items():
            (partial / name).mkdir()
            for sample in split.samples:
                done += 1
                with naming(folder):
                    _write(sample, partial / name, done)
                if progress is not None:
                    progress(done, total)
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
    """The file name of a sample. Raises ``DataError`` if the camera is not known, or the format has no name for the person."""
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
    """Make a draft beside ``folder`` and lock it; the lock is None where the system has no locks."""
    while True:
        partial = folder.parent / f"{_prefix(folder)}{secrets.token_hex(4)}"
        partial.mkdir()
        lock, taken = _lock(partial)
        if not taken and partial.exists():
            return partial, lock
        if lock is not None:  # another process deleted the draft before it was locked
            os.close(lock)


def _sweep(folder: Path) -> None:
    """Delete the drafts of ``folder`` that killed writers left: unlocked folders of this name that contain nothing else."""
    for partial in folder.parent.glob(f"{glob.escape(_prefix(folder))}????????"):
        with contextlib.suppress(OSError):  # another process may delete it at the same time
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
    """Try to lock a folder until the handle is closed or the process ends.

    Returns the handle, None on Windows and on file systems without locks, and whether another process has the lock.
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
