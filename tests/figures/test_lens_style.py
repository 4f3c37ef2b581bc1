"""Numbers of the style tables: none lost, none invented where there is none."""

import math

import numpy as np
import pytest

from lens_samples import SETS, make_lens, style
from report_samples import read_html
from snreid.figures.lens_records import Mixed, Share, StyleTable
from snreid.figures.lens_style import change, mixed_section, number, shade_of, share_text, style_section


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
    assert number(value) == text


def test_changes() -> None:
    assert change(2.0, 1.0) == "\N{MINUS SIGN}50\N{NO-BREAK SPACE}%"
    assert change(1.0, 1.5) == "+50\N{NO-BREAK SPACE}%"
    assert change(1.0, 1.001) == "0\N{NO-BREAK SPACE}%"
    assert change(0.0, 1.0) == change(math.nan, 1.0) == change(1.0, math.nan) == ""
    assert share_text(Share(0.805, 0.5)) == "80\N{NO-BREAK SPACE}% (by lot 50\N{NO-BREAK SPACE}%)"


def test_shades_rise_with_the_value() -> None:
    shades = [shade_of(value, 2.0) for value in np.linspace(0, 2, 50)]
    assert shades == sorted(shades) and set(shades) == set(range(10))
    assert shade_of(math.nan, 2.0) == shade_of(1.0, 0.0) == 0


def test_the_means_of_every_stage_and_the_pairs_before_and_after() -> None:
    made = style_section(SETS, make_lens().styles)
    assert made is not None
    page = read_html(made.text)
    first = page.all("table")[0]
    rows = {tr.all("th")[0].text: [td.text for td in tr.all("td")] for tr in first.all("tr")[1:]}
    assert list(rows) == [f"Stage {s}, {n}" for s in (1, 2) for n in ("F", "F~", "F~+")] + ["Stage 3, F"]
    assert rows["Stage 1, F"] == ["2.00", "6.00", "0.200"]
    assert rows["Stage 1, F~+"] == [
        "0.500\N{MINUS SIGN}75\N{NO-BREAK SPACE}%",
        "1.50\N{MINUS SIGN}75\N{NO-BREAK SPACE}%",
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
    made = style_section(("a", "b"), [table])
    assert made is not None
    heads = [th.text for th in read_html(made.text).all("table")[0].all("tr")[0].all("th")]
    assert heads == ["", "Cameras of one data set"]
    assert style_section(("a",), [table]) is None and style_section(SETS, []) is None
    assert style_section(SETS, [style(1)]) is not None


def test_neighbours_say_what_chance_would() -> None:
    mixed = make_lens().mixed
    made = mixed_section(mixed, [])
    assert made is not None
    rows = [[td.text for td in tr.all("td")] for tr in read_html(made.text).all("tr")[1:]]
    assert rows == [
        [share_text(Share(1.0, 0.5)), "\N{EN DASH}"],
        [share_text(Share(0.8, 0.5)), share_text(Share(0.4, 0.3))],
    ]
    assert "t-SNE" not in made.text
    alone = mixed_section([Mixed(what="embedding", domain=None, camera=Share(0.4, 0.3))], [])
    assert alone is not None and "same data set</th>" not in alone.text
    assert mixed_section([], []) is None
