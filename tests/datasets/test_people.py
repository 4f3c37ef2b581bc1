"""Rendered people obey the rules of re-identification and repeat themselves exactly."""

import importlib.util
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.cli.names import dataset_named
from snreid.datasets.people import RenderedImage, RenderedPeople
from snreid.errors import ExperimentError
from snreid.records import ReIDData, Split, stamp_of

NOWHERE = Path("/does/not/exist")
_MISSING = [package for package in ("anny", "numba") if importlib.util.find_spec(package) is None]
needs_people = pytest.mark.skipif(
    bool(_MISSING), reason=f"needs the extra people: {', '.join(_MISSING)} is not installed"
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder for all tests here; the user's is left alone."""
    monkeypatch.setenv("SNREID_CACHE", str(tmp_path_factory.getbasetemp() / "people-cache"))


def _read(**fields: object) -> ReIDData:
    return RenderedPeople(**{"persons": 4, "test_persons": 3, **fields}).read(NOWHERE)  # type: ignore[arg-type]


def _images(split: Split) -> list[RenderedImage]:
    return [sample.image for sample in split.samples if isinstance(sample.image, RenderedImage)]


@needs_people
def test_counts_and_labels() -> None:
    data = _read(cameras=5, sites=2, cameras_per_person=3, images_per_camera=4, distractors=2)
    assert (len(data.train), len(data.query), len(data.gallery)) == (4 * 3 * 4, 3 * 3, 3 * 3 * 3 + 2)
    assert set(data.train.persons) == {1, 2, 3, 4} and set(data.query.persons) == {5, 6, 7}
    assert sorted(set(data.gallery.persons)) == [0, 5, 6, 7]
    assert set(data.train.cameras) <= set(range(1, 6))
    assert data.name == "people" and data.has_cameras


@needs_people
def test_every_query_has_a_match_on_another_camera() -> None:
    for images_per_camera in (1, 3):
        data = _read(images_per_camera=images_per_camera)
        for person, camera in zip(data.query.persons, data.query.cameras, strict=True):
            assert ((data.gallery.persons == person) & (data.gallery.cameras != camera)).any()


@needs_people
def test_people_walk_over_several_sites_and_a_site_is_no_person() -> None:
    images = _images(_read(persons=20).train)
    for number in range(1, 21):
        assert len({image.site for image in images if image.number == number}) >= 2
    for site in range(1, 7):
        assert len({image.number for image in images if image.site == site}) > 5


@needs_people
def test_names_are_unique_and_say_all() -> None:
    data = _read(distractors=3)
    for split in (data.train, data.query, data.gallery):
        names = [image.name for image in _images(split)]
        assert len(set(names)) == len(names) == len(split)
    image = _images(data.train)[0]
    assert image.name.startswith("people/0001_c")
    for change in ({"seed": 1}, {"site": 9}, {"number": 9}, {"part": "test"}, {"shot": 9}, {"size": (64, 32)}):
        assert replace(image, **change).name != image.name  # type: ignore[arg-type]


@needs_people
def test_images_are_small_to_pickle_and_stamped() -> None:
    image = _images(_read().train)[0]
    assert len(pickle.dumps(image)) < 250 and pickle.loads(pickle.dumps(image)) == image
    stamp = stamp_of(image)
    assert stamp is not None and image.name in stamp and "anny" in stamp


@needs_people
def test_order_and_process_do_not_matter() -> None:
    images = _images(_read(height=64, cameras=4, sites=2, cameras_per_person=2).train)[:5]
    there = [image.read() for image in images]
    back = [image.read() for image in reversed(images)][::-1]
    for one, two in zip(there, back, strict=True):
        assert one.shape == (64, 32, 3) and one.dtype == np.uint8
        np.testing.assert_array_equal(one, two)
    code = "import pickle,sys; image = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(image.read().tobytes())"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(images[3]), capture_output=True, check=True)
    assert done.stdout == there[3].tobytes()


@needs_people
def test_more_cameras_or_people_change_nobody() -> None:
    few, many = _read(persons=4, distractors=1), _read(persons=9, distractors=5)
    names = {image.name for image in _images(many.train)}
    assert all(image.name in names for image in _images(few.train))


@pytest.mark.parametrize(
    "wrong",
    [
        {"persons": 0, "test_persons": 0},
        {"persons": -1},
        {"cameras": 0},
        {"sites": 0},
        {"sites": 13},
        {"cameras_per_person": 13},
        {"cameras_per_person": 1},
        {"images_per_camera": 0},
        {"height": 100},
        {"height": 1024},
    ],
)
def test_what_leaves_nobody_or_no_match_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ExperimentError, match="Fix"):
        RenderedPeople(**wrong)  # type: ignore[arg-type]


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    people = RenderedPeople()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ExperimentError, match=r"extra `people`.*snreid\[people\]"):
        people.read(NOWHERE)


def test_it_is_named_on_the_command_line() -> None:
    assert dataset_named("people:persons=2000,cameras=24") == RenderedPeople(persons=2000, cameras=24)
    assert dataset_named("people").name == RenderedPeople().collection == "people"


def test_importing_it_compiles_nothing() -> None:
    code = "import sys, snreid.datasets; snreid.datasets.RenderedPeople(); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
