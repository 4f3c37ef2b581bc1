"""GRID: 125 ask among 900, of whom 775 are nobody."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from snreid.datasets import GRID, AllImages, check
from snreid.errors import DataError, ExperimentError
from snreid.records import DISTRACTOR
from support.trees import refused, touch


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


def partitions(path: Path, lists: list[np.ndarray]) -> Path:
    """``trainIdxAll`` as the release has it: cells of structs whose third field is the list."""
    cells = np.empty((1, len(lists)), dtype=object)
    for at, numbers in enumerate(lists):
        struct = np.empty((1, 1), dtype=[("a", object), ("b", object), ("c", object)])
        struct[0, 0] = (np.arange(3), np.arange(4), numbers)
        cells[0, at] = struct
    savemat(path, {"trainIdxAll": cells})
    return path


def test_the_partitions_of_the_release_are_read_where_asked(root: Path) -> None:
    lists = [np.arange(1 + split, 126 + split) for split in range(10)]
    path = partitions(root / "underground_reid" / "features_and_partitions.mat", lists)
    released = GRID(split=7, partition="released")
    data = released.read(root)
    assert set(data.train.persons.tolist()) == set(range(8, 133))
    assert set(data.query.persons.tolist()) == set(range(1, 251)) - set(range(8, 133))
    assert data.name == released.name == "grid-released7" and released.collection == "grid"
    assert data.split_id == f"grid/7 of the release (sha256 {sha256(path.read_bytes()).hexdigest()[:12]})"
    assert check(released, root, decode=False).ok
    with pytest.raises(ExperimentError, match="drawn or as released"):
        GRID(partition="other")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "numbers", [np.arange(1, 125), np.arange(127, 252), np.array([1] * 125), np.array(["x"] * 125), np.array([])]
)
def test_partitions_of_another_form_are_refused(numbers: np.ndarray, root: Path) -> None:
    path = root / "underground_reid" / "features_and_partitions.mat"
    with pytest.raises(DataError, match="FileNotFoundError"):
        GRID(partition="released").read(root)
    partitions(path, [numbers] * 10)
    refused(GRID(partition="released"), root, "trainIdxAll", str(path), "partition=drawn")
    path.write_bytes(path.read_bytes()[:200])
    refused(GRID(partition="released"), root, "trainIdxAll", str(path))
