"""ClonedPerson: RandPerson's names in three folders."""

from pathlib import Path

from snreid.datasets import AllImages, ClonedPerson, check
from support.trees import draw, refused, touch

NAMES = (
    "train/700000_s02_c00_f023389.jpg",
    "train/700000_s06_c00_f023413.jpg",
    "train/700001_s06_c00_f023413.jpg",
    "test/gallery/705228_s06_c02_f005521.jpg",
    "test/gallery/705624_s12_c02_f002965.jpg",
    "test/query/705624_s12_c00_f003229.jpg",
)


def test_three_folders_and_all_of_them(tmp_path: Path) -> None:
    touch(tmp_path / "clonedperson", NAMES)
    data = ClonedPerson().read(tmp_path)
    assert data.train.persons.tolist() == [700_001, 700_001] and data.train.cameras.tolist() == [201, 601]
    assert data.query.persons.tolist() == [705_625] and data.gallery.persons.tolist() == [705_229, 705_625]
    assert data.notes == ("train: 1 persons with one image dropped",)
    assert AllImages(of=ClonedPerson()).read(tmp_path).train.persons.tolist() == [700_001] * 2 + [705_625] * 2


def test_only_the_whole_is_counted(tmp_path: Path) -> None:
    report = check(ClonedPerson(), draw(tmp_path, NAMES), decode=True)
    assert [split.split for split in report.splits] == ["train", "query", "gallery", "all"]
    assert [split.problem for split in report.splits][:3] == ["", "", ""]
    assert report.splits[3].problem == "887,761 images missing, 5,618 persons missing" and not report.ok


def test_what_is_missing_or_strange_is_said(tmp_path: Path) -> None:
    refused(ClonedPerson(), tmp_path, "train, test/query, test/gallery", "clonedperson.tar.gz")
    touch(tmp_path, (*NAMES, "test/query/705624.jpg"))
    refused(ClonedPerson(), tmp_path, "705624.jpg", "PPPPPP_sSS_cCC_fFFFFFF.jpg")
