"""What every page is built from: the document itself, headings with anchors, boxes that scroll, images."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from snreid.figures.markup import Content, Html, tag
from snreid.figures.tiles import data_uri
from snreid.records import Sample

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of a page: a browser refuses everything that does not stand in the file itself."""


def document(
    title: str, facts: Mapping[str, str], sections: Mapping[str, Html | None], made: str, *, styles: Sequence[str] = ()
) -> str:
    """The text of one HTML file: head, title, ``facts`` (term to words; empty ones left out), links to the ``sections``, these
    (name to what ``section`` made of it; None left out), and ``made``. ``styles``: style sheets of this package beside report.css.
    """
    sheets = (files("snreid.figures").joinpath(name).read_text(encoding="utf-8") for name in ("report.css", *styles))
    parts = {name: part for name, part in sections.items() if part is not None}
    links = [tag("a", name, href=f"#{anchor(name)}") for name in parts]
    html = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("meta", name="generator", content="snreid"),
            tag("title", title),
            tag("style", Html("".join(sheets))),
        ),
        tag(
            "body",
            tag(
                "header",
                tag("h1", title),
                tag("dl", *(described(term, words) for term, words in facts.items() if words), class_="facts"),
                tag("nav", *links, aria_label="Parts of this page"),
            ),
            tag("main", *parts.values()),
            tag("footer", tag("p", "Made by snreid. ", made or None)),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{html.text}\n"


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
