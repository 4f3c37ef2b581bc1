"""Words to data sets, and what is said about a word that is none."""

import re
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

import snreid
import snreid.datasets as family
from snreid.cli.names import HELP, dataset_named, features_named, known_names, known_wrappers
from snreid.datasets import (
    CUHK03,
    AllImages,
    Columns,
    Corrupted,
    DrawnPedestrians,
    FolderTree,
    Labels,
    Market1501,
    MarketFormat,
    Table,
)
from snreid.errors import DataError, ExperimentError
from snreid.experiments.serialization import from_json, to_json
from snreid.records import DataSet
from snreid.synthetic.pedestrians import DOMAINS
from support.tiny import picture_files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("market1501", Market1501()),
        ("cuhk03", CUHK03()),
        ("cuhk03-labelled", CUHK03(boxes="labelled")),
        ("cuhk03-detected", CUHK03(boxes="detected")),
        ("dusk", DrawnPedestrians(domain="dusk")),
        ("noon:train_persons=6,test-persons=4", DrawnPedestrians(domain="noon", train_persons=6, test_persons=4)),
        ("noon:people=7", DrawnPedestrians(domain="noon", people="7")),
        ("noon:", DrawnPedestrians(domain="noon")),
    ],
)
def test_a_word_is_the_data_set_of_that_name(text: str, expected: DataSet) -> None:
    assert dataset_named(text) == expected


def test_every_known_name_is_read_and_every_domain_is_known() -> None:
    assert {domain.name for domain in DOMAINS} < set(known_names())
    assert all(isinstance(dataset_named(name), DataSet) for name in known_names())
    assert "market1501" in HELP and "noon" in HELP
    assert "data list" not in HELP, "it is what data list prints"


def test_a_folder_in_market_format_and_a_table_are_known_by_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "bounding_box_train").mkdir(parents=True)
    (tmp_path / "list.csv").write_text("path,person,camera,split\n")
    monkeypatch.chdir(tmp_path)
    # Absolute, so that a run folder says the same from everywhere.
    assert dataset_named("mine") == MarketFormat(folder=str(tmp_path / "mine"))
    assert dataset_named("list.csv") == Table(path=str(tmp_path / "list.csv"))
    assert dataset_named("elsewhere.parquet") == Table(path="elsewhere.parquet")


def test_a_folder_tree_takes_its_path_and_pattern(tmp_path: Path) -> None:
    pattern = "{split}/{person}_c{camera}_{*}.jpg"
    made = dataset_named(f"folder:path={tmp_path},pattern={pattern}")
    assert isinstance(made, FolderTree)
    assert made == replace(made, path=str(tmp_path), pattern=pattern)


PATTERN = "{person}_{camera}_{*}.png"


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ("labels.role=test", Labels(role="test")),
        ("labels.cameras=false", Labels(cameras=False)),
        ("labels.role=test,labels.cameras=False", Labels(role="test", cameras=False)),
        ("singles=drop", Labels(singles="drop")),
        ("labels.junk=-1+0,labels.distractors=7", Labels(junk=("-1", "0"), distractors=("7",))),
    ],
)
def test_own_folders_and_tables_take_options_of_their_labels(options: str, labels: Labels) -> None:
    assert dataset_named(f"folder:path=shop,pattern={PATTERN},{options}") == FolderTree(
        path="shop", pattern=PATTERN, labels=labels
    )
    assert dataset_named(f"list.csv:{options}") == Table(path="list.csv", labels=labels)


def test_options_that_messages_name_can_be_typed() -> None:
    source = "".join(path.read_text() for path in Path(snreid.__file__).parent.rglob("*.py"))
    named = set(re.findall(r"\b((?:labels|columns)\.\w+=\w+|(?:outside|unmatched)=[a-z]\w+)", source))
    assert {"labels.role=test", "labels.singles=drop", "columns.person=id", "outside=true", "unmatched=skip"} <= named
    for option in named:
        start = "folder:path=shop,pattern={person}.png," if option.startswith("unmatched") else "list.csv:"
        other = "labels.role=test" if option == "labels.role=train" else ""  # train is what a role is when left out
        assert dataset_named(start + option) != dataset_named(start + other)


def test_a_table_takes_names_of_columns() -> None:
    made = dataset_named("list.csv:columns.person=7,columns.path=file,images=../crops")
    assert made == Table(path="list.csv", columns=Columns(person="7", path="file"), images="../crops")


def test_a_folder_without_splits_becomes_a_target(tmp_path: Path) -> None:
    picture_files(tmp_path / "shop", 4)
    for number, path in enumerate(sorted((tmp_path / "shop").iterdir())):
        path.rename(path.with_name(f"{number // 2}_{number % 2}_x.png"))
    data = dataset_named(f"folder:path=shop,pattern={PATTERN},labels.role=test").read(tmp_path)
    assert (len(data.train), len(data.query), len(data.gallery)) == (0, 4, 4)


def test_a_folder_is_looked_for_below_the_data_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "tiny" / "noon" / "query").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert dataset_named("tiny/noon", Path("data")) == MarketFormat(folder="tiny/noon")
    (tmp_path / "tiny" / "noon" / "query").mkdir(parents=True)
    assert dataset_named("tiny/noon", Path("data")) == MarketFormat(folder=str(tmp_path / "tiny" / "noon"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tiny/noom", "'tiny/noom': no such folder here or in data"),
        ("lost/noon", "no such folder"),
        ("tiny", "'tiny' has no bounding_box_train. Fix: name a data set in it: tiny/dusk, tiny/noon."),
        ("shop", "'shop' has no bounding_box_train. Fix: name a data set in it: shop/people.csv."),
        ("bare", "'bare' has no bounding_box_train. Fix: read it by a pattern"),
        ("notes.txt", "'notes.txt' is a file. Fix: a table ends in"),
        ("run", "'run' is the folder of a run. Fix: runs come first, then flags"),
    ],
)
def test_for_a_path_no_drawn_domain_is_offered(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (
        "data/tiny/noon/query",
        "data/tiny/dusk/bounding_box_train",
        "data/tiny/other",
        "data/shop/images",
        "bare",
        "run",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "data" / "shop" / "people.csv").touch()
    (tmp_path / "run" / "experiment.json").touch()
    with pytest.raises(ExperimentError) as caught:
        dataset_named(text, Path("data"))
    assert words in str(caught.value) and "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("list.csv:labels=test", "give labels.role=VALUE"),
        ("list.csv:labels.rol=test", "did you mean 'role'?"),
        ("list.csv:label.role=test", "did you mean 'labels'?"),
        ("list.csv:labels.role=both", "both"),
        ("list.csv:labels.cameras=maybe", "true or false"),
        ("noon:labels.role=test", "labels.role"),
        ("markt1501", "did you mean 'market1501'?"),
        ("nothing-like-it", "see snreid data list"),
        ("", "A data set is named by"),
        ("noon:domian=dusk", "did you mean 'domain'?"),
        ("noon:height=65", "65"),
        ("cuhk03:boxes=some", "'some'"),
        ("noon:=3", "''"),
        ("folder:pattern=x", "folder needs the field 'path'. Found: pattern."),
        ("noon:train_persons=abc", "noon.train_persons must be an integer. Found: 'abc'."),
        ("folder:path='x,pattern=y", "ends with its quote"),
    ],
)
def test_a_word_that_is_none_gets_the_nearest(text: str, words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        dataset_named(text)
    assert words in str(caught.value)


def test_two_folders_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "shop" / "query").mkdir(parents=True)
    a, b = tmp_path / "a" / "shop", tmp_path / "b" / "shop"
    assert dataset_named(str(a)).name == dataset_named(str(b)).name == "shop"
    assert dataset_named(f"{b}:name=shop-b") == MarketFormat(folder=str(b), name="shop-b")
    assert dataset_named(f"{b}:name=7").name == "7"
    assert dataset_named("lost.csv:name=other").name == "other" and dataset_named("lost.csv").name == "lost"
    tree = dataset_named(f"folder:path={a},pattern={{person}}.jpg,name=shop-a")
    assert tree == FolderTree(path=str(a), pattern="{person}.jpg", name="shop-a")
    for data in (dataset_named(str(a)), tree):  # a run's file of a version without names reads as it did
        stored = to_json(data)
        assert from_json(DataSet, stored) == data
        unnamed = {key: value for key, value in stored.items() if key != "name"}
        assert from_json(DataSet, unnamed).name == "shop"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("market1501@all", AllImages(of=Market1501())),
        ("noon:train_persons=6@all", AllImages(of=DrawnPedestrians(domain="noon", train_persons=6))),
        ("market1501@dark-3", Corrupted(of=Market1501(), corruption="dark", severity=3)),
        (
            "noon:train_persons=6@low-resolution-5-both",
            Corrupted(of=DrawnPedestrians(train_persons=6), corruption="low-resolution", severity=5, side="both"),
        ),
        ("noon@all@all", AllImages(of=AllImages(of=DrawnPedestrians()))),
        ("folder:path=a@b,pattern={person}.png@all", AllImages(of=FolderTree(path="a@b", pattern="{person}.png"))),
        ("a@b.csv:columns.person=id@all", AllImages(of=Table(path="a@b.csv", columns=Columns(person="id")))),
        ("a@b.csv", Table(path="a@b.csv")),
        ("folder:path=shop@home,pattern={person}.png", FolderTree(path="shop@home", pattern="{person}.png")),
    ],
)
def test_behind_an_at_stands_what_is_done_with_the_data_set(text: str, expected: DataSet) -> None:
    assert dataset_named(text) == expected
    assert from_json(DataSet, to_json(expected)) == expected
    assert set(known_wrappers()) >= {"all", "dark-1", "jpeg-5-gallery"}


def test_a_folder_whose_own_name_has_an_at_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "shop@all" / "query").mkdir(parents=True)
    shop = MarketFormat(folder="shop@all")
    assert dataset_named("shop@all", tmp_path) == shop
    assert dataset_named("shop@all@all", tmp_path) == AllImages(of=shop)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("market1501@al", "did you mean 'market1501@all'?"),
        ("noon@all:train_persons=6", "did you mean 'noon:train_persons=6@all'?"),
        ("noon@nothing-like-it", "leave it out"),
        ("noon@drak-3", "did you mean 'noon@dark-3'?"),
        ("noon@dark-6", "SEVERITY 1 to 5"),
        ("markt1501@all", "did you mean 'market1501'?"),
        ("@all", "'@all'"),
    ],
)
def test_an_at_that_is_not_understood_says_what_may_stand_there(text: str, words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        dataset_named(text)
    assert words in str(caught.value)


def test_what_the_family_exports_and_reads_by_its_name_alone_can_be_typed() -> None:
    alone = (data for kind in map(vars(family).get, family.__all__) if (data := read_by_name(kind)) is not None)
    typed = {data.name.removesuffix("-split0"): data for data in alone}
    assert {"market1501", "viper", "cuhk-sysu", "dukemtmc", "noon"} < set(typed)
    assert all(dataset_named(name) == data for name, data in typed.items())


def read_by_name(kind: object) -> DataSet | None:
    """A data set of this kind if it takes no more than its name."""
    if not (isinstance(kind, type) and issubclass(kind, DataSet)):
        return None
    try:
        return kind()
    except TypeError:
        return None


@pytest.mark.parametrize("name", ["a:b", "x,y=z", "m@all", "C:\\data\\m", "bob's", "deep/er:name=x"])
def test_a_path_that_exists_wins_over_the_grammar_of_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name / "query").mkdir(parents=True)
    place = tmp_path.joinpath(name)
    monkeypatch.chdir(tmp_path)
    assert dataset_named(name) == MarketFormat(folder=str(place))
    assert dataset_named(f"{name}:name=shop,cameras=false") == MarketFormat(
        folder=str(place), name="shop", cameras=False
    )
    assert dataset_named(f"{name}@all") == AllImages(of=MarketFormat(folder=str(place)))
    assert dataset_named(name, tmp_path.parent) == MarketFormat(folder=str(place))
    monkeypatch.chdir("/")
    assert dataset_named(f"{name}:name=shop", tmp_path) == MarketFormat(folder=name, name="shop")


def test_a_drive_letter_is_part_of_a_path() -> None:
    assert dataset_named("D:\\x\\t.csv:name=w") == Table(path="D:\\x\\t.csv", name="w")
    assert dataset_named("d:/x/t.csv") == Table(path="d:/x/t.csv")
    tree = dataset_named("folder:path=D:\\x,pattern={person}.jpg,name=w")
    assert tree == FolderTree(path="D:\\x", pattern="{person}.jpg", name="w")
    with pytest.raises(ExperimentError, match=r"'D:\\\\none': no such folder"):
        dataset_named("D:\\none")


def test_quotes_keep_a_path_and_a_value_together() -> None:
    assert dataset_named('"a:b.csv":name=w') == Table(path="a:b.csv", name="w")
    tree = dataset_named("""folder:path="a,b=c",pattern='(?P<person>[0-9]{1,3}).jpg',name=bob's""")
    assert tree == FolderTree(path="a,b=c", pattern="(?P<person>[0-9]{1,3}).jpg", name="bob's")
    with pytest.raises(ExperimentError, match=r"quote a value.*give b=VALUE"):
        dataset_named("folder:path=a,b,pattern={person}.jpg")


def test_an_accent_in_either_form_names_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed, apart = (normalize(form, "café") for form in ("NFC", "NFD"))
    (tmp_path / apart / "query").mkdir(parents=True)
    assert dataset_named(composed, tmp_path) == MarketFormat(folder=str(tmp_path / apart))
    monkeypatch.chdir(tmp_path)
    assert dataset_named(composed) == MarketFormat(folder=str(tmp_path / apart))


def test_a_wrong_word_behind_an_at_is_told_as_such_behind_a_path_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "market" / "noon" / "query").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("night", "market/noon"):
        with pytest.raises(ExperimentError, match=rf"behind an @.*did you mean '{name}@dark-\d'"):
            dataset_named(f"{name}@dark-9")


def test_embeddings_and_the_table_of_their_rows(tmp_path: Path, rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    np.save(tmp_path / "f.npy", vectors)
    rows = [
        "a.jpg,ann,hall,query",
        "b.jpg,bo,,query",
        "c.jpg,ann,door,gallery",
        "d.jpg,bo,door,gallery",
        "e.jpg,cy,door,train",
    ]
    (tmp_path / "f.csv").write_text("\n".join(["path,person,camera,split", *rows, "f.jpg,-1,hall,gallery"]))
    query, gallery = features_named([tmp_path / "f.npy", tmp_path / "f.csv"])
    np.testing.assert_array_equal(query.embeddings, vectors[:2])
    np.testing.assert_array_equal(gallery.embeddings, vectors[[2, 3, 5]])
    assert query.persons.tolist() == [1, 2] and gallery.persons.tolist() == [1, 2, -1]
    assert [query.camera_text(camera) for camera in query.cameras] == ["hall", "-1"]
    assert gallery.names == ("c.jpg", "d.jpg", "f.jpg")
    (tmp_path / "bare.csv").write_text("path;person\n" + "\n".join(f"{i}.jpg;{i // 2}" for i in range(6)))
    query, gallery = features_named([tmp_path / "f.npy", tmp_path / "bare.csv"])
    assert query.names == ("0.jpg", "2.jpg", "4.jpg") and len(gallery.names) == 6 and set(query.cameras) == {-1}


def test_files_of_embeddings_are_one_or_two(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="name one or two"):
        features_named([tmp_path / "a.npz"] * 3)
    (tmp_path / "t.csv").write_text("path,person\n")
    with pytest.raises(DataError, match=r"t\.csv is no \.npz"):
        features_named([tmp_path / "t.csv"])
    with pytest.raises(DataError, match="A table is a file"):
        features_named([tmp_path / "a.npz", tmp_path / "none.csv"])
