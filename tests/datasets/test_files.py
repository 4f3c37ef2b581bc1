"""Listing folders and finding a data set below the user's data folder."""

from pathlib import Path

import pytest

from snreid.datasets._files import find_base, find_folder
from snreid.errors import DataError


def test_the_base_is_where_everything_needed_is(tmp_path: Path) -> None:
    (tmp_path / "x" / "train").mkdir(parents=True)
    (tmp_path / "y" / "train").mkdir(parents=True)
    (tmp_path / "y" / "test").mkdir()
    found = find_base(tmp_path, ("", "x", "y"), ("train", "test"), name="toy", home="its page")
    assert found == tmp_path / "y"
    with pytest.raises(DataError, match=r"toy .*train, test.*x without test; it holds train"):
        find_base(tmp_path, ("", "x"), ("train", "test"), name="toy", home="its page")
    with pytest.raises(DataError, match=r"toy .*images.*holds x, y.*its page"):
        find_base(tmp_path, ("", "x"), ("images",), name="toy", home="its page")
    for place in ("x", "nowhere"):
        with pytest.raises(DataError) as own:
            find_base(tmp_path, (place,), ("train", "test"), name="toy", home="")
        assert "own page" not in str(own.value)
    with pytest.raises(DataError, match="found once"):
        find_base(tmp_path, ("x", "y"), ("train",), name="toy", home="its page")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="not a folder"):
        find_base(tmp_path / "file", ("", "x"), ("train",), name="toy", home="its page")


def test_an_archive_in_a_folder_of_its_name_is_found(tmp_path: Path) -> None:
    base = tmp_path / "toy-v1" / "toy-v1"
    (base / "train").mkdir(parents=True)
    (base / "list_train").touch()
    (tmp_path / "other" / "train").mkdir(parents=True)
    (tmp_path / "other" / "list_train.txt").touch()
    places = ("", "toy-v1")
    with pytest.raises(DataError, match=r"toy-v1/toy-v1 without list_train\.txt; it holds list_train, train"):
        find_base(tmp_path, places, ("train", "list_train.txt"), name="toy", home="its page")
    (base / "list_train").rename(base / "list_train.txt")
    assert find_base(tmp_path, places, ("train", "list_train.txt"), name="toy", home="its page") == base
    assert find_folder(tmp_path, ("toy-v1",), name="toy", home="its page") == base
    (tmp_path / "toy-v1" / "toy-v1").rename(tmp_path / "toy-v1" / "toy")
    assert find_folder(tmp_path, ("toy-v1",), name="toy", home="its page") == tmp_path / "toy-v1"
