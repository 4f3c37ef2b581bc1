"""Curves and intervals as inline SVG, drawn without any plotting library.

Schemes are told apart three times over: by colour (a palette safe for colour-blind readers, set in report.css and
different for light and dark), by line pattern, and by the shape of a marker that stands beside the scheme's name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from snreid.figures.markup import Html, join, tag
from snreid.records import Interval

Scale = Callable[[float], float]
"""A value to its place in the drawing."""

PATTERNS = ("6 4", "2 3", None, "9 3 2 3", "12 4", "4 2 1 2", "1 4")
"""Line patterns (SVG stroke-dasharray); the third is solid. One per scheme, then from the start."""
STYLES = len(PATTERNS)
"""How many schemes are told apart; report.css has as many colours (s0, s1, ...)."""

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 120, 12, 42
LINE = 16
"""Least distance of two labels, in SVG units (about pixels on a phone)."""
LONGEST = 13
"""Characters of a name that fit beside a curve."""


@dataclass(frozen=True, slots=True)
class Span:
    """The range an axis shows, as shares, in steps of ten points."""

    low: float
    high: float

    @property
    def ticks(self) -> tuple[float, ...]:
        """Positions of the labels: every ten points, or every twenty on a long axis."""
        step = 20 if self.high - self.low > 0.65 else 10
        return tuple(
            t / 100 for t in range(ceil(100 * self.low / step - 1e-9) * step, round(100 * self.high) + 1, step)
        )


def span_of(values: Sequence[float]) -> Span:
    """The smallest span between 0 and 1, in whole tens of percent and at least 0.2 long, that holds all ``values``."""
    low, high = floor(min(values) * 10 + 1e-9) / 10, ceil(max(values) * 10 - 1e-9) / 10
    low = max(0.0, min(low, high - 0.2))
    if high - low > 0.65:
        low = floor(low * 5 + 1e-9) / 5  # the labels stand every twenty points then, and the axis starts at one
    return Span(low, min(1.0, max(high, low + 0.2)))


def spread(wanted: Sequence[float], low: float, high: float, gap: float = LINE) -> list[float]:
    """Positions for labels near the ``wanted`` ones, in their order, ``gap`` or more apart, from ``low`` to ``high``.

    When they do not fit, ``high`` gives way: labels never overlap.
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


def shorten(name: str, longest: int = LONGEST) -> str:
    """The name, or its beginning and an ellipsis when it has more than ``longest`` characters."""
    return name if len(name) <= longest else name[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def marker(style: int, x: float, y: float) -> Html:
    """The shape of scheme number ``style`` at (x, y), about 9 units wide, in the scheme's colour."""
    kind = style % STYLES
    if kind == 0:
        return tag("circle", cx=x, cy=y, r=4.2, class_=f"mark s{kind}")
    outlines: dict[int, list[tuple[float, float]]] = {
        1: [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        2: [(0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)],
        3: [(0, -5), (5, 4), (-5, 4)],
        4: [(0, 5), (5, -4), (-5, -4)],
        5: [(-5, -1.5), (5, -1.5), (5, 1.5), (-5, 1.5)],
        6: [(-1.5, -5), (1.5, -5), (1.5, 5), (-1.5, 5)],
    }
    corners = outlines[kind]
    return tag("polygon", points=" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners), class_=f"mark s{kind}")


def cmc_figure(title: str, curves: Mapping[str, NDArray[np.float64]], *, styles: Mapping[str, int], span: Span) -> Html:
    """CMC curves of one domain as SVG: (K,) shares between 0 and 1 per scheme, from rank 1, all of one length K >= 2.

    ``styles``: the style number of each scheme, the same in all figures of a report. ``span``: the vertical axis,
    shared by the domains of a report so that their figures can be compared. Each curve is named at its right end.
    """
    length = len(next(iter(curves.values())))
    plot_right, plot_bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(rank: float) -> float:
        """Where a rank stands."""
        return LEFT + (rank - 1) / (length - 1) * (plot_right - LEFT)

    def y(share: float) -> float:
        """Where a share stands; the drawing's y grows downwards."""
        return plot_bottom - (share - span.low) / (span.high - span.low) * (plot_bottom - TOP)

    parts: list[Html] = [_axes(x, y, span, [1, *range(5, length + 1, 5)])]
    places = spread([y(float(curve[-1])) for curve in curves.values()], TOP + 6, plot_bottom - 2)
    for (name, curve), place in zip(curves.items(), places, strict=True):
        style = styles[name]
        kind = style % STYLES
        corners = " ".join(f"{x(k):.1f},{y(float(share)):.1f}" for k, share in enumerate(curve, start=1))
        end = y(float(curve[-1]))
        parts += [
            tag("polyline", points=corners, class_=f"curve s{kind}", stroke_dasharray=PATTERNS[kind]),
            tag("line", x1=plot_right + 2, y1=end, x2=plot_right + 12, y2=place, class_="leader"),
            marker(style, x(1), y(float(curve[0]))),
            marker(style, plot_right + 19, place),
            tag(
                "text",
                tag("title", f"{name}: rank-1 {100 * curve[0]:.1f} %"),
                shorten(name),
                x=plot_right + 29,
                y=place + 4,
            ),
        ]
    words = "; ".join(
        f"{name}: {100 * curve[0]:.1f} % at rank 1, {100 * curve[-1]:.1f} % at rank {length}"
        for name, curve in curves.items()
    )
    return _svg(WIDTH, HEIGHT, f"CMC curves, {title}", words, parts)


def _axes(x: Scale, y: Scale, span: Span, ranks: list[int]) -> Html:
    left, right, bottom = x(ranks[0]), WIDTH - RIGHT, y(span.low)
    parts: list[Html] = []
    for share in span.ticks:
        parts += [
            tag("line", x1=left, y1=y(share), x2=right, y2=y(share), class_="grid"),
            tag("text", f"{100 * share:.0f}", x=left - 8, y=y(share) + 4, text_anchor="end", class_="tick"),
        ]
    for rank in ranks:
        parts += [
            tag("line", x1=x(rank), y1=bottom, x2=x(rank), y2=bottom + 5, class_="axis"),
            tag("text", str(rank), x=x(rank), y=bottom + 19, text_anchor="middle", class_="tick"),
        ]
    middle = (TOP + bottom) / 2
    parts += [
        tag("line", x1=left, y1=bottom, x2=right, y2=bottom, class_="axis"),
        tag("text", "rank k", x=(left + right) / 2, y=HEIGHT - 6, text_anchor="middle"),
        tag("text", "found, %", x=13, y=middle, text_anchor="middle", transform=f"rotate(-90 13 {middle:.0f})"),
    ]
    return join(*parts)


def interval_figure(
    title: str, groups: Sequence[tuple[str, Sequence[tuple[str, int, float, Interval]]]], *, level: float = 0.95
) -> Html:
    """Values with their intervals as SVG: for each group (a domain) one line per scheme.

    ``groups``: (domain, rows of (scheme, style number, value, interval)), shares between 0 and 1. A row shows a
    mark with its interval and, at the right, the scheme and the value in percent.
    """
    bounds = [bound for _, rows in groups for _, _, _, i in rows for bound in (i.low, i.high)]
    span = span_of([min(1.0, max(0.0, bound)) for bound in bounds])
    right, head, foot = WIDTH - 142, 26, 38

    def x(share: float) -> float:
        """Where a share stands; what leaves the span stands at its end."""
        shown = min(span.high, max(span.low, share))
        return 10 + (shown - span.low) / (span.high - span.low) * (right - 10)

    height = sum(head + LINE * len(rows) for _, rows in groups) + foot
    bottom = height - foot + 6
    parts: list[Html] = []
    for share in span.ticks:
        parts += [
            tag("line", x1=x(share), y1=4, x2=x(share), y2=bottom, class_="grid"),
            tag("text", f"{100 * share:.0f}", x=x(share), y=bottom + 15, text_anchor="middle", class_="tick"),
        ]
    top = 0
    for domain, rows in groups:
        parts.append(tag("text", tag("title", domain), shorten(domain, 40), x=4, y=top + 18, class_="domain"))
        for line, (scheme, style, value, interval) in enumerate(rows):
            y = top + head + LINE * line + 6
            colour = f"s{style % STYLES}"
            parts += [
                tag("line", x1=x(interval.low), y1=y, x2=x(interval.high), y2=y, class_=f"whisker {colour}"),
                marker(style, x(value), y),
                tag("text", f"{100 * value:.1f}", x=right + 42, y=y + 4, text_anchor="end", class_="value"),
                tag("text", tag("title", scheme), shorten(scheme), x=right + 50, y=y + 4),
            ]
        top += head + LINE * len(rows)
    parts.append(tag("text", "percent", x=(10 + right) / 2, y=height - 4, text_anchor="middle"))
    words = "; ".join(
        f"{domain}: " + ", ".join(f"{s} {100 * v:.1f} [{100 * i.low:.1f}, {100 * i.high:.1f}]" for s, _, v, i in rows)
        for domain, rows in groups
    )
    return _svg(WIDTH, height, f"{title} in percent with {100 * level:.0f} % intervals", words, parts)


def _svg(width: int, height: int, title: str, words: str, parts: Sequence[Html]) -> Html:
    return tag(
        "svg", tag("title", title), tag("desc", words), *parts,
        viewBox=f"0 0 {width} {height}", role="img", aria_label=f"{title}. {words}", class_="chart",
    )  # fmt: skip
