"""The part of the report that shows images: queries, and what each scheme found for them."""

from collections.abc import Sequence

from snreid.figures.markup import Html, tag
from snreid.figures.page import picture, section
from snreid.figures.tiles import IGNORED, RIGHT, WRONG, RankExample
from snreid.records import RankList

SIGNS = {RIGHT: "\N{CHECK MARK}", WRONG: "\N{MULTIPLICATION X}", IGNORED: "\N{EN DASH}"}
"""What stands under an image, beside the word."""


def examples_section(
    examples: Sequence[RankExample], *, first: int = 10, title: str = "Rank lists", intro: str = ""
) -> Html:
    """Queries with the ``first`` gallery images of each scheme; a verdict is told by colour, line, sign and word.

    ``title``: the heading of the part; ``intro``: a sentence before everything else.
    """
    keys = [tag("span", f"{SIGNS[verdict]} {verdict}", class_=f"key {verdict}") for verdict in SIGNS]
    words = (
        " Ignored: the same person seen by the query's own camera, or a junk image; the metrics skip it."
        " The number under an image is its likeness to the query."
    )
    key = tag("p", *keys, words, class_="caption")
    return section(title, tag("p", intro) if intro else None, key, *(_example(example, first) for example in examples))


def _example(example: RankExample, first: int) -> Html:
    title = f"{example.domain}, person {example.sample.person}"
    if example.sample.camera > 0:
        title += f", camera {example.sample.camera}"
    query = tag(
        "figure", picture(example.sample, f"Query: {title}", 192), tag("figcaption", "query"), class_="tile query"
    )
    lists = [_ranked(name, ranks, example, first) for name, ranks in example.lists]
    return tag(
        "article",
        tag("h3", title),
        tag("p", f"{example.reason.rstrip('.')}.", class_="caption") if example.reason else None,
        tag("div", query, tag("div", *lists), class_="example"),
    )


def _ranked(scheme: str, ranks: RankList, example: RankExample, first: int) -> Html:
    tiles, place = [], 0
    for index, score, verdict in list(zip(ranks.gallery, ranks.score, ranks.verdict, strict=True))[:first]:
        sample = example.gallery.samples[int(index)]
        # What the metrics ignore holds no rank, so the count leaves it out too.
        place += verdict != IGNORED
        words = f"{'no rank' if verdict == IGNORED else f'rank {place}'}, {verdict}: person {sample.person}"
        words += f", camera {sample.camera}" if sample.camera > 0 else ""
        caption = tag("figcaption", tag("b", f"{SIGNS[verdict]} {verdict}"), tag("small", f"{float(score):.2f}"))
        tiles.append(tag("li", tag("figure", picture(sample, words, 160), caption, class_=f"tile {verdict}")))
    counted = [verdict for verdict in ranks.verdict[:first] if verdict != IGNORED]
    summary = f"{counted.count(RIGHT)} of the first {len(counted)} right"
    return tag("div", tag("h4", scheme, tag("small", summary)), tag("ol", *tiles, class_="tiles"), class_="list")
