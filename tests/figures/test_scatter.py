"""Points of a scatter: where the numbers are, as many as there are, told apart by colour and shape."""

import re

import numpy as np
from numpy.typing import NDArray

from snreid.figures.scatter import OTHER, ScatterChart
from support.report_samples import HOSTILE, Node, render

SIDE, EDGE = ScatterChart.side, ScatterChart.edge


def scatter(points: NDArray[np.float64], labels: list[str], title: str = "t") -> Node:
    chart = ScatterChart(title=title, points=points, labels=labels)
    return render("{{ charts.scatter(chart, chart.title) }}", chart=chart)


def marks(page: Node, kind: str) -> list[tuple[float, float]]:
    """Where the points of a class stand, without the legend's mark."""
    path = next(path for path in page.all("path") if path.attributes["class"] == kind)
    return [(float(x), float(y)) for x, y in re.findall(r"M([-\d.]+),([-\d.]+)", path.attributes["d"] or "")]


def test_points_stand_where_their_numbers_are() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]])
    page = scatter(points, ["a", "a", "b"])
    (x0, y0), (x1, y1) = marks(page, "mark s0")
    ((x2, y2),) = marks(page, "mark s1")
    assert x0 == EDGE and x1 == SIDE - EDGE and y0 == y1 > y2  # up is up
    assert x2 == x0 and (y0 - y2) * 2 == x1 - x0  # one scale for both axes
    assert "a (2)" in page.text and "b (1)" in page.text
    assert page.all("svg")[0].attributes["aria-label"] == "t. a: 2 points; b: 1 points"


def test_more_labels_than_colours_are_still_told_apart() -> None:
    names = [f"camera {n}" for n in range(21)]
    page = scatter(np.random.default_rng(0).normal(size=(21, 2)), names)
    kinds = {(p.attributes["class"], re.sub(r"^M[-\d.,]+", "", p.attributes["d"] or "")) for p in page.all("path")}
    assert len(kinds) == 21 and len(page.all("path")) == 42


def test_other_points_are_grey_below_and_in_no_legend() -> None:
    page = scatter(np.arange(8.0).reshape(4, 2), [OTHER, "a", OTHER, "a"])
    assert page.all("path")[0].attributes["class"] == "rest" and len(marks(page, "rest")) == 2
    assert OTHER not in page.text


def test_one_point_and_hostile_names() -> None:
    page = scatter(np.zeros((1, 2)), [HOSTILE], HOSTILE)
    assert marks(page, "mark s0") == [(SIDE / 2, SIDE / 2)]
    assert not page.all("script")
