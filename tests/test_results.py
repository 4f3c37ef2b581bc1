"""Scores on disk: what comes back, when it must not, and scoring shared among processes."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.errors import DataError
from snreid.evaluation import evaluate, read_features
from snreid.records import Features, ReIDData, Scores
from snreid.results import Result, features_path, fingerprint, read_result, save_result, score
from snreid.runs import TargetFeatures
from tiny import drawn

FIELDS = ("average_precision", "inverse_negative_penalty", "first_rank", "query_index")


def equal(one: Scores, other: Scores) -> bool:
    return one.queries == other.queries and all(np.array_equal(getattr(one, f), getattr(other, f)) for f in FIELDS)


@pytest.fixture
def data() -> ReIDData:
    return drawn("dusk").read(Path())


@pytest.fixture
def found(data: ReIDData, rng: np.random.Generator) -> TargetFeatures:
    def features(split: Any) -> Features:
        vectors = rng.standard_normal((len(split), 6)).astype(np.float32)
        return Features(vectors, split.persons, split.cameras, tuple(s.image.name for s in split.samples))

    return TargetFeatures(features(data.query), features(data.gallery))


def saved(folder: Path, data: ReIDData, found: TargetFeatures, *, keep: bool = False) -> Result:
    result = Result(data.name, score(found, "cosine"), fingerprint(data))
    save_result(folder, result, found if keep else None)
    return result


def test_what_is_saved_comes_back(tmp_path: Path, data: ReIDData, found: TargetFeatures) -> None:
    assert read_result(tmp_path, data) is None
    result = saved(tmp_path, data, found)
    again = read_result(tmp_path, data)
    assert again is not None and (again.target, again.data) == ("dusk", result.data)
    assert equal(again.scores, result.scores)
    assert json.loads((tmp_path / "evaluation" / "dusk.json").read_text()) == result.to_json()
    assert not [p for p in (tmp_path / "evaluation").iterdir() if "tmp" in p.name]


@pytest.mark.parametrize("other", [{"test_persons": 3}, {"seed": 5, "images_per_camera": 3}, {"cameras_per_person": 3}])
def test_scores_of_other_images_under_the_same_name_are_not_taken(
    tmp_path: Path, data: ReIDData, found: TargetFeatures, other: dict[str, int]
) -> None:
    saved(tmp_path, data, found)
    assert read_result(tmp_path, drawn("dusk", **other).read(Path())) is None


def test_a_fingerprint_sees_every_label_and_name(data: ReIDData) -> None:
    assert fingerprint(data) == fingerprint(drawn("dusk").read(Path()))
    assert fingerprint(data) != fingerprint(drawn("noon").read(Path()))
    swapped = ReIDData(data.name, data.train, data.gallery, data.query)
    assert fingerprint(data) != fingerprint(swapped)
    untrained = ReIDData(data.name, data.query, data.query, data.gallery)
    assert fingerprint(data) == fingerprint(untrained), "training images have no effect on a score"


@pytest.mark.parametrize("content", [b"", b"PK\3\4 torn", b"no archive"])
def test_a_damaged_file_is_named(tmp_path: Path, data: ReIDData, found: TargetFeatures, content: bytes) -> None:
    saved(tmp_path, data, found)
    (tmp_path / "evaluation" / "dusk.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"dusk\.npz.*evaluate again"):
        read_result(tmp_path, data)


def test_a_torn_file_is_named(tmp_path: Path, data: ReIDData, found: TargetFeatures) -> None:
    saved(tmp_path, data, found)
    path = tmp_path / "evaluation" / "dusk.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"dusk\.npz"):
        read_result(tmp_path, data)


def test_embeddings_lie_beside_the_scores_they_earned_or_not_at_all(
    tmp_path: Path, data: ReIDData, found: TargetFeatures
) -> None:
    saved(tmp_path, data, found, keep=True)
    query, gallery = read_features(features_path(tmp_path, "dusk"))
    assert np.array_equal(query.embeddings, found.query.embeddings) and gallery.names == found.gallery.names
    saved(tmp_path, data, found)
    assert not features_path(tmp_path, "dusk").exists()


class Together:
    """Processes as threads: what each hands in is gathered in the order of ranks."""

    def __init__(self, rank: int, world: int, table: list[Any], gate: threading.Barrier) -> None:
        self.rank, self.world, self.table, self.gate = rank, world, table, gate

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
            scored[rank] = score(found, "cosine", Together(rank, world, table, gate))  # type: ignore[arg-type, call-overload]
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
    # The first queries are distractors: some process has no valid query at all.
    persons = found.query.persons.copy()
    persons[:4] = 0
    query = Features(found.query.embeddings, persons, found.query.cameras, found.query.names)
    whole = TargetFeatures(query, found.gallery)
    expected = evaluate(query, found.gallery)
    assert expected.skipped_queries == 4
    assert all(isinstance(one, Scores) and equal(one, expected) for one in scored_together(whole, world))


def test_no_valid_query_at_all_is_an_error_in_every_process(found: TargetFeatures) -> None:
    nobody = Features(found.query.embeddings, np.zeros_like(found.query.persons), found.query.cameras)
    assert all(isinstance(one, DataError) for one in scored_together(TargetFeatures(nobody, found.gallery), 2))
