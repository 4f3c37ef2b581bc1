"""Market-1501: names, junk, distractors, places; the real one where ``SNREID_DATA`` names its folder."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.datasets import Market1501, MarketFormat, has_match
from snreid.errors import DataError, ExperimentError
from snreid.records import NO_CAMERA
from support.effort import examples

NAMES = {
    "bounding_box_train": [f"{p:04d}_c{c}s1_00{p}{c}51_01.jpg" for p in (2, 7) for c in (1, 2, 6)],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c2s3_000301_00.jpg.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "-1_c2s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c2s1_000401_01.jpg",
        "0001_c1s1_000402_01.jpg",
        "0003_c1s1_000401_01.jpg.jpg",
    ],
}


def build(folder: Path, names: dict[str, list[str]] = NAMES) -> Path:
    """The three folders with empty files (reading opens none), and what Windows leaves behind."""
    for inner, files in names.items():
        (folder / inner).mkdir(parents=True)
        for name in [*files, "Thumbs.db", ".DS_Store"]:
            (folder / inner / name).touch()
    return folder


@pytest.mark.parametrize("outer", ["", "Market-1501-v15.09.15", "market1501", "market1501/Market-1501-v15.09.15"])
def test_it_is_found_with_and_without_its_outer_folder(outer: str, tmp_path: Path) -> None:
    build(tmp_path / outer)
    data = Market1501().read(tmp_path)
    assert (len(data.train), len(data.query), len(data.gallery)) == (6, 2, 4)
    assert data.name == "market1501"
    assert data.has_cameras


def test_labels_come_from_the_names(tmp_path: Path) -> None:
    data = Market1501().read(build(tmp_path))
    assert data.train.persons.tolist() == [2, 2, 2, 7, 7, 7]
    assert data.train.cameras.tolist() == [1, 2, 6] * 2
    assert data.query.persons.tolist() == [1, 3]
    assert data.query.cameras.tolist() == [1, 2]
    assert data.gallery.persons.tolist() == [0, 1, 1, 3]  # sorted by name, junk dropped, the distractor kept
    assert data.gallery.samples[1].image.name == str(tmp_path / "bounding_box_test" / "0001_c1s1_000402_01.jpg")
    assert any("2 junk images" in note for note in data.notes)
    assert any("1 distractors" in note for note in data.notes)


def test_a_missing_folder_says_what_was_looked_for_where_and_where_to_get_it(tmp_path: Path) -> None:
    build(tmp_path / "Market-1501-v15.09.15", {k: v for k, v in NAMES.items() if k != "query"})
    with pytest.raises(DataError) as caught:
        Market1501().read(tmp_path)
    for part in (
        "query",
        "bounding_box_train",
        f"{tmp_path / 'Market-1501-v15.09.15'} without query; it holds bounding_box_test, bounding_box_train",
        "Zheng",
    ):
        assert part in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"market1501/Market-1501-v15.09.15.*holds nothing.*Zheng"):
        Market1501().read(tmp_path / "empty")
    with pytest.raises(DataError, match="does not exist"):
        Market1501().read(tmp_path / "nowhere")


def test_two_copies_are_ambiguous(tmp_path: Path) -> None:
    build(tmp_path / "market1501")
    build(tmp_path / "Market-1501-v15.09.15")
    with pytest.raises(DataError, match="once below"):
        Market1501().read(tmp_path)


def test_a_link_to_the_same_folder_is_no_second_copy(tmp_path: Path) -> None:
    build(tmp_path / "Market-1501-v15.09.15")
    (tmp_path / "market1501").symlink_to(tmp_path / "Market-1501-v15.09.15")
    assert len(Market1501().read(tmp_path).train) == 6


def with_name(folder: Path, inner: str, name: str) -> None:
    """Read the usual tree with one more file."""
    build(folder)
    (folder / inner / name).touch()
    Market1501().read(folder)


@pytest.mark.parametrize(
    "name",
    [
        "person.jpg",
        "0002_c1.jpg",
        "-2_c1s1_000451_03.jpg",
        "0002_c0s1_000451_03.jpg",
        "0002_cAs1_000451_03.jpg",
        "٢_c1s1_000451_03.jpg",
        "0002_c1s1_000451_03_copy.jpg",
        "1" * 30 + "_c1s1_000451_03.jpg",
    ],
)
def test_a_name_that_does_not_parse_is_an_error_with_the_name_and_the_form(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        with_name(tmp_path, "bounding_box_train", name)
    assert name in caught.value.found
    assert "PPPP_cCsS_FFFFFF_BB.jpg" in caught.value.rule


@settings(max_examples=examples(100), deadline=None)
@given(name=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_other_name_is_a_data_error_and_never_a_person(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """R11, short form: a name is either read by the rule, ignored because it is no image, or refused."""
    folder = tmp_path_factory.mktemp("market")
    with pytest.raises(DataError, match="file name"):
        with_name(folder, "bounding_box_train", f"x{name}.jpg")


def test_one_image_of_a_person_and_special_persons_in_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2 images") as caught:
        with_name(tmp_path / "a", "bounding_box_train", "0009_c1s1_000451_03.jpg")
    assert "0009_c1s1_000451_03.jpg" in caught.value.found
    with pytest.raises(DataError, match="Distractors"):
        with_name(tmp_path / "b", "bounding_box_train", "0000_c1s1_000451_03.jpg")
    with pytest.raises(DataError, match="holds images"):
        Market1501().read(build(tmp_path / "c", NAMES | {"query": []}))


def test_a_query_without_a_match_is_counted_and_none_with_one_is_refused(tmp_path: Path) -> None:
    lonely = NAMES | {"query": [*NAMES["query"], "0005_c1s1_000001_00.jpg"]}
    data = Market1501().read(build(tmp_path / "a", lonely))
    assert any("1 of 3 queries" in note for note in data.notes)
    one_camera = NAMES | {"query": ["0001_c1s1_001051_00.jpg"], "bounding_box_test": ["0001_c1s1_000402_01.jpg"]}
    with pytest.raises(DataError, match="another camera") as caught:
        Market1501().read(build(tmp_path / "b", one_camera))
    assert "on 1 camera" in caught.value.found
    with pytest.raises(DataError, match="DIR:cameras=false"):
        MarketFormat(folder="b").read(tmp_path)
    data = MarketFormat(folder="b", cameras=False).read(tmp_path)
    assert not data.has_cameras and set(data.gallery.cameras) == set(data.train.cameras) == {NO_CAMERA}
    assert has_match(data).tolist() == [True]


def test_any_folder_in_the_format_is_read_under_its_own_name(tmp_path: Path) -> None:
    build(tmp_path / "sites" / "harbour")
    dataset = MarketFormat(folder="sites/harbour")
    assert dataset.name == dataset.read(tmp_path).name == "harbour"
    assert dataset.expected == ()
    with pytest.raises(DataError, match="bounding_box_train"):
        MarketFormat(folder="sites").read(tmp_path)
    build(tmp_path / "twice" / "twice")
    assert len(MarketFormat(folder="twice").read(tmp_path).query) == 2
    with pytest.raises(ExperimentError, match="folder"):
        MarketFormat(folder="")


def test_the_real_one_has_the_published_counts() -> None:
    root = Path(os.environ.get("SNREID_DATA", "nowhere"))
    if not (root / "Market-1501-v15.09.15").is_dir():
        pytest.skip("SNREID_DATA names no folder with Market-1501-v15.09.15")
    data = Market1501().read(root)
    for expected, split in zip(Market1501().expected, (data.train, data.query, data.gallery), strict=True):
        persons = set(split.persons.tolist()) - {0}
        found = (len(split), len(persons), len(set(split.cameras.tolist())))
        assert found == (expected.images, expected.persons, expected.cameras)


def test_files_with_other_endings_are_counted(tmp_path: Path) -> None:
    base = build(tmp_path / "shop")
    (base / "query" / "0001_c1s1_000001_00.heic").touch()
    notes = MarketFormat(folder=str(base)).read(tmp_path).notes
    assert "query: 1 file passed over, not named like an image: 0001_c1s1_000001_00.heic" in notes
