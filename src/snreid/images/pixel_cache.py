"""Decoded pixels on disk (``--cache``): what was decoded once is mapped into memory at the next start.

A folder holds files of some hundred images each, ``HEIGHTxWIDTH/KEY.safetensors``. The key is a hash of all that decides the pixels:
of each image its stamp (a file's path, size and time of change; the values a drawing is made from, and the program), the size, and the
versions of what decodes. So a changed image changes the key of its own file only, and nothing has to be kept in step. Where a list of
images is cut is decided by the images at the cut, not by their number: the same images in a longer list (several sources, ``@all``)
are the same files.

Files are written whole or not at all, and read only if they are what they say: format, key, length and sha256 of all of it.
"""

import contextlib
import json
import os
import time
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

from snreid.records import ImageSource, stamp_of

FORMAT = 1
"""Of the files, and of the resize that made their pixels: another number, other keys."""
_DECODERS = ("simplejpeg", "pillow")
_LEAST, _MOST = 64, 512
"""Images of a file; the last one of a list may have fewer."""
_NAME, _HASH = "snreid-pixels", "sha256"
_LONGEST_HEADER = 1 << 20
_STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class PixelFile:
    """What a file holds."""

    pixels: NDArray[np.uint8]
    """(N, H, W, 3), mapped, read-only."""
    reasons: tuple[str, ...]
    """Why each image could not be read; empty where it could."""


@dataclass(frozen=True)
class PixelFolder:
    """A folder of decoded pixels. Any number of processes may read and write it at once."""

    folder: Path
    say: Callable[[str], None] = lambda sentence: None
    """Told what a user should know."""

    def pieces(self, images: Sequence[ImageSource], height: int, width: int) -> "list[Piece] | None":
        """Which files the images belong to, in order; None where an image cannot tell what decides its pixels. Looks at
        the files' sizes and times, opens none."""
        stamps = []
        for image in images:
            stamp = stamp_of(image)
            if stamp is None:
                self.say(
                    f"{image.name} and its like are decoded anew at each start: nothing tells whether they changed"
                )
                return None
            stamps.append(sha256(stamp.encode("utf-8", "surrogateescape")).digest())
        place = self.folder / f"{height}x{width}"
        decoders = [f"{name} {metadata.version(name)}" for name in _DECODERS]
        found = []
        for start, stop in cuts(stamps):
            key = sha256(
                json.dumps([FORMAT, height, width, decoders]).encode() + b"".join(stamps[start:stop])
            ).hexdigest()[:40]
            found.append(Piece(place / f"{key}.safetensors", range(start, stop), height, width))
        return found

    def read(self, pieces: "Sequence[Piece]", *, threads: int = 1) -> "Iterator[PixelFile | None]":
        """The file of each piece, mapped and found right to the last byte; None where there is none, or a damaged one, which is said."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for piece, found in zip(pieces, pool.map(_read, pieces), strict=True):
                if isinstance(found, str):
                    self.say(f"A file of decoded pixels {found} and is made anew: {piece.path}")
                yield found if isinstance(found, PixelFile) else None

    def write(self, piece: "Piece", pixels: NDArray[np.uint8], reasons: Sequence[str]) -> bool:
        """Keeps decoded images (N, H, W, 3), whole or not at all; says why it cannot (disk full, no right to write) and returns False."""
        draft = piece.path.with_name(f".{piece.path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
        try:
            piece.path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(_packed(piece, pixels, reasons))
            draft.replace(piece.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            self.say(
                f"Decoded pixels can no longer be kept in {self.folder} ({error.strerror or error}); going on without"
            )
            return False
        return True

    def sweep(self) -> None:
        """Deletes what killed processes left half written a day ago or longer."""
        for draft in self.folder.glob("*x*/.*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                    draft.unlink()


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive images of a list that one file holds."""

    path: Path
    places: range
    """Which ones of the list."""
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3) of its pixels."""
        return len(self.places), self.height, self.width, 3


def cuts(stamps: Sequence[bytes]) -> list[tuple[int, int]]:
    """(start, stop) of the pieces of a list: after every image whose hash is a multiple of 256, 64 to 512 images long. Inserted images
    therefore move no cut but the ones beside them."""
    found, start = [], 0
    for place, stamp in enumerate(stamps, start=1):
        length = place - start
        if (length >= _LEAST and stamp[0] == 0) or length == _MOST or place == len(stamps):
            found.append((start, place))
            start = place
    return found


def _packed(piece: Piece, pixels: NDArray[np.uint8], reasons: Sequence[str]) -> bytes:
    bad = {str(place): reason for place, reason in enumerate(reasons) if reason}
    said = json.dumps({"format": FORMAT, "key": piece.path.stem, "bad": bad})
    whole = np.ascontiguousarray(pixels)
    return save({"pixels": whole}, metadata={_NAME: said, _HASH: _digest(said, whole)})


def _digest(said: str, pixels: NDArray[np.uint8]) -> str:
    digest = sha256(said.encode())
    digest.update(pixels.data)
    return digest.hexdigest()


def _read(piece: Piece) -> PixelFile | str | None:
    """The piece's file; None where there is none; what is wrong with it, as the end of a sentence, where it is not to be trusted."""
    try:
        with piece.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_HEADER:
                return "is no such file"
            said = _said(file.read(length), piece)
            pixels = np.memmap(file, np.uint8, "r", 8 + length, piece.shape)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"cannot be read ({error})"
    text, stored, bad = said
    if size != 8 + length + pixels.nbytes or _digest(text, pixels) != stored:
        return "is damaged"
    reasons = [bad.get(str(place), "") for place in range(len(pixels))]
    return PixelFile(pixels, tuple(reasons))


def _said(header: bytes, piece: Piece) -> tuple[str, str, dict[str, str]]:
    """The piece's metadata as text, the hash, and the reasons. Raises ``ValueError`` and its like for what ``_packed`` did not write."""
    fields: Any = json.loads(header)
    text, stored, tensor = fields["__metadata__"][_NAME], fields["__metadata__"][_HASH], fields["pixels"]
    said = json.loads(text)
    if said["format"] != FORMAT or said["key"] != piece.path.stem:
        raise ValueError("it belongs to other images")
    if tensor["dtype"] != "U8" or tuple(tensor["shape"]) != piece.shape:
        raise ValueError(f"its pixels are {tensor['dtype']} of shape {tensor['shape']}")
    bad = said["bad"]
    if not all(isinstance(reason, str) for reason in bad.values()):
        raise ValueError("its reasons are no words")
    return text, stored, bad
