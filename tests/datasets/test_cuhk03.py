"""CUHK03-NP: positions from 1, three kinds of places, and a protocol file that can be wrong in many ways."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from snreid.datasets import CUHK03
from snreid.errors import DataError, ExperimentError

PEOPLE = [(1, 1), (1, 2), (2, 1), (5, 49)]
"""(pair, person in the pair); persons 1 to 4 of the protocol."""
FILES = [f"{p}_{k:03d}_{1 if i <= 5 else 2}_{i:02d}.png" for p, k in PEOPLE for i in (1, 2, 6, 7)]
LABELS = [person for person in (1, 2, 3, 4) for _ in range(4)]
CAMERAS = [1, 1, 2, 2] * 4
TRAIN, QUERY, GALLERY = [5, 6, 7, 8, 13, 14, 15, 16], [1, 3, 9, 11], [2, 4, 10, 12]
REUPLOAD = ["0000", "0001", "0843", "1466"]


def protocol(folder: Path, word: str = "detected", **changes: Any) -> Path:
    """The protocol's file in the form MATLAB writes it: cells of texts and columns of small numbers."""
    cells = np.empty((len(FILES), 1), dtype=object)
    cells[:, 0] = changes.pop("filelist", FILES)
    content = {
        "filelist": cells,
        "labels": np.array(LABELS, dtype=np.uint16)[:, None],
        "camId": np.array(CAMERAS, dtype=np.uint8)[:, None],
        "train_idx": np.array(TRAIN, dtype=np.uint16)[:, None],
        "query_idx": np.array(QUERY, dtype=np.uint16)[:, None],
        "gallery_idx": np.array(GALLERY, dtype=np.uint16)[:, None],
    }
    content |= {name: np.array(value)[:, None] for name, value in changes.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cuhk03_new_protocol_config_{word}.mat"
    savemat(path, content, do_compression=True)
    return path


def image_folder(folder: Path, names: list[str] = FILES) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def reuploaded() -> list[str]:
    """The re-upload's names, written out by the rule of the offsets."""
    return [
        f"{person}_{int(file[8:10]) - 1:02d}.jpg" for person, file in zip(np.repeat(REUPLOAD, 4), FILES, strict=True)
    ]


PLACES = [
    ("images_detected", "", FILES),
    ("cuhk03/images_detected", "cuhk03", FILES),
    ("cuhk03-np/detected", "cuhk03-np", [name.replace("png", "jpg") for name in FILES]),
    ("cuhk03-full/dataset/images/full", "evaluation/data/CUHK03", reuploaded()),
    ("", "", FILES),
]


@pytest.mark.parametrize(("images", "splits", "names"), PLACES)
def test_every_layout_gives_the_same_labels_and_its_own_files(
    images: str, splits: str, names: list[str], tmp_path: Path
) -> None:
    protocol(tmp_path / splits)
    folder = tmp_path / images
    if images:
        image_folder(folder, names)
    else:
        for name in names:
            (folder / name).touch()
    data = CUHK03().read(tmp_path)
    for split, chosen in ((data.train, TRAIN), (data.query, QUERY), (data.gallery, GALLERY)):
        assert [s.image.name for s in split.samples] == [str(folder / names[i - 1]) for i in chosen]
        assert split.persons.tolist() == [LABELS[i - 1] for i in chosen]
        assert split.cameras.tolist() == [CAMERAS[i - 1] for i in chosen]


def test_labelled_and_detected_boxes_do_not_mix(tmp_path: Path) -> None:
    image_folder(tmp_path / "cuhk03" / "images_detected")
    image_folder(tmp_path / "cuhk03" / "images_labeled")
    protocol(tmp_path / "cuhk03", "labeled")
    data = CUHK03(boxes="labelled").read(tmp_path)
    assert data.name == "cuhk03-labelled"
    assert "images_labeled" in data.train.samples[0].image.name
    with pytest.raises(DataError, match="cuhk03_new_protocol_config_detected"):
        CUHK03().read(tmp_path)
    with pytest.raises(ExperimentError, match="labeled"):
        CUHK03(boxes="labeled")  # type: ignore[arg-type]


def test_places_can_be_named(tmp_path: Path) -> None:
    named = protocol(tmp_path / "here").rename(tmp_path / "here" / "split.mat")
    image_folder(tmp_path / "images_detected")
    image_folder(tmp_path / "cuhk03" / "images_detected")
    with pytest.raises(DataError, match="found once"):
        CUHK03(protocol="here/split.mat").read(tmp_path)
    data = CUHK03(protocol=str(named), images="images_detected").read(tmp_path)
    assert len(data.train) == 8
    with pytest.raises(DataError, match=r"no such file as .*none\.mat"):
        CUHK03(protocol="none.mat").read(tmp_path)
    with pytest.raises(DataError, match=r"no such folder .*none"):
        CUHK03(protocol=str(named), images="none").read(tmp_path)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"evaluation/data/CUHK03.*Hong Kong"):
        CUHK03().read(tmp_path)
    protocol(tmp_path)
    with pytest.raises(DataError, match=r"images_detected.*cuhk-03\.mat"):
        CUHK03().read(tmp_path)
    folder = image_folder(tmp_path / "images_detected")
    (folder / FILES[6]).unlink()
    with pytest.raises(DataError, match=f"1 missing in .*{FILES[6]}"):
        CUHK03().read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train_idx": [0, 1]}, "positions 0 to"),
        ({"gallery_idx": [2, 17]}, "to 17 in a list of 16"),
        ({"camId": [2, *CAMERAS[1:]]}, "camera of the name and camId differ for 1_001_1_01.png"),
        ({"labels": [0, *LABELS[1:]]}, "person 0"),
        ({"labels": LABELS[1:]}, "15 persons"),
        ({"filelist": ["1_001_3_01.png", *FILES[1:]]}, "1_001_3_01.png"),
        ({"filelist": ["1_001_1_11.png", *FILES[1:]]}, "1_001_1_11.png"),
        ({"filelist": ["../../x.png", *FILES[1:]]}, "../../x.png"),
        ({"filelist": [7, *FILES[1:]]}, "'7'"),
        ({"train_idx": [5, 5, 6]}, "2 images|twice"),
        ({"train_idx": [1, 2]}, "for training or for the test"),
    ],
)
def test_a_wrong_protocol_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    protocol(tmp_path, **change)
    image_folder(tmp_path / "images_detected", [*FILES, "1_001_1_11.png"])
    with pytest.raises(DataError, match=said):
        CUHK03().read(tmp_path)


def test_a_damaged_protocol_file_is_a_data_error(rng: np.random.Generator, tmp_path: Path) -> None:
    """A hundred files with a few bytes changed: read to labels that agree with the names, or refused; nothing else."""
    image_folder(tmp_path / "images_detected")
    path = protocol(tmp_path)
    whole = path.read_bytes()
    refused = 0
    for _ in range(100):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            broken[at] = rng.integers(256)
        path.write_bytes(broken[: int(rng.integers(len(whole) // 2, len(whole) + 1))])
        try:
            data = CUHK03().read(tmp_path)
        except DataError:
            refused += 1
        else:
            for sample in data.train.samples:
                assert re.search(rf"_{sample.camera}_\d\d\.png$", sample.image.name)
    assert refused > 50


@pytest.mark.parametrize(("boxes", "folder"), [("detected", "cuhk03-full"), ("labelled", "cuhk03/images_labeled")])
def test_the_real_one_has_the_published_counts(boxes: Any, folder: str) -> None:
    root = Path(os.environ.get("SNREID_DATA", "nowhere"))
    if not (root / folder).is_dir():
        pytest.skip(f"SNREID_DATA names no folder with {folder}")
    dataset = CUHK03(boxes=boxes)
    data = dataset.read(root)
    for expected, split in zip(dataset.expected, (data.train, data.query, data.gallery), strict=True):
        found = (len(split), len(set(split.persons.tolist())), len(set(split.cameras.tolist())))
        assert found == (expected.images, expected.persons, expected.cameras)
    assert not set(data.train.persons.tolist()) & set(data.query.persons.tolist())
