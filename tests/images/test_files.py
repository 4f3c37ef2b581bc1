"""The one listing of images in a folder."""

from pathlib import Path

import pytest

from snreid.errors import DataError
from snreid.images.files import Listing, images_at, list_images


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_listing_is_sorted_and_leaves_out_what_is_no_image(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "b.JPG",
        "a.png",
        "Z.jpg",
        "Thumbs.db",
        "read.me",
        "._a.jpg",
        "@eaDir/a.jpg",
        "deep/c.jpg",
        "deep/er/d.webp",
    )
    assert list_images(tmp_path).images == ("Z.jpg", "a.png", "b.JPG")
    assert list_images(tmp_path).others == ("read.me",)
    assert list_images(tmp_path, deep=True).images == ("Z.jpg", "a.png", "b.JPG", "deep/c.jpg", "deep/er/d.webp")
    with pytest.raises(DataError, match="readable"):
        list_images(tmp_path / "none")


def test_a_folder_with_the_name_of_an_image_is_a_folder(tmp_path: Path) -> None:
    _touch(tmp_path, "dir.jpg/a.jfif")
    assert list_images(tmp_path).images == ()
    assert list_images(tmp_path, deep=True).images == ("dir.jpg/a.jfif",)


def test_links_to_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    _touch(tmp_path, "store/p3/a.jpg", "linked/p1/b.jpg")
    (tmp_path / "linked" / "p3").symlink_to("../store/p3")
    (tmp_path / "linked" / "p1" / "up").symlink_to("..")
    (tmp_path / "store" / "p3" / "back").symlink_to(tmp_path / "linked")
    assert list_images(tmp_path / "linked", deep=True).images == ("p1/b.jpg", "p3/a.jpg")


@pytest.mark.parametrize("folder", ["@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", ".Trash", "p1/@eaDir"])
def test_what_the_operating_system_keeps_is_passed_over(folder: str, tmp_path: Path) -> None:
    _touch(tmp_path, "p1/a.jpg", f"{folder}/p2/b.jpg", f"{folder}/notes.txt")
    assert list_images(tmp_path, deep=True) == Listing(("p1/a.jpg",), ())


def test_a_person_may_be_called_with_an_at_sign(tmp_path: Path) -> None:
    _touch(tmp_path, "@anna/@1.jpg")
    assert list_images(tmp_path, deep=True).images == ("@anna/@1.jpg",)


def test_a_link_to_itself_or_to_nothing_is_a_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    assert list_images(tmp_path, deep=True).images == ("gone.jpg", "self.jpg")


def test_what_was_passed_over_is_told_with_a_count(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "d/b.heic", "c.gif", "e.txt", "f")
    found = images_at([tmp_path / "f", tmp_path])
    assert found.images == (str(tmp_path / "f"), str(tmp_path / "a.jpg"))
    assert list_images(tmp_path, deep=True).note == (
        "4 files passed over, not named like an image: c.gif, d/b.heic, e.txt, ..."
    )
    assert Listing(("a.jpg",), ()).note == ""
