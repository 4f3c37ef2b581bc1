"""Any folder tree, by a pattern."""

import re
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.datasets import FolderTree, Labels
from snreid.datasets.folder import compile_pattern
from snreid.errors import DataError, ExperimentError
from snreid.records import NO_TRACK, ReIDData
from support.effort import examples


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path, pattern: str, **fields: object) -> ReIDData:
    return FolderTree(path="shop", pattern=pattern, **fields).read(root)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "path", "person", "camera", "split"),
    [
        ("{person}_c{camera}_{*}.jpg", "12_c3_0001.jpg", "12", "3", None),
        ("{person}_c{camera}_{*}.jpg", "a_b_c3_c4_1.jpg", "a_b", "3", None),
        ("{split}/{person}/cam{camera}_{*}.png", "test/anna/cam2_x.png", "anna", "2", "test"),
        ("{person}/{*}", "anna/x.jpg", "anna", None, None),
        ("{person}_{camera}_{}.png", "12_3_a_b.png", "12", "3", None),
        ("{**}/{person}/{*}.jpg", "deep/er/anna/x.jpg", "anna", None, None),
        ("{person}/{person}_{camera}.jpg", "anna/anna_7.jpg", "anna", "7", None),
        ("a.b/{person}+{camera}.jpg", "a.b/1+2.jpg", "1", "2", None),
        (r"(?P<camera>\d)(?P<person>\d{3})\.(jpg|png)", "2017.png", "017", "2", None),
    ],
)
def test_patterns_take_labels_from_paths(
    pattern: str, path: str, person: str, camera: str | None, split: str | None
) -> None:
    found = compile_pattern(pattern).fullmatch(path)
    assert found is not None
    groups = found.groupdict()
    assert (groups["person"], groups.get("camera"), groups.get("split")) == (person, camera, split)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{person}_c{camera}_{*}.jpg", "12_3_0001.jpg"),
        ("{person}/{*}.jpg", "deep/anna/x.jpg"),
        ("{person}/{person}_{camera}.jpg", "anna/bert_7.jpg"),
        ("a.b/{person}.jpg", "axb/1.jpg"),
        ("{person}.jpg", ".jpg"),
    ],
)
def test_patterns_take_nothing_from_other_paths(pattern: str, path: str) -> None:
    assert compile_pattern(pattern).fullmatch(path) is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{camera}.jpg", "no person"),
        ("{person}_{frame}.jpg", r"\{frame\} is none of"),
        ("{person", r"\{ is none of"),
        ("{person}}", r"\} is none of"),
        ("", "no person"),
        ("{track}/{*}.jpg", "a track without its camera"),
        ("(?P<person>[0-9]+", "unterminated|missing"),
        ("(?P<person>.*)(?P<frame>.*)", "unknown frame"),
    ],
)
def test_a_pattern_that_cannot_be_understood_is_refused_at_once(pattern: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        FolderTree(path="shop", pattern=pattern)


def test_a_tree_with_its_splits(tmp_path: Path) -> None:
    paths = [
        f"shop/{s}/{p}/cam{c}_1.jpg" for s, p in (("train", "al"), ("train", "bo"), ("test", "cy")) for c in (1, 2)
    ]
    found = read(tree(tmp_path, *paths, "shop/readme.txt"), "{split}/{person}/cam{camera}_{*}.jpg")
    assert found.name == "shop"
    assert (len(found.train), len(found.query), len(found.gallery)) == (4, 2, 2)
    assert found.train.cameras.tolist() == [1, 2, 1, 2]
    assert found.train.samples[0].image.name == str(tmp_path / "shop/train/al/cam1_1.jpg")
    assert any("readme.txt" in note for note in found.notes)


def test_a_tree_without_splits_has_the_role_that_is_given(tmp_path: Path) -> None:
    tree(tmp_path, *(f"shop/{p}/{i}.jpg" for p in "ab" for i in range(3)))
    assert len(read(tmp_path, "{person}/{*}.jpg").train) == 6
    found = read(tmp_path, "{person}/{*}.jpg", labels=Labels(role="test"))
    assert (len(found.train), len(found.query), len(found.gallery), found.has_cameras) == (0, 2, 6, False)


def test_an_accent_in_either_form_is_the_same_person(tmp_path: Path) -> None:
    paths = [unicodedata.normalize(form, f"café/José_c{camera}.jpg") for camera, form in ((1, "NFC"), (2, "NFD"))]
    tree(tmp_path / "shop", *paths)
    data = read(tmp_path, unicodedata.normalize("NFD", "café/{person}_c{camera}.jpg"))
    assert data.train.persons.tolist() == [1, 1]
    assert {sample.image.name for sample in data.train.samples} == {str(tmp_path / "shop" / path) for path in paths}


def test_folders_of_a_data_set_are_split_words(tmp_path: Path) -> None:
    folders = {"bounding_box_train": 1, "val": 2, "probe": 3, "bounding_box_test": 3}
    tree(
        tmp_path / "shop",
        *(f"{folder}/{person}_c{camera}.jpg" for folder, person in folders.items() for camera in (1, 2)),
    )
    data = read(tmp_path, "{split}/{person}_c{camera}.jpg")
    assert [len(data.train), len(data.query), len(data.gallery)] == [4, 2, 2]


def test_a_path_that_does_not_fit_is_refused_or_skipped(tmp_path: Path) -> None:
    tree(tmp_path, "shop/1_c1_a.jpg", "shop/1_c2_a.jpg", "shop/map.jpg")
    pattern = "{person}_c{camera}_{*}.jpg"
    with pytest.raises(
        DataError,
        match=re.escape(
            "1 of 3 do not: map.jpg. Fix: correct the pattern, rename the files, or leave them out by unmatched=skip"
        ),
    ) as caught:
        read(tmp_path, pattern)
    assert pattern in caught.value.rule
    found = read(tmp_path, pattern, unmatched="skip")
    assert len(found.train) == 2
    assert any("1 images do not fit" in note for note in found.notes)
    with pytest.raises(DataError, match="3 of 3"):
        read(tmp_path, "{person}-{camera}.jpg", unmatched="skip")
    with pytest.raises(DataError, match="is none"):
        FolderTree(path="none", pattern=pattern).read(tmp_path)
    with pytest.raises(ExperimentError, match="refused or skipped"):
        FolderTree(path="shop", pattern=pattern, unmatched="guess")  # type: ignore[arg-type]


text = st.text(st.characters(exclude_characters="/\0{}", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=examples(100), deadline=None)
@given(name=text)
def test_any_name_is_the_person_it_says_or_a_data_error(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """R11, short form: two images of person 5 and one with an arbitrary name."""
    root = tree(tmp_path_factory.mktemp("tree"), "shop/5_c1_a.jpg", "shop/5_c2_a.jpg", f"shop/_{name}.jpg")
    try:
        found = read(root, "{person}_c{camera}_{*}.jpg", labels=Labels(singles="drop"))
    except DataError:
        return
    assert name.startswith(".") or re.fullmatch(r"[^/]+_c[^/]+_[^/]*\.jpg", f"_{name}.jpg")
    assert len(found.train) == 2


def test_linked_folders_and_other_endings_are_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "shop/p1/1.jpg",
        "shop/p1/2.JFIF",
        "store/p3/1.jpg",
        "store/p3/2.tiff",
        "shop/p1/3.heic",
        "shop/@eaDir/1.jpg",
    )
    (tmp_path / "shop" / "p3").symlink_to("../store/p3")
    found = read(tmp_path, "{person}/{*}")
    assert [(s.image.name.rpartition("shop/")[2], s.person) for s in found.train.samples] == [
        ("p1/1.jpg", 1),
        ("p1/2.JFIF", 1),
        ("p3/1.jpg", 2),
        ("p3/2.tiff", 2),
    ]
    assert found.notes[0] == "1 file passed over, not named like an image: p1/3.heic"


def test_a_track_is_a_person_of_its_camera(tmp_path: Path) -> None:
    tree(tmp_path, *(f"shop/cam{c}/track_{t}/{i}.jpg" for c in (1, 2) for t in (3, 14) for i in range(2)))
    as_persons = read(tmp_path, "cam{camera}/track_{person}/{*}")
    assert as_persons.train.persons.tolist() == [14, 14, 3, 3] * 2
    (note,) = as_persons.notes
    assert note.startswith("2 of 2 persons") and note.endswith("if so, write {track} instead of {person}")
    for pattern in ("cam{camera}/track_{track}/{*}", r"cam(?P<camera>\d)/track_(?P<track>\d+)/.*"):
        found = read(tmp_path, pattern)
        assert found.train.cameras.tolist() == [1] * 4 + [2] * 4
        assert found.train.persons.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
        assert not any("tracks" in note for note in found.notes)
    without = read(tmp_path, "cam{camera}/track_{track}/{*}", labels=Labels(cameras=False))
    assert without.train.persons.tolist() == [1, 1, 2, 2, 3, 3, 4, 4] and not without.has_cameras


def test_the_tracks_of_a_person_are_numbered_apart_for_each_camera_and_split(tmp_path: Path) -> None:
    places = [("query", "a", 1, 7), ("gallery", "a", 2, 7), ("gallery", "a", 2, 8), ("gallery", "b", 2, 7)]
    tree(tmp_path, *(f"shop/{s}/{p}/c{c}/{t}/{i}.jpg" for s, p, c, t in places for i in range(3)))
    found = read(tmp_path, "{split}/{person}/c{camera}/{track}/{*}.jpg")
    assert found.query.tracks.tolist() == [4] * 3 and found.gallery.tracks.tolist() == [1] * 3 + [2] * 3 + [3] * 3
    assert found.gallery.persons.tolist() == [1] * 6 + [2] * 3 and not any("track" in note for note in found.notes)
    (tmp_path / "shop/gallery").rename(tmp_path / "shop/test")  # images of both: one number
    shutil.rmtree(tmp_path / "shop/query")
    tree(tmp_path, *(f"shop/test/a/c1/7/{i}.jpg" for i in range(3)))
    found = read(tmp_path, "{split}/{person}/c{camera}/{track}/{*}.jpg")
    assert found.query.tracks.tolist() == [1, 2] and found.gallery.tracks.tolist()[:9] == [1] * 3 + [2] * 3 + [3] * 3
    assert set(read(tmp_path, "{split}/{person}/c{camera}/{**}").gallery.tracks.tolist()) == {NO_TRACK}


def test_tracks_that_are_searched_across_cameras_are_told_as_tracks(tmp_path: Path) -> None:
    tree(tmp_path, *(f"shop/cam{c}/{t}/{i}.jpg" for c in (1, 2) for t in (3, 14) for i in range(2)))
    with pytest.raises(
        DataError, match=r"8 gallery images on 2 cameras, each queried person on one .*as a \{track\} is"
    ):
        read(tmp_path, "cam{camera}/{track}/{*}", labels=Labels(role="test"))


def test_persons_on_several_cameras_are_not_asked_about_where_nothing_says_track(tmp_path: Path) -> None:
    tree(tmp_path, *(f"shop/cam{c}/{p}/1.jpg" for c in (1, 2) for p in (3, 14)))
    assert read(tmp_path, "cam{camera}/{person}/{*}").notes == ()
