"""Trees of files with the real names of data sets: empty ones where nothing is opened, small pictures where something is."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snreid.datasets import check
from snreid.errors import DataError
from snreid.records import DataSet


def touch(folder: Path, names: Iterable[str]) -> Path:
    """Empty files, with the folders in their names, and what Windows and macOS leave behind."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*names, "Thumbs.db", ".DS_Store"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def draw(folder: Path, names: Iterable[str]) -> Path:
    """Pictures of 16 x 8 pixels, each another one."""
    noise = np.random.default_rng(7)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (16, 8, 3), dtype=np.uint8)).save(folder / name)
    return folder


def refused(data: DataSet, root: Path, *words: str) -> None:
    """Reading raises a ``DataError`` that says all of ``words``, and ``snreid data check`` reports it."""
    with pytest.raises(DataError) as caught:
        data.read(root)
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
    report = check(data, root, decode=False)
    assert not report.ok and report.failure == str(caught.value)
