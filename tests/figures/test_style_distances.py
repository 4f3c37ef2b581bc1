"""Numbers of the style tables: none lost, none invented where there is none."""

import math

import numpy as np
import pytest

from snreid.figures.lens_page import render_lens
from snreid.figures.lens_records import Mixed, NeighbourShare, StyleTable
from snreid.figures.style_distances import change_text, distance_text, shade_of, share_text
from support.lens_samples import make_lens
from support.report_samples import Node, read_html


def page_of(**changes: object) -> Node:
    return read_html(render_lens(make_lens(**changes)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (0.12345, "0.123"),
        (1.234, "1.23"),
        (56.78, "56.8"),
        (1234.5, "1,234"),
        (math.nan, "\N{EN DASH}"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert distance_text(value) == text


def test_changes() -> None:
    assert change_text(2.0, 1.0) == "\N{MINUS SIGN}50\N{NO-BREAK SPACE}%"
    assert change_text(1.0, 1.5) == "+50\N{NO-BREAK SPACE}%"
    assert change_text(1.0, 1.001) == "0\N{NO-BREAK SPACE}%"
    assert change_text(0.0, 1.0) == change_text(math.nan, 1.0) == change_text(1.0, math.nan) == ""
    assert share_text(NeighbourShare(0.805, 0.5)) == "80\N{NO-BREAK SPACE}% (chance 50\N{NO-BREAK SPACE}%)"


def test_shades_rise_with_the_value() -> None:
    shades = [shade_of(value, 2.0) for value in np.linspace(0, 2, 50)]
    assert shades == sorted(shades) and set(shades) == set(range(10))
    assert shade_of(math.nan, 2.0) == shade_of(1.0, 0.0) == 0


def test_the_means_of_every_stage_and_the_pairs_before_and_after() -> None:
    page = page_of().part("Style distance")
    first = page.all("table")[0]
    rows = {tr.all("th")[0].text: [td.text for td in tr.all("td")] for tr in first.all("tr")[1:]}
    assert list(rows) == [f"Stage {s}, {n}" for s in (1, 2) for n in ("F", "F~", "F~+")] + ["Stage 3, F"]
    assert rows["Stage 1, F"] == ["2.00", "6.00", "0.200"]
    assert rows["Stage 1, F~+"] == [
        "0.500 \N{MINUS SIGN}75\N{NO-BREAK SPACE}%",
        "1.50 \N{MINUS SIGN}75\N{NO-BREAK SPACE}%",
        "0.050",
    ]
    heats = page.all("table")[1:]
    assert len(heats) == 2 + 2 + 1  # F and F~+ of two stages, F of the third
    cells = [[td.text for td in tr.all("td")] for tr in heats[0].all("tr")[1:]]
    assert cells == [["0.100", "2.00", "5.00"], ["2.00", "0.300", "7.00"], ["5.00", "7.00", "\N{EN DASH}"]]
    titles = [td.attributes["title"] for td in heats[0].all("td")]
    assert titles[1] == "noon, camera 1 and noon, camera 2: 2.00" and titles[0] == "noon, camera 1, halves: 0.100"
    # One scale for the tables of a stage: the largest pair at F has the darkest shade, a quarter of it does not.
    shades = [td.attributes["class"] for td in heats[1].all("td")]
    assert heats[0].all("td")[5].attributes["class"] == "heat h9" and shades[5] == "heat h2"


def test_columns_without_a_number_are_left_out() -> None:
    means = {"F": {"within": 1.0, "across": math.nan, "halves": math.nan}}
    table = StyleTable(stage=1, matrices={"F": np.array([[np.nan, 1.0], [1.0, np.nan]])}, summaries=means)
    page = page_of(sets=("a", "b"), styles=(table,)).part("Style distance")
    assert [th.text for th in page.all("table")[0].all("tr")[0].all("th")] == ["", "Cameras of one data set"]
    for changes in ({"sets": ("a",), "styles": (table,)}, {"styles": ()}):
        assert "Style distance" not in [h2.text for h2 in page_of(**changes).all("h2")]


def test_neighbours_say_what_chance_would() -> None:
    page = page_of(cloud=None).part("Domains and cameras")
    rows = [[td.text for td in tr.all("td")] for tr in page.all("tr")[1:]]
    assert rows == [
        [share_text(NeighbourShare(1.0, 0.5)), "\N{EN DASH}"],
        [share_text(NeighbourShare(0.8, 0.5)), share_text(NeighbourShare(0.4, 0.3))],
    ]
    assert "t-SNE" not in page.text
    mixed = (Mixed(what="embedding", domain=None, camera=NeighbourShare(0.4, 0.3)),)
    alone = page_of(mixed=mixed, cloud=None).part("Domains and cameras")
    assert [th.text for th in alone.all("tr")[0].all("th")] == ["", "Nearest neighbour from the same camera"]
    assert "Domains and cameras" not in [h2.text for h2 in page_of(mixed=(), cloud=None).all("h2")]
