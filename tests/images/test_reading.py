"""Decoding: equal to a plain twin, and every file that is no whole picture is refused with its path and a reason."""

import contextlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from snreid.errors import DataError, ExperimentError
from snreid.images import reading as images
from snreid.images.reading import (
    BadImage,
    FileImage,
    examine,
    listed,
    read_bad_list,
    read_image,
    recompress,
    resize,
    write_bad_list,
)
from snreid.records import Sample

Pixels = NDArray[np.uint8]
LOSSLESS = (("PNG", "png"), ("BMP", "bmp"), ("TIFF", "tif"), ("PPM", "ppm"), ("WEBP", "webp"))


@pytest.fixture
def picture(rng: np.random.Generator) -> Pixels:
    """A picture of blocks, 64 x 32, so that a JPEG of it is close to it."""
    blocks = rng.integers(0, 256, (8, 4, 3)).astype(np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8))


def encoded(pixels: Pixels, kind: str, **options: object) -> bytes:
    """The picture as a file of this kind."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def refusal(path: Path, **options: int) -> str:
    """The message with which a file is refused; its path is in it."""
    with pytest.raises(DataError) as caught:
        read_image(path, **options)
    assert str(path) in caught.value.found
    assert caught.value.fix
    return caught.value.found.removeprefix(f"{path}: ")


@pytest.mark.parametrize(("kind", "suffix"), LOSSLESS)
def test_lossless_formats_give_back_every_pixel(kind: str, suffix: str, picture: Pixels, tmp_path: Path) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    found = read_image(written(tmp_path, f"a.{suffix}", encoded(picture, kind, **options)))
    assert found.dtype == np.uint8
    assert np.array_equal(found, picture)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_a_jpeg_is_decoded_as_pillow_does(options: dict[str, object], picture: Pixels, tmp_path: Path) -> None:
    path = written(tmp_path, "a.jpg", encoded(picture, "JPEG", **options))
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


def test_the_content_decides_and_not_the_name(picture: Pixels, tmp_path: Path) -> None:
    assert np.array_equal(read_image(written(tmp_path, "a.jpg", encoded(picture, "PNG"))), picture)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_grey_palette_transparent_and_cmyk_become_rgb(mode: str, picture: Pixels, tmp_path: Path) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    path = tmp_path / "a"
    Image.fromarray(picture).convert(mode).save(path, kind)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))


def test_a_palette_with_transparency_is_read_without_a_warning(picture: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture).convert("P").save(path, transparency=bytes(range(256)))
    assert read_image(path).shape == picture.shape


def test_a_jpeg_with_harmless_extra_bytes_is_read(picture: Pixels, tmp_path: Path) -> None:
    """Bytes between two markers are a warning of libjpeg: simplejpeg refuses the file, its pixels are whole."""
    data = encoded(picture, "JPEG")
    tables = data.index(b"\xff\xdb", 4)
    path = written(tmp_path, "a.jpg", data[:tables] + b"\0\0\0" + data[tables:])
    assert np.array_equal(read_image(path), read_image(written(tmp_path, "b.jpg", data)))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PPM", {}),
        ("WEBP", {}),
    ],
)
def test_a_truncated_file_is_refused_at_any_length(
    kind: str, options: dict[str, object], picture: Pixels, tmp_path: Path
) -> None:
    """The one exception: a PNG that lacks only what follows its last pixel, and then every pixel is right."""
    data = encoded(picture, kind, **options)
    whole = read_image(written(tmp_path, "whole", data))
    for length in [*range(1, len(data), max(1, len(data) // 60)), *range(len(data) - 12, len(data))]:
        path = written(tmp_path, "cut", data[:length])
        if kind == "PNG" and length >= len(data) - 24:
            with contextlib.suppress(DataError):
                assert np.array_equal(read_image(path), whole)
        else:
            assert "truncated" in refusal(path) or length < 12


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(50), "a GIF"),
        (b"%PDF-1.7", "a PDF"),
        (b"<html></html>", "no picture"),
        (b"\xff\xd8\xff", "truncated"),
        (b"RIFF\0\0\0\0WAVEfmt ", "WebP header"),
        (b"P6 0 0 255\n", "damaged|no pixels"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    assert re.search(reason, refusal(written(tmp_path, "a.jpg", data)))


def test_what_is_no_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "none.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "is not a file" in refusal(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="cannot be read"):
        read_image("a\0b.jpg")


def test_sixteen_bit_pixels_and_several_pages_are_refused(picture: Pixels, tmp_path: Path) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900).save(deep)
    assert "16 bit" in refusal(deep)
    pages = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    for name in ("pages.tif", "moving.webp", "moving.png"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        assert "more than one picture" in refusal(tmp_path / name)


def test_the_limit_of_pixels_is_an_argument(picture: Pixels, tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        path = written(tmp_path, kind, encoded(picture, kind))
        assert read_image(path, max_pixels=picture.shape[0] * picture.shape[1]).shape == picture.shape
        assert "64 x" in refusal(path, max_pixels=64 * 32 - 1) or "32 x 64" in refusal(path, max_pixels=64 * 32 - 1)
    assert "bytes" in refusal(written(tmp_path, "big.jpg", bytes(1_000_001)), max_pixels=10)


def bombs(folder: Path) -> list[Path]:
    """Small files that are huge in memory or take very long: many frames, many passes (reliability.md R9)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    size = (20_000).to_bytes(4, "big")
    rows = zlib.compress(bytes(20_000 * 2_501), 1)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size * 2 + b"\1\0\0\0\0") + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    jpeg = bytearray(encoded(np.zeros((64, 32, 3), np.uint8), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = (20_000).to_bytes(2, "big") * 2
    still = io.BytesIO()
    Image.new("L", (100, 100)).save(still, "GIF")
    image = still.getvalue()
    gif = image[:-1] + image[image.index(b"\x2c") : -1] * 10_000 + b";"
    webp = b"RIFF" + (1 << 20).to_bytes(4, "little") + b"WEBPVP8X\x0a\0\0\0\2\0\0\0" + b"\xfe\x3f\0" * 2 + bytes(1000)
    tiff = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(tiff, "TIFF", compression="group4")
    assert tiff.tell() < 100_000
    passes = encoded(np.zeros((2000, 2000, 3), np.uint8), "JPEG", progressive=True)
    last = passes.rindex(b"\xff\xda")
    bmp = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), "BMP"))
    bmp[18:26] = (30_000).to_bytes(4, "little") * 2
    files = {
        "png": png,
        "jpg": bytes(jpeg),
        "gif": gif,
        "webp": webp,
        "tif": tiff.getvalue(),
        "bmp": bytes(bmp),
        "jpeg": passes[:-2] + passes[last:-2] * 2000 + passes[-2:],
        "ppm": b"P6 60000 60000 255\n" + bytes(1000),
    }
    return [written(folder, f"bomb.{suffix}", data) for suffix, data in files.items()]


MEASURE = """
import resource, sys, time
from snreid.errors import DataError
from snreid.images.reading import read_image
read_image(sys.argv[1])
for path in sys.argv[2:]:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        read_image(path)
    except DataError as error:
        seconds, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(path.rsplit(".")[-1], seconds, (after - before) / 1024)
"""


def test_bombs_are_refused_at_once_and_cheaply(picture: Pixels, tmp_path: Path) -> None:
    """Every bomb in less than 0.1 s of computing and less than 50 MB of extra memory, in a fresh process."""
    paths = bombs(tmp_path)
    harmless = written(tmp_path, "harmless.png", encoded(picture, "PNG"))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(harmless), *map(str, paths)], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [path.suffix[1:] for path in paths]
    for kind, seconds, megabytes in lines:
        assert float(seconds) < 0.1, kind
        assert float(megabytes) < 50, kind


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The file cut, with bits flipped, bytes deleted, inserted or zeroed."""
    at = int(rng.integers(1, len(data)))
    length = int(rng.integers(1, 60))
    extra = rng.integers(0, 256, length).astype(np.uint8).tobytes()
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: data[:at],
        lambda: data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :],
        lambda: data[:at] + data[at + length :],
        lambda: data[:at] + extra + data[at:],
        lambda: data[:at] + bytes(min(length, len(data) - at)) + data[at + length :],
    )
    return ways[int(rng.integers(len(ways)))]()


def test_a_hundred_damaged_files_are_listed_and_nothing_crashes(
    rng: np.random.Generator, picture: Pixels, tmp_path: Path
) -> None:
    """R8, short form: every file either decodes to a picture or is listed once with a reason; good ones stay."""
    originals = [encoded(picture, "JPEG"), encoded(picture[..., 0], "JPEG"), encoded(picture, "PNG")]
    paths = [written(tmp_path, f"{i:03d}.jpg", damaged(originals[i % 3], rng)) for i in range(100)]
    good = [written(tmp_path, f"good{i}.jpg", data) for i, data in enumerate(originals)]
    found = list(examine([Sample(FileImage(str(path)), 1, 1) for path in [*paths, *good]], workers=2))
    bad = [one.bad for one in found if one.bad is not None]
    refused = {str(path) for path in paths if _is_refused(path)}
    assert {one.name for one in bad} == refused
    assert len(bad) == len(refused) > 40
    assert all(one.reason and one.name not in one.reason for one in bad)
    assert all(one.bad is None and one.digest for one in found[-3:])


def _is_refused(path: Path) -> bool:
    try:
        found = read_image(path)
    except DataError:
        return True
    assert found.ndim == 3
    assert found.shape[2] == 3
    assert found.dtype == np.uint8
    return False


@settings(max_examples=150, deadline=None)
@given(head=st.sampled_from([m for m, _ in images._MAGIC] + [b"", b"GIF89a"]), body=st.binary(max_size=200))
def test_any_bytes_give_a_picture_or_a_data_error(
    head: bytes, body: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _is_refused(written(tmp_path_factory.getbasetemp(), "any.bin", head + body))


def test_a_message_names_the_first_bad_files_and_counts_the_others() -> None:
    bad = [BadImage(f"{i}.jpg", "is empty") for i in range(3)]
    assert listed(bad, 2) == "0.jpg: is empty; 1.jpg: is empty; and 1 more"
    assert listed(bad, 3) == "0.jpg: is empty; 1.jpg: is empty; 2.jpg: is empty"


def test_the_list_of_bad_files_is_one_json_object_a_line(tmp_path: Path) -> None:
    bad = (BadImage("a/ü\n.jpg", "is empty"), BadImage("b.jpg", 'says "no"'))
    write_bad_list(tmp_path / "bad_files.jsonl", bad)
    lines = (tmp_path / "bad_files.jsonl").read_text().splitlines()
    assert [BadImage(**json.loads(line)) for line in lines] == list(bad)
    assert [path.name for path in tmp_path.iterdir()] == ["bad_files.jsonl"]
    assert read_bad_list(tmp_path / "bad_files.jsonl") == bad


@pytest.mark.parametrize(
    "torn",
    [b'{"name": "b.jpg", "rea', b"\xff\xfe\0", b"[" * 9999, b"3", b'{"name": 3, "reason": "x"}', b'{"name": "b"}'],
)
def test_of_a_torn_list_the_whole_lines_are_read(tmp_path: Path, torn: bytes) -> None:
    path, whole = tmp_path / "bad_files.jsonl", BadImage("a.jpg", "is empty")
    assert read_bad_list(path) == ()
    write_bad_list(path, [whole])
    path.write_bytes(path.read_bytes() + torn + b"\n" + path.read_bytes())
    assert read_bad_list(path) == (whole, whole)


def test_examining_keeps_order_counts_and_knows_equal_pictures(picture: Pixels, tmp_path: Path) -> None:
    one = written(tmp_path, "one.png", encoded(picture, "PNG"))
    same = written(tmp_path, "same.bmp", encoded(picture, "BMP"))
    turned = written(tmp_path, "turned.png", encoded(np.ascontiguousarray(picture.reshape(32, 64, 3)), "PNG"))
    samples = [Sample(FileImage(str(path)), 1, 1) for path in (one, same, turned)]
    done: list[int] = []
    found = list(examine(samples, workers=2, progress=done.append))
    assert [f.sample for f in found] == samples
    assert found[0].digest == found[1].digest != found[2].digest
    assert sum(done) == 3
    with pytest.raises(ExperimentError, match="at least 1 worker"):
        list(examine(samples, workers=0))


def slow_bilinear(pixels: Pixels, height: int, width: int) -> NDArray[np.float64]:
    """The triangle filter whose support is the scale, one output pixel at a time, first rows then columns."""

    def shrink(lines: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        scale = lines.shape[0] / size
        support = max(scale, 1.0)
        out = np.zeros((size, *lines.shape[1:]))
        for to in range(size):
            centre = (to + 0.5) * scale
            weights = np.array([max(0.0, 1 - abs(i + 0.5 - centre) / support) for i in range(lines.shape[0])])
            out[to] = np.tensordot(weights / weights.sum(), lines, axes=1)
        return out

    rows = shrink(pixels.astype(np.float64), height)
    return shrink(rows.transpose(1, 0, 2), width).transpose(1, 0, 2)


@pytest.mark.parametrize("size", [(32, 16), (20, 30), (128, 64), (1, 1), (64, 32)])
def test_resize_is_the_antialiased_triangle_filter(size: tuple[int, int], picture: Pixels) -> None:
    found = resize(picture, *size)
    assert found.dtype == np.uint8
    assert found.shape == (*size, 3)
    assert np.abs(found - slow_bilinear(picture, *size)).max() <= 1.01  # rounded to whole grey levels twice


def test_resize_gives_an_array_of_its_own(picture: Pixels) -> None:
    for size in ((64, 32), (30, 20)):
        found = resize(picture, *size)
        found[:] = 0
    assert picture.any()


def test_resize_refuses_what_is_no_image_or_size(picture: Pixels) -> None:
    with pytest.raises(DataError, match="uint8"):
        resize(picture.astype(np.float32), 8, 8)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"\(64, 32\)"):
        resize(picture[..., 0], 8, 8)
    with pytest.raises(ExperimentError, match="at least 1 x 1"):
        resize(picture, 0, 8)


def test_a_file_image_crosses_process_borders(picture: Pixels, tmp_path: Path) -> None:
    image = FileImage(str(written(tmp_path, "a.png", encoded(picture, "PNG"))))
    again = pickle.loads(pickle.dumps(image))
    assert again == image
    assert again.name == image.path
    assert np.array_equal(again.read(), picture)


def test_nothing_else_in_the_source_opens_image_files_or_pickled_arrays() -> None:
    forbidden = re.compile(r"Image\.open|cv2|imageio|torchvision\.io|allow_pickle\s*=\s*True|pickle\.load")
    source = Path(images.__file__).parents[1]
    texts = {path: path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    assert not [str(path) for path, text in texts.items() if path.name != "reading.py" and forbidden.search(text)]


def test_recompressed_pixels_are_those_of_an_encoder_and_a_decoder(picture: Pixels) -> None:
    wanted = np.asarray(Image.open(io.BytesIO(encoded(picture, "JPEG", quality=30, subsampling="4:2:0")))).astype(int)
    found = recompress(picture, 30)
    # Encoders round differently; quality 31 is further away than another encoder is.
    assert found.dtype == np.uint8 and np.abs(found - wanted).mean() < np.abs(recompress(picture, 31) - wanted).mean()
    assert not np.array_equal(found, picture) and np.array_equal(recompress(picture, 30), found)
