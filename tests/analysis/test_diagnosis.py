"""A diagnosis holds what its parts compute, with the images of the right rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.analysis.diagnosis import corruption_effects, diagnose, looks, require_rows, worst_queries
from snreid.datasets import CorruptedImage, corrupt
from snreid.errors import DataError, DivergenceError
from snreid.evaluation import by_property, camera_pairs, evaluate, mean_drop, measure, subset_scores
from snreid.images.loading import PixelStore
from snreid.images.transforms import StoredImages
from snreid.inference.embedder import features
from snreid.records import Features, ReIDData, Split
from support.tiny import Files, drawn, session

SIZE = (32, 16)


def colours(images: StoredImages) -> np.ndarray:
    """A coarse picture as an embedding: 3 colours on 4 x 2 fields."""
    parts = images.float().unflatten(3, (2, 8)).unflatten(2, (4, 8)).mean((3, 5))
    return np.asarray(parts.flatten(1).numpy() - 100, dtype=np.float32)


def embedded(data: ReIDData) -> tuple[Features, Features]:
    found = []
    for split in (data.query, data.gallery):
        store = PixelStore(split, *SIZE)
        store.open()
        found.append(features(colours, store))
    return found[0], found[1]


@pytest.fixture(scope="module")
def dusk() -> tuple[ReIDData, Features, Features]:
    data = drawn("dusk", test_persons=6, cameras_per_person=3).read(Path())
    return data, *embedded(data)


def test_the_parts_are_those_of_the_rows(dusk: tuple[ReIDData, Features, Features]) -> None:
    data, query, gallery = dusk
    found = diagnose(query, gallery, target="dusk", data=data, notes=["Mind this."])
    scores = evaluate(query, gallery)
    assert found.scores.average_precision.tolist() == scores.average_precision.tolist()
    assert found.estimates == subset_scores(scores) and found.notes[0] == "Mind this."
    assert "6 persons" in found.notes[1]
    pairs = camera_pairs(query, gallery)
    assert [pair.to_json() for pair in found.pairs.pairs] == [pair.to_json() for pair in pairs.pairs]
    measured = [measure(data.query.samples[i].image.read()) for i in scores.query_index]
    for place, name in enumerate(("brightness", "size", "sharpness")):
        values = np.array([getattr(one, name) for one in measured])
        one = found.properties[place]
        assert one == by_property(name, one.unit, values, scores)
    assert "the same for all" in found.properties[1].remark and found.properties[0].trend is not None


def test_the_brightness_gap_is_that_to_the_matches(dusk: tuple[ReIDData, Features, Features]) -> None:
    data, query, gallery = dusk
    scores = evaluate(query, gallery)
    bright = {s.image.name: measure(s.image.read()).brightness for s in (*data.query.samples, *data.gallery.samples)}
    gaps = []
    for i in scores.query_index:
        asked = data.query.samples[i]
        there = [s for s in data.gallery.samples if s.person == asked.person and s.camera != asked.camera]
        gaps.append(np.mean([abs(bright[s.image.name] - bright[asked.image.name]) for s in there]))
    gap = diagnose(query, gallery, target="dusk", data=data).properties[3]
    assert gap == by_property("brightness gap", gap.unit, np.array(gaps), scores)
    assert gap.buckets[0].low == pytest.approx(min(gaps)) and gap.buckets[-1].high == pytest.approx(max(gaps))


def test_without_images_or_cameras_the_rest_is_there_and_said(dusk: tuple[ReIDData, Features, Features]) -> None:
    _, query, gallery = dusk
    blind = [replace(one, cameras=np.full(len(one.persons), -1)) for one in (query, gallery)]
    found = diagnose(*blind, target="mine")
    assert found.properties == () and found.pairs.pairs == ()
    assert any("need images" in note for note in found.notes) and any("No camera" in note for note in found.notes)
    assert found.to_json()["overall"]["mAP"]["value"] == evaluate(*blind).mean_ap


def test_fewer_than_four_queries_have_no_quarters(dusk: tuple[ReIDData, Features, Features]) -> None:
    data, query, gallery = dusk
    few = Features(query.embeddings[:3], query.persons[:3], query.cameras[:3], query.names[:3])
    found = diagnose(few, gallery, target="dusk", data=replace(data, query=Split(data.query.samples[:3])))
    assert all("3 queries" in one.remark and not one.buckets for one in found.properties)
    assert found.to_json()["properties"][0]["buckets"] == []


def test_images_that_are_gone_are_named_or_left_out(tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "files").read(Path())
    query, gallery = embedded(data)
    gone = Path(data.query.samples[5].image.name)
    gone.unlink()
    with pytest.raises(DataError, match=r"005\.png: does not exist.*--skip-bad"):
        diagnose(query, gallery, target="files", data=data, session=session(), out=tmp_path / "out")
    found = diagnose(query, gallery, target="files", data=data, session=session(skip_bad=True), out=tmp_path / "out")
    assert sum(bucket.estimates.queries for bucket in found.properties[0].buckets) == 23
    assert any("could not be read" in note for note in found.notes) and found.estimates.queries == 24
    for sample in data.query.samples:
        Path(sample.image.name).unlink(missing_ok=True)
    with pytest.raises(DataError, match="not"):
        diagnose(query, gallery, target="files", data=data, session=session(skip_bad=True), out=tmp_path / "out")


def test_effects_are_those_of_corrupted_queries_against_the_clean_gallery(
    dusk: tuple[ReIDData, Features, Features], tmp_path: Path
) -> None:
    data, query, gallery = dusk
    clean = evaluate(query, gallery)
    wanted = [("dark", 1), ("dark", 5), ("jpeg", 3)]
    found = corruption_effects(
        colours,
        SIZE,
        drawn("dusk"),
        data,
        gallery,
        clean,
        wanted,
        session(),
        tmp_path,  # type: ignore[arg-type]
    )
    assert [(effect.kind, effect.severity) for effect in found] == wanted
    worse = [
        replace(s, image=CorruptedImage(s.image, "dark", 5, s.image.name.removeprefix("dusk/")))
        for s in data.query.samples
    ]
    asked, _ = embedded(replace(data, query=Split(tuple(worse))))
    scores = evaluate(asked, gallery)
    assert found[1].scores.average_precision.tolist() == scores.average_precision.tolist()
    assert found[1].comparison.mean_ap.difference == pytest.approx(scores.mean_ap - clean.mean_ap)
    whole = diagnose(query, gallery, target="dusk", effects=found)
    assert whole.drop == mean_drop(clean, found)
    assert len(whole.to_json()["corruptions"]) == 3 and "value" in whole.to_json()["mean_corruption_drop"]


def test_a_model_that_breaks_on_corrupted_images_says_so(
    dusk: tuple[ReIDData, Features, Features], tmp_path: Path
) -> None:
    data, query, gallery = dusk

    def broken(images: StoredImages) -> np.ndarray:
        return np.full((len(images), 4), np.nan, np.float32)

    with pytest.raises(DivergenceError, match="dusk@blur-2"):
        corruption_effects(
            broken, SIZE, drawn("dusk"), data, gallery, evaluate(query, gallery), [("blur", 2)], session(), tmp_path
        )


def test_the_worst_queries_are_the_lowest_one_a_person(dusk: tuple[ReIDData, Features, Features]) -> None:
    data, query, gallery = dusk
    scores = evaluate(query, gallery)
    shown = worst_queries(query, gallery, data, scores, count=3)
    order, persons = [], set()
    for place in sorted(range(len(scores.query_index)), key=lambda i: (scores.average_precision[i], i)):
        index = int(scores.query_index[place])
        if query.persons[index] not in persons:
            persons.add(query.persons[index])
            order.append((index, scores.first_rank[place]))
    assert [one.lists[0][1].query for one in shown] == [index for index, _ in order[:3]]
    assert all(f"rank {rank} " in one.reason for one, (_, rank) in zip(shown, order, strict=False))
    assert len(worst_queries(query, gallery, data, scores, count=99)) == 6


def test_looks_are_the_same_query_clean_and_corrupted(dusk: tuple[ReIDData, Features, Features]) -> None:
    data = dusk[0]
    ((kind, images), (other, _)) = looks(drawn("dusk"), data, 2, [("blur", 1), ("blur", 4), ("dark", 2)])
    assert (kind, other) == ("blur", "dark") and [word for word, _ in images] == ["clean", "severity 1", "severity 4"]
    clean = data.query.samples[2].image.read()
    assert np.array_equal(images[0][1].image.read(), clean)
    assert np.array_equal(images[2][1].image.read(), corrupt(clean, "blur", 4, ""))


def test_rows_of_another_data_set_are_refused(dusk: tuple[ReIDData, Features, Features]) -> None:
    data, query, gallery = dusk
    require_rows(query, gallery, data)
    with pytest.raises(DataError, match=f"{len(query.persons)} query rows for 1 images"):
        require_rows(query, gallery, replace(data, query=Split(data.query.samples[:1])))
    turned = replace(gallery, persons=gallery.persons[::-1].copy())
    with pytest.raises(DataError, match=r"other labels in \d+ gallery rows, the first of them row 0"):
        require_rows(query, turned, data)
