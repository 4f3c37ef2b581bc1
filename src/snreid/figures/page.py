"""What every part of the report's page is built from: headings with anchors, boxes that scroll, images."""

from collections.abc import Sequence

from snreid.figures.markup import Content, Html, tag
from snreid.figures.tiles import data_uri
from snreid.records import Sample


def anchor(name: str) -> str:
    """The link target of a part of the page: ``CMC curves`` -> ``cmc-curves``."""
    return name.lower().replace(" ", "-")


def section(name: str, *children: Html | None) -> Html:
    """A part of the page under its heading ``name``."""
    title = f"{anchor(name)}-title"
    return tag("section", tag("h2", name, id=title), *children, id=anchor(name), aria_labelledby=title)


def scrolling(content: Html, label: str) -> Html:
    """A box that scrolls sideways by itself (by keyboard too), so that the page never does."""
    return tag("div", content, class_="scroll", role="region", aria_label=label, tabindex=0)


def folded(title: str, content: Html) -> Html:
    """Something to unfold; works without a script, and is open in print."""
    return tag("details", tag("summary", title), scrolling(content, title))


def described(term: str, words: str) -> Html:
    """One term of a ``dl`` with its description."""
    return tag("div", tag("dt", term), tag("dd", words))


def row(head: Content, cells: Sequence[str]) -> Html:
    """A row of a plain table: its heading and text cells."""
    return tag("tr", tag("th", head, scope="row"), *(tag("td", cell) for cell in cells))


def plain_table(heads: Sequence[str], rows: Sequence[Html], *, class_: str | None = None) -> Html:
    """A table of ``row`` values under column heads; without heads where there are none."""
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads))) if heads else None
    return tag("table", head, tag("tbody", *rows), class_=class_)


def picture(sample: Sample, words: str, height: int) -> Html:
    """The image of a sample, at most ``height`` pixels high, inside the file; ``words`` for who cannot see it."""
    return tag("img", src=data_uri(sample.image.read(), height=height), alt=words, decoding="async")
