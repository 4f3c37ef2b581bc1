"""MSMT17 (Wei et al., CVPR 2018), in the first release and in the second one with blurred faces.

Four lists label the images, one a line: ``0000/0000_000_01_0303morning_0015_0.jpg 0`` is a picture of person 0 on camera 1 (the third part
of the file name), below the folder of the training or of the test images. Persons count from 0 both in the training and in the test lists,
where they are other people. ``list_val.txt`` belongs to the training split, as in the published counts.

Verified in the readers of torchreid and fast-reid: ``MSMT17_V1`` has ``train`` and ``test``, ``MSMT17_V2`` has ``mask_train_v2`` and
``mask_test_v2``, with the lists beside them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snreid.datasets._files import find_base
from snreid.datasets._rules import shown, validated
from snreid.errors import DataError, ExperimentError
from snreid.images.files import list_images
from snreid.images.reading import FileImage
from snreid.records import DataSet, Expected, ReIDData, Sample, Split

_LINE = re.compile(
    r"(?P<path>(?:[^/\s]+/)*[^/_\s]+_[^/_\s]+_(?P<camera>0*[1-9][0-9]?)_[^/\s]+) +(?P<person>[0-9]{1,4})"
)
_FORM = "FOLDER/PPPP_NNN_CC_*.jpg PERSON (CC the camera from 01), as in 0000/0000_000_01_0303morning_0015_0.jpg 0"
_TEST = 10_000
"""Added to the person numbers of the test lists, to tell them from the training persons."""
_FOLDERS = {"v1": ("MSMT17_V1", "train", "test"), "v2": ("MSMT17_V2", "mask_train_v2", "mask_test_v2")}
_LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")


@dataclass(frozen=True, kw_only=True)
class MSMT17(DataSet):
    """MSMT17: 1,041 persons to train on, 3,060 to test, 15 cameras. Training persons are numbered from 1, test persons from 10,001."""

    collection = "msmt17"
    """The versions differ in the faces only."""
    home = (
        "the MSMT17 page of the PKU-VMC group (search for 'MSMT17, Wei, Person Transfer GAN'): on request, for research "
        "only"
    )
    expected = (
        Expected("train", 32_621, 1_041, 15),
        Expected("query", 11_659, 3_060, 15),
        Expected("gallery", 82_161, 3_060, 15),
    )
    """With ``list_val`` in train (method.md 6)."""

    version: Literal["v1", "v2"] = "v1"
    """The first release, or the second one with blurred faces."""

    def __post_init__(self) -> None:
        if self.version not in _FOLDERS:
            raise ExperimentError("MSMT17 has two versions", found=repr(self.version), fix='choose "v1" or "v2"')

    @property
    def name(self) -> str:
        """``msmt17`` or ``msmt17-v2``."""
        return "msmt17" if self.version == "v1" else "msmt17-v2"

    def read(self, root: Path) -> ReIDData:
        """Samples of the lists; images that are in no list are left out with a note. Raises ``DataError`` for a missing folder or list, a
        line of another form, or a listed image that is missing."""
        outer, train, test = _FOLDERS[self.version]
        places = ("", outer, f"msmt17/{outer}", f"MSMT17/{outer}", "msmt17", "MSMT17")
        base = find_base(root, places, (train, test, *_LISTS), name=self.name, home=self.home)
        notes: list[str] = []
        training, validation = _listed(base, train, _LISTS[:2], 1, notes)
        query, gallery = _listed(base, test, _LISTS[2:], 1 + _TEST, notes)
        return validated(
            ReIDData(self.name, Split(training + validation), Split(query), Split(gallery), notes=tuple(notes))
        )


def _listed(base: Path, folder: str, lists: tuple[str, ...], first: int, notes: list[str]) -> list[tuple[Sample, ...]]:
    """The samples of each list; person 0 of a list becomes number ``first``."""
    place = base / folder
    there = set(list_images(place, deep=True).images)
    listed, samples = set[str](), []
    for name in lists:
        lines = _lines(base / name)
        missing = [line["path"] for line in lines if line["path"] not in there]
        if missing:
            raise DataError(
                f"Every image of {name} is there",
                found=f"{len(missing)} of {len(lines)} missing in {place}: {shown(missing)}",
                fix="unpack the archive again",
            )
        listed |= {line["path"] for line in lines}
        samples.append(
            tuple(
                Sample(FileImage(str(place / line["path"])), first + int(line["person"]), int(line["camera"]))
                for line in lines
            )
        )
    if rest := len(there - listed):
        notes.append(f"{folder}: {rest} images are in no list and were left out")
    return samples


def _lines(path: Path) -> list[re.Match[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("A list of MSMT17 is a text file", found=f"{path}: {error}", fix="unpack it again") from None
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    parsed = [(number, line, _LINE.fullmatch(line)) for number, line in numbered]
    wrong = [f"line {number} is {line[:80]!r}" for number, line, match in parsed if match is None]
    if wrong or not parsed:
        raise DataError(
            f"A line of a list of MSMT17 is {_FORM}",
            found=f"{path}: {shown(wrong) or 'no line'}",
            fix="use the list as it was published",
        )
    return [match for _, _, match in parsed if match is not None]
