"""Images are upright as Pillow turns them, whatever decodes them."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from snreid.images.orientation import upright
from snreid.images.reading import read_image

STORED = np.kron(np.arange(60, dtype=np.uint8).reshape(5, 4, 3) * 4, np.ones((8, 8, 1), np.uint8))


def tagged(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def saved(path: Path, image: Image.Image, orientation: int, **options: object) -> Path:
    image.save(path, exif=tagged(orientation), **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg", "a.jfif"])
def test_every_orientation_is_turned_as_pillow_turns_it(name: str, orientation: int, tmp_path: Path) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path / name, Image.fromarray(STORED), orientation, **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    found = read_image(path)
    assert found.shape == ((40, 32, 3) if orientation < 5 else (32, 40, 3)) and found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


def test_a_jpeg_that_pillow_decodes_is_turned_too(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(STORED).convert("CMYK"), 6)
    np.testing.assert_array_equal(read_image(path), np.rot90(read_image(path, turn=False), -1))
    assert read_image(path).shape == (32, 40, 3)


def test_stored_pixels_can_be_had(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(STORED), 8)
    plain = tmp_path / "plain.jpg"
    Image.fromarray(STORED).save(plain)
    np.testing.assert_array_equal(read_image(path, turn=False), read_image(plain))
    np.testing.assert_array_equal(read_image(path), np.rot90(read_image(plain), 1))


@pytest.mark.parametrize("orientation", [0, 9, 6])
def test_a_block_that_says_nothing_or_is_damaged_turns_nothing(orientation: int, tmp_path: Path) -> None:
    block = tagged(orientation)
    broken = block if orientation != 6 else block[:14] + b"\xff" * len(block[14:])
    buffer = io.BytesIO()
    Image.fromarray(STORED).save(buffer, "JPEG")
    data = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken + data[2:])
    (tmp_path / "plain.jpg").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), read_image(tmp_path / "plain.jpg"))
    assert upright(STORED, broken) is STORED and upright(STORED, None) is STORED


def test_the_block_is_found_behind_other_segments_and_in_either_byte_order(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(STORED).save(buffer, "JPEG", comment=b"of a camera", icc_profile=b"x" * 70000)
    data = buffer.getvalue()
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        entries = struct.pack(f"{order}HHHIHHHHIHH", 2, 0x0100, 4, 1, 7, 0, 0x0112, 3, 1, 5, 0)
        block = b"Exif\0\0" + mark + struct.pack(f"{order}I", 8) + entries
        scan = data.index(b"\xff\xdb")  # behind the profile, before the tables
        segment = b"\xff\xff\xe1" + struct.pack(">H", len(block) + 2) + block  # with a byte to fill up
        (tmp_path / "a.jpg").write_bytes(data[:scan] + segment + data[scan:])
        stored = read_image(tmp_path / "a.jpg", turn=False)
        np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), stored.swapaxes(0, 1))


def test_the_mark_inside_pixels_turns_nothing(tmp_path: Path) -> None:
    Image.fromarray(STORED).save(tmp_path / "a.jpg", comment=tagged(6))
    plain = np.asarray(Image.open(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), plain)
