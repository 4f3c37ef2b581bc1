"""Joining sources, holding out identities, and who asks whom in validation; each against its definition."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.errors import DataError, ExperimentError
from snreid.images.reading import FileImage
from snreid.records import NO_CAMERA, ReIDData, Sample, Split
from snreid.training.training_set import TrainingSet, Validation, hold_out, join, validation_split
from support.tiny import drawn


def source(name: str, labels: list[tuple[int, int]]) -> ReIDData:
    """A data set with one (person, camera) for each training image."""
    image = drawn().read(Path()).train.samples[0].image
    named = [replace(image, number=i + 1, label=i + 1, domain=name) for i in range(len(labels))]  # type: ignore[type-var]
    samples = tuple(Sample(one, *label) for one, label in zip(named, labels, strict=True))
    return ReIDData(name, Split(samples), Split(()), Split(()))


NOON = source("noon", [(7, 1), (7, 2), (3, 1), (3, 1), (0, 1), (-1, 2)])
DUSK = source("dusk", [(3, 5), (3, 1), (9, 5)])


@pytest.mark.parametrize("domains", ["source", "camera"])
def test_joint_labels_are_equal_exactly_where_the_own_ones_are(domains: str) -> None:
    joined = join([NOON, DUSK], domains)
    own = [(n, s.person, s.camera) for n, d in enumerate((NOON, DUSK)) for s in d.train.samples if s.person > 0]
    assert len(joined.split) == len(own) == 7
    assert joined.names == ("noon", "dusk") and joined.sources.tolist() == [n for n, _, _ in own]
    for i, (source_i, person_i, camera_i) in enumerate(own):
        for j, (source_j, person_j, camera_j) in enumerate(own):
            same_person = (source_i, person_i) == (source_j, person_j)
            assert (joined.persons[i] == joined.persons[j]) == same_person
            same_domain = source_i == source_j and (domains == "source" or camera_i == camera_j)
            assert (joined.domains[i] == joined.domains[j]) == same_domain
    assert sorted(set(joined.persons.tolist())) == list(range(joined.identities)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("sources", "domains", "words"),
    [
        ([], "source", "none"),
        ([NOON, NOON], "source", "noon, noon.*DIR:name=shop-a"),
        ([source("empty", [(0, 1), (-1, 1)])], "source", "empty has none"),
        ([source("blind", [(1, NO_CAMERA), (1, 2)])], "camera", "blind has images without one"),
    ],
)
def test_sources_that_cannot_be_joined_are_refused(sources: list[ReIDData], domains: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        join(sources, domains)


def test_a_part_counts_its_identities_anew() -> None:
    part = join([NOON, DUSK]).only(np.array([2, 3, 6]))
    assert part.persons.tolist() == [0, 0, 1] and part.identities == 2
    assert [s.person for s in part.split.samples] == [3, 3, 9]
    with pytest.raises(DataError, match="none that can be used"):
        part.only(np.array([], dtype=np.int64))


def test_held_out_identities_are_a_share_of_each_source_and_never_trained_on() -> None:
    big = [source(name, [(p, c) for p in range(1, n + 1) for c in (1, 2)]) for name, n in (("noon", 20), ("dusk", 10))]
    joined = join(big)
    kept, held = (joined.only(part) for part in hold_out(joined, 0.2, seed=3))
    assert [len(set(held.persons[held.sources == n].tolist())) for n in (0, 1)] == [4, 2]
    names = {s.image.name for s in kept.split.samples}, {s.image.name for s in held.split.samples}
    assert not names[0] & names[1] and len(names[0] | names[1]) == 60
    people = [{(int(t.sources[i]), s.person) for i, s in enumerate(t.split.samples)} for t in (kept, held)]
    assert not people[0] & people[1]
    assert kept.identities == 24 and held.identities == 6

    def chosen(seed: int) -> list[int]:
        return hold_out(joined, 0.2, seed)[1].tolist()

    assert chosen(3) == chosen(3) and len({tuple(chosen(s)) for s in range(5)}) > 1


def test_positions_are_held_out_whatever_the_images_are_called() -> None:
    once = source("noon", [(p, c) for p in range(1, 9) for c in (1, 2)])
    joined = join([once, replace(once, name="dusk")])  # every name is there twice
    kept, held = hold_out(joined, 0.25, seed=3)
    assert sorted([*kept, *held]) == list(range(32)) and len(held) == 8
    assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()
    assert not set(joined.persons[kept]) & set(joined.persons[held])


def test_a_fingerprint_sees_every_image_and_label_but_not_where_the_sources_are() -> None:
    def at(folder: str, labels: list[tuple[int, int]], start: int = 0) -> TrainingSet:
        """Two sources of files in a folder."""
        both = []
        for name in ("one", "two"):
            images = (FileImage(f"{folder}/{name}/{start + i}.png") for i in range(len(labels)))
            samples = tuple(Sample(image, *label) for image, label in zip(images, labels, strict=True))
            both.append(ReIDData(name, Split(samples), Split(()), Split(())))
        return join(both)

    labels = [(1, 1), (1, 2), (2, 1), (2, 2)]
    mine = at("/here", labels).fingerprint
    assert mine == at("/elsewhere/data", labels).fingerprint
    assert mine != at("/here", labels, start=1).fingerprint
    assert mine != at("/here", [(1, 1), (1, 2), (3, 1), (3, 2)]).fingerprint
    assert mine != at("/here", [(1, 1), (1, 2), (2, 1), (2, 1)]).fingerprint


def test_every_identity_knows_its_source() -> None:
    joined = join([source("noon", [(1, 1), (4, 2), (4, 1)]), source("dusk", [(4, 1), (9, 1)])])
    assert joined.persons.tolist() == [0, 1, 1, 2, 3]
    assert joined.sources_of_persons.tolist() == [0, 0, 1, 1]
    assert joined.only(np.array([1, 3, 4])).sources_of_persons.tolist() == [0, 1, 1]


def test_too_few_to_hold_out_is_refused_with_the_numbers() -> None:
    with pytest.raises(DataError, match=r"0\.1 of the 2 identities of noon is 0"):
        hold_out(join([NOON]), 0.1, 0)


def test_the_first_image_of_a_person_on_a_camera_asks_and_the_others_answer() -> None:
    # person 1: cameras 1 (2 images), 2 (1 image); person 2: one camera; person 3: no cameras.
    labels = [(1, 1), (1, 2), (2, 1), (1, 1), (2, 1), (3, NO_CAMERA), (3, NO_CAMERA)]
    query, gallery = validation_split(join([source("noon", labels)]))
    assert query.tolist() == [0, 1, 5]
    assert gallery.tolist() == [1, 3, 4, 6]


def test_every_query_of_a_real_shape_has_a_match_it_may_find() -> None:
    held: TrainingSet = join([drawn(images_per_camera=1).read(Path())])
    query, gallery = validation_split(held)
    found = Counter()
    for q in query:
        for g in gallery:
            same = held.persons[q] == held.persons[g]
            found[int(q)] += int(same and held.split.cameras[q] != held.split.cameras[g])
    assert len(query) == len(gallery) == 12 and min(found[int(q)] for q in query) == 1


def test_identities_of_one_camera_each_cannot_validate() -> None:
    with pytest.raises(DataError, match=r"2 identities with one camera each.*--validation\.fraction 0"):
        validation_split(join([source("noon", [(1, 1), (1, 1), (2, 2), (2, 2)])]))


@pytest.mark.parametrize("wrong", [{"fraction": 0.6}, {"fraction": -0.1}, {"every": 0}])
def test_impossible_validation_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match=r"--validation\.fraction"):
        Validation(**wrong)  # type: ignore[arg-type]
