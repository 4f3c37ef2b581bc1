"""A contact sheet of rendered people: a row for each person, pictures from several cameras and sites side by side."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from snreid.errors import ExperimentError
from snreid.synthetic.people.render import Picture

_GAP = 2


def people_sheet(
    rows: Sequence[Sequence[Picture]], *, scale: int = 2, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB: all pictures of ``rows``, ``scale`` times enlarged. Raises ``ExperimentError`` for an empty sheet or scale below 1."""
    total = sum(len(row) for row in rows)
    if not total or scale < 1:
        raise ExperimentError(
            "A contact sheet shows at least one picture at scale 1 or more",
            found=f"{total} pictures, scale {scale}",
            fix="raise what is too small",
        )
    height, width = (side * scale for side in rows[0][0].size)
    across = max(len(row) for row in rows)
    sheet = Image.new("RGB", (across * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP), "white")
    done = 0
    for down, row in enumerate(rows):
        for column, picture in enumerate(row):
            tile = Image.fromarray(picture.draw()).resize((width, height), Image.Resampling.BICUBIC)
            sheet.paste(tile, (column * (width + _GAP), down * (height + _GAP)))
            done += 1
            if progress is not None:
                progress(done, total)
    return np.asarray(sheet)
