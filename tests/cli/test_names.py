"""Words to data sets, and what is said about a word that is none."""

from dataclasses import replace
from pathlib import Path

import pytest

from snreid.cli.names import HELP, dataset_named, known_names
from snreid.datasets import CUHK03, DrawnPedestrians, FolderTree, Market1501, MarketFormat, Table
from snreid.errors import ExperimentError
from snreid.pedestrians import DOMAINS
from snreid.records import DataSet


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("markt1501", "did you mean 'market1501'?"),
        ("nothing-like-it", "see snreid data list"),
        ("", "A data set is named by"),
        ("noon:domian=dusk", "did you mean 'domain'?"),
        ("noon:height=65", "65"),
        ("cuhk03:boxes=some", "'some'"),
        ("noon:=3", "''"),
        ("folder:pattern=x", "path"),
    ],
)
def test_a_word_that_is_none_gets_the_nearest(text: str, words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        dataset_named(text)
    assert words in str(caught.value)
