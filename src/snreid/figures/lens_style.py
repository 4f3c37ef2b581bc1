"""The lens's page: how far apart cameras are before and after each stage, as numbers and as tables of shades."""

from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from snreid.figures.lens_records import Mixed, Share, StyleTable
from snreid.figures.markup import Html, tag
from snreid.figures.page import folded, plain_table, row, scrolling, section

SHADES = 10
"""Steps of shade in lens.css."""
DASH = "\N{EN DASH}"
FORMULA = (
    "A camera's style at a stage is the mean m and the standard deviation s of every channel over all its images and positions. Two "
    "cameras A and B are D apart: the mean over channels of [(mA \N{MINUS SIGN} mB)\N{SUPERSCRIPT TWO} + (sA \N{MINUS SIGN} sB)"
    "\N{SUPERSCRIPT TWO}] / \N{VULGAR FRACTION ONE HALF}(sA\N{SUPERSCRIPT TWO} + sB\N{SUPERSCRIPT TWO}). 0 is the same style; at 1 they "
    "differ as much as the values of one camera do. Scaling or shifting a channel changes nothing, so F, F~ and F~+ can be compared. "
    "At F~ little is left by construction: normalization gives every image the same mean and deviation, but for channels that are silent "
    "on some images. The question is how much comes back with R+."
)
YARDSTICK = (
    "Halves: two random halves of the images of one camera. That far apart is the same style seen on few images; two whole cameras "
    "without any difference would be about half of that apart."
)


def number(value: float) -> str:
    """A distance with about three significant digits, a dash where there is none."""
    if isnan(value):
        return DASH
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:,.{digits}f}"


def change(before: float, after: float) -> str:
    """From ``before`` to ``after`` in percent with its sign; empty where there is nothing to compare."""
    if isnan(before) or isnan(after) or before <= 0:
        return ""
    percent = round(100 * (after / before - 1))
    return f"{percent:+d}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}") if percent else "0\N{NO-BREAK SPACE}%"


def style_section(sets: Sequence[str], styles: Sequence[StyleTable]) -> Html | None:
    """The means of every stage, then the tables of all pairs."""
    if not styles or len(sets) < 2:
        return None
    tables = [_stage(table, sets) for table in styles]
    return section(
        "Style distance",
        tag("p", FORMULA, class_="caption"),
        scrolling(_summary(styles), "Style distances, means"),
        tag("p", YARDSTICK, class_="caption"),
        *tables,
    )


def _summary(styles: Sequence[StyleTable]) -> Html:
    keys = ("within", "across", "halves")
    heads = ["", "Cameras of one data set", "Cameras of two data sets", "Halves of one camera"]
    shown = [key for key in keys if any(not isnan(means[key]) for one in styles for means in one.summaries.values())]
    rows = []
    for table in styles:
        before = table.summaries["F"]
        for name, means in table.summaries.items():
            cells = []
            for key in shown:
                words = "" if name == "F" or key == "halves" else change(before[key], means[key])
                cells.append(tag("td", number(means[key]), tag("small", words) if words else None))
            rows.append(tag("tr", tag("th", f"Stage {table.stage}, {name}", scope="row"), *cells))
    heads = [heads[0], *(head for key, head in zip(keys, heads[1:], strict=True) if key in shown)]
    return plain_table(heads, rows, class_="styles")


def _stage(table: StyleTable, sets: Sequence[str]) -> Html:
    apart = [matrix[~np.eye(len(sets), dtype=bool)] for matrix in table.matrices.values()]
    scale = max((float(np.nanmax(values)) for values in apart if not np.isnan(values).all()), default=0.0)
    panels = [
        tag(
            "figure",
            tag("figcaption", f"{name} (shades from 0 to {number(scale)})"),
            _matrix(matrix, sets, scale, f"Stage {table.stage}, {name}"),
        )
        for name, matrix in table.matrices.items()
        if name != "F~"  # all but empty, as the summary says
    ]
    return folded(
        f"Stage {table.stage}: every pair of cameras",
        tag("div", *panels, class_="heats wide" if len(sets) > 8 else "heats"),
    )


def _matrix(matrix: NDArray[np.float64], sets: Sequence[str], scale: float, words: str) -> Html:
    rows = []
    for place, name in enumerate(sets):
        cells = []
        for other, value in enumerate(matrix[place].tolist()):
            shade = "halves" if other == place else f"heat h{shade_of(value, scale)}"
            between = f"{name}, halves" if other == place else f"{name} and {sets[other]}"
            cells.append(tag("td", number(value), class_=shade, title=f"{between}: {number(value)}"))
        rows.append(tag("tr", tag("th", tag("b", str(place + 1)), f" {name}", scope="row"), *cells))
    table = plain_table([words, *(str(place + 1) for place in range(len(sets)))], rows, class_="heat")
    return scrolling(table, words)


def shade_of(value: float, scale: float) -> int:
    """Which of the ``SHADES`` a value between 0 and ``scale`` has."""
    if isnan(value) or scale <= 0:
        return 0
    return min(SHADES - 1, int(SHADES * max(0.0, value) / scale))


def mixed_section(mixed: Sequence[Mixed], drawings: Sequence[Html]) -> Html | None:
    """Where neighbours come from, and the pictures of the embeddings."""
    if not mixed and not drawings:
        return None
    shown = [key for key in ("domain", "camera") if any(getattr(one, key) is not None for one in mixed)]
    heads = {"domain": "Nearest neighbour from the same data set", "camera": "Nearest neighbour from the same camera"}
    rows = [row(one.what, [_share(getattr(one, key)) for key in shown]) for one in mixed]
    words = (
        "For each image the nearest one of another person: how often it comes from the same data set, and, looking in its own data set "
        "only, from the same camera. In brackets what a neighbour drawn by lot gives: the closer, the better mixed. Stages: by mean and "
        "standard deviation of every channel, standardized; embedding: by cosine, as persons are compared."
    )
    table = scrolling(plain_table(["", *(heads[key] for key in shown)], rows), "Neighbours") if shown else None
    picture = (
        "The pictures are t-SNE of the embeddings: neighbours in them are neighbours in truth, but distances between clusters and their "
        "sizes mean nothing. Trust the table."
    )
    return section(
        "Domains and cameras",
        tag("p", words, class_="caption") if shown else None,
        table,
        tag("p", picture, class_="caption") if drawings else None,
        tag("div", *drawings, class_="panels two") if drawings else None,
    )


def _share(found: Share | None) -> str:
    return DASH if found is None else share_text(found)


def share_text(found: Share) -> str:
    """Such as ``80 % (by lot 50 %)``."""
    return f"{100 * found.share:.0f} % (by lot {100 * found.chance:.0f} %)".replace(" %", "\N{NO-BREAK SPACE}%")


def distances(summaries: Mapping[str, Mapping[str, float]], key: str) -> tuple[float, float]:
    """One mean before (F) and after the last map of a stage."""
    return summaries["F"][key], list(summaries.values())[-1][key]
