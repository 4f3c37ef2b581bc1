"""EXIF orientation: how a camera was held, as a tag beside the pixels (CIPA DC-008, tag 0x0112).

Cameras store the sensor's rows and a tag that says how to turn them. Every image is turned upright when it is decoded, as fast-reid and
image viewers do; a crop that another program cut and saved has no tag.
"""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_MARK = b"Exif\0\0"
_TAG = 0x0112
_SHORT = 3
_APP1, _START_OF_SCAN, _FILL = 0xE1, 0xDA, 0xFF
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


def upright(stored: Pixels, exif: object) -> Pixels:
    """The image (H, W, 3) of a file turned upright by the file's EXIF block; a damaged or missing block, or an unknown orientation, turns
    nothing."""
    turn = _TURNS.get(_orientation(exif.removeprefix(_MARK))) if isinstance(exif, bytes) else None
    return stored if turn is None else np.ascontiguousarray(turn(stored))


def exif_of_jpeg(data: bytes) -> bytes | None:
    """The EXIF block of a JPEG that has been decoded, or None. Takes microseconds, because every image is asked."""
    if _MARK not in data:
        return None
    at = 2
    while at + 4 <= len(data) and data[at] == _FILL and data[at + 1] != _START_OF_SCAN:
        if data[at + 1] == _FILL:
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _APP1 and data.startswith(_MARK, at + 4):
            return data[at + 4 : end]
        at = end
    return None


def _orientation(block: bytes) -> int:
    """The tag's value in the first directory of a TIFF structure; 0 without one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 0
    try:
        (first,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, first)
        for entry in range(first + 2, first + 2 + 12 * count, 12):
            tag, kind, values, value = struct.unpack_from(f"{order}HHIH", block, entry)
            if tag == _TAG:
                return int(value) if (kind, values) == (_SHORT, 1) else 0
    except struct.error:  # the block ends too early
        pass
    return 0
