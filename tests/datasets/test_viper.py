"""VIPeR: numbers with gaps, one image on each camera."""

from pathlib import Path

import pytest

from snreid.datasets import AllImages, VIPeR, check
from support.trees import refused, touch

NUMBERS = [number for number in range(874) if number % 3 != 2][:580] + list(range(875, 927))
"""632 of them, with gaps, the first 000 as in the release."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All images of ``NUMBERS``."""
    assert len(NUMBERS) == 632
    for camera, angle in (("cam_a", 45), ("cam_b", 90)):
        touch(tmp_path / "VIPeR" / camera, (f"{number:03d}_{angle}.bmp" for number in NUMBERS))
    return tmp_path


def test_camera_a_asks_camera_b_and_nobody_is_in_both_halves(root: Path) -> None:
    data = VIPeR(split=3).read(root)
    assert data.name == "viper-split3" and data.split_id.startswith("viper/3 (sha256 ")
    assert data.query.persons.tolist() == data.gallery.persons.tolist() == sorted(data.query.persons.tolist())
    assert set(data.query.cameras.tolist()) == {1} and set(data.gallery.cameras.tolist()) == {2}
    assert not set(data.train.persons.tolist()) & set(data.query.persons.tolist())
    for sample in (*data.train.samples, *data.query.samples):
        assert int(Path(sample.image.name).name[:3]) == sample.person - 1
    assert VIPeR().collection == "viper"


def test_every_split_has_the_published_counts_and_another_half(root: Path) -> None:
    halves = set()
    for split in range(10):
        assert check(VIPeR(split=split), root, decode=False).ok
        halves.add(tuple(VIPeR(split=split).read(root).query.persons.tolist()))
    assert len(halves) == 10
    assert len(AllImages(of=VIPeR()).read(root).train) == 1264


def test_what_is_missing_doubled_or_strange_is_said(root: Path, tmp_path: Path) -> None:
    refused(VIPeR(), tmp_path / "nowhere", "cam_a, cam_b", "does not exist")
    (root / "VIPeR" / "cam_a" / "000_45.bmp").unlink()
    refused(VIPeR(), root, "1 on one only", "000")
    (root / "VIPeR" / "cam_b" / "000_90.bmp").unlink()
    refused(VIPeR(), root, "631 persons")
    touch(root / "VIPeR" / "cam_a", ["003_90.bmp"])
    refused(VIPeR(), root, "003_45.bmp", "003_90.bmp")
    touch(root / "VIPeR" / "cam_a", ["3_90.bmp"])
    refused(VIPeR(), root, "3_90.bmp", "PPP_ANGLE.bmp")
