"""Who is a match, wrong or ignored for a query."""

import numpy as np
from ranking_by_definition import is_ignored, is_match

from snreid.evaluation.exact.relevance import relevance
from snreid.records import DISTRACTOR, JUNK, NO_CAMERA, Features


def labelled(persons: list[int], cameras: list[int], names: tuple[str, ...] = ()) -> Features:
    return Features(np.ones((len(persons), 2), np.float32), np.array(persons), np.array(cameras), names)


def everybody(query: Features, gallery: Features) -> list[tuple[str, ...]]:
    found = relevance(query, gallery)
    positions = np.arange(len(gallery.persons))
    return [found.verdicts(index, positions) for index in range(len(query.persons))]


def test_market_rules() -> None:
    query = labelled([5], [1])
    gallery = labelled([5, 5, 6, DISTRACTOR, JUNK, 5], [1, 2, 1, 1, 2, NO_CAMERA])
    assert everybody(query, gallery) == [("ignored", "right", "wrong", "wrong", "ignored", "right")]


def test_without_cameras_nothing_is_on_the_same_camera() -> None:
    query = labelled([5], [NO_CAMERA])
    assert everybody(query, labelled([5, 6], [NO_CAMERA, NO_CAMERA])) == [("right", "wrong")]


def test_without_cameras_a_persons_entry_with_the_querys_name_is_the_query() -> None:
    query = labelled([5, 6], [NO_CAMERA] * 2, ("a", "b"))
    gallery = labelled([5, 5, 6, 7], [NO_CAMERA] * 4, ("a", "c", "d", "b"))
    assert everybody(query, gallery) == [("ignored", "right", "wrong", "wrong"), ("wrong", "wrong", "right", "wrong")]


def test_names_that_cannot_be_of_one_image_decide_nothing() -> None:
    # Files of others number the images of query and gallery apart: 0.jpg of one is not 0.jpg of the other.
    query = labelled([5, 6], [1, 2], ("0.jpg", "1.jpg"))
    gallery = labelled([5, 5, 7], [2, 1, 3], ("0.jpg", "1.jpg", "2.jpg"))
    assert everybody(query, gallery) == [("right", "ignored", "wrong"), ("wrong", "wrong", "wrong")]


def test_junk_and_absent_persons_match_nobody() -> None:
    query = labelled([JUNK, 9], [1, 1])
    gallery = labelled([DISTRACTOR, JUNK, 3], [2, 2, 2])
    assert everybody(query, gallery) == [("wrong", "ignored", "wrong")] * 2
    found = relevance(query, gallery)
    assert [len(found.matches(index)) for index in range(2)] == [0, 0]


def test_person_0_is_a_person_where_one_asks() -> None:
    gallery = labelled([0, 0, JUNK, 3], [1, 2, 2, 2])
    assert everybody(labelled([0], [1]), gallery) == [("ignored", "right", "ignored", "wrong")]


def test_equal_to_the_definition(rng: np.random.Generator) -> None:
    names = tuple(f"{number}.jpg" for number in range(120))
    persons, cameras = rng.integers(-1, 6, size=160), rng.integers(-1, 4, size=160)
    query = labelled(list(persons[:40]), list(cameras[:40]), names[:40])
    gallery = labelled(list(persons[40:]), list(cameras[40:]), names)
    found = relevance(query, gallery)
    for i in range(40):
        wanted = [j for j in range(120) if is_match(query, gallery, i, j)]
        assert found.matches(i).tolist() == wanted
        ignored = [j for j, verdict in enumerate(found.verdicts(i, np.arange(120))) if verdict == "ignored"]
        assert ignored == [j for j in range(120) if is_ignored(query, gallery, i, j)]
        assert (np.diff(found.pairs(np.array([i])).position) > 0).all()
    asked = rng.permutation(40)[:25]
    pairs = found.pairs(asked)
    listed = list(zip(pairs.row.tolist(), pairs.position.tolist(), pairs.match.tolist(), strict=True))
    assert listed == [
        (place, j, is_match(query, gallery, i, j))
        for place, i in enumerate(asked.tolist())
        for j in range(120)
        if gallery.persons[j] != JUNK
        if is_match(query, gallery, i, j) or is_ignored(query, gallery, i, j)
    ]
    for i in range(40):
        same = query.persons[i] if query.persons[i] != JUNK else None
        assert found.entries(i).tolist() == [j for j in range(120) if gallery.persons[j] == same]
