"""The split of made people is Market-1501's: who is in it, who asks, and who answers."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from snreid.datasets._made import made_split, some_cameras
from snreid.records import ReIDData, Sample
from snreid.synthetic.randomness import Draws

CAMERAS = {"train": [1, 2], "test": [2, 3], "distractor": [3, 1]}


@dataclass(frozen=True)
class Named:
    name: str

    def read(self) -> NDArray[np.uint8]:
        raise AssertionError("nothing is rendered")

    def stamp(self) -> str:
        return self.name


def make(part: str, number: int, label: int, camera: int, shot: int) -> Sample:
    return Sample(Named(f"{part}{number}-{label}-c{camera}-{shot}"), label, camera)


def split(images: int) -> ReIDData:
    return made_split("made", make, lambda part, _: CAMERAS[part], train=2, test=1, distractors=2, images=images)


def names(samples: tuple[Sample, ...]) -> set[str]:
    return {sample.image.name for sample in samples}


def test_one_image_of_a_person_on_each_camera_asks_and_the_others_answer() -> None:
    made = split(images=2)
    assert names(made.train.samples) == {f"train{n}-{n}-c{c}-{s}" for n in (1, 2) for c in (1, 2) for s in (1, 2)}
    assert names(made.query.samples) == {"test1-3-c2-1", "test1-3-c3-1"}
    assert names(made.gallery.samples) == {"test1-3-c2-2", "test1-3-c3-2", "distractor1-0-c3-1", "distractor2-0-c3-1"}


def test_a_single_image_is_query_and_gallery_at_once() -> None:
    made = split(images=1)
    assert names(made.query.samples) == {"test1-3-c2-1", "test1-3-c3-1"} < names(made.gallery.samples)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_some_cameras_rise_and_every_camera_is_taken_as_often(count: int) -> None:
    taken = [some_cameras(Draws.of("cameras", number), 5, count) for number in range(400)]
    assert all(found == sorted(set(found)) and len(found) == count for found in taken)
    often = np.bincount(np.concatenate(taken), minlength=6)[1:]
    # 400 draws of count / 5 each: five standard deviations are less than 50.
    assert np.abs(often - 400 * count / 5).max() < 50
