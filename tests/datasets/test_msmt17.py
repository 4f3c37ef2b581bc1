"""MSMT17: four lists, two versions, two numberings of people."""

from pathlib import Path

import pytest

from snreid.datasets import MSMT17, check
from snreid.errors import DataError, ExperimentError
from snreid.training.training_set import join
from support.trees import draw, refused

TRAIN = {
    "list_train.txt": ("0000/0000_000_01_0303morning_0015_0.jpg 0", "0000/0000_001_14_0303noon_0016_1.jpg 0"),
    "list_val.txt": ("0001/0001_000_05_0303noon_1245_0.jpg 1", "0001/0001_001_15_0303afternoon_1246_0_ex.jpg 1"),
}
TEST = {
    "list_query.txt": ("0000/0000_000_09_0303morning_0015_0.jpg 0",),
    "list_gallery.txt": ("0000/0000_005_01_0303morning_0020_0.jpg 0", "0001/0001_000_02_0303noon_0001_0.jpg 1"),
}


def build(base: Path, train: str = "train", test: str = "test") -> Path:
    """A small MSMT17 with every listed image."""
    for folder, lists in ((train, TRAIN), (test, TEST)):
        for name, lines in lists.items():
            draw(base / folder, (line.partition(" ")[0] for line in lines))
            (base / name).write_text("".join(f"{line}\n" for line in lines))
    return base


@pytest.mark.parametrize("outer", ["", "MSMT17_V1", "msmt17/MSMT17_V1", "msmt17", "MSMT17_V1/MSMT17_V1"])
def test_validation_trains_cameras_come_from_names_and_test_people_are_others(outer: str, tmp_path: Path) -> None:
    base = build(tmp_path / outer)
    data = MSMT17().read(tmp_path)
    assert data.name == "msmt17" and data.notes == ()
    assert data.train.persons.tolist() == [1, 1, 2, 2] and data.train.cameras.tolist() == [1, 14, 5, 15]
    assert data.query.persons.tolist() == [10_001] and data.query.cameras.tolist() == [9]
    assert data.gallery.persons.tolist() == [10_001, 10_002] and data.gallery.cameras.tolist() == [1, 2]
    assert data.query.samples[0].image.name == str(base / "test" / "0000" / "0000_000_09_0303morning_0015_0.jpg")
    assert join([data]).identities == 2


def test_the_second_version_lies_in_folders_of_its_own(tmp_path: Path) -> None:
    build(tmp_path / "MSMT17_V2", "mask_train_v2", "mask_test_v2")
    second = MSMT17(version="v2")
    assert second.read(tmp_path).name == second.name == "msmt17-v2"
    assert second.collection == MSMT17().collection == "msmt17"
    refused(MSMT17(), tmp_path, "list_gallery.txt", "MSMT17_V1")
    with pytest.raises(ExperimentError, match="two versions"):
        MSMT17(version="v3")  # type: ignore[arg-type]


def test_an_image_that_is_listed_and_missing_is_named_and_one_that_is_not_listed_is_counted(tmp_path: Path) -> None:
    build(tmp_path)
    draw(tmp_path / "test", ["0002/0002_000_09_0303morning_0015_0.jpg"])
    assert MSMT17().read(tmp_path).notes == ("test: 1 images are in no list and were left out",)
    (tmp_path / "train" / "0001" / "0001_000_05_0303noon_1245_0.jpg").unlink()
    refused(MSMT17(), tmp_path, "list_val.txt", "0001/0001_000_05_0303noon_1245_0.jpg", "1 of 2 missing")


@pytest.mark.parametrize(
    "line",
    [
        "0000/0000_000_01_0303morning_0015_0.jpg",
        "0000/0000_000_00_0303morning_0015_0.jpg 0",
        "0000/0000_000_01_0303morning_0015_0.jpg -1",
        "0000/0000_000_01_0303morning_0015_0.jpg zero",
        "../../etc/a_b_01_c.jpg 0",
    ],
)
def test_a_line_that_does_not_parse_is_named_with_its_number(line: str, tmp_path: Path) -> None:
    build(tmp_path)
    path = tmp_path / "list_query.txt"
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(DataError) as caught:
        MSMT17().read(tmp_path)
    assert line.removeprefix("../../").partition(" ")[0] in str(caught.value)
    if not line.startswith(".."):  # that one has the form, and is no image of the folder
        assert "line 3" in caught.value.found and str(path) in caught.value.found


def test_empty_binary_and_doubled_lists_are_refused(tmp_path: Path) -> None:
    build(tmp_path)
    path = tmp_path / "list_val.txt"
    for content, word in (
        (b"", "no line"),
        (b"\xff\xfe\x00", "text file"),
        ((tmp_path / "list_train.txt").read_bytes(), "twice"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=word):
            MSMT17().read(tmp_path)


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    build(tmp_path)
    path = tmp_path / "list_train.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(MSMT17().read(tmp_path).train) == 4


def test_wrong_counts_are_said(tmp_path: Path) -> None:
    report = check(MSMT17(), build(tmp_path), decode=True)
    assert "train: 32,617 images missing, 1,039 persons missing, 11 cameras missing" in report.lines()
