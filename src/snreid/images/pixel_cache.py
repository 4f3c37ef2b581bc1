"""Decoded pixels on disk (``--cache``): images decoded once are memory-mapped at the next start.

A folder holds files of 64 to 512 images, ``HEIGHTxWIDTH/KEY.safetensors``. The key is a hash of everything that decides the pixels: the
stamp of each image (a file's path, size and time of change; for a synthetic image its parameters and the program), the size, and the
versions of the decoders. A changed image therefore changes the key of its own file only. Lists of images are cut by content, not by
position, so the same images in a longer list (several sources, ``@all``) use the same files.

Files are written whole or not at all, and read only if format, key, length and sha256 are right.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from snreid.errors import ExperimentError
from snreid.records import ImageSource, stamp_of
from snreid.system.atomic_files import sweep, write_bytes

FORMAT = 2
"""Version of the files and of the reading and resizing that made their pixels; part of the key."""
_DECODERS = ("simplejpeg", "pillow")
_LEAST, _MOST = 64, 512
"""Least and largest number of images in a file; the last file of a list may have fewer."""
_NAME, _HASH = "snreid-pixels", "sha256"
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class PixelFile:
    """The content of a file."""

    pixels: NDArray[np.uint8]
    """(N, H, W, 3), memory-mapped, read-only."""
    reasons: tuple[str, ...]
    """Why each image could not be read; empty if it could."""


@dataclass(frozen=True)
class PixelFolder:
    """A folder of decoded pixels, which any number of processes may read and write at the same time."""

    folder: Path
    say: Callable[[str], None] = lambda sentence: None
    """Called with messages for the user."""

    def pieces(self, images: Sequence[ImageSource], height: int, width: int) -> "list[Piece] | None":
        """The files that the images belong to, in the order of the split; None if an image has no stamp.

        Reads sizes and times of the image files, but does not open them.
        """
        stamps = []
        for image in images:
            stamp = stamp_of(image)
            if stamp is None:
                self.say(
                    f"{image.name} and its like are decoded again at each start: nothing tells whether they changed"
                )
                return None
            stamps.append(sha256(stamp.encode("utf-8", "surrogateescape")).digest())
        place = self.folder / f"{height}x{width}"
        decoders = [f"{name} {metadata.version(name)}" for name in _DECODERS]
        pieces = []
        for start, stop in cuts(stamps):
            key = sha256(
                json.dumps([FORMAT, height, width, decoders]).encode() + b"".join(stamps[start:stop])
            ).hexdigest()[:40]
            pieces.append(Piece(place / f"{key}.safetensors", range(start, stop), height, width))
        return pieces

    def read(self, pieces: "Sequence[Piece]", *, threads: int = 1) -> "Iterator[PixelFile | None]":
        """Yield the file of each piece, mapped and verified; None if it is missing or damaged. Damage is reported to the user."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for piece, outcome in zip(pieces, pool.map(_read, pieces), strict=True):
                if isinstance(outcome, str):
                    self.say(f"A file of decoded pixels {outcome} and is made again: {piece.path}")
                yield outcome if isinstance(outcome, PixelFile) else None

    def write(self, piece: "Piece", pixels: NDArray[np.uint8], reasons: Sequence[str]) -> bool:
        """Write decoded images (N, H, W, 3), whole or not at all, and return whether it worked. If not (disk full, no permission), tell the
        user why."""
        try:
            write_bytes(piece.path, _packed(piece, pixels, reasons), durable=False)
        except (OSError, ExperimentError) as error:
            self.say(
                f"Decoded pixels can no longer be kept in {self.folder} ({getattr(error, 'strerror', None) or error}); going on without"
            )
            return False
        return True

    def sweep(self) -> None:
        """Delete the drafts that killed processes left a day ago or longer."""
        for place in self.folder.glob("*x*/"):
            sweep(place)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive images of a list, kept in one file."""

    path: Path
    places: range
    """Positions in the list."""
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3) of its pixels."""
        return len(self.places), self.height, self.width, 3


def cuts(stamps: Sequence[bytes]) -> list[tuple[int, int]]:
    """Cut a list into pieces of 64 to 512 images: (start, stop) of each.

    A cut follows every image whose hash begins with a zero byte, so inserted images move only the neighbouring cuts.
    """
    pieces, start = [], 0
    for place, stamp in enumerate(stamps, start=1):
        length = place - start
        if (length >= _LEAST and stamp[0] == 0) or length == _MOST or place == len(stamps):
            pieces.append((start, place))
            start = place
    return pieces


def _packed(piece: Piece, pixels: NDArray[np.uint8], reasons: Sequence[str]) -> bytes:
    bad = {str(place): reason for place, reason in enumerate(reasons) if reason}
    text = json.dumps({"format": FORMAT, "key": piece.path.stem, "bad": bad})
    whole = np.ascontiguousarray(pixels)
    return save({"pixels": whole}, metadata={_NAME: text, _HASH: _digest(text, whole)})


def _digest(text: str, pixels: NDArray[np.uint8]) -> str:
    digest = sha256(text.encode())
    digest.update(pixels.data)
    return digest.hexdigest()


def _read(piece: Piece) -> PixelFile | str | None:
    """The piece's file; None if it is missing; what is wrong with it, as a predicate for a sentence, if it is damaged."""
    try:
        with piece.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_HEADER:
                return "is no such file"
            text, stored, bad = _metadata(file.read(length), piece)
            pixels = np.memmap(file, np.uint8, "r", 8 + length, piece.shape)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"cannot be read ({error})"
    if size != 8 + length + pixels.nbytes or _digest(text, pixels) != stored:
        return "is damaged"
    reasons = [bad.get(str(place), "") for place in range(len(pixels))]
    return PixelFile(pixels, tuple(reasons))


def _metadata(header: bytes, piece: Piece) -> tuple[str, str, dict[str, str]]:
    """The metadata's text, the hash, and the reasons by position. Raises ``ValueError``, ``LookupError``, ``TypeError``, ... for a header
    that ``_packed`` did not write."""
    fields: Any = json.loads(header)
    text, stored, tensor = fields["__metadata__"][_NAME], fields["__metadata__"][_HASH], fields["pixels"]
    content = json.loads(text)
    if content["format"] != FORMAT or content["key"] != piece.path.stem:
        raise ValueError("it belongs to other images")
    if tensor["dtype"] != "U8" or tuple(tensor["shape"]) != piece.shape:
        raise ValueError(f"its pixels are {tensor['dtype']} of shape {tensor['shape']}")
    bad = content["bad"]
    if not all(isinstance(reason, str) for reason in bad.values()):
        raise ValueError("its reasons are no words")
    return text, stored, bad
