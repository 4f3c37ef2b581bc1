"""A target as embeddings: of every image that can be read, and which these are."""

from pathlib import Path

import numpy as np
import pytest

from snreid.datasets import FolderTree, Labels
from snreid.errors import DataError
from snreid.experiments.targets import TargetFeatures, embed_target, track_means, without
from snreid.images.reading import resize
from snreid.images.transforms import StoredImages
from snreid.records import ReIDData, Split
from support.tiny import Files, session
from support.trees import draw


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


def slow_track(data: ReIDData, folder: str, metric: str) -> list[float]:
    """The mean of the images in a track's folder, in plain Python; of unit vectors, and of length 1 itself, for cosine."""
    split = {*data.query.samples, *data.gallery.samples}
    rows = [
        resize(s.image.read(), 32, 16).mean((0, 1)).tolist() for s in split if Path(s.image.name).parent.match(folder)
    ]

    def unit(vector: list[float]) -> list[float]:
        return [x / sum(y * y for y in vector) ** 0.5 for x in vector]

    used = [unit(row) for row in rows] if metric == "cosine" else rows
    mean = [sum(column) / len(used) for column in zip(*used, strict=True)]
    return unit(mean) if metric == "cosine" else mean


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_track_is_the_mean_of_its_images(metric: str, tmp_path: Path) -> None:
    tracks = ["query/1/c1/t1", "gallery/1/c1/t1", "gallery/1/c2/t1", "gallery/1/c2/t2", "gallery/2/c1/t1"]
    draw(tmp_path, [f"{track}/{i}.png" for n, track in enumerate(tracks) for i in range(2 + n)])
    data = FolderTree(path=".", pattern="{split}/{person}/c{camera}/{track}/{*}.png", name="t").read(tmp_path)
    found = track_means(embedded(data, tmp_path), metric)
    ordered = sorted(tracks[1:])
    for features, folders in ((found.query, tracks[:1]), (found.gallery, ordered)):
        assert [Path(name).name for name in features.names] == ["0.png"] * len(folders)
        assert [str(Path(name).parent.relative_to(tmp_path)) for name in features.names] == folders
        slow = [slow_track(data, folder, metric) for folder in folders]
        np.testing.assert_allclose(features.embeddings, slow, rtol=1e-4)
    assert (found.gallery.persons.tolist(), found.gallery.cameras.tolist()) == ([1, 1, 1, 2], [1, 2, 2, 1])
    assert [len(found.used.query), len(found.used.gallery)] == [1, 4] and found.used.train is data.train
    assert found.used.gallery.persons.tolist() == found.gallery.persons.tolist()


@pytest.mark.parametrize("queries", ["first", "all"])
def test_query_tracks_of_images_that_are_both_are_whole(queries: str, tmp_path: Path) -> None:
    tracks = ["1/c1/t1", "1/c1/t2", "1/c2/t1", "2/c1/t1", "2/c2/t9"]
    draw(tmp_path, [f"{track}/{i}.png" for track in tracks for i in range(3)])
    labels = Labels(role="test", queries=queries)  # type: ignore[arg-type]
    data = FolderTree(path=".", pattern="{person}/c{camera}/{track}/{*}.png", labels=labels, name="t").read(tmp_path)
    found = track_means(embedded(data, tmp_path), "cosine")
    asked = [track for track in tracks if queries == "all" or track != "1/c1/t2"]
    assert [str(Path(name).parent.relative_to(tmp_path)) for name in found.query.names] == asked
    assert [str(Path(name).parent.relative_to(tmp_path)) for name in found.gallery.names] == tracks
    np.testing.assert_allclose(found.query.embeddings, [slow_track(data, t, "cosine") for t in asked], rtol=1e-4)


def test_images_without_tracks_have_no_means_of_tracks(tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "data").read(Path())
    with pytest.raises(DataError, match="files: 24 of 24 images without a track"):
        track_means(embedded(data, tmp_path), "cosine")
