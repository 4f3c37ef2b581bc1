"""Drawn pedestrians obey the rules of re-identification and repeat themselves exactly."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from snreid.datasets.pedestrians import DrawnImage, DrawnPedestrians
from snreid.errors import DataError, ExperimentError
from snreid.records import ReIDData, Split, stamp_of
from snreid.synthetic.pedestrians import DOMAINS

NOWHERE = Path("/does/not/exist")


def _read(**fields: object) -> ReIDData:
    small = {"train_persons": 4, "test_persons": 3, **fields}
    return DrawnPedestrians(**small).read(NOWHERE)  # type: ignore[arg-type]


def _images(split: Split) -> list[DrawnImage]:
    images = [sample.image for sample in split.samples]
    assert all(isinstance(image, DrawnImage) for image in images)
    return images  # type: ignore[return-value]


def test_counts_and_labels() -> None:
    data = _read(cameras=5, cameras_per_person=3, images_per_camera=4, distractors=2)
    assert (len(data.train), len(data.query), len(data.gallery)) == (4 * 3 * 4, 3 * 3, 3 * 3 * 3 + 2)
    assert set(data.train.persons) == {1, 2, 3, 4}
    assert set(data.query.persons) == {5, 6, 7}
    assert sorted(set(data.gallery.persons)) == [0, 5, 6, 7]
    assert set(data.train.cameras) <= set(range(1, 6))
    assert data.name == "noon" and data.has_cameras


def test_every_query_has_a_match_on_another_camera() -> None:
    for images_per_camera in (1, 2, 3):
        data = _read(images_per_camera=images_per_camera)
        for person, camera in zip(data.query.persons, data.query.cameras, strict=True):
            assert ((data.gallery.persons == person) & (data.gallery.cameras != camera)).any()


def test_names_are_unique_inside_a_split() -> None:
    data = _read(distractors=5)
    for split in (data.train, data.query, data.gallery):
        names = [sample.image.name for sample in split.samples]
        assert len(set(names)) == len(names)
    assert data.train.samples[0].image.name.startswith("noon/0001_c")


_CHANGES: list[dict[str, object]] = [
    {},
    {"people": "dusk"},
    {"people": "a-test1"},
    {"seed": 1},
    {"height": 64},
    {"domain": "dusk"},
    {"train_persons": 5},
]


def test_equal_names_are_equal_pictures_over_all_sets() -> None:
    seen: dict[str, tuple[object, ...]] = {}
    for change in _CHANGES:
        data = _read(distractors=2, **change)
        for image in (i for split in (data.train, data.query, data.gallery) for i in _images(split)):
            drawn = (
                image.domain,
                image.people,
                image.part,
                image.number,
                image.camera,
                image.shot,
                image.seed,
                image.size,
            )
            assert seen.setdefault(image.name, drawn) == drawn


def test_a_model_that_saw_a_domain_has_seen_it_with_other_people_too() -> None:
    noon, other = DrawnPedestrians(), DrawnPedestrians(people="dusk")
    assert noon.name != other.name and noon.collection == other.collection == "noon"
    assert DrawnPedestrians(domain="dusk").collection != noon.collection


def test_reading_ends_in_the_rules_of_every_data_set() -> None:
    with pytest.raises(DataError, match="at least 2 images"):
        _read(test_persons=0, cameras_per_person=1, images_per_camera=1)


def test_people_of_parts_domains_and_seeds_are_different_people() -> None:
    def people(data: ReIDData) -> set[object]:
        return {image.picture().identity for split in (data.train, data.query) for image in _images(split)}

    noon = people(_read())
    assert len(noon) == 7
    assert not noon & people(_read(domain="night"))
    assert not noon & people(_read(seed=1))


def test_the_same_people_in_other_styles() -> None:
    noon, night = _read(), _read(domain="night", people="noon")
    assert night.name == "night (noon's people)"
    for mine, theirs in zip(_images(noon.query)[:1], _images(night.query)[:1], strict=True):
        assert mine.picture().identity == theirs.picture().identity
        assert mine.picture().style != theirs.picture().style


def test_more_train_persons_leave_the_test_people_as_they_are() -> None:
    few, many = (_images(_read(train_persons=n).query) for n in (2, 9))
    assert [a.picture() for a in few] == [b.picture() for b in many]


def test_a_stamp_is_the_name_and_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [sample.image for sample in DrawnPedestrians(train_persons=2, test_persons=0).read(Path()).train.samples]
    stamps = {stamp_of(image) for image in images}
    assert len(stamps) == len(images) and None not in stamps
    monkeypatch.setattr("snreid.datasets.pedestrians.program", lambda file: "another program")
    assert not stamps & {stamp_of(image) for image in images}


@pytest.mark.parametrize("domain", [domain.name for domain in DOMAINS])
def test_reading_draws_and_repeats(domain: str) -> None:
    image = _read(domain=domain).query.samples[0].image
    pixels = image.read()
    assert pixels.shape == (128, 64, 3) and pixels.dtype == np.uint8
    copy = pickle.loads(pickle.dumps(image))
    assert copy == image and len(pickle.dumps(image)) < 400
    np.testing.assert_array_equal(copy.read(), pixels)


def test_another_height() -> None:
    assert _read(height=64).train.samples[0].image.read().shape == (64, 32, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"domain": "mars"}, "'mars'"),
        ({"train_persons": -1}, "train_persons of drawn pedestrians is at least 0"),
        ({"images_per_camera": 0}, "images_per_camera"),
        ({"cameras": 2, "cameras_per_person": 3}, "cameras_per_person 3, cameras 2"),
        ({"cameras_per_person": 1}, "at least two cameras"),
        ({"height": 100}, "multiple of 32"),
        ({"people": "a/b"}, "people of drawn pedestrians is a word.*'a/b'"),
        ({"people": "a" * 300}, "people of drawn pedestrians is a word.*bytes"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        DrawnPedestrians(**fields)  # type: ignore[arg-type]
