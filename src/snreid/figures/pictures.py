"""Images inside a page as data URIs, and the contact sheet of a search."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from snreid.records import Sample

_GREY = (235, 235, 235)


def fit(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """The image (H, W, 3), at most ``side`` x ``side`` pixels, with its proportions; never enlarged."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def data_uri(pixels: NDArray[np.uint8], *, height: int = 160, quality: int = 85) -> str:
    """A JPEG of at most ``height`` x ``height`` pixels as ``data:image/jpeg;base64,...``, for use inside an HTML file."""
    buffer = io.BytesIO()
    fit(pixels, height).save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


class Hit(NamedTuple):
    """One row of a gallery on a contact sheet."""

    sample: Sample | None
    """None: the image is missing."""
    caption: str
    """The text below it."""


def search_picture(
    title: str, queries: Sequence[Sample], hits: Sequence[Hit], *, columns: int = 10, height: int = 160
) -> Image.Image:
    """A contact sheet: the query images in a row, below them the ``hits`` in rows, best first. Missing images are grey and say so.

    ``columns``: images in a row; no more query images are shown. ``height``: of one image, which is half as wide, in pixels. Raises
    ``DataError`` for an image that cannot be read.
    """
    width, gap, head, foot = height // 2, 8, 28, 28
    tiles = [Hit(sample, "query") for sample in queries[:columns]]
    rows = [tiles, *(hits[start : start + columns] for start in range(0, len(hits), columns))]
    size = (columns * (width + gap) + gap, head + len(rows) * (height + foot) + gap)
    canvas = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((gap, gap), title, fill="black", font=ImageFont.load_default(16))
    small = ImageFont.load_default(13)
    for line, row in enumerate(rows):
        for place, hit in enumerate(row):
            left, top = gap + place * (width + gap), head + gap + line * (height + foot)
            middle = left + width / 2
            if hit.sample is None:
                pen.rectangle((left, top, left + width - 1, top + height - 1), fill=_GREY)
                pen.text((middle, top + height / 2), "missing", fill="black", font=small, anchor="mm")
            else:
                _paste(canvas, hit.sample, (left, top), (width, height))
            pen.text((middle, top + height + 6), hit.caption, fill="black", font=small, anchor="ma")
    return canvas


def _paste(canvas: Image.Image, sample: Sample, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """Draws the whole image, as large as fits into ``size`` (width, height), centred on light grey."""
    image = Image.fromarray(np.ascontiguousarray(sample.image.read()))
    canvas.paste(ImageOps.pad(image, size, Image.Resampling.LANCZOS, _GREY), corner)
