"""Scores on disk: what comes back, when it must not, and scoring shared among processes."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.datasets import FolderTree, Labels
from snreid.errors import DataError, ExperimentError
from snreid.evaluation import evaluate, read_features
from snreid.experiments.scoring import (
    Result,
    features_path,
    keep_result,
    read_result,
    read_targets,
    require_same_images,
    save_result,
    score,
)
from snreid.experiments.targets import TargetFeatures, without
from snreid.images.reading import FileImage
from snreid.records import NO_CAMERA, Features, ReIDData, Sample, Scores, Split
from support.tiny import Files, drawn, picture_files

FIELDS = ("average_precision", "inverse_negative_penalty", "first_rank", "query_index", "persons")


def equal(one: Scores, other: Scores) -> bool:
    return one.queries == other.queries and all(np.array_equal(getattr(one, f), getattr(other, f)) for f in FIELDS)


@pytest.fixture
def data() -> ReIDData:
    return drawn("dusk").read(Path())


@pytest.fixture
def found(data: ReIDData, rng: np.random.Generator) -> TargetFeatures:
    return embedded(data, rng)


def embedded(data: ReIDData, rng: np.random.Generator, left_out: tuple[str, ...] = ()) -> TargetFeatures:
    """Random embeddings of a target, less the images that are left out."""

    def features(split: Split) -> Features:
        vectors = rng.standard_normal((len(split), 6)).astype(np.float32)
        return Features(vectors, split.persons, split.cameras, tuple(s.image.name for s in split.samples))

    used = without(data, set(left_out))
    return TargetFeatures(features(used.query), features(used.gallery), used, left_out)


def saved(folder: Path, found: TargetFeatures, *, keep: bool = False) -> Result:
    result = score(found, "cosine")
    save_result(folder, result, found if keep else None)
    return result


def test_what_is_saved_comes_back(tmp_path: Path, data: ReIDData, found: TargetFeatures) -> None:
    assert read_result(tmp_path, data) is None
    result = saved(tmp_path, found)
    again = read_result(tmp_path, data)
    assert again is not None and (again.target, again.data) == ("dusk", result.data)
    assert again.used == data and again.left_out == ()
    assert equal(again.scores, result.scores)
    assert json.loads((tmp_path / "evaluation" / "dusk.json").read_text()) == result.to_json()
    assert not [p for p in (tmp_path / "evaluation").iterdir() if "tmp" in p.name]


def test_copies_of_queries_are_kept_beside_the_scores(tmp_path: Path, rng: np.random.Generator) -> None:
    files = [Sample(FileImage(str(path)), 1 + n % 2, NO_CAMERA) for n, path in enumerate(picture_files(tmp_path, 4))]
    again = tmp_path / "again.png"
    again.write_bytes(Path(files[0].image.name).read_bytes())
    gallery = (*files[2:], Sample(FileImage(str(again)), 1, NO_CAMERA))
    shop = ReIDData("shop", Split(()), Split(tuple(files[:2])), Split(gallery), has_cameras=False)
    result = saved(tmp_path, embedded(shop, rng))
    assert result.copies == 1 and any("1 of 2 queries have a copy" in note for note in result.notes)
    stored = read_result(tmp_path, shop)
    assert stored is not None and stored.notes == result.notes
    path = tmp_path / "evaluation" / "shop.npz"
    with np.load(path) as arrays:
        older = {name: arrays[name] for name in arrays.files if name != "copies"}
    np.savez(path, **older)
    of_before = read_result(tmp_path, shop)
    assert of_before is not None and of_before.copies == 0 and equal(of_before.scores, result.scores)


def test_the_split_is_named_in_what_is_stored(tmp_path: Path, found: TargetFeatures) -> None:
    assert saved(tmp_path, found).to_json()["split"] == ""
    one = "viper/3 (sha256 1a2b3c4d5e6f)"
    split = replace(found, used=replace(found.used, split_id=one))
    assert saved(tmp_path, split).to_json()["split"] == one
    assert json.loads((tmp_path / "evaluation" / "dusk.json").read_text())["split"] == one
    again = read_result(tmp_path, split.used)
    assert again is not None and again.to_json()["split"] == one


EVERYBODY = {"cameras": 2, "cameras_per_person": 2}
"""Every camera sees everyone, so that nothing but the pictures depends on the seed."""


@pytest.mark.parametrize(
    "other", [{"test_persons": 3}, {"seed": 5}, {"height": 128}, {"images_per_camera": 3}, {"train_persons": 5}]
)
def test_scores_of_other_images_under_the_same_name_are_not_taken(
    tmp_path: Path, rng: np.random.Generator, other: dict[str, int]
) -> None:
    data = drawn("dusk", **EVERYBODY).read(Path())
    saved(tmp_path, embedded(data, rng))
    assert read_result(tmp_path, drawn("dusk", **EVERYBODY).read(Path())) is not None
    assert read_result(tmp_path, drawn("dusk", **{**EVERYBODY, **other}).read(Path())) is None


def test_scores_belong_to_their_query_and_gallery_only(tmp_path: Path, data: ReIDData, found: TargetFeatures) -> None:
    saved(tmp_path, found)
    assert read_result(tmp_path, replace(data, query=data.gallery, gallery=data.query)) is None
    assert read_result(tmp_path, replace(data, train=data.query)) is not None, (
        "training images have no effect on a score"
    )


def test_scores_without_bad_images_are_taken_only_while_these_are_bad_and_may_be_left_out(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    data = Files(folder=tmp_path / "data", damaged=(5, 7)).read(Path())
    left_out = tuple(str(tmp_path / "data" / name) for name in ("005.png", "007.png"))
    found = embedded(data, rng, left_out)
    result = saved(tmp_path, found)
    assert read_result(tmp_path, data) is None, "an incomplete score without --skip-bad"
    again = read_result(tmp_path, data, skip_bad=True)
    assert again is not None and again.left_out == left_out and again.used == found.used
    assert again.data == result.data and len(again.used.query) == again.scores.queries == 22
    listed = without(data, {left_out[0]})  # gone from the data set altogether
    assert read_result(tmp_path, listed, skip_bad=True) is not None
    picture_files(tmp_path / "data", 24, damaged=(5,))
    assert read_result(tmp_path, data, skip_bad=True) is None, "007.png is back"


def test_scores_of_a_version_that_did_not_say_what_it_left_out_are_made_again(
    tmp_path: Path, data: ReIDData, found: TargetFeatures
) -> None:
    saved(tmp_path, found)
    path = tmp_path / "evaluation" / "dusk.npz"
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "left_out"}
    np.savez(path, **arrays)
    assert read_result(tmp_path, data) is None


def test_scores_of_other_images_are_not_compared(tmp_path: Path, data: ReIDData, rng: np.random.Generator) -> None:
    gone = (data.gallery.samples[3].image.name,)
    whole, less = (score(embedded(data, rng, left_out), "cosine") for left_out in ((), gone))
    require_same_images(whole, whole, where="a, b")
    with pytest.raises(ExperimentError, match=r"without 0 and without 1 unreadable images \(a, b\)"):
        require_same_images(whole, less, where="a, b")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 torn", b"no archive"])
def test_a_damaged_file_is_named(tmp_path: Path, data: ReIDData, found: TargetFeatures, content: bytes) -> None:
    saved(tmp_path, found)
    (tmp_path / "evaluation" / "dusk.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"dusk\.npz.*evaluate again"):
        read_result(tmp_path, data)


def test_a_torn_file_is_named(tmp_path: Path, data: ReIDData, found: TargetFeatures) -> None:
    saved(tmp_path, found)
    path = tmp_path / "evaluation" / "dusk.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"dusk\.npz"):
        read_result(tmp_path, data)


def test_any_flipped_bit_is_a_data_error_or_does_no_harm(tmp_path: Path, data: ReIDData, found: TargetFeatures) -> None:
    result = saved(tmp_path, found)
    path = tmp_path / "evaluation" / "dusk.npz"
    whole = path.read_bytes()
    refused = 0
    for place in range(0, 8 * len(whole), 37):
        path.write_bytes(whole[: place // 8] + bytes([whole[place // 8] ^ 1 << place % 8]) + whole[place // 8 + 1 :])
        try:
            again = read_result(tmp_path, data)
        except DataError:
            refused += 1
        else:
            assert again is None or equal(again.scores, result.scores)
    assert refused > 20


def test_no_target_can_be_called_like_the_embeddings_of_another(tmp_path: Path, rng: np.random.Generator) -> None:
    data = drawn("dusk").read(Path())
    names = ("x", "x-features", "embeddings", "embeddings x", "x.json")
    for name in names:
        saved(tmp_path, embedded(replace(data, name=name), rng), keep=True)
    for name in names:
        assert read_result(tmp_path, replace(data, name=name)) is not None
        read_features(features_path(tmp_path, name))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3 * len(names)


def test_a_target_whose_name_no_file_can_have_is_refused_before_it_is_read() -> None:
    class Strange(Files):
        @property
        def name(self) -> str:
            return "a/b"

        def read(self, root: Path) -> ReIDData:
            raise AssertionError("it was read")

    with pytest.raises(DataError, match=r"'a/b'.*Fix"):
        read_targets([Strange(folder=Path())], Path())


def test_embeddings_lie_beside_the_scores_they_earned_or_not_at_all(
    tmp_path: Path, data: ReIDData, found: TargetFeatures
) -> None:
    saved(tmp_path, found, keep=True)
    query, gallery = read_features(features_path(tmp_path, "dusk"))
    assert np.array_equal(query.embeddings, found.query.embeddings) and gallery.names == found.gallery.names
    saved(tmp_path, found)
    assert not features_path(tmp_path, "dusk").exists()


class Together:
    """Processes as threads: what each hands in is gathered in the order of ranks."""

    def __init__(self, rank: int, world: int, table: list[Any], gate: threading.Barrier) -> None:
        self.rank, self.world, self.table, self.gate = rank, world, table, gate
        self.device = "cpu"

    def gather_arrays(self, mine: np.ndarray) -> list[np.ndarray]:
        self.table[self.rank] = mine
        self.gate.wait(30)
        gathered = list(self.table)
        self.gate.wait(30)
        return gathered


def scored_together(found: TargetFeatures, world: int) -> list[Scores | DataError]:
    table, gate, scored = [None] * world, threading.Barrier(world), [None] * world

    def work(rank: int) -> None:
        try:
            scored[rank] = score(found, "cosine", Together(rank, world, table, gate)).scores  # type: ignore[arg-type, call-overload]
        except DataError as error:
            scored[rank] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return scored  # type: ignore[return-value]


@pytest.mark.parametrize("world", [2, 3, 11])
def test_processes_that_share_the_queries_all_get_the_scores_of_one(found: TargetFeatures, world: int) -> None:
    # The first queries are junk: some process has no valid query at all.
    persons = found.query.persons.copy()
    persons[:4] = -1
    query = Features(found.query.embeddings, persons, found.query.cameras, found.query.names)
    whole = replace(found, query=query)
    expected = evaluate(query, found.gallery)
    assert expected.skipped_queries == 4
    assert all(isinstance(one, Scores) and equal(one, expected) for one in scored_together(whole, world))


def test_no_valid_query_at_all_is_an_error_in_every_process(found: TargetFeatures) -> None:
    nobody = Features(found.query.embeddings, np.full_like(found.query.persons, -1), found.query.cameras)
    assert all(isinstance(one, DataError) for one in scored_together(replace(found, query=nobody), 2))


@pytest.mark.parametrize("side", ["query", "gallery"])
@pytest.mark.parametrize("row", [0, -1])
def test_a_number_that_is_none_stops_every_process_with_the_words_of_one(
    found: TargetFeatures, side: str, row: int
) -> None:
    features: Features = getattr(found, side)
    vectors = features.embeddings.copy()
    vectors[row, 2] = np.nan
    broken = replace(found, **{side: replace(features, embeddings=vectors)})
    with pytest.raises(DataError, match="nan in row") as alone:
        score(broken, "cosine")
    for world in (2, 3):
        assert [str(one) for one in scored_together(broken, world)] == [str(alone.value)] * world


def test_targets_of_one_name_are_refused_with_the_way_to_name_them() -> None:
    with pytest.raises(DataError, match=r"noon twice.*DIR:name=shop-a"):
        read_targets([drawn("noon"), drawn("noon", seed=3)], Path())


def test_a_target_whose_images_are_all_for_training_says_how_they_become_a_test(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    for camera in "12":
        (tmp_path / "shop" / f"anna-{camera}.png").touch()
    tree = FolderTree(path="shop", pattern="{person}-{camera}.png")
    with pytest.raises(DataError, match=r"shop: all its 2 images are for training.*\{split\}.*labels\.role=test"):
        read_targets([tree], tmp_path)
    assert len(read_targets([replace(tree, labels=Labels(role="test"))], tmp_path)[0].query) == 2
    only_query = drawn("dusk").read(Path())

    class Half(Files):
        def read(self, root: Path) -> ReIDData:
            return replace(only_query, gallery=Split(()))

    with pytest.raises(DataError, match="with 8 query and 0 gallery images"):
        read_targets([Half(folder=tmp_path)], tmp_path)


def test_scores_that_cannot_be_kept_cost_a_remark(
    tmp_path: Path, found: TargetFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, talk = score(found, "cosine"), list[str]()
    assert not list(tmp_path.iterdir())
    keep_result(tmp_path, result, talk.append)
    assert (tmp_path / "evaluation" / "dusk.npz").is_file() and not talk
    (tmp_path / "file").write_text("no folder")
    keep_result(tmp_path / "file", result, talk.append)
    keep_result(tmp_path, replace(result, target="a/b"), talk.append)
    assert "dusk could not be kept" in talk[0] and "a/b could not be kept" in talk[1]
