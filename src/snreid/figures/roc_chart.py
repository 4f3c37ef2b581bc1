"""A ROC curve as an SVG file of its own: true match rate over false match rate, which has a logarithmic axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import ClassVar

from snreid.evaluation.verification import ENOUGH, Calibration
from snreid.figures.formatting import percent, percent_with_interval
from snreid.figures.page import ENVIRONMENT


@dataclass(frozen=True, kw_only=True)
class RocChart:
    """Geometry of the curve and its threshold. ``templates/roc.svg.j2`` draws it."""

    found: Calibration

    width: ClassVar[int] = 640
    height: ClassVar[int] = 480
    left: ClassVar[int] = 64
    right: ClassVar[int] = 616
    top: ClassVar[int] = 84
    bottom: ClassVar[int] = 420
    shares: ClassVar[Sequence[float]] = (0, 0.2, 0.4, 0.6, 0.8, 1)
    """Labelled true match rates."""
    enough: ClassVar[int] = ENOUGH

    @property
    def first(self) -> int:
        """The exponent of ten where the horizontal axis begins."""
        return min(floor(log10(min(self.found.wanted, 1 / self.found.impostor)) + 1e-9), -1)

    @property
    def decades(self) -> list[tuple[float, str]]:
        """Labelled false match rates, with their texts in percent."""
        step = ceil(-self.first / 8)
        return [(10.0**k, f"{100 * 10.0**k:.10f}".rstrip("0").rstrip(".")) for k in range(0, self.first - 1, -step)]

    @property
    def title(self) -> str:
        """What was verified."""
        return f"Same person or not: {self.found.data or 'pairs of images'}"

    @property
    def subtitle(self) -> str:
        """The number of pairs and persons."""
        found = self.found
        return f"{found.genuine:,} pairs of the same person ({found.persons:,} persons), {found.impostor:,} of different persons"

    @property
    def words(self) -> str:
        """The threshold and its rates."""
        found = self.found
        rate = percent_with_interval(found.true_match_rate, found.interval)
        return f"{found.rule}: {rate} % true, {100 * found.false_match_rate:.2g} % false matches"

    @property
    def description(self) -> str:
        """The curve in words, for readers who cannot see it."""
        some = [point for point in self.found.roc if point[0] > 0][:: max(1, len(self.found.roc) // 6)]
        curve = "; ".join(f"{percent(true)} % at a false match rate of {100 * false:.2g} %" for false, true, _ in some)
        return f"True match rate: {curve}. {self.words}."

    @property
    def rough(self) -> float:
        """The false match rate below which fewer than ``ENOUGH`` pairs match, at most 1."""
        return min(1.0, ENOUGH / self.found.impostor)

    @property
    def polyline(self) -> str:
        """The points of the curve as SVG has them."""
        points = [(false, true) for false, true, _ in self.found.roc if false > 0]
        return " ".join(f"{self.x(false):.1f},{self.y(true):.1f}" for false, true in points)

    def x(self, rate: float) -> float:
        """The coordinate of a false match rate; one of 0 is at the edge."""
        share = 1 - log10(max(rate, 10.0**self.first)) / self.first
        return self.left + share * (self.right - self.left)

    def y(self, share: float) -> float:
        """The coordinate of a true match rate; y grows downwards."""
        return self.bottom - share * (self.bottom - self.top)


def roc_svg(found: Calibration) -> str:
    """The ROC curve of a calibration with its threshold, as the text of an SVG file."""
    return ENVIRONMENT.get_template("roc.svg.j2").render(chart=RocChart(found=found))
