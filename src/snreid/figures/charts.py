"""Geometry of the charts: CMC curves and values with their intervals. ``templates/charts.html.j2`` draws them as SVG.

Schemes differ in three ways: colour (a palette for colour-blind readers, in page.css, one for light and one for dark), line pattern,
and the shape of a marker that is repeated beside the scheme's name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from os.path import commonprefix
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snreid.figures.formatting import percent, percent_with_interval
from snreid.records import Interval

DASH_PATTERNS = ("6 4", "2 3", None, "9 3 2 3", "12 4", "4 2 1 2", "1 4")
"""Line patterns (SVG stroke-dasharray); None is solid. The style of a scheme is its number modulo ``STYLES``."""
STYLES = len(DASH_PATTERNS)
"""Number of styles; page.css has as many colours (s0, s1, ...)."""
MARKERS = (
    "m-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0",
    "m-2.6,-2.6h5.2v5.2h-5.2z",
    "m0,-3.7l3.7,3.7l-3.7,3.7l-3.7,-3.7z",
    "m0,-3.4l3.4,6.2h-6.8z",
    "m0,3.4l3.4,-6.2h-6.8z",
    "m-3.4,-1.1h6.8v2.2h-6.8z",
    "m-1.1,-3.4h2.2v6.8h-2.2z",
)
"""Shapes as SVG paths around the current point, about 6 units wide; one per style."""
LABEL_GAP = 16
"""Least distance of two labels, in SVG units (about pixels on a phone)."""
LONGEST_LABEL = 13
"""Characters of a name that fit beside a curve."""


@dataclass(frozen=True, slots=True)
class Span:
    """The range of an axis, as shares, in steps of ten points."""

    low: float
    high: float

    @property
    def ticks(self) -> tuple[float, ...]:
        """Labelled values: every ten points, or every twenty on a long axis."""
        step = 20 if self.high - self.low > 0.65 else 10
        first = ceil(100 * self.low / step - 1e-9) * step
        return tuple(tick / 100 for tick in range(first, round(100 * self.high) + 1, step))

    def place(self, share: float, start: float, end: float) -> float:
        """The coordinate of a share on an axis from ``start`` (low) to ``end`` (high)."""
        return start + (share - self.low) / (self.high - self.low) * (end - start)


def span_of(values: Sequence[float]) -> Span:
    """The smallest span between 0 and 1, in whole tens of percent and at least 0.2 long, that holds all ``values``."""
    low, high = floor(min(values) * 10 + 1e-9) / 10, ceil(max(values) * 10 - 1e-9) / 10
    low = max(0.0, min(low, high - 0.2))
    if high - low > 0.65:
        low = floor(low * 5 + 1e-9) / 5  # labels are twenty points apart then, and the axis starts at one
    return Span(low, min(1.0, max(high, low + 0.2)))


def spread(wanted: Sequence[float], low: float, high: float, gap: float = LABEL_GAP) -> list[float]:
    """Positions for labels, in the order of the ``wanted`` ones and near them, at least ``gap`` apart, from ``low`` to ``high``.

    Labels that do not fit exceed ``high``; they never overlap.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(wanted[i], low, placed[-1] + gap if placed else low))
    for back in range(len(placed) - 1, -1, -1):
        limit = high if back == len(placed) - 1 else placed[back + 1] - gap
        placed[back] = min(placed[back], limit)
    push = max(0.0, low - placed[0]) if placed else 0.0
    result = [0.0] * len(wanted)
    for position, i in zip(placed, order, strict=True):
        result[i] = position + push
    return result


def shorten(name: str, longest: int = LONGEST_LABEL) -> str:
    """The name, or its beginning and an ellipsis when it has more than ``longest`` characters."""
    return name if len(name) <= longest else name[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def short_labels(names: Iterable[str]) -> dict[str, str]:
    """Each name to a label that fits beside a curve. Names that begin alike lose what they share, then their middle."""
    labels = {name: shorten(name) for name in names}
    for label in set(labels.values()):
        alike = [name for name in labels if labels[name] == label]
        if len(alike) > 1:
            shared = commonprefix(alike)  # noqa: RUF071 - of characters
            start = max(shared.rfind(separator) for separator in " -_") + 1
            labels |= {name: _ends(name[start:] or name) for name in alike}
    return labels


def _ends(name: str) -> str:
    """The name, or its two ends and an ellipsis between them."""
    half = LONGEST_LABEL // 2
    return name if len(name) <= LONGEST_LABEL else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


@dataclass(frozen=True, kw_only=True)
class CmcChart:
    """CMC curves of one domain; each curve is named at its right end."""

    title: str
    curves: Mapping[str, NDArray[np.float64]]
    """Scheme to (K,) shares between 0 and 1 at ranks 1 to K; K >= 2 is the same for all."""
    styles: Mapping[str, int]
    """Scheme to its style, the same in all charts of a report."""
    span: Span
    """The vertical axis, the same in all charts of a report, so that they can be compared."""

    width: ClassVar[int] = 360
    height: ClassVar[int] = 250
    left: ClassVar[int] = 44
    right: ClassVar[int] = 240
    top: ClassVar[int] = 12
    bottom: ClassVar[int] = 208

    @property
    def length(self) -> int:
        """K, the last rank."""
        return len(next(iter(self.curves.values())))

    @property
    def description(self) -> str:
        """The first and last value of each curve, in words."""
        return "; ".join(
            f"{name}: {percent(curve[0])} % at rank 1, {percent(curve[-1])} % at rank {self.length}"
            for name, curve in self.curves.items()
        )

    @property
    def labels(self) -> dict[str, str]:
        """Scheme to its label."""
        return short_labels(self.curves)

    @property
    def label_heights(self) -> dict[str, float]:
        """Scheme to the y coordinate of its name."""
        ends = [self.y(float(curve[-1])) for curve in self.curves.values()]
        return dict(zip(self.curves, spread(ends, self.top + 6, self.bottom - 2), strict=True))

    def x(self, rank: float) -> float:
        """The coordinate of a rank."""
        return self.left + (rank - 1) / (self.length - 1) * (self.right - self.left)

    def y(self, share: float) -> float:
        """The coordinate of a share; y grows downwards."""
        return self.span.place(share, self.bottom, self.top)

    def polyline(self, scheme: str) -> str:
        """The points of a curve as SVG has them."""
        return " ".join(f"{self.x(k):.1f},{self.y(float(share)):.1f}" for k, share in enumerate(self.curves[scheme], 1))


class IntervalRow(NamedTuple):
    """One value with its interval; shares between 0 and 1."""

    name: str
    style: int
    value: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class IntervalChart:
    """Values with their intervals: a heading per group, below it a line per row with marker, interval, value and name."""

    title: str
    groups: Sequence[tuple[str, Sequence[IntervalRow]]]
    """(heading, rows), at least one row in all."""

    width: ClassVar[int] = 360
    left: ClassVar[int] = 10
    right: ClassVar[int] = 218
    head: ClassVar[int] = 26
    foot: ClassVar[int] = 38

    @property
    def span(self) -> Span:
        """The horizontal axis."""
        bounds = [bound for _, rows in self.groups for row in rows for bound in (row.interval.low, row.interval.high)]
        return span_of([min(1.0, max(0.0, bound)) for bound in bounds])

    @property
    def height(self) -> int:
        """Of the drawing."""
        return sum(self.head + LABEL_GAP * len(rows) for _, rows in self.groups) + self.foot

    @property
    def labels(self) -> dict[str, str]:
        """Name of a row to its label."""
        return short_labels(row.name for _, rows in self.groups for row in rows)

    @property
    def lines(self) -> list[tuple[int, str | IntervalRow]]:
        """All headings and rows with their y coordinates, from the top."""
        lines: list[tuple[int, str | IntervalRow]] = []
        top = 0
        for heading, rows in self.groups:
            lines.append((top + 18, heading))
            lines += [(top + self.head + LABEL_GAP * i + 6, row) for i, row in enumerate(rows)]
            top += self.head + LABEL_GAP * len(rows)
        return lines

    @property
    def description(self) -> str:
        """All values and intervals, in words."""
        return "; ".join(
            f"{heading}: " + ", ".join(f"{row.name} {percent_with_interval(row.value, row.interval)}" for row in rows)
            for heading, rows in self.groups
        )

    def x(self, share: float) -> float:
        """The coordinate of a share; outside the span that of its end."""
        return self.span.place(min(self.span.high, max(self.span.low, share)), self.left, self.right)
