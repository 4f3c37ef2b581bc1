"""Splits and scores: the means against loops over queries."""

from pathlib import Path

import numpy as np
import pytest

from snreid.images.reading import FileImage
from snreid.records import NO_CAMERA, DataSet, ReIDData, Sample, Scores, Split, fingerprint, first_images
from support.tiny import drawn


def scores(rng: np.random.Generator, valid: int = 30, queries: int = 40) -> Scores:
    return Scores(
        average_precision=rng.random(valid),
        inverse_negative_penalty=rng.random(valid),
        first_rank=rng.integers(1, 30, valid),
        query_index=np.sort(rng.permutation(queries)[:valid]),
        queries=queries,
        persons=rng.integers(1, 9, valid),
    )


def test_means_are_those_of_a_loop_over_the_valid_queries(rng: np.random.Generator) -> None:
    found = scores(rng)
    total = penalty = 0.0
    for value, other in zip(found.average_precision, found.inverse_negative_penalty, strict=True):
        total, penalty = total + value, penalty + other
    assert found.mean_ap == pytest.approx(total / 30)
    assert found.mean_inp == pytest.approx(penalty / 30)
    assert found.skipped_queries == 10


def test_cmc_counts_the_queries_whose_first_match_came_in_time(rng: np.random.Generator) -> None:
    found = scores(rng)
    for k, share in enumerate(found.cmc(40), start=1):
        assert share == pytest.approx(sum(int(rank) <= k for rank in found.first_rank) / 30)
        assert found.rank(k) == share
    assert (np.diff(found.cmc(40)) >= 0).all()
    assert found.cmc(40)[-1] == 1


def test_a_split_gives_its_labels_as_arrays_in_its_order() -> None:
    image = drawn().read(None).train.samples[0].image  # type: ignore[arg-type]
    split = Split((Sample(image, 3, 1), Sample(image, 1, NO_CAMERA), Sample(image, 3, 2)))
    assert len(split) == 3
    assert split.persons.tolist() == [3, 1, 3] and split.persons.dtype == np.int64
    assert split.cameras.tolist() == [1, -1, 2] and split.cameras.dtype == np.int64


def files(folder: str, labels: list[tuple[str, int, int]]) -> Split:
    return Split(tuple(Sample(FileImage(f"{folder}/{name}"), person, camera) for name, person, camera in labels))


LABELS = [("train/a.png", 1, 1), ("train/b.png", 2, 1)]


@pytest.mark.parametrize(
    "other",
    [
        [("train/a.png", 1, 1), ("train/c.png", 2, 1)],
        [("train/a.png", 1, 1), ("train/b.png", 3, 1)],
        [("train/a.png", 1, 1), ("train/b.png", 2, 2)],
        LABELS[::-1],
        LABELS[:1],
    ],
)
@pytest.mark.parametrize("anywhere", [False, True])
def test_a_fingerprint_sees_names_persons_cameras_and_order(other: list[tuple[str, int, int]], anywhere: bool) -> None:
    mine = fingerprint(files("/x", LABELS), anywhere=anywhere)
    assert mine == fingerprint(files("/x", list(LABELS)), anywhere=anywhere)
    assert mine != fingerprint(files("/x", other), anywhere=anywhere)
    assert mine != fingerprint(files("/x", LABELS), files("/x", LABELS), anywhere=anywhere)


def test_only_if_asked_a_fingerprint_overlooks_that_everything_moved() -> None:
    here, there = files("/x", LABELS), files("/y/z", LABELS)
    assert fingerprint(here) != fingerprint(there)
    assert fingerprint(here, anywhere=True) == fingerprint(there, anywhere=True)


def test_a_data_set_is_its_own_collection_unless_it_says_otherwise() -> None:
    class Plain(DataSet):
        name = "mine"

        def read(self, root: Path) -> ReIDData:
            raise NotImplementedError

    assert Plain().collection == "mine"


def test_an_empty_split_has_empty_labels() -> None:
    assert Split(()).persons.shape == (0,) and Split(()).cameras.dtype == np.int64


@pytest.mark.parametrize("every", [False, True])
def test_the_queries_of_a_test_set_are_those_of_a_loop(every: bool, rng: np.random.Generator) -> None:
    for low in (NO_CAMERA, 1):
        for _ in range(20):
            persons, cameras = rng.integers(0, 5, size=12), rng.integers(low, 3, size=12)
            chosen, seen = set[int](), set[tuple[int, int]]()
            for i in range(12):
                same = [j for j in range(12) if j != i and persons[j] == persons[i]]
                matches = [j for j in same if cameras[j] != cameras[i] or cameras[j] == NO_CAMERA]
                if matches and (every or (persons[i], cameras[i]) not in seen):
                    chosen.add(i)
                    seen.add((persons[i], cameras[i]))
            assert set(first_images(persons, cameras, every=every)) == chosen
