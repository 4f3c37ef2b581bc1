"""Compressed files of unknown origin: what their headers declare is checked before memory is used."""

import struct
import zipfile
import zlib
from collections.abc import Container
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

_RATIO = 100
"""Most bytes that a byte of a file may unpack to. Embeddings compress to a half, labels and names to a thirtieth."""
_COMPRESSED = 15
"""The type of a compressed element of a MATLAB file."""
_PIECE = 2**20
"""Bytes unpacked at once."""
_FREE = 64 * 2**20
"""Bytes that any file may unpack to: arrays of equal numbers compress better than everything else."""


def check_arrays(file: IO[bytes], wanted: Container[str] | None = None) -> None:
    """Raises ``ValueError`` unless the members of an npz file are plain arrays of the size that their headers declare, and unpack to a size
    that fits the file. For other damage raises what ``zipfile`` raises. The position of the file is restored; ``wanted`` are the names to
    check, None for all."""
    start = file.tell()
    size = file.seek(0, 2)
    total = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if wanted is None or name in wanted:
                with archive.open(member) as content:
                    declared, read = _declared(content, name), content.tell()
                if declared + read != member.file_size:
                    raise ValueError(f"{name} has {member.file_size - read:,} bytes instead of {declared:,}")
                total += declared
    check_growth(size, total)
    file.seek(start)


def check_matlab(file: IO[bytes]) -> None:
    """Raises ``ValueError`` if the compressed variables of a MATLAB file (version 5 to 7) unpack to a size that does not fit the file; what
    is not compressed cannot. For other damage raises what ``zlib`` raises. The position of the file is restored."""
    start = file.tell()
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(128)
    place, total = 128, 0
    while head.startswith(b"MATLAB") and place + 8 <= size:  # version 4 compresses nothing
        file.seek(place)
        kind, length = struct.unpack(">II" if head.endswith(b"MI") else "<II", file.read(8))
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            for begin in range(place + 8, min(place + 8 + length, size), _PIECE):
                packed = file.read(min(_PIECE, place + 8 + length - begin))
                while packed:
                    total += len(unpacker.decompress(packed, _PIECE))
                    check_growth(size, total)
                    packed = unpacker.unconsumed_tail
        place += 8 + length
    file.seek(start)


def check_growth(size: int, total: int) -> None:
    """Raises ``ValueError`` if a file of ``size`` bytes unpacks to so many (``total``) that it was made to fill the memory."""
    if total > max(_FREE, _RATIO * size):
        raise ValueError(f"{size:,} bytes that unpack to {total:,}")


def _declared(content: IO[bytes], name: str) -> int:
    """The bytes of an array after its header, which is read."""
    readers: dict[tuple[int, int], Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        shape, _, kind = readers[npy.read_magic(content)](content)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{name} is no plain array") from error
    if kind.hasobject:
        raise ValueError(f"{name} holds Python objects")
    count = 1
    for length in shape:  # in Python's integers: a product in int64 may wrap around
        count *= length
    return count * int(np.dtype(kind).itemsize)
