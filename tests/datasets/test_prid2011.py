"""PRID 2011, single shot: beyond 200 a number is two people."""

from pathlib import Path

import pytest

from snreid.datasets import PRID2011, AllImages, check
from support.trees import refused, touch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All images of the single-shot part."""
    for camera, last in (("cam_a", 385), ("cam_b", 749)):
        touch(tmp_path / "prid_2011" / "single_shot" / camera, (f"person_{n:04d}.png" for n in range(1, last + 1)))
    return tmp_path


def test_one_hundred_ask_and_649_answer(root: Path) -> None:
    data = PRID2011(split=9).read(root)
    assert data.name == "prid2011-split9" and data.split_id.startswith("prid2011/9 (sha256 ")
    asked, known = set(data.query.persons.tolist()), set(data.gallery.persons.tolist())
    assert asked < known and known - asked == set(range(201, 750))
    assert set(data.train.persons.tolist()) == set(range(1, 201)) - asked
    assert all("cam_a" in sample.image.name for sample in data.query.samples)
    assert all("cam_b" in sample.image.name for sample in data.gallery.samples)
    assert not any("without" in note or "no match" in note for note in data.notes)


def test_every_split_has_the_published_counts(root: Path) -> None:
    assert all(check(PRID2011(split=split), root, decode=False).ok for split in range(10))
    everything = AllImages(of=PRID2011()).read(root)
    assert len(everything.train) == 400 and any(
        "549 persons with one image dropped" in note for note in everything.notes
    )


def test_what_is_missing_or_strange_is_said(root: Path, tmp_path: Path) -> None:
    refused(PRID2011(), tmp_path / "nowhere", "single_shot/cam_a", "TU Graz")
    (root / "prid_2011" / "single_shot" / "cam_b" / "person_0749.png").unlink()
    (root / "prid_2011" / "single_shot" / "cam_a" / "person_0385.png").unlink()  # nobody needs it
    refused(PRID2011(), root, "1 missing", "cam_b/person_0749.png")
    touch(root / "prid_2011" / "single_shot" / "cam_a", ["0001.png"])
    refused(PRID2011(), root, "0001.png", "person_PPPP.png")
