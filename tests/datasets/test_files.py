"""Listing folders and finding a data set below the user's data folder."""

from pathlib import Path

import pytest

from snreid.datasets._files import find_base
from snreid.errors import DataError


def test_the_base_is_where_everything_needed_is(tmp_path: Path) -> None:
    (tmp_path / "x" / "train").mkdir(parents=True)
    (tmp_path / "y" / "train").mkdir(parents=True)
    (tmp_path / "y" / "test").mkdir()
    found = find_base(tmp_path, ("", "x", "y"), ("train", "test"), name="toy", home="its page")
    assert found == tmp_path / "y"
    with pytest.raises(DataError, match=r"toy .*train, test.*holds x, y.*its page"):
        find_base(tmp_path, ("", "x"), ("train", "test"), name="toy", home="its page")
    with pytest.raises(DataError, match="found once"):
        find_base(tmp_path, ("x", "y"), ("train",), name="toy", home="its page")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="not a folder"):
        find_base(tmp_path / "file", ("", "x"), ("train",), name="toy", home="its page")
