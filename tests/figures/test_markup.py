"""Markup: what goes in as text comes out as the same text, whatever it is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from report_samples import HOSTILE, read_html
from snreid.figures.markup import Html, join, tag

# A NUL and a lone carriage return are changed by any HTML parser; surrogates are no text.
words = st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)))


@given(content=words, value=words)
@settings(deadline=None, max_examples=60)
def test_any_text_survives_a_round_trip_through_a_parser(content: str, value: str) -> None:
    root = read_html(tag("p", content, title=value).text)
    (paragraph,) = root.all("p")
    assert paragraph.text == content
    assert paragraph.attributes == {"title": value}


def test_hostile_text_makes_no_element() -> None:
    root = read_html(tag("td", HOSTILE, title=HOSTILE).text)
    assert not root.all("script")
    assert root.text == HOSTILE


def test_markup_is_kept_and_nothing_is_left_out() -> None:
    assert tag("p", tag("b", "x"), None, "<").text == "<p><b>x</b>&lt;</p>"
    assert join(Html("<hr>"), "&", None).text == "<hr>&amp;"


def test_attributes() -> None:
    made = tag("line", x1=1.0, y1=0.126, class_="grid", stroke_width=2, hidden=True, id=None, open=False)
    assert made.text == '<line x1="1" y1="0.13" class="grid" stroke-width="2" hidden></line>'
    assert tag("meta", name="viewport").text == '<meta name="viewport">'
