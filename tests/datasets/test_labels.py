"""From written labels to numbers and splits."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.datasets import Labels, has_match
from snreid.datasets.labels import LabelRow
from snreid.errors import DataError, ExperimentError
from snreid.records import ReIDData
from support.effort import examples


def rows(*cells: tuple[str, str, str | None, str | None]) -> list[LabelRow]:
    return [
        LabelRow(path, person, camera, split, f"line {i}") for i, (path, person, camera, split) in enumerate(cells, 1)
    ]


def read(*cells: tuple[str, str, str | None, str | None], labels: Labels = Labels()) -> ReIDData:  # noqa: B008
    return labels.assemble(rows(*cells), name="toy")


def names(split: object) -> list[str]:
    return [sample.image.name for sample in split.samples]  # type: ignore[attr-defined]


def test_whole_numbers_stay_and_names_are_numbered_in_order() -> None:
    numbers = read(("a", "007", "3", None), ("b", "007", "5", None), ("c", "12", "3", None), ("d", "12", "3", None))
    assert numbers.train.persons.tolist() == [7, 7, 12, 12]
    assert numbers.train.cameras.tolist() == [3, 5, 3, 3]
    assert numbers.notes == ()
    named = read(
        ("a", "zoe", "door", None), ("b", "zoe", "yard", None), ("c", "al", "door", None), ("d", "al", "1", None)
    )
    assert named.train.persons.tolist() == [2, 2, 1, 1]
    assert named.train.cameras.tolist() == [2, 3, 2, 1]
    assert "al is 1, zoe is 2" in named.notes[0]
    assert "cameras" in named.notes[1]


def test_no_number_has_a_hidden_meaning() -> None:
    """Persons counted from 0 are common; person 0 must not turn into a distractor."""
    counted = read(*((f"{p:02d}{i}", str(p), None, None) for p in (0, 1, 10, 9) for i in range(2)))
    assert counted.train.persons.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]  # 9 before 10
    labels = Labels(role="test", distractors=("0",), junk=("-1",))
    special = read(
        ("a", "0", "1", None), ("b", "-1", "1", None), ("c", "5", "1", None), ("d", "5", "2", None), labels=labels
    )
    assert special.gallery.persons.tolist() == [0, 5, 5]
    assert special.query.persons.tolist() == [5, 5]
    assert "1 junk images" in special.notes[0]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "holds images"),
        ([("a", "1.0", None, None), ("b", "1.0", None, None)], "7 instead of 7.0"),
        ([("a", "nan", None, None), ("b", "1", None, None)], "person is a whole number or a name.*'nan' in line 1"),
        ([("a", "1", None, None), ("b", "01", None, None)], "spelt in one way.*'01' in line 2 and '1' in line 1"),
        ([("a", "1", "2.", None), ("b", "1", "1", None)], "A camera is a whole number.*line 1"),
        ([("a", "1", "2", None), ("b", "1", "", None)], "for all images or for none.*line 2.*labels\\.cameras=false"),
        ([("a", "1", None, "train"), ("b", "1", None, "dev")], "split is one of.*'dev' in line 2"),
        ([("a", "1", None, "train"), ("b", "1", None, None)], "split is given for all.*line 2"),
        ([("a", "1", "1", "test"), ("b", "1", "2", "query")], "either marked test"),
        ([("a", "1", None, None), ("a", "1", None, None)], "listed once.*line 1 and in line 2"),
        ([("a", "1", None, "query"), ("a", "2", None, "gallery")], "always as the same person"),
        ([("a", "1", "1", "query"), ("a", "1", "2", "gallery")], "same camera"),
        ([("a", "1", None, "train"), ("a", "1", None, "test")], "for training or for the test"),
        (
            [("a", "1", None, None), ("b", "2", None, None), ("c", "2", None, None)],
            "at least 2 images.*labels\\.singles=drop",
        ),
    ],
)
def test_every_fault_names_its_place(cells: list[tuple[str, str, str | None, str | None]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(*cells)


def test_a_distractor_belongs_into_the_gallery() -> None:
    for place in ("train", "query"):
        with pytest.raises(DataError, match="Distractors belong"):
            read(("a", "x", None, place), ("b", "1", None, "gallery"), labels=Labels(distractors=("x",)))


def test_unknown_words_are_refused() -> None:
    for wrong in ({"role": "dev"}, {"queries": "some"}, {"singles": "keep"}):
        with pytest.raises(ExperimentError, match="is one of"):
            Labels(**wrong)  # type: ignore[arg-type]


def test_split_words_and_their_synonyms() -> None:
    found = read(
        ("a", "1", "1", "Train"),
        ("b", "1", "1", "training"),
        ("c", "2", "1", "probe"),
        ("d", "2", "1", " query "),
        ("e", "2", "2", "gallery"),
        ("f", "3", "1", "val"),
        ("g", "3", "1", "validation"),
        ("h", "1", "1", "bounding_box_train"),
        ("i", "2", "2", "bounding_box_test"),
    )
    assert (names(found.train), names(found.query)) == (["a", "b", "f", "g", "h"], ["c", "d"])
    assert names(found.gallery) == ["e", "i"]


def test_a_note_on_numbers_counts_the_labels_that_it_does_not_show() -> None:
    cells = [(f"{camera}{i}", "1", f"cam{camera:02}", None) for camera in range(1, 10) for i in "ab"]
    assert read(*cells).notes[0].endswith("cam05 is 5 and 4 more")


def test_singles_can_be_dropped() -> None:
    found = read(("a", "1", None, None), ("b", "2", None, None), ("c", "2", None, None), labels=Labels(singles="drop"))
    assert names(found.train) == ["b", "c"]
    assert "1 persons with one image dropped" in found.notes[-1]


def test_with_cameras_the_first_of_each_person_and_camera_is_a_query() -> None:
    cells = [
        (f"{p}{c}{i}", p, c, None)
        for p, c in (("1", "1"), ("1", "2"), ("2", "1"), ("3", "1"), ("3", "3"))
        for i in "ab"
    ]
    found = read(*reversed(cells), labels=Labels(role="test"))
    assert names(found.query) == ["11a", "12a", "31a", "33a"]  # person 2 is on one camera only
    assert len(found.gallery) == len(cells)
    every = read(*cells, labels=Labels(role="test", queries="all"))
    assert len(every.query) == 8


def test_without_cameras_the_first_of_each_person_is_a_query() -> None:
    cells = [(f"{p}{i}", p, "1", None) for p in "123" for i in "abc"][:-2]
    found = read(*cells, labels=Labels(role="test", cameras=False))
    assert not found.has_cameras
    assert set(found.gallery.cameras.tolist()) == {-1}
    assert names(found.query) == ["1a", "2a"]  # person 3 has one image
    with pytest.raises(DataError, match=r"another camera.*leave cameras out.*labels\.cameras=false"):
        read(*cells, labels=Labels(role="test"))


cell = st.tuples(st.sampled_from(["1", "2", "7", "x"]), st.sampled_from(["1", "2", "c"]))


@settings(max_examples=examples(60), deadline=None)
@given(cells=st.lists(cell, min_size=1, max_size=12), cameras=st.booleans(), order=st.randoms(use_true_random=False))
def test_the_rule_asks_only_for_persons_that_can_be_found(
    cells: list[tuple[str, str]], cameras: bool, order: object
) -> None:
    """Every query has a match, whoever has one is asked for, and the order of the rows does not matter."""
    listed = rows(*((f"{i:02d}", p, c, None) for i, (p, c) in enumerate(cells)))
    labels = Labels(role="test", cameras=cameras)
    places = {p: {(c if cameras else i) for i, (q, c) in enumerate(cells) if q == p} for p, _ in cells}
    findable = {p for p, where in places.items() if len(where) > 1}
    if not findable:
        with pytest.raises(DataError, match="none of"):
            labels.assemble(listed, name="toy")
        return
    found = labels.assemble(listed, name="toy")
    assert has_match(found).all()
    asked = Counter((cells[int(name)][0], cells[int(name)][1] if cameras else "") for name in names(found.query))
    assert set(asked) == {(p, c if cameras else "") for p, c in cells if p in findable}
    assert set(asked.values()) == {1}
    order.shuffle(listed)  # type: ignore[attr-defined]
    assert labels.assemble(listed, name="toy") == found
