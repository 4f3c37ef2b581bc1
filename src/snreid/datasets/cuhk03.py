"""CUHK03 (Li et al., CVPR 2014) in the new protocol of 767 + 700 persons (Zhong et al., arXiv 1701.08398), "CUHK03-NP".

The protocol is a separate file, ``cuhk03_new_protocol_config_detected.mat`` or ``..._labeled.mat``. It lists every image (``filelist``)
with its person (``labels``) and camera (``camId``), and the positions of the three splits in that list, counted from 1. An image is named
``PAIR_ID_CAMERA_INDEX.png`` as in ``1_001_1_01.png``: camera pair 1 to 5, person within the pair, camera 1 or 2 of the pair, image 1 to 10.

The pixels come from one of three places, whichever exists:

1. a folder of extracted images with these names (``.png`` or ``.jpg``);
2. a folder of the detected images as a re-upload renamed them: ``PPPP_KK.jpg`` with PPPP = offset of the pair +
   person - 1 (offsets 0, 843, 1283, 1360, 1418) and KK = index - 1;
3. the release itself, ``cuhk-03.mat``, read image by image without writing anything (``cuhk03_release.py``).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.io import loadmat

from snreid.datasets._rules import shown, validated
from snreid.datasets.cuhk03_release import ReleaseImage, release_images
from snreid.errors import DataError, ExperimentError
from snreid.images.files import list_images
from snreid.images.reading import FileImage
from snreid.records import DataSet, Expected, ImageSource, ReIDData, Sample, Split

_NAME = re.compile(r"(?P<pair>[1-5])_(?P<person>[0-9]{3})_(?P<camera>[12])_(?P<index>[0-9]{2})\.png")
_OFFSETS = (0, 843, 1283, 1360, 1418)
_BASES = ("", "cuhk03", "CUHK03", "cuhk03-np", "CUHK03-NP", "cuhk03-full", "cuhk03_release", "cuhk03/cuhk03_release")
_FIELDS = ("filelist", "labels", "camId", "train_idx", "query_idx", "gallery_idx")
_PROTOCOLS = ("evaluation/data/CUHK03", "data/CUHK03")


@dataclass(frozen=True, kw_only=True)
class CUHK03(DataSet):
    """CUHK03-NP: 767 persons to train on, 700 to test, 2 cameras."""

    collection = "cuhk03"
    """Detected and labelled boxes are cut from the same frames of the same persons."""
    home = (
        "the CUHK03 page of the Multimedia Laboratory of the Chinese University of Hong Kong (cuhk-03.mat on request, "
        "for research only); the protocol's .mat files are in https://github.com/zhunzhong07/person-re-ranking"
    )

    boxes: Literal["detected", "labelled"] = "detected"
    """Boxes from a detector, or drawn by hand."""
    images: str | None = None
    """The folder of extracted images, or ``cuhk-03.mat``, below the data folder or absolute. None: look in the usual places."""
    protocol: str | None = None
    """``cuhk03_new_protocol_config_detected.mat`` or ``..._labeled.mat``, likewise."""

    def __post_init__(self) -> None:
        if self.boxes not in ("detected", "labelled"):
            raise ExperimentError(
                "CUHK03 has two sets of boxes", found=repr(self.boxes), fix='choose "detected" or "labelled"'
            )

    @property
    def name(self) -> str:
        """``cuhk03-detected`` or ``cuhk03-labelled``."""
        return f"cuhk03-{self.boxes}"

    @property
    def expected(self) -> tuple[Expected, ...]:
        """Published counts (method.md 6)."""
        train, gallery = (7_365, 5_332) if self.boxes == "detected" else (7_368, 5_328)
        return (
            Expected("train", train, 767, 2),
            Expected("query", 1_400, 700, 2),
            Expected("gallery", gallery, 700, 2),
        )

    def read(self, root: Path) -> ReIDData:
        """Samples of the three splits. Raises ``DataError`` if the protocol or an image that it lists is missing, if images are found in
        two places, or if ``cuhk-03.mat`` is to be read without the ``h5py`` package."""
        files, persons, positions = _read_protocol(self._protocol_file(root))
        samples = [
            Sample(source, person, int(_name(file)["camera"]))
            for source, person, file in zip(self._sources(root, files), persons, files, strict=True)
        ]
        train, query, gallery = (Split(tuple(samples[i] for i in chosen)) for chosen in positions)
        return validated(ReIDData(self.name, train, query, gallery))

    def _protocol_file(self, root: Path) -> Path:
        word = "detected" if self.boxes == "detected" else "labeled"
        file = f"cuhk03_new_protocol_config_{word}.mat"
        usual = [root / base / file for base in (*_BASES, *_PROTOCOLS)]
        places = usual if self.protocol is None else [root / self.protocol]
        hits = [place for place in places if place.is_file()]
        if not hits:
            raise DataError(
                f"{self.name} needs the file of the new protocol, {file}",
                found=f"no such file as {places[0]}"
                if self.protocol
                else f"none in {root}, nor in its folders " + ", ".join((*_BASES[1:], *_PROTOCOLS)),
                fix=f"put it beside the images, or give protocol=...; {self.home}",
            )
        return hits[0]  # several are copies of one published file

    def _sources(self, root: Path, files: tuple[str, ...]) -> list[ImageSource]:
        """An image source for every name in the protocol's list."""
        places = [root / self.images] if self.images is not None else self._image_places(root)
        unique = list({place.resolve(): place for place in places if place.is_file() or _holds_images(place)}.values())
        if not unique:
            raise DataError(
                f"{self.name} needs a folder of extracted images, or cuhk-03.mat",
                found=f"no such folder or file with images as {places[0]}"
                if self.images is not None
                else f"neither {', '.join(self._folders())} nor cuhk-03.mat in {root}, nor in its folders {', '.join(_BASES[1:])}",
                fix=f"give the right data folder or images=..., or get the data set by hand: {self.home}",
            )
        if len(unique) > 1:
            raise DataError(
                f"The images of {self.name} have to be found once below the data folder",
                found=", ".join(map(str, unique)),
                fix="say which one by images=...",
            )
        read = self._released if unique[0].is_file() else self._extracted
        return read(unique[0], files)

    def _folders(self) -> list[str]:
        words = ["detected"] if self.boxes == "detected" else ["labeled", "labelled"]
        folders = [form + word for word in words for form in ("images_", "cuhk03_", "")]
        return folders + (["dataset/images/full", "images/full"] if self.boxes == "detected" else [])

    def _image_places(self, root: Path) -> list[Path]:
        """Folders named after these boxes; if there are none, the data folder itself and the release."""
        named = [root / base / folder for base in _BASES for folder in self._folders()]
        return named if any(map(_holds_images, named)) else [root, *(root / base / "cuhk-03.mat" for base in _BASES)]

    def _released(self, place: Path, files: tuple[str, ...]) -> list[ImageSource]:
        there = release_images(place, self.boxes)
        wanted = [_cell(file) for file in files]
        self._refuse_missing([file for file, cell in zip(files, wanted, strict=True) if cell not in there], place)
        return [ReleaseImage(str(place), self.boxes, *cell) for cell in wanted]

    def _extracted(self, place: Path, files: tuple[str, ...]) -> list[ImageSource]:
        there = set(list_images(place).images)
        forms: list[Callable[[str], str]] = [str, _as_jpg]
        if self.boxes == "detected":
            forms.append(_as_reupload)
        form = max(forms, key=lambda form: sum(form(file) in there for file in files[:1000]))
        names = [form(file) for file in files]
        self._refuse_missing([name for name in names if name not in there], place)
        return [FileImage(str(place / name)) for name in names]

    def _refuse_missing(self, missing: list[str], place: Path) -> None:
        if missing:
            raise DataError(
                f"Every image that the protocol of {self.name} lists has to be there",
                found=f"{len(missing)} missing in {place}: {shown(missing)}",
                fix="extract the images again, or give the right folder by images=...",
            )


def _read_protocol(path: Path) -> tuple[tuple[str, ...], list[int], list[list[int]]]:
    """The files, their persons, and the positions of train, query and gallery, counted from 0.

    Raises ``DataError`` with path and reason.
    """
    try:
        content = loadmat(path, variable_names=list(_FIELDS))
        files = tuple(str(cell.item()) for cell in content["filelist"].ravel())
        persons, cameras, *positions = (content[key].astype(np.int64).ravel() for key in _FIELDS[1:])
    except Exception as error:  # on a damaged MATLAB file scipy raises almost anything
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    named = [int(_name(file)["camera"]) for file in files]
    if not len(files) == len(persons) == len(cameras):
        raise _damaged(path, f"{len(files)} files, {len(persons)} persons and {len(cameras)} cameras")
    chosen = np.concatenate(positions)
    if chosen.size and not (chosen.min() >= 1 and chosen.max() <= len(files)):
        raise _damaged(path, f"positions {chosen.min()} to {chosen.max()} in a list of {len(files)} files")
    wrong = [file for file, name, camera in zip(files, named, cameras, strict=True) if name != camera]
    if wrong:
        raise _damaged(path, f"camera of the name and camId differ for {shown(wrong)}")
    if persons.size and persons.min() < 1:
        raise _damaged(path, f"person {persons.min()}; persons count from 1")
    return files, persons.tolist(), [(part - 1).tolist() for part in positions]


def _damaged(path: Path, problem: str) -> DataError:
    return DataError(
        f"The file of CUHK03's new protocol holds {', '.join(_FIELDS)} (positions counted from 1)",
        found=f"{path}: {problem}",
        fix="copy the file again from the place where the protocol is published",
    )


def _name(file: str) -> re.Match[str]:
    parsed = _NAME.fullmatch(file)
    if parsed is None or not 1 <= int(parsed["index"]) <= 10 or int(parsed["person"]) < 1:
        raise DataError(
            "An image of CUHK03 is named PAIR_ID_CAMERA_INDEX.png, as in 1_001_1_01.png",
            found=repr(file),
            fix="use the protocol's file as it was published",
        )
    return parsed


def _cell(file: str) -> tuple[int, int, int]:
    """Position of the image in ``cuhk-03.mat``: (pair, person, index), each from 1."""
    parsed = _name(file)
    return int(parsed["pair"]), int(parsed["person"]), int(parsed["index"])


def _as_jpg(file: str) -> str:
    return file.removesuffix("png") + "jpg"


def _as_reupload(file: str) -> str:
    pair, person, index = _cell(file)
    return f"{_OFFSETS[pair - 1] + person - 1:04d}_{index - 1:02d}.jpg"


def _holds_images(folder: Path) -> bool:
    """Whether the folder itself has images with names of CUHK03, in one of the forms read here."""
    if not folder.is_dir():
        return False
    form = re.compile(r"[1-5]_[0-9]{3}_[12]_[0-9]{2}\.(png|jpg)|[0-9]{4}_[0-9]{2}\.jpg")
    return any(form.fullmatch(name) for name in list_images(folder).images[:50])
