"""All labelled images for training: nobody lost, nobody counted twice, no two people made one."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from snreid.datasets import GRID, AllImages, Corrupted, DrawnPedestrians, VIPeR, require_unseen_persons
from snreid.errors import DataError, ExperimentError
from snreid.images.reading import FileImage
from snreid.records import DISTRACTOR, JUNK, DataSet, ReIDData, Sample, Split
from snreid.training.training_set import join


@dataclass(frozen=True, kw_only=True)
class Listed(DataSet):
    """Given samples as (name, person, camera)."""

    train: tuple[tuple[str, int, int], ...] = (("a", 1, 1), ("b", 1, 2), ("c", 2, 1), ("d", 2, 1))
    query: tuple[tuple[str, int, int], ...] = (("e", 3, 1), ("f", 4, 2))
    gallery: tuple[tuple[str, int, int], ...] = (("e", 3, 1), ("g", 3, 2), ("h", 4, 1), ("i", 5, 1))

    @property
    def name(self) -> str:
        """``listed``."""
        return "listed"

    @property
    def collection(self) -> str:
        """Not the name."""
        return "lists"

    @property
    def home(self) -> str:
        """Nowhere."""
        return "the page of lists"

    def read(self, root: Path) -> ReIDData:
        """As given, unchecked."""
        splits = (
            Split(tuple(Sample(FileImage(n), p, c) for n, p, c in s)) for s in (self.train, self.query, self.gallery)
        )
        return ReIDData(self.name, *splits, notes=("a note",))


def test_training_query_and_gallery_images_come_once_each_in_this_order() -> None:
    data = AllImages(of=Listed()).read(Path())
    assert [sample.image.name for sample in data.train.samples] == ["a", "b", "c", "d", "e", "f", "g", "h"]
    assert data.train.persons.tolist() == [1, 1, 2, 2, 3, 4, 3, 4]
    assert data.train.cameras.tolist() == [1, 2, 1, 1, 1, 2, 2, 1]
    assert not data.query.samples and not data.gallery.samples
    assert data.name == "listed@all" == AllImages(of=Listed()).name
    assert AllImages(of=Listed()).collection == "lists" and AllImages(of=Listed()).home == "the page of lists"
    assert "a note" in data.notes and any("6 query and gallery images 0 are" in note for note in data.notes)
    assert any("1 persons with one image dropped" in note for note in data.notes)


def test_distractors_and_junk_are_left_out() -> None:
    inner = Listed(
        gallery=(*Listed().gallery, ("x", DISTRACTOR, 1), ("y", DISTRACTOR, 2), ("z", JUNK, 1), ("j", JUNK, 2))
    )
    assert AllImages(of=inner).read(Path()).train == AllImages(of=Listed()).read(Path()).train


def test_a_number_of_two_people_is_refused() -> None:
    with pytest.raises(DataError, match="either in training or in the test"):
        AllImages(of=Listed(query=(("e", 1, 1),))).read(Path())


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="two images or more") as caught:
        AllImages(of=Listed(train=(), query=(("e", 3, 1),), gallery=(("i", 5, 1),))).read(Path())
    assert "2 persons with one image" in str(caught.value)


def test_drawn_pedestrians_give_all_their_people() -> None:
    drawn = DrawnPedestrians(train_persons=3, test_persons=2, cameras_per_person=2, images_per_camera=2, distractors=3)
    data = AllImages(of=drawn).read(Path())
    assert len(data.train) == (3 + 2) * 2 * 2
    assert join([data]).identities == 5
    # One image for each camera is query and gallery at once there.
    assert len(AllImages(of=replace(drawn, images_per_camera=1)).read(Path()).train) == 5 * 2


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (AllImages(of=Listed()), Listed()),
        (AllImages(of=Listed()), Corrupted(of=Listed(), corruption="dark", severity=1)),
        (Corrupted(of=AllImages(of=Listed()), corruption="dark", severity=1), Listed()),
        (VIPeR(split=1), VIPeR(split=2)),
        (AllImages(of=VIPeR(split=1)), VIPeR(split=1)),
    ],
)
def test_nobody_is_scored_on_whom_it_was_trained_on(source: DataSet, target: DataSet) -> None:
    with pytest.raises(ExperimentError, match="people it was not trained on") as raised:
        require_unseen_persons([DrawnPedestrians(domain="noon"), source], target)
    assert f"trained on {source.name}, target {target.name}" in str(raised.value)


def test_other_people_of_the_same_cameras_are_fine() -> None:
    drawn, everyone = DrawnPedestrians(domain="noon"), AllImages(of=DrawnPedestrians(domain="noon"))
    require_unseen_persons([everyone, VIPeR(split=3)], VIPeR(split=3))
    require_unseen_persons([drawn], drawn)
    require_unseen_persons([AllImages(of=VIPeR())], GRID())
    require_unseen_persons([everyone], DrawnPedestrians(domain="dusk"))
