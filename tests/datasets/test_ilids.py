"""i-LIDS: one image asks, one other answers, and no camera is known."""

from pathlib import Path

import pytest

from snreid.datasets import ILIDS, check
from snreid.datasets._splits import pair_of
from snreid.records import NO_CAMERA
from support.trees import refused, touch

IMAGES = {person: 2 + person % 5 for person in range(1, 120)}
"""Images of each person; made 476 in all by the last."""
IMAGES[119] += 476 - sum(IMAGES.values())
NAMES = [f"{person:04d}{image:03d}.jpg" for person, images in IMAGES.items() for image in range(1, images + 1)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All images."""
    assert len(NAMES) == 476 and min(IMAGES.values()) >= 2
    touch(tmp_path / "i-LIDS_Pedestrian" / "Persons", NAMES)
    return tmp_path


def test_sixty_people_have_one_query_and_one_other_gallery_image(root: Path) -> None:
    data = ILIDS(split=2).read(root)
    assert data.name == "ilids-split2" and data.split_id.startswith("ilids/2 (sha256 ")
    assert not data.has_cameras and {sample.camera for sample in data.train.samples} == {NO_CAMERA}
    people = data.query.persons.tolist()
    assert people == data.gallery.persons.tolist() == sorted(set(people)) and len(people) == 60
    assert not {s.image.name for s in data.query.samples} & {s.image.name for s in data.gallery.samples}
    assert len(data.train) == sum(IMAGES[person] for person in IMAGES if person not in set(people))
    first, second = ILIDS().splits.pairs(2)[0]
    asks, answers = pair_of(IMAGES[people[0]], first, second)
    assert Path(data.query.samples[0].image.name).name == f"{people[0]:04d}{asks + 1:03d}.jpg"
    assert Path(data.gallery.samples[0].image.name).name == f"{people[0]:04d}{answers + 1:03d}.jpg"


def test_every_split_has_the_published_counts(root: Path) -> None:
    assert all(check(ILIDS(split=split), root, decode=False).ok for split in range(10))
    assert ILIDS().read(root).train != ILIDS(split=1).read(root).train


def test_what_is_missing_or_strange_is_said(root: Path, tmp_path: Path) -> None:
    refused(ILIDS(), tmp_path / "nowhere", "i-LIDS_Pedestrian/Persons", "does not exist")
    folder = root / "i-LIDS_Pedestrian" / "Persons"
    (folder / NAMES[0]).unlink()
    refused(ILIDS(), root, "475 images", "476")
    touch(folder, ["0000001.jpg"])
    refused(ILIDS(), root, "0000001.jpg", "PPPPNNN.jpg")
