"""The pieces of all pages: escaping, boxes, tables, pictures."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snreid.figures
from snreid.errors import visible
from snreid.figures.page import render_page
from support.report_samples import HOSTILE, every, read_html, render, split

words = st.text(st.characters())


@given(content=words, value=words)
@settings(deadline=None, max_examples=60)
def test_any_text_survives_a_round_trip_through_a_parser(content: str, value: str) -> None:
    (paragraph,) = render('<p title="{{ value }}">{{ content }}</p>', content=content, value=value).all("p")
    assert paragraph.source == visible(content)
    assert paragraph.attributes == {"title": visible(value)}


def test_hostile_text_makes_no_element_in_any_macro() -> None:
    sample = split(1, (1,)).samples[0]
    root = render(
        """{% call parts.scrolling(text) %}{{ text }}{% endcall %}{% call parts.folded(text) %}{{ text }}{% endcall %}
        {{ parts.findings([(text, text)]) }}{{ parts.notes([text]) }}{{ parts.image(sample, text, 32) }}
        {% call parts.term(text) %}{{ text }}{% endcall %}{{ parts.pairs(text, {text: text}) }}""",
        text=HOSTILE,
        sample=sample,
    )
    assert not root.all("script") and root.text.count(HOSTILE) == 11
    assert {name for node in every(root) for name in node.attributes} <= {
        "class",
        "role",
        "aria-label",
        "tabindex",
        "src",
        "alt",
        "decoding",
        "scope",
    }


def test_no_template_turns_escaping_off() -> None:
    for path in (Path(snreid.figures.__file__).parent / "templates").rglob("*.j2"):
        text = path.read_text(encoding="utf-8")
        assert "safe" not in text.split() and "|safe" not in text and "autoescape" not in text, path.name


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(Exception, match="'report' is undefined"):
        render_page("report", "title", {}, {"Domains": True}, made="")


def test_sections_are_named_by_their_headings() -> None:
    root = read_html(render_page("lens", "title", {"Run": "x", "Data": ""}, {"How to read this": True}, made="today"))
    (section,) = root.all("section")
    (heading,) = section.all("h2")
    assert section.attributes["id"] == "how-to-read-this"
    assert section.attributes["aria-labelledby"] == heading.attributes["id"]
    assert root.all("nav")[0].all("a")[0].attributes["href"] == "#how-to-read-this"
    assert [dt.text for dt in root.all("dl", "facts")[0].all("dt")] == ["Run"]


def test_boxes_that_scroll_can_be_reached_by_keyboard() -> None:
    (box,) = render('{% call parts.scrolling("wide") %}x{% endcall %}').all("div")
    assert (box.attributes["tabindex"], box.attributes["role"], box.attributes["aria-label"]) == ("0", "region", "wide")
    (details,) = render('{% call parts.folded("more") %}<p>x</p>{% endcall %}').all("details")
    assert details.all("summary")[0].text == "more" and details.all("p")[0].text == "x"


def test_a_picture_has_a_description_and_is_inside_the_page() -> None:
    sample = split(1, (1,)).samples[0]
    (image,) = render("{{ parts.image(sample, words, 32) }}", sample=sample, words='says "x"').all("img")
    assert image.attributes["alt"] == 'says "x"'
    assert (image.attributes["src"] or "").startswith("data:image/jpeg;base64,")


def test_floats_have_at_most_two_decimals() -> None:
    assert render("{{ a }} {{ b }} {{ c }}", a=1.0, b=0.126, c=2).text == "1 0.13 2"


def test_a_name_that_is_not_utf8_can_be_written() -> None:
    page = render_page("report", os.fsdecode(b"caf\xe9"), {"run": "a\x1b[31m"}, {}, made="now")
    assert r"caf\udce9" in page and r"a\u001b[31m" in page and page.encode()
