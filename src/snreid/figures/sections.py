"""Three smaller parts of the report's page: how to read it, the CMC curves, what the domains look like."""

from collections.abc import Sequence

from snreid.figures.curves import cmc_figure, span_of
from snreid.figures.markup import Html, tag
from snreid.figures.page import described, folded, picture, plain_table, row, scrolling, section
from snreid.figures.table import Domain, SchemeResult, ScoreTable
from snreid.figures.text import percent

TERMS = {
    "Query and gallery": "A query is an image of a person. The gallery holds images of many people; the program sorts "
    "it by likeness to the query. Images of the same person from the query's own camera are ignored: finding those is "
    "too easy.",
    "rank-1": "The share of queries whose very first gallery image shows the right person.",
    "CMC at k": "The share of queries with the right person among the first k images. At k = 1 it is rank-1.",
    "mAP": "Mean average precision: 100 % when, for every query, all images of the right person stand before all "
    "others. It counts the matches that are hard to find too, so it is usually lower than rank-1.",
    "Seen and unseen": "A seen domain gave training images; its test shows other people under the same cameras. An "
    "unseen domain gave none: its cameras, light and scenes are new to the program. Unseen is what counts in use.",
    "Difference and p": "Both schemes answered the same queries, so they are compared query by query. Where the "
    "interval of the difference holds 0, or p is large, the data do not tell the two apart.",
    "Skipped queries": "Queries without any valid match in the gallery. They are counted and shown, and in no mean.",
}


def reading_section(table: ScoreTable, selection: str, resamples: int) -> Html:
    """What the words mean, for a reader from outside the field, and how the models were chosen."""
    interval = (
        "How far the value may move by the luck of who was photographed and chosen as a query "
        f"({resamples:,} bootstrap resamples). It does not cover the luck of training; several seeds do."
    )
    terms = {**TERMS, f"{100 * table.level:.0f} % interval": interval}
    return section(
        "How to read this",
        tag("dl", *(described(term, words) for term, words in terms.items()), class_="terms"),
        tag("p", selection, class_="selection"),
    )


def curves_section(table: ScoreTable, schemes: Sequence[SchemeResult], ranks: int) -> Html | None:
    """A figure per domain, all with one vertical axis, and the same numbers as a table to unfold."""
    domains = [column for column in table.columns if column.kind != "mean"]
    curves = {
        column.name: {scheme.name: scheme.cmc(column.name, ranks) for scheme in schemes if scheme.runs(column.name)}
        for column in domains
    }
    ends = [float(share) for found in curves.values() for curve in found.values() for share in (curve[0], curve[-1])]
    if not ends:
        return None
    span = span_of(ends)
    styles = {scheme.name: style for style, scheme in enumerate(schemes)}
    shown = [k for k in (1, 5, 10, 20) if k <= ranks]
    panels, rows = [], []
    for column in domains:
        found = curves[column.name]
        if found:
            words = f"{column.name} (seen in training)" if column.kind == "seen" else column.name
            drawing = cmc_figure(column.name, found, styles=styles, span=span)
            panels.append(tag("figure", tag("figcaption", words), drawing))
        rows += [row(column.name, [name, *(percent(float(c[k - 1])) for k in shown)]) for name, c in found.items()]
    numbers = plain_table(["Domain", "Scheme", *(f"rank-{k}, %" for k in shown)], rows)
    scale = f"from {100 * span.low:.0f} to {100 * span.high:.0f} %"
    return section(
        "CMC curves",
        tag("p", f"How often the right person is among the first k images. All figures share one scale, {scale}."),
        tag("div", *panels, class_="panels"),
        folded("The same as numbers", numbers),
    )


def domains_section(domains: Sequence[Domain]) -> Html:
    """A strip of images per domain, with its name and what it is."""
    parts = []
    for domain in domains:
        words = "seen in training" if domain.seen else "unseen"
        images = [picture(sample, f"{domain.name}: person {sample.person}", 128) for sample in domain.samples]
        strip = tag("div", *images, class_="strip")
        parts.append(
            tag(
                "article",
                tag("h3", domain.name, tag("small", words, class_="chip")),
                tag("p", domain.description) if domain.description else None,
                scrolling(strip, f"Images of {domain.name}") if images else None,
            )
        )
    return section("Domains", tag("div", *parts, class_="domains"))
