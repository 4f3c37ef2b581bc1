"""The persons of CUHK-SYSU cut out of its released frames, as ``datasets.CUHKSYSU`` reads them.

The release has frames ``Image/SSM/s16929.jpg`` and annotations for MATLAB. ``annotation/Person.mat`` holds ``Person``, a
struct array with ``idname`` ('p11422'), ``nAppear`` and ``scene``, itself a struct array with ``imname`` ('s16929.jpg'),
``idlocate`` (x, y, width, height in pixels) and ``ishard``; 11,934 persons with 34,574 boxes. Verified in the readers of
person_search and ColorPromptReID and in the MATLAB script that MetaBIN's users share. x and y count from 0, as in person_search; if they
counted from 1, as in MATLAB, a crop would begin one pixel further left and up.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from math import floor, isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat

from snreid.datasets._files import find_base
from snreid.datasets._rules import differences, listed_lines
from snreid.datasets.cuhk_sysu import IMAGES, PERSONS
from snreid.errors import DataError, visible
from snreid.images.reading import read_image
from snreid.system.atomic_files import atomic_write

_FRAME_PIXELS = 40_000_000
_QUALITY = 95
_ANNOTATION, _FRAMES = "annotation/Person.mat", "Image/SSM"
_PERSON = re.compile(r"p0*([1-9][0-9]{0,7})")
_FRAME = re.compile(r"s0*([1-9][0-9]{0,7})\.jpg")


@dataclass(frozen=True, slots=True)
class PersonBox:
    """A person in a frame."""

    person: int
    frame: str
    """The frame's file, such as ``s16929.jpg``."""
    appearance: int
    """Which of the person's boxes, from 1."""
    left: int
    top: int
    width: int
    height: int
    """In pixels of the frame; the box may reach beyond it."""

    @property
    def name(self) -> str:
        """The crop's file, such as ``p11422_s16929_1.jpg``."""
        return f"p{self.person}_{self.frame.removesuffix('.jpg')}_{self.appearance}.jpg"

    def cut(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of the frame (H, W, 3) inside the box; empty when the box lies outside."""
        top, left = max(self.top, 0), max(self.left, 0)
        return frame[top : max(self.top + self.height, 0), left : max(self.left + self.width, 0)]


@dataclass
class CropReport:
    """The outcome of cutting the boxes of ``Person.mat``."""

    folder: str
    """Where the crops are."""
    persons: int = 0
    """Persons with at least one crop."""
    written: int = 0
    kept: int = 0
    """Crops that existed before."""
    clipped: int = 0
    """Crops smaller than their box, because it reaches beyond the frame."""
    malformed: list[str] = field(default_factory=list)
    """Boxes that cannot be cut, each with its reason."""
    unreadable: list[str] = field(default_factory=list)
    """Frames that are missing or damaged, each with its reason."""
    others: list[str] = field(default_factory=list)
    """Files with the name of a crop that are none; they are not changed."""

    @property
    def ok(self) -> bool:
        """Whether every box was cut and the counts are the published ones."""
        return not (self.malformed or self.unreadable or self.others) and not self.problem

    @property
    def problem(self) -> str:
        """What differs from the published counts, or ""."""
        return differences((("crops", self.written + self.kept, IMAGES), ("persons", self.persons, PERSONS)))

    def to_json(self) -> str:
        """All fields, ``ok`` and ``problem`` as one JSON object."""
        return visible(json.dumps({"ok": self.ok, "problem": self.problem, **asdict(self)}, ensure_ascii=False))

    def lines(self) -> tuple[str, ...]:
        """The report as lines of text."""
        out = [
            f"{self.folder}: {self.written + self.kept:,} crops ({self.written:,} written, {self.kept:,} there before) of "
            f"{self.persons:,} persons; published: {IMAGES:,} of {PERSONS:,}"
        ]
        if self.problem:
            out.append(f"NOT as published: {self.problem}")
        if self.clipped:
            out.append(f"{self.clipped:,} boxes reach beyond their frame and were clipped")
        out += listed_lines("boxes cannot be cut", self.malformed)
        out += listed_lines("frames cannot be read", self.unreadable)
        out += listed_lines("files bear the name of a crop and are none, and were left as they are", self.others)
        return tuple(map(visible, out))


def crop(release: Path, folder: Path, progress: Callable[[int, int], None] | None = None) -> CropReport:
    """Cut every box of the release out of its frame, as JPEG of quality 95 without colour subsampling.

    Existing files are never overwritten, so an interrupted run can be continued. The folder, usually ``cropped_images``, is made if
    missing. ``progress(done, total)`` is called after each frame. Bad boxes and frames are reported, not raised; raises ``DataError`` if
    the release is not found or its annotation cannot be understood.
    """
    base = find_base(
        release,
        ("", "dataset", "CUHK-SYSU"),
        (_ANNOTATION, _FRAMES),
        name="the release of CUHK-SYSU",
        home="the person search page of the Chinese University of Hong Kong",
    )
    boxes, malformed = read_boxes(base / _ANNOTATION)
    if folder.exists() and not folder.is_dir():
        raise DataError("Crops are written into a folder", found=f"{folder} is a file", fix="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    frames: defaultdict[str, list[PersonBox]] = defaultdict(list)
    for box in boxes:
        frames[box.frame].append(box)
    report, persons = CropReport(str(folder), malformed=list(malformed)), set[int]()
    for done, (frame, inside) in enumerate(sorted(frames.items()), 1):
        for box, height, width in _crops(inside, base / _FRAMES / frame, folder, report):
            persons.add(box.person)
            report.clipped += (height, width) != (box.height, box.width)
        if progress is not None:
            progress(done, len(frames))
    report.persons = len(persons)
    return report


def read_boxes(path: Path) -> tuple[tuple[PersonBox, ...], tuple[str, ...]]:
    """The boxes of ``Person.mat`` in its order, and the reasons why others cannot be used.

    Raises ``DataError`` if the file is damaged or has another structure.
    """
    try:
        content = loadmat(path, variable_names=["Person"])["Person"].ravel()
        rows = [
            (str(row["idname"].item()), str(scene["imname"].item()), np.asarray(scene["idlocate"]).ravel())
            for row in content
            for scene in row["scene"].ravel()
        ]
    except Exception as error:  # on a damaged MATLAB file scipy raises almost anything
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    boxes: list[PersonBox] = []
    malformed: list[str] = []
    counts: defaultdict[int, int] = defaultdict(int)
    for name, frame, located in rows:
        person, number = _PERSON.fullmatch(name), _FRAME.fullmatch(frame)
        if person is None or number is None:
            raise _damaged(path, f"person {name!r} in frame {frame!r}")
        counts[int(person[1])] += 1
        which = counts[int(person[1])]
        corners = _corners(located)
        if isinstance(corners, str):
            malformed.append(f"{name}, box {which}, in {frame}: {corners}")
        else:
            boxes.append(PersonBox(int(person[1]), frame, which, *corners))
    return tuple(boxes), tuple(malformed)


def _corners(located: NDArray[Any]) -> tuple[int, int, int, int] | str:
    """Left, top, width and height in whole pixels, or why there are none."""
    text = f"{located.tolist()}"[:80]
    try:
        numbers = [float(number) for number in located]
    except (TypeError, ValueError):
        return f"{text} are no numbers"
    if len(numbers) != 4 or not all(map(isfinite, numbers)):
        return f"{text} are not x, y, width and height"
    left, top, width, height = (floor(number) for number in numbers)
    return (left, top, width, height) if width > 0 and height > 0 else f"{text} has no area"


def _crops(
    boxes: Iterable[PersonBox], frame_path: Path, folder: Path, report: CropReport
) -> Iterator[tuple[PersonBox, int, int]]:
    """Cut the boxes of one frame whose crops do not exist yet; the frame is opened only if there are any.

    Yields each box that has a crop now, with the crop's height and width.
    """
    left = []
    for box in boxes:
        path = folder / box.name
        if not os.path.lexists(path):
            left.append(box)
            continue
        try:
            height, width, _ = read_image(path).shape
        except DataError as error:
            report.others.append(error.found)
            continue
        if height > box.height or width > box.width:
            report.others.append(f"{path}: {width} x {height}, more than the box of {box.width} x {box.height}")
            continue
        report.kept += 1
        yield box, height, width
    if not left:
        return
    try:
        frame = read_image(frame_path, max_pixels=_FRAME_PIXELS, turn=False)  # boxes are those of the stored pixels
    except DataError as error:
        report.unreadable.append(error.found)
        return
    for box in left:
        part = box.cut(frame)
        if 0 in part.shape:
            report.malformed.append(
                f"p{box.person}, box {box.appearance}, in {box.frame}: at {box.left}, {box.top} outside of the "
                f"{frame.shape[1]} x {frame.shape[0]} frame"
            )
            continue
        # Whole or not at all, because the next run keeps existing files.
        with atomic_write(folder / box.name, durable=False) as draft:
            Image.fromarray(np.ascontiguousarray(part)).save(draft, format="JPEG", quality=_QUALITY, subsampling=0)
        report.written += 1
        yield box, *part.shape[:2]


def _damaged(path: Path, problem: str) -> DataError:
    return DataError(
        "Person.mat holds Person: idname (p1, p2, ...) and scene with imname (s1.jpg, ...) and idlocate (x, y, width, height)",
        found=f"{path}: {problem}",
        fix="copy the annotations again from the release",
    )
