"""CUHK-SYSU's crops, in the two namings that are about."""

from pathlib import Path

import pytest

from snreid.datasets import CUHKSYSU, check
from snreid.records import NO_CAMERA
from support.trees import draw, refused, touch

OURS = ("p11422_s16929_1.jpg", "p11422_s15_2.jpg", "p1_s7_1.jpg", "p1_s8_2.jpg", "p2_s7_1.jpg")
MATLAB = (
    "p11422_n01_s16929_hard0.png",
    "p11422_n02_s00015_hard1.png",
    "p00001_n01_s00007_hard0.png",
    "p00001_n02_s00008_hard0.png",
)


@pytest.mark.parametrize("names", [OURS, MATLAB])
@pytest.mark.parametrize("outer", ["cropped_images", "CUHK-SYSU/cropped_image", "cuhk_sysu/cropped_images"])
def test_both_namings_give_the_same_people_without_cameras(names: tuple[str, ...], outer: str, tmp_path: Path) -> None:
    touch(tmp_path / outer, names)
    data = CUHKSYSU().read(tmp_path)
    assert sorted(data.train.persons.tolist()) == [1, 1, 11422, 11422]
    assert not data.has_cameras and set(data.train.cameras.tolist()) == {NO_CAMERA}
    assert data.notes == (("1 persons with one image dropped",) if names is OURS else ())


def test_what_is_missing_or_strange_is_said(tmp_path: Path) -> None:
    refused(CUHKSYSU(), tmp_path, "cropped_images", "snreid data crop-sysu")
    report = check(CUHKSYSU(), draw(tmp_path, (f"cropped_images/{name}" for name in OURS)), decode=True)
    assert report.splits[0].problem == "34,570 images missing, 11,932 persons missing"
    touch(tmp_path / "cropped_images", ["p0_s1_1.jpg", "s1.jpg"])
    refused(CUHKSYSU(), tmp_path, "2 of 7", "p0_s1_1.jpg, s1.jpg", "pPERSON_sFRAME_N.jpg")
