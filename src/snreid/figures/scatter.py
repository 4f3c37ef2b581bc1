"""Points in the plane as inline SVG, told apart by colour and by shape (styles s0 to s6 of report.css)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snreid.figures.curves import STYLES, shorten
from snreid.figures.markup import Html, tag

SIDE, EDGE = 520, 12
"""Width and height of the drawing and its margin, SVG units."""
_ROW = 22
_SHAPES = (
    "m-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0",
    "m-2.6,-2.6h5.2v5.2h-5.2z",
    "m0,-3.7l3.7,3.7l-3.7,3.7l-3.7,-3.7z",
    "m0,-3.4l3.4,6.2h-6.8z",
    "m0,3.4l3.4,-6.2h-6.8z",
    "m-3.4,-1.1h6.8v2.2h-6.8z",
    "m-1.1,-3.4h2.2v6.8h-2.2z",
)
OTHER = "other"
"""The label of points that are shown for orientation only, in grey and below the rest."""


def scatter_figure(title: str, points: NDArray[np.float64], labels: Sequence[str]) -> Html:
    """(N, 2) points with a label each, on equal axes that are not labelled; the labels are listed below in the order in which they
    first come, ``OTHER`` last. From the eighth label on colours and shapes are combined anew.
    """
    low, high = points.min(0), points.max(0)
    span = float((high - low).max()) or 1.0
    middle = (low + high) / 2
    room = SIDE - 2 * EDGE
    places = SIDE / 2 + (points - middle) / span * room * np.array([1, -1])  # the drawing's y grows downwards
    names = [name for name in dict.fromkeys(labels) if name != OTHER]
    marks = np.array(labels)
    parts = [_marks(places[marks == OTHER], "rest", 0)] if OTHER in labels else []
    legend: list[Html] = []
    for number, name in enumerate(names):
        colour = number % STYLES
        shape = (number + number // STYLES) % len(_SHAPES)
        parts.append(_marks(places[marks == name], f"mark s{colour}", shape))
        x, y = EDGE + (number % 2) * SIDE / 2, SIDE + 16 + number // 2 * _ROW
        words = f"{shorten(name, 28)} ({int((marks == name).sum())})"
        legend += [
            tag("path", d=f"M{x + 5:.1f},{y - 4:.1f}{_SHAPES[shape]}", class_=f"mark s{colour}"),
            tag("text", tag("title", name), words, x=x + 14, y=float(y)),
        ]
    height = SIDE + 16 + (len(names) + 1) // 2 * _ROW
    words = "; ".join(f"{name}: {int((marks == name).sum())} points" for name in names)
    frame = tag("rect", x=1, y=1, width=SIDE - 2, height=SIDE - 2, class_="frame")
    return tag(
        "svg", tag("title", title), tag("desc", words), frame, *parts, *legend,
        viewBox=f"0 0 {SIDE} {height}", role="img", aria_label=f"{title}. {words}", class_="chart scatter",
    )  # fmt: skip


def _marks(places: NDArray[np.float64], kind: str, shape: int) -> Html:
    """All points of one kind as one path."""
    path = "".join(f"M{x:.1f},{y:.1f}{_SHAPES[shape]}" for x, y in places.tolist())
    return tag("path", d=path, class_=kind)
