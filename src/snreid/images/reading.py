"""Decoding and resizing of images, and the list of bad files.

Every image, for training, testing and serving, is read by ``read_image`` and resized by ``resize``, so a model is served the pixels it was
trained on. Nothing else in ``src`` decodes an image file.

* JPEG is decoded by simplejpeg (2 to 5 times as fast as Pillow, equal pixels), other formats by Pillow's plugin for that format, chosen by
  the first bytes of the file and never by its name.
* The size in the header is checked before anything is decoded, so a decompression bomb costs only its header.
* torchvision's decoder is not used, because it crashes (SIGSEGV) on damaged PNG files.
* Images are turned upright by their EXIF orientation (``orientation.py``).
"""

import json
import os
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from snreid.errors import DataError, ExperimentError
from snreid.images.orientation import exif_of_jpeg, upright
from snreid.records import Sample
from snreid.system.atomic_files import write_text

CROP_PIXELS = 4_000_000
"""Largest number of pixels in a crop of one person."""
FORMATS = "JPEG, PNG, BMP, single-page TIFF, still WebP, PPM"
"""The formats that can be read, for messages."""

Interpolation = Literal["bilinear", "bicubic"]
"""A filter of ``resize``."""
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_RULE = "every image has to be a whole picture file that can be decoded"
_REPAIR = "replace or remove this file, or go on without bad files by --skip-bad"
_MAGIC: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"P5", PpmImagePlugin.PpmImageFile),
    (b"P6", PpmImagePlugin.PpmImageFile),
)
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV"})
_MOST_SCANS = 100
_BLOCK = 2048
_quiet = Lock()  # Pillow warns about odd files, and all threads share one list of warning filters


class _Refused(Exception):
    """Why a file cannot be decoded; ``read_image`` turns it into a ``DataError`` with the path."""


def read_image(path: str | Path, *, max_pixels: int = CROP_PIXELS, turn: bool = True) -> NDArray[np.uint8]:
    """Read an image file.

    Transparency is dropped; grey and CMYK become RGB.

    Args:
        path: The file, in one of ``FORMATS``.
        max_pixels: Largest size, checked in the header before decoding.
        turn: Whether to turn it upright by its EXIF orientation; False for a JPEG that others marked up as it is stored.

    Returns:
        Pixels (H, W, 3), RGB, uint8, 0 to 255.

    Raises:
        DataError: With path and reason, if the file is missing, empty, truncated, damaged, too large or of another format.
    """
    try:
        data = _read_bytes(path, max_pixels)
        return _decode(data, max_pixels, turn)
    except _Refused as refused:
        raise DataError(_RULE, found=f"{path}: {refused}", fix=_REPAIR) from None


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image file as an ``ImageSource``."""

    path: str

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    def read(self) -> NDArray[np.uint8]:
        """Pixels (H, W, 3), RGB, uint8. Raises ``DataError`` with path and reason."""
        return read_image(self.path)

    def stamp(self) -> str:
        """``file_stamp`` of the path."""
        return file_stamp(self.path)


def file_stamp(path: str) -> str:
    """Absolute path, size and time of change of a file, which is not opened: equal stamps mean equal pixels."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return f"{os.path.abspath(path)} is not there"
    return f"{os.path.abspath(path)} {info.st_size} {info.st_mtime_ns}"


def resize(image: NDArray[np.uint8], height: int, width: int, *, by: Interpolation = "bilinear") -> NDArray[np.uint8]:
    """Resize an image (H, W, 3) uint8: the one resize of training, test and serving.

    Pillow's filter, antialiased when it shrinks. It uses integer arithmetic, so the result is the same on every machine. Another filter
    than bilinear is for networks that were trained so.

    Raises:
        DataError: The image has another shape or type.
        ExperimentError: A size is below 1, or the filter is unknown.
    """
    if height < 1 or width < 1:
        raise ExperimentError(
            "An image size is at least 1 x 1", found=f"height {height}, width {width}", fix="give positive sizes"
        )
    if by not in _FILTERS:
        raise ExperimentError(
            "An image is resized by 'bilinear' or by 'bicubic'", found=repr(by), fix="choose one of the two"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise DataError(
            "An image is an array (height, width, 3) of uint8",
            found=f"shape {image.shape}, type {image.dtype}",
            fix="convert it to 8-bit RGB first",
        )
    if image.shape[:2] == (height, width):
        return image.copy()
    small = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), _FILTERS[by])
    return np.array(small, dtype=np.uint8)


def recompress(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress an image (H, W, 3) uint8 as JPEG of quality 1 to 100 with 4:2:0 colour subsampling, and decode it again.

    Uses libjpeg-turbo's integer transform: the same pixels on any machine with the same version of the library.
    """
    encoded = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=quality, colorspace="RGB", colorsubsampling="420", fastdct=False
    )
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(encoded, colorspace="RGB", fastdct=False)
    return pixels


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image that cannot be read, and why."""

    name: str
    """Name of the image source: its path."""
    reason: str
    """For the user, without the path."""


@dataclass(frozen=True, slots=True)
class Examined:
    """The outcome of decoding a sample's image."""

    sample: Sample
    digest: bytes
    """16-byte hash of size and pixels; empty for a bad image."""
    bad: BadImage | None
    """Why the image cannot be read; None if it can."""


def examine(
    samples: Iterable[Sample], *, workers: int, progress: Callable[[int], None] | None = None
) -> Iterator[Examined]:
    """Decode the image of every sample once and yield the outcome of each, in order; a bad image raises nothing.

    ``workers`` >= 1 threads decode, which releases the interpreter lock. ``progress`` is called with the number of images done since its
    last call. Raises ``ExperimentError`` without a worker.
    """
    if workers < 1:
        raise ExperimentError("Images are decoded by at least 1 worker", found=f"{workers}", fix="give 1 or more")
    waiting = iter(samples)
    with ThreadPoolExecutor(workers) as pool:
        while block := list(islice(waiting, _BLOCK)):
            yield from pool.map(_examine, block)
            if progress is not None:
                progress(len(block))


def listed(bad: Sequence[BadImage], most: int) -> str:
    """The first ``most`` bad images with their reasons, and the number of the others, as part of a message."""
    more = f"; and {len(bad) - most} more" if len(bad) > most else ""
    return "; ".join(f"{image.name}: {image.reason}" for image in bad[:most]) + more


def write_bad_list(path: Path, bad: Iterable[BadImage]) -> None:
    """Write ``bad_files.jsonl``, one JSON object with ``name`` and ``reason`` a line, whole or not at all."""
    lines = [json.dumps({"name": image.name, "reason": image.reason}, ensure_ascii=True) + "\n" for image in bad]
    write_text(path, "".join(lines))


def read_bad_list(path: Path) -> tuple[BadImage, ...]:
    """Read a file that ``write_bad_list`` wrote, without its damaged lines; () if there is no file."""
    if not path.is_file():
        return ()
    images = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            image = BadImage(entry["name"], entry["reason"])
        except (ValueError, TypeError, KeyError, RecursionError):  # all that wrong bytes can raise
            continue
        if isinstance(image.name, str) and isinstance(image.reason, str):
            images.append(image)
    return tuple(images)


def _examine(sample: Sample) -> Examined:
    try:
        pixels = sample.image.read()
    except DataError as error:
        name = sample.image.name
        return Examined(sample, b"", BadImage(name, error.found.removeprefix(f"{name}: ")))
    digest = blake2b(pixels.tobytes(), digest_size=16, salt=repr(pixels.shape[:2]).encode()[:16])
    return Examined(sample, digest.digest(), None)


def _read_bytes(path: str | Path, max_pixels: int) -> bytes:
    """The bytes of a regular file. Its kind is checked first, because opening a pipe or a device could block for ever."""
    limit = max(1_000_000, 8 * max_pixels)
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise _Refused("is not a file")
        if info.st_size == 0:
            raise _Refused("is empty (0 bytes)")
        if info.st_size > limit:
            raise _Refused(f"has {info.st_size:,} bytes, more than any picture of {max_pixels:,} pixels needs")
        with open(path, "rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        raise _Refused("does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise _Refused(f"cannot be read ({error})") from None


def _decode(data: bytes, max_pixels: int, turn: bool) -> NDArray[np.uint8]:
    if data.startswith(b"\xff\xd8\xff"):
        fast = _decode_jpeg(data, max_pixels)
        if fast is not None:
            return upright(fast, exif_of_jpeg(data)) if turn else fast
    return _decode_pillow(data, max_pixels, turn)


def _decode_jpeg(data: bytes, max_pixels: int) -> NDArray[np.uint8] | None:
    """Decode by simplejpeg; None if Pillow has to decide.

    simplejpeg raises an error for every warning of libjpeg, even for harmless ones such as stray bytes between two markers. Pillow reads
    such files and, like simplejpeg, refuses truncated ones. CMYK is left to Pillow, because the two differ by one grey level.
    """
    scans = data.count(b"\xff\xda")  # each is a pass over the whole picture; these bytes do not occur inside a scan
    if scans > _MOST_SCANS:
        raise _Refused(f"is a JPEG in {scans:,} passes, more than the {_MOST_SCANS} allowed (made to take long)")
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height, max_pixels)
        if colours in ("CMYK", "YCCK"):
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError:
        return None
    return pixels


def _decode_pillow(data: bytes, max_pixels: int, turn: bool) -> NDArray[np.uint8]:
    """Decode by the plugin of the format. ``Image.open`` would guess, and could run plugins that are not in ``_MAGIC``."""
    plugin = next((plugin for magic, plugin in _MAGIC if data.startswith(magic)), None)
    if plugin is None:
        raise _Refused(f"is {_kind(data)}; the formats read are {FORMATS}")
    if plugin is WebPImagePlugin.WebPImageFile:
        _check_size(*_webp_size(data), max_pixels)  # the plugin allocates the canvas before it reports the size
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _pixels(plugin(BytesIO(data)), max_pixels, turn)
    except _Refused:
        raise
    except Exception as error:  # Pillow raises OSError, ValueError, a bare SyntaxError, struct.error, MemoryError...
        raise _Refused(f"is damaged or truncated ({str(error) or type(error).__name__})") from None


def _pixels(image: ImageFile.ImageFile, max_pixels: int, turn: bool) -> NDArray[np.uint8]:
    with image:
        _check_size(*image.size, max_pixels)
        _check_single(image)
        if image.mode not in _EIGHT_BIT:
            raise _Refused(f"has pixels of kind {image.mode!r} (16 bit or float); save it with 8 bits a channel")
        pixels = np.array(image.convert("RGB"), dtype=np.uint8)  # a TIFF is turned already
        return upright(pixels, image.info.get("exif")) if turn else pixels


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise _Refused(f"has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise _Refused(f"is {width} x {height} pixels, more than the {max_pixels:,} allowed")


def _check_single(image: ImageFile.ImageFile) -> None:
    """Only the second page is sought: counting the pages of a malicious file could take long."""
    try:
        image.seek(1)
    except EOFError:
        image.seek(0)
        return
    raise _Refused("holds more than one picture (pages or animation)")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the first chunk of a WebP file (RFC 9649, sections 2.5 to 2.7)."""
    kind, head = data[12:16], data[20:30]
    if data[8:12] != b"WEBP" or len(head) < 10:
        raise _Refused("is damaged or truncated (no whole WebP header)")
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise _Refused(f"is damaged or truncated (WebP chunk {kind!r})")


def _kind(data: bytes) -> str:
    known = ((b"GIF8", "a GIF"), (b"%PDF", "a PDF"), (b"PK\3\4", "a ZIP archive"), (b"\0\0\0", "a video or HEIC file"))
    kinds = [kind for magic, kind in known if data.startswith(magic)]
    return kinds[0] if kinds else f"no picture (it begins with {data[:8]!r})"
