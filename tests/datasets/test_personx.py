"""PersonX: Market-1501's folders, cameras that are called 3, 4, 8, 10, 11 and 12."""

from pathlib import Path

from snreid.datasets import PersonX, check
from support.trees import draw, refused, touch

NAMES = (
    "bounding_box_train/0002_c3_01.jpg",
    "bounding_box_train/0002_c12_02.jpg",
    "query/0001_c4_01.jpg",
    "bounding_box_test/0001_c10_01.jpg",
)


def test_labels_come_from_the_beginning_of_the_names(tmp_path: Path) -> None:
    draw(tmp_path / "PersonX" / "subset1", NAMES)
    data = PersonX().read(tmp_path)
    assert data.train.persons.tolist() == [2, 2] and data.train.cameras.tolist() == [12, 3]
    assert data.query.cameras.tolist() == [4] and data.gallery.cameras.tolist() == [10]
    assert "9,838 images missing" in check(PersonX(), tmp_path, decode=True).splits[0].problem


def test_what_is_missing_or_strange_is_said(tmp_path: Path) -> None:
    refused(PersonX(), tmp_path, "bounding_box_train", "personx/subset1")
    touch(tmp_path / "personx", (*NAMES, "query/0000_c3_01.jpg"))
    refused(PersonX(), tmp_path, "0000_c3_01.jpg", "PPPP_cC*.jpg")
