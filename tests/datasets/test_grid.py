"""GRID: 125 ask among 900, of whom 775 are nobody."""

from pathlib import Path

import pytest

from snreid.datasets import GRID, AllImages, check
from snreid.records import DISTRACTOR
from trees import refused, touch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All images: probe on cameras 1 to 4, gallery on 5 to 8."""
    base = tmp_path / "underground_reid"
    touch(base / "probe", (f"{n:04d}_{1 + n % 4}_25008_169_18_98_{n}.jpeg" for n in range(1, 251)))
    touch(base / "gallery", (f"{n:04d}_{5 + n % 4}_25023_116_27_88_{n}.jpeg" for n in range(1, 251)))
    touch(base / "gallery", (f"0000_{5 + n % 4}_26003_116_27_88_{n}.jpeg" for n in range(775)))
    return tmp_path


def test_distractors_stay_in_every_gallery_and_training_people_do_not(root: Path) -> None:
    data = GRID(split=1).read(root)
    assert data.name == "grid-split1" and data.split_id.startswith("grid/1 (sha256 ")
    assert data.gallery.persons.tolist().count(DISTRACTOR) == 775
    assert set(data.gallery.persons.tolist()) - {DISTRACTOR} == set(data.query.persons.tolist())
    assert set(data.train.persons.tolist()) == set(range(1, 251)) - set(data.query.persons.tolist())
    first = data.query.samples[0]
    assert Path(first.image.name).name == f"{first.person:04d}_{first.camera}_25008_169_18_98_{first.person}.jpeg"
    assert "775 distractors" in data.notes[0]


def test_every_split_has_the_published_counts(root: Path) -> None:
    assert all(check(GRID(split=split), root, decode=False).ok for split in range(10))
    assert len(AllImages(of=GRID()).read(root).train) == 500


def test_what_is_missing_doubled_or_strange_is_said(root: Path, tmp_path: Path) -> None:
    refused(GRID(), tmp_path / "nowhere", "probe, gallery", "underground_reid")
    probe = root / "underground_reid" / "probe"
    touch(probe, ["0001_9_25008_169_18_98_246.jpeg"])
    refused(GRID(), root, "0001_9_25008_169_18_98_246.jpeg", "PPPP_C_*.jpeg")
    (probe / "0001_9_25008_169_18_98_246.jpeg").rename(probe / "0002_1_1_1.jpeg")
    refused(GRID(), root, "1 persons are not", "0002")
    (probe / "0002_1_1_1.jpeg").rename(probe / "0000_1_1_1.jpeg")
    refused(GRID(), root, "1 persons are not", "0000")
    (probe / "0000_1_1_1.jpeg").unlink()
    for folder in ("probe", "gallery"):
        next((root / "underground_reid" / folder).glob("0007_*")).unlink()
    refused(GRID(), root, "249 persons")
