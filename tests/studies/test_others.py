"""Models of others as rows: the scores of their vectors, and the images they are of."""

from pathlib import Path

import numpy as np
import pytest

from snreid.errors import DataError
from snreid.evaluation import evaluate
from snreid.images.transforms import StoredImages
from snreid.records import NO_CAMERA, Features, ReIDData, Split
from snreid.studies.others import EmbeddedImages, FeaturesFile, NetworkFile
from support.tiny import drawn, session


def brightness(images: StoredImages) -> np.ndarray:
    return np.asarray(images.float().mean((2, 3)).numpy(), dtype=np.float32)


def rows(split: Split, shift: float = 0.0) -> Features:
    """Each image as the mean of its channels."""
    vectors = np.stack([s.image.read().mean((0, 1)) + shift for s in split.samples]).astype(np.float32)
    return Features(vectors, split.persons, split.cameras, tuple(s.image.name for s in split.samples))


def features_of(data: ReIDData) -> tuple[Features, Features]:
    return rows(data.query), rows(data.gallery)


def test_a_network_is_scored_by_what_it_embeds_and_its_embeddings_are_kept(tmp_path: Path) -> None:
    data = drawn("dusk").read(Path())
    model = NetworkFile(name="net.onnx", embed=brightness, size=(64, 32), results=tmp_path / "net")
    found = model.score(data, session())
    query, gallery = features_of(data)
    assert found.target == "dusk" and found.scores.mean_ap == pytest.approx(evaluate(query, gallery).mean_ap, abs=1e-3)
    kept = model.features("dusk")
    assert evaluate(*kept).mean_ap == found.scores.mean_ap and kept[0].names == query.names
    bicubic = NetworkFile(name="net.onnx", embed=brightness, size=(16, 8), by="bicubic", results=tmp_path / "net")
    bicubic.score(data, session())
    assert not np.allclose(model.features("dusk")[0].embeddings, kept[0].embeddings, atol=1e-3), "resized otherwise"


def test_embeddings_are_scored_on_the_target_that_they_are_of() -> None:
    data = drawn("dusk").read(Path())
    query, gallery = features_of(data)
    model = FeaturesFile(name="f.npz", query=query, gallery=gallery)
    assert model.score(data, session()).scores.mean_ap == evaluate(query, gallery).mean_ap
    assert model.features("dusk") == (query, gallery) and model.label == "f.npz"
    with pytest.raises(DataError, match="rows of noon"):
        model.score(drawn("noon", test_persons=5).read(Path()), session())


def test_the_images_behind_embeddings_are_a_target_by_their_names_and_labels() -> None:
    query, gallery = features_of(drawn("dusk").read(Path()))
    data = EmbeddedImages(name="f", query=query, gallery=gallery).read(Path())
    assert data.has_cameras and len(data.train) == 0
    assert [s.image.name for s in data.gallery.samples] == list(gallery.names)
    assert data.query.persons.tolist() == query.persons.tolist()
    assert FeaturesFile(name="f", query=query, gallery=gallery).score(data, session()).used is data
    bare = Features(query.embeddings, query.persons, np.full(len(query.persons), NO_CAMERA))
    blind = EmbeddedImages(name="f", query=bare, gallery=bare).read(Path())
    assert not blind.has_cameras and blind.query.samples[3].image.name == "row 3"
