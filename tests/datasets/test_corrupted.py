"""A data set made worse: the same labels and names, other pixels, on the side that is meant."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.datasets import Corrupted, CorruptedImage, corrupt
from snreid.datasets.corrupted import Side
from snreid.errors import DataError, ExperimentError
from snreid.experiments.serialization import from_json, to_json
from snreid.images.reading import FileImage
from snreid.records import ReIDData, Sample, Split, fingerprint
from support.tiny import Files, drawn, picture_files

HERE = Path()


def pixels(data: ReIDData, side: str) -> list[np.ndarray]:
    return [sample.image.read() for sample in getattr(data, side).samples[:3]]


@pytest.mark.parametrize(
    ("side", "name", "changed"),
    [
        ("query", "noon@dark-3", {"query"}),
        ("gallery", "noon@dark-3-gallery", {"gallery"}),
        ("both", "noon@dark-3-both", {"query", "gallery"}),
    ],
)
def test_images_of_the_side_are_worse_and_nothing_else_changes(side: Side, name: str, changed: set[str]) -> None:
    clean, worse = drawn().read(HERE), Corrupted(of=drawn(), corruption="dark", severity=3, side=side).read(HERE)
    assert worse.name == name and worse.has_cameras == clean.has_cameras
    for part in ("train", "query", "gallery"):
        one, other = getattr(clean, part), getattr(worse, part)
        assert fingerprint(one) == fingerprint(other)
        same = [np.array_equal(a, b) for a, b in zip(pixels(clean, part), pixels(worse, part), strict=True)]
        assert same == [part not in changed] * 3
    assert any("dark, severity 3" in note for note in worse.notes)


def test_pixels_are_those_of_the_function_and_do_not_depend_on_where_the_data_set_lies(tmp_path: Path) -> None:
    found = []
    for place in ("a", "elsewhere/b"):
        data = Corrupted(of=Files(folder=tmp_path / place), corruption="colour-cast", severity=4).read(HERE)
        sample = data.query.samples[7]
        assert sample.image.name.endswith("007.png")
        found.append(sample.image.read())
        clean = Files(folder=tmp_path / place).read(HERE).query.samples[7].image
        assert np.array_equal(found[-1], corrupt(clean.read(), "colour-cast", 4, "007.png"))
    assert np.array_equal(*found)


def test_what_was_read_already_gives_the_same_images() -> None:
    wrapper = Corrupted(of=drawn(), corruption="jpeg", severity=5)
    assert wrapper.apply(drawn().read(HERE)) == wrapper.read(HERE)


def test_nothing_is_opened_before_it_is_read_and_a_bad_image_says_so(tmp_path: Path) -> None:
    data = Corrupted(of=Files(folder=tmp_path, damaged=(2,)), corruption="blur", severity=1).read(HERE)
    with pytest.raises(DataError, match=r"002\.png"):
        data.query.samples[2].image.read()
    assert data.query.samples[3].image.read().shape == (40, 20, 3)


def test_a_corrupted_image_goes_to_another_process() -> None:
    """Loader workers get samples by pickle."""
    image = Corrupted(of=drawn(), corruption="dark", severity=2).read(HERE).query.samples[0].image
    assert isinstance(image, CorruptedImage)
    assert np.array_equal(pickle.loads(pickle.dumps(image)).read(), image.read())


def test_its_stamp_is_that_of_the_clean_image_and_the_corruption(tmp_path: Path) -> None:
    path = picture_files(tmp_path, 1)[0]
    clean = FileImage(str(path))
    images = [CorruptedImage(clean, kind, level, key) for kind in ("dark", "noise") for level in (1, 2) for key in "ab"]
    assert len({image.stamp() for image in images} | {clean.stamp()}) == 9
    before = images[0].stamp()
    assert before == CorruptedImage(clean, "dark", 1, "a").stamp()
    path.write_bytes(b"another")
    assert images[0].stamp() != before

    class Bare:
        name = "bare"

        def read(self) -> np.ndarray:
            raise AssertionError

    assert CorruptedImage(Bare(), "dark", 1, "a").stamp() is None


def test_it_is_a_value_and_stays_in_its_collection() -> None:
    wrapper = Corrupted(of=drawn("dusk"), corruption="low-resolution", severity=2, side="both")
    assert from_json(Corrupted, to_json(wrapper)) == wrapper
    assert (wrapper.collection, wrapper.home, wrapper.expected) == ("dusk", drawn().home, ())
    twice = Corrupted(of=wrapper, corruption="dark", severity=1)
    assert twice.name == "dusk@low-resolution-2-both@dark-1"
    assert not np.array_equal(pixels(twice.read(HERE), "query")[0], pixels(wrapper.read(HERE), "query")[0])


def test_what_is_not_known_is_refused() -> None:
    right = Corrupted(of=drawn(), corruption="dark")
    for changes, message in (
        ({"corruption": "fog"}, "'fog'"),
        ({"severity": 6}, "Found: 6"),
        ({"side": "train"}, "query, gallery, both.*'train'"),
    ):
        with pytest.raises(ExperimentError, match=message):
            replace(right, **changes)  # type: ignore[arg-type]


def test_an_empty_test_split_stays_empty() -> None:
    nothing = ReIDData("x", Split(()), Split(()), Split(()))
    assert not len(Corrupted(of=drawn(), corruption="dark").apply(nothing).query)
    one = replace(nothing, query=Split(drawn().read(HERE).query.samples[:1]))
    (sample,) = Corrupted(of=drawn(), corruption="dark").apply(one).query.samples
    assert isinstance(sample, Sample) and sample.image.read().shape == (64, 32, 3)
