"""The persons of CUHK-SYSU cut out of its released frames, as ``datasets.CUHKSYSU`` reads them.

The release has frames ``Image/SSM/s16929.jpg`` and annotations for MATLAB. ``annotation/Person.mat`` holds ``Person``, a
struct array with ``idname`` ('p11422'), ``nAppear`` and ``scene``, itself a struct array with ``imname`` ('s16929.jpg'),
``idlocate`` (x, y, width, height in pixels) and ``ishard``; 11,934 persons with 34,574 boxes. Verified in the readers of
person_search and ColorPromptReID and in the MATLAB script that MetaBIN's users pass on. x and y are taken as counted from 0, as
person_search takes them; counted from 1, as MATLAB counts, a crop would begin one pixel further left and up.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import floor, isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat

from snreid.datasets._files import find_base
from snreid.datasets.cuhk_sysu import IMAGES, PERSONS
from snreid.errors import DataError
from snreid.images.reading import read_image
from snreid.system.atomic_files import atomic_write

_FRAME_PIXELS = 40_000_000
_QUALITY = 95
_SHOWN = 10
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


@dataclass(frozen=True)
class CropReport:
    """What became of the boxes of ``Person.mat``."""

    folder: str
    """Where the crops are."""
    persons: int
    """With one crop or more."""
    written: int
    kept: int
    """Crops that were there before."""
    clipped: int
    """Crops that are smaller than their box, which reaches beyond the frame."""
    malformed: tuple[str, ...]
    """Boxes that cannot be cut, each with its reason."""
    unreadable: tuple[str, ...]
    """Frames that are missing or damaged, each with its reason."""
    others: tuple[str, ...]
    """Files that bear the name of a crop and are none: left as they are."""

    @property
    def ok(self) -> bool:
        """True when every box was cut and there are as many as published."""
        return not (self.malformed or self.unreadable or self.others) and not self.problem

    @property
    def problem(self) -> str:
        """What differs from the published counts, or ""."""
        pairs = (("crops", self.written + self.kept, IMAGES), ("persons", self.persons, PERSONS))
        return ", ".join(
            f"{abs(wanted - found):,} {word} {'missing' if found < wanted else 'too many'}"
            for word, found, wanted in pairs
            if found != wanted
        )

    def to_json(self) -> str:
        """All fields, ``ok`` and ``problem`` as one JSON object."""
        return json.dumps({"ok": self.ok, "problem": self.problem, **asdict(self)}, ensure_ascii=False)

    def lines(self) -> tuple[str, ...]:
        """The report for a person."""
        out = [
            f"{self.folder}: {self.written + self.kept:,} crops ({self.written:,} written, {self.kept:,} there before) of "
            f"{self.persons:,} persons; published: {IMAGES:,} of {PERSONS:,}"
        ]
        if self.problem:
            out.append(f"NOT as published: {self.problem}")
        if self.clipped:
            out.append(f"{self.clipped:,} boxes reach beyond their frame and were clipped")
        for said, names in (
            ("boxes cannot be cut", self.malformed),
            ("frames cannot be read", self.unreadable),
            ("files bear the name of a crop and are none, and were left as they are", self.others),
        ):
            if names:
                out.append(f"{len(names):,} {said}:")
                out += [f"  {name}" for name in names[:_SHOWN]]
            if len(names) > _SHOWN:
                out.append(f"  and {len(names) - _SHOWN:,} more: --json lists all")
        return tuple(out)


def crop(release: Path, folder: Path, progress: Callable[[int, int], None] | None = None) -> CropReport:
    """Cut every box of the release into ``folder`` (made if missing; the usual name is ``cropped_images``) as JPEG, quality
    95, colour at full size. Crops that are there already are kept, so that an interrupted run goes on where it was; no file
    that is there is ever overwritten.

    ``progress(done, all)`` is called after each frame. Raises ``DataError`` when the release is not found or its annotation
    cannot be understood; boxes and frames that are bad are reported.
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
        raise DataError("crops are written into a folder", found=f"{folder} is a file", fix="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    frames: defaultdict[str, list[PersonBox]] = defaultdict(list)
    for box in boxes:
        frames[box.frame].append(box)
    found = _Found(folder, list(malformed))
    for done, (frame, inside) in enumerate(sorted(frames.items()), 1):
        found.take(base / _FRAMES / frame, inside)
        if progress is not None:
            progress(done, len(frames))
    return found.report()


def read_boxes(path: Path) -> tuple[tuple[PersonBox, ...], tuple[str, ...]]:
    """The boxes of ``Person.mat`` in its order, and those that have no area, each with its reason.

    Raises ``DataError`` with the path and the reason when it is damaged or built otherwise.
    """
    try:
        content = loadmat(path, variable_names=["Person"])["Person"].ravel()
        rows = [
            (str(row["idname"].item()), str(scene["imname"].item()), np.asarray(scene["idlocate"]).ravel())
            for row in content
            for scene in row["scene"].ravel()
        ]
    except Exception as error:  # a damaged MATLAB file makes scipy raise nearly anything
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
    said = f"{located.tolist()}"[:80]
    try:
        numbers = [float(number) for number in located]
    except (TypeError, ValueError):
        return f"{said} are no numbers"
    if len(numbers) != 4 or not all(map(isfinite, numbers)):
        return f"{said} are not x, y, width and height"
    left, top, width, height = (floor(number) for number in numbers)
    return (left, top, width, height) if width > 0 and height > 0 else f"{said} has no area"


class _Found:
    """The counts of a run that goes from frame to frame."""

    def __init__(self, folder: Path, malformed: list[str]) -> None:
        self.folder, self.malformed = folder, malformed
        self.persons: set[int] = set()
        self.written = self.kept = self.clipped = 0
        self.unreadable: list[str] = []
        self.others: list[str] = []

    def take(self, path: Path, boxes: Sequence[PersonBox]) -> None:
        """Cut the boxes of one frame that are not there yet; the frame is opened only if there is one."""
        left = [box for box in boxes if not self._there(box)]
        if not left:
            return
        try:
            frame = read_image(path, max_pixels=_FRAME_PIXELS)
        except DataError as error:
            self.unreadable.append(error.found)
            return
        for box in left:
            part = box.cut(frame)
            if 0 in part.shape:
                self.malformed.append(
                    f"p{box.person}, box {box.appearance}, in {box.frame}: at {box.left}, {box.top} outside of the "
                    f"{frame.shape[1]} x {frame.shape[0]} frame"
                )
                continue
            _write(part, self.folder / box.name)
            self.written += 1
            self._count(box, part)

    def _there(self, box: PersonBox) -> bool:
        path = self.folder / box.name
        if not os.path.lexists(path):
            return False
        try:
            part = read_image(path)
        except DataError as error:
            self.others.append(error.found)
            return True
        if part.shape[0] > box.height or part.shape[1] > box.width:
            size = f"{part.shape[1]} x {part.shape[0]}"
            self.others.append(f"{path}: {size}, more than the box of {box.width} x {box.height}")
            return True
        self.kept += 1
        self._count(box, part)
        return True

    def _count(self, box: PersonBox, part: NDArray[np.uint8]) -> None:
        self.persons.add(box.person)
        self.clipped += part.shape[:2] != (box.height, box.width)

    def report(self) -> CropReport:
        """All of it."""
        lists: Iterable[list[str]] = (self.malformed, self.unreadable, self.others)
        return CropReport(
            str(self.folder), len(self.persons), self.written, self.kept, self.clipped, *(tuple(one) for one in lists)
        )


def _write(part: NDArray[np.uint8], path: Path) -> None:
    """Whole or not at all: an interrupted run must leave no half of a crop under its name."""
    with atomic_write(path, durable=False) as draft:
        Image.fromarray(np.ascontiguousarray(part)).save(draft, format="JPEG", quality=_QUALITY, subsampling=0)


def _damaged(path: Path, came: str) -> DataError:
    return DataError(
        "Person.mat holds Person: idname (p1, p2, ...) and scene with imname (s1.jpg, ...) and idlocate (x, y, width, height)",
        found=f"{path}: {came}",
        fix="copy the annotations again from the release",
    )
