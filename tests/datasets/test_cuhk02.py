"""CUHK02: five pairs of cameras, people numbered anew in each."""

from pathlib import Path

import pytest

from snreid.datasets import CUHK02, check
from snreid.training.training_set import join
from support.trees import draw, refused, touch

NAMES = [
    f"P{pair}/cam{camera}/{person:03d}_{image}.png"
    for pair in range(1, 6)
    for camera in (1, 2)
    for person in (1, 2)
    for image in (1, 2)
]


@pytest.mark.parametrize("outer", ["", "cuhk02", "cuhk02/Dataset"])
def test_people_of_two_pairs_are_different_people_on_different_cameras(outer: str, tmp_path: Path) -> None:
    data = CUHK02().read(draw(tmp_path / outer, NAMES) and tmp_path)
    assert len(data.train) == 40 and not data.query.samples and not data.gallery.samples
    assert join([data]).identities == 10
    assert sorted(set(data.train.cameras.tolist())) == list(range(1, 11))
    last = data.train.samples[-1]
    assert (last.person, last.camera) == (50_002, 10) and last.image.name.endswith("P5/cam2/002_2.png")


def test_check_accepts_a_source_without_a_test_and_counts_it(tmp_path: Path) -> None:
    report = check(CUHK02(), draw(tmp_path, NAMES), decode=True)
    assert not report.failure and not report.bad
    assert [split.problem for split in report.splits] == ["7,224 images missing, 1,806 persons missing"]


def test_what_is_missing_or_strange_is_said(tmp_path: Path) -> None:
    refused(CUHK02(), tmp_path, "P1, P2, P3, P4, P5")
    touch(tmp_path, NAMES)
    (tmp_path / "P3" / "cam1" / "000_1.png").touch()
    refused(CUHK02(), tmp_path, "000_1.png", "PERSON_*.png")
    (tmp_path / "P3" / "cam1" / "000_1.png").rename(tmp_path / "P3" / "cam1" / "007_1.png")
    refused(CUHK02(), tmp_path, "at least 2 images", "007_1.png")
