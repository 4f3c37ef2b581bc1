"""A target as embeddings: of every image that can be read, and which these are."""

from pathlib import Path

import numpy as np
import pytest

from snreid.errors import DataError
from snreid.experiments.targets import TargetFeatures, embed_target, without
from snreid.images.reading import resize
from snreid.images.transforms import StoredImages
from snreid.records import ReIDData, Split
from support.tiny import Files, session


def brightness(images: StoredImages) -> np.ndarray:
    """(B, 3, H, W) uint8 to the mean of each channel (B, 3)."""
    return np.asarray(images.float().mean((2, 3)).numpy(), dtype=np.float32)


def embedded(data: ReIDData, out: Path, *, skip_bad: bool = True) -> TargetFeatures:
    return embed_target(brightness, (32, 16), data, session(skip_bad=skip_bad), out)


def test_every_image_has_the_embedding_of_its_pixels(tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "data").read(Path())
    found = embedded(data, tmp_path)
    assert found.used is data and found.left_out == ()
    assert found.query.names == tuple(sample.image.name for sample in data.query.samples)
    assert len({tuple(vector) for vector in found.gallery.embeddings.tolist()}) == 24
    np.testing.assert_array_equal(found.query.embeddings, found.gallery.embeddings)


def test_another_filter_changes_the_embeddings_and_not_the_images_that_are_used(tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "data").read(Path())
    found = embed_target(brightness, (32, 16), data, session(), tmp_path, by="bicubic")
    assert found.used is data
    for sample, vector in zip(data.query.samples, found.query.embeddings, strict=True):
        np.testing.assert_allclose(vector, resize(sample.image.read(), 32, 16, by="bicubic").mean((0, 1)), atol=1e-3)
    assert not np.allclose(found.query.embeddings, embedded(data, tmp_path).query.embeddings, atol=1e-3)


def test_bad_images_stop_it_or_are_left_out_and_what_is_left_is_told(tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "data", damaged=(5,)).read(Path())
    whole = ReIDData(data.name, data.train, data.query, Split(data.gallery.samples[:4]))
    with pytest.raises(DataError, match=r"1 of 24 are not.*005\.png"):
        embedded(whole, tmp_path / "out", skip_bad=False)
    found = embedded(whole, tmp_path / "out")
    assert len(found.query.embeddings) == len(found.used.query) == 23 and len(found.used.gallery) == 4
    assert found.query.names == tuple(sample.image.name for sample in found.used.query.samples)
    assert found.used.query.persons.tolist() == found.query.persons.tolist()
    assert found.left_out == (str(tmp_path / "data" / "005.png"),)
    assert found.used.train is data.train and found.used.name == data.name


def test_an_image_in_query_and_gallery_is_left_out_of_both_and_named_once(tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "data", damaged=(5, 7)).read(Path())
    found = embedded(data, tmp_path / "out")
    assert [Path(name).name for name in found.left_out] == ["005.png", "007.png"]
    again = without(data, set(found.left_out))
    assert again == found.used and len(again.gallery) == 22
    assert without(data, set()) is data
