"""Write any ``ReIDData`` as a folder in Market-1501's format, which every program of the field reads.

The release's layout: ``bounding_box_train``, ``query``, ``bounding_box_test``, files such as
``0002_c1s1_000451_03.jpg`` (person, camera, sequence, frame, box). The frame counts the images of the whole data set,
so no two files are called the same, and ``MarketFormat(folder=...)`` reads back the labels in the same order within
each person and camera.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from snreid.errors import DataError
from snreid.records import JUNK, ReIDData, Sample

_QUALITY = 95


def write_market_format(data: ReIDData, folder: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Write train, query and gallery images as JPEG (quality 95, colour at full size); returns how many.

    ``progress(done, total)`` is called after each image. Everything is written beside ``folder`` and moved there at the
    end: an interrupted run leaves ``folder`` as it was. Raises ``DataError`` when ``folder`` holds anything, when an
    image's camera is not known, or when an image cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            "Drawn or copied data sets are written into a new or empty folder, nothing is ever overwritten",
            came=f"{folder} holds something already" if folder.is_dir() else f"{folder} is a file",
            repair="name another folder, or empty this one yourself",
        )
    splits = {"bounding_box_train": data.train, "query": data.query, "bounding_box_test": data.gallery}
    total = sum(len(split) for split in splits.values())
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
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
    return total


def market_name(sample: Sample, frame: int) -> str:
    """The file's name. Raises ``DataError`` for a camera that is not known, or a person no name can hold."""
    if sample.camera < 1 or sample.person < JUNK:
        raise DataError(
            "Market-1501's format names a camera (from 1) and a person (-1 junk, 0 distractor, from 1 people)",
            came=f"{sample.image.name} with person {sample.person} and camera {sample.camera}",
            repair="write data with cameras, or give every image camera 1",
        )
    person = "-1" if sample.person == JUNK else f"{sample.person:04d}"
    return f"{person}_c{sample.camera}s1_{frame:06d}_00.jpg"


def _write(sample: Sample, folder: Path, frame: int) -> None:
    pixels = np.ascontiguousarray(sample.image.read())
    Image.fromarray(pixels).save(folder / market_name(sample, frame), format="JPEG", quality=_QUALITY, subsampling=0)


def _umask() -> int:
    """The process's file mask (there is no way to read it without setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
