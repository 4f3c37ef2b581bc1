"""The one listing of images in a folder."""

from pathlib import Path

import pytest

from snreid.errors import DataError
from snreid.images.files import image_paths, list_images


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_listing_is_sorted_and_leaves_out_what_is_no_image(tmp_path: Path) -> None:
    _touch(
        tmp_path, "b.JPG", "a.png", "Z.jpg", "Thumbs.db", ".hidden.jpg", "@eaDir/a.jpg", "deep/c.jpg", "deep/er/d.webp"
    )
    assert list_images(tmp_path).images == ("Z.jpg", "a.png", "b.JPG")
    assert list_images(tmp_path).others == ("Thumbs.db",)
    assert list_images(tmp_path, deep=True).images == ("Z.jpg", "a.png", "b.JPG", "deep/c.jpg", "deep/er/d.webp")
    with pytest.raises(DataError, match="readable"):
        list_images(tmp_path / "none")


def test_a_folder_with_the_name_of_an_image_is_a_folder(tmp_path: Path) -> None:
    _touch(tmp_path, "dir.jpg/a.jfif")
    assert image_paths(tmp_path) == [tmp_path / "dir.jpg" / "a.jfif"]


def test_links_to_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    _touch(tmp_path, "store/p3/a.jpg", "linked/p1/b.jpg")
    (tmp_path / "linked" / "p3").symlink_to("../store/p3")
    (tmp_path / "linked" / "p1" / "up").symlink_to("..")
    (tmp_path / "store" / "p3" / "back").symlink_to(tmp_path / "linked")
    assert list_images(tmp_path / "linked", deep=True).images == ("p1/b.jpg", "p3/a.jpg")
