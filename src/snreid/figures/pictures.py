"""Images inside a page as data URIs, and pictures made of many images: rank lists, search results, domains side by side."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from snreid.errors import ExperimentError
from snreid.figures.rank_lists import IGNORED, RIGHT, WRONG, RankExample
from snreid.records import Sample

VERDICT_COLOURS = {RIGHT: (0, 114, 178), WRONG: (213, 94, 0), IGNORED: (128, 128, 128)}
"""Blue, vermilion and grey of Okabe and Ito's palette, which colour-blind readers can tell apart; a sign repeats the verdict."""
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


def rank_list_picture(example: RankExample, *, first: int = 10, height: int = 160) -> Image.Image:
    """Rank lists as one picture: a row per scheme, the query at the left, then the ``first`` best gallery images.

    Every gallery image has a frame in the colour of its verdict and a sign: a tick (right), a cross (wrong), a bar (ignored).

    Args:
        example: The query and its lists.
        first: Gallery images shown of each list.
        height: Height of one image in pixels; images are half as wide.

    Raises:
        DataError: An image cannot be read.
    """
    width, gap, title, foot = height // 2, 8, 26, 30
    count = max(min(first, len(ranks.gallery)) for _, ranks in example.lists)
    row = title + height + 8 + foot
    left = gap + width + 3 * gap
    canvas = Image.new("RGB", (left + count * (width + gap) + gap, row * len(example.lists) + gap), "white")
    pen = ImageDraw.Draw(canvas)
    font, small = ImageFont.load_default(16), ImageFont.load_default(13)
    for line, (scheme, ranks) in enumerate(example.lists):
        top = line * row + gap
        pen.text((gap, top), f"{scheme} on {example.domain}", fill="black", font=font)
        _paste(canvas, example.sample, (gap, top + title), (width, height))
        pen.text((gap + width / 2, top + title + height + 6), "query", fill="black", font=small, anchor="ma")
        for place, tile in enumerate(example.tiles(ranks, first)):
            corner = (left + place * (width + gap), top + title)
            _paste(canvas, tile.sample, corner, (width, height))
            box = (corner[0] - 3, corner[1] - 3, corner[0] + width + 2, corner[1] + height + 2)
            pen.rectangle(box, outline=VERDICT_COLOURS[tile.verdict], width=4)
            below = corner[1] + height + 6
            _sign(pen, tile.verdict, (corner[0] + 4, below + 1))
            text = "ignored" if tile.rank is None else f"{tile.rank}  {tile.score:.2f}"
            pen.text((corner[0] + 22, below), text, fill="black", font=small)
    return canvas


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

    Args:
        title: The line above all.
        queries: The query images; as many as fit into a row are shown.
        hits: What was found.
        columns: Images in a row.
        height: Height of one image in pixels; images are half as wide.

    Raises:
        DataError: An image cannot be read.
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


def domains_picture(domains: Sequence[tuple[str, Sequence[Sample]]], *, height: int = 128) -> Image.Image:
    """Domains below one another: a row of images per (name, samples), the name above it, on white.

    Args:
        domains: The rows.
        height: Height of one image in pixels; images are half as wide.

    Raises:
        DataError: An image cannot be read.
        ExperimentError: There is no image.
    """
    width, gap, title = height // 2, 6, 24
    count = max((len(samples) for _, samples in domains), default=0)
    if count == 0:
        raise ExperimentError(
            "a picture of domains needs at least one image", found="none", fix="give samples of at least one domain"
        )
    row = title + height + gap
    canvas = Image.new("RGB", (gap + count * (width + gap), row * len(domains) + gap), "white")
    pen = ImageDraw.Draw(canvas)
    for line, (name, samples) in enumerate(domains):
        top = line * row + gap
        pen.text((gap, top), name, fill="black", font=ImageFont.load_default(16))
        for place, sample in enumerate(samples):
            _paste(canvas, sample, (gap + place * (width + gap), top + title), (width, height))
    return canvas


def _paste(canvas: Image.Image, sample: Sample, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """Draws the whole image, as large as fits into ``size`` (width, height), centred on light grey."""
    image = Image.fromarray(np.ascontiguousarray(sample.image.read()))
    canvas.paste(ImageOps.pad(image, size, Image.Resampling.LANCZOS, _GREY), corner)


def _sign(pen: ImageDraw.ImageDraw, verdict: str, corner: tuple[int, int]) -> None:
    """Draws a tick, a cross or a bar, 13 pixels wide; fonts may lack these characters."""
    x, y = corner
    colour = VERDICT_COLOURS[verdict]
    strokes = {
        RIGHT: [[(x, y + 7), (x + 5, y + 12), (x + 13, y + 1)]],
        WRONG: [[(x + 1, y + 1), (x + 12, y + 12)], [(x + 1, y + 12), (x + 12, y + 1)]],
        IGNORED: [[(x, y + 7), (x + 13, y + 7)]],
    }
    for stroke in strokes[verdict]:
        pen.line(stroke, fill=colour, width=3, joint="curve")
