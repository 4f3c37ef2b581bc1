"""RandPerson: person 000000 is somebody."""

from pathlib import Path

import pytest

from snreid.datasets import RandPerson, check
from snreid.training.training_set import join
from support.trees import draw, refused, touch

NAMES = (
    "000000_s00_c00_f000264.jpg",
    "000000_s00_c01_f001032.jpg",
    "007999_s10_c00_f000001.jpg",
    "007999_s10_c03_f000002.jpg",
    "000100_s04_c00_f000002.jpg",
)


@pytest.mark.parametrize("outer", ["randperson_subset", "RandPerson/randperson_subset", "randperson/images/subset"])
def test_people_and_cameras_are_numbered_from_1_and_apart(outer: str, tmp_path: Path) -> None:
    touch(tmp_path / outer, NAMES)
    data = RandPerson().read(tmp_path)
    assert data.train.persons.tolist() == [1, 1, 8000, 8000]
    assert data.train.cameras.tolist() == [1, 2, 1001, 1004]
    assert data.notes == ("1 persons with one image dropped",)
    assert join([data]).identities == 2
    assert RandPerson().read(tmp_path / outer).train == data.train  # the folder itself as the data folder


def test_what_is_missing_doubled_or_strange_is_said(tmp_path: Path) -> None:
    refused(RandPerson(), tmp_path, "randperson_subset", "github.com/VideoObjectSearch")
    draw(tmp_path / "randperson_subset", NAMES)
    assert (
        "train: 132,141 images missing, 7,998 persons missing, 15 cameras missing"
        in check(RandPerson(), tmp_path, decode=True).lines()
    )
    touch(tmp_path / "RandPerson" / "randperson_subset", NAMES)
    refused(RandPerson(), tmp_path, "found once")
    touch(tmp_path / "one" / "randperson_subset", [*NAMES, "0002_c1s1_000451_03.jpg"])
    refused(RandPerson(), tmp_path / "one", "0002_c1s1_000451_03.jpg", "PPPPPP_sSS_cCC_fFFFFFF.jpg")
    touch(tmp_path / "two" / "randperson_subset", ())
    refused(RandPerson(), tmp_path / "two", "none in")
