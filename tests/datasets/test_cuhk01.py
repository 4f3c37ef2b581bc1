"""CUHK01: the last digit of a name is the camera."""

from pathlib import Path

import pytest

from snreid.datasets import CUHK01, CUHK02, check
from support.trees import refused, touch

NAMES = [f"{person:04d}{image:03d}.png" for person in range(1, 972) for image in range(1, 5)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All names."""
    folder = tmp_path_factory.mktemp("data")
    touch(folder / "cuhk01" / "campus", NAMES)
    return folder


def test_camera_1_asks_camera_2_with_both_images_each(root: Path) -> None:
    data = CUHK01(split=4).read(root)
    assert data.name == "cuhk01-split4" and data.split_id == CUHK01(split=4).split_id
    assert set(data.query.cameras.tolist()) == {1} and set(data.gallery.cameras.tolist()) == {2}
    assert {Path(sample.image.name).stem[-1] for sample in data.query.samples} == {"1", "2"}
    assert {Path(sample.image.name).stem[-1] for sample in data.gallery.samples} == {"3", "4"}
    assert all(int(Path(sample.image.name).stem[:4]) == sample.person for sample in data.train.samples)
    assert CUHK01().collection == CUHK02().collection


def test_every_split_has_the_published_counts(root: Path) -> None:
    assert all(check(CUHK01(split=split), root, decode=False).ok for split in range(0, 10, 3))


def test_a_strange_name_a_missing_person_and_a_missing_folder_are_said(tmp_path: Path) -> None:
    refused(CUHK01(), tmp_path, "campus", "cuhk01/campus", "CUHK identification page")
    touch(tmp_path / "campus", NAMES[:-4])
    refused(CUHK01(), tmp_path, "970 persons", "971")
    touch(tmp_path / "campus", ["0001005.png"])
    refused(CUHK01(), tmp_path, "0001005.png", "PPPPNNN.png")
