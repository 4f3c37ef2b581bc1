"""What has to hold for the labels of any data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.datasets import drop_singles, has_match, require_name, require_pairs, require_queries, validated
from snreid.errors import DataError
from snreid.images.reading import FileImage
from snreid.records import ReIDData, Sample, Split
from support.effort import examples

Triple = tuple[str, int, int]


def split(*triples: Triple) -> Split:
    return Split(tuple(Sample(FileImage(name), person, camera) for name, person, camera in triples))


NOTHING = Split(())


def data(train: Split = NOTHING, query: Split = NOTHING, gallery: Split = NOTHING, *, cameras: bool = True) -> ReIDData:
    return ReIDData("toy", train, query, gallery, cameras)


GOOD = data(
    split(("a", 1, 1), ("b", 1, 2)),
    split(("c", 2, 1)),
    split(("d", 2, 2), ("e", 3, 1), ("f", 0, 1)),
)


def test_good_data_passes_unchanged() -> None:
    assert validated(GOOD) is GOOD
    assert validated(data()) == data()


def test_distractors_and_junk_are_nobody_who_could_be_met_again() -> None:
    train = split(("a", 1, 1), ("b", 1, 2), ("x", 0, 1), ("y", 0, 2), ("j", -1, 1), ("k", -1, 2))
    gallery = Split((*GOOD.gallery.samples, *split(("m", -1, 1)).samples))
    assert validated(data(train, GOOD.query, gallery))


@pytest.mark.parametrize("name", ["", " ", ".", "..", ".hidden", "a/b", "a\\b", "a\0b", "a\nb", "x" * 151, "é" * 76])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"names of files.*Fix"):
        require_name(name)
    with pytest.raises(DataError, match="names of files"):
        validated(replace(GOOD, name=name))


@pytest.mark.parametrize("name", ["noon", "noon (dusk's people)", "my site 2.1", "x" * 150, "横浜"])
def test_a_name_that_files_can_have_is_taken(name: str, tmp_path: Path) -> None:
    require_name(name)
    (tmp_path / f".{name}.npz.1234567.tmp").write_text("")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (data(split(("a", 1, 1), ("a", 1, 1), ("b", 1, 2))), "in a split once.*: a"),
        (data(split(("a", 1, 1), ("b", 2, 1), ("c", 2, 2))), r"at least 2 images.*person 1 \(a\)"),
        (data(GOOD.train, split(("a", 2, 1)), GOOD.gallery), "for training or for the test.*: a"),
        (data(GOOD.train, split(("c", 1, 1)), GOOD.gallery), "either in training or in the test.*1 persons.*: a = c"),
        (
            data(GOOD.train, GOOD.query, split(("d", 1, 2), ("e", 1, 3))),
            "either in training or in the test.*: a = d\\.",
        ),
        (data(GOOD.train, GOOD.query, split(("d", 2, 1))), "none of 1 queries.*on 1 camera\\b"),
        (
            data(GOOD.train, split(("c", 9, 1)), GOOD.gallery),
            "none of 1 queries has one among 3 gallery images: no person of a",
        ),
        (data(GOOD.train, split(), GOOD.gallery), "none of 0 queries"),
        (data(GOOD.train, GOOD.query, split()), "among 0 gallery images"),
        (data(split(("a", 1, 0), ("b", 1, 2))), "numbered from 1.*: a"),
        (data(split(("a", 1, -1), ("b", 1, 2))), "numbered from 1.*: a"),
        (data(split(("a", 1, 1), ("b", 1, -1)), cameras=False), "for none.*: a"),
        (data(query=split(("c", 2, -1)), gallery=split(("c", 2, -1)), cameras=False), "needs another image"),
    ],
)
def test_every_fault_has_its_message(wrong: ReIDData, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        validated(wrong)
    assert caught.value.fix


def test_many_names_are_cut_short() -> None:
    many = split(*((f"image{i}", i, 1) for i in range(1, 20)))
    with pytest.raises(DataError, match=r"19 with one image: person 1 \(image1\), .* and 14 more"):
        require_pairs(many, where="toy")


def test_singles_are_dropped_in_order() -> None:
    kept, dropped = drop_singles(split(("a", 1, 1), ("b", 2, 1), ("c", 1, 2), ("d", 3, 1)))
    assert kept == split(("a", 1, 1), ("c", 1, 2))
    assert dropped == 2


def test_unmatched_queries_are_counted_in_a_note() -> None:
    found = validated(data(query=split(("c", 2, 1), ("x", 5, 1), ("y", 6, 2)), gallery=GOOD.gallery))
    assert found.notes == ("2 of 3 queries have no match in the gallery; they are counted, and left out of means",)
    assert require_queries(found) == 2


labels = st.tuples(st.integers(0, 3), st.integers(1, 3))


@settings(max_examples=examples(60), deadline=None)
@given(queries=st.lists(labels, max_size=5), gallery=st.lists(labels, max_size=6), cameras=st.booleans())
def test_a_match_is_the_same_person_elsewhere(
    queries: list[tuple[int, int]], gallery: list[tuple[int, int]], cameras: bool
) -> None:
    """Against the rule of method.md 6, spelt out pair by pair; the first image is both a query and in the gallery."""

    def made(labels: list[tuple[int, int]], letter: str) -> list[Triple]:
        return [(f"{letter}{i}" if i else "both", p, c if cameras else -1) for i, (p, c) in enumerate(labels)]

    asked, there = made(queries, "q"), made(gallery, "g")
    slow = [
        any(p == person and (c != camera if cameras else n != name) for n, p, c in there)
        for name, person, camera in asked
    ]
    found = has_match(data(query=split(*asked), gallery=split(*there), cameras=cameras))
    assert np.array_equal(found, np.array(slow, dtype=bool))
