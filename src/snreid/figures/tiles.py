"""Images as tiles: inside the report as data URIs, and as a picture of its own (rank list, domains side by side)."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from snreid.errors import ExperimentError
from snreid.records import RankList, Sample, Split

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB."""

RIGHT, WRONG, IGNORED = "right", "wrong", "ignored"
VERDICT_COLOURS = {RIGHT: (0, 114, 178), WRONG: (213, 94, 0), IGNORED: (128, 128, 128)}
"""Blue, vermilion and grey of Okabe and Ito's palette: told apart by colour-blind readers too; a sign says it again."""


@dataclass(frozen=True, kw_only=True)
class RankExample:
    """One query with the first gallery images that several schemes return for it."""

    domain: str
    query: Split
    gallery: Split
    lists: tuple[tuple[str, RankList], ...]
    """(scheme name, its rank list), all of the same query, in the order in which they are shown."""
    reason: str = ""
    """Why this query is shown, such as "most gained by SNR"."""

    def __post_init__(self) -> None:
        queries = {ranks.query for _, ranks in self.lists}
        if len(queries) != 1 or not 0 <= min(queries) < len(self.query):
            raise ExperimentError(
                "a rank example shows one query of its query split, ranked by one or more schemes",
                found=f"queries {sorted(queries)} of a split with {len(self.query)} images",
                fix="give rank lists of the same query",
            )
        for scheme, ranks in self.lists:
            outside = [int(i) for i in ranks.gallery if not 0 <= i < len(self.gallery)]
            strange = sorted(set(ranks.verdict) - set(VERDICT_COLOURS))
            if outside or strange or not len(ranks.gallery) == len(ranks.score) == len(ranks.verdict):
                raise ExperimentError(
                    "each entry of a rank list has a gallery position, a score and a verdict (right, wrong, ignored)",
                    found=f"scheme {scheme!r}: positions outside {outside}, verdicts {strange}, lengths "
                    f"{len(ranks.gallery)}, {len(ranks.score)}, {len(ranks.verdict)}",
                    fix="make the list with evaluation's ranking on the same gallery split",
                )

    @property
    def sample(self) -> Sample:
        """The query."""
        return self.query.samples[self.lists[0][1].query]


def fit(pixels: Pixels, height: int, width: int | None = None) -> Image.Image:
    """The image, at most ``height`` x ``width`` pixels (default: a square), its proportions kept, never enlarged."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = min(1.0, height / image.height, (width or height) / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def data_uri(pixels: Pixels, *, height: int = 160, quality: int = 85) -> str:
    """A JPEG of at most ``height`` x ``height`` pixels as ``data:image/jpeg;base64,...``, to stand in an HTML file."""
    buffer = io.BytesIO()
    fit(pixels, height).save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def rank_list_picture(example: RankExample, *, first: int = 10, height: int = 160) -> Image.Image:
    """Rank lists as one picture: a row per scheme, the query at the left, then the ``first`` best gallery images.

    Every gallery image has a frame in the colour of its verdict and a drawn sign: a tick (right), a cross (wrong), a
    bar (ignored). ``height``: of one image in pixels; images are half as wide. Raises ``DataError`` for an unreadable
    image.
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
        _paste(canvas, example.sample.image.read(), (gap, top + title), (width, height))
        pen.text((gap + width / 2, top + title + height + 6), "query", fill="black", font=small, anchor="ma")
        rank = 0
        for place in range(min(first, len(ranks.gallery))):
            corner = (left + place * (width + gap), top + title)
            verdict = ranks.verdict[place]
            rank += verdict != IGNORED  # what the metrics ignore holds no rank
            sample = example.gallery.samples[int(ranks.gallery[place])]
            _paste(canvas, sample.image.read(), corner, (width, height))
            box = (corner[0] - 3, corner[1] - 3, corner[0] + width + 2, corner[1] + height + 2)
            pen.rectangle(box, outline=VERDICT_COLOURS[verdict], width=4)
            below = corner[1] + height + 6
            _sign(pen, verdict, (corner[0] + 4, below + 1))
            text = "ignored" if verdict == IGNORED else f"{rank}  {float(ranks.score[place]):.2f}"
            pen.text((corner[0] + 22, below), text, fill="black", font=small)
    return canvas


def domains_picture(domains: Sequence[tuple[str, Sequence[Sample]]], *, height: int = 128) -> Image.Image:
    """Domains side by side for the README: a row of images per (name, samples), the name above it, on white.

    ``height``: of one image in pixels; images are half as wide. Raises ``DataError`` for an unreadable image.
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
            _paste(canvas, sample.image.read(), (gap + place * (width + gap), top + title), (width, height))
    return canvas


def _paste(canvas: Image.Image, pixels: Pixels, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """The whole image, as large as fits into ``size`` (width, height), centred on light grey."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = min(size[0] / image.width, size[1] / image.height)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    canvas.paste((235, 235, 235), (*corner, corner[0] + size[0], corner[1] + size[1]))
    canvas.paste(image, (corner[0] + (size[0] - image.width) // 2, corner[1] + (size[1] - image.height) // 2))


def _sign(pen: ImageDraw.ImageDraw, verdict: str, corner: tuple[int, int]) -> None:
    """A tick, a cross or a bar, 13 pixels wide; drawn, so that no font has to know it."""
    x, y = corner
    colour = VERDICT_COLOURS[verdict]
    strokes = {
        RIGHT: [[(x, y + 7), (x + 5, y + 12), (x + 13, y + 1)]],
        WRONG: [[(x + 1, y + 1), (x + 12, y + 12)], [(x + 1, y + 12), (x + 12, y + 1)]],
        IGNORED: [[(x, y + 7), (x + 13, y + 7)]],
    }
    for stroke in strokes[verdict]:
        pen.line(stroke, fill=colour, width=3, joint="curve")
