"""The small pieces of the page."""

from report_samples import read_html, split
from snreid.figures.markup import tag
from snreid.figures.page import anchor, described, folded, picture, plain_table, row, scrolling, section


def test_a_section_is_named_by_its_heading() -> None:
    (part,) = read_html(section("CMC curves", tag("p", "x"), None).text).all("section")
    (heading,) = part.all("h2")
    assert part.attributes["id"] == anchor("CMC curves") == "cmc-curves"
    assert part.attributes["aria-labelledby"] == heading.attributes["id"]


def test_what_scrolls_can_be_reached_by_keyboard() -> None:
    (box,) = read_html(scrolling(tag("p", "x"), "wide").text).all("div")
    assert (box.attributes["tabindex"], box.attributes["role"], box.attributes["aria-label"]) == ("0", "region", "wide")
    (details,) = read_html(folded("more", tag("p", "x")).text).all("details")
    assert details.all("summary")[0].text == "more" and details.all("p")[0].text == "x"


def test_a_table_names_its_rows_and_columns() -> None:
    root = read_html(plain_table(["a", "b"], [row("head", ["1"])], class_="settings").text)
    assert [th.attributes["scope"] for th in root.all("th")] == ["col", "col", "row"]
    assert not read_html(plain_table([], [row("head", ["1"])]).text).all("thead")
    assert read_html(described("term", "words").text).text == "termwords"


def test_a_picture_has_words_and_lies_inside_the_page() -> None:
    (image,) = read_html(picture(split(1, (1,)).samples[0], 'says "x"', 32).text).all("img")
    assert image.attributes["alt"] == 'says "x"'
    assert (image.attributes["src"] or "").startswith("data:image/jpeg;base64,")
