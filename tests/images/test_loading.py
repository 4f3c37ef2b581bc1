"""Pixels of a split: the same from memory, from disk and from worker processes; bad images are all listed."""

import errno
import json
import os
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from snreid.errors import DataError
from snreid.images import pixel_cache as pixel_files
from snreid.images.loading import BAD_FILES, PixelCache, PixelStore, list_bad, look_at
from snreid.images.pixel_cache import PixelFolder
from snreid.images.reading import BadImage, FileImage, read_image, resize
from snreid.records import ReIDData, Sample, Split
from snreid.system.machine import Machine
from support.tiny import console, drawn, picture_files

HEIGHT, WIDTH = 24, 12
BATCHES = [np.array([3, 0, 3]), np.array([6]), np.array([5, 4])]


def split_of(paths: list[Path]) -> Split:
    return Split(tuple(Sample(FileImage(str(path)), 1, 1) for path in paths))


def one_by_one(paths: list[Path], batch: np.ndarray) -> torch.Tensor:
    """A batch read file by file."""
    pixels = [resize(read_image(paths[i]), HEIGHT, WIDTH).transpose(2, 0, 1) for i in batch]
    return torch.from_numpy(np.stack(pixels))


@pytest.mark.parametrize(("memory_gb", "workers"), [(4.0, 0), (0.0, 0), (0.0, 2), (4.0, 2)])
def test_batches_are_the_files_whatever_holds_and_reads_them(tmp_path: Path, memory_gb: float, workers: int) -> None:
    paths = picture_files(tmp_path, 70)  # more than a block of 64
    store = PixelStore(split_of(paths), HEIGHT, WIDTH, memory_gb=memory_gb, workers=workers)
    assert store.cached is (memory_gb > 0)
    assert store.open() == ()
    batches = [*BATCHES, np.array([69, 64])]
    for batch, pixels in zip(batches, store.batches(batches), strict=True):
        assert pixels.dtype == torch.uint8
        assert torch.equal(pixels, one_by_one(paths, batch))
        assert pixels.is_shared() is (memory_gb == 0 and workers > 0), "what workers decoded went through a pipe"


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_bad_images_are_all_named_with_a_reason_and_can_be_left_out(tmp_path: Path, memory_gb: float) -> None:
    paths = picture_files(tmp_path, 7, damaged=(1, 5))
    paths[3].unlink()
    store = PixelStore(split_of(paths), HEIGHT, WIDTH, memory_gb=memory_gb)
    bad = store.open()
    assert [one.name for one in bad] == [str(paths[i]) for i in (1, 3, 5)]
    assert "does not exist" in bad[1].reason
    assert all(one.name not in one.reason for one in bad)
    assert store.open() == bad, "a second opening forgets them"
    left = store.only(store.good)
    good = [paths[i] for i in (0, 2, 4, 6)]
    assert [s.image.name for s in left.split.samples] == [str(p) for p in good]
    (pixels,) = left.batches([np.array([3, 1])])
    assert torch.equal(pixels, one_by_one(good, np.array([3, 1])))


def test_a_part_of_a_store_keeps_what_is_decoded(tmp_path: Path) -> None:
    paths = picture_files(tmp_path, 5)
    store = PixelStore(split_of(paths), HEIGHT, WIDTH)
    store.open()
    whole = one_by_one(paths, np.arange(5))
    for path in paths:
        path.unlink()
    part = store.only(np.array([4, 2, 0]))
    (pixels,) = part.batches([np.array([0, 1])])
    assert torch.equal(pixels, whole[[4, 2]])
    (pixels,) = part.only(np.array([2, 1])).batches([np.array([0, 1, 0])])
    assert torch.equal(pixels, whole[[0, 2, 0]])


def test_decoded_images_are_in_memory_once_whatever_part_of_them_is_used(tmp_path: Path) -> None:
    store = PixelStore(split_of(picture_files(tmp_path, 5)), HEIGHT, WIDTH)
    store.open()
    assert store.only(np.arange(5)) is store
    part = store.only(np.array([4, 2]))
    assert part._pixels is store._pixels and part.only(np.array([1]))._pixels is store._pixels


def test_a_part_knows_which_of_its_images_are_bad(tmp_path: Path) -> None:
    paths = picture_files(tmp_path, 5, damaged=(1, 3))
    store = PixelStore(split_of(paths), HEIGHT, WIDTH)
    store.open()
    part = store.only(np.array([3, 0, 4]))
    assert [one.name for one in part.open()] == [str(paths[3])] and part.good.tolist() == [1, 2]


def test_a_torn_list_of_bad_files_is_written_anew_from_what_can_be_read(tmp_path: Path) -> None:
    first, second = BadImage("a.png", "is empty"), BadImage("b.png", "is damaged")
    list_bad([first], 9, tmp_path, skip=True)
    path = tmp_path / BAD_FILES
    path.write_bytes(path.read_bytes() + b'{"name": "c.png", "rea')
    list_bad([second], 9, tmp_path, skip=True)
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["a.png", "b.png"]


def test_an_image_that_goes_bad_later_is_named(tmp_path: Path) -> None:
    paths = picture_files(tmp_path, 7)
    store = PixelStore(split_of(paths), HEIGHT, WIDTH, memory_gb=0)
    assert store.open() == ()
    paths[4].write_bytes(b"")
    with pytest.raises(DataError, match=r"004\.png.*empty"):
        list(store.batches(BATCHES))


def test_progress_ends_with_all_of_them() -> None:
    told: list[tuple[int, int]] = []
    split = drawn().read(Path()).train
    store = PixelStore(split, HEIGHT, WIDTH)
    store.open(lambda done, count: told.append((done, count)))
    assert told[-1] == (len(split), len(split))
    store.open(lambda done, count: told.append((-1, -1)))
    assert (-1, -1) not in told, "a second opening read everything again"


def test_a_cache_decodes_a_split_once_for_each_size(tmp_path: Path) -> None:
    paths = picture_files(tmp_path, 4, damaged=(2,))
    cache = PixelCache()
    opened = cache.open(split_of(paths), HEIGHT, WIDTH)
    for path in paths:
        path.unlink()
    again = cache.open(split_of(paths), HEIGHT, WIDTH)
    assert again is opened and len(again.bad) == 1
    assert len(cache.open(split_of(paths), HEIGHT, 16).bad) == 4


class Kept:
    """A folder of decoded pixels, what it said, and stores of files that use it."""

    def __init__(self, place: Path) -> None:
        self.said: list[str] = []
        self.folder = PixelFolder(place, self.said.append)

    def store(self, paths: list[Path], memory_gb: float) -> PixelStore:
        return PixelStore(split_of(paths), HEIGHT, WIDTH, memory_gb=memory_gb, folder=self.folder)


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_what_a_folder_keeps_is_not_decoded_again(
    tmp_path: Path, memory_gb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, kept = picture_files(tmp_path / "images", 70), Kept(tmp_path / "cache")
    whole, told = one_by_one(paths, np.arange(70)), list[tuple[int, int]]()
    with monkeypatch.context() as patched:
        patched.setattr("snreid.images.pixel_cache._MOST", 32)  # several files
        patched.setattr("snreid.images.pixel_cache._LEAST", 8)
        first = kept.store(paths, memory_gb)
        assert first.open(lambda done, count: told.append((done, count))) == () and told[-1] == (70, 70)
        assert len(list(tmp_path.glob("cache/24x12/*.safetensors"))) >= 3
        assert len(kept.said) == 1 and "70 images are kept" in kept.said[0]
        patched.setattr(FileImage, "read", lambda _: pytest.fail("decoded again"))
        second = kept.store(paths, memory_gb)
        assert second.open(lambda done, count: told.append((done, count))) == () and told[-1] == (70, 70)
        part = second.only(np.array([69, 3, 40]))
        for store, expected in ((first, whole), (second, whole), (part, whole[[69, 3, 40]])):
            everything = np.random.default_rng(0).permutation(len(expected))
            batches = np.array_split(everything, 3)
            for batch, pixels in zip(batches, store.batches(batches), strict=True):
                assert torch.equal(pixels, expected[batch])
        assert len(kept.said) == 2 and "70 images are read from" in kept.said[1]


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_a_damaged_file_of_pixels_is_said_and_made_anew(tmp_path: Path, memory_gb: float) -> None:
    paths, kept = picture_files(tmp_path / "images", 7), Kept(tmp_path / "cache")
    kept.store(paths, memory_gb).open()
    (file,) = tmp_path.glob("cache/24x12/*.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    store = kept.store(paths, memory_gb)
    assert store.open() == () and "is damaged" in kept.said[1]
    assert torch.equal(next(store.batches([np.arange(7)])), one_by_one(paths, np.arange(7)))
    assert kept.store(paths, memory_gb).open() == () and "are read from" in kept.said[-1], "the file is still damaged"


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_a_folder_knows_its_bad_images_until_they_can_be_read(tmp_path: Path, memory_gb: float) -> None:
    paths, kept = picture_files(tmp_path / "images", 7, damaged=(1,)), Kept(tmp_path / "cache")
    bad = kept.store(paths, memory_gb).open()
    store = kept.store(paths, memory_gb)
    assert store.open() == bad and [one.name for one in bad] == [str(paths[1])]
    good = store.only(store.good)
    assert torch.equal(next(good.batches([np.arange(6)])), one_by_one([*paths[:1], *paths[2:]], np.arange(6)))


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_an_image_that_may_be_read_at_last_is_no_longer_bad(
    tmp_path: Path, memory_gb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, kept = picture_files(tmp_path / "images", 3), Kept(tmp_path / "cache")
    read = FileImage.read

    def refusing(image: FileImage) -> np.ndarray:
        if image.path == str(paths[1]):
            raise DataError("rule", found=f"{image.path}: cannot be read (permission denied)")
        return read(image)

    with monkeypatch.context() as patched:
        patched.setattr(FileImage, "read", refusing)
        assert [one.name for one in kept.store(paths, memory_gb).open()] == [str(paths[1])]
    store = kept.store(paths, memory_gb)
    assert store.open() == () and torch.equal(next(store.batches([np.arange(3)])), one_by_one(paths, np.arange(3)))


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_a_full_disk_ends_the_keeping_and_nothing_else(
    tmp_path: Path, memory_gb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snreid.images.pixel_cache._MOST", 8)
    paths, kept, room = picture_files(tmp_path / "images", 30), Kept(tmp_path / "cache"), [1]
    packed = pixel_files._packed

    def filling(*given: Any) -> bytes:
        """One file finds room."""
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room.pop()
        return packed(*given)

    monkeypatch.setattr("snreid.images.pixel_cache._packed", filling)
    store = kept.store(paths, memory_gb)
    assert store.open() == () and len(kept.said) == 1 and "No space left" in kept.said[0]
    assert len(list(tmp_path.glob("cache/24x12/*"))) == 1
    assert torch.equal(next(store.batches([np.arange(30)])), one_by_one(paths, np.arange(30)))


def test_a_machine_says_what_its_folder_says_once(tmp_path: Path) -> None:
    said, paths = console(), picture_files(tmp_path / "images", 4)
    (tmp_path / "cache").write_bytes(b"")  # a file where the folder should be
    pixels = PixelCache.of(Machine(workers=0, cache=tmp_path / "cache", memory_gb=1.0), said)
    for number in (2, 4):
        assert pixels.open(split_of(paths[:number]), HEIGHT, WIDTH).bad == ()
    assert said.file.getvalue().count("can no longer be kept") == 1  # type: ignore[attr-defined]
    assert PixelCache.of(Machine(workers=0), said).folder is None


def target_of(name: str, paths: list[Path]) -> ReIDData:
    return ReIDData(name, Split(()), split_of(paths[:3]), split_of(paths[3:]))


def looked_at(targets: list[ReIDData], pixels: PixelCache, out: Path, *, skip: bool) -> None:
    look_at(targets, pixels, (HEIGHT, WIDTH), out, skip=skip, write=True, console=Console(file=StringIO()))


def test_bad_images_of_all_targets_are_named_at_once(tmp_path: Path) -> None:
    one = target_of("one", picture_files(tmp_path / "one", 6, damaged=(1,)))
    two = target_of("two", picture_files(tmp_path / "two", 6, damaged=(4,)))
    again = replace(one, gallery=Split((*one.gallery.samples, *one.query.samples)))
    pixels = PixelCache()
    with pytest.raises(DataError, match=r"2 of 12 are not.*one/001\.png.*two/004\.png.*--skip-bad"):
        looked_at([again, two], pixels, tmp_path / "out", skip=False)
    assert len((tmp_path / "out" / BAD_FILES).read_text().splitlines()) == 2
    looked_at([again, two], pixels, tmp_path / "skipped", skip=True)
    assert len((tmp_path / "skipped" / BAD_FILES).read_text().splitlines()) == 2
    nothing = target_of("nothing", picture_files(tmp_path / "nothing", 6, damaged=(3, 4, 5)))
    with pytest.raises(DataError, match="3 of 3 are not"):
        looked_at([nothing], pixels, tmp_path / "skipped", skip=True)


def test_what_was_looked_at_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, pixels = target_of("one", picture_files(tmp_path, 6)), PixelCache()
    looked_at([target], pixels, tmp_path / "out", skip=False)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(FileImage, "read", lambda _: pytest.fail("decoded again"))
    for split in (target.query, target.gallery):
        store = pixels.open(split, HEIGHT, WIDTH).store
        assert sum(len(images) for images in store.batches([np.arange(3)])) == 3


def test_what_a_reader_noticed_is_told_once_for_all_runs_and_splits() -> None:
    console, pixels = Console(file=StringIO()), PixelCache()
    splits = [
        replace(target_of(f"grid-split{k}", []), notes=("775 are nobody",), split_id=f"grid/{k} (x)") for k in (0, 1)
    ]
    for data in (*splits, *splits, replace(splits[0], split_id="", name="shop")):
        pixels.tell(data, console)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == "grid: 775 are nobody\nshop: 775 are nobody\n"
