"""Geometry of a scatter chart: points in the plane, told apart by colour and shape. ``templates/charts.html.j2`` draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snreid.figures.charts import MARKERS, STYLES

OTHER = "other"
"""The label of points that are shown for orientation only, in grey and below the rest."""


class LabelledPoints(NamedTuple):
    """The points of one label."""

    label: str
    size: int
    style: int
    marker: str
    """A shape of ``MARKERS``."""
    path: str
    """All points as one SVG path."""


@dataclass(frozen=True, kw_only=True)
class ScatterChart:
    """Points on equal axes without ticks; the legend lists the labels in the order of their first points."""

    title: str
    points: NDArray[np.float64]
    """(N, 2)"""
    labels: Sequence[str]
    """(N,) label of each point. From the eighth label on, colours return with other shapes."""

    side: ClassVar[int] = 520
    """Width and height of the frame, SVG units."""
    edge: ClassVar[int] = 12
    """Margin inside the frame."""

    @property
    def places(self) -> NDArray[np.float64]:
        """(N, 2) coordinates; the middle of the points is the middle of the frame."""
        low, high = self.points.min(0), self.points.max(0)
        span = float((high - low).max()) or 1.0
        scale = (self.side - 2 * self.edge) / span * np.array([1, -1])  # y grows downwards
        places: NDArray[np.float64] = self.side / 2 + (self.points - (low + high) / 2) * scale
        return places

    @property
    def other(self) -> str:
        """The points labelled ``OTHER`` as one SVG path; empty without any."""
        return self._path(OTHER, MARKERS[0])

    @property
    def groups(self) -> list[LabelledPoints]:
        """All labels but ``OTHER``."""
        names = [name for name in dict.fromkeys(self.labels) if name != OTHER]
        groups = []
        for number, name in enumerate(names):
            marker = MARKERS[(number + number // STYLES) % STYLES]
            size = sum(label == name for label in self.labels)
            groups.append(LabelledPoints(name, size, number % STYLES, marker, self._path(name, marker)))
        return groups

    @property
    def description(self) -> str:
        """The number of points of each label, in words."""
        return "; ".join(f"{group.label}: {group.size} points" for group in self.groups)

    def _path(self, label: str, marker: str) -> str:
        places = self.places[np.array(self.labels) == label]
        return "".join(f"M{x:.1f},{y:.1f}{marker}" for x, y in places.tolist())
