"""Style distances between cameras: their text, their change from stage to stage, the shades of their tables."""

from math import isnan

import numpy as np

from snreid.figures.formatting import DASH, SPACE, minus_signs
from snreid.figures.lens_records import NeighbourShare, StyleTable

SHADES = 10
"""Number of shades in lens.css."""


def distance_text(value: float) -> str:
    """A distance with about three significant digits; a dash for NaN."""
    if isnan(value):
        return DASH
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:,.{digits}f}"


def change_text(before: float, after: float) -> str:
    """The relative change in percent with its sign; empty if it is not defined."""
    if isnan(before) or isnan(after) or before <= 0:
        return ""
    percent = round(100 * (after / before - 1))
    return minus_signs(f"{percent:+d}{SPACE}%" if percent else f"0{SPACE}%")


def share_text(share: NeighbourShare | None) -> str:
    """Such as ``80 % (chance 50 %)``; a dash for None."""
    return DASH if share is None else f"{100 * share.share:.0f}{SPACE}% (chance {100 * share.chance:.0f}{SPACE}%)"


def shade_of(value: float, scale: float) -> int:
    """The shade of a value between 0 and ``scale``, 0 to ``SHADES`` - 1."""
    if isnan(value) or scale <= 0:
        return 0
    return min(SHADES - 1, int(SHADES * max(0.0, value) / scale))


def largest_distance(table: StyleTable) -> float:
    """The largest distance between two different cameras over all maps of a stage; 0 if there is none."""
    off_diagonal = [matrix[~np.eye(len(matrix), dtype=bool)] for matrix in table.matrices.values()]
    return max((float(np.nanmax(values)) for values in off_diagonal if not np.isnan(values).all()), default=0.0)
