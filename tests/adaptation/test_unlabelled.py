"""A target without labels: what is in it, and what can never be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.adaptation import Unlabelled
from snreid.errors import DataError
from snreid.records import DISTRACTOR, NO_CAMERA, Sample, Split
from support.tiny import drawn


def test_it_holds_the_training_images_and_their_cameras_and_nobody_on_them() -> None:
    data = drawn("dusk").read(Path())
    target = Unlabelled.of(data)
    assert target.name == "dusk" and len(target) == len(data.train) == len(target.split) and target.has_cameras
    assert [s.image for s in target.split.samples] == [s.image for s in data.train.samples]
    assert np.array_equal(target.split.cameras, data.train.cameras)
    assert set(target.split.persons.tolist()) == {DISTRACTOR}
    assert set(vars(target)) == {"name", "images", "cameras", "notes"}, "no field for a person"


def test_other_labels_make_the_very_same_target() -> None:
    data = drawn("dusk").read(Path())
    renamed = Split(tuple(Sample(s.image, 1 + i, s.camera) for i, s in enumerate(data.train.samples)))
    one, other = Unlabelled.of(data), Unlabelled.of(replace(data, train=renamed))
    assert one.split == other.split and one.fingerprint == other.fingerprint


def test_the_fingerprint_knows_images_and_cameras() -> None:
    target = Unlabelled.of(drawn("dusk").read(Path()))
    others = [target.only(np.arange(5)), replace(target, cameras=target.cameras[::-1].copy())]
    assert len({one.fingerprint for one in (target, *others)}) == 3
    assert others[0].images == target.images[:5] and np.array_equal(others[0].cameras, target.cameras[:5])


def test_cameras_that_are_not_known_are_no_cameras() -> None:
    target = Unlabelled.of(replace(drawn("dusk").read(Path()), has_cameras=False))
    assert set(target.cameras.tolist()) == {NO_CAMERA} and not target.has_cameras


def test_a_target_without_training_images_says_which_it_has() -> None:
    data = replace(drawn("dusk").read(Path()), train=Split(()))
    with pytest.raises(DataError, match=r"dusk has none \(\d+ query and \d+ gallery images\).*labels.role=train"):
        Unlabelled.of(data)


def test_a_folder_is_its_images_and_a_note_on_the_rest(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "a/1.jfif", "a/2.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = Unlabelled.in_folder(tmp_path)
    assert [image.name for image in found.images] == [str(tmp_path / "a/1.jfif"), str(tmp_path / "b/1.jpg")]
    assert found.notes == ("1 file passed over, not named like an image: a/2.heic",)
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "3.heic").touch()
    with pytest.raises(DataError, match=r"none in \S*only; 1 file .*: 3\.heic"):
        Unlabelled.in_folder(tmp_path / "only")
