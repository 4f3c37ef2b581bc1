"""Market-1501 (Zheng et al., ICCV 2015), and any folder written in its format.

A name such as ``0002_c1s1_000451_03.jpg`` means person 2, camera 1, sequence 1, frame 451, box 3. Person ``-1`` is junk (a bad box, dropped
for every query: method.md 6); person ``0000`` is a distractor, which stays in the gallery and matches nobody. Some files of the release
end in ``.jpg.jpg``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_base
from snreid.datasets._rules import shown, validated
from snreid.errors import DataError, ExperimentError
from snreid.images.files import list_images
from snreid.images.reading import FileImage
from snreid.records import DISTRACTOR, JUNK, NO_CAMERA, DataSet, Expected, ReIDData, Sample, Split

_NAME = re.compile(r"(?P<person>-1|[0-9]{1,9})_c(?P<camera>[0-9]{1,9})s[0-9]+_[0-9]+_[0-9]+(\.[A-Za-z]+)+")
_FORM = "PPPP_cCsS_FFFFFF_BB.jpg (person, camera, sequence, frame, box), as in 0002_c1s1_000451_03.jpg"
_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")


@dataclass(frozen=True, kw_only=True)
class Market1501(DataSet):
    """Market-1501 as released: 751 persons to train on, 750 to test, 6 cameras."""

    name = "market1501"
    home = (
        "the page of Liang Zheng's Market-1501 project (search for 'Market-1501 Dataset, Zheng, Scalable Person "
        "Re-identification: A Benchmark'); the archive is Market-1501-v15.09.15.zip, for research only"
    )
    expected = (
        Expected("train", 12_936, 751, 6),
        Expected("query", 3_368, 750, 6),
        Expected("gallery", 15_913, 750, 6),
    )
    """Without junk; the persons of the gallery do not include the distractors."""

    def read(self, root: Path) -> ReIDData:
        """Samples of the three folders. Raises ``DataError`` for a missing folder or a name of another form."""
        release = "Market-1501-v15.09.15"
        places = ("", release, "Market-1501", "market1501", f"market1501/{release}")
        return _read(find_base(root, places, _FOLDERS, name=self.name, home=self.home), self.name)


@dataclass(frozen=True, kw_only=True)
class MarketFormat(DataSet):
    """Any folder in Market-1501's format (``bounding_box_train``, ``query``, ``bounding_box_test``)."""

    folder: str
    """Below the data folder, or absolute."""
    name: str = ""
    """The data set's name in results and files; default: the last part of ``folder``."""
    cameras: bool = True
    """False: ignore the cameras, for instance where all images are of one."""

    def __post_init__(self) -> None:
        if not Path(self.folder).name:
            raise ExperimentError(
                "A data set in Market-1501's format is named by its folder",
                found=repr(self.folder),
                fix="give a folder below the data folder, such as folder='my_site'",
            )
        object.__setattr__(self, "name", self.name or Path(self.folder).name)

    def read(self, root: Path) -> ReIDData:
        """Samples of the three folders. Raises ``DataError`` for a missing folder or a name of another form."""
        base = find_base(root, (self.folder,), _FOLDERS, name=self.name, home="")
        return _read(base, self.name, has_cameras=self.cameras)


def _read(base: Path, name: str, *, has_cameras: bool = True) -> ReIDData:
    notes: list[str] = []
    train, query, gallery = (_split(base / folder, has_cameras, notes) for folder in _FOLDERS)
    for folder, split in zip(_FOLDERS, (train, query), strict=False):
        special = [sample.image.name for sample in split.samples if sample.person == DISTRACTOR]
        if special:
            raise DataError(
                "Distractors (person 0) belong into bounding_box_test only",
                found=f"{len(special)} in {folder}: {shown(special)}",
                fix="number persons from 1, or move these files",
            )
    return validated(ReIDData(name, train, query, gallery, has_cameras, notes=tuple(notes)))


def _split(folder: Path, has_cameras: bool, notes: list[str]) -> Split:
    listing = list_images(folder)
    if listing.note:
        notes.append(f"{folder.name}: {listing.note}")
    samples = [_sample(folder, file, has_cameras) for file in listing.images]
    kept = tuple(sample for sample in samples if sample.person != JUNK)
    if len(kept) < len(samples):
        notes.append(f"{folder.name}: {len(samples) - len(kept)} junk images (person -1) dropped")
    distractors = sum(sample.person == DISTRACTOR for sample in kept)
    if distractors:
        notes.append(f"{folder.name}: {distractors} distractors (person 0) kept; they match nobody")
    if not kept:
        raise DataError(
            "Each folder of a data set in Market-1501's format holds images",
            found=f"none in {folder}",
            fix="unpack the archive again, or check the folder",
        )
    return Split(kept)


def _sample(folder: Path, file: str, has_cameras: bool) -> Sample:
    parsed = _NAME.fullmatch(file)
    if parsed is None or int(parsed["camera"]) < 1:
        raise DataError(
            f"A file name in Market-1501's format is {_FORM}, cameras from 1",
            found=str(folder / file),
            fix="rename or remove the file, or read the folder by a pattern of your own (FolderTree)",
        )
    camera = int(parsed["camera"]) if has_cameras else NO_CAMERA
    return Sample(FileImage(str(folder / file)), int(parsed["person"]), camera)
