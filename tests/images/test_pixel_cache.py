"""Files of decoded pixels: read only if whole and ours, else made again and said so; a changed image changes its own file's name."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from snreid.images.pixel_cache import Piece, PixelFolder, cuts
from snreid.images.reading import FileImage

HEIGHT, WIDTH = 4, 2


@dataclass(frozen=True)
class Named:
    """An image source that only its name decides."""

    name: str

    def read(self) -> NDArray[np.uint8]:
        raise AssertionError("files of pixels do not read images")

    def stamp(self) -> str:
        return self.name


class Said(list[str]):
    """A folder of pixels and what it said."""

    def __init__(self, place: Path) -> None:
        self.folder = PixelFolder(place, self.append)

    def read(self, *pieces: Piece) -> list[NDArray[np.uint8] | None]:
        return [None if one is None else one.pixels for one in self.folder.read(pieces)]


def named(*numbers: int) -> list[Named]:
    return [Named(f"image {number}") for number in numbers]


def some(piece: Piece, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, piece.shape).astype(np.uint8)


def pieces_of(said: Said, *numbers: int) -> list[Piece]:
    pieces = said.folder.pieces(named(*numbers), HEIGHT, WIDTH)
    assert pieces is not None
    return pieces


def test_what_was_written_is_read_and_is_mapped(tmp_path: Path) -> None:
    said = Said(tmp_path / "new" / "cache")
    (piece,) = pieces_of(said, *range(5))
    assert said.read(piece) == [None]
    reasons = ["", "is empty (0 bytes)", "", "", "is a GIF"]
    assert said.folder.write(piece, some(piece), reasons)
    (found,) = said.folder.read([piece])
    assert found is not None and isinstance(found.pixels, np.memmap) and not found.pixels.flags.writeable
    np.testing.assert_array_equal(found.pixels, some(piece))
    assert found.reasons == tuple(reasons) and said == []
    np.testing.assert_array_equal(load_file(piece.path)["pixels"], some(piece))  # anybody's reader of safetensors


def changed_byte(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


HARM: dict[str, Any] = {
    "cut off": lambda content: content[:-1],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "a pixel": lambda content: changed_byte(content, len(content) - 3),
    "a reason": lambda content: content.replace(b"is a GIF", b"is a GIB"),
    "the hash": lambda content: content.replace(b'"sha256":"', b'"sha256":"0'),
    "the shape": lambda content: content.replace(b"[5,4,2,3]", b"[5,2,4,3]"),
    "no JSON": lambda content: changed_byte(content, 8),
    "deep JSON": lambda content: (50_000).to_bytes(8, "little") + b"[" * 50_000,
    "other JSON": lambda content: (2).to_bytes(8, "little") + b"[]",
    "a giant's header": lambda content: b"\xff" * 8 + content[8:],
    "something else": lambda content: b"GIF89a" * 100,
}


@pytest.mark.parametrize("harm", HARM)
def test_a_file_that_is_not_whole_and_ours_is_said_and_not_used(tmp_path: Path, harm: str) -> None:
    said = Said(tmp_path)
    (piece,) = pieces_of(said, *range(5))
    said.folder.write(piece, some(piece), ["", "", "", "", "is a GIF"])
    content = piece.path.read_bytes()
    piece.path.write_bytes(HARM[harm](content))
    assert piece.path.read_bytes() != content
    assert said.read(piece) == [None]
    (sentence,) = said
    assert str(piece.path) in sentence and "made again" in sentence


def test_the_file_of_other_images_is_not_used(tmp_path: Path) -> None:
    said = Said(tmp_path)
    (piece,), (other,) = pieces_of(said, 1, 2), pieces_of(said, 2, 1)
    assert piece.path != other.path
    said.folder.write(piece, some(piece), ["", ""])
    piece.path.rename(other.path)
    assert said.read(other) == [None] and "other images" in said[0]


def test_a_folder_in_its_place_is_no_traceback(tmp_path: Path) -> None:
    said = Said(tmp_path)
    (piece,) = pieces_of(said, 1)
    piece.path.mkdir(parents=True)
    assert said.read(piece) == [None] and len(said) == 1
    assert not said.folder.write(piece, some(piece), [""])


def test_size_and_decoder_decide_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(tmp_path)
    first = pieces_of(said, 1)[0].path
    larger = said.folder.pieces(named(1), HEIGHT, 3)
    assert larger is not None and larger[0].path.name != first.name
    monkeypatch.setattr("snreid.images.pixel_cache.metadata.version", lambda name: "99")
    assert pieces_of(said, 1)[0].path != first


def test_a_changed_file_is_another_image(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.jpg", PixelFolder(tmp_path)

    def key() -> str:
        pieces = folder.pieces([FileImage(str(path))], HEIGHT, WIDTH)
        assert pieces is not None
        return pieces[0].path.name

    keys = [key()]
    path.write_bytes(b"1")
    keys.append(key())
    path.write_bytes(b"12")
    keys.append(key())
    os.utime(path, ns=(1, 1))
    keys += [key(), key()]
    assert len(set(keys)) == 4 and keys[-1] == keys[-2]


def test_lists_are_cut_where_their_images_say() -> None:
    stamps = [sha256(f"{k}".encode()).digest() for k in range(20_000)]
    found = cuts(stamps)
    assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])] and found[-1][1] == len(stamps)
    lengths = [stop - start for start, stop in found]
    assert min(lengths[:-1]) >= 64 and max(lengths) <= 512 and 200 < np.mean(lengths) < 400
    assert cuts([]) == [] and cuts(stamps[:3]) == [(0, 3)]
    # Behind 100 other images nearly all pieces are the same ones.
    later = {(start - 100, stop - 100) for start, stop in cuts([sha256(b"x").digest()] * 100 + stamps)}
    assert len(later & set(found)) > 0.9 * len(found)


def test_images_that_cannot_tell_whether_they_changed_are_not_kept(tmp_path: Path) -> None:
    class Bare:
        name = "mine/1.jpg"

        def read(self) -> NDArray[np.uint8]:
            raise AssertionError

    said = Said(tmp_path)
    assert said.folder.pieces([*named(1), Bare()], HEIGHT, WIDTH) is None
    assert "mine/1.jpg" in said[0]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(tmp_path)
    (piece,) = pieces_of(said, 1, 2)
    said.folder.write(piece, some(piece), ["", ""])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("snreid.images.pixel_cache._packed", full)
    assert not said.folder.write(piece, some(piece, 1), ["", ""])
    assert "No space left" in said[0] and "going on without" in said[0]
    assert [path.name for path in piece.path.parent.iterdir()] == [piece.path.name]
    np.testing.assert_array_equal(said.read(piece)[0], some(piece))  # the former one


def test_who_reads_while_others_write_sees_whole_files(tmp_path: Path) -> None:
    said = Said(tmp_path)
    (piece,) = pieces_of(said, *range(50))
    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(said.folder.write, piece, some(piece), [""] * 50) for _ in range(30)]
        seen = [said.read(piece)[0] for _ in range(30)]
        assert all(one.result() for one in writing)
    assert said == [] and all(one is None or np.array_equal(one, some(piece)) for one in seen)
    assert [path.name for path in piece.path.parent.iterdir()] == [piece.path.name]


def test_only_old_drafts_are_swept(tmp_path: Path) -> None:
    said = Said(tmp_path)
    (piece,) = pieces_of(said, 1)
    said.folder.write(piece, some(piece), [""])
    old, new = piece.path.with_name(".a.tmp.12345678"), piece.path.with_name(".b.tmp.12345678")
    for draft in (old, new):
        draft.write_bytes(b"")
    os.utime(old, (1, 1))
    said.folder.sweep()
    assert sorted(path.name for path in piece.path.parent.iterdir()) == sorted([new.name, piece.path.name])
